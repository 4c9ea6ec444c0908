"""``hellowatch run``: the daemon, or a capture replayed through its pipeline."""

import os
import signal
import sys
import threading
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from sniffer.cli.options import (
    FORMATS,
    check_format,
    check_store,
    configure_log,
    later,
    output_options,
    pipeline_options,
    zone,
)
from sniffer.cli.output import Enough, Outputs, counter
from sniffer.errors import EXIT_DAMAGED, EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from sniffer.daemon.server import Server
    from sniffer.pipeline import Pipeline

EPILOG = """\b
Examples:
  hellowatch run --replay pcaps/office.pcapng
  curl http://127.0.0.1:10993/metrics

\b
Signals: SIGTERM ends it after what is at hand was counted; SIGUSR1 prints what was lost.
"""


class _Stop(BaseException):
    """SIGTERM: end, and tell what was found."""


@click.command("run", epilog=EPILOG)
@click.option("--replay", metavar="FILE", help="A capture file instead of an interface.")
@click.option(
    "--web.listen-address",
    "listen_address",
    metavar="HOST:PORT",
    help="Of the metrics page; default 127.0.0.1:10993. Port 0: any free one.",
)
@click.option(
    "--format",
    "form",
    callback=check_format,
    metavar="|".join(FORMATS),
    help="Of standard output: table on a terminal, ndjson in a pipe.",
)
@click.option(
    "-o", "outputs", metavar="[FORMAT:]FILE", multiple=True, help="Write to a file as well."
)
@click.option("-c", "count", metavar="N", type=click.IntRange(min=1), help="End after N events.")
@click.option(
    "--duration",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Serve this long after the replay, then end.",
)
@pipeline_options
@output_options
@later("-i")
@later("-w")
@later("-s")
@later("-B")
@later("-p", takes_value=False)
@later("--web", takes_value=False)
@later("--web.config.file")
@later("--serve.listen-address")
@later("--config")
def command(
    replay: str | None,
    listen_address: str | None,
    form: str | None,
    outputs: tuple[str, ...],
    count: int | None,
    duration: float | None,
    ports: str | None,
    profile: str | None,
    store: str | None,
    numeric: bool,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str,
    color: str,
) -> None:
    """Watch an interface, or replay a capture, and serve the metrics.

    Runs until it is told to end; a replay is counted as fast as it can be read.
    """
    import parsers
    from sniffer.capture.files import CaptureFile
    from sniffer.config import (
        DEFAULT_PORTS,
        InventorySettings,
        MetricsSettings,
        TrackSettings,
        parse_ports,
    )
    from sniffer.daemon.server import Server
    from sniffer.export.metrics import Build
    from sniffer.judge.profile import find_profile, load_profiles
    from sniffer.judge.verdict import Judge
    from sniffer.pipeline import Pipeline
    from sniffer.track.tracker import Tracker

    if replay is None:
        raise click.UsageError("name a capture with --replay FILE (interfaces: not built yet)")
    configure_log(quiet, verbose, log_format)
    check_store(store)
    chosen_ports = DEFAULT_PORTS if ports is None else parse_ports(ports)
    profiles = load_profiles()
    forced = None if profile is None else find_profile(profile, profiles)
    zone_chosen = zone(tz)
    metrics = MetricsSettings()
    if listen_address is not None:
        metrics = MetricsSettings(listen_address=listen_address)

    with ExitStack() as stack:
        source = CaptureFile(replay)
        stack.callback(source.close)
        sinks = Outputs(stack, form, outputs, [replay])
        build = Build(version=_version(), revision="unknown", compiled=parsers.compiled())
        server = Server(metrics, InventorySettings(), chosen_ports, profiles, build)
        tracker = Tracker(TrackSettings(), chosen_ports, os.urandom(16), ordered=False, path=replay)
        pipeline = Pipeline(
            tracker,
            Judge(chosen_ports, profiles, forced),
            server.aggregate,
            (sinks.write, *((counter(count),) if count else ())),
            server.lock,
        )
        name = os.path.basename(replay) if replay != "-" else "stdin"
        server.watch(name, lambda: _gauges(pipeline))
        address = server.start()
        stack.callback(server.close)
        stack.enter_context(_signals(lambda: _drop_report(name, pipeline)))
        click.echo(f"hellowatch: metrics at {address}/metrics", err=True)

        code = EXIT_OK
        try:
            pipeline.run(source, sinks.flush)
        except Enough:
            duration = 0
        except _Stop:
            duration = 0
        except KeyboardInterrupt:
            code, duration = EXIT_INTERRUPTED, 0
        server.is_ready = True
        _tell(sinks, server, pipeline, source, zone_chosen, color)
        if source.problem is not None:
            click.echo(f"hellowatch: {source.problem}", err=True)
            code = code or EXIT_DAMAGED
        if duration is None and not quiet:
            click.echo(
                f"hellowatch: {replay} was replayed; the metrics stay at {address}/metrics "
                "until Ctrl-C",
                err=True,
            )
        try:
            _wait(duration)
        except _Stop:
            pass
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
    sys.exit(code)


def _version() -> str:
    from importlib.metadata import version

    return version("hellowatch")


def _gauges(pipeline: "Pipeline") -> Any:  # noqa: ANN401 (Gauges; not imported at start)
    from sniffer.daemon.server import Gauges

    counted = pipeline.tracker.counters()
    return Gauges(
        coverage=pipeline.coverage(),
        is_up=True,
        flows=counted.flows_open,
        reassembly_bytes=counted.reassembly_bytes,
    )


def _tell(
    sinks: Outputs,
    server: "Server",
    pipeline: "Pipeline",
    source: Any,  # noqa: ANN401 (CaptureFile; not imported at start)
    zone_chosen: Any,  # noqa: ANN401 (a tzinfo)
    color: str,
) -> None:
    from sniffer.analysis import Input
    from sniffer.export.summary import summary

    problem = None if source.problem is None else str(source.problem)
    told = Input(
        path=source.path,
        format=source.format,
        status="ok" if problem is None else "partial",
        frames=pipeline.tracker.frames,
        problem=problem,
    ).told()
    with server.lock:
        snapshot = server.aggregate.snapshot()
    sinks.finish(
        summary([told], snapshot, pipeline.coverage(), server.aggregate.profiles),
        zone_chosen,
        color,
    )


def _drop_report(name: str, pipeline: "Pipeline") -> None:
    """Print what was seen and lost, as tcpdump does at its end."""
    seen = pipeline.coverage()
    lost = {**seen.undecoded, **seen.incomplete, **seen.evicted}
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
    click.echo(
        f"hellowatch: {name}: {seen.frames} frames, {seen.frames_dropped} dropped, "
        f"{seen.frames_truncated} cut, {seen.hellos} hellos; lost: {reasons or 'nothing'}",
        err=True,
    )


def _signals(report: Any) -> ExitStack:  # noqa: ANN401 (a function without arguments)
    """Answer SIGTERM and SIGUSR1 until the stack is left."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stop

    stack = ExitStack()
    for number, handler in (
        (signal.SIGTERM, stop),
        (signal.SIGUSR1, lambda _number, _frame: report()),
    ):
        stack.callback(signal.signal, number, signal.signal(number, handler))
    return stack


def _wait(duration: float | None) -> None:
    """Wait for a signal, no longer than told."""
    if duration != 0:
        threading.Event().wait(duration)
