"""One database: opened, checked, brought up to date; transactions on it.

SQLite runs in WAL mode and makes each commit durable. Whoever writes takes the one write
lock first, here as in PostgreSQL, so that what a transaction read is still so when it writes.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from sniffer.errors import ConfigError, StoreError
from sniffer.inventory.store import schema

BUSY_MILLISECONDS = 5000
"""How long a lock is waited for before whoever wants it is told."""
WAL_BYTES = 64 << 20
"""More is never written ahead: commits wait until readers let go of old pages."""
WAL_ROOM_BYTES = 16 << 20
"""No transaction writes more than this; beyond the rest the log is emptied first."""
POSTGRES_LOCK = 0x68656C6C6F
"""The advisory lock of whoever writes."""
PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",
    f"PRAGMA journal_size_limit = {WAL_BYTES}",
)
MIGRATIONS = "sniffer.inventory.store.migrations"


class Database:
    """A store's database by its URL. Nothing is touched before ``open`` or a transaction."""

    def __init__(self, url: str) -> None:
        """Know a database. Raises ConfigError if this is no URL of one."""
        try:
            self._url = sa.make_url(url)
            if self._url.drivername == "postgresql":
                self._url = self._url.set(drivername="postgresql+psycopg")
            self.engine = sa.create_engine(self._url, poolclass=NullPool)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            why = "is no store: write sqlite:///PATH or postgresql+psycopg://..."
            raise ConfigError("--store", "", f"{url!r} {why}") from error
        except ModuleNotFoundError as error:
            why = "PostgreSQL needs the extra: pip install 'hellowatch[postgres]'"
            raise ConfigError("--store", "", why) from error
        self.name = self._url.render_as_string(hide_password=True)
        self.path = self._url.database if self.is_sqlite else None
        if self.is_sqlite:
            event.listen(self.engine, "connect", _connected)
            event.listen(self.engine, "begin", _begun)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.engine.dialect.name == "sqlite"

    def open(self, check: bool = False) -> None:
        """Make it or bring it up to date; with ``check`` set a damaged file aside first.

        Raises StoreError.
        """
        with self.errors():
            if self.path is not None:
                _make_private(self.path)
                if check:
                    from sniffer.inventory.store.damage import set_aside_if_damaged

                    set_aside_if_damaged(self)
            self.migrate()

    def migrate(self, to: str = schema.VERSION) -> None:
        """Bring the tables up to date, all or nothing; a copy of old ones is kept before."""
        version = self.version()
        if version == to:
            return
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from alembic.config import Config
        from alembic.runtime.environment import EnvironmentContext
        from alembic.script import ScriptDirectory

        with as_file(files(MIGRATIONS)) as folder:
            scripts = ScriptDirectory(str(folder))
            known = {script.revision for script in scripts.walk_revisions()}
            if version is not None and version not in known:
                why = f"was written by a newer HelloWatch (tables {version}); update this one"
                raise StoreError(self.name, why)
            if version is not None and self.path is not None:
                copy = f"{self.path}.before-{to}"
                if not os.path.exists(copy):
                    self.backup(copy)

            def steps(at: Any, _context: object) -> Any:  # noqa: ANN401 (what alembic passes on)
                return scripts._upgrade_revs(to, at)

            with self.write() as connection, EnvironmentContext(Config(), scripts, fn=steps) as env:
                env.configure(connection=connection, render_as_batch=True, transactional_ddl=True)
                env.run_migrations()

    def version(self) -> str | None:
        """Return the newest migration that was run; None: there are no tables."""
        with self.read() as connection:
            return _version(connection)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Return a transaction that nobody else writes beside; committed at its end."""
        with self.engine.connect() as connection, self.writing(connection):
            yield connection

    @contextmanager
    def writing(self, connection: sa.Connection) -> Iterator[None]:
        """Begin such a transaction on a connection that is kept."""
        options: dict[str, Any] = {"hellowatch_write": True}
        with connection.execution_options(**options).begin():
            if not self.is_sqlite:
                lock = sa.text("SELECT pg_advisory_xact_lock(:lock)")
                connection.execute(lock, {"lock": POSTGRES_LOCK})
            yield

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Return a transaction that sees one moment. Keep it short: it holds old pages."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the library's errors into a StoreError of one line."""
        try:
            yield
        except DBAPIError as error:
            raise StoreError(self.name, reason(error)) from error
        except sqlite3.Error as error:
            raise StoreError(self.name, str(error)) from error
        except OSError as error:
            raise StoreError(self.name, error.strerror or str(error)) from error

    def backup(self, path: str) -> None:
        """Copy it into a new file while others go on writing. Raises StoreError."""
        if self.path is None:
            raise StoreError(self.name, "PostgreSQL is copied by its own pg_dump")
        with self.errors(), self.engine.connect() as connection:
            half = f"{path}.part"
            with suppress(FileNotFoundError):
                os.unlink(half)
            _make_private(half)
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (tells mypy, always true)
            driver.execute("VACUUM INTO ?", (half,))
            with open(half, "rb") as file:
                os.fsync(file.fileno())
            os.rename(half, path)

    def bytes(self) -> int:
        """Return how much room it takes, what is written ahead included."""
        if self.path is not None:
            return sum(_size(self.path + ending) for ending in ("", "-wal"))
        with self.read() as connection:
            size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
            return int(size or 0)

    def used_bytes(self, connection: sa.Connection) -> int:
        """Return how much of a file is in use; of PostgreSQL, which tidies by itself, 0."""
        if self.path is None:
            return 0
        pages, free, size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def has_room_ahead(self, connection: sa.Connection) -> bool:
        """Tell whether another transaction may be written; empties the log where it is long."""
        if self.path is None or _size(self.path + "-wal") < WAL_BYTES - WAL_ROOM_BYTES:
            return True
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (tells mypy, always true)
        (busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


def reason(error: DBAPIError) -> str:
    """Return what a database said, in one line."""
    return str(error.orig).strip().partition("\n")[0]


def _connected(driver: sqlite3.Connection, _record: object) -> None:
    driver.isolation_level = None  # transactions begin where we say so, not where Python guesses
    for pragma in PRAGMAS:
        driver.execute(pragma)


def _begun(connection: sa.Connection) -> None:
    is_write = connection.get_execution_options().get("hellowatch_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def _make_private(path: str) -> None:
    """Make the file if there is none, for its owner alone."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _size(path: str) -> int:
    with suppress(FileNotFoundError):
        return os.path.getsize(path)
    return 0
