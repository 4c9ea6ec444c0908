"""``hellowatch handshakes``: the events that the inventory keeps."""

import re
from contextlib import ExitStack

import click

from sniffer.cli.inventory import (
    configured,
    find_device,
    inventory_options,
    open_reader,
    parse_time,
)
from sniffer.cli.options import SECONDS, zone
from sniffer.cli.output import open_outputs

OUTCOMES = (
    "established",
    "alert",
    "reset",
    "closed",
    "unanswered",
    "refused-starttls",
    "unknown",
)


@click.command("handshakes")
@click.option("--device", metavar="DEVICE", help="Of one device: an id, IP address or MAC.")
@click.option(
    "--since", metavar="TIME", help="From then on: 2026-12-24, or 90m, 12h, 7d before the end."
)
@click.option(
    "--outcome", metavar="|".join(OUTCOMES), type=click.Choice(OUTCOMES), help="Ended so."
)
@click.option(
    "--format",
    "form",
    metavar="ndjson|json",
    type=click.Choice(["ndjson", "json"]),
    default="ndjson",
    help="Of standard output: one event a line, or one array.",
)
@inventory_options
def command(
    device: str | None,
    since: str | None,
    outcome: str | None,
    form: str,
    config: str | None,
    store: str | None,
    as_of: str | None,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Print the kept events: the newest of each stack of devices that need action."""
    configuration = configured(config, store, quiet, verbose, log_format)
    reader = open_reader(configuration.settings, as_of, tz)
    with ExitStack() as stack, reader.database.errors():
        since_ns = None
        if since is not None and (length := re.fullmatch(r"([0-9]+)([smhd])", since)):
            ago_ns = int(length[1]) * SECONDS[length[2]] * 10**9
            since_ns = (reader.now_ns or 0) - ago_ns
        elif since is not None:
            since_ns = parse_time(since, zone(tz), "--since")
        name = None if device is None else find_device(reader, device).id
        ((_, out),) = open_outputs(stack, form, (), [])
        before = b"["
        for kept in reader.events(name, since_ns, outcome):
            if form == "ndjson":
                out.write(kept.told.encode() + b"\n")
            else:
                out.write(before + b"\n" + kept.told.encode())
                before = b","
        if form == "json":
            out.write(b"[]\n" if before == b"[" else b"\n]\n")
        out.flush()
