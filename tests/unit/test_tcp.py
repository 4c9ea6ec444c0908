"""The TCP header, row by row."""

import craft
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers import tcp
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import MALFORMED, READ, TCP, TRUNCATED

BY_HAND = octets(
    """
    c3cb 03e1              # ports 50123, 993                   RFC 9293 3.1
    fffffffe 80000001      # sequence, acknowledgement
    50 18 faf0 0000 0000   # offset 5, PSH ACK, window, checksum not looked at
    68656c6c6f
    """
)
A, B = "10.0.0.50", "52.96.0.10"


def bent(at: int, value: bytes) -> bytes:
    return BY_HAND[:at] + value + BY_HAND[at + len(value) :]


ROWS = [
    Row("plain", BY_HAND, (50123, 993, 0xFFFFFFFE, 0x80000001, 0x18, 20), "", whole_at=20),
    Row(
        "options",
        craft.tcp(A, B, 1, 2, b"x", seq=7, ack=9, flags=craft.SYN, options=craft.SYN_OPTIONS),
        (1, 2, 7, 0, 2, 32),
        "RFC 9293 3.1",
        whole_at=32,
    ),
    Row(
        "forty-octets-of-options",
        craft.tcp(A, B, 65535, 0, b"", seq=0xFFFFFFFF, options=b"\1" * 40),
        (65535, 0, 0xFFFFFFFF, 1, 0x18, 60),
        "RFC 9293 3.1",
    ),
    Row("no-payload", BY_HAND[:20], (50123, 993, 0xFFFFFFFE, 0x80000001, 0x18, 20), ""),
    Row(
        "reserved-bits",
        bent(12, b"\x5f\xff"),
        (50123, 993, 0xFFFFFFFE, 0x80000001, 0xFF, 20),
        "RFC 9293 3.1: to be ignored",
        whole_at=20,
    ),
    Row("cut", BY_HAND[:19], TRUNCATED, "", NEED_MORE, context={"whole": 25}),
    Row("cut-in-the-options", bent(12, b"\x80"), TRUNCATED, "", NEED_MORE, context={"whole": 32}),
    Row("offset-4", bent(12, b"\x40"), MALFORMED, "B3", NO_MATCH),
    Row("offset-0", bent(12, b"\x00"), MALFORMED, "B3", NO_MATCH),
    Row("offset-beyond-the-packet", bent(12, b"\xf0"), MALFORMED, "B3", NO_MATCH, grows=False),
    Row("shorter-than-a-header", BY_HAND[:19], MALFORMED, "B3", NO_MATCH, grows=False),
]


def reading(row: Row) -> Reading:
    """Return ports, numbers, flags and where the payload starts.

    The packet claims to be as long as the row: what is not there of it is missing.
    """
    claimed = row.context.get("whole", len(row.octets))

    def read(wire: memoryview, start: int, end: int) -> Answer:
        frame = Frame()
        frame.reset(start, end, TCP, -1)
        frame.missing = max(0, claimed - (end - start))
        answer = tcp.read(wire, frame)
        assert (answer == FOUND) == (frame.undecoded == READ)
        if answer != FOUND:
            return answer, frame.undecoded
        return answer, (
            frame.source_port,
            frame.destination_port,
            frame.sequence,
            frame.acknowledgement,
            frame.flags,
            frame.at - start,
        )

    return read


@parametrize(ROWS)
def test_a_segment_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=70), st.binary(max_size=9))
def test_random_octets_and_what_lies_around_them(wire: bytes, around: bytes) -> None:
    read = reading(Row("", wire))
    poisoned = memoryview(around + wire + around)
    assert read(poisoned, len(around), len(around) + len(wire)) == read(
        memoryview(wire), 0, len(wire)
    )
