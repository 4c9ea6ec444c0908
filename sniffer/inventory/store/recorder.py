"""Takes what was counted to the store, once a second, off the way of whoever counts.

Live it is a thread of its own: a store that is slow, locked, full or gone keeps nobody
waiting. What was counted waits in the aggregate, within its bound; beyond it handshakes are
counted as lost. Offline nothing may be lost: there ``step`` writes between two batches, and
waits for the store.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError

from sniffer.config import StoreSettings
from sniffer.errors import StoreError
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.delta import Delta, Reached, StoreFigures, Watched
from sniffer.inventory.store.database import Database, reason
from sniffer.inventory.store.writer import LogFullError, Tell, Writer
from sniffer.judge.profile import Profile

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long a store that cannot be written to is waited for where nothing may be lost."""
CLOSE_SECONDS = 20.0
"""How long the end waits for the last of it."""
MEASURE_SECONDS = 10.0
"""How often the store's size is looked at."""

TIDY_SECONDS = 5.0
"""How long an analysis lets go of what is too old at its end."""
TIDY_PAUSE_SECONDS = 600.0
"""How long nobody looks for it where there was none."""
IDLE_SECONDS = 60.0
"""How long a sensor that sees nothing waits before it says that it still watches."""


class Seen(NamedTuple):
    """What a sensor saw since its start."""

    coverage: Coverage
    up_seconds: float | None = None
    """How long it could; None: from its first frame to its newest."""
    now_ns: int | None = None
    """Up to which time it watched; None: that of its newest frame."""


def _nothing() -> Mapping[str, Seen]:
    return {}


def open_recorder(
    url: str,
    aggregate: Aggregate,
    profiles: Mapping[str, Profile],
    tell: Tell,
    lock: AbstractContextManager[object] | None = None,
    settings: StoreSettings | None = None,
) -> "Recorder":
    """Open a store, whole and up to date, for what an aggregate counts. Raises StoreError."""
    settings = settings or StoreSettings()
    database = Database(url)
    database.open(check=True)
    writer = Writer(
        database,
        secrets.token_hex(8),
        aggregate.ports,
        profiles,
        tell,
        site=settings.site,
        settings=settings,
    )
    return Recorder(
        writer,
        aggregate,
        lock,
        queue=settings.queue,
        commit_seconds=settings.commit_seconds,
    )


class Recorder:
    """Between an aggregate and a writer. ``lock`` is the one under which is counted."""

    def __init__(
        self,
        writer: Writer,
        aggregate: Aggregate,
        lock: AbstractContextManager[object] | None = None,
        *,
        queue: int,
        commit_seconds: float,
    ) -> None:
        """Keep from now on what ``aggregate`` counts."""
        self.writer = writer
        self._lost = 0
        self._bytes = 0
        self._is_up = True
        self._aggregate = aggregate
        self._lock = lock or nullcontext()
        self._commit_seconds = commit_seconds
        self._sensors: Callable[[], Mapping[str, Seen]] = _nothing
        self._reached: Callable[[], Reached | None] = lambda: None
        self._skip_frames = 0
        self._before: dict[str, Seen] = {}
        self._delta: Delta | None = None
        """What is on its way: drained, and not known to be written."""
        self._ending = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._measured = 0.0
        self._tidied = 0.0
        self._stepped = time.monotonic()
        self._most = queue
        aggregate.keep(queue)

    def figures(self) -> StoreFigures:
        """Return what it is at; to be called with the lock held."""
        return StoreFigures(
            is_up=self._is_up,
            bytes=self._bytes,
            waiting=self._waiting(),
            lost=self._lost + self._aggregate.undrained_lost,
            shed=self.writer.retention.shed,
        )

    def follow(
        self,
        sensors: Callable[[], Mapping[str, Seen]],
        reached: Callable[[], Reached | None] = lambda: None,
        skip_frames: int = 0,
    ) -> None:
        """Write what these see; both are called with the lock held.

        Handshakes of the first ``skip_frames`` frames are in the store already.
        """
        with self._lock:
            self._sensors = sensors
            self._reached = reached
            self._skip_frames = skip_frames
            self._before = {}

    def leave_out(self, sensor: str, coverage: Coverage) -> None:
        """Write of a sensor only what it sees beyond this."""
        self._before[sensor] = Seen(coverage.copy())

    # -- live ------------------------------------------------------------------------------

    def start(self, *, wakes_by_itself: bool = True) -> None:
        """Write in a thread from now on; without waking by itself, when ``wake`` says so."""
        run = partial(self._run, self._commit_seconds if wakes_by_itself else None)
        self._thread = threading.Thread(target=run, name="store", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have the thread write if there is something to write; never waits for the store."""
        if self._woken.is_set():
            return
        with self._lock:
            is_due = self._waiting() or any(
                not self._is_idle(sensor, seen) for sensor, seen in self._sensors().items()
            )
        if is_due:
            self._woken.set()

    def close(self) -> None:
        """Write what is left, if the store can be written to; say what could not be."""
        if self._thread is not None:
            self._ending.set()
            self._woken.set()
            self._thread.join(2 * CLOSE_SECONDS)
        else:
            until = time.monotonic() + TIDY_SECONDS
            while self._tidy() and time.monotonic() < until:
                pass
        self.writer.close()

    def _run(self, seconds: float | None) -> None:
        while not self._ending.is_set():
            if self._woken.wait(seconds):
                self._woken.clear()
                # One commit in this time, however often there is something.
                if self._ending.wait(self._commit_seconds):
                    break
            if self._try() and time.monotonic() >= self._tidied:
                # While there is more to let go of, a piece after each commit.
                self._tidied = time.monotonic() + (0 if self._tidy() else TIDY_PAUSE_SECONDS)
        until = time.monotonic() + CLOSE_SECONDS
        while not self._try() and time.monotonic() < until:
            time.sleep(min(1.0, self._commit_seconds))
        if self._waiting():
            logger.error("The store could not be written to", {"handshakes lost": self._waiting()})

    def _try(self) -> bool:
        """Write what waits; False if it has to wait longer."""
        try:
            self._write()
        except (DBAPIError, OSError, LogFullError) as error:
            self._note(error)
            return False
        except Exception as error:  # the border of this thread: what it dies of would be silent
            logger.error("What was counted could not be stored: our mistake", {"error": error})
            delta, self._delta = self._delta, None
            self._lost += 0 if delta is None else len(delta.judged)
            return False
        if not self._is_up:
            logger.warning("The store is written to again")
        self._is_up = True
        return True

    def _tidy(self) -> bool:
        """Let go of a piece of what is too old; True: there is more."""
        shed = self.writer.retention.shed
        try:
            has_more = self.writer.tidy()
        except (DBAPIError, OSError) as error:
            self._note(error)
            return False
        more = self.writer.retention.shed - shed
        if more:
            logger.warning("The store is full: the oldest went before its time", {"rows": more})
        return has_more

    def _note(self, error: Exception) -> None:
        self._is_up = False
        why = reason(error) if isinstance(error, DBAPIError) else str(error)
        logger.error("The store cannot be written to; what is counted waits", {"why": why})

    # -- offline ---------------------------------------------------------------------------

    def step(self) -> None:
        """Write if it is time to, or if more waits than should. Raises StoreError."""
        now = time.monotonic()
        is_due = now - self._stepped >= self._commit_seconds
        if is_due or 2 * self._aggregate.undrained >= self._most:
            self._stepped = now
            self.flush()

    def flush(self) -> None:
        """Write everything now, however long the store lets us wait. Raises StoreError."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._write()
            except (DBAPIError, OSError, LogFullError) as error:
                if time.monotonic() >= until:
                    name = self.writer.database.name
                    why = reason(error) if isinstance(error, DBAPIError) else str(error)
                    raise StoreError(name, f"cannot be written to ({why})") from error
                time.sleep(min(1.0, self._commit_seconds))
            else:
                return

    # -- both ------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write what is on its way, or else what was counted since."""
        if self._delta is None:
            self._delta = self._drain()
        if not self._delta.is_empty:
            self.writer.apply(self._delta)
        self._delta = None
        now = time.monotonic()
        if now - self._measured >= MEASURE_SECONDS:
            self._measured = now
            with suppress(DBAPIError, OSError):
                self._bytes = self.writer.database.bytes()

    def _waiting(self) -> int:
        delta = self._delta
        return self._aggregate.undrained + (0 if delta is None else len(delta.judged))

    def _drain(self) -> Delta:
        with self._lock:
            delta = self._aggregate.drain()
            watched = tuple(self._watched())
            reached = self._reached()
            self.writer.use(self._aggregate.profiles)
            # What waits in our hands takes room from what waits behind it.
            self._aggregate.keep(max(1, self._most - len(delta.judged)))
        self._lost += delta.lost
        judged = delta.judged
        if self._skip_frames:
            judged = tuple(one for one in judged if one[0].frame > self._skip_frames)
        return replace(delta, judged=judged, watched=watched, reached=reached)

    def _is_idle(self, sensor: str, seen: Seen) -> bool:
        """Tell whether what a sensor saw is no news, nor has to be said again."""
        before = self._before.get(sensor, Seen(Coverage(), 0.0))
        watched = (seen.up_seconds or 0.0) - (before.up_seconds or 0.0)
        return seen.coverage == before.coverage and watched < IDLE_SECONDS

    def _watched(self) -> Iterable[Watched]:
        for sensor, seen in self._sensors().items():
            coverage, now_ns = seen.coverage, seen.now_ns
            before = self._before.get(sensor, Seen(Coverage(), 0.0))
            end_ns = coverage.last_ns if now_ns is None else now_ns
            up_seconds = None
            if seen.up_seconds is not None:
                up_seconds = seen.up_seconds - (before.up_seconds or 0.0)
            if end_ns is None or self._is_idle(sensor, seen):
                continue
            start_ns = before.coverage.last_ns if before.now_ns is None else before.now_ns
            if start_ns is None:
                start_ns = end_ns if coverage.first_ns is None else coverage.first_ns
            start_ns = min(start_ns, end_ns)
            self._before[sensor] = Seen(coverage.copy(), seen.up_seconds, end_ns)
            yield Watched(
                sensor=sensor,
                start_ns=start_ns,
                end_ns=end_ns,
                seconds=(end_ns - start_ns) / 1e9 if up_seconds is None else up_seconds,
                coverage=coverage.without(before.coverage),
            )
