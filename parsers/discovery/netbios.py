"""The NetBIOS name service (RFC 1002 section 4.2): hosts that say what they are called.

The messages are built as those of DNS are, with opcodes and two kinds of record of their own:

    registration, refresh     name; NB:      flags 2 (group 8000), address 4, for each
    response to a query       name; NB:      the same
    response to node status   name; NBSTAT:  count 1; name 15, suffix 1, flags 2, for each;
                                             the MAC 6, statistics

A name is 16 octets, each written as two letters: A and its higher four bits, A and its lower
four (RFC 1001 section 14.1). The last octet tells what of: 00 the host itself, 20 its file
server; others are domains, browsers and, in 03, users, none of which is told.
"""

from dataclasses import dataclass

from parsers.answer import NEED_MORE, NO_MATCH
from parsers.discovery import dns
from parsers.discovery.dns import CODE, OPCODE, RESPONSE, Labels, Record

PORT = 137
NB = 0x20
NBSTAT = 0x21
KINDS = frozenset((NB, NBSTAT))
GROUP = 0x8000
OF_HOSTS = (0x00, 0x20)
MOST_NAMES = 16
MOST_ADDRESSES = 8

QUERY, REGISTRATION, RELEASE, WACK, REFRESH, ALTERNATE_REFRESH = 0, 5, 6, 7, 8, 9
CLAIMS = (REGISTRATION, REFRESH, ALTERNATE_REFRESH)


@dataclass(frozen=True, slots=True)
class Claim:
    """A host says what it is called, or is said to be."""

    names: tuple[bytes, ...]
    addresses: tuple[bytes, ...] = ()
    """None: that of whoever sent it."""
    mac: bytes | None = None


def read(wire: memoryview, start: int, end: int) -> tuple[int, Claim | None]:
    """Read the message from ``start`` to ``end``; what names no host is NO_MATCH."""
    answer, message = dns.read(wire, start, end, KINDS, KINDS)
    if message is None:
        return answer, None
    opcode = (message.flags & OPCODE) >> 11
    is_response = bool(message.flags & RESPONSE)
    claims = not is_response and opcode in CLAIMS
    tells = is_response and opcode == QUERY and not message.flags & CODE
    if not claims and not tells:
        return NO_MATCH, None
    if not message.records:
        # Cut before what it says, or empty.
        return (answer if answer == NEED_MORE else NO_MATCH), None
    record = message.records[0]
    claim = _status(record) if record.kind == NBSTAT else _addresses(record)
    return (NO_MATCH, None) if claim is None else (answer, claim)


def _addresses(record: Record) -> Claim | None:
    name = _host(_decoded(record.name))
    if record.kind != NB or name is None:
        return None
    addresses = []
    for at in range(0, min(len(record.data), 6 * MOST_ADDRESSES) - 5, 6):
        if record.data[at] & GROUP >> 8:
            return None
        addresses.append(record.data[at + 2 : at + 6])
    return Claim((name,), tuple(addresses)) if addresses else None


def _status(record: Record) -> Claim | None:
    data = record.data
    count = data[0] if data else 0
    names = []
    for at in range(1, 1 + 18 * min(count, MOST_NAMES), 18):
        one = data[at : at + 18]
        name = _host(one[:16]) if len(one) == 18 and not one[16] & GROUP >> 8 else None
        if name is not None and name not in names:
            names.append(name)
    mac = data[1 + 18 * count : 7 + 18 * count]
    known = len(mac) == 6 and any(mac)
    return Claim(tuple(names), mac=mac if known else None) if names else None


def _host(name: bytes | None) -> bytes | None:
    """Return the host's name out of its 16 octets."""
    if name is None or len(name) != 16 or name[15] not in OF_HOSTS:
        return None
    return name[:15].rstrip(b" \0") or None


def _decoded(labels: Labels) -> bytes | None:
    """Return the 16 octets of a name's first label."""
    if not labels or len(labels[0]) != 32:
        return None
    nibbles = [letter - 0x41 for letter in labels[0]]
    if not all(0 <= nibble <= 15 for nibble in nibbles):
        return None
    return bytes(nibbles[at] << 4 | nibbles[at + 1] for at in range(0, 32, 2))
