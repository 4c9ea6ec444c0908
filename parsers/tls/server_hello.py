"""The ServerHello message, HelloRetryRequest included.

HandshakeType msg_type = 2;                   RFC 8446 section 4.1.3
uint24 length;
ProtocolVersion legacy_version;               2 octets; up to TLS 1.2 the negotiated one
Random random;                                32 octets; a fixed value: HelloRetryRequest
opaque legacy_session_id_echo<0..32>;         1-octet length
CipherSuite cipher_suite;                     2 octets
uint8 legacy_compression_method;
Extension extensions<6..2^16-1>;              2-octet length; up to TLS 1.2 may be missing
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls.facts import ServerHello

SERVER_HELLO = 2
HEADER_LENGTH = 4
SHORTEST = 2 + 32 + 1 + 2 + 1
LONGEST = 70000
ALPN = 16
SUPPORTED_VERSIONS = 43

RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3)."""


def fits(wire: memoryview, start: int, end: int) -> int:
    """Tell whether a ServerHello stands at ``start``: FOUND (whole), NEED_MORE or NO_MATCH."""
    have = end - start
    if have >= 1 and wire[start] != SERVER_HELLO:
        return NO_MATCH
    if have < HEADER_LENGTH:
        return NEED_MORE
    length = wire[start + 1] << 16 | wire[start + 2] << 8 | wire[start + 3]
    if length < SHORTEST or length > LONGEST:
        return NO_MATCH
    at = start + HEADER_LENGTH
    if have >= 5 and wire[at] != 3 and wire[at] != 0x7F:
        return NO_MATCH
    if have >= 39 and wire[at + 34] > 32:
        return NO_MATCH
    return FOUND if have >= HEADER_LENGTH + length else NEED_MORE


def read(wire: memoryview, start: int, end: int, record_version: int) -> ServerHello | None:
    """Return what the octets hold of a ServerHello; None if they end before the suite."""
    at = start + HEADER_LENGTH
    if end - at < 35:
        return None
    stop = at + (wire[start + 1] << 16 | wire[start + 2] << 8 | wire[start + 3])
    if stop < end:
        end = stop
    legacy_version = wire[at] << 8 | wire[at + 1]
    random = bytes(wire[at + 2 : at + 34])
    at += 35 + wire[at + 34]
    if end - at < 2:
        return None
    suite = wire[at] << 8 | wire[at + 1]
    at += 3
    selected_version: int | None = None
    alpn: bytes | None = None
    if end - at >= 2:
        stop = at + 2 + (wire[at] << 8 | wire[at + 1])
        if stop < end:
            end = stop
        at += 2
        while end - at >= 4:
            kind = wire[at] << 8 | wire[at + 1]
            size = wire[at + 2] << 8 | wire[at + 3]
            at += 4
            if size > end - at:
                break
            if kind == SUPPORTED_VERSIONS and size == 2 and selected_version is None:
                selected_version = wire[at] << 8 | wire[at + 1]
            elif kind == ALPN and size >= 3 and alpn is None and wire[at + 2] <= size - 3:
                alpn = bytes(wire[at + 3 : at + 3 + wire[at + 2]])
            at += size
    return ServerHello(
        hello_format="tls",
        record_version=record_version,
        legacy_version=legacy_version,
        random=random,
        suite=suite,
        selected_version=selected_version,
        alpn=alpn,
        retry=random == RETRY_RANDOM,
    )
