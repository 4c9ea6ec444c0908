r"""The members of a zip archive, one after the other, from a file or a pipe alike.

    signature    4       "PK\3\4", per member
    version      2
    flags        2       1: encrypted, 8: sizes follow the data
    method       2
    time, date   2 + 2
    checksum     4       CRC-32 of what the member holds
    packed       4       octets of data; all ones: 64 bits in the extra field
    unpacked     4
    name length  2
    extra length 2
    name, extra
    data         packed
    descriptor           if flagged: signature "PK\7\8" (may be missing, but not behind stored
                         data), checksum, packed, unpacked; the lengths in 4 or 8 octets

Members are followed by the directory, which a pipe shows too late to be of use. It is walked
all the same: an archive that ends without its end record is cut.

Source: PKWARE's APPNOTE.TXT 6.3.10, section 4.3.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sniffer.capture.octets import Lookahead, Octets, Part
from sniffer.capture.unpack import Budget, Bzip2, Deflate, Pump, Unpacker, Xz, Zstd
from sniffer.errors import InputError

MAGIC = b"PK\x03\x04"
MAGICS = (MAGIC, b"PK\x05\x06")
"""How an archive begins; the second one has no member."""
MOST_MEMBERS = 1 << 14
LONGEST_NAME = 255

HEADER = struct.Struct("<4s3H4x3I2H")
DIRECTORY_ENTRY = b"PK\x01\x02"
DIRECTORY_ENTRY_LENGTH = 46
END = b"PK\x05\x06"
END_LENGTH = 22
LONG_END = b"PK\x06\x06"
LONG_END_LOCATOR = b"PK\x06\x07"
LONG_END_LOCATOR_LENGTH = 20
DESCRIPTOR = b"PK\x07\x08"
LONGEST_DESCRIPTOR = 24

ENCRYPTED = 1
SIZES_FOLLOW = 8
SIZES_EXTRA = 1
ALL_ONES = 0xFFFFFFFF
STORED = 0
SHORT_SIZES = struct.Struct("<3I")
LONG_SIZES = struct.Struct("<IQQ")

METHODS: dict[int, tuple[str, Callable[[int], Unpacker]]] = {
    8: ("deflate", lambda _: Deflate(wbits=-15)),
    12: ("bzip2", Bzip2),
    93: ("zstd", Zstd),
    95: ("xz", Xz),
}
FOREIGN_METHODS = {9: "Deflate64", 14: "LZMA", 98: "PPMd", 99: "AES encryption"}

MACOS_ATTRIBUTES = "__MACOSX/"
"""What macOS knows of a file beside its content; never a capture."""
SCRATCH_BYTES = 1 << 16


class Member(NamedTuple):
    """A file in an archive; to be read before the next one is asked for."""

    path: str
    octets: Octets


def members(
    path: str, packed: Lookahead, budget: Budget, memory: int
) -> Iterator[Member | InputError]:
    """Yield the files in an archive, and what cannot be read of it.

    Each is unpacked within ``memory`` octets.
    """
    count = files = 0
    while True:
        octets = bytes(packed.whole(HEADER.size))
        if not octets.startswith(MAGIC) or len(octets) < HEADER.size:
            break
        header = _header(path, packed, octets)
        if header is None:
            yield _cut(path, packed)
            return
        count += 1
        if count > MOST_MEMBERS:
            yield InputError(path, packed.taken, f"holds more than {MOST_MEMBERS} files")
            return
        data = _Data(header, packed, budget, memory)
        refused = header.refused()
        if refused is not None:
            files += 1
            yield InputError(header.path, None, refused)
        elif not header.is_no_file:
            files += 1
            yield Member(header.path, data)
        try:
            if not data.pass_over(can_unpack=refused is None):
                return
        except InputError as error:
            yield InputError(path, error.offset, error.why)
            return
    problem = _directory(path, packed)
    if problem is None and not files:
        problem = InputError(path, None, "is an archive without a file in it")
    if problem is not None:
        yield problem


class _Header(NamedTuple):
    path: str
    flags: int
    method: int
    checksum: int
    packed: int | None
    """None: what follows the data tells their length."""
    is_no_file: bool

    def refused(self) -> str | None:
        """Return why the member cannot be unpacked, and what can."""
        cure = "unpack it first: unzip, or 7z x"
        if self.flags & ENCRYPTED:
            return f"is encrypted; {cure}"
        if self.method != STORED and self.method not in METHODS:
            how = FOREIGN_METHODS.get(self.method, f"method {self.method}")
            return f"is packed with {how}; {cure}"
        return None


def _header(path: str, packed: Lookahead, octets: bytes) -> _Header | None:
    """Take a member's header; None: it does not end."""
    fields = HEADER.unpack(octets)
    _, _, flags, method, checksum, packed_length, length, name_length, extra_length = fields
    packed.take(HEADER.size)
    names = bytes(packed.whole(name_length + extra_length))
    if len(names) < name_length + extra_length:
        return None
    packed.take(len(names))
    name = names[: min(name_length, LONGEST_NAME)].decode("utf-8", "backslashreplace")
    known: int | None = packed_length
    if packed_length == ALL_ONES or length == ALL_ONES:
        known = _long_length(names[name_length:], length == ALL_ONES)
    if flags & SIZES_FOLLOW and not known:
        known = None
    is_no_file = name.endswith("/") or name.startswith(MACOS_ATTRIBUTES)
    return _Header(f"{path}:{name}", flags, method, checksum, known, is_no_file)


def _long_length(extra: bytes, is_second: bool) -> int | None:
    """Return the length of the packed data in 64 bits; it may stand behind another one."""
    at = 0
    while len(extra) - at >= 4:
        kind, size = struct.unpack_from("<HH", extra, at)
        value = extra[at + 4 : at + 4 + size][8 if is_second else 0 :][:8]
        if kind == SIZES_EXTRA and len(value) == 8:
            return int.from_bytes(value, "little")
        at += 4 + size
    return None


class _Data:
    """What a member holds, checked against its checksum."""

    def __init__(self, header: _Header, packed: Lookahead, budget: Budget, memory: int) -> None:
        self.header = header
        self.packed = packed
        self.is_over = False
        self.has_failed = False
        self._checksum = 0
        self._length = 0
        self._start = packed.taken
        self._part = None if header.packed is None else Part(packed, header.packed)
        self._read: Callable[[memoryview], int]
        if header.method in METHODS:
            name, start = METHODS[header.method]
            unpacker = start(memory)
            source = packed if self._part is None else Lookahead(self._part)
            pump = Pump(header.path, source, name, budget)
            self._read = lambda buffer: pump.read_into(buffer, unpacker)
        elif self._part is not None:
            self._read = self._part.read_into
        else:
            self._read = self._stored

    @property
    def consumed(self) -> int:
        """Octets read of the input itself."""
        return self.packed.consumed

    def read_into(self, buffer: memoryview) -> int:
        """Give up to the buffer's length of what the member holds."""
        if self.is_over:
            return 0
        try:
            count = self._read(buffer)
            self._checksum = zlib.crc32(buffer[:count], self._checksum)
            self._length += count
            if count == 0 and not self.is_over:
                self._end()
        except InputError:
            self.has_failed = True
            raise
        return count

    def pass_over(self, can_unpack: bool) -> bool:
        """Take what nobody read of the member; False: where it ends cannot be told.

        Raises InputError where that was not told yet.
        """
        if self._part is not None:
            if not self._part.skip_rest():
                if self.has_failed:
                    return False
                raise self._cut()
            if self.header.flags & SIZES_FOLLOW and not self.is_over:
                self._take_descriptor(None, None)
            return True
        if not can_unpack:
            why = "holds a file whose length is not told; what follows that is not read"
            raise InputError(self.header.path, self.packed.taken, why)
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        while not self.has_failed and self.read_into(scratch):
            pass
        return self.is_over

    def _stored(self, buffer: memoryview) -> int:
        """Give octets of unknown number, up to the descriptor that fits them."""
        piece = bytes(self.packed.next(len(buffer)))
        if not piece:
            raise self._cut()
        at = _find_start(piece, DESCRIPTOR)
        if at == 0:
            if self._take_descriptor(self._checksum, self._length):
                self.is_over = True
                return 0
            at = 1 + _find_start(piece[1:], DESCRIPTOR)
        buffer[:at] = piece[:at]
        self.packed.take(at)
        return at

    def _end(self) -> None:
        """Check what was read against what the archive says of it."""
        if self._part is not None and not self._part.skip_rest():
            raise self._cut()
        if self.header.flags & SIZES_FOLLOW:
            is_sound = self._take_descriptor(self._checksum, self._length)
        else:
            is_sound = self._checksum == self.header.checksum
        if not is_sound:
            why = "the zip data are damaged (their checksum differs)"
            raise InputError(self.header.path, self.consumed, why)
        self.is_over = True

    def _take_descriptor(self, checksum: int | None, length: int | None) -> bool:
        """Take the descriptor of these octets, if it comes next; None: whatever they were."""
        packed = self.header.packed
        if packed is None:
            packed = self.packed.taken - self._start
        octets = bytes(self.packed.whole(LONGEST_DESCRIPTOR))
        for signature in (DESCRIPTOR, b""):
            for form, most in ((SHORT_SIZES, 0xFFFFFFFF), (LONG_SIZES, 0xFFFFFFFFFFFFFFFF)):
                size = len(signature) + form.size
                if len(octets) < size or not octets.startswith(signature):
                    continue
                said = form.unpack_from(octets, len(signature))
                if (
                    said[1] == packed & most
                    and checksum in (None, said[0])
                    and (length is None or said[2] == length & most)
                ):
                    self.packed.take(size)
                    return True
        return False

    def _cut(self) -> InputError:
        return _cut(self.header.path, self.packed)


def _find_start(octets: bytes, signature: bytes) -> int:
    """Return where a signature begins that may reach beyond the octets; else their number."""
    at = octets.find(signature)
    if at >= 0:
        return at
    for length in range(len(signature) - 1, 0, -1):
        if octets.endswith(signature[:length]):
            return len(octets) - length
    return len(octets)


def _directory(path: str, packed: Lookahead) -> InputError | None:
    """Walk over what follows the members; return what is wrong with it."""
    while True:
        head = bytes(packed.whole(DIRECTORY_ENTRY_LENGTH))
        if head.startswith(DIRECTORY_ENTRY) and len(head) == DIRECTORY_ENTRY_LENGTH:
            length = DIRECTORY_ENTRY_LENGTH + sum(struct.unpack_from("<3H", head, 28))
        elif head.startswith(LONG_END) and len(head) >= 12:
            length = 12 + int.from_bytes(head[4:12], "little")
        elif head.startswith(LONG_END_LOCATOR):
            length = LONG_END_LOCATOR_LENGTH
        elif head.startswith(END) and len(head) >= END_LENGTH:
            length = END_LENGTH + int.from_bytes(head[20:22], "little")
        elif len(head) < DIRECTORY_ENTRY_LENGTH:
            return _cut(path, packed)
        else:
            why = "the zip archive is damaged: neither a file nor the end of its directory"
            return InputError(path, packed.taken, why)
        if packed.skip(length) < length:
            return _cut(path, packed)
        if head.startswith(END):
            return None


def _cut(path: str, packed: Lookahead) -> InputError:
    return InputError(path, packed.taken, "the zip archive is cut short")
