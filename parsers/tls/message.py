"""Handshake messages out of records.

    struct {                                      RFC 8446 section 4
        HandshakeType msg_type;                   1 octet
        uint24 length;
        opaque body[length];
    } Handshake;

A message may begin anywhere in a record, share it with others, or be spread over several
records with nothing between them (section 5.1); even its four header octets may be.
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import record as tls_record
from parsers.tls.record import Record

HANDSHAKE = 22
HEADER_LENGTH = 4
MOST_RECORDS = 256
"""Records one message is followed over."""


class Message:
    """Where the first handshake message of a stream lies.

    ``wire`` and ``start`` to ``end`` give its octets, header included: of the buffer itself
    if it lies in one record, else of a copy without the record headers between. ``whole``
    says whether they are all there. ``after`` is the offset behind the last record it
    touches, ``want`` how far the buffer must reach before it makes sense to read again;
    both in the buffer's offsets. ``version`` is the first record's. A message may claim
    more octets than anyone sends: it is never whole, and what is there of it can be read.
    """

    __slots__ = (
        "after",
        "end",
        "kind",
        "limited",
        "record",
        "start",
        "version",
        "want",
        "whole",
        "wire",
    )
    after: int
    end: int
    kind: int
    limited: bool
    record: Record
    start: int
    version: int
    want: int
    whole: bool
    wire: memoryview

    def __init__(self) -> None:
        """Begin with no message."""
        self.record = Record()
        self.wire = memoryview(b"")
        self.start = self.end = self.after = self.want = 0
        self.kind = -1
        self.version = 0
        self.whole = False
        self.limited = False

    def read(self, wire: memoryview, start: int, end: int) -> int:
        """Find the message whose first record starts at ``start``.

        FOUND: it is whole. NEED_MORE: it fits so far; what there is of it can be read.
        NO_MATCH: no handshake message starts here, or its records end before it does; what
        they held of it can be read.
        """
        record = self.record
        self.wire = wire
        self.start = self.end = start
        self.after = end
        self.want = start + tls_record.HEADER_LENGTH
        self.kind = -1
        self.whole = False
        self.limited = False
        answer = tls_record.read(wire, start, end, record)
        if answer == NO_MATCH:
            return NO_MATCH
        if end > start and wire[start] != HANDSHAKE:
            return NO_MATCH
        if end - start < tls_record.HEADER_LENGTH:
            return NEED_MORE
        self.version = record.version
        self.start = record.body
        self.end = min(record.end, end)
        self.want = record.end
        if self.end > self.start:
            self.kind = wire[self.start]
        if self.end - self.start >= HEADER_LENGTH:
            length = self._length()
            if self.start + HEADER_LENGTH + length <= record.end:
                self.want = self.start + HEADER_LENGTH + length
                if self.want > end:
                    return NEED_MORE
                self.end = self.want
                self.after = record.end
                self.whole = True
                return FOUND
        if record.end > end:
            return NEED_MORE
        return self._join(wire, record.end, end)

    def _join(self, wire: memoryview, at: int, end: int) -> int:
        """Go on with the records from ``at``: the message does not end in its first one."""
        joined = bytearray(self.wire[self.start : self.end])
        record = self.record
        answer = NEED_MORE
        for _ in range(MOST_RECORDS):
            length = -1
            if len(joined) >= HEADER_LENGTH:
                length = HEADER_LENGTH + (joined[1] << 16 | joined[2] << 8 | joined[3])
                if len(joined) >= length:
                    self.whole = True
                    self.after = at
                    del joined[length:]
                    answer = FOUND
                    break
            if tls_record.read(wire, at, end, record) == NO_MATCH:
                answer = NO_MATCH
                break
            if end > at and wire[at] != HANDSHAKE:
                answer = NO_MATCH
                break
            self.want = at + tls_record.HEADER_LENGTH
            if end - at < tls_record.HEADER_LENGTH:
                break
            self.want = record.end
            joined += wire[record.body : min(record.end, end)]
            if record.end > end:
                break
            at = record.end
        else:
            self.limited = True
            answer = NO_MATCH
        if answer == NO_MATCH:
            self.after = at
        self.wire = memoryview(joined)
        self.start = 0
        self.end = len(joined)
        if joined:
            self.kind = joined[0]
        return answer

    def _length(self) -> int:
        at = self.start
        return self.wire[at + 1] << 16 | self.wire[at + 2] << 8 | self.wire[at + 3]
