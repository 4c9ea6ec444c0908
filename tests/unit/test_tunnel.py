"""Tunnels: the innermost packet is the one that counts, and where it came through is known."""

import ipaddress
from typing import Any

import craft
from craft import ethernet, ipv4, ipv6, u16s
from rows import Answer, Reading, Row, four_ways, parametrize
from tunnels import OUTER, OUTER_TO, erspan_2, erspan_3, geneve, gre, gtp_u, outer, outer_udp, vxlan

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame
from parsers.layers import (
    DEPTH,
    ENCRYPTED,
    MALFORMED,
    READ,
    TUNNEL,
    TUNNEL_FIELDS,
    TUNNEL_WORDS,
)

OUTER6, OUTER6_TO = "2001:db8:ffff::1", "2001:db8:ffff::2"
A4, B4 = "10.0.0.50", "52.96.0.10"
A6, B6 = "2001:db8::50", "2001:db8::10"
PAYLOAD = craft.client_hello(sni="m.test")
INNER4 = ipv4(A4, B4, craft.tcp(A4, B4, 50123, 993, PAYLOAD))
INNER6 = ipv6(A6, B6, craft.tcp(A6, B6, 50123, 993, PAYLOAD))
INNER_MAC = "3c:2a:f4:00:00:50"
INNER_FRAME = ethernet(INNER4, source=INNER_MAC)


def through(*layers: tuple[str, int, str], six: bool = False, mac: str = INNER_MAC) -> Any:
    """Return what is expected of the printer's hello behind these tunnels, outermost first."""
    ends = (A6, B6) if six else (A4, B4)
    return (*ends, mac, list(layers), PAYLOAD)


OUTER_MAC = craft.CLIENT_MAC

ROWS = [
    Row("ip-in-ip", outer(INNER4, 4), through(("ip-in-ip", -1, OUTER), mac=OUTER_MAC), "RFC 2003"),
    Row(
        "6in4", outer(INNER6, 41), through(("ip-in-ip", -1, OUTER), six=True, mac=OUTER_MAC), "4213"
    ),
    Row(
        "4in6",
        ethernet(ipv6(OUTER6, OUTER6_TO, INNER4, protocol=4)),
        through(("ip-in-ip", -1, OUTER6), mac=OUTER_MAC),
        "RFC 2473",
    ),
    Row("gre", gre(0x0800, INNER4), through(("gre", -1, OUTER), mac=OUTER_MAC), "RFC 2784"),
    Row(
        "gre-checksum-key-sequence",
        gre(0x86DD, INNER6, 0xB000, bytes(4) + (7).to_bytes(4, "big") + bytes(4)),
        through(("gre", 7, OUTER), six=True, mac=OUTER_MAC),
        "RFC 2890",
    ),
    Row("gre-ethernet", gre(0x6558, INNER_FRAME), through(("gre", -1, OUTER)), "RFC 1701"),
    Row(
        "gre-mpls",
        gre(0x8847, b"\0\1\1\x40" + INNER4),
        through(("gre", -1, OUTER), mac=OUTER_MAC),
        "RFC 4023",
    ),
    Row(
        "gre-pptp",
        gre(0x880B, b"\xff\x03\0\x21" + INNER4, 0x2081, u16s(4 + len(INNER4), 9) + bytes(4)),
        through(("gre", 9, OUTER), mac=OUTER_MAC),
        "RFC 2637",
    ),
    Row("erspan-1", gre(0x88BE, INNER_FRAME), through(("erspan", -1, OUTER)), "facts 4.2"),
    Row("erspan-2", erspan_2(INNER_FRAME, 77), through(("erspan", 77, OUTER)), "facts 4.2"),
    Row("erspan-3", erspan_3(INNER_FRAME, 78), through(("erspan", 78, OUTER)), "facts 4.2"),
    Row(
        "erspan-3-platform",
        erspan_3(INNER_FRAME, 79, 1, bytes(8)),
        through(("erspan", 79, OUTER)),
        "facts 4.2",
    ),
    Row(
        "erspan-3-ip",
        erspan_3(INNER4, 80, 2 << 10),
        through(("erspan", 80, OUTER), mac=OUTER_MAC),
        "facts 4.2",
    ),
    Row(
        "vxlan",
        outer_udp(4789, vxlan(5001, INNER_FRAME)),
        through(("vxlan", 5001, OUTER)),
        "RFC 7348 5",
    ),
    Row(
        "vxlan-on-linux-port",
        outer_udp(8472, vxlan(1, INNER_FRAME)),
        through(("vxlan", 1, OUTER)),
        "Linux udp.h",
    ),
    Row(
        "vxlan-gpe-ipv4",
        outer_udp(4790, vxlan(3, INNER4, 0x0C, 1)),
        through(("vxlan", 3, OUTER), mac=OUTER_MAC),
        "facts 4.2",
    ),
    Row(
        "geneve",
        outer_udp(6081, geneve(88, 0x6558, INNER_FRAME, bytes(8))),
        through(("geneve", 88, OUTER)),
        "RFC 8926 3.4",
    ),
    Row(
        "geneve-ip",
        outer_udp(6081, geneve(89, 0x0800, INNER4)),
        through(("geneve", 89, OUTER), mac=OUTER_MAC),
        "zeek/zeek#1764",
    ),
    Row(
        "gtp-u",
        outer_udp(2152, gtp_u(0xDEADBEEF, INNER4)),
        through(("gtp-u", 0xDEADBEEF, OUTER), mac=OUTER_MAC),
        "TS 29.281 5.1",
    ),
    Row(
        "gtp-u-extension",
        outer_udp(2152, gtp_u(2, INNER4, 0x34, b"\0\0\0\x85" + b"\x01\0\0\0")),
        through(("gtp-u", 2, OUTER), mac=OUTER_MAC),
        "TS 29.281 5.2",
    ),
    Row(
        "tzsp",
        outer_udp(37008, b"\1\0\0\1" + b"\0" + b"\x0a\1\x7f" + b"\1" + INNER_FRAME),
        through(("tzsp", -1, OUTER)),
        "facts 4.2",
    ),
    Row(
        "etherip",
        outer(b"\x30\0" + INNER_FRAME, 97),
        through(("etherip", -1, OUTER)),
        "RFC 3378 3",
    ),
    Row(
        "erspan-in-gre-in-vxlan",
        outer_udp(4789, vxlan(6, erspan_2(INNER_FRAME, 5))),
        through(("vxlan", 6, OUTER), ("erspan", 5, OUTER)),
        "nested",
    ),
]

REFUSED = [
    Row("vxlan-without-its-flag", outer_udp(4789, vxlan(1, INNER_FRAME, 0)), READ, answer=NO_MATCH),
    Row("dns-from-the-vxlan-port", outer_udp(53, vxlan(1, INNER_FRAME)), READ, answer=NO_MATCH),
    Row("gtp-u-echo", outer_udp(2152, b"\x32\x01" + bytes(10)), READ, answer=NO_MATCH),
    Row("tzsp-keep-alive", outer_udp(37008, b"\1\4\0\1\1"), READ, answer=NO_MATCH),
    Row("gre-unknown-type", gre(0x1234, INNER4), READ, answer=NO_MATCH),
    Row("gre-source-route", gre(0x0800, INNER4, 0x4000, bytes(4)), TUNNEL, answer=NO_MATCH),
    Row(
        "erspan-of-another-version",
        erspan_2(INNER_FRAME, 1)[:42] + b"\x70" + bytes(40),
        MALFORMED,
        answer=NO_MATCH,
    ),
    Row("esp", outer(bytes(40), 50), ENCRYPTED, answer=NO_MATCH),
    Row(
        "forty-tunnels",
        ethernet(
            b"".join(ipv4(OUTER, OUTER_TO, b"", protocol=4, total_length=0) for _ in range(40))
            + INNER4
        ),
        DEPTH,
        "B4",
        NO_MATCH,
    ),
]


def reading(row: Row) -> Reading:
    """Return addresses, MAC, tunnels and payload, or why not."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        batch = Batch(1)
        batch.wire = wire
        batch.add(start, end, end - start, 0, -1, craft.LINK_ETHERNET)
        frame = Frame()
        answer = decode(batch, 0, frame)
        if answer != FOUND:
            return answer, frame.undecoded

        def text(at: int, size: int) -> str:
            return str(ipaddress.ip_address(bytes(wire[at : at + size])))

        size = 4 if frame.ip_version == 4 else 16
        tunnels = []
        for number in range(frame.tunnel_count):
            kind, name, at, width = frame.tunnels[
                number * TUNNEL_FIELDS : (number + 1) * TUNNEL_FIELDS
            ]
            tunnels.append((TUNNEL_WORDS[kind], name, text(at, width)))
        return answer, (
            text(frame.source, size),
            text(frame.destination, size),
            bytes(wire[frame.mac : frame.mac + 6]).hex(":"),
            tunnels,
            bytes(wire[frame.at : frame.end]),
        )

    return read


@parametrize(ROWS)
def test_a_tunnel_whole_with_octets_after_it_and_between_poison(row: Row) -> None:
    wire = row.octets
    four_ways(reading(row), Row(row.id, wire, row.expected, row.source, grows=False))
    longer = memoryview(wire + bytes(9))
    assert reading(row)(longer, 0, len(longer)) == (FOUND, row.expected)


@parametrize(ROWS)
def test_a_cut_tunnel_names_the_same_client_or_none(row: Row) -> None:
    wanted = row.expected
    found = 0
    for size in range(len(row.octets)):
        answer, facts = reading(row)(memoryview(row.octets), 0, size)
        if answer == FOUND:
            found += 1
            assert facts[:4] == wanted[:4]
            assert wanted[4].startswith(facts[4])
        else:
            assert found == 0, "what was there with less octets is gone"
            # A datagram too short for its tunnel's header is no tunnel, only UDP.
            assert answer in (NEED_MORE, NO_MATCH)
    assert found == len(PAYLOAD)


@parametrize(REFUSED)
def test_what_is_no_tunnel_is_not_read_as_one(row: Row) -> None:
    wire = memoryview(row.octets)
    assert reading(row)(wire, 0, len(wire)) == (row.answer, row.expected)
