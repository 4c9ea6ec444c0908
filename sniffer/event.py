"""The contract's words, and what the pipeline passes on: handshakes, and what is said aside.

Everything here is frozen. Addresses are raw octets (4 or 16), versions and suites are
numbers, times are nanoseconds since 1970 of the capture's clock; names and text appear in
``sniffer.export`` alone. An absent fact is None.
"""

import ipaddress
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from socket import AF_INET, AF_INET6, inet_ntop

from msgspec import Struct

from parsers.tls.facts import Alert, ClientHello, ServerHello

OTHER = "other"
"""The destination word where neither a profile nor a relay has a name for it."""

RELAY = "relay:"
"""How the destination word of a declared relay begins; its name follows."""


class Verdict(StrEnum):
    """What an offer is worth to the destination it was made to, first match first."""

    UNKNOWN = "unknown"
    FALLBACK = "fallback"
    LEGACY = "legacy"
    INCOMPATIBLE = "incompatible"
    AT_RISK = "at-risk"
    OK = "ok"


class Reason(StrEnum):
    """Why a verdict is what it is; several are given in this order."""

    VERSION = "version"
    SUITES = "suites"
    GROUPS = "groups"
    SIGNATURE_ALGORITHMS = "signature_algorithms"
    CUT = "cut"


class Outcome(StrEnum):
    """How a handshake ended: its first decisive event."""

    ESTABLISHED = "established"
    ALERT = "alert"
    RESET = "reset"
    CLOSED = "closed"
    UNANSWERED = "unanswered"
    REFUSED_STARTTLS = "refused-starttls"
    UNKNOWN = "unknown"


class Side(StrEnum):
    """Who did it. PATH is a device between the two, such as a firewall."""

    CLIENT = "client"
    SERVER = "server"
    PATH = "path"
    UNKNOWN = "unknown"


class Sure(StrEnum):
    """How far what was seen allows a conclusion that nobody spelt out."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Status(StrEnum):
    """Where a device stands."""

    LEGACY = "legacy"
    REFUSED = "refused"
    INCOMPATIBLE = "incompatible"
    AT_RISK = "at-risk"
    RELAYED = "relayed"
    IMPROVING = "improving"
    FIXED = "fixed"
    SILENT = "silent"
    EXCEPTED = "excepted"
    OK = "ok"
    UNKNOWN = "unknown"


class DestinationBasis(StrEnum):
    """What named the destination, and so chose the profile."""

    SNI = "sni"
    DNS = "dns"
    ADDRESS = "address"
    FORCED = "forced"


class SightingSource(StrEnum):
    """Where something was said of a device."""

    DHCP = "dhcp"
    DNS = "dns"
    EHLO = "ehlo"
    IMAP_ID = "imap-id"
    LLDP = "lldp"
    MDNS = "mdns"
    NETBIOS = "netbios"


class Fact(StrEnum):
    """What a device says of itself besides its name."""

    DESCRIPTION = "description"
    MESSAGE = "message"
    """Of DHCP: request, ack, release or decline; of that moment, no trait of the device."""
    MODEL = "model"
    SERVICE = "service"
    VENDOR_CLASS = "vendor-class"


class Tunnel(Struct, frozen=True):
    """One tunnel the frame came through: its type word, its number if it has one."""

    type: str
    id: int | None = None
    outer_source: bytes | None = None


class Flow(Struct, frozen=True):
    """The conversation of a handshake, seen from the client. Innermost addresses."""

    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    mac: bytes | None = None
    """Source address of the innermost Ethernet header, six octets."""
    vlan: int | None = None
    """The innermost VLAN id, 0 to 4095."""
    tunnels: tuple[Tunnel, ...] = ()
    """Outermost first."""
    client_half: bool = True
    server_half: bool = False
    """Whether any frame of that side was seen."""
    syn_seen: bool = False


class Session(Struct, frozen=True):
    """What followed an established handshake, told from sequence numbers."""

    client_bytes: int
    server_bytes: int
    seconds: float
    closed_by: Side
    thrown_out: Sure | None = None
    """The server took the client in and closed before it can have done what it came for."""


class EncryptedAlert(Struct, frozen=True):
    """An alert that nobody can read: neither what it says nor whether it is fatal."""

    sender: Side
    sure: Sure


class EvidenceFrame(Struct, frozen=True, array_like=True):
    """One captured frame of a handshake, everything else in it zeroed."""

    number: int
    """In its input, from 1."""
    time_ns: int
    link: int
    """LINKTYPE number."""
    wire_length: int
    """Before any snap length."""
    octets: bytes


class Octets(Struct, frozen=True, array_like=True):
    """Messages of a handshake as they stood on the wire, without the records around them."""

    hello: bytes
    """The ClientHello; in SSLv2 format the two octets of its length come first."""
    answer: bytes = b""
    """The ServerHello; empty: none was seen."""


class Handshake(Struct, frozen=True):
    """One ClientHello and what became of it. Made once, when settled; never changed."""

    time_ns: int
    """Of the frame that completed the hello, or of the last one used if it was cut."""
    frame: int
    """Number of that frame in its input, from 1."""
    flow: Flow
    hello: ClientHello
    server_hello: ServerHello | None = None
    outcome: Outcome = Outcome.UNKNOWN
    ended_by: Side | None = None
    refused_by: Side | None = None
    alert: Alert | None = None
    alert_sender: Side | None = None
    encrypted_alert: EncryptedAlert | None = None
    starttls: str | None = None
    """imap, pop3 or smtp where an upgrade came first."""
    session: Session | None = None
    path: str | None = None
    """The capture file it came from; None live."""
    evidence: tuple[EvidenceFrame, ...] = ()
    """The frames that show it, in the order seen; only where they are asked for."""
    octets: Octets | None = None
    """Only where they are asked for, and somebody may want to see them."""


class Dialogue(Struct, frozen=True):
    """What a client and a mail server said in clear, before an upgrade or instead of one.

    Never what they said of users, passwords or mail.
    """

    time_ns: int
    """Of the last line that was read."""
    frame: int
    flow: Flow
    protocol: str
    """imap, pop3 or smtp, as the client spoke it."""
    offered: bool | None = None
    """The server listed the upgrade; None: no list was seen."""
    mangled: bool = False
    """The list held a word that had been the upgrade's."""
    asked: bool = False
    refused: bool = False
    """The client asked for the upgrade; the server said no to it, and not yes later."""
    upgraded: bool = False
    """A ClientHello followed, which is a handshake of its own."""
    login: str | None = None
    """The mechanism by which the client handed over a secret in clear."""
    went_on: bool = False
    """The client did what it came for, in clear."""
    names: tuple[tuple[str, bytes], ...] = ()
    """Where the client said what it is called, ehlo or imap-id, and the name."""
    server_name: bytes | None = None
    """What the server's greeting calls it."""
    path: str | None = None


class Sighting(Struct, frozen=True):
    """What one message says of a device, the one at ``address`` or of the ``mac``.

    Addresses and MAC are there only as far as the message, or the frame it came in, binds
    them to that device: the MAC behind a router is nobody's.
    """

    time_ns: int
    source: SightingSource
    address: bytes | None = None
    mac: bytes | None = None
    name: bytes | None = None
    """What the device is called, as the wire had it, at most 255 octets."""
    facts: tuple[tuple[str, bytes], ...] = ()
    """What else was said: a word of ``Fact`` and at most 255 octets."""
    until_ns: int | None = None
    """When what was said ends by itself: a lease, an answer's time to live."""
    asked_by: bytes | None = None
    """Who was told; only of DNS answers, which name a server and no device."""


class FindingKind(StrEnum):
    """What is wrong with a conversation in clear."""

    UPGRADE_MISSING = "upgrade-missing"
    UPGRADE_REFUSED = "upgrade-refused"
    CAPABILITY_STRIPPED = "capability-stripped"
    CLEAR_LOGIN = "clear-login"
    CLEAR_AFTER_FAILED_TLS = "clear-after-failed-tls"


class ClearJudgement(Struct, frozen=True):
    """What the judge says of one dialogue in clear."""

    service: str
    kinds: tuple[FindingKind, ...] = ()


class Judgement(Struct, frozen=True):
    """What the judge says of one handshake."""

    service: str
    """The contract's word for the destination port: imaps, pop3s, ... else tls."""
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    profile: str | None = None
    destination_basis: DestinationBasis | None = None
    relay: str | None = None
    """The declared relay it was sent to."""

    @property
    def destination(self) -> str:
        """The word for where it was sent: a relay's, a profile's name, or "other"."""
        return self.profile or OTHER if self.relay is None else RELAY + self.relay


def identity(handshake: Handshake) -> str:
    """Return the event's id: 128 bits of BLAKE2b, in hex.

    Hashed are, big-endian: the hello's time in whole microseconds since 1970 (8 octets,
    signed); the length of the source address (1 octet), that address and the source port
    (2 octets); the same three of the destination; the client random. A microsecond, because
    what converts captures drops the nanoseconds.
    """
    flow = handshake.flow
    told = b"".join(
        (
            (handshake.time_ns // 1000).to_bytes(8, "big", signed=True),
            len(flow.source).to_bytes(1, "big"),
            flow.source,
            flow.source_port.to_bytes(2, "big"),
            len(flow.destination).to_bytes(1, "big"),
            flow.destination,
            flow.destination_port.to_bytes(2, "big"),
            handshake.hello.random,
        )
    )
    return blake2b(told, digest_size=16).hexdigest()


@lru_cache(maxsize=16384)
def address(octets: bytes) -> str:
    """Return an IPv4 or IPv6 address as RFC 5952 writes it."""
    if len(octets) == 4:
        return inet_ntop(AF_INET, octets)
    if octets[:12] == bytes(12):  # here C libraries write the last four octets as IPv4
        return str(ipaddress.IPv6Address(octets))
    return inet_ntop(AF_INET6, octets)
