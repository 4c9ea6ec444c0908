"""An inventory, or some of its devices, as lines that another store takes in: NDJSON.

    {"hellowatch": "inventory", "tables": "0008", "now_ns": ...}      the first line
    {"table": "device", "row": {...}}                                 each further one

Octets are hexadecimal. A device comes before what belongs to it. Taking the same lines in
twice changes nothing: what a store has already is left as it is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql, sqlite

from sniffer.errors import InputError
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.hours import parts

WHAT = "inventory"
PAGE = 500
MOST_ROWS = 1000
"""Rows taken in with one commit."""
LONGEST_LINE = 4 << 20
OF_SITES = (schema.coverage, schema.passage, schema.profile)
"""Tables that belong to no device."""
TABLES = {table.name: table for table in (schema.device, *schema.OF_A_DEVICE, *OF_SITES)}


class Head(Struct, frozen=True, kw_only=True):
    """The first line."""

    hellowatch: str
    tables: str
    now_ns: int | None = None


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of a table."""

    table: str
    row: dict[str, Any]


def exported(database: Database, names: Collection[str] | None = None) -> Iterator[bytes]:
    """Yield the lines of these devices, or of everything."""
    with database.read() as connection:
        now_ns = connection.scalar(sa.select(schema.state.c.now_ns))
    yield _line(Head(hellowatch=WHAT, tables=schema.VERSION, now_ns=now_ns))
    for table in OF_SITES:
        yield from _rows(database, table, lambda: sa.true())
    device = schema.device.c
    after: str | None = None
    while True:
        asked = sa.select(device.id).order_by(device.id).limit(PAGE)
        if names is not None:
            asked = asked.where(device.id.in_(list(names)))
        if after is not None:
            asked = asked.where(device.id > after)
        with database.read() as connection:
            page = list(connection.scalars(asked))
        for some in parts(page):
            yield from _rows(database, schema.device, _among(device.id, some))
            for table in schema.OF_A_DEVICE:
                yield from _rows(database, table, _among(table.c.device_id, some))
        if len(page) < PAGE:
            return
        after = page[-1]


def take_in(database: Database, path: str, lines: Iterable[bytes]) -> tuple[int, int]:
    """Take lines in; return how many devices were new, and how many were there already.

    Raises InputError naming the line; what stands before it is taken in.
    """
    numbered = enumerate(lines, 1)
    number, first = next(numbered, (1, b""))
    head = _decode(path, number, first, Head)
    if head.hellowatch != WHAT:
        raise InputError(path, None, "line 1: is no exported inventory")
    if head.tables != schema.VERSION:
        why = f"was exported with tables {head.tables}, these are {schema.VERSION}: update both"
        raise InputError(path, None, f"line 1: {why}")
    new = known = 0
    left_out: set[str] = set()
    rows: list[tuple[sa.Table, dict[str, Any]]] = []
    insert = sqlite.insert if database.is_sqlite else postgresql.insert

    def write() -> None:
        with database.write() as connection:
            for table, row in rows:
                connection.execute(insert(table).values(row).on_conflict_do_nothing())
        rows.clear()

    try:
        for number, octets in numbered:
            line = _decode(path, number, octets, Line)
            table = TABLES.get(line.table)
            if table is None:
                raise InputError(path, None, f"line {number}: there is no table {line.table!r}")
            row = _row(path, number, table, line.row)
            if table is schema.device:
                if _has(database, row):
                    known += 1
                    left_out.add(row["id"])
                    continue
                new += 1
            elif row.get("device_id") in left_out:
                continue
            rows.append((table, row))
            if len(rows) >= MOST_ROWS:
                write()
    finally:
        write()
    with database.write() as connection:
        state = schema.state
        now_ns = connection.scalar(sa.select(state.c.now_ns))
        newest_ns = max((one for one in (now_ns, head.now_ns) if one is not None), default=None)
        connection.execute(sa.update(state).values(now_ns=newest_ns))
    return new, known


def _rows(
    database: Database, table: sa.Table, which: Callable[[], sa.ColumnElement[bool]]
) -> Iterator[bytes]:
    """Yield the lines of rows, page by page."""
    keys = list(table.primary_key)
    after: tuple[Any, ...] | None = None
    while True:
        asked = sa.select(table).where(which()).order_by(*keys).limit(PAGE)
        if after is not None:
            asked = asked.where(sa.tuple_(*keys) > sa.tuple_(*after))
        with database.read() as connection:
            rows = connection.execute(asked).all()
        for row in rows:
            told = {
                str(name): value.hex() if isinstance(value, bytes | memoryview) else value
                for name, value in row._mapping.items()
            }
            yield _line(Line(table=str(table.name), row=told))
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1]._mapping[key.name] for key in keys)


def _among(column: sa.Column[Any], some: Collection[str]) -> Callable[[], sa.ColumnElement[bool]]:
    return lambda: column.in_(list(some))


def _line(told: Struct) -> bytes:
    return msgspec.json.encode(told) + b"\n"


def _decode(path: str, number: int, octets: bytes, kind: type[Any]) -> Any:  # noqa: ANN401 (of that type)
    if len(octets) > LONGEST_LINE:
        raise InputError(path, None, f"line {number}: is too long")
    try:
        return msgspec.json.decode(octets, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(path, None, f"line {number}: is no exported inventory: {error}") from error


def _row(path: str, number: int, table: sa.Table, told: dict[str, Any]) -> dict[str, Any]:
    """Return a row with values of its columns' types. Raises InputError."""
    unknown = told.keys() ^ {column.name for column in table.columns}
    if unknown:
        why = f"line {number}: {table.name} has no or lacks {', '.join(sorted(unknown))}"
        raise InputError(path, None, why)
    row: dict[str, Any] = {}
    for column in table.columns:
        value = told[column.name]
        kind = column.type.python_type
        try:
            if value is None:
                row[column.name] = None
            elif kind is bytes:
                row[column.name] = bytes.fromhex(value)
            else:
                row[column.name] = msgspec.convert(value, kind)
        except (TypeError, ValueError) as error:
            why = f"line {number}: {table.name}.{column.name}: {error}"
            raise InputError(path, None, why) from error
        if value is None and not column.nullable:
            why = f"line {number}: {table.name}.{column.name} is null"
            raise InputError(path, None, why)
    return row


def _has(database: Database, row: dict[str, Any]) -> bool:
    """Tell whether a store has a device already, by id or by address."""
    told = schema.device.c
    same = (told.id == row["id"]) | ((told.site == row["site"]) & (told.address == row["address"]))
    with database.read() as connection:
        return connection.scalar(sa.select(told.id).where(same).limit(1)) is not None
