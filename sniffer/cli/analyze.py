"""``hellowatch analyze``: capture files in, devices or events out."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from sniffer.cli.options import (
    chosen_profiles,
    config_options,
    configure_log,
    event_options,
    exit_code,
    file_names,
    format_options,
    interfaces_option,
    later,
    log_options,
    output_options,
    pipeline_options,
    pipeline_settings,
    roster_of,
    zone,
)
from sniffer.cli.output import Outputs
from sniffer.errors import EXIT_INTERRUPTED, InputError, StoreError
from sniffer.stop import Stop, Stopped

if TYPE_CHECKING:
    from sniffer.capture.files import CaptureFile

EPILOG = """\b
Exit codes:
  0  done            1  --fail-on found such a device     2  wrong usage
  3  nothing could be read       4  an input was damaged; all before the damage was analysed
  130  Ctrl-C: what was found so far is printed first

\b
Examples:
  hellowatch analyze office.pcapng
  hellowatch analyze --format ndjson *.pcap.gz | jq .hellowatch.verdict
  hellowatch analyze --ports any --fail-on legacy archive/
"""


@click.command("analyze", epilog=EPILOG)
@click.argument("inputs", metavar="FILE|DIR|-...", nargs=-1, shell_complete=file_names)
@click.option(
    "-r",
    "read",
    metavar="FILE",
    multiple=True,
    shell_complete=file_names,
    help="The same as FILE, as tcpdump has it.",
)
@format_options
@config_options
@event_options
@pipeline_options
@output_options
@interfaces_option
@later("-j")
@later("--duration")
@later("--as-of")
def command(
    inputs: tuple[str, ...],
    read: tuple[str, ...],
    form: str | None,
    outputs: tuple[str, ...],
    frames: str | None,
    config: str | None,
    count: int | None,
    fail_on: tuple[str, ...],
    ports: str | None,
    profile: str | None,
    store: str | None,
    site: str | None,
    numeric: bool,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Analyse capture files: pcap, pcapng and snoop, plain or packed; - reads standard input."""
    from sniffer.analysis import Analysis, expand, walk_rarely
    from sniffer.config_file import Sources
    from sniffer.export.summary import summary
    from sniffer.pipeline import Enough, Limit

    paths = [*read, *inputs]
    if not paths:
        raise click.UsageError("no capture file is named; - reads standard input")
    for path in paths:
        _check_path(path)
    options = {
        **pipeline_settings(ports, profile, store, site),
        **log_options(quiet, verbose, log_format),
    }
    configuration = Sources(config, options).load()
    settings = configuration.settings
    configure_log(settings.log)
    profiles, forced = chosen_profiles(configuration)
    roster = roster_of(configuration)
    zone_chosen = zone(tz)

    walk_rarely()
    entries = list(expand(paths))
    files = [entry for entry in entries if isinstance(entry, str)]
    stop = Stop(signal.SIGINT)
    with ExitStack() as stack:
        stack.callback(stop.remove)
        stop.install()
        try:
            with stop:
                sinks = Outputs(stack, form, outputs, files, frames)
        except Stopped:
            sys.exit(EXIT_INTERRUPTED)
        analysis = Analysis(
            settings.ports,
            profiles,
            forced=forced,
            track=settings.track,
            inventory=settings.inventory,
            identify=settings.identify,
            relays=settings.relay,
            keep_evidence=frames is not None,
            sinks=(sinks.write,),
            waiting=stop,
            limit=None if count is None else Limit(count),
        )
        if store is not None:
            from sniffer.cli.keeping import keep_analysis

            analysis.recorder = keep_analysis(stack, store, analysis.aggregate, profiles, settings)
        progress = _progress(stack, sinks, quiet, color)
        # The lines of the log go around the bar, where there is one.
        configure_log(settings.log)

        def advance(source: "CaptureFile") -> None:
            sinks.flush()
            progress(source)

        problem: StoreError | None = None
        try:
            for entry in entries:
                if isinstance(entry, InputError):
                    analysis.refuse(entry)
                else:
                    analysis.read(entry, advance)
        except (Enough, Stopped):
            pass
        except StoreError as error:
            # What was found is told all the same.
            problem = error
        progress(None)
        told = summary(
            [entry.told() for entry in analysis.inputs],
            analysis.aggregate.snapshot(),
            analysis.coverage,
            profiles,
            roster,
        )
        sinks.finish(told, zone_chosen, color)
        if problem is not None:
            raise problem
    if stop.by is not None:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(exit_code([entry.status for entry in analysis.inputs], told["totals"], fail_on))


def _check_path(path: str) -> None:
    if path == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("-: standard input is a terminal; send a capture into it by a pipe")
    if re.match("[a-z][a-z0-9+.-]*://", path) and not os.path.exists(path):
        raise click.UsageError(
            f"{path}: not built yet; fetch it yourself: curl ... | hellowatch analyze -"
        )


def _progress(
    stack: ExitStack, sinks: Outputs, quiet: bool, color: str
) -> Callable[["CaptureFile | None"], None]:
    """Return what to call after each batch: shows how far the reading is, on a terminal.

    Not where the events themselves run over that terminal.
    """
    if quiet or sinks.is_on_screen or not sys.stderr.isatty():
        return lambda source: None
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from sniffer.log import one_line

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr, no_color=True if color == "never" else None),
        transient=True,
    )
    stack.enter_context(bar)
    task: Any = None
    shown: object = None
    last = 0.0

    def show(source: "CaptureFile | None") -> None:
        nonlocal task, shown, last
        if source is None:
            bar.stop()
            return
        now = time.monotonic()
        if source is not shown:
            if task is not None:
                bar.remove_task(task)
            task = bar.add_task(one_line(source.path)[-40:], total=source.size)
            shown = source
        elif now - last < 0.1:
            return
        last = now
        bar.update(task, completed=source.consumed)

    return show
