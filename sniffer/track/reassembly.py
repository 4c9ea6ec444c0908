"""Room for octets of a stream that cannot be read yet: some before them are missing.

All memory is taken at the start: buffers of three sizes, and for each octet a mark that
says whether it was seen, so that any order, overlap and repetition is the same simple case:
the first octet seen at a place stays, another one later is a conflict.
"""

from array import array

SIZES = (2048, 16384, 65536)
_FIELDS = 8
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


class Reassembly:
    """The buffers, each known by its handle, a small number."""

    __slots__ = ("arena", "buffers", "conflicts", "count", "fields", "in_use", "marks")
    arena: memoryview
    buffers: int
    conflicts: int
    """Segments that repeated octets with other content."""
    count: int
    fields: memoryview
    in_use: int
    """Octets of buffers in use."""
    marks: memoryview

    def __init__(self, budget: int) -> None:
        """Reserve ``budget`` octets, half of them for the marks; pages stay untouched."""
        half = budget // 2
        sizes = []
        for size, share in zip(SIZES, (4, 4, 2), strict=True):
            sizes += [size] * max(1, half // share // size)
        self.buffers = len(sizes)
        self.arena = memoryview(bytearray(sum(sizes)))
        self.marks = memoryview(bytearray(sum(sizes)))
        self.fields = memoryview(array("q", bytes(8 * _FIELDS * len(sizes))))
        at = 0
        for handle, size in enumerate(sizes):
            row = handle * _FIELDS
            self.fields[row + _OFFSET] = at
            self.fields[row + _SIZE] = size
            self.fields[row + _OWNER] = -1
            at += size
        self.conflicts = 0
        self.count = 0
        self.in_use = 0

    def take(self, owner: int, base: int, size: int, now_ns: int) -> int:
        """Return the handle of an empty buffer for ``size`` octets from ``base`` on.

        -1: none that large is free.
        """
        for handle in range(self.buffers):
            row = handle * _FIELDS
            if self.fields[row + _OWNER] < 0 and self.fields[row + _SIZE] >= size:
                self.fields[row + _OWNER] = owner
                self.fields[row + _BASE] = base
                self.fields[row + _FILLED] = 0
                self.fields[row + _TOP] = 0
                self.fields[row + _TOUCHED] = now_ns
                self.count += 1
                self.in_use += self.fields[row + _SIZE]
                return handle
        return -1

    def oldest(self, size: int, owner: int) -> int:
        """Return who owns the buffer for ``size`` octets that was untouched for longest.

        Never ``owner`` itself; -1: there is nobody else.
        """
        found = -1
        touched = 0
        for handle in range(self.buffers):
            row = handle * _FIELDS
            other = self.fields[row + _OWNER]
            if other < 0 or other == owner or self.fields[row + _SIZE] < size:
                continue
            if found < 0 or self.fields[row + _TOUCHED] < touched:
                found = other
                touched = self.fields[row + _TOUCHED]
        return found

    def drop(self, handle: int) -> int:
        """Give a buffer back."""
        row = handle * _FIELDS
        start = self.fields[row + _OFFSET]
        for at in range(start, start + self.fields[row + _TOP]):
            self.marks[at] = 0
        self.fields[row + _OWNER] = -1
        self.count -= 1
        self.in_use -= self.fields[row + _SIZE]
        return handle

    def room(self, handle: int) -> int:
        """Return how many octets the buffer has room for."""
        return self.fields[handle * _FIELDS + _SIZE]

    def base(self, handle: int) -> int:
        """Return the stream offset of the buffer's first octet."""
        return self.fields[handle * _FIELDS + _BASE]

    def start(self, handle: int) -> int:
        """Return where in the arena the buffer lies."""
        return self.fields[handle * _FIELDS + _OFFSET]

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
        origin = self.fields[row + _OFFSET]
        fresh = 0
        conflict = False
        at = place
        while at < stop:
            octet = wire[start + at - place]
            if self.marks[origin + at] == 0:
                self.marks[origin + at] = 1
                self.arena[origin + at] = octet
                fresh += 1
            elif self.arena[origin + at] != octet:
                conflict = True
            at += 1
        if conflict:
            self.conflicts += 1
        if stop > self.fields[row + _TOP]:
            self.fields[row + _TOP] = stop
        filled = self.fields[row + _FILLED]
        while filled < self.fields[row + _TOP] and self.marks[origin + filled]:
            filled += 1
        self.fields[row + _FILLED] = filled
        if fresh:
            self.fields[row + _TOUCHED] = now_ns
        return fresh

    def move(self, handle: int, wider: int) -> int:
        """Copy what one buffer holds into another, empty one of the same base."""
        row = handle * _FIELDS
        to = wider * _FIELDS
        source = self.fields[row + _OFFSET]
        target = self.fields[to + _OFFSET]
        for at in range(self.fields[row + _TOP]):
            self.arena[target + at] = self.arena[source + at]
            self.marks[target + at] = self.marks[source + at]
        self.fields[to + _TOP] = self.fields[row + _TOP]
        self.fields[to + _FILLED] = self.fields[row + _FILLED]
        return wider

    def advance(self, handle: int, offset: int) -> int:
        """Forget the octets before a stream offset; return how many are left in use."""
        row = handle * _FIELDS
        shift = offset - self.fields[row + _BASE]
        top = self.fields[row + _TOP]
        if shift <= 0:
            return top
        origin = self.fields[row + _OFFSET]
        left = top - shift if top > shift else 0
        for at in range(left):
            self.arena[origin + at] = self.arena[origin + at + shift]
            self.marks[origin + at] = self.marks[origin + at + shift]
        for at in range(left, top):
            self.marks[origin + at] = 0
        self.fields[row + _BASE] = offset
        self.fields[row + _TOP] = left
        filled = 0
        while filled < left and self.marks[origin + filled]:
            filled += 1
        self.fields[row + _FILLED] = filled
        return left

    def next_island(self, handle: int) -> int:
        """Return the stream offset of the first octet held behind a gap, or -1."""
        row = handle * _FIELDS
        origin = self.fields[row + _OFFSET]
        at = self.fields[row + _FILLED]
        while at < self.fields[row + _TOP]:
            if self.marks[origin + at]:
                return self.fields[row + _BASE] + at
            at += 1
        return -1
