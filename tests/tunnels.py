"""Tunnels around packets and frames, made octet by octet as ``craft`` makes the rest."""

from craft import ethernet, ipv4, u16s, udp

OUTER, OUTER_TO = "192.0.2.1", "192.0.2.2"
"""The ends of every tunnel."""


def outer(payload: bytes, protocol: int) -> bytes:
    """Put an outer IPv4 and an Ethernet header before ``payload``."""
    return ethernet(ipv4(OUTER, OUTER_TO, payload, protocol=protocol))


def outer_udp(port: int, payload: bytes, source_port: int = 49152) -> bytes:
    """Put ``payload`` into an outer UDP datagram."""
    return outer(udp(OUTER, OUTER_TO, source_port, port, payload), 17)


def gre(kind: int, payload: bytes, flags: int = 0, fields: bytes = b"") -> bytes:
    """Put a GRE header before ``payload`` (RFC 2784, RFC 2890)."""
    return outer(u16s(flags, kind) + fields + payload, 47)


def erspan_2(payload: bytes, session: int) -> bytes:
    """Put ERSPAN type II before a frame."""
    header = u16s(0x1000 | 12, session) + bytes(4)
    return gre(0x88BE, header + payload, 0x1000, bytes(4))


def erspan_3(payload: bytes, session: int, word: int = 0, extra: bytes = b"") -> bytes:
    """Put ERSPAN type III before a frame; ``word`` holds P, frame type and the O bit."""
    header = u16s(0x2000 | 12, session) + bytes(4) + u16s(0, word) + extra
    return gre(0x22EB, header + payload, 0x1000, bytes(4))


def vxlan(vni: int, payload: bytes, flags: int = 0x08, following: int = 0) -> bytes:
    """Make a VXLAN header and what it carries (RFC 7348 section 5)."""
    return bytes((flags, 0, 0, following)) + vni.to_bytes(3, "big") + b"\0" + payload


def geneve(vni: int, kind: int, payload: bytes, options: bytes = b"") -> bytes:
    """Make a GENEVE header and what it carries (RFC 8926 section 3.4)."""
    head = bytes((len(options) // 4, 0)) + u16s(kind) + vni.to_bytes(3, "big") + b"\0"
    return head + options + payload


def gtp_u(teid: int, payload: bytes, flags: int = 0x30, extra: bytes = b"") -> bytes:
    """Make a GTP-U header and what it carries (TS 29.281 section 5.1)."""
    length = u16s(len(extra) + len(payload))
    return bytes((flags, 0xFF)) + length + teid.to_bytes(4, "big") + extra + payload
