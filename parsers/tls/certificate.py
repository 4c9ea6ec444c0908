"""Who a server's certificate is for and who issued it, as far as TLS 1.2 sends it in clear.

HandshakeType msg_type = 11;             RFC 5246 section 7.4.2
uint24 length;
opaque certificate_list<0..2^24-1>;      3-octet length; of each certificate, too;
                                         the server's own comes first

Certificate  ::=  SEQUENCE  {            RFC 5280 section 4.1, in DER
  tbsCertificate  SEQUENCE  {
    version         [0] ...,             may be missing
    serialNumber    INTEGER,
    signature       SEQUENCE,
    issuer          SEQUENCE OF SET OF SEQUENCE { type OID, value },
    validity        SEQUENCE,
    subject         SEQUENCE OF ...,

Only the names are read, and nothing is verified. What is cut off is missing, no error.
"""

from parsers.answer import NO_MATCH
from parsers.tls import record as tls_record
from parsers.tls.facts import CertificateNames
from parsers.tls.record import Record

HANDSHAKE = 22
CERTIFICATE = 11
MESSAGE_HEADER = 4
MOST_RECORDS = 16
MOST_MESSAGES = 8
MOST_OCTETS = 16384
MOST_PARTS = 32
"""Parts of a name that are looked at."""

INTEGER = 0x02
OID = 0x06
SEQUENCE = 0x30
SET = 0x31
VERSION = 0xA0
COMMON_NAME = b"\x55\x04\x03"
ORGANIZATION = b"\x55\x04\x0a"


def find(wire: memoryview, start: int, end: int) -> CertificateNames | None:
    """Return the names in the first certificate among the records from ``start`` on.

    None: no certificate begins there, or it is cut before its issuer.
    """
    octets = _messages(wire, start, end)
    at = 0
    for _ in range(MOST_MESSAGES):
        if len(octets) - at < MESSAGE_HEADER:
            return None
        after = at + MESSAGE_HEADER + int.from_bytes(octets[at + 1 : at + 4], "big")
        if octets[at] == CERTIFICATE:
            first = at + MESSAGE_HEADER + 6
            return _names(octets, first, min(after, len(octets)))
        at = after
    return None


def _messages(wire: memoryview, start: int, end: int) -> bytes:
    """Return the handshake messages that records hold, as far as they are there."""
    record = Record()
    held = b""
    at = start
    for _ in range(MOST_RECORDS):
        if end - at < tls_record.HEADER_LENGTH:
            break
        answer = tls_record.read(wire, at, end, record)
        if answer == NO_MATCH or record.content_type != HANDSHAKE:
            break
        held += bytes(wire[record.body : min(record.end, end)])
        at = record.end
        if at >= end or len(held) >= MOST_OCTETS:
            break
    return held


def _names(octets: bytes, at: int, end: int) -> CertificateNames | None:
    """Read the certificate at ``at``, whose own length may reach beyond what is there."""
    for _ in range(2):
        tag, at, _ = _element(octets, at, end)
        if tag != SEQUENCE:
            return None
    tag, _, after = _element(octets, at, end)
    if tag == VERSION:
        at = after
    fields = []
    for expected in (INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE):
        tag, body, after = _element(octets, at, end)
        if tag != expected or after > end:
            break
        fields.append((body, after))
        at = after
    if len(fields) < 3:
        return None
    issuer = _name(octets, *fields[2])
    subject = _name(octets, *fields[4]) if len(fields) == 5 else {}
    return CertificateNames(
        subject=subject.get(COMMON_NAME),
        issuer=issuer.get(COMMON_NAME),
        issuer_organization=issuer.get(ORGANIZATION),
    )


def _name(octets: bytes, at: int, end: int) -> dict[bytes, bytes]:
    """Return the parts of a name by their OID; the first of a kind counts."""
    parts: dict[bytes, bytes] = {}
    for _ in range(MOST_PARTS):
        tag, body, after = _element(octets, at, end)
        if tag != SET or after > end:
            break
        at = after
        tag, body, stop = _element(octets, body, after)
        if tag != SEQUENCE or stop > after:
            continue
        tag, body, following = _element(octets, body, stop)
        if tag != OID or following > stop:
            continue
        kind = octets[body:following]
        tag, body, following = _element(octets, following, stop)
        if tag >= 0 and following <= stop:
            parts.setdefault(kind, octets[body:following])
    return parts


def _element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return tag, start of the content, and its end; tag -1: there is none.

    The end may lie beyond what is there (X.690 section 8.1; lengths of up to 3 octets).
    """
    if end - at < 2:
        return -1, end, end
    tag, length, at = octets[at], octets[at + 1], at + 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3 or end - at < size:
            return -1, end, end
        length = int.from_bytes(octets[at : at + size], "big")
        at += size
    return tag, at, at + length
