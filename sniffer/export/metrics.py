"""The metrics page: every metric in one table, read from one consistent picture per scrape.

``ROWS`` is the whole of it: name, type, labels, help, and the reader that yields a value for
each set of labels. ``docs/metrics.md`` has a line for each row. Nothing from the wire becomes
a metric's name; a label's value is one harmless line of bounded length.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from parsers.layers import UNDECODED_REASONS
from parsers.tls.facts import TLS_1_2
from parsers.tls.names import version as version_name
from sniffer.config import OTHER_SERVICE, Ports
from sniffer.event import RELAY, FindingKind, Outcome, Status, Verdict, address
from sniffer.identify.identity import Roster
from sniffer.inventory.aggregate import VERSIONS, DeviceSeries, Figures, read_series_key
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import StoreFigures
from sniffer.inventory.device import NEEDS_ACTION
from sniffer.inventory.enforcement import enforcements
from sniffer.inventory.sayings import NAME
from sniffer.judge.profile import Profile, unix_seconds
from sniffer.log import one_line, printable
from sniffer.track.counters import INCOMPLETE_REASONS

OVERFLOW = "__overflow__"
DEPARTED = "__departed__"

UNKNOWN = "unknown"

LONGEST_LABEL = 120
"""Characters of a label's value; longer ones end in three dots."""

Sample = tuple[tuple[str, ...], float]


class Interface(Struct, frozen=True, kw_only=True):
    """One interface, or one replayed file: what it saw so far."""

    name: str
    is_up: bool
    coverage: Coverage
    """Held apart from the running counters; see ``Coverage.copy``."""
    watched_seconds: float | None = None
    """How long it could be captured on; None: from the first frame to the newest."""


class Picture(Struct, frozen=True, kw_only=True):
    """Everything the page shows, taken at one moment under the pipeline's lock."""

    figures: Figures
    interfaces: tuple[Interface, ...]
    flows: int
    """Conversations in the table now."""
    reassembly_bytes: int
    """Octets held now for segments that wait for their neighbours."""
    hellos_unreported: int = 0
    """Hellos that were found and never judged."""
    ladders_evicted: int = 0
    """Pairs of client and destination whose offers were let go for want of room."""
    dialogues_unreported: int = 0
    """Dialogues in clear that were read and never judged."""
    sightings_unreported: int = 0
    """What was said of devices, was read and never told."""
    store: StoreFigures | None = None
    """None: nothing is kept."""


class Build(Struct, frozen=True, kw_only=True):
    """Which program this is."""

    version: str
    revision: str
    compiled: bool


class Facts(NamedTuple):
    """What the readers read."""

    picture: Picture
    profiles: Mapping[str, Profile]
    protocols: tuple[str, ...]
    build: Build
    roster: Roster | None

    @property
    def figures(self) -> Figures:
        """The inventory's part of the picture."""
        return self.picture.figures


class Row(NamedTuple):
    """One metric."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    read: Callable[[Facts], Iterable[Sample]]


class Metrics(Collector):
    """Collects the page. ``take`` returns the picture; it is called once per scrape."""

    def __init__(
        self,
        take: Callable[[], Picture],
        ports: Ports,
        profiles: Mapping[str, Profile],
        build: Build,
        roster: Roster | None = None,
    ) -> None:
        """Show what ``take`` returns, for these ports and profiles.

        ``roster`` tells who devices are.
        """
        self._take = take
        self._build = build
        self.use(ports, profiles, roster)

    def use(
        self, ports: Ports, profiles: Mapping[str, Profile], roster: Roster | None = None
    ) -> None:
        """Show other ports and profiles from now on."""
        self._profiles = profiles
        self._roster = roster
        self._protocols = protocols(ports)

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield every family without samples."""
        for row in ROWS:
            yield _family(row)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield every family with its samples, all of one picture."""
        facts = Facts(self._take(), self._profiles, self._protocols, self._build, self._roster)
        for row in ROWS:
            family = _family(row)
            for values, value in row.read(facts):
                family.add_metric([label_value(v) for v in values], value)
            yield family


def registry(collector: Collector) -> CollectorRegistry:
    """Return a registry with this collector alone."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left it so
    made = CollectorRegistry()
    made.register(collector)
    return made


def label_value(text: str) -> str:
    """Return a text as a label's value: one line, no lone surrogate, bounded."""
    line = text if text.isascii() and text.isprintable() else one_line(text)
    return line if len(line) <= LONGEST_LABEL else line[: LONGEST_LABEL - 3] + "..."


def protocols(ports: Ports) -> tuple[str, ...]:
    """Return the service words that may occur."""
    words = set(ports.services.values())
    if ports.follow_any:
        words.add(OTHER_SERVICE)
    return tuple(sorted(words))


def known_verdicts(version: int | None) -> tuple[Verdict, ...]:
    """Return the verdicts that a hello with this max offered can get."""
    if version is None:
        return (Verdict.UNKNOWN,)
    if version < TLS_1_2:
        return (Verdict.LEGACY, Verdict.FALLBACK)
    return (Verdict.OK, Verdict.INCOMPATIBLE, Verdict.AT_RISK)


def _family(row: Row) -> CounterMetricFamily | GaugeMetricFamily:
    if row.type == "counter":
        return CounterMetricFamily(row.name, row.help, labels=row.labels)
    return GaugeMetricFamily(row.name, row.help, labels=row.labels)


def _version(version: int | None) -> str:
    return UNKNOWN if version is None else version_name(version)


def _client_hellos(facts: Facts) -> Iterator[Sample]:
    counts: dict[tuple[str, ...], int] = {
        (protocol, _version(version), verdict.value): 0
        for protocol in facts.protocols
        for version in VERSIONS
        for verdict in known_verdicts(version)
    }
    for cell in facts.figures.cells:
        key = (cell.service, _version(cell.version), cell.verdict.value)
        counts[key] = counts.get(key, 0) + cell.hellos
    yield from counts.items()


def _handshakes(facts: Facts) -> Iterator[Sample]:
    counts: dict[tuple[str, ...], int] = {
        (protocol, _version(version), outcome.value): 0
        for protocol in facts.protocols
        for version in VERSIONS
        for outcome in Outcome
    }
    for cell in facts.figures.cells:
        key = (cell.service, _version(cell.version), cell.outcome.value)
        counts[key] = counts.get(key, 0) + cell.hellos
    yield from counts.items()


def _reached(facts: Facts) -> Iterator[Sample]:
    newest = {}
    for found in enforcements(facts.figures.turned, facts.figures.passages):
        newest[found.destination, found.service] = found.first_ns / 1e9
    yield from newest.items()


def _findings(facts: Facts) -> Iterator[Sample]:
    counts: dict[tuple[str, ...], int] = {
        (protocol, kind.value): 0
        for protocol in facts.protocols
        if protocol != OTHER_SERVICE
        for kind in FindingKind
    }
    yield from (counts | dict(facts.figures.findings)).items()


def _legacy_hellos(facts: Facts) -> Iterator[Sample]:
    figures = facts.figures
    for device in figures.devices:
        yield from _legacy_rows(address(device.address), device.legacy)
    yield from _legacy_rows(OVERFLOW, figures.overflow)
    yield from _legacy_rows(DEPARTED, figures.departed)


def _legacy_rows(device: str, counts: Mapping[str, int]) -> Iterator[Sample]:
    for key, hellos in counts.items():
        protocol, destination, version = read_series_key(key)
        word = destination.removeprefix(RELAY)
        yield (device, protocol, word, version_name(version)), hellos


def _device_info(facts: Facts) -> Iterator[Sample]:
    for device in facts.figures.devices:
        if device.status in NEEDS_ACTION:
            roster = facts.roster
            vendor = None if roster is None else roster.vendor(device.own_mac)
            place = None if roster is None else roster.place(device.address)
            name = next((said.text for said in device.sayings if said.what == NAME), b"")
            told = (printable(name), vendor or "", place or "", device.status.value)
            yield (address(device.address), *told), 1


def _device_stack_info(facts: Facts) -> Iterator[Sample]:
    for device in facts.figures.devices:
        for stack, version, verdict in device.stacks:
            yield (address(device.address), stack, _version(version), verdict.value), 1


def _device_time(read: Callable[[DeviceSeries], int | None]) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        for device in facts.figures.devices:
            time_ns = read(device)
            if time_ns is not None:
                yield (address(device.address),), time_ns / 1e9

    return read_all


def _devices(facts: Facts) -> Iterator[Sample]:
    for status in Status:
        yield (status.value,), facts.figures.statuses.get(status, 0)


def _windows(edge: int) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        for profile in facts.profiles.values():
            for protocol in facts.protocols:
                window = profile.window(protocol)
                seconds = None if window is None else window[edge]
                if seconds is not None:
                    yield (profile.name, protocol), seconds

    return read_all


def _checked(facts: Facts) -> Iterator[Sample]:
    for profile in facts.profiles.values():
        for protocol in facts.protocols:
            if profile.accepts(protocol) is not None:
                yield (profile.name, protocol), unix_seconds(profile.checked)


def _interface(read: Callable[[Interface], float | None]) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        for interface in facts.picture.interfaces:
            value = read(interface)
            if value is not None:
                yield (interface.name,), value

    return read_all


def _by_reason(
    known: Iterable[str], read: Callable[[Coverage], Mapping[str, int]]
) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        counts = dict.fromkeys(known, 0)
        for interface in facts.picture.interfaces:
            for reason, count in read(interface.coverage).items():
                counts[reason] = counts.get(reason, 0) + count
        for reason, count in counts.items():
            yield (reason,), count

    return read_all


def _sum(read: Callable[[Coverage], int]) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        yield (), sum(read(interface.coverage) for interface in facts.picture.interfaces)

    return read_all


def _store(
    read: Callable[[StoreFigures], float],
) -> Callable[[Facts], Iterator[Sample]]:
    def read_it(facts: Facts) -> Iterator[Sample]:
        if facts.picture.store is not None:
            yield (), read(facts.picture.store)

    return read_it


def _one(read: Callable[[Facts], float]) -> Callable[[Facts], Iterator[Sample]]:
    def read_all(facts: Facts) -> Iterator[Sample]:
        yield (), read(facts)

    return read_all


def _build_info(facts: Facts) -> Iterator[Sample]:
    build = facts.build
    yield (build.version, build.revision, "true" if build.compiled else "false"), 1


def _watched_seconds(interface: Interface) -> float:
    seconds = interface.watched_seconds
    return interface.coverage.watched_seconds if seconds is None else seconds


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e9


ROWS = (
    Row(
        "hellowatch_client_hellos_total",
        "counter",
        ("protocol", "version", "verdict"),
        "ClientHellos, by service, highest version offered and verdict.",
        _client_hellos,
    ),
    Row(
        "hellowatch_handshakes_total",
        "counter",
        ("protocol", "version", "outcome"),
        "Handshakes, by service, highest version offered and how they ended.",
        _handshakes,
    ),
    Row(
        "hellowatch_findings_total",
        "counter",
        ("protocol", "kind"),
        "What was found wrong with conversations in clear text, by service and kind.",
        _findings,
    ),
    Row(
        "hellowatch_device_legacy_hellos_total",
        "counter",
        ("device", "protocol", "destination", "version"),
        "Legacy ClientHellos by device; the sum over all devices is exact.",
        _legacy_hellos,
    ),
    Row(
        "hellowatch_device_info",
        "gauge",
        ("device", "name", "vendor", "place", "status"),
        "1 for each device that needs action.",
        _device_info,
    ),
    Row(
        "hellowatch_device_stack_info",
        "gauge",
        ("device", "stack", "version", "verdict"),
        "1 for each hello shape of a device that needs action, the most telling ones.",
        _device_stack_info,
    ),
    Row(
        "hellowatch_device_first_legacy_timestamp_seconds",
        "gauge",
        ("device",),
        "Time of the first legacy ClientHello of a device that needs action.",
        _device_time(lambda device: device.first_legacy_ns),
    ),
    Row(
        "hellowatch_device_last_legacy_timestamp_seconds",
        "gauge",
        ("device",),
        "Time of the newest legacy ClientHello of a device that needs action.",
        _device_time(lambda device: device.last_legacy_ns),
    ),
    Row(
        "hellowatch_device_first_refused_timestamp_seconds",
        "gauge",
        ("device",),
        "Time of the first refused handshake of a device that needs action.",
        _device_time(lambda device: device.first_refused_ns),
    ),
    Row(
        "hellowatch_device_last_ok_timestamp_seconds",
        "gauge",
        ("device",),
        "Time of the newest established handshake with verdict ok of a device that needs action.",
        _device_time(lambda device: device.last_ok_ns),
    ),
    Row(
        "hellowatch_devices",
        "gauge",
        ("status",),
        "Devices in memory, by status.",
        _devices,
    ),
    Row(
        "hellowatch_device_series_dropped",
        "gauge",
        (),
        "Devices with legacy hellos folded into the overflow series for want of room.",
        _one(lambda facts: facts.figures.devices_folded),
    ),
    Row(
        "hellowatch_devices_let_go_total",
        "counter",
        (),
        "Devices forgotten for want of room in memory.",
        _one(lambda facts: facts.figures.devices_let_go),
    ),
    Row(
        "hellowatch_enforcement_reached_timestamp_seconds",
        "gauge",
        ("profile", "protocol"),
        "When several devices that a provider took in were refused by it at once, the last time.",
        _reached,
    ),
    Row(
        "hellowatch_profile_enforcement_start_timestamp_seconds",
        "gauge",
        ("profile", "protocol"),
        "When a provider begins to refuse TLS older than 1.2, as announced.",
        _windows(0),
    ),
    Row(
        "hellowatch_profile_enforcement_end_timestamp_seconds",
        "gauge",
        ("profile", "protocol"),
        "When a provider refuses all TLS older than 1.2, as announced.",
        _windows(1),
    ),
    Row(
        "hellowatch_profile_checked_timestamp_seconds",
        "gauge",
        ("profile", "protocol"),
        "When the facts of a profile were last looked up.",
        _checked,
    ),
    Row(
        "hellowatch_frames_received_total",
        "counter",
        ("interface",),
        "Frames that passed the filter, the dropped ones included.",
        _interface(lambda i: i.coverage.frames + i.coverage.frames_dropped),
    ),
    Row(
        "hellowatch_frames_dropped_total",
        "counter",
        ("interface",),
        "Frames lost before they could be read.",
        _interface(lambda i: i.coverage.frames_dropped),
    ),
    Row(
        "hellowatch_frames_truncated_total",
        "counter",
        ("interface",),
        "Frames cut by the snap length.",
        _interface(lambda i: i.coverage.frames_truncated),
    ),
    Row(
        "hellowatch_frames_backwards_total",
        "counter",
        ("interface",),
        "Frames older than one that came before them.",
        _interface(lambda i: i.coverage.frames_backwards),
    ),
    Row(
        "hellowatch_frames_undecoded_total",
        "counter",
        ("reason",),
        "Frames that could not be read down to what they carry.",
        _by_reason(UNDECODED_REASONS[1:], lambda coverage: coverage.undecoded),
    ),
    Row(
        "hellowatch_frames_unknown_ethertype_total",
        "counter",
        (),
        "Frames that ended at an EtherType that is not read and may carry IP.",
        _sum(lambda coverage: sum(coverage.unknown_types.values())),
    ),
    Row(
        "hellowatch_hellos_incomplete_total",
        "counter",
        ("reason",),
        "ClientHellos not seen to their end.",
        _by_reason(INCOMPLETE_REASONS, lambda coverage: coverage.incomplete),
    ),
    Row(
        "hellowatch_hellos_unreported_total",
        "counter",
        (),
        "ClientHellos found by a capturing process that could not tell of them.",
        _one(lambda facts: facts.picture.hellos_unreported),
    ),
    Row(
        "hellowatch_ladders_evicted_total",
        "counter",
        (),
        "Clients whose earlier offers to a server were let go for want of room.",
        _one(lambda facts: facts.picture.ladders_evicted),
    ),
    Row(
        "hellowatch_dialogues_unreported_total",
        "counter",
        (),
        "Conversations in clear text that a capturing process read and could not tell of.",
        _one(lambda facts: facts.picture.dialogues_unreported),
    ),
    Row(
        "hellowatch_sightings_unreported_total",
        "counter",
        (),
        "Messages of devices about themselves that a capturing process could not tell of.",
        _one(lambda facts: facts.picture.sightings_unreported),
    ),
    Row(
        "hellowatch_sightings_passed_over_total",
        "counter",
        (),
        "Messages of devices about themselves that came too many at once to be read.",
        _sum(lambda coverage: coverage.passed_over),
    ),
    Row(
        "hellowatch_sayings_evicted_total",
        "counter",
        (),
        "Names and other facts that devices told of themselves, let go for want of room.",
        _one(lambda facts: facts.picture.figures.sayings_let_go),
    ),
    Row(
        "hellowatch_flows",
        "gauge",
        (),
        "Conversations followed now.",
        _one(lambda facts: facts.picture.flows),
    ),
    Row(
        "hellowatch_flows_evicted_total",
        "counter",
        (),
        "Conversations let go for want of room.",
        _sum(lambda coverage: coverage.evicted.get("flow", 0)),
    ),
    Row(
        "hellowatch_evidence_frames_lost_total",
        "counter",
        (),
        "Frames of handshakes that found no room while -w keeps them.",
        _sum(lambda coverage: coverage.evidence_lost),
    ),
    Row(
        "hellowatch_flows_one_sided_total",
        "counter",
        (),
        "Conversations of which one direction only was seen.",
        _sum(lambda coverage: coverage.one_sided_flows),
    ),
    Row(
        "hellowatch_reassembly_bytes",
        "gauge",
        (),
        "Octets of segments that wait for their neighbours.",
        _one(lambda facts: facts.picture.reassembly_bytes),
    ),
    Row(
        "hellowatch_unseen_bytes_total",
        "counter",
        (),
        "Octets of followed conversations that were sent and never seen.",
        _sum(lambda coverage: coverage.unseen_bytes),
    ),
    Row(
        "hellowatch_filtered_bytes_total",
        "counter",
        (),
        "Octets of followed conversations that our own filter held back.",
        _sum(lambda coverage: coverage.filtered_bytes),
    ),
    Row(
        "hellowatch_capture_up",
        "gauge",
        ("interface",),
        "1 while frames can be captured, else 0.",
        _interface(lambda interface: interface.is_up),
    ),
    Row(
        "hellowatch_coverage_seconds_total",
        "counter",
        ("interface",),
        "Time covered: the port could be captured on; of a file, from first frame to newest.",
        _interface(_watched_seconds),
    ),
    Row(
        "hellowatch_last_frame_timestamp_seconds",
        "gauge",
        ("interface",),
        "Time of the newest frame.",
        _interface(lambda i: _seconds(i.coverage.last_ns)),
    ),
    Row(
        "hellowatch_store_up",
        "gauge",
        (),
        "1 while what is counted can be written to the store, else 0.",
        _store(lambda store: store.is_up),
    ),
    Row(
        "hellowatch_store_bytes",
        "gauge",
        (),
        "Size of the store.",
        _store(lambda store: store.bytes),
    ),
    Row(
        "hellowatch_store_queue",
        "gauge",
        (),
        "ClientHellos that wait to be written to the store.",
        _store(lambda store: store.waiting),
    ),
    Row(
        "hellowatch_store_lost_total",
        "counter",
        (),
        "ClientHellos counted here that found no room to wait for the store.",
        _store(lambda store: store.lost),
    ),
    Row(
        "hellowatch_store_shed_total",
        "counter",
        (),
        "Rows of history that went before their time, because the store was full.",
        _store(lambda store: store.shed),
    ),
    Row(
        "hellowatch_build_info",
        "gauge",
        ("version", "revision", "compiled"),
        "1; which program this is, and whether its parsers are compiled.",
        _build_info,
    ),
)
"""Every metric, in the order of the page."""
