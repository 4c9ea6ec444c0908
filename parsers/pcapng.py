"""The pcapng file: sections of blocks.

    type      4          every block
    length    4          all of it, a multiple of 4
    body      length - 12
    length    4          again

Blocks read: section header 0A0D0D0A (byte order; forgets the interfaces), interface 1,
packet 2 (obsolete), simple packet 3, enhanced packet 6. All others are stepped over.

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
ENHANCED_PACKET = 6

SHORTEST_BLOCK = 12
SHORTEST_SECTION_HEADER = 28
LONGEST_BLOCK = 262144 + 65536
"""tcpdump's own largest snap length, and room for a packet's options."""
MOST_INTERFACES = 65536

OPTION_END = 0
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

_FIELDS = 5
_LINK = 0
_SNAP = 1
_KIND = 2
_UNIT = 3
_OFFSET = 4


class Pcapng:
    """The state of one section, and the walk over its blocks."""

    __slots__ = ("answer", "big_endian", "interface_count", "interfaces", "last_ns", "problem")
    answer: int
    big_endian: bool
    interface_count: int
    interfaces: memoryview
    last_ns: int
    problem: str
    """What is wrong where the walk stopped with NO_MATCH."""

    def __init__(self) -> None:
        """Begin before the first section."""
        self.answer = NEED_MORE
        self.big_endian = False
        self.interface_count = 0
        self.interfaces = memoryview(array("q", bytes(8 * _FIELDS * 8)))
        self.last_ns = 0
        self.problem = ""

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
        while True:
            at = self._packets(wire, at, end, batch)
            if self.answer != NO_MATCH:
                return at
            # No enhanced packet block: whatever it is, it is rare.
            after = self._block(wire, at, end, batch)
            if self.answer != FOUND:
                return at
            at = after

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
            return self._damage(at, f"a block of {length} octets, more than {LONGEST_BLOCK}")
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
            self.interface_count = 0
        elif kind == INTERFACE:
            if length < 20:
                return self._damage(at, f"an interface block of {length} octets")
            if self.interface_count >= MOST_INTERFACES:
                return self._damage(at, f"more than {MOST_INTERFACES} interfaces")
            self._interface(wire, at + 8, at + length - 4)
        elif kind in (ENHANCED_PACKET, PACKET, SIMPLE_PACKET) and not (
            self._packet(wire, at, kind, length, batch)
        ):
            return self._damage(at, "a packet block that contradicts itself")
        self.answer = FOUND
        return at + length

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
            if kind == PACKET:
                interface = interface >> 16 if self.big_endian else interface & 0xFFFF
            captured = self._number(wire, at + 20)
            original = self._number(wire, at + 24)
            if interface >= self.interface_count or captured > length - 32:
                return False
            self.last_ns = self._time(
                interface * _FIELDS, self._number(wire, at + 12), self._number(wire, at + 16)
            )
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
        self.interface_count += 1

        option = at + 8
        while end - option >= 4:
            word = self._number(wire, option)
            code = word >> 16 if self.big_endian else word & 0xFFFF
            size = word & 0xFFFF if self.big_endian else word >> 16
            value = option + 4
            if code == OPTION_END or size > end - value:
                return
            if code == OPTION_TSRESOL and size == 1:
                self._resolution(row, wire[value])
            elif code == OPTION_TSOFFSET and size == 8:
                first, second = self._number(wire, value), self._number(wire, value + 4)
                high, low = (first, second) if self.big_endian else (second, first)
                seconds = high << 32 | low
                if seconds >= 1 << 63:
                    seconds -= 1 << 64
                seconds = max(-FARTHEST_OFFSET, min(FARTHEST_OFFSET, seconds))
                self.interfaces[row + _OFFSET] = seconds * NS_A_SECOND
            option = value + (size + 3 & ~3)

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

    def _number(self, wire: memoryview, at: int) -> int:
        if self.big_endian:
            return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
        return wire[at + 3] << 24 | wire[at + 2] << 16 | wire[at + 1] << 8 | wire[at]
