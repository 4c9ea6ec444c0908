"""What ``top`` shows: devices and their newest handshakes, out of events, in bounded memory."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from parsers.tls.names import VERSIONS
from sniffer.event import Outcome, Sure, Verdict
from sniffer.export import words
from sniffer.inventory.device import EXPOSED, VERDICT_RANK

MOST_DEVICES = 50_000
MOST_HANDSHAKES = 500
MOST_DESTINATIONS = 16
"""Names kept of one device; a further one is counted only."""

REFUSED = frozenset((Outcome.ALERT, Outcome.RESET, Outcome.CLOSED, Outcome.REFUSED_STARTTLS))

_CODES = {name: code for code, name in VERSIONS.items()}


class _End(Struct):
    ip: str
    port: int = 0


class _Network(Struct):
    protocol: str


class _Client(Struct):
    server_name: str = ""


class _Tls(Struct):
    client: _Client = field(default_factory=_Client)


class _Session(Struct):
    thrown_out: Sure | None = None


class _Own(Struct):
    verdict: Verdict
    outcome: Outcome
    max_offered: str = ""
    session: _Session = field(default_factory=_Session)


class Event(Struct):
    """What is wanted of an event; everything else in its line is passed over."""

    source: _End
    destination: _End
    network: _Network
    hellowatch: _Own
    time: str = field(name="@timestamp")
    tls: _Tls = field(default_factory=_Tls)

    @property
    def server(self) -> str:
        """The name asked for, else the address."""
        return self.tls.client.server_name or self.destination.ip

    @property
    def outcome(self) -> str:
        """The outcome in words."""
        own = self.hellowatch
        return words.outcome_words(own.outcome, own.session.thrown_out)

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return words.verdict_words(self.hellowatch.verdict, _CODES.get(self.hellowatch.max_offered))


class Device(Struct):
    """One device as its events have shown it."""

    ip: str
    hellos: int = 0
    refused: int = 0
    seen: int = 0
    """Which of all hellos was its last."""
    services: dict[str, None] = field(default_factory=dict)
    servers: dict[str, None] = field(default_factory=dict)
    """In the order of their first hello."""
    worst: Event | None = None
    """The newest event of the gravest verdict."""
    last: Event | None = None

    @property
    def is_old(self) -> bool:
        """Whether somebody has to look at it."""
        return self.worst is not None and self.worst.hellowatch.verdict in EXPOSED


def _urgency(device: Device) -> Any:  # noqa: ANN401 (whatever compares)
    assert device.worst is not None  # noqa: S101 (a device is made by an event)
    return (
        not device.is_old,
        -VERDICT_RANK[device.worst.hellowatch.verdict],
        -device.refused,
        device.ip,
    )


ORDERS: dict[str, Callable[[Device], Any]] = {
    "urgency": _urgency,
    "hellos": lambda device: (-device.hellos, device.ip),
    "newest": lambda device: -device.seen,
    "device": lambda device: device.ip,
}
"""What devices can be sorted by."""


class Board:
    """Devices and handshakes; a thread may add to it while another one looks."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.lock = threading.Lock()
        self.hellos = 0
        self.let_go = 0
        """Devices forgotten for want of room."""
        self.unreadable = 0
        """Lines that are no event."""
        self.handshakes: deque[Event] = deque(maxlen=MOST_HANDSHAKES)
        self._devices: dict[str, Device] = {}
        self._decode = msgspec.json.Decoder(Event).decode

    def add(self, lines: list[bytes]) -> None:
        """Add events, a line of JSON each."""
        with self.lock:
            for line in lines:
                try:
                    event = self._decode(line)
                except msgspec.DecodeError:
                    self.unreadable += 1
                else:
                    self._add(event)

    def devices(self, order: str, shown: Callable[[Device], bool], most: int) -> list[Device]:
        """Return the first of the devices that are to be shown."""
        with self.lock:
            wanted = [device for device in self._devices.values() if shown(device)]
            return heapq.nsmallest(most, wanted, key=ORDERS[order])

    def newest(self, most: int) -> list[Event]:
        """Return the newest handshakes, the last one first."""
        with self.lock:
            return [event for event, _ in zip(reversed(self.handshakes), range(most), strict=False)]

    def counts(self) -> tuple[int, int, int]:
        """Return how many devices there are, how many to look at, and how many hellos."""
        with self.lock:
            old = sum(device.is_old for device in self._devices.values())
            return len(self._devices), old, self.hellos

    def _add(self, event: Event) -> None:
        self.hellos += 1
        self.handshakes.append(event)
        device = self._devices.pop(event.source.ip, None)
        if device is None:
            if len(self._devices) >= MOST_DEVICES:
                self._let_go()
            device = Device(event.source.ip)
        # The last one is the one seen last.
        self._devices[event.source.ip] = device
        device.hellos += 1
        device.seen = self.hellos
        device.refused += event.hellowatch.outcome in REFUSED
        device.services[event.network.protocol] = None
        if len(device.servers) < MOST_DESTINATIONS:
            device.servers[event.server] = None
        device.last = event
        rank = VERDICT_RANK[event.hellowatch.verdict]
        if device.worst is None or rank >= VERDICT_RANK[device.worst.hellowatch.verdict]:
            device.worst = event

    def _let_go(self) -> None:
        """Forget the device unseen for longest among the first few that need no action."""
        few = [ip for ip, _ in zip(self._devices, range(64), strict=False)]
        useless = next((ip for ip in few if not self._devices[ip].is_old), few[0])
        del self._devices[useless]
        self.let_go += 1


def matches(text: str) -> Callable[[Device], bool]:
    """Return whether a device has a text in what is shown of it."""
    wanted = text.lower()

    def is_in(device: Device) -> bool:
        told: Iterator[str] = iter((device.ip, *device.services, *device.servers))
        return any(wanted in part.lower() for part in told)

    return is_in if wanted else lambda _device: True
