"""What the store lets go of by age and by size, on SQLite and on PostgreSQL."""

import pytest
from handshakes import DAY_NS, SECOND_NS, START_NS, handshake
from msgspec.structs import replace
from stores import HOUR_NS, LEGACY, OK, REFUSED, TLS12, Store, at

from sniffer.event import Outcome, Status
from sniffer.inventory.store import retention, schema
from sniffer.inventory.store.answers import forget_site, say

FOR_EVER_NS = 1 << 62


@pytest.fixture
def store(store_url: str) -> Store:
    store = Store(store_url)
    tidied(store, at_ns=START_NS)
    return store


def tidied(store: Store, *, at_ns: int | None = None) -> int:
    """Tidy to the end, by a clock that shows the store's own time; return the pieces."""
    store.writer.retention._clock = lambda: at_ns or FOR_EVER_NS
    pieces = 1
    while store.writer.tidy():
        pieces += 1
        assert pieces < 1000
    return pieces


def pass_days(store: Store, days: float) -> None:
    end_ns = START_NS + int(days * DAY_NS)
    store.watch(end_ns - SECOND_NS, end_ns)


def spans(store: Store) -> list[str]:
    return sorted({row.span for row in store.rows(schema.activity)})


def told(store: Store) -> list[tuple[Status, int]]:
    """Return a device's story to the day."""
    turns = store.reader().story(store.only_device)
    return [(turn.status, turn.since_ns // DAY_NS) for turn in turns]


def test_hours_become_days_after_ninety_days_and_the_story_stays(store: Store) -> None:
    for hour in (0, 1, 5):
        store.add(at(hour * 3600, hour + 1))
    store.add(at(30 * 3600, 10, **REFUSED), at(31 * 3600, 11, **REFUSED))
    store.watch(START_NS, START_NS + 2 * DAY_NS)
    before = told(store)
    facts = store.only_device.snapshot

    pass_days(store, 89)
    tidied(store)
    assert spans(store) == ["hour"]
    pass_days(store, 95)
    tidied(store)
    assert spans(store) == ["day"]
    assert [turn for turn in told(store) if turn[0] is not Status.SILENT] == before
    rows = store.rows(schema.activity)
    assert sum(row.hellos for row in rows) == 5
    assert min(row.first_ns for row in rows) == START_NS
    assert max(row.last_ns for row in rows) == START_NS + 31 * HOUR_NS
    assert max(row.prior_ns for row in rows) == START_NS + 30 * HOUR_NS
    assert store.only_device.snapshot.stacks == facts.stacks


def test_what_comes_late_joins_its_day(store: Store) -> None:
    store.add(at(0, 1))
    pass_days(store, 95)
    tidied(store)
    store.add(at(3600, 2))
    tidied(store)
    (row,) = store.rows(schema.activity)
    assert (row.span, row.hellos, row.prior_ns) == ("day", 2, START_NS)


def test_coverage_becomes_days_and_loses_nothing(store: Store) -> None:
    store.watch(START_NS, START_NS + 3 * HOUR_NS, frames_dropped=2)
    store.watch(START_NS, START_NS + HOUR_NS, sensor="eth1")
    store.watch(START_NS + 95 * DAY_NS, START_NS + 95 * DAY_NS + SECOND_NS)
    before = store.reader().coverage()
    days = store.reader().calendar("").covered_ns(START_NS, START_NS + 96 * DAY_NS)
    tidied(store)
    old = [row for row in store.rows(schema.coverage) if row.start_ns < START_NS + DAY_NS]
    assert {(row.sensor, row.span) for row in old} == {("eth0", "day"), ("eth1", "day")}
    assert sum(row.seconds for row in old) == pytest.approx(4 * 3600)
    assert store.reader().coverage() == before
    assert store.reader().calendar("").covered_ns(START_NS, START_NS + 96 * DAY_NS) == days


def test_days_events_and_devices_go_after_eight_hundred_days(store: Store) -> None:
    store.add(at(0, 1))
    store.add((handshake(START_NS, source=bytes([10, 0, 0, 9]), frame=2), LEGACY))
    kept, gone = (device.id for device in store.reader().devices())
    say(store.database, kept, owner="Jo")
    pass_days(store, 799)
    tidied(store)
    assert len(list(store.reader().devices())) == 2
    assert store.rows(schema.event)
    pass_days(store, 802)
    tidied(store)
    assert [device.id for device in store.reader().devices()] == [kept]
    assert not store.rows(schema.event)
    assert not store.rows(schema.activity)
    assert {row.device_id for row in store.rows(schema.stack)} == {kept}
    assert store.only_device.answer.owner == "Jo"
    assert gone != kept


def test_frame_from_the_future_ages_nothing(store: Store) -> None:
    store.add(at(0, 1))
    in_2106 = 4_294_967_000 * SECOND_NS
    store.add((handshake(in_2106, source=bytes([10, 0, 0, 8]), frame=2), LEGACY))
    tidied(store, at_ns=START_NS + DAY_NS)
    assert len(list(store.reader().devices())) == 2
    assert spans(store) == ["hour"]


def test_ids_go_ninety_days_after_they_were_counted(store: Store) -> None:
    clock = START_NS

    def now() -> int:
        return clock

    store.writer.retention._clock = now
    store.add(at(0, 1))
    clock += 10 * DAY_NS
    store.add(at(60, 2))
    clock += 85 * DAY_NS
    store.add(at(120, 3))
    while store.writer.tidy():
        pass
    assert len(store.rows(schema.seen)) == 2
    # What was forgotten counts again, unless its capture is known; the rest does not.
    store.add(at(0, 1), at(60, 2), at(120, 3))
    assert store.only_device.snapshot.hellos == 4


def test_ids_are_looked_at_in_pieces(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(retention, "MOST_IDS", 3)
    store.add(*(at(n, n + 1) for n in range(10)))
    store.writer.retention._clock = lambda: START_NS + 91 * DAY_NS
    store.add(at(20, 20))
    assert tidied(store, at_ns=START_NS + 91 * DAY_NS) > 3
    assert len(store.rows(schema.seen)) == 1


def test_pieces_are_bounded_and_the_end_is_the_same(store: Store, monkeypatch) -> None:
    store.add(*(at(n * 3600, n + 1) for n in range(20)))
    pass_days(store, 95)
    monkeypatch.setattr(retention, "MOST_ROWS", 3)
    assert tidied(store) > 6
    assert spans(store) == ["day"]
    assert sum(row.hellos for row in store.rows(schema.activity)) == 20


def test_full_store_lets_go_of_events_and_hours_before_their_time_and_counts_them(
    store: Store,
) -> None:
    if not store.database.is_sqlite:
        with store.database.read() as connection:
            assert store.database.used_bytes(connection) == 0  # PostgreSQL tidies by itself
        return
    store.add(*(at(n * 3600, n + 1, outcome=Outcome.ESTABLISHED) for n in range(50)))
    store.add((handshake(START_NS, TLS12, source=bytes([10, 0, 0, 9]), frame=99), OK))
    pass_days(store, 30)
    with store.database.read() as connection:
        used = store.database.used_bytes(connection)
    assert 0 < used <= store.database.bytes()
    store.writer.retention._settings = replace(store.settings, cap_bytes=1)
    tidied(store)
    assert store.writer.retention.shed > 0
    assert len(store.rows(schema.event)) == retention.LEAST_EVENTS
    assert len(list(store.reader().devices())) == 2
    assert next(store.reader().devices()).snapshot.hellos in (1, 50)


def test_site_is_forgotten_whole_and_alone(store: Store) -> None:
    store.add(at(0, 1))
    elsewhere = store.another("two", site="Lyon")
    assert elsewhere.apply(store.delta(at(0, 2, source=bytes([10, 0, 0, 9]))))
    assert [device.site for device in store.reader().devices()] == ["", "Lyon"]
    assert [device.site for device in store.reader().devices(site="Lyon")] == ["Lyon"]
    assert forget_site(store.database, "Lyon") == 1
    assert [device.site for device in store.reader().devices()] == [""]
    assert {row.device_id for row in store.rows(schema.stack)} == {store.only_device.id}
    assert forget_site(store.database, "Lyon") == 0
