"""Octets of an input, as they come: of a descriptor, looked at ahead, or a part of others."""

import os
import stat
from typing import Protocol

from sniffer.errors import InputError

AHEAD_BYTES = 1 << 18
"""Octets read ahead of a packing; the largest zstd block fits."""
BEGINNING_BYTES = 1 << 12
"""Octets that tell whether a file was overwritten while it was read."""


class Octets(Protocol):
    """A stream of octets."""

    @property
    def consumed(self) -> int:
        """Octets read of the input itself, packed as it may be."""

    def read_into(self, buffer: memoryview) -> int:
        """Put octets at the buffer's start and return how many; 0: there are no more.

        Raises InputError.
        """


class PlainOctets:
    """The octets of a file descriptor; of a regular file, by position.

    A regular file is read to its end as it is then, so that one that grows is read as far as
    it has grown. What became of it meanwhile is told at that end: octets that were there at
    the beginning and are gone, or were exchanged for others. One that was renamed or removed
    is whole for whoever has it open.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        """Read from an open descriptor; ``path`` is for messages."""
        self.path = path
        self.descriptor = descriptor
        self.consumed = 0
        self._opened = os.fstat(descriptor)
        self._by_position = stat.S_ISREG(self._opened.st_mode)
        self._beginning = b""

    @property
    def size(self) -> int | None:
        """Octets of a regular file when it was opened."""
        return self._opened.st_size if self._by_position else None

    def read_into(self, buffer: memoryview) -> int:
        """Read what is there, up to the buffer's length."""
        try:
            if not self._by_position:
                count = os.readv(self.descriptor, [buffer])
            else:
                count = os.preadv(self.descriptor, [buffer], self.consumed)
                if self.consumed < BEGINNING_BYTES:
                    self._beginning += buffer[: min(count, BEGINNING_BYTES - self.consumed)]
                if count == 0:
                    self._check_end()
        except OSError as error:
            raise InputError(
                self.path, self.consumed, f"cannot be read ({error.strerror})"
            ) from error
        self.consumed += count
        return count

    def _check_end(self) -> None:
        now = os.fstat(self.descriptor)
        if now.st_size < self.consumed or self.consumed < self._opened.st_size:
            why = "the file was truncated while it was read"
            raise InputError(self.path, min(now.st_size, self.consumed), why)
        if now.st_mtime_ns != self._opened.st_mtime_ns:
            beginning = os.pread(self.descriptor, len(self._beginning), 0)
            if beginning != self._beginning:
                why = "the file was overwritten while it was read"
                raise InputError(self.path, self.consumed, why)


class PushedBack:
    """Octets that were read to tell the format, then the rest."""

    def __init__(self, first: bytes, rest: Octets) -> None:
        """Put ``first`` before ``rest``."""
        self.first = first
        self.rest = rest

    @property
    def consumed(self) -> int:
        """Octets read of the input itself."""
        return self.rest.consumed

    def read_into(self, buffer: memoryview) -> int:
        """Give the first octets again, then read on."""
        if not self.first:
            return self.rest.read_into(buffer)
        count = min(len(self.first), len(buffer))
        buffer[:count] = self.first[:count]
        self.first = self.first[count:]
        return count


class Lookahead:
    """A stream whose next octets can be looked at before they are taken."""

    def __init__(self, octets: Octets) -> None:
        """Look ahead in ``octets``."""
        self._octets = octets
        self._chunk = memoryview(bytearray(AHEAD_BYTES))
        self._at = 0
        self._stop = 0
        self._read = 0

    @property
    def consumed(self) -> int:
        """Octets read of the input itself, those looked at included."""
        return self._octets.consumed

    @property
    def taken(self) -> int:
        """Octets of this stream taken so far."""
        return self._read - (self._stop - self._at)

    def next(self, most: int) -> memoryview:
        """Return what comes next: at least one octet, unless there are no more.

        Valid until octets are looked at again.
        """
        if self._at == self._stop:
            self._at, self._stop = 0, 0
            self._fill()
        return self._chunk[self._at : min(self._stop, self._at + most)]

    def whole(self, count: int) -> memoryview:
        """Return the next ``count`` octets, at most AHEAD_BYTES; fewer only at the end."""
        if self._stop - self._at < count and self._at:
            left = self._stop - self._at
            self._chunk[:left] = self._chunk[self._at : self._stop]
            self._at, self._stop = 0, left
        while self._stop - self._at < count and self._fill():
            pass
        return self._chunk[self._at : min(self._stop, self._at + count)]

    def take(self, count: int) -> None:
        """Take octets that were looked at; a negative number gives some of them back."""
        self._at += count

    def skip(self, count: int) -> int:
        """Take the next ``count`` octets, whatever they are; return how many there were."""
        left = count
        while left:
            got = len(self.next(left))
            if got == 0:
                break
            self.take(got)
            left -= got
        return count - left

    def _fill(self) -> bool:
        count = self._octets.read_into(self._chunk[self._stop :])
        self._stop += count
        self._read += count
        return count > 0


class Part:
    """The next so many octets of a stream, as a stream of their own."""

    def __init__(self, whole: Lookahead, length: int) -> None:
        """Give ``length`` octets of ``whole``."""
        self.whole = whole
        self.left = length

    @property
    def consumed(self) -> int:
        """Octets read of the input itself."""
        return self.whole.consumed

    def read_into(self, buffer: memoryview) -> int:
        """Give what is left of the part, up to the buffer's length."""
        piece = self.whole.next(min(self.left, len(buffer)))
        count = len(piece)
        buffer[:count] = piece
        self.whole.take(count)
        self.left -= count
        return count

    def skip_rest(self) -> bool:
        """Take what nobody read; False: the stream ends before the part does."""
        self.left -= self.whole.skip(self.left)
        return self.left == 0
