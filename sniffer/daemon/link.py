"""Reports from a worker to the serving process, over a Unix stream socket.

    length       4      big-endian; of the report, in octets
    report              msgpack

and back, for each report that was judged and passed on:

    number       8      big-endian; this report and all before it need not be told again

While the reader is away, or slow, reports wait. A new reader is told again what the one
before it did not confirm. Beyond the bound the oldest that wait are dropped and their
handshakes counted, so that ``hellos = judged + unreported``.
"""

import os
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sniffer.event import Dialogue, Handshake, Sighting
from sniffer.inventory.coverage import Coverage
from sniffer.survey import Facts

LONGEST_REPORT = 16 << 20
"""Octets; far more than a worker packs into one. Longer is no report."""
MOST_HANDSHAKES = 256
"""Handshakes, dialogues, or sightings, in one report."""
_LENGTH = struct.Struct("!I")
_NUMBER = struct.Struct("!Q")
_CHUNK = 1 << 18


class LinkError(Exception):
    """What came is no report."""


class State(Struct, frozen=True, kw_only=True):
    """What a worker saw and lost since its start, and what it is at."""

    coverage: Coverage
    skipped: int
    """Frames of the loopback interface on their way out; in no other count."""
    is_up: bool
    up_seconds: float
    flows: int
    reassembly_bytes: int
    reported: int
    """Handshakes in this report and in those before it, without the unreported."""
    unreported: int
    """Handshakes dropped because the reader was away too long."""
    facts: Facts | None = None
    """What the doctor's survey found; None: nobody asked for one."""
    unheard: int = 0
    """Dialogues dropped for the same reason."""
    unsighted: int = 0
    """Sightings dropped for the same reason."""


class Report(Struct, frozen=True, array_like=True):
    """Some handshakes, in the order in which they were settled, and the counters."""

    number: int
    now_ns: int
    """The frame time the worker had reached: what it settles from now on is later."""
    handshakes: tuple[Handshake, ...]
    state: State
    dialogues: tuple[Dialogue, ...] = ()
    """Ended in clear, each after the handshakes before it."""
    sightings: tuple[Sighting, ...] = ()
    """In the order of their frames, none later than ``now_ns``."""


class _Waiting(NamedTuple):
    number: int
    handshakes: int
    dialogues: int
    sightings: int
    octets: bytes


class Sender:
    """The worker's end. Nothing here ever waits for the reader."""

    def __init__(self, most_bytes: int) -> None:
        """Hold at most so many octets for a reader who is away."""
        self.unreported = 0
        """Handshakes dropped."""
        self.unheard = 0
        """Dialogues dropped."""
        self.unsighted = 0
        """Sightings dropped."""
        self.handshakes = 0
        """Handshakes handed over to ``send``."""
        self._most_bytes = most_bytes
        self._encoder = msgspec.msgpack.Encoder()
        self._number = 0
        self._descriptor = -1
        self._waiting: deque[_Waiting] = deque()
        self._unconfirmed: deque[_Waiting] = deque()
        """Written, the last one perhaps by half."""
        self._partial = b""
        self._held_bytes = 0
        self._answers = b""

    @property
    def is_confirmed(self) -> bool:
        """Whether the reader has judged everything."""
        return not self._waiting and not self._unconfirmed

    def connect(self, descriptor: int) -> None:
        """Write to another reader from now on; a socket that does not block, ours to close."""
        self._disconnect()
        self._descriptor = descriptor

    def send(
        self,
        now_ns: int,
        handshakes: Sequence[Handshake],
        state: State,
        dialogues: Sequence[Dialogue] = (),
        sightings: Sequence[Sighting] = (),
    ) -> None:
        """Tell these facts and counters. ``state.reported`` is filled in here."""
        most = max(1, len(handshakes), len(dialogues), len(sightings))
        for start in range(0, most, MOST_HANDSHAKES):
            part = tuple(handshakes[start : start + MOST_HANDSHAKES])
            heard = tuple(dialogues[start : start + MOST_HANDSHAKES])
            sighted = tuple(sightings[start : start + MOST_HANDSHAKES])
            self._number += 1
            self.handshakes += len(part)
            told = msgspec.structs.replace(
                state,
                reported=self.handshakes - self.unreported,
                unreported=self.unreported,
                unheard=self.unheard,
                unsighted=self.unsighted,
            )
            report = Report(self._number, now_ns, part, told, heard, sighted)
            octets = self._encoder.encode(report)
            if self._waiting and not any(self._waiting[-1][1:4]):
                # Counters alone: the newer ones say it all.
                self._held_bytes -= len(self._waiting.pop().octets)
            whole = _LENGTH.pack(len(octets)) + octets
            counts = len(part), len(heard), len(sighted)
            self._waiting.append(_Waiting(self._number, *counts, whole))
            self._held_bytes += len(whole)
        while self._held_bytes > self._most_bytes and len(self._waiting) > 1:
            oldest = self._waiting.popleft()
            self._held_bytes -= len(oldest.octets)
            self.unreported += oldest.handshakes
            self.unheard += oldest.dialogues
            self.unsighted += oldest.sightings
        self.flush()

    def flush(self) -> None:
        """Write what the reader takes now, and read what it confirms."""
        try:
            while self._descriptor >= 0:
                if not self._partial:
                    if not self._waiting:
                        break
                    self._unconfirmed.append(self._waiting.popleft())
                    self._partial = self._unconfirmed[-1].octets
                written = os.write(self._descriptor, self._partial)
                self._partial = self._partial[written:]
        except BlockingIOError:
            pass
        except OSError:
            self._disconnect()
        self._read_answers()

    def close(self) -> None:
        """Write no more."""
        self._disconnect()

    def _read_answers(self) -> None:
        if self._descriptor < 0:
            return
        try:
            octets = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._disconnect()
            return
        self._answers += octets
        whole = len(self._answers) - len(self._answers) % _NUMBER.size
        for (number,) in _NUMBER.iter_unpack(self._answers[:whole]):
            while self._unconfirmed and self._unconfirmed[0].number <= number:
                self._held_bytes -= len(self._unconfirmed.popleft().octets)
        self._answers = self._answers[whole:]

    def _disconnect(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._waiting.extendleft(reversed(self._unconfirmed))
        self._unconfirmed.clear()
        self._partial = self._answers = b""


class Receiver:
    """The reader's end of one worker's link."""

    def __init__(self, descriptor: int) -> None:
        """Read from a socket that does not block, ours to close."""
        self._descriptor = descriptor
        self._decoder = msgspec.msgpack.Decoder(Report)
        self._octets = bytearray()
        self.is_over = False
        """The worker ended, and everything it wrote was read."""

    def fileno(self) -> int:
        """Return the descriptor; it polls readable when there is something to read."""
        return self._descriptor

    def receive(self) -> list[Report]:
        """Return the reports that are there; there may be more to read.

        Raises LinkError if something else came.
        """
        try:
            octets = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            octets = b""
        if not octets:
            self.is_over = True
            return []
        self._octets += octets
        reports: list[Report] = []
        at = 0
        with memoryview(self._octets) as whole:
            while len(whole) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(whole, at)
                if length > LONGEST_REPORT:
                    raise LinkError(f"a report of {length} octets")
                start, end = at + _LENGTH.size, at + _LENGTH.size + length
                if end > len(whole):
                    break
                with whole[start:end] as octets_of_one:
                    reports.append(self._decode(octets_of_one))
                at = end
        del self._octets[:at]
        return reports

    def confirm(self, number: int) -> None:
        """Say that this report and all before it were judged and passed on."""
        with suppress(OSError):
            os.write(self._descriptor, _NUMBER.pack(number))

    def close(self) -> None:
        """Read no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self.is_over = True

    def _decode(self, octets: memoryview) -> Report:
        try:
            return self._decoder.decode(octets)
        except msgspec.DecodeError as error:
            raise LinkError(str(error)) from error
