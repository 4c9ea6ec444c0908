"""IPv4, and IPv6 with its extension headers, row by row."""

import craft
from craft import hop_by_hop, ipv4, ipv6, ipv6_fragment
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers import ip
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import (
    DEPTH,
    ENCRYPTED,
    FRAGMENTED,
    GRE,
    IP,
    IP_IN_IP,
    IPV4,
    IPV6,
    MALFORMED,
    READ,
    TCP,
    TRUNCATED,
    UDP,
)

A4, B4 = "10.0.0.50", "52.96.0.10"
A6, B6 = "2001:db8::50", "2001:db8::10"
SEGMENT = craft.tcp(A4, B4, 50123, 993, b"hello")
BY_HAND = octets(
    """
    45 00 001c             # version, IHL 5, TOS, total 28      RFC 791 3.1
    0001 4000 40 06 0000   # id, don't fragment, TTL 64, TCP, checksum not looked at
    c0000201 c6336401
    aabbccdd 00112233
    """
)


def bent(at: int, value: bytes, wire: bytes = BY_HAND) -> bytes:
    return wire[:at] + value + wire[at + len(value) :]


def ok4(
    following: int = TCP, at: int = 20, end: int = 28, ttl: int = 64, missing: int = 0
) -> tuple[object, ...]:
    return (4, following, READ, at, end, 12, 16, ttl, missing)


def ok6(at: int, end: int, following: int = TCP, ttl: int = 64) -> tuple[object, ...]:
    return (6, following, READ, at, end, 8, 24, ttl, 0)


def row6(name: str, headers: tuple[tuple[int, bytes], ...], source: str) -> Row:
    wire = ipv6(A6, B6, SEGMENT, headers=headers)
    at = 40 + sum(1 + len(body) for _, body in headers)
    return Row(name, wire, ok6(at, len(wire)), source, whole_at=at if headers else 40)


AH = (51, bytes((4, 0, 0)) + bytes(20))
ROUTING = (43, bytes((2, 4, 0)) + bytes(20))

ROWS = [
    Row("ipv4", BY_HAND, ok4(), "RFC 791 3.1", whole_at=20),
    Row(
        "ipv4-options",
        ipv4(A4, B4, SEGMENT, options=b"\x94\x04\0\0"),
        ok4(at=24, end=49),
        "RFC 2113",
        whole_at=24,
    ),
    Row(
        "ipv4-forty-octets-of-options",
        ipv4(A4, B4, SEGMENT, options=b"\1" * 40),
        ok4(at=60, end=85),
        "RFC 791 3.1",
        whole_at=60,
    ),
    Row("ipv4-udp", bent(9, b"\x11"), ok4(UDP), "RFC 768", whole_at=20),
    Row("ipv4-reserved-flag", bent(6, b"\xc0"), ok4(), "RFC 791 3.1: bit 0", whole_at=20),
    Row("total-of-0", bent(2, b"\0\0"), ok4(), "left to the hardware", grows=False),
    Row(
        "total-claims-more",
        bent(2, b"\0\x64"),
        ok4(missing=72),
        "B3: what is there counts, the rest is missing",
        grows=False,
    ),
    Row("total-claims-less", bent(2, b"\0\x18"), ok4(end=24), "B3", whole_at=20),
    Row("total-is-the-header", bent(2, b"\0\x14"), ok4(end=20), "B3", whole_at=20),
    row6("ipv6", (), "RFC 8200 3"),
    row6("hop-by-hop", (hop_by_hop(),), "RFC 8200 4.3"),
    row6("hop-by-hop-of-32", (hop_by_hop(4),), "RFC 8200 4.3"),
    row6("routing", (ROUTING,), "RFC 8200 4.4"),
    row6("authenticated", (AH,), "RFC 4302 2: counts 4 octets, less 2"),
    row6("whole-in-one-fragment", (ipv6_fragment(0, more=False),), "RFC 6946"),
    row6("mobility", ((135, bytes(7)),), "RFC 6275 6.1"),
    row6("seven-headers", tuple(hop_by_hop(1, 60) for _ in range(7)), "B4: as many as allowed"),
    Row(
        "ipv6-udp",
        ipv6(A6, B6, bytes(8), protocol=17),
        ok6(40, 48, UDP),
        "RFC 8200 3",
        whole_at=40,
    ),
    Row(
        "payload-length-0",
        bent(4, b"\0\0", ipv6(A6, B6, SEGMENT)),
        ok6(40, 40 + len(SEGMENT)),
        "RFC 2675, or left to the hardware",
        grows=False,
    ),
    Row("nothing", b"", TRUNCATED, "", NEED_MORE),
    Row("nineteen-octets", BY_HAND[:19], TRUNCATED, "RFC 791 3.1", NEED_MORE),
    Row("thirty-nine-octets", ipv6(A6, B6, b"")[:39], TRUNCATED, "RFC 8200 3", NEED_MORE),
    Row(
        "extension-cut-by-the-capture",
        ipv6(A6, B6, SEGMENT, headers=(hop_by_hop(),))[:47],
        TRUNCATED,
        "RFC 8200 4.3",
        NEED_MORE,
    ),
    Row("version-5", bent(0, b"\x55"), MALFORMED, "RFC 791 3.1", NO_MATCH),
    Row("version-0", bytes(40), MALFORMED, "RFC 791 3.1", NO_MATCH),
    Row("ihl-4", bent(0, b"\x44"), MALFORMED, "B3", NO_MATCH),
    Row("ihl-0", bent(0, b"\x40"), MALFORMED, "B3", NO_MATCH),
    Row("ihl-beyond-the-total", bent(0, b"\x4f"), MALFORMED, "B3", NO_MATCH),
    Row("total-within-the-header", bent(2, b"\0\x13"), MALFORMED, "B3", NO_MATCH),
    Row("first-fragment", bent(6, b"\x20\0"), FRAGMENTED, "RFC 791 3.2", NO_MATCH),
    Row("later-fragment", bent(6, b"\0\1"), FRAGMENTED, "RFC 791 3.2", NO_MATCH),
    Row("ip-in-ip", bent(9, b"\x04"), ok4(IP_IN_IP), "RFC 2003", whole_at=20),
    Row("gre", bent(9, b"\x2f"), ok4(GRE), "RFC 2784", whole_at=20),
    Row("esp", bent(9, b"\x32"), ENCRYPTED, "RFC 4303", NO_MATCH),
    Row(
        "ipv6-fragment",
        ipv6(A6, B6, SEGMENT, headers=(ipv6_fragment(0, more=True),)),
        FRAGMENTED,
        "RFC 8200 4.5",
        NO_MATCH,
    ),
    Row(
        "ipv6-esp",
        ipv6(A6, B6, bytes(20), protocol=50),
        ENCRYPTED,
        "RFC 4303",
        NO_MATCH,
    ),
    Row(
        "nine-headers",
        ipv6(A6, B6, SEGMENT, headers=[hop_by_hop(1, 60)] * 9),
        DEPTH,
        "B4",
        NO_MATCH,
    ),
    Row(
        "extension-beyond-the-packet",
        ipv6(A6, B6, b"", headers=[(0, bytes((255,)) + bytes(6))]),
        MALFORMED,
        "B3",
        NO_MATCH,
        grows=False,
    ),
    Row(
        "extension-of-seven-octets",
        ipv6(A6, B6, bytes(7), protocol=60),
        MALFORMED,
        "B3",
        NO_MATCH,
    ),
]


def reading(row: Row) -> Reading:
    """Return what the header said, offsets from the packet's start, or why it said nothing."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        frame = Frame()
        frame.reset(start, end, row.context.get("next", IP), -1)
        answer = ip.read(wire, frame)
        assert (answer == FOUND) == (frame.undecoded == READ)
        assert frame.end <= end
        if answer != FOUND:
            return answer, frame.undecoded
        assert start <= frame.at <= frame.end
        return answer, (
            frame.ip_version,
            frame.next,
            frame.undecoded,
            frame.at - start,
            frame.end - start,
            frame.source - start,
            frame.destination - start,
            frame.hop_limit,
            frame.missing,
        )

    return read


@parametrize(ROWS)
def test_a_packet_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def test_a_cut_packet_says_how_much_is_missing() -> None:
    for wire, header in ((BY_HAND, 20), (ipv6(A6, B6, SEGMENT), 40)):
        for size in range(header, len(wire) + 1):
            frame = Frame()
            frame.reset(0, size, IP, -1)
            assert ip.read(memoryview(wire), frame) == FOUND
            assert frame.missing == len(wire) - size


def test_an_announced_version_has_to_be_the_right_one() -> None:
    for announced, wire in ((IPV6, BY_HAND), (IPV4, ipv6(A6, B6, SEGMENT))):
        row = Row("", b"", context={"next": announced})
        assert reading(row)(memoryview(wire), 0, len(wire)) == (NO_MATCH, MALFORMED)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([row.octets for row in ROWS if row.octets]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    st.binary(max_size=9),
)
def test_changed_octets_are_read_the_same_wherever_they_lie(
    base: bytes, changes: list[tuple[int, int]], around: bytes
) -> None:
    wire = bytearray(base)
    for at, value in changes:
        if at < len(wire):
            wire[at] = value
    read = reading(Row("", b""))
    poisoned = memoryview(around + wire + around)
    assert read(poisoned, len(around), len(around) + len(wire)) == read(
        memoryview(wire), 0, len(wire)
    )
