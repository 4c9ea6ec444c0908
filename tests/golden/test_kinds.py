"""Every kind of case that other tools get wrong: what HelloWatch must say of it.

What is expected stands in kinds.toml (by hand) and kinds.tshark.ndjson (by tshark).
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from goldens import Event, differences
from kinds import kinds
from program import ROOT, hellowatch

FOLDER = Path(__file__).parent
BY_HAND: dict[str, dict[str, Any]] = tomllib.loads((FOLDER / "kinds.toml").read_text())
BY_TSHARK = [json.loads(line) for line in (FOLDER / "kinds.tshark.ndjson").read_text().splitlines()]

PATHS = {
    "frame": ("hellowatch", "frame"),
    "client": ("source", "ip"),
    "vlan": ("network", "vlan", "id"),
    "version": ("tls", "version"),
    "alert": ("hellowatch", "alert", "code"),
    "closed_by": ("hellowatch", "session", "closed_by"),
    **{
        key: ("hellowatch", key)
        for key in (
            *("max_offered", "verdict", "reasons", "outcome", "ended_by", "refused_by"),
            *("starttls", "hello_format", "hello_complete", "fallback_scsv"),
        )
    },
}
"""Where each key of kinds.toml stands in an event; ``tunnel`` is told apart."""
USUAL = {
    "client": "10.0.0.50",
    "hello_format": "tls",
    "hello_complete": True,
    "fallback_scsv": False,
    "tunnel": [],
}
UNREADABLE_TEXT = {("alpn-not-ascii", "alpn")}
"""What tshark prints in a way that does not tell the octets."""

PITFALLS = {
    1: "record-0x0301-hello-0x0303",
    2: "supported-versions-1.1-and-1.0",
    3: "supported-versions-grease-first",
    4: "refused-alert-70",
    5: "printer-like-refused",
    6: "tls12-established",
    7: "sslv2-format-refused",
    8: "sslv2-inside-application-data",
    9: "starttls-imap-established",
    10: "two-records-two-segments",
    11: "ttag",
    12: "erspan-2",
    14: "doubled-client-half",
    15: "no-syn",
    16: "super-frame-total-length-0",
    17: "snaplen-96",
    18: "two-stacks-one-address",
    19: "tls12-rsa-suites-refused",
}
"""A kind for each known mistake of other tools; 13 (kernel filters) and 20 (metrics) are not
made by reading: tests/properties/test_filter.py and tests/unit/test_metrics.py."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Event]]:
    """The events of each kind, by one run of the program over all of them."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, octets in kinds().items():
        (folder / f"{name}.pcap").write_bytes(octets)
    ran = hellowatch("analyze", "--format", "ndjson", folder, cwd=folder)
    assert ran.returncode == 0, ran.stderr.decode()
    events: dict[str, list[Event]] = {name: [] for name in kinds()}
    for line in ran.stdout.splitlines():
        event = json.loads(line)
        events[Path(event["log"]["file"]["path"]).stem].append(event)
    return events


def told(event: Event) -> dict[str, Any]:
    """Return of an event what kinds.toml tells, in its form."""
    tunnels = event["hellowatch"].get("tunnel", [])
    row: dict[str, Any] = {"tunnel": [f"{t['type']} {t.get('id', '')}".strip() for t in tunnels]}
    for key, path in PATHS.items():
        value: Any = event
        for part in path:
            value = None if value is None else value.get(part)
        if value is not None:
            row[key] = value
    return row


@pytest.mark.parametrize("name", BY_HAND)
def test_a_kind_gives_the_events_written_by_hand(name: str, found: dict[str, list[Event]]) -> None:
    expected = [USUAL | row for row in BY_HAND[name]["events"]]
    assert [told(event) for event in found[name]] == expected


def read_by_tshark() -> Iterator[tuple[str, list[Event]]]:
    """Yield each kind that tshark reads with the hellos that are events of ours.

    A second hello after a HelloRetryRequest belongs to the first; what looks like one in
    application data is none.
    """
    for name, told_by_hand in BY_HAND.items():
        frames = {row["frame"] for row in told_by_hand["events"]}
        events = [one for one in BY_TSHARK if one["kind"] == name]
        if "tshark" not in told_by_hand:
            yield name, [one for one in events if one["hellowatch"]["frame"] in frames]


@pytest.mark.parametrize(("name", "expected"), list(read_by_tshark()))
def test_a_kinds_hellos_hold_what_tshark_reads(
    name: str, expected: list[Event], found: dict[str, list[Event]]
) -> None:
    wanted = [
        {
            **{key: value for key, value in event.items() if key != "kind"},
            "hellowatch": {
                key: value
                for key, value in event["hellowatch"].items()
                if (name, key) not in UNREADABLE_TEXT
            },
        }
        for event in expected
    ]
    wrong = differences(wanted, found[name])
    assert not wrong, "\n".join(wrong)


def test_tshark_finds_no_hello_where_it_is_said_to_find_none() -> None:
    read = {one["kind"] for one in BY_TSHARK}
    assert {name for name, row in BY_HAND.items() if "tshark" in row and name in read} == set()


def test_tshark_still_reads_the_same() -> None:
    tool = ROOT / "tools" / "expect_kinds.py"
    run = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_kind_is_made_and_told_and_every_pitfall_has_one() -> None:
    assert set(kinds()) == set(BY_HAND)
    assert set(PITFALLS) == set(range(1, 21)) - {13, 20}
    assert set(PITFALLS.values()) <= set(BY_HAND)
