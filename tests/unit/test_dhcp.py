"""DHCP of both kinds: who a client says it is, and what it was given."""

import craft
import pytest
from craft import address, mac, u16s
from discovering import dhcp, dhcpv6, duid, ia_na, name, option, option6
from rows import Row, four_ways, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.discovery import dhcp as parser
from parsers.discovery import dhcpv6 as parser6
from parsers.discovery.dhcp import ACK, DISCOVER, INFORM, REQUEST, Message
from parsers.discovery.dhcpv6 import REPLY, SOLICIT
from parsers.discovery.dhcpv6 import Message as Message6

CLIENT = mac(craft.CLIENT_MAC)
GIVEN = address("10.0.0.7")


def said(kind: int, **more: object) -> Message:
    facts = {
        "is_reply": False,
        "transaction": 0x3903F326,
        "mac": CLIENT,
        "own": None,
        "given": None,
    }
    return Message(**facts | {"kind": kind} | more)


def fqdn(flags: int, text: bytes) -> bytes:
    return option(81, bytes((flags, 0, 0)) + text)


ROWS = [
    Row(
        "discover",
        dhcp(DISCOVER, option(12, b"HP3C2AF4"), option(60, b"JetDirect")),
        said(DISCOVER, host_name=b"HP3C2AF4", vendor_class=b"JetDirect"),
        "RFC 2132 3.14, 9.13",
    ),
    Row(
        "request",
        dhcp(REQUEST, option(50, GIVEN), b"\0\0\0", option(12, b"hp\0")),
        said(REQUEST, requested=GIVEN, host_name=b"hp"),
        "RFC 2132 9.1",
    ),
    Row(
        "ack",
        dhcp(ACK, option(51, (3600).to_bytes(4, "big")), is_reply=True, given="10.0.0.7"),
        said(ACK, is_reply=True, given=GIVEN, lease_seconds=3600),
        "RFC 2132 9.2",
    ),
    Row("inform", dhcp(INFORM, own="10.0.0.7"), said(INFORM, own=GIVEN), "RFC 2131 4.4.3"),
    Row(
        "fqdn-in-dns-form",
        dhcp(REQUEST, fqdn(0x05, name("hp.lan"))),
        said(REQUEST, fqdn=b"hp.lan"),
        "RFC 4702 2.1",
    ),
    Row(
        "fqdn-to-be-completed",
        dhcp(REQUEST, fqdn(0x04, name("hp", end=b""))),
        said(REQUEST, fqdn=b"hp"),
        "RFC 4702 2.1",
    ),
    Row(
        "fqdn-as-text",
        dhcp(REQUEST, fqdn(0, b"hp.lan.")),
        said(REQUEST, fqdn=b"hp.lan"),
        "RFC 4702 2.1",
    ),
    Row("fqdn-that-points", dhcp(REQUEST, fqdn(0x04, b"\xc0\0")), said(REQUEST), "RFC 4702 2.1"),
    Row("fqdn-without-a-name", dhcp(REQUEST, fqdn(0x04, b"")), said(REQUEST), "RFC 4702 2.1"),
    Row(
        "option-in-parts",
        dhcp(REQUEST, option(12, b"HP"), option(60, b"x"), option(12, b"-2")),
        said(REQUEST, host_name=b"HP-2", vendor_class=b"x"),
        "RFC 3396 7",
    ),
    Row(
        "overload-of-both",
        dhcp(
            REQUEST,
            option(52, b"\3"),
            server_name=option(12, b"-2") + b"\xff",
            boot_file=option(12, b"HP") + b"\xff",
        ),
        said(REQUEST, host_name=b"HP-2"),
        "RFC 2132 9.3",
    ),
    Row(
        "names-that-are-no-options",
        dhcp(REQUEST, server_name=option(12, b"no"), boot_file=option(12, b"no")),
        said(REQUEST),
        "RFC 2131 2",
    ),
    Row("bootp", dhcp(0, option(12, b"hp")), said(0, host_name=b"hp"), "RFC 1534"),
    Row("empty-name", dhcp(REQUEST, option(12, b"")), said(REQUEST), "RFC 2132 3.14"),
    Row(
        "another-cookie",
        dhcp(REQUEST).replace(b"\x63\x82\x53\x63", b"\x63\x82\x53\x64"),
        None,
        "RFC 2131 3",
        NO_MATCH,
    ),
    Row("another-operation", b"\3" + dhcp(REQUEST)[1:], None, "RFC 2131 2", NO_MATCH),
    Row("not-ethernet", b"\1\x20\x10" + dhcp(REQUEST)[3:], said(REQUEST, mac=None), "RFC 2131 2"),
]


@parametrize(ROWS)
def test_message(row: Row) -> None:
    four_ways(parser.read, row)


def test_a_cut_message_tells_what_it_holds() -> None:
    wire = dhcp(REQUEST, option(12, b"HP3C2AF4"), option(60, b"JetDirect"))
    for end in range(len(wire)):
        answer, part = parser.read(memoryview(wire), 0, end)
        assert answer == NEED_MORE
        assert part is None or part.host_name in (None, b"HP3C2AF4")
    assert part is not None
    assert part.vendor_class == b"JetDirect"


def test_endless_options_end() -> None:
    wire = memoryview(dhcp(REQUEST, *[option(12, b"x" * 255)] * 300))
    answer, told = parser.read(wire, 0, len(wire))
    assert answer == NEED_MORE
    assert told is not None
    assert len(told.host_name or b"") == parser.LONGEST_OPTION


# ------------------------------------------------------------------------------ DHCPv6

SIX = "2001:db8::7"
DUID = u16s(1, 1) + bytes(4) + CLIENT


def said6(kind: int, **more: object) -> Message6:
    return Message6(kind, 0x0A562E, **{"duid": DUID} | more)


def relayed(message: bytes, hops: int = 1) -> bytes:
    for _ in range(hops):
        message = bytes((12, 0)) + bytes(32) + option6(9, message)
    return message


LONG = option6(1, bytes(131))
VENDOR = option6(16, bytes(4) + u16s(9) + b"JetDirect")
ROWS6 = [
    Row(
        "identifier-too-long",
        dhcpv6(SOLICIT, LONG),
        said6(SOLICIT, duid=None),
        "RFC 8415 11.1",
        grows=False,
    ),
    Row(
        "solicit",
        dhcpv6(SOLICIT, duid(), VENDOR, option6(39, b"\1" + name("hp.lan"))),
        said6(SOLICIT, fqdn=b"hp.lan", vendor_class=b"JetDirect"),
        "RFC 8415 16.2",
        grows=False,
    ),
    Row(
        "reply",
        dhcpv6(REPLY, duid(), ia_na(SIX)),
        said6(REPLY, addresses=((address(SIX), 3600),)),
        "RFC 8415 21.6",
        grows=False,
    ),
    Row(
        "relayed",
        relayed(dhcpv6(SOLICIT, duid())),
        said6(SOLICIT, relayed=True),
        "RFC 8415 9",
        grows=False,
    ),
    Row(
        "relayed-too-often",
        relayed(dhcpv6(SOLICIT, duid()), 9),
        None,
        "RFC 8415 9",
        NO_MATCH,
        grows=False,
    ),
    Row("another-type", dhcpv6(99, duid()), None, "RFC 8415 7.3", NO_MATCH),
    Row(
        "option-beyond-the-end",
        dhcpv6(SOLICIT, duid()) + u16s(39, 9) + b"\1",
        said6(SOLICIT),
        "RFC 8415 21.1",
        NEED_MORE,
        grows=False,
    ),
    Row(
        "identity-too-short",
        dhcpv6(REPLY, duid(), option6(3, bytes(11))),
        said6(REPLY),
        "RFC 8415 21.4",
        grows=False,
    ),
    Row(
        "address-too-short",
        dhcpv6(REPLY, duid(), option6(3, bytes(12) + option6(5, bytes(23)))),
        said6(REPLY),
        "RFC 8415 21.6",
        grows=False,
    ),
    Row(
        "vendor-class-that-lies",
        dhcpv6(SOLICIT, duid(), option6(16, bytes(4) + u16s(99) + b"x")),
        said6(SOLICIT, vendor_class=b"x"),
        "RFC 8415 21.16",
        grows=False,
    ),
]


@parametrize(ROWS6)
def test_message_of_the_other_kind(row: Row) -> None:
    four_ways(parser6.read, row)


def test_growing_message_tells_no_more_than_it_holds() -> None:
    wire = relayed(dhcpv6(REPLY, duid(), ia_na(SIX), option6(39, b"\1" + name("hp.lan"))))
    for end in range(len(wire)):
        answer, part = parser6.read(memoryview(wire), 0, end)
        assert (answer, part) == (NEED_MORE, None)
    assert parser6.read(memoryview(wire), 0, len(wire))[0] == FOUND


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (DUID, CLIENT),
        (u16s(3, 1) + CLIENT, CLIENT),
        (u16s(3, 27) + bytes(8), None),
        (u16s(2) + bytes(12), None),
        (u16s(4) + bytes(16), None),
        (b"", None),
    ],
    ids=["time", "link-layer", "infiniband", "enterprise", "uuid", "empty"],
)
def test_mac_of_an_identifier(identifier: bytes, expected: bytes | None) -> None:
    assert said6(SOLICIT, duid=identifier).mac == expected
