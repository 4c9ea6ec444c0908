"""The pipeline over many inputs: their order, and what became of each."""

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from sniffer.capture.files import STANDARD_INPUT, CaptureFile
from sniffer.config import InventorySettings, Ports, TrackSettings
from sniffer.errors import InputError
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.profile import Profile
from sniffer.judge.verdict import Judge
from sniffer.pipeline import Pipeline, Sink
from sniffer.track.tracker import Tracker

log = logging.getLogger(__name__)

KEY_OCTETS = 16


class Input(Struct, frozen=True, kw_only=True):
    """One input of an analysis, as the summary tells it (contract section 4)."""

    path: str
    format: str | None
    status: str
    """ok, partial (damaged or cut; all before that was read) or failed."""
    frames: int
    problem: str | None = None

    def told(self) -> dict[str, Any]:
        """Return the input as the summary lists it."""
        return {
            "path": self.path,
            "format": self.format,
            "status": self.status,
            "frames": self.frames,
            "problem": self.problem,
        }


class Analysis:
    """Captures, one after the other, into one aggregate."""

    def __init__(
        self,
        ports: Ports,
        profiles: Mapping[str, Profile],
        *,
        forced: Profile | None = None,
        track: TrackSettings | None = None,
        inventory: InventorySettings | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> None:
        """Begin with nothing read; ``forced`` judges every hello by one profile."""
        self.ports = ports
        self.profiles = profiles
        self.forced = forced
        self.track = track or TrackSettings()
        self.sinks = sinks
        self.aggregate = Aggregate(inventory or InventorySettings(), ports, profiles)
        self.coverage = Coverage()
        self.inputs: list[Input] = []

    def read(self, path: str, progress: Callable[[CaptureFile], None] | None = None) -> None:
        """Read one capture; what is wrong with it is noted in ``inputs`` and logged."""
        try:
            source = CaptureFile(path)
        except InputError as error:
            log.error("%s", error)
            self._note(path, None, "failed", 0, error.why)
            return
        tracker = Tracker(self.track, self.ports, os.urandom(KEY_OCTETS), path=path)
        judge = Judge(self.ports, self.profiles, self.forced)
        pipeline = Pipeline(tracker, judge, self.aggregate, self.sinks)
        report = None if progress is None else lambda: progress(source)
        try:
            pipeline.run(source, report)
        finally:
            source.close()
            self.coverage.merge(pipeline.coverage())
            for error_text in tracker.counters().internal_errors:
                log.error("a frame could not be handled: our mistake", {"error": error_text})
            problem = source.problem
            if problem is not None:
                log.warning("%s", problem)
            status = "ok" if problem is None else "partial"
            why = None if problem is None else _told(problem)
            self._note(path, source.format, status, tracker.frames, why)

    def _note(
        self, path: str, form: str | None, status: str, frames: int, problem: str | None
    ) -> None:
        self.inputs.append(
            Input(path=path, format=form, status=status, frames=frames, problem=problem)
        )


def expand(paths: Iterable[str]) -> Iterator[str]:
    """Yield the inputs of a command line: a directory stands for the regular files in it.

    By path, recursively; symbolic links to directories are not followed.
    """
    for path in paths:
        if path != STANDARD_INPUT and os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    found = os.path.join(folder, name)
                    if stat.S_ISREG(os.lstat(found).st_mode):
                        yield found
        else:
            yield path


def _told(problem: InputError) -> str:
    return problem.why if problem.offset is None else f"{problem.why} at offset {problem.offset}"
