"""Link layers and shims down to the IP header, row by row."""

import craft
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers import link
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import (
    DEPTH,
    ENCRYPTED,
    IP,
    IPV4,
    IPV6,
    LINK_TYPE,
    MALFORMED,
    OTHER,
    READ,
    TRUNCATED,
)

MACS = "020000000001 3c2af4000050"
V4 = b"\x45" + bytes(19)
V6 = b"\x60" + bytes(39)
BEHIND_LINKS = (IP, IPV4, IPV6, OTHER)


def row(
    name: str,
    link_type: int,
    header: bytes,
    following: int,
    source: str,
    *,
    mac: int = -1,
    vlan: int = -1,
    payload: bytes = V4,
    end: int | None = None,
    grows: bool = True,
    peeks: int = 0,
) -> Row:
    """Return the row of a header that is read whole; ``end`` where it cuts the frame.

    ``peeks``: octets behind the header that it takes to tell what follows.
    """
    expected = (following, READ, len(header), mac, vlan, end)
    return Row(
        name,
        header + payload,
        expected,
        source,
        whole_at=len(header) + peeks,
        grows=grows,
        context={"link": link_type},
    )


def bad(name: str, link_type: int, wire: bytes, why: int, source: str) -> Row:
    """Return the row of a header that rules itself out."""
    return Row(name, wire, why, source, NO_MATCH, context={"link": link_type})


E_TYPE = octets(MACS)

ROWS = [
    row("ethernet-ipv4", 1, E_TYPE + octets("0800"), IPV4, "IEEE 802.3 3.1.1", mac=6),
    row("ethernet-ipv6", 1, E_TYPE + octets("86dd"), IPV6, "RFC 2464 3", mac=6, payload=V6),
    row("ethernet-arp", 1, E_TYPE + octets("0806"), OTHER, "RFC 826", mac=6),
    row("802.1q", 1, E_TYPE + octets("8100 600c 0800"), IPV4, "802.1Q 9.3", mac=6, vlan=12),
    row("vlan-4095", 1, E_TYPE + octets("8100 ffff 0800"), IPV4, "802.1Q 9.3", mac=6, vlan=4095),
    row(
        "qinq-tells-the-inner",
        1,
        E_TYPE + octets("88a8 0064 8100 000c 86dd"),
        IPV6,
        "802.1ad",
        mac=6,
        vlan=12,
        payload=V6,
    ),
    row(
        "three-old-tags",
        1,
        E_TYPE + octets("9100 0001 9200 0002 9300 0003 0800"),
        IPV4,
        "before 802.1ad",
        mac=6,
        vlan=3,
    ),
    row(
        "802.3-snap",
        1,
        E_TYPE + octets("001c aaaa03 000000 0800"),
        IPV4,
        "RFC 1042",
        mac=6,
        end=14 + 0x1C,
        payload=V4 + bytes(18),
        grows=False,
    ),
    row(
        "mpls-two-labels",
        1,
        E_TYPE + octets("8847 00010040 00020140"),
        IPV4,
        "RFC 3032",
        mac=6,
        peeks=1,
    ),
    row(
        "mpls-ipv6",
        1,
        E_TYPE + octets("8848 00020140"),
        IPV6,
        "RFC 4928 2",
        mac=6,
        payload=V6,
        peeks=1,
    ),
    row(
        "pseudowire",
        1,
        E_TYPE + octets("8847 00020140 00000000") + E_TYPE + octets("0800"),
        IPV4,
        "RFC 4385 3",
        mac=14 + 8 + 6,
    ),
    row(
        "pppoe",
        1,
        E_TYPE + octets("8864 11 00 0001 0016 0021"),
        IPV4,
        "RFC 2516 4",
        mac=6,
        end=14 + 6 + 22,
        payload=V4 + bytes(8),
        grows=False,
    ),
    row(
        "pppoe-claims-more",
        1,
        E_TYPE + octets("8864 11 00 0001 ffff 0021"),
        IPV4,
        "B3: what is there counts",
        mac=6,
    ),
    Row(
        "pppoe-discovery",
        octets("11 09 0000 0000"),
        (OTHER, READ, 0, -1, -1, None),
        "RFC 2516 5",
        context={"link": 51},
    ),
    row("vn-tag", 1, E_TYPE + octets("8926 00000000 0800"), IPV4, "802.1Qbh draft", mac=6),
    row(
        "802.1ah",
        1,
        E_TYPE + octets("88e7 00000001") + octets("aa0000000001 aa0000000002 0800"),
        IPV4,
        "802.1ah 9.7",
        mac=14 + 4 + 6,
    ),
    row("cooked", 113, octets("0000 0001 0006 3c2af4000050 0000 0800"), IPV4, "LINUX_SLL", mac=6),
    row(
        "cooked-without-a-mac",
        113,
        octets("0000 0304 0000 0000000000000000 86dd"),
        IPV6,
        "LINUX_SLL: ARPHRD 772 is loopback",
        payload=V6,
    ),
    row(
        "cooked-v2",
        276,
        octets("0800 0000 00000002 0001 00 06 3c2af4000050 0000"),
        IPV4,
        "LINUX_SLL2",
        mac=12,
    ),
    row("null-little", 0, octets("02000000"), IPV4, "LINKTYPE_NULL"),
    row("null-big", 0, octets("00000002"), IPV4, "LINKTYPE_NULL"),
    row("null-freebsd-ipv6", 0, octets("1c000000"), IPV6, "LINKTYPE_NULL", payload=V6),
    row("null-macos-ipv6", 0, octets("1e000000"), IPV6, "LINKTYPE_NULL", payload=V6),
    row("loop", 108, octets("00000018"), IPV6, "LINKTYPE_LOOP", payload=V6),
    row("null-other-family", 0, octets("07000000"), OTHER, "LINKTYPE_NULL"),
    row("raw", 101, b"", IP, "LINKTYPE_RAW", grows=False),
    row("raw-of-openbsd", 14, b"", IP, "LINKTYPE_RAW", grows=False),
    row("raw-ipv4", 228, b"", IPV4, "LINKTYPE_IPV4", grows=False),
    row("raw-ipv6", 229, b"", IPV6, "LINKTYPE_IPV6", payload=V6, grows=False),
    row("ppp", 9, octets("ff03 0021"), IPV4, "RFC 1662 3.1"),
    row("ppp-compressed", 9, octets("21"), IPV4, "RFC 1661 6.5", grows=False),
    row("ppp-ipv6-with-direction", 204, octets("01 ff03 0057"), IPV6, "LINKTYPE_PPP_WITH_DIR"),
    row("cisco-hdlc", 104, octets("0f00 0800"), IPV4, "LINKTYPE_C_HDLC"),
    row(
        "nflog",
        239,
        octets("02 00 0000  0800 0a00 00000001  1800 0900"),
        IP,
        "LINKTYPE_NFLOG",
        grows=False,
    ),
    row(
        "nflog-big-endian",
        239,
        octets("02 00 0000  0008 000a 00000001  0018 0009"),
        IP,
        "LINKTYPE_NFLOG",
        grows=False,
    ),
    bad("macsec", 1, E_TYPE + octets("88e5 0000"), ENCRYPTED, "802.1AE"),
    bad("802.11", 105, bytes(40), LINK_TYPE, "LINKTYPE_IEEE802_11"),
    bad("seventeen-labels", 219, octets("00010040") * 17, DEPTH, "B4"),
    bad("nflog-attribute-of-3", 239, octets("02 00 0000 0300 0a00 0000"), MALFORMED, "B3"),
    bad("nflog-33-attributes", 239, bytes(4) + octets("0400 0a00") * 33, DEPTH, "B4"),
    Row("half-an-ethernet-header", E_TYPE, TRUNCATED, "", NEED_MORE, context={"link": 1}),
]


def reading(table_row: Row) -> Reading:
    """Return where the link layers end and what follows, or why they could not be read."""
    link_type = table_row.context["link"]

    def read(wire: memoryview, start: int, end: int) -> Answer:
        frame = Frame()
        frame.reset(start, end, link.first_layer(link_type), -1)
        answer = FOUND
        for _ in range(20):
            if answer != FOUND or frame.next in BEHIND_LINKS:
                break
            answer = link.read(wire, frame)
        assert frame.end <= end
        assert (answer == FOUND) == (frame.undecoded == READ)
        if answer != FOUND:
            return answer, frame.undecoded
        assert frame.at <= end
        return answer, (
            frame.next,
            frame.undecoded,
            frame.at - start,
            frame.mac - start if frame.mac >= 0 else -1,
            frame.vlan,
            frame.end - start if frame.end < end else None,
        )

    return read


@parametrize(ROWS)
def test_a_link_layer_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


@pytest.mark.parametrize(
    "link_type",
    [
        craft.LINK_ETHERNET,
        craft.LINK_SLL,
        craft.LINK_SLL2,
        craft.LINK_NULL,
        craft.LINK_LOOP,
        craft.LINK_RAW,
    ],
)
@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_every_link_type_reaches_the_ip_header(link_type: int, addresses: tuple[str, str]) -> None:
    packet = craft.ip(*addresses, b"payload" * 6)
    wire = craft.link(link_type, packet)
    answer, (following, _, at, *_) = reading(Row("", b"", context={"link": link_type}))(
        memoryview(wire), 0, len(wire)
    )
    assert answer == FOUND
    assert following in (IP, IPV6 if ":" in addresses[0] else IPV4)
    assert wire[at : at + len(packet)] == packet


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from((0, 1, 9, 51, 101, 104, 108, 113, 204, 219, 239, 276, 105)),
    st.sampled_from([row.octets for row in ROWS]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
    st.binary(max_size=9),
)
def test_changed_octets_are_read_the_same_wherever_they_lie(
    link_type: int, base: bytes, changes: list[tuple[int, int]], around: bytes
) -> None:
    wire = bytearray(base)
    for at, value in changes:
        if at < len(wire):
            wire[at] = value
    read = reading(Row("", b"", context={"link": link_type}))
    poisoned = memoryview(around + wire + around)
    assert read(poisoned, len(around), len(around) + len(wire)) == read(
        memoryview(wire), 0, len(wire)
    )
