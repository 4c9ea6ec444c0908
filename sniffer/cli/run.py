"""``hellowatch run``: the daemon, or a capture replayed through its pipeline."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import TYPE_CHECKING

import click

from sniffer.cli.options import (
    FORMATS,
    check_format,
    check_seconds,
    check_store,
    configure_log,
    event_options,
    exit_code,
    installed_version,
    later,
    output_options,
    pipeline_options,
    zone,
)
from sniffer.cli.output import Outputs
from sniffer.cli.stop import Stop, Stopped
from sniffer.errors import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from sniffer.daemon.server import Gauges
    from sniffer.pipeline import Pipeline

EPILOG = """\b
Exit codes:
  0  done, or SIGTERM  1  --fail-on found such a device   2  wrong usage, or address in use
  3  the capture cannot be read    4  it was damaged; all before the damage was counted
  5  capturing on an interface is not permitted: the line names the capability
  130  Ctrl-C: what was found so far is printed first

\b
Examples:
  hellowatch run -i eth1
  hellowatch run --replay pcaps/office.pcapng
  curl http://127.0.0.1:10993/metrics

\b
Signals: SIGTERM ends it after what is at hand was counted; SIGUSR1 prints what was lost;
SIGHUP reads the configuration anew (there is none yet).
"""


PATIENCE = (
    "devices show when they speak: that none is seen means something after a working day, "
    "better after a month's end"
)


@click.command("run", epilog=EPILOG)
@click.option(
    "-i",
    "interfaces",
    metavar="IFACE",
    multiple=True,
    help="Interface to watch; repeatable. any: all of them.",
)
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
    "-o",
    "outputs",
    metavar="[FORMAT:]FILE",
    multiple=True,
    help="Write to a file as well, or instead if --format is not given. Repeatable.",
)
@click.option(
    "--duration",
    metavar="TIME",
    callback=check_seconds,
    help="Watch for this long, or serve this long after a replay, then end: 90, 90s, 10m, 2h, 1d.",
)
@click.option(
    "-B",
    "ring_mebibytes",
    metavar="MiB",
    type=click.IntRange(1, 16_384),
    help="Memory of each interface's ring; default 64.",
)
@click.option("-p", "not_promiscuous", is_flag=True, help="Do not set promiscuous mode.")
@event_options
@pipeline_options
@output_options
@later("-D", takes_value=False)
@later("-w")
@later("-s")
@later("--web", takes_value=False)
@later("--web.config.file")
@later("--serve.listen-address")
@later("--config")
def command(
    interfaces: tuple[str, ...],
    replay: str | None,
    listen_address: str | None,
    form: str | None,
    outputs: tuple[str, ...],
    duration: float | None,
    ring_mebibytes: int | None,
    not_promiscuous: bool,
    count: int | None,
    fail_on: tuple[str, ...],
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
    if interfaces and replay is not None:
        raise click.UsageError("-i and --replay: one of them at a time")
    if interfaces:
        from msgspec.structs import replace

        from sniffer.cli.live import Live, watch
        from sniffer.config import DEFAULT_PORTS, CaptureSettings, MetricsSettings, parse_ports
        from sniffer.log import one_line

        configure_log(quiet, verbose, log_format)
        check_store(store)
        capture = CaptureSettings(promiscuous=not not_promiscuous)
        if ring_mebibytes is not None:
            capture = replace(capture, ring_bytes=ring_mebibytes << 20)
        metrics = MetricsSettings()
        if listen_address is not None:
            metrics = MetricsSettings(listen_address=listen_address)
        live = Live(
            interfaces=interfaces,
            ports=DEFAULT_PORTS if ports is None else parse_ports(ports),
            profile=profile,
            metrics=metrics,
            capture=capture,
            form=form,
            outputs=outputs,
            events=count,
            fail_on=fail_on,
            zone=zone(tz),
            color=color,
        )
        tell = _announcer(quiet, log_format)
        what = f"watching {', '.join(map(one_line, live.interfaces))}; metrics at"

        def begun(address: str) -> None:
            tell(what, f"{address}/metrics")
            if not quiet and log_format == "text":
                click.echo(f"hellowatch: {PATIENCE}", err=True)

        sys.exit(watch(live, begun, duration))

    import parsers
    from sniffer.analysis import input_read, log_mistakes
    from sniffer.capture.files import STANDARD_INPUT, CaptureFile
    from sniffer.config import (
        DEFAULT_PORTS,
        InventorySettings,
        MetricsSettings,
        TrackSettings,
        parse_ports,
    )
    from sniffer.daemon.server import Server
    from sniffer.export.metrics import Build
    from sniffer.export.summary import summary
    from sniffer.judge.profile import find_profile, load_profiles
    from sniffer.judge.verdict import Judge
    from sniffer.pipeline import Enough, Limit, Pipeline
    from sniffer.track.tracker import Tracker

    if replay is None:
        raise click.UsageError("name an interface with -i IFACE, or a capture with --replay FILE")
    configure_log(quiet, verbose, log_format)
    announce = _announcer(quiet, log_format)
    check_store(store)
    chosen_ports = DEFAULT_PORTS if ports is None else parse_ports(ports)
    profiles = load_profiles()
    forced = None if profile is None else find_profile(profile, profiles)
    zone_chosen = zone(tz)
    metrics = MetricsSettings()
    if listen_address is not None:
        metrics = MetricsSettings(listen_address=listen_address)

    stop = Stop(signal.SIGINT, signal.SIGTERM)
    with ExitStack() as stack:
        stack.callback(stop.remove)
        stop.install()
        source: CaptureFile | None = None
        try:
            with stop:
                # A pipe may keep us waiting for its first octets: the page is up before.
                if replay != STANDARD_INPUT:
                    source = CaptureFile(replay)
                    stack.callback(source.close)
                sinks = Outputs(stack, form, outputs, [replay])
        except Stopped:
            sys.exit(_ended_by(stop))
        build = Build(version=installed_version(), revision="unknown", compiled=parsers.compiled())
        server = Server(metrics, InventorySettings(), chosen_ports, profiles, build)
        pipeline = Pipeline(
            Tracker(TrackSettings(), chosen_ports, os.urandom(16), ordered=False, path=replay),
            Judge(chosen_ports, profiles, forced),
            server.aggregate,
            (sinks.write,),
            lock=server.lock,
            waiting=stop,
            limit=None if count is None else Limit(count),
        )
        name = os.path.basename(replay) if replay != "-" else "stdin"
        server.watch(name, lambda: _gauges(pipeline))
        address = server.start()
        stack.callback(server.close)
        _report_on_request(stack, name, pipeline)
        announce("metrics at", f"{address}/metrics")

        try:
            if source is None:
                with stop:
                    source = CaptureFile(replay)
        except Stopped:
            sys.exit(_ended_by(stop))
        is_over = True
        try:
            pipeline.run(source, sinks.flush)
        except Enough:
            duration = 0
        except Stopped:
            is_over = False
        server.is_ready = True
        log_mistakes(pipeline.tracker)
        read = input_read(source, pipeline.tracker.frames, is_over)
        with server.lock:
            snapshot = server.aggregate.snapshot()
        told = summary([read.told()], snapshot, pipeline.coverage(), profiles)
        sinks.finish(told, zone_chosen, color)
        try:
            if duration is None:
                announce("replayed; until Ctrl-C the metrics stay at", f"{address}/metrics")
            if duration != 0:
                stop.sleep(duration)
        except Stopped:
            pass
    # That a signal ended the reading is no fault of the input.
    state = "ok" if source.problem is None else "partial"
    sys.exit(_ended_by(stop) or exit_code([state], told["totals"], fail_on))


def _announcer(quiet: bool, log_format: str) -> Callable[[str, str], None]:
    """Return what tells the user where the page is: a plain line, or a line of the JSON log."""
    import logging

    logger = logging.getLogger(__name__)
    if not quiet:
        logger.setLevel(logging.INFO)

    def announce(what: str, url: str) -> None:
        if log_format == "json":
            logger.info(what, {"url": url})
        elif not quiet:
            click.echo(f"hellowatch: {what} {url}", err=True)

    return announce


def _ended_by(stop: Stop) -> int:
    return EXIT_INTERRUPTED if stop.by == signal.SIGINT else EXIT_OK


def _gauges(pipeline: "Pipeline") -> "Gauges":
    from sniffer.daemon.server import Gauges

    counted = pipeline.tracker.counters()
    return Gauges(
        coverage=pipeline.coverage(),
        is_up=True,
        flows=counted.flows_open,
        reassembly_bytes=counted.reassembly_bytes,
    )


def _report_on_request(stack: ExitStack, name: str, pipeline: "Pipeline") -> None:
    """Answer SIGUSR1 with what was seen and lost, as tcpdump does at its end."""
    from sniffer.log import one_line

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
