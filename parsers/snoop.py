"""The snoop file: a header, then records; all numbers are big-endian.

    magic     8 octets   "snoop" and three zeros
    version   4          2
    link      4          a data link type of its own

    original  4          per record: length on the wire
    captured  4          octets of the frame that follow
    record    4          length of all of it: 24, the frame, padding
    drops     4          frames lost so far
    seconds   4
    fraction  4          microseconds
    frame     captured
    padding

Source: RFC 1761.
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch

MAGIC = b"snoop\0\0\0"
VERSION = 2
HEADER_LENGTH = 16
RECORD_LENGTH = 24
LONGEST_FRAME = 262144 + 4096
LONGEST_PADDING = 256
"""Octets behind a frame: it is filled up to a multiple of 4 or 8; some writers add a trailer."""

NO_VLAN = -1

LINKS = {0: 1, 2: 6, 4: 1, 8: 10, 26: 226}
"""LINKTYPE numbers: of IEEE 802.3, token ring, Ethernet, FDDI, Solaris IPNET."""
OTHER_LINK = 0xFFFF
"""No LINKTYPE: such frames are counted, and not read."""


class Snoop:
    """What the file header said, and the walk over the records."""

    __slots__ = ("answer", "dropped", "link")
    header_length = HEADER_LENGTH
    answer: int
    dropped: int
    """Frames that the capturer says it lost, so far."""
    link: int

    def __init__(self) -> None:
        """Begin before the file header."""
        self.answer = NEED_MORE
        self.dropped = 0
        self.link = OTHER_LINK

    def open(self, wire: memoryview, start: int, end: int) -> int:
        """Read the file header: FOUND, NEED_MORE or NO_MATCH (no snoop file of version 2)."""
        octets = bytes(wire[start : min(end, start + HEADER_LENGTH)])
        if not (MAGIC + VERSION.to_bytes(4, "big")).startswith(octets[:12]):
            return NO_MATCH
        if len(octets) < HEADER_LENGTH:
            return NEED_MORE
        self.link = LINKS.get(int.from_bytes(octets[12:16], "big"), OTHER_LINK)
        return FOUND

    def walk(self, wire: memoryview, start: int, end: int, batch: Batch) -> int:
        """Add the frames between ``start`` and ``end``; return where the walk stopped.

        ``answer`` says why: NEED_MORE: a record reaches beyond ``end``; FOUND: the batch is
        full; NO_MATCH: what lies there is no record.
        """
        at = start
        while True:
            if batch.is_full():
                self.answer = FOUND
                return at
            if end - at < RECORD_LENGTH:
                self.answer = NEED_MORE
                return at
            original = self._number(wire, at)
            captured = self._number(wire, at + 4)
            length = self._number(wire, at + 8)
            if (
                captured > LONGEST_FRAME
                or length < RECORD_LENGTH + captured
                or length > RECORD_LENGTH + captured + LONGEST_PADDING
            ):
                self.answer = NO_MATCH
                return at
            if end - at < length:
                self.answer = NEED_MORE
                return at
            self.dropped = self._number(wire, at + 12)
            seconds = self._number(wire, at + 16)
            fraction = self._number(wire, at + 20)
            time_ns = seconds * 1_000_000_000 + fraction * 1000
            frame = at + RECORD_LENGTH
            batch.add(frame, frame + captured, original, time_ns, NO_VLAN, self.link)
            at += length

    def _number(self, wire: memoryview, at: int) -> int:
        return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
