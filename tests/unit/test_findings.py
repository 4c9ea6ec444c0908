"""Findings in clear text: counted by source and destination, decided late, bounded, told."""

from handshakes import SECOND_NS, START_NS, dialogue, handshake, judgement
from hypothesis import given
from hypothesis import strategies as st

from sniffer.config import DEFAULT_PORTS, InventorySettings
from sniffer.event import ClearJudgement, FindingKind, Outcome
from sniffer.export.summary import summary
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.findings import MOST_ROWS, MOST_SERVERS, MOST_SOURCES, Findings

LOGIN = (FindingKind.CLEAR_LOGIN,)
MISSING = (FindingKind.UPGRADE_MISSING,)


def aggregate() -> Aggregate:
    return Aggregate(InventorySettings(), DEFAULT_PORTS, {})


def told(seen: Aggregate) -> dict[str, object]:
    return summary([], seen.snapshot(), Coverage(), {})


def test_a_device_with_findings_and_names() -> None:
    seen = aggregate()
    seen.observe(handshake(), judgement())
    for later in range(3):
        one = dialogue(
            START_NS + later * SECOND_NS,
            names=(("ehlo", b"HP3C2AF4"), ("ehlo", b"=cmd\x1b[1m")),
            server_name=b"mx.example.net",
        )
        seen.observe_dialogue(one, ClearJudgement("submission", LOGIN))
    (device,) = told(seen)["devices"]
    (finding,) = device["findings"]
    assert finding["kind"] == "clear-login"
    assert finding["destination"] == {"ip": "52.96.1.1", "port": 587, "name": "mx.example.net"}
    assert (finding["count"], finding["service"]) == (3, "submission")
    assert finding["first_seen"] < finding["last_seen"]
    assert finding["text"].startswith("192.0.2.7 handed its login to mx.example.net (submission)")
    assert device["names"] == ["=cmd\\x1b[1m", "HP3C2AF4"]
    assert device["names_from"][1] == {"name": "HP3C2AF4", "source": "ehlo"}
    assert told(seen)["finding_totals"] == {"clear-login": 3}
    assert seen.figures().findings == {("submission", "clear-login"): 3}


def test_a_source_that_never_sent_a_hello_is_no_device() -> None:
    seen = aggregate()
    seen.observe_dialogue(dialogue(), ClearJudgement("submission", LOGIN))
    said = told(seen)
    assert said["devices"] == []
    assert [finding["device"] for finding in said["findings"]] == ["192.0.2.7"]


def test_an_upgrade_refused_after_its_hello_is_a_finding() -> None:
    seen = aggregate()
    refused = handshake(outcome=Outcome.REFUSED_STARTTLS, port=587)
    seen.observe(refused, judgement(service="submission"))
    (device,) = told(seen)["devices"]
    assert [finding["kind"] for finding in device["findings"]] == ["upgrade-refused"]


def test_what_the_server_offers_to_others_was_stripped_whoever_came_first() -> None:
    other = bytes([192, 0, 2, 8])
    bare = dialogue(offered=False), ClearJudgement("submission", MISSING)
    offered = dialogue(source=other, offered=True), ClearJudgement("submission")
    elsewhere = dialogue(source=other, destination=other, offered=True), ClearJudgement("smtp")
    for order, kind in (
        ([bare, offered], "capability-stripped"),
        ([offered, bare], "capability-stripped"),
        ([bare, elsewhere], "upgrade-missing"),
    ):
        seen = aggregate()
        for pair in order:
            seen.observe_dialogue(*pair)
        assert [finding["kind"] for finding in told(seen)["findings"]] == [kind]


def test_stripped_and_missing_of_one_server_are_one_finding_once_decided() -> None:
    seen = aggregate()
    seen.observe_dialogue(dialogue(offered=False), ClearJudgement("submission", MISSING))
    stripped = (FindingKind.CAPABILITY_STRIPPED,)
    seen.observe_dialogue(dialogue(mangled=True), ClearJudgement("submission", stripped))
    seen.observe_dialogue(dialogue(offered=True), ClearJudgement("submission"))
    assert [(f["kind"], f["count"]) for f in told(seen)["findings"]] == [("capability-stripped", 2)]


def test_detail_is_bounded_and_totals_stay_exact() -> None:
    found = Findings()
    for number in range(MOST_ROWS + 9):
        destination = b"\x0a\0" + number.to_bytes(2, "big")
        found.observe(dialogue(destination=destination), "submission", LOGIN)
    assert len(found.snapshot()) == MOST_ROWS
    for number in range(MOST_SOURCES + 9):
        source = b"\x0a" + number.to_bytes(3, "big")
        found.observe(dialogue(source=source), "submission", LOGIN)
    assert len({finding.source for finding in found.snapshot()}) == MOST_SOURCES
    assert found.sources_let_go == 10
    assert found.totals == {("submission", "clear-login"): MOST_ROWS + MOST_SOURCES + 18}
    for number in range(MOST_SERVERS + 9):
        server = b"\x0b" + number.to_bytes(3, "big")
        found.observe(dialogue(destination=server, offered=True), "smtp", ())


SAID = st.builds(
    dialogue,
    time_ns=st.integers(0, 3),
    source=st.sampled_from([b"\1\1\1\1", b"\2\2\2\2"]),
    destination=st.binary(min_size=4, max_size=4),
    offered=st.sampled_from([None, True, False]),
    server_name=st.sampled_from([None, b"x", b"y"]),
)
PARTS = st.lists(
    st.lists(st.tuples(SAID, st.sets(st.sampled_from(FindingKind)).map(sorted).map(tuple)))
)


@given(PARTS, st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole(parts, random) -> None:
    whole = Findings()
    for said, kinds in [pair for part in parts for pair in part]:
        whole.observe(said, "submission", kinds)
    random.shuffle(parts)
    merged = Findings()
    for part in parts:
        one = Findings()
        for said, kinds in part:
            one.observe(said, "submission", kinds)
        merged.merge(one)
    assert merged.snapshot() == whole.snapshot()
    assert merged.totals == whole.totals
