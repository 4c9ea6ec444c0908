"""IP fragments put together again, within a fixed budget.

Only what may carry a TCP segment is kept. Pieces may come in any order and twice; two that
overlap with other content drop the whole datagram, since which of them a receiver keeps
depends on the receiver (RFC 8200 section 4.5 and RFC 5722 have it dropped, too).
"""

from collections import OrderedDict

BUDGET_BYTES = 8 << 20
PIECE_OVERHEAD = 160
"""What a piece costs beside its octets."""
LONGEST_DATAGRAM = 65535
WAIT_NS = 30_000_000_000
"""How long the rest of a datagram is waited for (RFC 791 section 3.2, RFC 8200 section 4.5)."""


class Datagram:
    """The pieces of one datagram so far."""

    __slots__ = ("cost", "frames", "pieces", "since_ns", "total")
    cost: int
    frames: int
    pieces: dict[int, bytes]
    since_ns: int
    total: int | None
    """Length of all the data, once the last fragment was seen."""

    def __init__(self, since_ns: int) -> None:
        """Begin without a piece."""
        self.cost = 0
        self.frames = 0
        self.pieces = {}
        self.since_ns = since_ns
        self.total = None

    def joined(self) -> bytes | None:
        """Return all the data, or None while some are missing."""
        if self.total is None:
            return None
        at = 0
        for offset in sorted(self.pieces):
            if offset != at:
                return None
            at += len(self.pieces[offset])
        if at != self.total:
            return None
        return b"".join(self.pieces[offset] for offset in sorted(self.pieces))

    def contradicts(self, offset: int, octets: bytes) -> bool:
        """Tell whether a piece overlaps others with anything but the same again."""
        end = offset + len(octets)
        for at, piece in self.pieces.items():
            if at < end and offset < at + len(piece) and (at, piece) != (offset, octets):
                return True
        return self.total is not None and end > self.total


class Fragments:
    """Datagrams that wait for their missing fragments, the oldest first.

    ``lost`` counts the frames of those that were given up, by reason.
    """

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        """Begin empty; ``budget`` bounds the octets held."""
        self.budget = budget
        self.held = 0
        self.waiting: OrderedDict[bytes, Datagram] = OrderedDict()
        self.lost: dict[str, int] = {}

    def add(
        self, key: bytes, offset: int, octets: bytes, *, more: bool, now_ns: int
    ) -> bytes | None:
        """Add a fragment, ``offset`` in octets; return its datagram's data if it is whole now."""
        self._expire(now_ns)
        datagram = self.waiting.get(key)
        if datagram is None:
            datagram = self.waiting[key] = Datagram(now_ns)
        datagram.frames += 1
        end = offset + len(octets)
        uneven = more and len(octets) % 8 != 0
        if uneven or end > LONGEST_DATAGRAM or datagram.contradicts(offset, octets):
            self._give_up(key, "overlap" if not uneven else "malformed")
            return None
        if not more:
            if any(at + len(piece) > end for at, piece in datagram.pieces.items()):
                self._give_up(key, "overlap")
                return None
            datagram.total = end
        if offset not in datagram.pieces:
            datagram.pieces[offset] = octets
            cost = len(octets) + PIECE_OVERHEAD
            datagram.cost += cost
            self.held += cost
        data = datagram.joined()
        if data is None:
            while self.held > self.budget:
                self._give_up(next(iter(self.waiting)), "evicted")
            return None
        self.held -= datagram.cost
        del self.waiting[key]
        return data

    def finish(self) -> None:
        """Give up what is still waiting."""
        for key in list(self.waiting):
            self._give_up(key, "unfinished")

    def _expire(self, now_ns: int) -> None:
        while self.waiting:
            key, datagram = next(iter(self.waiting.items()))
            if now_ns - datagram.since_ns < WAIT_NS:
                return
            self._give_up(key, "unfinished")

    def _give_up(self, key: bytes, reason: str) -> None:
        datagram = self.waiting.pop(key)
        self.held -= datagram.cost
        self.lost[reason] = self.lost.get(reason, 0) + datagram.frames
