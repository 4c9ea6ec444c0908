"""The table for terminals: it answers what an admin asks, at any width, whatever the wire said."""

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta, timezone
from typing import Any

import pytest
from events import HOSTILE
from handshakes import START_NS

from sniffer.event import FindingKind
from sniffer.export import words
from sniffer.export.findings import finding_json
from sniffer.export.table import table
from sniffer.inventory.findings import FindingSnapshot

COVERAGE = {
    "frames": 12_345,
    "bytes": 1_000_000,
    "flows": 231,
    "one_sided_flows": 3,
    "dropped_frames": 0,
    "truncated_frames": 1,
    "undecoded_frames": {"length": 2, "depth": 1},
    "hellos": 8,
    "incomplete_hellos": {"snaplen": 2},
    "evicted": {},
    "devices_let_go": 0,
    "unseen_bytes": 0,
    "conflicts": 0,
    "first_seen": "2026-11-23T12:00:00.000000Z",
    "last_seen": "2026-11-24T15:46:40.000000Z",
    "watched_seconds": 100_000.0,
    "fit": True,
    "why": "Nothing was found that would hide a client.",
}
NOTHING = {
    **dict.fromkeys(COVERAGE, 0),
    "undecoded_frames": {},
    "incomplete_hellos": {},
    "first_seen": None,
    "last_seen": None,
    "fit": False,
    "why": "No frame was seen.",
}


def stack(**said: Any) -> dict[str, Any]:
    """Return a stack as the summary has it."""
    return {
        "ja4": "t10i0700__",
        "max_offered": "TLS 1.0",
        "verdict": "legacy",
        "hellos": 3,
        "services": ["imaps"],
        "destinations": [
            {"ip": "52.96.1.1", "port": 993, "name": "outlook.office365.com", "hellos": 3}
        ],
        "outcomes": {"established": 3},
        "thrown_out": {"likely": 0, "possible": 0},
        "first_seen": "2026-11-23T12:00:00.000000Z",
        "last_seen": "2026-11-23T13:01:00.000000Z",
        **said,
    }


def device(ip: str = "10.0.0.7", *stacks: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Return a device as the summary has it."""
    return {
        "id": ip,
        "ip": ip,
        "vendor": None,
        "names": [],
        "clients_at_least": 1,
        "status": "legacy",
        "last_seen": "2026-11-23T13:01:00.000000Z",
        "will_break": True,
        "breaks": {"when": "window-open", "from": None, "until": None, "source": None},
        "stacks": list(stacks) or [stack()],
        **said,
    }


def shown(
    *devices: dict[str, Any],
    coverage: dict[str, Any] | None = None,
    findings: Sequence[dict[str, Any]] = (),
    **how: Any,
) -> list[str]:
    """Return the lines of the table of these devices."""
    hellos = sum(stack["hellos"] for told in devices for stack in told["stacks"])
    summary = {
        "inputs": [],
        "coverage": COVERAGE if coverage is None else coverage,
        "profile": {},
        "totals": {"hellos": hellos},
        "devices": list(devices),
        "findings": findings,
    }
    out = io.StringIO()
    table(summary, out, **how)
    return out.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_table_answers_which_device_what_and_will_it_break() -> None:
    lines = shown(device(names=["printer-2"], vendor="Brother"), width=200)
    assert " ".join(lines[0].split()) == (
        "Device Service Destination Offers Verdict Breaks? Outcome Hellos Last seen (UTC)"
    )
    assert " ".join(lines[1].split()) == (
        "10.0.0.7 imaps outlook.office365.com TLS 1.0 Old TLS (1.0) Yes, any day now "
        "TLS agreed (login not visible) 3 2026-11-23 13:01"
    )
    assert [line.strip() for line in lines[2:4]] == ["printer-2", "Brother"]
    assert lines[4:] == [
        "",
        "1 device, 1 to look at; 3 hellos.",
        "",
        "What we could see: 1 d 3 h (2026-11-23 12:00 to 2026-11-24 15:46 UTC), "
        f"{words.counted(12_345, 'frame')}, 231 conversations (3 one-sided), 8 hellos (2 cut), "
        "1 frame cut by the snap length, 3 frames not read (depth 1, length 2). "
        "Fit to tell: Nothing was found that would hide a client.",
    ]


def test_table_shows_every_stack_and_the_most_telling_first() -> None:
    newer = stack(verdict="ok", max_offered="TLS 1.3", outcomes={"established": 1, "reset": 2})
    lines = shown(device("10.0.0.7", newer, stack()), width=200)
    assert "TLS 1.0" in lines[1]
    assert "Yes, any day now" in lines[1]
    assert "TLS 1.3" in lines[2]
    assert "Yes" not in lines[2]
    assert "2 x Connection reset" in lines[2]
    assert "1 x TLS agreed" in lines[3]


def test_table_puts_what_breaks_before_what_does_not() -> None:
    lines = shown(
        device("10.0.0.1", stack(verdict="ok"), status="ok", will_break=False, breaks=None),
        device("10.0.0.2", stack(verdict="unknown", max_offered=None), status="unknown"),
        device("10.0.0.3", will_break=None, status="legacy"),
        device("10.0.0.4"),
        device("10.0.0.5"),
        width=200,
    )
    order = [line.split()[0] for line in lines[1:6]]
    assert order == ["10.0.0.4", "10.0.0.5", "10.0.0.2", "10.0.0.3", "10.0.0.1"]


@pytest.mark.parametrize(
    ("will_break", "breaks", "text"),
    [
        (True, {"when": "already-refused"}, "Refused already"),
        (None, {"when": "already-refused"}, "Refused already"),
        (True, {"when": "window-open"}, "Yes, any day now"),
        (True, {"when": "dated", "from": "2026-12-01", "until": None}, "Yes, from 2026-12-01"),
        (True, {"when": "dated", "from": None, "until": "2026-12-31"}, "Yes, by 2026-12-31"),
        (True, {"when": "not-announced"}, "Yes"),
        (None, {"when": "unknown"}, "Cannot tell"),
        (None, None, "Cannot tell"),
        (False, None, "No"),
    ],
)
def test_table_says_when_it_breaks(
    will_break: bool | None, breaks: dict[str, Any] | None, text: str
) -> None:
    line = shown(device(will_break=will_break, breaks=breaks), width=200)[1]
    assert line.split("Old TLS (1.0)")[1].split("TLS agreed")[0].strip() == text


def test_table_of_hundreds_stops_at_a_hundred_rows_and_says_how_many_more() -> None:
    devices = [device(f"10.0.{n // 256}.{n % 256}") for n in range(250)]
    lines = shown(*devices, width=200)
    assert len([line for line in lines if line.startswith("10.0.")]) == 100
    assert "... and 150 more rows: --format json has all of them." in lines
    assert "250 devices, 250 to look at; 750 hellos." in lines


@pytest.mark.parametrize("coverage", [NOTHING, {**COVERAGE, "hellos": 0, "watched_seconds": 60.0}])
def test_an_empty_screen_says_what_was_watched_and_that_it_is_too_early(
    coverage: dict[str, Any],
) -> None:
    lines = shown(coverage=coverage)
    assert lines[0].startswith("Watched for ")
    assert "frames" in lines[0]
    assert "A working day, better a month end, must pass" in lines[0]
    assert lines[2].startswith("What we could see: ")


def test_coverage_unfit_is_said() -> None:
    line = shown(device(), coverage={**COVERAGE, "fit": False, "why": "2 hellos were cut."})[-1]
    assert line.endswith("Not fit to tell: 2 hellos were cut.")


@pytest.mark.parametrize("width", [20, 40, 80, 100, 119, 120, 121, 140, 200, 400])
@pytest.mark.parametrize("color", [True, False])
def test_table_fits_its_width_and_cuts_no_fact(width: int, color: bool) -> None:
    destinations = [{"ip": "2001:db8::1", "port": 1, "name": "a" * 44, "hellos": 1}] * 3
    lines = shown(
        device("2001:db8:1234:5678:9abc:def0:1234:5678", stack(destinations=destinations)),
        device("fe80::1", stack(verdict="at-risk", hellos=1_234_567)),
        width=width,
        color=color,
    )
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    devices = plain[: plain.index("")]
    assert max(len(line) for line in devices) <= width
    text = "".join("".join(devices).split())
    for fact in ("2001:db8:", "a" * 10, "1234567", "13:01", "fe80::1"):
        assert fact in text
    assert any(line.startswith("What we could see") or width < 40 for line in plain)


def test_table_without_a_terminal_is_plain_and_with_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "\x1b" not in "".join(shown(device()))
    assert "\x1b[31m" in "".join(shown(device(), color=True))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in "".join(shown(device()))
    assert "\x1b" not in "".join(shown(device(), color=False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in "".join(shown(device()))


def test_table_takes_its_width_from_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(device())[1].startswith("Device  ")
    monkeypatch.setenv("COLUMNS", "60")
    assert shown(device())[0] == "10.0.0.7: Old TLS (1.0); breaks? Yes, any day now"
    monkeypatch.setenv("COLUMNS", "wide")
    assert shown(device())[1].startswith("Device  ")


def test_table_shows_times_in_the_zone_asked_for() -> None:
    lines = shown(device(), width=200, zone=timezone(timedelta(hours=2), "CEST"))
    assert "Last seen (CEST)" in lines[0]
    assert "2026-11-23 15:01" in lines[1]


def test_who_was_thrown_out_is_no_success_in_the_table() -> None:
    thrown_out = {"likely": 2, "possible": 0}
    told = device("10.0.0.7", stack(outcomes={"established": 3}, thrown_out=thrown_out))
    text = " ".join(" ".join(shown(told, width=300)).split())
    assert "2 x TLS agreed, then most likely thrown out" in text
    assert "1 x TLS agreed (login not visible)" in text


def finding(kind: FindingKind, count: int = 3) -> dict[str, Any]:
    """Return a finding as the summary has it."""
    return finding_json(
        FindingSnapshot(
            source=bytes((10, 0, 0, 9)),
            kind=kind,
            service="submission",
            destination=bytes((192, 0, 2, 1)),
            port=587,
            name=b"mx.example.net",
            count=count,
            first_ns=START_NS,
            last_ns=START_NS,
        )
    )


@pytest.mark.parametrize("devices", [[device()], []], ids=["devices", "no device"])
def test_findings_in_clear_text_stand_below_the_most_telling_first(
    devices: list[dict[str, Any]],
) -> None:
    findings = [finding(FindingKind.UPGRADE_MISSING, 1), finding(FindingKind.CLEAR_LOGIN)]
    lines = shown(*devices, findings=findings, width=200)
    at = next(n for n, line in enumerate(lines) if line.startswith("10.0.0.9 handed"))
    assert lines[at - 1 : at + 3] == [
        "",
        "10.0.0.9 handed its login to mx.example.net (submission) in clear text: whoever can see "
        "this network can read the password. (3 times, last 2026-11-23 12:00)",
        "mx.example.net (submission) did not offer TLS to 10.0.0.9. "
        "(1 time, last 2026-11-23 12:00)",
        "",
    ]
    assert lines[at + 3].startswith("What we could see: ")


def test_many_findings_are_counted() -> None:
    lines = shown(device(), findings=[finding(FindingKind.CLEAR_LOGIN)] * 25, width=200)
    assert sum(line.startswith("10.0.0.9 handed") for line in lines) == 20
    assert "... and 5 more findings: --format json has all of them." in lines


@pytest.mark.parametrize("width", [60, 200])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_steer_no_terminal(name: str, width: int) -> None:
    destinations = [{"ip": "52.96.1.1", "port": 993, "name": name, "hellos": 3}]
    told = device(name, stack(destinations=destinations), names=[name], vendor=name)
    coverage = {**COVERAGE, "undecoded_frames": {name: 1}, "why": name}
    lines = shown(told, coverage=coverage, width=width)
    assert all(line.isprintable() for line in lines)
    assert sum(len(line) for line in lines[:-1]) < 4000
    if "[red]" in name:
        assert "[red]markup[/red]" in "".join(lines)
        assert ":warning:" in "".join(lines)


def test_table_can_be_written_where_only_ascii_can() -> None:
    octets = io.BytesIO()
    out = io.TextIOWrapper(octets, encoding="ascii")
    summary = {"coverage": COVERAGE, "devices": [device(names=["Büro"])], "totals": {"hellos": 3}}
    table(summary, out)
    out.flush()
    assert b"B?ro" in octets.getvalue()


def test_rich_is_loaded_only_to_print_a_table() -> None:
    code = "import sys, sniffer.export.table; print('rich' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
