"""The frames of handshakes under way, kept until their outcome is known, and then masked.

Shown are the headers up to TCP's, and of the payload what belongs to the handshake: records
of type handshake, ChangeCipherSpec and alert, the header of any other record, and the line
that asks for an upgrade. All else is zeroed before a frame leaves here: application data, what
was said in clear, padding. A frame without any of it is left out, unless it begins or ends the
connection. Of an upgraded connection the SYNs are left out too: with them, what is left would
be a stream that lacks its beginning, without them it is one that was joined later.

Frames wait in a budget of octets; where it is used up, the oldest conversation's go, and are
counted. Nothing here runs, and no octet is copied, unless evidence is asked for.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from parsers import starttls
from parsers.batch import Batch
from parsers.frame import Frame
from sniffer.event import EvidenceFrame
from sniffer.track.layout import FIN, RST, SYN

MOST_FRAMES = 1024
"""Frames kept of one handshake ..."""
MOST_OCTETS = 48 << 10
"""... and their octets: a report to the daemon's server holds many handshakes."""
MOST_RECORDS = 256
"""Records of one connection that are shown; what follows them is zeroed."""
MOST_OPENINGS = 4096
"""Connections whose SYNs are kept before any payload is seen."""
OPENING_FRAMES = 4
"""SYN and SYN-ACK, each seen twice."""
LINK_ETHERNET = 1
TAG = b"\x81\x00"
"""What stood before a VLAN id that the kernel took out of a frame."""


class Captured(NamedTuple):
    """One frame as it was captured, and where its payload lies."""

    number: int
    time_ns: int
    link: int
    wire_length: int
    octets: bytes
    payload: int
    """Where the payload begins, and ..."""
    end: int
    """... ends in the octets; behind it is padding."""
    direction: int
    offset: int
    """Of the payload in its stream."""
    is_mark: bool
    """It begins or ends a connection: SYN, FIN, RST."""
    is_opening: bool
    """SYN."""


class _Kept:
    """What is kept of one conversation."""

    __slots__ = ("frames", "octets", "shown")

    def __init__(self, frames: list[Captured]) -> None:
        self.frames = frames
        self.octets = sum(len(frame.octets) for frame in frames)
        self.shown: list[tuple[int, int, int, int]] = []
        """Direction, and where in the stream a record begins, is shown to, and ends."""


class Evidence:
    """Frames by the slot of their conversation, within a budget."""

    def __init__(self, most_bytes: int) -> None:
        """Keep no more than so many octets."""
        self.lost = 0
        """Frames that belong to a handshake and were not kept, or not long enough."""
        self.in_use = 0
        """Octets held, those of settled handshakes included until they are released."""
        self._most_bytes = most_bytes
        self._openings: dict[int, list[Captured]] = {}
        self._kept: dict[int, _Kept] = {}
        self._evicted: set[int] = set()
        """Slots whose frames made room for others: half an evidence is none."""

    def keep_syn(
        self, slot: int, connection: int, batch: Batch, index: int, frame: Frame, direction: int
    ) -> None:
        """Keep a SYN without payload; its connection may have no slot yet, which is below 0."""
        if slot >= 0:
            self.keep(slot, batch, index, frame, direction, 0)
            return
        frames = [
            *self._openings.pop(connection, []),
            _captured(batch, index, frame, direction, 0),
        ]
        if len(self._openings) >= MOST_OPENINGS:
            del self._openings[next(iter(self._openings))]
        self._openings[connection] = frames[-OPENING_FRAMES:]

    def begin(self, slot: int, connection: int) -> None:
        """Give a connection its slot, and the SYNs that were kept of it."""
        self.drop(slot)
        self._kept[slot] = kept = _Kept(self._openings.pop(connection, []))
        self.in_use += kept.octets

    def keep(
        self, slot: int, batch: Batch, index: int, frame: Frame, direction: int, offset: int
    ) -> None:
        """Keep a frame of a conversation, whose payload starts at an offset of its stream."""
        if slot in self._evicted:
            self.lost += 1
            return
        kept = self._kept.get(slot)
        if kept is None:
            kept = self._kept[slot] = _Kept([])
        captured = _captured(batch, index, frame, direction, offset)
        size = len(captured.octets)
        most = MOST_FRAMES + MOST_FRAMES // 4 if captured.is_mark else MOST_FRAMES
        if len(kept.frames) >= most or kept.octets + size > MOST_OCTETS:
            self.lost += 1
            return
        while self.in_use + size > self._most_bytes:
            oldest = next(iter(self._kept))
            if oldest == slot:
                self.lost += 1
                return
            self.lost += len(self._kept[oldest].frames)
            self.drop(oldest)
            self._evicted.add(oldest)
        kept.frames.append(captured)
        kept.octets += size
        self.in_use += size

    def take_back(self, slot: int, number: int) -> None:
        """Forget the frame that was kept last, if it has this number."""
        kept = self._kept.get(slot)
        if kept is not None and kept.frames and kept.frames[-1].number == number:
            size = len(kept.frames.pop().octets)
            kept.octets -= size
            self.in_use -= size

    def show(
        self, slot: int, direction: int, start: int, end: int, until: int | None = None
    ) -> None:
        """Note a record from ``start`` to ``end`` in a stream; it is shown ``until`` there."""
        kept = self._kept.get(slot)
        if kept is not None and len(kept.shown) < MOST_RECORDS:
            kept.shown.append((direction, start, end if until is None else until, end))

    def show_answer(self, slot: int, direction: int, start: int, line: bytes) -> None:
        """Show of a server's line in clear only whether it says yes, and that it ends."""
        end = start + len(line)
        self.show(slot, direction, start, end, start + starttls.status_length(line))
        self.show(slot, direction, end - 1, end)

    def settle(
        self, slot: int, *, upgraded: bool, before: int | None = None
    ) -> tuple[EvidenceFrame, ...]:
        """Return the frames of a conversation, masked; if told, those ``before`` a number.

        They count as held until they are released; the others stay.
        """
        kept = self._kept.get(slot)
        if kept is None:
            return ()
        frames = [frame for frame in kept.frames if before is None or frame.number < before]
        kept.frames = kept.frames[len(frames) :]
        kept.octets = sum(len(frame.octets) for frame in kept.frames)
        masked = tuple(chain.from_iterable(_masked(f, kept.shown, upgraded) for f in frames))
        self.in_use += _octets(masked) - sum(len(frame.octets) for frame in frames)
        return masked

    def release(self, frames: Iterable[EvidenceFrame]) -> None:
        """Let frames go that were passed on, or will not be."""
        self.in_use -= _octets(frames)

    def drop(self, slot: int) -> None:
        """Want nothing more of a conversation."""
        self._evicted.discard(slot)
        kept = self._kept.pop(slot, None)
        if kept is not None:
            self.in_use -= kept.octets


def _captured(batch: Batch, index: int, frame: Frame, direction: int, offset: int) -> Captured:
    """Return a copy of the frame that was decoded last."""
    start = batch.starts[index]
    taken = bytes(batch.wire[start : batch.ends[index]])
    octets = restored(taken, batch.links[index], batch.vlans[index])
    more = len(octets) - len(taken)
    return Captured(
        number=batch.first_frame + index,
        time_ns=batch.times_ns[index],
        link=batch.links[index],
        wire_length=batch.wire_lengths[index] + more,
        octets=octets,
        payload=frame.at - start + more,
        end=frame.end - start + more,
        direction=direction,
        offset=offset,
        is_mark=frame.flags & (SYN | FIN | RST) != 0,
        is_opening=frame.flags & SYN != 0,
    )


def restored(octets: bytes, link: int, vlan: int) -> bytes:
    """Return a frame with the VLAN tag that the kernel took out of it."""
    if vlan < 0 or link != LINK_ETHERNET or len(octets) < 12:
        return octets
    return octets[:12] + TAG + vlan.to_bytes(2, "big") + octets[12:]


def _octets(frames: Iterable[EvidenceFrame]) -> int:
    return sum(len(frame.octets) for frame in frames)


def _masked(
    frame: Captured, shown: list[tuple[int, int, int, int]], upgraded: bool
) -> Iterable[EvidenceFrame]:
    """Yield a frame with nothing in it but what may be shown; nothing if there is none."""
    stop = frame.offset + frame.end - frame.payload
    is_wanted = frame.is_mark and not (frame.is_opening and upgraded)
    payload = bytearray(frame.end - frame.payload)
    for direction, start, until, end in shown:
        if direction != frame.direction or start >= stop or end <= frame.offset:
            continue
        is_wanted = True
        first, last = max(start, frame.offset), min(until, stop)
        if first < last:
            at = frame.payload - frame.offset
            payload[first - frame.offset : last - frame.offset] = frame.octets[
                at + first : at + last
            ]
    if is_wanted:
        rest = bytes(len(frame.octets) - frame.end)
        octets = frame.octets[: frame.payload] + payload + rest
        yield EvidenceFrame(frame.number, frame.time_ns, frame.link, frame.wire_length, octets)
