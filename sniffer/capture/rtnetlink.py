"""What the kernel tells of its links and their addresses, over a netlink socket.

    length       4      of the message, this header included
    type         2      RTM_NEWLINK, RTM_NEWADDR, NLMSG_DONE, NLMSG_ERROR
    flags        2
    sequence     4
    port         4
    body               struct ifinfomsg or ifaddrmsg, then attributes, each on 4 octets:
      length     2      of the attribute, these 4 octets included
      type       2
      value

Asking needs no privilege, and answers for the network namespace we are in. Source:
rtnetlink(7), linux/if_link.h, linux/if_addr.h.
"""

import socket
import struct
import sys
from collections.abc import Iterator

from msgspec import Struct

RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST_DUMP = 0x301
IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_STATS64 = 5, 10, 18, 23
IFLA_PROMISCUITY, IFLA_LINK_NETNSID = 30, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
TYPE_MASK = 0x3FFF
"""The two highest bits of an attribute's type say how it is written."""

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_COUNTERS = struct.Struct("=8Q")
LARGEST_ANSWER = 1 << 18

Attributes = dict[int, bytes]


class Traffic(Struct, frozen=True, kw_only=True):
    """What passed an interface one way since it was made, by the kernel's count."""

    frames: int
    bytes: int
    errors: int
    dropped: int


class Link(Struct, kw_only=True):
    """What the kernel tells of one link; what is not known is None."""

    index: int
    kind: str | None = None
    """vlan, bridge, bond, veth, tun ...; None: it has a driver of its own, or none."""
    parent: int | None = None
    """Number of the link it stands on, or of its other end."""
    master: int | None = None
    """Number of the bridge or bond it is part of."""
    vlan_id: int | None = None
    promiscuity: int | None = None
    """How many ask it for frames to others."""
    received: Traffic | None = None
    sent: Traffic | None = None
    addresses: list[str]


def links() -> dict[int, Link]:
    """Return the links by their number; none where the kernel has no netlink."""
    try:
        found = {link.index: link for link in map(_link, _dump(RTM_GETLINK, RTM_NEWLINK))}
        for body in _dump(RTM_GETADDR, RTM_NEWADDR):
            index, address = _address(body)
            if address and index in found:
                found[index].addresses.append(address)
    except (OSError, AttributeError):
        # AttributeError: this system's Python knows no AF_NETLINK.
        return {}
    for link in found.values():
        link.addresses.sort(key=lambda text: (":" in text, text))
    return found


def _dump(request: int, answer: int) -> Iterator[bytes]:
    """Ask for all there is of a kind; yield the bodies of the answers. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        body = bytes(_LINK.size)
        asking.send(_HEADER.pack(_HEADER.size + len(body), request, REQUEST_DUMP, 1, 0) + body)
        while True:
            octets = asking.recv(LARGEST_ANSWER)
            at = 0
            while at + _HEADER.size <= len(octets):
                length, kind, _, _, _ = _HEADER.unpack_from(octets, at)
                is_whole = _HEADER.size <= length <= len(octets) - at
                if kind == NLMSG_DONE or not is_whole:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError("the kernel answers no netlink request")
                if kind == answer:
                    yield octets[at + _HEADER.size : at + length]
                at += length + 3 & ~3


def _attributes(octets: bytes) -> Attributes:
    found: Attributes = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & TYPE_MASK] = octets[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    return found


def _link(body: bytes) -> Link:
    _, _, index, _, _ = _LINK.unpack_from(body)
    told = _attributes(body[_LINK.size :])
    info = _attributes(told.get(IFLA_LINKINFO, b""))
    kind = info[IFLA_INFO_KIND].rstrip(b"\0").decode("ascii", "replace") if info else None
    data = _attributes(info.get(IFLA_INFO_DATA, b"")) if kind == "vlan" else {}
    parent = _number(told.get(IFLA_LINK))
    received = sent = None
    if len(told.get(IFLA_STATS64, b"")) >= _COUNTERS.size:
        counted = _COUNTERS.unpack_from(told[IFLA_STATS64])
        received, sent = (
            Traffic(frames=frames, bytes=octets, errors=errors, dropped=dropped)
            for frames, octets, errors, dropped in (counted[0::2], counted[1::2])
        )
    # The number of a link in another namespace names nothing here.
    is_here = IFLA_LINK_NETNSID not in told and parent != index
    return Link(
        index=index,
        kind=kind,
        parent=parent if is_here else None,
        master=_number(told.get(IFLA_MASTER)),
        vlan_id=_number(data.get(IFLA_VLAN_ID)),
        promiscuity=_number(told.get(IFLA_PROMISCUITY)),
        received=received,
        sent=sent,
        addresses=[],
    )


def _address(body: bytes) -> tuple[int, str]:
    family, length, _, _, index = _ADDRESS.unpack_from(body)
    told = _attributes(body[_ADDRESS.size :])
    octets = told.get(IFA_LOCAL) or told.get(IFA_ADDRESS, b"")
    if family not in (socket.AF_INET, socket.AF_INET6) or not octets:
        return index, ""
    return index, f"{socket.inet_ntop(family, octets)}/{length}"


def _number(octets: bytes | None) -> int | None:
    """Read a number as it lies in memory."""
    return int.from_bytes(octets, sys.byteorder) if octets else None
