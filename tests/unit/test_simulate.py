"""What will become of a stack where it is used, by profile and by what was seen there."""

import datetime

import pytest
from handshakes import DAY_NS, SECOND_NS, START_NS, handshake, hello, judgement

from parsers.tls.facts import TLS_1_0, TLS_1_2, ClientHello
from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import Handshake, Judgement, Outcome, Side, Verdict
from sniffer.inventory.aggregate import Aggregate, Snapshot
from sniffer.inventory.simulate import FIND_OUT, NO_HELLO, NOT_IN_PROFILE, prospects, what_if
from sniffer.judge.profile import Accepts, CodeList, Profile, Suites, load_profiles
from sniffer.judge.verdict import Judge

TODAY = datetime.date(2026, 11, 25)
OWN = Profile(
    name="cellar",
    title="The relay in the cellar",
    source="its stunnel.conf",
    checked=TODAY,
    accept_entries=(
        Accepts(
            services=("smtps",),
            source="its stunnel.conf",
            checked=TODAY,
            minimum_version="TLS 1.0",
            suites=Suites(tls10=CodeList(accepted=(0x0033, 0x0039))),
        ),
    ),
)
PROFILES = {**load_profiles(), "cellar": OWN}
MODERN = hello(TLS_1_2, suites=(0xC030,))
RSA = hello(TLS_1_0, suites=(0x002F, 0x0035))
REFUSED = {"outcome": Outcome.ALERT, "refused_by": Side.SERVER}
OTHER_DEVICE = bytes([10, 0, 0, 9])


def seen(*handshakes: Handshake, forced: Profile | None = None) -> Snapshot:
    """Judge and count handshakes in the order of their time."""
    judge = Judge(DEFAULT_PORTS, PROFILES, forced)
    aggregate = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    for one in sorted(handshakes, key=lambda one: one.time_ns):
        aggregate.observe(one, judge.judge(one))
    return aggregate.snapshot()


def told(snapshot: Snapshot, device: int = 0):
    (stack,) = snapshot.devices[device].stacks
    return prospects(stack, snapshot.now_ns, PROFILES, snapshot.passages)


@pytest.mark.parametrize(
    ("offer", "port", "name", "accepted", "missing"),
    [
        (hello(), 993, b"outlook.office365.com", False, "offers TLS 1.0; needs TLS 1.2"),
        (
            RSA,
            993,
            b"outlook.office365.com",
            False,
            "offers TLS 1.0; needs TLS 1.2, and no ECDHE suite",
        ),
        (
            hello(TLS_1_2, suites=(0x003C, 0x002F)),
            993,
            b"outlook.office365.com",
            False,
            "no ECDHE suite",
        ),
        (
            hello(TLS_1_2, suites=(0x009C,)),
            993,
            b"outlook.office365.com",
            None,
            "no ECDHE suite",
        ),
        (
            hello(TLS_1_2, suites=(0xCCA8,)),
            993,
            b"outlook.office365.com",
            None,
            "only suites that are reported to be refused, or not documented",
        ),
        (MODERN, 993, b"outlook.office365.com", True, None),
        (hello(), 993, b"imap-legacy.office365.com", True, None),
        (hello(), 993, b"mail.example.org", None, None),
        (hello(None), 993, b"outlook.office365.com", None, None),
    ],
)
def test_offer_is_held_against_what_its_destination_takes(
    offer: ClientHello, port: int, name: bytes, accepted: bool | None, missing: str | None
) -> None:
    if offer.suites is not None or offer.complete:
        offer = hello(offer.max_offered, suites=offer.suites, name=name)
    address = bytes([192, 0, 2, 8]) if b"example" in name else bytes([52, 96, 1, 1])
    (one,) = told(seen(handshake(offer=offer, port=port, destination=address)))
    assert (one.accepted, one.missing) == (accepted, missing)


def test_own_server_takes_old_tls_but_not_these_suites() -> None:
    (one,) = told(seen(handshake(offer=RSA, port=465), forced=OWN))
    assert (one.destination, one.accepted, one.missing) == ("cellar", False, "no DHE suite")
    (one,) = told(seen(handshake(offer=hello(suites=(0x0033,)), port=465), forced=OWN))
    assert (one.accepted, one.missing, one.source) == (True, None, "its stunnel.conf")


def test_destination_without_a_profile_is_null_with_the_way_to_find_out() -> None:
    foreign = {"destination": bytes([192, 0, 2, 8])}
    (one,) = told(seen(handshake(offer=hello(name=None), **foreign)))
    assert (one.accepted, one.missing, one.source) == (None, None, None)
    assert one.breaks is not None
    assert one.breaks.when == "unknown"
    assert one.find_out == FIND_OUT
    (one,) = told(seen(handshake(offer=RSA), forced=OWN))
    assert (one.accepted, one.find_out) == (None, NOT_IN_PROFILE)


def test_window_is_that_of_the_service() -> None:
    imap, smtp = (
        told(seen(handshake(offer=hello(name=name), port=port)))[0]
        for port, name in ((993, b"outlook.office365.com"), (587, b"smtp.office365.com"))
    )
    assert imap.breaks is not None
    assert smtp.breaks is not None
    assert (imap.breaks.start, imap.breaks.until) == ("2026-08-01", "2026-12-31")
    assert (smtp.breaks.start, smtp.breaks.until) == ("2022-02-01", None)


def test_what_was_let_in_lately_is_counted_and_older_is_not_claimed() -> None:
    lately = [handshake(START_NS + day * DAY_NS) for day in range(10)]
    observed = told(seen(*lately))[0].observed
    assert (observed.established, observed.established_ns) == (10, lately[-1].time_ns)
    # How many of a month's were in its last 14 days only the hours can tell.
    month = [handshake(START_NS + day * DAY_NS) for day in range(30)]
    snapshot = seen(*month)
    assert told(snapshot)[0].observed.established is None
    (stack,) = snapshot.devices[0].stacks
    counts = {(stack.shape.id, "imaps", "exchange-online"): 14}
    (one,) = prospects(stack, snapshot.now_ns, PROFILES, snapshot.passages, counts)
    assert one.observed.established == 14
    gone = seen(*lately, handshake(START_NS + 40 * DAY_NS, source=OTHER_DEVICE))
    assert told(gone, 1)[0].observed.established == 0
    assert told(gone, 1)[0].observed.established_ns == lately[-1].time_ns


def refusals(start_ns: int) -> list[Handshake]:
    return [handshake(start_ns + i * SECOND_NS, **REFUSED) for i in range(3)]


@pytest.mark.parametrize(
    ("others", "passing"),
    [
        ((), None),
        ((handshake(START_NS + DAY_NS, MODERN, source=OTHER_DEVICE),), True),
        # It was let in before this one was turned away: nothing follows from that.
        ((handshake(START_NS - DAY_NS, MODERN, source=OTHER_DEVICE),), False),
    ],
)
def test_refused_while_others_pass(others: tuple[Handshake, ...], passing: bool | None) -> None:
    snapshot = seen(*refusals(START_NS), *others)
    (device,) = [d for d in snapshot.devices if d.address != OTHER_DEVICE]
    (one,) = prospects(device.stacks[0], snapshot.now_ns, PROFILES, snapshot.passages)
    assert one.observed.others_pass is passing
    assert (one.observed.refused, one.observed.refused_by) == (3, "server")


def test_others_pass_is_not_asked_where_nobody_is_turned_away_or_it_is_not_one_place() -> None:
    let_in = handshake(START_NS + DAY_NS, MODERN, source=OTHER_DEVICE)
    assert told(seen(handshake(), let_in), 1)[0].observed.others_pass is None
    foreign = {"destination": bytes([192, 0, 2, 8]), "offer": hello(name=None)}
    elsewhere = handshake(START_NS + DAY_NS, source=OTHER_DEVICE, destination=bytes([192, 0, 2, 9]))
    snapshot = seen(handshake(**foreign, **REFUSED), elsewhere)
    (device,) = [d for d in snapshot.devices if d.address != OTHER_DEVICE]
    (one,) = prospects(device.stacks[0], snapshot.now_ns, PROFILES, snapshot.passages)
    assert one.observed.others_pass is None


def test_what_if_holds_the_kept_hello_against_any_profile() -> None:
    snapshot = seen(handshake(offer=RSA, port=465, destination=bytes([192, 0, 2, 8])))
    (device,) = snapshot.devices
    hellos = {device.stacks[0].shape.id: RSA}
    for profile, expected in (
        (OWN, (False, "no DHE suite")),
        (PROFILES["gmail"], (True, None)),
    ):
        ((_, one),) = what_if(device, hellos, profile, snapshot.now_ns)
        assert (one.accepted, one.missing) == expected
        assert one.destination == profile.name
        assert one.observed is None
    ((_, one),) = what_if(device, {}, OWN, snapshot.now_ns)
    assert (one.accepted, one.verdict, one.find_out) == (None, Verdict.UNKNOWN, NO_HELLO)


def test_passages_of_parts_are_those_of_the_whole() -> None:
    pairs = [(one, Judgement("imaps", Verdict.LEGACY, (), "x")) for one in refusals(START_NS)]
    pairs += [(handshake(START_NS + 5, MODERN), judgement(Verdict.OK, profile="x"))]
    pairs += [(handshake(START_NS + 9, MODERN, **REFUSED), judgement(Verdict.OK, profile="x"))]
    whole = Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES)
    parts = [Aggregate(InventorySettings(), DEFAULT_PORTS, PROFILES) for _ in range(2)]
    for i, pair in enumerate(pairs):
        whole.observe(*pair)
        parts[i % 2].observe(*pair)
    parts[1].merge(parts[0])
    for made in (whole, parts[1]):
        passage = made.snapshot().passages["imaps x"]
        assert passage.established_ns == passage.modern_established_ns == START_NS + 5
        assert passage.modern_refused_ns == START_NS + 9
