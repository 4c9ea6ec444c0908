"""Which part of what passes an interface one of two capturing processes tells.

While one worker takes over from another both capture, and both see the same frames with the
same times. They agree on a time: what is before it is the old one's, the rest the new one's,
frames and hellos alike. So nothing is told twice, and nothing by neither.

The old one goes on for a while after it, for the outcomes of its own hellos. The new one has
followed conversations for a while before it, so that a hello that comes in pieces is whole.
"""

from typing import NamedTuple

from parsers.batch import Batch
from sniffer.inventory.coverage import Coverage
from sniffer.track.layout import FOR_EVER


class Seen(NamedTuple):
    """What a worker had seen and lost at one moment."""

    coverage: Coverage
    skipped: int
    up_seconds: float

    def earlier(self, frames: int, octets: int) -> "Seen":
        """Return the same, but for some frames that were the newest."""
        coverage = self.coverage.copy()
        coverage.frames -= frames
        coverage.bytes -= octets
        return self._replace(coverage=coverage)


class Part:
    """The time from ``from_ns`` on and before ``until_ns``, by the frames' own clock."""

    def __init__(self, *, is_whole: bool) -> None:
        """Begin with everything, or with nothing yet."""
        self.from_ns = 0 if is_whole else FOR_EVER
        self.until_ns = FOR_EVER
        self._has_begun = is_whole
        self._before: Seen | None = None
        self._end: Seen | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its beginning or its end is still to come, so that ``observe`` is needed."""
        return not self._has_begun or (self.until_ns < FOR_EVER and self._end is None)

    @property
    def is_over(self) -> bool:
        """Whether its end has passed."""
        return self._end is not None

    def observe(self, batch: Batch, seen: Seen, now_ns: int) -> None:
        """Note where the part begins and ends.

        ``seen`` is what was seen with this batch, ``now_ns`` the time that was reached with it.
        """
        if not self._has_begun:
            self._before = seen.earlier(*_since(batch, self.from_ns))
            self._has_begun = now_ns >= self.from_ns
        if self._end is None and now_ns >= self.until_ns:
            self._end = seen.earlier(*_since(batch, self.until_ns))

    def share(self, seen: Seen) -> Seen:
        """Return what of it belongs to this part; hellos are kept apart by the tracker."""
        hellos, incomplete = seen.coverage.hellos, seen.coverage.incomplete
        told = self._end or seen
        coverage = told.coverage.copy()
        skipped, up_seconds = told.skipped, told.up_seconds
        if self._before is not None:
            before = self._before.coverage
            coverage = coverage.without(before)
            # They are in no other count of ours.
            skipped += before.frames + before.frames_dropped
            up_seconds -= self._before.up_seconds
        coverage.hellos, coverage.incomplete = hellos, dict(incomplete)
        return Seen(coverage, skipped, up_seconds)


def _since(batch: Batch, time_ns: int) -> tuple[int, int]:
    """Return how many frames of a batch are not before a time, and their octets."""
    late = [place for place in range(batch.count) if batch.times_ns[place] >= time_ns]
    return len(late), sum(batch.ends[place] - batch.starts[place] for place in late)
