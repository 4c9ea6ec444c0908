"""The loop over the layers: whole frames, row by row."""

import ipaddress
from typing import Any

import craft
import dpkt
import pytest
from craft import Conversation, ethernet, hop_by_hop, ipv4, ipv6
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame
from parsers.layers import DEPTH, FRAGMENTED, LINK_TYPE, MALFORMED, READ, TRUNCATED, TUNNEL

A4, B4 = "10.0.0.50", "52.96.0.10"
A6, B6 = "2001:db8::50", "2001:db8::10"
PAYLOAD = craft.client_hello(sni="m.test")
T4 = craft.tcp(A4, B4, 50123, 993, PAYLOAD)
T6 = craft.tcp(A6, B6, 50123, 993, PAYLOAD)


def seen(
    source: str, destination: str, payload: bytes = PAYLOAD, vlan: int = -1, mac: str | None = None
) -> tuple[object, ...]:
    return (source, destination, 50123, 993, vlan, mac, payload, 0)


def row(name: str, wire: bytes, expected: object, **more: Any) -> Row:
    """Return the row of an Ethernet frame, unless ``link`` says another link type."""
    context = {"link": more.pop("link", craft.LINK_ETHERNET)}
    return Row(name, wire, expected, context=context, **more)


MAC = craft.CLIENT_MAC
V4 = ipv4(A4, B4, T4)
V6 = ipv6(A6, B6, T6)
TAGS = [(craft.QINQ, 100), (craft.VLAN, 12)]

ROWS = [
    row("ipv4", ethernet(V4), seen(A4, B4, mac=MAC), whole_at=54),
    row("ipv6", ethernet(V6), seen(A6, B6, mac=MAC), whole_at=74),
    row("qinq", ethernet(V4, vlans=TAGS), seen(A4, B4, vlan=12, mac=MAC), whole_at=62),
    row("cooked", craft.sll(V4), seen(A4, B4, mac=MAC), link=craft.LINK_SLL, whole_at=56),
    row("cooked-v2", craft.sll2(V6), seen(A6, B6, mac=MAC), link=craft.LINK_SLL2, whole_at=80),
    row("null", craft.null(V4), seen(A4, B4), link=craft.LINK_NULL, whole_at=44),
    row("raw", V6, seen(A6, B6), link=craft.LINK_RAW, whole_at=60),
    row(
        "extension-headers",
        ethernet(ipv6(A6, B6, T6, headers=[hop_by_hop(), hop_by_hop(2, 60)])),
        seen(A6, B6, mac=MAC),
        whole_at=98,
    ),
    row(
        "padding-is-no-payload",
        ethernet(ipv4(A4, B4, craft.tcp(A4, B4, 50123, 993))),
        seen(A4, B4, b"", mac=MAC),
        whole_at=54,
    ),
    row(
        "offload-leaves-the-length-0",
        ethernet(ipv4(A4, B4, T4, total_length=0)),
        seen(A4, B4, mac=MAC),
        grows=False,
    ),
    row(
        "total-claims-less",
        ethernet(ipv4(A4, B4, T4, total_length=50)),
        seen(A4, B4, PAYLOAD[:10], mac=MAC),
        source="B3",
        whole_at=54,
    ),
    row(
        "fourteen-tags",
        ethernet(V4, vlans=range(1, 14)),
        seen(A4, B4, vlan=13, mac=MAC),
        whole_at=54 + 13 * 4,
    ),
    row("a-hundred-tags", ethernet(V4, vlans=range(100)), DEPTH, source="B4", answer=NO_MATCH),
    row("arp", craft.arp_request("10.0.0.1", MAC, "10.0.0.2"), READ, answer=NO_MATCH),
    row("udp", ethernet(ipv4(A4, B4, bytes(40), protocol=17)), READ, answer=NO_MATCH),
    row("fragment", ethernet(ipv4(A4, B4, T4, fragment=0x2000)), FRAGMENTED, answer=NO_MATCH),
    row("gre", ethernet(ipv4(A4, B4, b"\x40\0" + bytes(38), protocol=47)), TUNNEL, answer=NO_MATCH),
    row("802.11", bytes(80), LINK_TYPE, link=105, answer=NO_MATCH),
    row(
        "total-within-the-tcp-header",
        ethernet(ipv4(A4, B4, T4, total_length=39)),
        MALFORMED,
        source="B3",
        answer=NO_MATCH,
    ),
    row("cut", ethernet(V4)[:53], TRUNCATED, answer=NEED_MORE),
]


def reading(row: Row) -> Reading:
    """Return addresses, ports, VLAN, MAC, payload and what is missing, or why not."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        batch = Batch(1)
        batch.wire = wire
        batch.add(start, end, end - start, 0, -1, row.context["link"])
        frame = Frame()
        answer = decode(batch, 0, frame)
        if answer != FOUND:
            assert (answer == NEED_MORE) == (frame.undecoded == TRUNCATED)
            return answer, frame.undecoded
        size = 4 if frame.ip_version == 4 else 16
        source, destination = (
            str(ipaddress.ip_address(bytes(wire[at : at + size])))
            for at in (frame.source, frame.destination)
        )
        mac = None
        if frame.mac >= 0:
            mac = bytes(wire[frame.mac : frame.mac + 6]).hex(":")
        assert start <= frame.at <= frame.end <= end
        payload = bytes(wire[frame.at : frame.end])
        ports = (frame.source_port, frame.destination_port)
        return answer, (source, destination, *ports, frame.vlan, mac, payload, frame.missing)

    return read


@parametrize(ROWS)
def test_a_frame_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


@parametrize([row for row in ROWS if row.answer == FOUND and row.grows])
def test_a_cut_frame_gives_the_beginning_of_its_payload(row: Row) -> None:
    for size in range(row.whole_at or 0, len(row.octets)):
        answer, facts = reading(row)(memoryview(row.octets), 0, size)
        assert answer == FOUND
        assert facts[:6] == row.expected[:6]
        whole = row.expected[6]
        assert whole.startswith(facts[6])
        assert len(facts[6]) + facts[7] == len(whole)


def test_a_vlan_taken_out_of_the_frame_is_told_unless_there_is_an_inner_one() -> None:
    for vlans, told in (((), 7), ((12,), 12)):
        wire = ethernet(V4, vlans=vlans)
        batch = Batch(1)
        batch.wire = memoryview(wire)
        batch.add(0, len(wire), len(wire), 0, 7, craft.LINK_ETHERNET)
        frame = Frame()
        assert decode(batch, 0, frame) == FOUND
        assert frame.vlan == told


@pytest.mark.parametrize("addresses", [(A4, B4), (A6, B6)])
def test_payloads_are_those_dpkt_finds(addresses: tuple[str, str]) -> None:
    talk = Conversation(*addresses).open().client(PAYLOAD, split=(7,)).server(craft.alert())
    for _, octets in talk.fin("server").frames():
        _, facts = reading(ROWS[0])(memoryview(octets), 0, len(octets))
        segment = dpkt.ethernet.Ethernet(octets).data.data
        assert facts[2:4] == (segment.sport, segment.dport)
        assert facts[6] == segment.data


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([row for row in ROWS if row.octets]),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=5),
    st.binary(max_size=9),
)
def test_changed_octets_are_read_the_same_wherever_they_lie(
    row: Row, changes: list[tuple[int, int]], around: bytes
) -> None:
    wire = bytearray(row.octets)
    for at, value in changes:
        if at < len(wire):
            wire[at] = value
    poisoned = memoryview(around + wire + around)
    assert reading(row)(poisoned, len(around), len(around) + len(wire)) == reading(row)(
        memoryview(wire), 0, len(wire)
    )
