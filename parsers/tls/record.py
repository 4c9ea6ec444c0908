"""The TLS record header, and the step from one record to the next.

struct {                                      RFC 8446 section 5.1
    ContentType type;                         1 octet, 20 to 24
    ProtocolVersion legacy_record_version;    2 octets, the major one is 3
    uint16 length;                            2 octets, at most 2^14 + 2048
    opaque fragment[length];
} TLSPlaintext;
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH

HEADER_LENGTH = 5
LONGEST_FRAGMENT = 16384 + 2048


class Record:
    """One record header; every read overwrites it. Offsets count from the buffer's start."""

    __slots__ = ("body", "content_type", "end", "version")
    content_type: int
    version: int
    body: int
    end: int


def read(wire: memoryview, start: int, end: int, record: Record) -> int:
    """Read the record at ``start``: FOUND, NEED_MORE or NO_MATCH.

    Looks at nothing from ``end`` on. The first octet that rules TLS out answers NO_MATCH,
    so another protocol is let go early. A whole header fills ``record``: after NEED_MORE
    with five octets or more, ``record.end`` tells how far the record will reach.
    """
    have = end - start
    if have >= 1 and not 20 <= wire[start] <= 24:
        return NO_MATCH
    if have >= 2 and wire[start + 1] != 3:
        return NO_MATCH
    if have < HEADER_LENGTH:
        return NEED_MORE

    length = wire[start + 3] << 8 | wire[start + 4]
    if length > LONGEST_FRAGMENT:
        return NO_MATCH

    record.content_type = wire[start]
    record.version = wire[start + 1] << 8 | wire[start + 2]
    record.body = start + HEADER_LENGTH
    record.end = record.body + length
    return FOUND if record.end <= end else NEED_MORE
