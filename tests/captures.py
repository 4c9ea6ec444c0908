"""What the tests of captures share: frames, walked and expected, and a tracker over them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import craft
from craft import Conversation

from parsers.answer import FOUND
from parsers.batch import Batch
from sniffer.capture.files import CaptureFile, captures
from sniffer.config import TrackSettings, parse_ports
from sniffer.errors import InputError
from sniffer.event import Handshake
from sniffer.track.counters import Counters
from sniffer.track.tracker import Tracker

Told = tuple[bytes, int, int, int]
"""A frame as a batch tells it: octets, length on the wire, time in ns, link type."""

FRAMES = Conversation().open().client(craft.client_hello(), split=(30,)).frames()[1:5]
"""Two small frames, and two that together hold a hello."""


PCAP = craft.pcap(FRAMES)
PCAPNG = craft.pcapng(FRAMES)

Read = tuple[list[tuple[str, str, list[Told], str | None]], list[InputError]]
"""Path within the input, format, frames and problem of each capture; and what was refused."""


class Walker(Protocol):
    """A walk over one container layout."""

    answer: int

    def walk(self, wire: memoryview, start: int, end: int, batch: Batch) -> int:
        """Add frames; return where it stopped."""


def told(batch: Batch) -> list[Told]:
    """Return the frames of a batch, copied out of it."""
    return [
        (
            bytes(batch.wire[batch.starts[i] : batch.ends[i]]),
            batch.wire_lengths[i],
            batch.times_ns[i],
            batch.links[i],
        )
        for i in range(batch.count)
    ]


def frames_in(path: Path) -> list[craft.Frame]:
    """Return the frames of a capture file, each with its time."""
    frames, _ = read(path)
    return [(time_ns, octets) for octets, _, time_ns, _ in frames]


def read(path: Path | str, capacity: int = 64) -> tuple[list[Told], InputError | None]:
    """Return the frames of a capture file, and what was found wrong with it."""
    source = CaptureFile(str(path))
    try:
        return frames_of(source, capacity), source.problem
    finally:
        source.close()


def found(path: Path) -> Read:
    """Read all captures of an input, their paths within it."""
    read_in, refused = [], []
    with closing(captures(str(path))) as sources:
        for source in sources:
            if isinstance(source, InputError):
                refused.append(source)
                continue
            frames = frames_of(source)
            name = source.path.removeprefix(str(path))
            problem = None if source.problem is None else source.problem.why
            read_in.append((name, source.format, frames, problem))
    return read_in, refused


def of(octets: bytes, folder: Path) -> Read:
    """Read all captures in a file with these octets, its name ``x``."""
    path = folder / "x"
    path.write_bytes(octets)
    return found(path)


def frames_of(source: CaptureFile, capacity: int = 64) -> list[Told]:
    """Read a capture to its end, which stays the end."""
    batch, frames = Batch(capacity), []
    while source.read(batch):
        assert batch.count
        frames += told(batch)
    assert batch.count == 0
    assert not source.read(batch)
    return frames


def expected(
    frames: list[craft.Frame],
    *,
    unit_ns: int = 1000,
    snaplen: int = 1 << 20,
    link_type: int = craft.LINK_ETHERNET,
) -> list[Told]:
    """Return what a capture of ``frames`` tells, times rounded down to its unit."""
    return [
        (octets[:snaplen], len(octets), time_ns // unit_ns * unit_ns, link_type)
        for time_ns, octets in frames
    ]


def walked(
    walker: Walker, wire: memoryview, start: int, end: int, capacity: int = 64
) -> tuple[list[Told], int]:
    """Walk until more octets are needed or damage is met; return the frames and the place."""
    frames: list[Told] = []
    at = start
    while True:
        batch = Batch(capacity)
        batch.wire = wire
        at = walker.walk(wire, at, end, batch)
        frames += told(batch)
        if walker.answer != FOUND:
            return frames, at


ALL = expected(FRAMES)

SMALL = TrackSettings(flows=1 << 15, reassembly_bytes=4 << 20)


def tracked(
    frames: list[craft.Frame],
    *,
    snaplen: int | None = None,
    wire_lengths: list[int] | None = None,
    links: list[int] | None = None,
    settings: TrackSettings = SMALL,
) -> tuple[list[Handshake], Counters]:
    """Return what the tracker makes of a capture, cut at ``snaplen`` as a capture is."""
    tracker = Tracker(settings, parse_ports("any"), bytes(16))
    handshakes: list[Handshake] = []
    for batch in batches(frames, snaplen, wire_lengths, links):
        tracker.observe(batch)
        handshakes += tracker.ready()
    tracker.finish()
    handshakes += tracker.ready()
    return handshakes, tracker.counters()


def batches(
    frames: list[craft.Frame],
    snaplen: int | None = None,
    wire_lengths: list[int] | None = None,
    links: list[int] | None = None,
) -> Iterator[Batch]:
    """Yield frames as a source would give them, in one batch filled again and again."""
    batch = Batch()
    for first in range(0, len(frames), batch.capacity):
        part = frames[first : first + batch.capacity]
        batch.clear()
        batch.wire = memoryview(b"".join(octets for _, octets in part))
        at = 0
        for index, (time_ns, octets) in enumerate(part, first):
            end = at + len(octets) if snaplen is None else at + min(snaplen, len(octets))
            length = len(octets) if wire_lengths is None else wire_lengths[index]
            link = craft.LINK_ETHERNET if links is None else links[index]
            batch.add(at, end, length, time_ns, -1, link)
            at += len(octets)
        yield batch
