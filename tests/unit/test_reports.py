"""What workers report, and how it waits while nobody reads it."""

import os
import socket

import msgspec
import pytest
from handshakes import START_NS, handshake

from sniffer.daemon.link import LinkError, Receiver, Report, Sender, State
from sniffer.event import Sighting, SightingSource
from sniffer.inventory.coverage import Coverage

STATE = State(
    coverage=Coverage(frames=3, frames_backwards=1, undecoded={"length": 1}),
    skipped=0,
    is_up=True,
    up_seconds=1.5,
    flows=2,
    reassembly_bytes=0,
    reported=0,
    unreported=0,
)


class Ends:
    """A worker's end and readers that come and go."""

    def __init__(self, most_bytes: int = 1 << 20) -> None:
        self.sender = Sender(most_bytes)
        self.connect()

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self.sender.connect(ours.detach())
        self.receiver = Receiver(theirs.detach())

    def received(self) -> list[Report]:
        """Read until there is nothing, with the worker going on to write."""
        reports = []
        while True:
            self.sender.flush()
            more = self.receiver.receive()
            if not more:
                return reports
            reports += more

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


def numbered(*numbers: int) -> list:
    return [handshake(frame=number) for number in numbers]


def frames(reports: list[Report]) -> list[int]:
    return [one.frame for report in reports for one in report.handshakes]


def test_handshakes_and_counters_arrive_as_they_were(ends):
    told = numbered(1, 2)
    ends.sender.send(77, told, STATE)
    (report,) = ends.received()
    assert report.handshakes == tuple(told)
    assert (report.number, report.now_ns) == (1, 77)
    assert report.state == msgspec.structs.replace(STATE, reported=2)


def test_sightings_arrive_as_they_were_and_are_counted_where_they_are_dropped():
    ends = Ends(most_bytes=1 << 16)
    told = [
        Sighting(START_NS + n, SightingSource.DHCP, address=b"\1\2\3\4", name=b"\0\xff")
        for n in range(600)
    ]
    ends.sender.send(1, [], STATE, [], told)
    assert [one for report in ends.received() for one in report.sightings] == told
    ends.receiver.close()
    for number in range(2, 99):
        ends.sender.send(number, [], STATE, [], told[:100])
    ends.sender.send(99, [], STATE)
    ends.connect()
    reports = ends.received()
    left = sum(len(report.sightings) for report in reports)
    assert left > 0
    assert ends.sender.unsighted == 97 * 100 + 600 - left > 0
    assert reports[-1].state.unsighted == ends.sender.unsighted
    ends.close()


def test_many_handshakes_are_told_in_reports_of_bounded_size(ends):
    ends.sender.send(1, numbered(*range(1000)), STATE)
    reports = ends.received()
    assert frames(reports) == list(range(1000))
    assert [len(report.handshakes) for report in reports] == [256, 256, 256, 232]
    assert [report.state.reported for report in reports] == [256, 512, 768, 1000]


def test_what_was_not_confirmed_is_told_again_to_another_reader(ends):
    for number in range(1, 6):
        ends.sender.send(number, numbered(number), STATE)
    first = ends.received()
    ends.receiver.confirm(first[1].number)
    ends.sender.flush()
    ends.receiver.close()
    ends.sender.send(6, numbered(6), STATE)
    ends.connect()
    assert frames(ends.received()) == [3, 4, 5, 6]
    assert not ends.sender.is_confirmed
    ends.receiver.confirm(6)
    ends.sender.flush()
    assert ends.sender.is_confirmed
    assert ends.sender.unreported == 0


def test_report_written_by_half_is_told_whole_to_another_reader():
    ends = Ends(most_bytes=16 << 20)
    ends.sender.send(1, numbered(*range(3000)), STATE)  # more than a socket holds
    assert ends.receiver.receive()
    ends.receiver.close()
    ends.connect()
    assert frames(ends.received()) == list(range(3000))
    ends.close()


def test_oldest_are_dropped_and_counted_while_the_reader_is_away():
    ends = Ends(most_bytes=1 << 16)
    ends.receiver.close()
    for number in range(2000):
        ends.sender.send(number, numbered(number), STATE)
    ends.connect()
    reports = ends.received()
    left = frames(reports)
    assert left == list(range(2000 - len(left), 2000))
    assert 0 < len(left) < 2000
    assert ends.sender.unreported == 2000 - len(left)
    last = reports[-1].state
    assert last.reported + last.unreported == 2000
    ends.close()


def test_counters_alone_take_no_room_while_the_reader_is_away():
    ends = Ends(most_bytes=1 << 16)
    ends.receiver.close()
    ends.sender.send(1, numbered(1), STATE)
    for now in range(2, 1000):
        ends.sender.send(now, [], STATE)
    ends.connect()
    reports = ends.received()
    assert frames(reports) == [1]
    assert [report.now_ns for report in reports] == [1, 999]
    assert ends.sender.unreported == 0
    ends.close()


def test_reader_that_does_not_read_never_keeps_the_worker_waiting():
    ends = Ends(most_bytes=1 << 20)
    for number in range(100):
        ends.sender.send(number, numbered(*range(100)), STATE)
    assert ends.sender.unreported > 0
    told = frames(ends.received())
    assert len(told) + ends.sender.unreported == 10_000
    ends.close()


def test_end_of_the_worker_is_seen_after_all_it_wrote(ends):
    ends.sender.send(1, numbered(1, 2), STATE)
    ends.sender.close()
    assert frames(ends.receiver.receive()) == [1, 2]
    assert not ends.receiver.is_over
    assert ends.receiver.receive() == []
    assert ends.receiver.is_over


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\xff\xff\xff\xff", id="longer than any report"),
        pytest.param(b"\0\0\0\1\xc1", id="no msgpack"),
        pytest.param(b"\0\0\0\1\x90", id="an empty array"),
        pytest.param(b"\0\0\0\3\x92\xa1x", id="cut msgpack"),
    ],
)
def test_what_is_no_report_is_refused(octets):
    ours, theirs = os.pipe()
    os.write(theirs, octets)
    os.close(theirs)
    receiver = Receiver(ours)
    with pytest.raises(LinkError):
        receiver.receive()
    receiver.close()


def test_report_arrives_in_any_pieces():
    whole = Sender(1 << 20)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    whole.connect(ours.detach())
    whole.send(5, numbered(1), STATE)
    octets = theirs.recv(1 << 16)
    into, out = socket.socketpair()
    out.setblocking(False)
    receiver = Receiver(out.detach())
    reports = []
    for at in range(len(octets)):
        into.send(octets[at : at + 1])
        reports += receiver.receive()
        assert bool(reports) == (at == len(octets) - 1)
    assert frames(reports) == [1]
    for one in (whole, receiver, into, theirs):
        one.close()
