"""Capture files: pcap, pcapng and snoop, plain or packed, from a file or a pipe.

Octets are read into one buffer, reused for ever; frames are parsed where they lie in it. A
file is never mapped: one that shrinks under a mapping kills the process (SIGBUS).
"""

import os
import stat
from collections.abc import Generator, Iterator
from typing import NamedTuple

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.pcap import Pcap
from parsers.pcapng import Pcapng
from parsers.snoop import Snoop
from sniffer.capture import archive
from sniffer.capture.damage import pass_over, resume
from sniffer.capture.fingerprint import Fingerprint
from sniffer.capture.foreign import refusal
from sniffer.capture.octets import Lookahead, Octets, PlainOctets, PushedBack
from sniffer.capture.unpack import (
    INNER_MEMORY_BYTES,
    MEMORY_BYTES,
    Budget,
    Unpacked,
    packing_of,
)
from sniffer.capture.window import Window
from sniffer.errors import InputError

BUFFER_BYTES = 1 << 20
STANDARD_INPUT = "-"
MAGIC_BYTES = 12
"""Octets that tell a packing from another."""
TELLING_BYTES = 512
"""Octets that tell what a file is that is no capture."""
DEEPEST = 3
"""Packings inside each other."""
CUT_SHORT = "the file is cut short: a record does not end"

Walker = Pcap | Pcapng | Snoop


def captures(
    path: str, *, fingerprinted: bool = False, descriptor: int | None = None
) -> Generator["CaptureFile | InputError", None, None]:
    """Yield the captures in an input, and what in it is none: an archive holds several.

    Each is to be read before the next one is asked for; closing the iterator closes the
    input. A member of an archive has the path ``FILE:MEMBER``. Of an input that is open
    already, as ``descriptor``, the path is a name alone.
    """
    try:
        opened = _Input(path, descriptor)
    except InputError as error:
        yield error
        return
    try:
        store = bytearray(BUFFER_BYTES)
        damaged = ""
        for content in opened.contents:
            if isinstance(content, InputError):
                # What ended a capture may end the archive, too; it was told.
                if not damaged.startswith(f"{content.path}:"):
                    yield content
                continue
            try:
                capture = CaptureFile(content, store, fingerprinted=fingerprinted)
            except InputError as error:
                yield error
            else:
                yield capture
                damaged = "" if capture.problem is None else capture.path
    finally:
        opened.close()


class Content(NamedTuple):
    """What may be a capture, in an input: unpacked, its format still to be told."""

    path: str
    octets: Octets
    packings: str
    """Their words, the outermost first, each with a colon."""
    size: int | None
    """Of the input itself, if it is known."""


class _Input:
    """An input, opened, and the contents of it, one after the other."""

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self.descriptor = _open(path) if descriptor is None else descriptor
        plain = PlainOctets(path, self.descriptor)
        self.contents = self._inside(path, plain, plain.size, Budget(), "")

    def first(self) -> Content:
        """Return the first of the contents. Raises InputError if there is none."""
        content = next(self.contents)  # there is one: an archive without is told as one
        if isinstance(content, InputError):
            raise content
        return content

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.descriptor > 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _inside(
        self, path: str, octets: Octets, size: int | None, budget: Budget, packings: str
    ) -> Iterator[Content | InputError]:
        """Yield what is in a stream, unpacked as often as it was packed."""
        first = bytearray()
        chunk = memoryview(bytearray(MAGIC_BYTES))
        try:
            while len(first) < MAGIC_BYTES:
                count = octets.read_into(chunk[: MAGIC_BYTES - len(first)])
                if count == 0:
                    break
                first += chunk[:count]
        except InputError as error:
            yield _unreadable(path, error)
            return
        octets = PushedBack(bytes(first), octets)
        packing = packing_of(bytes(first))
        is_archive = first.startswith(archive.MAGICS)
        if packing is None and not is_archive:
            yield Content(path, octets, packings, size)
            return
        if packings.count(":") == DEEPEST:
            yield InputError(path, None, f"is packed more than {DEEPEST} times over")
            return
        memory = INNER_MEMORY_BYTES if packings.replace("zip:", "") else MEMORY_BYTES
        packed = Lookahead(octets)
        if packing is not None:
            octets = Unpacked(path, packed, packing, budget, memory)
            yield from self._inside(path, octets, size, budget, f"{packings}{packing.word}:")
            return
        for member in archive.members(path, packed, budget, memory):
            if isinstance(member, InputError):
                yield member
            else:
                yield from self._inside(member.path, member.octets, size, budget, f"{packings}zip:")


class CaptureFile:
    """A source: the frames of one capture.

    Opening it raises InputError if it is no capture. ``format`` names what it is, its
    packings first; ``problem`` is what was found wrong later on: everything before it was
    read. Its offset counts the unpacked octets, or those of the file itself where packed data
    are damaged.
    """

    def __init__(
        self,
        capture: "str | Content",
        store: bytearray | None = None,
        *,
        fingerprinted: bool = False,
    ) -> None:
        """Recognise a capture: the first one in the input at a path, or what was found in one.

        ``store`` is the buffer to read into. ``fingerprinted``: its octets are to be known
        again.
        """
        self.problem: InputError | None = None
        self._input: _Input | None = None
        try:
            if isinstance(capture, str):
                self._input = _Input(capture)
                capture = self._input.first()
            self.path = capture.path
            self.size = capture.size
            self.fingerprint = Fingerprint() if fingerprinted else None
            self._window = Window(
                capture.octets, store or bytearray(BUFFER_BYTES), self.fingerprint
            )
            word, self._walker = self._recognise(is_packed=bool(capture.packings))
            self.format = capture.packings + word
        except BaseException:
            self.close()
            raise

    @property
    def consumed(self) -> int:
        """Octets read of the file itself; of ``size``, if that is known."""
        return self._window.octets.consumed

    @property
    def frames_dropped(self) -> int:
        """Frames that the capturer says it lost, as far as the capture was read."""
        return 0 if isinstance(self._walker, Pcap) else self._walker.dropped

    @property
    def position(self) -> int:
        """Unpacked octets up to the end of the last frame read."""
        return self._window.at

    def skim(self, position: int) -> None:
        """Read on without looking for frames, until so many octets have passed."""
        window = self._window
        while window.offset + window.stop < position:
            window.start = window.stop
            if not window.refill():
                return

    def read(self, batch: Batch) -> bool:
        """Fill the batch with the next frames; False at the end, or where it is damaged."""
        window = self._window
        batch.clear()
        batch.wire = window.buffer
        try:
            while True:
                window.start = self._walker.walk(window.buffer, window.start, window.stop, batch)
                if batch.count:
                    return True
                if not self._go_on():
                    break
        except InputError as error:
            self.problem = self.problem or error
        self._look_for_more()
        return False

    def close(self) -> None:
        """Close the input, if it was opened here."""
        if self._input is not None:
            self._input.close()

    def _recognise(self, is_packed: bool) -> tuple[str, Walker]:
        """Return the word and the walker for the container that the first octets announce."""
        window = self._window
        walkers: tuple[tuple[str, Walker], ...] = (
            ("pcap", Pcap()),
            ("pcapng", Pcapng()),
            ("snoop", Snoop()),
        )
        try:
            while True:
                answers = [w.open(window.buffer, 0, window.stop) for _, w in walkers]
                if FOUND in answers or NEED_MORE not in answers or not window.refill():
                    break
            if FOUND not in answers:
                while window.stop < TELLING_BYTES and window.refill():
                    pass
        except InputError as error:
            raise _unreadable(self.path, error) from error
        for (word, walker), answer in zip(walkers, answers, strict=True):
            if answer == FOUND:
                window.start = walker.header_length
                return word, walker
        if window.stop == 0:
            raise InputError(self.path, None, "is empty")
        if NEED_MORE in answers:
            raise InputError(self.path, window.stop, "is cut short within its header")
        octets = bytes(window.buffer[: min(window.stop, TELLING_BYTES)])
        why = refusal(octets, None if is_packed or self.path == STANDARD_INPUT else self.path)
        raise InputError(self.path, None, why or "is neither a pcap nor a pcapng file")

    def _go_on(self) -> bool:
        """Make the next walk possible, where the last one found no frame; False: none is."""
        window, walker = self._window, self._walker
        if walker.answer != NO_MATCH:
            if isinstance(walker, Pcapng) and walker.large:
                return self._pass_over(walker, walker.large)
            if window.refill():
                return True
            if window.start < window.stop:
                self._note(CUT_SHORT, window.at)
            return False
        if not isinstance(walker, Pcapng):
            self._note("the file is damaged: this is no packet record", window.at)
            return False
        self._note(f"the file is damaged: {walker.problem}", window.at)
        if walker.after:
            window.start = walker.after
            return True
        window.start += 1
        return resume(window, walker)

    def _pass_over(self, walker: Pcapng, length: int) -> bool:
        """Step over a block that is too large to be held and has no frame in it."""
        window = self._window
        begin = window.at
        if not pass_over(window, length):
            self._note(CUT_SHORT, begin)
            return False
        if walker.ends_with(window.buffer, window.start, length):
            return True
        self._note("the file is damaged: a block whose two lengths differ", begin)
        return resume(window, walker)

    def _look_for_more(self) -> None:
        """Note that an archive, read as one capture, holds more than this one."""
        more = None if self._input is None else next(self._input.contents, None)
        if more is not None and self.problem is None:
            why = more.why if isinstance(more, InputError) else f"{more.path} is left out"
            self.problem = InputError(self.path, None, f"is not all of the archive: {why}")

    def _note(self, why: str, offset: int) -> None:
        if self.problem is None:
            self.problem = InputError(self.path, offset, why)


def _unreadable(path: str, error: InputError) -> InputError:
    return InputError(path, None, f"is no readable capture: {error.why}")


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
