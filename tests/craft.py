"""The one builder of the tests: hellos, records, frames, conversations and captures.

Everything is made octet by octet from the formats' own documents, with the standard library
alone and nothing of the code under test. The same call gives the same octets. From the
inside out::

    hello = client_hello(TLS_1_0, sni="outlook.office365.com")       # one record
    talk = Conversation(server_port=993).open().client(hello, split=(7,))
    talk.server(alert(2, 70)).fin("server")
    wire = pcap(talk.frames())                                       # a capture file

A frame is a pair ``(time_ns, octets)``; a list of them is a capture. Whoever needs a wrong
octet takes the finished bytes and changes it: only lengths and checksums that tests often
bend can be set here.
"""

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypedDict, Unpack

SSL_2_0 = 0x0002
SSL_3_0 = 0x0300
TLS_1_0 = 0x0301
TLS_1_1 = 0x0302
TLS_1_2 = 0x0303
TLS_1_3 = 0x0304

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

FALLBACK_SCSV = 0x5600
SUITES = (0xC014, 0x0035, 0xC013, 0x002F, 0x000A)
RANDOM = bytes(range(32))
SERVER_RANDOM = bytes(range(32, 64))
RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

LINK_NULL = 0
LINK_ETHERNET = 1
LINK_RAW = 101
LINK_LOOP = 108
LINK_SLL = 113
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_SLL2 = 276

IPV4 = 0x0800
ARP = 0x0806
VLAN = 0x8100
QINQ = 0x88A8
IPV6 = 0x86DD

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

START_NS = 1_795_435_200 * 1_000_000_000
"""2026-11-23 12:00:00 UTC."""
MILLISECOND_NS = 1_000_000

CLIENT_MAC = "3c:2a:f4:00:00:50"
SERVER_MAC = "00:00:5e:00:01:01"

Frame = tuple[int, bytes]
Extension = tuple[int, bytes]
ByteOrder = Literal["<", ">"]
Side = Literal["client", "server"]


# ----------------------------------------------------------------- TLS records and messages


def u16s(*values: int) -> bytes:
    """Write 16-bit numbers, big-endian."""
    return struct.pack(f"!{len(values)}H", *values)


def vector(width: int, body: bytes) -> bytes:
    """Put the length of ``body`` before it, in ``width`` octets."""
    return len(body).to_bytes(width, "big") + body


def pieces(payload: bytes, sizes: int | Sequence[int]) -> list[bytes]:
    """Cut ``payload``: into parts of one size, or of the sizes given and then the rest."""
    if isinstance(sizes, int):
        return [payload[at : at + sizes] for at in range(0, len(payload), sizes)]
    parts, at = [], 0
    for size in sizes:
        parts.append(payload[at : at + size])
        at += size
    return [*parts, payload[at:]] if at < len(payload) else parts


def record(body: bytes, version: int = TLS_1_0, content_type: int = HANDSHAKE) -> bytes:
    """Wrap ``body`` as one TLS record (RFC 8446 section 5.1)."""
    return struct.pack("!BHH", content_type, version, len(body)) + body


def records(
    payload: bytes,
    sizes: int | Sequence[int],
    version: int = TLS_1_0,
    content_type: int = HANDSHAKE,
) -> bytes:
    """Spread ``payload`` over records with bodies of ``sizes``; a size of 0 is an empty one."""
    return b"".join(record(part, version, content_type) for part in pieces(payload, sizes))


def handshake(kind: int, body: bytes) -> bytes:
    """Make one handshake message: type, 24-bit length, body (RFC 8446 section 4)."""
    return bytes((kind,)) + vector(3, body)


class HelloFields(TypedDict, total=False):
    """What may be set of a ClientHello, by keyword; what is left out is not in the hello."""

    random: bytes
    session_id: bytes
    compression: bytes
    sni: str | bytes | None
    groups: Sequence[int] | None
    point_formats: Sequence[int] | None
    alpn: Sequence[bytes] | None
    signature_algorithms: Sequence[int] | None
    supported_versions: Sequence[int] | None
    extensions: Sequence[Extension] | None
    fallback_scsv: bool


def client_hello(
    version: int = TLS_1_0,
    suites: Sequence[int] = SUITES,
    *,
    record_version: int = TLS_1_0,
    **fields: Unpack[HelloFields],
) -> bytes:
    """Make a ClientHello in one record; ``version`` is its legacy_version.

    The extensions named by keywords (``sni`` to ``supported_versions``, see HelloFields)
    come first, in that order, then ``extensions`` as they are. Without any there is no
    extensions block at all; an empty ``extensions`` list writes an empty block. For another
    order, or an extension twice, give all by ``extensions`` and the ``*_extension`` functions.
    """
    return record(client_hello_message(version, suites, **fields), record_version)


def client_hello_message(
    version: int = TLS_1_0, suites: Sequence[int] = SUITES, **fields: Unpack[HelloFields]
) -> bytes:
    """Make a ClientHello as a bare handshake message; see ``client_hello``."""
    extensions = fields.get("extensions")
    listed: list[Extension] = []
    if (sni := fields.get("sni")) is not None:
        listed.append(sni_extension(sni))
    if (groups := fields.get("groups")) is not None:
        listed.append(groups_extension(groups))
    if (formats := fields.get("point_formats")) is not None:
        listed.append(point_formats_extension(formats))
    if (alpn := fields.get("alpn")) is not None:
        listed.append(alpn_extension(alpn))
    if (schemes := fields.get("signature_algorithms")) is not None:
        listed.append(signature_algorithms_extension(schemes))
    if (versions := fields.get("supported_versions")) is not None:
        listed.append(supported_versions_extension(versions))
    listed.extend(extensions or ())
    if fields.get("fallback_scsv"):
        suites = (*suites, FALLBACK_SCSV)

    body = u16s(version) + fields.get("random", RANDOM) + vector(1, fields.get("session_id", b""))
    body += vector(2, u16s(*suites)) + vector(1, fields.get("compression", b"\0"))
    if listed or extensions is not None:
        body += extension_block(listed)
    return handshake(1, body)


def tls13_client_hello(
    sni: str | bytes | None = "outlook.office365.com",
    *,
    supported_versions: Sequence[int] = (TLS_1_3, TLS_1_2),
    share: int = 0x001D,
    random: bytes = RANDOM,
    cookie: bytes | None = None,
    record_version: int = TLS_1_0,
    alpn: Sequence[bytes] | None = None,
    extensions: Sequence[Extension] = (),
) -> bytes:
    """Make a plain TLS 1.3 ClientHello that offers TLS 1.2 too, with one key share."""
    own: list[Extension] = [key_share_extension([(share, bytes(32))]), (45, b"\x01\x01")]
    if cookie is not None:
        own.append((44, vector(2, cookie)))
    return client_hello(
        TLS_1_2,
        (0x1302, 0x1301, 0xC030, 0xC02F, 0x00FF),
        record_version=record_version,
        random=random,
        session_id=bytes(range(64, 96)),
        sni=sni,
        groups=(0x001D, 0x0017, 0x0018),
        point_formats=(0,),
        alpn=alpn,
        signature_algorithms=(0x0403, 0x0804, 0x0401),
        supported_versions=supported_versions,
        extensions=[*own, *extensions],
    )


def extension_block(extensions: Iterable[Extension]) -> bytes:
    """Write extensions with the length of all before them."""
    return vector(2, b"".join(u16s(kind) + vector(2, body) for kind, body in extensions))


def sni_extension(host: str | bytes) -> Extension:
    """Make server_name with one host name (RFC 6066 section 3)."""
    name = host.encode() if isinstance(host, str) else host
    return 0, vector(2, b"\0" + vector(2, name))


def groups_extension(groups: Sequence[int]) -> Extension:
    """Make supported_groups (RFC 8446 section 4.2.7)."""
    return 10, vector(2, u16s(*groups))


def point_formats_extension(formats: Sequence[int]) -> Extension:
    """Make ec_point_formats (RFC 8422 section 5.1.2)."""
    return 11, vector(1, bytes(formats))


def signature_algorithms_extension(schemes: Sequence[int]) -> Extension:
    """Make signature_algorithms (RFC 8446 section 4.2.3)."""
    return 13, vector(2, u16s(*schemes))


def alpn_extension(protocols: Sequence[bytes]) -> Extension:
    """Make application_layer_protocol_negotiation (RFC 7301 section 3.1)."""
    return 16, vector(2, b"".join(vector(1, name) for name in protocols))


def supported_versions_extension(versions: Sequence[int]) -> Extension:
    """Make a client's supported_versions (RFC 8446 section 4.2.1)."""
    return 43, vector(1, u16s(*versions))


def key_share_extension(shares: Sequence[tuple[int, bytes]]) -> Extension:
    """Make a client's key_share of (group, key) pairs (RFC 8446 section 4.2.8)."""
    return 51, vector(2, b"".join(u16s(group) + vector(2, key) for group, key in shares))


def padding_extension(length: int) -> Extension:
    """Make padding with ``length`` zeros (RFC 7685)."""
    return 21, bytes(length)


def server_hello_message(
    version: int = TLS_1_0,
    suite: int = 0x0035,
    *,
    random: bytes = SERVER_RANDOM,
    session_id: bytes = b"",
    alpn: bytes | None = None,
    selected_version: int | None = None,
    extensions: Sequence[Extension] | None = None,
) -> bytes:
    """Make a ServerHello as a bare handshake message; ``version`` is its legacy_version."""
    listed: list[Extension] = []
    if selected_version is not None:
        listed.append((43, u16s(selected_version)))
    if alpn is not None:
        listed.append(alpn_extension([alpn]))
    listed.extend(extensions or ())
    body = u16s(version) + random + vector(1, session_id) + u16s(suite) + b"\0"
    if listed or extensions is not None:
        body += extension_block(listed)
    return handshake(2, body)


def server_hello(
    version: int = TLS_1_0,
    suite: int = 0x0035,
    *,
    record_version: int | None = None,
    random: bytes = SERVER_RANDOM,
    session_id: bytes = b"",
    alpn: bytes | None = None,
    selected_version: int | None = None,
    extensions: Sequence[Extension] | None = None,
) -> bytes:
    """Make a ServerHello in one record, by default of the version the hello names."""
    message = server_hello_message(
        version,
        suite,
        random=random,
        session_id=session_id,
        alpn=alpn,
        selected_version=selected_version,
        extensions=extensions,
    )
    return record(message, version if record_version is None else record_version)


def tls13_server_hello(suite: int = 0x1302, group: int = 0x001D) -> bytes:
    """Make a ServerHello that agrees on TLS 1.3, in one record."""
    share = (51, u16s(group) + vector(2, bytes(32)))
    session_id = bytes(range(64, 96))
    return server_hello(
        TLS_1_2, suite, session_id=session_id, selected_version=TLS_1_3, extensions=[share]
    )


def hello_retry_request(group: int = 0x0017, suite: int = 0x1302, cookie: bytes = b"") -> bytes:
    """Make a HelloRetryRequest that asks for a key share of ``group``, in one record."""
    asked: list[Extension] = [(51, u16s(group))]
    if cookie:
        asked.append((44, vector(2, cookie)))
    session_id = bytes(range(64, 96))
    return server_hello(
        TLS_1_2,
        suite,
        random=RETRY_RANDOM,
        session_id=session_id,
        selected_version=TLS_1_3,
        extensions=asked,
    )


def certificate_flight(version: int = TLS_1_0, length: int = 900) -> bytes:
    """Make Certificate (opaque octets) and ServerHelloDone in one record."""
    certificate = handshake(11, vector(3, vector(3, bytes(length))))
    return record(certificate + handshake(14, b""), version)


def client_key_exchange(version: int = TLS_1_0, length: int = 256) -> bytes:
    """Make a ClientKeyExchange with an opaque key, in one record."""
    return record(handshake(16, vector(2, bytes(length))), version)


def change_cipher_spec(version: int = TLS_1_0) -> bytes:
    """Make a ChangeCipherSpec record."""
    return record(b"\x01", version, CHANGE_CIPHER_SPEC)


def finished(version: int = TLS_1_0, length: int = 48) -> bytes:
    """Make an encrypted Finished: a handshake record with nothing readable in it."""
    return record(b"\xe5" * length, version)


def application_data(length: int = 64, version: int = TLS_1_0) -> bytes:
    """Make a record of encrypted application data."""
    return record(b"\xad" * length, version, APPLICATION_DATA)


def alert(level: int = 2, description: int = 70, record_version: int = TLS_1_0) -> bytes:
    """Make an alert in clear (RFC 8446 section 6)."""
    return record(bytes((level, description)), record_version, ALERT)


def sslv2_client_hello(
    version: int = TLS_1_0,
    specs: Sequence[int] = (0x000004, 0x000005, 0x00002F, 0x000035, 0x010080, 0x0700C0),
    challenge: bytes = RANDOM,
    session_id: bytes = b"",
) -> bytes:
    """Make a hello in SSL 2.0's format; ``specs`` are 24-bit (RFC 5246 appendix E.2)."""
    listed = b"".join(spec.to_bytes(3, "big") for spec in specs)
    body = b"\x01" + u16s(version, len(listed), len(session_id), len(challenge))
    body += listed + session_id + challenge
    return u16s(0x8000 | len(body)) + body


def sslv2_server_hello(specs: Sequence[int] = (0x010080,), certificate: bytes = bytes(64)) -> bytes:
    """Make SSL 2.0's SERVER-HELLO, for a client that asked for SSL 2.0."""
    listed = b"".join(spec.to_bytes(3, "big") for spec in specs)
    connection_id = RANDOM[:16]
    body = b"\x04\x00\x01" + u16s(SSL_2_0, len(certificate), len(listed), len(connection_id))
    body += certificate + listed + connection_id
    return u16s(0x8000 | len(body)) + body


# ------------------------------------------------------------------------------ link layer


def mac(text: str) -> bytes:
    """Read a MAC address with colons."""
    return bytes.fromhex(text.replace(":", ""))


def address(text: str) -> bytes:
    """Read an IPv4 or IPv6 address."""
    return ipaddress.ip_address(text).packed


def ethertype(packet: bytes) -> int:
    """Tell IPv4 from IPv6 by the packet's first four bits."""
    return IPV6 if packet[:1] and packet[0] >> 4 == 6 else IPV4


def ethernet(
    packet: bytes,
    source: str = CLIENT_MAC,
    destination: str = SERVER_MAC,
    *,
    kind: int | None = None,
    vlans: Sequence[int | tuple[int, int]] = (),
) -> bytes:
    """Put an Ethernet header before ``packet``, padded to 60 octets as a sender does.

    ``vlans`` are tags from the outside in: a VLAN id (802.1Q), or (TPID, TCI).
    """
    frame = mac(destination) + mac(source)
    for tag in vlans:
        frame += u16s(*tag) if isinstance(tag, tuple) else u16s(VLAN, tag)
    frame += u16s(ethertype(packet) if kind is None else kind) + packet
    return frame.ljust(60, b"\0")


def sll(packet: bytes, source: str = CLIENT_MAC, packet_type: int = 0) -> bytes:
    """Put Linux's cooked header, version 1, before ``packet`` (LINKTYPE_LINUX_SLL)."""
    return u16s(packet_type, 1, 6) + mac(source) + b"\0\0" + u16s(ethertype(packet)) + packet


def sll2(packet: bytes, source: str = CLIENT_MAC, packet_type: int = 0) -> bytes:
    """Put Linux's cooked header, version 2, before ``packet`` (LINKTYPE_LINUX_SLL2)."""
    head = struct.pack("!HHIHBB", ethertype(packet), 0, 2, 1, packet_type, 6)
    return head + mac(source) + b"\0\0" + packet


def null(packet: bytes, byte_order: ByteOrder = "<", ipv6_family: int = 30) -> bytes:
    """Put BSD's loopback header before ``packet``: big-endian is LINKTYPE_LOOP's."""
    family = ipv6_family if ethertype(packet) == IPV6 else 2
    return struct.pack(byte_order + "I", family) + packet


def link(
    link_type: int,
    packet: bytes,
    source: str = CLIENT_MAC,
    destination: str = SERVER_MAC,
    vlans: Sequence[int | tuple[int, int]] = (),
) -> bytes:
    """Put the header of ``link_type`` before an IP packet."""
    if link_type == LINK_ETHERNET:
        return ethernet(packet, source, destination, vlans=vlans)
    if link_type == LINK_SLL:
        return sll(packet, source)
    if link_type == LINK_SLL2:
        return sll2(packet, source)
    if link_type == LINK_NULL:
        return null(packet)
    if link_type == LINK_LOOP:
        return null(packet, ">")
    if link_type in (LINK_RAW, LINK_IPV4, LINK_IPV6):
        return packet
    raise ValueError(f"no builder for link type {link_type}")


def arp_request(source: str, source_mac: str, target: str) -> bytes:
    """Make a broadcast frame that asks who has ``target`` (RFC 826)."""
    body = u16s(1, IPV4) + b"\x06\x04" + u16s(1)
    body += mac(source_mac) + address(source) + bytes(6) + address(target)
    return ethernet(body, source_mac, "ff:ff:ff:ff:ff:ff", kind=ARP)


# -------------------------------------------------------------------------------------- IP


def checksum(wire: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    if len(wire) % 2:
        wire += b"\0"
    total: int = sum(struct.unpack(f"!{len(wire) // 2}H", wire))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(
    source: str,
    destination: str,
    payload: bytes,
    *,
    protocol: int = TCP,
    ttl: int = 64,
    identification: int = 0,
    fragment: int = 0x4000,
    options: bytes = b"",
    total_length: int | None = None,
) -> bytes:
    """Make an IPv4 packet (RFC 791).

    ``fragment`` holds flags and offset: 0x4000 is "don't fragment", 0x2000 "more follow",
    the low 13 bits count eights of octets. ``total_length`` 0 is what a NIC's offload shows.
    """
    options = options.ljust(-(-len(options) // 4) * 4, b"\0")
    size = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | size // 4,
        0,
        size + len(payload) if total_length is None else total_length,
        identification,
        fragment,
        ttl,
        protocol,
        0,
        address(source),
        address(destination),
    )
    head += options
    return head[:10] + u16s(checksum(head)) + head[12:] + payload


def ipv6(
    source: str,
    destination: str,
    payload: bytes,
    *,
    protocol: int = TCP,
    hop_limit: int = 64,
    headers: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """Make an IPv6 packet (RFC 8200).

    ``headers`` are extension headers from the outside in: (type, what follows their next
    header octet), the lengths in them written by the caller; ``hop_by_hop`` and
    ``ipv6_fragment`` make two of them.
    """
    kinds = [kind for kind, _ in headers] + [protocol]
    chain = b"".join(
        bytes((following,)) + body for following, (_, body) in zip(kinds[1:], headers, strict=True)
    )
    head = struct.pack("!IHBB", 6 << 28, len(chain) + len(payload), kinds[0], hop_limit)
    return head + address(source) + address(destination) + chain + payload


def hop_by_hop(eights: int = 1, kind: int = 0) -> tuple[int, bytes]:
    """Make a padded options header of ``eights`` x 8 octets: 0 hop-by-hop, 60 destination."""
    padding = eights * 8 - 4
    return kind, bytes((eights - 1, 1, padding)) + bytes(padding)


def ipv6_fragment(offset: int, more: bool, identification: int = 1) -> tuple[int, bytes]:
    """Make a fragment header; ``offset`` in octets, a multiple of eight."""
    return 44, struct.pack("!BHI", 0, offset | more, identification)


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """Make what TCP and UDP checksums cover besides themselves."""
    both = address(source) + address(destination)
    if len(both) == 8:
        return both + struct.pack("!HH", protocol, length)
    return both + struct.pack("!II", length, protocol)


def tcp(
    source: str,
    destination: str,
    source_port: int,
    destination_port: int,
    payload: bytes = b"",
    *,
    seq: int = 1,
    ack: int = 1,
    flags: int = PSH | ACK,
    window: int = 64240,
    options: bytes = b"",
    good_checksum: bool = True,
) -> bytes:
    """Make a TCP segment (RFC 9293); a bad checksum is what offload leaves in a capture."""
    options = options.ljust(-(-len(options) // 4) * 4, b"\0")
    head = struct.pack(
        "!HHIIBBHHH",
        source_port,
        destination_port,
        seq & 0xFFFFFFFF,
        ack & 0xFFFFFFFF if flags & ACK else 0,
        (20 + len(options)) // 4 << 4,
        flags,
        window,
        0,
        0,
    )
    segment = head + options + payload
    pseudo = pseudo_header(source, destination, TCP, len(segment))
    value = checksum(pseudo + segment)
    if not good_checksum:
        value ^= 0x5555
    return segment[:16] + u16s(value) + segment[18:]


def udp(
    source: str, destination: str, source_port: int, destination_port: int, payload: bytes
) -> bytes:
    """Make a UDP datagram (RFC 768)."""
    length = 8 + len(payload)
    head = u16s(source_port, destination_port, length)
    pseudo = pseudo_header(source, destination, UDP, length)
    value = checksum(pseudo + head + b"\0\0" + payload) or 0xFFFF
    return head + u16s(value) + payload


def icmp_echo(
    identifier: int, number: int, payload: bytes = bytes(32), reply: bool = False
) -> bytes:
    """Make an ICMP echo message for IPv4 (RFC 792)."""
    rest = u16s(identifier, number) + payload
    head = bytes((0 if reply else 8, 0))
    return head + u16s(checksum(head + b"\0\0" + rest)) + rest


def ip(source: str, destination: str, payload: bytes, protocol: int = TCP, ttl: int = 64) -> bytes:
    """Make an IPv4 or IPv6 packet, as the addresses say."""
    if ":" in source:
        return ipv6(source, destination, payload, protocol=protocol, hop_limit=ttl)
    return ipv4(source, destination, payload, protocol=protocol, ttl=ttl)


SYN_OPTIONS = bytes.fromhex("020405b4 01010402 01030307")
"""MSS 1460, SACK permitted, window scale 7."""


# ------------------------------------------------------------------------- a conversation


@dataclass(frozen=True)
class Segment:
    """One TCP segment of a conversation; ``offset`` counts octets of its side's stream.

    The SYN stands at -1, the first octet of payload at 0.
    """

    time_ns: int
    side: Side
    flags: int
    offset: int
    acknowledged: int
    payload: bytes = b""
    options: bytes = b""
    ttl: int | None = None


class Conversation:
    """One TCP conversation written as a script; every step adds segments and returns self.

    ``segments`` is a plain list: a test may cut, swap or double what no step offers.
    ``frames`` renders it. Each segment is ``gap_ns`` later than the one before.
    """

    def __init__(
        self,
        client: str = "10.0.0.50",
        server: str = "52.96.0.10",
        *,
        client_port: int = 50123,
        server_port: int = 993,
        client_mac: str = CLIENT_MAC,
        server_mac: str = SERVER_MAC,
        vlans: Sequence[int | tuple[int, int]] = (),
        link_type: int = LINK_ETHERNET,
        time_ns: int = START_NS,
        gap_ns: int = MILLISECOND_NS,
        client_isn: int = 1_000_000,
        server_isn: int = 2_000_000,
        mss: int = 1460,
        client_ttl: int = 64,
        server_ttl: int = 64,
        headers: Sequence[tuple[int, bytes]] = (),
        good_checksum: bool = True,
    ) -> None:
        """Name both ends; ``headers`` are IPv6 extension headers of every packet."""
        self.client_address, self.server_address = client, server
        self.client_port, self.server_port = client_port, server_port
        self.client_mac, self.server_mac = client_mac, server_mac
        self.vlans, self.link_type = tuple(vlans), link_type
        self.time_ns, self.gap_ns = time_ns, gap_ns
        self.client_isn, self.server_isn = client_isn, server_isn
        self.mss = mss
        self.client_ttl, self.server_ttl = client_ttl, server_ttl
        self.headers = tuple(headers)
        self.good_checksum = good_checksum
        self.segments: list[Segment] = []
        self._next: dict[Side, int] = {"client": 0, "server": 0}

    def open(self) -> Self:
        """Add the three segments that open a connection."""
        return self.syn().syn_ack().ack("client")

    def syn(self) -> Self:
        """Add the client's SYN."""
        return self.segment("client", flags=SYN, offset=-1, options=SYN_OPTIONS)

    def syn_ack(self) -> Self:
        """Add the server's SYN-ACK."""
        return self.segment("server", flags=SYN | ACK, offset=-1, options=SYN_OPTIONS)

    def client(
        self,
        payload: bytes,
        *,
        split: int | Sequence[int] | None = None,
        order: Sequence[int] | None = None,
    ) -> Self:
        """Add octets of the client.

        ``split`` gives the sizes of the segments (see ``pieces``), by default the MSS.
        ``order`` tells which of them go when: one that is left out is lost before the
        capture, one named twice is seen twice.
        """
        return self._send("client", payload, split, order)

    def server(
        self,
        payload: bytes,
        *,
        split: int | Sequence[int] | None = None,
        order: Sequence[int] | None = None,
    ) -> Self:
        """Add octets of the server, as ``client`` does."""
        return self._send("server", payload, split, order)

    def ack(self, side: Side) -> Self:
        """Add a segment that only acknowledges everything sent to ``side``."""
        return self.segment(side, flags=ACK)

    def fin(self, side: Side) -> Self:
        """Close one direction."""
        self.segment(side, flags=FIN | ACK)
        self._next[side] += 1
        return self

    def rst(self, side: Side, ttl: int | None = None) -> Self:
        """Break the connection off; another ``ttl`` is a device between the two."""
        return self.segment(side, flags=RST | ACK, ttl=ttl)

    def wait(self, seconds: float) -> Self:
        """Let time pass before the next segment."""
        self.time_ns += int(seconds * 1_000_000_000)
        return self

    def lose(self, side: Side, octets: int) -> Self:
        """Let ``side`` send octets that the capture never sees."""
        self._next[side] += octets
        return self

    def segment(
        self,
        side: Side,
        payload: bytes = b"",
        *,
        flags: int = PSH | ACK,
        offset: int | None = None,
        options: bytes = b"",
        ttl: int | None = None,
    ) -> Self:
        """Add one segment; without ``offset`` at the end of what the side has sent.

        With an offset it is a repetition: the side's next octet stays where it is, unless
        the payload reaches beyond.
        """
        at = self._next[side] if offset is None else offset
        other: Side = "server" if side == "client" else "client"
        self.segments.append(
            Segment(self.time_ns, side, flags, at, self._next[other], payload, options, ttl)
        )
        self._next[side] = max(self._next[side], at + len(payload))
        self.time_ns += self.gap_ns
        return self

    def _send(
        self,
        side: Side,
        payload: bytes,
        split: int | Sequence[int] | None,
        order: Sequence[int] | None,
    ) -> Self:
        start, parts = self._next[side], pieces(payload, self.mss if split is None else split)
        offsets = [start + sum(len(part) for part in parts[:i]) for i in range(len(parts))]
        for i in range(len(parts)) if order is None else order:
            self.segment(side, parts[i], offset=offsets[i])
        self._next[side] = start + len(payload)
        return self

    def frames(self, *sides: Side) -> list[Frame]:
        """Render the frames; with ``sides`` only theirs, as a one-sided capture has them."""
        wanted = sides or ("client", "server")
        return [(s.time_ns, self.frame(s)) for s in self.segments if s.side in wanted]

    def frame(self, segment: Segment) -> bytes:
        """Render one segment with all its headers."""
        ends = [
            (self.client_address, self.client_port, self.client_mac, self.client_isn),
            (self.server_address, self.server_port, self.server_mac, self.server_isn),
        ]
        ttl = self.client_ttl
        if segment.side == "server":
            ends.reverse()
            ttl = self.server_ttl
        (source, source_port, source_mac, isn), (destination, port, destination_mac, peer) = ends
        wire = tcp(
            source,
            destination,
            source_port,
            port,
            segment.payload,
            seq=isn + 1 + segment.offset,
            ack=peer + 1 + segment.acknowledged,
            flags=segment.flags,
            options=segment.options,
            good_checksum=self.good_checksum,
        )
        ttl = ttl if segment.ttl is None else segment.ttl
        if ":" in source:
            packet = ipv6(source, destination, wire, hop_limit=ttl, headers=self.headers)
        else:
            packet = ipv4(source, destination, wire, ttl=ttl)
        return link(self.link_type, packet, source_mac, destination_mac, self.vlans)


def merged(*captures: Iterable[Frame]) -> list[Frame]:
    """Interleave captures by time; at equal times the earlier argument goes first."""
    return sorted((frame for capture in captures for frame in capture), key=lambda frame: frame[0])


def mirrored(frames: Iterable[Frame], delay_ns: int = 2_000) -> list[Frame]:
    """Return every frame twice, as two mirrored ports show it."""
    both = [
        copy
        for time_ns, octets in frames
        for copy in ((time_ns, octets), (time_ns + delay_ns, octets))
    ]
    return sorted(both, key=lambda frame: frame[0])


# -------------------------------------------------------------------------- capture files


def pcap(
    frames: Iterable[Frame],
    *,
    link_type: int = LINK_ETHERNET,
    byte_order: ByteOrder = "<",
    nanoseconds: bool = False,
    snaplen: int = 262_144,
    more: bytes = b"",
) -> bytes:
    """Write a pcap file (draft-ietf-opsawg-pcap); frames are cut at ``snaplen``.

    With ``more``, eight octets, the records are the longer ones of Kuznetzov's files, or with
    nanoseconds of netsniff-ng's.
    """
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    if more:
        magic = 0xA1E2CB12 if nanoseconds else 0xA1B2CD34
    unit = 1 if nanoseconds else 1000
    parts = [struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)]
    for time_ns, octets in frames:
        seconds, fraction = divmod(time_ns, 1_000_000_000)
        kept = octets[:snaplen]
        head = struct.pack(byte_order + "IIII", seconds, fraction // unit, len(kept), len(octets))
        parts += [head, more, kept]
    return b"".join(parts)


def snoop(frames: Iterable[Frame], *, link: int = 4, drops: int = 0, version: int = 2) -> bytes:
    """Write a snoop file (RFC 1761); ``drops`` are lost before each frame."""
    parts = [struct.pack("!8sII", b"snoop", version, link)]
    for number, (time_ns, octets) in enumerate(frames, 1):
        seconds, fraction = divmod(time_ns, 1_000_000_000)
        filled = padded(octets)
        lengths = (len(octets), len(octets), 24 + len(filled), number * drops)
        parts += [struct.pack("!6I", *lengths, seconds, fraction // 1000), filled]
    return b"".join(parts)


class Section:
    """One pcapng section (draft-ietf-opsawg-pcapng); sections joined make a file.

    Steps return self, ``bytes(section)`` is what was written so far::

        wire = bytes(Section(">").interface(tsresol=9).packets(frames))
    """

    def __init__(
        self,
        byte_order: ByteOrder = "<",
        options: Sequence[tuple[int, bytes]] = (),
        section_length: int = -1,
    ) -> None:
        """Begin the section; -1 is "length unknown", as most writers say."""
        self.byte_order: ByteOrder = byte_order
        self._interfaces: list[tuple[int, int, int]] = []
        self._parts: list[bytes] = []
        head = struct.pack(byte_order + "IHHq", 0x1A2B3C4D, 1, 0, section_length)
        self.block(0x0A0D0D0A, head, options)

    def __bytes__(self) -> bytes:
        """Return the section as written so far."""
        return b"".join(self._parts)

    def interface(
        self,
        link_type: int = LINK_ETHERNET,
        *,
        snaplen: int = 0,
        tsresol: int | None = None,
        tsoffset: int | None = None,
        name: str | None = None,
        options: Sequence[tuple[int, bytes]] = (),
    ) -> Self:
        """Add an interface description; ``tsresol`` is the raw octet, ``tsoffset`` seconds."""
        own: list[tuple[int, bytes]] = []
        if name is not None:
            own.append((2, name.encode()))
        if tsresol is not None:
            own.append((9, bytes((tsresol,))))
        if tsoffset is not None:
            own.append((14, struct.pack(self.byte_order + "q", tsoffset)))
        resolution = 6 if tsresol is None else tsresol
        units = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        self._interfaces.append((units, tsoffset or 0, snaplen))
        body = struct.pack(self.byte_order + "HHI", link_type, 0, snaplen)
        return self.block(1, body, [*own, *options])

    def packet(
        self,
        time_ns: int,
        octets: bytes,
        *,
        interface: int = 0,
        options: Sequence[tuple[int, bytes]] = (),
    ) -> Self:
        """Add an enhanced packet, its time in the interface's own unit and offset."""
        snaplen = self._interfaces[interface][2]
        kept = octets[:snaplen] if snaplen else octets
        body = struct.pack(
            self.byte_order + "IIIII",
            interface,
            *self._ticks(time_ns, interface),
            len(kept),
            len(octets),
        )
        return self.block(6, body + padded(kept), options)

    def packets(self, frames: Iterable[Frame], interface: int = 0) -> Self:
        """Add many enhanced packets."""
        for time_ns, octets in frames:
            self.packet(time_ns, octets, interface=interface)
        return self

    def simple_packet(self, octets: bytes) -> Self:
        """Add a simple packet: of interface 0, without a time."""
        snaplen = self._interfaces[0][2]
        kept = octets[:snaplen] if snaplen else octets
        return self.block(3, struct.pack(self.byte_order + "I", len(octets)) + padded(kept))

    def obsolete_packet(
        self, time_ns: int, octets: bytes, interface: int = 0, drops: int = 0xFFFF
    ) -> Self:
        """Add a packet block as old writers did (type 2); drops of all ones are not known."""
        body = struct.pack(
            self.byte_order + "HHIIII",
            interface,
            drops,
            *self._ticks(time_ns, interface),
            len(octets),
            len(octets),
        )
        return self.block(2, body + padded(octets))

    def names(self, table: Iterable[tuple[str, str]]) -> Self:
        """Add a name resolution block of (address, name) pairs."""
        body = b""
        for host, name in table:
            entry = address(host) + name.encode() + b"\0"
            kind = 2 if ":" in host else 1
            body += struct.pack(self.byte_order + "HH", kind, len(entry)) + padded(entry)
        return self.block(4, body + bytes(4))

    def statistics(
        self,
        time_ns: int,
        received: int,
        dropped: int,
        interface: int = 0,
        system_dropped: int = 0,
    ) -> Self:
        """Add interface statistics: frames received and dropped so far, by whom."""
        body = struct.pack(self.byte_order + "III", interface, *self._ticks(time_ns, interface))
        counters = [
            (code, struct.pack(self.byte_order + "Q", value))
            for code, value in ((4, received), (5, dropped), (7, system_dropped))
        ]
        return self.block(5, body, counters)

    def custom(self, data: bytes = b"hello", enterprise: int = 32473, copy: bool = True) -> Self:
        """Add a custom block, by default under the enterprise number kept for examples."""
        kind = 0x00000BAD if copy else 0x40000BAD
        return self.block(kind, struct.pack(self.byte_order + "I", enterprise) + padded(data))

    def block(self, kind: int, body: bytes, options: Sequence[tuple[int, bytes]] = ()) -> Self:
        """Add any block: type, length, padded body, options if there are any, length again."""
        listed = b"".join(
            struct.pack(self.byte_order + "HH", code, len(value)) + padded(value)
            for code, value in options
        )
        body = padded(body) + (listed + bytes(4) if options else b"")
        length = struct.pack(self.byte_order + "I", 12 + len(body))
        head = struct.pack(self.byte_order + "I", kind)
        self._parts.append(head + length + body + length)
        return self

    def _ticks(self, time_ns: int, interface: int) -> tuple[int, int]:
        units, offset, _ = self._interfaces[interface]
        ticks = (time_ns - offset * 1_000_000_000) * units // 1_000_000_000
        return ticks >> 32 & 0xFFFFFFFF, ticks & 0xFFFFFFFF


def pcapng(
    frames: Iterable[Frame],
    *,
    link_type: int = LINK_ETHERNET,
    byte_order: ByteOrder = "<",
    tsresol: int | None = None,
    tsoffset: int | None = None,
    snaplen: int = 0,
) -> bytes:
    """Write a pcapng file of one section and one interface."""
    section = Section(byte_order)
    section.interface(link_type, snaplen=snaplen, tsresol=tsresol, tsoffset=tsoffset)
    return bytes(section.packets(frames))


def padded(octets: bytes) -> bytes:
    """Fill up to a multiple of four octets, as pcapng wants it."""
    return octets + bytes(-len(octets) % 4)
