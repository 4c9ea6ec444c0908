"""The pipeline over many inputs: their order, and what became of each."""

import gc
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from parsers.batch import Batch
from sniffer.capture.files import STANDARD_INPUT, CaptureFile, captures
from sniffer.capture.source import Source
from sniffer.config import IdentifySettings, InventorySettings, Ports, Relay, TrackSettings
from sniffer.errors import InputError
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.profile import Profile, wanted_names
from sniffer.judge.verdict import Judge
from sniffer.log import one_line
from sniffer.pipeline import Enough, Limit, Pipeline, Sink
from sniffer.survey import Facts, Survey
from sniffer.track.discovery import listen
from sniffer.track.tracker import Tracker

if TYPE_CHECKING:
    from sniffer.inventory.store.intake import Intake
    from sniffer.inventory.store.recorder import Recorder

log = logging.getLogger(__name__)

KEY_OCTETS = 16

WALK_AFTER = (50_000, 50, 10)
"""Objects made, and walks over younger ones, before the garbage collector walks."""


def walk_rarely() -> None:
    """Let the garbage collector walk rarely: for a process that does nothing but analyse.

    Facts refer to nothing that refers back, so there is next to nothing to collect, and
    hundreds of thousands of devices to walk over.
    """
    gc.set_threshold(*WALK_AFTER)


class Input(Struct, frozen=True, kw_only=True):
    """One input of an analysis, as the summary tells it (contract section 4)."""

    path: str
    format: str | None
    status: str
    """ok, known (ok, and the store had it already), partial (damaged or cut; all before that
    was read) or failed."""
    frames: int
    problem: str | None = None

    def told(self) -> dict[str, Any]:
        """Return the input as the summary lists it."""
        return {
            "path": one_line(self.path),
            "format": self.format,
            "status": self.status,
            "frames": self.frames,
            "problem": None if self.problem is None else one_line(self.problem),
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
        identify: IdentifySettings | None = None,
        sinks: tuple[Sink, ...] = (),
        waiting: AbstractContextManager[object] | None = None,
        limit: Limit | None = None,
        surveyed: bool = False,
        relays: Sequence[Relay] = (),
        keep_evidence: bool = False,
    ) -> None:
        """Begin with nothing read; ``forced`` judges every hello by one profile.

        ``waiting`` is entered around whatever may block: opening and reading. ``surveyed``:
        ``facts`` tell what is wrong with the pictures.
        """
        self.ports = ports
        self.profiles = profiles
        self.forced = forced
        self.relays = relays
        self.track = track or TrackSettings()
        self.identify = identify or IdentifySettings()
        self.sinks = sinks
        self.waiting = waiting or nullcontext()
        self.limit = limit
        self.keep_evidence = keep_evidence
        self.aggregate = Aggregate(inventory or InventorySettings(), ports, profiles)
        self.coverage = Coverage()
        self.facts = Facts() if surveyed else None
        self.inputs: list[Input] = []
        self.recorder: Recorder | None = None
        """What takes what is counted into a store, if there is one."""

    def read(
        self,
        path: str,
        progress: Callable[[CaptureFile], None] | None = None,
        descriptor: int | None = None,
    ) -> None:
        """Read the captures in one input; what is wrong with them is noted and logged.

        ``descriptor``: the input is open already, and ``path`` only its name. Raises what
        ``waiting`` raises, and Enough when the limit is reached.
        """
        is_kept = self.recorder is not None
        with closing(captures(path, fingerprinted=is_kept, descriptor=descriptor)) as sources:
            while True:
                with self.waiting:
                    source = next(sources, None)
                if source is None:
                    return
                if isinstance(source, InputError):
                    self.refuse(source)
                else:
                    self._read(source, progress, self._intake(source, path))

    def _intake(self, source: CaptureFile, path: str) -> "Intake | None":
        """Return what takes a capture into the store, where there is one."""
        if self.recorder is None:
            return None
        from sniffer.inventory.store.intake import Intake

        return Intake(self.recorder, source, path)

    def _read(
        self,
        source: CaptureFile,
        progress: Callable[[CaptureFile], None] | None,
        intake: "Intake | None",
    ) -> None:
        tracker = Tracker(
            self.track,
            self.ports,
            os.urandom(KEY_OCTETS),
            path=source.path,
            keep_evidence=self.keep_evidence,
            discovery=listen(self.identify, wanted_names(self.profiles)),
            keep_octets=intake is not None,
        )
        judge = Judge(self.ports, self.profiles, self.forced, self.relays)
        pipeline = Pipeline(
            tracker,
            judge,
            self.aggregate,
            self.sinks,
            waiting=self.waiting,
            limit=self.limit,
        )
        survey = None if self.facts is None else Survey(self.ports)
        if intake is not None:
            intake.begin(pipeline.coverage, lambda: tracker.frames)

        def report() -> None:
            if intake is not None:
                intake.step()
            if progress is not None:
                progress(source)

        is_over = is_whole = is_known = False
        try:
            pipeline.run(source if survey is None else _Surveyed(source, survey), report)
            is_over = is_whole = True
        except Enough:
            is_over = True
            raise
        finally:
            self.coverage.merge(pipeline.coverage())
            if self.facts is not None and survey is not None:
                self.facts.merge(survey.facts())
            log_mistakes(tracker)
            log_evidence_lost(source.path, tracker.counters().evidence_lost)
            if intake is not None:
                is_known = intake.end(is_whole)
            self.inputs.append(input_read(source, tracker.frames, is_over, is_known))

    def refuse(self, error: InputError) -> None:
        """Note an input that cannot be read at all."""
        log.error("%s", error)
        self.inputs.append(
            Input(path=error.path, format=None, status="failed", frames=0, problem=_problem(error))
        )


class _Surveyed:
    """A source whose batches a survey looks at first."""

    def __init__(self, source: Source, survey: Survey) -> None:
        self._source = source
        self._survey = survey

    @property
    def frames_dropped(self) -> int:
        return self._source.frames_dropped

    def read(self, batch: Batch) -> bool:
        has_more = self._source.read(batch)
        if has_more:
            self._survey.observe(batch)
        return has_more

    def close(self) -> None:
        self._source.close()


def input_read(
    source: CaptureFile, frames: int, is_over: bool = True, is_known: bool = False
) -> Input:
    """Return what became of an input; what is wrong with it is logged.

    ``is_over`` False: somebody ended the reading before its time. ``is_known``: the store had
    all of it already.
    """
    log.info("A capture was read", {"path": source.path, "frames": frames})
    problem = source.problem
    why = None if is_over else "the reading was ended before its end"
    if problem is not None:
        log.warning("%s", problem)
        why = _problem(problem)
    return Input(
        path=source.path,
        format=source.format,
        status="partial" if why is not None else "known" if is_known else "ok",
        frames=frames,
        problem=why,
    )


def _problem(error: InputError) -> str:
    return error.why if error.offset is None else f"{error.why} at offset {error.offset}"


def log_mistakes(tracker: Tracker) -> None:
    """Log what went wrong with frames by our own fault; they were counted as ``internal``."""
    for error in tracker.counters().internal_errors:
        log.error("a frame could not be handled: our mistake", {"error": error})


def log_evidence_lost(path: str, frames: int) -> None:
    """Say how many frames of handshakes could not be kept, if any."""
    if frames:
        fields = {"path": path, "frames": frames}
        log.warning("Frames of handshakes found no room and were not written", fields)


def expand(paths: Iterable[str]) -> Iterator[str | InputError]:
    """Yield the inputs of a command line: a directory stands for the regular files in it.

    By path, recursively; symbolic links are not followed. A directory without a file, or one
    that cannot be looked into, is yielded as an error.
    """
    for path in paths:
        if path == STANDARD_INPUT or not os.path.isdir(path):
            yield path
            continue
        unreadable: list[InputError] = []

        def note(error: OSError, unreadable: list[InputError] = unreadable) -> None:
            why = f"cannot be looked into ({error.strerror})"
            unreadable.append(InputError(str(error.filename), None, why))

        found = [
            file
            for folder, _, names in os.walk(path, onerror=note)
            for file in (os.path.join(folder, name) for name in names)
            if _is_regular(file)
        ]
        yield from sorted(found)
        yield from unreadable
        if not found and not unreadable:
            yield InputError(path, None, "is a directory without a file in it")


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True  # gone meanwhile; whoever opens it will say so
