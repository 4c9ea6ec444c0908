"""The parent of the daemon: holds the sockets, starts the others, and starts them anew.

It opens all packet sockets while it may, gives up every privilege, and only then has
children: a worker for each interface, and the server. It parses nothing, listens nowhere
and sleeps until a signal comes or a child says or does something. Standard library only,
and one thread, so that a fork is harmless.

A packet socket whose worker died is kept until the next worker captures: the kernel goes on
counting what passes, so that the loss has a number. Its ring cannot be used again.
"""

import contextlib
import logging
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sniffer.cage import privileges
from sniffer.daemon.control import GONE, Control, Message, pair
from sniffer.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNREADABLE, HelloWatchError

logger = logging.getLogger(__name__)

SOL_PACKET = 263
PACKET_STATISTICS = 6
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

DRAIN_SECONDS = 5.0
"""How long workers may take to tell the rest."""
FINISH_SECONDS = 15.0
"""How long the server may take to judge and write it."""
TAKE_OVER_NS = 1_000_000_000
"""How long both workers have to agree on when one takes over from the other."""
SERVER_STARTS = 5
"""The server is not started more often than this ..."""
SERVER_SECONDS = 60.0
"""... in this time; somebody else has to look at it then."""


class Tally:
    """A page that a worker writes and the launcher reads when the worker is dead."""

    _FORM = struct.Struct("=QQ")

    def __init__(self) -> None:
        """Begin at 0; the page is shared with children that are forked later."""
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def write(self, received: int, hellos: int) -> None:
        """Note the frames the kernel counted, and the hellos found, since the worker's start."""
        self._FORM.pack_into(self._page, 0, received, hellos)

    def read(self) -> tuple[int, int]:
        """Return both."""
        received, hellos = self._FORM.unpack_from(self._page, 0)
        return received, hellos

    def close(self) -> None:
        """Give the page back."""
        self._page.close()


class ChildError(HelloWatchError):
    """A child that cannot do its work, in its own words."""

    def __init__(self, why: str, exit_code: int = EXIT_UNREADABLE) -> None:
        """Take the sentence and the exit code."""
        self.exit_code = exit_code
        super().__init__(why)


Work = Callable[[str, int, Control, Tally, bool], int]
"""Captures on an interface through a packet socket, until SIGTERM; returns an exit code.

True: it is to take over from another worker, which captures there already."""

Serve = Callable[[Control, Sequence[str]], int]
"""Judges and tells what the workers of these interfaces report; returns an exit code."""


class Change(NamedTuple):
    """A configuration that is to be used from now on."""

    octets: bytes
    """What the server is told of it."""
    work: Work
    """What workers do that are born from now on."""
    needs_new_workers: bool
    commit: Callable[[], None]
    """Has a server that is born from now on, and the launcher itself, use it."""
    level: int
    """Of the log."""


Reconfigure = Callable[[], Change | None]
"""Reads the configuration anew; None: nothing changed. Raises HelloWatchError: it stays."""


class _Child:
    """A process, and our end of its control socket."""

    def __init__(self, pid: int, control: Control) -> None:
        self.pid = pid
        self.control = control
        self.pidfd = os.pidfd_open(pid)
        self.is_ready = False
        self.is_silent = False
        """Its control socket is closed; its end is told by its pidfd."""
        self.failure: ChildError | None = None

    def end(self, number: int) -> None:
        """Send a signal. It was not waited for yet, so its number is nobody else's."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit code, negative for a signal, and let go of it."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.control.close()
        return os.waitstatus_to_exitcode(status)


class _Worker:
    """A child that captures."""

    def __init__(self, serial: int, child: _Child, descriptor: int, tally: Tally) -> None:
        self.serial = serial
        """By this the server knows it."""
        self.child = child
        self.descriptor = descriptor
        """Its packet socket."""
        self.tally = tally
        self.agreed = 0
        """Until when, or from when on, it tells what it sees, if another one shares in it."""


class _Place:
    """An interface to be captured on, whoever does."""

    def __init__(self, number: int, interface: str) -> None:
        self.number = number
        self.interface = interface
        self.spares: list[int] = []
        """Packet sockets that nobody has used."""
        self.worker: _Worker | None = None
        self.heir: _Worker | None = None
        """Captures already, to take over from the worker."""
        self.retired: list[_Worker] = []
        """Tell no more than what became of their last hellos."""
        self.lost: list[_Worker] = []
        """Dead ones whose socket goes on counting until another one captures."""

    def workers(self) -> Iterator[_Worker]:
        """Yield those that live."""
        yield from (one for one in (self.worker, self.heir) if one is not None)
        yield from self.retired

    def descriptors(self) -> Iterator[int]:
        """Yield all packet sockets."""
        yield from self.spares
        yield from (one.descriptor for one in (*self.workers(), *self.lost))


class Launcher:
    """Sockets, a worker for each interface, and the server. ``run`` is all it does."""

    def __init__(
        self,
        interfaces: Sequence[str],
        open_socket: Callable[[str], int],
        work: Work,
        serve: Serve,
        announce: Callable[[str], None],
        spares: int,
        reconfigure: Reconfigure = lambda: None,
        reloads: int = 0,
    ) -> None:
        """Open the sockets, ``spares`` more than needed for each interface.

        ``reloads`` are further ones, for workers that take over with another configuration.
        ``announce`` is called with the server's address when all of them are at work, and
        when another server has another one.
        Raises what ``open_socket`` raises.
        """
        self._work = work
        self._serve = serve
        self._announce = announce
        self._reconfigure = reconfigure
        self._spares = spares
        self._serial = 0
        self._change: Change | None = None
        """What workers are being started for."""
        self._is_asked_again = False
        """SIGHUP came meanwhile."""
        self._places: list[_Place] = []
        try:
            for number, interface in enumerate(interfaces):
                place = _Place(number, interface)
                self._places.append(place)
                for _ in range(1 + spares + reloads):
                    place.spares.append(open_socket(interface))
        except BaseException:
            self._close_sockets()
            raise
        self._server: _Child | None = None
        self._server_starts: list[float] = []
        self._address = ""
        self._is_announced = False
        self._code: int | None = None
        """What to exit with; None: nobody asked for the end."""
        self._failure: HelloWatchError | None = None
        self._is_abandoned = False
        self._deadline: float | None = None
        self._is_finishing = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)

    def run(self, seconds: float | None = None) -> int:
        """Give up all privileges, work until told to end, and return the exit code.

        ``seconds``: end by itself after so long at work. Raises ChildError where a child
        cannot start, or no spare socket is left; BrokenPipeError where nobody reads what the
        server writes.
        """
        try:
            privileges.drop()
        except privileges.PrivilegeError as error:
            self._close_sockets()
            raise ChildError(f"privileges cannot be given up: {error}") from error
        before = [(number, signal.signal(number, _take_note)) for number in SIGNALS]
        wakeup = signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        try:
            for place in self._places:
                self._start_worker(place)
            self._start_server()
            self._wait(seconds)
        finally:
            self._kill_all()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before:
                signal.signal(number, handler)
            self._close_sockets()
        if self._failure is not None:
            raise self._failure
        if self._is_abandoned:
            raise BrokenPipeError
        return self._code or EXIT_OK

    # -- waiting ---------------------------------------------------------------------------

    def _wait(self, seconds: float | None) -> None:
        """Answer whatever happens until the server has ended for good."""
        poll = select.poll()
        while self._server is not None:
            watched = self._watched()
            for descriptor in watched:
                poll.register(descriptor, select.POLLIN)
            until = self._deadline
            for descriptor, _ in poll.poll(None if until is None else _milliseconds(until)):
                watched[descriptor]()  # of a child that another one of these ended, nothing
            for descriptor in watched:
                poll.unregister(descriptor)
            if seconds is not None and self._is_announced and self._deadline is None:
                self._deadline = time.monotonic() + seconds
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._time_is_over()

    def _watched(self) -> dict[int, Callable[[], None]]:
        """Return what to poll, and what to do about each; what a child says comes first."""
        watched: dict[int, Callable[[], None]] = {self._wake.fileno(): self._on_signal}
        for place in self._places:
            for worker in place.workers():
                child = worker.child
                watched[child.pidfd] = partial(self._on_worker_end, place, worker)
                # A worker at work has nothing to say here, unless it is to agree on something.
                if not child.is_silent and (not child.is_ready or place.heir is not None):
                    watched[child.control.fileno()] = partial(self._on_worker, place, worker)
        if self._server is not None:
            watched[self._server.pidfd] = self._on_server_end
            if not self._server.is_silent:
                watched[self._server.control.fileno()] = self._on_server
        return watched

    def _time_is_over(self) -> None:
        """End: in order first, by force if that takes too long."""
        if self._code is None:
            self._end(EXIT_OK)
        else:
            logger.error("A process does not end by itself", {"after_seconds": DRAIN_SECONDS})
            self._kill_all(workers_only=not self._is_finishing)
            self._deadline = None
            self._finish_if_drained()

    def _on_signal(self) -> None:
        for number in self._wake.recv(64):
            if number == signal.SIGUSR1:
                self._tell_server("report")
            elif number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGTERM:
                self._end(EXIT_OK)
            elif number == signal.SIGINT and self._code is None:
                self._end(EXIT_INTERRUPTED)
            elif number == signal.SIGINT:
                self._code = EXIT_INTERRUPTED
                self._kill_all()

    # -- ending ----------------------------------------------------------------------------

    def _end(self, code: int) -> None:
        """Have the workers tell the rest, then the server."""
        if self._code is not None:
            return
        self._code = code
        self._deadline = time.monotonic() + DRAIN_SECONDS
        for worker in self._workers():
            worker.child.end(signal.SIGTERM)
        self._finish_if_drained()

    def _fail(self, failure: HelloWatchError) -> None:
        self._failure = self._failure or failure
        self._end(failure.exit_code)

    def _finish_if_drained(self) -> None:
        if self._code is None or self._is_finishing:
            return
        if not any(self._workers()):
            self._is_finishing = True
            self._deadline = time.monotonic() + FINISH_SECONDS
            for place in self._places:
                self._tell_loss(place)
            self._tell_server("finish")

    def _kill_all(self, workers_only: bool = False) -> None:
        for place in self._places:
            for worker in list(place.workers()):
                self._kill(place, worker)
        if self._server is not None and not workers_only:
            self._server.end(signal.SIGKILL)
            self._server.wait()
            self._server = None

    # -- workers ---------------------------------------------------------------------------

    def _workers(self) -> Iterator[_Worker]:
        for place in self._places:
            yield from place.workers()

    def _start_worker(self, place: _Place) -> None:
        place.worker = self._new_worker(place, is_heir=False)
        self._connect(place, place.worker)

    def _new_worker(self, place: _Place, *, is_heir: bool) -> _Worker:
        descriptor, tally = place.spares.pop(0), Tally()
        self._serial += 1

        def work(control: Control) -> int:
            return self._work(place.interface, descriptor, control, tally, is_heir)

        try:
            child = self._fork(f"hw-{place.interface}", work, descriptor)
        except BaseException:
            place.spares.insert(0, descriptor)
            raise
        return _Worker(self._serial, child, descriptor, tally)

    def _on_worker(self, place: _Place, worker: _Worker) -> None:
        if worker not in place.workers():
            return
        message = worker.child.control.receive()
        if message is None:
            return
        if message == GONE:
            worker.child.is_silent = True
        elif message.word == "ready":
            worker.child.is_ready = True
            if worker is place.heir:
                self._take_over_if_ready()
            else:
                self._tell_loss(place)
                self._announce_if_ready()
        elif message.word == "agreed":
            self._on_agreement(place, worker)
        elif message.word == "late":
            self._on_late(place)
        else:
            self._on_failure(worker.child, message)

    def _on_worker_end(self, place: _Place, worker: _Worker) -> None:
        if worker not in place.workers():
            return
        while (message := worker.child.control.receive()) not in (None, GONE):
            self._on_failure(worker.child, message)
        code = worker.child.wait()
        if worker is place.heir:
            place.heir = None
            self._bury(worker)
            failure = worker.child.failure or ChildError(f"{place.interface}: {_how(code)}")
            self._give_up_change(failure)
            self._finish_if_drained()
            return
        if worker in place.retired:
            # What it told no more was its own; the frames since then were another one's.
            place.retired.remove(worker)
            self._tell_end(worker, *worker.tally.read())
            self._finish_if_drained()
            return
        place.worker = None
        if self._code is not None and code == EXIT_OK:
            self._bury(worker)  # it told everything; what came after that is nobody's loss
        else:
            place.lost.append(worker)
        if self._code is not None:
            self._finish_if_drained()
            return
        if worker.child.failure is not None and not self._is_announced:
            self._fail(worker.child.failure)
            return
        if place.heir is not None:
            self._give_up_change(ChildError(f"{place.interface}: the capturing process ended"))
        told = {"interface": place.interface, "how": _how(code), "spares": len(place.spares)}
        if place.spares:
            logger.warning("The capturing process ended; another one takes over", told)
            self._start_worker(place)
        else:
            why = f"{place.interface}: the capturing process ended ({_how(code)})"
            self._fail(worker.child.failure or ChildError(f"{why}, and no spare socket is left"))

    def _tell_loss(self, place: _Place) -> None:
        """Tell the server what passed unseen since a worker died, and what was in its hands."""
        for worker in place.lost:
            received, hellos = worker.tally.read()
            self._tell_end(worker, received + _count(worker.descriptor), hellos)
        place.lost.clear()

    def _tell_end(self, worker: _Worker, received: int, hellos: int) -> None:
        self._tell_server("lost", f"{worker.serial} {received} {hellos}")
        self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        os.close(worker.descriptor)
        worker.tally.close()

    def _kill(self, place: _Place, worker: _Worker) -> None:
        """End a worker by force and forget it."""
        worker.child.end(signal.SIGKILL)
        worker.child.wait()
        if worker is place.worker:
            place.worker = None
        elif worker is place.heir:
            place.heir = None
        else:
            place.retired.remove(worker)
        self._bury(worker)

    # -- another configuration -------------------------------------------------------------

    def _reload(self) -> None:
        """Read the configuration anew. One that cannot be used changes nothing."""
        if self._code is not None or not self._is_announced:
            return
        if self._change is not None:
            self._is_asked_again = True
            return
        try:
            change = self._reconfigure()
            if change is None:
                return
            if change.needs_new_workers:
                self._start_heirs(change)
            else:
                self._commit(change)
        except HelloWatchError as error:
            say_that_all_stays(error)

    def _start_heirs(self, change: Change) -> None:
        """Have new workers capture beside the old ones. Raises ChildError: no socket is left."""
        for place in self._places:
            if len(place.spares) <= self._spares or place.worker is None:
                why = f"{place.interface}: no socket is left for it; a restart reads it"
                raise ChildError(why)
        self._change = change
        undo = self._work
        self._work = change.work
        try:
            for place in self._places:
                place.heir = self._new_worker(place, is_heir=True)
        finally:
            self._work = undo

    def _take_over_if_ready(self) -> None:
        """Once all heirs capture, name the time from which on they are the ones to tell."""
        heirs = [place.heir for place in self._places]
        if self._change is None or not all(one is not None and one.child.is_ready for one in heirs):
            return
        change = self._change
        self._commit(change)
        at = time.time_ns() + TAKE_OVER_NS
        for heir in heirs:
            if heir is not None:
                heir.child.control.send("from", str(at))
                heir.agreed = at

    def _on_agreement(self, place: _Place, worker: _Worker) -> None:
        heir, old = place.heir, place.worker
        if heir is None or old is None:
            return
        if worker is heir:
            old.child.control.send("until", str(heir.agreed))
        elif worker is old:
            place.heir, place.worker = None, heir
            place.retired.append(old)
            self._connect(place, heir)
            self._end_change_if_all_took_over()

    def _on_late(self, place: _Place) -> None:
        """Let the old worker go on: the other one was not asked in time, or itself too late."""
        if place.heir is not None:
            logger.error(
                "The capturing process keeps its settings: the machine is too busy",
                {"interface": place.interface},
            )
            self._kill(place, place.heir)
            self._end_change_if_all_took_over()

    def _end_change_if_all_took_over(self) -> None:
        if self._change is not None and all(place.heir is None for place in self._places):
            self._change = None
            if self._is_asked_again:
                self._is_asked_again = False
                self._reload()

    def _give_up_change(self, failure: HelloWatchError) -> None:
        """Have all old workers go on, after an heir of theirs or they themselves failed."""
        if self._change is None:
            return
        for place in self._places:
            if place.heir is not None:
                self._kill(place, place.heir)
        if self._code is None:
            say_that_all_stays(failure)
        self._end_change_if_all_took_over()

    def _commit(self, change: Change) -> None:
        change.commit()
        self._work = change.work
        with open(os.memfd_create("configuration"), "r+b") as file:
            file.write(change.octets)
            file.flush()
            file.seek(0)
            if self._server is not None:
                self._server.control.hand_over("reload", "", file.fileno())
        for worker in self._workers():
            worker.child.control.send("level", str(change.level))

    # -- the server ------------------------------------------------------------------------

    def _start_server(self) -> None:
        now = time.monotonic()
        self._server_starts = [t for t in self._server_starts if now - t < SERVER_SECONDS]
        if len(self._server_starts) >= SERVER_STARTS:
            self._fail(ChildError("the serving process ends again and again"))
            return
        self._server_starts.append(now)
        names = [place.interface for place in self._places]
        self._server = self._fork("hw-server", lambda control: self._serve(control, names))
        for place in self._places:
            for worker in place.workers():
                if worker is not place.heir:
                    self._connect(place, worker)

    def _on_server(self) -> None:
        server = self._server
        if server is None:
            return
        message = server.control.receive()
        if message is None:
            return
        if message == GONE:
            server.is_silent = True
        elif message.word == "ready":
            server.is_ready = True
            if self._is_announced and message.text != self._address:
                self._announce(message.text)
            self._address = message.text
            self._announce_if_ready()
        elif message.word == "enough":
            self._end(EXIT_OK)
        elif message.word == "abandoned":
            self._is_abandoned = True
            self._end(EXIT_OK)
        elif message.word == "broken":
            for worker in self._workers():
                if message.text == str(worker.serial):
                    worker.child.end(signal.SIGKILL)
        else:
            self._on_failure(server, message)

    def _on_server_end(self) -> None:
        server = self._server
        if server is None:
            return
        while (message := server.control.receive()) not in (None, GONE):
            self._on_failure(server, message)
            self._is_abandoned |= message is not None and message.word == "abandoned"
        code = server.wait()
        self._server = None
        if self._is_finishing and code >= 0:
            self._code = self._code or code
        elif self._code is not None or self._is_abandoned or not self._is_announced:
            self._code = self._code or EXIT_OK
            if not self._is_abandoned:
                why = f"the serving process ended ({_how(code)})"
                self._failure = self._failure or server.failure or ChildError(why)
        else:
            logger.warning("The serving process ended; another one takes over", {"how": _how(code)})
            if server.failure is not None:
                logger.error("%s", server.failure)
            self._start_server()

    def _tell_server(self, word: str, text: str = "") -> None:
        if self._server is not None:
            self._server.control.send(word, text)

    def _connect(self, place: _Place, worker: _Worker) -> None:
        """Give a worker and the server a new link to each other."""
        if self._server is None:
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            worker.child.control.hand_over("link", "", ours.fileno())
            told = f"{place.number} {worker.serial}"
            self._server.control.hand_over("worker", told, theirs.fileno())

    def _announce_if_ready(self) -> None:
        workers = [place.worker for place in self._places]
        children = [self._server, *(None if one is None else one.child for one in workers)]
        if not self._is_announced and all(c is not None and c.is_ready for c in children):
            self._is_announced = True
            self._announce(self._address)

    # -- children --------------------------------------------------------------------------

    def _on_failure(self, child: _Child, message: Message | None) -> None:
        if message is None:
            return
        if message.descriptor >= 0:
            os.close(message.descriptor)
        code, _, why = message.text.partition(" ")
        if message.word == "failed" and code.isascii() and code.isdigit() and len(code) < 4:
            child.failure = ChildError(why, int(code))

    def _fork(self, name: str, body: Callable[[Control], int], descriptor: int = -1) -> _Child:
        """Start a child that holds this descriptor alone, beside what was there before us."""
        ours, theirs = pair()
        # No signal may reach the child while it still looks like us.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = os.fork()
        if pid == 0:
            code = EXIT_UNREADABLE
            try:
                ours.close()
                self._forget(descriptor)
                privileges.set_name(name)
                privileges.keep_memory_private()
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = _run_child(body, theirs)
            finally:
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Child(pid, ours)

    def _forget(self, kept: int) -> None:
        """In a child: close what is the launcher's, and hear no signal that is meant for it."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            # The server is told to finish once the workers have: systemd, and whoever else
            # ends a whole group, sends it the signal too soon.
            ends = number == signal.SIGTERM and kept >= 0
            signal.signal(number, signal.SIG_DFL if ends else signal.SIG_IGN)
        self._wake.close()
        self._woken.close()
        for place in self._places:
            for descriptor in place.descriptors():
                if descriptor != kept:
                    os.close(descriptor)
            for worker in place.workers():
                worker.child.control.close()
                os.close(worker.child.pidfd)
        if self._server is not None:
            self._server.control.close()
            os.close(self._server.pidfd)
        empty = os.open(os.devnull, os.O_RDWR)
        os.dup2(empty, 0)
        os.close(empty)

    def _close_sockets(self) -> None:
        for place in self._places:
            for descriptor in place.descriptors():
                os.close(descriptor)
            place.spares.clear()
            place.lost.clear()


def _run_child(body: Callable[[Control], int], control: Control) -> int:
    """Do a child's work; what keeps it from it is said to the launcher."""
    try:
        return body(control)
    except HelloWatchError as error:
        control.send("failed", f"{error.exit_code} {error}")
        return error.exit_code
    except BrokenPipeError:
        control.send("abandoned")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        control.send("failed", f"{EXIT_UNREADABLE} {where}{error.strerror or error}")
    except Exception as error:  # the last border of this process
        logger.exception("A mistake of HelloWatch itself; please report this line")
        control.send("failed", f"{EXIT_UNREADABLE} {type(error).__name__}: {error}")
    return EXIT_UNREADABLE


def _count(descriptor: int) -> int:
    """Return how many frames passed a packet socket's filter since this was last asked."""
    try:
        answer = socket.socket(fileno=os.dup(descriptor))
        with answer:
            octets = answer.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
    except OSError:
        return 0
    (packets,) = struct.unpack_from("I", octets)
    return int(packets)


def say_that_all_stays(error: HelloWatchError) -> None:
    """Say why another configuration is not used; of several mistakes, each."""
    for one in getattr(error, "errors", (error,)):
        logger.error("The configuration stays as it was", {"why": str(one)})


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _milliseconds(until: float) -> int:
    return max(0, round(1000 * (until - time.monotonic()) + 0.5))


def _take_note(_number: int, _frame: object) -> None:
    """Do nothing: that a signal came is told by the wake-up descriptor."""
