"""How often each number from the wire came, within bounds: EtherTypes, VLANs, ports.

The first KINDS numbers have a count of their own; what came later is summed.
"""

from array import array

KINDS = 64


class Counts:
    """Exact in sum; detail for the numbers that came first."""

    __slots__ = ("_counts", "_numbers", "kinds", "rest")
    kinds: int
    """Numbers that have a count of their own."""
    rest: int
    """How often any other number came."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._numbers = memoryview(array("q", bytes(8 * KINDS)))
        self._counts = memoryview(array("q", bytes(8 * KINDS)))
        self.kinds = 0
        self.rest = 0

    def add(self, number: int) -> int:
        """Count a number once more; return how many have a count of their own."""
        for at in range(self.kinds):
            if self._numbers[at] == number:
                self._counts[at] += 1
                return self.kinds
        if self.kinds == KINDS:
            self.rest += 1
            return self.kinds
        self._numbers[self.kinds] = number
        self._counts[self.kinds] = 1
        self.kinds += 1
        return self.kinds

    def told(self) -> dict[int, int]:
        """Return the counts by number, without ``rest``."""
        return {self._numbers[at]: self._counts[at] for at in range(self.kinds)}
