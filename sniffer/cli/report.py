"""``hellowatch report``: the readiness report, of the inventory or of capture files."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from sniffer.cli.inventory import configured, inventory_options, open_reader
from sniffer.cli.options import chosen_profiles, exit_code, file_names, roster_of
from sniffer.cli.output import open_outputs
from sniffer.errors import EXIT_INTERRUPTED, InputError
from sniffer.stop import Stop, Stopped

if TYPE_CHECKING:
    from sniffer.config_file import Configuration
    from sniffer.export.report import Subject
    from sniffer.identify.identity import Roster
    from sniffer.inventory.store.reader import Reader
    from sniffer.judge.profile import Profile

AUDIENCES = ("manager", "technician", "owner")
FORMATS = ("html", "csv", "json", "markdown")

EPILOG = """\b
Exit codes: those of analyze.

\b
Examples:
  hellowatch report -o report.html
  hellowatch report --for manager --since 2026-11-01 -o report.html
  hellowatch report --for technician --format markdown office.pcapng
"""


@click.command("report", epilog=EPILOG)
@click.argument("inputs", metavar="[FILE|DIR|-]...", nargs=-1, shell_complete=file_names)
@click.option(
    "--for",
    "audience",
    metavar="|".join(AUDIENCES),
    type=click.Choice(AUDIENCES),
    help="Who reads it; if nobody is named: the manager's page, then the technician's.",
)
@click.option(
    "--format",
    "form",
    metavar="|".join(FORMATS),
    type=click.Choice(FORMATS),
    help="Of standard output; default: html.",
)
@click.option(
    "-o",
    "outputs",
    metavar="[FORMAT:]FILE",
    multiple=True,
    shell_complete=file_names,
    help="Write to a file as well, or instead if --format is not given. Repeatable.",
)
@click.option("--since", metavar="TIME", help="Tell what changed since then: 2026-11-01.")
@inventory_options
def command(
    inputs: tuple[str, ...],
    audience: str | None,
    form: str | None,
    outputs: tuple[str, ...],
    since: str | None,
    config: str | None,
    store: str | None,
    as_of: str | None,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Report which devices will stop working, when, and what to do; of FILEs, or the inventory."""
    configuration = configured(config, store, quiet, verbose, log_format)
    if inputs and (store or since or as_of):
        raise click.UsageError("--store, --since and --as-of are about the inventory, not FILEs")
    if form is None and not outputs:
        form = "html"
    profiles, forced = chosen_profiles(configuration)
    code = 0
    with ExitStack() as stack:
        from sniffer.export.report import WRITERS, Report

        settings = configuration.settings
        roster = roster_of(configuration)
        opened = open_outputs(stack, form, outputs, list(inputs), known=FORMATS)
        if inputs:
            subject, code = _of_captures(stack, configuration, profiles, forced, roster, inputs)
            report = Report(subject, stack)
        else:
            reader = open_reader(settings, as_of, tz)
            before = None if since is None else open_reader(settings, since, tz, "--since")
            with reader.database.errors():
                subject = _of_store(reader, before, profiles, roster)
                report = Report(subject, stack)
        for kind, out in opened:
            WRITERS[kind](report, audience, out)
            out.flush()
    sys.exit(code)


def _of_store(
    reader: "Reader",
    before: "Reader | None",
    profiles: "dict[str, Profile]",
    roster: "Roster",
) -> "Subject":
    """Return the inventory as what a report is about."""
    from sniffer.event import Status
    from sniffer.export.ecs import timestamp
    from sniffer.export.findings import enforcement_json
    from sniffer.export.report import UNLISTED, Subject
    from sniffer.export.stored import changes_json, stored_device, story_json
    from sniffer.export.summary import coverage_json

    coverage = reader.coverage()
    fit = coverage.fitness().fit

    def devices() -> Iterator[dict[str, Any]]:
        for device in reader.devices():
            told = stored_device(reader, device, profiles, fit, roster=roster)
            if Status(told["status"]) not in UNLISTED:
                told["history"] = story_json(reader.story(device))
            yield told

    now_ns = reader.now_ns
    since_ns = None if before is None else before.now_ns
    return Subject(
        devices=devices(),
        coverage=coverage_json(coverage),
        titles={name: profile.title for name, profile in profiles.items()},
        now=None if now_ns is None else timestamp(now_ns),
        changes=() if before is None else changes_json(before, reader),
        since=None if since_ns is None else timestamp(since_ns),
        findings=[enforcement_json(found, profiles) for found in reader.enforcements()],
    )


def _of_captures(
    stack: ExitStack,
    configuration: "Configuration",
    profiles: "dict[str, Profile]",
    forced: "Profile | None",
    roster: "Roster",
    inputs: tuple[str, ...],
) -> "tuple[Subject, int]":
    """Return what was read of capture files as what a report is about, and the exit code."""
    from sniffer.analysis import Analysis, expand, walk_rarely
    from sniffer.export.report import subject_of
    from sniffer.export.summary import summary

    settings = configuration.settings
    stop = Stop(signal.SIGINT)
    stack.callback(stop.remove)
    stop.install()
    walk_rarely()
    analysis = Analysis(
        settings.ports,
        profiles,
        forced=forced,
        track=settings.track,
        inventory=settings.inventory,
        relays=settings.relay,
        waiting=stop,
    )
    try:
        for entry in expand(inputs):
            if isinstance(entry, InputError):
                analysis.refuse(entry)
            else:
                analysis.read(entry)
    except Stopped:
        pass
    told = summary(
        [entry.told() for entry in analysis.inputs],
        analysis.aggregate.snapshot(),
        analysis.coverage,
        profiles,
        roster,
    )
    if stop.by is not None:
        return subject_of(told), EXIT_INTERRUPTED
    states = [entry.status for entry in analysis.inputs]
    return subject_of(told), exit_code(states, told["totals"], ())
