"""source > tracker > judge > aggregate, and whoever wants the events on the way.

This alone knows all of them. Time comes with the frames.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from parsers.batch import Batch
from sniffer.capture.source import Source
from sniffer.event import Handshake, Judgement
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.verdict import Judge
from sniffer.track.tracker import Tracker

Sink = Callable[[Handshake, Judgement], None]


class Pipeline:
    """One input or interface on its way into an aggregate.

    ``lock`` is held while a batch is counted, so that a reader who takes it sees a
    consistent picture.
    """

    def __init__(
        self,
        tracker: Tracker,
        judge: Judge,
        aggregate: Aggregate,
        sinks: tuple[Sink, ...] = (),
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Join the stages; ``sinks`` are called with every handshake and its judgement."""
        self.tracker = tracker
        self.judge = judge
        self.aggregate = aggregate
        self.sinks = sinks
        self.lock = lock or nullcontext()

    def run(self, source: Source, progress: Callable[[], None] | None = None) -> None:
        """Read a source to its end; what it holds is settled whatever ends the reading."""
        batch = Batch()
        try:
            while source.read(batch):
                with self.lock:
                    self.tracker.observe(batch)
                    self._pass_on()
                if progress is not None:
                    progress()
        finally:
            with self.lock:
                self.tracker.finish()
                self._pass_on()

    def coverage(self) -> Coverage:
        """Return what was seen and lost so far."""
        counted = self.tracker.counters()
        return Coverage(
            frames=counted.frames,
            bytes=counted.bytes,
            flows=counted.flows,
            one_sided_flows=counted.one_sided_flows,
            hellos=counted.hellos,
            frames_truncated=counted.frames_truncated,
            undecoded=counted.undecoded,
            incomplete=counted.incomplete,
            evicted=counted.evicted,
            unseen_bytes=counted.unseen_bytes,
            conflicts=counted.conflicts,
            first_ns=counted.first_ns,
            last_ns=counted.last_ns,
        )

    def _pass_on(self) -> None:
        for handshake in self.tracker.ready():
            judgement = self.judge.judge(handshake)
            self.aggregate.observe(handshake, judgement)
            for sink in self.sinks:
                sink(handshake, judgement)
        self.aggregate.tick(self.tracker.now_ns)
