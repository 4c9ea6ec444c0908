"""Two months of an office as captures, a file a day, with the clock moved as it pleases.

What each device does stands in ``PLANS``; what must be told of it stands in the tests.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import craft
from craft import Conversation, Frame

START_NS = 1_795_392_000 * 1_000_000_000
"""2026-11-23 00:00:00 UTC."""
DAY_NS = 86_400 * 1_000_000_000
DAYS = 60
OUTLOOK, RELAY = "52.96.1.1", "10.0.0.25"
HELLO_NS = 3 * craft.MILLISECOND_NS
"""From a conversation's first frame to its hello."""

OLD = craft.client_hello(craft.TLS_1_0, (0x0035, 0x002F), sni="outlook.office365.com")
OLD_TO_RELAY = craft.client_hello(craft.TLS_1_0, (0x0035, 0x002F))
NEW = craft.client_hello(craft.TLS_1_2, (0xC030, 0xC02F), sni="outlook.office365.com")
OTHER_NEW = craft.client_hello(craft.TLS_1_2, (0xC02F,), sni="outlook.office365.com")
NEWEST = craft.tls13_client_hello()


class Talk(NamedTuple):
    """One conversation of a device on a day."""

    day: int
    hello: bytes = OLD
    is_taken: bool = True
    server: str = OUTLOOK
    port: int = 993
    minute: int = 0
    """Later than the device's usual time."""


def old(days: Iterable[int], **more: object) -> list[Talk]:
    return [Talk(day, OLD, **more) for day in days]  # type: ignore[arg-type]


def new(days: Iterable[int], **more: object) -> list[Talk]:
    return [Talk(day, NEW, **more) for day in days]  # type: ignore[arg-type]


def through_relay(days: Iterable[int], **more: object) -> list[Talk]:
    return [
        Talk(day, OLD_TO_RELAY, server=RELAY, port=465, **more)  # type: ignore[arg-type]
        for day in days
    ]


WHOLE = range(DAYS)
PLANS: dict[str, list[Talk]] = {
    # Old all the time.
    "10.0.0.1": old(WHOLE),
    # Refused from the twentieth day on, both of them.
    "10.0.0.2": [*old(range(20)), *old(range(20, DAYS), is_taken=False)],
    "10.0.0.12": [*old(range(20)), *old(range(20, DAYS), is_taken=False)],
    # Its firmware was updated on the twentieth day.
    "10.0.0.3": [*old(range(20)), *new(range(20, DAYS))],
    # Gone after ten days.
    "10.0.0.4": old(range(10)),
    # Updated, and set back to factory defaults on the thirtieth day.
    "10.0.0.5": [*old(range(10)), *new(range(10, 30)), *old(range(30, DAYS))],
    # Fine.
    "10.0.0.6": new(WHOLE),
    # Three programs behind one address, one of them old.
    "10.0.0.8": [
        *new(WHOLE),
        *(Talk(day, OTHER_NEW, minute=1) for day in WHOLE),
        *old(WHOLE, minute=2),
    ],
    # Four machines behind a router, whose MAC is all that is seen of theirs.
    "10.1.0.1": old(WHOLE),
    "10.1.0.2": [*old(range(20)), *new(range(20, DAYS))],
    "10.1.0.3": new(WHOLE),
    "10.1.0.4": new(WHOLE),
    # Put behind a relay on the fifth day.
    "10.0.0.10": [*old(range(5)), *through_relay(range(5, DAYS))],
    # The relay. The provider turned it away for three days.
    RELAY: [
        *(Talk(day, NEWEST, port=587) for day in range(4, 30)),
        *(Talk(day, NEWEST, port=587, is_taken=False) for day in range(30, 33)),
        *(Talk(day, NEWEST, port=587) for day in range(33, DAYS)),
    ],
}


ROUTER_MAC = "02:00:5e:00:00:fe"


def mac_of(ip: str) -> str:
    """Return the MAC that a device's frames carry."""
    return ROUTER_MAC if ip.startswith("10.1.") else f"02:00:0a:00:00:{_number(ip):02x}"


def time_of(ip: str, day: int, minute: int = 0) -> int:
    """Return when a device's hello of a day is seen."""
    return _start_of(ip, day, minute) + HELLO_NS


def _start_of(ip: str, day: int, minute: int) -> int:
    minutes = 14 * 60 + 3 * _number(ip) + minute
    return START_NS + day * DAY_NS + minutes * 60 * 1_000_000_000


def _number(ip: str) -> int:
    return int(ip.rpartition(".")[2])


def frames_of(ip: str, talks: Iterable[Talk]) -> Iterator[Frame]:
    """Yield the frames of a device's conversations."""
    for number, talk in enumerate(talks):
        made = Conversation(
            client=ip,
            server=talk.server,
            client_port=20_000 + number,
            server_port=talk.port,
            client_mac=mac_of(ip),
            time_ns=_start_of(ip, talk.day, talk.minute),
        ).open()
        made.client(talk.hello)
        answer: Callable[[Conversation], Conversation] = taken if talk.is_taken else refused
        yield from answer(made).fin("client").fin("server").ack("client").frames()


def taken(talk: Conversation) -> Conversation:
    """Let a handshake up to TLS 1.2 come to its end, and some octets pass."""
    talk.server(craft.server_hello(craft.TLS_1_0)).client(craft.client_key_exchange())
    talk.client(craft.change_cipher_spec() + craft.finished())
    talk.server(craft.change_cipher_spec() + craft.finished())
    return talk.client(craft.application_data()).server(craft.application_data())


def refused(talk: Conversation) -> Conversation:
    """Have the server refuse the version."""
    return talk.server(craft.alert())


def days() -> list[bytes]:
    """Return a capture for each day."""
    frames = craft.merged(*(frames_of(ip, talks) for ip, talks in PLANS.items()))
    by_day: list[list[Frame]] = [[] for _ in WHOLE]
    for frame in frames:
        by_day[(frame[0] - START_NS) // DAY_NS].append(frame)
    return [craft.pcap(part) for part in by_day]


def whole() -> bytes:
    """Return all of it as one capture."""
    return craft.pcap(craft.merged(*(frames_of(ip, talks) for ip, talks in PLANS.items())))
