"""Frames that are no mail's, in which devices say who they are: sightings out of them.

Each protocol binds what it says to an address, to a MAC, or to both, and no further than the
message allows: the MAC of a frame is its sender's only where the frame never left the wire it
was sent on. Of DNS answers nothing is told but addresses of names that are asked for here.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from parsers.answer import NO_MATCH
from parsers.discovery import dhcp, dhcpv6, dns, lldp, mdns, netbios
from parsers.discovery.dns import AAAA, CNAME, A, Labels, dotted
from parsers.discovery.hints import Hints
from parsers.discovery.ports import (
    DNS_PORT,
    DNS_SOURCES,
    LLDP,
    PASSIVE_DESTINATIONS,
    PASSIVE_SOURCES,
)
from parsers.frame import Frame
from sniffer.config import IdentifySettings
from sniffer.event import Fact, Sighting, SightingSource

SECOND_NS = 1_000_000_000
UDP_HEADER = 8
LONGEST_TEXT = 255

AS_DESTINATION, AS_SOURCE, AS_HINTED = 1, 2, 4
"""What a UDP port is listened to as; from the last, only if the hints are found."""

MOST_MESSAGES = 1000
MOST_LOOKS = 10_000
MOST_ANSWERS = 1000
"""In a second of frame time: messages of devices, answers of DNS servers whose beginning is
looked at, and those of them that are read. A flood of them must not hold up mail."""
MOST_FACTS = 16
"""Facts told of one message."""
MOST_LINKS = 8
MOST_ADDRESSES = 16
"""Aliases followed and addresses told of one DNS answer."""
MOST_CLIENTS = 4096
"""Clients of DHCP whose names are remembered until a server has answered."""
MOST_ALIASES = 256
"""Names that a wanted one leads to, and that had no address yet."""
LONGEST_SECONDS = 7 * 86_400
"""A longer time to live is taken for as long as this (RFC 8767 section 4)."""
FOR_EVER = 0xFFFFFFFF
"""Of a lease, in seconds (RFC 2131 section 3.3)."""

DNS_KINDS = frozenset((A, AAAA, CNAME))
DHCP_WORDS = {
    dhcp.REQUEST: b"request",
    dhcp.ACK: b"ack",
    dhcp.RELEASE: b"release",
    dhcp.DECLINE: b"decline",
}

Facts = tuple[tuple[str, bytes], ...]


class Wanted(Protocol):
    """Names of which it is asked what addresses they have."""

    @property
    def hints(self) -> Sequence[bytes]:
        """Octets of which each of the names has some in it, in any case of letters."""

    def __contains__(self, name: bytes) -> bool:
        """Tell whether a name is one of them."""


class _Client(NamedTuple):
    """What a client of DHCP said of itself."""

    name: bytes | None
    facts: Facts


def listen(settings: IdentifySettings, wanted: Wanted | None) -> "Discovery | None":
    """Return what listens as it is set, for the names that are wanted; None: nothing does."""
    wanted = wanted if settings.dns else None
    if not settings.passive and wanted is None:
        return None
    return Discovery(passive=settings.passive, wanted=wanted)


class Discovery:
    """Reads what passes by. ``wanted`` are the names whose addresses are asked for; None: none."""

    def __init__(self, *, passive: bool, wanted: Wanted | None) -> None:
        """Listen to devices if ``passive``, to DNS servers if any name is wanted."""
        self.passive = passive
        self.passed_over = 0
        """Messages not read, because too many came at once."""
        self._wanted = wanted
        self.hints = Hints(() if wanted is None else wanted.hints)
        """What an answer of a DNS server holds, if it is one to be read."""
        self._told: list[Sighting] = []
        self._clients: OrderedDict[bytes, _Client] = OrderedDict()
        self._aliases: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        self._second = 0
        self._messages = self._looks = self._answers = 0

    @property
    def dns(self) -> bool:
        """Whether the answers of DNS servers are read."""
        return self._wanted is not None

    def ports(self) -> bytes:
        """Return for each UDP port what it is listened to as."""
        heard = bytearray(65536)
        if self.passive:
            for port in PASSIVE_DESTINATIONS:
                heard[port] |= AS_DESTINATION
            for port in PASSIVE_SOURCES:
                heard[port] |= AS_SOURCE
        if self.dns:
            for port in DNS_SOURCES:
                heard[port] |= AS_HINTED
        return bytes(heard)

    def take(self) -> list[Sighting]:
        """Return what was said since the last time."""
        told, self._told = self._told, []
        return told

    def observe(self, wire: memoryview, frame: Frame, time_ns: int) -> None:
        """Read the message in a frame: LLDP, or UDP with one of ``ports``."""
        second = time_ns // SECOND_NS
        if second != self._second:
            self._second = second
            self._messages = self._looks = self._answers = 0
            self._drop_aliases(time_ns)
        if frame.ethertype != LLDP:
            length = wire[frame.at + 4] << 8 | wire[frame.at + 5]
            if length >= UDP_HEADER:
                frame.end = min(frame.end, frame.at + length)
            frame.at += UDP_HEADER
            if frame.source_port == DNS_PORT and self._wanted is not None:
                self._look(wire, frame, time_ns, self._wanted)
                return
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            self.passed_over += 1
            return
        self._told += filter(_says_something, self._read(wire, frame, time_ns))

    def _look(self, wire: memoryview, frame: Frame, time_ns: int, wanted: Wanted) -> None:
        """Look whether what a DNS server answers is of interest, and read it if it may be."""
        self._looks += 1
        if self._looks > MOST_LOOKS:
            self.passed_over += 1
            return
        asked = dns.asks(wire, frame.at, frame.end)
        if asked is None:
            return
        name, may_be_alias = asked
        if not may_be_alias and name not in self._aliases and name not in wanted:
            return
        self._answers += 1
        if self._answers > MOST_ANSWERS:
            self.passed_over += 1
            return
        self._told += self._dns(wire, frame, time_ns, name, wanted)

    def _read(self, wire: memoryview, frame: Frame, time_ns: int) -> Iterable[Sighting]:
        if frame.ethertype == LLDP:
            return _lldp(wire, frame, time_ns)
        source, destination = frame.source_port, frame.destination_port
        if destination in (dhcp.SERVER_PORT, dhcp.CLIENT_PORT):
            return self._dhcp(wire, frame, time_ns)
        if destination in (dhcpv6.SERVER_PORT, dhcpv6.CLIENT_PORT):
            return self._dhcpv6(wire, frame, time_ns)
        if mdns.PORT in (source, destination):
            return _mdns(wire, frame, time_ns)
        return _netbios(wire, frame, time_ns)

    # -- DHCP: who asks, and what is given ---------------------------------------------------

    def _dhcp(self, wire: memoryview, frame: Frame, time_ns: int) -> Iterator[Sighting]:
        answer, message = dhcp.read(wire, frame.at, frame.end)
        if answer == NO_MATCH or message is None or message.mac is None:
            return
        key = message.mac + message.transaction.to_bytes(4, "big")
        name = _host_part(message.fqdn) or message.host_name
        facts = _facts((Fact.VENDOR_CLASS, message.vendor_class))
        word = DHCP_WORDS.get(message.kind)
        is_ack = message.is_reply and message.kind == dhcp.ACK
        if message.is_reply and not is_ack:
            return
        if is_ack:
            said = self._clients.pop(key, None)
            if said is not None:
                # A server may have given it another name; the client's own one counts.
                name, facts = said.name or name, said.facts
        else:
            self._remember(key, _Client(name, facts))
        address = message.given or message.own if is_ack else message.own
        seconds = message.lease_seconds if is_ack else None
        yield Sighting(
            time_ns,
            SightingSource.DHCP,
            address=address,
            mac=message.mac,
            name=_text(name),
            facts=facts if word is None else (*facts, (Fact.MESSAGE.value, word)),
            until_ns=_until(time_ns, seconds),
        )

    def _dhcpv6(self, wire: memoryview, frame: Frame, time_ns: int) -> Iterator[Sighting]:
        answer, message = dhcpv6.read(wire, frame.at, frame.end)
        if answer == NO_MATCH or message is None or message.duid is None:
            return
        key = message.duid + message.transaction.to_bytes(3, "big")
        name = _host_part(message.fqdn)
        facts = _facts((Fact.VENDOR_CLASS, message.vendor_class))
        if message.kind in dhcpv6.TO_SERVER:
            self._remember(key, _Client(name, facts))
            mac = message.mac if message.relayed else _mac(wire, frame) or message.mac
            word = b"release" if message.kind == dhcpv6.RELEASE else b"request"
            holds = message.kind in (dhcpv6.RENEW, dhcpv6.REBIND, dhcpv6.RELEASE)
            addresses = message.addresses if holds else ()
        elif message.kind == dhcpv6.REPLY:
            said = self._clients.pop(key, None)
            if said is not None:
                name, facts = said.name or name, said.facts
            mac, word, addresses = message.mac, b"ack", message.addresses
        else:
            return
        for address, seconds in addresses or ((None, 0),):
            is_given = word == b"ack" and address is not None
            yield Sighting(
                time_ns,
                SightingSource.DHCP,
                address=address,
                mac=mac,
                name=_text(name),
                facts=(*facts, (Fact.MESSAGE.value, word)),
                until_ns=_until(time_ns, seconds) if is_given else None,
            )

    def _remember(self, key: bytes, client: _Client) -> None:
        self._clients.pop(key, None)
        self._clients[key] = client
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)

    # -- DNS: addresses of names that are wanted ---------------------------------------------

    def _dns(
        self, wire: memoryview, frame: Frame, time_ns: int, asked: bytes, wanted: Wanted
    ) -> Iterator[Sighting]:
        answer, message = dns.read(wire, frame.at, frame.end, DNS_KINDS)
        if answer == NO_MATCH or message is None:
            return
        # By each name that a wanted one leads to: that one. Links may stand in any order.
        led: dict[bytes, tuple[bytes, int]] = {}
        links: dict[bytes, tuple[bytes, int]] = {}
        for record in message.records:
            if record.kind == CNAME and len(links) < MOST_LINKS:
                name = _written(record.name)
                links.setdefault(name, (_written(record.target), record.seconds))
        self._follow(asked, links, led, time_ns, wanted)
        client = _bytes(wire, frame.destination, frame)
        ends: set[bytes] = set()
        addresses = [record for record in message.records if record.kind != CNAME]
        for record in addresses[:MOST_ADDRESSES] if led else ():
            name = _written(record.name)
            if name not in led:
                continue
            ends.add(name)
            called, seconds = led[name]
            yield Sighting(
                time_ns,
                SightingSource.DNS,
                address=record.data,
                name=called,
                until_ns=_until(time_ns, min(seconds, record.seconds, LONGEST_SECONDS)),
                asked_by=client,
            )
        for target, _ in links.values():
            if target in led and target not in links and target not in ends:
                self._alias(target, *led[target], time_ns)

    def _follow(
        self,
        name: bytes,
        links: dict[bytes, tuple[bytes, int]],
        led: dict[bytes, tuple[bytes, int]],
        time_ns: int,
        wanted: Wanted,
    ) -> None:
        """Note under which wanted name each name of a chain is known: the first one in it."""
        called: bytes | None
        called, until_ns = self._aliases.get(name, (None, 0))
        seconds = (until_ns - time_ns) // SECOND_NS
        if called is None or seconds < 0:
            called, seconds = None, FOR_EVER
        for _ in range(len(links) + 1):
            if name in led:
                return
            if called is None and name in wanted:
                called = name
            if called is not None:
                led[name] = called, seconds
            if name not in links:
                return
            name, more = links[name]
            seconds = min(seconds, more)

    def _alias(self, target: bytes, called: bytes, seconds: int, time_ns: int) -> None:
        self._aliases.pop(target, None)
        self._aliases[target] = called, time_ns + min(seconds, LONGEST_SECONDS) * SECOND_NS
        if len(self._aliases) > MOST_ALIASES:
            self._aliases.popitem(last=False)
        self._heed_aliases()

    def _drop_aliases(self, time_ns: int) -> None:
        over = [name for name, (_, until_ns) in self._aliases.items() if until_ns < time_ns]
        for name in over:
            del self._aliases[name]
        if over:
            self._heed_aliases()

    def _heed_aliases(self) -> None:
        """Have answers found that go on from an alias."""
        assert self._wanted is not None  # noqa: S101 (tells mypy: who else led to an alias)
        labels = [max(name.split(b"."), key=len) for name in self._aliases]
        self.hints.use((*self._wanted.hints, *labels))


@lru_cache(maxsize=256)
def _written(labels: Labels) -> bytes:
    """Return a name as it is compared."""
    return dotted(labels).lower()


def _says_something(sighting: Sighting) -> bool:
    binds = sighting.address is not None and sighting.mac is not None
    return binds or sighting.name is not None or any(w != Fact.MESSAGE for w, _ in sighting.facts)


def _lldp(wire: memoryview, frame: Frame, time_ns: int) -> Iterator[Sighting]:
    answer, said = lldp.read(wire, frame.at, frame.end)
    if answer == NO_MATCH or said is None:
        return
    facts = _facts((Fact.DESCRIPTION, said.description))
    # Behind the MAC of a switch or router are others, to whom its name does not belong.
    mac = None if said.forwards else _mac(wire, frame) or said.mac
    for address in said.addresses or (None,):
        yield Sighting(
            time_ns,
            SightingSource.LLDP,
            address=address,
            mac=mac,
            name=_text(said.name),
            facts=facts,
        )


def _mdns(wire: memoryview, frame: Frame, time_ns: int) -> Iterator[Sighting]:
    answer, said = mdns.read(wire, frame.at, frame.end)
    if answer == NO_MATCH or said is None:
        return
    sender = _bytes(wire, frame.source, frame)
    senders = {host.name for host in said.hosts if host.address == sender}
    facts_of = {name: _offers(said.services, name) for name in {h.name for h in said.hosts}}
    for host in said.hosts:
        if not host.seconds:
            continue
        yield Sighting(
            time_ns,
            SightingSource.MDNS,
            address=host.address,
            mac=_mac(wire, frame) if host.name in senders else None,
            name=_text(host.name),
            facts=facts_of[host.name],
        )
    if not said.hosts and said.services:
        # Whoever offers something without saying who it is, is who sent it.
        facts = _offers(said.services, None)
        yield Sighting(time_ns, SightingSource.MDNS, address=sender, facts=facts)


def _offers(services: Sequence[mdns.Service], host: bytes | None) -> Facts:
    """Return what a host offers; None: whichever it is."""
    told: list[tuple[Fact, bytes | None]] = []
    for one in services:
        if host is None or one.host in (None, host):
            told += (Fact.SERVICE, one.service), (Fact.MODEL, one.model)
    return _facts(*told)


def _netbios(wire: memoryview, frame: Frame, time_ns: int) -> Iterator[Sighting]:
    answer, said = netbios.read(wire, frame.at, frame.end)
    if answer == NO_MATCH or said is None:
        return
    sender = _bytes(wire, frame.source, frame)
    for name in said.names:
        for address in said.addresses or (sender,):
            mac = said.mac or (_mac(wire, frame) if address == sender else None)
            yield Sighting(
                time_ns, SightingSource.NETBIOS, address=address, mac=mac, name=_text(name)
            )


def _bytes(wire: memoryview, at: int, frame: Frame) -> bytes:
    """Return the address at a place of a frame."""
    return bytes(wire[at : at + (4 if frame.ip_version == 4 else 16)])


def _mac(wire: memoryview, frame: Frame) -> bytes | None:
    """Return the sender's MAC, if the frame was sent to all on its wire: no router passed it on."""
    at = frame.mac - 6
    is_group = at >= 0 and wire[at] & 1
    return bytes(wire[frame.mac : frame.mac + 6]) if is_group else None


def _facts(*told: tuple[Fact, bytes | None]) -> Facts:
    """Return the facts that there are, each once."""
    found = {(fact.value, _text(text) or b""): None for fact, text in told if text}
    return tuple(found)[:MOST_FACTS]


def _text(octets: bytes | None) -> bytes | None:
    return octets[:LONGEST_TEXT] if octets else None


def _host_part(fqdn: bytes | None) -> bytes | None:
    """Return the host's own name out of one with its domain."""
    return None if fqdn is None else fqdn.partition(b".")[0] or None


def _until(time_ns: int, seconds: int | None) -> int | None:
    return None if seconds is None or seconds == FOR_EVER else time_ns + seconds * SECOND_NS
