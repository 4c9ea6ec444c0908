"""What devices say of themselves, in the store: when first, and when last."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sniffer.inventory.device import DAY_NS
from sniffer.inventory.sayings import Saying, names_first
from sniffer.inventory.store import schema
from sniffer.inventory.store.hours import Row, parts

MOST_SAYINGS = 128
"""Kept of one device, the newest."""

Said = dict[str, list[Saying]]
"""By device."""


def add_sayings(connection: sa.Connection, insert: Any, said: Said) -> None:  # noqa: ANN401 (a dialect's own)
    """Add what was said of devices that are stored; of those that are ok by the day alone."""
    told = schema.device.c
    tells: dict[str, bool] = {}
    for some in parts(sorted(said)):
        asked = sa.select(told.id, told.is_telling).where(told.id.in_(some))
        tells.update((name, is_telling) for name, is_telling in connection.execute(asked))
    rows = [
        _row(name, saying, 1 if is_telling else DAY_NS)
        for name, is_telling in tells.items()
        for saying in said[name]
    ]
    if not rows:
        return
    table = schema.saying
    statement = insert(table)
    old, new = table.c, statement.excluded
    changed = {
        "first_ns": sa.case((old.first_ns < new.first_ns, old.first_ns), else_=new.first_ns),
        "last_ns": sa.case((old.last_ns > new.last_ns, old.last_ns), else_=new.last_ns),
    }
    keys = [column.name for column in table.primary_key]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
    for name in sorted(tells):
        _drop_old(connection, name)


def read_sayings(
    connection: sa.Connection, devices: Sequence[str], as_of_ns: int | None = None
) -> Said:
    """Return what was said of devices up to a time, names first."""
    told = schema.saying
    said: Said = defaultdict(list)
    for some in parts(devices):
        asked = sa.select(told).where(told.c.device_id.in_(some))
        if as_of_ns is not None:
            asked = asked.where(told.c.first_ns <= as_of_ns)
        for row in connection.execute(asked):
            saying = Saying(row.source, row.what, bytes(row.text), row.first_ns, row.last_ns)
            said[row.device_id].append(saying)
    for sayings in said.values():
        sayings.sort(key=names_first)
    return said


def _row(name: str, saying: Saying, unit_ns: int) -> Row:
    return {
        "device_id": name,
        "source": saying.source,
        "what": saying.what,
        "text": saying.text,
        "first_ns": saying.first_ns // unit_ns * unit_ns,
        "last_ns": saying.last_ns // unit_ns * unit_ns,
    }


def _drop_old(connection: sa.Connection, name: str) -> None:
    told = schema.saying.c
    oldest = connection.scalar(
        sa.select(told.last_ns)
        .where(told.device_id == name)
        .order_by(told.last_ns.desc())
        .offset(MOST_SAYINGS)
        .limit(1)
    )
    if oldest is not None:
        connection.execute(
            sa.delete(schema.saying).where(told.device_id == name, told.last_ns <= oldest)
        )
