"""DHCP for IPv4 (RFC 2131 section 2): who a client says it is, and what it was given.

    op              1      1 from a client, 2 to one
    hardware type   1      1 Ethernet; length 1; hops 1
    transaction     4
    seconds 2, flags 2
    ciaddr          4      the client's own, where it has one
    yiaddr          4      given to the client
    siaddr 4, giaddr 4
    chaddr         16      the client's hardware address
    server name 64, boot file 128                 options too, if option 52 says so
    cookie          4      63 82 53 63
    options                code 1, length 1, data; 0 is padding, 255 the end (RFC 2132)

An option that stands several times is one, cut in parts (RFC 3396). An FQDN (RFC 4702) has
flags 1, two codes of 1 each, and a name: in the form of DNS if flag 04 is set, else as text.
"""

from dataclasses import dataclass

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.discovery.dns import plain_name

SERVER_PORT = 67
CLIENT_PORT = 68
HEADER_LENGTH = 236
COOKIE = b"\x63\x82\x53\x63"
SERVER_NAME = 44
BOOT_FILE = 108
MOST_OPTIONS = 64
LONGEST_OPTION = 1024

PAD, END = 0, 255
HOST_NAME = 12
REQUESTED = 50
LEASE = 51
OVERLOAD = 52
KIND = 53
VENDOR_CLASS = 60
FQDN = 81
WANTED = frozenset((HOST_NAME, REQUESTED, LEASE, OVERLOAD, KIND, VENDOR_CLASS, FQDN))

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client or to it, or as much of it as there was."""

    is_reply: bool
    kind: int
    """A number of RFC 2132 section 9.6; 0: BOOTP, or not known."""
    transaction: int
    mac: bytes | None
    """The client's; None: it is no Ethernet address."""
    own: bytes | None
    """The address that the client has (ciaddr)."""
    given: bytes | None
    """The address that it is to have (yiaddr)."""
    requested: bytes | None = None
    lease_seconds: int | None = None
    host_name: bytes | None = None
    fqdn: bytes | None = None
    vendor_class: bytes | None = None


def read(wire: memoryview, start: int, end: int) -> tuple[int, Message | None]:
    """Read the message from ``start`` to ``end``, and nothing from there on."""
    have = end - start
    if have >= 1 and wire[start] not in (1, 2):
        return NO_MATCH, None
    options_at = start + HEADER_LENGTH + len(COOKIE)
    cookie = bytes(wire[start + HEADER_LENGTH : min(options_at, end)])
    if not COOKIE.startswith(cookie):
        return NO_MATCH, None
    if have < HEADER_LENGTH + len(COOKIE):
        return NEED_MORE, None

    said: dict[int, bytes] = {}
    answer = _options(wire, options_at, end, said)
    overload = said.get(OVERLOAD, b"\0")[-1:]
    if overload in (b"\x01", b"\x03"):
        _options(wire, start + BOOT_FILE, start + HEADER_LENGTH, said)
    if overload in (b"\x02", b"\x03"):
        _options(wire, start + SERVER_NAME, start + BOOT_FILE, said)

    is_ethernet = wire[start + 1] == 1 and wire[start + 2] == 6
    kind = said.get(KIND, b"")
    lease, requested = said.get(LEASE, b""), said.get(REQUESTED, b"")
    return answer, Message(
        is_reply=wire[start] == 2,
        kind=kind[0] if len(kind) == 1 else 0,
        transaction=int.from_bytes(wire[start + 4 : start + 8], "big"),
        mac=bytes(wire[start + 28 : start + 34]) if is_ethernet else None,
        own=_address(wire, start + 12),
        given=_address(wire, start + 16),
        requested=requested if len(requested) == 4 else None,
        lease_seconds=int.from_bytes(lease, "big") if len(lease) == 4 else None,
        host_name=_text(said.get(HOST_NAME, b"")),
        fqdn=_fqdn(said.get(FQDN, b"")),
        vendor_class=_text(said.get(VENDOR_CLASS, b"")),
    )


def _options(wire: memoryview, at: int, end: int, said: dict[int, bytes]) -> int:
    """Read options up to the end option: FOUND; NEED_MORE where it is missing."""
    for _ in range(MOST_OPTIONS):
        if at < end and wire[at] == PAD:
            at = end - len(bytes(wire[at:end]).lstrip(b"\0"))
        if at < end and wire[at] == END:
            return FOUND
        if end - at < 2 or end - at < 2 + wire[at + 1]:
            return NEED_MORE
        code, length = wire[at], wire[at + 1]
        at += 2
        if code in WANTED:
            said[code] = (said.get(code, b"") + bytes(wire[at : at + length]))[:LONGEST_OPTION]
        at += length
    return NEED_MORE


def _address(wire: memoryview, at: int) -> bytes | None:
    octets = bytes(wire[at : at + 4])
    return octets if any(octets) else None


def _text(octets: bytes) -> bytes | None:
    """Return text; some clients end it with a NUL (RFC 2132 section 2)."""
    return octets.rstrip(b"\0") or None


def _fqdn(option: bytes) -> bytes | None:
    if len(option) < 4:
        return None
    if not option[0] & 0x04:
        return _text(option[3:].removesuffix(b"."))
    return plain_name(option[3:])
