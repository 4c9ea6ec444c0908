"""The builder itself: other readers must find in its octets what was asked for."""

import io
from itertools import pairwise

import craft
import dpkt
import pytest
from craft import ByteOrder, Conversation, Section
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Padding

FRAMES = Conversation().open().client(craft.client_hello()).server(craft.alert()).frames()


def test_a_hello_is_read_by_an_independent_parser() -> None:
    wire = craft.client_hello(
        craft.TLS_1_2, (0xC02F, 0x002F), sni="mail.example.org", groups=(29, 23), alpn=[b"imap"]
    )
    (record,), used = dpkt.ssl.tls_multi_factory(wire)
    hello = dpkt.ssl.TLSHandshake(record.data).data
    assert used == len(wire)
    assert (record.version, hello.version, hello.random) == (0x0301, 0x0303, craft.RANDOM)
    assert [suite.code for suite in hello.ciphersuites] == [0xC02F, 0x002F]
    assert hello.extensions == [
        (0, b"\x00\x13\x00\x00\x10mail.example.org"),
        (10, b"\x00\x04\x00\x1d\x00\x17"),
        (16, b"\x00\x05\x04imap"),
    ]


def test_no_extension_means_no_block_and_an_empty_list_an_empty_one() -> None:
    bare, empty = craft.client_hello(), craft.client_hello(extensions=[])
    assert empty[9:] == bare[9:] + b"\0\0"


def test_records_carry_the_message_in_the_sizes_asked_for() -> None:
    message = craft.client_hello_message()
    wire = craft.records(message, (1, 0, 20))
    sizes, carried, at = [], b"", 0
    while at < len(wire):
        size = int.from_bytes(wire[at + 3 : at + 5], "big")
        sizes.append(size)
        carried += wire[at + 5 : at + 5 + size]
        at += 5 + size
    assert sizes == [1, 0, 20, len(message) - 21]
    assert carried == message


@pytest.mark.parametrize("vlans", [(), (12,), ((craft.QINQ, 30), 12)])
@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_lengths_and_checksums_are_those_scapy_computes(
    addresses: tuple[str, str], vlans: tuple[int | tuple[int, int], ...]
) -> None:
    talk = Conversation(*addresses, vlans=vlans).open().client(craft.client_hello())
    for _, octets in talk.frames():
        seen = Ether(octets)
        tags = [layer.vlan for layer in seen.iterpayloads() if isinstance(layer, Dot1Q)]
        assert tags == [tag[1] if isinstance(tag, tuple) else tag for tag in vlans]
        packet = seen[IPv6 if ":" in addresses[0] else IP]
        if Padding in packet:
            packet[TCP].remove_payload()
        before = bytes(packet)
        del packet[TCP].chksum
        for computed in ("chksum", "len", "plen"):
            if computed in packet.fields:
                delattr(packet, computed)
        assert bytes(packet) == before


def test_a_bad_checksum_is_bad() -> None:
    good, bad = (
        craft.tcp("10.0.0.1", "10.0.0.2", 1, 2, b"x", good_checksum=ok) for ok in (True, False)
    )
    assert [at for at in range(len(good)) if good[at] != bad[at]] == [16, 17]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_a_pcap_file_reads_back(byte_order: ByteOrder, nanoseconds: bool) -> None:
    wire = craft.pcap(FRAMES, byte_order=byte_order, nanoseconds=nanoseconds, snaplen=100)
    reader = dpkt.pcap.Reader(io.BytesIO(wire))
    assert reader.datalink() == craft.LINK_ETHERNET
    read = list(reader)
    assert [octets for _, octets in read] == [octets[:100] for _, octets in FRAMES]
    assert [round(float(time) * 1e6) for time, _ in read] == [ns // 1000 for ns, _ in FRAMES]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    ("tsresol", "tsoffset"), [(None, None), (9, None), (0x94, None), (6, -3600), (3, 1_000_000)]
)
def test_a_pcapng_section_reads_back(
    byte_order: ByteOrder, tsresol: int | None, tsoffset: int | None
) -> None:
    section = Section(byte_order).interface(tsresol=tsresol, tsoffset=tsoffset, name="eth0")
    section.custom().names([("10.0.0.50", "printer"), ("2001:db8::1", "tablet")])
    section.packets(FRAMES).statistics(craft.START_NS, 4, 0)
    read = list(dpkt.pcapng.Reader(io.BytesIO(bytes(section))))
    assert [octets for _, octets in read] == [octets for _, octets in FRAMES]
    unit = 1e-3 if tsresol == 3 else 2e-6
    for (time, _), (time_ns, _) in zip(read, FRAMES, strict=True):
        assert float(time) == pytest.approx(time_ns / 1e9, abs=unit, rel=0)


def test_sizes_of_every_block_stand_at_both_ends() -> None:
    section = Section().interface().simple_packet(b"abcde").obsolete_packet(craft.START_NS, b"xyz")
    wire, at, kinds = bytes(section), 0, []
    while at < len(wire):
        kinds.append(int.from_bytes(wire[at : at + 4], "little"))
        size = int.from_bytes(wire[at + 4 : at + 8], "little")
        assert size % 4 == 0
        assert wire[at + size - 4 : at + size] == wire[at + 4 : at + 8]
        at += size
    assert kinds == [0x0A0D0D0A, 1, 3, 2]


def test_order_loses_repeats_and_swaps_segments() -> None:
    talk = Conversation().client(b"abcdef", split=(1, 2), order=(2, 0, 0)).client(b"gh")
    told = [(segment.offset, segment.payload) for segment in talk.segments]
    assert told == [(3, b"def"), (0, b"a"), (0, b"a"), (6, b"gh")]


def test_a_conversation_keeps_its_books() -> None:
    talk = Conversation(client_isn=0xFFFFFFF0).open().client(b"x" * 100).lose("server", 50)
    talk.server(b"y").wait(2).fin("server").ack("client").rst("client", ttl=1)
    read = [Ether(octets)[IP] for _, octets in talk.frames()]
    assert [str(packet[TCP].flags) for packet in read] == [
        "S",
        "SA",
        "A",
        "PA",
        "PA",
        "FA",
        "A",
        "RA",
    ]
    assert read[0][TCP].seq == 0xFFFFFFF0
    assert read[6][TCP].seq == (0xFFFFFFF1 + 100) % (1 << 32)
    assert read[4][TCP].seq == 2_000_001 + 50
    assert read[6][TCP].ack == 2_000_001 + 50 + 1 + 1
    assert read[7].ttl == 1
    times = [time_ns for time_ns, _ in talk.frames()]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[5] - times[4] > 2_000_000_000
    assert len(talk.frames("client")) == 5


def test_a_mirror_doubles_and_merging_sorts() -> None:
    doubled = craft.mirrored(FRAMES)
    assert len(doubled) == 2 * len(FRAMES)
    assert craft.merged(FRAMES[2:], FRAMES[:2]) == FRAMES
