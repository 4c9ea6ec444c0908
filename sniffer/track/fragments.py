"""IP fragments put together again, within a fixed budget.

Only what may carry a TCP segment is kept. Pieces may come in any order and twice; two that
overlap with other content drop the whole datagram, since which of them a receiver keeps
depends on the receiver (RFC 8200 section 4.5 and RFC 5722 have it dropped, too).
"""

from bisect import bisect_left, insort
from collections import OrderedDict

BUDGET_BYTES = 8 << 20
PIECE_OVERHEAD = 160
"""What a piece costs beside its octets."""
LONGEST_DATAGRAM = 65535
WAIT_NS = 30_000_000_000
"""How long the rest of a datagram is waited for (RFC 791 section 3.2, RFC 8200 section 4.5)."""


class Datagram:
    """The pieces of one datagram so far; no two of them overlap."""

    __slots__ = ("cost", "end", "frames", "held", "pieces", "since_ns", "starts", "total")
    cost: int
    end: int
    """Behind the last octet held."""
    frames: int
    held: int
    """Octets held."""
    pieces: dict[int, bytes]
    since_ns: int
    starts: list[int]
    """Where the pieces begin, sorted."""
    total: int | None
    """Length of all the data, once the last fragment was seen."""

    def __init__(self, since_ns: int) -> None:
        """Begin without a piece."""
        self.cost = 0
        self.end = 0
        self.frames = 0
        self.held = 0
        self.pieces = {}
        self.since_ns = since_ns
        self.starts = []
        self.total = None

    def contradicts(self, offset: int, octets: bytes) -> bool:
        """Tell whether a piece overlaps others with anything but the same again."""
        same = self.pieces.get(offset)
        if same is not None:
            return same != octets
        end = offset + len(octets)
        place = bisect_left(self.starts, offset)
        if place and self._end_of(self.starts[place - 1]) > offset:
            return True
        if place < len(self.starts) and self.starts[place] < end:
            return True
        return self.total is not None and end > self.total

    def put(self, offset: int, octets: bytes) -> int:
        """Take in a piece that contradicts none; return what it costs."""
        if offset in self.pieces:
            return 0
        insort(self.starts, offset)
        self.pieces[offset] = octets
        self.held += len(octets)
        self.end = max(self.end, offset + len(octets))
        cost = len(octets) + PIECE_OVERHEAD
        self.cost += cost
        return cost

    def joined(self) -> bytes | None:
        """Return all the data, or None while some are missing."""
        if self.held != self.total:
            return None
        return b"".join(self.pieces[start] for start in self.starts)

    def _end_of(self, start: int) -> int:
        return start + len(self.pieces[start])


class Fragments:
    """Datagrams that wait for their missing fragments, the oldest first.

    ``lost`` counts the frames of those that were given up, by reason; with ``headed_only``
    only where the first fragment was seen: without it nobody knows what it was.
    """

    def __init__(self, budget: int = BUDGET_BYTES, *, headed_only: bool = False) -> None:
        """Begin empty; ``budget`` bounds the octets held."""
        self.budget = budget
        self.headed_only = headed_only
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
            if datagram.end > end:
                self._give_up(key, "overlap")
                return None
            datagram.total = end
        self.held += datagram.put(offset, octets)
        data = datagram.joined()
        if data is None:
            while self.held > self.budget:
                self._give_up(next(iter(self.waiting)), "evicted")
            return None
        self.held -= datagram.cost
        del self.waiting[key]
        return data

    def forget(self, key: bytes) -> None:
        """Let go of a datagram that turned out to be of no interest."""
        datagram = self.waiting.pop(key, None)
        if datagram is not None:
            self.held -= datagram.cost

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
        if 0 in datagram.pieces or not self.headed_only:
            self.lost[reason] = self.lost.get(reason, 0) + datagram.frames
