"""Several devices turn from accepted to refused at once: who is told, and who is not."""

import time

import pytest
from handshakes import DAY_NS, SECOND_NS, START_NS, handshake, hello, judgement

from parsers.tls.facts import TLS_1_2
from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Outcome, Side, Verdict
from sniffer.export.ecs import encode
from sniffer.export.findings import enforcement_json
from sniffer.export.summary import summary
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Delta, Judged
from sniffer.inventory.enforcement import Turned, enforcements
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader
from sniffer.inventory.store.writer import Writer
from sniffer.judge.profile import load_profiles

PROFILES = load_profiles()
HOUR_NS = 3600 * SECOND_NS
MODERN = hello(TLS_1_2)
ALERT = (Outcome.ALERT, Side.SERVER)
CLOSED = (Outcome.CLOSED, Side.SERVER)
PATH = (Outcome.RESET, Side.PATH)
TURN = 20 * 24
"""Hours after which the provider turns them away."""


def talks(
    device: int,
    taken: range,
    refused: range = range(0),
    end: tuple[Outcome, Side] = ALERT,
    verdict: Verdict = Verdict.LEGACY,
    profile: str | None = "exchange-online",
) -> list[Judged]:
    """A device that is taken in at these hours, and refused at those."""
    judged = judgement(verdict, profile=profile)
    facts = {
        "source": bytes([10, 0, 0, device]),
        "offer": MODERN if verdict is Verdict.OK else None,
    }
    made = [(handshake(START_NS + hour * HOUR_NS, **facts), judged) for hour in taken]
    for hour in refused:
        ended = {"outcome": end[0], "refused_by": end[1]}
        made.append((handshake(START_NS + hour * HOUR_NS, **facts, **ended), judged))
    return made


BEFORE = range(0, TURN, 24)


def since(hours: int) -> range:
    return range(TURN + hours, TURN + 72, 12)


def modern(*refused: int, last: int = TURN + 72, **more) -> list[Judged]:
    return talks(200, range(3, last, 24), range(*refused or (0,)), verdict=Verdict.OK, **more)


CASES = {
    "two of old TLS turn, modern ones pass": (
        [*talks(1, BEFORE, since(0)), *talks(2, BEFORE, since(5)), *modern()],
        ["10.0.0.1", "10.0.0.2"],
    ),
    "no modern one is seen, the server says so": (
        [*talks(1, BEFORE, since(0)), *talks(2, BEFORE, since(5))],
        ["10.0.0.1", "10.0.0.2"],
    ),
    "closed without a word, modern ones pass": (
        [*talks(1, BEFORE, since(0), CLOSED), *talks(2, BEFORE, since(5), CLOSED), *modern()],
        ["10.0.0.1", "10.0.0.2"],
    ),
    "closed without a word, and no modern one to tell": (
        [*talks(1, BEFORE, since(0), CLOSED), *talks(2, BEFORE, since(5), CLOSED)],
        None,
    ),
    "the modern one that passed is gone since": (
        [
            *talks(1, BEFORE, since(0), CLOSED),
            *talks(2, BEFORE, since(5), CLOSED),
            *modern(last=TURN - 24),
        ],
        None,
    ),
    "an outage: modern ones fail too": (
        [
            *talks(1, BEFORE, since(0), CLOSED),
            *talks(2, BEFORE, since(5), CLOSED),
            *modern(TURN + 1, TURN + 80, 12, last=TURN, end=CLOSED),
        ],
        None,
    ),
    "an outage with alerts": (
        [
            *talks(1, BEFORE, since(0)),
            *talks(2, BEFORE, since(5)),
            *modern(TURN + 1, TURN + 80, 12, last=TURN),
        ],
        None,
    ),
    "an outage is over for the modern ones, and goes on for the old": (
        [
            *talks(1, BEFORE, since(0)),
            *talks(2, BEFORE, since(5)),
            *modern(TURN + 1, TURN + 10, 2),
        ],
        ["10.0.0.1", "10.0.0.2"],
    ),
    "a firewall on the way": (
        [*talks(1, BEFORE, since(0), PATH), *talks(2, BEFORE, since(5), PATH), *modern()],
        None,
    ),
    "one device alone": ([*talks(1, BEFORE, since(0)), *modern()], None),
    "two, more than a day apart": (
        [*talks(1, BEFORE, since(0)), *talks(2, BEFORE, since(25)), *modern()],
        None,
    ),
    "three, each within a day of the next": (
        [
            *talks(1, BEFORE, since(0)),
            *talks(2, BEFORE, since(20)),
            *talks(3, BEFORE, since(40)),
            *modern(),
        ],
        ["10.0.0.1", "10.0.0.2"],
    ),
    "refused ever since they were seen": (
        [*talks(1, range(0), since(0)), *talks(2, range(0), since(5)), *modern()],
        None,
    ),
    "one refusal each, which may be chance": (
        [
            *talks(1, BEFORE, range(TURN, TURN + 1)),
            *talks(2, BEFORE, range(TURN, TURN + 1)),
            *modern(),
        ],
        None,
    ),
    "taken in again": (
        [
            *talks(1, [*BEFORE, TURN + 70], since(0)),
            *talks(2, [*BEFORE, TURN + 71], since(5)),
            *modern(),
        ],
        None,
    ),
    "a destination without a profile": (
        [
            *talks(1, BEFORE, since(0), profile=None),
            *talks(2, BEFORE, since(5), profile=None),
            *modern(profile=None),
        ],
        None,
    ),
    "at two destinations": (
        [
            *talks(1, BEFORE, since(0)),
            *talks(2, BEFORE, since(5), profile="gmail"),
            *modern(),
        ],
        None,
    ),
}


def counted(judged: list[Judged]) -> Aggregate:
    aggregate = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    for pair in sorted(judged, key=lambda pair: pair[0].time_ns):
        aggregate.observe(*pair)
    return aggregate


def stored(url: str, judged: list[Judged]) -> Reader:
    database = Database(url)
    database.open()
    writer = Writer(database, "one", DEFAULT_PORTS, PROFILES, encode)
    ordered = sorted(judged, key=lambda pair: pair[0].time_ns)
    for number, start in enumerate(range(0, len(ordered), 20), 1):
        part = tuple(ordered[start : start + 20])
        assert writer.apply(Delta(number=number, now_ns=part[-1][0].time_ns, judged=part))
    writer.close()
    return Reader(database, DEFAULT_PORTS)


@pytest.mark.parametrize(("judged", "devices"), CASES.values(), ids=CASES)
def test_enforcement_is_told_from_a_capture_and_from_hours(
    tmp_path, judged: list[Judged], devices: list[str] | None
) -> None:
    aggregate = counted(judged)
    told = summary([], aggregate.snapshot(), Coverage(), PROFILES)
    figures = aggregate.figures()
    from_hours = stored(f"sqlite:///{tmp_path}/store.db", judged).enforcements()
    assert from_hours == enforcements(figures.turned, figures.passages)
    assert told["findings"] == [enforcement_json(one, PROFILES) for one in from_hours]
    assert [one["devices"] for one in told["findings"]] == ([] if devices is None else [devices])
    if devices is not None:
        assert told["finding_totals"] == {"enforcement-reached": 1}


def test_many_that_turn_one_by_one_cost_little() -> None:
    """Found by reading: each looked at all that turned after it."""
    turns = [
        Turned(n.to_bytes(4, "big"), "imaps", "x", n * 2 * DAY_NS, n * 2 * DAY_NS, True)
        for n in range(20_000)
    ]
    began = time.process_time()
    assert enforcements(turns, {}) == []
    few = time.process_time() - began
    assert few < 100 * _calibrated()


def _calibrated() -> float:
    """Return how long sorting as many numbers takes here."""
    began = time.process_time()
    for _ in range(10):
        sorted(range(20_000, 0, -1), key=str)
    return (time.process_time() - began) / 10


def test_enforcement_is_a_sentence_to_forward() -> None:
    judged, _ = CASES["two of old TLS turn, modern ones pass"]
    (finding,) = summary([], counted(judged).snapshot(), Coverage(), PROFILES)["findings"]
    assert finding == {
        "kind": "enforcement-reached",
        "device": None,
        "devices": ["10.0.0.1", "10.0.0.2"],
        "service": "imaps",
        "destination": {"ip": None, "port": None, "name": "exchange-online"},
        "count": 2,
        "first_seen": "2026-12-13T12:00:00.000000Z",
        "last_seen": "2026-12-13T17:00:00.000000Z",
        "text": "Enforcement seems to have reached you on 2026-12-13: Exchange Online (imaps) "
        "took in 2 devices before, and refuses them since.",
    }


def test_device_refused_once_long_ago_counts_where_hours_are_kept(store_url: str) -> None:
    """Which refusal was the first after it was last taken in, only the hours know."""
    judged = [
        *talks(1, BEFORE, since(0)),
        *talks(2, BEFORE, since(5)),
        *talks(2, range(0), range(1, 2)),
        *modern(),
    ]
    assert summary([], counted(judged).snapshot(), Coverage(), PROFILES)["findings"] == []
    (found,) = stored(store_url, judged).enforcements()
    assert [octets[3] for octets in found.addresses] == [1, 2]
    assert found.last_ns == START_NS + (TURN + 5) * HOUR_NS


def test_enforcement_is_told_as_of_a_time(tmp_path) -> None:
    judged, _ = CASES["two of old TLS turn, modern ones pass"]
    reader = stored(f"sqlite:///{tmp_path}/store.db", judged)
    for days, number in ((19, 0), (22, 1)):
        then = Reader(reader.database, DEFAULT_PORTS, START_NS + days * DAY_NS)
        assert len(then.enforcements()) == number
