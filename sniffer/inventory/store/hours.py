"""What happened hour by hour: what devices did, and how long sensors watched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from sniffer.config import OTHER_SERVICE
from sniffer.event import Handshake, Judgement, Outcome
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Watched
from sniffer.inventory.device import (
    OTHER,
    OUTCOMES,
    SERVICE_BIT,
    SERVICE_WORDS,
    VERDICTS,
    Device,
)
from sniffer.inventory.store import schema

Row = dict[str, Any]

HOUR_NS = 3600 * 1_000_000_000
HOUR, DAY, BEFORE = "hour", "day", "before"
"""Spans: "before" is the time in which there was nothing to tell of a device."""
MOST_HOURS = 2 * 366 * 24
"""Hours between the first and the last frame of what is told at once."""
REST = 0
"""The number of the stack that stands for those without room."""
IN_ONE_QUESTION = 500
"""Keys asked for at once; SQLite takes 32,766 parameters, older ones 999."""


class Kind(NamedTuple):
    """What the hellos of one row of activity have in common."""

    device_id: str
    start_ns: int
    span: str
    stack: int
    service: str
    destination: str
    verdict: str
    outcome: str
    refused_by: str


def kind_of(name: str, number: int, handshake: Handshake, judgement: Judgement) -> Kind:
    """Return what a handshake is counted under."""
    return Kind(
        device_id=name,
        start_ns=handshake.time_ns // HOUR_NS * HOUR_NS,
        span=HOUR,
        stack=number,
        service=judgement.service,
        destination=judgement.destination,
        verdict=judgement.verdict.value,
        outcome=handshake.outcome.value,
        refused_by="" if handshake.refused_by is None else handshake.refused_by.value,
    )


def count(kinds: dict[Kind, Row], kind: Kind, time_ns: int) -> None:
    """Count one hello under its kind."""
    row = kinds.get(kind)
    if row is None:
        never = schema.NEVER_NS
        kinds[kind] = {"hellos": 1, "first_ns": time_ns, "prior_ns": never, "last_ns": time_ns}
        return
    row["hellos"] += 1
    row["first_ns"] = min(row["first_ns"], time_ns)
    row["prior_ns"] = max(row["prior_ns"], min(row["last_ns"], time_ns))
    row["last_ns"] = max(row["last_ns"], time_ns)


def earlier(
    name: str, device: Device, numbers: Mapping[tuple[str, str], int]
) -> Iterator[tuple[Kind, Row]]:
    """Yield what days and totals alone tell of a device's time before, as one span."""
    refused_by = device.refused_by or ""
    for stack in (*device.stacks, *([] if device.rest is None else [device.rest])):
        service = next((w for w in SERVICE_WORDS if stack.services & SERVICE_BIT[w]), OTHER_SERVICE)
        for outcome, hellos in zip(OUTCOMES, stack.outcomes, strict=True):
            if not hellos:
                continue
            first_ns, last_ns = stack.first[0], stack.last[0]
            prior_ns = first_ns
            if outcome is Outcome.ESTABLISHED:
                last_ns = min(last_ns, device.established_ns or last_ns)
            elif refused_by:
                first_ns = max(first_ns, device.first_refused_ns or first_ns)
                last_ns = min(last_ns, device.refused_ns or last_ns)
                prior_ns = min(last_ns, device.refused_before_ns or first_ns)
            kind = Kind(
                device_id=name,
                start_ns=first_ns,
                span=BEFORE,
                stack=numbers.get((name, stack.key), REST),
                service=service,
                destination=OTHER,
                verdict=VERDICTS[stack.rank].value,
                outcome=outcome.value,
                refused_by="" if outcome is Outcome.ESTABLISHED else refused_by,
            )
            yield (
                kind,
                {
                    "hellos": hellos,
                    "first_ns": first_ns if hellos > 1 else last_ns,
                    "prior_ns": prior_ns if hellos > 1 else schema.NEVER_NS,
                    "last_ns": last_ns,
                },
            )


def add_activity(connection: sa.Connection, insert: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401 (a dialect's own)
    """Add rows of activity to what is there of the same kind."""
    table = schema.activity
    statement = insert(table)
    old, new = table.c, statement.excluded
    earlier_last = sa.case((old.last_ns < new.last_ns, old.last_ns), else_=new.last_ns)
    later_prior = sa.case((old.prior_ns > new.prior_ns, old.prior_ns), else_=new.prior_ns)
    changed = {
        "hellos": old.hellos + new.hellos,
        "first_ns": sa.case((old.first_ns < new.first_ns, old.first_ns), else_=new.first_ns),
        "prior_ns": sa.case((earlier_last > later_prior, earlier_last), else_=later_prior),
        "last_ns": sa.case((old.last_ns > new.last_ns, old.last_ns), else_=new.last_ns),
    }
    keys = [column.name for column in table.primary_key]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows)
    )


def add_coverage(connection: sa.Connection, insert: Any, site: str, watched: Watched) -> None:  # noqa: ANN401 (a dialect's own)
    """Spread a time of watching over its hours; what was counted belongs to the last one."""
    table = schema.coverage
    first, last = watched.start_ns // HOUR_NS, watched.end_ns // HOUR_NS
    whole_ns = max(1, watched.end_ns - watched.start_ns)
    # Nobody watches without a break for so long: a clock was wrong, nothing lay between.
    hours = range(first, last + 1) if last - first < MOST_HOURS else (first, last)
    rows: dict[int, tuple[float, Coverage]] = {}
    for hour in hours:
        start_ns = hour * HOUR_NS
        part_ns = min(watched.end_ns, start_ns + HOUR_NS) - max(watched.start_ns, start_ns)
        seconds = watched.seconds * part_ns / whole_ns
        rows[start_ns] = seconds, watched.coverage if hour == last else Coverage()
    told = table.c
    mine = (told.site == site) & (told.sensor == watched.sensor) & (told.span == HOUR)
    for some in parts(list(rows)):
        asked = sa.select(told.start_ns, told.seconds, told.facts).where(
            mine, told.start_ns.in_(some)
        )
        for start_ns, seconds, facts in connection.execute(asked):
            more, coverage = rows[start_ns]
            merged = msgspec.json.decode(facts, type=Coverage)
            merged.merge(coverage)
            rows[start_ns] = seconds + more, merged
    statement = insert(table)
    new = {name: statement.excluded[name] for name in ("seconds", "facts")}
    keys = [column.name for column in table.primary_key]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=new),
        [
            {
                "site": site,
                "sensor": watched.sensor,
                "start_ns": start_ns,
                "span": HOUR,
                "seconds": seconds,
                "facts": as_json(coverage),
            }
            for start_ns, (seconds, coverage) in rows.items()
        ],
    )


def parts(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yield keys in parts that fit one question."""
    for start in range(0, len(keys), IN_ONE_QUESTION):
        yield keys[start : start + IN_ONE_QUESTION]


def as_json(value: object) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()
