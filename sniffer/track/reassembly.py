"""Room for octets of a stream that cannot be read yet: some before them are missing.

All memory is taken at the start: buffers of three sizes, and for each octet a mark that
says whether it was seen, so that any order, overlap and repetition is the same simple case:
the first octet seen at a place stays, another one later is a conflict.

A buffer is in one of two lists of its size: free, or in use, the one without progress for
longest first. So taking one, and finding whose it should be, costs the same however many
there are.
"""

from array import array

from sniffer.track.layout import reserve

SIZES = (2048, 16384, 65536)
_SHARES = (4, 4, 2)
"""Each size is given this part of the budget: a quarter, a quarter, a half."""
_CLASSES = len(SIZES)

_FIELDS = 10
_OFFSET = 0
"""Where the buffer lies in the arena."""
_SIZE = 1
_BASE = 2
"""Stream offset of its first octet."""
_FILLED = 3
"""Octets from its start on without a gap."""
_TOP = 4
"""One more than the highest place in use."""
_OWNER = 5
"""What the owner asked to be known by; -1: free."""
_TOUCHED = 6
_CLASS = 7
_NEXT = 8
_PREVIOUS = 9
"""Neighbours in the list of its size; -1: none."""

_ENDS = 3
_FREE = 0
"""First of the free buffers of a size."""
_OLDEST = 1
_NEWEST = 2
"""First and last of those in use."""


class Reassembly:
    """The buffers, each known by its handle, a small number."""

    __slots__ = (
        "arena",
        "buffers",
        "conflicts",
        "count",
        "ends",
        "fields",
        "in_use",
        "marks",
        "nothing",
        "seen",
    )
    arena: memoryview
    buffers: int
    conflicts: int
    """Segments that repeated octets with other content."""
    count: int
    ends: memoryview
    fields: memoryview
    in_use: int
    """Octets of buffers in use."""
    marks: memoryview
    nothing: memoryview
    seen: memoryview
    """As many marks of either kind as the largest buffer has places."""

    def __init__(self, budget: int) -> None:
        """Reserve ``budget`` octets, half of them for the marks; pages stay untouched."""
        sizes = []
        for size, share in zip(SIZES, _SHARES, strict=True):
            sizes += [size] * max(1, budget // 2 // share // size)
        self.buffers = len(sizes)
        self.arena = reserve(sum(sizes))
        self.marks = reserve(sum(sizes))
        self.nothing = memoryview(bytearray(SIZES[-1]))
        self.seen = memoryview(bytearray(b"\x01" * SIZES[-1]))
        self.fields = memoryview(array("q", bytes(8 * _FIELDS * len(sizes))))
        self.ends = memoryview(array("q", [-1] * (_ENDS * _CLASSES)))
        at = sum(sizes)
        for handle in range(self.buffers - 1, -1, -1):
            row = handle * _FIELDS
            at -= sizes[handle]
            self.fields[row + _OFFSET] = at
            self.fields[row + _SIZE] = sizes[handle]
            self.fields[row + _CLASS] = SIZES.index(sizes[handle])
            self._put_free(handle)
        self.conflicts = 0
        self.count = 0
        self.in_use = 0

    def take(self, owner: int, base: int, size: int, now_ns: int) -> int:
        """Return the handle of an empty buffer for ``size`` octets from ``base`` on.

        -1: none that large is free.
        """
        for kind in range(_CLASSES):
            handle = self.ends[kind * _ENDS + _FREE]
            if handle < 0 or self.fields[handle * _FIELDS + _SIZE] < size:
                continue
            row = handle * _FIELDS
            self.ends[kind * _ENDS + _FREE] = self.fields[row + _NEXT]
            self.fields[row + _OWNER] = owner
            self.fields[row + _BASE] = base
            self.fields[row + _FILLED] = 0
            self.fields[row + _TOP] = 0
            self._put_newest(handle, now_ns)
            self.count += 1
            self.in_use += self.fields[row + _SIZE]
            return handle
        return -1

    def oldest(self, size: int, first: int, last: int) -> int:
        """Return who owns the buffer for ``size`` octets that made no progress for longest.

        Never one of the owners from ``first`` to ``last``; -1: there is nobody else.
        """
        found = -1
        touched = 0
        for kind in range(_CLASSES):
            handle = self.ends[kind * _ENDS + _OLDEST]
            while handle >= 0:
                row = handle * _FIELDS
                if self.fields[row + _SIZE] < size:
                    break
                owner = self.fields[row + _OWNER]
                if first <= owner <= last:
                    handle = self.fields[row + _NEXT]
                    continue
                if found < 0 or self.fields[row + _TOUCHED] < touched:
                    found = owner
                    touched = self.fields[row + _TOUCHED]
                break
        return found

    def any_owner(self) -> int:
        """Return the owner of some buffer in use, or -1."""
        for kind in range(_CLASSES):
            handle = self.ends[kind * _ENDS + _OLDEST]
            if handle >= 0:
                return self.fields[handle * _FIELDS + _OWNER]
        return -1

    def drop(self, handle: int) -> int:
        """Give a buffer back."""
        row = handle * _FIELDS
        start = self.fields[row + _OFFSET]
        top = self.fields[row + _TOP]
        self.marks[start : start + top] = self.nothing[:top]
        self._unlink(handle)
        self._put_free(handle)
        self.count -= 1
        self.in_use -= self.fields[row + _SIZE]
        return handle

    def room(self, handle: int) -> int:
        """Return how many octets the buffer has room for."""
        return self.fields[handle * _FIELDS + _SIZE]

    def base(self, handle: int) -> int:
        """Return the stream offset of the buffer's first octet."""
        return self.fields[handle * _FIELDS + _BASE]

    def place(self, handle: int, offset: int) -> int:
        """Return where in the arena the octet of a stream offset lies."""
        row = handle * _FIELDS
        return self.fields[row + _OFFSET] + offset - self.fields[row + _BASE]

    def reach(self, handle: int) -> int:
        """Return the stream offset up to which nothing is missing."""
        row = handle * _FIELDS
        return self.fields[row + _BASE] + self.fields[row + _FILLED]

    def top(self, handle: int) -> int:
        """Return the stream offset behind the last octet held."""
        row = handle * _FIELDS
        return self.fields[row + _BASE] + self.fields[row + _TOP]

    def put(
        self, handle: int, offset: int, wire: memoryview, start: int, end: int, now_ns: int
    ) -> int:
        """Put the octets from ``start`` to ``end`` at a stream offset; return how many were new.

        What lies before the buffer's base, or beyond its end, is left out.
        """
        row = handle * _FIELDS
        place = offset - self.fields[row + _BASE]
        if place < 0:
            start -= place
            place = 0
        stop = place + end - start
        if stop > self.fields[row + _SIZE]:
            stop = self.fields[row + _SIZE]
        if stop <= place:
            return 0
        origin = self.fields[row + _OFFSET]
        top = self.fields[row + _TOP]
        fresh = 0
        conflict = False
        at = place
        while at < stop and at < top:
            octet = wire[start + at - place]
            if self.marks[origin + at] == 0:
                self.marks[origin + at] = 1
                self.arena[origin + at] = octet
                fresh += 1
            elif self.arena[origin + at] != octet:
                conflict = True
            at += 1
        if at < stop:
            # Nothing was ever put there.
            fresh += stop - at
            start += at - place
            self.arena[origin + at : origin + stop] = wire[start : start + stop - at]
            self.marks[origin + at : origin + stop] = self.seen[: stop - at]
            self.fields[row + _TOP] = top = stop
            if self.fields[row + _FILLED] == at:
                self.fields[row + _FILLED] = stop
        if conflict:
            self.conflicts += 1
        filled = self.fields[row + _FILLED]
        while filled < top and self.marks[origin + filled]:
            filled += 1
        self.fields[row + _FILLED] = filled
        if fresh:
            self._unlink(handle)
            self._put_newest(handle, now_ns)
        return fresh

    def move(self, handle: int, wider: int) -> int:
        """Copy what one buffer holds into another, empty one of the same base."""
        row = handle * _FIELDS
        to = wider * _FIELDS
        source = self.fields[row + _OFFSET]
        target = self.fields[to + _OFFSET]
        top = self.fields[row + _TOP]
        self.arena[target : target + top] = self.arena[source : source + top]
        self.marks[target : target + top] = self.marks[source : source + top]
        self.fields[to + _TOP] = top
        self.fields[to + _FILLED] = self.fields[row + _FILLED]
        return wider

    def advance(self, handle: int, offset: int) -> int:
        """Forget the octets before a stream offset; return how many places are left in use."""
        row = handle * _FIELDS
        shift = offset - self.fields[row + _BASE]
        top = self.fields[row + _TOP]
        if shift <= 0:
            return top
        origin = self.fields[row + _OFFSET]
        left = top - shift if top > shift else 0
        if left:
            start = origin + shift
            self.arena[origin : origin + left] = self.arena[start : start + left]
            self.marks[origin : origin + left] = self.marks[start : start + left]
        self.marks[origin + left : origin + top] = self.nothing[: top - left]
        self.fields[row + _BASE] = offset
        self.fields[row + _TOP] = left
        filled = self.fields[row + _FILLED] - shift
        if filled < 0:
            filled = 0
        while filled < left and self.marks[origin + filled]:
            filled += 1
        self.fields[row + _FILLED] = filled
        return left

    def next_held(self, handle: int, offset: int) -> int:
        """Return the first stream offset from ``offset`` on of which the octet is held, or -1."""
        row = handle * _FIELDS
        origin = self.fields[row + _OFFSET]
        at = offset - self.fields[row + _BASE]
        if at < 0:
            at = 0
        while at < self.fields[row + _TOP]:
            if self.marks[origin + at]:
                return self.fields[row + _BASE] + at
            at += 1
        return -1

    def held_until(self, handle: int, offset: int) -> int:
        """Return the stream offset up to which all octets from ``offset`` on are held."""
        row = handle * _FIELDS
        origin = self.fields[row + _OFFSET]
        at = offset - self.fields[row + _BASE]
        while at < self.fields[row + _TOP] and self.marks[origin + at]:
            at += 1
        return self.fields[row + _BASE] + at

    def _put_free(self, handle: int) -> int:
        row = handle * _FIELDS
        end = self.fields[row + _CLASS] * _ENDS + _FREE
        self.fields[row + _OWNER] = -1
        self.fields[row + _PREVIOUS] = -1
        self.fields[row + _NEXT] = self.ends[end]
        self.ends[end] = handle
        return handle

    def _put_newest(self, handle: int, now_ns: int) -> int:
        row = handle * _FIELDS
        ends = self.fields[row + _CLASS] * _ENDS
        last = self.ends[ends + _NEWEST]
        self.fields[row + _TOUCHED] = now_ns
        self.fields[row + _PREVIOUS] = last
        self.fields[row + _NEXT] = -1
        self.ends[ends + _NEWEST] = handle
        if last < 0:
            self.ends[ends + _OLDEST] = handle
        else:
            self.fields[last * _FIELDS + _NEXT] = handle
        return handle

    def _unlink(self, handle: int) -> int:
        """Take a buffer out of the list of those in use."""
        row = handle * _FIELDS
        ends = self.fields[row + _CLASS] * _ENDS
        before = self.fields[row + _PREVIOUS]
        after = self.fields[row + _NEXT]
        if before < 0:
            self.ends[ends + _OLDEST] = after
        else:
            self.fields[before * _FIELDS + _NEXT] = after
        if after < 0:
            self.ends[ends + _NEWEST] = before
        else:
            self.fields[after * _FIELDS + _PREVIOUS] = before
        return handle
