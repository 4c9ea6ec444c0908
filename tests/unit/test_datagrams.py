"""Fragments of datagrams that carry tunnels: joined, and what is no tunnel's passed over."""

import random

import craft
import pytest
from craft import ethernet, ipv4
from tracking import Tracked, track
from tunnels import geneve, gtp_u, vxlan

from sniffer.track.datagrams import UDP_BUDGET_BYTES, Datagrams

CLIENT, SERVER = "10.0.0.50", "52.96.0.10"
HERE, THERE = "192.0.2.1", "192.0.2.2"
OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
INNER = ipv4(CLIENT, SERVER, craft.tcp(CLIENT, SERVER, 50123, 993, OLD))
GTP_U, VXLAN, GENEVE, UDP = 2152, 4789, 6081, 17


def packets(payload: bytes, size: int, protocol: int = UDP, number: int = 9) -> list[bytes]:
    """Return the IPv4 fragments of a payload."""
    return [
        ipv4(
            HERE,
            THERE,
            payload[at : at + size],
            protocol=protocol,
            fragment=(0x2000 if at + size < len(payload) else 0) | at // 8,
            identification=number,
        )
        for at in range(0, len(payload), size)
    ]


def outer(port: int, payload: bytes) -> bytes:
    return craft.udp(HERE, THERE, 49152, port, payload)


def tracked(pieces: list[bytes]) -> Tracked:
    return track((n * 1_000_000, ethernet(piece)) for n, piece in enumerate(pieces))


TUNNELS = [
    ("vxlan", outer(VXLAN, vxlan(77, ethernet(INNER))), 77),
    ("geneve", outer(GENEVE, geneve(78, 0x0800, INNER)), 78),
    ("gtp-u", outer(GTP_U, gtp_u(79, INNER)), 79),
]


@pytest.mark.parametrize("size", [24, 64, 200])
@pytest.mark.parametrize(("kind", "datagram", "number"), TUNNELS)
def test_a_hello_in_a_fragmented_tunnel(kind: str, datagram: bytes, number: int, size: int) -> None:
    pieces = packets(datagram, size)
    for seed in range(4):
        random.Random(seed).shuffle(pieces)
        found = tracked(pieces)
        one = found.only
        assert one.flow.source == craft.address(CLIENT)
        assert [(t.type, t.id, t.outer_source) for t in one.flow.tunnels] == [
            (kind, number, craft.address(HERE))
        ]
        assert one.hello.complete
        assert found.counters.undecoded == {}


def test_fragments_within_a_fragmented_tunnel() -> None:
    segment = craft.tcp(CLIENT, SERVER, 50123, 993, OLD)
    pieces = []
    for number, at in enumerate(range(0, len(segment), 80)):
        more = 0x2000 if at + 80 < len(segment) else 0
        part = ipv4(CLIENT, SERVER, segment[at : at + 80], fragment=more | at // 8)
        pieces += packets(outer(VXLAN, vxlan(5, ethernet(part))), 64, number=number)
    one = tracked(pieces).only
    assert one.flow.source == craft.address(CLIENT)
    assert [(t.type, t.id) for t in one.flow.tunnels] == [("vxlan", 5)]


@pytest.mark.parametrize("backwards", [False, True])
def test_fragments_of_other_udp_are_neither_kept_nor_counted(backwards: bool) -> None:
    pieces = packets(outer(2049, bytes(6000)), 1480)
    if backwards:
        pieces.reverse()
    found = tracked(pieces)
    assert found.counters.undecoded == {}
    # The same number again, this time a tunnel's: it is not confused with the one before.
    again = tracked([*pieces, *packets(outer(VXLAN, vxlan(7, ethernet(INNER))), 64)])
    assert len(again.handshakes) == 1


def test_a_tunnels_datagram_that_stays_incomplete_is_counted() -> None:
    pieces = packets(outer(VXLAN, vxlan(77, ethernet(INNER))), 64)
    assert tracked(pieces[:-1]).counters.undecoded == {"fragment": len(pieces) - 1}
    assert tracked(pieces[1:]).counters.undecoded == {}, "nobody knows what it was"


def test_fragments_of_udp_do_not_crowd_out_those_of_tcp() -> None:
    """Row B5: 8 MiB in all, of which UDP has its own part."""
    segment = craft.tcp(CLIENT, SERVER, 50123, 993, OLD)
    first, *others = packets(segment, 64, protocol=6)
    flood = [
        ipv4(HERE, THERE, bytes(1480), protocol=UDP, fragment=0x2000 | 185, identification=n)
        for n in range(UDP_BUDGET_BYTES // 1480 + 500)
    ]
    found = tracked([first, *flood, *others])
    assert found.only.hello.complete


def test_budgets_add_up_to_8_mib() -> None:
    one = Datagrams()
    assert one.fragments.budget + one.of_udp.budget == 8 << 20
