"""Handshake messages out of records, row by row; many small records; lying lengths."""

import craft
from craft import handshake, record, records
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls.message import Message

MOST_RECORDS = 256
HELLO = craft.client_hello_message(sni="mail.example.org")
DONE = handshake(14, b"")
LARGE = craft.client_hello_message(extensions=[craft.padding_extension(40_000)])

ROWS = [
    Row("in-one-record", record(HELLO), (1, 0x0301, HELLO), "RFC 8446 5.1"),
    Row(
        "by-hand",
        octets(
            """
            16 0303 0009        # record: handshake, 9 octets
               0e 000005        # its one message: type 14, 5 octets
               68656c6c6f
            """
        ),
        (14, 0x0303, b"\x0e\0\0\5hello"),
        "RFC 8446 4",
    ),
    Row("of-no-length", record(DONE), (14, 0x0301, DONE), "RFC 5246 7.4.5"),
    Row(
        "first-of-two-in-a-record",
        record(DONE + HELLO),
        (14, 0x0301, DONE),
        "RFC 8446 5.1",
        whole_at=9,
    ),
    Row(
        "record-claims-more-than-the-message",
        octets("16 0301 4000") + HELLO,
        (1, 0x0301, HELLO),
        "B3: the smaller length counts",
    ),
    *(
        Row(
            f"split-behind-octet-{at}",
            records(HELLO, (at,)),
            (1, 0x0301, HELLO),
            "RFC 8446 5.1: fragmented over records",
        )
        for at in (1, 3, 4, 5, 39, len(HELLO) - 1)
    ),
    Row("in-three-records", records(HELLO, (7, 20)), (1, 0x0301, HELLO), "RFC 8446 5.1"),
    Row("behind-an-empty-record", records(HELLO, (0, 30)), (1, 0x0301, HELLO), "B8"),
    Row("around-an-empty-record", records(HELLO, (5, 0, 0)), (1, 0x0301, HELLO), "B8"),
    Row(
        "the-first-record-names-the-version",
        record(HELLO[:9], craft.TLS_1_0) + record(HELLO[9:], craft.TLS_1_2),
        (1, 0x0301, HELLO),
        "RFC 8446 5.1",
    ),
    Row(
        "second-message-in-the-last-record",
        record(HELLO[:9]) + record(HELLO[9:] + DONE),
        (1, 0x0301, HELLO),
        "RFC 8446 5.1",
    ),
    Row("of-40-000-octets", records(LARGE, 16384), (1, 0x0301, LARGE), "RFC 8446 4", grows=False),
    Row("cut", record(HELLO)[:60], (1, 0x0301, HELLO[:55]), "", NEED_MORE),
    Row("cut-behind-a-record", record(HELLO[:9]), (1, 0x0301, HELLO[:9]), "", NEED_MORE),
    Row("cut-in-the-second", records(HELLO, 20)[:37], (1, 0x0301, HELLO[:27]), "", NEED_MORE),
    Row(
        "length-of-all-ones",
        record(b"\x01\xff\xff\xff" + HELLO[4:]),
        (1, 0x0301, b"\x01\xff\xff\xff" + HELLO[4:]),
        "B3: never whole, but what is there can be read",
        NEED_MORE,
    ),
    Row("alert", craft.alert(), None, "RFC 8446 5.1", NO_MATCH),
    Row("application-data", craft.application_data(), None, "RFC 8446 5.1", NO_MATCH),
    Row("another-type-between", record(HELLO[:9]) + craft.alert(), None, "RFC 8446 5.1", NO_MATCH),
    Row("no-record-behind-the-first", record(HELLO[:9]) + HELLO[9:], None, "B3", NO_MATCH),
    Row("plain-text", b"EHLO printer\r\n", None, "", NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return answer and (type, version of the first record, octets) of the message."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        message = Message()
        answer = message.read(wire, start, end)
        if answer == NO_MATCH:
            return answer, None
        assert message.whole == (answer == FOUND)
        if answer == NEED_MORE:
            assert message.want > end
            if end - start < 5:
                return answer, None
        else:
            assert start < message.after <= end or message.after > end - len(HELLO)
        found = bytes(message.wire[message.start : message.end])
        return answer, (message.kind, message.version, found)

    return read


@parametrize(ROWS)
def test_a_message_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def test_what_follows_the_message_is_told() -> None:
    message = Message()
    two = record(HELLO) + craft.alert()
    assert message.read(memoryview(b"?" + two), 1, 1 + len(two)) == FOUND
    assert message.after == 1 + len(record(HELLO))

    spread = records(HELLO, 20)
    assert message.read(memoryview(b"?" + spread + b"more"), 1, 5 + len(spread)) == FOUND
    assert message.after == 1 + len(spread)


def test_want_never_asks_for_more_than_the_next_step_needs() -> None:
    wire = records(HELLO, (7, 0, 20))
    message, reads, reach = Message(), 0, 1
    while message.read(memoryview(wire), 0, reach) == NEED_MORE:
        assert reach < message.want <= len(wire)
        reach = message.want
        reads += 1
    assert message.whole
    assert reads <= 2 * 4


def test_as_many_records_as_allowed_and_no_more() -> None:
    hello = craft.client_hello_message()
    for count, answer in ((MOST_RECORDS, FOUND), (MOST_RECORDS + 1, NO_MATCH)):
        wire = record(b"") * (count - len(hello)) + records(hello, 1)
        message = Message()
        assert message.read(memoryview(wire), 0, len(wire)) == answer
        assert message.limited == (answer == NO_MATCH)


def test_empty_records_alone_come_to_an_end() -> None:
    message = Message()
    for count, answer in ((200, NEED_MORE), (MOST_RECORDS, NEED_MORE), (10_000, NO_MATCH)):
        wire = record(b"") * count
        assert message.read(memoryview(wire), 0, len(wire)) == answer
        assert message.limited == (answer == NO_MATCH)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_any_cutting_into_records_gives_the_same_message(sizes: list[int]) -> None:
    wire = records(HELLO, sizes)
    message = Message()
    assert message.read(memoryview(wire), 0, len(wire)) == FOUND
    assert bytes(message.wire[message.start : message.end]) == HELLO


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=12).map(lambda tail: b"\x16\x03\x01" + tail) | st.binary(max_size=40),
    st.binary(max_size=8),
    st.binary(max_size=8),
)
def test_random_octets_and_what_lies_around_them(wire: bytes, before: bytes, after: bytes) -> None:
    read = reading(ROWS[0])
    around = memoryview(before + wire + after)
    assert read(around, len(before), len(before) + len(wire)) == read(
        memoryview(wire), 0, len(wire)
    )
