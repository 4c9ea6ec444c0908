"""Databases for tests of the store: SQLite files, and a PostgreSQL of our own.

The server is Debian's, run by a user without privileges (it refuses root), on a Unix socket
in a folder of its own.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

USER = "nobody"
"""Who runs the server where the tests run as root."""


class Postgres:
    """A running server; ``url`` is of a new database at each call."""

    def __init__(self, folder: str, user: str) -> None:
        self._folder = folder
        self._user = user
        self._numbers = count(1)

    def url(self) -> str:
        name = f"store{next(self._numbers)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{self._user}@/{name}?host={self._folder}"

    def _address(self, name: str) -> str:
        return f"postgresql://{self._user}@/{name}?host={self._folder}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server and stop it at the end."""
    found = sorted(glob("/usr/lib/postgresql/*/bin"))
    assert found, "PostgreSQL is not installed: apt-get install postgresql"
    programs = Path(found[-1])
    folder = tempfile.mkdtemp(prefix="hellowatch-pg-")
    is_root = os.geteuid() == 0
    user = USER if is_root else pwd.getpwuid(os.geteuid()).pw_name
    switched: dict[str, Any] = {"user": USER, "cwd": folder} if is_root else {"cwd": folder}
    if is_root:
        shutil.chown(folder, USER)
    data = f"{folder}/data"
    settings = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=20"
    try:
        _run([programs / "initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8"], switched)
        start = [programs / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", settings]
        _run([*start, "start"], switched)
        try:
            yield Postgres(folder, user)
        finally:
            _run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], switched)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[Any], switched: dict[str, Any]) -> None:
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        timeout=60,
        **switched,
    )
