"""The kernel's filter: what the parsers would use of a frame, it passes.

The parsers themselves are the measure: ``decode`` reads each frame, and a frame with a TCP
segment that the tracker would look into has to be passed. Every frame is also sent through
the kernel, which has to say what the interpreter says.
"""

import socket
import struct
from array import array

import pytest
from craft import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    TCP,
    ethernet,
    hop_by_hop,
    ipv4,
    ipv6,
    ipv6_fragment,
    tcp,
    u16s,
    udp,
)
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from tracking import Wanted

from parsers.answer import FOUND
from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame
from parsers.layers import DATAGRAM, FRAGMENTED, NOTHING
from sniffer.capture import filter as filters
from sniffer.capture.bpf import Metadata, Program, run
from sniffer.config import DEFAULT_PORTS, Ports, parse_ports
from sniffer.track.discovery import AS_DESTINATION, AS_HINTED, AS_SOURCE, Discovery

SO_ATTACH_FILTER = 26
CLIENT, SERVER = "10.0.0.50", "52.96.0.10"
CLIENT6, SERVER6 = "2001:db8::50", "2603:1026::10"
IMPLICIT = {465, 993, 995}
SHIMS = [
    (0x8926, 4),  # VN-tag
    (0x893F, 6),  # 802.1BR
    (0x8909, 6),  # Cisco CMD
    (0x8988, 6),  # Cisco TTag
    (0x8905, 6),
    (0x88E7, 4 + 12),  # 802.1ah, then Ethernet
    (0x6558, 12),  # Ethernet
]
"""Types and how many octets stand before the next type."""

DEFAULT = filters.build(DEFAULT_PORTS)
ANY = filters.build(parse_ports("any"))
TUNNELS = filters.build(DEFAULT_PORTS, tunnels=True)
LISTENING = {
    (passive, dns): filters.build(DEFAULT_PORTS, passive=passive, dns=dns)
    for passive, dns in ((True, False), (False, True), (True, True))
}
FOR_ETHERNET = filters.assemble(DEFAULT_PORTS, ethernet_only=True)


class Kernel:
    """The kernel's verdict on a frame without a device, by a datagram that is filtered."""

    def __init__(self, program: Program) -> None:
        self.receiver, self.sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        octets = array("B", program.octets)
        packed = struct.pack("HP", len(program.instructions), octets.buffer_info()[0])
        self.receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)
        self.receiver.setblocking(False)

    def passes(self, wire: bytes) -> bool:
        self.sender.send(wire)
        try:
            return self.receiver.recv(1 << 20) == wire
        except BlockingIOError:
            return False


@pytest.fixture(scope="module")
def kernel():
    return Kernel(FOR_ETHERNET)


@pytest.fixture(scope="module")
def tunnel_kernel():
    return Kernel(filters.assemble(DEFAULT_PORTS, tunnels=True, ethernet_only=True))


@pytest.fixture(scope="module")
def listening_kernels():
    return {
        (passive, dns): Kernel(
            filters.assemble(DEFAULT_PORTS, passive=passive, dns=dns, ethernet_only=True)
        )
        for passive, dns in LISTENING
    }


def decoded(wire: bytes, link: int, vlan: int) -> tuple[int, Frame]:
    batch = Batch(1)
    batch.wire = memoryview(wire)
    batch.add(0, len(wire), len(wire), 0, vlan, link)
    frame = Frame()
    return decode(batch, 0, frame), frame


def is_used(
    wire: bytes, ports: Ports, link: int = 1, vlan: int = -1, *, tunnels: bool = False
) -> bool:
    """Tell whether the tracker would look into this frame, by the parsers' own reading."""
    answer, frame = decoded(wire, link, vlan)
    if frame.tunnel_type != NOTHING and not tunnels:
        return False
    if answer != FOUND:
        if frame.undecoded != FRAGMENTED:
            return False
        # The header's protocol; in IPv6 the fragment header's.
        return wire[frame.source - 3 if frame.ip_version == 4 else frame.at] == TCP
    if ports.follow_any or frame.flags & (SYN | FIN | RST):
        return True
    if frame.end + frame.missing <= frame.at:
        return False
    if frame.destination_port in ports.services:
        return True
    if frame.source_port not in ports.services:
        return False
    payload = wire[frame.at : frame.end]
    if not payload:
        return True
    if frame.source_port not in IMPLICIT:
        return payload[0] != 0x17
    begins = payload[0] in (0x14, 0x15, 0x16) and payload[1:2] in (b"\3", b"")
    return begins or payload[0] >= 0x80


def is_heard(wire: bytes, passive: bool, dns: bool) -> bool:
    """Tell whether a message in this frame would be read, by the parsers' own reading."""
    answer, frame = decoded(wire, 1, -1)
    if answer == FOUND or frame.undecoded or frame.tunnel_type != NOTHING:
        return False
    if frame.next != DATAGRAM:
        return passive and frame.ethertype == 0x88CC
    heard = Discovery(passive=passive, wanted=Wanted(()) if dns else None).ports()
    to, of = heard[frame.destination_port], heard[frame.source_port]
    return bool(to & AS_DESTINATION or of & (AS_SOURCE | AS_HINTED))


ports = st.sampled_from([*DEFAULT_PORTS.services, 80, 992, 994, 50123])
first_octets = st.sampled_from([0x14, 0x15, 0x16, 0x17, 0x80, 0xFF, 0x13, 0x18, 0x7F, 0x00])
payloads = st.one_of(
    st.just(b""),
    st.builds(
        lambda first, second, size: bytes((first, second)) + bytes(size),
        first_octets,
        st.sampled_from([3, 2, 0]),
        st.integers(0, 120),
    ),
    st.builds(lambda first: bytes((first,)), first_octets),
    st.binary(max_size=90),
)
flags = st.sampled_from([ACK, PSH | ACK, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK, 0])
tags = st.lists(
    st.tuples(st.sampled_from([0x8100, 0x88A8, 0x9100, 0x9200, 0x9300]), st.integers(0, 0xFFFF)),
    max_size=6,
)
extensions = st.lists(
    st.one_of(
        st.builds(hop_by_hop, st.integers(1, 5), st.sampled_from([0, 43, 60, 135, 139, 140])),
        st.just((51, bytes((4,)) + bytes(22))),
        st.builds(ipv6_fragment, st.sampled_from([0, 0, 8, 1480]), st.booleans()),
    ),
    max_size=9,
)
labels = st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=6)


heard_ports = st.sampled_from([53, 67, 68, 137, 546, 547, 5353, 4789, 52, 138, 50123])


@st.composite
def packets(draw, *, datagrams: bool = False):
    """An IP packet, mostly with a TCP segment, sometimes a fragment of one."""
    numbers = heard_ports if datagrams else ports
    source_port, destination_port = draw(numbers), draw(numbers)
    payload = draw(payloads)
    six = draw(st.booleans())
    source, destination = (CLIENT6, SERVER6) if six else (CLIENT, SERVER)
    if datagrams or draw(st.integers(0, 9)) == 0:
        body = udp(source, destination, source_port, destination_port, payload)
        protocol = 17
    else:
        body = tcp(
            source,
            destination,
            source_port,
            destination_port,
            payload,
            flags=draw(flags),
            options=bytes(draw(st.integers(0, 10)) * 4),
        )
        protocol = 6
    if six:
        packet = ipv6(source, destination, body, protocol=protocol, headers=draw(extensions))
        if draw(st.integers(0, 9)) == 0:
            packet = packet[:4] + b"\0\0" + packet[6:]  # left to the hardware
        return packet
    return ipv4(
        source,
        destination,
        body,
        protocol=protocol,
        fragment=draw(st.sampled_from([0x4000, 0, 0, 0x2000, 0x2003, 0x00B9])),
        options=bytes(draw(st.integers(0, 10)) * 4),
        total_length=draw(st.sampled_from([None, None, None, 0])),
    )


@st.composite
def frames(draw, *, datagrams: bool = False):
    """A packet in Ethernet behind whatever the parsers step over."""
    packet = draw(packets(datagrams=datagrams))
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    shape = draw(st.sampled_from(["plain", "plain", "mpls", "pppoe", "llc", "shim", "pwe"]))
    if shape == "mpls":
        packet, kind = stack(draw(labels)) + packet, 0x8847
    elif shape == "pwe":
        inner = ethernet(packet, vlans=draw(tags))
        word = draw(st.sampled_from([bytes(4), b""]))
        packet, kind = stack(draw(labels)) + word + inner, 0x8848
    elif shape == "pppoe":
        short = 0x57 if kind == 0x86DD else 0x21
        protocol = draw(st.sampled_from([bytes((short,)), u16s(short), b"\xff\x03" + u16s(short)]))
        body = protocol + packet
        packet, kind = b"\x11\0" + u16s(1, len(body)) + body, 0x8864
    elif shape == "llc":
        oui = draw(st.sampled_from([b"\0\0\0", b"\0\0\xf8", b"\0\1\0"]))
        body = b"\xaa\xaa\x03" + oui + u16s(kind) + packet
        packet, kind = body, min(len(body), 1500)
    elif shape == "shim":
        kind_of, octets = draw(st.sampled_from(SHIMS))
        packet, kind = bytes(octets) + u16s(kind) + packet, kind_of
    wire = ethernet(packet, kind=kind, vlans=draw(tags))
    return wire[: draw(st.sampled_from([len(wire), len(wire), 96, 60, 40]))]


def stack(values: list[int]) -> bytes:
    words = [value << 12 | 64 for value in values]
    words[-1] |= 0x100
    return b"".join(struct.pack("!I", word) for word in words)


@st.composite
def tunnelled(draw):
    """A frame inside one or two tunnels."""
    packet = draw(packets())
    for _ in range(draw(st.integers(1, 2))):
        inner = ethernet(packet, vlans=draw(tags))
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        protocol, payload = draw(
            st.sampled_from(
                [
                    (41 if kind == 0x86DD else 4, packet),
                    (47, u16s(0, kind) + packet),
                    (47, u16s(0x3000, 0x6558) + bytes(8) + inner),
                    (47, u16s(0x1000, 0x88BE) + bytes(4) + b"\x10" + bytes(7) + inner),
                    (47, u16s(0x1000, 0x22EB) + bytes(4) + b"\x20" + bytes(11) + inner),
                    (97, b"\x30\0" + inner),
                    (137, b"\0\0\1\x40" + packet),
                    (4789, b"\x08" + bytes(7) + inner),
                    (8472, b"\x08" + bytes(7) + inner),
                    (4790, b"\x0c\0\0" + bytes((1 + (kind == 0x86DD),)) + bytes(4) + packet),
                    (6081, b"\0\0" + u16s(0x6558) + bytes(4) + inner),
                    (2152, b"\x30\xff" + u16s(len(packet)) + bytes(4) + packet),
                    (37008, b"\1\0\0\1\1" + inner),
                ]
            )
        )
        six = draw(st.booleans())
        ends = ("2001:db8::1", "2001:db8::2") if six else ("192.0.2.1", "192.0.2.2")
        if protocol > 255:
            payload = udp(*ends, 50123, protocol, payload)
            protocol = 17
        if six:
            packet = ipv6(*ends, payload, protocol=protocol, headers=draw(extensions))
        else:
            packet = ipv4(*ends, payload, protocol=protocol, options=bytes(4))
    return ethernet(packet, vlans=draw(tags))


HELLO = tcp(CLIENT, SERVER, 50123, 993, b"\x16\3\1\0\5")


@given(frames(), st.booleans())
@example(ethernet(ipv4(CLIENT, SERVER, HELLO), vlans=[(0x88A8, 1), 2]), True)
@example(ethernet(ipv4(CLIENT, SERVER, HELLO), vlans=[1] * 6), False)
@example(ethernet(ipv6(CLIENT6, SERVER6, HELLO, headers=[hop_by_hop()] * 7)), False)
@settings(max_examples=1500, deadline=None)
def test_what_the_parsers_use_the_filter_passes(wire, is_tagged):
    metadata = Metadata(vlan_tag=7) if is_tagged else Metadata()

    if is_used(wire, DEFAULT_PORTS, vlan=7 if is_tagged else -1):
        event("used")
        assert run(DEFAULT.program, wire, metadata), wire.hex()
    if is_used(wire, ANY.ports):
        assert run(ANY.program, wire, metadata), wire.hex()


@given(frames(datagrams=True), st.sampled_from(list(LISTENING)))
@example(ethernet(bytes(46), kind=0x88CC, vlans=[7, 8]), (True, False))
@example(ethernet(bytes(46), kind=0x88CC), (False, True))
@settings(max_examples=1500, deadline=None)
def test_what_is_listened_to_passes_and_no_other_datagram(listening_kernels, wire, listening):
    verdict = bool(run(LISTENING[listening].program, wire))

    assert listening_kernels[listening].passes(wire) == verdict
    if is_heard(wire, *listening):
        event("heard")
        assert verdict, wire.hex()
    elif decoded(wire, 1, -1)[1].next == DATAGRAM:
        assert not verdict or run(DEFAULT.program, wire), wire.hex()


@given(frames())
@settings(max_examples=300, deadline=None)
def test_listening_changes_nothing_for_mail(wire):
    verdict = bool(run(DEFAULT.program, wire))
    if verdict or decoded(wire, 1, -1)[1].next != DATAGRAM:
        for made in LISTENING.values():
            assert bool(run(made.program, wire)) == verdict


def test_listening_costs_few_instructions_and_none_where_it_is_off():
    lengths = [len(made.program.instructions) for made in (DEFAULT, *LISTENING.values())]
    assert lengths[0] == len(filters.build(DEFAULT_PORTS, passive=False).program.instructions)
    assert max(lengths) - lengths[0] < 50
    assert "from port 53" in LISTENING[False, True].explain()
    assert "LLDP" not in LISTENING[False, True].explain()
    assert "67, 68, 137, 546, 547, 5353" in LISTENING[True, False].explain()


@given(tunnelled())
@settings(max_examples=600, deadline=None)
def test_what_the_parsers_use_of_tunnels_passes_where_they_are_switched_on(tunnel_kernel, wire):
    assert tunnel_kernel.passes(wire) == bool(run(TUNNELS.program, wire))
    if is_used(wire, DEFAULT_PORTS, tunnels=True):
        event("used")
        assert run(TUNNELS.program, wire), wire.hex()


@given(frames())
@settings(max_examples=200, deadline=None)
def test_tunnels_switched_on_take_nothing_away(wire):
    if run(DEFAULT.program, wire):
        assert run(TUNNELS.program, wire)


@given(frames(), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=3))
@settings(max_examples=800, deadline=None)
def test_octets_changed_at_will_are_judged_alike(kernel, wire, changes):
    damaged = bytearray(wire)
    for at, octet in changes:
        damaged[at % len(damaged)] = octet
    wire = bytes(damaged)
    verdict = bool(run(FOR_ETHERNET, wire))

    assert kernel.passes(wire) == verdict
    assert bool(run(DEFAULT.program, wire)) == verdict
    if is_used(wire, DEFAULT_PORTS):
        assert verdict, wire.hex()


@given(packets())
@settings(max_examples=400, deadline=None)
def test_bare_ip_of_devices_without_a_link_layer_is_judged_as_behind_ethernet(packet):
    bare = run(DEFAULT.program, packet, Metadata(65534))

    framed = bytes(12) + u16s(0x86DD if packet[0] >> 4 == 6 else 0x0800) + packet
    assert bool(bare) == bool(run(DEFAULT.program, framed))
    if is_used(packet, DEFAULT_PORTS, link=12):
        assert bare


@given(st.sets(st.integers(1, 65535), min_size=1, max_size=60), st.data())
@settings(max_examples=100, deadline=None)
def test_any_set_of_ports_is_told_from_its_neighbours(chosen, data):
    made = filters.build(Ports(dict.fromkeys(chosen, "imaps")))
    port = data.draw(st.sampled_from(sorted(chosen | {p + 1 for p in chosen if p < 65535})))
    outside = next(p for p in range(1, 65536) if p not in chosen)
    wire = ethernet(ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, outside, port, b"\x16\3\1")))

    assert bool(run(made.program, wire)) == (port in chosen)


def segment(source: int, destination: int, payload: bytes, flags: int = PSH | ACK) -> bytes:
    return ethernet(
        ipv4(CLIENT, SERVER, tcp(CLIENT, SERVER, source, destination, payload, flags=flags))
    )


LONG = bytes(200)


@pytest.mark.parametrize(
    ("wire", "passes"),
    [
        pytest.param(segment(50123, 993, b"", ACK), False, id="acknowledgement to the server"),
        pytest.param(segment(993, 50123, b"", ACK), False, id="acknowledgement to the client"),
        pytest.param(segment(50123, 993, b"x"), True, id="one octet to the server"),
        pytest.param(segment(50123, 993, b"\x17\3\3" + LONG), True, id="client's data"),
        pytest.param(segment(993, 50123, b"\x17\3\3" + LONG), False, id="server's data"),
        pytest.param(segment(993, 50123, b"\x16\3\1" + LONG), True, id="server's handshake"),
        pytest.param(segment(993, 50123, b"\x16\2\1" + LONG), False, id="no record"),
        pytest.param(segment(993, 50123, b"\x14\3\1" + LONG), True, id="ChangeCipherSpec"),
        pytest.param(segment(993, 50123, b"\x15\3\1" + LONG), True, id="alert"),
        pytest.param(segment(993, 50123, b"\x18\3\1" + LONG), False, id="heartbeat"),
        pytest.param(segment(993, 50123, b"\x80" + LONG), True, id="SSL 2.0 answer"),
        pytest.param(segment(993, 50123, b"\x7f" + LONG), False, id="middle of a record"),
        pytest.param(segment(993, 50123, b"\3"), True, id="second octet of a dribbled alert"),
        pytest.param(segment(143, 50123, b"* OK" + LONG), True, id="greeting"),
        pytest.param(segment(143, 50123, b"\x17\3\3" + LONG), False, id="data after STARTTLS"),
        pytest.param(segment(80, 50123, b"\x16\3\3" + LONG), False, id="another server"),
        pytest.param(segment(50123, 80, b"\x16\3\3" + LONG), False, id="to another server"),
        pytest.param(segment(50123, 80, b"", SYN), True, id="SYN to another server"),
        pytest.param(segment(80, 50123, b"", FIN | ACK), True, id="FIN of another server"),
        pytest.param(segment(80, 50123, b"", RST), True, id="RST of another server"),
    ],
)
def test_verdict_by_port_side_and_first_octets(kernel, wire, passes):
    assert bool(run(DEFAULT.program, wire)) == passes
    assert kernel.passes(wire) == passes
    assert run(ANY.program, wire)


def test_more_extension_headers_than_are_read_pass_to_be_counted():
    deep = ethernet(ipv6(CLIENT6, SERVER6, HELLO, headers=[hop_by_hop()] * 9))

    assert run(DEFAULT.program, deep)


def test_unknown_link_type_passes_to_be_counted():
    assert run(DEFAULT.program, b"", Metadata(801))


def test_port_of_an_unknown_service_is_watched_for_starttls_too():
    made = filters.build(parse_ports("2525"))

    assert run(made.program, segment(2525, 50123, b"220 mail" + LONG))
    assert not run(made.program, segment(993, 50123, b"\x16\3\3" + LONG))


def test_more_ports_than_a_program_holds_let_all_of_tcp_pass():
    made = filters.build(Ports(dict.fromkeys(range(1, 20_000, 2), "imaps")))

    assert made.whole_tcp
    assert len(made.program.instructions) <= 4096
    assert run(made.program, segment(2, 4, b""))
    assert "every TCP segment\n" in made.explain()


def test_explanation_names_ports_and_lists_the_program():
    text = DEFAULT.explain()

    assert "to the ports 25, 110, 143, 465, 587, 993, 995" in text
    assert "from the ports 465, 993, 995 whose payload begins with" in text
    assert "from the ports 25, 110, 143, 587 unless it begins" in text
    assert text.endswith(DEFAULT.program.listing())


def test_self_test_finds_a_filter_that_does_something_else():
    for wrong in (filters.assemble(parse_ports("993")), ANY.program):
        with pytest.raises(filters.ProgramError, match=r"the filter (drops|passes) "):
            filters.self_test(filters.Filter(wrong, DEFAULT_PORTS, whole_tcp=False))


def test_every_frame_of_the_self_test_is_judged_alike_by_the_kernel(kernel):
    known = [one for one in filters._known_frames(DEFAULT) if one[2].device_type == 1]

    assert len(known) > 20
    for what, wire, _, passes in known:
        assert kernel.passes(wire) == passes, what
