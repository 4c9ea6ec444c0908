"""The cage: one ring, one tracker, and no way out but the link.

It is born without capabilities. Everything is imported, the ring set up and the filter
attached before the last doors close; only then is a frame looked at. From then on it may
read the ring, write reports, and nothing else: no file, no network, no other program.
"""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from msgspec import structs

from parsers.batch import Batch
from sniffer.capture.filter import build, everything
from sniffer.capture.interfaces import mac_of
from sniffer.capture.ring import Ring
from sniffer.config import Settings
from sniffer.daemon import privileges, seccomp
from sniffer.daemon.control import GONE, Control
from sniffer.daemon.launcher import DRAIN_SECONDS, Tally
from sniffer.daemon.link import Sender, State
from sniffer.event import Handshake
from sniffer.inventory.coverage import Coverage
from sniffer.survey import Survey
from sniffer.track.tracker import Tracker

logger = logging.getLogger(__name__)

KEY_OCTETS = 16
REPORT_SECONDS = 0.02
"""Counters are told no more often than this while frames come; events are at once."""
ANSWER_SECONDS = 0.01
"""How often, at the end, the reader is asked whether it has everything."""

MOST_DESCRIPTORS = 64
"""A worker has fewer, by far."""

_FROM_TRACKER = [name for name in Coverage.__struct_fields__ if name != "frames_dropped"]


class Worker:
    """An interface on its way into the link."""

    def __init__(
        self,
        interface: str,
        descriptor: int,
        control: Control,
        tally: Tally,
        settings: Settings,
        *,
        surveyed: bool = False,
        keep_evidence: bool = False,
    ) -> None:
        """Set up the ring on a packet socket. Raises CaptureError.

        ``surveyed``: every frame is looked at, for the doctor; else the filter chooses.
        """
        self._control = control
        self._tally = tally
        self._descriptor = descriptor
        ports = settings.ports
        made = build(ports, tunnels=settings.capture.tunnels)
        program = everything() if surveyed else made.program
        self.ring = Ring(descriptor, interface, settings.capture, program)
        self.survey = Survey(ports, [mac_of(interface)]) if surveyed else None
        self.tracker = Tracker(
            settings.track,
            ports,
            os.urandom(KEY_OCTETS),
            ordered=False,
            behind_filter=not (made.whole_tcp or surveyed),
            keep_evidence=keep_evidence,
        )
        self._sender = Sender(settings.daemon.waiting_bytes)
        self._reported = 0.0
        self._mistakes = 0

    def enter_cage(self) -> bool:
        """Give up what is left to give up; False: system calls cannot be restricted here."""
        privileges.drop()
        time.localtime()  # reads the time zone's file, which no log line could later
        return seccomp.confine(copies(self._descriptor))

    def run(self) -> None:
        """Capture until SIGTERM, or until the launcher is gone; then tell the rest."""
        signal.signal(signal.SIGTERM, self._stop)
        self._control.send("ready")
        batch = Batch()
        gc.freeze()  # nothing of what is there by now will ever be garbage
        self._hear()
        self._report([], is_idle=True)
        while self.ring.read(batch):
            if batch.count:
                if self.survey is not None:
                    self.survey.observe(batch)
                self.tracker.observe(batch)
            else:
                self.tracker.tick(batch.now_ns)
            self._report(self.tracker.ready(), is_idle=batch.count == 0)
            self._hear()
        self.tracker.finish()
        self._report(self.tracker.ready(), is_idle=True)
        self._wait_for_reader()

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.ring.stop()

    def _report(self, handshakes: list[Handshake], is_idle: bool) -> None:
        tracker = self.tracker
        captured = self.ring.counters()
        self._tally.write(captured.received, tracker.hellos + tracker.open_count)
        now = time.monotonic()
        if not (handshakes or is_idle or now - self._reported >= REPORT_SECONDS):
            return
        self._reported = now
        counted = tracker.counters()
        for mistake in counted.internal_errors[self._mistakes :]:
            logger.error("A frame could not be handled: our mistake", {"error": mistake})
        self._mistakes = len(counted.internal_errors)
        coverage = Coverage(**{name: getattr(counted, name) for name in _FROM_TRACKER})
        coverage.frames_dropped = captured.dropped + captured.lost
        coverage.last_ns = captured.last_frame_ns
        offset_ns = self.ring.clock.offset_ns
        if offset_ns:
            # The wall clock was set; people read events by it.
            handshakes = [structs.replace(h, time_ns=h.time_ns + offset_ns) for h in handshakes]
        state = State(
            coverage=coverage,
            skipped=captured.skipped,
            is_up=captured.is_up,
            up_seconds=captured.up_seconds,
            flows=counted.flows_open,
            reassembly_bytes=counted.reassembly_bytes,
            reported=0,
            unreported=0,
            facts=None if self.survey is None else self.survey.facts(),
        )
        self._sender.send(tracker.now_ns, handshakes, state)

    def _hear(self) -> None:
        """Take a new reader's link; end where there is no launcher any more."""
        while (message := self._control.receive()) is not None:
            if message == GONE:
                self._stop()
                return
            if message.word == "link" and message.descriptor >= 0:
                self._sender.connect(message.descriptor)
                self._sender.flush()

    def _wait_for_reader(self) -> None:
        until = time.monotonic() + DRAIN_SECONDS / 2
        while not self._sender.is_confirmed and time.monotonic() < until:
            self._hear()
            self._sender.flush()
            time.sleep(ANSWER_SECONDS)
        self._sender.close()


def work_with(
    settings: Settings, *, surveyed: bool = False, keep_evidence: bool = False
) -> Callable[[str, int, Control, Tally], int]:
    """Return what the launcher runs in a worker, with these settings."""

    def work(interface: str, descriptor: int, control: Control, tally: Tally) -> int:
        close_all_but(control.fileno(), descriptor)
        worker = Worker(
            interface,
            descriptor,
            control,
            tally,
            settings,
            surveyed=surveyed,
            keep_evidence=keep_evidence,
        )
        if not worker.enter_cage():
            fields = {"interface": interface}
            logger.warning("System calls cannot be restricted on this machine", fields)
        worker.run()
        return 0

    return work


def close_all_but(*kept: int) -> None:
    """Close every descriptor but the standard streams and these; standard output too."""
    os.dup2(0, 1)  # the launcher left /dev/null there
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def copies(descriptor: int) -> list[int]:
    """Return the descriptors of the same socket or file: a mapping keeps one of its own."""
    wanted = os.fstat(descriptor)
    same = []
    for number in range(3, MOST_DESCRIPTORS):
        try:
            found = os.fstat(number)
        except OSError:
            continue
        if os.path.samestat(found, wanted):
            same.append(number)
    return same
