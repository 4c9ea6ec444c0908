"""Who gets through at a destination, whoever it is, by the hour: kept, and asked."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from sniffer.event import Outcome, Verdict
from sniffer.inventory.delta import Judged
from sniffer.inventory.device import DAY_NS
from sniffer.inventory.passage import Passage, passage_key
from sniffer.inventory.store import schema
from sniffer.inventory.store.hours import HOUR_NS, Row

KEPT_NS = 90 * DAY_NS


def add_passages(
    connection: sa.Connection,
    insert: Any,  # noqa: ANN401 (a dialect's own)
    site: str,
    judged: Iterable[Judged],
) -> None:
    """Count handshakes, and let go of hours long past."""
    rows: dict[str, Row] = {}
    for handshake, judgement in judged:
        time_ns, by = handshake.time_ns, handshake.refused_by
        keys = {
            "site": site,
            "start_ns": time_ns // HOUR_NS * HOUR_NS,
            "service": judgement.service,
            "destination": judgement.destination,
            "verdict": judgement.verdict.value,
            "outcome": handshake.outcome.value,
            "refused_by": "" if by is None else by.value,
        }
        row = rows.setdefault(" ".join(map(str, keys.values())), {**keys, "hellos": 0})
        row["hellos"] += 1
        row["last_ns"] = max(row.get("last_ns", time_ns), time_ns)
    table = schema.passage
    statement = insert(table)
    old, new = table.c, statement.excluded
    changed = {
        "hellos": old.hellos + new.hellos,
        "last_ns": sa.case((old.last_ns > new.last_ns, old.last_ns), else_=new.last_ns),
    }
    names = [column.name for column in table.primary_key]
    connection.execute(
        statement.on_conflict_do_update(index_elements=names, set_=changed), list(rows.values())
    )
    newest_ns = max(row["last_ns"] for row in rows.values())
    connection.execute(sa.delete(table).where(old.site == site, old.start_ns < newest_ns - KEPT_NS))


def read_passages(connection: sa.Connection, site: str, until_ns: int | None) -> dict[str, Passage]:
    """Return who got through where up to a time; None: up to now."""
    told = schema.passage.c
    kind = (told.service, told.destination, told.verdict, told.outcome, told.refused_by)
    asked = sa.select(*kind, sa.func.max(told.last_ns)).where(told.site == site).group_by(*kind)
    if until_ns is not None:
        asked = asked.where(told.last_ns <= until_ns)
    passages: dict[str, Passage] = {}
    for service, destination, verdict, outcome, refused_by, last_ns in connection.execute(asked):
        passage = passages.setdefault(passage_key(service, destination), Passage())
        passage.observe(last_ns, Verdict(verdict), Outcome(outcome), refused_by or None)
    return passages
