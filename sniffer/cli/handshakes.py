"""``hellowatch handshakes``: the events that the inventory keeps."""

import io
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from sniffer.config import Ports
    from sniffer.inventory.store.reader import Kept, Reader

OUTCOMES = (
    "established",
    "alert",
    "reset",
    "closed",
    "unanswered",
    "refused-starttls",
    "unknown",
)
LOOK_SECONDS = 0.5
LATE_NS = 120 * 10**9
"""How much older than the newest event one may be that comes after it."""


@click.command("handshakes")
@click.option("--device", metavar="DEVICE", help="Of one device: an id, IP address or MAC.")
@click.option(
    "--since", metavar="TIME", help="From then on: 2026-12-24, or 90m, 12h, 7d before the end."
)
@click.option("--until", metavar="TIME", help="Up to then, given as --since is.")
@click.option(
    "--outcome", metavar="|".join(OUTCOMES), type=click.Choice(OUTCOMES), help="Ended so."
)
@click.option(
    "--format",
    "form",
    metavar="ndjson|json|table",
    type=click.Choice(["ndjson", "json", "table"]),
    default="ndjson",
    help="Of standard output: one event a line, one array, or a line for people each.",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what a running daemon adds, until Ctrl-C."
)
@inventory_options
def command(
    device: str | None,
    since: str | None,
    until: str | None,
    outcome: str | None,
    form: str,
    follow: bool,
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
    if follow and (form == "json" or until is not None or as_of is not None):
        raise click.UsageError("--follow has no end: neither --format json, --until nor --as-of")
    configuration = configured(config, store, quiet, verbose, log_format)
    reader = open_reader(configuration.settings, as_of, tz)
    with ExitStack() as stack, reader.database.errors():
        since_ns = _time(since, "--since", reader, tz)
        until_ns = _time(until, "--until", reader, tz)
        name = None if device is None else find_device(reader, device).id
        ((_, out),) = open_outputs(stack, form, (), [])
        kept: Iterable[Kept]
        if follow:
            kept = _followed(reader, configuration.settings.ports, name, since_ns, outcome, out)
        else:
            kept = reader.events(name, since_ns, outcome, until_ns)
        if form == "json":
            _write_array(kept, out)
        else:
            for one in kept:
                out.write(_line(one.told, form).encode() + b"\n")
        out.flush()


def _time(text: str | None, option: str, reader: "Reader", tz: str) -> int | None:
    """Return a time: one that is given, or so long before the end."""
    if text is None:
        return None
    if length := re.fullmatch(r"([0-9]+)([smhd])", text):
        return (reader.now_ns or 0) - int(length[1]) * SECONDS[length[2]] * 10**9
    return parse_time(text, zone(tz), option)


def _followed(
    reader: "Reader",
    ports: "Ports",
    device: str | None,
    since_ns: int | None,
    outcome: str | None,
    out: io.BufferedWriter,
) -> "Iterator[Kept]":
    """Yield what there is, and then what is added, until somebody ends it.

    An older event may come after a newer one: several interfaces tell, and outcomes take time.
    """
    from sniffer.inventory.store.reader import Reader

    told: dict[str, int] = {}
    while True:
        for one in Reader(reader.database, ports).events(device, since_ns, outcome):
            if one.told not in told:
                told[one.told] = one.time_ns
                yield one
        if told:
            oldest_ns = max(told.values()) - LATE_NS
            since_ns = oldest_ns if since_ns is None else max(since_ns, oldest_ns)
            told = {text: time_ns for text, time_ns in told.items() if time_ns >= oldest_ns}
        out.flush()
        time.sleep(LOOK_SECONDS)


def _line(told: str, form: str) -> str:
    if form != "table":
        return told
    import json

    from sniffer.export.watched import event_line

    return event_line(json.loads(told))


def _write_array(kept: "Iterable[Kept]", out: io.BufferedWriter) -> None:
    before = b"["
    for one in kept:
        out.write(before + b"\n" + one.told.encode())
        before = b","
    out.write(b"[]\n" if before == b"[" else b"\n]\n")
