"""Packed octets to plain ones: gzip, bzip2, xz and zstd, never more than a piece at once.

No call here unpacks without a bound: a few packed octets may stand for gigabytes. What an
input unpacks to, all packings inside each other together, is bounded by a ``Budget``, the
memory by the bounds below, the depth of packings by whoever stacks them.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sniffer.capture.octets import Lookahead
from sniffer.errors import InputError

PIECE_BYTES = 1 << 14
"""Packed octets handed to a library at once."""
MEMORY_BYTES = 1 << 27
"""What xz and zstd may take to unpack an input: ``xz -9`` needs 65 MiB, ``zstd -d`` accepts
a window of 128 MiB without being told."""
INNER_MEMORY_BYTES = 1 << 24
"""The same for what is packed inside something packed."""
LARGEST_ZSTD_BLOCK = 1 << 17
LONGEST_ZSTD_HEADER = 18
COMMAND_OF_ZSTD = "zstd -dc --long=31"
MOST_EMPTY = 1 << 16
"""Members, streams or frames without an octet in them."""
FREE_BYTES = 1 << 28
MOST_TIMES = 250
"""Times the size of an input that it may unpack to, beyond FREE_BYTES; captures of real
traffic stay below 100."""

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
"""Of a skippable frame's magic, after an octet from 50 to 5F."""


class Unpacker(Protocol):
    """One member, stream or frame on its way to plain octets."""

    is_over: bool

    def unpack(self, packed: Lookahead, most: int) -> bytes:
        """Take packed octets and return what they hold: about ``most`` octets, or none yet.

        None and nothing taken: the packed octets end too early. Raises Damaged, TooLarge.
        """


class Damaged(Exception):
    """The packed octets are no sound data."""


class TooLarge(Exception):
    """Unpacking would take more memory than is given to it."""

    def __init__(self, limit: int, command: str) -> None:
        """Name the bound in octets, and the command that has none."""
        super().__init__(
            f"takes more than {limit >> 20} MiB of memory to unpack; "
            f"unpack it first: {command} FILE | hellowatch analyze -"
        )


class Packing(NamedTuple):
    """A way of packing a single stream of octets."""

    word: str
    """In the format of an input, before a colon."""
    name: str
    magic: bytes
    start: Callable[[int], Unpacker]
    """Begins to unpack within so many octets of memory, where that matters."""


class Budget:
    """How much all of an input may unpack to."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self.spent = 0

    def spend(self, path: str, count: int, consumed: int) -> None:
        """Note unpacked octets; ``consumed`` octets of the input made them and all before.

        Raises InputError where they are out of all proportion.
        """
        self.spent += count
        if self.spent > FREE_BYTES + MOST_TIMES * consumed:
            why = f"unpacks to more than {MOST_TIMES} times its size: no capture does"
            raise InputError(path, consumed, why)


class Unpacked:
    """The octets in what is packed: members, streams or frames, one behind the other."""

    def __init__(
        self, path: str, packed: Lookahead, packing: Packing, budget: Budget, memory: int
    ) -> None:
        """Unpack ``packed`` within ``memory`` octets; ``path`` is for messages."""
        self.path = path
        self.packed = packed
        self.packing = packing
        self.memory = memory
        self._unpacker: Unpacker | None = None
        self._pump = Pump(path, packed, packing.name, budget)
        self._empty = 0
        self._is_empty = True

    @property
    def consumed(self) -> int:
        """Octets read of the input itself."""
        return self.packed.consumed

    def read_into(self, buffer: memoryview) -> int:
        """Unpack up to the buffer's length."""
        while True:
            if self._unpacker is None:
                if not self._is_more():
                    return 0
                self._unpacker = self.packing.start(self.memory)
                self._is_empty = True
            count = self._pump.read_into(buffer, self._unpacker)
            if count:
                self._is_empty = False
                return count
            self._unpacker = None
            if self._is_empty:
                self._empty += 1
                if self._empty > MOST_EMPTY:
                    why = f"has more than {MOST_EMPTY} empty parts of {self.packing.name} data"
                    raise InputError(self.path, self.consumed, why)

    def _is_more(self) -> bool:
        """Step over zeros, which are padding; tell whether anything follows them."""
        while True:
            piece = bytes(self.packed.next(PIECE_BYTES))
            zeros = len(piece) - len(piece.lstrip(b"\0"))
            self.packed.take(zeros)
            if zeros < len(piece) or not piece:
                return bool(piece)


class Pump:
    """Moves what an unpacker gives into buffers; what did not fit waits for the next one."""

    def __init__(self, path: str, packed: Lookahead, name: str, budget: Budget) -> None:
        """Unpack from ``packed``; ``path`` and the packing's ``name`` are for messages."""
        self.path = path
        self.packed = packed
        self.name = name
        self.budget = budget
        self.ready = b""

    def read_into(self, buffer: memoryview, unpacker: Unpacker) -> int:
        """Fill the buffer's start; 0: the unpacker is over. Raises InputError."""
        while not self.ready:
            if unpacker.is_over:
                return 0
            before = self.packed.taken
            try:
                self.ready = unpacker.unpack(self.packed, len(buffer))
            except Damaged as error:
                why = f"the {self.name} data are damaged ({error})"
                raise InputError(self.path, self.packed.consumed, why) from error
            except TooLarge as error:
                raise InputError(self.path, None, str(error)) from error
            if not self.ready and self.packed.taken == before and not unpacker.is_over:
                why = f"the {self.name} data end too early"
                raise InputError(self.path, self.packed.consumed, why)
        count = min(len(self.ready), len(buffer))
        buffer[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        self.budget.spend(self.path, count, self.packed.consumed)
        return count


class Deflate:
    """zlib's format within a wrapper: ``wbits`` 31 is gzip's (RFC 1952), -15 none."""

    def __init__(self, wbits: int) -> None:
        """Begin before the header."""
        self.is_over = False
        self._stream = zlib.decompressobj(wbits=wbits)

    def unpack(self, packed: Lookahead, most: int) -> bytes:
        """Unpack up to ``most`` octets."""
        piece = packed.next(PIECE_BYTES)
        try:
            octets = self._stream.decompress(piece, most)
        except zlib.error as error:
            raise Damaged(str(error)) from error
        self.is_over = self._stream.eof
        left = self._stream.unused_data if self.is_over else self._stream.unconsumed_tail
        packed.take(len(piece) - len(left))
        return octets


class _Buffering:
    """What bz2 and lzma have in common: they keep the packed octets they did not need yet."""

    def __init__(self, stream: bz2.BZ2Decompressor | lzma.LZMADecompressor, memory: int) -> None:
        self.is_over = False
        self._stream = stream
        self._memory = memory

    def unpack(self, packed: Lookahead, most: int) -> bytes:
        """Unpack up to ``most`` octets."""
        octets = b""
        if not self._stream.needs_input:
            octets = self._decompress(b"", most)
        if not octets and not self._stream.eof:
            piece = bytes(packed.next(PIECE_BYTES))
            packed.take(len(piece))
            octets = self._decompress(piece, most)
        self.is_over = self._stream.eof
        if self.is_over:
            packed.take(-len(self._stream.unused_data))
        return octets

    def _decompress(self, piece: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(piece, most)
        except (lzma.LZMAError, OSError, ValueError, MemoryError) as error:
            # The library tells its memory limit from damage by this sentence only.
            if isinstance(error, MemoryError) or "limit" in str(error):
                raise TooLarge(self._memory, "xz -dc") from error
            raise Damaged(str(error)) from error


class Bzip2(_Buffering):
    """One bzip2 stream; a block of at most 900 kB is unpacked at once."""

    def __init__(self, memory: int) -> None:
        """Begin before the header."""
        super().__init__(bz2.BZ2Decompressor(), memory)


class Xz(_Buffering):
    """One xz stream, within a bound of memory."""

    def __init__(self, memory: int) -> None:
        """Begin before the header."""
        super().__init__(lzma.LZMADecompressor(lzma.FORMAT_XZ, memory), memory)


class Zstd:
    """One zstd frame, block by block (RFC 8878 section 3.1.1).

        magic       4   28 B5 2F FD
        header      2 to 14
        block       3   the last one's flag, type (raw, run, compressed, reserved), length
          content   length; 1 octet of a run
        checksum    4   if the header says so

    The library unpacks all it is handed; one block holds 128 KiB at most. A skippable frame,
    magic 184D2A5x, is its length in 4 octets and what is passed over.
    """

    def __init__(self, memory: int) -> None:
        """Begin before the magic number."""
        import zstandard

        self._memory = memory
        self.is_over = False
        self._library = zstandard
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._has_checksum = False

    def unpack(self, packed: Lookahead, most: int) -> bytes:
        """Unpack one block, however many octets it holds."""
        if self._frame is None:
            return self._header(packed)
        head = packed.whole(3)
        if len(head) < 3:
            return b""
        block = head[0] | head[1] << 8 | head[2] << 16
        is_last = bool(block & 1)
        kind, length = block >> 1 & 3, block >> 3
        if length > LARGEST_ZSTD_BLOCK:
            raise Damaged(f"a block of {length} octets")
        wanted = 3 + (1 if kind == 1 else length) + (4 if is_last and self._has_checksum else 0)
        piece = packed.whole(wanted)
        if len(piece) < wanted:
            return b""
        try:
            octets = self._frame.decompress(piece)
        except self._library.ZstdError as error:
            raise Damaged(str(error)) from error
        packed.take(wanted)
        self.is_over = is_last
        return octets

    def _header(self, packed: Lookahead) -> bytes:
        first = bytes(packed.whole(LONGEST_ZSTD_HEADER))
        if first[1:4] == ZSTD_SKIPPABLE and first[0] & 0xF0 == 0x50:
            length = int.from_bytes(first[4:8], "little")
            if len(first) >= 8 and packed.skip(8 + length) == 8 + length:
                self.is_over = True
            return b""
        if not ZSTD_MAGIC.startswith(first[:4]):
            raise Damaged("no frame begins here")
        try:
            length = self._library.frame_header_size(first)
            frame = self._library.get_frame_parameters(first)
        except self._library.ZstdError as error:
            if "memory" in str(error):
                raise TooLarge(self._memory, COMMAND_OF_ZSTD) from error
            if len(first) == LONGEST_ZSTD_HEADER:
                raise Damaged(str(error)) from error
            return b""
        if frame.window_size > self._memory:
            raise TooLarge(self._memory, COMMAND_OF_ZSTD)
        if frame.dict_id:
            raise Damaged("it was packed with a dictionary of its own")
        self._has_checksum = frame.has_checksum
        library = self._library.ZstdDecompressor(max_window_size=self._memory)
        self._frame = library.decompressobj()
        self._frame.decompress(first[:length])
        packed.take(length)
        return b""


PACKINGS = (
    Packing("gz", "gzip", b"\x1f\x8b", lambda _: Deflate(wbits=31)),
    Packing("bz2", "bzip2", b"BZh", Bzip2),
    Packing("xz", "xz", b"\xfd7zXZ\x00", Xz),
    Packing("zst", "zstd", ZSTD_MAGIC, Zstd),
)


def packing_of(first: bytes) -> Packing | None:
    """Return how a stream is packed that begins like this; None: not in a way known here."""
    for packing in PACKINGS:
        if first.startswith(packing.magic):
            return packing
    if first[1:4] == ZSTD_SKIPPABLE and first[0] & 0xF0 == 0x50:
        return PACKINGS[-1]
    return None
