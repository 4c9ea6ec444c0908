"""The pcap file: a header, then records.

    magic     4 octets   A1B2C3D4: microseconds, A1B23C4D: nanoseconds; the writer's order;
                         A1B2CD34, A1E2CB12: longer records, see below
    version   2 + 2      2.4
    reserved  4 + 4
    snaplen   4
    link      4          LINKTYPE in the low 16 bits, FCS length above

    seconds   4          per record
    fraction  4
    captured  4          octets that follow
    original  4          length on the wire
    more      8          of the modified (Kuznetzov, microseconds) and the netsniff-ng (Borkmann,
                         nanoseconds) file only: interface, protocol, packet type
    frame     captured

Source: draft-ietf-opsawg-pcap; the magic numbers as octets on disk: D4 C3 B2 A1 is a
little-endian file. The longer records: libpcap's sf-pcap.c, netsniff-ng's pcap_io.h.
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch

HEADER_LENGTH = 24
RECORD_LENGTH = 16
MODIFIED_RECORD_LENGTH = 24
LONGEST_FRAME = 262144 + 4096
"""tcpdump's own largest snap length, and room for what a capturer puts before a frame."""

NO_VLAN = -1


class Pcap:
    """What the file header said, and the walk over the records."""

    __slots__ = ("answer", "big_endian", "link", "record_length", "scale", "snap_length")
    header_length = HEADER_LENGTH
    answer: int
    big_endian: bool
    link: int
    record_length: int
    scale: int
    """Nanoseconds in one unit of the fraction."""
    snap_length: int

    def __init__(self) -> None:
        """Begin before the file header."""
        self.answer = NEED_MORE
        self.big_endian = False
        self.link = -1
        self.record_length = RECORD_LENGTH
        self.scale = 1000
        self.snap_length = 0

    def open(self, wire: memoryview, start: int, end: int) -> int:
        """Read the file header: FOUND, NEED_MORE or NO_MATCH (no pcap file)."""
        have = end - start
        if have < 4:
            return NEED_MORE
        magic = wire[start] << 24 | wire[start + 1] << 16 | wire[start + 2] << 8 | wire[start + 3]
        if magic in (0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34, 0xA1E2CB12):
            self.big_endian = True
        elif magic in (0xD4C3B2A1, 0x4D3CB2A1, 0x34CDB2A1, 0x12CBE2A1):
            self.big_endian = False
        else:
            return NO_MATCH
        self.scale = 1 if magic in (0xA1B23C4D, 0x4D3CB2A1, 0xA1E2CB12, 0x12CBE2A1) else 1000
        modified = magic in (0xA1B2CD34, 0x34CDB2A1, 0xA1E2CB12, 0x12CBE2A1)
        self.record_length = MODIFIED_RECORD_LENGTH if modified else RECORD_LENGTH
        if have < HEADER_LENGTH:
            return NEED_MORE
        self.snap_length = self._number(wire, start + 16)
        self.link = self._number(wire, start + 20) & 0xFFFF
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
            if end - at < self.record_length:
                self.answer = NEED_MORE
                return at
            seconds = self._number(wire, at)
            fraction = self._number(wire, at + 4)
            captured = self._number(wire, at + 8)
            original = self._number(wire, at + 12)
            # No frame is empty and of the year 1970: zeros are a hole in the file.
            if captured > LONGEST_FRAME or (original == 0 and captured == 0 and seconds == 0):
                self.answer = NO_MATCH
                return at
            frame = at + self.record_length
            if end - frame < captured:
                self.answer = NEED_MORE
                return at
            time_ns = seconds * 1_000_000_000 + fraction * self.scale
            batch.add(frame, frame + captured, original, time_ns, NO_VLAN, self.link)
            at = frame + captured

    def _number(self, wire: memoryview, at: int) -> int:
        if self.big_endian:
            return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
        return wire[at + 3] << 24 | wire[at + 2] << 16 | wire[at + 1] << 8 | wire[at]
