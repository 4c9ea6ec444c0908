"""The ClientHello message.

HandshakeType msg_type = 1;                   RFC 8446 section 4.1.2
uint24 length;
ProtocolVersion legacy_version;               2 octets
Random random;                                32 octets
opaque legacy_session_id<0..32>;              1-octet length
CipherSuite cipher_suites<2..2^16-2>;         2-octet length, 2 octets each
opaque legacy_compression_methods<1..2^8-1>;  1-octet length
Extension extensions<0..2^16-1>;              2-octet length; may be missing altogether

struct {
    ExtensionType extension_type;             2 octets
    opaque extension_data<0..2^16-1>;         2-octet length
} Extension;
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls.facts import ClientHello

CLIENT_HELLO = 1
HEADER_LENGTH = 4
SHORTEST = 2 + 32 + 1 + 2 + 2 + 1 + 1

SERVER_NAME = 0
SUPPORTED_GROUPS = 10
EC_POINT_FORMATS = 11
SIGNATURE_ALGORITHMS = 13
ALPN = 16
SUPPORTED_VERSIONS = 43


def fits(wire: memoryview, start: int, end: int) -> int:
    """Tell whether a ClientHello stands at ``start``: FOUND, NEED_MORE or NO_MATCH.

    FOUND promises a message that is whole by its own length; whether what is in it agrees
    with that length, ``read`` tells.
    """
    have = end - start
    if have >= 1 and wire[start] != CLIENT_HELLO:
        return NO_MATCH
    if have < HEADER_LENGTH:
        return NEED_MORE
    length = wire[start + 1] << 16 | wire[start + 2] << 8 | wire[start + 3]
    if length < SHORTEST - 2:
        return NO_MATCH
    at = start + HEADER_LENGTH
    if have >= 5 and wire[at] != 3:
        return NO_MATCH
    if have >= 39 and wire[at + 34] > 32:
        return NO_MATCH
    return FOUND if have >= HEADER_LENGTH + length else NEED_MORE


def read(wire: memoryview, start: int, end: int, record_version: int) -> ClientHello | None:
    """Return what the octets from ``start`` to ``end`` hold of a ClientHello.

    None if they end before the version. A hello that ends too early, or whose lengths
    contradict each other, comes back with ``complete`` False and with the fields that were
    there in whole.
    """
    at = start + HEADER_LENGTH
    if end - at < 2:
        return None
    length = wire[start + 1] << 16 | wire[start + 2] << 8 | wire[start + 3]
    stop = at + length
    if stop < end:
        end = stop
    legacy_version = wire[at] << 8 | wire[at + 1]
    at += 2
    random = bytes(wire[at : min(at + 32, end)])
    session_id = b""
    suites: tuple[int, ...] | None = None
    extensions: tuple[int, ...] | None = None
    found = _Extensions()
    complete = False
    at += 32
    if at < end:
        size = wire[at]
        at += 1
        if size <= end - at:
            session_id = bytes(wire[at : at + size])
        at += size
        if at + 2 <= end:
            size = wire[at] << 8 | wire[at + 1]
            at += 2
            if size & 1 == 0 and size <= end - at:
                suites = _numbers(wire, at, at + size)
                at += size
                if at < end:
                    at += 1 + wire[at]
                    if at <= end and end == stop:
                        complete = True
                    if at < end:
                        complete = found.read(wire, at, end) and end == stop
                        extensions = tuple(found.types) if complete else None
                    elif complete:
                        extensions = ()
    return ClientHello(
        hello_format="tls",
        record_version=record_version,
        legacy_version=legacy_version,
        random=random,
        session_id=session_id,
        suites=suites,
        extensions=extensions,
        supported_versions=found.supported_versions,
        server_name=found.server_name,
        alpn=found.alpn,
        groups=found.groups,
        point_formats=found.point_formats,
        signature_algorithms=found.signature_algorithms,
        complete=complete,
        repeated_extension=found.repeated,
    )


class _Extensions:
    """The extension block, read once; of an extension that stands twice the first counts."""

    __slots__ = (
        "alpn",
        "groups",
        "point_formats",
        "repeated",
        "server_name",
        "signature_algorithms",
        "supported_versions",
        "types",
    )
    alpn: tuple[bytes, ...] | None
    groups: tuple[int, ...] | None
    point_formats: tuple[int, ...] | None
    repeated: bool
    server_name: bytes | None
    signature_algorithms: tuple[int, ...] | None
    supported_versions: tuple[int, ...] | None
    types: list[int]

    def __init__(self) -> None:
        self.types = []
        self.repeated = False
        self.supported_versions = None
        self.server_name = None
        self.alpn = None
        self.groups = None
        self.point_formats = None
        self.signature_algorithms = None

    def read(self, wire: memoryview, at: int, end: int) -> bool:
        """Read the block with its length at ``at``; tell whether it ends just at ``end``."""
        if end - at < 2:
            return False
        stop = at + 2 + (wire[at] << 8 | wire[at + 1])
        sound = stop == end
        if stop < end:
            end = stop
        at += 2
        seen: set[int] = set()
        while end - at >= 4:
            kind = wire[at] << 8 | wire[at + 1]
            size = wire[at + 2] << 8 | wire[at + 3]
            at += 4
            if size > end - at:
                return False
            self.types.append(kind)
            if kind in seen:
                self.repeated = True
            else:
                seen.add(kind)
                self._one(wire, kind, at, at + size)
            at += size
        return sound and at == end

    def _one(self, wire: memoryview, kind: int, at: int, end: int) -> None:
        if kind == SERVER_NAME:
            self.server_name = _server_name(wire, at, end)
        elif kind == SUPPORTED_GROUPS:
            self.groups = _list_of_numbers(wire, at, end)
        elif kind == EC_POINT_FORMATS:
            if end - at >= 1:
                size = min(wire[at], end - at - 1)
                self.point_formats = tuple(bytes(wire[at + 1 : at + 1 + size]))
        elif kind == SIGNATURE_ALGORITHMS:
            self.signature_algorithms = _list_of_numbers(wire, at, end)
        elif kind == ALPN:
            self.alpn = _protocol_names(wire, at, end)
        elif kind == SUPPORTED_VERSIONS and end - at >= 1:
            size = min(wire[at], end - at - 1)
            self.supported_versions = _numbers(wire, at + 1, at + 1 + (size & ~1))


def _numbers(wire: memoryview, at: int, end: int) -> tuple[int, ...]:
    """Return the 16-bit numbers from ``at`` to ``end``."""
    found = []
    while at + 1 < end:
        found.append(wire[at] << 8 | wire[at + 1])
        at += 2
    return tuple(found)


def _list_of_numbers(wire: memoryview, at: int, end: int) -> tuple[int, ...] | None:
    """Return the 16-bit numbers behind a 2-octet length; None if it is not there."""
    if end - at < 2:
        return None
    size = min(wire[at] << 8 | wire[at + 1], end - at - 2)
    return _numbers(wire, at + 2, at + 2 + (size & ~1))


def _server_name(wire: memoryview, at: int, end: int) -> bytes | None:
    """Return the first host_name of a server_name extension (RFC 6066 section 3)."""
    if end - at < 2:
        return None
    end = min(end, at + 2 + (wire[at] << 8 | wire[at + 1]))
    at += 2
    while end - at >= 3:
        kind = wire[at]
        size = wire[at + 1] << 8 | wire[at + 2]
        at += 3
        if size > end - at:
            return None
        if kind == 0:
            return bytes(wire[at : at + size])
        at += size
    return None


def _protocol_names(wire: memoryview, at: int, end: int) -> tuple[bytes, ...] | None:
    """Return the names of an ALPN extension (RFC 7301 section 3.1)."""
    if end - at < 2:
        return None
    end = min(end, at + 2 + (wire[at] << 8 | wire[at + 1]))
    at += 2
    found = []
    while at < end:
        size = wire[at]
        at += 1
        if size > end - at:
            break
        found.append(bytes(wire[at : at + size]))
        at += size
    return tuple(found)
