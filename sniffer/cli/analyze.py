"""``hellowatch analyze``: capture files in, devices or events out."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sniffer.cli.options import (
    FORMATS,
    FORMATS_LATER,
    check_format,
    check_store,
    configure_log,
    later,
    output_options,
    pipeline_options,
    zone,
)
from sniffer.errors import (
    EXIT_DAMAGED,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREADABLE,
    ConfigError,
)

if TYPE_CHECKING:
    from sniffer.analysis import Analysis
    from sniffer.capture.files import CaptureFile
    from sniffer.event import Handshake, Judgement

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


class _Enough(Exception):
    """The events that -c asked for have been written."""


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
        sinks = Outputs(stack, form, outputs)
        analysis = Analysis(
            chosen_ports,
            profiles,
            forced=forced,
            sinks=(sinks.write, *((_counter(count),) if count else ())),
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
        except _Enough:
            pass
        progress(None)
        summary = sinks.finish(analysis, zone_chosen, color)
    sys.exit(EXIT_INTERRUPTED if interrupted else _exit_code(analysis, summary, fail_on))


class Outputs:
    """Standard output and the files of ``-o``: events as they come, the summary at the end."""

    def __init__(self, stack: ExitStack, form: str | None, outputs: tuple[str, ...]) -> None:
        """Open every output; ``stack`` closes the files."""
        wanted: list[tuple[str, BinaryIO, str | None]] = []
        if form is None and not outputs:
            form = "table" if sys.stdout.isatty() else "ndjson"
        if form is not None:
            wanted.append((form, sys.stdout.buffer, None))
        for text in outputs:
            prefix, colon, path = text.partition(":")
            if not colon or prefix not in FORMATS + FORMATS_LATER:
                prefix, path = _format_of(text), text
            if prefix in FORMATS_LATER:
                raise click.UsageError(f"-o {text}: {prefix}: not built yet")
            wanted.append((prefix, stack.enter_context(_create(path)), path))
        self._summaries = [(kind, out) for kind, out, _ in wanted if kind in ("json", "table")]
        self._streams = [out for _, out, _ in wanted]
        self._writers = []
        if any(kind in ("ndjson", "csv") for kind, _, _ in wanted):
            from sniffer.export.ecs import event
            from sniffer.export.formats import CsvWriter, EventWriter, NdjsonWriter

            kinds: dict[str, Callable[[BinaryIO], EventWriter]] = {
                "ndjson": NdjsonWriter,
                "csv": CsvWriter,
            }
            self._event = event
            self._writers = [kinds[kind](out) for kind, out, _ in wanted if kind in kinds]

    def write(self, handshake: "Handshake", judgement: "Judgement") -> None:
        """Write one event wherever events go."""
        if self._writers:
            told = self._event(handshake, judgement)
            for writer in self._writers:
                writer.write(told)

    def flush(self) -> None:
        """Let readers of a pipe see what there is."""
        for out in self._streams:
            out.flush()

    def finish(self, analysis: "Analysis", zone_chosen: Any, color: str) -> dict[str, Any]:  # noqa: ANN401 (a tzinfo)
        """Write the summaries, and return the one they rest on."""
        from sniffer.export.formats import summary_json, table
        from sniffer.export.summary import summary

        told = summary(
            [entry.told() for entry in analysis.inputs],
            analysis.aggregate.snapshot(),
            analysis.coverage,
            analysis.profiles,
        )
        for kind, out in self._summaries:
            if kind == "json":
                out.write(summary_json(told))
            else:
                out.flush()
                _print_table(table, told, out, zone_chosen, color)
        self.flush()
        return told


def _print_table(
    table: Callable[..., None],
    told: dict[str, Any],
    out: BinaryIO,
    zone_chosen: Any,  # noqa: ANN401 (a tzinfo)
    color: str,
) -> None:
    chosen = {"always": True, "never": False, "auto": None}[color]
    if out is sys.stdout.buffer:
        table(told, sys.stdout, zone=zone_chosen, color=chosen)
        sys.stdout.flush()
        return
    import io

    text = io.StringIO()
    table(told, text, zone=zone_chosen, color=chosen)
    out.write(text.getvalue().encode())


def _format_of(path: str) -> str:
    """Return the format that a file's name asks for; ndjson if it asks for none."""
    suffix = path.rpartition(".")[2].lower()
    known = {"json": "json", "csv": "csv", "txt": "table", "html": "html"}
    return known.get(suffix, "ndjson")


def _create(path: str) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise ConfigError("-o", path, f"cannot be written ({error.strerror})") from error


def _counter(most: int) -> Callable[["Handshake", "Judgement"], None]:
    left = most

    def count(_handshake: "Handshake", _judgement: "Judgement") -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise _Enough

    return count


def _exit_code(analysis: "Analysis", summary: dict[str, Any], fail_on: tuple[str, ...]) -> int:
    states = [entry.status for entry in analysis.inputs]
    if all(state == "failed" for state in states):
        return EXIT_UNREADABLE
    verdicts = {s["verdict"] for device in summary["devices"] for s in device["stacks"]}
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
