"""A damaged SQLite file: found, set aside, and what can still be read taken over."""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from sniffer.inventory.store import schema

if TYPE_CHECKING:
    from sniffer.inventory.store.database import Database

logger = logging.getLogger(__name__)

ENDINGS = ("", "-wal", "-shm")
NO_DATABASE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
"""What SQLite says of a file that is damaged, or never was its own."""
LAST_ROW = (1 << 63) - 1


def set_aside_if_damaged(database: "Database") -> None:
    """Check every page; begin anew where one is damaged, with the rows that can be read."""
    path = database.path
    if path is None or is_whole(path):
        return
    aside = _free_name(path)
    for ending in ENDINGS:
        with suppress(FileNotFoundError):
            os.rename(path + ending, aside + ending)
    logger.error(
        "The store was damaged: it was set aside, and what can be read of it is taken over",
        {"store": path, "aside": aside},
    )
    database.migrate()
    with closing(sqlite3.connect(path)) as fresh:
        rows = _salvage(aside, fresh)
    logger.error("The damaged store was taken over", {"store": path, "rows": rows})


def is_whole(path: str) -> bool:
    """Tell whether SQLite finds nothing wrong with a file's pages."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return bool(said == "ok")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in NO_DATABASE:
            return False
        raise


def _free_name(path: str) -> str:
    number = 1
    while os.path.exists(f"{path}.damaged-{number}"):
        number += 1
    return f"{path}.damaged-{number}"


def _salvage(aside: str, fresh: sqlite3.Connection) -> int:
    """Copy the rows that can be read; return how many."""
    taken = 0
    for table in schema.metadata.sorted_tables:
        columns = [f'"{column.name}"' for column in table.columns]
        into = (
            f"INSERT OR REPLACE INTO {table.name} ({', '.join(columns)}) "  # noqa: S608 (names of our own tables)
            f"VALUES ({', '.join('?' * len(columns))})"
        )
        with closing(sqlite3.connect(f"file:{aside}?immutable=0", uri=True)) as old:
            for row in _rows(old, table.name, ", ".join(columns)):
                with suppress(sqlite3.IntegrityError):  # half a row
                    taken += fresh.execute(into, row).rowcount
        fresh.commit()
    return taken


def _rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Sequence[Any]]:
    """Yield the rows of a table in the order of their numbers, stepping over what is damaged."""
    ask = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608 (our own)
    at, step = -LAST_ROW, 1
    while at < LAST_ROW:
        try:
            for number, *row in old.execute(ask, (at,)):
                at, step = number, 1
                yield row
        except sqlite3.DatabaseError:
            # Over more and more numbers, until a page is met that can be read.
            at, step = min(LAST_ROW, at + step), 2 * step
        else:
            return
