"""The frames of handshakes as a capture file: pcapng, times in nanoseconds.

    section header   0x0A0D0D0A   one for each process that writes
    interface        1            one for each link type, when its first frame comes
    enhanced packet  6            a frame, whatever is no handshake in it zeroed

Every block is written whole. Where that fails, what was written of it is cut off again, so
that the file stays a capture.

Source: draft-ietf-opsawg-pcapng, sections 4.1 to 4.3.
"""

import heapq
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO

from sniffer.event import EvidenceFrame, Handshake

SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
INTERFACE = struct.Struct("<IIHHIHHB3xHH")
PACKET = struct.Struct("<IIIIIII")
TSRESOL = 9
NANOSECONDS = 9
SNAP_LENGTH = 262_144
LINK_ETHERNET = 1
COMMENT = struct.Struct("<HH")
END_OF_OPTIONS = bytes(4)

HORIZON_NS = 60_000_000_000
"""A frame waits for older ones of handshakes settled later, no longer than this ..."""
MOST_WAITING = 8 << 20
"""... and while those that wait have fewer octets."""


class CaptureWriter:
    """Frames into one file, in the order of their times."""

    def __init__(self, out: FileIO, *, in_order: bool) -> None:
        """Write to ``out``, which stays the caller's; the section header at once.

        ``in_order`` False: nothing waits, and only the frames of one handshake are in order.
        """
        self._out = out
        self._in_order = in_order
        self._waiting: list[tuple[int, int, int, EvidenceFrame, str]] = []
        self._waiting_octets = 0
        self._count = 0
        self._newest_ns = 0
        self._buffer = bytearray()
        self._ends: list[int] = []
        """Where blocks end in the buffer."""
        self._interfaces: dict[int, int] = {}
        self._pid = -1
        self._begin_section()

    def write(self, handshake: Handshake) -> None:
        """Write the frames that show a handshake."""
        self.add(handshake.evidence)

    def add(self, frames: Iterable[EvidenceFrame], comment: str = "") -> None:
        """Write frames, each with a comment where there is one."""
        if os.getpid() != self._pid:
            # Another server goes on in the file: which interfaces it has is not known here.
            self._begin_section()
        for frame in frames:
            self._count += 1
            self._waiting_octets += len(frame.octets)
            self._newest_ns = max(self._newest_ns, frame.time_ns)
            waiting = (frame.time_ns, frame.number, self._count, frame, comment)
            heapq.heappush(self._waiting, waiting)
        while self._waiting and (
            not self._in_order
            or self._waiting[0][0] < self._newest_ns - HORIZON_NS
            or self._waiting_octets > MOST_WAITING
        ):
            self._write_oldest()

    def flush(self) -> None:
        """Hand over what is whole. Raises OSError; what was written stays a capture."""
        done = 0
        try:
            while done < len(self._buffer):
                done += self._out.write(self._buffer[done:]) or 0
        except OSError:
            self._cut(done)
            raise
        finally:
            self._buffer.clear()
            self._ends.clear()

    def finish(self) -> None:
        """Write what waited: no more will come."""
        while self._waiting:
            self._write_oldest()
        if not self._interfaces:
            self._interface(LINK_ETHERNET)  # some readers take a file without one for damaged
        self.flush()

    def _write_oldest(self) -> None:
        *_, frame, comment = heapq.heappop(self._waiting)
        self._waiting_octets -= len(frame.octets)
        interface = self._interfaces.get(frame.link)
        if interface is None:
            interface = self._interface(frame.link)
        captured = len(frame.octets)
        head = PACKET.pack(
            6,
            0,
            interface,
            frame.time_ns >> 32 & 0xFFFFFFFF,
            frame.time_ns & 0xFFFFFFFF,
            captured,
            frame.wire_length,
        )
        self._block(head + _padded(frame.octets) + _options(comment))

    def _interface(self, link: int) -> int:
        number = self._interfaces[link] = len(self._interfaces)
        self._block(INTERFACE.pack(1, 0, link, 0, SNAP_LENGTH, TSRESOL, 1, NANOSECONDS, 0, 0))
        return number

    def _block(self, octets: bytes) -> None:
        """Add a block, its length filled in at both ends."""
        length = struct.pack("<I", len(octets) + 4)
        self._add(octets[:4] + length + octets[8:] + length)

    def _begin_section(self) -> None:
        self._pid = os.getpid()
        self._interfaces.clear()
        self._add(SECTION)

    def _add(self, block: bytes) -> None:
        self._buffer += block
        self._ends.append(len(self._buffer))

    def _cut(self, done: int) -> None:
        """Take back the part of a block that was written last."""
        whole = max((end for end in self._ends if end <= done), default=0)
        with suppress(OSError):  # a pipe takes nothing back
            self._out.truncate(self._out.tell() - (done - whole))


def _options(comment: str) -> bytes:
    if not comment:
        return b""
    octets = comment.encode()
    return COMMENT.pack(1, len(octets)) + _padded(octets) + END_OF_OPTIONS


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
