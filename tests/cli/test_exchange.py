"""Devices written out of one inventory and taken into another, whatever keeps them."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from program import OFFICE, hellowatch

from sniffer.errors import InputError
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.exchange import take_in

ONE = "sqlite:///one.db"
ANSWERS = (
    ("own", "10.20.20.11", "Jo"),
    ("note", "10.20.20.12", "hall", "--ticket", "T-1"),
    ("merge", "10.20.20.14", "10.20.20.15"),
)
VIEWS = (
    ("devices", "--format", "json"),
    ("devices", "diff", "2026-11-23T12:00"),
    ("handshakes",),
    ("devices", "show", "10.20.20.14", "--format", "json"),
)


def ran(*arguments: str, cwd: Path, code: int = 0) -> bytes:
    done = hellowatch(*arguments, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done.stdout


def views(store: str, folder: Path) -> list[bytes]:
    return [ran(*view, "--store", store, cwd=folder) for view in VIEWS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exchange")
    ran("analyze", "-o", "x", "--store", ONE, str(OFFICE), cwd=folder)
    for answer in ANSWERS:
        ran("devices", *answer, "--store", ONE, cwd=folder)
    ran("devices", "export", "-o", "all.ndjson", "--store", ONE, cwd=folder)
    return folder


def test_another_store_tells_the_same_however_often_it_is_told(folder, store_url):
    for _ in range(2):
        ran("devices", "import", "all.ndjson", "--store", store_url, cwd=folder)
        assert views(store_url, folder) == views(ONE, folder)
    again = ran("devices", "export", "--store", store_url, cwd=folder)
    assert sorted(again.splitlines()) == sorted((folder / "all.ndjson").read_bytes().splitlines())


def test_one_device_alone_is_written_whole(folder, tmp_path):
    lines = ran("devices", "export", "10.20.20.15", "--store", ONE, cwd=folder)
    (tmp_path / "some.ndjson").write_bytes(lines)
    ran("devices", "import", "some.ndjson", "--store", "sqlite:///two.db", cwd=tmp_path)
    listed = ("devices", "--format", "json", "--store")
    (device,) = json.loads(ran(*listed, "sqlite:///two.db", cwd=tmp_path))
    whole = json.loads(ran(*listed, ONE, cwd=folder))
    (same,) = (one for one in whole if one["id"] == device["id"])
    assert device["addresses"] == ["10.20.20.14", "10.20.20.15"]
    assert device == same


def test_devices_that_are_there_stay_as_they_are(folder, tmp_path):
    two = "sqlite:///two.db"
    ran("analyze", "-o", "x", "--store", two, str(OFFICE), cwd=tmp_path)
    ran("devices", "own", "10.20.20.11", "somebody else", "--store", two, cwd=tmp_path)
    before = ran("devices", "--format", "json", "--store", two, cwd=tmp_path)
    done = hellowatch("devices", "import", folder / "all.ndjson", "--store", two, cwd=tmp_path)
    assert (done.returncode, done.stderr.startswith(b"0 devices were taken in, 24")) == (0, True)
    assert ran("devices", "--format", "json", "--store", two, cwd=tmp_path) == before


def test_pipe_from_one_to_the_other(folder, tmp_path):
    lines = (folder / "all.ndjson").read_bytes()
    done = hellowatch(
        *("devices", "import", "-", "--store", "sqlite:///two.db"), cwd=tmp_path, stdin=lines
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"", "line 1: is no exported inventory"),
        (b"no json\n", "line 1: is no exported inventory"),
        (b'{"hellowatch":"else","tables":"0001"}\n', "line 1: is no exported inventory"),
        (b'{"hellowatch":"inventory","tables":"9999"}\n', "update both"),
        (b'{"hellowatch":"inventory","tables":"9999"}', "tables 9999"),
        (b'HEAD{"table":"nosuch","row":{}}\n', "line 2: there is no table 'nosuch'"),
        (b'HEAD{"table":"device","row":{"id":"x"}}\n', "line 2: device has no or lacks address"),
        (b'HEAD{"table":"stack"}\n', "line 2: is no exported inventory"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(folder, tmp_path, lines, why):
    head = (folder / "all.ndjson").read_bytes().partition(b"\n")[0] + b"\n"
    octets = lines.replace(b"HEAD", head)
    database = opened(tmp_path)
    with pytest.raises(InputError, match=why):
        take_in(database, "odd.ndjson", octets.splitlines(keepends=True))


def opened(folder: Path) -> Database:
    database = Database(f"sqlite:///{folder}/two.db")
    database.open()
    return database


def test_wrong_file_is_one_line(folder, tmp_path):
    for name in ("nosuch.ndjson", str(OFFICE)):
        done = hellowatch("devices", "import", name, "--store", "sqlite:///2.db", cwd=tmp_path)
        assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [("address", "zz"), ("hellos", "many"), ("first_ns", None), ("is_telling", 7), ("ip", ["x"])],
)
def test_values_of_another_type_are_refused_and_what_came_before_stays(
    folder, tmp_path, column, value
):
    lines = (folder / "all.ndjson").read_bytes().splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.startswith(b'{"table":"device"')]
    told = json.loads(lines[places[1]])
    told["row"][column] = value
    lines[places[1]] = json.dumps(told).encode() + b"\n"
    database = opened(tmp_path)
    with pytest.raises(InputError, match=f"line {places[1] + 1}: device.{column}"):
        take_in(database, "odd.ndjson", lines)
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.device)) == 1
