"""The ring's blocks: what the kernel writes is read, and a lying block leads nowhere."""

import struct

import pytest

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.tpacket import Tpacket, link_type

SIZE = 4096
ETHERNET, LOOPBACK, NONE = 1, 772, 65534
START_NS = 1_795_435_200_000_000_007
HOUR_NS = 3_600_000_000_000


def frame(
    octets: bytes = b"frame",
    *,
    time_ns: int = START_NS,
    length: int | None = None,
    status: int = 0,
    tci: int = 0,
    device: int = ETHERNET,
    packet_type: int = 0,
    following: int | None = None,
    captured: int | None = None,
    mac: int = 82,
) -> bytes:
    """One frame as the kernel lays it out; ``mac`` is where the octets begin."""
    size = -(-(mac + len(octets)) // 16) * 16
    head = struct.pack(
        "=IIIIIIHHIIHH8x",
        size if following is None else following,
        time_ns // 10**9,
        time_ns % 10**9,
        len(octets) if captured is None else captured,
        len(octets) if length is None else length,
        status,
        mac,
        mac + 14,
        0,
        tci,
        0x8100 if status & 0x40 else 0,
        0,
    )
    address = struct.pack("=HHiHBB8x", 17, 0, 2, device, packet_type, 6)
    return ((head + address).ljust(mac, b"\0") + octets).ljust(size, b"\0")


def block(*frames: bytes, count: int | None = None, first: int = 48, size: int = SIZE) -> bytes:
    """One block with these frames, the last one's offset of a next one 0."""
    if frames:
        frames = (*frames[:-1], bytes(4) + frames[-1][4:])
    head = struct.pack(
        "=IIIIIIQQQ", 1, 0, 1, len(frames) if count is None else count, first, 0, 1, 0, 0
    )
    return (head + b"".join(frames)).ljust(size, b"\0")


def walk(wire: bytes, walker: Tpacket | None = None, capacity: int = 100) -> tuple[Tpacket, Batch]:
    walker = walker or Tpacket()
    batch = Batch(capacity)
    octets = memoryview(wire)
    at = walker.open(octets, 0, len(wire))
    if walker.answer != NO_MATCH:
        walker.walk(octets, at, len(wire), batch)
    return walker, batch


def octets(wire: bytes, batch: Batch) -> list[bytes]:
    return [wire[batch.starts[i] : batch.ends[i]] for i in range(batch.count)]


def test_frames_of_a_block_are_found_where_they_lie():
    wire = block(frame(b"one", time_ns=START_NS), frame(b"second", time_ns=START_NS + 1, length=99))

    walker, batch = walk(wire)

    assert octets(wire, batch) == [b"one", b"second"]
    assert list(batch.times_ns[:2]) == [START_NS, START_NS + 1]
    assert list(batch.wire_lengths[:2]) == [3, 99]
    assert list(batch.vlans[:2]) == [-1, -1]
    assert list(batch.links[:2]) == [1, 1]
    assert (walker.answer, walker.frames, walker.left) == (NEED_MORE, 2, 0)


def test_tag_beside_the_frame_is_restored_and_only_if_it_is_valid():
    wire = block(
        frame(status=0x10 | 0x40, tci=0xE007),
        frame(status=0x10, tci=0x0FFF),
        frame(status=0x40, tci=7),
        frame(status=0x10, tci=0),
    )

    _, batch = walk(wire)

    assert list(batch.vlans[:4]) == [7, 0xFFF, -1, 0]


@pytest.mark.parametrize(
    ("device", "link"),
    [
        (1, 1),
        (772, 1),
        (65534, 12),
        (519, 12),
        (512, 12),
        (768, 12),
        (776, 12),
        (801, -1),
        (32, -1),
    ],
)
def test_devices_type_tells_the_link_type(device, link):
    _, batch = walk(block(frame(device=device)))

    assert batch.links[0] == link == link_type(device)


def test_frames_going_out_count_except_on_loopback_where_they_come_in_again():
    wire = block(
        frame(b"out", packet_type=4),
        frame(b"loop out", device=LOOPBACK, packet_type=4),
        frame(b"loop in", device=LOOPBACK, packet_type=0),
        frame(b"tun out", device=NONE, packet_type=4),
    )

    walker, batch = walk(wire)

    assert octets(wire, batch) == [b"out", b"loop in", b"tun out"]
    assert (walker.frames, walker.skipped) == (3, 1)


def test_full_batch_stops_the_walk_which_goes_on_there():
    wire = block(*[frame(bytes([number])) for number in range(10)])
    walker, seen = Tpacket(), []
    view = memoryview(wire)
    at = walker.open(view, 0, SIZE)
    while walker.left:
        batch = Batch(4)
        at = walker.walk(view, at, SIZE, batch)
        seen += octets(wire, batch)
        assert walker.answer == (FOUND if len(seen) < 10 else NEED_MORE)

    assert seen == [bytes([number]) for number in range(10)]


def test_block_anywhere_in_the_octets_is_read_by_its_own_offsets():
    wire = bytes(100) + block(frame(b"here")) + b"\xff" * 100
    walker, batch = Tpacket(), Batch(4)
    at = walker.open(memoryview(wire), 100, 100 + SIZE)
    walker.walk(memoryview(wire), at, 100 + SIZE, batch)

    assert octets(wire, batch) == [b"here"]


def test_empty_block_is_exhausted_at_once():
    walker, batch = walk(block())

    assert (walker.answer, batch.count, walker.damaged) == (NEED_MORE, 0, 0)


@pytest.mark.parametrize(
    ("wire", "seen", "lost"),
    [
        pytest.param(block(frame(), count=3), 1, 2, id="more frames than there are"),
        pytest.param(block(frame(following=0), frame()), 1, 1, id="a next frame at 0"),
        pytest.param(block(frame(following=67), frame()), 1, 1, id="a next frame within this one"),
        pytest.param(block(frame(following=SIZE), frame()), 1, 1, id="a next frame beyond"),
        pytest.param(block(frame(following=2**32 - 1), frame()), 1, 1, id="a next frame far off"),
        pytest.param(block(frame(captured=SIZE)), 0, 1, id="a frame that reaches beyond"),
        pytest.param(block(frame(captured=2**32 - 1)), 0, 1, id="a frame of 4 GiB"),
        pytest.param(block(frame(mac=67)), 0, 1, id="a frame in its own header"),
        pytest.param(block(frame(mac=0xFF00))[:SIZE], 0, 1, id="a frame that starts beyond"),
        pytest.param(block(frame(), first=0), 0, 1, id="a first frame at 0"),
        pytest.param(block(frame(), first=47), 0, 1, id="a first frame in the block's header"),
        pytest.param(block(frame(), first=SIZE), 0, 1, id="a first frame at the end"),
        pytest.param(block(frame(), first=2**32 - 1), 0, 1, id="a first frame far off"),
        pytest.param(block(first=SIZE - 60, count=2**32 - 1), 0, 2**32 - 1, id="4 G frames"),
    ],
)
def test_lying_block_is_given_up_and_its_rest_counted(wire, seen, lost):
    walker, batch = walk(wire)

    assert walker.answer == NO_MATCH
    assert (batch.count, walker.damaged, walker.lost, walker.left) == (seen, 1, lost, 0)


@pytest.mark.parametrize("end", range(0, 48 + 144, 7))
def test_block_cut_at_any_octet_is_never_read_beyond(end):
    wire = block(frame(b"x" * 60))[:end]

    walker, batch = walk(wire)

    assert batch.count == 0
    assert walker.answer == NO_MATCH


def test_walk_goes_on_with_the_next_block_after_a_lying_one():
    walker, _ = walk(block(frame(), count=3))
    wire = block(frame(b"well"))

    walker, batch = walk(wire, walker)

    assert octets(wire, batch) == [b"well"]
    assert (walker.frames, walker.damaged, walker.lost) == (2, 1, 2)


def test_times_are_told_by_the_steady_clock():
    walker = Tpacket()
    walker.offset_ns = HOUR_NS

    _, batch = walk(block(frame(time_ns=START_NS + HOUR_NS)), walker)

    assert batch.times_ns[0] == START_NS


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS])
def test_frames_from_before_and_after_the_clock_was_set_keep_their_order(step_ns):
    walker = Tpacket()
    walker.offset_ns = walker.step_ns = step_ns
    walker.now_ns = START_NS + 10
    wire = block(frame(time_ns=START_NS + 1), frame(time_ns=START_NS + 2 + step_ns))

    _, batch = walk(wire, walker)

    assert list(batch.times_ns[:2]) == [START_NS + 1, START_NS + 2]
