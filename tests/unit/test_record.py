"""The TLS record header, row by row."""

import craft
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import record as tls_record
from parsers.tls.record import Record

HEADER_LENGTH = 5

ROWS = [
    Row(
        "handshake",
        octets("16 0301 0004  0e 000000  # ServerHelloDone"),
        (22, 0x0301, 5, 9),
        "RFC 8446 5.1",
    ),
    Row("change-cipher-spec", octets("14 0303 0001 01"), (20, 0x0303, 5, 6), "RFC 5246 7.1"),
    Row("alert", octets("15 0300 0002 0246"), (21, 0x0300, 5, 7), "RFC 8446 6"),
    Row("application-data", octets("17 0303 0003 aabbcc"), (23, 0x0303, 5, 8), "RFC 8446 5.1"),
    Row("heartbeat", octets("18 0303 0003 010000"), (24, 0x0303, 5, 8), "RFC 6520 3"),
    Row("empty", octets("17 0301 0000"), (23, 0x0301, 5, 5), "RFC 8446 5.1"),
    Row("tls-1.3-hello-says-1.0", octets("16 0301 0001 01"), (22, 0x0301, 5, 6), "RFC 8446 5.1"),
    Row("unknown-minor-version", octets("16 037f 0001 01"), (22, 0x037F, 5, 6), "RFC 8446 D"),
    Row(
        "longest",
        octets("17 0303 4800") + bytes(18432),
        (23, 0x0303, 5, 18437),
        "RFC 5246 6.2.3: 2^14 + 2048",
        grows=False,
    ),
    Row(
        "not-yet-whole",
        octets("16 0301 0005 01000001"),
        (22, 0x0301, 5, 10),
        "RFC 8446 5.1",
        NEED_MORE,
    ),
    Row("four-octets", octets("16 0301 00"), None, "RFC 8446 5.1", NEED_MORE),
    Row("nothing", b"", None, "", NEED_MORE),
    Row("one-beyond-the-longest", octets("17 0303 4801"), None, "RFC 5246 6.2.3", NO_MATCH),
    Row("length-of-all-ones", octets("16 0301 ffff"), None, "RFC 5246 6.2.3", NO_MATCH),
    Row("type-19", octets("13 0303 0001 01"), None, "RFC 8446 B.1", NO_MATCH),
    Row("type-25", octets("19 0303 0001 01"), None, "RFC 8446 B.1", NO_MATCH),
    Row("major-2", octets("16 0201 0001 01"), None, "RFC 8446 5.1", NO_MATCH),
    Row("major-4", octets("16 0401 0001 01"), None, "RFC 8446 5.1", NO_MATCH),
    Row("imap-greeting", b"* OK IMAP4rev1 ready\r\n", None, "RFC 3501 7.1.1", NO_MATCH),
    Row("sslv2-hello", craft.sslv2_client_hello(), None, "RFC 5246 E.2", NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return answer and (type, version, body, end) of the record at ``start``."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        record = Record()
        answer = tls_record.read(wire, start, end, record)
        if answer == NO_MATCH or end - start < HEADER_LENGTH:
            return answer, None
        return answer, (
            record.content_type,
            record.version,
            record.body - start,
            record.end - start,
        )

    return read


@parametrize(ROWS)
def test_a_record_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def test_one_octet_is_enough_to_let_another_protocol_go() -> None:
    for first in range(256):
        answer = tls_record.read(memoryview(bytes((first,))), 0, 1, Record())
        assert answer == (NEED_MORE if 20 <= first <= 24 else NO_MATCH)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64), st.binary(max_size=8), st.binary(max_size=8))
def test_random_octets_and_what_lies_around_them(wire: bytes, before: bytes, after: bytes) -> None:
    read = reading(ROWS[0])
    around = memoryview(before + wire + after)
    found = read(around, len(before), len(before) + len(wire))
    assert found == read(memoryview(wire), 0, len(wire))
    assert found[0] in (FOUND, NEED_MORE, NO_MATCH)
