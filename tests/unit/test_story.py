"""A month of an office, told by the store: who was refused since when, mended, gone, back."""

import itertools
import random
from collections.abc import Iterator

import pytest
from handshakes import DAY_NS, SECOND_NS, START_NS, handshake, hello, judgement

from parsers.tls.facts import TLS_1_2
from sniffer.config import DEFAULT_PORTS
from sniffer.event import Outcome, Side, Status, Verdict
from sniffer.export.ecs import encode
from sniffer.inventory.claim import Did, State
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Delta, Judged, Watched
from sniffer.inventory.device import Calendar
from sniffer.inventory.store.answers import say
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader
from sniffer.inventory.store.writer import Writer
from sniffer.inventory.story import came_back
from sniffer.judge.profile import load_profiles

PROFILES = load_profiles()
HOUR_NS = 3600 * SECOND_NS
MONTH = 60
"""Days watched, from noon to noon."""
LEGACY, OK = judgement(Verdict.LEGACY), judgement(Verdict.OK)
NEW = hello(TLS_1_2)
REFUSED = {"outcome": Outcome.ALERT, "refused_by": Side.SERVER}


def at(day: float, device: int, judged=LEGACY, **facts) -> Judged:
    time_ns = START_NS + round(day * DAY_NS)
    return handshake(time_ns, source=bytes([10, 0, 0, device]), **facts), judged


def days(first: int, end: int) -> Iterator[float]:
    """A hello each day, two hours after noon."""
    return (day + 1 / 12 for day in range(first, end))


def month() -> dict[str, list[Judged]]:
    """What each device did."""
    return {
        "10.0.0.1": [at(day, 1) for day in days(0, MONTH)],
        "10.0.0.2": [
            *(at(day, 2) for day in days(0, 20)),
            *(at(day, 2, **REFUSED) for day in days(20, MONTH)),
        ],
        "10.0.0.3": [
            *(at(day, 3) for day in days(0, 20)),
            *(at(day, 3, OK, offer=NEW) for day in days(20, MONTH)),
        ],
        "10.0.0.4": [at(day, 4) for day in days(0, 10)],
        "10.0.0.5": [
            *(at(day, 5) for day in days(0, 10)),
            *(at(day, 5, OK, offer=NEW) for day in days(10, 30)),
            *(at(day, 5) for day in days(30, MONTH)),
        ],
        "10.0.0.6": [at(day, 6, OK, offer=NEW) for day in days(0, MONTH)],
        "10.0.0.7": [
            *(at(day, 7, OK, offer=NEW) for day in days(0, 30)),
            at(30.5, 7, OK, offer=NEW, **REFUSED),
            *(at(day, 7, OK, offer=NEW) for day in days(31, MONTH)),
        ],
    }


def day(number: float, hours: int = 2) -> int:
    return START_NS + round(number * DAY_NS) + hours * HOUR_NS


STORIES = {
    "10.0.0.1": [(day(0), Status.LEGACY)],
    # One refusal may be chance: the second tells, and it is refused since the first.
    "10.0.0.2": [(day(0), Status.LEGACY), (day(20), Status.REFUSED)],
    # Three of its usual pauses, of a day each, without an old hello; then seven days.
    "10.0.0.3": [
        (day(0), Status.LEGACY),
        (day(22), Status.IMPROVING),
        (day(26), Status.FIXED),
    ],
    "10.0.0.4": [(day(0), Status.LEGACY), (day(44), Status.SILENT)],
    "10.0.0.5": [
        (day(0), Status.LEGACY),
        (day(12), Status.IMPROVING),
        (day(16), Status.FIXED),
        (day(30), Status.LEGACY),
    ],
    "10.0.0.6": [(day(0, -12), Status.OK)],
    "10.0.0.7": [(day(0, -12), Status.OK)],
}


def kept(url: str, deltas: list[list[Judged]]) -> Reader:
    """Write deltas, with all of the month watched, and return what reads it."""
    database = Database(url)
    database.open()
    writer = Writer(database, "one", DEFAULT_PORTS, PROFILES, encode)
    end_ns = START_NS + MONTH * DAY_NS
    watched = Watched(
        sensor="eth0",
        start_ns=START_NS,
        end_ns=end_ns,
        seconds=(end_ns - START_NS) / 1e9,
        coverage=Coverage(frames=1, first_ns=START_NS, last_ns=end_ns),
    )
    writer.apply(Delta(number=1, now_ns=end_ns, watched=(watched,)))
    for number, judged in enumerate(deltas, 2):
        assert writer.apply(Delta(number=number, now_ns=end_ns, judged=tuple(judged)))
    writer.close()
    return Reader(database, DEFAULT_PORTS)


def stories(reader: Reader) -> dict[str, list[tuple[int, Status]]]:
    return {
        device.ip: [(turn.since_ns, turn.status) for turn in reader.story(device)]
        for device in reader.devices()
    }


def in_order() -> list[Judged]:
    return sorted(itertools.chain(*month().values()), key=lambda one: one[0].time_ns)


def test_month_gives_exactly_these_histories(store_url: str) -> None:
    judged = in_order()
    by_day = [
        [one for one in judged if (one[0].time_ns - START_NS) // DAY_NS == number]
        for number in range(MONTH)
    ]
    reader = kept(store_url, by_day)
    assert stories(reader) == STORIES
    now = {device.ip: device.snapshot.status for device in reader.devices()}
    assert now == {ip: turns[-1][1] for ip, turns in STORIES.items()}
    back = {device.ip for device in reader.devices() if came_back(reader.story(device))}
    assert back == {"10.0.0.5"}


@pytest.mark.parametrize("seed", range(3))
def test_histories_do_not_depend_on_the_order_of_reading(tmp_path, seed: int) -> None:
    judged = in_order()
    random.Random(seed).shuffle(judged)
    parts = [judged[start : start + 37] for start in range(0, len(judged), 37)]
    told = stories(kept(f"sqlite:///{tmp_path}/store.db", parts))
    telling = [ip for ip in STORIES if STORIES[ip][-1][1] is not Status.OK]
    assert {ip: told[ip] for ip in telling} == {ip: STORIES[ip] for ip in telling}


def test_any_day_of_the_month_is_answered_as_it_was(tmp_path) -> None:
    reader = kept(f"sqlite:///{tmp_path}/store.db", [in_order()])
    for number in (5, 21, 25, 28, 43, 50):
        moment_ns = day(number, 3)
        then = Reader(reader.database, DEFAULT_PORTS, moment_ns)
        found = {device.ip: device.snapshot.status for device in then.devices()}
        for ip, turns in STORIES.items():
            expected = [status for since_ns, status in turns if since_ns <= moment_ns][-1]
            assert found[ip] is expected, (ip, number)


CLAIMS = [
    # device, what was done, when, asked when: what became of it, since when
    ("10.0.0.1", Did.FIRMWARE, day(5, 0), 5.05, State.NOT_SEEN, day(5, 0)),
    ("10.0.0.1", Did.FIRMWARE, day(5, 0), 30, State.STILL_OLD, day(5)),
    ("10.0.0.2", Did.SETTING, day(25, 0), 40, State.STILL_OLD, day(25)),
    ("10.0.0.3", Did.FIRMWARE, day(20, 0), 20.5, State.PENDING, day(20)),
    ("10.0.0.3", Did.FIRMWARE, day(20, 0), 25, State.PENDING, day(20)),
    ("10.0.0.3", Did.FIRMWARE, day(20, 0), 40, State.VERIFIED, day(26)),
    # Claimed a day too early: old hellos followed, and then none.
    ("10.0.0.3", Did.FIRMWARE, day(19, 0), 20.5, State.STILL_OLD, day(19)),
    ("10.0.0.3", Did.FIRMWARE, day(19, 0), 23, State.PENDING, day(22)),
    ("10.0.0.3", Did.FIRMWARE, day(19, 0), 40, State.VERIFIED, day(26)),
    # Claimed long after: what was seen bears it out at once, if it is still seen.
    ("10.0.0.3", Did.FIRMWARE, day(50, 0), 50.05, State.NOT_SEEN, day(50, 0)),
    ("10.0.0.3", Did.FIRMWARE, day(50, 0), 55, State.VERIFIED, day(50, 0)),
    ("10.0.0.4", Did.FIRMWARE, day(12, 0), 40, State.NOT_SEEN, day(12, 0)),
    ("10.0.0.4", Did.RETIRED, day(12, 0), 40, State.NOT_SEEN, day(12, 0)),
    ("10.0.0.4", Did.RETIRED, day(12, 0), 50, State.VERIFIED, day(44)),
    ("10.0.0.4", Did.RETIRED, day(8, 0), 50, State.CAME_BACK, day(8)),
    ("10.0.0.5", Did.REPLACED, day(10, 0), 20, State.VERIFIED, day(16)),
    ("10.0.0.5", Did.REPLACED, day(10, 0), 30.5, State.CAME_BACK, day(30)),
    ("10.0.0.5", Did.REPLACED, day(10, 0), 50, State.CAME_BACK, day(30)),
    # Done again: it came back before, so that is no proof any more.
    ("10.0.0.5", Did.FIRMWARE, day(31, 0), 50, State.STILL_OLD, day(31)),
    # Of one that is ok the days alone are known.
    ("10.0.0.6", Did.RETIRED, day(20, 0), 40, State.CAME_BACK, day(40, 0)),
    ("10.0.0.6", Did.FIRMWARE, day(20, 0), 40, State.VERIFIED, day(20, 0)),
]


@pytest.fixture(scope="module")
def whole_month(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("month")
    return kept(f"sqlite:///{folder}/store.db", [in_order()])


@pytest.mark.parametrize(("ip", "did", "at_ns", "asked", "state", "since_ns"), CLAIMS)
def test_claim_is_borne_out_by_what_is_seen_after_it(
    whole_month: Reader, ip: str, did: Did, at_ns: int, asked: float, state: State, since_ns: int
) -> None:
    database = whole_month.database
    (found,) = whole_month.find(ip)
    say(database, found.id, did=did.value, did_at_ns=at_ns)
    then = Reader(database, DEFAULT_PORTS, START_NS + round(asked * DAY_NS))
    (device,) = then.find(ip)
    assert then.check(device) == (state, since_ns)
    before = Reader(database, DEFAULT_PORTS, at_ns - 1)
    assert before.check(before.find(ip)[0]) is None


def test_days_not_watched_are_left_out_of_the_time() -> None:
    calendar = Calendar([0, 1, 2, 10, 11])
    assert calendar.covered_ns(0, 2 * DAY_NS) == 2 * DAY_NS
    assert calendar.covered_ns(DAY_NS, 10 * DAY_NS) == 2 * DAY_NS
    assert calendar.after(0, 4 * DAY_NS, 100 * DAY_NS) == 11 * DAY_NS
    assert Calendar().after(0, 4 * DAY_NS, 100 * DAY_NS) == 4 * DAY_NS
    assert Calendar([0]).after(0, 4 * DAY_NS, 50 * DAY_NS) > 50 * DAY_NS
