"""mDNS, NetBIOS and LLDP: hosts, services, claims and introductions."""

import craft
from craft import address, mac, u16s
from discovering import (
    NB,
    PTR,
    a,
    dns,
    lldp,
    management,
    name,
    netbios_name,
    netbios_registration,
    netbios_status,
    question,
    record,
    srv,
    tlv,
    txt,
)
from rows import Row, four_ways, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.discovery import lldp as lldp_parser
from parsers.discovery import mdns, netbios
from parsers.discovery.lldp import Introduction
from parsers.discovery.mdns import Announcement, Host, Service
from parsers.discovery.netbios import Claim

IPP = "Hall (2nd floor)._ipp._tcp.local"
HOST = Host(b"hp-2", address("10.0.0.7"), 120)
PRINTER = Service(b"_ipp._tcp", b"hp-2", b"HP LaserJet M402")
ADDRESS = a("hp-2.local", "10.0.0.7", 120)
TYPE = record("_ipp._tcp.local", PTR, name(IPP))
MODEL = txt(IPP, b"txtvers=1", b"TY=HP LaserJet M402", b"ty=another")

MDNS = [
    Row("host", dns(ADDRESS), Announcement((HOST,), ()), "RFC 6762 6"),
    Row(
        "printer",
        dns(TYPE, srv(IPP, "hp-2.local"), MODEL, ADDRESS),
        Announcement((HOST,), (PRINTER,)),
        "RFC 6763 4",
    ),
    Row(
        "model-without-a-host",
        dns(MODEL),
        Announcement((), (Service(b"_ipp._tcp", None, b"HP LaserJet M402"),)),
        "RFC 6763 6",
    ),
    Row(
        "device-info",
        dns(txt("x._device-info._tcp.local", b"model=DS220")),
        Announcement((), (Service(b"_device-info._tcp", None, b"DS220"),)),
        "RFC 6763 6",
    ),
    Row(
        "service-of-people",
        dns(srv("Anna's phone._companion-link._tcp.local", "hp-2.local")),
        Announcement((), ()),
        "RFC 6763 7",
    ),
    Row(
        "upper-case",
        dns(a("HP-2.LOCAL", "10.0.0.7", 120)),
        Announcement((Host(b"HP-2", HOST.address, 120),), ()),
        "RFC 6762 16",
    ),
    Row(
        "host-of-another-domain",
        dns(a("hp-2.example", "10.0.0.7")),
        Announcement((), ()),
        "RFC 6762 3",
    ),
    Row(
        "reverse-name",
        dns(record("7.0.0.10.in-addr.arpa", PTR, name("hp-2.local"))),
        Announcement((), ()),
        "RFC 6762 4",
    ),
    Row("query", dns(questions=[question("hp-2.local")], flags=0), None, "RFC 6762 5", NO_MATCH),
    Row("circle", u16s(0, 0x8400, 0, 1, 0, 0, 0xC00C, 1), None, "RFC 1035 4.1.4", NO_MATCH),
]


@parametrize(MDNS)
def test_announcement(row: Row) -> None:
    four_ways(mdns.read, row)


def test_hosts_and_services_are_bounded() -> None:
    many = mdns.MOST_HOSTS + 4
    names = [f"{n}._ipp._tcp.local" for n in range(many)]
    for message in (dns(*[ADDRESS] * many), dns(*[srv(one, "hp-2.local") for one in names])):
        answer, told = mdns.read(memoryview(message), 0, len(message))
        assert answer == FOUND
        assert told is not None
        assert len(told.hosts) + len(told.services) == mdns.MOST_HOSTS == mdns.MOST_SERVICES


def nb(owner: bytes, data: bytes, flags: int = 0x8500) -> bytes:
    return u16s(7, flags, 0, 1, 0, 0) + record(owner, NB, data)


COPIER = netbios_name(b"COPIER", 0)
AT_7 = u16s(0) + address("10.0.0.7")
NETBIOS = [
    Row(
        "registration",
        netbios_registration(b"COPIER", "10.0.0.7"),
        Claim((b"COPIER",), (address("10.0.0.7"),)),
        "RFC 1002 4.2.2",
    ),
    Row(
        "user", netbios_registration(b"ANNA", "10.0.0.7", suffix=3), None, "RFC 1001 14.1", NO_MATCH
    ),
    Row(
        "group",
        netbios_registration(b"OFFICE", "10.0.0.7", 0, group=0x8000),
        None,
        "RFC 1002 4.2.1.3",
        NO_MATCH,
    ),
    Row(
        "answer",
        nb(COPIER, AT_7 * 2),
        Claim((b"COPIER",), (address("10.0.0.7"),) * 2),
        "RFC 1002 4.2.13",
    ),
    Row("answer-of-error", nb(COPIER, AT_7, 0x8503), None, "RFC 1002 4.2.14", NO_MATCH),
    Row("release", nb(COPIER, AT_7, 0x3000), None, "RFC 1002 4.2.9", NO_MATCH),
    Row(
        "query",
        u16s(7, 0x0110, 1, 0, 0, 0) + COPIER + u16s(NB, 1),
        None,
        "RFC 1002 4.2.12",
        NO_MATCH,
    ),
    Row("no-address", nb(COPIER, b"\0\0\x0a"), None, "RFC 1002 4.2.13", NO_MATCH),
    Row(
        "letters-that-are-none",
        nb(b"\x20" + b"Q" * 32 + b"\0", AT_7),
        None,
        "RFC 1001 14.1",
        NO_MATCH,
    ),
    Row("name-of-dns", nb(name("copier"), AT_7), None, "RFC 1001 14.1", NO_MATCH),
    Row(
        "status",
        netbios_status(
            (b"COPIER", 0, 0x0400),
            (b"OFFICE", 0, 0x8400),
            (b"ANNA", 3, 0x0400),
            (b"COPIER", 0x20, 0),
            unit=mac(craft.CLIENT_MAC),
        ),
        Claim((b"COPIER",), mac=mac(craft.CLIENT_MAC)),
        "RFC 1002 4.2.18",
    ),
    Row(
        "status-without-mac",
        netbios_status((b"COPIER", 0, 0)),
        Claim((b"COPIER",)),
        "RFC 1002 4.2.18",
    ),
    Row(
        "status-that-lies",
        u16s(7, 0x8400, 0, 1, 0, 0)
        + record(netbios_name(b"*", 0), 0x21, b"\xff" + b"COPIER".ljust(16, b"\0") + bytes(2)),
        Claim((b"COPIER",)),
        "RFC 1002 4.2.18",
    ),
    Row("status-of-nobody", netbios_status(), None, "RFC 1002 4.2.18", NO_MATCH),
]


@parametrize(NETBIOS)
def test_claim(row: Row) -> None:
    # Before its record is there, whose it is is open.
    four_ways(netbios.read, row)


CHASSIS = mac(craft.CLIENT_MAC)
LLDP = [
    Row(
        "introduction",
        lldp(tlv(5, b"copier"), tlv(6, b"HP"), management("10.0.0.7"), management("2001:db8::7")),
        Introduction(CHASSIS, b"copier", b"HP", (address("10.0.0.7"), address("2001:db8::7"))),
        "802.1AB 8.5",
    ),
    Row(
        "switch",
        lldp(tlv(7, u16s(0x001C, 0x0004))),
        Introduction(CHASSIS, capabilities=4),
        "802.1AB 8.5.8",
    ),
    Row(
        "chassis-by-address",
        tlv(1, b"\5\1" + address("10.0.0.7")) + b"\0\0",
        Introduction(addresses=(address("10.0.0.7"),)),
        "802.1AB 8.5.2",
    ),
    Row("chassis-by-name", tlv(1, b"\7copier") + b"\0\0", Introduction(), "802.1AB 8.5.2"),
    Row(
        "address-of-another-family",
        lldp(tlv(8, b"\7\6" + CHASSIS)),
        Introduction(CHASSIS),
        "802.1AB 8.5.9",
    ),
    Row("empty-address", lldp(tlv(8, b"")), Introduction(CHASSIS), "802.1AB 8.5.9"),
    Row(
        "first-of-two-names",
        lldp(tlv(5, b"a"), tlv(5, b"b")),
        Introduction(CHASSIS, b"a"),
        "802.1AB 9.2.7.7",
    ),
    Row("no-chassis-first", tlv(5, b"copier") + b"\0\0", None, "802.1AB 8.2", NO_MATCH),
]


@parametrize(LLDP)
def test_introduction(row: Row) -> None:
    four_ways(lldp_parser.read, row)


def test_introduction_without_an_end_tells_what_it_holds() -> None:
    wire = memoryview(lldp(tlv(5, b"copier"), end=b"\x0a\xff"))
    assert lldp_parser.read(wire, 0, len(wire)) == (NEED_MORE, Introduction(CHASSIS, b"copier"))


def test_who_forwards() -> None:
    assert [Introduction(capabilities=1 << bit).forwards for bit in range(8)] == [
        *(False, False, True, True, True),
        *(False, False, False),
    ]
