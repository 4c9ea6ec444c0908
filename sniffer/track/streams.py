"""Where the two streams of each conversation stand: sequence numbers, and what waits.

A SYN takes no slot: its sequence number goes into a side table of fixed size, the SYN-ACK's
beside it, and the first payload asks for them. An entry that another connection overwrote
is as if it had not been seen.
"""

from parsers.frame import Frame
from parsers.tls import client_hello
from parsers.tls import record as tls_record
from sniffer.track.flows import Flows
from sniffer.track.layout import (
    ACK,
    ACKED,
    AT,
    BUFFER,
    CLIENT_IS_1,
    CLIENT_KNOWN,
    DIALOGUE,
    END_HOPS_SHIFT,
    END_IS_FROM_1,
    END_IS_RESET,
    END_SEEN,
    ENDING,
    FIN,
    FRESH,
    HALF_0,
    HALF_RING,
    HALF_WORDS,
    HELD_BACK,
    HOLDS_BACK,
    HOPS_SHIFT,
    LARGEST,
    LAST_SEEN,
    LOST,
    NO_ROOM,
    ONE_SIDED,
    ORIGIN,
    OTHER,
    PHASE,
    RESET_WINDOW,
    RING,
    RST,
    SAID_HELLO,
    SEEN_0,
    SEEN_1,
    SETTLED,
    SLOT_WORDS,
    START,
    STATE,
    SYN_SEEN,
    TOP,
    WANT,
    WINDOW,
    reserve,
)
from sniffer.track.reassembly import Reassembly

RECORD_HANDSHAKE = 22

SYN_ENTRIES = 65536
"""Connections whose SYN is remembered before they have a slot; two words each."""
SYN_WAYS = 4
"""Entries of a set: so many connections whose hashes meet are remembered side by side."""
SYN_SHIFT = 20
"""Where the bits of the hash begin that name the set."""
SYN_CLIENT = 1
SYN_SERVER = 2
"""Whose SYN was seen; a SYN-ACK tells the client's sequence number too."""
SYN_CLIENT_IS_1 = 4
SYN_BOTH = SYN_CLIENT | SYN_SERVER

FOLLOWED_BITS = 2
"""Where nothing is read, WANT holds how many octets are missing, and in its lowest bits ..."""
FOLLOWED_ENOUGH = 3
"""... how many segments followed them."""


class Streams:
    """The words of all slots, the reassembly buffers, and the SYNs.

    ``wanted`` is the size of the buffer that ``keep`` last found no room for, ``early_end``
    the RST or FIN seen before the payload that made ``begin`` necessary; 0: none.
    """

    def __init__(self, slots: int, reassembly_bytes: int, key: bytes) -> None:
        """Reserve all of it; ``key`` is 16 secret octets for the flow table's hash."""
        self.flows = Flows(slots, key)
        self.words = self.flows.words
        self.reassembly = Reassembly(reassembly_bytes)
        self.syns = reserve(16 * SYN_ENTRIES).cast("Q")
        self.syn_hops = memoryview(bytearray(SYN_ENTRIES))
        self.ends = reserve(8 * SYN_ENTRIES).cast("Q")
        self.early_end = 0
        self.wanted = 0
        self.one_sided = 0
        self.filtered_bytes = 0
        self.unseen_bytes = 0
        """What is missing where nothing is read any more."""

    # -- sequence numbers ------------------------------------------------------------------

    def offset(self, half: int, sequence: int) -> int:
        """Return the stream offset of a sequence number: the one nearest to TOP."""
        top = self.words[half + TOP]
        delta = (sequence - self.words[half + ORIGIN] - top) & RING
        if delta >= HALF_RING:
            delta -= RING + 1
        return top + delta

    def is_same(self, wire: memoryview, frame: Frame, half: int) -> bool:
        """Follow a stream nothing of which is wanted; False: another one may begin here.

        That is where the segment looks like a ClientHello, its SYN was missed, and the
        sequence number fits no more, or a hello was seen already and these octets were not.
        """
        words = self.words
        length = frame.end - frame.at + frame.missing
        if words[half + PHASE] == FRESH:
            words[half + PHASE] = OTHER
            words[half + ORIGIN] = frame.sequence
            words[half + TOP] = length
            return True
        offset = self.offset(half, frame.sequence)
        at = frame.at
        is_near = -WINDOW < offset - words[half + TOP] < WINDOW
        state = words[half // SLOT_WORDS * SLOT_WORDS + STATE]
        if is_near and (offset < words[half + TOP] or not state & (SAID_HELLO | ENDING)):
            if offset + length > words[half + TOP]:
                words[half + TOP] = offset + length
            return True
        if (
            frame.end - at > tls_record.HEADER_LENGTH
            and wire[at] == RECORD_HANDSHAKE
            and wire[at + 1] == 3
            and wire[at + tls_record.HEADER_LENGTH] == client_hello.CLIENT_HELLO
        ):
            return False
        if is_near:
            words[half + TOP] = offset + length
        return True

    def note_acknowledgement(self, frame: Frame, half: int) -> int:
        """Note how much of the other side's stream a segment confirms."""
        words = self.words
        if words[half + PHASE] == FRESH:
            return 0
        offset = self.offset(half, frame.acknowledgement)
        if words[half + ACKED] < offset < words[half + TOP] + WINDOW:
            words[half + ACKED] = offset
        return 0

    def reach(self, half: int) -> int:
        """Return the stream offset up to which a half was read, or has nothing more to read."""
        words = self.words
        if words[half + PHASE] in (FRESH, LOST, OTHER):
            return max(words[half + TOP], words[half + ACKED]) + RESET_WINDOW
        at = words[half + AT]
        if self.may_hold_back(half // SLOT_WORDS, 1 if half % SLOT_WORDS > HALF_0 else 0):
            # What the client has and we do not will not come.
            at = max(at, words[half + ACKED])
        handle = words[half + BUFFER] - 1
        if handle < 0:
            return at
        return max(at, self.reassembly.reach(handle))

    # -- what was sent and not seen --------------------------------------------------------

    def may_hold_back(self, slot: int, direction: int) -> bool:
        """Tell whether the filter before us may hold back what a direction sends."""
        if not self.words[slot * SLOT_WORDS + STATE] & HOLDS_BACK:
            return False
        return self.is_server(slot, direction)

    def note_passed_over(self, slot: int, frame: Frame) -> int:
        """Count what a segment proves to have been sent, in a stream nobody reads any more.

        Only where a filter passes all but what servers send inside TLS.
        """
        if not self.words[slot * SLOT_WORDS + STATE] & CLIENT_KNOWN or frame.flags & RST:
            return 0
        direction = self.flows.direction
        length = frame.end - frame.at + frame.missing
        self._pass_over(slot, direction, frame.sequence, length)
        if frame.flags & ACK:
            self._pass_over(slot, 1 - direction, frame.acknowledgement, 0)
        if frame.flags & FIN:
            self._note_missing(slot, direction)
        return 0

    def _pass_over(self, slot: int, direction: int, sequence: int, length: int) -> int:
        """Count what was sent before a sequence number, from which ``length`` octets are at hand.

        They may come late: they are missing when as many segments followed as make a TCP
        repeat itself (RFC 5681 section 3.2).
        """
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        if words[half + PHASE] == FRESH:
            words[half + PHASE] = OTHER
            words[half + ORIGIN] = sequence
        offset = self.offset(half, sequence)
        ahead = offset - words[half + TOP]
        furthest = HELD_BACK if self.is_server(slot, direction) else WINDOW
        # One number more is a FIN's, which is no octet.
        if 1 < ahead < furthest:
            words[half + TOP] = offset
            words[half + WANT] += ahead << FOLLOWED_BITS
        if words[half + WANT] and length:
            if ahead < 0:
                late = min(length, -ahead, words[half + WANT] >> FOLLOWED_BITS)
                words[half + WANT] -= late << FOLLOWED_BITS
                if words[half + WANT] <= FOLLOWED_ENOUGH:
                    words[half + WANT] = 0
            else:
                words[half + WANT] += 1
                if words[half + WANT] & FOLLOWED_ENOUGH == FOLLOWED_ENOUGH:
                    self._note_missing(slot, direction)
        return 0

    def _note_missing(self, slot: int, direction: int) -> int:
        """Count what has not come and will not any more, by the reason for it."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        missing = self.words[half + WANT] >> FOLLOWED_BITS
        self.words[half + WANT] = 0
        if self.may_hold_back(slot, direction):
            self.filtered_bytes += missing
        else:
            self.unseen_bytes += missing
        return 0

    def note_end(self, slot: int) -> int:
        """Count what is still missing of a flow that is done with, and whether it has two sides."""
        if self.words[slot * SLOT_WORDS + STATE] & (SETTLED | ENDING):
            for direction in range(2):
                self._note_missing(slot, direction)
        self.note_one_sided(slot)
        return 0

    def raise_top(self, slot: int, direction: int, offset: int) -> int:
        """Go on at an offset that was reached; a filter held back what lies before it."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        ahead = offset - self.words[half + TOP]
        if ahead > 0 and self.may_hold_back(slot, direction):
            self.filtered_bytes += ahead
            self.words[half + TOP] = offset
        return 0

    def ready(self, half: int) -> int:
        """Return how many octets from AT on can be read from a half's buffer."""
        handle = self.words[half + BUFFER] - 1
        return 0 if handle < 0 else self.reassembly.reach(handle) - self.words[half + AT]

    def held(self, half: int, most: int) -> bytes:
        """Return those octets, at most so many."""
        handle = self.words[half + BUFFER] - 1
        if handle < 0:
            return b""
        at = self.words[half + AT]
        start = self.reassembly.place(handle, at)
        octets = min(most, self.reassembly.reach(handle) - at)
        return bytes(self.reassembly.arena[start : start + octets])

    def note_gap(self, slot: int, direction: int) -> int:
        """Count the octets missing before what waits in a half read as lines."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        handle = self.words[half + BUFFER] - 1
        if handle < 0 or self.words[half + PHASE] != DIALOGUE:
            return 0
        reach = self.reassembly.reach(handle)
        island = self.reassembly.next_held(handle, reach)
        if island > reach:
            self.unseen_bytes += island - reach
        return 0

    # -- SYNs ------------------------------------------------------------------------------

    def note_syn(self, frame: Frame) -> int:
        """Remember the sequence number of a SYN or SYN-ACK without giving it a slot."""
        tag = self.flows.tag & ~7
        entry = self._syn_entry()
        if entry < 0:
            entry = self._free_syn_entry()
        at = entry * 2
        said = self.syns[at] & 7
        client = self.syns[at + 1] >> 32
        server = self.syns[at + 1] & RING
        sequence = frame.sequence
        acknowledged = (frame.acknowledgement - 1) & RING
        if frame.flags & ACK:
            client_is_1 = self.flows.direction == 0
            if said & SYN_CLIENT and client != acknowledged:
                return 0
            if not said & SYN_BOTH:
                self.ends[entry] = 0
            client = acknowledged
            server = sequence
            said |= SYN_SERVER
            self.syn_hops[entry] = frame.hop_limit
        else:
            client_is_1 = self.flows.direction == 1
            # A new connection: whatever an earlier one's server said is void.
            if client != sequence:
                said = 0
            if not said & SYN_BOTH:
                self.ends[entry] = 0
            client = sequence
            said |= SYN_CLIENT
        said &= ~SYN_CLIENT_IS_1
        if client_is_1:
            said |= SYN_CLIENT_IS_1
        self.syns[at] = tag | said
        self.syns[at + 1] = client << 32 | server
        return 0

    def note_early_end(self, frame: Frame) -> int:
        """Remember a RST or FIN that comes before all payload, beside its connection's SYN."""
        entry = self._syn_entry()
        if entry >= 0 and self.ends[entry] == 0:
            self.ends[entry] = end_of(frame, self.flows.direction)
        return 0

    def _syn_entry(self) -> int:
        """Return the entry that remembers the SYNs of the flow last looked up, or -1."""
        tag = self.flows.tag & ~7
        first = self._syn_set()
        for entry in range(first, first + SYN_WAYS):
            if self.syns[entry * 2] & ~7 == tag:
                return entry
        return -1

    def _free_syn_entry(self) -> int:
        """Return an entry for them, nothing in it; the first of a full set makes room."""
        first = self._syn_set()
        last = first + SYN_WAYS - 1
        for entry in range(first, last + 1):
            if self.syns[entry * 2] == 0:
                return entry
        for entry in range(first, last):
            self.syns[entry * 2] = self.syns[entry * 2 + 2]
            self.syns[entry * 2 + 1] = self.syns[entry * 2 + 3]
            self.syn_hops[entry] = self.syn_hops[entry + 1]
            self.ends[entry] = self.ends[entry + 1]
        self.syns[last * 2] = 0
        return last

    def _syn_set(self) -> int:
        return (self.flows.tag >> SYN_SHIFT & (SYN_ENTRIES // SYN_WAYS - 1)) * SYN_WAYS

    def begin(self, slot: int, now_ns: int, client: int) -> int:
        """Give the flow last looked up a slot that is free, and tell it what its SYNs said.

        ``client`` is the direction that the ports make the client's; -1: they do not tell.
        """
        flows = self.flows
        flows.claim(slot)
        words = self.words
        base = slot * SLOT_WORDS
        state = SEEN_1 if flows.direction else SEEN_0
        words[base + LAST_SEEN] = now_ns

        entry = self._syn_entry()
        self.early_end = 0
        if entry >= 0:
            at = entry * 2
            said = self.syns[at]
            client = 1 if said & SYN_CLIENT_IS_1 else 0
            half = base + HALF_0 + client * HALF_WORDS
            words[half + ORIGIN] = ((self.syns[at + 1] >> 32) + 1) & RING
            words[half + PHASE] = START
            if said & SYN_CLIENT:
                state |= SYN_SEEN | (SEEN_1 if client else SEEN_0)
            if said & SYN_SERVER:
                half = base + HALF_0 + (1 - client) * HALF_WORDS
                words[half + ORIGIN] = ((self.syns[at + 1] & RING) + 1) & RING
                words[half + PHASE] = START
                state |= SEEN_0 if client else SEEN_1
                state |= self.syn_hops[entry] << HOPS_SHIFT
            self.syns[at] = 0
            self.early_end = self.ends[entry]
        if client >= 0:
            state |= CLIENT_KNOWN | (CLIENT_IS_1 if client else 0)
        words[base + STATE] = state
        return slot

    # -- whose side ------------------------------------------------------------------------

    def is_server(self, slot: int, direction: int) -> bool:
        """Tell whether a direction is known to be the server's."""
        state = self.words[slot * SLOT_WORDS + STATE]
        if not state & CLIENT_KNOWN:
            return False
        return direction != (1 if state & CLIENT_IS_1 else 0)

    def know_client(self, slot: int, direction: int) -> int:
        """Take who sent the hello for the client, whatever ports and SYNs said."""
        base = slot * SLOT_WORDS
        state = self.words[base + STATE] & ~CLIENT_IS_1
        self.words[base + STATE] = state | CLIENT_KNOWN | (CLIENT_IS_1 if direction else 0)
        return 0

    def finish(self) -> int:
        """Count what the flows at hand lack: there is no more input."""
        for slot in range(self.flows.slots):
            if self.flows.tags[slot]:
                self.note_end(slot)
        return 0

    def note_one_sided(self, slot: int) -> int:
        """Count a flow that is done with, once, if it showed one direction only."""
        at = slot * SLOT_WORDS + STATE
        seen = self.words[at] & (SEEN_0 | SEEN_1)
        if seen != SEEN_0 | SEEN_1 and not self.words[at] & ONE_SIDED:
            self.words[at] |= ONE_SIDED
            self.one_sided += 1
        return 0

    # -- what waits ------------------------------------------------------------------------

    def keep(
        self,
        wire: memoryview,
        slot: int,
        direction: int,
        offset: int,
        start: int,
        end: int,
        now_ns: int,
    ) -> int:
        """Put octets into the half's buffer, found or widened for them; return how many are new.

        NO_ROOM: nothing was done; ``wanted`` tells for how many room has to be made.
        """
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        at = words[half + AT]
        if offset < at:
            start += at - offset
            offset = at
        size = min(offset + end - start - at, LARGEST)
        if start >= end or size <= 0:
            return 0
        handle = words[half + BUFFER] - 1
        if handle >= 0 and offset + end - start - reassembly.base(handle) > reassembly.room(handle):
            reassembly.advance(handle, at)
        if handle < 0 or size > reassembly.room(handle):
            wider = reassembly.take(slot * 2 + direction, at, size, now_ns)
            if wider < 0:
                self.wanted = size
                return NO_ROOM
            if handle >= 0:
                reassembly.move(handle, wider)
                reassembly.drop(handle)
            words[half + BUFFER] = wider + 1
            handle = wider
        return reassembly.put(handle, offset, wire, start, end, now_ns)

    def drop_buffer(self, slot: int, direction: int) -> int:
        """Forget what waits in a half."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        if self.words[half + BUFFER]:
            self.reassembly.drop(self.words[half + BUFFER] - 1)
            self.words[half + BUFFER] = 0
        return 0


def end_of(frame: Frame, direction: int) -> int:
    """Return the RST or FIN of a segment in one word."""
    word = frame.hop_limit
    word = word << END_HOPS_SHIFT | END_SEEN
    word |= (frame.sequence + frame.end - frame.at + frame.missing) & RING
    if frame.flags & RST:
        word |= END_IS_RESET
    if direction:
        word |= END_IS_FROM_1
    return word
