"""The flow table: which conversation a segment belongs to.

A fixed number of slots in sets of eight. A keyed hash of addresses, ports and tunnel, the
same for both directions, names two sets; the 64-bit hash itself is the identity. A flow is
put into the second set where the first is crowded and the second less so: no two are full
before two thirds of the table are (Azar and others: Balanced Allocations, 1999). Only where
both are full a slot is let go. Nothing is allocated after the start, and who does not know
the key cannot choose keys that meet in one set.

The hash is SipHash-1-3 (Aumasson, Bernstein: SipHash, 2012) over whole 64-bit words.
"""

from array import array

from parsers.frame import Frame
from sniffer.track.layout import LAST_SEEN, SETTLED, SLOT_WORDS, STATE, reserve

WAYS = 8
CROWDED = 5
"""Slots of a set in use, from which on the other set is looked at."""
SECOND_SHIFT = 40
"""Where the bits of the hash begin that name the second set; those before name other things."""
FREE = 0
"""The tag of a slot that is not in use."""

MASK = 0xFFFFFFFFFFFFFFFF
START_0 = 0x736F6D6570736575
START_1 = 0x646F72616E646F6D
START_2 = 0x6C7967656E657261
START_3 = 0x7465646279746573
FINISH_ROUNDS = 3


class Flows:
    """The slots, and the last segment looked up.

    ``words`` holds SLOT_WORDS numbers a slot; what they mean is the tracker's affair, but
    for LAST_SEEN and whether it is settled. ``tag`` and ``direction`` tell of the last
    ``locate``: the flow's hash, and 0 or 1 for which of its two ends sent the segment.
    """

    __slots__ = ("block", "direction", "key_0", "key_1", "sets", "slots", "tag", "tags", "words")
    block: memoryview
    direction: int
    key_0: int
    key_1: int
    sets: int
    slots: int
    tag: int
    tags: memoryview
    words: memoryview

    def __init__(self, slots: int, key: bytes) -> None:
        """Make a table of ``slots`` slots (a power of two); ``key`` is 16 secret octets."""
        self.slots = slots
        self.sets = slots // WAYS
        self.key_0 = int.from_bytes(key[:8], "little")
        self.key_1 = int.from_bytes(key[8:16], "little")
        self.tags = reserve(8 * slots).cast("Q")
        self.words = reserve(8 * SLOT_WORDS * slots).cast("q")
        self.block = memoryview(array("Q", bytes(8 * 8)))
        self.tag = 0
        self.direction = 0

    def locate(self, wire: memoryview, frame: Frame) -> int:
        """Return the slot of the segment's flow, or -1 if it has none."""
        self.tag = self._hash(wire, frame)
        slot = self._find(self._first(), self.tag)
        return slot if slot >= 0 else self._find(self._second(), self.tag)

    def choose(self) -> int:
        """Return the slot to give to the flow last looked up; it may still be in use."""
        first = self._first()
        second = self._second()
        used = self._used(first)
        if used >= CROWDED and self._used(second) < used:
            return self._find(second, FREE)
        if used < WAYS:
            return self._find(first, FREE)
        spare = self._spare(first, first)
        return self._spare(second, spare)

    def claim(self, slot: int) -> int:
        """Give a slot to the flow last looked up, with all its words zero."""
        self.tags[slot] = self.tag
        for word in range(slot * SLOT_WORDS, (slot + 1) * SLOT_WORDS):
            self.words[word] = 0
        return slot

    def release(self, slot: int) -> int:
        """Let a slot go."""
        self.tags[slot] = FREE
        return slot

    def _first(self) -> int:
        """Return where the set begins that the flow last looked up is put in."""
        return (self.tag & (self.sets - 1)) * WAYS

    def _second(self) -> int:
        """Return where the set begins that takes it instead if the first one is crowded."""
        return (self.tag >> SECOND_SHIFT & (self.sets - 1)) * WAYS

    def _find(self, start: int, tag: int) -> int:
        """Return the slot of a set that holds the tag, or -1."""
        for slot in range(start, start + WAYS):
            if self.tags[slot] == tag:
                return slot
        return -1

    def _used(self, start: int) -> int:
        """Return how many slots of a set are in use."""
        used = 0
        for slot in range(start, start + WAYS):
            if self.tags[slot] != FREE:
                used += 1
        return used

    def _spare(self, start: int, best: int) -> int:
        """Return the slot of a full set that is missed least, or ``best``, if that is.

        Settled conversations go first, then those unused for longest.
        """
        words = self.words
        for slot in range(start, start + WAYS):
            at = slot * SLOT_WORDS
            best_at = best * SLOT_WORDS
            settled = words[at + STATE] & SETTLED
            if settled != words[best_at + STATE] & SETTLED:
                if settled:
                    best = slot
            elif words[at + LAST_SEEN] < words[best_at + LAST_SEEN]:
                best = slot
        return best

    def _hash(self, wire: memoryview, frame: Frame) -> int:
        """Return the keyed hash of the flow, never 0, and note the direction."""
        source = frame.source
        destination = frame.destination
        octets = 4 if frame.ip_version == 4 else 16
        direction = 0
        at = 0
        while at < octets:
            if wire[source + at] != wire[destination + at]:
                direction = 1 if wire[source + at] > wire[destination + at] else 0
                break
            at += 1
        else:
            direction = 1 if frame.source_port > frame.destination_port else 0
        self.direction = direction
        low_port, high_port = frame.source_port, frame.destination_port
        if direction:
            source, destination = destination, source
            low_port, high_port = high_port, low_port

        block = self.block
        if octets == 4:
            block[0] = self._word(wire, source, 4) << 32 | self._word(wire, destination, 4)
            count = 1
        else:
            block[0] = self._word(wire, source, 8)
            block[1] = self._word(wire, source + 8, 8)
            block[2] = self._word(wire, destination, 8)
            block[3] = self._word(wire, destination + 8, 8)
            count = 4
        block[count] = low_port << 48 | high_port << 32 | frame.tunnel_type << 8 | octets
        count += 1
        if frame.tunnel_type:
            block[count] = frame.tunnel_id & MASK
            count += 1

        v0 = START_0 ^ self.key_0
        v1 = START_1 ^ self.key_1
        v2 = START_2 ^ self.key_0
        v3 = START_3 ^ self.key_1
        for step in range(count + FINISH_ROUNDS):
            if step < count:
                v3 ^= block[step]
            elif step == count:
                v2 ^= 0xFF
            v0 = (v0 + v1) & MASK
            v1 = (v1 << 13 | v1 >> 51) & MASK
            v1 ^= v0
            v0 = (v0 << 32 | v0 >> 32) & MASK
            v2 = (v2 + v3) & MASK
            v3 = (v3 << 16 | v3 >> 48) & MASK
            v3 ^= v2
            v0 = (v0 + v3) & MASK
            v3 = (v3 << 21 | v3 >> 43) & MASK
            v3 ^= v0
            v2 = (v2 + v1) & MASK
            v1 = (v1 << 17 | v1 >> 47) & MASK
            v1 ^= v2
            v2 = (v2 << 32 | v2 >> 32) & MASK
            if step < count:
                v0 ^= block[step]
        tag = v0 ^ v1 ^ v2 ^ v3
        return tag if tag else 1

    def _word(self, wire: memoryview, at: int, octets: int) -> int:
        word = 0
        for index in range(octets):
            word = word << 8 | wire[at + index]
        return word
