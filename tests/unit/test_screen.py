"""What run says on standard error while it goes on."""

import pytest
from handshakes import handshake, judgement

from sniffer.cli.screen import MOST_NAMED, Screen
from sniffer.event import Verdict
from sniffer.inventory.coverage import Coverage

HOUR = 3600


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def said_at(screen: Screen, clock: Clock, capsys, hours: range) -> list[int]:
    """Return the minutes at which it said that nothing was seen."""
    minutes = []
    for minute in range(hours.start * 60, hours.stop * 60):
        clock.now = minute * 60
        screen.pass_time(lambda: (Coverage(frames=7, hellos=2), clock.now))
        if "no old TLS seen yet. Watched for" in capsys.readouterr().err:
            minutes.append(minute)
    return minutes


def test_that_nothing_was_seen_is_said_seldom_and_for_ever(clock, capsys):
    screen = Screen(is_quiet=False, is_json=False, clock=clock)
    assert said_at(screen, clock, capsys, range(73)) == [1, 10, 60, 360, 1440, 2880, 4320]


def test_it_is_not_said_once_an_old_device_was_seen(clock, capsys):
    screen = Screen(is_quiet=False, is_json=False, clock=clock)
    screen.name(handshake(), judgement(Verdict.OK))
    assert said_at(screen, clock, capsys, range(1)) == [1, 10]
    screen.name(handshake(), judgement(Verdict.LEGACY))
    assert said_at(screen, clock, capsys, range(1, 30)) == []


def test_quiet_says_nothing(clock, capsys):
    screen = Screen(is_quiet=True, is_json=False, clock=clock)
    assert said_at(screen, clock, capsys, range(30)) == []
    screen.begun(["eth1"], "http://127.0.0.1/metrics")
    screen.say_nothing_yet(Coverage(), 1.0)
    assert capsys.readouterr().err == ""


def test_json_has_what_was_seen_as_a_field(clock, caplog):
    screen = Screen(is_quiet=False, is_json=True, clock=clock)
    screen.say_nothing_yet(Coverage(frames=7), 3600.0)
    (record,) = caplog.records
    assert record.msg == "No old TLS seen yet"
    assert "Watched for 1 h: 7 frames" in record.args["what"]


def test_devices_remembered_are_bounded(caplog):
    screen = Screen(is_quiet=True, is_json=False)
    screen._named.update(number.to_bytes(4) for number in range(MOST_NAMED))
    screen.name(handshake(source=b"\xff" * 4), judgement(Verdict.LEGACY))
    assert caplog.records == []
