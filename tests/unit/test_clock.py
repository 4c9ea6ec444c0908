"""The steady clock: it goes on evenly whatever becomes of the wall clock."""

import pytest

from sniffer.capture.clock import SteadyClock

START_NS = 1_795_435_200_000_000_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


class Machine:
    """Two clocks to set at will."""

    def __init__(self) -> None:
        self.wall_ns = START_NS
        self.monotonic_ns = 5 * SECOND_NS
        self.pause_ns = 0

    def wall(self) -> int:
        self.go_on(self.pause_ns)
        return self.wall_ns

    def go_on(self, nanoseconds: int) -> None:
        self.wall_ns += nanoseconds
        self.monotonic_ns += nanoseconds

    def clock(self) -> SteadyClock:
        return SteadyClock(self.wall, lambda: self.monotonic_ns)


def test_clock_equals_the_wall_clock_while_nobody_sets_it():
    machine = Machine()
    clock = machine.clock()

    machine.go_on(HOUR_NS)

    assert clock.step() == 0
    assert clock.now() == machine.wall_ns
    assert (clock.offset_ns, clock.steps) == (0, 0)


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS, 150_000_000, -150_000_000])
def test_step_is_told_once_and_time_goes_on_evenly(step_ns):
    machine = Machine()
    clock = machine.clock()
    machine.go_on(SECOND_NS)
    machine.wall_ns += step_ns
    before = clock.now()

    assert clock.step() == step_ns
    assert clock.step() == 0
    assert clock.now() == before == START_NS + SECOND_NS
    assert clock.now() + clock.offset_ns == machine.wall_ns
    assert clock.steps == 1


def test_two_steps_add_up():
    machine = Machine()
    clock = machine.clock()
    for step_ns in (HOUR_NS, -2 * HOUR_NS):
        machine.wall_ns += step_ns
        assert clock.step() == step_ns

    assert clock.offset_ns == -HOUR_NS
    assert clock.steps == 2


def test_small_differences_are_no_steps_until_they_add_up_to_one():
    machine = Machine()
    clock = machine.clock()
    machine.wall_ns += 60_000_000
    assert clock.step() == 0
    machine.wall_ns += 60_000_000

    assert clock.step() == 120_000_000


def test_being_interrupted_between_two_clocks_is_no_step():
    machine = Machine()
    clock = machine.clock()
    machine.pause_ns = SECOND_NS

    assert clock.step() == 0
    assert clock.steps == 0


def test_sleep_of_the_machine_is_a_step():
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall_ns += HOUR_NS  # the monotonic clock slept

    assert clock.step() == HOUR_NS
    assert clock.now() == before
