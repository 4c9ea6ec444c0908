"""What carries frames or packets inside IP.

    flags, version  2     GRE (RFC 2784, 2890): C 8000, R 4000, K 2000, S 1000, version 0007
    type            2
    checksum ...    4     if C or R
    key             4     if K
    sequence        4     if S; then, in version 1 (RFC 2637), acknowledgement 4 if 0080

    version 4, VLAN 12, COS 3, En 2, T 1, session 10          ERSPAN II: GRE 88BE with S
    reserved 12, index 20                                     (without S, type I: no header)

    version 4, VLAN 12, COS 3, BSO 2, T 1, session 10         ERSPAN III: GRE 22EB
    timestamp 32
    SGT 16, P 1, frame type 5, hardware 6, D 1, Gra 2, O 1    O: eight octets more

    flags 1 (08), reserved 3, VNI 3, reserved 1               VXLAN (RFC 7348), UDP 4789, 8472
    flags 1, reserved 2, next protocol 1, VNI 3, reserved 1   VXLAN-GPE, UDP 4790
    version 2 option length 6, flags 1, type 2, VNI 3, 1      GENEVE (RFC 8926), UDP 6081
    flags 1 (3x), type 1 (FF), length 2, TEID 4, [4]          GTP-U (3GPP TS 29.281), UDP 2152
    version 1, type 1, encapsulation 2, tags                  TZSP, UDP 37008

A port number is a guess: the header has to agree, or it is plain UDP.
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import (
    DATAGRAM,
    ETHERIP,
    ETHERNET,
    GRE,
    IP,
    IP_IN_IP,
    IPV4,
    IPV6,
    MALFORMED,
    MPLS,
    OTHER,
    PORT_GENEVE,
    PORT_GTP_U,
    PORT_TZSP,
    PORT_VXLAN,
    PORT_VXLAN_GPE,
    PORT_VXLAN_LINUX,
    PPP,
    TRUNCATED,
    TUNNEL,
    TUNNEL_ERSPAN,
    TUNNEL_ETHERIP,
    TUNNEL_GENEVE,
    TUNNEL_GRE,
    TUNNEL_GTP_U,
    TUNNEL_IP_IN_IP,
    TUNNEL_TZSP,
    TUNNEL_VXLAN,
)

NO_ID = -1
MOST_TAGS = 32


def read(wire: memoryview, frame: Frame) -> int:
    """Read the tunnel header that ``frame.next`` names, and name what it carries.

    FOUND, or NEED_MORE, NO_MATCH with ``undecoded`` set.
    """
    layer = frame.next
    if layer == IP_IN_IP:
        frame.enter_tunnel(TUNNEL_IP_IN_IP, NO_ID)
        frame.next = IP
        return FOUND
    if layer == GRE:
        return _gre(wire, frame)
    if layer == ETHERIP:
        if frame.end - frame.at < 2:
            return _cut(frame)
        if wire[frame.at] >> 4 != 3:
            frame.undecoded = MALFORMED
            return NO_MATCH
        return _carries(frame, TUNNEL_ETHERIP, NO_ID, 2, ETHERNET)
    return _udp(wire, frame)


def _gre(wire: memoryview, frame: Frame) -> int:
    at = frame.at
    if frame.end - at < 4:
        return _cut(frame)
    flags = wire[at] << 8 | wire[at + 1]
    kind = wire[at + 2] << 8 | wire[at + 3]
    version = flags & 7
    size = 4
    if flags & 0xC000:
        size += 4
    tunnel_id = NO_ID
    if flags & 0x2000:
        if frame.end - at < size + 4:
            return _cut(frame)
        tunnel_id = _number(wire, at + size)
        size += 4
    if flags & 0x1000:
        size += 4
    if version == 1 and flags & 0x0080:
        size += 4
    # Source routes (R) have not been seen since RFC 1701 was replaced.
    if flags & 0x4000 or version > 1:
        frame.undecoded = TUNNEL
        return NO_MATCH
    if frame.end - at < size:
        return _cut(frame)
    if kind == 0x88BE:
        if not flags & 0x1000:
            return _carries(frame, TUNNEL_ERSPAN, NO_ID, size, ETHERNET)
        return _erspan(wire, frame, at + size, 8)
    if kind == 0x22EB:
        return _erspan(wire, frame, at + size, 12)
    if kind == 0x0800:
        return _carries(frame, TUNNEL_GRE, tunnel_id, size, IPV4)
    if kind == 0x86DD:
        return _carries(frame, TUNNEL_GRE, tunnel_id, size, IPV6)
    if kind == 0x6558 or kind == 0x6400:
        return _carries(frame, TUNNEL_GRE, tunnel_id, size, ETHERNET)
    if kind == 0x8847 or kind == 0x8848:
        return _carries(frame, TUNNEL_GRE, tunnel_id, size, MPLS)
    if kind == 0x880B and version == 1:
        # PPTP: the key is payload length and call id.
        return _carries(frame, TUNNEL_GRE, tunnel_id & 0xFFFF, size, PPP)
    frame.ethertype = kind
    frame.next = OTHER
    return FOUND


def _erspan(wire: memoryview, frame: Frame, at: int, size: int) -> int:
    if frame.end - at < size:
        return _cut(frame)
    version = wire[at] >> 4
    session = (wire[at + 2] << 8 | wire[at + 3]) & 0x03FF
    following = ETHERNET
    if size == 12:
        word = wire[at + 10] << 8 | wire[at + 11]
        if word & 1:
            size += 8
        if word >> 10 & 0x1F == 2:
            following = IP
    if version != (2 if size >= 12 else 1):
        frame.undecoded = MALFORMED
        return NO_MATCH
    if frame.end - at < size:
        return _cut(frame)
    return _carries(frame, TUNNEL_ERSPAN, session, at - frame.at + size, following)


def _udp(wire: memoryview, frame: Frame) -> int:
    at = frame.at
    have = frame.end - at
    if have < 8:
        frame.next = OTHER
        return FOUND
    port = wire[at + 2] << 8 | wire[at + 3]
    frame.source_port = wire[at] << 8 | wire[at + 1]
    frame.destination_port = port
    frame.next = DATAGRAM
    if port in (PORT_VXLAN, PORT_VXLAN_LINUX):
        if have >= 16 and wire[at + 8] & 0x08 and wire[at + 15] == 0:
            return _carries(frame, TUNNEL_VXLAN, _number(wire, at + 12) >> 8, 16, ETHERNET)
    elif port == PORT_VXLAN_GPE:
        if have >= 16 and wire[at + 8] & 0x08 and wire[at + 15] == 0:
            kind = wire[at + 11] if wire[at + 8] & 0x04 else 3
            if 1 <= kind <= 3:
                return _carries(
                    frame,
                    TUNNEL_VXLAN,
                    _number(wire, at + 12) >> 8,
                    16,
                    ETHERNET if kind == 3 else IP,
                )
    elif port == PORT_GENEVE:
        if have >= 16 and wire[at + 8] & 0xC0 == 0 and wire[at + 15] == 0:
            size = 16 + (wire[at + 8] & 0x3F) * 4
            kind = wire[at + 10] << 8 | wire[at + 11]
            vni = _number(wire, at + 12) >> 8
            if have >= size and kind == 0x6558:
                return _carries(frame, TUNNEL_GENEVE, vni, size, ETHERNET)
            if have >= size and (kind == 0x0800 or kind == 0x86DD):
                return _carries(frame, TUNNEL_GENEVE, vni, size, IP)
            frame.ethertype = kind
    elif port == PORT_GTP_U:
        return _gtp_u(wire, frame, at + 8)
    elif port == PORT_TZSP:
        return _tzsp(wire, frame, at + 8)
    return FOUND


def _gtp_u(wire: memoryview, frame: Frame, at: int) -> int:
    if frame.end - at < 8 or wire[at] & 0xF0 != 0x30 or wire[at + 1] != 0xFF:
        return FOUND
    teid = _number(wire, at + 4)
    size = 8
    if wire[at] & 0x07:
        if frame.end - at < 12:
            return FOUND
        following = wire[at + 11] if wire[at] & 0x04 else 0
        size = 12
        for _ in range(MOST_TAGS):
            if following == 0:
                break
            if frame.end - at < size + 4 or wire[at + size] == 0:
                return FOUND
            length = wire[at + size] * 4
            if frame.end - at < size + length:
                return FOUND
            following = wire[at + size + length - 1]
            size += length
    if frame.end - at <= size or wire[at + size] >> 4 not in (4, 6):
        return FOUND
    return _carries(frame, TUNNEL_GTP_U, teid, at - frame.at + size, IP)


def _tzsp(wire: memoryview, frame: Frame, at: int) -> int:
    if frame.end - at < 5 or wire[at] != 1 or wire[at + 1] > 1:
        return FOUND
    if (wire[at + 2] << 8 | wire[at + 3]) != 1:
        return FOUND
    size = 4
    for _ in range(MOST_TAGS):
        if frame.end - at <= size:
            return FOUND
        tag = wire[at + size]
        size += 1
        if tag == 1:
            return _carries(frame, TUNNEL_TZSP, NO_ID, at - frame.at + size, ETHERNET)
        if tag != 0:
            if frame.end - at <= size:
                return FOUND
            size += 1 + wire[at + size]
    return FOUND


def _carries(frame: Frame, kind: int, tunnel_id: int, size: int, following: int) -> int:
    """Step into the tunnel whose headers take ``size`` octets."""
    frame.enter_tunnel(kind, tunnel_id)
    frame.at += size
    frame.next = following
    return FOUND


def _cut(frame: Frame) -> int:
    frame.undecoded = TRUNCATED if frame.missing else MALFORMED
    return NEED_MORE if frame.missing else NO_MATCH


def _number(wire: memoryview, at: int) -> int:
    return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
