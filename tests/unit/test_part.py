"""Two workers that share a stream of frames tell each frame once, wherever they part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.batch import Batch
from sniffer.daemon.part import Part, Seen
from sniffer.inventory.coverage import Coverage
from sniffer.track.layout import FOR_EVER

OCTETS = 60


def batch(times: list[int]) -> Batch:
    made = Batch(max(1, len(times)))
    for time_ns in times:
        made.add(0, OCTETS, OCTETS, time_ns, -1, 1)
    return made


class Worker:
    """What a worker does with a part: counts all, tells its share."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.seen = Seen(Coverage(), 0, 0.0)
        self.now_ns = 0

    def observe(self, times: list[int]) -> None:
        coverage = self.seen.coverage.copy()
        coverage.frames += len(times)
        coverage.bytes += OCTETS * len(times)
        self.now_ns = max([self.now_ns, *times])
        self.seen = Seen(coverage, 0, self.seen.up_seconds + 1)
        if self.part.is_waiting:
            self.part.observe(batch(times), self.seen, self.now_ns)

    def told(self) -> Seen:
        return self.part.share(self.seen)


def split(times: list[int], size: int) -> list[list[int]]:
    return [times[at : at + size] for at in range(0, len(times), size)]


@given(
    st.lists(st.integers(1, 99), min_size=1, max_size=60).map(sorted),
    st.integers(0, 100),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 60),
)
def test_every_frame_is_told_once(times, border, old_size, new_size, joined):
    old, new = Worker(Part(is_whole=True)), Worker(Part(is_whole=False))
    # The new one begins somewhere before the border.
    missed = min(joined, sum(time_ns < border for time_ns in times))
    old.part.until_ns = border
    new.part.from_ns = border
    for part in split(times, old_size):
        old.observe(part)
    for part in split(times[missed:], new_size):
        new.observe(part)
    one, other = old.told().coverage, new.told().coverage
    assert one.frames == sum(time_ns < border for time_ns in times)
    assert other.frames == sum(time_ns >= border for time_ns in times)
    assert one.bytes + other.bytes == OCTETS * len(times)


def test_who_has_no_border_yet_tells_nothing():
    new = Worker(Part(is_whole=False))
    new.observe([1, 2, 3])
    assert new.told().coverage.frames == 0
    assert new.told().skipped == 3
    assert new.told().up_seconds == 0
    assert new.part.from_ns == FOR_EVER


def test_time_alone_ends_a_part():
    old = Worker(Part(is_whole=True))
    old.observe([1, 2])
    old.part.until_ns = 10
    old.now_ns = 9
    old.observe([])
    assert not old.part.is_over
    old.now_ns = 10
    old.observe([])
    assert old.part.is_over
    old.observe([11, 12])
    assert old.told().coverage.frames == 2


def test_hellos_are_the_trackers_own_count():
    old = Worker(Part(is_whole=True))
    old.observe([1])
    old.part.until_ns = 2
    old.observe([3])
    old.seen.coverage.hellos = 7
    assert old.told().coverage.hellos == 7
    assert old.told().coverage.frames == 1


@pytest.mark.parametrize("lost", [0, 4])
def test_loss_of_one_that_took_over_is_what_passed_and_was_neither_told_nor_another_ones(lost):
    new = Worker(Part(is_whole=False))
    new.observe([1, 2, 3])
    new.part.from_ns = 5
    new.observe([4, 6, 7])
    told = new.told()
    received = 6 + lost
    assert received - told.coverage.frames - told.skipped - told.coverage.frames_dropped == lost


def test_coverage_without_an_earlier_state_of_it_is_what_came_since():
    before = Coverage(frames=3, undecoded={"depth": 1, "length": 2}, first_ns=1)
    after = before.copy()
    since = Coverage(frames=4, bytes=5, undecoded={"depth": 2, "ip": 1}, last_ns=9)
    after.merge(since)
    rest = after.without(before)
    assert (rest.frames, rest.bytes) == (4, 5)
    assert rest.undecoded == {"depth": 2, "ip": 1}
