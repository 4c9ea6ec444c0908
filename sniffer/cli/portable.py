"""``hellowatch run -i`` by libpcap or scapy: one interface, all in one process."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

import parsers
from sniffer.analysis import Input, log_evidence_lost, log_mistakes
from sniffer.capture.filter import build
from sniffer.capture.portable import Portable, chosen
from sniffer.cli.keeping import keep_live
from sniffer.cli.live import tell_losses
from sniffer.cli.options import chosen_profiles, exit_code, installed_version
from sniffer.cli.output import Outputs
from sniffer.cli.wanted import Wanted
from sniffer.daemon.server import Gauges, Server
from sniffer.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, CaptureError
from sniffer.export.metrics import Build
from sniffer.export.summary import summary
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.store.recorder import Seen
from sniffer.judge.profile import wanted_names
from sniffer.pipeline import Enough, Limit, Pipeline
from sniffer.stop import Stop, Stopped
from sniffer.track.discovery import listen
from sniffer.track.tracker import Tracker

logger = logging.getLogger(__name__)


def watch_portably(wanted: Wanted) -> int:
    """Capture until told to end, or for so long; return the exit code.

    Raises CaptureError, ConfigError, and BrokenPipeError. What was found before the interface
    went away is told first.
    """
    settings, screen = wanted.configuration.settings, wanted.screen
    profiles, forced = chosen_profiles(wanted.configuration)
    interface, *more = dict.fromkeys(settings.watch.interfaces)
    if more:
        why = "libpcap and scapy watch one interface at a time"
        raise CaptureError(more[0], why, "start one run for each", EXIT_USAGE)
    discovery = listen(settings.identify, wanted_names(profiles))
    made = build(
        settings.ports,
        tunnels=settings.capture.tunnels,
        passive=discovery is not None and discovery.passive,
        dns=discovery is not None and discovery.dns,
    )
    stop = Stop(signal.SIGINT, signal.SIGTERM)
    failure: CaptureError | None = None
    with ExitStack() as stack:
        name = chosen(settings.capture.source)
        source = Portable(name, interface, settings.capture, made.program)
        stack.callback(source.close)
        sinks = Outputs(stack, wanted.form, wanted.outputs, [], wanted.frames, False)
        _give_up_privileges()
        compiled = parsers.compiled()
        program = Build(version=installed_version(), revision="unknown", compiled=compiled)
        server = Server(settings, profiles, program, forced)
        tracker = Tracker(
            settings.track,
            settings.ports,
            os.urandom(16),
            ordered=False,
            behind_filter=source.is_filtered and not made.whole_tcp,
            keep_evidence=wanted.frames is not None,
            discovery=discovery,
            keep_octets=True,
        )
        pipeline = Pipeline(
            tracker,
            server.judge,
            server.aggregate,
            (sinks.write, screen.name),
            lock=server.lock,
            waiting=stop,
            limit=None if wanted.events is None else Limit(wanted.events),
        )
        server.watch(interface, lambda: _gauges(pipeline, source))
        recorder = keep_live(server, profiles, settings)
        if recorder is not None:
            stack.callback(recorder.close)
            recorder.follow(lambda: {interface: _seen(pipeline, source)})
            recorder.start()
        address = server.start()
        stack.callback(server.close)
        stack.callback(stop.remove)
        stop.install()
        _answer(stack, signal.SIGUSR1, lambda: tell_losses(interface, _coverage(pipeline, source)))
        _answer(stack, signal.SIGHUP, lambda: logger.warning("This source reloads nothing"))
        server.is_ready = True
        screen.begun([interface], f"{address}/metrics")
        if wanted.seconds is not None:
            source.end_after(wanted.seconds)

        def progress() -> None:
            sinks.flush()
            screen.pass_time(lambda: (_coverage(pipeline, source), source.counters().up_seconds))

        try:
            pipeline.run(source, progress)
        except (Enough, Stopped):
            pass
        except CaptureError as error:
            failure = error
        log_mistakes(tracker)
        log_evidence_lost(interface, tracker.counters().evidence_lost)
        with server.lock:
            snapshot = server.aggregate.snapshot()
        told = Input(path=interface, format="live", status="ok", frames=tracker.frames).told()
        whole = summary([told], snapshot, _coverage(pipeline, source), profiles, server.roster)
        sinks.finish(whole, wanted.zone, wanted.color)
    if failure is not None:
        raise failure
    code = exit_code(["ok"], whole["totals"], wanted.fail_on)
    return EXIT_INTERRUPTED if stop.by == signal.SIGINT else EXIT_OK if stop.by else code


def _give_up_privileges() -> None:
    if sys.platform == "linux":
        from sniffer.cage import privileges

        privileges.keep_memory_private()
        privileges.drop()


def _coverage(pipeline: Pipeline, source: Portable) -> Coverage:
    coverage = pipeline.coverage()
    coverage.frames_dropped = source.counters().dropped
    return coverage


def _seen(pipeline: Pipeline, source: Portable) -> Seen:
    up_seconds = source.counters().up_seconds
    return Seen(_coverage(pipeline, source), up_seconds, pipeline.aggregate.now_ns)


def _gauges(pipeline: Pipeline, source: Portable) -> Gauges:
    counted = pipeline.tracker.counters()
    return Gauges(
        coverage=_coverage(pipeline, source),
        is_up=True,
        flows=counted.flows_open,
        reassembly_bytes=counted.reassembly_bytes,
        watched_seconds=source.counters().up_seconds,
    )


def _answer(stack: ExitStack, number: signal.Signals, do: Callable[[], None]) -> None:
    def answer(_number: int, _frame: FrameType | None) -> None:
        do()

    stack.callback(signal.signal, number, signal.signal(number, answer))
