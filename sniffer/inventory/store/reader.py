"""Asks the store: devices, their stories, the kept events, what could be seen.

Every answer is read in short transactions, so that nobody who writes has to wait for a
reader, however long the list is.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from parsers.tls.facts import ClientHello
from sniffer.config import Ports
from sniffer.errors import StoreError
from sniffer.event import Outcome, Status, Verdict
from sniffer.inventory.aggregate import DeviceSnapshot, device_snapshot
from sniffer.inventory.claim import Check, check
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.device import (
    DAY_NS,
    NEEDS_ACTION,
    Calendar,
    Device,
    Shape,
    relay_places,
    status,
)
from sniffer.inventory.enforcement import Enforcement, Turned, enforcements, turned
from sniffer.inventory.gateway import is_virtual_router
from sniffer.inventory.passage import Passages
from sniffer.inventory.sayings import NAME
from sniffer.inventory.simulate import LATELY_NS, Counts
from sniffer.inventory.store import schema
from sniffer.inventory.store.answers import Answer, read_answers
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.exhibits import Exhibit, read_exhibit
from sniffer.inventory.store.facts import read_device
from sniffer.inventory.store.hours import parts
from sniffer.inventory.store.passages import read_passages
from sniffer.inventory.store.sayings import Said, read_sayings
from sniffer.inventory.story import Pulse, Trouble, Turn, device_of, story, troubles_at, troubles_of
from sniffer.log import printable

UNBOUNDED = (1024, 4096, 4096)
"""Stacks, names and destinations that a device has room for which several were joined to."""
PAGE = 500
"""Devices read in one transaction."""


class Shown(NamedTuple):
    """A handshake of a stack as it stood on the wire."""

    shape: Shape
    exhibit: Exhibit
    source: bytes
    """The client's address; several may have been joined to one device."""
    mac: bytes | None


class Stored(NamedTuple):
    """One device of the store, as of the reader's now."""

    id: str
    site: str
    ip: str
    is_telling: bool
    snapshot: DeviceSnapshot
    answer: Answer
    addresses: tuple[str, ...]
    """Its own, and those of the devices it was joined with."""
    troubles: tuple[Trouble, ...] = ()
    """When something was wrong with relays it was sent through."""


class Kept(NamedTuple):
    """One event of the store."""

    time_ns: int
    told: str
    """Its JSON."""


class Reader:
    """The store as of one moment of its own time: the newest it has covered, or an earlier one."""

    def __init__(self, database: Database, ports: Ports, as_of_ns: int | None = None) -> None:
        """Read from a database that is open."""
        self.database = database
        self._ports = ports
        self._as_of_ns = as_of_ns
        self._passages: dict[str, Passages] = {}
        self._relays: dict[str, list[Turn]] = {}

    @cached_property
    def now_ns(self) -> int | None:
        """The time that answers are for; None: nothing was covered yet."""
        with self.database.read() as connection:
            newest_ns = connection.scalar(sa.select(schema.state.c.now_ns))
        if newest_ns is None or self._as_of_ns is None:
            return newest_ns
        return min(int(newest_ns), self._as_of_ns)

    @cached_property
    def calendars(self) -> dict[str, Calendar]:
        """The days that were covered, by site."""
        days: dict[str, set[int]] = {}
        with self.database.read() as connection:
            told = schema.coverage.c
            for site, start_ns in connection.execute(sa.select(told.site, told.start_ns)):
                days.setdefault(site, set()).add(start_ns // DAY_NS)
        return {site: Calendar(covered) for site, covered in days.items()}

    @cached_property
    def shared_macs(self) -> frozenset[str]:
        """The MACs that several IPv4 addresses have: those of routers before devices."""
        told = schema.device.c
        asked = (
            sa.select(told.mac)
            .where(told.mac.is_not(None), told.ip.not_like("%:%"))
            .group_by(told.site, told.mac)
            .having(sa.func.count() > 1)
        )
        with self.database.read() as connection:
            return frozenset(connection.scalars(asked))

    @cached_property
    def joined(self) -> dict[str, list[str]]:
        """The devices that were joined to another one, by that one."""
        told = schema.joined.c
        joined: dict[str, list[str]] = {}
        with self.database.read() as connection:
            asked = sa.select(told.into_id, told.device_id).order_by(told.device_id)
            for into, name in connection.execute(asked):
                joined.setdefault(into, []).append(name)
        return joined

    @cached_property
    def _stand_for(self) -> dict[str, str]:
        """The device that stands for each one that was joined to it."""
        return {name: into for into, names in self.joined.items() for name in names}

    def calendar(self, site: str) -> Calendar:
        """Return the days that were covered at a site."""
        return self.calendars.get(site) or Calendar()

    def passages(self, site: str) -> Passages:
        """Return who got through where at a site."""
        if site not in self._passages:
            with self.database.read() as connection:
                self._passages[site] = read_passages(connection, site, self._as_of_ns)
        return self._passages[site]

    def enforcements(self) -> list[Enforcement]:
        """Return what tells of providers that have begun to refuse old TLS, by site."""
        sites: dict[str, list[Turned]] = defaultdict(list)
        for device in self.devices(telling_only=True):
            snapshot = device.snapshot
            if not snapshot.is_failing:
                continue
            with self.database.read() as connection:
                pulses = self._pulses(connection, device.id)
            for stack in snapshot.stacks:
                sites[device.site] += turned(snapshot.address, stack.uses, pulses)
        return [
            found
            for site, turns in sorted(sites.items())
            for found in enforcements(turns, self.passages(site))
        ]

    def check(self, device: Stored) -> Check | None:
        """Return what became of what was done about a device; None: nothing had been done."""
        claim = device.answer.claim
        now_ns = self.now_ns or 0
        if claim is None or claim.at_ns > now_ns:
            return None
        with self.database.read() as connection:
            pulses = self._pulses(connection, device.id)
        pulses = [pulse for pulse in pulses if pulse.first_ns <= now_ns]
        return check(claim, pulses, self.story(device), device.snapshot.last_ns)

    def lately(self, device: Stored) -> Counts:
        """Count a device's handshakes that were established lately, to the hour."""
        now_ns = self.now_ns or 0
        told = schema.activity.c
        asked = sa.select(
            told.device_id, told.stack, told.service, told.destination, told.hellos
        ).where(
            told.device_id.in_(self._parts_of(device.id)),
            told.outcome == Outcome.ESTABLISHED.value,
            told.last_ns >= now_ns - LATELY_NS,
            told.first_ns <= now_ns,
        )
        counts: dict[tuple[str | None, str, str], int] = {}
        with self.database.read() as connection:
            shapes = self._shapes(connection, device.id)
            for name, stack, service, destination, hellos in connection.execute(asked):
                shape = shapes.get((name, stack))
                key = (None if shape is None else shape.id, service, destination)
                counts[key] = counts.get(key, 0) + hellos
        return counts

    def hellos(self, device: Stored) -> dict[str, ClientHello]:
        """Return one whole hello of each stack that has one, by the stack's id."""
        told = schema.stack.c
        asked = sa.select(told.shape, told.hello).where(
            told.device_id.in_(self._parts_of(device.id)), told.hello.is_not(None)
        )
        with self.database.read() as connection:
            rows = connection.execute(asked).all()
        return {
            msgspec.json.decode(shape, type=Shape).id: msgspec.json.decode(hello, type=ClientHello)
            for shape, hello in rows
        }

    def exhibits(self, device: Stored) -> list[Shown]:
        """Return the handshakes that are kept as they stood on the wire, one a stack, by time."""
        told, whose = schema.stack.c, schema.device.c
        asked = sa.select(told.shape, told.exhibit, whose.address, whose.mac).where(
            told.device_id.in_(self._parts_of(device.id)),
            told.exhibit.is_not(None),
            whose.id == told.device_id,
        )
        with self.database.read() as connection:
            rows = connection.execute(asked).all()
        found = [
            Shown(
                msgspec.json.decode(shape, type=Shape),
                read_exhibit(text),
                bytes(address)[1:],
                None if mac is None else bytes.fromhex(mac.replace(":", "")),
            )
            for shape, text, address, mac in rows
        ]
        now_ns = self.now_ns or 0
        kept = [one for one in found if one.exhibit.time_ns <= now_ns]
        return sorted(kept, key=lambda one: (one.exhibit.time_ns, one.source, one.shape.key))

    def coverage(self) -> Coverage:
        """Return what was seen and lost in all the time covered."""
        whole = Coverage()
        told = schema.coverage.c
        with self.database.read() as connection:
            asked = sa.select(told.facts)
            if self._as_of_ns is not None:
                asked = asked.where(told.start_ns <= self._as_of_ns)
            for facts in connection.scalars(asked):
                whole.merge(msgspec.json.decode(facts, type=Coverage))
        return whole

    def devices(self, *, telling_only: bool = False, site: str | None = None) -> Iterator[Stored]:
        """Yield the devices that had been seen, by site and address.

        ``telling_only``: of which more is kept than days and totals. ``site``: of one alone.
        """
        told = schema.device
        after: tuple[str, bytes] | None = None
        while True:
            asked = sa.select(told).order_by(told.c.site, told.c.address).limit(PAGE)
            if telling_only:
                asked = asked.where(told.c.is_telling)
            if site is not None:
                asked = asked.where(told.c.site == site)
            if after is not None:
                asked = asked.where(sa.tuple_(told.c.site, told.c.address) > sa.tuple_(*after))
            with self.database.read() as connection:
                rows = connection.execute(asked).all()
                whole = [row for row in rows if row.id not in self._stand_for]
                yielded = self._read(connection, whole)
            for stored in yielded:
                if stored is not None:
                    yield stored
            if len(rows) < PAGE:
                return
            after = rows[-1].site, bytes(rows[-1].address)

    def find(self, named: str) -> list[Stored]:
        """Return the devices that an id, an address, a MAC or a name means.

        A name is a host's, with or without its domain and without regard to case; it is
        looked for where nothing else is meant.
        """
        told = schema.device
        asked = sa.select(told).order_by(told.c.site, told.c.address)
        same = sa.or_(told.c.id == named, told.c.ip == _spelt(named))
        if (mac := _mac_spelt(named)) is not None:  # or every device without a MAC would be meant
            same = sa.or_(same, told.c.mac == mac)
        with self.database.read() as connection:
            rows = list(connection.execute(asked.where(same)))
            if not rows:
                called = _called(connection, named)
                for some in parts(sorted(called)):
                    rows += connection.execute(asked.where(told.c.id.in_(some)))
            names = dict.fromkeys(self._stand_for.get(row.id, row.id) for row in rows)
            if names.keys() != {row.id for row in rows}:
                rows = list(connection.execute(asked.where(told.c.id.in_(list(names)))))
            found = self._read(connection, rows)
        return [stored for stored in found if stored is not None]

    def story(self, device: Stored) -> list[Turn]:
        """Return a device's turns. What needs no action has one: since its first day."""
        with self.database.read() as connection:
            pulses = self._pulses(connection, device.id)
        now_ns = self.now_ns or 0
        turns = story(pulses, now_ns, self.calendar(device.site), device.troubles)
        snapshot = device.snapshot
        if not turns:
            return [Turn(snapshot.first_ns, snapshot.status, snapshot.refused_by)]
        return turns

    def events(
        self,
        device: str | None = None,
        since_ns: int | None = None,
        outcome: str | None = None,
        until_ns: int | None = None,
    ) -> Iterator[Kept]:
        """Yield the kept events by time."""
        told = schema.event
        after: tuple[int, str] | None = None
        while True:
            asked = sa.select(told).order_by(told.c.time_ns, told.c.id).limit(PAGE)
            if device is not None:
                asked = asked.where(told.c.device_id.in_(self._parts_of(device)))
            if since_ns is not None:
                asked = asked.where(told.c.time_ns >= since_ns)
            for limit_ns in (self._as_of_ns, until_ns):
                if limit_ns is not None:
                    asked = asked.where(told.c.time_ns <= limit_ns)
            if outcome is not None:
                asked = asked.where(told.c.outcome == outcome)
            if after is not None:
                asked = asked.where(sa.tuple_(told.c.time_ns, told.c.id) > sa.tuple_(*after))
            with self.database.read() as connection:
                rows = connection.execute(asked).all()
            for row in rows:
                yield Kept(row.time_ns, row.told)
            if len(rows) < PAGE:
                return
            after = rows[-1].time_ns, rows[-1].id

    def _read(self, connection: sa.Connection, rows: Sequence[Any]) -> list[Stored | None]:
        """Return the devices of rows, each as of now."""
        names = [row.id for row in rows]
        answers = read_answers(connection, names)
        members = [part for name in names for part in self.joined.get(name, ())]
        said = read_sayings(connection, [*names, *members], self._as_of_ns)
        told = schema.device
        others = {
            other.id: other
            for some in parts(members)
            for other in connection.execute(sa.select(told).where(told.c.id.in_(some)))
        }
        return [
            self._stored(
                connection,
                row,
                [others[name] for name in self.joined.get(row.id, ()) if name in others],
                answers,
                said,
            )
            for row in rows
        ]

    def _stored(
        self,
        connection: sa.Connection,
        row: Any,  # noqa: ANN401 (a row)
        others: Sequence[Any],
        answers: Mapping[str, Answer],
        said: Said,
    ) -> Stored | None:
        """Return a device, with others it was joined with, as of now.

        None if it had not been seen by then.
        """
        now_ns = self.now_ns or 0
        whole = [row, *others]
        seen = [one for one in whole if self._as_of_ns is None or one.first_ns <= self._as_of_ns]
        if not seen:
            return None
        newest = self._facts(seen[0])
        for other in seen[1:]:
            newest.merge(self._facts(other), *UNBOUNDED)
        is_telling = any(one.is_telling for one in whole)
        device: Device | None = newest
        if self._as_of_ns is not None and newest.last_ns > self._as_of_ns:
            if is_telling:
                device = device_of(self._pulses(connection, row.id), self._as_of_ns)
            else:
                newest.last_ns = min(newest.last_ns, self._as_of_ns)
        if device is None:
            return None
        troubles = tuple(self._troubles(connection, row.site, newest))
        troubled = troubles_at(troubles, now_ns)
        device.status = status(device, now_ns, self.calendar(row.site), troubled)
        answer = answers.get(row.id, Answer())
        if device.status in NEEDS_ACTION and answer.excepts(now_ns):
            device.status = Status.EXCEPTED
        is_routers = device.mac is not None and is_virtual_router(device.mac)
        snapshot = device_snapshot(
            bytes(row.address)[1:],
            device,
            self._ports,
            now_ns,
            self.calendar(row.site),
            sayings=tuple(saying for one in whole for saying in said.get(one.id, ())),
            own_mac=None if row.mac in self.shared_macs or is_routers else device.mac,
        )
        addresses = tuple(dict.fromkeys(one.ip for one in whole))
        return Stored(row.id, row.site, row.ip, is_telling, snapshot, answer, addresses, troubles)

    def _facts(self, row: Any) -> Device:  # noqa: ANN401 (a row)
        """Return what is stored of a device. Raises StoreError where it is damaged."""
        try:
            return read_device(row.facts)
        except (msgspec.DecodeError, ValueError) as error:
            why = f"what it says of {row.ip} is damaged; start run, which mends it"
            raise StoreError(self.database.name, why) from error

    def _troubles(self, connection: sa.Connection, site: str, device: Device) -> Iterator[Trouble]:
        """Yield when something was wrong with the relays that a device was sent through."""
        for label, address in sorted(relay_places(device)):
            key = f"{site} {address.hex()}"
            if key not in self._relays:
                told = schema.device.c
                mine = (told.site == site, told.address == bytes([len(address)]) + address)
                names = connection.scalars(sa.select(told.id).where(*mine)).all()
                pulses = [pulse for name in names for pulse in self._pulses(connection, name)]
                self._relays[key] = story(pulses, self.now_ns or 0, self.calendar(site))
            yield from troubles_of(label, self._relays[key])

    def _pulses(self, connection: sa.Connection, name: str) -> list[Pulse]:
        told = schema.activity.c
        shapes = self._shapes(connection, name)
        mine = told.device_id.in_(self._parts_of(name))
        asked = sa.select(schema.activity).where(mine).order_by(told.first_ns)
        return [
            Pulse(
                shape=shapes.get((row.device_id, row.stack)),
                service=row.service,
                destination=row.destination,
                verdict=Verdict(row.verdict),
                outcome=Outcome(row.outcome),
                refused_by=row.refused_by or None,
                hellos=row.hellos,
                first_ns=row.first_ns,
                prior_ns=None if row.prior_ns == schema.NEVER_NS else row.prior_ns,
                last_ns=row.last_ns,
            )
            for row in connection.execute(asked)
        ]

    def _shapes(self, connection: sa.Connection, name: str) -> Mapping[tuple[str, int], Shape]:
        """Return the stacks of a device, by the part of it they were seen of, and number."""
        told = schema.stack.c
        mine = told.device_id.in_(self._parts_of(name))
        asked = sa.select(told.device_id, told.number, told.shape).where(mine)
        return {
            (part, number): msgspec.json.decode(shape, type=Shape)
            for part, number, shape in connection.execute(asked)
        }

    def parts_of(self, device: Stored) -> list[str]:
        """Return a device's id, and those of the devices that were joined to it."""
        return self._parts_of(device.id)

    def _parts_of(self, name: str) -> list[str]:
        """Return a device's id, and those of the devices that were joined to it."""
        return [name, *self.joined.get(name, ())]


def _spelt(address: str) -> str:
    """Return an address as it is stored, if this is one."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _mac_spelt(text: str) -> str | None:
    """Return a MAC as it is stored, however it is written; None: this is none."""
    digits = re.sub("[:.-]", "", text).lower()
    if re.fullmatch("[0-9a-f]{12}", digits) is None:
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _called(connection: sa.Connection, name: str) -> set[str]:
    """Return the ids of the devices that call themselves so."""
    told = schema.saying.c
    wanted = name.rstrip(".").casefold()
    found = set()
    asked = sa.select(told.device_id, told.text).where(told.what == NAME)
    for device, text in connection.execute(asked):
        called = printable(bytes(text)).rstrip(".").casefold()
        if called == wanted or called.partition(".")[0] == wanted:
            found.add(device)
    return found
