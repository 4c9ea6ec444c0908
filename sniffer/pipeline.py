"""source > tracker > judge > aggregate, and whoever wants the events on the way.

This alone knows all of them. Time comes with the frames.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from parsers.batch import Batch
from sniffer.capture.source import Source
from sniffer.event import Handshake, Judgement, Sighting, SightingSource
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.verdict import Judge
from sniffer.track.tracker import Tracker

Sink = Callable[[Handshake, Judgement], None]


class Enough(Exception):
    """As many events as were asked for have been passed on."""


class Limit:
    """How many events are still wanted; several pipelines may share one."""

    def __init__(self, events: int) -> None:
        """Want so many."""
        self.left = events


def take_in(sighting: Sighting, judge: Judge, aggregate: Aggregate) -> None:
    """Have who is concerned take in what was said: the judge names of servers, else devices."""
    if sighting.source is SightingSource.DNS:
        judge.note_answer(sighting)
    else:
        aggregate.observe_sighting(sighting)


class Pipeline:
    """One input or interface on its way into an aggregate.

    ``lock`` is held while a batch is counted, so that a reader who takes it sees a
    consistent picture; not while the sinks are told, which may block. ``waiting`` is entered
    around each read: whoever lets signals in there alone has no event by half. Events beyond
    ``limit`` are neither passed on nor counted.
    """

    def __init__(
        self,
        tracker: Tracker,
        judge: Judge,
        aggregate: Aggregate,
        sinks: tuple[Sink, ...] = (),
        lock: AbstractContextManager[object] | None = None,
        waiting: AbstractContextManager[object] | None = None,
        limit: Limit | None = None,
    ) -> None:
        """Join the stages; ``sinks`` are called with every handshake and its judgement."""
        self.tracker = tracker
        self.judge = judge
        self.aggregate = aggregate
        self.sinks = sinks
        self.lock = lock or nullcontext()
        self.waiting = waiting or nullcontext()
        self.limit = limit
        self.frames_dropped = 0
        """Frames that the source lost before they could be read."""

    def run(self, source: Source, progress: Callable[[], None] | None = None) -> None:
        """Read a source to its end; what was read is settled whatever ends the reading.

        An exception out of a sink or of ``progress`` ends it at once: nobody listens any more.
        Raises Enough when the limit is reached.
        """
        batch = Batch()
        while True:
            try:
                with self.waiting:
                    has_more = source.read(batch)
            except BaseException:
                self._settle()
                raise
            self.frames_dropped = source.frames_dropped
            if not has_more:
                break
            with self.lock:
                if batch.count:
                    self.tracker.observe(batch)
                else:
                    self.tracker.tick(batch.now_ns)
                judged = self._judged()
            self._pass_on(judged)
            if progress is not None:
                progress()
        self._settle()

    def coverage(self) -> Coverage:
        """Return what was seen and lost so far."""
        counted = self.tracker.counters()
        return Coverage(
            frames=counted.frames,
            frames_dropped=self.frames_dropped,
            bytes=counted.bytes,
            flows=counted.flows,
            one_sided_flows=counted.one_sided_flows,
            hellos=counted.hellos,
            frames_truncated=counted.frames_truncated,
            frames_backwards=counted.frames_backwards,
            undecoded=counted.undecoded,
            ethertypes=counted.ethertypes,
            incomplete=counted.incomplete,
            evicted=counted.evicted,
            unseen_bytes=counted.unseen_bytes,
            filtered_bytes=counted.filtered_bytes,
            conflicts=counted.conflicts,
            evidence_lost=counted.evidence_lost,
            passed_over=counted.passed_over,
            first_ns=counted.first_ns,
            last_ns=counted.last_ns,
        )

    def _settle(self) -> None:
        with self.lock:
            self.tracker.finish()
            judged = self._judged()
        self._pass_on(judged)

    def _judged(self) -> list[tuple[Handshake, Judgement]]:
        """Judge and count what is settled, and return it."""
        settled = self.tracker.ready()
        if self.limit is not None:
            settled = settled[: self.limit.left]
            self.limit.left -= len(settled)
        for sighting in self.tracker.sightings():
            take_in(sighting, self.judge, self.aggregate)
        judged = [(handshake, self.judge.judge(handshake)) for handshake in settled]
        for handshake, judgement in judged:
            self.aggregate.observe(handshake, judgement)
        for dialogue in self.tracker.heard():
            self.aggregate.observe_dialogue(dialogue, self.judge.judge_dialogue(dialogue))
        self.aggregate.tick(self.tracker.now_ns)
        return judged

    def _pass_on(self, judged: list[tuple[Handshake, Judgement]]) -> None:
        for handshake, judgement in judged:
            for sink in self.sinks:
                sink(handshake, judgement)
        if self.limit is not None and self.limit.left == 0:
            raise Enough
