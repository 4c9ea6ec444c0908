"""``hellowatch watch`` beside a daemon at work, and by itself: real clients, real frames."""

import json
import re
import sqlite3
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from daemon import Daemon, daemon
from mail import SERVER, MailServer, talk
from namespaces import Namespace, eventually
from office import office
from program import PROGRAM, environment

OLD, NEW = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3
PRINTER, SCANNER = "10.9.0.10", "10.9.0.12"
STORE = ("--store", "sqlite:///kept.db")


class Office:
    """A printer, a scanner, their server, and the daemon that watches them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.clients, server, self.sensor = stack.enter_context(
            office([PRINTER, SCANNER], [SERVER])
        )
        MailServer(stack, server, folder)
        self.watching: Daemon | None = None

    def talk(self, client: str, newest: ssl.TLSVersion, port: int = 993) -> None:
        talk(self.clients, client, port, newest)

    def watch(
        self, *arguments: str, meanwhile: Callable[[], None], ns: Namespace | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Start watching, do something once it does, and wait for its end."""
        inside = [] if ns is None else ["ip", "netns", "exec", ns.name]
        process = subprocess.Popen(
            [*inside, *PROGRAM, "watch", *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("hellowatch: watching "), first
        meanwhile()
        out, told = process.communicate(timeout=60)
        assert "Traceback" not in told, told
        return subprocess.CompletedProcess([], process.returncode, out, first + told)


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Office]:
    with ExitStack() as stack:
        made = Office(stack, tmp_path)
        # One whose clients were seen before, so that there is an inventory to look into.
        made.watching = stack.enter_context(
            daemon(made.sensor, "-i", "mirror", *STORE, cwd=tmp_path)
        )
        for client, newest in ((PRINTER, OLD), (SCANNER, NEW)):
            made.talk(client, newest)
        eventually(lambda: kept(tmp_path) == 2, 15)
        yield made


def kept(folder: Path) -> int:
    try:
        with sqlite3.connect(folder / "kept.db") as connection:
            return connection.execute("SELECT count(*) FROM device").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_next_handshake_of_an_old_device_is_its_event_and_exit_code_1(at_work: Office) -> None:
    ran = at_work.watch(PRINTER, *STORE, meanwhile=lambda: at_work.talk(PRINTER, OLD))
    assert ran.returncode == 1, ran.stderr
    (event,) = map(json.loads, ran.stdout.splitlines())
    assert at_work.watching is not None
    assert event in at_work.watching.events[2:]
    assert event["hellowatch"]["max_offered"] == "TLS 1.0"
    assert f"watching {PRINTER} in sqlite:///kept.db" in ran.stderr


def test_next_handshake_of_one_that_is_ok_is_seen_and_nothing_is_kept_for_it(
    at_work: Office,
) -> None:
    ran = at_work.watch(SCANNER, *STORE, meanwhile=lambda: at_work.talk(SCANNER, NEW))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "source": {"ip": SCANNER},
        "destination": {"ip": SERVER, "port": 993},
        "network": {"protocol": "imaps"},
        "tls": {"client": {"server_name": "mail.example.org"}},
        "hellowatch": {
            "max_offered": "TLS 1.3",
            "ja4": json.loads(ran.stdout)["hellowatch"]["ja4"],
            "verdict": "ok",
            "outcome": "established",
        },
    }
    with sqlite3.connect(at_work.folder / "kept.db") as connection:
        named = "SELECT id FROM device WHERE ip = ?"
        for table in ("event", "activity", "stack"):
            rows = connection.execute(
                f"SELECT * FROM {table} WHERE device_id IN ({named})", (SCANNER,)
            )
            assert rows.fetchall() == []


def test_device_that_was_updated_is_told_from_what_it_offers_now(at_work: Office) -> None:
    words = (PRINTER, *STORE, "--format", "table")
    ran = at_work.watch(*words, meanwhile=lambda: at_work.talk(PRINTER, NEW))
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(
        rf"\S+Z  {PRINTER} to mail\.example\.org:993 \(imaps\); offers TLS 1\.3; OK; "
        r"TLS agreed \(login not visible\)\n",
        ran.stdout,
    )


def test_nobody_that_speaks_in_time_is_exit_code_6(at_work: Office) -> None:
    words = (PRINTER, *STORE, "--timeout", "1s")
    ran = at_work.watch(*words, meanwhile=lambda: at_work.talk(SCANNER, NEW))
    assert (ran.returncode, ran.stdout) == (6, "")
    assert f"hellowatch: nothing was seen of {PRINTER}" in ran.stderr


def test_device_is_watched_on_an_interface_without_a_daemon(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = Office(stack, tmp_path)

        def call() -> None:
            made.talk(SCANNER, NEW)
            made.talk(PRINTER, OLD)

        words = (PRINTER, "-i", "mirror", "--timeout", "30s")
        ran = made.watch(*words, meanwhile=call, ns=made.sensor)
        assert ran.returncode == 1, ran.stderr
        event = json.loads(ran.stdout)
        assert (event["source"]["ip"], event["hellowatch"]["verdict"]) == (PRINTER, "legacy")


def test_interface_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*PROGRAM, "watch", PRINTER, "-i", "none0"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("hellowatch: none0: ")
    assert ran.stderr.count("\n") == 1
