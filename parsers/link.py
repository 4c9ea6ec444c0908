"""Link layers and the shims behind them: what comes before an IP header.

    destination   6     Ethernet II (IEEE 802.3 section 3.1.1)
    source        6
    type          2     below 0x600: an 802.3 length, LLC follows

    priority, id  2     802.1Q tag, behind its type 0x8100, 0x88A8 and kin
    type          2

    packet type   2     Linux cooked, LINKTYPE 113
    ARPHRD type   2
    length        2
    address       8
    protocol      2

    protocol      2     Linux cooked v2, LINKTYPE 276
    reserved      2
    interface     4
    ARPHRD type   2
    packet type   1
    length        1
    address       8

    family        4     NULL (the capturing host's byte order) and LOOP (big-endian)

    version, type 1     PPPoE session (RFC 2516 section 4), behind type 0x8864
    code          1
    session       2
    length        2
    protocol      2     PPP (RFC 1661 section 2); one octet if its lowest bit is set

    label, S, TTL 4     MPLS (RFC 3032 section 2.1), repeated until S is set

    family        1     NFLOG, LINKTYPE 239, then attributes in the host's byte order
    version       1     0
    resource      2
    length        2     of the attribute, these four octets included; padded to 4
    type          2     9: the packet

Sources: the tcpdump group's list of link-layer header types; the sections named above.
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import (
    CISCO_HDLC,
    DEPTH,
    ENCRYPTED,
    ETHERNET,
    ETHERTYPE,
    IP,
    IPV4,
    IPV6,
    LINK_TYPE,
    LINUX_SLL,
    LINUX_SLL2,
    LLC,
    LOOP,
    MALFORMED,
    MPLS,
    NFLOG,
    NOTHING,
    NULL,
    OTHER,
    PPP,
    PPP_WITH_DIRECTION,
    PPPOE,
    TRUNCATED,
)

MOST_LABELS = 16
MOST_ATTRIBUTES = 32


def first_layer(link: int) -> int:
    """Return the layer that a frame of this LINKTYPE starts with; NOTHING: not read."""
    if link == 1:
        return ETHERNET
    if link in (12, 14, 101):
        return IP
    if link == 113:
        return LINUX_SLL
    if link == 276:
        return LINUX_SLL2
    if link == 0:
        return NULL
    if link == 108:
        return LOOP
    if link == 228:
        return IPV4
    if link == 229:
        return IPV6
    if link in (9, 50, 166):
        return PPP
    if link == 204:
        return PPP_WITH_DIRECTION
    if link == 104:
        return CISCO_HDLC
    if link == 239:
        return NFLOG
    if link == 51:
        return PPPOE
    if link == 219:
        return MPLS
    return NOTHING


def read(wire: memoryview, frame: Frame) -> int:
    """Read the link layer or shim that ``frame.next`` names, and name what follows.

    FOUND: the header is read. NEED_MORE, NO_MATCH: the frame ends here, ``undecoded`` says
    why.
    """
    at = frame.at
    have = frame.end - at
    layer = frame.next
    if layer == ETHERNET:
        if have < 14:
            return _cut(frame)
        frame.mac = at + 6
        return _protocol(wire, frame, wire[at + 12] << 8 | wire[at + 13], at + 14)
    if layer == ETHERTYPE:
        if have < 2:
            return _cut(frame)
        return _protocol(wire, frame, wire[at] << 8 | wire[at + 1], at + 2)
    if layer == LINUX_SLL:
        if have < 16:
            return _cut(frame)
        # The address is the sender's; it is a MAC where ARPHRD says Ethernet (1).
        if wire[at + 2] == 0 and wire[at + 3] == 1 and wire[at + 5] == 6:
            frame.mac = at + 6
        return _protocol(wire, frame, wire[at + 14] << 8 | wire[at + 15], at + 16)
    if layer == LINUX_SLL2:
        if have < 20:
            return _cut(frame)
        if wire[at + 8] == 0 and wire[at + 9] == 1 and wire[at + 11] == 6:
            frame.mac = at + 12
        return _protocol(wire, frame, wire[at] << 8 | wire[at + 1], at + 20)
    if layer in (NULL, LOOP):
        if have < 4:
            return _cut(frame)
        # A family is a small number: where its zeros stand tells the byte order.
        frame.at = at + 4
        return _family(frame, wire[at] if wire[at] else wire[at + 3])
    if layer == LLC:
        return _llc(wire, frame)
    if layer == PPP:
        return _ppp(wire, frame)
    if layer == PPPOE:
        if have < 6:
            return _cut(frame)
        if wire[at] != 0x11 or wire[at + 1] != 0:
            frame.next = OTHER
            return FOUND
        size = wire[at + 4] << 8 | wire[at + 5]
        frame.at = at + 6
        if frame.at + size < frame.end:
            frame.end = frame.at + size
        frame.next = PPP
        return FOUND
    if layer == MPLS:
        return _mpls(wire, frame)
    if layer == NFLOG:
        return _nflog(wire, frame)
    if layer == PPP_WITH_DIRECTION:
        return _shim(frame, 1, PPP)
    if layer == CISCO_HDLC:
        return _shim(frame, 2, ETHERTYPE)
    frame.undecoded = LINK_TYPE
    return NO_MATCH


def _protocol(wire: memoryview, frame: Frame, kind: int, after: int) -> int:
    """Name what a type field of value ``kind`` announces; its payload starts at ``after``."""
    frame.at = after
    if kind == 0x0800:
        frame.next = IPV4
    elif kind == 0x86DD:
        frame.next = IPV6
    elif kind == 0x8100 or kind == 0x88A8 or kind == 0x9100 or kind == 0x9200 or kind == 0x9300:
        if frame.end - after < 2:
            return _cut(frame)
        frame.vlan = (wire[after] << 8 | wire[after + 1]) & 0x0FFF
        frame.at = after + 2
        frame.next = ETHERTYPE
    elif kind <= 1500:
        # 802.3: a length, which cuts the padding. Linux cooked: 4 stands for plain LLC.
        if kind != 4 and after + kind < frame.end:
            frame.end = after + kind
        frame.next = LLC
    elif kind == 0x8847 or kind == 0x8848:
        frame.next = MPLS
    elif kind == 0x8864:
        frame.next = PPPOE
    elif kind == 0x8926:
        return _shim(frame, 4, ETHERTYPE)
    elif kind == 0x893F or kind == 0x8909 or kind == 0x8988 or kind == 0x8905:
        return _shim(frame, 6, ETHERTYPE)
    elif kind == 0x88E7:
        return _shim(frame, 4, ETHERNET)
    elif kind == 0x6558:
        frame.next = ETHERNET
    elif kind == 0x88E5:
        frame.undecoded = ENCRYPTED
        return NO_MATCH
    else:
        frame.ethertype = kind
        frame.next = OTHER
    return FOUND


def _shim(frame: Frame, length: int, following: int) -> int:
    """Step over a shim: VN-tag, 802.1BR, Cisco CMD and TTag, 802.1ah."""
    if frame.end - frame.at < length:
        return _cut(frame)
    frame.at += length
    frame.next = following
    return FOUND


def _llc(wire: memoryview, frame: Frame) -> int:
    """LLC with SNAP (RFC 1042): AA AA 03, an OUI of zeros or 0000F8, a type."""
    at = frame.at
    if frame.end - at < 8:
        frame.next = OTHER
        return FOUND
    snap = wire[at] == 0xAA and wire[at + 1] == 0xAA and wire[at + 2] == 0x03
    if not snap or wire[at + 3] != 0 or wire[at + 4] != 0 or wire[at + 5] not in (0, 0xF8):
        frame.next = OTHER
        return FOUND
    frame.at = at + 6
    frame.next = ETHERTYPE
    return FOUND


def _ppp(wire: memoryview, frame: Frame) -> int:
    at = frame.at
    # HDLC framing (RFC 1662 section 3.1): all stations, unnumbered information.
    if frame.end - at >= 2 and wire[at] == 0xFF and wire[at + 1] == 0x03:
        at += 2
    if frame.end - at < 2:
        return _cut(frame)
    if wire[at] & 1:
        kind = wire[at] | 0
        frame.at = at + 1
    else:
        kind = wire[at] << 8 | wire[at + 1]
        frame.at = at + 2
    if kind == 0x0021:
        frame.next = IPV4
    elif kind == 0x0057:
        frame.next = IPV6
    elif kind == 0x0281 or kind == 0x0283:
        frame.next = MPLS
    else:
        frame.next = OTHER
    return FOUND


def _family(frame: Frame, family: int) -> int:
    """Go on behind a BSD address family: 2 is IPv4, 24, 28 and 30 are IPv6, 10 is Linux's."""
    if family == 2:
        frame.next = IPV4
    elif family in (10, 24, 28, 30):
        frame.next = IPV6
    else:
        frame.next = OTHER
    return FOUND


def _mpls(wire: memoryview, frame: Frame) -> int:
    """Step over the labels, then guess from the first nibble (RFC 4928 section 2)."""
    for _ in range(MOST_LABELS):
        at = frame.at
        if frame.end - at < 4:
            return _cut(frame)
        frame.at = at + 4
        if wire[at + 2] & 1:
            break
    else:
        frame.undecoded = DEPTH
        return NO_MATCH
    if frame.end - frame.at < 1:
        return _cut(frame)
    nibble = wire[frame.at] >> 4
    if nibble == 4:
        frame.next = IPV4
    elif nibble == 6:
        frame.next = IPV6
    elif nibble == 0:
        # A pseudowire's control word (RFC 4385 section 3), then Ethernet.
        return _shim(frame, 4, ETHERNET)
    else:
        frame.next = ETHERNET
    return FOUND


def _nflog(wire: memoryview, frame: Frame) -> int:
    """Find the packet among the attributes of netfilter's log."""
    at = frame.at + 4
    if frame.end < at:
        return _cut(frame)
    for _ in range(MOST_ATTRIBUTES):
        if frame.end - at < 4:
            return _cut(frame)
        # Types are small numbers: where the zero stands tells the byte order.
        size = wire[at] | wire[at + 1] << 8
        kind = wire[at + 2] | wire[at + 3] << 8
        if kind & 0xFF == 0 and kind:
            size = wire[at] << 8 | wire[at + 1]
            kind >>= 8
        if size < 4:
            frame.undecoded = MALFORMED
            return NO_MATCH
        if kind & 0x7FFF == 9:
            frame.at = at + 4
            if at + size < frame.end:
                frame.end = at + size
            frame.next = IP
            return FOUND
        at += (size + 3) & ~3
    frame.undecoded = DEPTH
    return NO_MATCH


def _cut(frame: Frame) -> int:
    frame.undecoded = TRUNCATED
    return NEED_MORE
