"""Verdicts: the contract's words, the samples of the profiles, and what must not matter."""

import dataclasses
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.tls.facts import (
    FALLBACK_SCSV,
    SSL_2_0,
    SSL_3_0,
    TLS_1_0,
    TLS_1_1,
    TLS_1_2,
    TLS_1_3,
    ClientHello,
)
from sniffer.config import DEFAULT_PORTS, parse_ports
from sniffer.event import DestinationBasis, Flow, Handshake, Outcome, Reason, Verdict
from sniffer.judge import samples
from sniffer.judge import verdict as verdict_module
from sniffer.judge.profile import Profile, Sample, load_profiles, read_profile
from sniffer.judge.verdict import Judge

PROFILES = load_profiles()
SECOND = 1_000_000_000
ONLINE = "outlook.office365.com"
GREASE = tuple(0x0A0A + k * 0x1010 for k in range(16))

GOOD = (0xC030, 0xC02F, 0x009D)
RSA_GCM = (0x009D, 0x009C)
RSA_CBC = (0x003D, 0x0035, 0x002F, 0x000A)
TLS13 = (0x1301, 0x1302, 0x1303)


def hello(version: int = TLS_1_2, suites: tuple[int, ...] | None = GOOD, **facts: Any) -> Any:
    facts = {"hello_format": "tls", "record_version": TLS_1_0, "random": bytes(32)} | facts
    return ClientHello(legacy_version=version, suites=suites, **facts)


def handshake(
    offered: ClientHello,
    address: str = "192.0.2.1",
    port: int = 993,
    client: str = "10.0.0.7",
    time_ns: int = 0,
) -> Handshake:
    flow = Flow(ip_address(client).packed, 50_000, ip_address(address).packed, port)
    return Handshake(time_ns, 1, flow, offered, outcome=Outcome.ESTABLISHED)


def judged(offered: ClientHello, server_name: str | None = ONLINE, **where: Any) -> Any:
    if server_name is not None:
        offered = dataclasses.replace(offered, server_name=server_name.encode())
    return Judge(DEFAULT_PORTS, PROFILES).judge(handshake(offered, **where))


# The samples that stand in the profiles themselves.

SAMPLES = [(p.name, sample) for p in PROFILES.values() for sample in p.samples]


@pytest.mark.parametrize(
    ("name", "sample"), SAMPLES, ids=[f"{name}: {sample.what}" for name, sample in SAMPLES]
)
def test_a_sample_of_a_profile_is_judged_as_it_says(name: str, sample: Sample):
    assert samples.judged(sample, PROFILES) == sample.expected
    assert list(samples.failures(PROFILES[name], PROFILES)) == []


# The contract's words, for a destination nobody knows.

# id, hello, verdict, reasons; source
OFFERS = [
    # contract, "legacy": max offered below TLS 1.2, for any destination
    ("SSL 2.0", hello(SSL_2_0, (), hello_format="sslv2"), "legacy", ["version"]),
    ("SSL 3.0", hello(SSL_3_0), "legacy", ["version"]),
    ("TLS 1.0", hello(TLS_1_0), "legacy", ["version"]),
    ("TLS 1.1", hello(TLS_1_1), "legacy", ["version"]),
    ("TLS 1.2", hello(TLS_1_2), "ok", []),
    # RFC 5246 appendix E.2: the version inside an SSLv2-format hello is what is offered
    ("TLS 1.0 in SSLv2 format", hello(TLS_1_0, hello_format="sslv2"), "legacy", ["version"]),
    ("TLS 1.2 in SSLv2 format", hello(TLS_1_2, hello_format="sslv2"), "ok", []),
    # RFC 8446 section 4.2.1: where the extension stands, only it counts
    ("extension says 1.3", hello(supported_versions=(TLS_1_3,)), "ok", []),
    ("extension says 1.1", hello(supported_versions=(TLS_1_1, TLS_1_0)), "legacy", ["version"]),
    ("extension in any order", hello(supported_versions=(TLS_1_0, TLS_1_2)), "ok", []),
    ("a draft of 1.3", hello(supported_versions=(0x7F1C,)), "ok", []),
    ("versions nobody knows", hello(supported_versions=(0x0505, GREASE[0])), "unknown", []),
    ("a version field nobody knows", hello(0x0200), "unknown", []),
    # appendix D: above TLS 1.2 without the extension means TLS 1.2
    ("version field 0x0304", hello(0x0304), "ok", []),
    # contract, "fallback"; RFC 7507
    ("SCSV at 1.0", hello(TLS_1_0, (0x002F, FALLBACK_SCSV)), "fallback", ["version"]),
    ("SCSV at SSL 3.0", hello(SSL_3_0, (FALLBACK_SCSV,)), "fallback", ["version"]),
    ("SCSV at 1.2", hello(TLS_1_2, (0xC02F, FALLBACK_SCSV)), "ok", []),
    # contract section 3: a cut hello gives what is proven
    ("cut at 1.0", hello(TLS_1_0, None, complete=False), "legacy", ["version"]),
    ("cut at 1.2", hello(TLS_1_2, None, complete=False), "unknown", ["cut"]),
    (
        "cut behind the extension",
        hello(supported_versions=(TLS_1_3, TLS_1_2), complete=False),
        "ok",
        [],
    ),
]


@pytest.mark.parametrize(
    ("offered", "verdict", "reasons"), [o[1:] for o in OFFERS], ids=[o[0] for o in OFFERS]
)
def test_an_offer_to_an_unknown_destination_is_judged_by_version(offered, verdict, reasons):
    judgement = judged(offered, server_name=None)
    assert (judgement.verdict, list(judgement.reasons)) == (verdict, reasons)
    assert judgement.profile is None
    assert judgement.destination_basis is None


# id, hello, port, verdict, reasons; Purview's list of suites, and what is reported of it
AT_EXCHANGE = [
    ("ECDHE-RSA with GCM", hello(), 993, "ok", []),
    ("ECDHE-RSA with CBC", hello(suites=(0xC014,)), 993, "ok", []),
    ("RSA-GCM alone", hello(suites=RSA_GCM), 993, "at-risk", ["suites"]),
    ("RSA-GCM and RSA-CBC", hello(suites=RSA_GCM + RSA_CBC), 587, "at-risk", ["suites"]),
    ("RSA-CBC alone", hello(suites=RSA_CBC), 993, "incompatible", ["suites"]),
    ("ECDHE-ECDSA alone", hello(suites=(0xC02B, 0xC02C)), 993, "incompatible", ["suites"]),
    ("DHE alone", hello(suites=(0x009E, 0x0039)), 143, "incompatible", ["suites"]),
    ("ECDHE-RSA that is not listed", hello(suites=(0xCCA8,)), 993, "at-risk", ["suites"]),
    ("no suite at all", hello(suites=()), 993, "incompatible", ["suites"]),
    (
        "1.3 and 1.2",
        hello(suites=TLS13 + GOOD, supported_versions=(TLS_1_3, TLS_1_2)),
        993,
        "ok",
        [],
    ),
    (
        "1.3 and RSA-GCM",
        hello(suites=TLS13 + RSA_GCM, supported_versions=(TLS_1_3, TLS_1_2)),
        993,
        "at-risk",
        ["suites"],
    ),
    # TLS 1.3 is not documented here: never a reason to call it refused, nor to call it fine
    (
        "1.3 and RSA-CBC",
        hello(suites=TLS13 + RSA_CBC, supported_versions=(TLS_1_3, TLS_1_2)),
        993,
        "at-risk",
        ["suites"],
    ),
    ("1.3 alone", hello(suites=TLS13, supported_versions=(TLS_1_3,)), 993, "at-risk", ["suites"]),
    ("1.3 alone to an MX", hello(suites=TLS13, supported_versions=(TLS_1_3,)), 25, "ok", []),
    (
        "0x1301 alone to an MX",
        hello(suites=(0x1301,), supported_versions=(TLS_1_3,)),
        25,
        "at-risk",
        ["suites"],
    ),
    # 1.2 suites in a hello that does not offer 1.2 are of no use
    (
        "1.3 alone with suites of 1.2",
        hello(suites=TLS13 + GOOD, supported_versions=(TLS_1_3,)),
        993,
        "at-risk",
        ["suites"],
    ),
    ("1.0 with a good suite", hello(TLS_1_0, (0xC014, 0x002F)), 993, "legacy", ["version"]),
    ("1.0 without", hello(TLS_1_0, RSA_CBC), 993, "legacy", ["version", "suites"]),
    (
        "SSL 2.0",
        hello(SSL_2_0, (), hello_format="sslv2"),
        993,
        "legacy",
        ["version", "suites"],
    ),
    (
        "fallback without",
        hello(TLS_1_0, (*RSA_CBC, FALLBACK_SCSV)),
        993,
        "fallback",
        ["version", "suites"],
    ),
    ("1.0 cut before the suites", hello(TLS_1_0, None, complete=False), 993, "legacy", ["version"]),
    ("1.2 cut behind the suites", hello(suites=RSA_CBC, complete=False), 993, "unknown", ["cut"]),
    (
        "cut, version and suites seen",
        hello(suites=RSA_CBC, supported_versions=(TLS_1_2,), complete=False),
        993,
        "incompatible",
        ["suites"],
    ),
    # 443 is no mail service: the name is known, what it accepts there is not said
    ("another service", hello(suites=RSA_CBC), 443, "ok", []),
]


@pytest.mark.parametrize(
    ("offered", "port", "verdict", "reasons"),
    [a[1:] for a in AT_EXCHANGE],
    ids=[a[0] for a in AT_EXCHANGE],
)
def test_an_offer_to_exchange_online_is_held_against_its_suites(offered, port, verdict, reasons):
    judgement = judged(offered, port=port)
    assert (judgement.verdict, list(judgement.reasons)) == (verdict, reasons)
    assert judgement.profile == "exchange-online"
    assert judgement.destination_basis == DestinationBasis.SNI


# A profile that has a word on everything.

RELAY = """
name = "relay"
title = "Our relay"
source = "its configuration"
checked = 2026-11-01
[names]
source = "its configuration"
checked = 2026-11-01
hosts = ["relay.example"]
[[accepts]]
source = "its configuration"
checked = 2026-11-01
minimum_version = "TLS 1.2"
[accepts.suites]
tls12 = { accepted = [0xC030, 0x009D], reported_refused = [0x002F] }
tls13 = { accepted = [0x1302] }
[accepts.groups]
accepted = [24]
reported_refused = [23]
[accepts.signature_algorithms]
accepted = [0x0804]
undocumented = [0x0401]
"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    path = tmp_path_factory.mktemp("profiles") / "relay.toml"
    path.write_text(RELAY)
    return read_profile(path)


EC, KEY_TRANSPORT = (0xC030,), (0xC030, 0x009D)
BOTH = {"supported_versions": (TLS_1_3, TLS_1_2)}
ONLY13 = {"supported_versions": (TLS_1_3,)}

# id, suites, other facts, verdict, reasons; RFC 8422 section 4, RFC 5246 section 7.4.1.4.1
LISTS = [
    ("all fit", EC, {"groups": (24,), "signature_algorithms": (0x0804,)}, "ok", []),
    ("no common group", EC, {"groups": (29,)}, "incompatible", ["groups"]),
    ("a group reported refused", EC, {"groups": (23, 29)}, "at-risk", ["groups"]),
    ("no group named", EC, {"groups": None}, "ok", []),
    ("no group needed", KEY_TRANSPORT, {"groups": (29,)}, "ok", []),
    ("none but a doubtful suite", (0xC030, 0x002F), {"groups": (29,)}, "at-risk", ["groups"]),
    ("needed in 1.3", (0x1302, 0x009D), ONLY13 | {"groups": (29,)}, "incompatible", ["groups"]),
    ("not in 1.2 beside it", (0x1302, 0x009D), BOTH | {"groups": (29,)}, "ok", []),
    ("no common suite in 1.3", (0x1301,), ONLY13, "incompatible", ["suites"]),
    (
        "no common signature",
        EC,
        {"signature_algorithms": (0x0201,)},
        "incompatible",
        ["signature_algorithms"],
    ),
    (
        "an undocumented signature",
        EC,
        {"signature_algorithms": (0x0401,)},
        "at-risk",
        ["signature_algorithms"],
    ),
    (
        "nothing fits",
        (0xC013,),
        {"groups": (29,), "signature_algorithms": (0x0201,)},
        "incompatible",
        ["suites", "groups", "signature_algorithms"],
    ),
    (
        "the worst decides, all are told",
        EC,
        {"groups": (23,), "signature_algorithms": (0x0201,)},
        "incompatible",
        ["groups", "signature_algorithms"],
    ),
    (
        "cut before the groups",
        EC,
        BOTH | {"signature_algorithms": (0x0804,), "complete": False},
        "unknown",
        ["cut"],
    ),
    (
        "cut, yet refused already",
        (0xC013,),
        {"supported_versions": (TLS_1_2,), "complete": False},
        "incompatible",
        ["suites"],
    ),
    (
        "cut, doubtful so far",
        (0x002F,),
        {"supported_versions": (TLS_1_2,), "complete": False},
        "unknown",
        ["suites", "cut"],
    ),
    (
        "cut behind them",
        EC,
        BOTH | {"groups": (24,), "signature_algorithms": (0x0804,), "complete": False},
        "ok",
        [],
    ),
]


@pytest.mark.parametrize(
    ("suites", "facts", "verdict", "reasons"), [e[1:] for e in LISTS], ids=[e[0] for e in LISTS]
)
def test_every_list_is_held_against_the_profile(relay, suites, facts, verdict, reasons):
    judge = Judge(DEFAULT_PORTS, {"relay": relay})
    offered = hello(suites=suites, server_name=b"relay.example", **facts)
    judgement = judge.judge(handshake(offered))
    assert (judgement.verdict, list(judgement.reasons)) == (verdict, reasons)


def test_tls_before_1_2_has_no_signature_algorithms_to_miss(relay):
    offered = hello(TLS_1_0, EC, groups=(29,), signature_algorithms=(0x0201,))
    judgement = Judge(DEFAULT_PORTS, {}, forced=relay).judge(handshake(offered))
    assert judgement.reasons == (Reason.VERSION, Reason.GROUPS)


def test_below_a_minimum_above_tls_1_2_is_incompatible_not_legacy(tmp_path):
    path = tmp_path / "strict.toml"
    path.write_text(RELAY.replace('minimum_version = "TLS 1.2"', 'minimum_version = "TLS 1.3"'))
    judge = Judge(DEFAULT_PORTS, {}, forced=read_profile(path))

    def judge_one(offered: ClientHello) -> Any:
        judgement = judge.judge(handshake(offered))
        return judgement.verdict, judgement.reasons

    assert judge_one(hello(suites=EC)) == (Verdict.INCOMPATIBLE, (Reason.VERSION,))
    assert judge_one(hello(suites=EC, **BOTH)) == (Verdict.INCOMPATIBLE, (Reason.SUITES,))
    assert judge_one(hello(suites=(0x1302,), **BOTH)) == (Verdict.OK, ())


# Retries, services and the forced profile.


def test_a_retry_below_1_2_is_a_fallback_and_the_first_low_offer_is_not():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    tale = [(0, TLS_1_0), (1, TLS_1_2), (2, TLS_1_1), (3, TLS_1_0), (40, TLS_1_0)]
    verdicts = [judge.judge(handshake(hello(v), time_ns=t * SECOND)).verdict for t, v in tale]
    assert verdicts == ["legacy", "ok", "fallback", "fallback", "legacy"]


def test_a_cut_hello_that_proves_1_2_makes_the_next_one_a_retry():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    judge.judge(handshake(hello(TLS_1_2, None, complete=False)))
    assert judge.judge(handshake(hello(TLS_1_0), time_ns=SECOND)).verdict == Verdict.FALLBACK


def test_a_hello_without_a_known_version_is_no_rung_of_a_ladder():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    judge.judge(handshake(hello(supported_versions=(0x0505,))))
    assert judge.judge(handshake(hello(TLS_1_0), time_ns=SECOND)).verdict == Verdict.LEGACY


def test_another_clients_better_offer_excuses_nobody():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    judge.judge(handshake(hello(TLS_1_2), client="10.0.0.8"))
    assert judge.judge(handshake(hello(TLS_1_0), time_ns=1)).verdict == Verdict.LEGACY


@pytest.mark.parametrize(
    ("port", "service"),
    [(993, "imaps"), (995, "pop3s"), (465, "smtps"), (587, "submission"), (8443, "tls")],
)
def test_the_service_is_the_ports_word(port, service):
    assert judged(hello(), port=port).service == service


def test_a_configured_port_is_its_service_for_the_profile_too():
    judge = Judge(parse_ports("10993/imaps"), PROFILES)
    judgement = judge.judge(handshake(hello(), "52.96.1.1", 10993))
    assert (judgement.service, judgement.profile) == ("imaps", "exchange-online")


def test_the_same_name_on_another_port_is_judged_by_that_ports_word():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    offered = hello(suites=(0x1302,), server_name=ONLINE.encode(), **ONLY13)
    first, second = (judge.judge(handshake(offered, port=p)).verdict for p in (25, 993))
    assert (first, second) == (Verdict.OK, Verdict.AT_RISK)


@pytest.mark.parametrize("server_name", [b"imap.gmail.com", b"mail.example", None])
def test_a_forced_profile_takes_the_place_of_every_other(server_name):
    judge = Judge(DEFAULT_PORTS, PROFILES, forced=PROFILES["exchange-online"])
    judgement = judge.judge(handshake(hello(suites=RSA_CBC, server_name=server_name)))
    assert judgement.profile == "exchange-online"
    assert judgement.destination_basis == DestinationBasis.FORCED
    assert judgement.verdict == Verdict.INCOMPATIBLE


# What must not matter, and what must hold.

CODES = st.sampled_from((*GOOD, *RSA_GCM, *RSA_CBC, *TLS13, 0xCCA8, 0xC02B, 0x00FF))
HELLOS = st.builds(
    lambda version, versions, suites, groups: hello(
        version, tuple(suites), supported_versions=versions, groups=groups
    ),
    st.sampled_from((SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2)),
    st.none() | st.permutations((TLS_1_3, TLS_1_2, TLS_1_1)).map(lambda v: tuple(v[:2])),
    st.lists(CODES, max_size=6),
    st.none() | st.lists(st.sampled_from((23, 24, 29)), max_size=3).map(tuple),
)
NAMES = st.sampled_from((ONLINE, "smtp.gmail.com", "pop-legacy.office365.com", None))
PORTS = st.sampled_from((993, 995, 587, 25, 443))


@given(HELLOS, NAMES, PORTS, st.sampled_from(GREASE), st.integers(0, 6))
def test_grease_changes_no_verdict(offered, name, port, grease, at):
    def greased(codes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return codes and (*codes[:at], grease, *codes[at:])

    with_grease = dataclasses.replace(
        offered,
        suites=(*offered.suites[:at], grease, *offered.suites[at:]),
        supported_versions=greased(offered.supported_versions),
        groups=greased(offered.groups),
        signature_algorithms=greased(offered.signature_algorithms),
    )
    assert judged(with_grease, name, port=port) == judged(offered, name, port=port)


@given(HELLOS, NAMES, PORTS, st.randoms())
def test_order_and_repetition_change_no_verdict(offered, name, port, random):
    suites = list(offered.suites) * 2
    random.shuffle(suites)
    shuffled = dataclasses.replace(offered, suites=tuple(suites))
    assert judged(shuffled, name, port=port) == judged(offered, name, port=port)


@given(HELLOS, NAMES, PORTS)
def test_reasons_stand_once_in_their_order_and_fit_the_verdict(offered, name, port):
    judgement = judged(offered, name, port=port)
    assert list(judgement.reasons) == [r for r in Reason if r in judgement.reasons]
    old = offered.max_offered < TLS_1_2
    assert old is (Reason.VERSION in judgement.reasons)
    assert old is (judgement.verdict == Verdict.LEGACY)
    assert (judgement.verdict == Verdict.OK) is (not judgement.reasons)


@given(HELLOS, PORTS)
def test_one_more_documented_suite_never_makes_it_worse(offered, port):
    better = dataclasses.replace(offered, suites=(*offered.suites, 0xC030))
    order = [Verdict.INCOMPATIBLE, Verdict.AT_RISK, Verdict.LEGACY, Verdict.OK]
    now, then = judged(better, port=port).verdict, judged(offered, port=port).verdict
    assert order.index(now) >= order.index(then)


def test_a_flood_of_names_fills_no_memory(monkeypatch):
    monkeypatch.setattr(verdict_module, "MOST_CHOICES", 64)
    judge = Judge(DEFAULT_PORTS, PROFILES)
    for n in range(1000):
        offered = hello(server_name=b"%d.example" % n)
        assert judge.judge(handshake(offered)).profile is None
        assert len(judge._choices) <= 64
    named = hello(server_name=ONLINE.encode())
    assert judge.judge(handshake(named)).profile == "exchange-online"


def test_a_server_name_of_64_kib_is_not_kept():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    offered = hello(server_name=b"a" * 65_000)
    assert judge.judge(handshake(offered, "52.96.1.1")).profile == "exchange-online"
    assert max(map(len, judge._choices)) < 300


def test_addresses_and_names_that_run_together_are_two_destinations():
    judge = Judge(DEFAULT_PORTS, PROFILES)
    four = handshake(hello(server_name=b"a" * 12), "52.96.1.1")
    sixteen = handshake(hello(), str(ip_address(bytes([52, 96, 1, 1]) + b"a" * 12)))
    assert judge.judge(four).profile == "exchange-online"
    assert judge.judge(sixteen).profile is None
