"""What the kernel hands on: the frames the parsers use, told by a program of its own.

The program reads a frame the way ``parsers`` do, layer by layer, and lets go of the bulk:
what servers send inside TLS, pure acknowledgements, other ports, other protocols. Where it
would have to read deeper than it can, it passes the frame: too much, never too little. It
looks at the device's type first, so that it fits whatever interface it is attached to, also
one recreated as another kind.

A VLAN tag that the kernel keeps beside the frame needs no instruction: the frame in hand is
as if never tagged, and the tags that remain in it are stepped over.
"""

import socket
import struct
from array import array
from dataclasses import dataclass

from parsers.discovery.ports import DNS_SOURCES, LLDP, PASSIVE_DESTINATIONS, PASSIVE_SOURCES
from parsers.layers import TUNNEL_PORTS
from sniffer.capture.bpf import (
    ADD,
    AND,
    DEVICE_TYPE,
    DROP,
    JEQ,
    JGE,
    JGT,
    JSET,
    KEEP_ALL,
    LSH,
    PACKET_TYPE,
    RSH,
    SUB,
    Assembler,
    B,
    H,
    Metadata,
    Program,
    ProgramError,
    W,
    run,
)
from sniffer.config import IMPLICIT_TLS, Ports

SO_ATTACH_FILTER = 26
KEEP_LABEL = "keep"
DROP_LABEL = "drop"

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
ARPHRD_WITHOUT_LINK_LAYER = (512, 519, 768, 769, 776, 778, 823, 65534)
OUTGOING = 4

TAGS = (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)
SHIMS = {0x8926: 4, 0x893F: 6, 0x8909: 6, 0x8988: 6, 0x8905: 6, 0x88E7: 4 + 12, 0x6558: 12}
"""Octets between one type field and the next, by the first."""
TYPE_FIELDS = 4
"""Type fields read of one frame, one behind the other; beyond them, the frame passes."""
TYPE_FIELDS_INSIDE = 2
"""The same for Ethernet inside MPLS."""
LABELS = 4
EXTENSION_HEADERS = 8

TCP = 6
UDP = 17
TUNNEL_PROTOCOLS = (4, 41, 47, 97, 137)
"""IPv4, IPv6, GRE with ERSPAN, EtherIP and MPLS inside IP."""
FRAGMENT = 44
AUTHENTICATION = 51
EXTENSIONS = (0, 43, 60, 135, 139, 140)
FIN_SYN_RST = 0x07

APPLICATION_DATA = 23
FIRST_RECORD, LAST_RECORD = 20, 22
SSLV2 = 0x80
SHORT_PAYLOAD = 64
"""Server segments up to here pass: a server that dribbles its answer is read too."""

# Cells of the program.
PACKET_END, PAYLOAD, FOLLOWING = range(3)

Ranges = list[tuple[int, int, str]]
"""First port, last port, the label to go on at."""


@dataclass(frozen=True)
class Filter:
    """A program for the kernel, tried on frames whose verdict is known."""

    program: Program
    ports: Ports
    whole_tcp: bool
    """All of TCP passes: every port is followed, or there are too many for a program."""
    tunnels: bool = False
    """What comes through a tunnel passes, all of it."""
    passive: bool = False
    """What devices say of themselves passes."""
    dns: bool = False
    """What DNS servers answer passes."""

    def explain(self) -> str:
        """Return in words what passes, then the program line by line."""
        lines = [
            "What the kernel hands on, by reading Ethernet or bare IP, VLAN tags, MPLS, PPPoE,",
            "IPv4, and IPv6 with its extension headers:",
        ]
        if self.whole_tcp:
            lines.append("- every TCP segment")
        else:
            words = self.ports.services
            implicit = [port for port, word in words.items() if word in IMPLICIT_TLS]
            upgraded = [port for port, word in words.items() if word not in IMPLICIT_TLS]
            lines += [
                "- every TCP segment with SYN, FIN or RST",
                f"- segments with payload to the ports {_listed(list(words))}",
            ]
            if implicit:
                lines.append(
                    f"- segments from the ports {_listed(implicit)} whose payload begins with\n"
                    "  14, 15 or 16 and then 03, or with 80 to FF (SSL 2.0),"
                    f" or is at most {SHORT_PAYLOAD} octets long;\n"
                    "  none that begins with 17, application data"
                )
            if upgraded:
                lines.append(
                    f"- segments with payload from the ports {_listed(upgraded)} unless it begins\n"
                    "  with 17: what is said before STARTTLS passes"
                )
        if self.tunnels:
            lines.append(
                "- whatever comes through a tunnel: GRE, ERSPAN, IP in IP, EtherIP, MPLS in IP,\n"
                f"  and UDP to the ports {_listed(list(TUNNEL_PORTS))}; fragments of UDP"
            )
        if self.passive:
            lines.append(
                "- what devices say of themselves: LLDP; whole datagrams of UDP to the ports\n"
                f"  {_listed(list(PASSIVE_DESTINATIONS))}"
                f" and from {_listed(list(PASSIVE_SOURCES))}"
            )
        if self.dns:
            lines.append("- what DNS servers answer: UDP from port 53")
        lines += [
            "- fragments of TCP; frames nested deeper than the program reads",
            "On the loopback interface each frame once, as it comes in.",
            "",
            self.program.listing(),
        ]
        return "\n".join(lines)


def everything() -> Program:
    """Return the program that hands on every frame, for whoever wants to know what passes."""
    a = Assembler()
    a.note("everything")
    a.give(KEEP_ALL)
    return a.program()


def build(
    ports: Ports, *, tunnels: bool = False, passive: bool = False, dns: bool = False
) -> Filter:
    """Make the filter for these ports and try it.

    With ``tunnels`` what they carry passes, with ``passive`` what devices say of themselves,
    with ``dns`` the answers of DNS servers.

    Raises ProgramError if it does not do what it is for: a bug of ours.
    """
    made = None
    more = {"tunnels": tunnels, "passive": passive, "dns": dns}
    if not ports.follow_any and ports.services:
        try:
            made = Filter(assemble(ports, **more), ports, False, **more)
        except ProgramError:
            # So many ports that no program holds them.
            made = None
    if made is None:
        made = Filter(assemble(None, **more), ports, True, **more)
    self_test(made)
    return made


def attach(to: socket.socket, program: Program) -> None:
    """Have the kernel run a program over every frame of a packet socket. Raises OSError."""
    octets = array("B", program.octets)
    address, _ = octets.buffer_info()
    packed = struct.pack("HP", len(program.instructions), address)
    to.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed)


def assemble(
    ports: Ports | None,
    *,
    tunnels: bool = False,
    passive: bool = False,
    dns: bool = False,
    ethernet_only: bool = False,
) -> Program:
    """Assemble the program; without ports all of TCP passes.

    ``ethernet_only`` leaves out the look at the device's type, for sockets without one.
    """
    a = Assembler()
    if not ethernet_only:
        _devices(a)
    a.label("ethernet")
    a.note("where the type field is")
    a.set_x(12)
    datagrams = tunnels or passive or dns
    _type_fields(a, "type", TYPE_FIELDS, "pppoe", "mpls", lldp=passive)
    _pppoe(a)
    _mpls(a)
    _type_fields(a, "inner", TYPE_FIELDS_INSIDE, KEEP_LABEL, KEEP_LABEL, lldp=passive)
    _ipv4(a, datagrams, tunnels)
    _ipv6(a, datagrams, tunnels)
    if datagrams:
        _udp(a, tunnels, passive, dns)
    _tcp(a, ports)
    a.label(KEEP_LABEL)
    a.give(KEEP_ALL)
    a.label(DROP_LABEL)
    a.give(DROP)
    return a.program()


def _devices(a: Assembler) -> None:
    a.note("what a frame of this device begins with")
    a.load(W, DEVICE_TYPE)
    a.test(JEQ, ARPHRD_ETHER, "ethernet")
    a.test(JEQ, ARPHRD_LOOPBACK, "loopback")
    for device in ARPHRD_WITHOUT_LINK_LAYER:
        a.test(JEQ, device, "bare IP")
    a.note("a link type that is only counted")
    a.give(KEEP_ALL)
    a.label("bare IP")
    a.set_x(0)
    a.load_x(B, 0)
    a.compute(AND, 0xF0)
    a.test(JEQ, 0x40, "IPv4")
    a.test(JEQ, 0x60, "IPv6", DROP_LABEL)
    a.label("loopback")
    a.note("on its way out: it will come in too")
    a.load(W, PACKET_TYPE)
    a.test(JEQ, OUTGOING, DROP_LABEL)


def _type_fields(a: Assembler, name: str, count: int, pppoe: str, mpls: str, *, lldp: bool) -> None:
    """Read ``count`` type fields from the one at X on, each with what may lie between."""
    for number in range(count):
        following = f"{name} {number + 1}" if number + 1 < count else KEEP_LABEL
        here = f"{name} {number}"
        a.label(here)
        a.note(f"type field {number + 1}" + (" inside MPLS" if name == "inner" else ""))
        a.load_x(H, 0)
        a.test(JEQ, 0x0800, f"{here} IPv4")
        a.test(JEQ, 0x86DD, f"{here} IPv6")
        for tag in TAGS:
            a.test(JEQ, tag, f"{here} tag")
        for shim in SHIMS:
            a.test(JEQ, shim, f"{here} shim {SHIMS[shim]}")
        a.test(JEQ, 0x8864, pppoe)
        a.test(JEQ, 0x8847, mpls)
        a.test(JEQ, 0x8848, mpls)
        if lldp:
            a.test(JEQ, LLDP, KEEP_LABEL)
        a.note("no type but a length: LLC and SNAP follow, or nothing of ours")
        a.test(JGT, 1500, DROP_LABEL)
        a.load_x(H, 2)
        a.test(JEQ, 0xAAAA, "", DROP_LABEL)
        a.load_x(H, 4)
        a.test(JEQ, 0x0300, "", DROP_LABEL)
        a.load_x(H, 6)
        a.test(JEQ, 0x0000, f"{here} SNAP")
        a.test(JEQ, 0x00F8, "", DROP_LABEL)
        a.label(f"{here} SNAP")
        _advance(a, 8, following)
        for length in sorted(set(SHIMS.values())):
            a.label(f"{here} shim {length}")
            _advance(a, 2 + length, following)
        a.label(f"{here} IPv4")
        _advance(a, 2, "IPv4")
        a.label(f"{here} IPv6")
        _advance(a, 2, "IPv6")
        a.label(f"{here} tag")
        a.note("step over the tag")
        _advance(a, 4, following)


def _advance(a: Assembler, octets: int, to: str) -> None:
    """X = X + octets, and go on."""
    a.from_x()
    a.compute(ADD, octets)
    a.to_x()
    a.jump(to)


def _pppoe(a: Assembler) -> None:
    a.label("pppoe")
    a.note("PPPoE: version, type and code of a session")
    a.load_x(H, 2)
    a.test(JEQ, 0x1100, "", DROP_LABEL)
    _advance(a, 8, "ppp")
    a.label("ppp")
    a.load_x(H, 0)
    a.test(JEQ, 0xFF03, "", "ppp protocol")
    _advance(a, 2, "ppp protocol")
    a.label("ppp protocol")
    a.load_x(B, 0)
    a.test(JEQ, 0x21, "ppp short IPv4")
    a.test(JEQ, 0x57, "ppp short IPv6")
    a.load_x(H, 0)
    a.test(JEQ, 0x0021, "ppp IPv4")
    a.test(JEQ, 0x0057, "ppp IPv6")
    a.test(JEQ, 0x0281, "mpls")
    a.test(JEQ, 0x0283, "mpls", DROP_LABEL)
    for label, octets, to in (
        ("ppp short IPv4", 1, "IPv4"),
        ("ppp short IPv6", 1, "IPv6"),
        ("ppp IPv4", 2, "IPv4"),
        ("ppp IPv6", 2, "IPv6"),
    ):
        a.label(label)
        _advance(a, octets, to)


def _mpls(a: Assembler) -> None:
    """Step over the labels behind the type at X, then guess as the parser does."""
    a.label("mpls")
    _advance(a, 2, "label 0")
    for number in range(LABELS):
        a.label(f"label {number}")
        a.note(f"MPLS label {number + 1}: is it the last?")
        a.load_x(B, 2)
        a.test(JSET, 1, "last label")
        _advance(a, 4, f"label {number + 1}" if number + 1 < LABELS else KEEP_LABEL)
    a.label("last label")
    _advance(a, 4, "behind labels")
    a.label("behind labels")
    a.load_x(B, 0)
    a.compute(RSH, 4)
    a.test(JEQ, 4, "IPv4")
    a.test(JEQ, 6, "IPv6")
    a.test(JEQ, 0, "control word")
    _advance(a, 12, "inner 0")
    a.label("control word")
    _advance(a, 4 + 12, "inner 0")


def _ipv4(a: Assembler, datagrams: bool, tunnels: bool) -> None:
    a.label("IPv4")
    a.load_x(B, 0)
    a.compute(AND, 0xF0)
    a.test(JEQ, 0x40, "", DROP_LABEL)
    a.load_x(B, 9)
    if datagrams:
        a.test(JEQ, TCP, "IPv4 TCP")
        if tunnels:
            _keep_tunnels(a)
        a.test(JEQ, UDP, "", DROP_LABEL)
        a.note("a fragment of a datagram, which may be a tunnel's?")
        a.load_x(H, 6)
        a.test(JSET, 0x3FFF, KEEP_LABEL if tunnels else DROP_LABEL)
        a.load_x(B, 0)
        a.compute(AND, 0x0F)
        a.compute(LSH, 2)
        a.compute_x(ADD)
        a.to_x()
        a.jump("UDP")
        a.label("IPv4 TCP")
    else:
        a.test(JEQ, TCP, "", DROP_LABEL)
    a.note("a fragment?")
    a.load_x(H, 6)
    a.test(JSET, 0x3FFF, KEEP_LABEL)
    a.note("where the packet ends; offload may leave 0")
    a.load_x(H, 2)
    a.test(JEQ, 0, "", "IPv4 length")
    a.load_length()
    a.jump("IPv4 end")
    a.label("IPv4 length")
    a.compute_x(ADD)
    a.label("IPv4 end")
    a.store(PACKET_END)
    a.load_x(B, 0)
    a.compute(AND, 0x0F)
    a.compute(LSH, 2)
    a.test(JGE, 20, "", DROP_LABEL)
    a.compute_x(ADD)
    a.to_x()
    a.jump("TCP")


def _keep_tunnels(a: Assembler) -> None:
    a.note("a tunnel?")
    for protocol in TUNNEL_PROTOCOLS:
        a.test(JEQ, protocol, KEEP_LABEL)


def _udp(a: Assembler, tunnels: bool, passive: bool, dns: bool) -> None:
    a.label("UDP")
    a.note("to a port that is listened to?")
    a.load_x(H, 2)
    for port in (TUNNEL_PORTS if tunnels else ()) + (PASSIVE_DESTINATIONS if passive else ()):
        a.test(JEQ, port, KEEP_LABEL)
    a.note("from one?")
    a.load_x(H, 0)
    for port in (PASSIVE_SOURCES if passive else ()) + (DNS_SOURCES if dns else ()):
        a.test(JEQ, port, KEEP_LABEL)
    a.jump(DROP_LABEL)


def _ipv6(a: Assembler, datagrams: bool, tunnels: bool) -> None:
    a.label("IPv6")
    a.load_x(B, 0)
    a.compute(AND, 0xF0)
    a.test(JEQ, 0x60, "", DROP_LABEL)
    a.note("where the packet ends; offload may leave 0")
    a.load_x(H, 4)
    a.test(JEQ, 0, "", "IPv6 length")
    a.load_length()
    a.jump("IPv6 end")
    a.label("IPv6 length")
    a.compute(ADD, 40)
    a.compute_x(ADD)
    a.label("IPv6 end")
    a.store(PACKET_END)
    a.load_x(B, 6)
    a.store(FOLLOWING)
    a.from_x()
    a.compute(ADD, 40)
    a.to_x()
    for number in range(EXTENSION_HEADERS):
        after = f"next header {number + 1}"
        a.label(f"next header {number}")
        a.note(f"IPv6 next header {number + 1}")
        a.load_cell(FOLLOWING)
        a.test(JEQ, TCP, "TCP")
        if datagrams:
            a.test(JEQ, UDP, "UDP")
        if tunnels:
            _keep_tunnels(a)
        for kind in EXTENSIONS:
            a.test(JEQ, kind, f"extension {number}")
        a.test(JEQ, FRAGMENT, f"fragment {number}")
        a.test(JEQ, AUTHENTICATION, "", DROP_LABEL)
        a.load_x(B, 0)
        a.store(FOLLOWING)
        a.note("authentication header: length in units of 4, less 2")
        a.load_x(B, 1)
        a.compute(ADD, 2)
        a.compute(LSH, 2)
        a.jump(f"behind extension {number}")
        a.label(f"fragment {number}")
        a.load_x(B, 0)
        a.store(FOLLOWING)
        a.load_x(H, 2)
        a.test(JSET, 0xFFF9, "fragment of what")
        a.note("a whole packet all the same")
        a.set_a(8)
        a.jump(f"behind extension {number}")
        a.label(f"extension {number}")
        a.load_x(B, 0)
        a.store(FOLLOWING)
        a.load_x(B, 1)
        a.compute(ADD, 1)
        a.compute(LSH, 3)
        a.label(f"behind extension {number}")
        a.compute_x(ADD)
        a.to_x()
        if number + 1 == EXTENSION_HEADERS:
            a.jump(KEEP_LABEL)
        else:
            a.jump(after)
    a.label("fragment of what")
    a.note("of TCP, or of a header that may come before it?")
    a.load_cell(FOLLOWING)
    carriers = (UDP, *TUNNEL_PROTOCOLS) if tunnels else ()
    for kind in (TCP, *EXTENSIONS, AUTHENTICATION, *carriers):
        a.test(JEQ, kind, KEEP_LABEL)
    a.jump(DROP_LABEL)


def _tcp(a: Assembler, ports: Ports | None) -> None:
    a.label("TCP")
    if ports is None:
        a.jump(KEEP_LABEL)
        return
    a.note("FIN, SYN or RST?")
    a.load_x(B, 13)
    a.test(JSET, FIN_SYN_RST, KEEP_LABEL)
    a.note("where the payload starts")
    a.load_x(B, 12)
    a.compute(RSH, 4)
    a.compute(LSH, 2)
    a.compute_x(ADD)
    a.store(PAYLOAD)
    a.note("the destination port")
    a.load_x(H, 2)
    _find(a, _ranges(dict.fromkeys(ports.services, "from client")), "source port")
    a.label("source port")
    a.load_x(H, 0)
    sides = {
        port: "from TLS server" if word in IMPLICIT_TLS else "from server"
        for port, word in ports.services.items()
    }
    _find(a, _ranges(sides), DROP_LABEL)

    a.label("from client")
    _payload_or_drop(a)
    a.jump(KEEP_LABEL)

    for side in sorted(set(sides.values())):
        a.label(side)
        _payload_or_drop(a)
        a.note("is its first octet in the frame?")
        a.load_length()
        a.x_cell(PAYLOAD)
        a.test_x(JGT, "", KEEP_LABEL)
        a.note("application data?")
        a.load_x(B, 0)
        if side == "from server":
            a.test(JEQ, APPLICATION_DATA, DROP_LABEL, KEEP_LABEL)
            continue
        a.test(JEQ, APPLICATION_DATA, DROP_LABEL)
        a.test(JGE, SSLV2, KEEP_LABEL)
        a.note("a short one?")
        a.load_cell(PACKET_END)
        a.compute_x(SUB)
        a.test(JGT, SHORT_PAYLOAD, "", KEEP_LABEL)
        a.note("a record of another type?")
        a.load_x(B, 0)
        a.test(JGE, FIRST_RECORD, "", DROP_LABEL)
        a.test(JGT, LAST_RECORD, DROP_LABEL)
        a.load_length()
        a.compute_x(SUB)
        a.test(JGT, 1, "", KEEP_LABEL)
        a.load_x(B, 1)
        a.test(JEQ, 3, KEEP_LABEL, DROP_LABEL)


def _payload_or_drop(a: Assembler) -> None:
    a.note("any payload?")
    a.load_cell(PAYLOAD)
    a.x_cell(PACKET_END)
    a.test_x(JGE, DROP_LABEL)


def _ranges(labels: dict[int, str]) -> Ranges:
    """Join neighbouring ports that lead to the same label."""
    ranges: Ranges = []
    for port in sorted(labels):
        if ranges and ranges[-1][1] == port - 1 and ranges[-1][2] == labels[port]:
            ranges[-1] = (ranges[-1][0], port, labels[port])
        else:
            ranges.append((port, port, labels[port]))
    return ranges


def _find(a: Assembler, ranges: Ranges, otherwise: str) -> None:
    """Go on at the label of the range that A lies in, by halving."""
    if len(ranges) <= 2:
        for first, last, label in ranges:
            if first == last:
                a.test(JEQ, first, label)
            else:
                behind = f"{otherwise}: behind {last}"
                a.test(JGE, first, "", otherwise)
                a.test(JGT, last, behind, label)
                a.label(behind)
        a.jump(otherwise)
        return
    middle = len(ranges) // 2
    upper = f"{otherwise}: from {ranges[middle][0]}"
    a.test(JGE, ranges[middle][0], upper)
    _find(a, ranges[:middle], otherwise)
    a.label(upper)
    _find(a, ranges[middle:], otherwise)


def self_test(filter_: Filter) -> None:
    """Run the program on frames whose verdict is known. Raises ProgramError."""
    for what, wire, metadata, passes in _known_frames(filter_):
        if bool(run(filter_.program, wire, metadata)) != passes:
            raise ProgramError(f"the filter {'drops' if passes else 'passes'} {what}")


Known = tuple[str, bytes, Metadata, bool]


def _known_frames(filter_: Filter) -> list[Known]:
    """Return frames in words and octets, with what is known beside them and their verdict."""
    by_service = filter_.ports.services
    implicit = next((port for port, word in by_service.items() if word in IMPLICIT_TLS), None)
    upgraded = next((port for port, word in by_service.items() if word not in IMPLICIT_TLS), None)
    free = (port for port in range(65_535, 0, -1) if port not in by_service)
    other, another = next(free, 65_535), next(free, 65_534)
    watched = implicit or upgraded or other
    whole = filter_.whole_tcp
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    bulk = b"\x17\x03\x03\x05\x00" + bytes(200)
    middle = bytes(200)

    wired = Metadata(ARPHRD_ETHER)
    looped = Metadata(ARPHRD_LOOPBACK)
    to_server = _tcp_segment(other, watched, hello)
    elsewhere = _tcp_segment(other, another, hello)
    known: list[Known] = [
        ("a SYN", _ethernet(_ipv4_packet(_tcp_segment(other, other, b"", 0x02))), wired, True),
        ("a FIN", _ethernet(_ipv4_packet(_tcp_segment(other, other, b"", 0x11))), wired, True),
        ("a RST", _ethernet(_ipv6_packet(_tcp_segment(other, other, b"", 0x04))), wired, True),
        ("a datagram", _ethernet(_ipv4_packet(to_server, 17)), wired, False),
        ("ARP", _ethernet(bytes(28), 0x0806), wired, False),
        ("another port", _ethernet(_ipv4_packet(elsewhere)), wired, whole),
        (
            "a padded acknowledgement",
            _ethernet(_ipv4_packet(_tcp_segment(other, watched, b""))).ljust(60, b"\0"),
            wired,
            whole,
        ),
        ("a hello on IPv4", _ethernet(_ipv4_packet(to_server)), wired, True),
        ("a hello on IPv6", _ethernet(_ipv6_packet(to_server)), wired, True),
        ("a hello of unset length", _ethernet(_ipv4_packet(to_server, length=0)), wired, True),
        (
            "a hello behind IPv6 options",
            _ethernet(_ipv6_packet(bytes((6, 0)) + bytes(6) + to_server, 0)),
            wired,
            True,
        ),
        ("a tag in the frame", _tagged(_ipv4_packet(to_server), 0x8100), wired, True),
        ("two tags in the frame", _tagged(_ipv4_packet(to_server), 0x88A8, 0x8100), wired, True),
        (
            "a tag beside the frame",
            _ethernet(_ipv4_packet(to_server)),
            wired._replace(vlan_tag=7),
            True,
        ),
        (
            "tags in and beside the frame",
            _tagged(_ipv6_packet(to_server), 0x8100),
            wired._replace(vlan_tag=7, vlan_type=0x88A8),
            True,
        ),
        (
            "a later fragment",
            _ethernet(_ipv4_packet(middle, fragment=0x2003)),
            wired,
            True,
        ),
        (
            "a later fragment of a datagram",
            _ethernet(_ipv4_packet(middle, UDP, fragment=0x2003)),
            wired,
            filter_.tunnels,
        ),
        ("GRE", _ethernet(_ipv4_packet(bytes(4), 47)), wired, filter_.tunnels),
        (
            "VXLAN",
            _ethernet(_ipv6_packet(struct.pack("!HHHH", 50_000, 4789, 8, 0), UDP)),
            wired,
            filter_.tunnels,
        ),
        ("LLDP", _ethernet(bytes(46), LLDP), wired, filter_.passive),
        ("LLDP behind a tag", _tagged_as(bytes(46), LLDP), wired, filter_.passive),
        *_known_datagrams(filter_),
        ("bare IP", _ipv4_packet(to_server), Metadata(65534), True),
        ("loopback, coming in", _ethernet(_ipv4_packet(to_server)), looped, True),
        (
            "loopback, going out",
            _ethernet(_ipv4_packet(to_server)),
            looped._replace(packet_type=OUTGOING),
            False,
        ),
        (
            "any other device, going out",
            _ethernet(_ipv4_packet(to_server)),
            wired._replace(packet_type=OUTGOING),
            True,
        ),
    ]
    for port, early in ((implicit, False), (upgraded, True)):
        if port is None:
            continue
        for what, payload, passes in (
            ("an answer", hello, True),
            ("an alert", b"\x15\x03\x01\x00\x02\x02\x46", True),
            ("an SSL 2.0 answer", b"\x80\x65\x04" + middle, True),
            ("one octet of an answer", b"\x15", True),
            ("the middle of a record", middle, early),
            ("application data", bulk, False),
        ):
            wire = _ethernet(_ipv4_packet(_tcp_segment(port, other, payload)))
            known.append((f"{what} of port {port}", wire, wired, passes or whole))
    return known


def _known_datagrams(filter_: Filter) -> list[Known]:
    """Return datagrams in words and octets, with their verdict."""
    wired = Metadata(ARPHRD_ETHER)
    known: list[Known] = []
    for what, source, destination, passes in (
        ("a DHCP client's", 68, 67, filter_.passive),
        ("a DHCP server's", 67, 68, filter_.passive),
        ("a DHCPv6 client's", 546, 547, filter_.passive),
        ("an mDNS answer", 5353, 50_000, filter_.passive),
        ("a NetBIOS registration", 137, 137, filter_.passive),
        ("a DNS answer", 53, 50_000, filter_.dns),
        ("a DNS query", 50_000, 53, False),
    ):
        datagram = struct.pack("!HHHH", source, destination, 8, 0)
        known += [
            (f"{what} on IPv4", _ethernet(_ipv4_packet(datagram, UDP)), wired, passes),
            (f"{what} on IPv6", _tagged(_ipv6_packet(datagram, UDP), 0x8100), wired, passes),
        ]
    return known


def _ethernet(packet: bytes, kind: int | None = None) -> bytes:
    if kind is None:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return bytes(12) + struct.pack("!H", kind) + packet


def _tagged(packet: bytes, *kinds: int) -> bytes:
    frame = _ethernet(packet)
    tags = b"".join(struct.pack("!HH", kind, 7) for kind in kinds)
    return frame[:12] + tags + frame[12:]


def _tagged_as(payload: bytes, kind: int) -> bytes:
    return _ethernet(struct.pack("!HH", 7, kind) + payload, 0x8100)


def _ipv4_packet(
    payload: bytes, protocol: int = TCP, *, fragment: int = 0, length: int | None = None
) -> bytes:
    length = 20 + len(payload) if length is None else length
    return struct.pack("!BBHHHBBH8x", 0x45, 0, length, 0, fragment, 64, protocol, 0) + payload


def _ipv6_packet(payload: bytes, protocol: int = TCP) -> bytes:
    return struct.pack("!IHBB32x", 6 << 28, len(payload), protocol, 64) + payload


def _tcp_segment(source: int, destination: int, payload: bytes, flags: int = 0x10) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, 1, 1, 5 << 4, flags, 0, 0, 0) + payload


def _listed(ports: list[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports))
