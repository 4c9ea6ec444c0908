"""What people say of devices, and what is to be forgotten of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from sniffer.inventory.claim import Claim, Did
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database


class Answer(NamedTuple):
    """What is said of a device; None: nothing."""

    owner: str | None = None
    note: str | None = None
    ticket: str | None = None
    excepted: str | None = None
    """Why it may stay as it is."""
    excepted_until_ns: int | None = None
    """When it speaks up again; None: never."""
    did: str | None = None
    """What was done about it, and when."""
    did_at_ns: int | None = None

    @property
    def claim(self) -> Claim | None:
        """What was done about the device."""
        if self.did is None or self.did_at_ns is None:
            return None
        return Claim(Did(self.did), self.did_at_ns)

    def excepts(self, now_ns: int) -> bool:
        """Tell whether a device may stay as it is at a time."""
        until_ns = self.excepted_until_ns
        return self.excepted is not None and (until_ns is None or now_ns < until_ns)


def read_answers(connection: sa.Connection, names: list[str]) -> dict[str, Answer]:
    """Return what is said of devices."""
    told = schema.answer.c
    asked = sa.select(schema.answer).where(told.device_id.in_(names))
    return {name: Answer(*rest) for name, *rest in connection.execute(asked)}


def say(database: Database, name: str, **said: Any) -> None:  # noqa: ANN401 (the fields of Answer)
    """Say something of a device; what else is said of it stays."""
    with database.write() as connection:
        answer = read_answers(connection, [name]).get(name, Answer())._replace(**said)
        table = schema.answer
        connection.execute(sa.delete(table).where(table.c.device_id == name))
        connection.execute(sa.insert(table).values(device_id=name, **answer._asdict()))


def join(database: Database, name: str, others: Sequence[str]) -> None:
    """Take other devices for the same as this one, until they are split again."""
    table = schema.joined
    with database.write() as connection:
        for other in others:
            connection.execute(sa.delete(table).where(table.c.device_id == other))
            # Whoever had been joined to it comes along.
            connection.execute(
                sa.update(table).where(table.c.into_id == other).values(into_id=name)
            )
            connection.execute(sa.insert(table).values(device_id=other, into_id=name))


def split(database: Database, name: str) -> int:
    """Tell a device apart from those it was joined with; return how many."""
    table = schema.joined
    with database.write() as connection:
        gone = connection.execute(
            sa.delete(table).where((table.c.device_id == name) | (table.c.into_id == name))
        )
    return gone.rowcount


def forget(database: Database, name: str) -> None:
    """Forget a device. Its handshakes stay known: reading them again does not bring it back."""
    with database.write() as connection:
        for table in schema.OF_A_DEVICE:
            connection.execute(sa.delete(table).where(table.c.device_id == name))
        connection.execute(sa.delete(schema.device).where(schema.device.c.id == name))


def forget_site(database: Database, site: str) -> int:
    """Forget all that comes from a site, what was watched there too; return its devices.

    Its handshakes and captures stay known, as with one device.
    """
    device = schema.device.c
    with database.write() as connection:
        names = sa.select(device.id).where(device.site == site)
        count = connection.scalar(sa.select(sa.func.count()).select_from(names.subquery()))
        for table in schema.OF_A_DEVICE:
            connection.execute(sa.delete(table).where(table.c.device_id.in_(names)))
        for table in (schema.device, schema.coverage, schema.passage):
            connection.execute(sa.delete(table).where(table.c.site == site))
    return int(count or 0)
