"""Devices behind a declared relay: relayed, red again when the relay fails, and what is told."""

import pytest
from handshakes import DAY_NS, SECOND_NS, START_NS, handshake, hello

from parsers.tls.facts import TLS_1_2
from sniffer.config import DEFAULT_PORTS, InventorySettings, Relay
from sniffer.event import Handshake, Outcome, Side, Status
from sniffer.export.ecs import encode
from sniffer.export.summary import summary
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.claim import Did, State
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Delta
from sniffer.inventory.store.answers import say
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader
from sniffer.inventory.store.writer import Writer
from sniffer.judge.profile import load_profiles
from sniffer.judge.relays import Relays
from sniffer.judge.verdict import Judge

PROFILES = load_profiles()
CELLAR = Relay(name="cellar", addresses=("10.0.0.25",), ports=(465, 993))
FIT = Coverage(frames=1000, bytes=100_000, flows=10, hellos=10)
RELAY = bytes([10, 0, 0, 25])
DEVICE = bytes([10, 0, 0, 7])
NEW = hello(TLS_1_2)
REFUSED = {"outcome": Outcome.ALERT, "refused_by": Side.SERVER}
HOUR_NS = 3600 * SECOND_NS


def at(day: float) -> int:
    return START_NS + round(day * DAY_NS)


def to_relay(day: float, **ended) -> Handshake:
    return handshake(at(day), hello(name=None), source=DEVICE, destination=RELAY, **ended)


def direct(day: float, **ended) -> Handshake:
    return handshake(at(day), source=DEVICE, **ended)


def by_relay(day: float, offer=NEW, **ended) -> Handshake:
    return handshake(at(day), offer, source=RELAY, **ended)


def counted(*handshakes: Handshake) -> Aggregate:
    judge = Judge(DEFAULT_PORTS, PROFILES, relays=[CELLAR])
    seen = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    for one in sorted(handshakes, key=lambda one: one.time_ns):
        seen.observe(one, judge.judge(one))
    return seen


def told(seen: Aggregate) -> dict:
    devices = summary([], seen.snapshot(), FIT, PROFILES)["devices"]
    (device,) = [one for one in devices if one["ip"] == "10.0.0.7"]
    return device


DAYS = [day / 2 for day in range(20)]
LEGACY_RELAY = [by_relay(day, hello()) for day in (8, 9)]
CASES = {
    "to the relay alone": ([to_relay(day) for day in DAYS], Status.RELAYED),
    "its relay speaks TLS 1.2": (
        [*(to_relay(day) for day in DAYS), *(by_relay(day) for day in DAYS)],
        Status.RELAYED,
    ),
    "to the provider as well": ([direct(9), *(to_relay(day) for day in DAYS)], Status.LEGACY),
    "to the provider until yesterday": (
        [direct(0), direct(0.1), *(to_relay(day) for day in (1, 1.5, 2))],
        Status.IMPROVING,
    ),
    "to the provider until a week ago, and the relay lets it in": (
        [direct(0), *(to_relay(day) for day in (1, 2, 3, 4, 8))],
        Status.RELAYED,
    ),
    "and let in four times": (
        [direct(0), *(to_relay(day) for day in (1, 2, 3, 8))],
        Status.IMPROVING,
    ),
    "the relay turns it away": (
        [*(to_relay(day) for day in DAYS), *(to_relay(day, **REFUSED) for day in (10, 11))],
        Status.REFUSED,
    ),
    "turned away once, which may be chance": (
        [*(to_relay(day) for day in DAYS), to_relay(10, **REFUSED)],
        Status.RELAYED,
    ),
    "the provider turns the relay away": (
        [
            *(to_relay(day) for day in DAYS),
            *(by_relay(day) for day in (1, 2)),
            *(by_relay(day, **REFUSED) for day in (8, 9)),
        ],
        Status.REFUSED,
    ),
    "the relay speaks old TLS itself": (
        [*(to_relay(day) for day in DAYS), *LEGACY_RELAY],
        Status.LEGACY,
    ),
    "the device was updated, and needs the relay no more": (
        [
            *(to_relay(day) for day in (0, 1)),
            *(handshake(at(day), NEW, source=DEVICE) for day in (2, 3, 4, 5, 9)),
        ],
        Status.FIXED,
    ),
    "another port of the relay's address": (
        [
            handshake(at(day), hello(name=None), source=DEVICE, destination=RELAY, port=587)
            for day in DAYS
        ],
        Status.LEGACY,
    ),
}


@pytest.mark.parametrize(("handshakes", "status"), CASES.values(), ids=CASES)
def test_device_is_as_well_off_as_its_relay(
    tmp_path, handshakes: list[Handshake], status: Status
) -> None:
    seen = counted(*handshakes)
    assert told(seen)["status"] == status.value
    statuses = seen.figures().statuses
    assert statuses[status] >= 1
    assert sum(statuses.values()) == len({one.flow.source for one in handshakes})
    # In any order, and out of parts, as in the whole.
    parts = [counted(*handshakes[::2]), counted(*handshakes[1::2])]
    parts[0].merge(parts[1])
    assert told(parts[0])["status"] == status.value
    reader = stored(f"sqlite:///{tmp_path}/store.db", list(reversed(handshakes)))
    (device,) = reader.find("10.0.0.7")
    assert device.snapshot.status is status
    assert reader.story(device)[-1].status is status


def stored(url: str, handshakes: list[Handshake]) -> Reader:
    judge = Judge(DEFAULT_PORTS, PROFILES, relays=[CELLAR])
    database = Database(url)
    database.open()
    writer = Writer(database, "one", DEFAULT_PORTS, PROFILES, encode)
    newest_ns = max(one.time_ns for one in handshakes)
    for number, one in enumerate(handshakes, 1):
        assert writer.apply(
            Delta(number=number, now_ns=newest_ns, judged=((one, judge.judge(one)),))
        )
    writer.close()
    return Reader(database, DEFAULT_PORTS)


def test_relayed_device_will_not_break_and_needs_nothing_done() -> None:
    device = told(counted(*CASES["to the relay alone"][0]))
    assert (device["will_break"], device["breaks"], device["next_step"]) == (False, None, None)
    assert device["why"] == "10.0.0.7 offers at most TLS 1.0, and only to the relay cellar."
    (stack,) = device["stacks"]
    assert stack["destinations"][0]["class"] == "relay:cellar"
    assert stack["simulation"][0]["find_out"].startswith("A declared relay takes it")


def test_failing_relay_is_named_with_what_to_do() -> None:
    device = told(counted(*CASES["the provider turns the relay away"][0]))
    assert device["why"] == "10.0.0.7 goes through the relay cellar, which is refused itself."
    assert device["next_step"].startswith("Mend the relay cellar: ")
    device = told(counted(*CASES["the relay speaks old TLS itself"][0]))
    assert device["why"].endswith("the relay cellar, which offers old TLS itself.")


def test_relayed_device_has_no_series_and_its_hellos_are_counted_all_the_same() -> None:
    seen = counted(*CASES["to the relay alone"][0])
    figures = seen.figures()
    assert figures.devices == ()
    assert figures.departed == {"imaps relay:cellar 769": len(DAYS)}


def test_history_tells_when_a_relay_failed_and_when_it_was_mended(store_url: str) -> None:
    handshakes = [
        *(direct(day) for day in range(3)),
        *(to_relay(day) for day in range(3, 40)),
        *(by_relay(day + 0.1) for day in range(3, 20)),
        *(by_relay(day + 0.1, **REFUSED) for day in range(20, 23)),
        *(by_relay(day + 0.1) for day in range(23, 40)),
    ]
    reader = stored(store_url, handshakes)
    (device,) = reader.find("10.0.0.7")
    turns = [(turn.since_ns, turn.status) for turn in reader.story(device)]
    assert turns == [
        (at(0), Status.LEGACY),
        (at(5), Status.IMPROVING),
        (at(9), Status.RELAYED),
        # The relay was ok: of its first refusal the day alone is known.
        (at(19.5), Status.REFUSED),
        (at(23.1), Status.RELAYED),
    ]
    for day, status in ((4, Status.LEGACY), (15, Status.RELAYED), (22, Status.REFUSED)):
        then = Reader(reader.database, DEFAULT_PORTS, at(day) + HOUR_NS)
        assert then.find("10.0.0.7")[0].snapshot.status is status
    say(reader.database, device.id, did=Did.RELAY.value, did_at_ns=at(2.5))
    for day, check in (
        (2.9, (State.NOT_SEEN, at(2.5))),
        (3.5, (State.PENDING, at(3))),
        (15, (State.VERIFIED, at(9))),
    ):
        then = Reader(reader.database, DEFAULT_PORTS, at(day))
        assert then.check(then.find("10.0.0.7")[0]) == check


def test_first_relay_that_fits_counts_and_networks_and_ports_hold() -> None:
    relays = Relays(
        [
            CELLAR,
            Relay(name="attic", addresses=("10.0.0.0/24", "2001:db8::/64")),
        ]
    )
    six = bytes.fromhex("20010db8") + bytes(11) + b"\x01"
    for address, port, name in (
        (RELAY, 993, "cellar"),
        (RELAY, 587, "attic"),
        (bytes([10, 0, 0, 1]), 993, "attic"),
        (bytes([10, 0, 1, 1]), 993, None),
        (six, 25, "attic"),
    ):
        assert relays.find(address, port) == name
    assert Relays([]).find(RELAY, 993) is None


def test_event_names_the_relay() -> None:
    one = to_relay(0)
    judged = Judge(DEFAULT_PORTS, PROFILES, relays=[CELLAR]).judge(one)
    assert (judged.relay, judged.destination, judged.profile) == ("cellar", "relay:cellar", None)
    assert b'"relay":"cellar"' in encode(one, judged)
