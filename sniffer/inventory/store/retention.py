"""What the store lets go of, and when: by age, and where it would grow beyond its cap.

Age is counted from the newest time covered, but a frame from the future ages nothing: no
more than the clock on the wall is believed. What is asked for often is fine, what is asked for
seldom is coarse: hours become days, days go. Devices that need somebody, and what people said
of any, stay as long as they are seen.

    hours              become days after 90 days
    days, events       go after 800 days, and devices not seen since, unless somebody
                       said something of them
    ids of handshakes  90 days after they were counted; a capture file is known for good

Each call does a bounded piece of work in a transaction of its own, so that nobody who writes
waits for long.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from sniffer.config import StoreSettings
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.device import DAY_NS
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.hours import BEFORE, DAY, HOUR, Row, add_activity, as_json, parts

MOST_ROWS = 2000
"""Rows that one call moves or drops."""
MOST_IDS = 20_000
"""Ids that one call looks at."""
LEAST_EVENTS = 5
"""Newest events of a stack that the cap does not touch."""


class Kept(NamedTuple):
    """How far the sweep over the ids has come."""

    after: int | None = None
    day: int | None = None
    """The day in which the last whole sweep was begun."""


class Retention:
    """One writer's share of tidying. ``insert`` is the dialect's own."""

    def __init__(
        self,
        database: Database,
        insert: Any,  # noqa: ANN401 (a dialect's own)
        settings: StoreSettings,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Tidy a database that is open, by a clock in nanoseconds."""
        self._clock = clock
        self._database = database
        self._insert = insert
        self._settings = settings
        self._ids = Kept()
        self._counted: int | None = None
        self.shed = 0
        """Rows that went because of the cap, before their time."""

    def count_day(self, connection: sa.Connection, batch: int) -> None:
        """Note with which batch a day began, by the clock on the wall."""
        day = self._clock() // DAY_NS
        if day == self._counted:
            return
        last = connection.scalar(sa.select(sa.func.max(schema.epoch.c.day)))
        if last is None or day > last:
            connection.execute(sa.insert(schema.epoch).values(day=day, batch=batch))
        self._counted = day

    def tidy(self) -> bool:
        """Do a piece of work; True: there is more. Raises SQLAlchemy's DBAPIError."""
        with self._database.write() as connection:
            now_ns = connection.scalar(sa.select(schema.state.c.now_ns))
            if now_ns is None:
                return False
            now_ns = min(now_ns, self._clock())
            hours_ns = now_ns - self._settings.hours_days * DAY_NS
            days_ns = now_ns - self._settings.days_days * DAY_NS
            return bool(
                self._fold(connection, hours_ns)
                or self._fold_coverage(connection, hours_ns)
                or self._drop(connection, days_ns)
                or self._forget_ids(connection)
                or self._shed(connection, now_ns)
            )

    def _fold(self, connection: sa.Connection, before_ns: int) -> int:
        """Make days of the oldest hours; return how many rows."""
        table = schema.activity
        old = (table.c.span == HOUR) & (table.c.start_ns < before_ns // DAY_NS * DAY_NS)
        asked = sa.select(table).where(old).order_by(table.c.start_ns).limit(MOST_ROWS)
        rows = [dict(row._mapping) for row in connection.execute(asked)]
        if rows:
            add_activity(
                connection,
                self._insert,
                [
                    {**row, "span": DAY, "start_ns": row["start_ns"] // DAY_NS * DAY_NS}
                    for row in rows
                ],
            )
            _delete(connection, table, rows)
        return len(rows)

    def _fold_coverage(self, connection: sa.Connection, before_ns: int) -> int:
        """Make days of the oldest hours of watching; return how many rows."""
        table = schema.coverage
        old = (table.c.span == HOUR) & (table.c.start_ns < before_ns // DAY_NS * DAY_NS)
        asked = sa.select(table).where(old).order_by(table.c.start_ns).limit(MOST_ROWS)
        rows = [dict(row._mapping) for row in connection.execute(asked)]
        days: dict[tuple[str, str, int], tuple[float, Coverage]] = {}
        for row in rows:
            key = (row["site"], row["sensor"], row["start_ns"] // DAY_NS * DAY_NS)
            seconds, whole = days.get(key) or self._day(connection, *key)
            whole.merge(msgspec.json.decode(row["facts"], type=Coverage))
            days[key] = seconds + row["seconds"], whole
        if rows:
            made = [
                {
                    "site": site,
                    "sensor": sensor,
                    "start_ns": start_ns,
                    "span": DAY,
                    "seconds": seconds,
                    "facts": as_json(whole),
                }
                for (site, sensor, start_ns), (seconds, whole) in days.items()
            ]
            statement = self._insert(table)
            new = {name: statement.excluded[name] for name in ("seconds", "facts")}
            keys = [column.name for column in table.primary_key]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), made)
            _delete(connection, table, rows)
        return len(rows)

    def _day(
        self, connection: sa.Connection, site: str, sensor: str, start_ns: int
    ) -> tuple[float, Coverage]:
        """Return what is stored of a day of watching."""
        told = schema.coverage.c
        asked = sa.select(told.seconds, told.facts).where(
            told.site == site,
            told.sensor == sensor,
            told.start_ns == start_ns,
            told.span == DAY,
        )
        row = connection.execute(asked).one_or_none()
        if row is None:
            return 0.0, Coverage()
        return row.seconds, msgspec.json.decode(row.facts, type=Coverage)

    def _drop(self, connection: sa.Connection, before_ns: int) -> int:
        """Let go of days, events and devices that are too old; return how many rows."""
        activity, event, device = schema.activity, schema.event, schema.device
        gone = 0
        for table, old in (
            (activity, (activity.c.span != HOUR) & (activity.c.last_ns < before_ns)),
            (event, event.c.time_ns < before_ns),
            (schema.coverage, schema.coverage.c.start_ns < before_ns),
        ):
            gone += _delete_some(connection, table, old)
        answered = sa.select(schema.answer.c.device_id)
        old = (device.c.last_ns < before_ns) & device.c.id.not_in(answered)
        names = list(connection.scalars(sa.select(device.c.id).where(old).limit(MOST_ROWS)))
        for some in parts(names):
            for table in (*schema.OF_A_DEVICE, schema.saying):
                connection.execute(sa.delete(table).where(table.c.device_id.in_(some)))
            connection.execute(sa.delete(device).where(device.c.id.in_(some)))
        return gone + len(names)

    def _forget_ids(self, connection: sa.Connection) -> int:
        """Let go of ids counted long ago, once a day; return how many were read."""
        epoch, seen = schema.epoch.c, schema.seen
        today = self._clock() // DAY_NS
        if self._ids.day == today and self._ids.after is None:
            return 0
        old_day = today - self._settings.hours_days
        batch = connection.scalar(sa.select(sa.func.min(epoch.batch)).where(epoch.day > old_day))
        asked = sa.select(seen.c.id, seen.c.batch).order_by(seen.c.id).limit(MOST_IDS)
        if self._ids.after is not None:
            asked = asked.where(seen.c.id > self._ids.after)
        rows = [] if batch is None else connection.execute(asked).all()
        gone = [row.id for row in rows if batch is not None and row.batch < batch]
        for some in parts(gone):
            connection.execute(sa.delete(seen).where(seen.c.id.in_(some)))
        is_over = len(rows) < MOST_IDS
        self._ids = Kept(None if is_over else rows[-1].id, today)
        if is_over:
            connection.execute(sa.delete(schema.epoch).where(epoch.day <= old_day))
        return len(rows)

    def _shed(self, connection: sa.Connection, now_ns: int) -> int:
        """Let go of what is asked for least while the store is too large."""
        if self._database.used_bytes(connection) <= self._settings.cap_bytes:
            return 0
        activity, event = schema.activity, schema.event
        shed = _delete_some(connection, event, event.c.id.in_(_spare_events(MOST_ROWS)))
        shed = shed or self._fold(connection, now_ns - 2 * DAY_NS)
        if not shed:
            days = (activity.c.span == DAY) | (activity.c.span == BEFORE)
            oldest = sa.select(sa.func.min(activity.c.start_ns)).where(days)
            start_ns = connection.scalar(oldest)
            if start_ns is not None and start_ns < now_ns - 7 * DAY_NS:
                shed = _delete_some(
                    connection, activity, days & (activity.c.start_ns < start_ns + DAY_NS)
                )
        self.shed += shed
        return shed


def _spare_events(most: int) -> sa.Select[Any]:
    """Return the ids of the oldest events that are not among the newest of their stack."""
    told = schema.event.c
    place = sa.func.row_number().over(
        partition_by=(told.device_id, told.stack), order_by=told.time_ns.desc()
    )
    ranked = sa.select(told.id, told.time_ns, place.label("place")).subquery()
    asked = sa.select(ranked.c.id).where(ranked.c.place > LEAST_EVENTS)
    return asked.order_by(ranked.c.time_ns, ranked.c.id).limit(most)


def _delete_some(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    """Delete some of these rows; return how many."""
    keys = list(table.primary_key)
    asked = sa.select(*keys).where(which).limit(MOST_ROWS)
    rows = [dict(row._mapping) for row in connection.execute(asked)]
    _delete(connection, table, rows)
    return len(rows)


def _delete(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    """Delete rows by their keys."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    same = [table.c[name] == sa.bindparam(f"key_{name}") for name in keys]
    connection.execute(
        sa.delete(table).where(*same),
        [{f"key_{name}": row[name] for name in keys} for row in rows],
    )
