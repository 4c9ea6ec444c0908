#!/usr/bin/env python3
"""Make pcaps/office.pcapng: two working days of an office whose devices read and send mail.

    make_pcaps.py [--out pcaps]

The conversations are scripted below: who talks to whom, when, and how it ends. The octets
inside are real: each handshake is played between two TLS libraries in memory (OpenSSL
through Python's ssl; tlslite-ng for SSL 3.0 and for hellos OpenSSL would not write), so
refusals are those of a real server. Only Java 6's hello in SSL 2.0's format is built by
hand, and answered by OpenSSL. Keys and randoms are new each time, so the file is made once
and committed; addresses, ports, times and outcomes are the same each time.

What a reader must find in it is not written here: tools/expect_with_tshark.py does that.
"""

import argparse
import contextlib
import errno
import random
import ssl
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import trustme
from tlslite.api import (  # type: ignore[import-untyped]  # it has no types
    HandshakeSettings,
    TLSConnection,
    X509CertChain,
    parsePEMKey,
)
from tlslite.errors import TLSError  # type: ignore[import-untyped]  # it has no types

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import craft  # noqa: E402 - lies in tests/
from craft import Conversation, Frame, Side  # noqa: E402 - lies in tests/

GATEWAY_MAC = "00:09:0f:09:00:01"
NAME_SERVER = "10.20.1.2"
NAME_SERVER_MAC = "00:15:5d:01:02:02"
SECOND_NS = 1_000_000_000


# ------------------------------------------------------------------------------- who there is


@dataclass(frozen=True)
class Device:
    """One client: its address and hardware address, the VLAN its frames are tagged with."""

    address: str
    mac: str
    vlan: int | None = None
    ttl: int = 64


@dataclass(frozen=True)
class Server:
    """One destination: which stack answers there, and from how far away."""

    address: str
    name: str
    stack: str
    mac: str = GATEWAY_MAC
    ttl: int = 115
    round_trip_ns: int = 18_000_000


RICOH = Device("10.20.20.11", "58:38:79:4b:10:11", vlan=20, ttl=255)
HP = Device("10.20.20.12", "9c:b6:54:7e:20:12", vlan=20)
KONICA = Device("10.20.20.13", "00:20:6b:31:30:13", vlan=20, ttl=255)
CANON = Device("10.20.20.14", "18:0c:ac:52:40:14", vlan=20)
XEROX = Device("10.20.20.15", "9c:93:4e:18:50:15", vlan=20)
BROTHER = Device("10.20.20.16", "3c:2a:f4:6d:60:16")
SHARP = Device("10.20.20.17", "00:22:f3:93:70:17")
EPSON = Device("10.20.20.18", "ac:18:26:0a:80:18")
LEXMARK = Device("2001:db8:20:20::19", "78:8c:77:c4:90:19", ttl=64)
TOSHIBA = Device("10.20.20.20", "00:80:91:5f:a0:20")
ERP = Device("10.20.1.30", "00:0c:29:aa:30:01")
MONITOR = Device("10.20.1.40", "00:0c:29:bb:40:02")
FAX_SERVER = Device("10.20.1.50", "00:15:5d:01:50:03", ttl=128)
UPS = Device("10.20.1.60", "00:c0:b7:d3:60:04")
SYNOLOGY = Device("10.20.30.21", "00:11:32:77:21:0a")
QNAP = Device("10.20.30.22", "24:5e:be:15:22:0b")
LAPTOP = Device("10.20.40.101", "54:e1:ad:01:01:65", ttl=128)
MACBOOK = Device("10.20.40.102", "a4:83:e7:02:02:66")
OLD_LAPTOP = Device("10.20.40.103", "3c:a9:f4:03:03:67", ttl=128)
TABLET = Device("2001:db8:20:40::104", "a4:83:e7:04:04:68")
BRANCH = Device("10.20.50.1", "00:a0:57:1b:50:01", ttl=63)
CAMERA = Device("10.20.60.31", "ac:cc:8e:21:60:31")
PHONES = Device("10.20.60.32", "80:5e:c0:22:60:32")
DOOR = Device("10.20.60.33", "00:40:84:23:60:33")

EXCHANGE = Server("52.96.165.18", "outlook.office365.com", "exchange-online")
EXCHANGE_2 = Server("40.96.33.2", "outlook.office365.com", "exchange-online")
EXCHANGE_3 = Server("52.97.201.226", "outlook.office365.com", "exchange-online")
EXCHANGE_4 = Server("40.104.33.10", "outlook.office365.com", "exchange-online")
EXCHANGE_6 = Server("2603:1026:c03:480e::2", "outlook.office365.com", "exchange-online")
LEGACY_POP = Server("52.98.152.34", "pop-legacy.office365.com", "exchange-online-legacy")
LEGACY_IMAP = Server("52.98.178.242", "imap-legacy.office365.com", "exchange-online-legacy")
GMAIL_IMAP = Server("142.250.102.108", "imap.gmail.com", "gmail", ttl=108)
GMAIL_SMTP = Server("142.250.110.109", "smtp.gmail.com", "gmail", ttl=108)
HOSTER = Server("203.0.113.25", "mail.hoster.example", "hoster", ttl=52)
WEB = Server("203.0.113.80", "intranet.hoster.example", "hoster", ttl=52)
MAIL = Server("10.20.1.5", "mail.example.org", "dovecot", "00:0c:29:05:05:05", 64, 400_000)
OLD_MAIL = Server("10.20.1.6", "mail2.example.org", "old", "00:25:90:06:06:06", 128, 400_000)


Told = dict[str, str | bool | list[str] | None]
"""Keys of an event's ``hellowatch`` part; None: the event must not have it."""


def told(offered: str, judged: str, came_of_it: str, destination: str = "") -> Told:
    """Say beforehand what the contract makes of a visit.

    The highest version offered; verdict and reasons; outcome and who ended it; the
    destination's profile and what named it. A refusal by alert is the sender's.
    """
    verdict, *reasons = judged.split()
    outcome, *ended_by = came_of_it.split()
    profile, *basis = destination.split()
    known: Told = {"max_offered": offered, "verdict": verdict, "outcome": outcome}
    if verdict != "fallback":
        known["reasons"] = reasons or None
    known["ended_by"] = ended_by[0] if ended_by else None
    if outcome == "alert":
        known["refused_by"] = ended_by[0]
    known["profile"] = None if profile == "none" else profile
    known["destination_basis"] = basis[0] if basis else None
    return known


@dataclass(frozen=True)
class Visit:
    """One connection of a device to a server's port, and what must be seen of it.

    ``ends`` is how the connection goes on after the hello:

    - ``play``: as the two stacks have it, to the end;
    - ``reset``, ``closed``: the server breaks off or closes at the hello;
    - ``unanswered``: the server acknowledges the hello and says no more;
    - ``half``: as ``play``, but the mirror shows the client's frames only.
    """

    device: Device
    at: str
    """Day of November 2026 and time of day, UTC."""
    server: Server
    port: int
    stack: str
    ends: str = "play"
    named: bool = True
    """Whether the hello says the server's name."""
    split: tuple[int, ...] | None = None
    """Sizes of the first segments the hello is written in."""
    doubled: bool = False
    """Whether the mirror shows every frame twice."""
    told: Told = field(default_factory=dict)
    """What is known of the event beforehand, see ``told``."""

    @property
    def client_port(self) -> int:
        """The client's port: the same each time the file is made."""
        return 49152 + random.Random(f"{self.device.address} {self.at}").randrange(16000)  # noqa: S311 - a port

    @property
    def time_ns(self) -> int:
        """When the connection begins, with microseconds of its own."""
        moment = datetime.strptime(f"2026-11-{self.at}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        micros = random.Random(f"{self.at} {self.device.mac}").randrange(1_000_000)  # noqa: S311 - a time
        return int(moment.timestamp()) * SECOND_NS + micros * 1000


def office() -> list[Visit]:
    """List the visits that hold a hello on a mail port, in no order."""
    return [*printers(), *servers(), *people(), *things()]


NAMED = "exchange-online sni"
UNNAMED = "exchange-online address"
OPTED_IN = "exchange-online-legacy sni"
GOOGLE = "gmail sni"
NOBODY = "none"
LEGACY = "legacy version"
LEGACY_RSA = "legacy version suites"
BY_ALERT = "alert server"
ESTABLISHED = "established"


def printers() -> Iterator[Visit]:
    """List the multifunction devices' visits: most of what breaks."""
    known = told("TLS 1.0", LEGACY, BY_ALERT, NAMED)
    for at in ("23 07:00:12", "23 10:00:12", "23 13:00:12", "24 07:00:12", "24 10:00:12"):
        yield Visit(RICOH, at, EXCHANGE, 995, "openssl 1.0", told=known)
    known = told("TLS 1.0", LEGACY_RSA, "reset server", UNNAMED)
    for at in ("23 08:14:40", "23 14:14:40", "24 08:14:40"):
        yield Visit(HP, at, EXCHANGE_2, 993, "rsa 1.0", "reset", named=False, told=known)
    known = told("SSL 3.0", LEGACY, ESTABLISHED, NOBODY)
    for at in ("23 09:31:05", "24 09:02:47"):
        yield Visit(KONICA, at, OLD_MAIL, 465, "ssl 3.0", named=False, told=known)
    known = told("TLS 1.0", LEGACY, ESTABLISHED, GOOGLE)
    for at in ("23 08:45:00", "23 11:20:31", "23 15:02:09", "24 08:51:44"):
        yield Visit(CANON, at, GMAIL_SMTP, 465, "openssl 1.0", told=known)
    known = told("TLS 1.1", LEGACY, ESTABLISHED, OPTED_IN)
    for at in ("23 07:30:00", "23 12:30:00", "24 07:30:00"):
        yield Visit(XEROX, at, LEGACY_POP, 995, "openssl 1.1", told=known)
    # The record header goes out in a segment of its own, as small stacks write it.
    known = told("TLS 1.0", LEGACY_RSA, "closed server", UNNAMED)
    for at in ("23 10:05:17", "24 10:05:17"):
        yield Visit(BROTHER, at, EXCHANGE_4, 995, "rsa 1.0", "closed", False, (5,), told=known)
    # The ladder: the server answers 1.2 with a reset, the device tries again lower.
    higher = told("TLS 1.2", "ok", "reset server", NAMED)
    lower = told("TLS 1.0", "fallback", BY_ALERT, NAMED)
    for day in ("23", "24"):
        yield Visit(SHARP, f"{day} 11:40:03", EXCHANGE_3, 993, "openssl 1.2", "reset", told=higher)
        yield Visit(SHARP, f"{day} 11:40:09", EXCHANGE_3, 993, "openssl 1.0", told=lower)
    known = told("TLS 1.0", LEGACY_RSA, BY_ALERT, UNNAMED)
    yield Visit(
        EPSON, "23 13:22:50", EXCHANGE_4, 995, "rsa 1.0", named=False, doubled=True, told=known
    )
    known = told("TLS 1.0", LEGACY, BY_ALERT, NAMED)
    for at in ("23 09:10:00", "24 09:10:00"):
        yield Visit(LEXMARK, at, EXCHANGE_6, 993, "openssl 1.0", told=known)
    known = told("TLS 1.2", "at-risk suites", BY_ALERT, NAMED)
    for at in ("23 08:20:00", "24 08:20:00"):
        yield Visit(TOSHIBA, at, EXCHANGE, 993, "rsa-gcm 1.2", told=known)


def servers() -> Iterator[Visit]:
    """List the visits of machines in the server room."""
    known = told("TLS 1.0", LEGACY_RSA, BY_ALERT, UNNAMED)
    for at in ("23 06:55:00", "24 06:55:00"):
        yield Visit(ERP, at, EXCHANGE_2, 993, "java 6", named=False, told=known)
    known = told("TLS 1.3", "ok", ESTABLISHED, NAMED)
    for hour in ("07", "09", "11", "13", "15"):
        yield Visit(MONITOR, f"23 {hour}:05:00", EXCHANGE, 993, "openssl 1.3", told=known)
    known = told("TLS 1.0", LEGACY, ESTABLISHED, OPTED_IN)
    for at in ("23 07:15:00", "23 11:15:00", "23 15:15:00", "24 07:15:00", "24 11:15:00"):
        yield Visit(FAX_SERVER, at, LEGACY_IMAP, 993, "openssl 1.0", told=known)
    known = told("TLS 1.0", LEGACY, "alert client", NOBODY)
    yield Visit(UPS, "23 12:00:30", MAIL, 465, "distrustful 1.0", told=known)
    known = told("TLS 1.2", "ok", ESTABLISHED, NAMED)
    for at in ("23 06:30:00", "24 06:30:00"):
        yield Visit(SYNOLOGY, at, EXCHANGE, 993, "openssl 1.2", told=known)
    known = told("TLS 1.2", "incompatible suites", BY_ALERT, NAMED)
    for at in ("23 06:40:00", "24 06:40:00"):
        yield Visit(QNAP, at, EXCHANGE, 993, "rsa-cbc 1.2", told=known)


def people() -> Iterator[Visit]:
    """List the visits of laptops and a tablet."""
    for day in ("23", "24"):
        known = told("TLS 1.3", "ok", ESTABLISHED, NAMED)
        yield Visit(LAPTOP, f"{day} 07:02:11", EXCHANGE_3, 993, "thunderbird", told=known)
        yield Visit(TABLET, f"{day} 07:10:00", EXCHANGE_6, 993, "openssl 1.3", told=known)
        # Dovecot wants P-384 and asks for another key share: a HelloRetryRequest.
        known = told("TLS 1.3", "ok", ESTABLISHED, NOBODY)
        yield Visit(LAPTOP, f"{day} 07:02:55", MAIL, 993, "thunderbird", told=known)
    known = told("TLS 1.3", "ok", ESTABLISHED, GOOGLE)
    for at in ("23 07:40:00", "23 13:15:20", "24 07:44:02"):
        yield Visit(MACBOOK, at, GMAIL_IMAP, 993, "openssl 1.3", split=(200,), told=known)
    known = told("TLS 1.1", "fallback", BY_ALERT, GOOGLE)
    yield Visit(OLD_LAPTOP, "23 08:05:33", GMAIL_IMAP, 993, "scsv 1.1", told=known)


def things() -> Iterator[Visit]:
    """List the visits of a branch office behind NAT and of devices nobody thinks of."""
    # One address, two stacks, far enough apart not to be one client's retries.
    for day in ("23", "24"):
        known = told("TLS 1.3", "ok", ESTABLISHED, NAMED)
        yield Visit(BRANCH, f"{day} 08:30:00", EXCHANGE, 993, "openssl 1.3", told=known)
        known = told("TLS 1.0", LEGACY_RSA, BY_ALERT, NAMED)
        yield Visit(BRANCH, f"{day} 08:42:00", EXCHANGE, 993, "rsa 1.0", told=known)
    known = told("TLS 1.2", "ok", "unanswered", NOBODY)
    yield Visit(CAMERA, "23 09:50:00", HOSTER, 465, "openssl 1.2", "unanswered", told=known)
    known = told("TLS 1.2", "ok", ESTABLISHED, NOBODY)
    for day in ("23", "24"):
        yield Visit(PHONES, f"{day} 10:30:00", HOSTER, 465, "openssl 1.2", told=known)
    known = told("TLS 1.0", LEGACY, "unknown", GOOGLE)
    yield Visit(DOOR, "24 09:33:00", GMAIL_SMTP, 465, "openssl 1.0", "half", told=known)


# ------------------------------------------------------------------------- two stacks in memory


class Party(Protocol):
    """One end of a TLS connection that works on octets handed to it."""

    done: bool
    failed: bool

    def step(self, octets: bytes) -> bytes:
        """Take what the other end sent; return what this one sends now."""

    def say(self, text: bytes) -> bytes:
        """Encrypt application data."""

    def close(self) -> bytes:
        """Say goodbye: a close_notify."""


class OpenSSL:
    """OpenSSL through Python's memory BIOs."""

    def __init__(self, context: ssl.SSLContext, server: bool, name: str | None = None) -> None:
        """Prepare one end; nothing is sent before the first step."""
        self.done = self.failed = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server, name)

    def step(self, octets: bytes) -> bytes:
        """Take what the other end sent; return what this one sends now."""
        self._incoming.write(octets)
        try:
            if not self.done:
                self._tls.do_handshake()
                self.done = True
            while self._tls.read(16384):
                pass
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.failed = not self.done
        return self._outgoing.read()

    def say(self, text: bytes) -> bytes:
        """Encrypt application data."""
        self._tls.write(text)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Say goodbye: a close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()


class Wire:
    """What tlslite-ng takes for a socket: it never blocks."""

    def __init__(self) -> None:
        """Begin with nothing received and nothing sent."""
        self.received, self.sent = bytearray(), bytearray()

    def recv(self, size: int) -> bytes:
        """Return what is there, or say that nothing is."""
        if not self.received:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing there")
        octets = bytes(self.received[:size])
        del self.received[:size]
        return octets

    def send(self, octets: bytes) -> int:
        """Take all of it."""
        self.sent += octets
        return len(octets)

    def sendall(self, octets: bytes) -> None:
        """Take all of it."""
        self.sent += octets

    def close(self) -> None:
        """Do nothing: the conversation closes TCP itself."""


class TLSLite:
    """tlslite-ng, which still speaks SSL 3.0 and writes hellos as plain as a printer's."""

    def __init__(
        self,
        settings: HandshakeSettings,
        key: tuple[Any, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Prepare a server that has ``key``, or a client without one."""
        self.done = self.failed = False
        self._wire = Wire()
        self._tls = TLSConnection(self._wire)
        if key is None:
            self._steps = self._tls.handshakeClientCert(
                settings=settings, serverName=name, async_=True
            )
        else:
            self._steps = self._tls.handshakeServerAsync(
                certChain=key[0], privateKey=key[1], settings=settings
            )

    def step(self, octets: bytes) -> bytes:
        """Take what the other end sent; return what this one sends now."""
        self._wire.received += octets
        try:
            # 0: it wants to read. It is asked again only while there is something to read.
            while not self.done and (next(self._steps) != 0 or self._wire.received):
                pass
        except StopIteration:
            self.done = True
        except (TLSError, OSError):
            self.failed = True
        return self._flush()

    def say(self, text: bytes) -> bytes:
        """Encrypt application data."""
        self._tls.write(text)
        return self._flush()

    def close(self) -> bytes:
        """Say goodbye: a close_notify."""
        next(self._tls.closeAsync(), None)
        return self._flush()

    def _flush(self) -> bytes:
        octets = bytes(self._wire.sent)
        self._wire.sent.clear()
        return octets


class Fixed:
    """A client that knows one hello by heart."""

    def __init__(self, hello: bytes) -> None:
        """Keep the hello for the first step."""
        self.done = self.failed = False
        self._hello = hello

    def step(self, _octets: bytes) -> bytes:
        """Say the hello once, then nothing."""
        hello, self._hello = self._hello, b""
        return hello

    def say(self, _text: bytes) -> bytes:
        """Say nothing."""
        return b""

    def close(self) -> bytes:
        """Say nothing."""
        return b""


Flight = tuple[Side, bytes]


def played(client: Party, server: Party) -> list[Flight]:
    """Play one handshake to its end, well or badly; return what each side sent, in turn."""
    flights: list[Flight] = []
    octets, turn = b"", 0
    parties: tuple[tuple[Side, Party], ...] = (("client", client), ("server", server))
    while turn < 40:
        side, party = parties[turn % 2]
        octets = party.step(octets)
        if octets:
            flights.append((side, octets))
        elif turn:
            break
        turn += 1
    return flights


JAVA_6_SPECS = (
    *(0x000004, 0x010080, 0x000005, 0x00002F, 0x000033, 0x000032, 0x00000A, 0x0700C0),
    *(0x000016, 0x000013, 0x000009, 0x060040, 0x000015, 0x000012, 0x000003, 0x020080),
    *(0x000008, 0x000014, 0x000011, 0x0000FF),
)


class Stacks:
    """The TLS stacks of the office, by name, with one certificate for each server name."""

    def __init__(self) -> None:
        """Make a certificate authority that only this office trusts."""
        self._authority = trustme.CA(organization_name="Example CA", key_type=trustme.KeyType.RSA)
        self._rsa = trustme.KeyType.RSA
        self._issued: dict[str, trustme.LeafCert] = {}

    def client(self, stack: str, name: str | None) -> Party:
        """Return a client; ``name`` goes into its hello."""
        kind, _, version = stack.partition(" ")
        if stack == "java 6":
            challenge = random.SystemRandom().randbytes(32)
            return Fixed(craft.sslv2_client_hello(craft.TLS_1_0, JAVA_6_SPECS, challenge))
        if kind in ("rsa", "ssl", "scsv"):
            return TLSLite(printer_settings(kind, version), name=name)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if kind == "distrustful":
            context.verify_mode = ssl.CERT_REQUIRED
        limit(context, version or "1.3", "1.2" if version == "1.2" else None)
        ciphers = {
            "rsa-gcm": "AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA:AES128-SHA",
            "rsa-cbc": "AES256-SHA:AES128-SHA",
        }
        old = "ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:AES256-SHA:AES128-SHA"
        chosen = ciphers.get(kind, "DEFAULT" if version in ("", "1.2", "1.3") else old)
        context.set_ciphers(chosen + ":@SECLEVEL=0")
        if version in ("1.0", "1.1") or kind.startswith("rsa-"):
            context.options |= ssl.OP_NO_TICKET
        if kind == "thunderbird":
            context.set_alpn_protocols(["imap"])
        return OpenSSL(context, False, name)

    def server(self, server: Server) -> Party:
        """Return a server as its provider has set it up."""
        chain, key = self._certificate(server.name)
        if server.stack == "old":
            return TLSLite(printer_settings("server", "3.0"), self._for_tlslite(chain, key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        least, most, ciphers = {
            "exchange-online": ("1.2", "1.2", "ECDHE+AESGCM:ECDHE+AES"),
            "exchange-online-legacy": ("1.0", "1.2", "ECDHE+AES:AES256-SHA:AES128-SHA"),
            "gmail": ("1.0", "1.3", "ECDHE:AES128-SHA:AES256-SHA"),
            "dovecot": ("1.0", "1.3", "ECDHE:AES128-SHA:AES256-SHA"),
            "hoster": ("1.2", "1.3", "ECDHE"),
        }[server.stack]
        limit(context, most, least)
        context.set_ciphers(ciphers + ":@SECLEVEL=0")
        if server.stack == "dovecot":
            context.set_ecdh_curve("secp384r1")
        if server.stack == "exchange-online":
            context.set_alpn_protocols(["imap", "pop3"])
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:
            file.write(key + chain)
            file.flush()
            context.load_cert_chain(file.name)
        return OpenSSL(context, True)

    def _certificate(self, name: str) -> tuple[bytes, bytes]:
        if name not in self._issued:
            self._issued[name] = self._authority.issue_cert(name, key_type=self._rsa)
        leaf = self._issued[name]
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        return chain, leaf.private_key_pem.bytes()

    def _for_tlslite(self, chain: bytes, key: bytes) -> tuple[Any, Any]:
        certificates = X509CertChain()
        certificates.parsePemList(chain.decode())
        return certificates, parsePEMKey(key.decode(), private=True)


def limit(context: ssl.SSLContext, most: str, least: str | None) -> None:
    """Bound a context's versions; old ones are wanted here, so their warning is not."""
    versions = {
        "1.0": ssl.TLSVersion.TLSv1,
        "1.1": ssl.TLSVersion.TLSv1_1,
        "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = versions[most]
        if least is None:
            least = "1.2" if most == "1.3" else "1.0"
        context.minimum_version = versions[least]


def printer_settings(kind: str, version: str) -> HandshakeSettings:
    """Return tlslite-ng's settings for a stack without anything modern."""
    settings = HandshakeSettings()
    settings.minVersion = (3, 0)
    settings.maxVersion = {"3.0": (3, 0), "1.0": (3, 1), "1.1": (3, 2)}[version]
    settings.keyExchangeNames = ["rsa"] if kind != "scsv" else ["ecdhe_rsa", "rsa"]
    settings.cipherNames = ["aes128", "aes256", "3des"]
    if kind in ("ssl", "server"):
        settings.cipherNames = ["3des", "rc4"]
    settings.macNames = ["sha", "md5"]
    settings.useEncryptThenMAC = settings.useExtendedMasterSecret = False
    settings.use_heartbeat_extension = False
    settings.record_size_limit = None
    settings.sendFallbackSCSV = kind == "scsv"
    return settings


# -------------------------------------------------------------------------------- on the wire

GREETINGS: dict[int, list[tuple[Side, bytes]]] = {
    993: [
        ("server", b"* OK The Microsoft Exchange IMAP4 service is ready.\r\n"),
        ("client", b"a1 CAPABILITY\r\n"),
        ("server", b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 IDLE\r\na1 OK completed\r\n"),
        ("client", b"a2 LOGOUT\r\n"),
        ("server", b"* BYE\r\na2 OK completed\r\n"),
    ],
    995: [
        ("server", b"+OK The Microsoft Exchange POP3 service is ready.\r\n"),
        ("client", b"CAPA\r\n"),
        ("server", b"+OK\r\nTOP\r\nUIDL\r\n.\r\n"),
        ("client", b"QUIT\r\n"),
        ("server", b"+OK\r\n"),
    ],
    465: [
        ("server", b"220 ESMTP ready\r\n"),
        ("client", b"EHLO [10.20.0.0]\r\n"),
        ("server", b"250-at your service\r\n250 8BITMIME\r\n"),
        ("client", b"QUIT\r\n"),
        ("server", b"221 bye\r\n"),
    ],
    443: [("client", b"GET / HTTP/1.1\r\n\r\n"), ("server", b"HTTP/1.1 200 OK\r\n\r\n")],
}
"""What is said once TLS is agreed; nobody sees it."""


def frames(visit: Visit, stacks: Stacks) -> list[Frame]:
    """Return the frames of one visit."""
    server, device = visit.server, visit.device
    rng = random.Random(f"{device.address} {visit.client_port}")  # noqa: S311 - sequence numbers
    talk = Conversation(
        device.address,
        server.address,
        client_port=visit.client_port,
        server_port=visit.port,
        client_mac=device.mac,
        server_mac=server.mac,
        vlans=() if device.vlan is None else (device.vlan,),
        time_ns=visit.time_ns,
        gap_ns=server.round_trip_ns // 2,
        client_isn=rng.randrange(1 << 32),
        server_isn=rng.randrange(1 << 32),
        client_ttl=device.ttl,
        server_ttl=server.ttl,
    )
    talk.open()
    ends = {"client": stacks.client(visit.stack, server.name if visit.named else None)}
    if visit.ends in ("play", "half"):
        ends["server"] = stacks.server(server)
        script(talk, visit, ends["client"], ends["server"])
    else:
        talk.client(ends["client"].step(b""), split=visit.split)
        if visit.ends == "reset":
            talk.rst("server")
        elif visit.ends == "closed":
            talk.ack("server").fin("server").ack("client").fin("client").ack("server")
        else:
            talk.ack("server").wait(60).rst("client")
    seen = talk.frames("client") if visit.ends == "half" else talk.frames()
    return craft.mirrored(seen) if visit.doubled else seen


def script(talk: Conversation, visit: Visit, client: Party, server: Party) -> None:
    """Play both stacks and write what they send, and the end, as TCP segments."""
    ends: dict[Side, Party] = {"client": client, "server": server}
    flights = played(client, server)
    for number, (side, octets) in enumerate(flights):
        if side == "client":
            talk.client(octets, split=visit.split if number == 0 else None)
        else:
            talk.server(octets)
    if not (client.done and server.done):
        last, _ = flights[-1]
        other: Side = "client" if last == "server" else "server"
        talk.fin(last).ack(other).fin(other).ack(last)
        return

    talk.ack("client" if flights[-1][0] == "server" else "server")
    for side, text in GREETINGS[visit.port]:
        octets = ends[side].say(text)
        if side == "client":
            talk.client(octets)
        else:
            talk.server(octets)
    talk.client(client.close()).fin("client").ack("server").fin("server").ack("client")


def surroundings(visits: list[Visit], stacks: Stacks) -> Iterator[Frame]:
    """Yield what else passes the mirror: nothing in it is a hello on a mail port."""
    asked = set()
    for visit in visits:
        device, server = visit.device, visit.server
        # Who names no server in its hello is not resolved in sight either: the address decides.
        if ":" in device.address or not visit.named or (device, server) in asked:
            continue
        asked.add((device, server))
        yield from looked_up(device, server, visit.time_ns - 40_000_000)

    start = Visit(MONITOR, "23 06:29:58", EXCHANGE, 993, "").time_ns
    for number, visit in enumerate(visits):
        if ":" not in visit.device.address:
            request = craft.arp_request(visit.device.address, visit.device.mac, "10.20.0.1")
            yield start + number * 300 * SECOND_NS, request
    for number in range(24):
        yield from ping(start + number * 1200 * SECOND_NS, number)

    for at, stack in (("23 09:00:10", "openssl 1.3"), ("23 09:00:20", "openssl 1.2")):
        yield from frames(Visit(MACBOOK, at, WEB, 443, stack), stacks)
    # A hello of TLS 1.0, but to a web server: none of a mail watcher's business.
    yield from frames(Visit(CAMERA, "23 09:01:00", WEB, 443, "openssl 1.0"), stacks)

    # Mail in clear text, from a scanner to the server beside it.
    clear = Conversation(
        RICOH.address,
        OLD_MAIL.address,
        client_port=50025,
        server_port=25,
        client_mac=RICOH.mac,
        server_mac=OLD_MAIL.mac,
        vlans=(20,),
        time_ns=Visit(RICOH, "23 12:20:00", OLD_MAIL, 25, "").time_ns,
    ).open()
    clear.server(b"220 mail2.example.org ESMTP\r\n").client(b"EHLO RNP58387947\r\n")
    clear.server(b"250 mail2.example.org\r\n").client(b"QUIT\r\n").server(b"221 bye\r\n")
    yield from clear.fin("server").ack("client").fin("client").ack("server").frames()

    # A session that was there before the capture: encrypted records, no hello, no SYN.
    old = Conversation(
        LAPTOP.address,
        EXCHANGE.address,
        client_port=50993,
        client_mac=LAPTOP.mac,
        server_mac=GATEWAY_MAC,
        time_ns=Visit(LAPTOP, "23 06:31:00", EXCHANGE, 993, "").time_ns,
    )
    for _ in range(6):
        old.client(craft.application_data(61, craft.TLS_1_2)).ack("server").wait(1700)
        old.server(craft.application_data(89, craft.TLS_1_2)).ack("client")
    yield from old.frames()


def looked_up(device: Device, server: Server, time_ns: int) -> Iterator[Frame]:
    """Yield a DNS question for the server's name and its answer (RFC 1035)."""
    rng = random.Random(f"{device.address} {server.address}")  # noqa: S311 - an identifier
    name = b"".join(craft.vector(1, label.encode()) for label in server.name.split(".")) + b"\0"
    asked = name + craft.u16s(1, 1)
    port, identifier = 40000 + rng.randrange(9000), rng.randrange(1 << 16)
    question = craft.u16s(identifier, 0x0100, 1, 0, 0, 0) + asked
    answer = craft.u16s(identifier, 0x8180, 1, 1, 0, 0) + asked
    answer += craft.u16s(0xC00C, 1, 1, 0, 300) + craft.vector(2, craft.address(server.address))
    vlans = () if device.vlan is None else (device.vlan,)
    datagram = craft.udp(device.address, NAME_SERVER, port, 53, question)
    packet = craft.ip(device.address, NAME_SERVER, datagram, craft.UDP, device.ttl)
    yield time_ns, craft.ethernet(packet, device.mac, NAME_SERVER_MAC, vlans=vlans)
    datagram = craft.udp(NAME_SERVER, device.address, 53, port, answer)
    packet = craft.ip(NAME_SERVER, device.address, datagram, craft.UDP, 128)
    yield time_ns + 700_000, craft.ethernet(packet, NAME_SERVER_MAC, device.mac, vlans=vlans)


def ping(time_ns: int, number: int) -> Iterator[Frame]:
    """Yield an echo request of the monitoring server, and its reply."""
    for reply in (False, True):
        ends = [(MONITOR.address, MONITOR.mac), (UPS.address, UPS.mac)]
        (source, source_mac), (target, target_mac) = reversed(ends) if reply else ends
        message = craft.icmp_echo(0x1E11, number, reply=reply)
        packet = craft.ip(source, target, message, craft.ICMP)
        yield time_ns + 350_000 * reply, craft.ethernet(packet, source_mac, target_mac)


def capture() -> bytes:
    """Return the office as a pcapng file."""
    stacks, visits = Stacks(), office()
    every = craft.merged(*(frames(visit, stacks) for visit in visits), surroundings(visits, stacks))
    section = craft.Section("<", [(4, b"HelloWatch tools/make_pcaps.py")])
    section.interface(snaplen=262_144, name="mirror0")
    section.packets(every)
    section.statistics(every[-1][0], received=len(every), dropped=0)
    return bytes(section)


def main() -> None:
    """Write the captures."""
    parser = argparse.ArgumentParser(description="Make pcaps/office.pcapng")
    parser.add_argument("--out", type=Path, default=ROOT / "pcaps", help="folder to write into")
    folder: Path = parser.parse_args().out
    makers: dict[str, Callable[[], bytes]] = {"office.pcapng": capture}
    for name, make in makers.items():
        wire = make()
        (folder / name).write_bytes(wire)
        print(f"{name}: {len(wire)} octets", file=sys.stderr)


if __name__ == "__main__":
    main()
