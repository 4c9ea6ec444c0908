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
from types import FrameType

from msgspec import structs

from parsers.batch import Batch
from sniffer.cage import privileges, seccomp
from sniffer.capture.filter import build, everything
from sniffer.capture.interfaces import mac_of
from sniffer.capture.ring import SECOND_NS, Ring, RingCounters
from sniffer.config import Settings
from sniffer.daemon.control import GONE, Control
from sniffer.daemon.launcher import DRAIN_SECONDS, Tally, Work
from sniffer.daemon.link import Sender, State
from sniffer.daemon.part import Part, Seen
from sniffer.event import Handshake, Sighting
from sniffer.inventory.coverage import Coverage
from sniffer.survey import Survey
from sniffer.track.discovery import Wanted, listen
from sniffer.track.layout import FOR_EVER, SESSION_NS
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
        is_heir: bool = False,
        wanted: Wanted | None = None,
    ) -> None:
        """Set up the ring on a packet socket. Raises CaptureError.

        ``surveyed``: every frame is looked at, for the doctor; else the filter chooses.
        ``is_heir``: another worker captures there, and this one is to take over from it.
        ``wanted`` tells the host names whose addresses are asked for.
        """
        self._control = control
        self._tally = tally
        self._descriptor = descriptor
        ports = settings.ports
        discovery = None if surveyed else listen(settings.identify, wanted)
        made = build(
            ports,
            tunnels=settings.capture.tunnels,
            passive=discovery is not None and discovery.passive,
            dns=discovery is not None and discovery.dns,
        )
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
            discovery=discovery,
            keep_octets=True,
        )
        self._sender = Sender(settings.daemon.waiting_bytes)
        self._lingers_ns = SECOND_NS * settings.track.answer_seconds + SESSION_NS
        self._part = Part(is_whole=not is_heir)
        if is_heir:
            self.tracker.tell(FOR_EVER, FOR_EVER)
        self.ring.wake_by(control.fileno())
        self._sighted: list[Sighting] = []
        self._reported = 0.0
        self._mistakes = 0

    def enter_cage(self) -> bool:
        """Give up what is left to give up; False: system calls cannot be restricted here."""
        privileges.drop()
        time.localtime()  # reads the time zone's file, which no log line could later
        return seccomp.confine(seccomp.CAPTURING, copies(self._descriptor))

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
            if self._part.is_waiting:
                self._part.observe(batch, self._seen(), self.tracker.now_ns)
            self._report(self.tracker.ready(), is_idle=batch.count == 0)
            self._hear()
            if self._part.is_over and self._has_outlived_its_part():
                break
        self.tracker.finish()
        self._report(self.tracker.ready(), is_idle=True)
        self._wait_for_reader()

    def _stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.ring.stop()

    def _report(self, handshakes: list[Handshake], is_idle: bool) -> None:
        tracker = self.tracker
        captured = self.ring.counters()
        received, open_count, seen = captured.received, tracker.open_count, None
        if self._part.is_over:
            # What comes after our part is no loss of ours.
            seen = self._part.share(self._seen(captured))
            received = seen.coverage.frames + seen.skipped + seen.coverage.frames_dropped
            open_count = tracker.open_before(self._part.until_ns)
        self._tally.write(received, tracker.hellos + open_count)
        now = time.monotonic()
        dialogues = tracker.heard()
        self._sighted += tracker.sightings()
        if not (handshakes or dialogues or is_idle or now - self._reported >= REPORT_SECONDS):
            return
        self._reported = now
        sightings, self._sighted = self._sighted, []
        counted = tracker.counters()
        for mistake in counted.internal_errors[self._mistakes :]:
            logger.error("A frame could not be handled: our mistake", {"error": mistake})
        self._mistakes = len(counted.internal_errors)
        seen = seen or self._part.share(self._seen(captured))
        offset_ns = self.ring.clock.offset_ns
        if offset_ns:
            # The wall clock was set; people read events by it.
            handshakes = [structs.replace(h, time_ns=h.time_ns + offset_ns) for h in handshakes]
            dialogues = [structs.replace(d, time_ns=d.time_ns + offset_ns) for d in dialogues]
            sightings = [_later(sighting, offset_ns) for sighting in sightings]
        state = State(
            coverage=seen.coverage,
            skipped=seen.skipped,
            is_up=captured.is_up,
            up_seconds=seen.up_seconds,
            flows=counted.flows_open,
            reassembly_bytes=counted.reassembly_bytes,
            reported=0,
            unreported=0,
            facts=None if self.survey is None else self.survey.facts(),
        )
        self._sender.send(tracker.now_ns, handshakes, state, dialogues, sightings)

    def _hear(self) -> None:
        """Take a new reader's link; end where there is no launcher any more."""
        while (message := self._control.receive()) is not None:
            if message == GONE:
                self._stop()
                return
            if message.word == "link" and message.descriptor >= 0:
                self._sender.connect(message.descriptor)
                self._sender.flush()
            elif message.word in ("from", "until"):
                self._agree(message.word, int(message.text))
            elif message.word == "level":
                logging.getLogger().setLevel(int(message.text))

    def _agree(self, word: str, wall_ns: int) -> None:
        """Begin or end to tell at a time, if that is still to come."""
        time_ns = wall_ns - self.ring.clock.offset_ns
        if self.tracker.now_ns >= time_ns:
            self._control.send("late")
            return
        if word == "from":
            self._part.from_ns = time_ns
        else:
            self._part.until_ns = time_ns
        self.tracker.tell(self._part.from_ns, self._part.until_ns)
        self._control.send("agreed")

    def _has_outlived_its_part(self) -> bool:
        """Tell whether nothing is waited for any more that another worker does not tell."""
        until_ns = self._part.until_ns
        is_late = self.tracker.now_ns >= until_ns + self._lingers_ns
        return is_late or not self.tracker.open_before(until_ns)

    def _seen(self, captured: RingCounters | None = None) -> Seen:
        """Return what was seen and lost since the start."""
        captured = captured or self.ring.counters()
        counted = self.tracker.counters()
        coverage = Coverage(**{name: getattr(counted, name) for name in _FROM_TRACKER})
        coverage.frames_dropped = captured.dropped + captured.lost
        coverage.last_ns = captured.last_frame_ns
        return Seen(coverage, captured.skipped, captured.up_seconds)

    def _wait_for_reader(self) -> None:
        until = time.monotonic() + DRAIN_SECONDS / 2
        while not self._sender.is_confirmed and time.monotonic() < until:
            self._hear()
            self._sender.flush()
            time.sleep(ANSWER_SECONDS)
        self._sender.close()


def _later(sighting: Sighting, offset_ns: int) -> Sighting:
    until_ns = sighting.until_ns
    return structs.replace(
        sighting,
        time_ns=sighting.time_ns + offset_ns,
        until_ns=None if until_ns is None else until_ns + offset_ns,
    )


def work_with(
    settings: Settings,
    *,
    surveyed: bool = False,
    keep_evidence: bool = False,
    wanted: Wanted | None = None,
) -> Work:
    """Return what the launcher runs in a worker, with these settings."""

    def work(interface: str, descriptor: int, control: Control, tally: Tally, is_heir: bool) -> int:
        close_all_but(control.fileno(), descriptor)
        worker = Worker(
            interface,
            descriptor,
            control,
            tally,
            settings,
            surveyed=surveyed,
            keep_evidence=keep_evidence,
            is_heir=is_heir,
            wanted=wanted,
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
