"""A capture file on its way into the store, which may have been read before.

A regular file is skimmed first where one that begins like it was read before. A pipe cannot
be: what it showed before is recognised by the ids of its handshakes, and as a whole at its end.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import closing

from sniffer.capture.files import CaptureFile
from sniffer.capture.fingerprint import SPAN_BYTES
from sniffer.errors import InputError
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Mark, Reached
from sniffer.inventory.store.recorder import Recorder, Seen
from sniffer.inventory.store.writer import Writer

FILES = ""
"""The sensor that capture files count as."""


class Intake:
    """One capture, opened to be fingerprinted."""

    def __init__(self, recorder: Recorder, source: CaptureFile, path: str) -> None:
        """Look whether the capture in the input at a path was read before. Raises StoreError."""
        self._source = source
        self._recorder = recorder
        self._writer = recorder.writer
        self._reading = secrets.token_hex(8)
        self._is_done = False
        self._known: Reached | None = None
        if source.path == path and os.path.isfile(path):
            with self._writer.database.errors():
                self._known = _known(self._writer, path)
        self._tells_coverage = self._known is None

    def begin(self, coverage: Callable[[], Coverage], frames: Callable[[], int]) -> None:
        """Have what is counted from now on written as this input's."""
        self._coverage = coverage
        self._frames = frames
        known = self._known
        counted = known.frames if known is not None and known.is_done else 0
        self._recorder.follow(self._sensors, self._reached, skip_frames=counted)

    def step(self) -> None:
        """Write what is due, between two batches. Raises StoreError."""
        known = self._known
        if known is not None and not self._tells_coverage and self._frames() > known.frames:
            # What the store was told of the frames before is not told again.
            self._recorder.leave_out(FILES, self._coverage())
            self._tells_coverage = True
        self._recorder.step()

    def end(self, is_whole: bool) -> bool:
        """Write the last of it; True if the store had it all. Raises StoreError.

        ``is_whole``: it was read to where it ends, or where it is damaged.
        """
        known = self._known or self._recognised()
        self._is_done = is_whole
        had_all = is_whole and known is not None and known.is_done and known.mark == self._mark()
        self._tells_coverage = self._tells_coverage and not had_all
        if had_all:
            self._reading = known.reading if known is not None else self._reading
        self._recorder.flush()
        return had_all

    def _sensors(self) -> dict[str, Seen]:
        return {FILES: Seen(self._coverage())} if self._tells_coverage else {}

    def _reached(self) -> Reached | None:
        mark = self._mark()
        return (
            None
            if mark is None
            else Reached(
                reading=self._reading,
                path=self._source.path,
                mark=mark,
                frames=self._frames(),
                is_done=self._is_done,
            )
        )

    def _mark(self) -> Mark | None:
        return mark(self._source, self._source.position)

    def _recognised(self) -> Reached | None:
        mark = self._mark()
        known = [] if mark is None else self._writer.known_inputs(mark.head)
        return next((one for one in known if one.mark == mark), None)


def mark(source: CaptureFile, position: int) -> Mark | None:
    """Return what a capture is known by up to a position; None: it passed too long ago."""
    fingerprint = source.fingerprint
    tail = None if fingerprint is None else fingerprint.tail(position)
    return None if fingerprint is None or tail is None else Mark(fingerprint.head, position, tail)


def _known(writer: Writer, path: str) -> Reached | None:
    """Return the furthest reading that this file begins with."""
    found = None
    try:
        with closing(CaptureFile(path, fingerprinted=True)) as source:
            source.skim(SPAN_BYTES)
            assert source.fingerprint is not None  # noqa: S101 (tells mypy, always true)
            for known in reversed(writer.known_inputs(source.fingerprint.head)):
                source.skim(known.mark.position)
                if mark(source, known.mark.position) == known.mark:
                    found = known
    except InputError:
        return None  # whoever reads it in earnest will say so
    return found
