"""``hellowatch analyze``: capture files in, devices or events out."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
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
from sniffer.errors import (
    EXIT_DAMAGED,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREADABLE,
)

if TYPE_CHECKING:
    from sniffer.analysis import Analysis
    from sniffer.capture.files import CaptureFile

EPILOG = """\b
Exit codes:
  0  done            1  --fail-on found such a device     2  wrong usage
  3  nothing could be read       4  an input was damaged; all before the damage was analysed

\b
Examples:
  hellowatch analyze office.pcapng
  hellowatch analyze --format ndjson *.pcap.gz | jq .hellowatch.verdict
  hellowatch analyze --ports any --fail-on legacy archive/
"""


@click.command("analyze", epilog=EPILOG)
@click.argument("inputs", metavar="FILE|DIR|-...", nargs=-1)
@click.option(
    "-r", "read", metavar="FILE", multiple=True, help="The same as FILE, as tcpdump has it."
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
@click.option("-c", "count", metavar="N", type=click.IntRange(min=1), help="End after N events.")
@click.option(
    "--fail-on",
    metavar="VERDICT",
    multiple=True,
    type=click.Choice(["legacy", "incompatible", "at-risk"]),
    help="Exit 1 if such a device was found: legacy, incompatible, at-risk. Repeatable.",
)
@pipeline_options
@output_options
@later("-w")
@later("-j")
@later("--duration")
@later("--as-of")
def command(
    inputs: tuple[str, ...],
    read: tuple[str, ...],
    form: str | None,
    outputs: tuple[str, ...],
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
    """Analyse capture files: pcap and pcapng, plain or gzip; - reads standard input."""
    from sniffer.analysis import Analysis, expand
    from sniffer.config import DEFAULT_PORTS, parse_ports
    from sniffer.export.summary import summary
    from sniffer.judge.profile import find_profile, load_profiles

    configure_log(quiet, verbose, log_format)
    paths = [*read, *inputs]
    if not paths:
        raise click.UsageError("no capture file is named; - reads standard input")
    check_store(store)
    chosen_ports = DEFAULT_PORTS if ports is None else parse_ports(ports)
    profiles = load_profiles()
    forced = None if profile is None else find_profile(profile, profiles)
    zone_chosen = zone(tz)

    with ExitStack() as stack:
        sinks = Outputs(stack, form, outputs, paths)
        analysis = Analysis(
            chosen_ports,
            profiles,
            forced=forced,
            sinks=(sinks.write, *((counter(count),) if count else ())),
        )
        progress = _progress(stack, quiet)

        def advance(source: "CaptureFile") -> None:
            sinks.flush()
            progress(source)

        interrupted = False
        try:
            for path in expand(paths):
                analysis.read(path, advance)
        except KeyboardInterrupt:
            interrupted = True
        except Enough:
            pass
        progress(None)
        told = summary(
            [entry.told() for entry in analysis.inputs],
            analysis.aggregate.snapshot(),
            analysis.coverage,
            profiles,
        )
        sinks.finish(told, zone_chosen, color)
    sys.exit(EXIT_INTERRUPTED if interrupted else _exit_code(analysis, told, fail_on))


def _exit_code(analysis: "Analysis", told: dict[str, Any], fail_on: tuple[str, ...]) -> int:
    states = [entry.status for entry in analysis.inputs]
    if all(state == "failed" for state in states):
        return EXIT_UNREADABLE
    verdicts = {s["verdict"] for device in told["devices"] for s in device["stacks"]}
    if verdicts & set(fail_on):
        return EXIT_FOUND
    return EXIT_OK if all(state == "ok" for state in states) else EXIT_DAMAGED


def _progress(stack: ExitStack, quiet: bool) -> Callable[["CaptureFile | None"], None]:
    """Return what to call after each batch: shows how far the reading is, on a terminal."""
    if quiet or not sys.stderr.isatty():
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

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
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
            task = bar.add_task(source.path[-40:], total=source.size)
            shown = source
        elif now - last < 0.1:
            return
        last = now
        bar.update(task, completed=source.consumed)

    return show
