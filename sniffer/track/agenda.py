"""The attempts under way: until when each is waited for, and in which order they leave.

Nothing here settles an attempt. ``due`` and ``surplus`` name those whose time is over, or
that have to make room, one by one; who calls settles each before asking again.
"""

import heapq
from collections import deque
from collections.abc import Iterator

from sniffer.event import Handshake
from sniffer.track.counters import INCOMPLETE_REASONS
from sniffer.track.evidence import Evidence
from sniffer.track.layout import FOR_EVER, SESSION_NS
from sniffer.track.outcome import Attempt

FEW_WAITING = 1024
"""So many attempts may wait for their time though they are closed."""


class Agenda:
    """Who waits: ``ready`` gives the handshakes that are settled.

    In the order of their frames if ``ordered``, else as settled. ``next_deadline_ns`` is
    when ``due`` may have something to tell.
    """

    def __init__(
        self,
        answer_ns: int,
        most_open: int,
        *,
        ordered: bool,
        path: str | None,
        evidence: Evidence | None = None,
    ) -> None:
        """Begin with nobody; wait ``answer_ns`` for an outcome, for ``most_open`` at once."""
        self.answer_ns = answer_ns
        self.most_open = most_open
        self.ordered = ordered
        self.path = path
        self.evidence = evidence
        self.waiting: deque[tuple[int, Attempt]] = deque()
        self.ending: deque[tuple[int, Attempt]] = deque()
        self.order: list[tuple[int, int, Attempt]] = []
        self.settled: list[Handshake] = []
        self.open_count = 0
        self.serial = 0
        self.next_deadline_ns = 0
        self.from_ns = 0
        self.until_ns = FOR_EVER
        self.hellos = 0
        self.evicted = 0
        self.incomplete = [0] * len(INCOMPLETE_REASONS)

    def add(self, attempt: Attempt, now_ns: int) -> None:
        """Begin to wait for an attempt's outcome."""
        self.open_count += 1
        if self.ordered:
            heapq.heappush(self.order, (attempt.frame, self._next(), attempt))
        self.wait(attempt, now_ns)

    def wait(self, attempt: Attempt, now_ns: int) -> None:
        """Wait for the attempt's outcome from now on, no longer than the settings say."""
        deadline_ns = now_ns + self.answer_ns
        if attempt.deadline_ns == deadline_ns:
            return
        attempt.deadline_ns = deadline_ns
        if not self.waiting:
            self.next_deadline_ns = deadline_ns
        self.waiting.append((deadline_ns, attempt))
        if len(self.waiting) > 4 * self.open_count + FEW_WAITING:
            # Most are closed, or wait further on: they are not kept for their time to come.
            still = [
                (deadline_ns, one)
                for deadline_ns, one in self.waiting
                if not one.closed and one.deadline_ns == deadline_ns
            ]
            self.waiting = deque(still)

    def wait_for_end(self, attempt: Attempt, now_ns: int) -> None:
        """Wait a while for the end of an established session."""
        if not self.ending:
            self.next_deadline_ns = min(self.next_deadline_ns, now_ns + SESSION_NS)
        self.ending.append((now_ns + SESSION_NS, attempt))

    def due(self, now_ns: int) -> Attempt | None:
        """Return an attempt whose time is over, or None; ``next_deadline_ns`` is then set."""
        while self.waiting and self.waiting[0][0] <= now_ns:
            deadline_ns, attempt = self.waiting.popleft()
            if (
                not attempt.closed
                and attempt.deadline_ns == deadline_ns
                and attempt.agreed_at is None
            ):
                return attempt
        while self.ending and (self.ending[0][0] <= now_ns or self.ending[0][1].closed):
            _, attempt = self.ending.popleft()
            if not attempt.closed:
                return attempt
        self.next_deadline_ns = min(
            self.waiting[0][0] if self.waiting else now_ns + self.answer_ns,
            self.ending[0][0] if self.ending else now_ns + SESSION_NS,
        )
        return None

    def surplus(self) -> Attempt | None:
        """Return an attempt to settle before there is room for one more, or None."""
        while self.open_count >= self.most_open and self.ending:
            # Of these nothing is missing but how their session ends.
            _, attempt = self.ending.popleft()
            if not attempt.closed:
                return attempt
        while self.open_count >= self.most_open and self.waiting:
            deadline_ns, attempt = self.waiting.popleft()
            if not attempt.closed and attempt.deadline_ns == deadline_ns:
                self.evicted += 1
                return attempt
        while len(self.order) >= self.most_open:
            # What is settled waits for the oldest one; that is too many too.
            number, _, attempt = self.order[0]
            if attempt.closed:
                heapq.heappop(self.order)
                self._emit(attempt)
            elif number == attempt.frame:
                self.evicted += 1
                return attempt
            else:
                heapq.heapreplace(self.order, (attempt.frame, self._next(), attempt))
        return None

    def tell(self, from_ns: int, until_ns: int) -> None:
        """Tell only of hellos from one time on and before another; somebody else of the rest."""
        self.from_ns, self.until_ns = from_ns, until_ns

    def is_told(self, time_ns: int) -> bool:
        """Tell whether what happened at a time is ours to tell."""
        return self.from_ns <= time_ns < self.until_ns

    def open_before(self, time_ns: int) -> int:
        """Return how many hellos before a time are waited for."""
        waited_for = {
            id(attempt)
            for _, attempt in (*self.waiting, *self.ending)
            if not attempt.closed and attempt.time_ns < time_ns
        }
        return len(waited_for)

    def unfinished(self) -> Iterator[Attempt]:
        """Yield the attempts that are still waited for, the input being at its end."""
        for waiting in (self.waiting, self.ending):
            while waiting:
                _, attempt = waiting.popleft()
                if not attempt.closed:
                    yield attempt

    def close(self, attempt: Attempt) -> None:
        """Wait no more; if the attempt holds a hello, it is an event."""
        attempt.closed = True
        self.open_count -= 1
        if not self.ordered:
            self._emit(attempt)

    def ready(self) -> list[Handshake]:
        """Return the handshakes settled since the last call."""
        if self.ordered:
            while self.order:
                number, _, attempt = self.order[0]
                if number != attempt.frame:
                    heapq.heapreplace(self.order, (attempt.frame, self._next(), attempt))
                elif attempt.closed:
                    heapq.heappop(self.order)
                    self._emit(attempt)
                else:
                    break
        settled, self.settled = self.settled, []
        return settled

    def _emit(self, attempt: Attempt) -> None:
        if self.evidence is not None:
            self.evidence.release(attempt.evidence)
        hello = attempt.hello
        if hello is None:
            return
        if attempt.doubtful and attempt.server_hello is None and attempt.alert is None:
            return
        if self.is_told(attempt.time_ns):
            self.hellos += 1
            if not hello.complete:
                self.incomplete[attempt.cut_reason] += 1
            self.settled.append(attempt.handshake(hello, self.path))
        # The deque of deadlines may hold it a while longer; not what it holds.
        attempt.hello = attempt.server_hello = None
        attempt.evidence = ()
        attempt.hello_octets = attempt.answer_octets = b""

    def _next(self) -> int:
        self.serial += 1
        return self.serial
