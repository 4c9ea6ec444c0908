"""What sources of clear text were found to do.

A source need not be a device: it may never have sent a hello. Everything here merges, as the
devices do: counts are sums, times minima and maxima, and of what is bounded the lowest keys
are kept. Whether a server that lists no upgrade is one that lists it to others is decided
when a picture is taken, for the others may come later.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from sniffer.event import Dialogue, FindingKind, Handshake
from sniffer.inventory.device import LONGEST_NAME, SERVICE_WORDS

MOST_SOURCES = 16_384
MOST_ROWS = 64
"""Kinds and destinations kept of one source."""
MOST_SERVERS = 4096
"""Servers of which it is remembered that they listed the upgrade."""

KINDS = (
    FindingKind.CLEAR_AFTER_FAILED_TLS,
    FindingKind.CLEAR_LOGIN,
    FindingKind.CAPABILITY_STRIPPED,
    FindingKind.UPGRADE_REFUSED,
    FindingKind.UPGRADE_MISSING,
)
"""The most telling first."""


class FindingSnapshot(Struct, frozen=True, kw_only=True):
    """One kind of finding of one source with one destination."""

    source: bytes
    kind: FindingKind
    service: str
    destination: bytes
    port: int
    name: bytes | None
    """What the server called itself."""
    count: int
    first_ns: int
    last_ns: int


class _Row:
    """How often, when, and what the server called itself."""

    __slots__ = ("count", "first_ns", "last_ns", "name")

    def __init__(self, time_ns: int) -> None:
        self.count = 0
        self.first_ns = self.last_ns = time_ns
        self.name = b""

    def add(self, count: int, first_ns: int, last_ns: int, name: bytes) -> None:
        self.count += count
        self.first_ns = min(self.first_ns, first_ns)
        self.last_ns = max(self.last_ns, last_ns)
        self.name = max(self.name, name)


class _Source:
    """One source: its findings."""

    __slots__ = ("keys", "rows")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.rows: dict[bytes, _Row] = {}

    def row(self, key: bytes, time_ns: int) -> _Row | None:
        """Return the row of a key; None: it has no place among the lowest."""
        row = self.rows.get(key)
        if row is not None:
            return row
        if len(self.keys) >= MOST_ROWS and key > self.keys[-1]:
            return None
        insort(self.keys, key)
        if len(self.keys) > MOST_ROWS:
            del self.rows[self.keys.pop()]
        row = self.rows[key] = _Row(time_ns)
        return row


class Findings:
    """All sources of clear text, the least recently heard of first."""

    def __init__(self) -> None:
        """Begin empty."""
        self._sources: OrderedDict[bytes, _Source] = OrderedDict()
        self._servers: list[bytes] = []
        self.totals: dict[tuple[str, str], int] = {}
        """Findings by service and kind, exact; a server is not yet known to be stripped."""
        self.sources_let_go = 0

    def observe(self, dialogue: Dialogue, service: str, kinds: tuple[FindingKind, ...]) -> None:
        """Count what was found of a dialogue."""
        flow = dialogue.flow
        place = _place(flow.destination, flow.destination_port)
        if dialogue.offered:
            _note(self._servers, place)
        name = dialogue.server_name or b""
        for kind in kinds:
            self._count(flow.source, kind, service, place, dialogue.time_ns, name)

    def refused(self, handshake: Handshake, service: str) -> None:
        """Count an upgrade that the server refused though its client had gone on at once."""
        flow = handshake.flow
        place = _place(flow.destination, flow.destination_port)
        kind = FindingKind.UPGRADE_REFUSED
        self._count(flow.source, kind, service, place, handshake.time_ns, b"")

    def merge(self, other: "Findings") -> None:
        """Add what another time range or input has found."""
        for server in other._servers:
            _note(self._servers, server)
        for total, count in other.totals.items():
            self.totals[total] = self.totals.get(total, 0) + count
        self.sources_let_go += other.sources_let_go
        for address, theirs in other._sources.items():
            mine = self._source(address)
            for key, row in theirs.rows.items():
                place = mine.row(key, row.first_ns)
                if place is not None:
                    place.add(row.count, row.first_ns, row.last_ns, row.name)

    def snapshot(self) -> tuple[FindingSnapshot, ...]:
        """Return all findings, by source, destination and kind."""
        told: dict[tuple[bytes, ...], FindingSnapshot] = {}
        servers = frozenset(self._servers)
        for source, said in self._sources.items():
            for key, row in said.rows.items():
                kind, service, place = KINDS[key[0]], SERVICE_WORDS[key[1]], key[2:]
                if kind is FindingKind.UPGRADE_MISSING and place in servers:
                    kind = FindingKind.CAPABILITY_STRIPPED
                address, port = place[:-2], int.from_bytes(place[-2:], "big")
                one = FindingSnapshot(
                    source=source,
                    kind=kind,
                    service=service,
                    destination=address,
                    port=port,
                    name=row.name or None,
                    count=row.count,
                    first_ns=row.first_ns,
                    last_ns=row.last_ns,
                )
                same = (source, place, kind.encode(), service.encode())
                told[same] = _joined(told[same], one) if same in told else one
        return tuple(sorted(told.values(), key=_order))

    def _count(
        self,
        source: bytes,
        kind: FindingKind,
        service: str,
        place: bytes,
        time_ns: int,
        name: bytes,
    ) -> None:
        total = service, kind.value
        self.totals[total] = self.totals.get(total, 0) + 1
        key = bytes((KINDS.index(kind), SERVICE_WORDS.index(service))) + place
        row = self._source(source).row(key, time_ns)
        if row is not None:
            row.add(1, time_ns, time_ns, name[:LONGEST_NAME])

    def _source(self, address: bytes) -> _Source:
        said = self._sources.get(address)
        if said is not None:
            self._sources.move_to_end(address)
            return said
        if len(self._sources) >= MOST_SOURCES:
            self._sources.popitem(last=False)
            self.sources_let_go += 1
        said = self._sources[address] = _Source()
        return said


def by_source(
    findings: tuple[FindingSnapshot, ...],
) -> Mapping[bytes, tuple[FindingSnapshot, ...]]:
    """Return the findings of each source."""
    parts: dict[bytes, list[FindingSnapshot]] = {}
    for finding in findings:
        parts.setdefault(finding.source, []).append(finding)
    return {source: tuple(part) for source, part in parts.items()}


def _place(address: bytes, port: int) -> bytes:
    return address + port.to_bytes(2, "big")


def _note(servers: list[bytes], place: bytes) -> None:
    """Put a server among at most so many, of which the lowest are kept."""
    at = bisect_left(servers, place)
    if at < len(servers) and servers[at] == place:
        return
    servers.insert(at, place)
    del servers[MOST_SERVERS:]


def _joined(one: FindingSnapshot, other: FindingSnapshot) -> FindingSnapshot:
    return FindingSnapshot(
        source=one.source,
        kind=one.kind,
        service=one.service,
        destination=one.destination,
        port=one.port,
        name=max(one.name or b"", other.name or b"") or None,
        count=one.count + other.count,
        first_ns=min(one.first_ns, other.first_ns),
        last_ns=max(one.last_ns, other.last_ns),
    )


def _order(finding: FindingSnapshot) -> tuple[int, bytes, int, bytes, int, int]:
    return (
        len(finding.source),
        finding.source,
        len(finding.destination),
        finding.destination,
        finding.port,
        KINDS.index(finding.kind),
    )
