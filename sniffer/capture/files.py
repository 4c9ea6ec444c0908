"""Capture files: pcap and pcapng, plain or gzip, from a file or a pipe.

Octets are read into one buffer, reused for ever; frames are parsed where they lie in it. A
file is never mapped: one that shrinks under a mapping kills the process (SIGBUS).
"""

import os
import stat
import zlib
from typing import Protocol

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.pcap import Pcap
from parsers.pcapng import Pcapng
from sniffer.capture.fingerprint import Fingerprint
from sniffer.errors import InputError

BUFFER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
"""Compressed octets read at once; what they unpack to is bounded by the buffer."""
STANDARD_INPUT = "-"
MAGIC_BYTES = 12
"""Octets that tell a format from another."""
SHORTEST_HEADER = 24
"""What a capture has at least: pcap's file header."""

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"

FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "is packed with zstd", "unpack it first: zstd -dc FILE"),
    (b"\xfd7zXZ\x00", "is packed with xz", "unpack it first: xz -dc FILE"),
    (b"BZh", "is packed with bzip2", "unpack it first: bzip2 -dc FILE"),
    (b"PK\x03\x04", "is a zip archive", "unpack it first: unzip -p FILE"),
    (b"\x04\x22\x4d\x18", "is packed with lz4", "unpack it first: lz4 -dc FILE"),
    (b"snoop\x00\x00\x00", "is a snoop capture", "convert it first: editcap -F pcap FILE -"),
    (b"RTSS", "is a Network Monitor 1 capture", "convert it first: editcap -F pcap FILE -"),
    (b"GMBU", "is a Network Monitor 2 capture", "convert it first: editcap -F pcap FILE -"),
    (b"TRSNIFF data", "is a Sniffer capture", "convert it first: editcap -F pcap FILE -"),
    (b"XCP\x00", "is a NetXray capture", "convert it first: editcap -F pcap FILE -"),
    (b"iptrace ", "is an AIX iptrace capture", "convert it first: editcap -F pcap FILE -"),
)


class Octets(Protocol):
    """A stream of octets, as they are after unpacking."""

    @property
    def consumed(self) -> int:
        """Octets read of the input itself, packed as it may be."""

    def read_into(self, buffer: memoryview) -> int:
        """Put octets at the buffer's start and return how many; 0: there are no more."""


class PlainOctets:
    """The octets of a file descriptor; of a regular file, by position."""

    def __init__(self, path: str, descriptor: int) -> None:
        """Read from an open descriptor; ``path`` is for messages."""
        self.path = path
        self.descriptor = descriptor
        self.consumed = 0
        self.by_position = stat.S_ISREG(os.fstat(descriptor).st_mode)

    def read_into(self, buffer: memoryview) -> int:
        """Read what is there, up to the buffer's length. Raises InputError."""
        try:
            if self.by_position:
                count = os.preadv(self.descriptor, [buffer], self.consumed)
            else:
                count = os.readv(self.descriptor, [buffer])
        except OSError as error:
            raise InputError(
                self.path, self.consumed, f"cannot be read ({error.strerror})"
            ) from error
        self.consumed += count
        return count


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


class GzipOctets:
    """What gzip members hold, one behind the other, unpacked into the buffer's length."""

    def __init__(self, path: str, packed: Octets) -> None:
        """Unpack ``packed``; ``path`` is for messages."""
        self.path = path
        self.packed = packed
        self.chunk = memoryview(bytearray(CHUNK_BYTES))
        self.waiting = b""
        self.member = zlib.decompressobj(wbits=31)
        self.is_inside = False
        """Inside a member: the end of input would cut it short."""

    @property
    def consumed(self) -> int:
        """Packed octets read."""
        return self.packed.consumed

    def read_into(self, buffer: memoryview) -> int:
        """Unpack up to the buffer's length. Raises InputError where the data are damaged."""
        while True:
            if not self.waiting:
                count = self.packed.read_into(self.chunk)
                if count == 0:
                    if self.is_inside:
                        raise InputError(self.path, self.consumed, "the gzip data end too early")
                    return 0
                self.waiting = bytes(self.chunk[:count])
            if not self.is_inside:
                # What follows the last member is padding, if it is zeros.
                self.waiting = self.waiting.lstrip(b"\0")
                if not self.waiting:
                    continue
                self.member = zlib.decompressobj(wbits=31)
                self.is_inside = True
            try:
                octets = self.member.decompress(self.waiting, len(buffer))
            except zlib.error as error:
                why = f"the gzip data are damaged ({error})"
                raise InputError(self.path, self.consumed, why) from error
            if self.member.eof:
                self.waiting = self.member.unused_data
                self.is_inside = False
            else:
                self.waiting = self.member.unconsumed_tail
            if octets:
                buffer[: len(octets)] = octets
                return len(octets)


class CaptureFile:
    """A source: the frames of one capture file.

    Opening it raises InputError if it is no capture. ``format`` names what it is;
    ``problem`` is what was found wrong later on: everything before it was read. Its offset
    counts the unpacked octets, or those of the file itself where gzip's own data are damaged.
    """

    def __init__(self, path: str, fingerprint: Fingerprint | None = None) -> None:
        """Open a capture and recognise its format; its octets pass by ``fingerprint``."""
        self.path = path
        self.fingerprint = fingerprint
        self.problem: InputError | None = None
        self.format = ""
        self.size: int | None = None
        self._descriptor = _open(path)
        try:
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                self.size = os.fstat(self._descriptor).st_size
            self._store = bytearray(BUFFER_BYTES)
            self._buffer = memoryview(self._store)
            self._start = 0
            self._stop = 0
            self._offset = 0
            """Offset in the stream of the buffer's first octet."""
            self._ended = False
            self._octets = self._unpacked(PlainOctets(path, self._descriptor))
            self._walker = self._recognise()
        except BaseException:
            self.close()
            raise

    @property
    def consumed(self) -> int:
        """Octets read of the file itself; of ``size``, if that is known."""
        return self._octets.consumed

    @property
    def position(self) -> int:
        """Unpacked octets up to the end of the last frame read."""
        return self._offset + self._start

    def skim(self, position: int) -> None:
        """Read on without looking for frames, until so many octets have passed."""
        while self._offset + self._stop < position:
            self._start = self._stop
            if not self._refill():
                return

    def read(self, batch: Batch) -> bool:
        """Fill the batch with the next frames; False at the end, or where it is damaged."""
        batch.clear()
        batch.wire = self._buffer
        while True:
            at = self._walker.walk(self._buffer, self._start, self._stop, batch)
            self._start = at
            if batch.count:
                return True
            if self._walker.answer == NO_MATCH:
                if not self._damaged():
                    return False
            elif not self._refill():
                if self._start < self._stop and self.problem is None:
                    self._note("the file is cut short: a record does not end")
                return False

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._descriptor > 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _unpacked(self, plain: Octets) -> Octets:
        first = bytearray()
        chunk = memoryview(bytearray(MAGIC_BYTES))
        while len(first) < MAGIC_BYTES:
            count = plain.read_into(chunk[: MAGIC_BYTES - len(first)])
            if count == 0:
                break
            first += chunk[:count]
        again = PushedBack(bytes(first), plain)
        if first[:2] == b"\x1f\x8b":
            self.format = "gz:"
            return GzipOctets(self.path, again)
        return again

    def _recognise(self) -> Pcap | Pcapng:
        """Return the walker for the container that the first octets announce."""
        pcapng = Pcapng()
        try:
            while self._stop < SHORTEST_HEADER and self._refill():
                pass
            found = pcapng.open(self._buffer, 0, self._stop)
            while found == NEED_MORE and self._refill():
                found = pcapng.open(self._buffer, 0, self._stop)
        except InputError as error:
            raise InputError(self.path, None, f"is no readable capture: {error.why}") from error
        if self._stop == 0:
            raise InputError(self.path, None, "is empty")
        pcap = Pcap()
        answer = pcap.open(self._buffer, 0, self._stop)
        if answer == FOUND:
            self._start = SHORTEST_HEADER
            self.format += "pcap"
            return pcap
        if found == FOUND:
            self.format += "pcapng"
            return pcapng
        if answer == NEED_MORE or found == NEED_MORE:
            raise InputError(self.path, self._stop, "is cut short within its header")
        octets = bytes(self._buffer[: self._stop])
        for magic, what, cure in FOREIGN:
            if octets.startswith(magic):
                where = self.path if self.path != STANDARD_INPUT else "FILE"
                cure = cure.replace("FILE", where)
                raise InputError(self.path, None, f"{what}; {cure} | hellowatch analyze -")
        raise InputError(self.path, None, "is neither a pcap nor a pcapng file")

    def _refill(self) -> bool:
        """Move what is left to the buffer's front and read behind it; False: no more came."""
        left = self._stop - self._start
        if self._start:
            self._buffer[:left] = self._buffer[self._start : self._stop]
            self._offset += self._start
            self._start, self._stop = 0, left
        if self._ended or left == BUFFER_BYTES:
            return False
        try:
            count = self._octets.read_into(self._buffer[left:])
        except InputError as error:
            self._ended = True
            if not self.format.endswith("pcap") and not self.format.endswith("pcapng"):
                raise
            self.problem = self.problem or error
            return False
        if self.fingerprint is not None:
            self.fingerprint.add(self._buffer[left : left + count])
        self._stop = left + count
        self._ended = count == 0
        return count > 0

    def _damaged(self) -> bool:
        """Note the damage where the walk stopped; go on at the next section, if there is one."""
        walker = self._walker
        if isinstance(walker, Pcap):
            self._note("the file is damaged: this is no packet record")
            return False
        self._note(f"the file is damaged: {walker.problem}")
        self._start += 1
        while True:
            at = self._store.find(SECTION_HEADER, self._start, self._stop)
            while at >= 0:
                answer = walker.open(self._buffer, at, self._stop)
                if answer != NO_MATCH:
                    self._start = at
                    if answer == FOUND:
                        return True
                    if not self._ended and self._refill():
                        break
                    # Cut short, or a header that is none and hides a whole one.
                    at = self._start
                at = self._store.find(SECTION_HEADER, at + 1, self._stop)
            else:
                self._start = max(self._start, self._stop - len(SECTION_HEADER) + 1)
                if not self._refill():
                    return False

    def _note(self, why: str) -> None:
        if self.problem is None:
            self.problem = InputError(self.path, self._offset + self._start, why)


def _open(path: str) -> int:
    """Open a capture for reading. Raises InputError."""
    if path == STANDARD_INPUT:
        return 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise InputError(path, None, f"cannot be opened ({error.strerror})") from error
    except ValueError as error:
        raise InputError(path, None, "cannot be opened (a NUL in its name)") from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return descriptor
    os.close(descriptor)
    kind = "a directory" if stat.S_ISDIR(mode) else "a device or socket"
    raise InputError(path, None, f"is {kind}, not a capture file")
