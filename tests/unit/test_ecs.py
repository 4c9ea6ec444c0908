"""The event: the contract's JSON for every kind of handshake, true to its schema."""

import hashlib
import ipaddress
import json
import struct
from collections.abc import Iterator
from dataclasses import replace as change
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from parsers.tls import facts, fingerprint
from parsers.tls.facts import Alert, ClientHello, ServerHello
from sniffer.event import (
    DestinationBasis,
    EncryptedAlert,
    Flow,
    Handshake,
    Judgement,
    Outcome,
    Reason,
    Session,
    Side,
    Sure,
    Tunnel,
    Verdict,
    identity,
)
from sniffer.export import ecs

CHECKOUT = Path(__file__).parents[2]
NOON_NS = 1_795_435_200_123_456_789  # 2026-11-23

HELLO = ClientHello(
    hello_format="tls",
    record_version=0x0301,
    legacy_version=0x0301,
    random=bytes(range(32)),
    suites=(0x002F, 0x0A0A, 0x000A, 0xEEEE),
    extensions=(0, 16),
    server_name=b"outlook.office365.com",
    alpn=(b"imap",),
)
FLOW = Flow(
    source=ipaddress.ip_address("10.0.0.7").packed,
    source_port=50123,
    destination=ipaddress.ip_address("52.96.1.1").packed,
    destination_port=993,
    mac=bytes.fromhex("3c2af4000050"),
    vlan=12,
    server_half=True,
    syn_seen=True,
)
HANDSHAKE = Handshake(time_ns=NOON_NS, frame=17, flow=FLOW, hello=HELLO, path="office.pcapng")
JUDGEMENT = Judgement("imaps", Verdict.LEGACY, (Reason.VERSION,), "exchange-online")
BARE = Judgement("tls", Verdict.OK)


def told(handshake: Handshake, judgement: Judgement = JUDGEMENT) -> dict[str, Any]:
    """Return the event as a reader of its JSON has it, checked against the schema."""
    event = json.loads(ecs.encode(handshake, judgement))
    validator().validate(event)
    assert no_empty(event)
    return event


def validator() -> Draft202012Validator:
    """Make the validator of the committed schema, with no key allowed that it lacks."""
    schema = json.loads((CHECKOUT / "sniffer/export/event.schema.json").read_bytes())
    for part in schema["$defs"].values():
        if part.get("type") == "object":
            part["additionalProperties"] = False
    return Draft202012Validator(schema)


def no_empty(value: object) -> bool:
    """Tell whether no key has a value that is null or empty."""
    if isinstance(value, dict):
        return all(inner not in (None, "", [], {}) and no_empty(inner) for inner in value.values())
    if isinstance(value, list):
        return all(no_empty(inner) for inner in value)
    return True


def test_schema_in_the_repository_is_the_one_the_structs_make() -> None:
    committed = (CHECKOUT / "sniffer/export/event.schema.json").read_bytes()
    assert committed == ecs.schema(), "run tools/make_event_schema.py"
    Draft202012Validator.check_schema(json.loads(committed))


def test_schema_refuses_what_the_contract_does_not_know() -> None:
    event = told(HANDSHAKE)
    for wrong in (
        {**event, "@timestamp": "2026-11-23T12:00:00Z"},
        {**event, "source": {"ip": "10.0.0.7", "port": "50123"}},
        {**event, "hellowatch": {**event["hellowatch"], "verdict": "bad"}},
        {**event, "hellowatch": {**event["hellowatch"], "max_offered": "TLS 1.9"}},
        {**event, "surprise": 1},
    ):
        assert not validator().is_valid(wrong)


def test_the_contract_s_example() -> None:
    handshake = replace(
        HANDSHAKE,
        server_hello=ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=b"imap"),
        outcome=Outcome.ESTABLISHED,
        session=Session(310, 212, 0.4, Side.SERVER),
        starttls="imap",
    )
    judgement = replace(JUDGEMENT, destination_basis=DestinationBasis.SNI)
    assert told(handshake, judgement) == {
        "@timestamp": "2026-11-23T12:00:00.123456Z",
        "source": {"ip": "10.0.0.7", "port": 50123, "mac": "3c:2a:f4:00:00:50"},
        "destination": {"ip": "52.96.1.1", "port": 993},
        "network": {
            "protocol": "imaps",
            "vlan": {"id": "12"},
            "community_id": "1:0HSHCmx8eUQ0ekoHyhBkUzUJ8sg=",
        },
        "log": {"file": {"path": "office.pcapng"}},
        "tls": {
            "version": "1.0",
            "version_protocol": "tls",
            "cipher": "TLS_RSA_WITH_AES_128_CBC_SHA",
            "established": True,
            "next_protocol": "imap",
            "client": {
                "server_name": "outlook.office365.com",
                "ja3": hashlib.md5(b"769,47-10-61166,0-16,,").hexdigest(),
                "supported_ciphers": [
                    "TLS_RSA_WITH_AES_128_CBC_SHA",
                    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
                    "0xeeee",
                ],
            },
        },
        "hellowatch": {
            "id": identity(HANDSHAKE),
            "max_offered": "TLS 1.0",
            "record_version": "0x0301",
            "legacy_version": "0x0301",
            "hello_format": "tls",
            "hello_complete": True,
            "ja4": "t10d0302ip_69305a46f776_000000000000",
            "alpn": ["imap"],
            "fallback_scsv": False,
            "starttls": "imap",
            "verdict": "legacy",
            "reasons": ["version"],
            "profile": "exchange-online",
            "destination_basis": "sni",
            "outcome": "established",
            "session": {
                "client_bytes": 310,
                "server_bytes": 212,
                "seconds": 0.4,
                "closed_by": "server",
            },
            "frame": 17,
            "flow": {"client_half": True, "server_half": True, "syn_seen": True},
        },
    }


def test_a_key_without_a_value_is_left_out() -> None:
    hello = ClientHello("tls", None, 0x0303, b"", complete=False)
    flow = Flow(bytes(4), 1, bytes(4), 443, client_half=True)
    event = told(Handshake(0, 1, flow, hello), BARE)
    assert event == {
        "@timestamp": "1970-01-01T00:00:00.000000Z",
        "source": {"ip": "0.0.0.0", "port": 1},
        "destination": {"ip": "0.0.0.0", "port": 443},
        "network": {"protocol": "tls", "community_id": event["network"]["community_id"]},
        "hellowatch": {
            "id": event["hellowatch"]["id"],
            "legacy_version": "0x0303",
            "hello_format": "tls",
            "hello_complete": False,
            "fallback_scsv": False,
            "verdict": "ok",
            "outcome": "unknown",
            "frame": 1,
            "flow": {"client_half": True, "server_half": False, "syn_seen": False},
        },
    }


def test_a_cut_hello_gives_what_is_known_and_no_fingerprint() -> None:
    hello = change(HELLO, complete=False, suites=None, alpn=None, extensions=None)
    event = told(replace(HANDSHAKE, hello=hello))
    assert event["tls"] == {"client": {"server_name": "outlook.office365.com"}}
    assert event["hellowatch"]["max_offered"] == "TLS 1.0"
    assert event["hellowatch"]["hello_complete"] is False
    assert not {"ja4", "alpn"} & set(event["hellowatch"])


def test_sslv2_format_has_no_record_version_and_no_fingerprint() -> None:
    hello = ClientHello(
        "sslv2", None, facts.SSL_2_0, bytes(16), suites=(0x0700C0, 0x010080, 0x002F, 0x5600)
    )
    event = told(replace(HANDSHAKE, hello=hello))
    assert event["tls"]["client"] == {
        "supported_ciphers": [
            "0x0700c0",
            "0x010080",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_FALLBACK_SCSV",
        ]
    }
    told_of = event["hellowatch"]
    assert told_of["hello_format"] == "sslv2"
    assert told_of["legacy_version"] == "0x0002"
    assert told_of["max_offered"] == "SSL 2.0"
    assert told_of["fallback_scsv"] is True
    assert not {"record_version", "ja4"} & set(told_of)


def test_supported_versions_are_in_wire_order_without_grease() -> None:
    hello = change(HELLO, legacy_version=0x0303, supported_versions=(0x1A1A, 0x0303, 0x0304))
    event = told(replace(HANDSHAKE, hello=hello))["hellowatch"]
    assert event["supported_versions"] == ["0x0303", "0x0304"]
    assert event["max_offered"] == "TLS 1.3"


@pytest.mark.parametrize("lists", [(), (0x2A2A,)])
def test_lists_with_nothing_to_say_are_left_out(lists: tuple[int, ...]) -> None:
    hello = change(HELLO, suites=lists, supported_versions=lists, alpn=(), server_name=b"")
    event = told(replace(HANDSHAKE, hello=hello))
    assert set(event["tls"]["client"]) == {"ja3"}
    assert not {"supported_versions", "alpn", "max_offered"} & set(event["hellowatch"])


@pytest.mark.parametrize(
    ("legacy", "selected", "version", "protocol"),
    [
        (0x0002, None, "2.0", "ssl"),
        (0x0300, None, "3.0", "ssl"),
        (0x0301, None, "1.0", "tls"),
        (0x0302, None, "1.1", "tls"),
        (0x0303, None, "1.2", "tls"),
        (0x0303, 0x0304, "1.3", "tls"),
        (0x0303, 0x7F1C, "1.3", "tls"),
        (0x0307, None, "0x0307", "tls"),
    ],
)
def test_negotiated_version(legacy: int, selected: int | None, version: str, protocol: str) -> None:
    answer = ServerHello("tls", 0x0301, legacy, bytes(32), 0x1301, selected)
    tls = told(replace(HANDSHAKE, server_hello=answer))["tls"]
    assert (tls["version"], tls["version_protocol"]) == (version, protocol)
    assert tls["cipher"] == "TLS_AES_128_GCM_SHA256"


def test_offered_is_never_shown_as_negotiated() -> None:
    retry = ServerHello("tls", 0x0303, 0x0303, bytes(32), 0x1301, 0x0304, b"imap", retry=True)
    for answer in (None, retry):
        tls = told(replace(HANDSHAKE, server_hello=answer, outcome=Outcome.ALERT))["tls"]
        assert set(tls) == {"client", "established"}


def test_ssl2_server_hello_has_a_version_and_no_suite() -> None:
    answer = ServerHello("sslv2", None, 0x0002, bytes(16), None)
    tls = told(replace(HANDSHAKE, server_hello=answer))["tls"]
    assert tls["version"] == "2.0"
    assert "cipher" not in tls


@pytest.mark.parametrize(
    ("outcome", "established"),
    [
        (Outcome.ESTABLISHED, True),
        (Outcome.ALERT, False),
        (Outcome.RESET, False),
        (Outcome.CLOSED, False),
        (Outcome.REFUSED_STARTTLS, False),
        (Outcome.UNANSWERED, None),
        (Outcome.UNKNOWN, None),
    ],
)
def test_established_is_said_only_where_it_is_known(
    outcome: Outcome, established: bool | None
) -> None:
    event = told(replace(HANDSHAKE, outcome=outcome))
    assert event["tls"].get("established") is established
    assert event["hellowatch"]["outcome"] == outcome.value


@pytest.mark.parametrize(
    ("alert", "sender", "told_of"),
    [
        (
            Alert(2, 70),
            Side.SERVER,
            {"level": "fatal", "description": "protocol_version", "code": 70, "sender": "server"},
        ),
        (
            Alert(1, 0),
            None,
            {"level": "warning", "description": "close_notify", "code": 0},
        ),
        (
            Alert(7, 200),
            Side.CLIENT,
            {"level": "7", "description": "0xc8", "code": 200, "sender": "client"},
        ),
    ],
)
def test_alert(alert: Alert, sender: Side | None, told_of: dict[str, object]) -> None:
    handshake = replace(
        HANDSHAKE,
        alert=alert,
        alert_sender=sender,
        outcome=Outcome.ALERT,
        ended_by=Side.SERVER,
        refused_by=Side.PATH,
    )
    event = told(handshake)["hellowatch"]
    assert event["alert"] == told_of
    assert (event["ended_by"], event["refused_by"]) == ("server", "path")


def test_tunnels_are_listed_from_the_outside_in() -> None:
    outer = ipaddress.ip_address("192.0.2.1").packed
    tunnels = (Tunnel("vxlan", 77, outer), Tunnel("gre"), Tunnel("erspan", 0))
    event = told(replace(HANDSHAKE, flow=replace(FLOW, tunnels=tunnels)))
    assert event["hellowatch"]["tunnel"] == [
        {"type": "vxlan", "id": 77, "outer_source": "192.0.2.1"},
        {"type": "gre"},
        {"type": "erspan", "id": 0},
    ]


def test_vlan_zero_is_a_vlan() -> None:
    event = told(replace(HANDSHAKE, flow=replace(FLOW, vlan=0)))
    assert event["network"]["vlan"] == {"id": "0"}


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_999_999_999, "2000-02-29T00:00:00.999999Z"),
        (NOON_NS, "2026-11-23T12:00:00.123456Z"),
        (4_294_967_295_000_000_000, "2106-02-07T06:28:15.000000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775Z"),
    ],
)
def test_times_are_utc_with_six_digits(time_ns: int, text: str) -> None:
    assert ecs.timestamp(time_ns) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "2001:db8::1",
        "2001:db8:0:1:1:1:1:1",
        "2001:0:0:1::1",
        "2001:db8::1:0:0:1",
        "fe80::200:86ff:fe05:80da",
        "::ffff:10.0.0.7",
        "64:ff9b::c000:221",
    ],
)
def test_addresses_are_written_as_rfc_5952_has_them(text: str) -> None:
    assert ecs.address(ipaddress.ip_address(text).packed) == text


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xC000]), min_size=8, max_size=8))
@example([0, 0, 0, 0, 0, 0xFFFF, 0xC000, 0x0201])
def test_addresses_are_written_as_python_writes_them(groups: list[int]) -> None:
    octets = struct.pack(">8H", *groups)
    written = ecs.address(octets)
    assert ipaddress.ip_address(written).packed == octets
    if octets[:12] != bytes(10) + b"\xff\xff":  # IPv4 inside, which Python writes as hex
        assert written == str(ipaddress.ip_address(octets))


OFFER = change(
    HELLO,
    supported_versions=(0x0304, 0x0303),
    groups=(0x001D,),
    point_formats=(0,),
    signature_algorithms=(0x0403,),
)


@pytest.mark.parametrize(
    "other",
    [
        {"hello_format": "sslv2"},
        {"record_version": None},
        {"legacy_version": 0x0303},
        {"complete": False},
        {"server_name": None},
        *[
            {name: value}
            for name in ("suites", "extensions", "supported_versions", "signature_algorithms")
            for value in (None, (), (0x0304,), (0x0303, 0x0304))
        ],
        *[{"groups": value} for value in (None, (), (0x0017,), (0x001D, 0x0017))],
        *[{"point_formats": value} for value in (None, (), (1,), (0, 1))],
        *[{"alpn": value} for value in (None, (), (b"im", b"ap"), (b"imap", b""))],
    ],
    ids=str,
)
def test_words_that_are_remembered_are_those_of_the_same_offer(other: dict[str, Any]) -> None:
    first, second = OFFER, change(OFFER, **other)
    for hello in (first, second, first):
        assert ecs.offer(hello) == ecs._offer(hello)
    assert fingerprint.offered(first) != fingerprint.offered(second)


def test_words_are_remembered_whatever_server_is_named_and_in_bounds() -> None:
    again = change(OFFER, random=bytes(32), session_id=b"1", server_name=b"imap.example")
    assert ecs.offer(again) is ecs.offer(OFFER)
    for code in range(2 * ecs.MOST_OFFERS):
        ecs.offer(change(OFFER, legacy_version=code))
        assert len(ecs._offers) <= ecs.MOST_OFFERS
    many = change(OFFER, suites=tuple(range(ecs.LONGEST_OFFER)))
    assert ecs.offer(many) is not ecs.offer(many)


@pytest.mark.parametrize(
    ("source", "source_port", "destination", "destination_port", "expected"),
    [
        # The first is the specification's own; all are what tshark's dissector says.
        ("128.232.110.120", 34855, "66.35.250.204", 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("66.35.250.204", 80, "128.232.110.120", 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("10.0.0.7", 50123, "10.0.0.7", 993, "1:fDQ1VCNrKY0HrVv1H2LdF6hShKQ="),
        ("2001:db8::7", 50123, "2603:1026::1", 993, "1:5bYVxoR/nu5bNpPPefT/nCfwut0="),
        ("fe80::1", 1, "fe80::1", 2, "1:X7OTft7UHA5sWkq7ogqNK+xzpQ4="),
    ],
)
def test_community_id(
    source: str, source_port: int, destination: str, destination_port: int, expected: str
) -> None:
    one, two = (ipaddress.ip_address(text).packed for text in (source, destination))
    assert ecs.community_id(Flow(one, source_port, two, destination_port)) == expected


def test_id_is_the_documented_hash() -> None:
    told_of = struct.pack("!q", NOON_NS // 1000)
    told_of += b"\x04" + FLOW.source + struct.pack("!H", 50123)
    told_of += b"\x04" + FLOW.destination + struct.pack("!H", 993) + HELLO.random
    assert identity(HANDSHAKE) == hashlib.blake2b(told_of, digest_size=16).hexdigest()
    assert identity(HANDSHAKE) == "507bf64daaf15d63d742363281398528"


def other_hellos() -> Iterator[Handshake]:
    """Yield handshakes that are not the one of the module."""
    yield replace(HANDSHAKE, time_ns=NOON_NS + 1000)
    yield replace(HANDSHAKE, hello=change(HELLO, random=bytes(32)))
    yield replace(HANDSHAKE, flow=replace(FLOW, source_port=50124))
    yield replace(HANDSHAKE, flow=replace(FLOW, destination_port=995))
    yield replace(HANDSHAKE, flow=replace(FLOW, source=bytes(4)))
    yield replace(HANDSHAKE, flow=replace(FLOW, destination=bytes(16)))


def test_id_tells_hellos_apart_and_nothing_else() -> None:
    ids = {identity(handshake) for handshake in (HANDSHAKE, *other_hellos())}
    assert len(ids) == 7
    same = replace(
        HANDSHAKE,
        time_ns=NOON_NS + 100,  # a tool that drops nanoseconds
        frame=99,
        path="copy.pcap",
        outcome=Outcome.ALERT,
        flow=replace(FLOW, vlan=None, mac=None),
    )
    assert identity(same) == ecs.identity(HANDSHAKE)


HOSTILE = (
    b"nul\x00nul",
    b"\x1b]0;title\x07\x1b[31m",
    b"</script><script>alert(1)</script>",
    b"=cmd|' /C calc'!A0",
    "right\u202eleft".encode(),
    b"\xed\xa0\x80\xff\xfe",
    b'quote" back\\slash',
    b"A" * 65_536,
    b"\xff" * 65_536,
)


@pytest.mark.parametrize("octets", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_short_printable_ascii(octets: bytes) -> None:
    hello = change(HELLO, server_name=octets, alpn=(octets, b"imap"))
    answer = ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=octets)
    handshake = replace(HANDSHAKE, hello=hello, server_hello=answer)
    line = ecs.encode(handshake, JUDGEMENT)
    assert line.isascii()
    assert line.decode().isprintable()
    event = told(handshake)
    for text in (
        event["tls"]["client"]["server_name"],
        event["tls"]["next_protocol"],
        event["hellowatch"]["alpn"][0],
    ):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 255


def test_a_path_that_is_no_utf8_does_not_break_the_line() -> None:
    event = told(replace(HANDSHAKE, path="Büro/\udcff\n.pcap"))
    assert event["log"]["file"]["path"] == "Büro/\\xff\\x0a.pcap"


codes = st.integers(0, 0xFFFF)
lists = st.none() | st.lists(codes, max_size=8).map(tuple)
octets = st.binary(max_size=300)
sides = st.none() | st.sampled_from(Side)
hellos = st.builds(
    ClientHello,
    hello_format=st.sampled_from(["tls", "sslv2"]),
    record_version=st.none() | codes,
    legacy_version=codes,
    random=st.binary(max_size=32),
    suites=st.none() | st.lists(st.integers(0, 0xFFFFFF), max_size=8).map(tuple),
    extensions=lists,
    supported_versions=lists,
    server_name=st.none() | octets,
    alpn=st.none() | st.lists(octets, max_size=3).map(tuple),
    groups=lists,
    point_formats=st.none() | st.lists(st.integers(0, 255), max_size=3).map(tuple),
    signature_algorithms=lists,
    complete=st.booleans(),
)
answers = st.none() | st.builds(
    ServerHello,
    hello_format=st.just("tls"),
    record_version=st.none() | codes,
    legacy_version=codes,
    random=st.just(bytes(32)),
    suite=st.none() | codes,
    selected_version=st.none() | codes,
    alpn=st.none() | octets,
    retry=st.booleans(),
)
addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
tunnels = st.builds(
    Tunnel,
    type=st.sampled_from(["vxlan", "gre"]),
    id=st.none() | st.integers(0, 0xFFFFFFFF),
    outer_source=st.none() | addresses,
)
flows = st.builds(
    Flow,
    source=addresses,
    source_port=codes,
    destination=addresses,
    destination_port=codes,
    mac=st.none() | st.binary(min_size=6, max_size=6),
    vlan=st.none() | st.integers(0, 4095),
    tunnels=st.lists(tunnels, max_size=2).map(tuple),
)
handshakes = st.builds(
    Handshake,
    time_ns=st.integers(-(2**62), 2**63 - 1),
    frame=st.integers(1, 2**40),
    flow=flows,
    hello=hellos,
    server_hello=answers,
    outcome=st.sampled_from(Outcome),
    ended_by=sides,
    refused_by=sides,
    alert=st.none() | st.builds(Alert, level=st.integers(0, 255), description=st.integers(0, 255)),
    alert_sender=sides,
    starttls=st.none() | st.sampled_from(["imap", "pop3", "smtp"]),
    session=st.none()
    | st.builds(
        Session,
        client_bytes=st.integers(0, 2**40),
        server_bytes=st.integers(0, 2**40),
        seconds=st.floats(0, 1e9),
        closed_by=st.sampled_from(Side),
        thrown_out=st.none() | st.sampled_from(Sure),
    ),
    encrypted_alert=st.none()
    | st.builds(EncryptedAlert, sender=st.sampled_from(Side), sure=st.sampled_from(Sure)),
    path=st.none() | st.text(min_size=1, max_size=20),
)
judgements = st.builds(
    Judgement,
    service=st.sampled_from(["imaps", "tls"]),
    verdict=st.sampled_from(Verdict),
    reasons=st.lists(st.sampled_from(Reason), unique=True).map(tuple),
    profile=st.none() | st.just("exchange-online"),
    destination_basis=st.none() | st.sampled_from(DestinationBasis),
)


@given(handshakes, judgements)
def test_every_handshake_is_an_event_true_to_the_schema(
    handshake: Handshake, judgement: Judgement
) -> None:
    line = ecs.encode(handshake, judgement)
    assert b"\n" not in line
    event = json.loads(line)
    validator().validate(event)
    assert no_empty(event)
    # A reader with the Structs gets the same event back.
    assert msgspec.json.decode(line, type=ecs.Event) == ecs.event(handshake, judgement)
