"""A handshake that was kept, as frames for Wireshark: its messages, and nothing else.

The messages are octet by octet what was seen, and so are addresses, ports, VLAN and time. What
they travelled in is made anew around them, and each frame says so in its comment.
"""

import struct
from collections.abc import Iterable

from parsers.tls.facts import SSL_3_0
from sniffer.event import EvidenceFrame, Side
from sniffer.export.evidence import LINK_ETHERNET
from sniffer.inventory.store.exhibits import Exhibit

HANDSHAKE = 22
ALERT = 21
CLIENT_MAC = bytes.fromhex("020000000001")
SERVER_MAC = bytes.fromhex("020000000002")
"""Locally administered: nobody's. The client's is its own where that is known."""
ETHERTYPE = {4: 0x0800, 16: 0x86DD}
VLAN = 0x8100
TCP = 6
HOP_LIMIT = 64
WINDOW = 65_535
SYN, PSH, ACK = 0x02, 0x08, 0x10
UPGRADES = {
    "imap": (b"a STARTTLS\r\n", b"a OK\r\n"),
    "pop3": (b"STLS\r\n", b"+OK \r\n"),
    "smtp": (b"STARTTLS\r\n", b"220 \r\n"),
}
"""What is put before an upgraded connection's hello, or nobody would look for one there."""


def frames(exhibit: Exhibit, source: bytes, mac: bytes | None) -> list[EvidenceFrame]:
    """Return the frames of a handshake of the device at ``source``."""
    talk = _Talk(exhibit, source, mac)
    if exhibit.starttls is None:
        talk.open()
    else:
        for side, line in zip(Side, UPGRADES[exhibit.starttls], strict=False):
            talk.say(side, line)
    hello = exhibit.hello
    if exhibit.record_version is not None:
        hello = _record(HANDSHAKE, exhibit.record_version, hello)
    talk.say(Side.CLIENT, hello)
    answer = b""
    if exhibit.answer:
        answer = _record(HANDSHAKE, exhibit.answer_version, exhibit.answer)
    alert = b""
    if exhibit.alert is not None:
        octets = bytes((exhibit.alert.level, exhibit.alert.description))
        alert = _record(ALERT, exhibit.answer_version or exhibit.record_version, octets)
    if exhibit.alert_sender is Side.CLIENT:
        talk.say(Side.SERVER, answer)
        talk.say(Side.CLIENT, alert)
    else:
        talk.say(Side.SERVER, answer + alert)
    return talk.frames


def comment(exhibit: Exhibit) -> str:
    """Return what is true and what is made up of the frames of a handshake."""
    where = f"frame {exhibit.frame}" + (f" of {exhibit.path}" if exhibit.path else ", seen live")
    return (
        f"Rebuilt by HelloWatch from what it kept of {where}: TLS messages, addresses, ports and "
        "the time of the hello are as seen; all else is made up."
    )


def _record(content_type: int, version: int | None, octets: bytes) -> bytes:
    return struct.pack("!BHH", content_type, version or SSL_3_0, len(octets)) + octets


class _Talk:
    """One connection, frame by frame."""

    def __init__(self, exhibit: Exhibit, source: bytes, mac: bytes | None) -> None:
        self.frames: list[EvidenceFrame] = []
        self._exhibit = exhibit
        destination = bytes.fromhex(exhibit.destination)
        client = (source, exhibit.source_port, mac or CLIENT_MAC)
        server = (destination, exhibit.destination_port, SERVER_MAC)
        self._ends = {Side.CLIENT: (client, server), Side.SERVER: (server, client)}
        self._said = {Side.CLIENT: 0, Side.SERVER: 0}

    def open(self) -> None:
        """Begin the connection."""
        self._send(Side.CLIENT, SYN)
        self._said[Side.CLIENT] += 1
        self._send(Side.SERVER, SYN | ACK)
        self._said[Side.SERVER] += 1

    def say(self, side: Side, octets: bytes) -> None:
        """Have one side say something; nothing is no frame."""
        if octets:
            self._send(side, PSH | ACK, octets)
            self._said[side] += len(octets)

    def _send(self, side: Side, flags: int, payload: bytes = b"") -> None:
        (source, port, mac), (to, to_port, to_mac) = self._ends[side]
        number = self._said[side]
        other = self._said[Side.SERVER if side is Side.CLIENT else Side.CLIENT]
        acknowledged = other if flags & ACK else 0
        head = (port, to_port, number, acknowledged, 5 << 4, flags, WINDOW)
        segment = struct.pack("!HHIIBBHHH", *head, 0, 0)
        length = len(segment) + len(payload)
        pseudo = source + to + struct.pack("!IHH", length, 0, TCP)
        segment = struct.pack("!HHIIBBHHH", *head, _checksum(pseudo, segment, payload), 0)
        exhibit = self._exhibit
        tag = b"" if exhibit.vlan is None else struct.pack("!HH", VLAN, exhibit.vlan)
        kind = struct.pack("!H", ETHERTYPE[len(source)])
        octets = to_mac + mac + tag + kind + _ip(source, to, length) + segment + payload
        self.frames.append(
            EvidenceFrame(exhibit.frame, exhibit.time_ns, LINK_ETHERNET, len(octets), octets)
        )


def _ip(source: bytes, destination: bytes, length: int) -> bytes:
    """Return the IP header before so many octets of TCP."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, length, TCP, HOP_LIMIT) + source + destination
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, HOP_LIMIT, TCP, 0)
    checked = _checksum(head, source, destination)
    return head[:10] + struct.pack("!H", checked) + source + destination


def _checksum(*parts: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    octets = b"".join(parts)
    total = sum(_words(octets + bytes(len(octets) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _words(octets: bytes) -> Iterable[int]:
    return struct.unpack(f"!{len(octets) // 2}H", octets)
