"""The pcapng file: its section header row by row, blocks, times, and damage."""

import struct

import craft
import pytest
from captures import FRAMES, Told, expected, walked
from craft import START_NS, ByteOrder, Section
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Reading, Row, four_ways, octets, parametrize, poisons

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.pcapng import Pcapng

SOURCE = "draft-ietf-opsawg-pcapng 4.1"
LITTLE = octets("0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000")
BIG = octets("0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c")
FARTHEST_NS = 0x3FFFFFFFFFFFFFFF
LONGEST_BLOCK = 262_144 + 65_536


def bent(at: int, value: bytes, wire: bytes = LITTLE) -> bytes:
    return wire[:at] + value + wire[at + len(value) :]


ROWS = [
    Row("little", LITTLE, None, SOURCE),
    Row("big", BIG, None, SOURCE),
    Row("with-options", bytes(Section(options=[(4, b"HelloWatch")])), None, SOURCE),
    Row("with-a-length", bytes(Section(">", section_length=1024)), None, SOURCE),
    Row("eleven-octets", LITTLE[:11], None, SOURCE, NEED_MORE),
    Row("twenty-seven-octets", LITTLE[:27], None, SOURCE, NEED_MORE),
    Row("another-block", bytes(Section().interface())[28:], None, SOURCE, NO_MATCH),
    Row("another-magic", bent(8, b"\x1a\x2b\x3c\x4e"), None, SOURCE, NO_MATCH),
    Row("length-0", bent(4, bytes(4)), None, SOURCE, NO_MATCH),
    Row("length-24", bent(4, b"\x18"), None, SOURCE, NO_MATCH),
    Row("length-of-all-ones", bent(4, b"\xff" * 4), None, SOURCE, NO_MATCH),
    Row("lengths-differ", bent(24, b"\x20"), None, SOURCE, NO_MATCH),
    Row("pcap", craft.pcap([]), None, "draft-ietf-opsawg-pcap 4", NO_MATCH),
    Row("transferred-as-text", LITTLE.replace(b"\r", b""), None, SOURCE, NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return the answer of ``open``."""
    return lambda wire, start, end: (Pcapng().open(wire, start, end), None)


@parametrize(ROWS)
def test_a_section_header_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def read(wire: bytes, capacity: int = 64) -> tuple[tuple[int, list[Told]], int]:
    """Return what the walk answered, with the frames, and where it stopped."""
    walker = Pcapng()
    found, at = walked(walker, memoryview(wire), 0, len(wire), capacity)
    return (walker.answer, found), at


def whole(wire: bytes) -> list[Told]:
    """Return the frames of a file without damage."""
    (answer, found), at = read(wire)
    assert (answer, at) == (NEED_MORE, len(wire))
    return found


# --------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_kind_of_block_is_read_or_stepped_over(byte_order: ByteOrder) -> None:
    section = Section(byte_order, options=[(1, b"a comment")])
    section.custom().interface(name="eth0").custom(copy=False).names([("10.0.0.1", "x")])
    (first_ns, first), (second_ns, second), (_, third), _ = FRAMES
    section.packet(first_ns, first, options=[(1, b"why"), (2, bytes(4))])
    section.statistics(first_ns, 1, 0).block(10, b"TLSK" + bytes(12)).block(0x80000001, b"own")
    section.obsolete_packet(second_ns, second).simple_packet(third).block(9, b"journal")
    section.block(0, b"").block(7, bytes(8))
    assert whole(bytes(section)) == [
        *expected(FRAMES[:2]),
        (third, len(third), second_ns, craft.LINK_ETHERNET),
    ]


@pytest.mark.parametrize("orders", ["<<", "<>", "><", ">>"])
def test_each_section_has_its_byte_order_and_interfaces(orders: str) -> None:
    wire, wanted = b"", []
    for order, link_type in zip(orders, (craft.LINK_ETHERNET, craft.LINK_SLL), strict=True):
        section = Section("<" if order == "<" else ">").interface(113 + 276).interface(link_type)
        wire += bytes(section.packets(FRAMES, interface=1))
        wanted += expected(FRAMES, link_type=link_type)
    for capacity in (1, 3, 64):
        assert read(wire, capacity) == ((NEED_MORE, wanted), len(wire))


def test_interfaces_keep_their_own_link_type_time_and_snap_length() -> None:
    section = Section()
    for link_type, tsresol, snaplen in ((1, 9, 0), (113, 6, 40), (101, 3, 20)):
        section.interface(link_type, tsresol=tsresol, snaplen=snaplen)
    frame = (START_NS + 123_456_789, FRAMES[2][1])
    for interface in (2, 0, 1):
        section.packet(*frame, interface=interface)
    assert whole(bytes(section)) == [
        *expected([frame], unit_ns=1_000_000, snaplen=20, link_type=101),
        *expected([frame], unit_ns=1),
        *expected([frame], snaplen=40, link_type=113),
    ]


def test_many_interfaces() -> None:
    section = Section()
    for number in range(1000):
        section.interface(number)
    for interface in (999, 0, 500):
        section.packet(*FRAMES[0], interface=interface)
    assert [frame[3] for frame in whole(bytes(section))] == [999, 0, 500]


def test_a_simple_packet_is_cut_by_the_interface_and_by_its_block() -> None:
    octets = bytes(range(100))
    short = struct.pack("<I", 4096) + octets
    section = Section().interface(snaplen=40).simple_packet(octets).block(3, short)
    assert whole(bytes(section)) == [(octets[:40], 100, 0, 1), (octets[:40], 4096, 0, 1)]
    section = Section().interface().simple_packet(octets[:97]).block(3, short)
    assert whole(bytes(section)) == [(octets[:97], 97, 0, 1), (octets, 4096, 0, 1)]


def test_a_length_without_the_padding_is_understood() -> None:
    """Old writers counted the octets only; the padding is there all the same."""
    body = struct.pack("<IIIII", 0, 0, 77, 5, 5) + b"abcde"
    length = struct.pack("<I", 12 + len(body))
    block = struct.pack("<I", 6) + length + body + bytes(3) + length
    wire = bytes(Section().interface(tsresol=9)) + block * 2
    assert whole(wire) == [(b"abcde", 5, 77, 1)] * 2


# ---------------------------------------------------------------------------------- times


def timed(units: int, options: list[tuple[int, bytes]], byte_order: ByteOrder = "<") -> int:
    """Return the nanoseconds of a time stamp in units of an interface with these options."""
    section = Section(byte_order).interface(options=options)
    body = struct.pack(byte_order + "IIIII", 0, units >> 32, units & 0xFFFFFFFF, 1, 1)
    ((_, _, time_ns, _),) = whole(bytes(section.block(6, body + b"x\0\0\0")))
    return time_ns


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("exponent", range(128))
def test_a_decimal_resolution(exponent: int, byte_order: ByteOrder) -> None:
    for units in (0, 1, START_NS, START_NS * 10**exponent // 10**9, (1 << 64) - 1):
        if units >> 64:
            continue
        exact = units * 10**9 // 10**exponent
        # Times behind 2116 stop there; digits below 10^-27 of a second are not looked at.
        unit = 10 ** max(0, 9 - exponent)
        limit = FARTHEST_NS // unit * unit
        found = timed(units, [(9, bytes((exponent,)))], byte_order)
        assert 0 <= found - min(exact, limit) <= (18 if exponent > 27 else 0)


@pytest.mark.parametrize("exponent", range(128))
def test_a_binary_resolution(exponent: int) -> None:
    for units in (0, 1, START_NS, START_NS * 2**exponent // 10**9, (1 << 63) + 5, (1 << 64) - 1):
        if units >> 64:
            continue
        exact = units * 10**9 >> exponent
        found = timed(units, [(9, bytes((0x80 | exponent,)))])
        if exact <= 4 * 10**18:
            assert 0 <= exact - found <= 1
        else:
            assert 4 * 10**18 <= found <= FARTHEST_NS


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("tsresol", [None, 6, 9, 3, 0x94])
@pytest.mark.parametrize("seconds", [0, 1, -1, 3600, -86_400, 1_700_000_000])
def test_an_offset_in_seconds(byte_order: ByteOrder, tsresol: int | None, seconds: int) -> None:
    section = Section(byte_order).interface(tsresol=tsresol, tsoffset=seconds)
    frame = (START_NS + 125_000_000, b"x")
    found = whole(bytes(section.packet(*frame)))
    assert abs(found[0][2] - frame[0]) <= (1000 if tsresol == 0x94 else 0)


def test_times_stay_within_sixty_three_bits() -> None:
    most = (1 << 64) - 1
    for tsresol in (0, 6, 9, 20, 0x80, 0xFF, 0xA1, 0xA2):
        for offset in (-(1 << 63), (1 << 63) - 1, -1, 0):
            options = [(9, bytes((tsresol,))), (14, struct.pack("<q", offset))]
            for units in (0, most):
                assert -(1 << 63) <= timed(units, options) < 1 << 63
    assert timed(0, [(14, struct.pack("<q", -5))]) == -5 * 10**9


def test_options_of_another_size_or_without_an_end_are_left_alone() -> None:
    for options in ([(9, b"")], [(9, b"\3\3")], [(14, bytes(4))], [(9, b"\6"), (0, b"")]):
        assert timed(5, options) == 5000
    # An option claims more than the block holds.
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 9, 0xFFFF) + bytes(4)
    section = Section().block(1, body).block(6, struct.pack("<IIIII", 0, 0, 5, 1, 1) + b"x\0\0\0")
    section._interfaces.append((10**6, 0, 0))
    assert [frame[2] for frame in whole(bytes(section))] == [5000]


def test_ten_thousand_empty_options_end() -> None:
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 1, 0) * 10_000
    packet = struct.pack("<IIIII", 0, 0, 5, 1, 1) + b"x\0\0\0"
    assert len(whole(bytes(Section().block(1, body).block(6, packet)))) == 1


# ------------------------------------------------------------------- what the capturer lost


def lost(*sections: Section) -> int:
    """Return how many frames the capturer says it lost."""
    walker = Pcapng()
    wire = b"".join(map(bytes, sections))
    _, at = walked(walker, memoryview(wire), 0, len(wire), 3)
    assert (walker.answer, at) == (NEED_MORE, len(wire))
    return walker.dropped


def dropcount(order: ByteOrder, count: int) -> list[tuple[int, bytes]]:
    return [(2, bytes(4)), (4, struct.pack(order + "Q", count))]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_capturers_own_losses_are_told(order: ByteOrder) -> None:
    def section() -> Section:
        return Section(order).interface()

    time_ns, frame = FRAMES[0]
    assert lost(section().packets(FRAMES)) == 0
    counted = section().packet(time_ns, frame, options=dropcount(order, 5))
    assert lost(counted.packet(time_ns, frame[:41], options=dropcount(order, 7))) == 12
    assert lost(section().obsolete_packet(time_ns, frame)) == 0
    assert lost(section().obsolete_packet(time_ns, frame, drops=9)) == 9
    # Statistics tell all that was lost so far, and the later ones replace the earlier.
    stated = section().statistics(time_ns, 100, 3).statistics(time_ns, 200, 4, system_dropped=6)
    assert lost(stated) == 10
    # The same losses, told both ways, count once.
    assert lost(counted.statistics(time_ns, 100, 12)) == 12
    assert lost(counted.statistics(time_ns, 100, 20)) == 20


def test_losses_add_up_over_interfaces_and_sections() -> None:
    time_ns, frame = FRAMES[0]
    first = Section().interface().interface()
    first.packet(time_ns, frame, options=dropcount("<", 5)).statistics(time_ns, 9, 7, interface=1)
    second = Section(">").interface().statistics(time_ns, 9, 30)
    assert lost(first, second) == 42
    assert lost(first, second, first) == 54


def test_losses_beyond_belief_are_none() -> None:
    time_ns, frame = FRAMES[0]
    section = Section().interface()
    for count in ((1 << 64) - 1, 1 << 63, 1 << 48, 2):
        section.packet(time_ns, frame, options=dropcount("<", count))
    assert lost(section) == 2
    section.statistics(time_ns, 1, (1 << 64) - 1, system_dropped=(1 << 63) + 5)
    section.block(5, struct.pack("<III", 1, 0, 0), [(5, bytes(7) + b"\1")]).block(5, b"short")
    assert lost(section) == 2


# --------------------------------------------------------------------------------- damage

HEAD = bytes(Section().interface().packets(FRAMES[:2]))
TAIL = bytes(Section(">").interface().packets(FRAMES[2:]))
EPB = struct.pack("<IIIII", 0, 0, 5, 4, 4) + b"abcd"


def block(kind: int, length: int, body: bytes, trailer: int | None = None) -> bytes:
    return (
        struct.pack("<II", kind, length)
        + body
        + struct.pack("<I", length if trailer is None else trailer)
    )


DAMAGE = [
    ("length-0", block(6, 0, EPB), "a block of 0 octets"),
    ("length-8", block(6, 8, EPB), "a block of 8 octets"),
    ("length-of-all-ones", block(6, 0xFFFFFFFF, EPB), "a block of 4294967295 octets"),
    ("one-block-too-long", block(5, LONGEST_BLOCK + 4, EPB), f"more than {LONGEST_BLOCK}"),
    ("trailer-differs", block(6, 36, EPB, 40), "whose two lengths differ"),
    ("trailer-of-0", block(5, 36, EPB, 0), "whose two lengths differ"),
    ("length-not-a-multiple-of-4", block(6, 34, EPB, 36), "whose two lengths differ"),
    (
        "captured-beyond-the-block",
        block(6, 36, struct.pack("<IIIII", 0, 0, 5, 5, 5) + b"abcd"),
        "contradicts itself",
    ),
    (
        "captured-of-all-ones",
        block(6, 36, struct.pack("<IIIII", 0, 0, 5, 0xFFFFFFFF, 4) + b"abcd"),
        "contradicts itself",
    ),
    (
        "interface-not-described",
        block(6, 36, struct.pack("<IIIII", 1, 0, 5, 4, 4) + b"abcd"),
        "contradicts itself",
    ),
    ("enhanced-packet-of-28", block(6, 28, bytes(16)), "contradicts itself"),
    ("obsolete-packet-of-28", block(2, 28, bytes(16)), "contradicts itself"),
    ("simple-packet-of-12", block(3, 12, b""), "contradicts itself"),
    ("interface-of-16", block(1, 16, bytes(4)), "an interface block of 16 octets"),
    ("section-of-24", block(0x0A0D0D0A, 24, LITTLE[8:20]), "a section header of 24 octets"),
    ("section-without-magic", bent(8, bytes(4)), "without its byte-order magic"),
    ("section-with-half-a-magic", bent(9, bytes(3)), "without its byte-order magic"),
]


@pytest.mark.parametrize(("wire", "why"), [pytest.param(*d[1:], id=d[0]) for d in DAMAGE])
def test_damage_stops_the_walk_where_it_is(wire: bytes, why: str) -> None:
    walker = Pcapng()
    damaged = HEAD + wire + TAIL
    found, at = walked(walker, memoryview(damaged), 0, len(damaged))
    assert (walker.answer, at) == (NO_MATCH, len(HEAD))
    assert why in walker.problem
    assert found == expected(FRAMES[:2])


@pytest.mark.parametrize("kind", [4, 10, 0xBAD, 9, 0x80000001])
def test_a_large_block_without_frames_is_to_be_passed_over(kind: int) -> None:
    large = bytes(Section().block(kind, bytes(LONGEST_BLOCK)))[28:]
    walker = Pcapng()
    wire = HEAD + large
    found, at = walked(walker, memoryview(wire), 0, len(HEAD) + 100)
    assert (walker.answer, walker.large, at) == (NEED_MORE, LONGEST_BLOCK + 12, len(HEAD))
    assert found == expected(FRAMES[:2])
    assert walker.ends_with(memoryview(wire), len(wire), len(large))
    assert not walker.ends_with(memoryview(wire), len(wire) - 4, len(large))


@pytest.mark.parametrize(("kind", "length"), [(4, (1 << 26) + 4), (10, 0xFFFFFFFC), (9, 400_001)])
def test_a_block_beyond_belief_is_damage(kind: int, length: int) -> None:
    (answer, _), at = read(HEAD + block(kind, length, bytes(100)))
    assert (answer, at) == (NO_MATCH, len(HEAD))


def test_a_packet_that_contradicts_itself_ends_where_it_says_twice() -> None:
    wrong = block(6, 36, struct.pack("<IIIII", 0, 0, 5, 5, 5) + b"abcd")
    walker = Pcapng()
    wire = HEAD + wrong + TAIL
    walked(walker, memoryview(wire), 0, len(wire))
    assert (walker.answer, walker.after) == (NO_MATCH, len(HEAD) + 36)
    wire = HEAD + block(6, 36, EPB, 40) + TAIL
    walked(walker, memoryview(wire), 0, len(wire))
    assert (walker.answer, walker.after) == (NO_MATCH, 0)


def test_a_packet_before_any_interface_contradicts_itself() -> None:
    for kind, body in ((6, EPB), (2, EPB), (3, struct.pack("<I", 4) + b"abcd")):
        (answer, found), at = read(bytes(Section().block(kind, body)))
        assert (answer, found, at) == (NO_MATCH, [], 28)


def test_interfaces_have_an_end() -> None:
    one = bytes(Section().interface())[28:]
    wire = LITTLE + one * 65_536
    assert read(wire) == ((NEED_MORE, []), len(wire))
    (answer, _), at = read(wire + one * 10)
    assert (answer, at) == (NO_MATCH, len(wire))


def test_the_largest_block_is_read() -> None:
    frame = bytes(LONGEST_BLOCK - 32)
    wire = bytes(Section().interface().packet(START_NS, frame))
    assert whole(wire) == expected([(START_NS, frame)])


def test_a_file_cut_at_any_octet_gives_the_frames_before_the_cut() -> None:
    wire = HEAD + TAIL
    borders, at = [0], 0
    order = "<"
    while at < len(wire):
        if wire[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = ">" if wire[at + 8] == 0x1A else "<"
        at += struct.unpack_from(order + "I", wire, at + 4)[0]
        borders.append(at)
    frame_ends = borders[3:5] + borders[7:9]
    wanted = expected(FRAMES)
    for size in range(len(wire) + 1):
        walker = Pcapng()
        seen = sum(1 for end in frame_ends if end <= size)
        stop = max(border for border in borders if border <= size)
        assert walked(walker, memoryview(wire), 0, size) == (wanted[:seen], stop)
        assert walker.answer == NEED_MORE
        assert walked(Pcapng(), memoryview(wire[:size]), 0, size) == (wanted[:seen], stop)


def test_octets_around_the_file_do_not_matter() -> None:
    wire = HEAD + TAIL
    for poison in poisons(wire):
        around = memoryview(poison + wire + poison)
        start, stop = len(poison), len(poison) + len(wire)
        assert walked(Pcapng(), around, start, stop) == (expected(FRAMES), stop)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_octets_end_the_walk_within_the_file(changes: list[tuple[int, int]]) -> None:
    wire = bytearray(HEAD + TAIL)
    for at, value in changes:
        wire[at % len(wire)] = value
    walker = Pcapng()
    found, stopped = walked(walker, memoryview(wire), 0, len(wire), 3)
    assert 0 <= stopped <= len(wire)
    around = memoryview(b"\xff" * 16 + wire + b"\xff" * 16)
    assert walked(Pcapng(), around, 16, 16 + len(wire), 3) == (found, stopped + 16)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", LITTLE, BIG, HEAD]))
def test_random_octets_never_raise(tail: bytes, before: bytes) -> None:
    wire = memoryview(before + tail)
    batch = Batch(2)
    batch.wire = wire
    walker = Pcapng()
    assert 0 <= walker.walk(wire, 0, len(wire), batch) <= len(wire)
    assert walker.answer in (FOUND, NEED_MORE, NO_MATCH)
