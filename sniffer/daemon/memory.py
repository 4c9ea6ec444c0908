"""Keeps what lives on out of the garbage collector's way.

Its full walk over 50,000 devices takes longer than a scrape may, and holds up all threads.
"""

import gc

SETTLE_AFTER = 10_000
"""Handshakes; what so many leave behind is walked in a fraction of a scrape's time."""


class Memory:
    """Settles once enough was counted. For the process that holds the devices."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._counted = 0

    def count(self, handshakes: int) -> None:
        """Take note of handshakes that left something behind."""
        self._counted += handshakes
        if self._counted >= SETTLE_AFTER:
            settle()
            self._counted = 0


def settle() -> None:
    """Collect what is garbage by now, and never walk the rest again.

    That still goes once nothing refers to it; only a cycle that breaks away later would stay.
    """
    gc.collect()
    gc.freeze()
