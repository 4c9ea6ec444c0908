"""What a survey counts, frame by frame."""

import craft
import pytest
from craft import MILLISECOND_NS, Conversation, Frame
from hypothesis import given
from hypothesis import strategies as st
from tracking import ANY_PORT, batch_of

from parsers.batch import NO_VLAN
from sniffer.config import DEFAULT_PORTS, Ports
from sniffer.survey import Facts, Survey

HELLO = craft.client_hello(craft.TLS_1_0)
FLIGHT = craft.server_hello() + craft.certificate_flight()
TALK = Conversation().open().client(HELLO).server(FLIGHT).ack("client").server(craft.alert())
CLIENT, SERVER = (int.from_bytes(craft.mac(one)) for one in (craft.CLIENT_MAC, craft.SERVER_MAC))


def surveyed(
    frames: list[Frame],
    ports: Ports = DEFAULT_PORTS,
    own: tuple[bytes, ...] = (),
    snaplen: int = 1 << 18,
    link: int = craft.LINK_ETHERNET,
) -> Facts:
    one = Survey(ports, own)
    one.observe(batch_of(frames, link=link, snaplen=snaplen))
    facts = one.facts()
    assert facts.internal == 0
    return facts


def at(time_ns: int, octets: bytes) -> Frame:
    return time_ns, octets


def test_segments_by_direction_and_port() -> None:
    other = Conversation(server_port=443).open().client(b"GET")
    facts = surveyed(TALK.frames() + other.frames())
    assert (facts.frames, facts.tcp, facts.other_tcp) == (11, 11, 4)
    assert (facts.to_server, facts.from_server) == (4, 3)
    assert (facts.payload_to_server, facts.payload_from_server) == (1, 2)
    assert facts.server_ports == {993: 7}
    assert facts.mail_vlans == {NO_VLAN: 7}
    assert facts.stations == tuple(sorted((CLIENT, SERVER)))
    assert facts.hops == {craft.address("10.0.0.50"): 0b10}


def test_stations_and_who_is_foreign() -> None:
    second = Conversation("10.0.0.51", client_mac="3c:2a:f4:00:00:51").open()
    third = Conversation(
        "10.0.0.52", client_mac="3c:2a:f4:00:00:52", server_mac="02:00:00:00:00:09"
    )
    arp = craft.ethernet(
        craft.arp_request("10.0.0.1", craft.CLIENT_MAC, "10.0.0.2"),
        destination="ff:ff:ff:ff:ff:ff",
        kind=craft.ARP,
    )
    both = TALK.frames() + second.frames() + [at(0, arp)]
    facts = surveyed(both, own=(craft.mac("3c:2a:f4:00:00:51"),))
    assert (facts.unicast, facts.groups, facts.foreign) == (10, 1, 7)
    assert facts.stations == (SERVER,)
    assert surveyed(both + third.open().frames()).stations is None
    assert surveyed(TALK.frames()[:0]).stations is None


def test_bare_ip_has_no_stations() -> None:
    raw = Conversation(link_type=craft.LINK_RAW).open().client(HELLO)
    facts = surveyed(raw.frames(), link=craft.LINK_RAW)
    assert (facts.unicast, facts.groups, facts.tcp) == (0, 0, 4)
    assert facts.stations is None


def test_copies_are_told_from_originals_and_by_their_kind() -> None:
    talk = TALK.frames()
    tagged = Conversation(vlans=(7,)).open().client(HELLO).server(FLIGHT).ack("client")
    routed = Conversation(client_ttl=63, server_ttl=63).open().client(HELLO).server(FLIGHT)
    carrying = 5  # SYN, SYN-ACK, hello, flight, alert; bare acknowledgements look alike
    assert surveyed(talk).copies == 0
    assert surveyed(craft.mirrored(talk)).copies == carrying
    facts = surveyed(craft.merged(talk, tagged.server(craft.alert()).frames()))
    assert (facts.originals, facts.copies, facts.copies_other_vlan) == (carrying, 0, carrying)
    facts = surveyed(craft.merged(talk, routed.frames()))
    assert (facts.originals, facts.copies_routed) == (carrying, carrying - 1)


def test_repetitions_of_a_sender_are_no_copies() -> None:
    talk = Conversation().open().client(HELLO).wait(0.2)
    talk.segment("client", HELLO, offset=0)
    assert surveyed(talk.frames()).copies == 0


def test_six_addresses_are_followed_too() -> None:
    talk = Conversation("2001:db8::7", "2001:db8::1", client_ttl=128).open().client(HELLO)
    facts = surveyed(craft.mirrored(talk.frames()))
    assert (facts.copies, facts.originals) == (3, 3)
    assert facts.hops == {craft.address("2001:db8::7"): 0b100}


def test_cuts_by_snap_length_and_before() -> None:
    talk = TALK.frames()
    facts = surveyed(talk, snaplen=96)
    cut = sum(len(octets) > 96 for _, octets in talk)
    assert (facts.cut, facts.shortest_cut, facts.longest_cut, facts.cut_before) == (cut, 96, 96, 0)
    facts = surveyed([(time_ns, octets[:96]) for time_ns, octets in talk])
    assert (facts.cut, facts.cut_before) == (0, cut)


def test_what_offload_leaves_in_a_capture() -> None:
    large = craft.tcp("10.0.0.50", "52.96.0.10", 50123, 993, bytes(3000))
    packets = [
        craft.ipv4("10.0.0.50", "52.96.0.10", large),
        craft.ipv4("10.0.0.50", "52.96.0.10", large[:600], total_length=0),
    ]
    facts = surveyed([at(0, craft.ethernet(packet)) for packet in packets])
    assert (facts.longest, facts.oversize, facts.without_length) == (3040, 1, 1)


@pytest.mark.parametrize(
    ("payload", "change", "counted"),
    [
        pytest.param(b"odd", "", (1, 0, 0), id="right"),
        pytest.param(b"even", "", (1, 0, 0), id="right and even"),
        pytest.param(b"odd", "pseudo", (1, 1, 0), id="left to the hardware"),
        pytest.param(b"odd", "zero", (1, 1, 0), id="zero"),
        pytest.param(b"odd", "wrong", (1, 0, 1), id="wrong"),
    ],
)
def test_checksums(payload: bytes, change: str, counted: tuple[int, int, int]) -> None:
    ends = ("10.0.0.50", "52.96.0.10")
    segment = craft.tcp(*ends, 50123, 993, payload, good_checksum=change != "wrong")
    if change == "zero":
        segment = segment[:16] + b"\0\0" + segment[18:]
    if change == "pseudo":
        beside = craft.checksum(craft.pseudo_header(*ends, craft.TCP, len(segment))) ^ 0xFFFF
        segment = segment[:16] + craft.u16s(beside) + segment[18:]
    facts = surveyed([at(0, craft.ethernet(craft.ipv4(*ends, segment)))])
    assert (facts.checksums, facts.checksums_unfilled, facts.checksums_wrong) == counted


def test_clock_and_silence() -> None:
    frame = TALK.frames()[0][1]
    times = [10, 20, 15, 5000, 4000, 4500]
    facts = surveyed([at(time * MILLISECOND_NS, frame) for time in times])
    assert (facts.first_ns, facts.last_ns) == (10 * MILLISECOND_NS, 5000 * MILLISECOND_NS)
    assert facts.backwards == 3
    assert facts.furthest_back_ns == 1000 * MILLISECOND_NS
    assert facts.longest_silence_ns == 4980 * MILLISECOND_NS
    assert facts.silence_from_ns == 20 * MILLISECOND_NS


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        (b"STARTTLS\r\n", True),
        (b"starttls\r\n", True),
        (b"a1 STARTTLS\r\n", True),
        (b"STLS\r\n", True),
        (b"TLS\r\n", False),
        (b"STARTTLS\n", False),
        (b"STARTTLS", False),
        (b"LIST\r\n", False),
        (b"x" * 60 + b"STARTTLS\r\n", False),
    ],
)
def test_lines_that_ask_for_tls_on_other_ports(line: bytes, asks: bool) -> None:
    talk = Conversation(server_port=2525).open().client(line)
    assert surveyed(talk.frames()).upgrades_elsewhere == ({2525: 1} if asks else {})


def test_hellos_to_other_ports_unless_all_are_followed() -> None:
    talk = Conversation(server_port=2525).open().client(HELLO)
    assert surveyed(talk.frames()).hellos_elsewhere == {2525: 1}
    facts = surveyed(talk.frames(), ANY_PORT)
    assert facts.hellos_elsewhere == {}
    assert facts.hops == {craft.address("10.0.0.50"): 0b10}


def test_tunnels_and_inner_vlans() -> None:
    inner = Conversation(vlans=(7,)).open().client(HELLO).frames()
    ends = ("192.0.2.1", "192.0.2.2")
    head = bytes.fromhex("0800000000004d00")
    vxlan = [
        at(time_ns, craft.ethernet(craft.ip(*ends, datagram, craft.UDP)))
        for time_ns, one in inner
        for datagram in [craft.udp(*ends, 50000, 4789, head + one)]
    ]
    facts = surveyed(vxlan)
    assert facts.tunnels == {"vxlan": 4}
    assert facts.mail_vlans == {7: 4}


def test_what_could_be_many_is_bounded() -> None:
    hellos = [
        Conversation(craft_address(number), client_port=1024 + number).client(HELLO).frames()[0]
        for number in range(1100)
    ]
    facts = surveyed(hellos)
    assert len(facts.hops) == 1024
    assert facts.to_server == 1100


def craft_address(number: int) -> str:
    return f"10.1.{number >> 8}.{number & 255}"


FRAMES = [
    *TALK.frames(),
    *Conversation("10.0.0.51", client_mac="3c:2a:f4:00:00:51", vlans=(3,)).open().frames(),
    *Conversation("10.0.0.52", server_port=2525).open().client(HELLO).frames(),
]


@given(st.integers(0, len(FRAMES)), st.sampled_from([1 << 18, 96]))
def test_facts_of_parts_add_up_to_those_of_the_whole(cut: int, snaplen: int) -> None:
    both, rest = surveyed(FRAMES[:cut], snaplen=snaplen), surveyed(FRAMES[cut:], snaplen=snaplen)
    whole = surveyed(FRAMES, snaplen=snaplen)
    both.merge(rest)
    for name in ("frames", "unicast", "stations", "tcp", "cut", "shortest_cut", "longest_cut"):
        assert getattr(both, name) == getattr(whole, name), name
    for name in ("hops", "certificates", "server_ports", "vlans", "hellos_elsewhere", "longest"):
        assert getattr(both, name) == getattr(whole, name), name
    assert (both.first_ns, both.last_ns) == (
        min(time_ns for time_ns, _ in FRAMES),
        max(time_ns for time_ns, _ in FRAMES),
    )


def test_facts_travel_as_they_are() -> None:
    import msgspec

    facts = surveyed(FRAMES)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=Facts) == facts
