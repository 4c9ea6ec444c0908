"""What is counted, what is remembered, what is shed, and what is said of a device."""

import dataclasses
import gc
import tracemalloc
from collections import Counter, OrderedDict

import msgspec
import pytest
from handshakes import (
    DAY_NS,
    OUTLOOK,
    PRINTER,
    SECOND_NS,
    SERVER,
    START_NS,
    handshake,
    hello,
    judgement,
)

from parsers.tls.facts import SSL_2_0, SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3
from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Octets, Outcome, Session, Side, Status, Sure, Verdict
from sniffer.export.summary import summary
from sniffer.export.words import (
    duration,
    ends,
    nothing_yet,
    short_version,
    status_words,
    verdict_words,
)
from sniffer.inventory.aggregate import Aggregate, make_shape
from sniffer.inventory.assessment import assess
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.device import destination_key, read_destination
from sniffer.judge.profile import load_profiles

PROFILES = load_profiles()
FIT = Coverage(frames=1000, bytes=100_000, flows=10, hellos=10)

TLS12 = hello(TLS_1_2)
OK = judgement(Verdict.OK)
LEGACY = judgement(Verdict.LEGACY)
REFUSED = {"outcome": Outcome.ALERT, "refused_by": Side.SERVER}


def aggregate(**settings: int) -> Aggregate:
    return Aggregate(InventorySettings(**settings), DEFAULT_PORTS, PROFILES)


def only_device(seen: Aggregate):
    (device,) = seen.snapshot().devices
    return device


def address(number: int) -> bytes:
    return b"\x0a" + number.to_bytes(3, "big")


# ------------------------------------------------------------------------------ what is counted


def test_totals_count_every_hello_by_service_version_verdict_and_outcome():
    seen = aggregate()
    seen.observe(handshake(), LEGACY)
    seen.observe(handshake(outcome=Outcome.RESET), LEGACY)
    seen.observe(handshake(offer=TLS12, port=587), judgement(Verdict.OK, "submission"))
    seen.observe(handshake(offer=hello(None)), judgement(Verdict.UNKNOWN, "tls", None))

    assert [tuple(cell) for cell in seen.snapshot().cells] == [
        ("imaps", TLS_1_0, "legacy", "established", 1),
        ("imaps", TLS_1_0, "legacy", "reset", 1),
        ("submission", TLS_1_2, "ok", "established", 1),
        ("tls", None, "unknown", "established", 1),
    ]
    assert seen.hellos == 4


def test_device_knows_first_and_last_seen_whatever_the_order():
    seen = aggregate()
    for second in (5, 9, 1, 7):
        seen.observe(handshake(START_NS + second * SECOND_NS, frame=second), LEGACY)

    device = only_device(seen)
    (stack,) = device.stacks
    assert (device.first_ns, device.last_ns) == (START_NS + SECOND_NS, START_NS + 9 * SECOND_NS)
    assert stack.first == (START_NS + SECOND_NS, "a.pcap", 1)
    assert stack.last == (START_NS + 9 * SECOND_NS, "a.pcap", 9)


def test_now_is_the_newest_time_and_never_goes_back():
    seen = aggregate()
    seen.observe(handshake(START_NS + SECOND_NS), LEGACY)
    seen.observe(handshake(START_NS), LEGACY)
    seen.tick(START_NS)
    assert seen.now_ns == START_NS + SECOND_NS
    seen.tick(START_NS + DAY_NS)
    assert seen.now_ns == START_NS + DAY_NS


def test_mac_is_the_newest_one_seen():
    seen = aggregate()
    seen.observe(handshake(START_NS + 1, mac=b"\2\0\0\0\0\2"), LEGACY)
    seen.observe(handshake(START_NS + 2, mac=None), LEGACY)
    seen.observe(handshake(START_NS, mac=b"\2\0\0\0\0\1"), LEGACY)
    assert only_device(seen).mac == b"\2\0\0\0\0\2"


def test_stack_lists_services_outcomes_and_destinations():
    seen = aggregate()
    seen.observe(handshake(), LEGACY)
    seen.observe(handshake(**REFUSED), LEGACY)
    seen.observe(handshake(port=995), judgement(service="pop3s"))
    seen.observe(handshake(offer=hello(name=None)), judgement(profile=None))

    device = only_device(seen)
    (stack,) = device.stacks
    assert stack.services == ("imaps", "pop3s")
    assert stack.outcomes == {"established": 3, "alert": 1}
    assert [tuple(d) for d in stack.destinations] == [
        (SERVER, 993, "imaps", None, "other", 1),
        (SERVER, 993, "imaps", OUTLOOK, "exchange-online", 2),
        (SERVER, 995, "pop3s", OUTLOOK, "exchange-online", 1),
    ]
    assert device.names == ((OUTLOOK, 3),)


@pytest.mark.parametrize(
    ("one", "other", "stacks"),
    [
        pytest.param(hello(), hello(name=b"imap.example.net"), 1, id="another name"),
        pytest.param(hello(), hello(record=0x0300), 2, id="another record version"),
        pytest.param(hello(TLS_1_0), hello(TLS_1_1), 2, id="another version"),
        pytest.param(hello(), hello(suites=(0x002F,)), 2, id="other suites"),
        pytest.param(
            hello(TLS_1_3, extensions=(0, 10, 0x1A1A, 43)),
            hello(TLS_1_3, extensions=(0xFAFA, 43, 10, 0)),
            1,
            id="shuffled extensions with GREASE",
        ),
    ],
)
def test_stack_is_one_shape_of_hello(one, other, stacks):
    seen = aggregate()
    seen.observe(handshake(offer=one), LEGACY)
    seen.observe(handshake(offer=other), LEGACY)
    assert len(only_device(seen).stacks) == stacks


def test_cut_and_sslv2_hellos_are_stacks_without_ja4():
    cut = make_shape(hello(None))
    old = make_shape(
        dataclasses.replace(
            hello(), hello_format="sslv2", record_version=None, legacy_version=SSL_2_0
        )
    )
    assert (cut.ja4, cut.id, cut.max_offered) == (None, "cut_0301_0303", None)
    assert (old.ja4, old.id, old.max_offered) == (None, "sslv2_none_0002", SSL_2_0)


def test_stack_id_stays_short_with_a_hundred_versions():
    many = dataclasses.replace(hello(), supported_versions=tuple(range(0x0400, 0x0464)))
    more = dataclasses.replace(hello(), supported_versions=tuple(range(0x0400, 0x0465)))
    assert len(make_shape(many).id) < 100
    assert make_shape(many).id != make_shape(more).id


@pytest.mark.parametrize("octets", [4, 16])
@pytest.mark.parametrize("name", [None, b"imap.example.net", b"\0\xff other \0"])
@pytest.mark.parametrize("label", ["other", "exchange-online"])
def test_destination_key_is_read_back(octets, name, label):
    ip = bytes(range(octets))
    assert read_destination(destination_key(label.encode(), ip, 995, name)) == (
        label,
        ip,
        995,
        name,
    )


def test_octets_are_kept_for_the_store_once_a_stack_and_only_of_what_may_be_refused():
    octets = Octets(b"hello")
    seen = aggregate()
    seen.keep(5)
    for n in range(2):
        seen.observe(handshake(START_NS + n, octets=octets), LEGACY)
    seen.observe(handshake(offer=TLS12, octets=octets), OK)
    seen.observe(handshake(offer=TLS12, octets=octets, **REFUSED), OK)
    seen.observe(handshake(source=SERVER, octets=octets), LEGACY)
    seen.observe(handshake(source=SERVER, offer=TLS12, octets=octets), LEGACY)
    delta = seen.drain()
    kept = [one.octets is not None for one, _ in delta.judged]
    assert (kept, delta.lost) == ([True, False, False, True, True], 1)
    seen.observe(handshake(octets=octets), LEGACY)
    assert [one.octets for one, _ in seen.drain().judged] == [octets]


def test_snapshot_does_not_change_any_more():
    seen = aggregate()
    seen.observe(handshake(), LEGACY)
    before = seen.snapshot()
    kept = msgspec.json.encode(before)
    seen.observe(handshake(START_NS + DAY_NS, **REFUSED), LEGACY)
    assert msgspec.json.encode(before) == kept
    with pytest.raises(AttributeError):
        before.hellos = 5


# --------------------------------------------------------------------------------- what is shed


def test_a_hundred_thousand_names_shapes_and_destinations_keep_64_16_64():
    """Reliability row A5."""
    seen = aggregate()
    count = 100_000
    seen.observe(handshake(), LEGACY)
    for i in range(count):
        offer = hello(TLS_1_2, suites=(0x1000 + i // 300, 0x2000 + i % 300), name=b"%d.example" % i)
        seen.observe(handshake(START_NS + i, offer, destination=address(i)), OK)

    device = only_device(seen)
    kept = [stack for stack in device.stacks if stack.shape is not None]
    (rest,) = [stack for stack in device.stacks if stack.shape is None]
    assert (len(kept), len(device.names)) == (16, 64)
    assert sum(stack.hellos for stack in device.stacks) == seen.hellos == count + 1
    assert rest.hellos == count + 1 - sum(stack.hellos for stack in kept)
    assert rest.destinations == ()
    assert rest.other_hellos == rest.hellos
    # The one old stack is not lost among the new ones.
    assert [stack.verdict for stack in kept].count(Verdict.LEGACY) == 1

    one_stack = aggregate()
    for i in range(count):
        one_stack.observe(handshake(START_NS + i, TLS12, destination=address(i)), OK)
    (stack,) = only_device(one_stack).stacks
    assert len(stack.destinations) == 64
    assert stack.other_hellos == count - 64


def test_beyond_the_bound_devices_that_are_ok_go_first_and_the_stalest_of_them():
    seen = aggregate(devices=16)
    seen.observe(handshake(source=PRINTER), LEGACY)
    for i in range(100):
        seen.observe(handshake(START_NS + i, TLS12, source=address(i)), OK)
        if i == 90:
            seen.observe(handshake(START_NS + i, TLS12, source=address(85)), OK)

    snapshot = seen.snapshot()
    kept = [device.address for device in snapshot.devices]
    assert len(kept) == 16
    assert PRINTER in kept
    assert address(85) in kept
    assert address(86) in kept
    assert address(84) not in kept
    assert snapshot.devices_let_go == 101 - 16
    assert snapshot.hellos == 102


def test_a_device_refused_is_kept_before_one_that_is_ok():
    seen = aggregate(devices=16)
    seen.observe(handshake(offer=TLS12, **REFUSED), OK)
    for i in range(50):
        seen.observe(handshake(START_NS + i, TLS12, source=address(i)), OK)
    assert PRINTER in [device.address for device in seen.snapshot().devices]


def test_flood_of_detail_is_summed_beyond_a_budget_for_all_devices():
    seen = aggregate(devices=16)
    for i in range(16):
        for k in range(200):
            offer = hello(TLS_1_2, suites=(k + 1,), name=b"%d.example" % k)
            seen.observe(handshake(START_NS, offer, source=address(i)), OK)

    devices = seen.snapshot().devices
    rows = sum(
        len(d.names) + sum(1 + len(s.destinations) for s in d.stacks if s.shape) for d in devices
    )
    assert len(devices) == 16
    assert rows <= 6 * 16 + 3 * 16
    assert all(device.stacks[0].shape is not None for device in devices)
    assert sum(stack.hellos for d in devices for stack in d.stacks) == 16 * 200


def test_long_server_names_are_cut():
    seen = aggregate()
    seen.observe(handshake(offer=hello(name=b"a" * 65_000)), LEGACY)
    device = only_device(seen)
    assert [len(name) for name, _ in device.names] == [255]
    assert [len(d.name) for d in device.stacks[0].destinations] == [255]


def test_device_takes_little_more_than_a_kilobyte():
    count = 5000
    offers = [handshake(START_NS + i, TLS12, source=address(i), frame=i) for i in range(count)]
    seen = aggregate()
    gc.collect()
    tracemalloc.start()
    try:
        for offer in offers:
            seen.observe(offer, OK)
        taken = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert taken < 1350


def test_keys_from_the_wire_are_octets_or_text():
    """Reliability rule 6: the hash of an int or a tuple is not keyed."""
    seen = aggregate()
    for i in range(20):
        seen.observe(handshake(START_NS, source=address(i)), LEGACY)
        seen.observe(handshake(START_NS, TLS12, **REFUSED, source=address(i + 50)), OK)
    seen.figures()

    dicts = [o for o in reachable(seen) if isinstance(o, dict | OrderedDict)]
    keys = {type(key) for d in dicts for key in d}
    assert keys <= {bytes, str, Verdict, Outcome, Status, type(None)}


def reachable(root: object) -> list[object]:
    """Return the containers and objects of ours that can be reached from one."""
    found: dict[int, object] = {}
    open_ = [root]
    while open_:
        it = open_.pop()
        if id(it) in found or it is PROFILES or it is DEFAULT_PORTS:
            continue
        found[id(it)] = it
        if isinstance(it, dict):
            open_ += it.values()
        elif isinstance(it, list | tuple):
            open_ += it
        elif type(it).__module__.startswith("sniffer"):
            slots = {name for kind in type(it).__mro__ for name in getattr(kind, "__slots__", ())}
            open_ += [getattr(it, name) for name in slots]
            open_ += getattr(it, "__dict__", {}).values()
    return list(found.values())


# ------------------------------------------------------------------ services, side by side


def service_rows(*pairs) -> dict[str, tuple[Status, Verdict]]:
    seen = aggregate()
    for one, judged in pairs:
        seen.observe(one, judged)
    return {row.service: (row.status, row.verdict) for row in only_device(seen).services}


def test_one_service_of_a_device_may_survive_where_another_is_refused():
    mail = judgement(Verdict.OK, service="submission")
    rows = service_rows(
        *((handshake(START_NS + i, **REFUSED), LEGACY) for i in range(3)),
        *((handshake(START_NS + i, TLS12, port=587), mail) for i in range(3)),
    )
    assert rows == {
        "imaps": (Status.REFUSED, Verdict.LEGACY),
        "submission": (Status.OK, Verdict.OK),
    }


def test_good_handshakes_with_one_service_do_not_prove_another_fixed():
    mail = judgement(Verdict.OK, service="submission")
    pairs = [old(0)]
    pairs += [new(day) for day in (1, 2, 3, 4)]
    pairs += [(handshake(START_NS + int(d * DAY_NS), TLS12, port=587), mail) for d in range(5, 20)]
    seen = aggregate()
    for one, judged in pairs:
        seen.observe(one, judged)
    assert only_device(seen).status is Status.IMPROVING
    seen.observe(*new(21))
    assert only_device(seen).status is Status.FIXED


@pytest.mark.parametrize("verdict", [Verdict.INCOMPATIBLE, Verdict.AT_RISK])
def test_device_that_lacked_cryptography_is_fixed_as_one_of_old_tls_is(verdict: Verdict):
    seen = aggregate()
    seen.observe(handshake(offer=hello(TLS_1_2, suites=(0x009D,))), judgement(verdict))
    for day in (1, 2, 3, 4):
        seen.observe(*new(day))
    assert only_device(seen).status is Status.IMPROVING
    seen.observe(*new(9))
    assert only_device(seen).status is Status.FIXED
    said = summary([], seen.snapshot(), FIT, PROFILES)["devices"][0]
    assert "offered only what is or may be refused until 2026-11-23" in said["why"]
    seen.observe(handshake(START_NS + 10 * DAY_NS, hello(TLS_1_2, suites=(0x009D,))), OK)
    assert only_device(seen).status is Status.FIXED
    again = handshake(START_NS + 11 * DAY_NS, hello(TLS_1_2, suites=(0x009D,)))
    seen.observe(again, judgement(verdict))
    assert only_device(seen).status.value == verdict.value


# ----------------------------------------------------------------------- where a device stands


def old(day: float, **more: object):
    return handshake(START_NS + int(day * DAY_NS), **more), LEGACY


def new(day: float, **more: object):
    return handshake(START_NS + int(day * DAY_NS), TLS12, **more), OK


def weekly(verdict: Verdict):
    return handshake(offer=hello(TLS_1_2, suites=(0x009D,))), judgement(verdict)


STATUSES = [
    pytest.param([old(0)], 0, Status.LEGACY, id="old TLS"),
    pytest.param([old(0), new(0)], 0, Status.LEGACY, id="old and new TLS behind one address"),
    pytest.param([new(0)], 0, Status.OK, id="new TLS"),
    pytest.param(
        [(handshake(), judgement(Verdict.FALLBACK))], 0, Status.OK, id="only ever fell back"
    ),
    pytest.param(
        [(handshake(offer=hello(None)), judgement(Verdict.UNKNOWN))],
        0,
        Status.UNKNOWN,
        id="hello cut",
    ),
    pytest.param([weekly(Verdict.INCOMPATIBLE)], 0, Status.INCOMPATIBLE, id="incompatible"),
    pytest.param([weekly(Verdict.AT_RISK)], 0, Status.AT_RISK, id="at risk"),
    pytest.param(
        [weekly(Verdict.AT_RISK), weekly(Verdict.INCOMPATIBLE)],
        0,
        Status.INCOMPATIBLE,
        id="the graver of two",
    ),
    pytest.param([old(0, **REFUSED)], 0, Status.REFUSED, id="old TLS, refused"),
    pytest.param([new(0, **REFUSED)], 0, Status.REFUSED, id="new TLS, refused"),
    pytest.param([new(0), new(0.1, **REFUSED)], 0.1, Status.OK, id="refused once after success"),
    pytest.param(
        [new(0), new(0.1, **REFUSED), new(0.2, **REFUSED)],
        0.2,
        Status.REFUSED,
        id="refused twice after success",
    ),
    pytest.param(
        [new(0, **REFUSED), new(0.1, **REFUSED), new(0.2)], 0.2, Status.OK, id="works again"
    ),
    pytest.param([new(0)], 34.9, Status.OK, id="quiet for 34 days"),
    pytest.param([new(0)], 35, Status.SILENT, id="quiet for 35 days"),
    pytest.param([old(0)], 35, Status.SILENT, id="old TLS, quiet for 35 days"),
    pytest.param([old(0)], 10, Status.LEGACY, id="old TLS, quiet for 10 days, nothing new"),
    pytest.param([old(0), new(0.5)], 0.9, Status.LEGACY, id="new TLS, old an hour ago"),
    pytest.param([old(0), new(1.5)], 1.5, Status.IMPROVING, id="new TLS since yesterday"),
    pytest.param(
        [old(0), *(new(1 + i) for i in range(4))], 8, Status.IMPROVING, id="four good handshakes"
    ),
    pytest.param(
        [old(0), *(new(1 + i) for i in range(5))], 6.9, Status.IMPROVING, id="six days quiet"
    ),
    pytest.param(
        [old(0), *(new(1 + i) for i in range(5))], 7, Status.FIXED, id="a week and five handshakes"
    ),
    pytest.param(
        [old(-8), old(0), *(new(1 + i) for i in range(9))],
        10,
        Status.LEGACY,
        id="it speaks once in eight days",
    ),
    pytest.param(
        [old(0), new(-1), *(new(1 + i) for i in range(9))],
        10,
        Status.IMPROVING,
        id="the good program was there before",
    ),
    pytest.param(
        [old(0, port=995), *(new(1 + i) for i in range(9))],
        10,
        Status.FIXED,
        id="judged by its service, not its port",
    ),
    pytest.param(
        [
            (handshake(port=995), judgement(service="pop3s")),
            *(new(1 + i) for i in range(9)),
        ],
        10,
        Status.IMPROVING,
        id="proof on another service is none",
    ),
]


@pytest.mark.parametrize(("observed", "day", "status"), STATUSES)
def test_status_of_a_device(observed, day, status):
    seen = aggregate()
    for pair in observed:
        seen.observe(*pair)
    seen.tick(START_NS + int(day * DAY_NS))

    counted = {s: n for s, n in seen.figures().statuses.items() if n}
    assert only_device(seen).status is status
    assert {s: n for s, n in seen.figures().statuses.items() if n} == {status: 1}
    assert counted == {status: 1}


def test_statuses_counted_on_the_way_are_those_of_a_fresh_look():
    seen = aggregate(devices=32)
    for i in range(400):
        time_ns = START_NS + i * DAY_NS // 4
        source = address(i * 7 % 61)
        if i % 3:
            seen.observe(handshake(time_ns, TLS12, source=source), OK)
        elif i % 2:
            seen.observe(handshake(time_ns, source=source), LEGACY)
        else:
            seen.observe(handshake(time_ns, TLS12, **REFUSED, source=source), OK)
        if i % 50 == 0:
            counted = {s: n for s, n in seen.figures().statuses.items() if n}
            assert counted == Counter(device.status for device in seen.snapshot().devices)


# ------------------------------------------------------------------------- what is said of one


def said(*observed, coverage: Coverage = FIT, day: float = 0, profiles=PROFILES):
    seen = aggregate()
    for pair in observed:
        seen.observe(*pair)
    seen.tick(START_NS + int(day * DAY_NS))
    snapshot = seen.snapshot()
    fit = coverage.fitness().fit
    return assess(snapshot.devices[0], "10.0.0.7", snapshot.now_ns, profiles, fit, {})


def unnamed(verdict: Verdict = Verdict.LEGACY):
    return handshake(offer=hello(name=b"mail.example.net")), judgement(verdict, profile=None)


def at_gmail():
    return handshake(offer=hello(name=b"imap.gmail.com")), judgement(profile="gmail")


@pytest.mark.parametrize(
    ("observed", "coverage", "will_break"),
    [
        pytest.param([old(0)], FIT, True, id="old TLS, window"),
        pytest.param([old(0)], Coverage(), True, id="old TLS, window, capture unfit"),
        pytest.param([weekly(Verdict.INCOMPATIBLE)], FIT, True, id="incompatible, window"),
        pytest.param([weekly(Verdict.AT_RISK)], FIT, None, id="at risk"),
        pytest.param([unnamed()], FIT, None, id="old TLS, no profile"),
        pytest.param([at_gmail()], FIT, False, id="old TLS, no window announced"),
        pytest.param([at_gmail(), unnamed()], FIT, None, id="one of two not named"),
        pytest.param([new(0)], FIT, False, id="new TLS"),
        pytest.param([new(0)], Coverage(), None, id="new TLS, capture unfit"),
        pytest.param(
            [(handshake(offer=hello(None)), judgement(Verdict.UNKNOWN))], FIT, None, id="unknown"
        ),
    ],
)
def test_will_break(observed, coverage, will_break):
    assert said(*observed, coverage=coverage).will_break is will_break


def test_fixed_device_will_not_break():
    told = said(old(0), *(new(1 + i) for i in range(5)), day=7)
    assert (told.will_break, told.breaks, told.next_step) == (False, None, None)


def test_silent_device_cannot_be_told():
    assert said(old(0), day=40).will_break is None


@pytest.mark.parametrize(
    ("observed", "day", "when", "start", "until"),
    [
        pytest.param([old(0, **REFUSED)], 0, "already-refused", "2026-08-01", "2026-12-31", id="r"),
        pytest.param([old(0)], 0, "window-open", "2026-08-01", "2026-12-31", id="open"),
        pytest.param([old(-200)], -200, "dated", "2026-08-01", "2026-12-31", id="before"),
        pytest.param([at_gmail()], 0, "not-announced", None, None, id="gmail"),
        pytest.param([unnamed()], 0, "unknown", None, None, id="no profile"),
        pytest.param(
            [(handshake(port=587), judgement(service="submission"))],
            0,
            "window-open",
            "2022-02-01",
            None,
            id="no end",
        ),
    ],
)
def test_breaks(observed, day, when, start, until):
    breaks = said(*observed, day=day).breaks
    assert (breaks.when, breaks.start, breaks.until) == (when, start, until)
    assert (breaks.source is not None) == (start is not None)


def test_breaks_names_the_most_urgent_destination():
    assert said(at_gmail(), unnamed(), old(0)).breaks.when == "window-open"


def test_certificate_rejected_by_the_client_is_no_enforcement():
    rejected = {"outcome": Outcome.ALERT, "refused_by": Side.CLIENT}
    told = said(old(0, **rejected))
    assert told.breaks.when == "window-open"
    assert told.why == "10.0.0.7 rejects the server's certificate, last on 2026-11-23."


def test_notices_are_those_of_services_in_use():
    told = said(new(0))
    expected = PROFILES["exchange-online"].notices("imaps")
    assert expected
    assert [notice.text for notice in told.notices] == [notice.text for notice in expected]
    assert said(unnamed(Verdict.OK)).notices == ()


@pytest.mark.parametrize(
    ("observed", "day", "why"),
    [
        pytest.param(
            [old(0)],
            0,
            "10.0.0.7 offers at most TLS 1.0 to Exchange Online (imaps), "
            "where this is being switched off, for good by 2026-12-31.",
            id="legacy",
        ),
        pytest.param(
            [unnamed()],
            0,
            "10.0.0.7 offers at most TLS 1.0 to mail.example.net (imaps), "
            "of which it is not known how long that is accepted.",
            id="no profile",
        ),
        pytest.param(
            [old(0, **REFUSED)],
            0,
            "10.0.0.7 is refused by the server, last on 2026-11-23; "
            "it offers at most TLS 1.0 to Exchange Online (imaps).",
            id="refused",
        ),
        pytest.param(
            [new(0)], 0, "10.0.0.7 offers TLS 1.2 or newer wherever it was seen.", id="ok"
        ),
        pytest.param(
            [new(0)], 36, "10.0.0.7 was last seen on 2026-11-23, 36 days ago.", id="silent"
        ),
        pytest.param(
            [(handshake(), judgement(Verdict.FALLBACK))],
            0,
            "10.0.0.7 can do TLS 1.2 and fell back to an older version for a retry.",
            id="fallback",
        ),
    ],
)
def test_why_is_one_sentence(observed, day, why):
    assert said(*observed, day=day).why == why


def thrown_out(sure: Sure | None = Sure.LIKELY) -> Session:
    return Session(0, 101, 0.1, Side.SERVER, sure)


@pytest.mark.parametrize(
    ("observed", "why", "next_step"),
    [
        pytest.param(
            [old(0), old(1, session=thrown_out()), old(2, session=thrown_out())],
            "; Exchange Online (imaps) agreed on TLS with it, and then most likely threw it out "
            "at once, 2 times, last on 2026-11-25.",
            "Update its firmware",
            id="old TLS",
        ),
        pytest.param(
            [new(0, session=thrown_out())],
            "; Exchange Online (imaps) agreed on TLS with it, and then most likely threw it out "
            "at once, 1 time, last on 2026-11-23.",
            "Look into the mail server's log",
            id="ok",
        ),
        pytest.param([new(0, session=thrown_out()), new(1)], None, None, id="let in since"),
        pytest.param([new(0, session=thrown_out(Sure.POSSIBLE))], None, None, id="possibly"),
        pytest.param([new(0, session=thrown_out(None))], None, None, id="not"),
    ],
)
def test_why_tells_of_a_server_that_agrees_and_throws_out(observed, why, next_step):
    told = said(*observed, day=3)
    if why is None:
        assert "threw" not in told.why
        assert told.next_step is None
    else:
        assert told.why.endswith(why)
        assert told.next_step.startswith(next_step)


def test_thrown_out_is_counted_merged_and_told_of_each_stack():
    one, two = aggregate(), aggregate()
    one.observe(*old(0, session=thrown_out()))
    one.observe(*old(1, session=thrown_out(Sure.POSSIBLE)))
    two.observe(*old(2, session=thrown_out()))
    two.observe(*old(3, **REFUSED))
    one.merge(two)
    (device,) = summary([], one.snapshot(), FIT, PROFILES)["devices"]
    (stack,) = device["stacks"]
    assert stack["outcomes"] == {"established": 3, "alert": 1}
    assert stack["thrown_out"] == {"likely": 2, "possible": 1}
    assert ends(stack["outcomes"], stack["thrown_out"]) == [
        ("TLS agreed, then most likely thrown out", 2),
        ("Broken off by an alert", 1),
        ("TLS agreed, closed soon by the server", 1),
    ]


@pytest.mark.parametrize(("observed", "day", "status"), STATUSES)
def test_every_status_has_a_sentence_and_only_good_ones_have_no_next_step(observed, day, status):
    told = said(*observed, day=day)
    assert told.why.startswith("10.0.0.7 ") or told.why.startswith("Too little of the hellos")
    assert told.why.endswith(".")
    assert (told.next_step is None) == (status in (Status.OK, Status.FIXED))


RESUMED = handshake(offer=hello(TLS_1_2, extensions=(0, 10, 11, 35)))
LOWER = (handshake(offer=hello(suites=(0x002F,))), judgement(Verdict.FALLBACK))


@pytest.mark.parametrize(
    ("observed", "clients"),
    [
        pytest.param([old(0), old(1)], 1, id="one stack"),
        pytest.param([old(0), new(0)], 2, id="two versions"),
        pytest.param([old(0), new(0), weekly(Verdict.OK)], 3, id="two lists of suites"),
        pytest.param([new(0), (RESUMED, OK)], 1, id="a session resumed"),
        pytest.param([new(0), LOWER], 1, id="a lower retry"),
        pytest.param([LOWER], 1, id="nothing but a lower retry"),
        pytest.param(
            [new(0), (handshake(offer=hello(None)), judgement(Verdict.UNKNOWN))], 1, id="a cut one"
        ),
    ],
)
def test_clients_behind_an_address_are_no_fewer_than_was_seen(observed, clients):
    seen = aggregate()
    for pair in observed:
        seen.observe(*pair)
    (device,) = summary([], seen.snapshot(), FIT, PROFILES)["devices"]
    assert device["clients_at_least"] == clients


def test_why_names_a_hostile_server_harmlessly():
    nasty = hello(name=b"\x1b[31m<b>\n\xe2\x80\xae")
    told = said((handshake(offer=nasty), judgement(profile=None)))
    assert told.why.isprintable()
    assert "\\x1b[31m<b>\\x0a\\xe2" in told.why


@pytest.mark.parametrize(
    ("observed", "day", "onset_day"),
    [
        pytest.param([old(0), old(3)], 3, 0, id="legacy since its first old hello"),
        pytest.param([old(0), old(1, **REFUSED), old(2, **REFUSED)], 2, 1, id="refused since"),
        pytest.param(
            [new(0, **REFUSED), new(1), new(2, **REFUSED), new(3, **REFUSED)],
            3,
            None,
            id="refused again: start not kept",
        ),
        pytest.param([new(0)], 0, None, id="ok"),
    ],
)
def test_onset(observed, day, onset_day):
    onset_ns = None if onset_day is None else START_NS + onset_day * DAY_NS
    assert said(*observed, day=day).onset_ns == onset_ns


# ------------------------------------------------------------------------ what could be seen


@pytest.mark.parametrize(
    ("coverage", "fit", "why"),
    [
        pytest.param(FIT, True, "Nothing was found that would hide a client.", id="fit"),
        pytest.param(Coverage(), False, "No frame was seen.", id="nothing"),
        pytest.param(
            Coverage(frames=5),
            False,
            "No conversation on the watched ports was seen.",
            id="no mail",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, undecoded={"link_type": 1}),
            False,
            "1 frame of a link type that is not read.",
            id="link type",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, undecoded={"depth": 10}), True, None, id="1 % unread"
        ),
        pytest.param(
            msgspec.structs.replace(FIT, undecoded={"malformed": 4, "depth": 7}),
            False,
            "1.1 % of the frames could not be read (depth 7, malformed 4).",
            id="more unread",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, ethertypes={"0x0806": 900, "0x88b5": 6, "other": 5}),
            False,
            "1.1 % of the frames are of unknown types (0x88b5 6, other 5).",
            id="unknown types",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, ethertypes={"0x0806": 900, "0x88b5": 10}),
            True,
            None,
            id="ARP, and 1 % of an unknown type",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, one_sided_flows=10, hellos=0),
            False,
            "Only one direction of every conversation was seen, and no hello in it.",
            id="server side only",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, one_sided_flows=10), True, None, id="client side only"
        ),
        pytest.param(
            msgspec.structs.replace(FIT, incomplete={"truncated": 1}), True, None, id="1 of 10 cut"
        ),
        pytest.param(
            msgspec.structs.replace(FIT, incomplete={"truncated": 1, "gap": 1}),
            False,
            "2 of 10 hellos were cut.",
            id="2 of 10 cut",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, frames_dropped=11),
            False,
            "1.1 % of the frames were dropped.",
            id="drops",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, unseen_bytes=2000),
            False,
            "2.0 % of the octets were sent but never seen.",
            id="unseen",
        ),
        pytest.param(
            msgspec.structs.replace(FIT, evicted={"flow": 1}),
            False,
            "Not all could be followed for want of room (flow 1).",
            id="evicted",
        ),
    ],
)
def test_fitness(coverage, fit, why):
    told = coverage.fitness()
    assert told.fit is fit
    if why is not None:
        assert told.why == why


def test_complete_and_incomplete_hellos_sum_to_all():
    coverage = Coverage(hellos=10, incomplete={"gap": 2, "truncated": 3})
    assert coverage.complete == 5


def test_copied_coverage_is_held_apart():
    coverage = Coverage(frames=1, undecoded={"depth": 1}, first_ns=0, last_ns=5)
    copy = coverage.copy()
    coverage.merge(coverage.copy())
    assert copy == Coverage(frames=1, undecoded={"depth": 1}, first_ns=0, last_ns=5)
    assert coverage.undecoded == {"depth": 2}


# ------------------------------------------------------------------------------- the summary

DEVICE_KEYS = {
    *("id", "ip", "mac", "vendor", "names", "place", "owner", "class", "status", "first_seen"),
    *("last_seen", "onset", "clients_at_least", "stacks", "will_break", "breaks", "notices"),
    *("why", "next_step"),
}
STACK_KEYS = {
    *("ja4", "max_offered", "verdict", "services", "destinations", "outcomes"),
    *("first_seen", "last_seen", "evidence"),
}
COVERAGE_KEYS = {"frames", "bytes", "flows", "one_sided_flows", "fit", "why"}


def office() -> Aggregate:
    seen = aggregate()
    mac = b"\x3c\x2a\xf4\0\0\1"
    seen.observe(handshake(source=address(300), mac=mac, frame=17), LEGACY)
    seen.observe(handshake(START_NS + 1, source=address(300), frame=19, **REFUSED), LEGACY)
    seen.observe(handshake(START_NS + 2, TLS12, source=address(2), path=None), OK)
    seen.observe(
        handshake(START_NS + 3, hello(SSL_3_0), source=b"\x20\x01\x0d\xb8" + bytes(11) + b"\x09"),
        judgement(profile=None),
    )
    seen.observe(
        handshake(START_NS + 4, hello(None), source=address(2), outcome=Outcome.UNKNOWN),
        judgement(Verdict.UNKNOWN),
    )
    return seen


def test_summary_has_the_contracts_keys_and_its_values_survive_json():
    inputs = [{"path": "a.pcap", "format": "pcap", "status": "ok", "frames": 9, "problem": None}]
    told = summary(inputs, office().snapshot(), FIT, PROFILES)

    contracts = ["inputs", "coverage", "profile", "totals", "devices"]
    assert list(told) == [*contracts, "findings", "finding_totals"]
    assert told["inputs"] == inputs
    assert told["coverage"].keys() >= COVERAGE_KEYS
    assert all(device.keys() >= DEVICE_KEYS for device in told["devices"])
    stacks = [stack for device in told["devices"] for stack in device["stacks"]]
    assert all(stack.keys() >= STACK_KEYS for stack in stacks)
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def test_summary_totals_each_sum_to_all_hellos():
    totals = summary([], office().snapshot(), FIT, PROFILES)["totals"]
    assert totals == {
        "hellos": 5,
        "by_max_offered": {"SSL 3.0": 1, "TLS 1.0": 2, "TLS 1.2": 1, "unknown": 1},
        "by_verdict": {"legacy": 3, "ok": 1, "unknown": 1},
        "by_outcome": {"alert": 1, "established": 3, "unknown": 1},
        "by_service": {"imaps": 5},
    }
    assert all(sum(by.values()) == 5 for name, by in totals.items() if name != "hellos")


def test_summary_lists_devices_by_address_and_stacks_by_first_seen():
    devices = summary([], office().snapshot(), FIT, PROFILES)["devices"]
    assert [device["ip"] for device in devices] == ["10.0.0.2", "10.0.1.44", "2001:db8::9"]
    assert [stack["max_offered"] for stack in devices[0]["stacks"]] == ["TLS 1.2", None]


def test_summary_tells_a_device_whole():
    device = summary([], office().snapshot(), FIT, PROFILES)["devices"][1]
    (stack,) = device.pop("stacks")
    (service,) = device.pop("services")
    assert service == {
        "service": "imaps",
        "status": "legacy",
        "verdict": "legacy",
        "hellos": 2,
        "last_seen": device["last_seen"],
        "last_established": "2026-11-23T12:00:00.000000Z",
        "last_ok": None,
        "last_refused": "2026-11-23T12:00:00.000000Z",
        "refused_by": "server",
    }
    assert device.pop("notices")
    assert device.pop("next_step")
    assert device == {
        "id": "10.0.1.44",
        "ip": "10.0.1.44",
        "addresses": ["10.0.1.44"],
        "mac": "3c:2a:f4:00:00:01",
        "mac_is_own": True,
        "vendor": None,
        "names": [],
        "names_from": [],
        "says": [],
        "findings": [],
        "place": None,
        "owner": None,
        "contact": None,
        "class": None,
        "class_evidence": [],
        "advice": [],
        "status": "legacy",
        "refused_by": None,
        "hellos": 2,
        "first_seen": "2026-11-23T12:00:00.000000Z",
        "last_seen": "2026-11-23T12:00:00.000000Z",
        "onset": "2026-11-23T12:00:00.000000Z",
        "clients_at_least": 1,
        "will_break": True,
        "breaks": {
            "when": "window-open",
            "from": "2026-08-01",
            "until": "2026-12-31",
            "source": PROFILES["exchange-online"].enforcement("imaps").source,
        },
        "why": "10.0.1.44 offers at most TLS 1.0 to Exchange Online (imaps), "
        "where this is being switched off, for good by 2026-12-31.",
    }
    assert stack["evidence"] == {
        "first": {"path": "a.pcap", "frame": 17},
        "last": {"path": "a.pcap", "frame": 19},
    }
    assert stack["outcomes"] == {"established": 1, "alert": 1}
    assert stack["destinations"] == [
        {
            "ip": "52.96.1.1",
            "port": 993,
            "name": "outlook.office365.com",
            "class": "exchange-online",
            "hellos": 2,
        }
    ]


def test_summary_says_which_profiles_it_rests_on():
    told = summary([], office().snapshot(), FIT, PROFILES)["profile"]
    assert list(told) == ["exchange-online"]
    assert told["exchange-online"]["checked"] == PROFILES["exchange-online"].checked.isoformat()


def test_summary_of_nothing():
    told = summary([], aggregate().snapshot(), Coverage(), PROFILES)
    assert told["devices"] == []
    assert told["totals"]["hellos"] == 0
    assert told["coverage"]["fit"] is False


# ---------------------------------------------------------------------------------- the words


def test_words_on_the_screen_are_the_contracts():
    assert status_words(Status.LEGACY, TLS_1_0) == "Old TLS (1.0)"
    assert status_words(Status.LEGACY, SSL_3_0) == "Old TLS (SSL 3.0)"
    assert status_words(Status.SILENT, days=23) == "Not seen for 23 days"
    assert status_words(Status.FIXED, handshakes=9, days=12) == (
        "Verified: 9 handshakes in 12 days, all 1.2 or newer"
    )
    assert status_words(Status.AT_RISK) == "May be refused (reported, not confirmed)"
    assert verdict_words(Verdict.FALLBACK) == "Can do 1.2, fell back"
    assert short_version(None) == "version unknown"


@pytest.mark.parametrize("status", Status)
def test_every_status_has_words(status):
    assert "{" not in status_words(status, TLS_1_1, "server", 3, 4)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_words(verdict):
    assert "{" not in verdict_words(verdict, TLS_1_0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (3600, "1 h"), (93_784, "1 d 2 h"), (61, "1 min 1 s")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_empty_screen_says_what_was_seen_and_that_it_takes_time():
    told = nothing_yet(Coverage(frames=12, flows=1, first_ns=0, last_ns=90 * SECOND_NS))
    assert told.startswith("Watched for 1 min 30 s: 12 frames, 1 conversation, 0 hellos. ")
    assert "month end" in told
