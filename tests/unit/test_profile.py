"""Profiles: the file, its mistakes, its dates, and which destination is whose."""

import re
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sniffer.config import OTHER_SERVICE, SERVICES
from sniffer.errors import ConfigError
from sniffer.event import DestinationBasis
from sniffer.judge.profile import (
    Accepts,
    Certificates,
    CodeList,
    Destinations,
    Expected,
    Names,
    Notice,
    Profile,
    Ranges,
    Sample,
    Suites,
    Window,
    find_profile,
    load_profiles,
    read_profile,
    unix_seconds,
)

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
SHIPPED = load_profiles()
ONLINE, LEGACY, GMAIL = "exchange-online", "exchange-online-legacy", "gmail"
SNI, ADDRESS = DestinationBasis.SNI, DestinationBasis.ADDRESS

HEAD = """
name = "relay"
title = "Our relay"
source = "its configuration"
checked = 2026-11-01
"""
STATED = 'source = "its configuration"\nchecked = 2026-11-01\n'
ACCEPTS = f'[[accepts]]\n{STATED}minimum_version = "TLS 1.2"\n'


def written(folder: Path, text: str, name: str = "relay.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# The profiles that ship.


def test_the_shipped_profiles_are_these():
    assert list(SHIPPED) == [ONLINE, LEGACY, GMAIL]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_has_samples_and_dated_sources(name):
    profile = SHIPPED[name]
    assert len(profile.samples) >= 5
    entries = [
        *profile.accept_entries,
        *profile.ranges,
        *profile.notice_entries,
        *(entry.window for entry in profile.accept_entries if entry.window),
    ]
    assert all(entry.source and entry.checked <= profile.checked for entry in entries)


# profile, service, start and end as the sources give them
WINDOWS = [
    (ONLINE, "imaps", date(2026, 8, 1), date(2026, 12, 31)),
    (ONLINE, "imap", date(2026, 8, 1), date(2026, 12, 31)),
    (ONLINE, "pop3s", date(2026, 8, 1), date(2026, 12, 31)),
    (ONLINE, "pop3", date(2026, 8, 1), date(2026, 12, 31)),
    (ONLINE, "submission", date(2022, 2, 1), None),
    (ONLINE, "smtp", date(2021, 1, 11), date(2021, 1, 11)),
    (LEGACY, "imaps", date(2026, 8, 1), date(2026, 12, 31)),
    (LEGACY, "pop3s", date(2026, 8, 1), date(2026, 12, 31)),
]


@pytest.mark.parametrize(("name", "service", "start", "end"), WINDOWS)
def test_a_window_is_told_in_seconds_with_the_revised_start(name, service, start, end):
    expected = unix_seconds(start), None if end is None else unix_seconds(end)
    assert SHIPPED[name].window(service) == expected


@pytest.mark.parametrize(
    ("name", "service"),
    [(LEGACY, "submission"), (GMAIL, "imaps"), (GMAIL, "smtps"), (ONLINE, OTHER_SERVICE)],
)
def test_without_an_announcement_there_is_no_window(name, service):
    assert SHIPPED[name].window(service) is None


def test_both_starts_of_the_window_are_kept():
    window = SHIPPED[ONLINE].enforcement("imaps")
    assert window is not None
    assert window.announced == date(2026, 4, 27)
    assert window.start == date(2026, 7, 1)
    assert window.start_revised == date(2026, 8, 1)


def test_days_begin_at_midnight_utc():
    assert unix_seconds(date(1970, 1, 2)) == 86_400
    assert unix_seconds(date(2026, 12, 31)) == 1_798_675_200


@pytest.mark.parametrize(
    ("name", "service", "year", "word"),
    [
        (ONLINE, "imaps", 2022, "no passwords"),
        (ONLINE, "pop3", 2022, "no passwords"),
        (ONLINE, "submission", 2026, "off by default"),
        (ONLINE, "smtp", 2021, "in clear"),
        (LEGACY, "pop3s", 2022, "no passwords"),
        (LEGACY, "submission", 2026, "off by default"),
        (LEGACY, "submission", 2023, "opt in"),
    ],
)
def test_a_notice_belongs_to_its_services(name, service, year, word):
    notices = SHIPPED[name].notices(service)
    assert [n.date for n in notices] == sorted(n.date for n in notices)
    assert [word in n.text for n in notices if n.date.year == year] == [True]


def test_no_notice_about_passwords_stands_at_a_mail_exchanger():
    assert not any("password" in n.text for n in SHIPPED[ONLINE].notices("smtp"))


# Which destination is whose.

# id, server name, address, service, profile, basis
DESTINATIONS = [
    ("name", b"outlook.office365.com", "192.0.2.1", "imaps", ONLINE, SNI),
    ("capitals", b"OUTLOOK.Office365.Com", "192.0.2.1", "imaps", ONLINE, SNI),
    ("dot at the end", b"outlook.office365.com.", "192.0.2.1", "imaps", ONLINE, SNI),
    ("two dots", b"outlook.office365.com..", "192.0.2.1", "imaps", None, None),
    ("name before range", b"imap.gmail.com", "52.96.1.1", "imaps", GMAIL, SNI),
    ("legacy name", b"pop-legacy.office365.com", "52.96.1.1", "pop3s", LEGACY, SNI),
    ("legacy name in China", b"imap-legacy.partner.outlook.cn", "1.1.1.1", "imaps", LEGACY, SNI),
    ("wildcard", b"contoso-com.mail.protection.outlook.com", "1.1.1.1", "smtp", ONLINE, SNI),
    ("wildcard of two labels", b"contoso-com.a-v1.mx.microsoft", "1.1.1.1", "smtp", ONLINE, SNI),
    ("nothing before it", b".mx.microsoft", "1.1.1.1", "smtp", None, None),
    ("name inside another", b"outlook.office365.com.evil.example", "1.1.1.1", "imaps", None, None),
    ("longer in front", b"notoutlook.office365.com", "1.1.1.1", "imaps", None, None),
    ("excluded name", b"x-legacy.office365.com", "52.96.1.1", "imaps", None, None),
    ("excluded by wildcard", b"x-legacy.partner.outlook.cn", "52.96.1.1", "imaps", None, None),
    ("another name in range", b"mail.example.org", "52.96.1.1", "imaps", ONLINE, ADDRESS),
    ("no name", None, "52.96.1.1", "imaps", ONLINE, ADDRESS),
    ("empty name", b"", "52.96.1.1", "imaps", ONLINE, ADDRESS),
    ("not ASCII", "outlook.office365.com\u0130".encode(), "52.96.1.1", "imaps", ONLINE, ADDRESS),
    ("Kelvin sign", "outloo\u212a.office365.com".encode(), "1.1.1.1", "imaps", None, None),
    ("NUL", b"outlook.office365.com\0", "192.0.2.1", "imaps", None, None),
    ("first of a range", None, "52.96.0.0", "imaps", ONLINE, ADDRESS),
    ("last of a range", None, "52.99.255.255", "imaps", ONLINE, ADDRESS),
    ("below a range", None, "52.95.255.255", "imaps", None, None),
    ("above all ranges", None, "52.104.0.0", "imaps", None, None),
    ("mail exchangers' range", None, "52.100.0.0", "imaps", None, None),
    ("single address", None, "204.79.197.215", "imaps", ONLINE, ADDRESS),
    ("beside it", None, "204.79.197.214", "imaps", None, None),
    ("IPv6", None, "2603:1026::1", "pop3s", ONLINE, ADDRESS),
    ("last of an IPv6 range", None, "2603:1026:fff:ffff::", "pop3s", ONLINE, ADDRESS),
    ("above it", None, "2603:1026:1000::", "pop3s", None, None),
    ("single IPv6", None, "2620:1ec:4::152", "imap", ONLINE, ADDRESS),
    ("port decides", None, "52.96.1.1", OTHER_SERVICE, None, None),
    ("port decides, 25", None, "52.96.1.1", "smtp", None, None),
    ("mail exchanger", None, "104.47.127.255", "smtp", ONLINE, ADDRESS),
    ("name on an unlisted port", b"outlook.office365.com", "1.1.1.1", OTHER_SERVICE, ONLINE, SNI),
]


@pytest.mark.parametrize(
    ("name", "address", "service", "profile", "basis"),
    [d[1:] for d in DESTINATIONS],
    ids=[d[0] for d in DESTINATIONS],
)
def test_a_destination_is_named_by_sni_then_address(name, address, service, profile, basis):
    chosen = Destinations(SHIPPED.values()).choose(name, ip_address(address).packed, service)
    assert chosen == (SHIPPED.get(profile), basis)


@given(st.one_of(st.ip_addresses(v=4, network="52.64.0.0/10"), st.ip_addresses()))
def test_the_range_found_is_one_that_holds_the_address(address):
    found, _ = Destinations(SHIPPED.values()).choose(None, address.packed, "imaps")
    networks = [
        ip_network(text)
        for ranges in SHIPPED[ONLINE].ranges
        if "imaps" in ranges.services
        for text in ranges.networks
    ]
    assert (found is SHIPPED[ONLINE]) is any(address in network for network in networks)


def test_the_narrower_range_the_longer_name_and_the_later_file_win(tmp_path):
    wide = HEAD + f'[[ranges]]\n{STATED}networks = ["10.0.0.0/8", "0.0.0.0/0"]\n'
    wide += f'[names]\n{STATED}hosts = ["*.example.org", "mail.example.org"]\n'
    narrow = wide.replace('"relay"', '"narrow"').replace("10.0.0.0/8", "10.1.0.0/16")
    narrow = narrow.replace("*.example.org", "*.b.example.org")
    paths = [written(tmp_path, wide, "a.toml"), written(tmp_path, narrow, "b.toml")]
    profiles = load_profiles(paths)
    destinations = Destinations(profiles.values())

    def chosen(name: bytes | None, address: str) -> str:
        profile, _ = destinations.choose(name, ip_address(address).packed, "imaps")
        assert profile is not None
        return profile.name

    assert chosen(None, "10.2.0.1") == "relay"
    assert chosen(None, "10.1.0.1") == "narrow"
    assert chosen(None, "203.0.113.1") == "narrow"
    assert chosen(b"a.example.org", "10.1.0.1") == "relay"
    assert chosen(b"a.b.example.org", "10.2.0.1") == "narrow"
    assert chosen(b"mail.example.org", "10.2.0.1") == "narrow"


# The file.


def test_a_users_file_replaces_the_shipped_one_by_name(tmp_path):
    text = HEAD.replace('"relay"', '"gmail"')
    profiles = load_profiles([written(tmp_path, text, "mine.toml")])
    assert profiles[GMAIL].title == "Our relay"
    assert list(profiles) == [ONLINE, LEGACY, GMAIL]


def test_an_entry_without_services_speaks_for_all_the_others(tmp_path):
    text = HEAD + ACCEPTS + ACCEPTS.replace("TLS 1.2", "TLS 1.3") + 'services = ["imaps"]\n'
    profile = read_profile(written(tmp_path, text))
    found = {word: profile.accepts(word) for word in SERVICES.values()}
    assert {word: entry.minimum for word, entry in found.items() if entry} == {
        word: 0x0304 if word == "imaps" else 0x0303 for word in SERVICES.values()
    }


def test_a_file_of_few_facts_leaves_the_rest_unknown(tmp_path):
    profile = read_profile(written(tmp_path, HEAD + ACCEPTS))
    entry = profile.accepts("imaps")
    assert entry is not None
    assert entry.groups is entry.signature_algorithms is entry.suites.tls12 is None
    assert profile.window("imaps") is None
    assert profile.notices("imaps") == ()


LIST = f"{ACCEPTS}[accepts.suites.tls12]\n"

# id, text of the file, key, part of the reason
MISTAKES = [
    ("unknown key", HEAD + "colour = 1\n", "colour", "no such key"),
    ("unknown key inside", HEAD + ACCEPTS + "mininum = 1\n", "accepts[0].mininum", "no such key"),
    ("missing key", HEAD + "[[accepts]]\n" + STATED, "accepts[0].minimum_version", "is missing"),
    ("no source", HEAD.replace("its configuration", ""), "source", "length >= 1"),
    ("no date", HEAD.replace("checked = 2026-11-01\n", ""), "checked", "is missing"),
    ("a date as text", HEAD.replace("2026-11-01", '"soon"'), "checked", ""),
    ("no version", HEAD + ACCEPTS.replace("1.2", "1.4"), "accepts[0].minimum_version", "'TLS 1.4'"),
    ("no code", HEAD + LIST + "accepted = [65536]", "accepts[0].suites.tls12.accepted[0]", "65535"),
    ("GREASE", HEAD + LIST + "accepted = [0xfafa]", "accepts[0].suites.tls12.accepted", "GREASE"),
    (
        "twice in a list",
        HEAD + LIST + "accepted = [0xc030]\nundocumented = [0xc030]",
        "accepts[0].suites.tls12.undocumented",
        "0xc030 stands there twice",
    ),
    (
        "no service",
        HEAD + ACCEPTS + 'services = ["imap4"]',
        "accepts[0].services",
        "'imap4' is no service: one of imaps, pop3s",
    ),
    (
        "service twice",
        HEAD + 2 * (ACCEPTS + 'services = ["imap"]\n'),
        "accepts[1].services",
        "imap is named twice",
    ),
    ("all others twice", HEAD + 2 * ACCEPTS, "accepts[1].services", "all others is named twice"),
    (
        "end before start",
        HEAD + f"{ACCEPTS}[accepts.window]\n{STATED}start = 2026-02-01\nend = 2026-01-01",
        "accepts[0].window.end",
        "before the start",
    ),
    (
        "host bits set",
        HEAD + f'[[ranges]]\n{STATED}networks = ["10.0.0.1/8"]',
        "ranges[0].networks[0]",
        "10.0.0.1/8 has host bits set",
    ),
    *(
        (
            f"host {pattern!r}",
            HEAD + f'[names]\n{STATED}hosts = ["a.example", "{pattern}"]',
            "names.hosts[1]",
            "is no ASCII host name",
        )
        for pattern in ("*", "*.", ".", "mail.*.example", "b\u00fccher.example", "a" * 300)
    ),
    (
        "notice for no service",
        HEAD + f'[[notices]]\n{STATED}date = 2026-01-01\ntext = "x"\nservices = ["fax"]',
        "notices[0].services",
        "'fax' is no service",
    ),
    ("name with spaces", HEAD.replace('"relay"', '"a b"'), "name", "regex"),
    ("no TOML", "name = ", "", "no TOML"),
    ("lists too deep", "name = " + "[" * 5000 + "]" * 5000, "", "no TOML"),
    ("a number too long", "name = " + "9" * 5000, "", "no TOML"),
    (
        "no address in a sample",
        HEAD
        + '[[samples]]\nwhat = "x"\naddress = "here"\nport = 1\nlegacy_version = "TLS 1.0"\n'
        + 'suites = []\nexpected = { verdict = "ok" }',
        "samples[0].address",
        "'here' does not appear to be an IPv4 or IPv6 address",
    ),
]


@pytest.mark.parametrize(
    ("text", "key", "why"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_told_with_file_and_key(tmp_path, text, key, why):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as told:
        read_profile(path)
    assert told.value.path == str(path)
    assert told.value.key == key
    assert why in told.value.why


@pytest.mark.parametrize("make", ["missing", "directory", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, make):
    path = tmp_path / "relay.toml"
    if make == "directory":
        path.mkdir()
    elif make == "not UTF-8":
        path.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError) as told:
        read_profile(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_profile_option_takes_a_name_or_a_file(tmp_path):
    path = written(tmp_path, HEAD)
    assert find_profile(GMAIL, SHIPPED) is SHIPPED[GMAIL]
    assert find_profile(str(path), SHIPPED).name == "relay"
    with pytest.raises(ConfigError, match=r"'gmial' is neither a file nor one of exchange-online"):
        find_profile("gmial", SHIPPED)
    with pytest.raises(ConfigError, match="No such file"):
        find_profile(str(tmp_path / "gone.toml"), SHIPPED)


# Its documentation.

DOCUMENTED = (
    Profile,
    Names,
    Ranges,
    Certificates,
    Accepts,
    Suites,
    CodeList,
    Window,
    Notice,
    Sample,
    Expected,
)


def test_every_key_of_the_file_stands_in_the_docs_and_the_reverse():
    keys = {field.encode_name for struct in DOCUMENTED for field in msgspec.structs.fields(struct)}
    text = DOCS.read_text().partition("## The file")[2]
    assert {key for key in keys if f"`{key}`" not in text} == set()
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {key for cell in first_cells for key in re.findall("`(.+?)`", cell)} <= keys


def test_the_example_of_the_docs_is_a_profile(tmp_path):
    example = DOCS.read_text().partition("```toml\n")[2].partition("```")[0]
    profile = read_profile(written(tmp_path, example))
    destinations = Destinations([profile])
    assert destinations.choose(b"relay.example.org", bytes(4), "imaps") == (profile, SNI)
    entry = profile.accepts("imaps")
    assert entry is not None
    assert entry.suites.tls13 is None


def test_the_docs_name_every_shipped_profile():
    table = DOCS.read_text().partition("## Which profile")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == list(SHIPPED)
