"""``hellowatch doctor``: what is wrong with a mirror port or a capture, and what to do."""

import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from sniffer.cli.options import (
    check_seconds,
    chosen_profiles,
    config_options,
    configure_log,
    file_names,
    interface_names,
    interfaces_option,
    later,
    log_options,
    output_options,
    pipeline_settings,
    zone,
)
from sniffer.errors import (
    EXIT_DAMAGED,
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREADABLE,
    InputError,
)
from sniffer.stop import Stop, Stopped

if TYPE_CHECKING:
    from sniffer.doctor.examine import Diagnosis
    from sniffer.doctor.finding import Evidence, Severity

EPILOG = """\b
Exit codes:
  0  done            1  --fail-on found such a finding     2  wrong usage
  3  nothing could be read       4  an input was damaged; all before the damage was looked at
  5  capturing on the interface is not permitted: the line names the capability
  130  Ctrl-C: what was found so far is printed first

\b
Examples:
  hellowatch doctor monday.pcapng
  sudo hellowatch doctor -i eth1 --duration 5m
  hellowatch doctor --format json --fail-on problem archive/ | jq .findings
"""

FORMATS = ("table", "json")
FAIL_ON = ("problem", "warning")
COLORS = {"problem": "red", "warning": "yellow", "note": "cyan"}
SECONDS = 60.0


@click.command("doctor", epilog=EPILOG)
@click.argument("inputs", metavar="FILE|DIR|-...", nargs=-1, shell_complete=file_names)
@click.option(
    "-r",
    "read",
    metavar="FILE",
    multiple=True,
    shell_complete=file_names,
    help="The same as FILE, as tcpdump has it.",
)
@click.option(
    "-i",
    "interface",
    metavar="IFACE",
    shell_complete=interface_names,
    help="Look at an interface instead of files.",
)
@click.option(
    "--duration",
    metavar="TIME",
    callback=check_seconds,
    help="How long to look at the interface: 90, 90s, 10m, 2h; default 60 s.",
)
@click.option(
    "-B",
    "ring_mebibytes",
    metavar="MiB",
    type=click.IntRange(1, 16_384),
    help="Memory of the interface's ring; default 64.",
)
@click.option("-p", "not_promiscuous", is_flag=True, help="Do not set promiscuous mode.")
@click.option(
    "--format",
    "form",
    metavar="|".join(FORMATS),
    type=click.Choice(FORMATS),
    default="table",
    help="Of standard output: text for people, as if not given, or json.",
)
@click.option(
    "--fail-on",
    metavar="|".join(FAIL_ON),
    type=click.Choice(FAIL_ON),
    help="Exit 1 if there is a finding as bad as this, or worse.",
)
@click.option(
    "--ports",
    metavar="LIST|any",
    help="Ports that mail uses here, e.g. 993,995,10143/imap; any: every TCP flow.",
)
@config_options
@output_options
@later("-o")
@interfaces_option
def command(
    inputs: tuple[str, ...],
    read: tuple[str, ...],
    interface: str | None,
    duration: float | None,
    ring_mebibytes: int | None,
    not_promiscuous: bool,
    form: str,
    fail_on: str | None,
    ports: str | None,
    config: str | None,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Say what is wrong with a mirror port or a capture, and what to do about it.

    Also says whether it can tell at all that no old client is there.
    """
    from sniffer.config_file import Sources

    paths = [*read, *inputs]
    if interface is None and not paths:
        raise click.UsageError("name a capture file, or an interface with -i IFACE")
    if interface is not None and paths:
        raise click.UsageError("-i and files: one of them at a time")
    options: dict[str, tuple[str, Any]] = {
        **pipeline_settings(ports, None),
        **log_options(quiet, verbose, log_format),
    }
    if ring_mebibytes is not None:
        options["capture.ring_bytes"] = ("-B", ring_mebibytes << 20)
    if not_promiscuous:
        options["capture.promiscuous"] = ("-p", False)
    configuration = Sources(config, options).load()
    settings = configuration.settings
    configure_log(settings.log)
    profiles, _ = chosen_profiles(configuration)
    zone_chosen = zone(tz)

    def tell(evidence: "Evidence") -> int:
        from sniffer.doctor.examine import examine
        from sniffer.doctor.report import diagnosis_json, diagnosis_text
        from sniffer.export.formats import summary_json

        diagnosis = examine(evidence)
        told = diagnosis_json(evidence, diagnosis)
        if form == "json":
            sys.stdout.buffer.write(summary_json(told))
        else:
            paint = _painter(color)
            click.echo(diagnosis_text(told, paint, zone_chosen), nl=False, color=True)
        sys.stdout.flush()
        return _exit_code(evidence, diagnosis, fail_on)

    if interface is not None:
        from sniffer.cli.checkup import look

        seconds = SECONDS if duration is None else duration
        sys.exit(look(interface, settings, profiles, seconds, quiet, tell))

    from sniffer.analysis import Analysis, expand
    from sniffer.doctor.finding import Evidence

    stop = Stop(signal.SIGINT)
    stop.install()
    try:
        analysis = Analysis(
            settings.ports,
            profiles,
            track=settings.track,
            inventory=settings.inventory,
            relays=settings.relay,
            waiting=stop,
            surveyed=True,
        )
        try:
            for entry in expand(paths):
                if isinstance(entry, InputError):
                    analysis.refuse(entry)
                else:
                    analysis.read(entry)
        except Stopped:
            pass
    finally:
        stop.remove()
    assert analysis.facts is not None  # noqa: S101 (surveyed)
    code = tell(
        Evidence(
            coverage=analysis.coverage,
            facts=analysis.facts,
            snapshot=analysis.aggregate.snapshot(),
            ports=settings.ports,
            profiles=profiles,
            inputs=[entry.told() for entry in analysis.inputs],
        )
    )
    sys.exit(EXIT_INTERRUPTED if stop.by is not None else code)


def _exit_code(evidence: "Evidence", diagnosis: "Diagnosis", fail_on: str | None) -> int:
    states = [told["status"] for told in evidence.inputs]
    if states and all(state == "failed" for state in states):
        return EXIT_UNREADABLE
    bad = FAIL_ON[: FAIL_ON.index(fail_on) + 1] if fail_on else ()
    if any(finding.severity in bad for finding in diagnosis.findings):
        return EXIT_FOUND
    return EXIT_OK if all(state == "ok" for state in states) else EXIT_DAMAGED


def _painter(color: str) -> Any:  # noqa: ANN401 (report.Paint, which is not loaded yet)
    """Return what colours a word, if colours are wanted here."""
    import os

    wanted = color == "always"
    if color == "auto":
        wanted = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
        wanted = wanted and not os.environ.get("NO_COLOR")

    def paint(word: str, severity: "Severity") -> str:
        return click.style(word, fg=COLORS[severity], bold=True) if wanted else word

    return paint
