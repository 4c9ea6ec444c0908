"""DHCP for IPv6 (RFC 8415 sections 8, 9 and 21): who a client says it is, what it was given.

    type            1      a client's or a server's
    transaction     3
    options                code 2, length 2, data

    type            1      12, 13: a relay's
    hops            1
    link 16, peer  16
    options                the message itself in option 9

What is read of the options: 1 client's DUID; 3 IA_NA: IAID 4, T1 4, T2 4, options, among
them 5: address 16, preferred 4, valid seconds 4; 16 vendor class: enterprise 4, then texts
behind their length of 2; 39 FQDN (RFC 4704): flags 1, name in the form of DNS. A DUID (section
11) of type 1 or 3 ends in a link-layer address: hardware type 2, in type 1 a time of 4.
The message ends where the datagram does.
"""

from dataclasses import dataclass

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.discovery.dns import plain_name

CLIENT_PORT = 546
SERVER_PORT = 547
MOST_RELAYS = 8
MOST_OPTIONS = 64
MOST_ADDRESSES = 8
RELAY_HEADER = 34
LONGEST_DUID = 130

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11
RELAY_FORWARD, RELAY_REPLY = 12, 13
TO_SERVER = frozenset(
    (SOLICIT, REQUEST, CONFIRM, RENEW, REBIND, RELEASE, DECLINE, INFORMATION_REQUEST)
)
KINDS = TO_SERVER | {ADVERTISE, REPLY, 10, RELAY_FORWARD, RELAY_REPLY}

CLIENT_ID = 1
IA_NA = 3
IA_ADDRESS = 5
RELAYED = 9
VENDOR_CLASS = 16
FQDN = 39


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client or to it, or as much of it as there was."""

    kind: int
    transaction: int
    relayed: bool = False
    duid: bytes | None = None
    addresses: tuple[tuple[bytes, int], ...] = ()
    """Of the client, each with the seconds it is valid."""
    fqdn: bytes | None = None
    vendor_class: bytes | None = None

    @property
    def mac(self) -> bytes | None:
        """The Ethernet address that the client's DUID was made of."""
        duid = self.duid or b""
        if len(duid) == 14 and duid[:4] == b"\0\1\0\1":
            return duid[8:]
        if len(duid) == 10 and duid[:4] == b"\0\3\0\1":
            return duid[4:]
        return None


def read(wire: memoryview, start: int, end: int) -> tuple[int, Message | None]:
    """Read the message from ``start`` to ``end``, and nothing from there on."""
    relayed = False
    for _ in range(MOST_RELAYS + 1):
        if start < end and wire[start] not in KINDS:
            return NO_MATCH, None
        if end - start < 4:
            return NEED_MORE, None
        if wire[start] not in (RELAY_FORWARD, RELAY_REPLY):
            return _message(wire, start, end, relayed)
        _, options = _options(wire, start + RELAY_HEADER, end)
        inner = next((span for code, *span in options if code == RELAYED), None)
        if inner is None:
            return NEED_MORE, None
        start, end = inner
        relayed = True
    return NO_MATCH, None


def _message(wire: memoryview, start: int, end: int, relayed: bool) -> tuple[int, Message]:
    answer, options = _options(wire, start + 4, end)
    duid = fqdn = vendor_class = None
    addresses: list[tuple[bytes, int]] = []
    for code, at, after in options:
        if code == CLIENT_ID and after - at <= LONGEST_DUID:
            duid = bytes(wire[at:after])
        elif code == IA_NA and after - at >= 12 and len(addresses) < MOST_ADDRESSES:
            for inner, place, behind in _options(wire, at + 12, after)[1]:
                if len(addresses) >= MOST_ADDRESSES:
                    break
                if inner == IA_ADDRESS and behind - place >= 24:
                    seconds = int.from_bytes(wire[place + 20 : place + 24], "big")
                    addresses.append((bytes(wire[place : place + 16]), seconds))
        elif code == VENDOR_CLASS and after - at >= 6:
            size = wire[at + 4] << 8 | wire[at + 5]
            vendor_class = bytes(wire[at + 6 : min(at + 6 + size, after)]) or None
        elif code == FQDN and after - at >= 1:
            fqdn = plain_name(bytes(wire[at + 1 : after]))
    return answer, Message(
        kind=wire[start],
        transaction=int.from_bytes(wire[start + 1 : start + 4], "big"),
        relayed=relayed,
        duid=duid,
        addresses=tuple(addresses),
        fqdn=fqdn,
        vendor_class=vendor_class,
    )


def _options(wire: memoryview, at: int, end: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Return code, start and end of the options; NEED_MORE: the last one is cut."""
    found: list[tuple[int, int, int]] = []
    while at < end and len(found) < MOST_OPTIONS:
        if end - at < 4:
            return NEED_MORE, found
        code, length = wire[at] << 8 | wire[at + 1], wire[at + 2] << 8 | wire[at + 3]
        if end - at < 4 + length:
            return NEED_MORE, found
        found.append((code, at + 4, at + 4 + length))
        at += 4 + length
    return (FOUND if at >= end else NEED_MORE), found
