"""Handshakes and judgements for tests of what counts them, made without octets."""

from typing import Any

from parsers.tls.facts import TLS_1_0, TLS_1_2, TLS_1_3, ClientHello
from sniffer.event import (
    Dialogue,
    Flow,
    Handshake,
    Judgement,
    Octets,
    Outcome,
    Reason,
    Session,
    Side,
    Verdict,
)

START_NS = 1_795_435_200 * 1_000_000_000
"""2026-11-23 12:00:00 UTC."""
SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS

OUTLOOK = b"outlook.office365.com"
PRINTER = bytes([192, 0, 2, 7])
SERVER = bytes([52, 96, 1, 1])
SUITES = (0xC014, 0x0035, 0xC013, 0x002F)


def hello(
    version: int | None = TLS_1_0,
    suites: tuple[int, ...] = SUITES,
    name: bytes | None = OUTLOOK,
    record: int = 0x0301,
    extensions: tuple[int, ...] = (0, 10, 11),
    alpn: tuple[bytes, ...] | None = None,
) -> ClientHello:
    """Return a hello whose max offered is ``version``; None: cut too early to tell."""
    return ClientHello(
        hello_format="tls",
        record_version=record,
        legacy_version=TLS_1_2 if version is None else min(version, TLS_1_2),
        random=bytes(32),
        suites=None if version is None else suites,
        extensions=None if version is None else extensions,
        supported_versions=(TLS_1_3, TLS_1_2) if version == TLS_1_3 else None,
        server_name=name,
        alpn=alpn,
        complete=version is not None,
    )


def handshake(
    time_ns: int = START_NS,
    offer: ClientHello | None = None,
    outcome: Outcome = Outcome.ESTABLISHED,
    refused_by: Side | None = None,
    source: bytes = PRINTER,
    destination: bytes = SERVER,
    port: int = 993,
    mac: bytes | None = None,
    frame: int = 1,
    path: str | None = "a.pcap",
    session: Session | None = None,
    octets: Octets | None = None,
) -> Handshake:
    """Return a handshake; TLS 1.0 to Exchange Online unless told."""
    return Handshake(
        time_ns=time_ns,
        frame=frame,
        flow=Flow(source, 50_000, destination, port, mac=mac),
        hello=offer or hello(),
        outcome=outcome,
        refused_by=refused_by,
        path=path,
        session=session,
        octets=octets,
    )


def judgement(
    verdict: Verdict = Verdict.LEGACY,
    service: str = "imaps",
    profile: str | None = "exchange-online",
) -> Judgement:
    """Return a judgement; legacy at Exchange Online unless told."""
    reasons = (Reason.VERSION,) if verdict is Verdict.LEGACY else ()
    return Judgement(service, verdict, reasons, profile)


def dialogue(
    time_ns: int = START_NS,
    source: bytes = PRINTER,
    destination: bytes = SERVER,
    port: int = 587,
    protocol: str = "smtp",
    **said: Any,
) -> Dialogue:
    """Return a dialogue in clear with Exchange Online."""
    flow = Flow(source, 50_000, destination, port)
    return Dialogue(time_ns=time_ns, frame=1, flow=flow, protocol=protocol, **said)
