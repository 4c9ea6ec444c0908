"""What a source of frames offers the pipeline."""

from typing import Protocol

from parsers.batch import Batch


class Source(Protocol):
    """Frames, a batch at a time; the source owns the octets."""

    @property
    def frames_dropped(self) -> int:
        """Frames that arrived at the capturer and were lost, so far, as far as it tells."""

    def read(self, batch: Batch) -> bool:
        """Fill the batch, whose earlier content is void; False: there is no more.

        Blocks until there is at least one frame. A live source returns within a second all
        the same, then with an empty batch whose ``now_ns`` is the time it reached.
        """

    def close(self) -> None:
        """Give back what the source holds open."""
