"""The octets of TCP streams in order, for dissectors that see packets one at a time.

Deliberately simple, and apart from ``sniffer.track``: what two readers share cannot tell
them apart. Segments that come too early are dropped; that is one of the named rules.
"""

import struct

LONGEST = 1 << 16
MOST = 4096


class Streams:
    """What each direction of a TCP connection said so far, as long as its hello is looked for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._heard: dict[tuple[bytes, int, bytes, int], tuple[int, bytes]] = {}

    def add(
        self, ends: tuple[bytes, int, bytes, int], sequence: int, payload: bytes, is_syn: bool
    ) -> bytes:
        """Return all of a direction up to this segment; empty: it adds nothing to it."""
        if is_syn:
            self._heard[ends] = (sequence + 1 & 0xFFFFFFFF, b"")
            return b""
        if not payload:
            return b""
        due, octets = self._heard.get(ends, (sequence, b""))
        behind = due - sequence & 0xFFFFFFFF
        if behind >= len(payload) or len(octets) >= LONGEST:
            return b""
        octets += payload[behind:]
        if len(self._heard) >= MOST:
            self._heard.pop(next(iter(self._heard)))
        self._heard[ends] = (sequence + len(payload) & 0xFFFFFFFF, octets)
        return octets

    def forget(self, ends: tuple[bytes, int, bytes, int]) -> None:
        """Look for nothing more in a direction."""
        due, _ = self._heard.pop(ends)
        self._heard[ends] = (due, bytes(LONGEST))


def whole_hello(octets: bytes) -> bytes | None:
    """Return the TLS records in which a whole ClientHello lies, or None.

    Only counts octets: what they mean is for the dissector to tell.
    """
    at, message = 0, b""
    while at + 5 <= len(octets) and octets[at] == 22 and octets[at + 1] == 3:
        (length,) = struct.unpack_from("!H", octets, at + 3)
        at += 5 + length
        if at > len(octets):
            return None
        message += octets[at - length : at]
        if len(message) >= 4 and message[0] != 1:
            return None
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return octets[:at]
    return None
