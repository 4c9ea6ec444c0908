"""The hello in SSL 2.0's format, which speaks for newer versions too, and its answer.

    uint8 msg_length[2];        top bit 1, then the octets that follow    RFC 5246 appendix E.2
    uint8 msg_type = 1;
    Version version;            what client_version would be; 0x0002 asks for SSL 2.0
    uint16 cipher_spec_length;  not 0, a multiple of 3
    uint16 session_id_length;   0, or 16 from pure SSL 2.0
    uint16 challenge_length;    16 to 32
    cipher_specs, session_id, challenge

It is sent bare, outside any record, and carries no extensions, so its version is the
maximum. SERVER-HELLO of SSL 2.0: type 4, session_id_hit, certificate_type, version, three
lengths (draft-hickman-netscape-ssl-00 section 5.6).
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls.facts import ClientHello, ServerHello

CLIENT_HELLO = 1
SERVER_HELLO = 4
HEADER_LENGTH = 11
SERVER_HEADER_LENGTH = 13


def fits(wire: memoryview, start: int, end: int) -> int:
    """Tell whether such a hello stands at ``start``: FOUND (whole), NEED_MORE or NO_MATCH."""
    have = end - start
    if have >= 1 and not wire[start] & 0x80:
        return NO_MATCH
    if have >= 3 and wire[start + 2] != CLIENT_HELLO:
        return NO_MATCH
    if have >= 5:
        major = wire[start + 3]
        minor = wire[start + 4]
        if not (major == 0 and minor == 2) and not (major == 3 and minor <= 3):
            return NO_MATCH
    if have < HEADER_LENGTH:
        return NEED_MORE
    length = (wire[start] & 0x7F) << 8 | wire[start + 1]
    specs = wire[start + 5] << 8 | wire[start + 6]
    session = wire[start + 7] << 8 | wire[start + 8]
    challenge = wire[start + 9] << 8 | wire[start + 10]
    if specs == 0 or specs % 3 or not (session == 0 or session == 16):
        return NO_MATCH
    if not 16 <= challenge <= 32 or length != 9 + specs + session + challenge:
        return NO_MATCH
    return FOUND if have >= 2 + length else NEED_MORE


def read(wire: memoryview, start: int, end: int) -> ClientHello:
    """Return the hello at ``start``, of which at least eleven octets are there."""
    specs = wire[start + 5] << 8 | wire[start + 6]
    session = wire[start + 7] << 8 | wire[start + 8]
    challenge = wire[start + 9] << 8 | wire[start + 10]
    at = start + HEADER_LENGTH
    stop = at + specs + session + challenge
    suites: tuple[int, ...] | None = None
    if end - at >= specs:
        suites = _suites(wire, at, at + specs)
    at += specs
    return ClientHello(
        hello_format="sslv2",
        record_version=None,
        legacy_version=wire[start + 3] << 8 | wire[start + 4],
        random=bytes(wire[min(at + session, end) : min(stop, end)]),
        session_id=bytes(wire[at : at + session]) if end - at >= session else b"",
        suites=suites,
        extensions=(),
        complete=end >= stop,
    )


def read_server(wire: memoryview, start: int, end: int) -> ServerHello | None:
    """Return the SERVER-HELLO at ``start``, or None if none stands there."""
    if end - start < SERVER_HEADER_LENGTH or not wire[start] & 0x80:
        return None
    if wire[start + 2] != SERVER_HELLO or wire[start + 5] != 0 or wire[start + 6] != 2:
        return None
    return ServerHello(
        hello_format="sslv2",
        record_version=None,
        legacy_version=2,
        random=b"",
        suite=None,
    )


def _suites(wire: memoryview, at: int, end: int) -> tuple[int, ...]:
    """Return the TLS suites among three-octet specs: those whose first octet is 0."""
    found = []
    while at + 2 < end:
        if wire[at] == 0:
            found.append(wire[at + 1] << 8 | wire[at + 2])
        at += 3
    return tuple(found)
