"""The pcapng file: sections of blocks.

    type      4          every block
    length    4          all of it, a multiple of 4
    body      length - 12
    length    4          again

Blocks read: section header 0A0D0D0A (byte order; forgets the interfaces), interface 1,
packet 2 (obsolete), simple packet 3, statistics 5, enhanced packet 6. All others are stepped
over.

The capturer tells what it lost in three ways: with a packet, what was lost before it on its
interface (option 4 of type 6, a field of type 2), and with statistics, all so far, what the
interface lost (option 5) and what the system lost (option 7). The greater sum counts.

Source: draft-ietf-opsawg-pcapng, sections 3.1 and 4.
"""

from array import array
from typing import Literal

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch

SECTION_HEADER = 0x0A0D0D0A
INTERFACE = 1
PACKET = 2
SIMPLE_PACKET = 3
STATISTICS = 5
ENHANCED_PACKET = 6

SHORTEST_BLOCK = 12
SHORTEST_SECTION_HEADER = 28
LONGEST_BLOCK = 262144 + 65536
"""tcpdump's own largest snap length, and room for a packet's options."""
LARGEST_PASSED_OVER = 1 << 26
"""Octets of a block without frames: names, secrets, what is made for other programs."""
MOST_INTERFACES = 65536
UNKNOWN_DROPS = 0xFFFF
MOST_DROPS = 1 << 48

OPTION_END = 0
OPTION_DROPS = 4
OPTION_INTERFACE_DROPS = 5
OPTION_SYSTEM_DROPS = 7
OPTION_TSRESOL = 9
OPTION_TSOFFSET = 14

FARTHEST_NS = 0x3FFFFFFFFFFFFFFF
"""The latest time told (in 2116), so that adding an offset cannot overflow 63 bits."""
FARTHEST_OFFSET = 4_000_000_000
NS_A_SECOND = 1_000_000_000
BYTE_ORDER_MAGIC = 0x1A2B3C4D
NO_VLAN = -1

DECIMAL_COARSE = 0
DECIMAL_FINE = 1
BINARY = 2

ONE = 1

_FIELDS = 8
_LINK = 0
_SNAP = 1
_KIND = 2
_UNIT = 3
_OFFSET = 4
_LOST_BEFORE = 5
_LOST_BY_INTERFACE = 6
_LOST_BY_SYSTEM = 7


class Pcapng:
    """The state of one section, and the walk over its blocks."""

    __slots__ = (
        "_dropped_before",
        "after",
        "answer",
        "big_endian",
        "followed",
        "interface_count",
        "interfaces",
        "is_resumed",
        "large",
        "last_ns",
        "problem",
    )
    header_length = 0
    """Octets before the first block: a section's header is one."""
    after: int
    """After NO_MATCH: where the next block is, if this one is of sound length; else 0."""
    answer: int
    big_endian: bool
    followed: int
    """Where ``follow`` stopped."""
    interface_count: int
    interfaces: memoryview
    is_resumed: bool
    """There was damage in this section: an interface may have been lost in it."""
    large: int
    """After NEED_MORE: octets of a block without frames to be passed over; else 0."""
    last_ns: int
    problem: str
    """What is wrong where the walk stopped with NO_MATCH."""

    def __init__(self) -> None:
        """Begin before the first section."""
        self._dropped_before = 0
        self.after = 0
        self.answer = NEED_MORE
        self.big_endian = False
        self.followed = 0
        self.interface_count = 0
        self.interfaces = memoryview(array("q", bytes(8 * _FIELDS * 8)))
        self.is_resumed = False
        self.large = 0
        self.last_ns = 0
        self.problem = ""

    @property
    def dropped(self) -> int:
        """Frames that the capturer says it lost, so far."""
        total = self._dropped_before
        for row in range(0, self.interface_count * _FIELDS, _FIELDS):
            stated = self.interfaces[row + _LOST_BY_INTERFACE]
            stated += self.interfaces[row + _LOST_BY_SYSTEM]
            total += max(stated, self.interfaces[row + _LOST_BEFORE])
        return min(total, MOST_DROPS)

    def open(self, wire: memoryview, start: int, end: int) -> int:
        """Tell whether a whole section header stands here: FOUND, NEED_MORE or NO_MATCH."""
        have = end - start
        kind = bytes(wire[start : start + min(have, 4)])
        if not b"\x0a\x0d\x0d\x0a".startswith(kind):
            return NO_MATCH
        if have < SHORTEST_BLOCK:
            return NEED_MORE
        magic = bytes(wire[start + 8 : start + 12])
        if magic not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
            return NO_MATCH
        order: Literal["big", "little"] = "big" if magic[0] == 0x1A else "little"
        said = bytes(wire[start + 4 : start + 8])
        length = int.from_bytes(said, order) + 3 & ~3
        if not SHORTEST_SECTION_HEADER <= length <= LONGEST_BLOCK:
            return NO_MATCH
        if length > have:
            return NEED_MORE
        return FOUND if bytes(wire[start + length - 4 : start + length]) == said else NO_MATCH

    def walk(self, wire: memoryview, start: int, end: int, batch: Batch) -> int:
        """Add the frames between ``start`` and ``end``; return where the walk stopped.

        ``answer`` says why: NEED_MORE: a block reaches beyond ``end``; FOUND: the batch is
        full; NO_MATCH: what lies there is no block, ``problem`` says why not.
        """
        at = start
        self.large = 0
        self.after = 0
        while True:
            at = self._packets(wire, at, end, batch)
            if self.answer != NO_MATCH:
                return at
            # No enhanced packet block: whatever it is, it is rare.
            after = self._block(wire, at, end, batch)
            if self.answer != FOUND:
                return at
            at = after

    def packet_type(self) -> bytes:
        """Return the octets that an enhanced packet begins with in this section."""
        return ENHANCED_PACKET.to_bytes(4, "big" if self.big_endian else "little")

    def ends_with(self, wire: memoryview, end: int, length: int) -> bool:
        """Tell whether a block that ends here tells its length again."""
        return self._number(wire, end - 4) == length

    def follow(self, wire: memoryview, start: int, end: int, enough: int) -> int:
        """Follow sound blocks from ``start`` on: FOUND, they reach ``enough``; else NEED_MORE.

        NO_MATCH: what stands there is none, or another section. ``followed`` says how far
        they reach.
        """
        at = start
        while at < enough:
            self.followed = at
            if end - at < SHORTEST_BLOCK:
                return NEED_MORE
            kind = self._number(wire, at)
            length = self._number(wire, at + 4)
            if kind == SECTION_HEADER or length < SHORTEST_BLOCK or length > LONGEST_BLOCK:
                return NO_MATCH
            if length & 3:
                return NO_MATCH
            if length > end - at:
                return NEED_MORE
            if self._number(wire, at + length - 4) != length:
                return NO_MATCH
            if kind == ENHANCED_PACKET:
                if length < 32 or self._number(wire, at + 8) >= self.interface_count:
                    return NO_MATCH
                if self._number(wire, at + 20) > length - 32:
                    return NO_MATCH
            at += length
        return FOUND

    def _packets(self, wire: memoryview, start: int, end: int, batch: Batch) -> int:
        """Add the run of enhanced packet blocks at ``start``; return where it ends.

        NO_MATCH: another block, or a damaged one, stands there.
        """
        at = start
        while True:
            if batch.is_full():
                self.answer = FOUND
                return at
            if end - at < SHORTEST_BLOCK:
                self.answer = NEED_MORE
                return at
            self.answer = NO_MATCH
            if self._number(wire, at) != ENHANCED_PACKET:
                return at
            length = self._number(wire, at + 4)
            if length < 32 or length > LONGEST_BLOCK or length & 3:
                return at
            if length > end - at:
                self.answer = NEED_MORE
                return at
            if self._number(wire, at + length - 4) != length:
                return at
            interface = self._number(wire, at + 8)
            captured = self._number(wire, at + 20)
            if interface >= self.interface_count or captured > length - 32:
                return at
            row = interface * _FIELDS
            self.last_ns = self._time(row, self._number(wire, at + 12), self._number(wire, at + 16))
            frame = at + 28
            batch.add(
                frame,
                frame + captured,
                self._number(wire, at + 24),
                self.last_ns,
                NO_VLAN,
                self.interfaces[row + _LINK],
            )
            if length - 32 - captured >= 12:
                options = frame + (captured + 3 & ~3)
                lost = self._find(wire, options, at + length - 4, OPTION_DROPS, 8)
                if lost:
                    self._lose(row, self._count(wire, lost))
            at += length

    def _block(self, wire: memoryview, at: int, end: int, batch: Batch) -> int:
        """Read the block at ``at``, whatever it is; return where it ends."""
        have = end - at
        self.answer = NEED_MORE
        kind = self._number(wire, at)
        if kind == SECTION_HEADER:
            if wire[at + 8] != 0x1A and wire[at + 8] != 0x4D:
                return self._damage(at, "a section without its byte-order magic")
            self.big_endian = wire[at + 8] == 0x1A
            if self._number(wire, at + 8) != BYTE_ORDER_MAGIC:
                return self._damage(at, "a section without its byte-order magic")
        length = self._number(wire, at + 4)
        if length < SHORTEST_BLOCK:
            return self._damage(at, f"a block of {length} octets")
        if length > LONGEST_BLOCK:
            is_read = kind in (SECTION_HEADER, INTERFACE, STATISTICS)
            if is_read or self._is_packet(kind) or length > LARGEST_PASSED_OVER or length & 3:
                return self._damage(at, f"a block of {length} octets, more than {LONGEST_BLOCK}")
            self.large = length
            return at
        # Old writers left the padding out of the length; it is there all the same.
        said = length
        length = (length + 3) & ~3
        if length > have:
            return at
        if self._number(wire, at + length - 4) != said:
            return self._damage(at, "a block whose two lengths differ")

        if kind == SECTION_HEADER:
            if length < SHORTEST_SECTION_HEADER:
                return self._damage(at, f"a section header of {length} octets")
            self._forget_interfaces()
            self.is_resumed = False
        elif kind == INTERFACE:
            if length < 20:
                return self._damage(at, f"an interface block of {length} octets")
            if self.interface_count >= MOST_INTERFACES:
                return self._damage(at, f"more than {MOST_INTERFACES} interfaces")
            if self.is_resumed:
                self._forget_interfaces()
                return self._damage(at, "an interface whose number is not sure behind damage")
            self._interface(wire, at + 8, at + length - 4)
        elif kind == STATISTICS:
            self._statistics(wire, at + 8, at + length - 4)
        elif self._is_packet(kind) and not self._packet(wire, at, kind, length, batch):
            self.after = at + length
            return self._damage(at, "a packet block that contradicts itself")
        self.answer = FOUND
        return at + length

    def _is_packet(self, kind: int) -> bool:
        return kind in (ENHANCED_PACKET, PACKET, SIMPLE_PACKET)

    def _forget_interfaces(self) -> None:
        """End the section, but for what it told of losses."""
        self._dropped_before = self.dropped
        self.interface_count = 0

    def _packet(self, wire: memoryview, at: int, kind: int, length: int, batch: Batch) -> bool:
        """Add the frame of any packet block; False: the block contradicts itself."""
        if kind == SIMPLE_PACKET:
            if length < 16 or self.interface_count == 0:
                return False
            interface = 0
            original = self._number(wire, at + 8)
            captured = min(original, length - 16)
            snap = self.interfaces[_SNAP]
            if snap:
                captured = min(captured, snap)
            frame = at + 12
        else:
            if length < 32:
                return False
            interface = self._number(wire, at + 8)
            lost = 0
            if kind == PACKET:
                word = interface
                interface = word >> 16 if self.big_endian else word & 0xFFFF
                lost = word & 0xFFFF if self.big_endian else word >> 16
            captured = self._number(wire, at + 20)
            original = self._number(wire, at + 24)
            if interface >= self.interface_count or captured > length - 32:
                return False
            self.last_ns = self._time(
                interface * _FIELDS, self._number(wire, at + 12), self._number(wire, at + 16)
            )
            if lost != UNKNOWN_DROPS:
                self._lose(interface * _FIELDS, lost)
            frame = at + 28
        link = self.interfaces[interface * _FIELDS + _LINK]
        batch.add(frame, frame + captured, original, self.last_ns, NO_VLAN, link)
        return True

    def _interface(self, wire: memoryview, at: int, end: int) -> None:
        """Remember the interface whose block body lies at ``at``."""
        row = self.interface_count * _FIELDS
        if row + _FIELDS > len(self.interfaces):
            grown = array("q", bytes(8 * 2 * len(self.interfaces)))
            grown[: len(self.interfaces)] = array("q", bytes(self.interfaces))
            self.interfaces = memoryview(grown)
        word = self._number(wire, at)
        self.interfaces[row + _LINK] = word >> 16 if self.big_endian else word & 0xFFFF
        self.interfaces[row + _SNAP] = self._number(wire, at + 4)
        self.interfaces[row + _KIND] = DECIMAL_COARSE
        self.interfaces[row + _UNIT] = 1000
        self.interfaces[row + _OFFSET] = 0
        self.interfaces[row + _LOST_BEFORE] = 0
        self.interfaces[row + _LOST_BY_INTERFACE] = 0
        self.interfaces[row + _LOST_BY_SYSTEM] = 0
        self.interface_count += 1

        value = self._find(wire, at + 8, end, OPTION_TSRESOL, 1)
        if value:
            self._resolution(row, wire[value])
        value = self._find(wire, at + 8, end, OPTION_TSOFFSET, 8)
        if value:
            seconds = self._long(wire, value)
            if seconds >= 1 << 63:
                seconds -= 1 << 64
            seconds = max(-FARTHEST_OFFSET, min(FARTHEST_OFFSET, seconds))
            self.interfaces[row + _OFFSET] = seconds * NS_A_SECOND

    def _statistics(self, wire: memoryview, at: int, end: int) -> None:
        """Read what an interface lost so far; later statistics replace earlier ones."""
        if end - at < 12 or self._number(wire, at) >= self.interface_count:
            return
        row = self._number(wire, at) * _FIELDS
        value = self._find(wire, at + 12, end, OPTION_INTERFACE_DROPS, 8)
        if value:
            self.interfaces[row + _LOST_BY_INTERFACE] = self._count(wire, value)
        value = self._find(wire, at + 12, end, OPTION_SYSTEM_DROPS, 8)
        if value:
            self.interfaces[row + _LOST_BY_SYSTEM] = self._count(wire, value)

    def _find(self, wire: memoryview, start: int, end: int, wanted: int, length: int) -> int:
        """Return where the value of an option lies that has this length; 0: nowhere."""
        option = start
        while end - option >= 4:
            word = self._number(wire, option)
            code = word >> 16 if self.big_endian else word & 0xFFFF
            size = word & 0xFFFF if self.big_endian else word >> 16
            value = option + 4
            if code == OPTION_END or size > end - value:
                return 0
            if code == wanted and size == length:
                return value
            option = value + (size + 3 & ~3)
        return 0

    def _lose(self, row: int, count: int) -> None:
        """Add frames that were lost before one of an interface."""
        self.interfaces[row + _LOST_BEFORE] = min(
            self.interfaces[row + _LOST_BEFORE] + count, MOST_DROPS
        )

    def _resolution(self, row: int, code: int) -> None:
        """Read if_tsresol: 10^-n, or 2^-n with the top bit set (section 4.2)."""
        exponent = code & 0x7F
        if code & 0x80:
            self.interfaces[row + _KIND] = BINARY
            self.interfaces[row + _UNIT] = min(exponent, 126)
        elif exponent <= 9:
            self.interfaces[row + _KIND] = DECIMAL_COARSE
            self.interfaces[row + _UNIT] = 10 ** (9 - exponent)
        else:
            self.interfaces[row + _KIND] = DECIMAL_FINE
            self.interfaces[row + _UNIT] = 10 ** (min(exponent, 27) - 9)

    def _time(self, row: int, high: int, low: int) -> int:
        """Return the nanoseconds since 1970 of a time stamp in an interface's units."""
        units = (high << 32) | low
        kind = self.interfaces[row + _KIND]
        unit = self.interfaces[row + _UNIT]
        if kind == DECIMAL_COARSE:
            # Divided by a signed number: C's and Python's division agree on these.
            units = min(units, FARTHEST_NS // unit) * unit
        elif kind == DECIMAL_FINE:
            units = units // unit
        else:
            if unit > 63:
                units >>= unit - 63
                unit = 63
            fraction = units & ((ONE << unit) - 1)
            seconds = units >> unit
            if unit > 33:
                fraction >>= unit - 33
                unit = 33
            units = min(seconds, FARTHEST_OFFSET) * NS_A_SECOND + (fraction * NS_A_SECOND >> unit)
        return min(units, FARTHEST_NS) + self.interfaces[row + _OFFSET]

    def _damage(self, at: int, problem: str) -> int:
        self.answer = NO_MATCH
        self.problem = problem
        return at

    def _long(self, wire: memoryview, at: int) -> int:
        first, second = self._number(wire, at), self._number(wire, at + 4)
        return (first << 32 | second) if self.big_endian else (second << 32 | first)

    def _count(self, wire: memoryview, at: int) -> int:
        """Return a count of losses; one beyond belief is no count."""
        count = self._long(wire, at)
        return count if count < MOST_DROPS else 0

    def _number(self, wire: memoryview, at: int) -> int:
        if self.big_endian:
            return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
        return wire[at + 3] << 24 | wire[at + 2] << 16 | wire[at + 1] << 8 | wire[at]
