"""``hellowatch run --replay``: a capture file through the daemon's pipeline, in one process."""

import os
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from types import FrameType

from msgspec import structs

import parsers
from sniffer.analysis import input_read, log_evidence_lost, log_mistakes
from sniffer.capture.files import STANDARD_INPUT, CaptureFile
from sniffer.cli.keeping import keep_replay
from sniffer.cli.options import chosen_profiles, exit_code, installed_version
from sniffer.cli.output import Outputs
from sniffer.cli.reload import Current
from sniffer.cli.wanted import Wanted
from sniffer.daemon.launcher import say_that_all_stays
from sniffer.daemon.memory import settle
from sniffer.daemon.server import Gauges, Server
from sniffer.errors import EXIT_INTERRUPTED, EXIT_OK, ConfigError, HelloWatchError
from sniffer.export.metrics import Build
from sniffer.export.summary import summary
from sniffer.inventory.store.intake import Intake
from sniffer.judge.profile import wanted_names
from sniffer.log import one_line
from sniffer.pipeline import Enough, Limit, Pipeline
from sniffer.stop import Stop, Stopped
from sniffer.track.discovery import listen
from sniffer.track.tracker import Tracker


def replay(path: str, wanted: Wanted) -> int:
    """Count a capture, serve the figures until told to end, and return the exit code.

    Raises InputError, ConfigError, and BrokenPipeError.
    """
    settings, screen = wanted.configuration.settings, wanted.screen
    profiles, forced = chosen_profiles(wanted.configuration)
    duration = wanted.seconds

    stop = Stop(signal.SIGINT, signal.SIGTERM)
    with ExitStack() as stack:
        stack.callback(stop.remove)
        stop.install()
        source: CaptureFile | None = None
        try:
            with stop:
                # A pipe may keep us waiting for its first octets: the page is up before.
                if path != STANDARD_INPUT:
                    source = CaptureFile(path, fingerprinted=True)
                    stack.callback(source.close)
                sinks = Outputs(stack, wanted.form, wanted.outputs, [path], wanted.frames, False)
        except Stopped:
            return _ended_by(stop)
        build = Build(version=installed_version(), revision="unknown", compiled=parsers.compiled())
        server = Server(settings, profiles, build, forced)
        pipeline = Pipeline(
            Tracker(
                settings.track,
                settings.ports,
                os.urandom(16),
                ordered=False,
                path=path,
                keep_evidence=wanted.frames is not None,
                discovery=listen(settings.identify, wanted_names(profiles)),
                keep_octets=True,
            ),
            server.judge,
            server.aggregate,
            (sinks.write, screen.name),
            lock=server.lock,
            waiting=stop,
            limit=None if wanted.events is None else Limit(wanted.events),
        )
        name = os.path.basename(path) if path != "-" else "stdin"
        server.watch(name, lambda: _gauges(pipeline))
        recorder = keep_replay(stack, server, profiles, settings)
        address = server.start()
        stack.callback(server.close)
        _report_on_request(stack, name, pipeline)
        _reload_on_request(stack, wanted, server)
        screen.announce("metrics at", f"{address}/metrics")

        try:
            if source is None:
                with stop:
                    source = CaptureFile(path, fingerprinted=True)
        except Stopped:
            return _ended_by(stop)
        intake = Intake(recorder, source, path)
        intake.begin(pipeline.coverage, lambda: pipeline.tracker.frames)

        def progress() -> None:
            sinks.flush()
            intake.step()

        is_over = is_whole = True
        try:
            pipeline.run(source, progress)
        except Enough:
            duration, is_whole = 0, False
        except Stopped:
            is_over = is_whole = False
        is_known = intake.end(is_whole)
        settle()
        server.is_ready = True
        log_mistakes(pipeline.tracker)
        log_evidence_lost(path, pipeline.tracker.counters().evidence_lost)
        read = input_read(source, pipeline.tracker.frames, is_over, is_known)
        with server.lock:
            snapshot = server.aggregate.snapshot()
        told = summary([read.told()], snapshot, pipeline.coverage(), profiles, server.roster)
        sinks.finish(told, wanted.zone, wanted.color)
        try:
            if duration is None:
                screen.announce("replayed; until Ctrl-C the metrics stay at", f"{address}/metrics")
            if duration != 0:
                stop.sleep(duration)
        except Stopped:
            pass
    # That a signal ended the reading is no fault of the input.
    state = "ok" if source.problem is None else "partial"
    return _ended_by(stop) or exit_code([state], told["totals"], wanted.fail_on)


def _ended_by(stop: Stop) -> int:
    return EXIT_INTERRUPTED if stop.by == signal.SIGINT else EXIT_OK


def _gauges(pipeline: Pipeline) -> Gauges:
    counted = pipeline.tracker.counters()
    return Gauges(
        coverage=pipeline.coverage(),
        is_up=True,
        flows=counted.flows_open,
        reassembly_bytes=counted.reassembly_bytes,
    )


def _reload_on_request(stack: ExitStack, wanted: Wanted, server: Server) -> None:
    """Answer SIGHUP with the configuration read anew, as far as a replay can still use it."""
    current = Current(wanted.sources, wanted.configuration, wanted.frames is not None)
    one_at_a_time = threading.Lock()

    def reload() -> None:
        with one_at_a_time:
            try:
                change = current.reconfigure()
                if change is None:
                    return
                if change.needs_new_workers:
                    why = "ports, capture and track are those of the whole replay"
                    raise ConfigError("--replay", "", why)
                change.commit()
                server.use(*structs.astuple(current.in_use))
            except HelloWatchError as error:
                say_that_all_stays(error)

    def begin(_number: int, _frame: FrameType | None) -> None:
        # Apart from what the signal broke into, which may hold the lock of the figures.
        threading.Thread(target=reload, name="reload", daemon=True).start()

    stack.callback(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, begin))


def _report_on_request(stack: ExitStack, name: str, pipeline: Pipeline) -> None:
    """Answer SIGUSR1 with what was seen and lost, as tcpdump does at its end."""

    def report(_number: int, _frame: FrameType | None) -> None:
        seen = pipeline.coverage()
        lost = {**seen.undecoded, **seen.incomplete, **seen.evicted}
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
        line = (
            f"hellowatch: {one_line(name)}: {seen.frames} frames, {seen.frames_dropped} dropped, "
            f"{seen.frames_truncated} cut, {seen.hellos} hellos; lost: {reasons or 'nothing'}\n"
        )
        # Past Python's stream: the signal may have come while that was being written to.
        with suppress(OSError):
            os.write(sys.stderr.fileno(), line.encode())

    stack.callback(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, report))
