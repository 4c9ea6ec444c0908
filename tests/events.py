"""Events that say all they can, and names that try to break out of what they are written in."""

import io
from dataclasses import replace as change
from typing import Any

from msgspec.structs import replace

from parsers.tls.facts import Alert, ClientHello, ServerHello
from sniffer.event import (
    DestinationBasis,
    EncryptedAlert,
    Flow,
    Handshake,
    Judgement,
    Outcome,
    Reason,
    Session,
    Side,
    Sure,
    Tunnel,
    Verdict,
)
from sniffer.export import ecs

HELLO = ClientHello(
    "tls",
    0x0301,
    0x0303,
    bytes(range(32)),
    suites=(0x002F, 0x000A),
    supported_versions=(0x0301, 0x0302),
    server_name=b"outlook.office365.com",
    alpn=(b"imap", b"a b"),
)
FLOW = Flow(
    bytes((10, 0, 0, 7)),
    50123,
    bytes((52, 96, 1, 1)),
    993,
    mac=bytes.fromhex("3c2af4000050"),
    vlan=12,
    tunnels=(Tunnel("vxlan", 77, bytes((192, 0, 2, 1))), Tunnel("gre")),
)
FULL = Handshake(
    1_795_435_200_123_456_789,
    17,
    FLOW,
    HELLO,
    ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=b"imap"),
    Outcome.ALERT,
    ended_by=Side.SERVER,
    refused_by=Side.SERVER,
    alert=Alert(2, 70),
    alert_sender=Side.SERVER,
    starttls="imap",
    session=Session(310, 212, 0.4, Side.SERVER, Sure.POSSIBLE),
    encrypted_alert=EncryptedAlert(Side.CLIENT, Sure.CERTAIN),
    path="office, main.pcapng",
)
JUDGEMENT = Judgement(
    "imaps",
    Verdict.LEGACY,
    (Reason.VERSION, Reason.SUITES),
    "exchange-online",
    DestinationBasis.SNI,
    "cellar",
)
EVENT = ecs.event(FULL, JUDGEMENT)
BARE = Handshake(0, 1, Flow(bytes(4), 1, bytes(4), 2), ClientHello("sslv2", None, 2, b""))
UNKNOWN = Judgement("tls", Verdict.UNKNOWN)

HOSTILE = (
    "nul\x00nul",
    "\x1b]0;title\x07\x1b[31mred",
    "</script><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    'quote" ,\r\nnewline',
    "right\u202eleft\u2066",
    "\udcff\udcc3(",
    "[red]markup[/red] [link=http://x]y[/link] :warning:",
    "A" * 65_536,
)


def spoken(name: str) -> Handshake:
    """Return a handshake in which the wire and the user said ``name`` wherever they could."""
    octets = name.encode("utf-8", "surrogatepass")
    hello = change(HELLO, server_name=octets, alpn=(octets, octets))
    answer = ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=octets)
    return replace(FULL, hello=hello, server_hello=answer, path=name)


def written(writer: Any, *handshakes: Handshake) -> bytes:
    """Return what a writer makes of the events of handshakes."""
    out = io.BytesIO()
    format_ = writer(out)
    for one in handshakes:
        format_.write(one, event(one))
    return out.getvalue()


def event(one: Handshake) -> ecs.Event:
    """Return a handshake's event."""
    return ecs.event(one, UNKNOWN if one is BARE else JUDGEMENT)
