"""A month and another one: captures of sixty days through the program, and what it remembers.

The same histories must come out of one file or of a file a day, in any order, of a replay,
on SQLite and on PostgreSQL.
"""

import csv
import json
import random
from pathlib import Path
from typing import Any

import month
import pytest
from month import DAY_NS, DAYS, RELAY, START_NS, time_of
from program import hellowatch, running

from sniffer.config import DEFAULT_PORTS
from sniffer.event import Status
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader

CONFIG = """
[[relay]]
name = "cellar"
addresses = ["10.0.0.25"]
"""
LEGACY, REFUSED, FIXED = Status.LEGACY, Status.REFUSED, Status.FIXED
IMPROVING, RELAYED = Status.IMPROVING, Status.RELAYED


def midnight(day: int) -> int:
    return START_NS + day * DAY_NS


HISTORIES: dict[str, list[tuple[int, Status]]] = {
    "10.0.0.1": [(time_of("10.0.0.1", 0), LEGACY)],
    "10.0.0.2": [(time_of("10.0.0.2", 0), LEGACY), (time_of("10.0.0.2", 20), REFUSED)],
    "10.0.0.12": [(time_of("10.0.0.12", 0), LEGACY), (time_of("10.0.0.12", 20), REFUSED)],
    # Three of its pauses of a day without an old hello; fixed after seven days.
    "10.0.0.3": [
        (time_of("10.0.0.3", 0), LEGACY),
        (time_of("10.0.0.3", 22), IMPROVING),
        (time_of("10.0.0.3", 26), FIXED),
    ],
    "10.0.0.4": [(time_of("10.0.0.4", 0), LEGACY), (time_of("10.0.0.4", 44), Status.SILENT)],
    "10.0.0.5": [
        (time_of("10.0.0.5", 0), LEGACY),
        (time_of("10.0.0.5", 12), IMPROVING),
        (time_of("10.0.0.5", 16), FIXED),
        (time_of("10.0.0.5", 30), LEGACY),
    ],
    "10.0.0.6": [(midnight(0), Status.OK)],
    # Good hellos of programs that were there before prove nothing about the old one.
    "10.0.0.8": [(midnight(0), Status.OK), (time_of("10.0.0.8", 0, 2), LEGACY)],
    # A router's MAC makes its machines no single device.
    "10.1.0.1": [(time_of("10.1.0.1", 0), LEGACY)],
    "10.1.0.2": [
        (time_of("10.1.0.2", 0), LEGACY),
        (time_of("10.1.0.2", 22), IMPROVING),
        (time_of("10.1.0.2", 26), FIXED),
    ],
    "10.1.0.3": [(midnight(0), Status.OK)],
    "10.1.0.4": [(midnight(0), Status.OK)],
    "10.0.0.10": [
        (time_of("10.0.0.10", 0), LEGACY),
        (time_of("10.0.0.10", 7), IMPROVING),
        (time_of("10.0.0.10", 11), RELAYED),
        (midnight(30), REFUSED),
        (time_of(RELAY, 33), RELAYED),
    ],
    # It was ok until then: of its first refusal the day alone is known.
    RELAY: [
        (midnight(4), Status.OK),
        (midnight(30), REFUSED),
        (time_of(RELAY, 33), Status.OK),
    ],
}
CLAIMS = {
    # device: what was done, on which day, and what became of it
    "10.0.0.1": ("firmware", 7, "still-old"),
    "10.0.0.3": ("firmware", 20, "verified"),
    "10.0.0.4": ("retired", 11, "verified"),
    "10.0.0.5": ("setting", 10, "came-back"),
    "10.0.0.10": ("relay", 5, "verified"),
}


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the month as one file and as one for each day."""
    folder = tmp_path_factory.mktemp("month")
    (folder / "config.toml").write_text(CONFIG)
    (folder / "whole.pcap").write_bytes(month.whole())
    for day, octets in enumerate(month.days()):
        (folder / f"day{day:02}.pcap").write_bytes(octets)
    return folder


def read_in(captures: Path, store: str, *names: str) -> None:
    ran = hellowatch(
        *("analyze", "--config", "config.toml", "--store", store, "-o", "/dev/null", *names),
        cwd=captures,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def asked(captures: Path, store: str, *arguments: str) -> Any:
    ran = hellowatch(*arguments, "--store", store, cwd=captures)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return json.loads(ran.stdout) if "json" in arguments else ran.stdout


def histories(store: str) -> dict[str, list[tuple[int, Status]]]:
    reader = Reader(Database(store), DEFAULT_PORTS)
    return {
        device.ip: [(turn.since_ns, turn.status) for turn in reader.story(device)]
        for device in reader.devices()
    }


def files() -> list[str]:
    return [f"day{day:02}.pcap" for day in range(DAYS)]


def test_file_a_day_gives_exactly_these_histories(captures: Path, store_url: str) -> None:
    names = files()
    for start in range(0, DAYS, 20):
        read_in(captures, store_url, *names[start : start + 20])
    assert histories(store_url) == HISTORIES
    devices = {one["ip"]: one for one in asked(captures, store_url, *LISTED)}
    assert {ip: one["status"] for ip, one in devices.items()} == {
        ip: turns[-1][1].value for ip, turns in HISTORIES.items()
    }
    assert devices["10.0.0.8"]["clients_at_least"] == 3
    assert devices["10.0.0.2"]["onset"] == "2026-12-13T14:06:00.003000Z"

    for ip, (did, day, _) in CLAIMS.items():
        when = ("--at", moment(day))
        ran = asked(captures, store_url, "devices", "claim", ip, "--did", did, *when)
        assert ran == b""
    claimed = {one["ip"]: one["claim"] for one in asked(captures, store_url, *LISTED)}
    assert {ip: claim["state"] for ip, claim in claimed.items() if claim} == {
        ip: state for ip, (_, _, state) in CLAIMS.items()
    }
    for day, state in ((21, "pending"), (25, "pending"), (27, "verified")):
        then = ("--as-of", moment(day))
        told = asked(captures, store_url, "devices", "show", "10.0.0.3", *then, *JSON)
        assert told["claim"]["state"] == state
    table = asked(captures, store_url, "devices").decode()
    assert "at least 3 clients" in table
    assert b"at least 3 clients" in asked(captures, store_url, "devices", "show", "10.0.0.8")
    rows = asked(captures, store_url, "devices", "--format", "csv").decode().splitlines()
    (behind,) = [row for row in csv.DictReader(rows) if row["ip"] == "10.0.0.8"]
    assert (behind["clients_at_least"], behind["addresses"]) == ("3", "10.0.0.8")
    assert (
        "Enforcement seems to have reached you on 2026-12-13: Exchange Online (imaps) took in 2 "
        "devices before, and refuses them since." in table
    )


LISTED = ("devices", "list", "--format", "json")
JSON = ("--format", "json")


def moment(day: int) -> str:
    seconds = START_NS // 10**9 + day * 86_400
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_files_in_any_order_give_the_same(captures: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    names = files()
    random.Random(7).shuffle(names)
    for start in range(0, DAYS, 30):
        read_in(captures, store, *names[start : start + 30])
    assert telling(histories(store)) == telling(HISTORIES)
    # And once more, which changes nothing.
    read_in(captures, store, *files()[:10], "whole.pcap")
    assert telling(histories(store)) == telling(HISTORIES)


def telling(told: dict[str, list[tuple[int, Status]]]) -> dict[str, list[tuple[int, Status]]]:
    """Leave out what depends on when a device was found to be worth telling hours of.

    Of one that is ok the days alone are known, and of a relay that is ok again nothing else.
    """
    return {
        ip: [(s // DAY_NS * DAY_NS if status is Status.OK else s, status) for s, status in turns]
        for ip, turns in told.items()
        if ip not in ("10.0.0.10", RELAY)
    }


def test_replay_of_all_of_it_gives_the_same(captures: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    replayed = ("--replay", captures / "whole.pcap", "--config", captures / "config.toml")
    with running(*replayed, "--store", store, cwd=tmp_path) as run:
        run.wait_until_replayed()
        page = run.get("/metrics")[1]
        assert run.end()[0] == 0
    assert histories(store) == HISTORIES
    for status in Status:
        number = sum(turns[-1][1] is status for turns in HISTORIES.values())
        assert f'\nhellowatch_devices{{status="{status.value}"}} {number}.0\n' in page
    reached = 'hellowatch_enforcement_reached_timestamp_seconds{profile="exchange-online",'
    seconds = time_of("10.0.0.2", 20) / 1e9
    (line,) = [line for line in page.splitlines() if line.startswith(reached)]
    assert float(line.split()[1]) == pytest.approx(seconds)


def test_any_day_is_answered_as_it_was(captures: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.db"
    read_in(captures, store, "whole.pcap")
    for day in (3, 8, 15, 21, 24, 28, 31, 40, 50):
        then = Reader(Database(store), DEFAULT_PORTS, midnight(day + 1))
        found = {device.ip: device.snapshot.status for device in then.devices()}
        expected = {
            ip: [status for since_ns, status in turns if since_ns <= midnight(day + 1)][-1]
            for ip, turns in HISTORIES.items()
            if turns[0][0] <= midnight(day + 1)
        }
        assert found == expected, day
    changes = asked(captures, store, "devices", "diff", moment(10), moment(59)).splitlines()
    changed = {one["ip"]: one["change"] for one in map(json.loads, changes)}
    assert changed == {
        "10.0.0.2": "worse",
        "10.0.0.12": "worse",
        "10.0.0.3": "fixed",
        "10.1.0.2": "fixed",
        "10.0.0.4": "vanished",
        "10.0.0.10": "changed",
    }
