"""The order in which reports of several workers are judged, and the account of each port."""

import socket

import pytest
from handshakes import handshake

from sniffer.daemon.link import Receiver, Report, State
from sniffer.daemon.reader import HOLD_SECONDS, Account, Due, Join
from sniffer.inventory.coverage import Coverage


def state(**changed) -> State:
    whole = {
        "coverage": Coverage(),
        "skipped": 0,
        "is_up": True,
        "up_seconds": 1.0,
        "flows": 0,
        "reassembly_bytes": 0,
        "reported": 0,
        "unreported": 0,
    }
    return State(**(whole | changed))


def due(now_ns: int, frame: int = 1) -> Due:
    return Due(LINK, Report(frame, now_ns, (handshake(frame=frame),), state()))


LINK = Receiver(socket.socket().detach())


@pytest.fixture
def join():
    made = Join()
    made.arrive(0)
    made.arrive(1)
    return made


def times(join: Join, now: float = 0.0) -> list[int]:
    return [one.report.now_ns for one in join.due(now)]


def test_one_worker_alone_is_never_waited_for():
    join = Join()
    join.arrive(0)
    for now_ns in (5, 6, 6, 9):
        join.add(0, due(now_ns), 0.0)
        assert times(join) == [now_ns]


def test_reports_of_two_workers_come_in_the_order_of_their_time(join):
    for now_ns in (10, 20, 30):
        join.add(0, due(now_ns), 0.0)
    assert times(join) == []
    join.add(1, due(15), 0.0)
    assert times(join) == [10, 15]
    join.add(1, due(25), 0.0)
    assert times(join) == [20, 25]
    join.add(1, due(40), 0.0)
    assert times(join) == [30]


def test_idle_worker_moves_on_by_its_ticks_alone(join):
    join.add(0, due(10), 0.0)
    join.add(1, due(11), 0.0)
    assert times(join) == [10]


def test_silent_worker_is_waited_for_a_bounded_time(join):
    join.add(0, due(10), 100.0)
    assert times(join, 100.0 + HOLD_SECONDS - 0.01) == []
    assert join.next_due() == 100.0 + HOLD_SECONDS
    assert times(join, 100.0 + HOLD_SECONDS) == [10]
    assert join.next_due() is None


def test_worker_that_left_is_not_waited_for(join):
    join.add(0, due(10), 0.0)
    join.leave(1)
    assert times(join) == [10]


def test_what_a_worker_told_is_judged_though_it_left(join):
    join.add(0, due(10), 0.0)
    join.leave(0)
    join.leave(1)
    assert times(join) == [10]


def test_account_goes_on_over_workers_that_end():
    account = Account()
    account.tell(1, state(coverage=Coverage(frames=10, hellos=2), reported=2, up_seconds=5.0))
    account.end(1)
    assert not account.is_heard_of
    account.tell(2, state(coverage=Coverage(frames=1, hellos=1), up_seconds=1.0))
    assert account.coverage().frames == 11
    assert account.coverage().hellos == 3
    assert account.up_seconds == 6.0


def test_two_workers_at_once_are_added_up():
    account = Account()
    account.tell(1, state(coverage=Coverage(frames=10), flows=2))
    account.tell(2, state(coverage=Coverage(frames=1), flows=3, is_up=False))
    assert account.coverage().frames == 11
    assert sum(one.flows for one in account.at_work()) == 5
    assert account.is_up


def test_loss_of_a_dead_worker_is_what_passed_and_was_not_told():
    account = Account()
    seen = Coverage(frames=10, frames_dropped=4, hellos=3)
    account.tell(1, state(coverage=seen, skipped=1, reported=2, unreported=1))
    account.end(1)
    account.tell(2, state(coverage=Coverage(frames=5)))
    # 100 passed the filter: 10 were handled, 1 skipped, 4 known as dropped. Of 7 hellos
    # found 2 were told and 1 is known as unreported.
    account.lose(1, 100, 7)
    told = account.coverage()
    assert told.frames == 15
    assert told.frames + told.frames_dropped == 100 - 1 + 5
    assert account.unreported == 5


def test_loss_that_belongs_to_an_earlier_server_is_not_counted_here():
    account = Account()
    account.tell(2, state(coverage=Coverage(frames=5)))
    account.lose(1, 100, 7)
    assert account.coverage().frames_dropped == 0
    assert account.unreported == 0
