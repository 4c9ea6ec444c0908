"""What the tests of capture files and their walkers share: frames, read and expected."""

from typing import Protocol

import craft
from craft import Conversation

from parsers.answer import FOUND
from parsers.batch import Batch

Told = tuple[bytes, int, int, int]
"""A frame as a batch tells it: octets, length on the wire, time in ns, link type."""

FRAMES = Conversation().open().client(craft.client_hello(), split=(30,)).frames()[1:5]
"""Two small frames, and two that together hold a hello."""


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
