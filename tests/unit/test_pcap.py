"""The pcap file: its header row by row, and the walk over its records."""

import struct

import craft
import pytest
from captures import FRAMES, expected, walked
from craft import ByteOrder
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize, poisons

from parsers.answer import NEED_MORE, NO_MATCH
from parsers.pcap import Pcap

REST_LITTLE = octets("0200 0400 00000000 00000000 00000400")
REST_BIG = octets("0002 0004 00000000 00000000 00040000")
SOURCE = "draft-ietf-opsawg-pcap 4"

ROWS = [
    Row(
        "little-us",
        octets("d4c3b2a1") + REST_LITTLE + octets("01000000"),
        (False, 1000, 16, 1, 262144),
        SOURCE,
    ),
    Row(
        "little-ns",
        octets("4d3cb2a1") + REST_LITTLE + octets("71000000"),
        (False, 1, 16, 113, 262144),
        SOURCE,
    ),
    Row(
        "big-us",
        octets("a1b2c3d4") + REST_BIG + octets("00000001"),
        (True, 1000, 16, 1, 262144),
        SOURCE,
    ),
    Row(
        "big-ns",
        octets("a1b23c4d") + REST_BIG + octets("00000114"),
        (True, 1, 16, 276, 262144),
        SOURCE,
    ),
    Row(
        "little-modified",
        octets("34cdb2a1") + REST_LITTLE + octets("01000000"),
        (False, 1000, 24, 1, 262144),
        "libpcap sf-pcap.c: records of 24 octets",
    ),
    Row(
        "big-modified",
        octets("a1b2cd34") + REST_BIG + octets("00000001"),
        (True, 1000, 24, 1, 262144),
        "libpcap sf-pcap.c: records of 24 octets",
    ),
    Row(
        "little-netsniff-ng",
        octets("12cbe2a1") + REST_LITTLE + octets("01000000"),
        (False, 1, 24, 1, 262144),
        "netsniff-ng pcap_io.h: records of 24 octets, nanoseconds",
    ),
    Row(
        "big-netsniff-ng",
        octets("a1e2cb12") + REST_BIG + octets("00000001"),
        (True, 1, 24, 1, 262144),
        "netsniff-ng pcap_io.h: records of 24 octets, nanoseconds",
    ),
    Row(
        "fcs-length-above-the-link-type",
        octets("d4c3b2a1") + REST_LITTLE + octets("01000014"),
        (False, 1000, 16, 1, 262144),
        SOURCE,
    ),
    Row("three-octets", octets("d4c3b2"), None, SOURCE, NEED_MORE),
    Row("twenty-three-octets", octets("d4c3b2a1") + bytes(19), None, SOURCE, NEED_MORE),
    Row("pcapng", bytes(craft.Section()), None, "draft-ietf-opsawg-pcapng 4.1", NO_MATCH),
    Row("gzip", octets("1f8b0800") + bytes(20), None, "RFC 1952 2.3.1", NO_MATCH),
    Row("zeros", bytes(24), None, SOURCE, NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return the answer, and what a whole file header said."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        pcap = Pcap()
        answer = pcap.open(wire, start, end)
        if answer == NO_MATCH or end - start < 24:
            return answer, None
        said = (pcap.big_endian, pcap.scale, pcap.record_length, pcap.link, pcap.snap_length)
        return answer, said

    return read


@parametrize(ROWS)
def test_a_file_header_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def opened(wire: bytes) -> Pcap:
    pcap = Pcap()
    pcap.open(memoryview(wire), 0, len(wire))
    return pcap


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("link_type", [craft.LINK_ETHERNET, craft.LINK_SLL2])
def test_records_are_frames(byte_order: ByteOrder, nanoseconds: bool, link_type: int) -> None:
    frames = [(time_ns + 123_456_789, octets) for time_ns, octets in FRAMES]
    wire = craft.pcap(
        frames, byte_order=byte_order, nanoseconds=nanoseconds, link_type=link_type, snaplen=60
    )
    wanted = expected(frames, unit_ns=1 if nanoseconds else 1000, snaplen=60, link_type=link_type)
    for capacity in (1, 2, 3, 64):
        found, at = walked(opened(wire), memoryview(wire), 24, len(wire), capacity)
        assert (found, at) == (wanted, len(wire))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_the_longer_records_of_modified_formats(byte_order: ByteOrder, nanoseconds: bool) -> None:
    wire = craft.pcap(FRAMES, byte_order=byte_order, nanoseconds=nanoseconds, more=b"\xff" * 8)
    wanted = expected(FRAMES, unit_ns=1 if nanoseconds else 1000)
    assert walked(opened(wire), memoryview(wire), 24, len(wire))[0] == wanted


def test_a_file_cut_at_any_octet_gives_the_frames_before_the_cut() -> None:
    wire = craft.pcap(FRAMES)
    wanted = expected(FRAMES)
    borders = [24]
    for _, frame in FRAMES:
        borders.append(borders[-1] + 16 + len(frame))
    for size in range(24, len(wire) + 1):
        whole = sum(1 for border in borders[1:] if border <= size)
        pcap = opened(wire)
        assert walked(pcap, memoryview(wire), 24, size) == (wanted[:whole], borders[whole])
        assert pcap.answer == NEED_MORE
        assert walked(opened(wire), memoryview(wire[:size]), 24, size)[0] == wanted[:whole]


def test_octets_around_the_file_do_not_matter() -> None:
    wire = craft.pcap(FRAMES)
    for poison in poisons(wire):
        start, stop = len(poison), len(poison) + len(wire)
        around = memoryview(poison + wire + poison)
        found, at = walked(opened(wire), around, start + 24, stop)
        assert (found, at) == (expected(FRAMES), stop)


def record(
    captured: int, octets: bytes = b"", seconds: int = 1, original: int | None = None
) -> bytes:
    original = captured if original is None else original
    return struct.pack("<IIII", seconds, 0, captured, original) + octets


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        pytest.param(record(262_144 + 4096), NEED_MORE, id="the-longest-frame"),
        pytest.param(record(262_144 + 4097), NO_MATCH, id="one-octet-more"),
        pytest.param(record(0xFFFFFFFF), NO_MATCH, id="length-of-all-ones"),
        pytest.param(record(0x80000000), NO_MATCH, id="negative-where-signed"),
        pytest.param(bytes(4096), NO_MATCH, id="a-hole-of-zeros"),
        pytest.param(b"\xff" * 64, NO_MATCH, id="ones"),
        pytest.param(record(0, seconds=5), NEED_MORE, id="an-empty-frame-with-a-time"),
    ],
)
def test_what_cannot_be_a_record_stops_the_walk_there(wire: bytes, answer: int) -> None:
    before = craft.pcap(FRAMES)
    pcap = opened(before)
    found, at = walked(pcap, memoryview(before + wire), 24, len(before + wire))
    assert found[: len(FRAMES)] == expected(FRAMES)
    assert pcap.answer == answer
    if answer == NO_MATCH:
        assert (len(found), at) == (len(FRAMES), len(before))


def test_times_at_their_limits() -> None:
    head = craft.pcap([])
    wire = head + struct.pack("<IIII", 0xFFFFFFFF, 0xFFFFFFFF, 1, 0xFFFFFFFF) + b"x"
    (frame,), _ = walked(opened(wire), memoryview(wire), 24, len(wire))
    assert frame == (b"x", 0xFFFFFFFF, 0xFFFFFFFF * 10**9 + 0xFFFFFFFF * 1000, 1)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(24, 400), st.integers(0, 255)), max_size=8), st.integers(0, 9)
)
def test_changed_octets_end_the_walk_within_the_file(
    changes: list[tuple[int, int]], more: int
) -> None:
    wire = bytearray(craft.pcap(FRAMES) + bytes(more))
    for at, value in changes:
        if at < len(wire):
            wire[at] = value
    pcap = opened(bytes(wire))
    found, stopped = walked(pcap, memoryview(wire), 24, len(wire), 3)
    assert 24 <= stopped <= len(wire)
    around = memoryview(b"\xff" * 16 + wire + b"\xff" * 16)
    again = walked(opened(bytes(wire)), around, 40, 16 + len(wire), 3)
    assert again == (found, stopped + 16)
