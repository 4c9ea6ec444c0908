"""A clock that goes on evenly while people and NTP set the wall clock.

The kernel stamps frames with the wall clock. If it is set back an hour, nothing would time
out for that hour; if it is set forward, everything would at once. So a live source gives
out times of a steady clock, which equals the wall clock when it starts; ``offset_ns`` is
what has to be added to such a time to tell it to people.
"""

import time
from collections.abc import Callable

STEP_NS = 100_000_000
"""A difference from here on is a step; a smaller one is left alone."""
MOST_NS = 10_000_000
"""Two clocks read further apart than this tell nothing about each other."""
ATTEMPTS = 3

Clock = Callable[[], int]


class SteadyClock:
    """The wall clock as it was at the start, carried on by the monotonic one.

    A virtual machine's sleep is a step too: the monotonic clock slept with it.
    """

    def __init__(self, wall: Clock = time.time_ns, monotonic: Clock = time.monotonic_ns) -> None:
        """Start equal to the wall clock."""
        self._wall = wall
        self._monotonic = monotonic
        self._base_ns = 0
        self._base_ns = self._ahead() or wall() - monotonic()
        self.offset_ns = 0
        """What the wall clock is ahead of this one."""
        self.steps = 0
        """How often the wall clock was set."""

    def now(self) -> int:
        """Return the steady time in nanoseconds."""
        return self._monotonic() + self._base_ns

    def step(self) -> int:
        """Return by how much the wall clock was set since the last call; mostly 0."""
        ahead = self._ahead()
        if ahead is None:
            return 0
        step = ahead - self.offset_ns
        if -STEP_NS < step < STEP_NS:
            return 0
        self.offset_ns = ahead
        self.steps += 1
        return step

    def _ahead(self) -> int | None:
        """Return what the wall clock is ahead; None if we were interrupted too long."""
        for _ in range(ATTEMPTS):
            before = self.now()
            wall = self._wall()
            after = self.now()
            if after - before < MOST_NS:
                return wall - before
        return None
