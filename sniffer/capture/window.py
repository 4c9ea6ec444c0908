"""The part of a capture that lies in memory: one buffer, reused for ever."""

from sniffer.capture.fingerprint import Fingerprint
from sniffer.capture.octets import Octets


class Window:
    """Octets from ``start`` to ``stop`` of a buffer, and the stream behind them."""

    def __init__(
        self, octets: Octets, store: bytearray, fingerprint: Fingerprint | None = None
    ) -> None:
        """Look at ``octets`` through ``store``; all that is read passes by ``fingerprint``."""
        self.fingerprint = fingerprint
        self.octets = octets
        self.store = store
        self.buffer = memoryview(store)
        self.start = 0
        self.stop = 0
        self.offset = 0
        """Offset in the stream of the buffer's first octet."""
        self._is_over = False

    @property
    def at(self) -> int:
        """Offset in the stream of the first octet that is left."""
        return self.offset + self.start

    def refill(self) -> bool:
        """Move what is left to the buffer's front and read behind it; False: no more came.

        Raises InputError, once: the stream is over then.
        """
        left = self.stop - self.start
        if self.start:
            self.buffer[:left] = self.buffer[self.start : self.stop]
            self.offset += self.start
            self.start, self.stop = 0, left
        if self._is_over or left == len(self.buffer):
            return False
        self._is_over = True
        count = self.octets.read_into(self.buffer[left:])
        self._is_over = count == 0
        if self.fingerprint is not None:
            self.fingerprint.add(self.buffer[left : left + count])
        self.stop = left + count
        return count > 0
