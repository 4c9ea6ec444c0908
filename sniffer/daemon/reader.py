"""The serving process: reads what the workers report, judges it, counts it, passes it on.

It never sees a packet socket. One judge stands behind all workers, because a client's
retries may cross different interfaces; so their reports are joined in the order of time.
"""

import heapq
import logging
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import NamedTuple

from sniffer.daemon.control import GONE, Control, Message
from sniffer.daemon.launcher import DRAIN_SECONDS
from sniffer.daemon.link import LinkError, Receiver, Report, State
from sniffer.daemon.memory import Memory
from sniffer.daemon.server import Gauges
from sniffer.event import Handshake, Judgement
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.judge.verdict import Judge
from sniffer.pipeline import Limit, Sink, take_in
from sniffer.survey import Facts

logger = logging.getLogger(__name__)

HOLD_SECONDS = 2.0
"""How long a report waits for a worker that says nothing: twice as long as an idle one does."""


class Due(NamedTuple):
    """A report whose turn has come, and where to say that it was judged."""

    link: Receiver
    report: Report


class Join:
    """Reports of several workers in the order of the time they had reached.

    A worker's watermark is the time of its newest report: what it tells later is later. A
    report waits until no other worker can tell anything earlier, at most ``HOLD_SECONDS``.
    Time that goes by is handed in, in seconds of any clock that never goes back.
    """

    def __init__(self) -> None:
        """Begin without workers."""
        self._watermarks: dict[int, int] = {}
        self._held: list[tuple[int, int, float, Due]] = []
        self._serial = 0

    def arrive(self, place: int) -> None:
        """Wait for this worker from now on."""
        self._watermarks[place] = 0

    def leave(self, place: int) -> None:
        """Wait for this worker no more; what it told stays."""
        self._watermarks.pop(place, None)

    def add(self, place: int, due: Due, now: float) -> None:
        """Take in a report of a worker."""
        if place in self._watermarks:
            self._watermarks[place] = max(self._watermarks[place], due.report.now_ns)
        self._serial += 1
        heapq.heappush(self._held, (due.report.now_ns, self._serial, now, due))

    def due(self, now: float) -> Iterator[Due]:
        """Yield the reports whose turn has come."""
        watermark = min(self._watermarks.values(), default=None)
        while self._held:
            now_ns, _, since, due = self._held[0]
            if watermark is not None and now_ns > watermark and now - since < HOLD_SECONDS:
                return
            heapq.heappop(self._held)
            yield due

    def next_due(self) -> float | None:
        """Return when the first of those that wait has waited long enough; None: none waits."""
        return min((since + HOLD_SECONDS for _, _, since, _ in self._held), default=None)


class Account:
    """What all workers of one interface saw and lost, each known by its serial number."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._states: dict[int, State] = {}
        """Of each worker, as it told last, until it is known what it lost."""
        self._at_work: set[int] = set()
        self._coverage = Coverage()
        self._facts = Facts()
        self._up_seconds = 0.0
        self._unreported = 0
        self._unheard = 0
        self._unsighted = 0

    def tell(self, serial: int, state: State) -> None:
        """Take in what a worker at work tells."""
        self._states[serial] = state
        self._at_work.add(serial)

    def end(self, serial: int) -> None:
        """Note that a worker ended, or tells no more."""
        self._at_work.discard(serial)

    @property
    def is_heard_of(self) -> bool:
        """Whether a worker is at work that has told something."""
        return bool(self._at_work)

    @property
    def is_up(self) -> bool:
        """Whether frames can be captured."""
        return any(state.is_up for state in self.at_work())

    def at_work(self) -> Iterator[State]:
        """Yield what the workers at work have told."""
        yield from (self._states[serial] for serial in self._at_work)

    def lose(self, serial: int, received: int, hellos: int) -> None:
        """Count what a worker that died found, but did not tell.

        ``received``: the frames that passed the filter from its start until another one took
        over; ``hellos``: those it found, the last ones perhaps open.
        """
        self._at_work.discard(serial)
        state = self._states.pop(serial, None)
        if state is not None:
            handled = state.coverage.frames + state.skipped
            lost = max(0, received - handled - state.coverage.frames_dropped)
            unreported = max(0, hellos - state.reported - state.unreported)
            self._add(state, lost, unreported)

    def coverage(self) -> Coverage:
        """Return everything that was seen and lost."""
        whole = self._coverage.copy()
        for state in self._states.values():
            whole.merge(state.coverage)
        return whole

    def facts(self) -> Facts:
        """Return what the surveys of all workers found; nothing where nobody asked for one."""
        whole = Facts()
        for facts in (self._facts, *(state.facts for state in self._states.values())):
            if facts is not None:
                whole.merge(facts)
        return whole

    @property
    def unreported(self) -> int:
        """Hellos that were found and never judged."""
        return self._unreported + sum(state.unreported for state in self._states.values())

    @property
    def unheard(self) -> int:
        """Dialogues in clear that were read and never judged, as far as it is known."""
        return self._unheard + sum(state.unheard for state in self._states.values())

    @property
    def unsighted(self) -> int:
        """Sightings that were read and never told, as far as it is known."""
        return self._unsighted + sum(state.unsighted for state in self._states.values())

    @property
    def up_seconds(self) -> float:
        """How long the interface could be captured on."""
        return self._up_seconds + sum(state.up_seconds for state in self._states.values())

    def _add(self, state: State, lost: int, unreported: int) -> None:
        self._coverage.merge(state.coverage)
        self._coverage.frames_dropped += lost
        if state.facts is not None:
            self._facts.merge(state.facts)
        self._unreported += state.unreported + unreported
        self._unheard += state.unheard
        self._unsighted += state.unsighted
        self._up_seconds += state.up_seconds


class Reader:
    """Reports in, events and counts out."""

    def __init__(
        self,
        control: Control,
        interfaces: Sequence[str],
        judge: Judge,
        aggregate: Aggregate,
        lock: AbstractContextManager[object],
        sinks: tuple[Sink, ...],
        *,
        flush: Callable[[], None],
        report: Callable[["Reader"], None],
        ready: Callable[[], None],
        passing: Callable[["Reader"], None],
        reload: Callable[[bytes], None] = lambda _octets: None,
        limit: Limit | None = None,
    ) -> None:
        """Read for these interfaces.

        ``lock`` is held while events are counted, not while ``sinks`` are told; ``flush`` is
        called when they were. ``report`` answers a request to say what was lost;
        ``ready`` is called once, when every interface was heard of; ``passing`` once a second,
        or more often; ``reload`` with other settings, to go on with.
        """
        self.interfaces = tuple(interfaces)
        self.accounts = [Account() for _ in interfaces]
        self.judged = 0
        """Handshakes that were judged and counted."""
        self._control = control
        self._judge = judge
        self._aggregate = aggregate
        self._lock = lock
        self._sinks = sinks
        self._flush = flush
        self._report = report
        self._ready = ready
        self._passing = passing
        self._reload = reload
        self._was_ready = False
        self._limit = limit
        self._join = Join()
        self._memory = Memory()
        # By the serial number of their worker: the links, and the places they are of.
        self._links: dict[int, Receiver] = {}
        self._places: dict[int, int] = {}
        self._is_over = False

    @property
    def is_ready(self) -> bool:
        """Whether every interface has a worker that has told something."""
        return all(account.is_heard_of for account in self.accounts)

    def run(self) -> None:
        """Work until the launcher says that it was all, or is gone."""
        poll = select.poll()
        while not self._is_over:
            watched = [self._control.fileno(), *(link.fileno() for link in self._links.values())]
            for descriptor in watched:
                poll.register(descriptor, select.POLLIN)
            until = self._join.next_due()
            wait = None if until is None else max(0.0, 1000 * (until - time.monotonic())) + 1
            poll.poll(wait)
            for descriptor in watched:
                poll.unregister(descriptor)
            for serial in list(self._links):
                self._read(serial)
            self._judge_due()
            self._passing(self)
            self._hear()
        for serial in list(self._links):
            self._read_to_end(serial)

    def gauges(self, place: int) -> Gauges:
        """Return what one interface is at; to be called with the lock held."""
        account = self.accounts[place]
        return Gauges(
            coverage=account.coverage(),
            is_up=account.is_up,
            flows=sum(state.flows for state in account.at_work()),
            reassembly_bytes=sum(state.reassembly_bytes for state in account.at_work()),
            watched_seconds=account.up_seconds,
            unreported=account.unreported,
            unheard=account.unheard,
            unsighted=account.unsighted,
        )

    def coverage(self) -> Coverage:
        """Return what was seen and lost on all interfaces."""
        whole = Coverage()
        for account in self.accounts:
            whole.merge(account.coverage())
        return whole

    # -- links -----------------------------------------------------------------------------

    def _hear(self) -> None:
        """Do what the launcher asks for."""
        while (message := self._control.receive()) is not None:
            if message == GONE or message.word == "finish":
                self._is_over = True
                return
            self._obey(message)

    def _obey(self, message: Message) -> None:
        if message.word == "worker":
            place, serial = map(int, message.text.split())
            for other in [one for one, there in self._places.items() if there == place]:
                self._read_what_is_there(other)
            self._links[serial] = Receiver(message.descriptor)
            self._places[serial] = place
            self._join.arrive(serial)
        elif message.word == "lost":
            serial, received, hellos = map(int, message.text.split())
            self._read_to_end(serial)
            # One of whom an earlier server was told is none of ours.
            if serial in self._places:
                with self._lock:
                    self.accounts[self._places.pop(serial)].lose(serial, received, hellos)
        elif message.word == "report":
            self._report(self)
        elif message.word == "reload":
            with open(message.descriptor, "rb") as file:
                self._reload(file.read())

    def _read_to_end(self, serial: int) -> None:
        """Read what a worker that ended, or is about to, has left; and close its link."""
        until = time.monotonic() + DRAIN_SECONDS
        while serial in self._links and time.monotonic() < until:
            if self._has_something(serial, DRAIN_SECONDS):
                self._read(serial)
            self._judge_due()
        if serial in self._links:
            self._part(serial)

    def _read_what_is_there(self, serial: int) -> None:
        while serial in self._links and self._has_something(serial, 0):
            self._read(serial)

    def _has_something(self, serial: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._links[serial].fileno(), select.POLLIN)
        return bool(poll.poll(1000 * seconds))

    def _read(self, serial: int) -> None:
        link = self._links[serial]
        try:
            reports = link.receive()
        except LinkError as error:
            # Whoever writes there is not ours any more: have it replaced.
            fields = {"interface": self.interfaces[self._places[serial]], "why": str(error)}
            logger.error("A worker reports what cannot be read", fields)
            self._control.send("broken", str(serial))
            self._part(serial)
            return
        for report in reports:
            with self._lock:
                self.accounts[self._places[serial]].tell(serial, report.state)
            self._join.add(serial, Due(link, report), time.monotonic())
        if link.is_over:
            self._part(serial)
        if reports and not self._was_ready and self.is_ready:
            self._was_ready = True
            self._ready()

    def _part(self, serial: int) -> None:
        """Let go of a link; what came through it is judged in its turn."""
        link = self._links.pop(serial)
        self._join.leave(serial)
        with self._lock:
            self.accounts[self._places[serial]].end(serial)
        self._judge_due()
        link.close()

    # -- judging ---------------------------------------------------------------------------

    def _judge_due(self) -> None:
        due = list(self._join.due(time.monotonic()))
        if not due:
            return
        handshakes = [one for _, report in due for one in report.handshakes]
        handshakes.sort(key=_time)
        if self._limit is not None:
            handshakes = handshakes[: self._limit.left]
            self._limit.left -= len(handshakes)
        dialogues = [one for _, report in due for one in report.dialogues]
        with self._lock:
            for sighting in chain.from_iterable(report.sightings for _, report in due):
                take_in(sighting, self._judge, self._aggregate)
            judged = [(handshake, self._judge.judge(handshake)) for handshake in handshakes]
            for handshake, judgement in judged:
                self._aggregate.observe(handshake, judgement)
            for dialogue in dialogues:
                told = self._judge.judge_dialogue(dialogue)
                self._aggregate.observe_dialogue(dialogue, told)
            self._aggregate.tick(max(report.now_ns for _, report in due))
            self.judged += len(judged)
        self._pass_on(judged)
        self._memory.count(len(judged))
        newest = {id(link): (link, report.number) for link, report in due}
        for link, number in newest.values():
            link.confirm(number)
        if self._limit is not None and self._limit.left == 0:
            self._control.send("enough")

    def _pass_on(self, judged: list[tuple[Handshake, Judgement]]) -> None:
        if not judged:
            return
        for handshake, judgement in judged:
            for sink in self._sinks:
                sink(handshake, judgement)
        self._flush()


def _time(handshake: Handshake) -> int:
    return handshake.time_ns
