"""Adds deltas to the store: each in one transaction, and each once.

What a delta tells of a device is counted by an aggregate of its own and merged into what is
stored, by the one merge there is. Devices about which there is nothing to tell keep days and
totals alone.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sniffer.config import InventorySettings, Ports, StoreSettings
from sniffer.event import Handshake, Judgement, Outcome, address, identity
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.delta import Delta, Judged, Mark, Reached
from sniffer.inventory.device import EXPOSED, Device, Shape, Trail
from sniffer.inventory.store import schema
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.exhibits import exhibit
from sniffer.inventory.store.facts import device_text, forget_hours, read_device
from sniffer.inventory.store.hours import (
    REST,
    Kind,
    Row,
    add_activity,
    add_coverage,
    as_json,
    count,
    earlier,
    kind_of,
    parts,
)
from sniffer.inventory.store.passages import add_passages
from sniffer.inventory.store.retention import Retention
from sniffer.inventory.store.sayings import Said, add_sayings
from sniffer.judge.profile import Profile
from sniffer.log import one_line

logger = logging.getLogger(__name__)

Tell = Callable[[Handshake, Judgement], bytes]

MOST_STACKS = 64
"""Stacks of a device with evidence; which of them it keeps may change with time."""
UNBOUNDED = InventorySettings(devices=1 << 24, stacks=1024, names=4096, destinations=4096)


class Known(NamedTuple):
    """What is stored of a device."""

    name: str
    is_telling: bool
    facts: str

    def device(self) -> Device | None:
        """Return the device; None if what is stored is damaged."""
        try:
            return read_device(self.facts)
        except (msgspec.DecodeError, ValueError):
            logger.error("What the store says of a device is damaged", {"device": self.name})
            return None


class Telling(NamedTuple):
    """A device of which there is more to keep than days and totals."""

    name: str
    device: Device
    judged: Sequence[Judged]
    before: Device | None
    """What was kept of it as long as there was nothing to tell."""


class Writer:
    """One writer of a store, under a name of its own; ``tell`` spells an event."""

    def __init__(
        self,
        database: Database,
        name: str,
        ports: Ports,
        profiles: Mapping[str, Profile],
        tell: Tell,
        *,
        site: str = "",
        inventory: InventorySettings | None = None,
        settings: StoreSettings | None = None,
    ) -> None:
        """Write for a site; nothing is written yet."""
        self.database = database
        self.name = name
        self.site = site
        self._ports = ports
        self._profiles = profiles
        self._tell = tell
        self._inventory = inventory or InventorySettings()
        self._settings = settings or StoreSettings()
        self._connection: sa.Connection | None = None
        self._told_profiles = False
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self.retention = Retention(database, self._insert, self._settings)

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(self, delta: Delta) -> bool:
        """Add a delta; False if the store has it already. Raises SQLAlchemy's DBAPIError.

        After an error nothing of it is there, or all of it: the same delta can be brought
        again.
        """
        if self._connection is None:
            self._connection = self.database.engine.connect()
        connection = self._connection
        try:
            if not self.database.has_room_ahead(connection):
                raise LogFullError
            with self.database.writing(connection):
                return self._apply(connection, delta)
        except BaseException:
            self._told_profiles = False  # what was taken back told nothing
            self.close()
            raise

    def use(self, profiles: Mapping[str, Profile]) -> None:
        """Judge by other profiles from now on; their editions are kept with the next delta."""
        if profiles is not self._profiles:
            self._profiles = profiles
            self._told_profiles = False

    def tidy(self) -> bool:
        """Let go of a piece of what is too old; True: there is more."""
        return self.retention.tidy()

    def known_inputs(self, head: bytes) -> list[Reached]:
        """Return the inputs that begin so, those read furthest first."""
        told = schema.input_read
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(told)
                .where(told.c.site == self.site, told.c.head == head)
                .order_by(told.c.position.desc(), told.c.is_done.desc(), told.c.reading)
            ).all()
        return [
            Reached(
                reading=row.reading,
                path=row.path,
                mark=Mark(row.head, row.position, row.tail),
                frames=row.frames,
                is_done=row.is_done,
            )
            for row in rows
        ]

    # -- one transaction -------------------------------------------------------------------

    def _apply(self, connection: sa.Connection, delta: Delta) -> bool:
        if not self._is_next(connection, delta.number):
            return False
        batch = self._advance(connection, delta)
        if not self._told_profiles:
            self._write_profiles(connection, delta)
        judged = self._unseen(connection, delta.judged, batch)
        if judged:
            self._write_devices(connection, judged)
            add_passages(connection, self._insert, self.site, judged)
        if delta.said:
            said: Said = defaultdict(list)
            for source, saying in delta.said:
                said[device_id(self.site, source)].append(saying)
            add_sayings(connection, self._insert, said)
        for watched in delta.watched:
            add_coverage(connection, self._insert, self.site, watched)
        if delta.reached is not None:
            self._write_input(connection, delta.reached)
        return True

    def _is_next(self, connection: sa.Connection, number: int) -> bool:
        told = schema.writer
        last = connection.scalar(sa.select(told.c.number).where(told.c.name == self.name))
        if last is not None and last >= number:
            return False
        row = {"name": self.name, "number": number}
        self._upsert(connection, told, [row], ("number",))
        return True

    def _advance(self, connection: sa.Connection, delta: Delta) -> int:
        """Let the store's time pass, which never goes back; return the batch's number."""
        told = schema.state
        now = connection.execute(sa.select(told)).one()
        now_ns = now.now_ns
        if delta.now_ns is not None and (now_ns is None or delta.now_ns > now_ns):
            now_ns = delta.now_ns
        connection.execute(
            sa.update(told).values(
                now_ns=now_ns, batches=now.batches + 1, lost=now.lost + delta.lost
            )
        )
        self.retention.count_day(connection, int(now.batches) + 1)
        return int(now.batches) + 1

    def _unseen(
        self, connection: sa.Connection, judged: Sequence[Judged], batch: int
    ) -> list[Judged]:
        """Return the handshakes that were never counted, and remember them."""
        by_id: dict[int, Judged] = {}
        for one in judged:
            half = bytes.fromhex(identity(one[0]))[:8]
            by_id.setdefault(int.from_bytes(half, "big", signed=True), one)
        told = schema.seen.c.id
        for some in parts(list(by_id)):
            for known in connection.scalars(sa.select(told).where(told.in_(some))).all():
                del by_id[known]
        if by_id:
            rows = [{"id": half, "batch": batch} for half in by_id]
            connection.execute(sa.insert(schema.seen), rows)
        return list(by_id.values())

    def _write_devices(self, connection: sa.Connection, judged: Sequence[Judged]) -> None:
        by_source: dict[bytes, list[Judged]] = defaultdict(list)
        for one in sorted(judged, key=_by_time):
            by_source[one[0].flow.source].append(one)
        sources = sorted(by_source, key=_in_order)
        ids = {source: device_id(self.site, source) for source in sources}
        known = self._stored(connection, list(ids.values()))
        # Up to the moment at which there is something to tell of a device, it keeps days
        # alone: however much is brought at once, the same is kept.
        quiet = Aggregate(UNBOUNDED, self._ports, self._profiles, 0)
        told = Aggregate(UNBOUNDED, self._ports, self._profiles, 0)
        late: dict[bytes, list[Judged]] = {}
        for source in sources:
            stored, mine = known.get(ids[source]), by_source[source]
            at = 0 if stored is not None and stored.is_telling else _first_telling(stored, mine)
            late[source] = mine[at:]
            for handshake, judgement in mine[:at]:
                quiet.observe(handshake, judgement)
            for handshake, judgement in mine[at:]:
                told.observe(handshake, judgement)
        days, hours = dict(quiet.devices()), dict(told.devices())
        bounds = (self._inventory.stacks, self._inventory.names, self._inventory.destinations)
        rows, telling = [], []
        for source in sources:
            name, stored = ids[source], known.get(ids[source])
            device = (stored and stored.device()) or Device(by_source[source][0][0].time_ns)
            if source in days:
                device.merge(days[source], *bounds)
                forget_hours(device)
            if source in hours:
                is_news = device.hellos and not (stored is not None and stored.is_telling)
                before = read_device(device_text(device)) if is_news else None
                device.merge(hours[source], *bounds)
                telling.append(Telling(name, device, late[source], before))
            rows.append(self._device_row(name, source, device, source in hours))
        self._upsert(connection, schema.device, rows, _CHANGING)
        if telling:
            self._write_detail(connection, telling, told)

    def _device_row(self, name: str, source: bytes, device: Device, tells: bool) -> Row:
        return {
            "id": name,
            "site": self.site,
            "address": bytes([len(source)]) + source,
            "ip": address(source),
            "mac": None if device.mac is None else device.mac.hex(":"),
            "is_telling": tells,
            "hellos": device.hellos,
            "first_ns": device.first_ns,
            "last_ns": device.last_ns,
            "facts": device_text(device),
        }

    def _stored(self, connection: sa.Connection, ids: Sequence[str]) -> "dict[str, Known]":
        told = schema.device.c
        asked = sa.select(told.id, told.is_telling, told.facts)
        return {
            name: Known(name, tells, facts)
            for some in parts(ids)
            for name, tells, facts in connection.execute(asked.where(told.id.in_(some)))
        }

    def _write_detail(
        self, connection: sa.Connection, telling: "Sequence[Telling]", counted: Aggregate
    ) -> None:
        """Write what is kept of devices there is something to tell of, hour by hour."""
        numbers = self._stack_numbers(connection, telling, counted)
        kinds: dict[Kind, Row] = {}
        events = []
        touched: set[tuple[str, int]] = set()
        for one in telling:
            if one.before is not None:
                for kind, row in earlier(one.name, one.before, numbers):
                    kinds.setdefault(kind, row)
            for handshake, judgement in one.judged:
                number = numbers.get((one.name, counted.shape(handshake.hello).key), REST)
                count(kinds, kind_of(one.name, number, handshake, judgement), handshake.time_ns)
                touched.add((one.name, number))
                events.append(self._event_row(one.name, number, handshake, judgement))
        add_activity(connection, self._insert, [k._asdict() | row for k, row in kinds.items()])
        self._upsert(connection, schema.event, events, ())
        for name, number in sorted(touched):
            self._drop_old_events(connection, name, number)

    def _stack_numbers(
        self, connection: sa.Connection, telling: "Sequence[Telling]", counted: Aggregate
    ) -> dict[tuple[str, str], int]:
        """Return the numbers of the devices' stacks; new ones are written with their evidence."""
        told = schema.stack.c
        numbers: dict[tuple[str, str], int] = {}
        held: dict[str, int] = defaultdict(int)
        bare, unseen = set(), set()
        for some in parts([one.name for one in telling]):
            lacks = told.hello.is_(None), told.exhibit.is_(None)
            asked = sa.select(told.device_id, told.key, told.number, *lacks)
            asked = asked.where(told.device_id.in_(some))
            for name, key, number, has_no_hello, has_no_exhibit in connection.execute(asked):
                numbers[name, key] = number
                held[name] = max(held[name], number)
                if has_no_hello:
                    bare.add((name, key))
                if has_no_exhibit:
                    unseen.add((name, key))
        rows: dict[tuple[str, str], Row] = {}
        for one in telling:
            kept = {stack.key for stack in one.device.stacks}
            shown = [(counted.shape(handshake.hello), handshake) for handshake, _ in one.judged]
            for shape, handshake in (*shown, *_shapes_of(one.before)):
                key = (one.name, shape.key)
                has_octets = handshake is not None and handshake.octets is not None
                if key in rows:
                    if has_octets and rows[key]["exhibit"] is None:
                        rows[key] |= _evidence(handshake)
                    continue
                adds = key in bare or (has_octets and key in unseen)
                if key in numbers and not adds:
                    continue
                if key not in numbers:
                    if shape.key not in kept or held[one.name] >= MOST_STACKS:
                        continue
                    held[one.name] += 1
                    numbers[key] = held[one.name]
                rows[key] = {
                    "device_id": one.name,
                    "number": numbers[key],
                    "key": shape.key,
                    "shape": as_json(shape),
                    **_evidence(handshake),
                }
        self._upsert(connection, schema.stack, list(rows.values()), ("hello", "exhibit"))
        return numbers

    def _event_row(self, name: str, number: int, handshake: Handshake, judgement: Judgement) -> Row:
        return {
            "id": identity(handshake),
            "device_id": name,
            "stack": number,
            "time_ns": handshake.time_ns,
            "outcome": handshake.outcome.value,
            "told": self._tell(handshake, judgement).decode(),
        }

    def _drop_old_events(self, connection: sa.Connection, name: str, number: int) -> None:
        told = schema.event.c
        mine = (told.device_id == name) & (told.stack == number)
        oldest = connection.scalar(
            sa.select(told.time_ns)
            .where(mine)
            .order_by(told.time_ns.desc())
            .offset(self._settings.events - 1)
            .limit(1)
        )
        if oldest is not None:
            connection.execute(sa.delete(schema.event).where(mine, told.time_ns < oldest))

    def _write_input(self, connection: sa.Connection, reached: Reached) -> None:
        row = {
            "reading": reached.reading,
            "site": self.site,
            "path": one_line(reached.path),
            "head": reached.mark.head,
            "position": reached.mark.position,
            "tail": reached.mark.tail,
            "frames": reached.frames,
            "is_done": reached.is_done,
        }
        changing = ("path", "head", "position", "tail", "frames", "is_done")
        self._upsert(connection, schema.input_read, [row], changing)

    def _write_profiles(self, connection: sa.Connection, delta: Delta) -> None:
        if delta.now_ns is None:
            return
        rows = [
            {
                "name": profile.name,
                "digest": profile_digest(profile),
                "title": profile.title,
                "checked": profile.checked.isoformat(),
                "source": profile.source,
                "since_ns": delta.now_ns,
            }
            for profile in self._profiles.values()
        ]
        self._upsert(connection, schema.profile, rows, ())
        self._told_profiles = True

    def _upsert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Row],
        changing: Iterable[str],
    ) -> None:
        """Insert rows; of those that are there, change these columns."""
        if not rows:
            return
        keys = [column.name for column in table.primary_key]
        statement = self._insert(table)
        new = {name: statement.excluded[name] for name in changing}
        if new:
            statement = statement.on_conflict_do_update(index_elements=keys, set_=new)
        else:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
        connection.execute(statement, list(rows))


class LogFullError(Exception):
    """Somebody reads old pages for so long that no more may be written ahead."""


_CHANGING = ("mac", "is_telling", "hellos", "first_ns", "last_ns", "facts")


def device_id(site: str, source: bytes) -> str:
    """Return the id of the device at an address: the same in every store."""
    return blake2b(site.encode() + b"\0" + source, digest_size=5).hexdigest()


def profile_digest(profile: Profile) -> str:
    """Return what tells one edition of a profile from another."""
    return blake2b(msgspec.json.encode(profile, order="deterministic"), digest_size=8).hexdigest()


def _evidence(handshake: Handshake | None) -> Row:
    """Return the columns that show a stack by one of its handshakes."""
    if handshake is None:
        return {"hello": None, "exhibit": None}
    octets = handshake.octets
    return {
        "hello": as_json(handshake.hello),
        "exhibit": None if octets is None else exhibit(handshake, octets).encode(),
    }


def _shapes_of(device: Device | None) -> Iterator[tuple[Shape, Handshake | None]]:
    for stack in () if device is None else device.stacks:
        if stack.shape is not None:
            yield stack.shape, None


def _first_telling(stored: Known | None, judged: Sequence[Judged]) -> int:
    """Return which handshake of a device is the first that makes it one to tell of."""
    trail: Trail | None = None if stored is None else stored.device()
    if trail is None:
        trail = Trail(0)
    for at, (handshake, judgement) in enumerate(judged):
        by = None if handshake.refused_by is None else handshake.refused_by.value
        trail.observe(handshake.time_ns, handshake.outcome is Outcome.ESTABLISHED, by)
        if judgement.verdict in EXPOSED or trail.is_failing:
            return at
    return len(judged)


def _by_time(judged: Judged) -> int:
    return judged[0].time_ns


def _in_order(source: bytes) -> tuple[int, bytes]:
    return len(source), source
