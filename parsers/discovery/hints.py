"""Whether one of some words stands in octets, whatever the case of its letters.

What is asked of most DNS answers, of which next to none are of interest, so it is told before
anything is read of them.
"""

from array import array
from collections.abc import Iterable

SHORTEST_WORD = 2
LONGEST_WORD = 63


class Hints:
    """Some words; without any, or with one that is too short to tell, every octet will do."""

    __slots__ = ("begins", "count", "lengths", "tell", "words")
    begins: memoryview
    """For each two octets whether a word begins so."""
    words: memoryview
    """Of each, LONGEST_WORD octets, in small letters."""
    lengths: memoryview
    count: int
    tell: bool

    def __init__(self, words: Iterable[bytes]) -> None:
        """Look for these words."""
        self.use(words)

    def use(self, words: Iterable[bytes]) -> None:
        """Look for other words."""
        known = sorted({word[:LONGEST_WORD].lower() for word in words})
        self.tell = bool(known) and len(min(known, key=len)) >= SHORTEST_WORD
        self.count = len(known)
        begins = bytearray(65536)
        for word in known if self.tell else ():
            begins[word[0] << 8 | word[1]] = 1
        self.begins = memoryview(begins)
        self.words = memoryview(bytearray(b"".join(w.ljust(LONGEST_WORD) for w in known) or b" "))
        self.lengths = memoryview(array("q", [len(word) for word in known] or [0]))

    def found(self, wire: memoryview, start: int, end: int) -> bool:
        """Tell whether one of them stands between ``start`` and ``end``."""
        if not self.tell:
            return True
        before = -1
        for at in range(start, end):
            octet = wire[at]
            if 0x41 <= octet <= 0x5A:
                octet |= 0x20
            if before >= 0 and self.begins[before << 8 | octet] and self._stands(wire, at - 1, end):
                return True
            before = octet
        return False

    def _stands(self, wire: memoryview, start: int, end: int) -> bool:
        """Tell whether a word begins at ``start``."""
        for number in range(self.count):
            length = self.lengths[number]
            if length > end - start:
                continue
            for at in range(length):
                octet = wire[start + at]
                if 0x41 <= octet <= 0x5A:
                    octet |= 0x20
                if octet != self.words[number * LONGEST_WORD + at]:
                    break
            else:
                return True
        return False
