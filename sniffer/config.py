"""Every setting with its default, bounds and one sentence; one Struct per room.

A room receives its Struct; nobody reads a global. ``Settings`` holds all of them, as the
configuration file has them (``config_file`` reads it): its fields are the file's sections.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sniffer.errors import ConfigError

SERVICES = {
    993: "imaps",
    995: "pop3s",
    465: "smtps",
    143: "imap",
    110: "pop3",
    25: "smtp",
    587: "submission",
}
"""The contract's service words by destination port."""

OTHER_SERVICE = "tls"

LONGEST_INTERFACE = 15
"""Octets of an interface's name, as the kernel has it."""

IMPLICIT_TLS = frozenset({"imaps", "pop3s", "smtps"})
"""Services that never begin in clear text; any other may be upgraded."""


class Ports(Struct, frozen=True):
    """Which TCP flows are followed, and the service word of each port."""

    services: dict[int, str]
    follow_any: bool = False
    """Follow every TCP flow; ports without a word are service "tls"."""

    def service(self, port: int) -> str:
        """Return the contract's service word for a destination port."""
        return self.services.get(port, OTHER_SERVICE)


class WatchSettings(Struct, frozen=True, kw_only=True):
    """What is watched."""

    interfaces: tuple[str, ...] = ()
    """Interfaces that run captures on, where the command line names none; any: all of them."""
    ports: str = "993,995,465,143,110,25,587"
    """Ports to follow; a port may be given its service, as in 10143/imap; any: all TCP."""


class JudgeSettings(Struct, frozen=True, kw_only=True):
    """What hellos are judged by."""

    profile: str = ""
    """Name or file of the provider profile for every destination; empty: by destination."""
    profiles: tuple[str, ...] = ()
    """Files of profiles beside those that ship; one of the same name replaces it."""


class CaptureSettings(Struct, frozen=True, kw_only=True):
    """How frames come: by a ring that the kernel shares with us, one for each interface."""

    source: Literal["auto", "ring", "pcap", "scapy"] = "auto"
    """What captures: the ring (Linux), libpcap or scapy; auto: the best one of this system."""
    ring_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 34)] = 64 << 20
    """Memory of a ring, whole blocks of it; it bridges the time in which nobody reads."""
    block_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 24)] = 1 << 20
    """A block of the ring, a power of two: handed over as a whole; no frame is longer."""
    block_milliseconds: Annotated[int, Meta(ge=1, le=1000)] = 100
    """A block with a frame in it is handed over after this time, full or not."""
    idle_seconds: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """How long a frame is waited for before time goes on without one."""
    tunnels: bool = False
    """Have the kernel hand over what comes through tunnels too, all of it."""
    promiscuous: bool = True
    """Ask the interface for frames to others too: what a mirror port is about."""


class DaemonSettings(Struct, frozen=True, kw_only=True):
    """The processes of the daemon."""

    spare_sockets: Annotated[int, Meta(ge=0, le=64)] = 4
    """Sockets opened beyond need for each interface: so many workers can be replaced."""
    reload_sockets: Annotated[int, Meta(ge=0, le=64)] = 16
    """More of them, for reloads: so many may ask for other ports or capture settings."""
    waiting_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 32)] = 16 << 20
    """Memory of a worker for what it found while nobody reads it; beyond it the oldest goes."""


class TrackSettings(Struct, frozen=True, kw_only=True):
    """Budgets of the tracker, allocated at start, and how long it waits."""

    flows: Annotated[int, Meta(ge=1024, le=1 << 24)] = 131_072
    """Conversations followed at once; a power of two."""
    reassembly_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 34)] = 32 << 20
    """Memory for segments that wait for their neighbours."""
    answer_seconds: Annotated[int, Meta(ge=1, le=300)] = 15
    """How long the outcome of a handshake is waited for, in frame time."""
    open_handshakes: Annotated[int, Meta(ge=16, le=1 << 20)] = 65_536
    """Handshakes without an outcome held at once; beyond it the oldest is settled."""
    evidence_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 34)] = 16 << 20
    """Memory for the frames of handshakes under way, used only if -w asks for them."""


class IdentifySettings(Struct, frozen=True, kw_only=True):
    """Who the devices are, as far as frames beside the mail tell it."""

    passive: bool = True
    """Listen to what devices call themselves in DHCP, mDNS, NetBIOS and LLDP."""
    dns: bool = True
    """Listen to DNS answers for the host names of profiles, which name destinations."""
    manuf: str = ""
    """Makers by MAC, as Wireshark's file manuf has them, beside those that ship."""


class InventorySettings(Struct, frozen=True, kw_only=True):
    """Bounds of the inventory in memory."""

    devices: Annotated[int, Meta(ge=16, le=1 << 24)] = 50_000
    """Devices held in memory; beyond it the least telling one is folded into the totals."""
    stacks: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Distinct hello shapes kept of one device; the rest is summed."""
    names: Annotated[int, Meta(ge=1, le=4096)] = 64
    """Server names kept of one device; the rest is summed."""
    destinations: Annotated[int, Meta(ge=1, le=4096)] = 64
    """Destinations kept of one stack; the rest is summed."""


class StoreSettings(Struct, frozen=True, kw_only=True):
    """The inventory on disk: where it is, how fast it is written, how many events it keeps."""

    url: str = ""
    """sqlite:///PATH or postgresql+psycopg://...; empty: this machine's. analyze asks for it."""
    queue: Annotated[int, Meta(ge=256, le=1 << 20)] = 16_384
    """Handshakes that wait for a store that is slow or away; beyond it they are counted."""
    commit_seconds: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    """How long what was counted waits, so that many are written at once."""
    events: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """Newest events kept of each stack that needs action."""
    site: str = ""
    """Where what is captured comes from; devices of two sites are never the same."""
    hours_days: Annotated[int, Meta(ge=2, le=36_500)] = 90
    """Days after which hours become days."""
    days_days: Annotated[int, Meta(ge=30, le=36_500)] = 800
    """Days after which days, events and devices not seen since go."""
    cap_bytes: Annotated[int, Meta(ge=1 << 24, le=1 << 44)] = 2 << 30
    """Size beyond which an SQLite store lets go of the oldest before its time."""


class MetricsSettings(Struct, frozen=True, kw_only=True):
    """What the metrics page tells."""

    device_series: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """Legacy devices with series of their own; more are summed under __overflow__."""


class WebSettings(Struct, frozen=True, kw_only=True):
    """How the metrics page is served."""

    listen_address: str = "127.0.0.1:10993"
    """HOST:PORT; a port of 0 takes a free one."""
    config_file: str = ""
    """Web configuration file as Prometheus exporters have it: TLS, users. Empty: neither."""
    scrapes: Annotated[int, Meta(ge=1, le=256)] = 8
    """Requests served at once; further ones are answered 503."""
    request_seconds: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """How long a client may take to send its request or read its answer."""


class ServeSettings(Struct, frozen=True, kw_only=True):
    """The web page: where it is served, and what may be uploaded."""

    listen_address: str = "127.0.0.1:10994"
    """HOST:PORT; a port of 0 takes a free one."""
    hosts: tuple[str, ...] = ()
    """Names under which the page is reached, beside its own address and localhost."""
    folder: str = ""
    """Where uploads and their results lie; empty: captures, beside this machine's inventory."""
    upload_bytes: Annotated[int, Meta(ge=1 << 10, le=1 << 44)] = 4 << 30
    """Largest upload."""
    uploads: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Uploads under way or waiting at once; further ones are answered 503."""
    keep_hours: Annotated[float, Meta(gt=0, le=87_600)] = 24.0
    """How long an upload and its result are kept, unless somebody says: longer."""
    analyses: Annotated[int, Meta(ge=1, le=64)] = 1
    """Uploads analysed at once."""
    analysis_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Processor time for one upload; what was read until then is told."""
    analysis_bytes: Annotated[int, Meta(ge=1 << 27, le=1 << 36)] = 512 << 20
    """Memory for the analysis of one upload."""
    result_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 1 << 30
    """Largest result of one upload."""
    request_seconds: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """How long a client may say nothing within a request."""


class LogSettings(Struct, frozen=True, kw_only=True):
    """The lines on standard error."""

    level: Literal["error", "warning", "info", "debug"] = "warning"
    """The least that is told."""
    format: Literal["text", "json"] = "text"
    """Of the lines."""


class Relay(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A relay that takes old TLS from devices and speaks for them to the provider."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    """What it is called: small letters, digits, - and ."""
    addresses: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Its addresses, or networks of them."""
    ports: tuple[Annotated[int, Meta(ge=1, le=65535)], ...] = ()
    """The ports it takes mail on; empty: all."""


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where devices are, by their addresses."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    """What the place is called."""
    net: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Its networks; of several that fit a device the smallest counts."""
    owner: str = ""
    """Whose the devices there are, where nobody says otherwise of one."""
    contact: str = ""
    """Whom to tell of them."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    watch: WatchSettings = WatchSettings()
    judge: JudgeSettings = JudgeSettings()
    capture: CaptureSettings = CaptureSettings()
    track: TrackSettings = TrackSettings()
    identify: IdentifySettings = IdentifySettings()
    inventory: InventorySettings = InventorySettings()
    store: StoreSettings = StoreSettings()
    metrics: MetricsSettings = MetricsSettings()
    web: WebSettings = WebSettings()
    serve: ServeSettings = ServeSettings()
    daemon: DaemonSettings = DaemonSettings()
    log: LogSettings = LogSettings()
    relay: tuple[Relay, ...] = ()
    """One table for each relay that was put before devices."""
    place: tuple[Place, ...] = ()
    """One table for each place that devices are at."""

    @property
    def ports(self) -> Ports:
        """The ports to follow, read. Raises ConfigError."""
        return parse_ports(self.watch.ports)


def mistakes(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield key and reason of what the types alone do not rule out."""
    try:
        parse_ports(settings.watch.ports)
    except ConfigError as error:
        yield "watch.ports", error.why
    for name in settings.watch.interfaces:
        if not name or len(name.encode()) > LONGEST_INTERFACE or "/" in name:
            yield "watch.interfaces", f"{name!r} is no interface's name"
    for key, number in (
        ("capture.block_bytes", settings.capture.block_bytes),
        ("track.flows", settings.track.flows),
    ):
        if number & (number - 1):
            near = 1 << number.bit_length()
            yield key, f"{number} is no power of two: {near >> 1} or {near}"
    if settings.store.url and not STORE_URL.fullmatch(settings.store.url):
        why = "is no store: write sqlite:///PATH or postgresql+psycopg://..."
        yield "store.url", f"{settings.store.url!r} {why}"
    yield from _wrong_relays(settings.relay)
    for place in settings.place:
        for text in place.net:
            try:
                ip_network(text)
            except ValueError as error:
                yield "place", f"{place.name}: {error}"
    for section, address in (
        ("web", settings.web.listen_address),
        ("serve", settings.serve.listen_address),
    ):
        try:
            split_address(address)
        except ConfigError as error:
            yield f"{section}.listen_address", error.why


def _wrong_relays(relays: Sequence[Relay]) -> Iterator[tuple[str, str]]:
    names = [relay.name for relay in relays]
    for number, relay in enumerate(relays):
        if relay.name in names[:number]:
            yield "relay", f"two are called {relay.name!r}"
        for text in relay.addresses:
            try:
                ip_network(text)
            except ValueError as error:
                yield "relay", f"{relay.name}: {error}"


STORE_URL = re.compile(r"sqlite:///.+|postgresql(\+psycopg)?://.+")

LISTEN_ADDRESS = "--web.listen-address"


def parse_ports(text: str, where: str = "--ports") -> Ports:
    """Read ``993,995,143/imap,...`` or ``any``.

    A port with ``/word`` is given that service word; without one, the word the contract
    lists for it, else "tls". Raises ConfigError naming the part that cannot be read.
    """
    if text.strip() == "any":
        return Ports(services=dict(SERVICES), follow_any=True)
    services: dict[int, str] = {}
    for part in text.split(","):
        number, _, word = part.strip().partition("/")
        if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
            why = f"{part.strip()!r} is no port: write 1 to 65535, or any"
            raise ConfigError(where, "", why)
        port = int(number)
        word = word or SERVICES.get(port, OTHER_SERVICE)
        if word != OTHER_SERVICE and word not in SERVICES.values():
            known = ", ".join([*SERVICES.values(), OTHER_SERVICE])
            raise ConfigError(where, "", f"{word!r} is no service: one of {known}")
        services[port] = word
    return Ports(services=services)


def split_address(text: str) -> tuple[str, int]:
    """Return host, in brackets perhaps, and port of an address to listen on.

    Raises ConfigError.
    """
    host, colon, number = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (number.isascii() and number.isdigit()) or int(number) > 65535:
        why = f"{text!r} is no address: write HOST:PORT, [IPV6]:PORT or :PORT"
        raise ConfigError("", LISTEN_ADDRESS, why)
    if ":" in host and not bracketed:
        why = f"{text!r} is ambiguous: write an IPv6 address in brackets, [::1]:{number}"
        raise ConfigError("", LISTEN_ADDRESS, why)
    return host, int(number)


def is_loopback(host: str) -> bool:
    """Tell whether a host, in brackets perhaps, is this machine as only it sees itself."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


DEFAULT_PORTS = Ports(services=dict(SERVICES))
