"""What every source of frames offers."""

from typing import Protocol

from parsers.batch import Batch


class Source(Protocol):
    """Frames, a batch at a time; the source owns the octets."""

    def read(self, batch: Batch) -> bool:
        """Fill the batch, whose earlier content is void; False: there is no more.

        Blocks until there is at least one frame. A live source returns within a second all
        the same, then with an empty batch whose ``now_ns`` is the time it reached.
        """

    def close(self) -> None:
        """Give back what the source holds open."""
