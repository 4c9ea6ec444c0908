"""Destinations named by DNS: what was answered before a hello counts, whenever it is judged."""

import random

import craft
import pytest
from craft import START_NS, Conversation, address, client_hello
from discovering import a, cname, dns_answer
from handshakes import handshake, hello

from parsers.tls.facts import TLS_1_0
from sniffer.analysis import Analysis
from sniffer.config import DEFAULT_PORTS
from sniffer.event import DestinationBasis, Sighting, SightingSource
from sniffer.judge.profile import host_patterns, load_profiles, wanted_names
from sniffer.judge.resolutions import MOST_PAIRS, MOST_RUNS, STALE_NS, Resolutions
from sniffer.judge.verdict import Judge

PROFILES = load_profiles()
OUTLOOK, GMAIL = b"outlook.office365.com", b"imap.gmail.com"
CLIENT, OTHER, SERVER = address("10.0.0.7"), address("10.0.0.1"), address("203.0.113.7")
SECOND_NS = 10**9


def answer(
    seconds: float, name: bytes = OUTLOOK, client: bytes = CLIENT, ttl: int = 60
) -> Sighting:
    time_ns = START_NS + int(seconds * SECOND_NS)
    until_ns = time_ns + ttl * SECOND_NS
    return Sighting(
        time_ns, SightingSource.DNS, SERVER, name=name, until_ns=until_ns, asked_by=client
    )


def judged(seconds: float, *answers: Sighting, name: bytes | None = None, profiles=PROFILES):
    judge = Judge(DEFAULT_PORTS, profiles)
    for one in answers:
        judge.note_answer(one)
    offer = hello(TLS_1_0, name=name)
    time_ns = START_NS + int(seconds * SECOND_NS)
    said = judge.judge(handshake(time_ns, offer, source=CLIENT, destination=SERVER))
    return said.profile, said.destination_basis


def test_an_answer_before_the_hello_names_its_destination() -> None:
    assert judged(5, answer(1)) == ("exchange-online", DestinationBasis.DNS)
    assert judged(5, answer(6)) == (None, None)
    assert judged(5) == (None, None)


def test_a_server_name_comes_first_and_one_of_nobody_leaves_it_to_dns() -> None:
    assert judged(5, answer(1), name=GMAIL) == ("gmail", DestinationBasis.SNI)
    assert judged(5, answer(1), name=b"mail.office.example") == (
        "exchange-online",
        DestinationBasis.DNS,
    )


def test_an_answer_comes_before_the_address() -> None:
    judge = Judge(DEFAULT_PORTS, PROFILES)
    there = address("52.96.1.1")
    judge.note_answer(Sighting(START_NS, SightingSource.DNS, there, name=GMAIL, asked_by=CLIENT))
    for client, expected in ((CLIENT, ("gmail", "dns")), (OTHER, ("gmail", "dns"))):
        said = judge.judge(
            handshake(START_NS + 1, hello(name=None), source=client, destination=there)
        )
        assert (said.profile, said.destination_basis) == expected


def test_what_a_client_was_told_itself_comes_before_what_others_were() -> None:
    others = answer(3, GMAIL, OTHER)
    assert judged(5, answer(1), others) == ("exchange-online", DestinationBasis.DNS)
    assert judged(5, others) == ("gmail", DestinationBasis.DNS)


def test_the_newest_answer_before_the_hello_counts_in_any_order() -> None:
    told = [answer(1), answer(4, GMAIL), answer(8), answer(11, GMAIL), answer(12, GMAIL)]
    for seed in range(20):
        random.Random(seed).shuffle(told)
        names = [judged(at, *sorted(told, key=lambda one: one.time_ns))[0] for at in (2, 5, 9, 30)]
        assert names == ["exchange-online", "gmail", "exchange-online", "gmail"]
        late = [judged(at, *told)[0] for at in (2, 5, 9, 30)]
        assert late == names, seed


def test_an_answer_counts_as_long_as_it_holds_and_a_day_more() -> None:
    day = STALE_NS / SECOND_NS
    for ttl in (60, 7 * 86_400):
        assert judged(ttl + day, answer(0, ttl=ttl))[0] == "exchange-online"
        assert judged(ttl + day + 1, answer(0, ttl=ttl))[0] is None
    assert judged(90_000, answer(0), answer(80_000))[0] == "exchange-online"


def test_what_is_remembered_is_bounded() -> None:
    known = Resolutions()
    for number in range(MOST_PAIRS + 100):
        there = number.to_bytes(4, "big")
        known.note(Sighting(number, SightingSource.DNS, there, name=OUTLOOK, asked_by=CLIENT))
    assert len(known) == MOST_PAIRS
    for number in range(100):
        name = (OUTLOOK, GMAIL)[number % 2]
        known.note(Sighting(number, SightingSource.DNS, SERVER, name=name, asked_by=CLIENT))
    assert [known.name(CLIENT, SERVER, at) for at in (99, 98)] == [GMAIL, OUTLOOK]
    assert known.name(CLIENT, SERVER, 99 - MOST_RUNS) is None


def test_names_are_wanted_that_profiles_have() -> None:
    wanted = wanted_names(PROFILES)
    assert wanted is not None
    assert OUTLOOK in wanted
    assert b"IMAP.gmail.com." in wanted
    assert b"www.example.org" not in wanted
    hosts = [host for one in PROFILES.values() if one.names for host in one.names.hosts]
    assert hosts
    for host in hosts:
        assert any(hint.decode() in host.lower() for hint in wanted.hints), host
    assert all(len(hint) >= 3 for hint in wanted.hints)
    assert wanted_names({}) is None
    assert host_patterns(PROFILES.values()) == host_patterns(reversed(list(PROFILES.values())))


# -------------------------------------------------------------------- from frames to events


CHAIN = (
    cname("outlook.office365.com", "ooc.office.com"),
    cname("ooc.office.com", "x.ms-acdc.office.com"),
    a("x.ms-acdc.office.com", "203.0.113.7"),
)
MAIL = (
    Conversation(server="203.0.113.7")
    .open()
    .client(client_hello(craft.TLS_1_0, sni=None))
    .server(craft.alert(2, 70))
)


@pytest.mark.parametrize(
    ("seconds", "asked", "expected"),
    [
        pytest.param(-1, "outlook.office365.com", ("exchange-online", "dns"), id="before"),
        pytest.param(60, "outlook.office365.com", (None, None), id="after"),
        pytest.param(-1, "x.ms-acdc.office.com", (None, None), id="a name of nobody's"),
    ],
)
def test_a_capture_with_the_answer(tmp_path, seconds, asked, expected) -> None:
    told = [(START_NS + seconds * SECOND_NS, dns_answer(asked, *CHAIN))]
    path = tmp_path / "mail.pcap"
    path.write_bytes(craft.pcap(craft.merged(told, MAIL.frames())))
    found = []
    Analysis(DEFAULT_PORTS, PROFILES, sinks=(lambda _, said: found.append(said),)).read(str(path))
    assert [(one.profile, one.destination_basis) for one in found] == [expected]
