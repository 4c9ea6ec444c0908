"""Adds handshakes up: exact totals, and what is remembered of each device.

Totals never lose a hello. Detail is bounded: at most so many devices, and of each so many
stacks, names and destinations; beyond it detail is summed, and what was let go is counted.
Keys taken from the wire are bytes or text, whose hash is keyed (reliability.md, rule 6).

There is no clock here: "now" is the newest frame time the aggregate has been told of.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct, structs

from parsers.tls import fingerprint
from parsers.tls.facts import KNOWN_VERSIONS, TLS_1_2, ClientHello
from parsers.tls.names import SUITES
from sniffer.config import InventorySettings, Ports
from sniffer.event import (
    ClearJudgement,
    Dialogue,
    Handshake,
    Judgement,
    Outcome,
    Reason,
    Sighting,
    SightingSource,
    Status,
    Verdict,
)
from sniffer.inventory.delta import Delta, Judged
from sniffer.inventory.device import (
    EVERY_DAY,
    EXPOSED,
    LONGEST_NAME,
    NEEDS_ACTION,
    NO_TROUBLE,
    OUTCOME_INDEX,
    OUTCOMES,
    REASON_BIT,
    RED,
    SERVICE_BIT,
    SERVICE_WORDS,
    SILENT_AFTER_NS,
    VERDICT_RANK,
    VERDICTS,
    Calendar,
    Device,
    Evidence,
    Shape,
    Stack,
    Troubles,
    Use,
    destination_key,
    is_telling,
    read_destination,
    relays_of,
    review_after,
    service_part,
    status,
    tally,
)
from sniffer.inventory.enforcement import Turned, turned
from sniffer.inventory.findings import Findings, FindingSnapshot, by_source
from sniffer.inventory.gateway import is_virtual_router
from sniffer.inventory.passage import NOWHERE, Passage, Passages, merge_passages, passage_key
from sniffer.inventory.sayings import Saying, Sayings
from sniffer.judge.profile import Profile

VERSIONS: tuple[int | None, ...] = (None, *sorted(KNOWN_VERSIONS))
"""Every max offered there is; None: not proven."""

DETAIL_PER_DEVICE = 6
"""Stacks, names and destinations held on average; a flood of detail is summed beyond it."""

SERIES_PER_DEVICE = 2
"""Legacy series held on average per device that has series of its own."""

STACK_SERIES_PER_DEVICE = 1.5
MOST_STACK_SERIES = 4
"""Stacks listed on average, and at most, of a device that has series of its own."""

MOST_RELAYS = 4096
"""Addresses of declared relays that are told apart."""

MOST_VERSIONS = 8
LONGEST_SHAPE = 512
MOST_SHAPES = 4096
"""Hello shapes whose JA4 is remembered; beyond it all are forgotten and made anew."""

_VERSION_INDEX = {version: index for index, version in enumerate(VERSIONS)}
_PER_VERSION = len(VERDICTS) * len(OUTCOMES)
_CELLS = len(VERSIONS) * _PER_VERSION


class Cell(NamedTuple):
    """How many hellos had one service, max offered, verdict and outcome."""

    service: str
    version: int | None
    verdict: Verdict
    outcome: Outcome
    hellos: int


class DestinationSnapshot(NamedTuple):
    """Where a stack said hello to. ``name`` is the server name as the wire had it."""

    address: bytes
    port: int
    service: str
    name: bytes | None
    label: str
    """The profile's name, or "other"."""
    hellos: int


class UseSnapshot(Struct, frozen=True, kw_only=True):
    """How one stack fares with one service of one destination."""

    service: str
    destination: str
    """The profile's name, or "other"."""
    verdict: Verdict
    """The most telling one it got there."""
    reasons: tuple[Reason, ...]
    hellos: int = 0
    last_ns: int | None = None
    established: int = 0
    first_established_ns: int | None = None
    established_ns: int | None = None
    """The newest one that was established."""
    refused: int = 0
    first_refused_ns: int | None = None
    refused_ns: int | None = None
    alert_ns: int | None = None
    """The newest refusal that was spelt out as an alert."""
    refused_by: str | None = None
    is_failing: bool = False
    thrown_out: int = 0
    """Of those established: most likely thrown out inside TLS at once ..."""
    thrown_out_ns: int | None = None
    maybe_thrown_out: int = 0
    """... and possibly."""


class ServiceSnapshot(Struct, frozen=True, kw_only=True):
    """How a device fares with one service, wherever it uses it."""

    service: str
    status: Status
    """What the device would be if it had this service alone."""
    verdict: Verdict
    """The most telling one."""
    hellos: int
    last_ns: int
    established_ns: int | None
    last_ok_ns: int | None
    refused_ns: int | None
    refused_by: str | None


class StackSnapshot(Struct, frozen=True, kw_only=True):
    """One hello shape of a device."""

    shape: Shape | None
    """None: the sum of the stacks that found no room."""
    verdict: Verdict
    """The most telling one it got."""
    services: tuple[str, ...]
    hellos: int
    outcomes: dict[str, int]
    """Only those that occurred; they sum to ``hellos``."""
    first: Evidence
    last: Evidence
    destinations: tuple[DestinationSnapshot, ...]
    other_hellos: int
    """Hellos to destinations that found no room."""
    uses: tuple[UseSnapshot, ...] = ()
    """By service and destination."""


class ExposureSnapshot(Struct, frozen=True, kw_only=True):
    """Hellos that a destination does not, or may not, take."""

    verdict: Verdict
    service: str
    destination: str
    """The profile's name, or "other"."""
    version: int | None
    hellos: int
    first_ns: int
    last_ns: int
    is_failing: bool
    refused_by: str | None


class DeviceSnapshot(Struct, frozen=True, kw_only=True):
    """One device, as of the snapshot's now."""

    address: bytes
    mac: bytes | None
    status: Status
    hellos: int
    first_ns: int
    last_ns: int
    established_ns: int | None
    last_ok_ns: int | None
    first_refused_ns: int | None
    refused_ns: int | None
    refused_by: str | None
    is_failing: bool
    established: int
    """Handshakes that were established."""
    stacks: tuple[StackSnapshot, ...]
    """By first seen; the one without a shape last."""
    exposures: tuple[ExposureSnapshot, ...]
    troubles: Troubles = NO_TROUBLE
    """What is wrong with relays it is sent through."""
    services: tuple[ServiceSnapshot, ...] = ()
    """In the contract's order of services."""
    names: tuple[tuple[bytes, int], ...]
    """Server names it asked for, with their hellos, most asked for first."""
    sayings: tuple[Saying, ...] = ()
    own_mac: bytes | None = None
    """The MAC, where no other device has it too: not that of a router before it."""
    """What it calls itself, and says of itself."""
    findings: tuple[FindingSnapshot, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything the aggregate knows at one moment; it does not change any more."""

    now_ns: int | None
    hellos: int
    cells: tuple[Cell, ...]
    devices: tuple[DeviceSnapshot, ...]
    """By address."""
    devices_let_go: int
    """Devices that found no room; their hellos are in ``cells`` only."""
    findings: tuple[FindingSnapshot, ...] = ()
    """Of all sources of clear text, also those that never sent a hello."""
    passages: Passages = {}
    """Who gets through where."""
    finding_totals: tuple[tuple[str, str, int], ...] = ()
    """By service and kind, as counted: what the bounds of detail let go included."""


class DeviceSeries(NamedTuple):
    """What the metrics page says of one device with series of its own."""

    address: bytes
    own_mac: bytes | None
    """The MAC, where no other device has it too."""
    sayings: tuple[Saying, ...]
    status: Status
    stacks: tuple[tuple[str, int | None, Verdict], ...]
    """Id, max offered and verdict of the stacks that need action."""
    first_legacy_ns: int | None
    last_legacy_ns: int | None
    first_refused_ns: int | None
    last_ok_ns: int | None
    legacy: dict[str, int]
    """Legacy hellos by series key."""


class Figures(NamedTuple):
    """What the metrics page needs, made in milliseconds however many devices there are."""

    cells: tuple[Cell, ...]
    statuses: dict[Status, int]
    devices: tuple[DeviceSeries, ...]
    overflow: dict[str, int]
    departed: dict[str, int]
    """Legacy hellos by series key of devices without series, and of those that left."""
    devices_folded: int
    devices_let_go: int
    findings: dict[tuple[str, str], int]
    """By service and kind."""
    turned: tuple[Turned, ...] = ()
    """Devices that were taken in somewhere and are not any more."""
    passages: Passages = NOWHERE
    sayings_let_go: int = 0
    """Names and facts that found no room."""


class Aggregate:
    """The inventory in memory. One writer; readers take ``snapshot`` or ``figures``.

    ``device_series`` bounds the devices that ``figures`` lists one by one.
    """

    def __init__(
        self,
        settings: InventorySettings,
        ports: Ports,
        profiles: Mapping[str, Profile],
        device_series: int = 1000,
    ) -> None:
        """Begin empty."""
        self.ports = ports
        self.profiles = profiles
        self.now_ns: int | None = None
        self.devices_let_go = 0
        self._settings = settings
        self._most_rows = DETAIL_PER_DEVICE * settings.devices
        self._rows = 0
        self._totals: dict[str, list[int]] = {}
        # Two queues, least recently heard of first. The telling ones hold every device with
        # an exposure or a refusal; they are let go only when no other is left.
        self._quiet: OrderedDict[bytes, Device] = OrderedDict()
        self._telling: OrderedDict[bytes, Device] = OrderedDict()
        self._statuses = dict.fromkeys(Status, 0)
        self._series = Series(device_series)
        self._findings = Findings()
        self._sayings = Sayings(settings.names, self._holds)
        self._passages: dict[str, Passage] = {}
        self._most_undrained: int | None = None
        self._undrained: list[Judged] = []
        # Stacks of which a handshake with its octets waits for ``drain``.
        self._shown: set[bytes] = set()
        self._drained = 0
        self._lost = 0
        self._shapes: dict[bytes, Shape] = {}
        self._labels: dict[str, bytes] = {}
        # Relays are devices too, known by the addresses that old hellos are sent to.
        self._relays: dict[bytes, set[str]] = {}
        self._relay_states: dict[bytes, Status] = {}
        self._troubles: dict[str, Status] = {}

    @property
    def hellos(self) -> int:
        """All hellos ever observed."""
        return sum(sum(counts) for counts in self._totals.values())

    @property
    def device_count(self) -> int:
        """Devices held now."""
        return len(self._quiet) + len(self._telling)

    def use(
        self,
        settings: InventorySettings,
        ports: Ports,
        profiles: Mapping[str, Profile],
        device_series: int,
    ) -> None:
        """Go on with other bounds, ports and profiles; no count changes.

        Where there is less room than before, devices and series are let go as if they had
        found none.
        """
        self.ports, self.profiles = ports, profiles
        self._settings = settings
        self._most_rows = DETAIL_PER_DEVICE * settings.devices
        self._sayings.most = settings.names
        while self.device_count > settings.devices:
            self._let_one_go()
        fewer = device_series < self._series.most
        self._series.most = device_series
        if fewer:
            self._series = self._series.joined(Series(0), dict(self.devices()))
            for address, device in self.devices():
                self._series.update(address, device)

    def tick(self, now_ns: int) -> None:
        """Let time pass up to a frame time; it never goes back."""
        if self.now_ns is None or now_ns > self.now_ns:
            self.now_ns = now_ns

    def keep(self, most: int) -> None:
        """Keep at most so many handshakes for ``drain`` from now on."""
        self._most_undrained = most

    @property
    def undrained(self) -> int:
        """Handshakes that wait for ``drain``."""
        return len(self._undrained)

    @property
    def undrained_lost(self) -> int:
        """Handshakes that found no room to wait since the last ``drain``."""
        return self._lost

    def drain(self) -> Delta:
        """Return what was counted since the last one, numbered from 1, and let go of it."""
        self._drained += 1
        judged, self._undrained = self._undrained, []
        self._shown.clear()
        lost, self._lost = self._lost, 0
        return Delta(
            number=self._drained,
            now_ns=self.now_ns,
            judged=tuple(judged),
            lost=lost,
            said=self._sayings.drain(self._holders),
        )

    def observe(self, handshake: Handshake, judgement: Judgement) -> None:
        """Count one handshake."""
        time_ns, flow, hello = handshake.time_ns, handshake.flow, handshake.hello
        verdict, service, outcome = judgement.verdict, judgement.service, handshake.outcome
        if self.now_ns is None or time_ns > self.now_ns:
            self.now_ns = time_ns
        shape = self.shape(hello)
        version = shape.max_offered
        rank = VERDICT_RANK[verdict]
        counts = self._totals.get(service)
        if counts is None:
            counts = self._totals[service] = [0] * _CELLS
        cell = _VERSION_INDEX[version] * _PER_VERSION + rank * len(OUTCOMES)
        counts[cell + OUTCOME_INDEX[outcome]] += 1

        if outcome is Outcome.REFUSED_STARTTLS:
            self._findings.refused(handshake, service)
        source = flow.source
        device = self._device(source, time_ns)
        established = outcome is Outcome.ESTABLISHED
        refused_by = None if handshake.refused_by is None else handshake.refused_by.value
        if self._most_undrained is not None:
            self._keep(handshake, judgement, shape, self._most_undrained)
        device.observe(time_ns, established, refused_by)
        if flow.mac is not None and (
            device.mac is None or (time_ns, flow.mac) > (device.mac_ns, device.mac)
        ):
            if flow.mac != device.mac:
                self._sayings.know_mac(flow.mac)
            device.mac, device.mac_ns = flow.mac, time_ns
        if (
            established
            and verdict is Verdict.OK
            and (device.last_ok_ns is None or time_ns > device.last_ok_ns)
        ):
            device.last_ok_ns = time_ns
        label = judgement.destination
        if judgement.relay is not None:
            self._note_relay(flow.destination, label)
        place = passage_key(service, label)
        passage = self._passages.get(place)
        if passage is None:
            passage = self._passages[place] = Passage()
        passage.observe(time_ns, verdict, outcome, refused_by)
        self._detail(device, shape, handshake, judgement, rank, refused_by)
        if verdict in EXPOSED:
            device.expose(time_ns, verdict, service, label, version).observe(
                time_ns, established, refused_by
            )
            if verdict is Verdict.LEGACY:
                self._series.count(source, device, series_key(service, label, version))
            self._review(source, device)
        elif refused_by is not None or device.status is not Status.OK:
            self._review(source, device)

    def observe_dialogue(self, dialogue: Dialogue, judgement: ClearJudgement) -> None:
        """Count what was found of one dialogue in clear."""
        self.tick(dialogue.time_ns)
        self._findings.observe(dialogue, judgement.service, judgement.kinds)
        for origin, name in dialogue.names:
            # Routers stand between: the address is the client's, the MAC need not be.
            self._sayings.observe(
                Sighting(
                    dialogue.time_ns,
                    SightingSource(origin),
                    address=dialogue.flow.source,
                    name=name,
                )
            )

    def observe_sighting(self, sighting: Sighting) -> None:
        """Take in what one message says of a device."""
        self.tick(sighting.time_ns)
        self._sayings.observe(sighting)

    def merge(self, other: "Aggregate") -> None:
        """Add what another aggregate, of another time range or input, has counted.

        Associative and commutative: exactly, while no bound is met; beyond the bound on
        devices the totals stay exact, and which devices are kept depends on what is told of
        them alone. ``other`` is left as it is.
        """
        if other.now_ns is not None:
            self.tick(other.now_ns)
        for service, counts in other._totals.items():
            mine = self._totals.get(service, [0] * _CELLS)
            self._totals[service] = [a + b for a, b in zip(mine, counts, strict=True)]
        bounds = (self._settings.stacks, self._settings.names, self._settings.destinations)
        devices = dict(self.devices())
        for address, theirs in other.devices():
            device = devices.get(address)
            if device is None:
                device = devices[address] = Device(theirs.first_ns)
            device.merge(theirs, *bounds)
        self.devices_let_go += other.devices_let_go
        self._findings.merge(other._findings)
        self._sayings.merge(other._sayings)
        merge_passages(self._passages, other._passages.items())
        for address, labels in other._relays.items():
            self._relays.setdefault(address, set()).update(labels)
        series = self._series.joined(other._series, devices)
        self._quiet.clear()
        self._telling.clear()
        self._series = series
        self._statuses = dict.fromkeys(Status, 0)
        self._rows = 0
        now_ns = self.now_ns or 0
        self._relay_states = {
            address: status(devices[address], now_ns)
            for address in self._relays
            if address in devices
        }
        self._troubles = self._found_troubles()
        for address, device in sorted(devices.items(), key=_by_last_seen):
            self._sayings.know(address)
            if device.mac is not None:
                self._sayings.know_mac(device.mac)
            device.status = status(device, now_ns, EVERY_DAY, self._troubles)
            device.review_ns = review_after(device, now_ns)
            self._statuses[device.status] += 1
            self._rows += device.rows()
            queue = self._telling if is_telling(device) else self._quiet
            queue[address] = device
        while self.device_count > self._settings.devices:
            self._let_one_go()
        for address, device in self.devices():
            self._series.update(address, device)

    def snapshot(self) -> Snapshot:
        """Return an immutable picture of everything."""
        for address, device in list(self.devices()):
            self._review(address, device)
        devices = sorted(self.devices(), key=_by_address)
        findings = self._findings.snapshot()
        found = by_source(findings)
        own_macs = {address: mac for mac, address in self._holders(None)}
        return Snapshot(
            now_ns=self.now_ns,
            hellos=self.hellos,
            cells=self._cells(),
            devices=tuple(
                device_snapshot(
                    address,
                    device,
                    self.ports,
                    self.now_ns or 0,
                    troubles=self._troubles,
                    sayings=self._sayings.of(address, own_macs.get(address)),
                    own_mac=own_macs.get(address),
                    findings=found.get(address, ()),
                )
                for address, device in devices
            ),
            devices_let_go=self.devices_let_go,
            findings=findings,
            passages=self.passages(),
            finding_totals=tuple(
                (service, kind, count)
                for (service, kind), count in sorted(self._findings.totals.items())
            ),
        )

    def passages(self) -> dict[str, Passage]:
        """Return who gets through where, apart from what is counted on."""
        copied: dict[str, Passage] = {}
        merge_passages(copied, sorted(self._passages.items()))
        return copied

    def figures(self) -> Figures:
        """Return what the metrics page needs: a walk over few devices, not over all."""
        self._review_due()
        series = self._series
        room = max(0, int(STACK_SERIES_PER_DEVICE * series.most) - len(series))
        devices = []
        shown = list(series.devices())
        macs = [device.mac for _, device, _ in shown if device.mac is not None]
        own_macs = {address: mac for mac, address in self._holders(macs)}
        for address, device, rows in shown:
            listed = _device_series(
                address,
                device,
                rows,
                1 + min(room, MOST_STACK_SERIES - 1),
                own_macs.get(address),
                self._sayings.of(address, own_macs.get(address)),
            )
            room -= max(0, len(listed.stacks) - 1)
            devices.append(listed)
        return Figures(
            cells=self._cells(),
            statuses=dict(self._statuses),
            devices=tuple(devices),
            overflow=dict(series.overflow),
            departed=dict(series.departed),
            devices_folded=series.folded,
            devices_let_go=self.devices_let_go,
            findings=dict(self._findings.totals),
            turned=tuple(self._turned()),
            passages=self.passages(),
            sayings_let_go=self._sayings.let_go,
        )

    def _turned(self) -> Iterator[Turned]:
        for address, device in self._telling.items():
            if device.is_failing:
                for stack in device.stacks:
                    yield from turned(address, stack.uses)

    def _device(self, source: bytes, time_ns: int) -> Device:
        device = self._quiet.get(source)
        if device is not None:
            self._quiet.move_to_end(source)
            return device
        device = self._telling.get(source)
        if device is not None:
            self._telling.move_to_end(source)
            return device
        if self.device_count >= self._settings.devices:
            self._let_one_go()
        device = self._quiet[source] = Device(time_ns)
        self._sayings.know(source)
        self._statuses[Status.UNKNOWN] += 1
        return device

    def devices(self) -> Iterator[tuple[bytes, Device]]:
        """Yield every device with its address."""
        yield from self._quiet.items()
        yield from self._telling.items()

    def _let_one_go(self) -> None:
        """Forget the least telling device: of the quiet ones, else of all, the stalest."""
        address, device = (self._quiet or self._telling).popitem(last=False)
        self.devices_let_go += 1
        self._rows -= device.rows()
        self._statuses[device.status] -= 1
        self._series.leave(address)
        self._sayings.estrange(address)

    def _holds(self, address: bytes) -> bool:
        return address in self._quiet or address in self._telling

    def _holders(self, macs: Iterable[bytes] | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield MAC and address of the devices whose MAC, one of these or any, is their own.

        One that several IPv4 addresses have is a gateway's, as is one that routers share.
        """
        wanted = None if macs is None else frozenset(macs)
        if wanted is not None and not wanted:
            return
        held: dict[bytes, list[bytes]] = {}
        for address, device in self.devices():
            if device.mac is not None and (wanted is None or device.mac in wanted):
                held.setdefault(device.mac, []).append(address)
        for mac, addresses in held.items():
            is_shared = sum(len(address) == 4 for address in addresses) > 1
            if not is_shared and not is_virtual_router(mac):
                for address in addresses:
                    yield mac, address

    def _keep(self, handshake: Handshake, judgement: Judgement, shape: Shape, most: int) -> None:
        """Keep a handshake for ``drain``, with its octets if no other shows the same."""
        if len(self._undrained) >= most:
            self._lost += 1
            return
        if handshake.octets is not None:
            stack = handshake.flow.source + shape.key.encode()
            tells = judgement.verdict in EXPOSED or handshake.refused_by is not None
            if tells and stack not in self._shown:
                self._shown.add(stack)
            else:
                handshake = structs.replace(handshake, octets=None)
        self._undrained.append((handshake, judgement))

    def _detail(
        self,
        device: Device,
        shape: Shape,
        handshake: Handshake,
        judgement: Judgement,
        rank: int,
        refused_by: str | None,
    ) -> None:
        """Count the hello's stack, destination and server name, as far as there is room."""
        settings, flow = self._settings, handshake.flow
        has_room = self._rows < self._most_rows
        evidence = (handshake.time_ns, handshake.path or "", handshake.frame)
        stack = device.stack(shape.key)
        if stack is None:
            before = device.rows()
            most = settings.stacks if has_room else max(1, len(device.stacks))
            stack = device.place(Stack(shape, evidence), most)
            self._rows += device.rows() - before
        service = judgement.service
        stack.observe(evidence, rank, service, handshake.outcome)
        use = stack.use(handshake.time_ns, service, judgement.destination)
        session = handshake.session
        thrown_out = None if session is None else session.thrown_out
        use.count(handshake.time_ns, handshake.outcome, refused_by, thrown_out)
        if rank > use.rank:
            use.rank = rank
        for reason in judgement.reasons:
            use.reasons |= REASON_BIT[reason]

        name = handshake.hello.server_name
        if name is not None:
            name = name[:LONGEST_NAME]
            names = device.names
            most = settings.names if has_room else max(1, len(names))
            self._rows += tally(names, device.name_counts, name, 1, most)
        if stack.shape is not None:
            key = destination_key(
                self._label(judgement.destination), flow.destination, flow.destination_port, name
            )
            keys = stack.destinations
            most = settings.destinations if has_room else max(1, len(keys))
            self._rows += tally(keys, stack.destination_counts, key, 1, most)

    def _label(self, destination: str) -> bytes:
        label = self._labels.get(destination)
        if label is None:
            label = self._labels[destination] = destination.encode()
        return label

    def shape(self, hello: ClientHello) -> Shape:
        """Return the shape of a hello, remembered."""
        wire = fingerprint.offered(hello)
        if len(wire) > LONGEST_SHAPE:  # not worth its memory; a digest tells it apart as well
            wire = blake2b(wire).digest()
        shape = self._shapes.get(wire)
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[wire] = make_shape(hello)
        return shape

    def _review(self, address: bytes, device: Device) -> None:
        """Bring status, queue and series of one device up to date."""
        now_ns = self.now_ns or 0
        is_now = status(device, now_ns, EVERY_DAY, self._troubles)
        if is_now is not device.status:
            self._statuses[device.status] -= 1
            self._statuses[is_now] += 1
            device.status = is_now
        device.review_ns = review_after(device, now_ns)
        wrong, right = self._telling, self._quiet
        if is_telling(device):
            wrong, right = right, wrong
        if wrong.pop(address, None) is not None:
            right[address] = device
        self._series.update(address, device)
        if address in self._relays:
            self._note_state(address, is_now)

    def _note_relay(self, address: bytes, label: str) -> None:
        """Take in where a declared relay is."""
        labels = self._relays.get(address)
        if labels is None:
            if len(self._relays) >= MOST_RELAYS:
                return
            labels = self._relays[address] = set()
        if label not in labels:
            labels.add(label)
            device = self._quiet.get(address) or self._telling.get(address)
            if device is not None:
                self._note_state(address, device.status)

    def _note_state(self, address: bytes, is_now: Status) -> None:
        """Take in where a relay stands itself; those it is put before stand no better."""
        if self._relay_states.get(address) is is_now:
            return
        self._relay_states[address] = is_now
        troubles = self._found_troubles()
        if troubles == self._troubles:
            return
        self._troubles = troubles
        for other, device in list(self._telling.items()):
            if other not in self._relays and relays_of(device):
                self._review(other, device)

    def _found_troubles(self) -> dict[str, Status]:
        troubles: dict[str, Status] = {}
        for address, is_now in self._relay_states.items():
            if is_now in RED:
                for label in self._relays[address]:
                    worst = min(troubles.get(label, is_now), is_now, key=RED.index)
                    troubles[label] = worst
        return troubles

    def _review_due(self) -> None:
        """Review the devices whose status time alone may have changed."""
        now_ns = self.now_ns or 0
        due = []
        for address, device in self._quiet.items():
            if now_ns - device.last_ns < SILENT_AFTER_NS:
                break
            if device.status is not Status.SILENT:
                due.append((address, device))
        due += [(a, d) for a, d in self._telling.items() if d.review_ns <= now_ns]
        for address, device in due:
            self._review(address, device)

    def _cells(self) -> tuple[Cell, ...]:
        cells = []
        for service, counts in sorted(self._totals.items()):
            for index, hellos in enumerate(counts):
                if hellos:
                    version, rest = divmod(index, _PER_VERSION)
                    rank, outcome = divmod(rest, len(OUTCOMES))
                    cells.append(
                        Cell(service, VERSIONS[version], VERDICTS[rank], OUTCOMES[outcome], hellos)
                    )
        return tuple(cells)


class Series:
    """Which devices have series of their own on the metrics page, and the legacy hellos of all.

    Every legacy hello is counted in one place: its device's series, ``overflow`` where there
    was no room for one, or ``departed`` once the device has left. So the three sum to all
    legacy hellos, and none of them but a leaving device's series ever goes back.
    """

    def __init__(self, most: int) -> None:
        """Begin empty, for at most this many devices."""
        self.overflow: dict[str, int] = {}
        self.departed: dict[str, int] = {}
        self.folded = 0
        """Devices with legacy hellos in ``overflow`` and no series of their own."""
        self.most = most
        self._held = 0
        self._legacy: dict[bytes, tuple[Device, dict[str, int]]] = {}
        self._others: dict[bytes, Device] = {}
        """Devices that need action and have sent no legacy hello: these make room first."""

    def count(self, address: bytes, device: Device, key: str, hellos: int = 1) -> None:
        """Count legacy hellos of a device."""
        entry = self._legacy.get(address)
        if entry is None and self._has_room_for(address):
            entry = self._legacy[address] = (device, {})
            if device.is_folded:
                device.is_folded = False
                self.folded -= 1
        if entry is None:
            if not device.is_folded:
                device.is_folded = True
                self.folded += 1
            self.overflow[key] = self.overflow.get(key, 0) + hellos
            return
        rows = entry[1]
        if key in rows:
            rows[key] += hellos
        elif self._held < SERIES_PER_DEVICE * self.most:
            rows[key] = hellos
            self._held += 1
        else:
            self.overflow[key] = self.overflow.get(key, 0) + hellos

    def update(self, address: bytes, device: Device) -> None:
        """Give a device that needs action its place if there is room; let the others leave."""
        if device.status not in NEEDS_ACTION:
            self.leave(address)
        elif address not in self._legacy and len(self) < self.most and not device.is_folded:
            self._others[address] = device

    def leave(self, address: bytes) -> None:
        """Take a device's series away; its hellos move to ``departed``."""
        self._others.pop(address, None)
        entry = self._legacy.pop(address, None)
        if entry is not None:
            self._held -= len(entry[1])
            _add(self.departed, entry[1])

    def devices(self) -> Iterator[tuple[bytes, Device, dict[str, int]]]:
        """Yield address, device and legacy hellos of every device with series of its own."""
        for address, (device, rows) in self._legacy.items():
            yield address, device, rows
        for address, device in self._others.items():
            yield address, device, {}

    def joined(self, other: "Series", devices: Mapping[bytes, Device]) -> "Series":
        """Return both as one; ``devices`` are the merged devices.

        Those that sent legacy hellos first get their series, as far as there is room.
        """
        series = Series(self.most)
        rows: dict[bytes, dict[str, int]] = {}
        for part in (self, other):
            _add(series.overflow, part.overflow)
            _add(series.departed, part.departed)
            for address, _, counts in part.devices():
                if counts:
                    _add(rows.setdefault(address, {}), counts)
        series.folded = self.folded + other.folded
        for address in sorted(rows, key=lambda a: (devices[a].first_ns, a)):
            for key, hellos in sorted(rows[address].items()):
                series.count(address, devices[address], key, hellos)
        return series

    def __len__(self) -> int:
        """Return how many devices have series of their own."""
        return len(self._legacy) + len(self._others)

    def _has_room_for(self, address: bytes) -> bool:
        if self._others.pop(address, None) is not None or len(self) < self.most:
            return True
        if not self._others:
            return False
        del self._others[next(iter(self._others))]
        return True


def series_key(service: str, label: str, version: int | None) -> str:
    """Return the words of a legacy series as one."""
    return f"{service} {label} {version}"


def read_series_key(key: str) -> tuple[str, str, int]:
    """Return service, destination and version of a legacy series."""
    service, label, version = key.split(" ")
    return service, label, int(version)


def make_shape(hello: ClientHello) -> Shape:
    """Return the shape of a hello."""
    versions = hello.versions
    top = hello.max_offered
    code = fingerprint.ja4(hello) if hello.complete and hello.hello_format == "tls" else None
    words = [code or (hello.hello_format if hello.complete else "cut")]
    words.append("none" if hello.record_version is None else f"{hello.record_version:04x}")
    words.append(f"{hello.legacy_version:04x}")
    if versions is not None:
        told = ".".join([f"{version:04x}" for version in versions])
        if len(versions) > MOST_VERSIONS:
            told = blake2b(told.encode(), digest_size=16).hexdigest()
        words.append(told)
    is_legacy = top is not None and top < TLS_1_2
    return Shape(
        key=f"{0 if is_legacy else 1}{'_'.join(words)}",
        ja4=code,
        max_offered=top,
        record_version=hello.record_version,
        legacy_version=hello.legacy_version,
        versions=versions,
        hello_format=hello.hello_format,
        complete=hello.complete,
        exchanges=key_exchanges(hello.suites or ()),
    )


def key_exchanges(suites: Iterable[int]) -> tuple[str, ...]:
    """Return the key exchanges of cipher suites up to TLS 1.2, as ECDHE and RSA, sorted."""
    names = [SUITES.get(code, "") for code in suites]
    return tuple(sorted({n.removeprefix("TLS_").split("_")[0] for n in names if "_WITH_" in n}))


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count


def _by_last_seen(item: tuple[bytes, Device]) -> tuple[int, bytes]:
    return item[1].last_ns, item[0]


def _by_address(item: tuple[bytes, Device]) -> tuple[int, bytes]:
    return len(item[0]), item[0]


def _device_series(
    address: bytes,
    device: Device,
    rows: Mapping[str, int],
    most_stacks: int,
    own_mac: bytes | None,
    sayings: tuple[Saying, ...],
) -> DeviceSeries:
    legacy = [e for e in (device.exposures or {}).values() if e.verdict is Verdict.LEGACY]
    stacks = sorted(device.stacks, key=lambda stack: (-stack.rank, stack.key))[:most_stacks]
    return DeviceSeries(
        address=address,
        own_mac=own_mac,
        sayings=sayings,
        status=device.status,
        stacks=tuple(
            (stack.shape.id, stack.shape.max_offered, VERDICTS[stack.rank])
            for stack in stacks
            if stack.shape is not None
        ),
        first_legacy_ns=min((e.first_ns for e in legacy), default=None),
        last_legacy_ns=max((e.last_ns for e in legacy), default=None),
        first_refused_ns=device.first_refused_ns,
        last_ok_ns=device.last_ok_ns,
        legacy=dict(rows),
    )


def device_snapshot(
    address: bytes,
    device: Device,
    ports: Ports,
    now_ns: int,
    calendar: Calendar = EVERY_DAY,
    *,
    troubles: Troubles = NO_TROUBLE,
    sayings: tuple[Saying, ...] = (),
    own_mac: bytes | None = None,
    findings: tuple[FindingSnapshot, ...] = (),
) -> DeviceSnapshot:
    """Return one device as it is now."""
    kept = sorted(device.stacks, key=lambda stack: (stack.first, stack.key))
    stacks = [*kept, *([] if device.rest is None else [device.rest])]
    used = {use.service for stack in stacks for use in stack.uses}
    exposures = sorted((device.exposures or {}).items())
    names = sorted(zip(device.names, device.name_counts, strict=True), key=lambda n: (-n[1], n[0]))
    index = OUTCOME_INDEX[Outcome.ESTABLISHED]
    return DeviceSnapshot(
        address=address,
        mac=device.mac,
        status=device.status,
        hellos=device.hellos,
        first_ns=device.first_ns,
        last_ns=device.last_ns,
        established_ns=device.established_ns,
        last_ok_ns=device.last_ok_ns,
        first_refused_ns=device.first_refused_ns,
        refused_ns=device.refused_ns,
        refused_by=device.refused_by,
        is_failing=device.is_failing,
        established=sum(stack.outcomes[index] for stack in stacks),
        stacks=tuple(_stack_snapshot(stack, ports) for stack in stacks),
        exposures=tuple(
            ExposureSnapshot(
                verdict=exposure.verdict,
                service=exposure.service,
                destination=exposure.destination,
                version=exposure.version,
                hellos=exposure.hellos,
                first_ns=exposure.first_ns,
                last_ns=exposure.last_ns,
                is_failing=exposure.is_failing,
                refused_by=exposure.refused_by,
            )
            for _, exposure in exposures
        ),
        troubles={label: troubles[label] for label in relays_of(device) & troubles.keys()},
        services=tuple(
            _service_snapshot(device, service, now_ns, calendar, troubles)
            for service in SERVICE_WORDS
            if service in used
        ),
        names=tuple(names),
        sayings=sayings,
        own_mac=own_mac,
        findings=findings,
    )


def _stack_snapshot(stack: Stack, ports: Ports) -> StackSnapshot:
    destinations = []
    for key, hellos in zip(stack.destinations, stack.destination_counts, strict=True):
        label, address, port, name = read_destination(key)
        destinations.append(
            DestinationSnapshot(address, port, ports.service(port), name, label, hellos)
        )
    return StackSnapshot(
        shape=stack.shape,
        verdict=VERDICTS[stack.rank],
        services=tuple(sorted(w for w in SERVICE_WORDS if stack.services & SERVICE_BIT[w])),
        hellos=stack.hellos,
        outcomes={
            outcome.value: count
            for outcome, count in zip(OUTCOMES, stack.outcomes, strict=True)
            if count
        },
        first=stack.first,
        last=stack.last,
        destinations=tuple(sorted(destinations, key=_by_place)),
        other_hellos=stack.hellos - sum(stack.destination_counts),
        uses=tuple(map(_use_snapshot, stack.uses)),
    )


def _use_snapshot(use: Use) -> UseSnapshot:
    return UseSnapshot(
        service=use.service,
        destination=use.destination,
        verdict=VERDICTS[use.rank],
        reasons=tuple(reason for reason, bit in REASON_BIT.items() if use.reasons & bit),
        hellos=use.hellos,
        last_ns=use.last_ns,
        established=use.established,
        first_established_ns=use.first_established_ns,
        established_ns=use.established_ns,
        refused=use.refused,
        first_refused_ns=use.first_refused_ns,
        refused_ns=use.refused_ns,
        alert_ns=use.alert_ns,
        refused_by=use.refused_by,
        is_failing=use.is_failing,
        thrown_out=use.thrown_out,
        thrown_out_ns=use.thrown_out_ns,
        maybe_thrown_out=use.maybe_thrown_out,
    )


def _service_snapshot(
    device: Device, service: str, now_ns: int, calendar: Calendar, troubles: Troubles
) -> ServiceSnapshot:
    part = service_part(device, service)
    return ServiceSnapshot(
        service=service,
        status=status(part, now_ns, calendar, troubles),
        verdict=VERDICTS[max(stack.rank for stack in part.stacks)],
        hellos=part.hellos,
        last_ns=part.last_ns,
        established_ns=part.established_ns,
        last_ok_ns=part.last_ok_ns,
        refused_ns=part.refused_ns,
        refused_by=part.refused_by,
    )


def _by_place(destination: DestinationSnapshot) -> tuple[int, bytes, int, bytes]:
    address = destination.address
    return len(address), address, destination.port, destination.name or b""
