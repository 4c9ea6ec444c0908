"""The inventory as users meet it: kept by analyze and run, asked by devices and handshakes."""

import csv
import gzip
import io
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import craft
import pytest
from craft import Conversation
from program import OFFICE, PROGRAM, ROOT, SECONDS, environment, hellowatch, running

from sniffer.config import DEFAULT_PORTS
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader

STORE = "sqlite:///kept.db"
FINE_AT_FIRST = "10.20.50.1"
"""A device of the office with TLS 1.3, and later with TLS 1.0: until then it keeps days alone."""
LOADED = """
import sys
from sniffer.cli.main import main
sys.argv = ["hellowatch", *sys.argv[1:]]
try:
    main()
finally:
    print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def analyzed(*arguments: str | Path, cwd: Path, store: str = STORE) -> dict[str, Any]:
    ran = hellowatch("analyze", "--store", store, "--format", "json", *arguments, cwd=cwd)
    assert ran.returncode in (0, 4), ran.stderr
    return json.loads(ran.stdout)


def asked(*arguments: str, cwd: Path, store: str = STORE) -> bytes:
    ran = hellowatch(*arguments, "--store", store, cwd=cwd)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout


def listed(cwd: Path, store: str = STORE) -> list[dict[str, Any]]:
    return json.loads(asked("devices", "list", "--format", "json", cwd=cwd, store=store))


def totals(cwd: Path, store: str = STORE) -> dict[str, int]:
    return {device["ip"]: device["hellos"] for device in listed(cwd, store)}


def test_what_analyze_finds_stands_in_the_inventory(tmp_path: Path, store_url: str) -> None:
    told = analyzed(OFFICE, cwd=tmp_path, store=store_url)
    kept = {device["ip"]: device for device in listed(tmp_path, store_url)}
    assert list(kept) == [device["ip"] for device in told["devices"]]
    for device in told["devices"]:
        stored = kept[device["ip"]]
        for key in (
            *("mac", "mac_is_own", "clients_at_least", "status", "refused_by", "hellos"),
            *("will_break", "breaks", "notices"),
        ):
            assert stored[key] == device[key], (device["ip"], key)
        fine_at_first = device["ip"] == FINE_AT_FIRST
        if device["status"] != "ok" and not fine_at_first:
            for key in (
                "first_seen",
                "last_seen",
                "onset",
                "stacks",
                "services",
                "why",
                "next_step",
            ):
                assert stored[key] == device[key], (device["ip"], key)
        else:
            assert stored["first_seen"] == device["first_seen"][:10] + "T00:00:00.000000Z"


def test_the_same_capture_counts_once_whatever_its_name_and_packing(
    tmp_path: Path, store_url: str
) -> None:
    first = analyzed(OFFICE, cwd=tmp_path, store=store_url)
    assert [one["status"] for one in first["inputs"]] == ["ok"]
    before = listed(tmp_path, store_url)
    (tmp_path / "again.pcapng.gz").write_bytes(gzip.compress(OFFICE.read_bytes()))
    again = analyzed("again.pcapng.gz", OFFICE, cwd=tmp_path, store=store_url)
    assert [one["status"] for one in again["inputs"]] == ["known", "known"]
    assert sum(again["totals"]["by_verdict"].values()) == 2 * first["totals"]["hellos"]
    pipe = hellowatch(
        *("analyze", "--store", store_url, "--format", "json", "-"),
        cwd=tmp_path,
        stdin=OFFICE.read_bytes(),
    )
    assert json.loads(pipe.stdout)["inputs"][0]["status"] == "known"
    assert listed(tmp_path, store_url) == before
    assert coverage_frames(tmp_path, store_url) == first["coverage"]["frames"]


def coverage_frames(cwd: Path, store: str = STORE) -> int:
    if store == STORE:
        store = f"sqlite:///{cwd}/kept.db"
    return Reader(Database(store), DEFAULT_PORTS).coverage().frames


def frames_of(count: int) -> list[craft.Frame]:
    """Conversations a minute apart, each with some octets after its hello."""
    frames: list[craft.Frame] = []
    for n in range(count):
        talk = Conversation(
            client=f"10.0.{n // 200}.{n % 200 + 1}",
            client_port=40_000 + n,
            time_ns=craft.START_NS + n * 60 * 10**9,
        )
        talk.open().client(craft.client_hello()).server(craft.alert()).fin("server").fin("client")
        frames += talk.frames()
    return frames


def test_a_capture_that_has_grown_adds_what_is_new(tmp_path: Path) -> None:
    frames = frames_of(600)
    whole, part = craft.pcap(frames), craft.pcap(frames[: len(frames) // 2])
    assert len(part) > 65536
    (tmp_path / "growing.pcap").write_bytes(part)
    first = analyzed("growing.pcap", cwd=tmp_path)
    assert coverage_frames(tmp_path) == first["coverage"]["frames"]
    (tmp_path / "growing.pcap").write_bytes(whole)
    second = analyzed("growing.pcap", cwd=tmp_path)
    assert [one["status"] for one in second["inputs"]] == ["ok"]
    assert totals(tmp_path) == {device["ip"]: 1 for device in second["devices"]}
    assert len(second["devices"]) == 600
    assert analyzed("growing.pcap", cwd=tmp_path)["inputs"][0]["status"] == "known"


def test_captures_that_overlap_count_each_handshake_once(tmp_path: Path) -> None:
    frames = frames_of(30)
    (tmp_path / "a.pcap").write_bytes(craft.pcap(frames[:200]))
    (tmp_path / "b.pcap").write_bytes(craft.pcap(frames[100:]))
    analyzed("a.pcap", "b.pcap", cwd=tmp_path)
    counted = totals(tmp_path)
    assert len(counted) == 30
    assert set(counted.values()) == {1}


def test_a_damaged_capture_is_partial_the_second_time_too(tmp_path: Path) -> None:
    (tmp_path / "cut.pcapng").write_bytes(OFFICE.read_bytes()[:-100])
    for _ in range(2):
        told = analyzed("cut.pcapng", cwd=tmp_path)
        assert told["inputs"][0]["status"] == "partial"
    assert sum(totals(tmp_path).values()) == told["totals"]["hellos"]


def test_analyze_without_a_store_loads_no_database(tmp_path: Path) -> None:
    def loaded(*arguments: str) -> set[str]:
        ran = subprocess.run(
            [sys.executable, "-c", LOADED, "analyze", "-o", "out.json", *arguments, str(OFFICE)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return set(ran.stdout.rpartition("LOADED ")[2].split())

    assert not loaded() & {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
    assert loaded("--store", STORE) >= {"sqlalchemy", "alembic", "sqlite3"}
    assert not loaded("--store", STORE) & {"alembic", "psycopg"}


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("sqlite:///none/kept.db", "none/kept.db: No such file or directory"),
        ("sqlite:///.", "unable to open database file"),
        ("postgresql+psycopg://nobody@127.0.0.1:9/none", "connection failed"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:9/none", "nobody:***@127.0.0.1:9/none: "),
    ],
)
def test_store_that_cannot_be_used_is_one_line(store: str, why: str, tmp_path: Path) -> None:
    for arguments in (["analyze", str(OFFICE)], ["run", "--replay", str(OFFICE)]):
        ran = hellowatch(*arguments, "--store", store, cwd=tmp_path)
        told = ran.stderr.decode()
        assert (ran.returncode, ran.stdout) == (3, b""), told
        assert why in told
        assert "secret" not in told
        assert told.count("\n") == 1


def test_asking_where_there_is_no_inventory_says_how_to_get_one(tmp_path: Path) -> None:
    for command in (["devices"], ["devices", "show", "x"], ["handshakes"]):
        ran = hellowatch(*command, "--store", STORE, cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (3, b"")
        assert b"there is no inventory yet; run makes it, and analyze with --store" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_replay_keeps_nothing_unless_told(tmp_path: Path) -> None:
    with running("--replay", OFFICE, cwd=tmp_path) as run:
        run.wait_until_replayed()
        assert "\nhellowatch_store_queue 0.0" in run.get("/metrics")[1]
    assert not list(tmp_path.iterdir())
    with running("--replay", OFFICE, "--store", STORE, cwd=tmp_path) as run:
        run.wait_until_replayed()
        assert sum(totals(tmp_path).values()) == 63
        assert run.end()[0] == 0
    assert analyzed(OFFICE, cwd=tmp_path)["inputs"][0]["status"] == "known"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an inventory of the office."""
    folder = tmp_path_factory.mktemp("office")
    analyzed(OFFICE, cwd=folder)
    return folder


def test_devices_are_listed_in_every_format(office: Path) -> None:
    devices = listed(office)
    lines = asked("devices", "--format", "ndjson", cwd=office).splitlines()
    assert [json.loads(line) for line in lines] == devices
    rows = list(
        csv.DictReader(io.StringIO(asked("devices", "--format", "csv", cwd=office).decode()))
    )
    assert [(row["ip"], row["status"]) for row in rows] == [(d["ip"], d["status"]) for d in devices]
    table = asked("devices", cwd=office).decode()
    assert "24 devices, " in table
    assert "What we could see: " in table
    assert asked("devices", "-o", "devices.csv", cwd=office) == b""
    assert (office / "devices.csv").read_text().count("\n") == 25


def test_device_is_named_by_id_address_or_mac(office: Path) -> None:
    (device,) = [device for device in listed(office) if device["ip"] == "10.20.1.30"]
    for name in (device["id"], device["ip"], device["mac"], device["mac"].upper()):
        told = json.loads(asked("devices", "show", name, "--format", "json", cwd=office))
        assert told["id"] == device["id"]
        assert [turn["status"] for turn in told["history"]] == ["refused"]
        assert told["history"][0]["since"] == told["onset"]
    shown = asked("devices", "show", "10.20.1.30", cwd=office).decode()
    assert "since 2026-11-23 06:55  Refused by the server" in shown
    assert "\nimaps  Refused by the server; last ok never; last refused 2026-11-2" in shown


def test_device_is_held_against_the_profile_that_is_asked_for(office: Path) -> None:
    show = ("devices", "show", "10.20.1.30", "--against", "gmail")
    told = json.loads(asked(*show, "--format", "json", cwd=office))
    (stack,) = told["stacks"]
    (here,), (supposed,) = stack["simulation"], told["against"]["stacks"]
    assert (here["destination"], here["accepted"]) == ("exchange-online", False)
    assert here["missing"] == "offers TLS 1.0; needs TLS 1.2, and no ECDHE suite"
    assert here["observed"]["others_pass"] is True
    assert (supposed["stack"], supposed["destination"]) == (stack["id"], "gmail")
    assert (supposed["accepted"], supposed["observed"]) == (True, None)
    shown = asked(*show, cwd=office).decode()
    assert "imaps at exchange-online, offering TLS 1.0: not taken, says the profile; " in shown
    assert "Supposed it spoke to gmail:\nimaps at gmail, offering TLS 1.0: taken" in shown
    ran = hellowatch(*show[:-1], "nobody", "--store", STORE, cwd=office)
    assert ran.returncode == 2
    assert b"--against: 'nobody' is neither a file nor one of " in ran.stderr


def test_evidence_of_a_device_is_a_capture_that_says_the_same(office: Path, tmp_path: Path) -> None:
    (device,) = [device for device in listed(office) if device["ip"] == "10.20.20.11"]
    evidence = tmp_path / "evidence.pcap"
    assert asked("devices", "evidence", "10.20.20.11", "-w", str(evidence), cwd=office) == b""
    piped = asked("devices", "evidence", "10.20.20.11", "-o", "-", cwd=office)
    assert evidence.read_bytes() == piped
    again = json.loads(hellowatch("analyze", evidence, "--format", "json", cwd=tmp_path).stdout)
    (told,) = again["devices"]
    assert (told["ip"], told["mac"], told["status"]) == (device["ip"], device["mac"], "refused")
    assert [stack["id"] for stack in told["stacks"]] == [stack["id"] for stack in device["stacks"]]
    shown = json.loads(asked("devices", "show", "10.20.20.11", "--format", "json", cwd=office))
    (wire,) = shown["wire"]
    assert bytes.fromhex(wire["hello"]) in piped
    first = device["stacks"][0]["evidence"]["first"]
    assert {"path": wire["path"], "frame": wire["frame"]} == first
    lines = asked("devices", "show", "10.20.20.11", "--hex", cwd=office).decode().splitlines()
    at = lines.index(next(line for line in lines if line.startswith("Hello of 2026-11-23")))
    dump = [line for line in lines[at + 1 :] if line[:4].isalnum()]
    assert b"".join(bytes.fromhex(line[6:53]) for line in dump).hex() == wire["hello"]
    assert "outlook.office365.com" in "".join(line[55:] for line in dump)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["10.20.1.40", "-w", "x"], 3, "keeps no handshake of 10.20.1.40"),
        (["10.20.20.11", "-w", "no/such/folder/x"], 2, "-w: no/such/folder/x: cannot be written"),
        (["10.20.20.11"], 2, "Missing option '-w'"),
        (["10.0.0.1", "-w", "x"], 2, "names no device of this inventory"),
    ],
)
def test_evidence_that_cannot_be_written_is_one_line(
    arguments: list[str], code: int, why: str, office: Path
) -> None:
    ran = hellowatch("devices", "evidence", *arguments, "--store", STORE, cwd=office)
    assert (ran.returncode, ran.stdout) == (code, b"")
    assert why in ran.stderr.decode()
    assert not (office / "x").exists()


def test_established_lately_is_counted_from_the_hours(tmp_path: Path) -> None:
    frames: list[craft.Frame] = []
    for day in range(30):
        talk = Conversation(
            client="10.0.0.7",
            server="52.96.1.1",
            server_port=993,
            client_port=40_000 + day,
            time_ns=craft.START_NS + day * 86_400 * 10**9,
        )
        talk.open().client(craft.client_hello(version=0x0301)).server(craft.server_hello(0x0301))
        talk.client(craft.change_cipher_spec()).server(craft.change_cipher_spec())
        frames += talk.frames()
    (tmp_path / "month.pcap").write_bytes(craft.pcap(frames))
    analyzed("month.pcap", cwd=tmp_path)
    (listed_stack,) = listed(tmp_path)[0]["stacks"]
    assert listed_stack["simulation"][0]["observed"]["established"] is None
    shown = json.loads(asked("devices", "show", "10.0.0.7", "--format", "json", cwd=tmp_path))
    assert shown["stacks"][0]["simulation"][0]["observed"]["established"] == 14


def test_name_that_means_none_or_several_is_two_and_says_so(office: Path) -> None:
    ran = hellowatch("devices", "show", "10.9.9.9", "--store", STORE, cwd=office)
    assert ran.returncode == 2
    assert b"10.9.9.9: names no device" in ran.stderr
    with sqlite3.connect(office / "kept.db") as connection:
        connection.execute("UPDATE device SET mac = '02:00:00:00:00:01' WHERE ip LIKE '10.20.1.%'")
    ran = hellowatch("devices", "show", "02:00:00:00:00:01", "--store", STORE, cwd=office)
    assert ran.returncode == 2
    assert b"devices, say which: " in ran.stderr
    assert b"10.20.1.30" in ran.stderr


def test_kept_events_are_those_of_devices_that_need_action(office: Path) -> None:
    events = hellowatch("analyze", "--format", "ndjson", OFFICE, cwd=office).stdout.splitlines()
    telling = {device["ip"] for device in listed(office) if device["status"] != "ok"}
    expected = [
        line
        for line in events
        if (event := json.loads(line))["source"]["ip"] in telling
        and (event["source"]["ip"] != FINE_AT_FIRST or event["@timestamp"] > "2026-11-23T08:40")
    ]
    kept = asked("handshakes", cwd=office).splitlines()
    assert sorted(map(json.loads, kept), key=str) == sorted(map(json.loads, expected), key=str)
    some = [
        json.loads(line)
        for line in asked("handshakes", "--outcome", "alert", cwd=office).splitlines()
    ]
    assert {one["hellowatch"]["outcome"] for one in some} == {"alert"}
    (first, *_) = json.loads(
        asked("handshakes", "--device", "10.20.1.30", "--format", "json", cwd=office)
    )
    assert first["source"]["ip"] == "10.20.1.30"
    late = asked("handshakes", "--since", "2026-11-24T06:00", cwd=office).splitlines()
    assert late
    assert all(json.loads(line)["@timestamp"] >= "2026-11-24T06" for line in late)
    assert asked("handshakes", "--since", "1d", cwd=office)


def test_handshakes_between_two_times_in_every_form(office: Path) -> None:
    every = [json.loads(line) for line in asked("handshakes", cwd=office).splitlines()]
    at = "2026-11-24T00:00"
    early = asked("handshakes", "--until", at, cwd=office).splitlines()
    late = asked("handshakes", "--since", at, cwd=office).splitlines()
    assert early
    assert [*map(json.loads, early), *map(json.loads, late)] == every
    some = asked("handshakes", "--since", "5h", "--until", "3h", cwd=office).splitlines()
    assert 0 < len(some) < len(late)
    assert json.loads(asked("handshakes", "--format", "json", cwd=office)) == every
    lines = asked("handshakes", "--format", "table", cwd=office).decode().splitlines()
    assert len(lines) == len(every)
    assert "10.20.1.30 to 40.96.33.2:993 (imaps); offers TLS 1.0; Old TLS; " in "\n".join(lines)
    for wrong in (("--until", at), ("--format", "json"), ("--as-of", at)):
        ran = hellowatch("handshakes", "--follow", *wrong, "--store", STORE, cwd=office)
        assert ran.returncode == 2


def test_handshakes_are_followed_as_they_are_added(tmp_path: Path) -> None:
    frames = frames_of(4)
    (tmp_path / "a.pcap").write_bytes(craft.pcap(frames[: len(frames) // 2]))
    (tmp_path / "b.pcap").write_bytes(craft.pcap(frames))
    analyzed("a.pcap", cwd=tmp_path)
    following = subprocess.Popen(
        [*PROGRAM, "handshakes", "--follow", "--store", STORE],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    assert following.stdout is not None
    try:
        first = [json.loads(following.stdout.readline()) for _ in range(2)]
        analyzed("b.pcap", cwd=tmp_path)
        rest = [json.loads(following.stdout.readline()) for _ in range(2)]
        kept = [json.loads(line) for line in asked("handshakes", cwd=tmp_path).splitlines()]
        assert [*first, *rest] == kept
        following.send_signal(signal.SIGINT)
        assert following.wait(SECONDS) == 130
    finally:
        following.kill()
        following.stdout.close()


def test_answers_are_as_of_the_time_asked_for(office: Path) -> None:
    early = json.loads(
        asked("devices", "--format", "json", "--as-of", "2026-11-23T07:00", cwd=office)
    )
    assert 0 < len(early) < 24
    for wrong in ("soon", "2026-13-01"):
        ran = hellowatch("devices", "--as-of", wrong, "--store", STORE, cwd=office)
        assert ran.returncode == 2
        assert b"--as-of: " in ran.stderr


def test_backup_is_a_whole_inventory(office: Path) -> None:
    ran = hellowatch("devices", "backup", "copy.db", "--store", STORE, cwd=office)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert listed(office, "sqlite:///copy.db") == listed(office)
    ran = hellowatch("devices", "backup", "none/copy.db", "--store", STORE, cwd=office)
    assert ran.returncode == 3
    assert b"No such file or directory" in ran.stderr


def device_of(folder: Path, ip: str) -> dict[str, Any]:
    (device,) = [device for device in listed(folder) if device["ip"] == ip]
    return device


def test_owner_note_and_ticket_stand_beside_what_was_seen(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    asked("devices", "own", "10.20.1.30", "Facility", cwd=tmp_path)
    asked("devices", "note", "10.20.1.30", "=second floor", "--ticket", "T-1", cwd=tmp_path)
    device = device_of(tmp_path, "10.20.1.30")
    assert (device["owner"], device["note"], device["ticket"]) == (
        "Facility",
        "=second floor",
        "T-1",
    )
    asked("devices", "own", "10.20.1.30", "", cwd=tmp_path)
    device = device_of(tmp_path, "10.20.1.30")
    assert (device["owner"], device["note"]) == (None, "=second floor")
    analyzed(OFFICE, cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30") == device


def test_exception_holds_until_its_end_and_then_speaks_up_again(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    reason = ("--reason", "to be replaced in spring")
    asked("devices", "except", "10.20.1.30", *reason, "--until", "2026-12-01", cwd=tmp_path)
    device = device_of(tmp_path, "10.20.1.30")
    assert device["status"] == "excepted"
    assert device["exception"] == {
        "reason": "to be replaced in spring",
        "until": "2026-12-01T00:00:00.000000Z",
    }
    asked("devices", "except", "10.20.1.30", *reason, "--until", "2026-11-24", cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["status"] == "refused"
    asked("devices", "except", "10.20.1.30", *reason, cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["status"] == "excepted"
    asked("devices", "except", "10.20.1.30", "--end", cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["exception"] is None
    ran = hellowatch("devices", "except", "10.20.1.30", "--store", STORE, cwd=tmp_path)
    assert ran.returncode == 2


def test_claim_stands_in_every_view_and_is_taken_back(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["claim"] is None
    at = "2026-11-24T00:00"
    asked("devices", "claim", "10.20.1.30", "--did", "firmware", "--at", at, cwd=tmp_path)
    claim = {
        "did": "firmware",
        "at": "2026-11-24T00:00:00.000000Z",
        "state": "still-old",
        "since": "2026-11-24T06:55:00.598466Z",
    }
    device = device_of(tmp_path, "10.20.1.30")
    assert device["claim"] == claim | {"since": device["claim"]["since"]}
    assert device["claim"]["since"].startswith("2026-11-24T06:55:00.")
    show = ("devices", "show", "10.20.1.30")
    assert json.loads(asked(*show, "--format", "json", cwd=tmp_path))["claim"] == device["claim"]
    shown = asked(*show, cwd=tmp_path).decode()
    assert "\n2026-11-24 00:00  Firmware updated: still old, since 2026-11-24 06:55\n" in shown
    assert "Firmware" in asked("devices", cwd=tmp_path).decode()
    rows = csv.DictReader(io.StringIO(asked("devices", "--format", "csv", cwd=tmp_path).decode()))
    assert [row["claim"] for row in rows if row["ip"] == "10.20.1.30"] == ["firmware still-old"]
    changes = asked("devices", "diff", "2026-11-24T06:00", cwd=tmp_path).splitlines()
    (changed,) = [one for one in map(json.loads, changes) if one["ip"] == "10.20.1.30"]
    assert (changed["change"], changed["before"], changed["after"]) == (
        *("changed", "refused", "refused"),
    )
    assert changed["claim"] == device["claim"]
    asked("devices", "claim", "10.20.1.30", "--end", cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["claim"] is None
    # Without a time it is the newest that was covered: nothing was seen since.
    asked("devices", "claim", "10.20.1.30", "--did", "retired", cwd=tmp_path)
    assert device_of(tmp_path, "10.20.1.30")["claim"]["state"] == "not-seen-since"
    for wrong in ((), ("--did", "prayed"), ("--did", "firmware", "--end")):
        ran = hellowatch("devices", "claim", "10.20.1.30", *wrong, "--store", STORE, cwd=tmp_path)
        assert ran.returncode == 2


def test_forgotten_device_does_not_come_back_by_what_was_read_before(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    asked("devices", "own", "10.20.1.30", "Facility", cwd=tmp_path)
    asked("devices", "forget", "10.20.1.30", cwd=tmp_path)
    assert "10.20.1.30" not in totals(tmp_path)
    analyzed(OFFICE, cwd=tmp_path)
    assert "10.20.1.30" not in totals(tmp_path)
    for table in ("device", "stack", "activity", "event", "answer"):
        with sqlite3.connect(tmp_path / "kept.db") as connection:
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
        assert "10.20.1.30" not in str(rows)


def test_diff_tells_what_became_of_devices_between_two_times(office: Path) -> None:
    text = asked("devices", "diff", "2026-11-23T07:00", cwd=office)
    changes = {line["ip"]: line for line in map(json.loads, text.splitlines())}
    before = asked("devices", "--format", "json", "--as-of", "2026-11-23T07:00", cwd=office)
    new = {d["ip"] for d in listed(office)} - {d["ip"] for d in json.loads(before)}
    assert {ip for ip, line in changes.items() if line["change"] == "new"} == new
    assert all(line["before"] != line["after"] for line in changes.values())
    assert asked("devices", "diff", "2026-11-24T12:00", cwd=office) == b""


# ------------------------------------------------------------------- one device or several


def shown(folder: Path, named: str) -> dict[str, Any]:
    return json.loads(asked("devices", "show", named, "--format", "json", cwd=folder))


def test_devices_are_merged_and_split_and_nothing_is_lost(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    before = asked("devices", "--format", "json", cwd=tmp_path)
    one, other = (shown(tmp_path, ip) for ip in ("10.20.20.11", "10.20.20.14"))
    events = asked("handshakes", cwd=tmp_path).splitlines()
    assert asked("devices", "merge", one["ip"], other["ip"], cwd=tmp_path) == b""

    devices = json.loads(asked("devices", "--format", "json", cwd=tmp_path))
    assert len(devices) == len(json.loads(before)) - 1
    whole = shown(tmp_path, one["ip"])
    assert shown(tmp_path, other["ip"]) == whole
    assert (whole["id"], whole["addresses"]) == (one["id"], [one["ip"], other["ip"]])
    assert whole["hellos"] == one["hellos"] + other["hellos"]
    stacks = {stack["id"] for device in (one, other) for stack in device["stacks"]}
    assert {stack["id"] for stack in whole["stacks"]} == stacks
    assert whole["first_seen"] == min(one["first_seen"], other["first_seen"])
    told = asked("handshakes", "--device", other["ip"], cwd=tmp_path).splitlines()
    mine = (one["ip"], other["ip"])
    assert told == [line for line in events if json.loads(line)["source"]["ip"] in mine]
    asked("devices", "evidence", one["ip"], "-w", str(tmp_path / "e.pcapng"), cwd=tmp_path)
    shown_again = analyzed("e.pcapng", cwd=tmp_path, store="sqlite:///other.db")["devices"]
    assert [device["ip"] for device in shown_again] == list(mine)

    assert asked("devices", "split", one["ip"], cwd=tmp_path) == b""
    assert asked("devices", "--format", "json", cwd=tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("merge", "10.20.20.11", "10.20.20.11"), b"is the same device as 10.20.20.11 already"),
        (("merge", "10.20.20.11", "192.0.2.1"), b"names no device of this inventory"),
        (("merge", "10.20.20.11"), b"Missing argument"),
        (("split", "10.20.20.11"), b"was not merged with another one"),
    ],
)
def test_what_cannot_be_merged_or_split_is_told(tmp_path: Path, arguments, why) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    ran = hellowatch("devices", *arguments, "--store", STORE, cwd=tmp_path)
    assert ran.returncode == 2
    assert why in ran.stderr


def test_devices_of_two_sites_are_never_one(tmp_path: Path) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    hellowatch(
        *("analyze", "-o", "x", "--site", "Lyon", "--store", STORE, "--ports", "993,995"),
        ROOT / "pcaps" / "dovecot-old-clients.pcap",
        cwd=tmp_path,
    )
    ran = hellowatch(
        "devices", "merge", "10.20.20.11", "10.30.0.12", "--store", STORE, cwd=tmp_path
    )
    assert (ran.returncode, b"is at another site" in ran.stderr) == (2, True)
    listed = json.loads(asked("devices", "--format", "json", "--site", "Lyon", cwd=tmp_path))
    assert {device["site"] for device in listed} == {"Lyon"}
    asked("devices", "forget", "--site", "Lyon", cwd=tmp_path)
    assert json.loads(asked("devices", "--format", "json", "--site", "Lyon", cwd=tmp_path)) == []


@pytest.mark.parametrize(
    "named", ["RNP58387947", "rnp58387947", "58-38-79-4B-10-11", "5838794b1011"]
)
def test_device_is_named_by_what_it_calls_itself_and_any_spelling_of_its_mac(
    tmp_path: Path, named: str
) -> None:
    analyzed(OFFICE, cwd=tmp_path)
    assert shown(tmp_path, named)["ip"] == "10.20.20.11"
