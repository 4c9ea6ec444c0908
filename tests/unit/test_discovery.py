"""Frames beside the mail to sightings: what is bound to whom, and what is not told at all."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import craft
import pytest
from craft import START_NS, address, ethernet, mac
from discovering import (
    PTR,
    a,
    cname,
    datagram,
    dhcp,
    dhcp_frame,
    dhcpv6,
    dhcpv6_frame,
    dns,
    dns_answer,
    duid,
    ia_na,
    lldp,
    lldp_frame,
    management,
    mdns,
    name,
    netbios_registration,
    option,
    option6,
    question,
    record,
    srv,
    tlv,
    txt,
)
from tracking import KEY, SMALL, Wanted, batch_of
from tunnels import outer_udp, vxlan

from parsers.discovery.dhcp import ACK, DISCOVER, NAK, RELEASE, REQUEST
from parsers.discovery.dhcpv6 import RENEW, REPLY, SOLICIT
from sniffer.capture.files import CaptureFile
from sniffer.config import DEFAULT_PORTS, IdentifySettings
from sniffer.event import Sighting
from sniffer.track.discovery import MOST_ANSWERS, MOST_LOOKS, MOST_MESSAGES, Discovery, listen
from sniffer.track.tracker import Tracker

PCAPS = Path(__file__).resolve().parent.parent.parent / "pcaps"
CLIENT = mac(craft.CLIENT_MAC)
SERVER = mac(craft.SERVER_MAC)
AT_7, AT_7_6 = address("10.0.0.7"), address("2001:db8::7")
OUTLOOK = b"outlook.office365.com"
HOUR_NS = 3600 * 10**9


def tracker(*, passive: bool = True, wanted: Sequence[bytes] = (OUTLOOK,)) -> Tracker:
    names = Wanted(wanted) if wanted else None
    return Tracker(SMALL, DEFAULT_PORTS, KEY, discovery=Discovery(passive=passive, wanted=names))


def sighted(frames: Iterable[bytes], seconds: float = 1.0, **listening) -> list[Sighting]:
    """Return what is told of frames, so many seconds apart."""
    one = tracker(**listening)
    step = int(seconds * 10**9)
    one.observe(batch_of([(START_NS + n * step, octets) for n, octets in enumerate(frames)]))
    assert one.counters().internal_errors == []
    return one.sightings()


def told(frames: Iterable[bytes], **listening) -> list[tuple[object, ...]]:
    return [(s.source, s.address, s.mac, s.name) for s in sighted(frames, **listening)]


# ---------------------------------------------------------------------------- devices


def test_a_lease_has_the_name_its_client_gave() -> None:
    asked = dhcp(REQUEST, option(12, b"HP3C2AF4"), option(60, b"JetDirect"))
    given = dhcp(ACK, option(51, b"\0\0\x0e\x10"), is_reply=True, given="10.0.0.7")
    request, ack = sighted([dhcp_frame(asked), dhcp_frame(given, "10.0.0.1")])
    assert (request.address, request.mac, request.name) == (None, CLIENT, b"HP3C2AF4")
    assert (ack.address, ack.mac, ack.name) == (AT_7, CLIENT, b"HP3C2AF4")
    assert dict(ack.facts) == {"vendor-class": b"JetDirect", "message": b"ack"}
    assert ack.until_ns == ack.time_ns + HOUR_NS


def test_a_lease_for_ever_does_not_end() -> None:
    given = dhcp(ACK, option(51, b"\xff" * 4), is_reply=True, given="10.0.0.7")
    (ack,) = sighted([dhcp_frame(given)])
    assert ack.until_ns is None


def test_what_is_asked_for_is_nobodys_yet_and_what_is_let_go_was_somebodys() -> None:
    frames = [dhcp(DISCOVER), dhcp(REQUEST, option(50, AT_7)), dhcp(NAK, is_reply=True)]
    assert sighted(map(dhcp_frame, frames)) == []
    (released,) = sighted([dhcp_frame(dhcp(RELEASE, own="10.0.0.7"))])
    assert (released.address, dict(released.facts)) == (AT_7, {"message": b"release"})


def test_a_lease_of_the_other_kind() -> None:
    asked = dhcpv6(SOLICIT, duid(), option6(39, b"\1" + name("hp.lan")))
    given = dhcpv6(REPLY, duid(), ia_na("2001:db8::7"))
    kept = dhcpv6(RENEW, duid(), ia_na("2001:db8::7"))
    assert told(map(dhcpv6_frame, (asked, given, kept))) == [
        ("dhcp", None, CLIENT, b"hp"),
        ("dhcp", AT_7_6, CLIENT, b"hp"),
        ("dhcp", AT_7_6, CLIENT, None),
    ]


IPP = "Hall._ipp._tcp.local"
PRINTER = (srv(IPP, "hp.local"), txt(IPP, b"ty=M402"), a("hp.local", "10.0.0.7"))


def test_a_printer_announces_its_model() -> None:
    (one,) = sighted([mdns(*PRINTER, source="10.0.0.7")])
    assert (one.address, one.mac, one.name) == (AT_7, CLIENT, b"hp")
    assert one.facts == (("service", b"_ipp._tcp"), ("model", b"M402"))


def test_who_reflects_an_announcement_is_not_who_made_it() -> None:
    assert told([mdns(*PRINTER, source="10.0.0.1")]) == [("mdns", AT_7, None, b"hp")]


def test_an_announcement_without_a_host_is_its_senders() -> None:
    (one,) = sighted([mdns(txt(IPP, b"ty=M402"), source="10.0.0.7")])
    assert (one.address, one.name, one.facts[-1]) == (AT_7, None, ("model", b"M402"))


def test_a_goodbye_tells_nothing() -> None:
    assert told([mdns(a("hp.local", "10.0.0.7", 0), source="10.0.0.7")]) == []


def test_a_netbios_name_has_the_mac_only_on_its_own_wire() -> None:
    message = netbios_registration(b"COPIER", "10.0.0.7")
    ends = "10.0.0.7", "10.0.0.255", (137, 137), message
    assert told([datagram(*ends, to_mac="ff:ff:ff:ff:ff:ff"), datagram(*ends)]) == [
        ("netbios", AT_7, CLIENT, b"COPIER"),
        ("netbios", AT_7, None, b"COPIER"),
    ]


def test_a_switch_has_a_name_but_its_mac_is_others_too() -> None:
    said = (tlv(5, b"core"), management("10.0.0.7"))
    switch = lldp(*said, tlv(7, b"\0\x14\0\x14"))
    assert told([lldp_frame(lldp(*said)), lldp_frame(switch)]) == [
        ("lldp", AT_7, CLIENT, b"core"),
        ("lldp", AT_7, None, b"core"),
    ]


def test_tags_and_tunnels_are_stepped_over() -> None:
    inner = mdns(*PRINTER, source="10.0.0.7")
    tagged = [
        lldp_frame(lldp(tlv(5, b"hp")), vlans=(7, 8)),
        dhcp_frame(dhcp(REQUEST, option(12, b"x"))),
    ]
    assert told([outer_udp(4789, vxlan(7, inner)), *tagged]) == [
        ("mdns", AT_7, CLIENT, b"hp"),
        ("lldp", None, CLIENT, b"hp"),
        ("dhcp", None, CLIENT, b"x"),
    ]
    cooked = tracker()
    cooked.observe(batch_of([(START_NS, craft.sll(inner[14:]))], link=craft.LINK_SLL))
    assert [(s.address, s.mac) for s in cooked.sightings()] == [(AT_7, None)]


# ------------------------------------------------------------------------------- DNS

CHAIN = (
    cname("outlook.office365.com", "ooc.office.com", 60),
    cname("ooc.office.com", "x.ms-acdc.office.com"),
    a("x.ms-acdc.office.com", "52.96.1.1", 30),
)


def answers(frames: Iterable[bytes], **listening) -> list[tuple[object, ...]]:
    return [(s.name, s.address, s.asked_by) for s in sighted(frames, **listening)]


ANSWERED = (OUTLOOK, address("52.96.1.1"), address("10.0.0.50"))


def test_an_alias_leads_to_the_addresses_of_a_wanted_name() -> None:
    (one,) = sighted([dns_answer("Outlook.Office365.COM", *CHAIN)])
    assert (one.name, one.address, one.asked_by) == ANSWERED
    assert one.until_ns == one.time_ns + 30 * 10**9
    assert answers([dns_answer("outlook.office365.com", *reversed(CHAIN))]) == [ANSWERED]


def test_of_several_wanted_names_in_a_chain_the_first_is_told() -> None:
    wanted = (b"ooc.office.com", OUTLOOK)
    assert answers([dns_answer("outlook.office365.com", *CHAIN)], wanted=wanted) == [ANSWERED]
    asked = dns_answer(
        "mail.office.example", cname("mail.office.example", "outlook.office365.com"), *CHAIN
    )
    assert answers([asked]) == [ANSWERED]


def test_a_chain_goes_on_in_the_next_answer_as_long_as_it_lasts() -> None:
    first = dns_answer("outlook.office365.com", *CHAIN[:1])
    second = dns_answer("ooc.office.com", *CHAIN[1:])
    assert answers([first, second]) == [ANSWERED]
    assert answers([first, second], seconds=61) == []
    assert answers([second]) == []


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(dns_answer("www.example.org", a("www.example.org", "10.9.9.9")), id="another"),
        pytest.param(dns_answer("www.example.org", *CHAIN), id="not what was asked"),
        pytest.param(
            datagram("10.0.0.50", "10.0.0.1", (50_053, 53), dns(*CHAIN)), id="from a client"
        ),
        pytest.param(
            datagram(
                "10.0.0.1",
                "10.0.0.50",
                (53, 50_053),
                dns(*CHAIN, questions=[question("outlook.office365.com")], flags=0x8403),
            ),
            id="an error",
        ),
        pytest.param(
            dns_answer(
                "outlook.office365.com",
                cname("outlook.office365.com", "b.example"),
                cname("b.example", "outlook.office365.com"),
            ),
            id="a circle",
        ),
        pytest.param(
            dns_answer("outlook.office365.com", record("outlook.office365.com", PTR, name("x"))),
            id="no address",
        ),
    ],
)
def test_nothing_else_is_told_of_dns(frame: bytes) -> None:
    assert answers([frame]) == []


# ---------------------------------------------------------------------------- bounds


def test_what_is_switched_off_is_not_looked_at() -> None:
    frames = [dns_answer("outlook.office365.com", *CHAIN), mdns(*PRINTER, source="10.0.0.7")]
    assert [s.source for s in sighted(frames, passive=False)] == ["dns"]
    assert [s.source for s in sighted(frames, wanted=())] == ["mdns"]
    assert listen(IdentifySettings(passive=False, dns=True), None) is None
    assert listen(IdentifySettings(passive=False, dns=False), Wanted(())) is None


FLOODS = {
    "of devices": (mdns(*PRINTER, source="10.0.0.7"), MOST_MESSAGES, 1),
    "of answers": (dns_answer("outlook.office365.com", *CHAIN), MOST_ANSWERS, 1),
    "of others' answers": (
        dns_answer("office365.example", a("office365.example", "10.9.9.9")),
        MOST_LOOKS,
        0,
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_read_up_to_a_bound_and_counted_beyond_it(kind: str) -> None:
    flood, most, told_of_each = FLOODS[kind]
    one = tracker()
    one.observe(batch_of([(START_NS, flood)] * (most + 7)))
    assert len(one.sightings()) == most * told_of_each
    assert one.counters().passed_over == 7
    for octets, _, told_of_it in FLOODS.values():
        one.observe(batch_of([(START_NS + 10**9, octets)]))
        assert len(one.sightings()) == told_of_it


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 40])
def test_a_cut_frame_costs_at_most_what_is_cut(cut: int) -> None:
    one = tracker()
    whole = mdns(*PRINTER, source="10.0.0.7")
    one.observe(batch_of([(START_NS, whole)], snaplen=14 + 20 + cut))
    assert one.counters().internal_errors == []
    assert one.sightings() == []


def test_a_lying_udp_length_ends_the_message() -> None:
    frame = bytearray(mdns(*PRINTER, source="10.0.0.7"))
    frame[38:40] = (8 + 12).to_bytes(2, "big")
    assert told([bytes(frame)]) == []


def test_frames_of_no_use_are_counted_as_ever() -> None:
    one = tracker()
    one.observe(batch_of([(START_NS, lldp_frame(lldp())), (START_NS, ethernet(b"x", kind=0x9999))]))
    assert one.counters().ethertypes == {"0x88cc": 1, "0x9999": 1}


# --------------------------------------------------------------- what programs really say


def fields(capture: str, *names: str) -> list[list[str]]:
    """Return fields of each frame as tshark reads them."""
    command = ["tshark", "-n", "-r", str(PCAPS / capture), "-T", "fields"]
    for field in names:
        command += ["-e", field]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in said.splitlines()]


def in_capture(capture: str) -> list[Sighting]:
    source = CaptureFile(str(PCAPS / capture))
    one, batch, found = tracker(), batch_of([]), []
    while source.read(batch):
        one.observe(batch)
        found += one.sightings()
    source.close()
    return found


def text(octets: bytes | None) -> str:
    return "" if octets is None else octets.decode()


def test_dhcp_of_real_programs() -> None:
    found = in_capture("discovery-dhcp.pcap")
    rows = fields(
        "discovery-dhcp.pcap",
        "dhcp.option.hostname",
        "dhcp.hw.mac_addr",
        "dhcp.ip.your",
        "dhcp.option.vendor_class_id",
        "dhcpv6.iaaddr.ip",
    )
    hosts = {row[0] for row in rows if row[0]}
    assert {text(one.name) for one in found} == hosts == {"HP3C2AF4"}
    assert {one.mac.hex(":") for one in found if one.mac} == {row[1] for row in rows if row[1]}
    given = {row[2] for row in rows if row[2] not in ("", "0.0.0.0")} | {
        row[4] for row in rows if row[4]
    }
    assert {address(ip) for ip in given} == {one.address for one in found if one.address}
    vendors = {row[3] for row in rows if row[3]}
    assert {text(v) for one in found for w, v in one.facts if w == "vendor-class"} == vendors


def test_dns_of_a_real_program() -> None:
    found = in_capture("discovery-dns.pcap")
    rows = fields("discovery-dns.pcap", "dns.qry.name", "dns.a", "dns.aaaa", "ip.dst")
    wanted = [row for row in rows if row[0] == OUTLOOK.decode() and row[1] + row[2]]
    assert [(text(one.name), one.address, one.asked_by) for one in found] == [
        (row[0], address(row[1] or row[2]), address(row[3])) for row in wanted
    ]
    assert len(found) == 2


def test_mdns_of_a_real_program() -> None:
    found = in_capture("discovery-mdns.pcap")
    rows = fields(
        "discovery-mdns.pcap",
        "dns.flags.response",
        "dns.a",
        "dns.aaaa",
        "dns.resp.ttl",
        "dns.txt",
        "eth.src",
    )
    alive = [row for row in rows if row[0] in ("1", "True") and set(row[3].split(",")) != {"0"}]
    addresses = {ip for row in alive for ip in (*row[1].split(","), *row[2].split(",")) if ip}
    assert {one.address for one in found} == {address(ip) for ip in addresses}
    assert {text(one.name) for one in found} == {"hp-3c2af4"}
    assert {one.mac.hex(":") for one in found if one.mac} == {row[5] for row in rows}
    models = {text(v) for one in found for w, v in one.facts if w == "model"}
    assert models == {t[3:] for row in rows for t in row[4].split(",") if t.startswith("ty=")}


def test_netbios_of_a_real_program() -> None:
    found = in_capture("discovery-netbios.pcap")
    rows = fields("discovery-netbios.pcap", "nbns.addr", "nbns.name")
    assert {text(one.name) for one in found} == {"COPIER-HALL"}
    assert {one.address for one in found} == {address(row[0]) for row in rows if row[0]}
    assert any("COPIER-HALL" in row[1] for row in rows)


def test_lldp_of_a_real_program() -> None:
    found = in_capture("discovery-lldp.pcap")
    rows = fields(
        "discovery-lldp.pcap",
        "lldp.tlv.system.name",
        "lldp.tlv.system.desc",
        "lldp.mgn.addr.ip4",
        "lldp.chassis.id.mac",
    )
    (row,) = [row for row in rows if row[0]]
    assert {text(one.name) for one in found} == {row[0]}
    assert {text(v) for one in found for _, v in one.facts} == {row[1]}
    assert address(row[2]) in {one.address for one in found}
    assert {one.mac.hex(":") for one in found if one.mac} == {row[3]}
