"""The laws of merging: parts joined in any order tell what one capture of all would have told."""

from collections import Counter

import msgspec
from handshakes import DAY_NS, START_NS, handshake, hello, judgement
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.tls.facts import SSL_3_0, TLS_1_0, TLS_1_2, TLS_1_3
from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Handshake, Judgement, Outcome, Side, Verdict
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage

Observed = tuple[Handshake, Judgement]

ROOMY = InventorySettings(stacks=3, names=2, destinations=2)
"""Room for every device, little for their detail."""
CROWDED = InventorySettings(devices=16, stacks=2, names=2, destinations=2)


@st.composite
def observed(draw: st.DrawFn, devices: int = 4) -> Observed:
    version = draw(st.sampled_from([None, SSL_3_0, TLS_1_0, TLS_1_2, TLS_1_3]))
    outcome = draw(st.sampled_from(Outcome))
    refused = outcome in (Outcome.ALERT, Outcome.RESET, Outcome.CLOSED)
    port, service = draw(st.sampled_from([(993, "imaps"), (995, "pop3s"), (587, "submission")]))
    number = draw(st.integers(0, devices - 1))
    made = handshake(
        # Few distinct times, so that ties are common.
        time_ns=START_NS + draw(st.integers(0, 40)) * DAY_NS // 2,
        offer=hello(
            version,
            suites=(0x002F, draw(st.integers(0x30, 0x34))),
            name=draw(st.sampled_from([None, b"a.example", b"b.example", b"c.example"])),
        ),
        outcome=outcome,
        refused_by=draw(st.sampled_from(Side)) if refused else None,
        source=b"\x0a\0\0" + bytes([number]),
        destination=b"\x34\0\0" + bytes([draw(st.integers(0, 3))]),
        port=port,
        mac=draw(st.sampled_from([None, b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"])),
        frame=draw(st.integers(1, 3)),
        path=draw(st.sampled_from([None, "a.pcap", "b.pcap"])),
    )
    verdict = draw(st.sampled_from(Verdict))
    profile = draw(st.sampled_from([None, "exchange-online"]))
    return made, judgement(verdict, service, profile)


def counted(part: list[Observed], bounds: InventorySettings = ROOMY, series: int = 100):
    made = Aggregate(bounds, DEFAULT_PORTS, {}, device_series=series)
    for pair in part:
        made.observe(*pair)
    return made


def joined(*parts: Aggregate) -> Aggregate:
    first, *others = parts
    for part in others:
        first.merge(part)
    return first


def told(seen: Aggregate) -> bytes:
    """Return all an aggregate tells, but for the number of handshakes that found no room."""
    return msgspec.json.encode(seen.snapshot())


def legacy(seen: Aggregate) -> Counter[str]:
    """Return the legacy hellos by series key, wherever they are counted."""
    figures = seen.figures()
    counts = Counter(figures.overflow)
    counts.update(figures.departed)
    for device in figures.devices:
        counts.update(device.legacy)
    return counts


MANY = st.lists(observed(), max_size=30)


@given(MANY, st.randoms(use_true_random=False))
def test_order_of_handshakes_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert told(counted(pairs)) == told(counted(shuffled))


@given(MANY, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_parts_merged_are_the_whole(pairs, hands):
    parts = [[p for p, hand in zip(pairs, hands, strict=False) if hand == n] for n in range(4)]
    whole = counted(pairs)
    merged = joined(*(counted(part) for part in parts))
    assert told(merged) == told(whole)
    assert legacy(merged) == legacy(whole)
    assert merged.figures().statuses == whole.figures().statuses


@given(MANY, MANY, MANY)
def test_merge_is_associative(one, two, three):
    left = joined(joined(counted(one), counted(two)), counted(three))
    right = joined(counted(one), joined(counted(two), counted(three)))
    assert told(left) == told(right)


@given(MANY, MANY)
def test_merge_is_commutative_and_leaves_the_other_as_it_was(one, two):
    other = counted(two)
    before = told(other)
    forth = joined(counted(one), other)
    assert told(other) == before
    assert told(forth) == told(joined(counted(two), counted(one)))


@given(MANY)
def test_merging_nothing_changes_nothing(pairs):
    whole = counted(pairs)
    assert told(joined(counted(pairs), counted([]))) == told(whole)
    assert told(joined(counted([]), counted(pairs))) == told(whole)


@settings(max_examples=40)
@given(st.lists(observed(devices=60), max_size=80), st.lists(observed(devices=60), max_size=80))
def test_totals_stay_exact_beyond_every_bound(one, two):
    forth = joined(counted(one, CROWDED, 3), counted(two, CROWDED, 3))
    back = joined(counted(two, CROWDED, 3), counted(one, CROWDED, 3))
    pairs = [*one, *two]

    assert told(forth) == told(back)
    assert forth.hellos == len(pairs)
    assert forth.snapshot().cells == counted(pairs).snapshot().cells
    assert forth.device_count <= CROWDED.devices
    assert len(forth.figures().devices) <= 3
    assert legacy(forth).total() == sum(j.verdict is Verdict.LEGACY for _, j in pairs)
    statuses = {status: n for status, n in forth.figures().statuses.items() if n}
    assert statuses == Counter(device.status for device in forth.snapshot().devices)


COUNTS = st.dictionaries(st.sampled_from(["depth", "gap", "flow"]), st.integers(1, 9))
COVERAGES = st.builds(
    Coverage,
    frames=st.integers(0, 9),
    frames_dropped=st.integers(0, 9),
    bytes=st.integers(0, 9),
    flows=st.integers(0, 9),
    one_sided_flows=st.integers(0, 9),
    hellos=st.integers(0, 9),
    frames_truncated=st.integers(0, 9),
    frames_backwards=st.integers(0, 9),
    undecoded=COUNTS,
    ethertypes=COUNTS,
    incomplete=COUNTS,
    evicted=COUNTS,
    unseen_bytes=st.integers(0, 9),
    conflicts=st.integers(0, 9),
    first_ns=st.none() | st.integers(0, 5),
    last_ns=st.none() | st.integers(5, 9),
)


@given(COVERAGES, COVERAGES, COVERAGES)
def test_coverage_merges_in_any_order(one, two, three):
    left, right, back = one.copy(), two.copy(), three.copy()
    left.merge(two)
    left.merge(three)
    right.merge(three)
    whole = one.copy()
    whole.merge(right)
    back.merge(two)
    back.merge(one)
    assert left == whole == back
    assert left.frames == one.frames + two.frames + three.frames


def test_every_counter_of_a_coverage_is_merged():
    ones = {
        name: 1 if kind is int else {"x": 1} if kind == dict[str, int] else None
        for name, kind in Coverage.__annotations__.items()
    }
    one = Coverage(**{name: value for name, value in ones.items() if value is not None})
    two = one.copy()
    two.merge(one)
    assert all(
        getattr(two, name) == (2 if value == 1 else {"x": 2})
        for name, value in ones.items()
        if value is not None
    )
