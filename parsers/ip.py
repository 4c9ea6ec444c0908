"""IPv4 (RFC 791 section 3.1) and IPv6 with its extension headers (RFC 8200 sections 3, 4).

version, IHL     1      IHL counts 4 octets, at least 5
TOS              1
total length     2      0: left to the hardware (segmentation offload)
identification   2
flags, offset    2      more fragments 0x2000; offset in units of 8 octets
time to live     1
protocol         1
checksum         2      never looked at: offload leaves it wrong
source           4
destination      4

version ...      4      IPv6
payload length   2      0: a jumbogram, or left to the hardware
next header      1
hop limit        1
source          16
destination     16
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import (
    DEPTH,
    ENCRYPTED,
    ETHERIP,
    FRAGMENTED,
    GRE,
    IP_IN_IP,
    IPV4,
    IPV6,
    MALFORMED,
    MPLS,
    OTHER,
    TCP,
    TRUNCATED,
    UDP,
)

MOST_EXTENSION_HEADERS = 8

PROTOCOL_HOP_BY_HOP = 0
PROTOCOL_IPV4 = 4
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_IPV6 = 41
PROTOCOL_ROUTING = 43
PROTOCOL_FRAGMENT = 44
PROTOCOL_GRE = 47
PROTOCOL_ESP = 50
PROTOCOL_AH = 51
PROTOCOL_OPTIONS = 60
PROTOCOL_ETHERIP = 97
PROTOCOL_MOBILITY = 135
PROTOCOL_MPLS = 137
PROTOCOL_HIP = 139
PROTOCOL_SHIM6 = 140


def read(wire: memoryview, frame: Frame) -> int:
    """Read the IP header at ``frame.at``, whichever version its first nibble says.

    FOUND, or NEED_MORE, NO_MATCH with ``undecoded`` set. Cuts the frame at the packet's own
    length, so that padding and trailers are gone.
    """
    if frame.end - frame.at < 1:
        frame.undecoded = TRUNCATED
        return NEED_MORE
    version = wire[frame.at] >> 4
    if version == 4 and frame.next != IPV6:
        return _read_ipv4(wire, frame)
    if version == 6 and frame.next != IPV4:
        return _read_ipv6(wire, frame)
    frame.undecoded = MALFORMED
    return NO_MATCH


def _read_ipv4(wire: memoryview, frame: Frame) -> int:
    at = frame.at
    have = frame.end - at
    if have < 20:
        frame.undecoded = TRUNCATED
        return NEED_MORE
    header = (wire[at] & 0x0F) * 4
    total = wire[at + 2] << 8 | wire[at + 3]
    if total == 0:
        total = have
    if header < 20 or total < header:
        frame.undecoded = MALFORMED
        return NO_MATCH
    if have < header:
        frame.undecoded = TRUNCATED
        return NEED_MORE
    frame.missing = 0
    if total < have:
        frame.end = at + total
    else:
        frame.missing = total - have
    frame.ip_version = 4
    frame.source = at + 12
    frame.destination = at + 16
    frame.hop_limit = wire[at + 8]
    frame.at = at + header
    frame.protocol = wire[at + 9]
    if (wire[at + 6] << 8 | wire[at + 7]) & 0x3FFF:
        frame.identification = wire[at + 4] << 8 | wire[at + 5]
        return _fragment(
            frame, ((wire[at + 6] & 0x1F) << 8 | wire[at + 7]) * 8, wire[at + 6] & 0x20
        )
    return _upper(frame, frame.protocol)


def _read_ipv6(wire: memoryview, frame: Frame) -> int:
    at = frame.at
    have = frame.end - at
    if have < 40:
        frame.undecoded = TRUNCATED
        return NEED_MORE
    length = wire[at + 4] << 8 | wire[at + 5]
    frame.missing = 0
    if length:
        if 40 + length < have:
            frame.end = at + 40 + length
        else:
            frame.missing = 40 + length - have
    frame.ip_version = 6
    frame.source = at + 8
    frame.destination = at + 24
    frame.hop_limit = wire[at + 7]
    following = wire[at + 6]
    at += 40
    for _ in range(MOST_EXTENSION_HEADERS):
        if following == PROTOCOL_TCP:
            frame.at = at
            return _upper(frame, following)
        if following in (
            PROTOCOL_HOP_BY_HOP,
            PROTOCOL_ROUTING,
            PROTOCOL_OPTIONS,
            PROTOCOL_MOBILITY,
            PROTOCOL_HIP,
            PROTOCOL_SHIM6,
            PROTOCOL_AH,
            PROTOCOL_FRAGMENT,
        ):
            if frame.end - at < 8:
                return _ended(frame)
            if following == PROTOCOL_FRAGMENT:
                offset = wire[at + 2] << 8 | wire[at + 3]
                if offset & 0xFFF9:
                    frame.at = at + 8
                    frame.protocol = wire[at]
                    frame.identification = (
                        wire[at + 4] << 24 | wire[at + 5] << 16 | wire[at + 6] << 8 | wire[at + 7]
                    )
                    return _fragment(frame, offset & 0xFFF8, offset & 1)
                size = 8
            elif following == PROTOCOL_AH:
                size = (wire[at + 1] + 2) * 4
            else:
                size = (wire[at + 1] + 1) * 8
            following = wire[at]
            at += size
            if at > frame.end:
                return _ended(frame)
        else:
            frame.at = at
            return _upper(frame, following)
    frame.undecoded = DEPTH
    return NO_MATCH


def _fragment(frame: Frame, offset: int, more: int) -> int:
    """Note a fragment whose octets start at ``frame.at``, if it may carry a TCP segment."""
    frame.fragment_offset = offset
    frame.fragment_more = more
    if frame.protocol in (
        PROTOCOL_TCP,
        PROTOCOL_UDP,
        PROTOCOL_IPV4,
        PROTOCOL_IPV6,
        PROTOCOL_GRE,
        PROTOCOL_ETHERIP,
    ):
        frame.undecoded = FRAGMENTED
        return NO_MATCH
    frame.next = OTHER
    return FOUND


def _ended(frame: Frame) -> int:
    """Say that a header reaches beyond the packet: cut by the capture, or a lie."""
    if frame.missing:
        frame.undecoded = TRUNCATED
        return NEED_MORE
    frame.undecoded = MALFORMED
    return NO_MATCH


def _upper(frame: Frame, protocol: int) -> int:
    if protocol == PROTOCOL_TCP:
        frame.next = TCP
        return FOUND
    if protocol in (PROTOCOL_IPV4, PROTOCOL_IPV6):
        frame.next = IP_IN_IP
        return FOUND
    if protocol == PROTOCOL_GRE:
        frame.next = GRE
        return FOUND
    if protocol == PROTOCOL_UDP:
        frame.next = UDP
        return FOUND
    if protocol == PROTOCOL_ETHERIP:
        frame.next = ETHERIP
        return FOUND
    if protocol == PROTOCOL_MPLS:
        frame.next = MPLS
        return FOUND
    if protocol == PROTOCOL_ESP:
        frame.undecoded = ENCRYPTED
        return NO_MATCH
    frame.next = OTHER
    return FOUND
