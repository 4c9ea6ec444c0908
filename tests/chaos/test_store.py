"""What the store promises when things go wrong (reliability.md, D1 to D9), for real."""

import io
import os
import random
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from handshakes import SECOND_NS, START_NS, handshake, judgement
from program import ROOT, environment

from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.errors import StoreError
from sniffer.export.ecs import encode
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.store import schema
from sniffer.inventory.store.damage import is_whole
from sniffer.inventory.store.database import WAL_BYTES, Database
from sniffer.inventory.store.reader import Reader
from sniffer.inventory.store.recorder import Recorder
from sniffer.inventory.store.writer import Writer
from sniffer.judge.profile import load_profiles

APPLYING = Path(__file__).parent / "applying.py"
HELLOS = 5
"""In one delta of ``applying``."""
KILLS = int(os.environ.get("HELLOWATCH_KILLS", "8"))
PROFILES = load_profiles()
QUEUE = 300


def hellos_kept(url: str) -> int:
    return sum(one.snapshot.hellos for one in Reader(Database(url), DEFAULT_PORTS).devices())


def events_and_activity(path: Path) -> tuple[int, int, int]:
    with closing(sqlite3.connect(path)) as connection:
        ask = "SELECT (SELECT count(*) FROM seen), sum(hellos) FROM activity"
        seen, activity = connection.execute(ask).fetchone()
        (hellos,) = connection.execute("SELECT sum(hellos) FROM device").fetchone()
    return seen, activity, hellos


class Live:
    """An aggregate that is counted into while a recorder writes."""

    def __init__(self, url: str, queue: int = QUEUE) -> None:
        self.lock = threading.Lock()
        self.seen = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
        database = Database(url)
        database.open()
        writer = Writer(database, secrets.token_hex(8), DEFAULT_PORTS, PROFILES, encode)
        self.recorder = Recorder(writer, self.seen, self.lock, queue=queue, commit_seconds=0.05)
        self.counted = 0

    def count(self, hellos: int) -> float:
        """Count some; return how long that took."""
        began = time.monotonic()
        for _ in range(hellos):
            self.counted += 1
            with self.lock:
                self.seen.observe(handshake(START_NS + self.counted * SECOND_NS), judgement())
        return time.monotonic() - began

    def figures(self):
        with self.lock:
            return self.recorder.figures()

    def until(self, condition, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition(self.figures()):
            assert time.monotonic() < end, self.figures()
            time.sleep(0.02)


@contextmanager
def live(url: str, **settings: int) -> Iterator[Live]:
    made = Live(url, **settings)
    made.recorder.start()
    try:
        yield made
    finally:
        made.recorder.close()


def test_killed_at_random_moments_nothing_is_torn_or_doubled(tmp_path):
    """D1, D2: a commit that was said is on the disk; one that was not is there whole or not."""
    path = tmp_path / "store.db"
    chance = random.Random(7)
    said = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, APPLYING, f"sqlite:///{path}", str(said + 1)],
            env=environment(PYTHONPATH=os.pathsep.join(python_path())),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.15))
        # The files as a power failure would leave them, too.
        copy = tmp_path / "copy.db"
        process.send_signal(signal.SIGSTOP)
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{copy}{ending}")
        process.kill()
        lines = process.stdout.read().split()
        process.wait()
        said = max([said, *map(int, lines)])
        for one in (path, copy):
            seen, activity, hellos = events_and_activity(one)
            assert seen == activity == hellos
            assert seen // HELLOS in (said, said + 1)
            assert is_whole(str(one))
        for ending in ("", "-wal", "-shm"):
            Path(f"{copy}{ending}").unlink(missing_ok=True)
    assert said >= KILLS // 2


def python_path() -> list[str]:
    given = [path for path in environment()["PYTHONPATH"].split(os.pathsep) if path]
    return [*given, str(ROOT / "tests")]


def test_locked_store_keeps_nobody_waiting_and_loses_nothing_below_its_bound(tmp_path):
    """D4: capture and counting go on; beyond the bound each handshake is counted."""
    url = f"sqlite:///{tmp_path}/store.db"
    with live(url) as run:
        run.count(10)
        run.until(lambda figures: figures.waiting == 0)
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert run.count(200) < 5
            assert run.figures().lost == 0
            run.until(lambda figures: not figures.is_up)
            assert run.figures().waiting == 200
            run.count(150)
            assert run.figures().waiting <= QUEUE
            lost = run.figures().lost
            assert lost == run.counted - 10 - run.figures().waiting
            other.execute("ROLLBACK")
        run.until(lambda figures: figures.is_up and figures.waiting == 0, 10)
        assert run.figures().lost == lost > 0
    assert hellos_kept(url) == run.counted - lost


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: io.FileIO) -> None:
    with suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_full_disk_is_waited_for_and_written_again_by_itself(small_disk):
    """D3: nothing below the bound is lost; it resumes within 10 s."""
    url = f"sqlite:///{small_disk}/store.db"
    with live(url) as run:
        run.count(5)
        run.until(lambda figures: figures.waiting == 0)
        ballast = small_disk / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            fill(file)
        run.count(250)
        run.until(lambda figures: not figures.is_up)
        assert run.figures().lost == 0
        ballast.unlink()
        run.until(lambda figures: figures.is_up and figures.waiting == 0, 10)
    assert hellos_kept(url) == run.counted == 255
    assert is_whole(str(small_disk / "store.db"))


def test_damaged_store_is_set_aside_and_what_can_be_read_is_taken_over(tmp_path, caplog):
    """D5: 64 octets of a page are overwritten."""
    path, url = tmp_path / "store.db", f"sqlite:///{tmp_path}/store.db"
    with live(url, queue=5000) as run:
        run.count(2000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT max(rootpage) FROM sqlite_master WHERE name IN ('seen', 'device')"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    assert not is_whole(str(path))

    Database(url).open(check=True)
    assert is_whole(str(path))
    assert (tmp_path / "store.db.damaged-1").exists()
    assert "The store was damaged" in caplog.text
    with closing(sqlite3.connect(path)) as connection:
        (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
    assert events == 200
    with live(url) as again:
        again.counted = 10_000
        again.count(10)
    assert hellos_kept(url) >= 10


def test_tables_of_a_newer_release_are_refused(tmp_path):
    """D6."""
    url = f"sqlite:///{tmp_path}/store.db"
    Database(url).open()
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match="was written by a newer HelloWatch"):
        Database(url).open()


def test_tables_of_an_older_release_are_brought_up_after_a_copy_was_made(tmp_path):
    """D6."""
    url = f"sqlite:///{tmp_path}/store.db"
    Database(url).migrate("0001")
    Database(url).open()
    assert Database(url).version() == schema.VERSION
    copy = Database(f"sqlite:///{tmp_path}/store.db.before-{schema.VERSION}")
    assert copy.version() == "0001"


def test_migrations_make_what_the_schema_says(store_url):
    database = Database(store_url)
    database.open()
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, schema.metadata)
    assert differences == []


MIGRATING = """
import os, signal, sys
import sqlalchemy
from sniffer.inventory.store.database import Database
left = int(sys.argv[2])
database = Database(sys.argv[1])
@sqlalchemy.event.listens_for(database.engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
database.open()
"""


def test_migration_killed_at_any_step_leaves_all_or_nothing(tmp_path):
    """D6."""
    url = f"sqlite:///{tmp_path}/store.db"
    for step in (*range(1, 40, 4), 1000):
        for file in tmp_path.iterdir():
            file.unlink()
        ran = subprocess.run(
            [sys.executable, "-c", MIGRATING, url, str(step)], env=environment(), check=False
        )
        with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert bool(tables) == (ran.returncode == 0)
        Database(url).open()
        assert hellos_kept(url) == 0
    assert ran.returncode == 0


def test_long_reader_does_not_let_the_log_grow_beyond_its_bound(tmp_path, monkeypatch):
    """D9: commits wait while somebody holds old pages; at a smaller bound here."""
    bound = 1 << 19
    assert WAL_BYTES == 64 << 20
    monkeypatch.setattr("sniffer.inventory.store.database.WAL_BYTES", bound)
    monkeypatch.setattr("sniffer.inventory.store.database.WAL_ROOM_BYTES", bound // 2)
    url = f"sqlite:///{tmp_path}/store.db"
    log = tmp_path / "store.db-wal"
    with live(url, queue=100_000) as run:
        run.count(1)
        run.until(lambda figures: figures.waiting == 0)
        with closing(sqlite3.connect(tmp_path / "store.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchone()
            end = time.monotonic() + 60
            while run.figures().is_up:
                run.count(20)
                assert time.monotonic() < end
                time.sleep(0.02)
            assert log.stat().st_size <= bound
        run.until(lambda figures: figures.is_up and figures.waiting == 0, 60)
    assert hellos_kept(url) == run.counted
