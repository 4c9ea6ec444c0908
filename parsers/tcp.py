"""The TCP header (RFC 9293 section 3.1).

source port        2
destination port   2
sequence           4
acknowledgement    4
offset, reserved   1      offset counts 4 octets, at least 5
flags              1
window             2
checksum           2      never looked at: offload leaves it wrong
urgent pointer     2
options            offset * 4 - 20
"""

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.layers import MALFORMED, TRUNCATED

FIN = 0x01
SYN = 0x02
RST = 0x04
ACK = 0x10


def read(wire: memoryview, frame: Frame) -> int:
    """Read the header at ``frame.at``; the payload is what then lies up to ``frame.end``.

    FOUND, or NEED_MORE, NO_MATCH with ``undecoded`` set.
    """
    at = frame.at
    have = frame.end - at
    if have < 20:
        frame.undecoded = TRUNCATED if frame.missing else MALFORMED
        return NEED_MORE if frame.missing else NO_MATCH
    header = (wire[at + 12] >> 4) * 4
    if header < 20:
        frame.undecoded = MALFORMED
        return NO_MATCH
    frame.source_port = wire[at] << 8 | wire[at + 1]
    frame.destination_port = wire[at + 2] << 8 | wire[at + 3]
    frame.sequence = _number(wire, at + 4)
    frame.acknowledgement = _number(wire, at + 8)
    frame.flags = wire[at + 13]
    if have < header:
        frame.undecoded = TRUNCATED if frame.missing else MALFORMED
        return NEED_MORE if frame.missing else NO_MATCH
    frame.at = at + header
    return FOUND


def _number(wire: memoryview, at: int) -> int:
    return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
