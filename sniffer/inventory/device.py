"""What is remembered of one device, and where it stands.

A device is a source address that sent hellos. Of each it is remembered which stacks (hello
shapes) it showed, to which destinations, how its handshakes ended, and, apart from that, its
*exposures*: hellos that a provider does not, or may not, take, by service and destination.

Everything here merges: what two captures tell of one device joins to what one capture of
both would have told. Counts are sums, times are minima and maxima, and of what is bounded the
lowest keys are kept, so that neither the order of hellos nor of merges matters.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Self

from msgspec import Struct

from sniffer import event
from sniffer.event import RELAY, Outcome, Reason, Status, Sure, Verdict

DAY_NS = 86_400 * 1_000_000_000

FIXED_AFTER_NS = 7 * DAY_NS
"""How long no old hello may come, at least, before a device counts as fixed."""
IMPROVING_AFTER_NS = DAY_NS
SILENT_AFTER_NS = 35 * DAY_NS
REVIEW_NS = 3600 * 1_000_000_000
RHYTHMS = 3
"""A device that speaks rarely must be quiet for so many of its usual pauses."""
PROOFS = 5
"""Established handshakes with the same service that prove a device fixed."""

VERDICTS = (
    Verdict.UNKNOWN,
    Verdict.OK,
    Verdict.FALLBACK,
    Verdict.AT_RISK,
    Verdict.INCOMPATIBLE,
    Verdict.LEGACY,
)
"""From the least to the most telling; a stack is called by the most telling one it got."""
OUTCOMES = tuple(Outcome)
SERVICE_WORDS = ("imaps", "pop3s", "smtps", "imap", "pop3", "smtp", "submission", "tls")

VERDICT_RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}
OUTCOME_INDEX = {outcome: index for index, outcome in enumerate(OUTCOMES)}
REASON_BIT = {reason: 1 << index for index, reason in enumerate(Reason)}
SERVICE_BIT = {word: 1 << index for index, word in enumerate(SERVICE_WORDS)}

EXPOSED = frozenset((Verdict.LEGACY, Verdict.INCOMPATIBLE, Verdict.AT_RISK))
NEEDS_ACTION = frozenset(
    (Status.LEGACY, Status.REFUSED, Status.INCOMPATIBLE, Status.AT_RISK, Status.IMPROVING)
)
"""Statuses that somebody has to look at."""

OTHER = event.OTHER

LONGEST_NAME = 255
"""Octets kept of a server name."""

Evidence = tuple[int, str, int]
"""Time in nanoseconds, path ("" live) and frame of one hello; the earlier sorts first."""


class Shape(Struct, frozen=True):
    """What tells one stack from another: the JA4 and the version facts of a hello."""

    key: str
    """The id, behind a digit that sorts stacks below TLS 1.2 first."""
    ja4: str | None
    max_offered: int | None
    record_version: int | None
    legacy_version: int
    versions: tuple[int, ...] | None
    hello_format: str
    complete: bool
    exchanges: tuple[str, ...] = ()
    """Key exchanges of its suites up to TLS 1.2, as ECDHE and RSA."""

    @property
    def id(self) -> str:
        """The stack's name: its JA4, if it has one, and its version facts in hexadecimal."""
        return self.key[1:]

    @property
    def suites_hash(self) -> str:
        """JA4's hash of the sorted suites; of a hello without a JA4 the name of its format."""
        return self.hello_format if self.ja4 is None else self.ja4.split("_")[1]


class Trail:
    """When handshakes of one kind were seen, and how the decided ones ended."""

    __slots__ = (
        "established_ns",
        "first_ns",
        "first_refused_ns",
        "hellos",
        "last_ns",
        "refused_before_ns",
        "refused_by",
        "refused_ns",
    )

    def __init__(self, time_ns: int) -> None:
        """Begin empty."""
        self.hellos = 0
        self.first_ns = time_ns
        self.last_ns = time_ns
        self.established_ns: int | None = None
        """The newest one that was established."""
        self.first_refused_ns: int | None = None
        self.refused_before_ns: int | None = None
        """The newest refusal but one."""
        self.refused_ns: int | None = None
        self.refused_by: str | None = None
        """Who made the newest refusal."""

    def observe(self, time_ns: int, established: bool, refused_by: str | None) -> None:
        """Count one handshake."""
        self.hellos += 1
        if time_ns > self.last_ns:
            self.last_ns = time_ns
        elif time_ns < self.first_ns:
            self.first_ns = time_ns
        if established:
            if self.established_ns is None or time_ns > self.established_ns:
                self.established_ns = time_ns
        elif refused_by is not None:
            self._refuse(time_ns, refused_by)
            self.first_refused_ns = _earlier(self.first_refused_ns, time_ns)

    def merge_trail(self, other: "Trail") -> None:
        """Add what another capture saw of the same kind."""
        self.hellos += other.hellos
        self.first_ns = min(self.first_ns, other.first_ns)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.established_ns = _later(self.established_ns, other.established_ns)
        self.first_refused_ns = _earlier(self.first_refused_ns, other.first_refused_ns)
        if other.refused_before_ns is not None:
            self._refuse(other.refused_before_ns, "")
        if other.refused_ns is not None:
            self._refuse(other.refused_ns, other.refused_by or "")

    @property
    def is_failing(self) -> bool:
        """Whether the newest handshakes were refused.

        Where one had been established before, a single refusal may be chance: two are asked.
        """
        if self.refused_ns is None:
            return False
        if self.established_ns is None:
            return True
        return self.refused_before_ns is not None and self.refused_before_ns > self.established_ns

    def _refuse(self, time_ns: int, refused_by: str) -> None:
        newest = self.refused_ns
        if newest is None or time_ns > newest:
            self.refused_before_ns, self.refused_ns = newest, time_ns
            self.refused_by = refused_by
            return
        if time_ns == newest and refused_by > (self.refused_by or ""):
            self.refused_by = refused_by
        self.refused_before_ns = _later(self.refused_before_ns, time_ns)


class Exposure(Trail):
    """Hellos of one device that a destination does not, or may not, take."""

    __slots__ = ("destination", "service", "verdict", "version")

    def __init__(
        self, time_ns: int, verdict: Verdict, service: str, destination: str, version: int | None
    ) -> None:
        """Begin empty."""
        super().__init__(time_ns)
        self.verdict = verdict
        self.service = service
        self.destination = destination
        """The profile's name, or "other"."""
        self.version = version


class Use(Trail):
    """How one stack fares with one service of one destination."""

    __slots__ = (
        "alert_ns",
        "destination",
        "established",
        "first_established_ns",
        "maybe_thrown_out",
        "rank",
        "reasons",
        "refused",
        "service",
        "thrown_out",
        "thrown_out_ns",
    )

    def __init__(self, time_ns: int, service: str, destination: str) -> None:
        """Begin empty."""
        super().__init__(time_ns)
        self.service = service
        self.destination = destination
        """The profile's name, or "other"."""
        self.rank = 0
        """Of the most telling verdict it got there, in VERDICTS."""
        self.reasons = 0
        """All that were given for its verdicts there, see REASON_BIT."""
        self.established = 0
        self.first_established_ns: int | None = None
        self.refused = 0
        self.alert_ns: int | None = None
        """The newest refusal that was spelt out as an alert."""
        self.thrown_out = 0
        """Of those established: the server most likely threw the client out inside TLS ..."""
        self.thrown_out_ns: int | None = None
        """... the newest of them, and ..."""
        self.maybe_thrown_out = 0
        """... how many more it may have been."""

    @property
    def verdict(self) -> Verdict:
        """The most telling one it got there."""
        return VERDICTS[self.rank]

    def count(
        self,
        time_ns: int,
        outcome: Outcome,
        refused_by: str | None,
        thrown_out: Sure | None = None,
    ) -> None:
        """Count one handshake and how it ended."""
        established = outcome is Outcome.ESTABLISHED
        self.observe(time_ns, established, refused_by)
        if established:
            self.established += 1
            self.first_established_ns = _earlier(self.first_established_ns, time_ns)
            if thrown_out is Sure.POSSIBLE:
                self.maybe_thrown_out += 1
            elif thrown_out is not None:
                self.thrown_out += 1
                self.thrown_out_ns = _later(self.thrown_out_ns, time_ns)
        elif refused_by is not None:
            self.refused += 1
            if outcome is Outcome.ALERT:
                self.alert_ns = _later(self.alert_ns, time_ns)

    def merge(self, other: Self) -> None:
        """Add what another capture saw of the same use."""
        self.merge_trail(other)
        self.rank = max(self.rank, other.rank)
        self.reasons |= other.reasons
        self.established += other.established
        self.first_established_ns = _earlier(self.first_established_ns, other.first_established_ns)
        self.refused += other.refused
        self.alert_ns = _later(self.alert_ns, other.alert_ns)
        self.thrown_out += other.thrown_out
        self.thrown_out_ns = _later(self.thrown_out_ns, other.thrown_out_ns)
        self.maybe_thrown_out += other.maybe_thrown_out


class Stack:
    """One hello shape of a device: how often, to where, and with what end."""

    __slots__ = (
        "destination_counts",
        "destinations",
        "first",
        "hellos",
        "last",
        "outcomes",
        "rank",
        "services",
        "shape",
        "uses",
    )

    def __init__(self, shape: Shape | None, evidence: Evidence) -> None:
        """Begin empty."""
        self.shape = shape
        """None: several shapes that found no room."""
        self.hellos = 0
        self.rank = 0
        """Of the most telling verdict, in VERDICTS."""
        self.services = 0
        self.outcomes = [0] * len(OUTCOMES)
        self.first = evidence
        self.last = evidence
        self.destinations: list[bytes] = []
        """Sorted; see ``destination_key``."""
        self.destination_counts: list[int] = []
        self.uses: tuple[Use, ...] = ()
        """By service and destination: most stacks have one, none more than there are profiles
        and services. A tuple takes half of a list's memory."""

    @property
    def key(self) -> str:
        """What stacks are sorted by."""
        return "" if self.shape is None else self.shape.key

    def observe(self, evidence: Evidence, rank: int, service: str, outcome: Outcome) -> None:
        """Count one hello of this shape."""
        self.hellos += 1
        if rank > self.rank:
            self.rank = rank
        self.services |= SERVICE_BIT[service]
        self.outcomes[OUTCOME_INDEX[outcome]] += 1
        if evidence > self.last:
            self.last = evidence
        elif evidence < self.first:
            self.first = evidence

    def use(self, time_ns: int, service: str, destination: str) -> Use:
        """Return the use of a service of a destination, made if it is the first."""
        for use in self.uses:
            if use.service == service and use.destination == destination:
                return use
        use = Use(time_ns, service, destination)
        self.uses = tuple(sorted((*self.uses, use), key=_use_key))
        return use

    def merge(self, other: Self, most_destinations: int) -> None:
        """Add what another capture saw of the same shape."""
        self.hellos += other.hellos
        self.rank = max(self.rank, other.rank)
        self.services |= other.services
        self.outcomes = [a + b for a, b in zip(self.outcomes, other.outcomes, strict=True)]
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        for key, count in zip(other.destinations, other.destination_counts, strict=True):
            tally(self.destinations, self.destination_counts, key, count, most_destinations)
        for use in other.uses:
            self.use(use.first_ns, use.service, use.destination).merge(use)


class Device(Trail):
    """One source address: its stacks, the names it called, and its exposures."""

    __slots__ = (
        "exposures",
        "is_folded",
        "last_ok_ns",
        "mac",
        "mac_ns",
        "name_counts",
        "names",
        "rest",
        "review_ns",
        "stacks",
        "status",
    )

    def __init__(self, time_ns: int) -> None:
        """Begin empty."""
        super().__init__(time_ns)
        self.mac: bytes | None = None
        self.mac_ns = time_ns
        self.stacks: list[Stack] = []
        """Sorted by key: those below TLS 1.2 first."""
        self.rest: Stack | None = None
        """The sum of the stacks that found no room."""
        self.names: list[bytes] = []
        """Server names, sorted."""
        self.name_counts: list[int] = []
        self.exposures: dict[str, Exposure] | None = None
        self.last_ok_ns: int | None = None
        """The newest established handshake that is ok by its verdict."""
        self.status = Status.UNKNOWN
        """As of the last review; the aggregate keeps it up to date."""
        self.review_ns = 0
        """When to look again whether time alone has changed the status."""
        self.is_folded = False
        """Some of its legacy hellos are counted under ``__overflow__``."""

    def rows(self) -> int:
        """Return how many pieces of detail are held."""
        return len(self.names) + sum(1 + len(stack.destinations) for stack in self.stacks)

    def stack(self, key: str) -> Stack | None:
        """Return the stack of a key, if it is kept."""
        for stack in self.stacks:
            if stack.shape is not None and stack.shape.key == key:
                return stack
        return None

    def all_stacks(self) -> list[Stack]:
        """Return the stacks, the sum of those without room last."""
        return self.stacks if self.rest is None else [*self.stacks, self.rest]

    def place(self, stack: Stack, most: int) -> Stack:
        """Take in a stack of a new shape; return it, or the rest if there is no room for it.

        Of more than ``most`` the one with the highest key goes to the rest.
        """
        if len(self.stacks) < most or stack.key < self.stacks[-1].key:
            insort(self.stacks, stack, key=_stack_key)
            if len(self.stacks) > most:
                self._fold(self.stacks.pop())
            return stack
        if self.rest is None:
            self.rest = Stack(None, stack.first)
        return self.rest

    def _fold(self, stack: Stack) -> None:
        if self.rest is None:
            self.rest = Stack(None, stack.first)
        self.rest.merge(stack, 0)

    def expose(
        self, time_ns: int, verdict: Verdict, service: str, destination: str, version: int | None
    ) -> Exposure:
        """Return the exposure of one kind, made if it is the first of it."""
        if self.exposures is None:
            self.exposures = {}
        key = exposure_key(verdict, service, destination, version)
        exposure = self.exposures.get(key)
        if exposure is None:
            exposure = Exposure(time_ns, verdict, service, destination, version)
            self.exposures[key] = exposure
        return exposure

    def merge(self, other: Self, most_stacks: int, most_names: int, most_destinations: int) -> None:
        """Add what another capture saw of the same device."""
        self.merge_trail(other)
        if other.mac is not None:
            mine = (self.mac_ns, self.mac) if self.mac is not None else None
            if mine is None or (other.mac_ns, other.mac) > mine:
                self.mac, self.mac_ns = other.mac, other.mac_ns
        self.last_ok_ns = _later(self.last_ok_ns, other.last_ok_ns)
        if other.rest is not None:
            self._fold(other.rest)
        for stack in other.stacks:
            place = self.stack(stack.key) or self.place(
                Stack(stack.shape, stack.first), most_stacks
            )
            place.merge(stack, most_destinations if place.shape is not None else 0)
        for name, count in zip(other.names, other.name_counts, strict=True):
            tally(self.names, self.name_counts, name, count, most_names)
        for exposure in (other.exposures or {}).values():
            self.expose(
                exposure.first_ns,
                exposure.verdict,
                exposure.service,
                exposure.destination,
                exposure.version,
            ).merge_trail(exposure)


def destination_key(label: bytes, address: bytes, port: int, name: bytes | None) -> bytes:
    """Return the octets that stand for a destination; named providers sort first.

    ``label`` is the profile's name, or b"other".
    """
    return b"%c%b\0%c%b%c%c%b" % (
        label == b"other",
        label,
        len(address),
        address,
        port >> 8,
        port & 0xFF,
        name or b"",
    )


def read_destination(key: bytes) -> tuple[str, bytes, int, bytes | None]:
    """Return label, address, port and server name of a destination's key."""
    label, _, rest = key[1:].partition(b"\0")
    end = 1 + rest[0]
    port = rest[end] << 8 | rest[end + 1]
    return label.decode(), rest[1:end], port, rest[end + 2 :] or None


def is_relay(destination: str) -> bool:
    """Tell whether a destination's word is a declared relay's."""
    return destination.startswith(RELAY)


def exposure_key(verdict: str, service: str, destination: str, version: int | None) -> str:
    """Return the words of an exposure as one."""
    return f"{verdict} {service} {destination} {version}"


def tally(keys: list[bytes], counts: list[int], key: bytes, count: int, most: int) -> int:
    """Count under one of at most ``most`` sorted keys; return how many keys were added.

    The lowest keys stay. A key that is among the lowest of all is among the lowest of any
    part, so what is kept, and its count, do not depend on the order of counting.
    """
    at = bisect_left(keys, key)
    if at < len(keys) and keys[at] == key:
        counts[at] += count
        return 0
    if at >= most:
        return 0
    keys.insert(at, key)
    counts.insert(at, count)
    if len(keys) <= most:
        return 1
    keys.pop()
    counts.pop()
    return 0


class Calendar:
    """Tells how much of a time was covered: all of it but the UTC days nobody watched in."""

    def __init__(self, days: Iterable[int] | None = None) -> None:
        """Cover these days, counted from 1970; None: every day."""
        self._days = None if days is None else sorted(days)

    def covered_ns(self, start_ns: int, end_ns: int) -> int:
        """Return the covered part of the time between two moments."""
        return end_ns - start_ns - DAY_NS * self._days_missed(start_ns, end_ns)

    def after(self, start_ns: int, covered_ns: int, latest_ns: int) -> int:
        """Return when so much was covered since a moment; past ``latest_ns``: not by then."""
        end_ns = start_ns + covered_ns
        while end_ns <= latest_ns:
            later_ns = start_ns + covered_ns + DAY_NS * self._days_missed(start_ns, end_ns)
            if later_ns == end_ns:
                break
            end_ns = later_ns
        return end_ns

    def _days_missed(self, start_ns: int, end_ns: int) -> int:
        """Return the days that lie wholly between two moments and were not covered."""
        if self._days is None:
            return 0
        first, end = start_ns // DAY_NS + 1, end_ns // DAY_NS
        if end <= first:
            return 0
        return end - first - (bisect_left(self._days, end) - bisect_left(self._days, first))


EVERY_DAY = Calendar()


class Stage(IntEnum):
    """How far a device is away from offers of one kind."""

    NONE = 0
    """It never made any."""
    OVER = 1
    """Quiet for long enough, and proven to do better."""
    IMPROVING = 2
    IN_USE = 3


Troubles = Mapping[str, Status]
"""What is wrong with relays themselves, by their destination words."""

NO_TROUBLE: Troubles = {}


def status(
    device: Device,
    now_ns: int,
    calendar: Calendar = EVERY_DAY,
    troubles: Troubles = NO_TROUBLE,
) -> Status:
    """Return where a device stands at a time, from what was seen of it.

    Days are covered days of frame time. A refused device is called so even if it offers old
    TLS: that it has no mail is the more urgent news. One that sends its old hellos to a relay
    alone is as well off as that relay.
    """
    if calendar.covered_ns(device.last_ns, now_ns) >= SILENT_AFTER_NS:
        return Status.SILENT
    if device.is_failing:
        return Status.REFUSED
    furthest = Stage.NONE
    for word, mine in _kinds(device):
        stage = _stage(device, mine, now_ns, calendar)
        if stage is Stage.IN_USE and word is not Status.RELAYED:
            return word
        if stage is Stage.IN_USE:
            fares = _through(mine, troubles)
            is_away = furthest is not Stage.IMPROVING
            return fares if is_away or fares is not Status.RELAYED else Status.IMPROVING
        furthest = max(furthest, stage)
    if furthest is Stage.IMPROVING:
        return Status.IMPROVING
    if furthest is Stage.OVER:
        return Status.FIXED
    ranks = [stack.rank for stack in device.all_stacks()]
    return Status.OK if max(ranks, default=0) else Status.UNKNOWN


WORDS = {
    Verdict.LEGACY: Status.LEGACY,
    Verdict.INCOMPATIBLE: Status.INCOMPATIBLE,
    Verdict.AT_RISK: Status.AT_RISK,
}
"""What a device is called that makes such offers, the most telling first."""

KINDS = (*WORDS.values(), Status.RELAYED)

RED = (Status.REFUSED, Status.LEGACY, Status.INCOMPATIBLE)
"""What a relay must not be, or nothing is gained by it; the worst first."""


def relay_places(device: Device) -> set[tuple[str, bytes]]:
    """Return destination words and addresses of the relays a device was sent through."""
    places = (read_destination(key) for stack in device.stacks for key in stack.destinations)
    return {(label, address) for label, address, _, _ in places if is_relay(label)}


def relays_of(device: Device) -> set[str]:
    """Return the destination words of the relays that a device sends old hellos to."""
    return {e.destination for e in (device.exposures or {}).values() if is_relay(e.destination)}


def _kinds(device: Device) -> Iterable[tuple[Status, list[Exposure]]]:
    """Return the exposures of each kind, with what they make of a device while in use.

    The most telling kind stands first, what goes through relays last.
    """
    if not device.exposures:
        return ()
    kinds: dict[Status, list[Exposure]] = {}
    for exposure in device.exposures.values():
        through = is_relay(exposure.destination)
        word = Status.RELAYED if through else WORDS[exposure.verdict]
        kinds.setdefault(word, []).append(exposure)
    if len(kinds) == 1:
        return kinds.items()
    return [(word, kinds[word]) for word in KINDS if word in kinds]


def _through(exposures: Sequence[Exposure], troubles: Troubles) -> Status:
    """Return how a device fares by relays."""
    if any(exposure.is_failing for exposure in exposures):
        return Status.REFUSED
    found = [troubles[e.destination] for e in exposures if e.destination in troubles]
    return min(found, key=RED.index, default=Status.RELAYED)


def _stage(device: Device, exposures: Sequence[Exposure], now_ns: int, calendar: Calendar) -> Stage:
    """Tell how far a device is away from offers of one kind."""
    last_ns = max(exposure.last_ns for exposure in exposures)
    quiet_ns = now_ns - last_ns
    good_ns = device.last_ok_ns
    if not is_relay(exposures[0].destination):
        for exposure in (device.exposures or {}).values():
            if is_relay(exposure.destination):
                good_ns = _later(good_ns, exposure.established_ns)
    if quiet_ns < IMPROVING_AFTER_NS or good_ns is None:
        return Stage.IN_USE
    pause_ns = RHYTHMS * _rhythm_ns(exposures)
    watched_ns = calendar.covered_ns(last_ns, now_ns)
    is_quiet = watched_ns >= FIXED_AFTER_NS and quiet_ns >= pause_ns
    if is_quiet and _is_proven(device, exposures, last_ns):
        return Stage.OVER
    if quiet_ns >= max(IMPROVING_AFTER_NS, pause_ns) and good_ns > last_ns:
        return Stage.IMPROVING
    return Stage.IN_USE


def turning_points(device: Device, latest_ns: int, calendar: Calendar) -> list[int]:
    """Return the moments at which time alone may change a device's status, up to one."""
    points = [calendar.after(device.last_ns, SILENT_AFTER_NS, latest_ns)]
    for _, mine in _kinds(device):
        last_ns = max(exposure.last_ns for exposure in mine)
        points.append(last_ns + IMPROVING_AFTER_NS)
        points.append(last_ns + RHYTHMS * _rhythm_ns(mine))
        points.append(calendar.after(last_ns, FIXED_AFTER_NS, latest_ns))
    return sorted({point for point in points if point <= latest_ns})


def review_after(device: Device, now_ns: int) -> int:
    """Return when to look again whether time alone has changed a device's status."""
    if device.exposures and device.status is not Status.SILENT:
        return max(device.last_ns + IMPROVING_AFTER_NS, now_ns + REVIEW_NS)
    return device.last_ns + SILENT_AFTER_NS


def service_part(device: Device, service: str) -> Device:
    """Return what a device is with one of its services alone."""
    stacks = []
    for stack in device.all_stacks():
        uses = [use for use in stack.uses if use.service == service]
        if not uses:
            continue
        first_ns, last_ns = min(u.first_ns for u in uses), max(u.last_ns for u in uses)
        part = Stack(stack.shape, (first_ns, "", 0))
        part.last = (last_ns, "", 0)
        part.hellos = sum(use.hellos for use in uses)
        part.rank = max(use.rank for use in uses)
        part.services = SERVICE_BIT[service]
        part.uses = tuple(uses)
        stacks.append(part)
    whole = Device(min((stack.first[0] for stack in stacks), default=device.first_ns))
    whole.stacks = stacks
    for use in [use for stack in stacks for use in stack.uses]:
        whole.merge_trail(use)
        if VERDICTS[use.rank] is Verdict.OK:
            whole.last_ok_ns = _later(whole.last_ok_ns, use.established_ns)
    mine = {k: e for k, e in (device.exposures or {}).items() if e.service == service}
    whole.exposures = mine or None
    return whole


def is_telling(device: Device) -> bool:
    """Tell whether there is more to keep of a device than that it was there."""
    return bool(device.exposures) or device.status is Status.REFUSED


def _rhythm_ns(exposures: Sequence[Exposure]) -> int:
    """Return the mean pause between hellos; 0 if there was one only."""
    hellos = sum(exposure.hellos for exposure in exposures)
    if hellos < 2:
        return 0
    first_ns = min(exposure.first_ns for exposure in exposures)
    last_ns = max(exposure.last_ns for exposure in exposures)
    return (last_ns - first_ns) // (hellos - 1)


def _is_proven(device: Device, exposures: Sequence[Exposure], last_ns: int) -> bool:
    """Tell whether each service that got such hellos has got enough good handshakes since.

    A relay that takes them in their place is as good, whatever service it offers.
    Only stacks first seen after the last of them count: one that was there before may be
    another program, and says nothing about this one.
    """
    if not is_relay(exposures[0].destination):
        uses = [use for stack in device.stacks for use in stack.uses if is_relay(use.destination)]
        taken = sum(use.established for use in uses if (use.established_ns or 0) > last_ns)
        if taken >= PROOFS:
            return True
    wanted = {exposure.service for exposure in exposures}
    good = [s for s in device.stacks if VERDICTS[s.rank] is Verdict.OK and s.first[0] > last_ns]
    return all(
        sum(use.established for s in good for use in s.uses if use.service == service) >= PROOFS
        for service in wanted
    )


def _stack_key(stack: Stack) -> str:
    return stack.key


def _use_key(use: Use) -> tuple[str, str]:
    return use.service, use.destination


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _later(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
