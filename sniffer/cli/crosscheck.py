"""``hellowatch crosscheck``: captures through other dissectors, each difference explained."""

import sys
from itertools import chain
from typing import TYPE_CHECKING

import click

from sniffer.cli.options import check_seconds, config_options, configure_log, log_options
from sniffer.errors import (
    EXIT_DAMAGED,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREADABLE,
    InputError,
)

if TYPE_CHECKING:
    from sniffer.crosscheck.report import Checked

DISSECTORS = ("tshark", "pyshark", "scapy", "dpkt")
FORMS = ("table", "json", "ndjson")

EPILOG = """\b
Exit codes:
  0  every difference is explained, or there is none      1  one is not
  2  wrong usage      3  nothing could be read, or no dissector is installed
  4  an input was damaged; all before the damage was compared      130  Ctrl-C

\b
Examples:
  hellowatch crosscheck office.pcapng
  hellowatch crosscheck --with tshark --format ndjson *.pcap | jq .rule
"""


@click.command("crosscheck", epilog=EPILOG)
@click.argument("inputs", metavar="FILE|DIR|-...", nargs=-1)
@click.option(
    "--with",
    "wanted",
    metavar="NAME,...",
    default=",".join(DISSECTORS),
    show_default=True,
    help="The dissectors to ask; one that is not installed is told of and left out.",
)
@click.option(
    "--timeout",
    "seconds",
    metavar="TIME",
    default="60s",
    show_default=True,
    callback=check_seconds,
    help="The longest that a dissector may take for a file.",
)
@click.option("--ports", metavar="LIST|any", help="Ports to follow, as for analyze.")
@click.option(
    "--format",
    "form",
    metavar="|".join(FORMS),
    type=click.Choice(FORMS),
    help="Of standard output: table on a terminal, ndjson (a difference a line) in a pipe.",
)
@config_options
@click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error.")
@click.option("-v", "--verbose", count=True, help="Tell more on standard error; -vv: most.")
@click.option(
    "--log-format",
    metavar="text|json",
    type=click.Choice(["text", "json"]),
    help="Of the lines on standard error.",
)
def command(
    inputs: tuple[str, ...],
    wanted: str,
    seconds: float,
    ports: str | None,
    form: str | None,
    config: str | None,
    quiet: bool,
    verbose: int,
    log_format: str | None,
) -> None:
    """Compare what HelloWatch reads in captures with tshark, pyshark, scapy and dpkt."""
    import logging

    import msgspec

    from sniffer.analysis import expand
    from sniffer.config_file import Sources
    from sniffer.crosscheck import dissectors, report

    if not inputs:
        raise click.UsageError("no capture file is named; - reads standard input")
    names = list(dict.fromkeys(name.strip() for name in wanted.split(",")))
    for name in names:
        if name not in DISSECTORS:
            raise click.BadParameter(
                f"{name!r} is none of {', '.join(DISSECTORS)}", param_hint="--with"
            )
    options = log_options(quiet, verbose, log_format)
    if ports is not None:
        options["watch.ports"] = ("--ports", ports)
    settings = Sources(config, options).load().settings
    configure_log(settings.log)
    log = logging.getLogger(__name__)
    lacking = {name: why for name in names if (why := dissectors.missing(name)) is not None}
    names = [name for name in names if name not in lacking]
    for why in lacking.values():
        (log.warning if names else log.error)("%s", why)
    if not names:
        sys.exit(EXIT_UNREADABLE)

    entries = list(expand(inputs))
    paths = [entry for entry in entries if isinstance(entry, str)]
    results: list[report.Checked | InputError] = []
    form = form or ("table" if sys.stdout.isatty() else "ndjson")
    code = None
    try:
        refused = (entry for entry in entries if isinstance(entry, InputError))
        for one in chain(refused, report.check(paths, settings.ports, names, seconds)):
            _tell(one, form)
            results.append(one)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    checked = [one for one in results if isinstance(one, report.Checked)]
    if form == "json":
        document = {
            "files": [one.told() for one in checked],
            "unexplained": sum(one.unexplained for one in checked),
        }
        _write(msgspec.json.format(msgspec.json.encode(document)))
    if code is not None:
        sys.exit(code)
    if not checked:
        sys.exit(EXIT_UNREADABLE)
    if any(one.unexplained for one in checked):
        sys.exit(EXIT_FOUND)
    is_whole = len(checked) == len(results) and all(one.problem is None for one in checked)
    sys.exit(EXIT_OK if is_whole else EXIT_DAMAGED)


def _tell(one: "Checked | InputError", form: str) -> None:
    """Write what became of one capture, and log what was wrong with it."""
    import logging

    import msgspec

    from sniffer.crosscheck import report

    log = logging.getLogger(__name__)
    if isinstance(one, InputError):
        log.error("%s", one)
        return
    if one.problem is not None:
        log.warning("%s", one.problem)
    for opinion in one.opinions:
        if opinion.problem is not None:
            log.warning("%s: %s: %s", one.path, opinion.dissector, opinion.problem)
    if form == "table":
        for line in report.table(one):
            _write(line.encode())
    elif form == "ndjson":
        for difference in one.found:
            _write(msgspec.json.encode(report.told(one.path, difference)))
    sys.stdout.buffer.flush()


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
