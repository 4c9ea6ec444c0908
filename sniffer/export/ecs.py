"""The handshake event: one JSON object per ClientHello, as the contract's section 3 has it.

Names follow the Elastic Common Schema where it has them; the rest stands under
``hellowatch``. Numbers become names here. A key without a value is left out. The Structs
below are the one definition; ``event.schema.json`` beside this module is made from them.
"""

import base64
import hashlib
from functools import lru_cache
from time import gmtime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from parsers.tls import fingerprint, names
from parsers.tls.facts import ClientHello, is_grease
from sniffer import event as words
from sniffer.event import (
    DestinationBasis,
    Handshake,
    Judgement,
    Outcome,
    Reason,
    Side,
    Sure,
    Verdict,
    address,
    identity,
)
from sniffer.log import one_line, printable

SCHEMA_ID = "urn:hellowatch:event"

MOST_OFFERS = 1024
LONGEST_OFFER = 512
"""Offers whose words are remembered, and how long one may be; beyond it all are forgotten."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Code = Annotated[str, Meta(pattern="^0x[0-9a-f]{4}$")]
Count = Annotated[int, Meta(ge=0)]


def _said(text: str) -> Meta:
    return Meta(description=text)


class Source(Struct, frozen=True, gc=False):
    """The client."""

    ip: Annotated[str, _said("Innermost source address (RFC 5952).")]
    port: Annotated[Port, _said("Source port.")]
    mac: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-f]{2}(:[0-9a-f]{2}){5}$",
                description="Source address of the innermost Ethernet header.",
            ),
        ]
        | UnsetType
    ) = UNSET


class Destination(Struct, frozen=True, gc=False):
    """The server."""

    ip: Annotated[str, _said("Innermost destination address (RFC 5952).")]
    port: Annotated[Port, _said("Destination port.")]


class Vlan(Struct, frozen=True, gc=False):
    """The innermost VLAN tag."""

    id: Annotated[str, Meta(pattern="^[0-9]{1,4}$", description="VLAN id, 0 to 4095, in decimal.")]


class Network(Struct, frozen=True, gc=False):
    """The conversation."""

    protocol: Annotated[
        str,
        _said(
            "Service by destination port: imaps, pop3s, smtps, imap, pop3, smtp, submission, tls."
        ),
    ]
    community_id: Annotated[
        str,
        Meta(
            pattern="^1:[A-Za-z0-9+/]{27}=$",
            description="Community ID version 1, seed 0, over the innermost addresses and ports.",
        ),
    ]
    vlan: Vlan | UnsetType = UNSET


class File(Struct, frozen=True, gc=False):
    """A file."""

    path: Annotated[str, _said("The capture file the hello was read from; absent live.")]


class Log(Struct, frozen=True, gc=False):
    """Where the event was read."""

    file: File


class Client(Struct, frozen=True, gc=False):
    """What the client's hello said."""

    server_name: (
        Annotated[
            str,
            Meta(
                max_length=255,
                description="Server name (SNI); octets other than printable ASCII as \\xNN.",
            ),
        ]
        | UnsetType
    ) = UNSET
    ja3: (
        Annotated[
            str,
            Meta(pattern="^[0-9a-f]{32}$", description="JA3, of a complete hello in TLS format."),
        ]
        | UnsetType
    ) = UNSET
    supported_ciphers: (
        Annotated[
            list[str],
            _said("Offered suites in wire order by IANA name, unknown as 0x1234, GREASE left out."),
        ]
        | UnsetType
    ) = UNSET


class Tls(Struct, frozen=True, gc=False):
    """What was offered and, only if a ServerHello was seen, what was agreed."""

    client: Client | UnsetType = UNSET
    version: (
        Annotated[
            str, _said("NEGOTIATED version: 2.0, 3.0, 1.0, 1.1, 1.2, 1.3; unknown as 0x0305.")
        ]
        | UnsetType
    ) = UNSET
    version_protocol: (
        Annotated[str, Meta(pattern="^(tls|ssl)$", description="ssl for 2.0 and 3.0, else tls.")]
        | UnsetType
    ) = UNSET
    cipher: (
        Annotated[str, _said("NEGOTIATED suite by IANA name, unknown as 0x1234.")] | UnsetType
    ) = UNSET
    established: (
        Annotated[
            bool,
            _said(
                "true: the handshake came to its end; false: it was refused or broken off; "
                "absent: not known."
            ),
        ]
        | UnsetType
    ) = UNSET
    next_protocol: (
        Annotated[str, Meta(max_length=255, description="ALPN protocol the server chose.")]
        | UnsetType
    ) = UNSET


class Alert(Struct, frozen=True, gc=False):
    """The alert that passed in clear."""

    level: Annotated[str, _said("warning or fatal; another number in decimal.")]
    description: Annotated[str, _said("IANA name of the alert, unknown as 0x12.")]
    code: Annotated[int, Meta(ge=0, le=255, description="The alert's number.")]
    sender: Annotated[Side, _said("Who sent it.")] | UnsetType = UNSET


class Session(Struct, frozen=True, gc=False):
    """What followed an established handshake, told from sequence numbers."""

    client_bytes: Annotated[Count, _said("Octets of payload from the client.")]
    server_bytes: Annotated[Count, _said("Octets of payload from the server.")]
    seconds: Annotated[float, Meta(ge=0, description="From the hello to the end.")]
    closed_by: Annotated[Side, _said("Who ended it.")]
    thrown_out: (
        Annotated[
            Sure,
            _said(
                "The server closed before the client can have done what it came for. likely: it "
                "had said nothing inside TLS; possible: too little for a login and what follows."
            ),
        ]
        | UnsetType
    ) = UNSET


class EncryptedAlert(Struct, frozen=True, gc=False):
    """An alert that cannot be read: neither what it says nor whether it is fatal."""

    sender: Annotated[Side, _said("Who sent it.")]
    sure: Annotated[
        Sure,
        _said("certain: its record's type shows; likely: told from the record's length (TLS 1.3)."),
    ]


class Tunnel(Struct, frozen=True, gc=False):
    """One tunnel around the frame."""

    type: Annotated[str, _said("Its word: vxlan, gre, erspan, geneve ...")]
    id: Annotated[Count, _said("Its number: VNI, key, session.")] | UnsetType = UNSET
    outer_source: Annotated[str, _said("Outer source address (RFC 5952).")] | UnsetType = UNSET


class Flow(Struct, frozen=True, gc=False):
    """Which parts of the conversation were seen."""

    client_half: Annotated[bool, _said("Any frame of the client was seen.")]
    server_half: Annotated[bool, _said("Any frame of the server was seen.")]
    syn_seen: Annotated[bool, _said("The start of the conversation was seen.")]


class HelloWatch(Struct, frozen=True, gc=False, kw_only=True):
    """What the Elastic Common Schema has no name for."""

    id: Annotated[
        str,
        Meta(
            pattern="^[0-9a-f]{32}$",
            description="The same for the same hello wherever it is read: a hash of the hello's "
            "time, addresses, ports and client random.",
        ),
    ]
    max_offered: (
        Annotated[
            str,
            Meta(
                pattern="^(SSL [23]\\.0|TLS 1\\.[0-3])$",
                description="Highest known version offered; absent if nothing is proven.",
            ),
        ]
        | UnsetType
    ) = UNSET
    record_version: (
        Annotated[Code, _said("Of the record that carried the hello; absent in SSLv2 format.")]
        | UnsetType
    ) = UNSET
    legacy_version: Annotated[Code, _said("The hello's own version field.")]
    supported_versions: (
        Annotated[list[Code], _said("The extension's list in wire order, GREASE left out.")]
        | UnsetType
    ) = UNSET
    hello_format: Annotated[str, Meta(pattern="^(tls|sslv2)$", description="tls or sslv2.")]
    hello_complete: Annotated[
        bool, _said("false: cut by snap length, loss or end of file; known fields are given.")
    ]
    ja4: Annotated[str, _said("JA4, of a complete hello in TLS format.")] | UnsetType = UNSET
    alpn: (
        Annotated[
            list[Annotated[str, Meta(max_length=255)]],
            _said("ALPN protocols offered, in wire order, octets as in server_name."),
        ]
        | UnsetType
    ) = UNSET
    fallback_scsv: Annotated[bool, _said("TLS_FALLBACK_SCSV is among the suites (RFC 7507).")]
    starttls: (
        Annotated[
            str,
            Meta(
                pattern="^(imap|pop3|smtp)$", description="The upgrade that came before the hello."
            ),
        ]
        | UnsetType
    ) = UNSET
    verdict: Annotated[Verdict, _said("What the offer is worth to this destination.")]
    reasons: Annotated[list[Reason], _said("Why; all that apply.")] | UnsetType = UNSET
    profile: Annotated[str, _said("Provider profile that was applied.")] | UnsetType = UNSET
    destination_basis: (
        Annotated[DestinationBasis, _said("What named the destination.")] | UnsetType
    ) = UNSET
    relay: Annotated[str, _said("Declared relay that it was sent to.")] | UnsetType = UNSET
    outcome: Annotated[Outcome, _said("How the handshake ended: its first decisive event.")]
    ended_by: Annotated[Side, _said("Who ended it.")] | UnsetType = UNSET
    refused_by: Annotated[Side, _said("Who refused it.")] | UnsetType = UNSET
    alert: Alert | UnsetType = UNSET
    encrypted_alert: EncryptedAlert | UnsetType = UNSET
    session: Session | UnsetType = UNSET
    frame: Annotated[int, Meta(ge=1, description="Number of the hello's frame, from 1.")]
    tunnel: Annotated[list[Tunnel], _said("Tunnels, outermost first.")] | UnsetType = UNSET
    flow: Flow


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """One ClientHello and what became of it."""

    timestamp: Annotated[
        str,
        Meta(
            pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$",
            description="Of the frame that completed the hello, UTC.",
        ),
    ] = field(name="@timestamp")
    source: Source
    destination: Destination
    network: Network
    log: Log | UnsetType = UNSET
    tls: Tls | UnsetType = UNSET
    hellowatch: HelloWatch


class Offer(Struct, frozen=True, gc=False, kw_only=True):
    """The words of an event that are the same for all hellos that offer the same."""

    max_offered: str | UnsetType
    record_version: str | UnsetType
    legacy_version: str
    supported_versions: list[str] | UnsetType
    ja3: str | UnsetType
    ja4: str | UnsetType
    alpn: list[str] | UnsetType
    fallback_scsv: bool
    ciphers: list[str] | UnsetType


# The key is wire text, so it is octets, whose hash is keyed, and the size is bound.
_offers: dict[bytes, Offer] = {}


def offer(hello: ClientHello) -> Offer:
    """Return the words for what a hello offers, remembered."""
    wire = fingerprint.offered(hello)
    found = _offers.get(wire)
    if found is None:
        found = _offer(hello)
        if len(wire) <= LONGEST_OFFER:
            if len(_offers) >= MOST_OFFERS:
                _offers.clear()
            _offers[wire] = found
    return found


def _offer(hello: ClientHello) -> Offer:
    known = names.SUITES.get  # GREASE has no name, so only what has none is asked
    return Offer(
        max_offered=UNSET if (top := hello.max_offered) is None else names.version(top),
        record_version=_code(hello.record_version),
        legacy_version=names.code_point(hello.legacy_version),
        supported_versions=[names.code_point(v) for v in hello.versions or ()] or UNSET,
        ja3=fingerprint.ja3(hello) or UNSET,
        ja4=fingerprint.ja4(hello) or UNSET,
        alpn=[printable(name) for name in hello.alpn or ()] or UNSET,
        fallback_scsv=hello.fallback_scsv,
        ciphers=[known(c) or _suite(c) for c in hello.suites or () if known(c) or not is_grease(c)]
        or UNSET,
    )


def event(handshake: Handshake, judgement: Judgement) -> Event:
    """Return the event of one handshake."""
    flow, hello = handshake.flow, handshake.hello
    offered = offer(hello)
    return Event(
        timestamp=timestamp(handshake.time_ns),
        source=Source(
            address(flow.source),
            flow.source_port,
            UNSET if flow.mac is None else flow.mac.hex(":"),
        ),
        destination=Destination(address(flow.destination), flow.destination_port),
        network=Network(
            judgement.service,
            community_id(flow),
            UNSET if flow.vlan is None else Vlan(str(flow.vlan)),
        ),
        log=UNSET if handshake.path is None else Log(File(one_line(handshake.path))),
        tls=_tls(handshake, offered),
        hellowatch=HelloWatch(
            id=identity(handshake),
            max_offered=offered.max_offered,
            record_version=offered.record_version,
            legacy_version=offered.legacy_version,
            supported_versions=offered.supported_versions,
            hello_format=hello.hello_format,
            hello_complete=hello.complete,
            ja4=offered.ja4,
            alpn=offered.alpn,
            fallback_scsv=offered.fallback_scsv,
            starttls=handshake.starttls or UNSET,
            verdict=judgement.verdict,
            reasons=list(judgement.reasons) or UNSET,
            profile=judgement.profile or UNSET,
            destination_basis=judgement.destination_basis or UNSET,
            relay=judgement.relay or UNSET,
            outcome=handshake.outcome,
            ended_by=handshake.ended_by or UNSET,
            refused_by=handshake.refused_by or UNSET,
            alert=_alert(handshake),
            encrypted_alert=_encrypted_alert(handshake.encrypted_alert),
            session=_session(handshake.session),
            frame=handshake.frame,
            tunnel=[_tunnel(tunnel) for tunnel in flow.tunnels] or UNSET,
            flow=Flow(flow.client_half, flow.server_half, flow.syn_seen),
        ),
    )


_encode = msgspec.json.Encoder().encode


def encode(handshake: Handshake, judgement: Judgement) -> bytes:
    """Return the event of one handshake as JSON, without a line end."""
    return _encode(event(handshake, judgement))


def schema() -> bytes:
    """Return the JSON Schema (draft 2020-12) of the event, as ``event.schema.json`` holds it."""
    made: dict[str, Any] = msgspec.json.schema(Event)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "HelloWatch handshake event",
    }
    return msgspec.json.format(msgspec.json.encode({**head, **made}), indent=2) + b"\n"


def timestamp(time_ns: int) -> str:
    """Return a time as text: UTC, six digits, cut and not rounded."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    year, month, day, hour, minute, second = gmtime(seconds)[:6]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def community_id(flow: words.Flow) -> str:
    """Return the Community ID, version 1 with seed 0, of a TCP flow."""
    one = (flow.source, flow.source_port.to_bytes(2, "big"))
    two = (flow.destination, flow.destination_port.to_bytes(2, "big"))
    (low, low_port), (high, high_port) = sorted((one, two))
    told = b"\0\0" + low + high + b"\x06\0" + low_port + high_port
    digest = hashlib.sha1(told, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode("ascii")


_ESTABLISHED: dict[Outcome, bool | UnsetType] = {
    Outcome.ESTABLISHED: True,
    Outcome.ALERT: False,
    Outcome.RESET: False,
    Outcome.CLOSED: False,
    Outcome.REFUSED_STARTTLS: False,
    Outcome.UNANSWERED: UNSET,
    Outcome.UNKNOWN: UNSET,
}

_LEVELS = {1: "warning", 2: "fatal"}


def _tls(handshake: Handshake, offered: Offer) -> Tls | UnsetType:
    hello, answer = handshake.hello, handshake.server_hello
    client = Client(
        printable(hello.server_name) if hello.server_name else UNSET,
        offered.ja3,
        offered.ciphers,
    )
    said = client.server_name or client.ja3 or client.supported_ciphers
    version: str | UnsetType = UNSET
    protocol: str | UnsetType = UNSET
    cipher: str | UnsetType = UNSET
    chosen: str | UnsetType = UNSET
    # A HelloRetryRequest agrees on nothing yet.
    if answer is not None and not answer.retry:
        agreed = answer.negotiated
        version, protocol = names.ECS_VERSIONS.get(agreed) or (names.code_point(agreed), "tls")
        if answer.suite is not None:
            cipher = _suite(answer.suite)
        if answer.alpn:
            chosen = printable(answer.alpn)
    established = _ESTABLISHED[handshake.outcome]
    if said is UNSET and version is UNSET and established is UNSET:
        return UNSET
    return Tls(UNSET if said is UNSET else client, version, protocol, cipher, established, chosen)


def _suite(code: int) -> str:
    # SSL 2.0's own suites have three octets, and no names from IANA.
    return names.suite(code) if code <= 0xFFFF else f"0x{code:06x}"


def _code(number: int | None) -> str | UnsetType:
    return UNSET if number is None else names.code_point(number)


def _alert(handshake: Handshake) -> Alert | UnsetType:
    alert = handshake.alert
    if alert is None:
        return UNSET
    return Alert(
        _LEVELS.get(alert.level) or str(alert.level),
        names.alert(alert.description),
        alert.description,
        handshake.alert_sender or UNSET,
    )


def _encrypted_alert(alert: words.EncryptedAlert | None) -> EncryptedAlert | UnsetType:
    return UNSET if alert is None else EncryptedAlert(alert.sender, alert.sure)


def _session(session: words.Session | None) -> Session | UnsetType:
    if session is None:
        return UNSET
    return Session(
        session.client_bytes,
        session.server_bytes,
        round(session.seconds, 6),
        session.closed_by,
        session.thrown_out or UNSET,
    )


def _tunnel(tunnel: words.Tunnel) -> Tunnel:
    return Tunnel(
        tunnel.type,
        UNSET if tunnel.id is None else tunnel.id,
        UNSET if tunnel.outer_source is None else address(tunnel.outer_source),
    )
