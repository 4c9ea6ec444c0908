"""What an input is known by, whatever it is called and however it is packed.

Its unpacked octets pass by here as they are read. Kept are a digest of the first ones and the
newest ones themselves, so that a mark can be made at any position not long passed.
"""

from hashlib import sha256

SPAN_BYTES = 64 << 10
"""Octets under each digest."""
WINDOW_BYTES = 2 << 20
"""Newest octets kept: a span, and more than is ever read ahead."""


class Fingerprint:
    """Digests of an input's octets. ``count`` of them have passed."""

    def __init__(self) -> None:
        """Begin before the first octet."""
        self.count = 0
        self._head = sha256()
        self._window = bytearray()

    def add(self, octets: memoryview) -> None:
        """Let the next octets pass."""
        if self.count < SPAN_BYTES:
            self._head.update(octets[: SPAN_BYTES - self.count])
        self.count += len(octets)
        self._window += octets
        if len(self._window) > 2 * WINDOW_BYTES:
            del self._window[:-WINDOW_BYTES]

    @property
    def head(self) -> bytes:
        """SHA-256 of the first 64 KiB, or of what there was of them."""
        return self._head.digest()

    def tail(self, position: int) -> bytes | None:
        """Return the SHA-256 of the 64 KiB before a position; None: it passed too long ago."""
        window_start = self.count - len(self._window)
        start = max(0, position - SPAN_BYTES)
        if not window_start <= start <= position <= self.count:
            return None
        with memoryview(self._window) as window:
            return sha256(window[start - window_start : position - window_start]).digest()
