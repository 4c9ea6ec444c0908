"""What the store keeps of deltas, on SQLite and on PostgreSQL."""

from collections.abc import Sequence

import msgspec
import pytest
from handshakes import DAY_NS, PRINTER, SECOND_NS, SERVER, START_NS, handshake, hello
from stores import HOUR_NS, LEGACY, OK, PROFILES, REFUSED, TLS12, Store, at

from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Octets, Sighting, SightingSource, Status
from sniffer.export.ecs import encode
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.delta import Delta, Judged
from sniffer.inventory.device import status
from sniffer.inventory.store import schema
from sniffer.inventory.store.facts import device_text, read_device
from sniffer.inventory.store.recorder import open_recorder
from sniffer.inventory.store.writer import Writer


@pytest.fixture
def store(store_url: str) -> Store:
    return Store(store_url)


# ---------------------------------------------------------------------------- what is counted


def test_store_counts_what_the_aggregate_counts(store: Store) -> None:
    judged = [
        at(0, mac=b"\2\0\0\0\0\1"),
        at(5, **REFUSED),
        at(9, offer=TLS12, judged=OK),
        at(11, offer=TLS12, judged=OK, port=587),
    ]
    seen = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    for one in judged:
        seen.observe(*one)
    store.add(*judged[:2])
    store.add(*judged[2:])

    (expected,) = seen.snapshot().devices
    assert store.only_device.snapshot == expected


def test_a_mac_that_routers_share_is_told_of_as_the_aggregate_does(store: Store) -> None:
    judged = at(0, mac=bytes.fromhex("00005e000107"))
    seen = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    seen.observe(*judged)
    store.add(judged)
    (expected,) = seen.snapshot().devices
    assert store.only_device.snapshot == expected
    assert expected.own_mac is None


def test_a_delta_brought_again_changes_nothing(store: Store) -> None:
    delta = store.delta(at(0), at(1))
    assert store.writer.apply(delta)
    before = store.dump()
    assert not store.writer.apply(delta)
    assert not store.another("one").apply(delta)
    assert store.dump() == before


def test_a_handshake_counts_once_whoever_brings_it(store: Store) -> None:
    store.add(at(0), at(1), at(1))
    before = store.dump()
    other = store.another("two")
    assert other.apply(Delta(number=1, now_ns=START_NS, judged=(at(1), at(0))))
    assert store.dump() == before
    assert other.apply(Delta(number=2, now_ns=START_NS, judged=(at(2), at(0))))
    assert store.only_device.snapshot.hellos == 3


def test_order_and_size_of_deltas_do_not_matter(store: Store, tmp_path) -> None:
    judged = [at(n * 1800, **(REFUSED if n % 3 else {})) for n in range(12)]
    store.add(*judged)
    other = Store(f"sqlite:///{tmp_path}/other.db")
    for one in reversed(judged):
        other.add(one)
    mine, theirs = store.dump(), other.dump()
    for dump in (mine, theirs):
        dump.pop("profile")  # known since the first delta
    assert mine == theirs


def test_profiles_that_verdicts_rest_on_are_kept_with_their_editions(store: Store) -> None:
    store.add(at(0))
    told = {(row.name, row.checked, row.since_ns) for row in store.rows(schema.profile)}
    assert told == {(p.name, p.checked.isoformat(), START_NS) for p in PROFILES.values()}
    edition = {row.digest for row in store.rows(schema.profile)}
    changed = {
        name: msgspec.structs.replace(profile, title="Another")
        for name, profile in PROFILES.items()
    }
    later = Writer(store.database, "later", DEFAULT_PORTS, changed, encode)
    later.apply(Delta(number=1, now_ns=START_NS + DAY_NS, judged=(at(86_400),)))
    assert len({row.digest for row in store.rows(schema.profile)} - edition) == len(PROFILES)


def test_profiles_changed_by_a_reload_are_noted_by_the_running_writer(store: Store) -> None:
    settings = InventorySettings()
    counting = Aggregate(settings, DEFAULT_PORTS, PROFILES)
    recorder = open_recorder(str(store.database.name), counting, PROFILES, encode)
    counting.observe(*at(0))
    recorder.flush()
    (name, before), *_ = PROFILES.items()
    after = msgspec.structs.replace(before, title="Another")

    counting.use(settings, DEFAULT_PORTS, {**PROFILES, name: after}, 1000)
    counting.observe(*at(60))
    recorder.flush()
    recorder.close()
    kept = [(row.title, row.since_ns) for row in store.rows(schema.profile) if row.name == name]
    assert sorted(kept) == sorted(
        [(before.title, START_NS), ("Another", START_NS + 60 * SECOND_NS)]
    )


def test_profiles_of_a_transaction_taken_back_are_written_with_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    delta = store.delta(at(0))
    with monkeypatch.context() as broken:
        broken.setattr(store.writer, "_write_devices", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.writer.apply(delta)
    assert not store.rows(schema.profile)
    assert store.writer.apply(delta)
    assert len(store.rows(schema.profile)) == len(PROFILES)


# -------------------------------------------------------------------------------- what is kept


def test_ok_devices_keep_days_and_totals_alone(store: Store) -> None:
    store.add(at(7000, offer=TLS12, judged=OK), at(90_000, offer=TLS12, judged=OK, path="b.pcap"))

    device = store.only_device.snapshot
    assert (device.status, device.hellos) == (Status.OK, 2)
    assert {device.first_ns % DAY_NS, device.last_ns % DAY_NS} == {0}
    assert device.last_ns - device.first_ns == DAY_NS
    for table in (schema.activity, schema.event, schema.stack):
        assert store.rows(table) == []
    (row,) = store.rows(schema.device)
    assert "pcap" not in row.facts
    times = [n for n in _numbers(msgspec.json.decode(row.facts)) if n > DAY_NS]
    assert times
    assert all(n % DAY_NS == 0 for n in times)


def _numbers(value: object):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int):
        yield value


def test_one_refusal_among_good_handshakes_of_one_day_tells_nothing(store: Store) -> None:
    for second in (0, 10, 30):
        store.add(at(second, offer=TLS12, judged=OK))
    store.add(at(20, offer=TLS12, judged=OK, **REFUSED))
    assert store.only_device.snapshot.status is Status.OK
    assert store.rows(schema.activity) == []


def test_hours_begin_when_there_is_something_to_tell_and_what_was_before_is_not_lost(
    store: Store,
) -> None:
    store.add(at(0, offer=TLS12, judged=OK), at(40_000, offer=TLS12, judged=OK))
    store.add(at(90_000, offer=TLS12, judged=OK, **REFUSED))
    store.add(at(90_060, offer=TLS12, judged=OK, **REFUSED))

    device = store.only_device
    assert device.snapshot.status is Status.REFUSED
    turns = store.reader().story(device)
    assert [turn.status for turn in turns] == [Status.OK, Status.REFUSED]
    assert turns[1].since_ns // DAY_NS == (START_NS + 90_000 * SECOND_NS) // DAY_NS
    assert sum(row.hellos for row in store.rows(schema.activity)) == 4


def test_each_stack_of_a_telling_device_keeps_one_hello_and_its_newest_events(
    store_url: str,
) -> None:
    store = Store(store_url, events=5)
    store.add(*(at(n) for n in range(9)), *(at(n, offer=TLS12, judged=OK) for n in range(20, 23)))

    stacks = {row.number: msgspec.json.decode(row.hello) for row in store.rows(schema.stack)}
    assert sorted(hello["legacy_version"] for hello in stacks.values()) == [0x0301, 0x0303]
    kept = [msgspec.json.decode(one.told) for one in store.reader().events()]
    seconds = [one["@timestamp"][17:19] for one in kept]
    assert seconds == ["04", "05", "06", "07", "08", "20", "21", "22"]


def test_one_handshake_of_each_stack_is_kept_as_it_stood_on_the_wire(store: Store) -> None:
    store.add(at(0))
    assert store.reader().exhibits(store.only_device) == []
    store.add(*(at(n, octets=Octets(b"hello %d" % n, b"answer")) for n in (1, 2)))
    store.add(at(3, octets=Octets(b"hello 3")), at(4, offer=TLS12, octets=Octets(b"other")))

    first, second = (one.exhibit for one in store.reader().exhibits(store.only_device))
    assert (first.time_ns, first.path, first.frame) == (START_NS + SECOND_NS, "a.pcap", 1)
    assert (first.hello, first.answer, first.record_version) == (b"hello 1", b"answer", 0x0301)
    assert (bytes.fromhex(first.destination), first.destination_port) == (SERVER, 993)
    assert second.hello == b"other"
    earlier = store.reader(START_NS + 3 * SECOND_NS)
    (device,) = earlier.devices()
    (shown,) = earlier.exhibits(device)
    assert (shown.exhibit.hello, shown.source, shown.mac) == (b"hello 1", PRINTER, None)
    # Whose it is stands in the device's row alone, so that a pseudonym hides it.
    (row, *_) = store.rows(schema.stack)
    assert PRINTER.hex() not in row.exhibit
    assert "192.0.2.7" not in row.exhibit


def test_a_flood_of_detail_is_summed(store: Store) -> None:
    """Reliability row A5: 64 names, 16 stacks, 64 destinations are kept, the rest is summed."""
    flood = [
        at(
            n,
            offer=hello(name=b"n%d.example" % n, suites=(n + 1,)),
            destination=n.to_bytes(4, "big"),
        )
        for n in range(300)
    ]
    for some in range(0, 300, 50):
        store.add(*flood[some : some + 50])
    (row,) = store.rows(schema.device)
    facts = msgspec.json.decode(row.facts)
    assert (len(facts["stacks"]), len(facts["names"])) == (16, 64)
    assert all(len(stack["destinations"]) <= 64 for stack in facts["stacks"])
    assert sum(stack["hellos"] for stack in facts["stacks"]) + facts["rest"]["hellos"] == 300
    assert len(store.rows(schema.stack)) <= 64
    assert sum(row.hellos for row in store.rows(schema.activity)) == 300


def test_what_is_stored_of_a_device_reads_back_as_it_was() -> None:
    seen = Aggregate(InventorySettings(stacks=2, names=2), DEFAULT_PORTS, PROFILES)
    for n in range(6):
        name = b"\xff\0n%d" % n
        seen.observe(*at(n, offer=hello(name=name, suites=(n + 1,)), **(REFUSED if n % 2 else {})))
    ((_, device),) = seen.devices()
    text = device_text(device)
    again = read_device(text)
    assert device_text(again) == text
    assert status(again, again.last_ns) is status(device, device.last_ns)
    again.merge(device, 2, 2, 64)
    assert again.hellos == 12


# ---------------------------------------------------------------------------------- coverage


def test_coverage_is_kept_by_sensor_and_hour_and_adds_up(store: Store) -> None:
    store.watch(START_NS, START_NS + 90 * 60 * SECOND_NS)
    store.watch(START_NS + 90 * 60 * SECOND_NS, START_NS + 2 * HOUR_NS, frames_dropped=3)
    store.watch(START_NS, START_NS + HOUR_NS // 2, sensor="eth1")

    rows = {(row.sensor, row.start_ns): row.seconds for row in store.rows(schema.coverage)}
    assert rows == {
        ("eth0", START_NS): 3600,
        ("eth0", START_NS + HOUR_NS): 3600,
        ("eth0", START_NS + 2 * HOUR_NS): 0,
        ("eth1", START_NS): 1800,
    }
    whole = store.reader().coverage()
    assert (whole.frames, whole.frames_dropped) == (30, 3)
    assert (whole.first_ns, whole.last_ns) == (START_NS, START_NS + 2 * HOUR_NS)


def test_days_that_nobody_watched_do_not_make_a_device_silent(store: Store) -> None:
    store.add(at(0))
    store.watch(START_NS, START_NS + HOUR_NS)
    store.watch(START_NS + 40 * DAY_NS, START_NS + 40 * DAY_NS + HOUR_NS)
    assert store.only_device.snapshot.status is Status.LEGACY
    for day in range(1, 40):
        store.watch(START_NS + day * DAY_NS, START_NS + day * DAY_NS + SECOND_NS)
    assert store.only_device.snapshot.status is Status.SILENT


# ------------------------------------------------------------------------------------- time


def test_clock_that_jumps_never_takes_last_seen_back(store: Store) -> None:
    """Reliability row D8: clock back, and frames of 1970 and 2106."""
    store.add(at(0), now_ns=START_NS)
    store.add(at(-7200), now_ns=START_NS - 7200 * SECOND_NS)
    device = store.only_device.snapshot
    assert (store.reader().now_ns, device.last_ns) == (START_NS, START_NS)

    store.add((handshake(5, source=bytes([10, 0, 0, 9])), LEGACY))
    in_2106 = 4_294_967_000 * SECOND_NS
    store.add((handshake(in_2106, source=bytes([10, 0, 0, 8])), LEGACY))
    seen = {
        one.ip: (one.snapshot.first_ns, one.snapshot.last_ns) for one in store.reader().devices()
    }
    assert seen == {
        "10.0.0.8": (in_2106, in_2106),
        "10.0.0.9": (5, 5),
        "192.0.2.7": (START_NS - 7200 * SECOND_NS, START_NS),
    }
    turns = {one.ip: store.reader().story(one) for one in store.reader().devices()}
    assert all(list(told) == sorted(told) for told in turns.values())


def test_clock_that_jumps_over_a_century_makes_no_hours_between(store: Store) -> None:
    store.watch(5, 4_294_967_000 * SECOND_NS)
    assert [row.start_ns for row in store.rows(schema.coverage)] == [
        0,
        4_294_967_000 // 3600 * HOUR_NS,
    ]


def test_an_earlier_moment_is_answered_as_it_was(store: Store) -> None:
    store.add(at(0))
    store.add(*(at(86_400 + n, **REFUSED) for n in range(3)))
    store.add(at(100_000, source=bytes([10, 0, 0, 9])))
    store.watch(START_NS, START_NS + 3 * DAY_NS)

    before = store.reader(START_NS + HOUR_NS)
    (device,) = before.devices()
    assert (device.snapshot.status, device.snapshot.hellos) == (Status.LEGACY, 1)
    assert [turn.status for turn in before.story(device)] == [Status.LEGACY]
    assert {one.ip: one.snapshot.status for one in store.reader().devices()} == {
        "10.0.0.9": Status.LEGACY,
        "192.0.2.7": Status.REFUSED,
    }


def test_devices_of_another_site_are_others(store: Store) -> None:
    store.add(at(0))
    branch = store.another("branch", site="branch")
    branch.apply(Delta(number=1, now_ns=START_NS, judged=(at(1), at(2))))
    listed = [(one.site, one.ip, one.snapshot.hellos) for one in store.reader().devices()]
    assert listed == [("", "192.0.2.7", 1), ("branch", "192.0.2.7", 2)]
    assert len({one.id for one in store.reader().devices()}) == 2
    assert len(store.reader().find("192.0.2.7")) == 2


def test_many_devices_are_read_in_pages_and_in_order(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("sniffer.inventory.store.reader.PAGE", 7)
    store.add(*(at(n, source=bytes([10, 0, n // 256, n % 256])) for n in range(300, 0, -1)))
    store.add(at(400, source=bytes(16)), at(401, source=PRINTER, destination=SERVER))
    listed = [one.ip for one in store.reader().devices()]
    assert listed == [*(f"10.0.{n // 256}.{n % 256}" for n in range(1, 301)), "192.0.2.7", "::"]
    assert len(list(store.reader().events())) == 302


# ---------------------------------------------------------------------- what devices say


def counted(*judged: Judged, said: Sequence[Sighting]) -> Aggregate:
    aggregate = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    aggregate.keep(100)
    for one in judged:
        aggregate.observe(*one)
    for sighting in said:
        aggregate.observe_sighting(sighting)
    return aggregate


def hostname(seconds: float, name: bytes) -> Sighting:
    time_ns = START_NS + int(seconds * SECOND_NS)
    return Sighting(time_ns, SightingSource.DHCP, address=PRINTER, name=name)


def test_names_are_kept_with_their_times_whatever_is_in_them(store):
    odd = b"=cmd\0\xff<b>"
    aggregate = counted(at(0), said=[hostname(-5, b"hp"), hostname(7, b"hp"), hostname(9, odd)])
    for _ in range(2):
        delta = msgspec.structs.replace(aggregate.drain(), number=next(store.numbers))
        assert store.writer.apply(delta)
    said = store.only_device.snapshot.sayings
    assert [(one.source, one.what, one.text) for one in said] == [
        ("dhcp", "name", odd),
        ("dhcp", "name", b"hp"),
    ]
    assert said[1][3:] == (START_NS - 5 * SECOND_NS, START_NS + 7 * SECOND_NS)
    (earlier,) = store.reader(START_NS + SECOND_NS).devices()
    assert [one.text for one in earlier.snapshot.sayings] == [b"hp"]


def test_of_devices_that_are_ok_names_keep_the_day_alone(store):
    assert store.writer.apply(counted(at(0, judged=OK), said=[hostname(9, b"hp")]).drain())
    (saying,) = store.only_device.snapshot.sayings
    assert (saying.first_ns, saying.last_ns) == (START_NS // DAY_NS * DAY_NS,) * 2


def test_the_newest_names_of_a_device_are_kept(store):
    said = [hostname(n, b"%03d" % n) for n in range(64)]
    assert store.writer.apply(counted(at(0), said=said).drain())
    for lot in (1, 2):
        more = [hostname(n, b"%03d" % n) for n in range(64 * lot, 64 * lot + 64)]
        delta = counted(at(0), said=more).drain()
        assert store.writer.apply(msgspec.structs.replace(delta, number=lot + 1))
    kept = [int(one.text) for one in store.only_device.snapshot.sayings]
    assert kept == list(range(64, 192))


def test_name_that_is_no_mac_does_not_mean_the_devices_without_one(store: Store) -> None:
    store.add((handshake(), LEGACY), (handshake(source=bytes([10, 0, 0, 9])), LEGACY))
    assert [found.ip for found in store.reader().find("192.0.2.7")] == ["192.0.2.7"]
    assert store.reader().find("nobody") == []
