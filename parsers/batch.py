"""Where frames lie in one block of octets.

A source fills a batch, the pipeline reads it, and the source fills it anew: everything in
it, the octets first of all, is valid until then.
"""

from array import array

FRAMES = 8192
"""Frames a batch holds."""

NO_VLAN = -1


class Batch:
    """Octets and, for each frame in them, where it lies and what is known of it beforehand.

    ``starts`` and ``ends`` (exclusive) count from the start of ``wire``; ``wire_lengths``
    are the lengths before any snap length, ``times_ns`` nanoseconds since 1970, ``vlans``
    a VLAN id that was taken out of the frame or -1, ``links`` LINKTYPE numbers.
    """

    __slots__ = (
        "capacity",
        "count",
        "ends",
        "first_frame",
        "links",
        "now_ns",
        "starts",
        "times_ns",
        "vlans",
        "wire",
        "wire_lengths",
    )
    capacity: int
    count: int
    first_frame: int
    """Number of the first frame in its input; frames count from 1."""
    now_ns: int
    """A live source's time when no frame came: none still to come is older. Else 0."""
    wire: memoryview
    starts: memoryview
    ends: memoryview
    wire_lengths: memoryview
    times_ns: memoryview
    vlans: memoryview
    links: memoryview

    def __init__(self, capacity: int = FRAMES) -> None:
        """Make room for ``capacity`` frames."""
        self.capacity = capacity
        self.count = 0
        self.first_frame = 1
        self.now_ns = 0
        self.wire = memoryview(b"")
        self.starts = _numbers(capacity)
        self.ends = _numbers(capacity)
        self.wire_lengths = _numbers(capacity)
        self.times_ns = _numbers(capacity)
        self.vlans = _numbers(capacity)
        self.links = _numbers(capacity)

    def clear(self) -> None:
        """Forget the frames; the numbering goes on after them."""
        self.first_frame += self.count
        self.count = 0

    def is_full(self) -> bool:
        """Tell whether no further frame fits."""
        return self.count >= self.capacity

    def add(
        self, start: int, end: int, wire_length: int, time_ns: int, vlan: int, link: int
    ) -> int:
        """Add one frame and return how many there are; the caller knows that one fits."""
        at = self.count
        self.starts[at] = start
        self.ends[at] = end
        self.wire_lengths[at] = wire_length
        self.times_ns[at] = time_ns
        self.vlans[at] = vlan
        self.links[at] = link
        self.count = at + 1
        return self.count


def _numbers(count: int) -> memoryview:
    return memoryview(array("q", bytes(8 * count)))
