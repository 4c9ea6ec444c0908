"""Going on behind damage in a pcapng file: what is sound is read, nothing is invented."""

import random
import struct
from pathlib import Path

import craft
import pytest
from captures import Told, expected, read
from craft import START_NS, Section

FRAMES = [
    (START_NS + number * 1000, number.to_bytes(4, "big") * (15 + number % 300))
    for number in range(2_000)
]
"""Some 1.3 MB: more than the octets that have to be sound behind damage, twice."""
HEAD = bytes(Section().interface(tsresol=9))


def blocks(frames: list[craft.Frame], byte_order: craft.ByteOrder = "<") -> list[bytes]:
    """Return each frame's block."""
    head = bytes(Section(byte_order).interface(tsresol=9))
    found = []
    for frame in frames:
        section = Section(byte_order).interface(tsresol=9)
        found.append(bytes(section.packet(*frame))[len(head) :])
    return found


WHOLE = blocks(FRAMES)
WANTED = expected(FRAMES, unit_ns=1)


def of(octets: bytes, folder: Path) -> tuple[list[Told], int | None]:
    """Return the frames, and where the damage is."""
    path = folder / "x"
    path.write_bytes(octets)
    frames, problem = read(path, 512)
    return frames, None if problem is None else problem.offset


def offset(index: int) -> int:
    return len(HEAD) + sum(map(len, WHOLE[:index]))


@pytest.mark.parametrize("index", [0, 1, 700, 1900, 1999])
@pytest.mark.parametrize("at", [0, 4, 5, -4, -1], ids=["type", "length", "high", "end", "last"])
def test_one_damaged_block_costs_one_frame(index: int, at: int, tmp_path: Path) -> None:
    damaged = bytearray(WHOLE[index])
    damaged[at] ^= 0x55
    octets = HEAD + b"".join([*WHOLE[:index], bytes(damaged), *WHOLE[index + 1 :]])
    frames, place = of(octets, tmp_path)
    wanted = WANTED[:index] + WANTED[index + 1 :]
    if at == 0:
        # Another type, the lengths sound: a block of others, which is stepped over.
        assert (frames, place) == (wanted, None)
    else:
        assert (frames, place) == (wanted, offset(index))


@pytest.mark.parametrize("length", [1, 3, 64, 1000, 300_000, 2 << 20])
def test_octets_put_in_cost_nothing_else(length: int, tmp_path: Path) -> None:
    junk = random.Random(length).randbytes(length)
    octets = HEAD + b"".join(WHOLE[:900]) + junk + b"".join(WHOLE[900:])
    assert of(octets, tmp_path) == (WANTED, offset(900))


def test_octets_lost_cost_the_frames_they_belong_to(tmp_path: Path) -> None:
    wire = b"".join(WHOLE)
    start = len(b"".join(WHOLE[:300])) + 50
    octets = HEAD + wire[:start] + wire[start + 4096 :]
    frames, place = of(octets, tmp_path)
    assert place == offset(300)
    assert frames[:300] == WANTED[:300]
    assert frames[300:] == WANTED[2000 - len(frames) + 300 :]
    # The shortest blocks are of 92 octets.
    assert len(frames) >= len(FRAMES) - 2 - 4096 // 92


@pytest.mark.parametrize("order", ["<", ">"])
def test_damage_again_and_again_is_gone_behind(order: craft.ByteOrder, tmp_path: Path) -> None:
    frames = FRAMES * 3
    whole = blocks(FRAMES, order) * 3
    broken = {500, 2500, 4500}
    wire = bytes(Section(order).interface(tsresol=9))
    for index, one in enumerate(whole):
        wire += b"\xff" + one[1:-4] + bytes(4) if index in broken else one
    found, _ = of(wire, tmp_path)
    wanted = expected(frames, unit_ns=1)
    assert found == [frame for index, frame in enumerate(wanted) if index not in broken]


def test_blocks_inside_a_frame_are_no_frames(tmp_path: Path) -> None:
    """A transfer of a capture, itself captured: its blocks stand in the frames' payload."""
    inner = b"".join(blocks([(START_NS, bytes(40))] * 900))
    carried = [
        (START_NS + number, inner[at : at + 1400])
        for number, at in enumerate(range(0, len(inner), 1400))
    ]
    large = [(START_NS, inner[:60_000])] * 4
    outer = blocks([*carried, *large, *carried])
    for index in (0, 20, len(carried) + 1, len(outer) - 1):
        damaged = outer[index][:4] + b"\xf0\xff\xff\x7f" + outer[index][8:]
        octets = HEAD + b"".join([*outer[:index], damaged, *outer[index + 1 :]])
        frames, place = of(octets, tmp_path)
        assert place == len(HEAD) + sum(map(len, outer[:index]))
        assert all(len(frame[0]) in (1400, len(carried[-1][1]), 60_000) for frame in frames)
        wanted = expected([*carried, *large, *carried], unit_ns=1)
        assert frames == wanted[:index] + wanted[index + 1 :]


def test_a_length_that_reaches_beyond_the_end_is_a_cut(tmp_path: Path) -> None:
    """What a cut file holds of a block may look like blocks: it is not searched."""
    inner = b"".join(blocks([(START_NS, bytes(40))] * 9))
    (outer,) = blocks([(START_NS, inner)])
    assert of(HEAD + WHOLE[0] + outer[: 28 + len(inner)], tmp_path) == (WANTED[:1], offset(1))


def test_a_transfer_cut_off_within_damage_gives_none_of_its_blocks(tmp_path: Path) -> None:
    inner = b"".join(blocks([(START_NS, bytes(40))] * 9))
    (outer,) = blocks([(START_NS, inner + b"more")])
    damaged = outer[:4] + b"\xf0\xff\xff\x7f" + outer[8:]
    for size in range(100, len(damaged), 7):
        frames, _ = of(HEAD + WHOLE[0] + damaged[:size], tmp_path)
        whole = (size - 28) / 72
        assert frames == WANTED[:1] or whole == int(whole)


def test_an_interface_behind_damage_is_not_guessed(tmp_path: Path) -> None:
    """If the damage took an interface, the next one would get its number."""
    other = struct.pack("<II", 1, 20) + struct.pack("<HHI", 113, 0, 0) + struct.pack("<I", 20)
    octets = HEAD + b"".join(WHOLE[:10]) + b"junk" * 9 + b"".join(WHOLE[10:])
    behind = other + b"".join(WHOLE[:50]) + bytes(Section().interface()) + WHOLE[0]
    frames, place = of(octets + behind, tmp_path)
    assert place == offset(10)
    assert len(frames) == len(WANTED) + 1
    assert frames[:-1] == WANTED


def test_a_large_block_without_frames_is_stepped_over(tmp_path: Path) -> None:
    for length in (400_000, 3 << 20):
        large = bytes(Section().block(10, bytes(length)))[28:]
        octets = HEAD + b"".join(WHOLE[:5]) + large + b"".join(WHOLE[5:9])
        assert of(octets, tmp_path) == (WANTED[:9], None)
        cut = HEAD + b"".join(WHOLE[:5]) + large[:-1]
        assert of(cut, tmp_path) == (WANTED[:5], offset(5))
        wrong = large[:-4] + bytes(4)
        octets = HEAD + b"".join(WHOLE[:5]) + wrong + b"".join(WHOLE[5:9])
        assert of(octets, tmp_path) == (WANTED[:9], offset(5))


def test_behind_a_hole_without_end_nothing_is_looked_for(tmp_path: Path) -> None:
    """F5: a hole of 1 TB, most of it never read."""
    path = tmp_path / "x"
    path.write_bytes(HEAD + WHOLE[0])
    with open(path, "r+b") as file:
        file.truncate(1 << 40)
    frames, problem = read(path)
    assert frames == WANTED[:1]
    assert problem is not None
    assert problem.offset == offset(1)
