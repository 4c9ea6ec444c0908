"""Multicast DNS (RFC 6762) and the services in it (RFC 6763): hosts, and what they offer.

    HOST.local                     A, AAAA   address
    _SERVICE._tcp.local            PTR       INSTANCE._SERVICE._tcp.local
    INSTANCE._SERVICE._tcp.local   SRV       priority 2, weight 2, port 2, HOST.local
    INSTANCE._SERVICE._tcp.local   TXT       KEY=VALUE, ...

The messages are those of DNS. Of the keys a printer's model is read (``ty``, Bonjour Printing
Specification section 9.2), and that of ``_device-info``. What an instance is called is not
told: people name those after themselves.
"""

from dataclasses import dataclass

from parsers.answer import NO_MATCH
from parsers.discovery import dns
from parsers.discovery.dns import AAAA, RESPONSE, SRV, TXT, A, Labels, Record

PORT = 5353
LOCAL = b"local"
KINDS = frozenset((A, AAAA, SRV, TXT))
MOST_HOSTS = 8
MOST_SERVICES = 8

PRINTING = frozenset((b"_ipp", b"_ipps", b"_printer", b"_pdl-datastream", b"_fax-ipp"))
SCANNING = frozenset((b"_scanner", b"_uscan", b"_uscans"))
SERVING = frozenset((b"_afpovertcp", b"_nfs", b"_smb", b"_adisk", b"_http", b"_ssh"))
SERVICES = PRINTING | SCANNING | SERVING
"""Services that tell what kind of device it is."""
DEVICE_INFO = b"_device-info"
MODEL_KEYS = {DEVICE_INFO: b"model"} | dict.fromkeys(PRINTING | SCANNING, b"ty")


@dataclass(frozen=True, slots=True)
class Host:
    """A name and one address of it; ``seconds`` 0: it says goodbye."""

    name: bytes
    address: bytes
    seconds: int


@dataclass(frozen=True, slots=True)
class Service:
    """What one host offers; ``host`` None: the message does not name it."""

    service: bytes
    """As in ``_ipp._tcp``."""
    host: bytes | None
    model: bytes | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """One response, or as much of it as there was."""

    hosts: tuple[Host, ...]
    services: tuple[Service, ...]


def read(wire: memoryview, start: int, end: int) -> tuple[int, Announcement | None]:
    """Read the message from ``start`` to ``end``; a query is NO_MATCH."""
    if end - start >= 3 and not wire[start + 2] & RESPONSE >> 8:
        return NO_MATCH, None
    answer, message = dns.read(wire, start, end, KINDS)
    if message is None:
        return answer, None
    hosts = [
        Host(host, record.data, record.seconds)
        for record in message.records
        if record.kind in (A, AAAA) and (host := _host(record.name)) is not None
    ]
    return answer, Announcement(tuple(hosts[:MOST_HOSTS]), tuple(_services(message.records)))


def _host(name: Labels) -> bytes | None:
    """Return what a host is called, without the domain that all of them have."""
    return name[0] if len(name) == 2 and name[1].lower() == LOCAL else None


def _services(records: tuple[Record, ...]) -> list[Service]:
    targets: dict[Labels, Labels] = {}
    models: dict[Labels, bytes | None] = {}
    for record in records:
        known = targets if record.kind == SRV else models
        service = None if record.kind in (A, AAAA) else _service(record.name)
        if service is None or record.name in known or len(known) >= MOST_SERVICES:
            continue
        if record.kind == SRV:
            targets[record.name] = record.target
        else:
            models[record.name] = _model(service, dns.strings(record.data))
    found = []
    for name in {**targets, **models}:
        target, model = targets.get(name), models.get(name)
        if target is not None or model is not None:
            host = None if target is None else _host(target)
            found.append(Service(_service(name) or b"", host, model))
    return found[:MOST_SERVICES]


def _service(name: Labels) -> bytes | None:
    """Return the service of an instance, if it is one of those that are told."""
    if len(name) != 4 or name[3].lower() != LOCAL:
        return None
    service, protocol = name[1].lower(), name[2].lower()
    known = service in SERVICES or service == DEVICE_INFO
    return service + b"." + protocol if known and protocol in (b"_tcp", b"_udp") else None


def _model(service: bytes, strings: tuple[bytes, ...]) -> bytes | None:
    wanted = MODEL_KEYS.get(service.partition(b".")[0])
    for string in strings:
        key, _, value = string.partition(b"=")
        if key.lower() == wanted and value:
            return value
    return None
