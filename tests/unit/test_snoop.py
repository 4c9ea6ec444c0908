"""The snoop file: its header row by row, and the walk over its records."""

import struct

import craft
import pytest
from captures import FRAMES, expected, walked
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize, poisons

from parsers.answer import NEED_MORE, NO_MATCH
from parsers.snoop import Snoop

SOURCE = "RFC 1761"
MAGIC = octets("736e6f6f70000000")
HEADER = 16

ROWS = [
    Row("ethernet", MAGIC + octets("00000002 00000004"), 1, SOURCE),
    Row("802.3", MAGIC + octets("00000002 00000000"), 1, SOURCE),
    Row("token-ring", MAGIC + octets("00000002 00000002"), 6, SOURCE),
    Row("fddi", MAGIC + octets("00000002 00000008"), 10, SOURCE),
    Row("unknown-link", MAGIC + octets("00000002 00000063"), 0xFFFF, SOURCE),
    Row("fifteen-octets", MAGIC + octets("00000002 000000"), None, SOURCE, NEED_MORE),
    Row("another-version", MAGIC + octets("00000003 00000004"), None, SOURCE, NO_MATCH),
    Row("zeros", bytes(16), None, SOURCE, NO_MATCH),
    Row("pcap", craft.pcap([]), None, "draft-ietf-opsawg-pcap 4", NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return the answer, and the link type of a whole file header."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        snoop = Snoop()
        answer = snoop.open(wire, start, end)
        return answer, None if answer != 1 else snoop.link

    return read


@parametrize(ROWS)
def test_a_file_header_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def opened(wire: bytes) -> Snoop:
    snoop = Snoop()
    snoop.open(memoryview(wire), 0, len(wire))
    return snoop


def test_records_are_frames_and_tell_what_was_lost() -> None:
    wire = craft.snoop(FRAMES, drops=3)
    for capacity in (1, 3, 64):
        snoop = opened(wire)
        assert walked(snoop, memoryview(wire), HEADER, len(wire), capacity) == (
            expected(FRAMES),
            len(wire),
        )
        assert snoop.dropped == 3 * len(FRAMES)


def test_a_file_cut_at_any_octet_gives_the_frames_before_the_cut() -> None:
    wire = craft.snoop(FRAMES)
    borders = [HEADER]
    for _, frame in FRAMES:
        borders.append(borders[-1] + 24 + len(craft.padded(frame)))
    for size in range(HEADER, len(wire) + 1):
        whole = sum(1 for border in borders[1:] if border <= size)
        snoop = opened(wire)
        assert walked(snoop, memoryview(wire), HEADER, size) == (
            expected(FRAMES)[:whole],
            borders[whole],
        )
        assert snoop.answer == NEED_MORE


def test_octets_around_the_file_do_not_matter() -> None:
    wire = craft.snoop(FRAMES)
    for poison in poisons(wire):
        start, stop = len(poison), len(poison) + len(wire)
        around = memoryview(poison + wire + poison)
        assert walked(opened(wire), around, start + HEADER, stop) == (expected(FRAMES), stop)


def record(captured: int, length: int) -> bytes:
    return struct.pack("!6I", captured, captured, length, 0, 1, 0)


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        pytest.param(record(262_144 + 4096, 262_144 + 4096 + 24), NEED_MORE, id="the-longest"),
        pytest.param(record(262_144 + 4097, 262_144 + 4097 + 24), NO_MATCH, id="one-more"),
        pytest.param(record(0xFFFFFFFF, 0xFFFFFFFF), NO_MATCH, id="all-ones"),
        pytest.param(record(8, 31) + bytes(8), NO_MATCH, id="frame-beyond-its-record"),
        pytest.param(record(8, 24 + 8 + 257) + bytes(300), NO_MATCH, id="record-beyond-belief"),
        pytest.param(bytes(4096), NO_MATCH, id="a-hole-of-zeros"),
        pytest.param(record(0, 24), NEED_MORE, id="an-empty-frame"),
    ],
)
def test_what_cannot_be_a_record_stops_the_walk_there(wire: bytes, answer: int) -> None:
    before = craft.snoop(FRAMES)
    snoop = opened(before)
    found, at = walked(snoop, memoryview(before + wire), HEADER, len(before + wire))
    assert snoop.answer == answer
    assert found[: len(FRAMES)] == expected(FRAMES)
    if answer == NO_MATCH:
        assert (len(found), at) == (len(FRAMES), len(before))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(16, 400), st.integers(0, 255)), max_size=8))
def test_changed_octets_end_the_walk_within_the_file(changes: list[tuple[int, int]]) -> None:
    wire = bytearray(craft.snoop(FRAMES))
    for at, value in changes:
        wire[at] = value
    found, stopped = walked(opened(bytes(wire)), memoryview(wire), HEADER, len(wire), 3)
    assert HEADER <= stopped <= len(wire)
    around = memoryview(b"\xff" * 16 + wire + b"\xff" * 16)
    again = walked(opened(bytes(wire)), around, 32, 16 + len(wire), 3)
    assert again == (found, stopped + 16)
