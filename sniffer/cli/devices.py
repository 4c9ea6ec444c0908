"""``hellowatch devices``: the inventory of devices."""

import csv
import io
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from sniffer.cli.inventory import (
    configured,
    find_device,
    inventory_options,
    open_reader,
    open_store,
    parse_time,
)
from sniffer.cli.options import (
    Lists,
    check_format,
    chosen_profiles,
    config_options,
    default_store,
    file_names,
    roster_of,
    zone,
)
from sniffer.cli.output import check_no_terminal, open_capture, open_outputs, write_table
from sniffer.errors import ConfigError, InputError

if TYPE_CHECKING:
    from sniffer.inventory.store.reader import Reader

STATUSES = (
    "legacy",
    "refused",
    "incompatible",
    "at-risk",
    "relayed",
    "improving",
    "fixed",
    "silent",
    "excepted",
    "ok",
    "unknown",
)
LISTED_FORMATS = ("table", "json", "ndjson", "csv")

DID = ("firmware", "setting", "relay", "replaced", "retired")
"""What may be done about a device; see ``inventory.claim``."""

EPILOG = """\b
A device is named by its id, IP address, MAC or name.

\b
Exit codes:
  0  done
  2  wrong usage, or a name that means no device or several: they are listed
  3  the store cannot be read

\b
Examples:
  hellowatch devices
  hellowatch devices list --format csv -o devices.csv
  hellowatch devices show 10.0.0.7
"""


def _listed_format(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    chosen = check_format(ctx, param, value)
    if chosen is not None and chosen not in LISTED_FORMATS:
        raise click.BadParameter(f"{value!r} is for events; devices: {', '.join(LISTED_FORMATS)}")
    return chosen


class Words(Lists):
    """The words of devices; some are not built yet."""


@click.group("devices", cls=Words, epilog=EPILOG)
def command() -> None:
    """Ask the inventory about its devices; without a word: list them."""


@command.command("list")
@click.option(
    "--format",
    "form",
    callback=_listed_format,
    metavar="|".join(LISTED_FORMATS),
    help="Of standard output; default: table.",
)
@click.option(
    "-o",
    "outputs",
    metavar="[FORMAT:]FILE",
    multiple=True,
    help="Write to a file as well, or instead if --format is not given. Repeatable.",
)
@click.option("--site", metavar="NAME", help="Of one site alone.")
@click.option(
    "--status",
    "statuses",
    metavar="STATUS",
    multiple=True,
    type=click.Choice(STATUSES),
    help="Of this status: legacy, refused, ...; repeatable.",
)
@inventory_options
def list_devices(
    form: str | None,
    outputs: tuple[str, ...],
    site: str | None,
    statuses: tuple[str, ...],
    config: str | None,
    store: str | None,
    as_of: str | None,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """List the devices of the inventory."""
    configuration = configured(config, store, quiet, verbose, log_format)
    zone_chosen = zone(tz)
    reader = open_reader(configuration.settings, as_of, tz)
    from sniffer.export.findings import enforcement_json
    from sniffer.export.stored import stored_devices

    if form is None and not outputs:
        form = "table"
    with ExitStack() as stack, reader.database.errors():
        profiles, _ = chosen_profiles(configuration)
        roster = roster_of(configuration)
        for kind, out in open_outputs(stack, form, outputs, []):
            devices = stored_devices(reader, profiles, roster, site, statuses)
            if kind == "table":
                found = [enforcement_json(one, profiles) for one in reader.enforcements()]
                picture = _picture(reader, list(devices)) | {"findings": found}
                write_table(picture, out, zone_chosen, color)
            else:
                WRITERS[kind](devices, out)
            out.flush()


def _picture(reader: "Reader", devices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a table of devices is made of."""
    from sniffer.export.summary import coverage_json

    return {
        "devices": devices,
        "coverage": coverage_json(reader.coverage()),
        "totals": {"hellos": sum(device["hellos"] for device in devices)},
    }


def _write_json(devices: Iterable[dict[str, Any]], out: BinaryIO) -> None:
    """Write an array as ``summary_json`` does, one device at a time."""
    from sniffer.export.formats import summary_json

    before = b"["
    for device in devices:
        lines = summary_json(device).rstrip(b"\n").replace(b"\n", b"\n  ")
        out.write(before + b"\n  " + lines)
        before = b","
    out.write(b"[]\n" if before == b"[" else b"\n]\n")


def _write_ndjson(devices: Iterable[dict[str, Any]], out: BinaryIO) -> None:
    import msgspec

    encode = msgspec.json.Encoder(order="deterministic").encode
    for device in devices:
        out.write(encode(device) + b"\n")


def _write_csv(devices: Iterable[dict[str, Any]], out: BinaryIO) -> None:
    from sniffer.export.formats import defused
    from sniffer.export.stored import DEVICE_COLUMNS, device_cells

    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(DEVICE_COLUMNS)
    for device in devices:
        writer.writerow([defused(cell) for cell in device_cells(device).values()])
    text.detach()


WRITERS = {"json": _write_json, "ndjson": _write_ndjson, "csv": _write_csv}


@command.command("show")
@click.argument("device")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    metavar="table|json",
    help="Of standard output; default: table.",
)
@click.option(
    "--against",
    metavar="NAME|FILE",
    shell_complete=file_names,
    help="Tell also what this provider profile would make of its stacks.",
)
@click.option(
    "--hex", "in_hex", is_flag=True, help="Show the hellos that are kept, octet by octet."
)
@inventory_options
def show(
    device: str,
    form: str,
    against: str | None,
    in_hex: bool,
    config: str | None,
    store: str | None,
    as_of: str | None,
    tz: str,
    quiet: bool,
    verbose: int,
    log_format: str | None,
    color: str,
) -> None:
    """Show one device: its stacks, and what became of it since when."""
    configuration = configured(config, store, quiet, verbose, log_format)
    zone_chosen = zone(tz)
    reader = open_reader(configuration.settings, as_of, tz)
    from sniffer.export.formats import summary_json
    from sniffer.export.stored import (
        against_json,
        device_lines,
        stored_device,
        story_json,
        wire_json,
        wire_lines,
    )
    from sniffer.judge.profile import find_profile

    profiles, _ = chosen_profiles(configuration)
    roster = roster_of(configuration)
    asked = None if against is None else find_profile(against, profiles, "--against")
    with ExitStack() as stack, reader.database.errors():
        ((_, out),) = open_outputs(stack, form, (), [])
        found = find_device(reader, device)
        coverage = reader.coverage()
        fit = coverage.fitness().fit
        told = stored_device(reader, found, profiles, fit, reader.lately(found), roster)
        turns = reader.story(found)
        supposed = None if asked is None else against_json(reader, found, asked)
        wire = wire_json(reader, found)
        if form == "json":
            more = {} if supposed is None else {"against": supposed}
            kept = {"history": story_json(turns), "wire": wire}
            out.write(summary_json({**told, **kept, **more}))
        else:
            write_table(_picture(reader, [told]), out, zone_chosen, color)
            lines = list(device_lines(told, turns, supposed, zone_chosen))
            if in_hex:
                lines += wire_lines(wire, zone_chosen)
            for line in lines:
                out.write(line.encode() + b"\n")
        out.flush()


@command.command("evidence")
@click.argument("device")
@click.option(
    "-w",
    "-o",
    "frames",
    metavar="FILE",
    required=True,
    help="Capture to write: pcapng; - is standard output.",
)
@click.option("--as-of", metavar="TIME", help="Only what had been seen by then.")
@click.option("--tz", metavar="ZONE", default="UTC", help="Zone of a time given without one.")
@config_options
@click.option("--store", metavar="URL", help="Inventory to ask; default: this machine's.")
def evidence(
    device: str, frames: str, as_of: str | None, tz: str, config: str | None, store: str | None
) -> None:
    """Write the handshakes kept of one device as a capture, for Wireshark and tshark.

    One of each stack that is or may be refused, and nothing but the messages of its handshake.
    """
    check_no_terminal(frames)
    reader = open_reader(configured(config, store, False, 0, None).settings, as_of, tz)
    from sniffer.errors import StoreError
    from sniffer.export import rebuilt

    with ExitStack() as stack, reader.database.errors():
        found = find_device(reader, device)
        kept = reader.exhibits(found)
        if not kept:
            why = f"keeps no handshake of {found.ip}: only of what is or may be refused it does"
            raise StoreError(reader.database.name, why)
        capture = open_capture(stack, frames)
        for one in kept:
            frames_of_one = rebuilt.frames(one.exhibit, one.source, one.mac)
            capture.add(frames_of_one, rebuilt.comment(one.exhibit))
        capture.finish()


@command.command("backup")
@click.argument("file")
@config_options
@click.option("--store", metavar="URL", help="Inventory to copy; default: this machine's.")
def backup(file: str, config: str | None, store: str | None) -> None:
    """Copy the inventory into a new file, while it goes on being written."""
    open_store(configured(config, store, False, 0, None).settings).backup(file)


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _of_one_device(command: Decorated) -> Decorated:
    """Add what every word needs that changes something about one device."""
    for option in (
        click.option("--store", metavar="URL", help="Inventory; default: this machine's."),
        config_options,
        click.argument("device"),
    ):
        command = option(command)
    return command


def _say(device: str, config: str | None, store: str | None, **said: str | int | None) -> None:
    settings = configured(config, store, False, 0, None).settings
    reader = open_reader(settings, None, "UTC")
    from sniffer.inventory.store.answers import say

    with reader.database.errors():
        say(reader.database, find_device(reader, device).id, **said)


@command.command("own")
@_of_one_device
@click.argument("owner")
def own(device: str, owner: str, config: str | None, store: str | None) -> None:
    """Say whose a device is; an empty OWNER: nobody's."""
    _say(device, config, store, owner=owner or None)


@command.command("note")
@_of_one_device
@click.argument("text")
@click.option("--ticket", metavar="TEXT", help="The ticket that is about it.")
def note(device: str, text: str, ticket: str | None, config: str | None, store: str | None) -> None:
    """Write a note to a device; an empty TEXT takes it away."""
    said = {} if ticket is None else {"ticket": ticket or None}
    _say(device, config, store, note=text or None, **said)


@command.command("except")
@_of_one_device
@click.option("--reason", metavar="TEXT", help="Why it may stay as it is.")
@click.option("--until", metavar="TIME", help="When it speaks up again: 2027-03-31.")
@click.option("--end", is_flag=True, help="End the exception.")
def except_(
    device: str,
    reason: str | None,
    until: str | None,
    end: bool,
    config: str | None,
    store: str | None,
) -> None:
    """Let a device stay as it is, for a reason and for a time."""
    if end == (reason is not None):
        raise click.UsageError("say why by --reason, or --end the exception")
    until_ns = None if until is None else parse_time(until, zone("UTC"), "--until")
    _say(device, config, store, excepted=reason, excepted_until_ns=until_ns)


@command.command("claim")
@_of_one_device
@click.option(
    "--did",
    metavar="|".join(DID),
    type=click.Choice(DID),
    help="What was done: what is seen from then on tells whether it helped.",
)
@click.option("--at", metavar="TIME", help="When: 2026-12-24T18:00; default: the newest time.")
@click.option("--end", is_flag=True, help="Take the claim back.")
def claim(
    device: str, did: str | None, at: str | None, end: bool, config: str | None, store: str | None
) -> None:
    """Say that something was done about a device, and have it verified."""
    if end == (did is not None):
        raise click.UsageError("say what was done by --did, or --end the claim")
    if end:
        _say(device, config, store, did=None, did_at_ns=None)
        return
    settings = configured(config, store, False, 0, None).settings
    newest_ns = open_reader(settings, None, "UTC").now_ns or 0
    at_ns = newest_ns if at is None else parse_time(at, zone("UTC"), "--at")
    _say(device, config, store, did=did, did_at_ns=at_ns)


@command.command("export")
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("-o", "output", metavar="FILE", default="-", help="Default: standard output.")
@config_options
@click.option("--store", metavar="URL", help="Inventory; default: this machine's.")
def export(devices: tuple[str, ...], output: str, config: str | None, store: str | None) -> None:
    """Write everything known of DEVICEs, or of all, as lines that devices import reads."""
    reader = open_reader(configured(config, store, False, 0, None).settings, None, "UTC")
    from sniffer.inventory.store.exchange import exported

    with ExitStack() as stack, reader.database.errors():
        names = None
        if devices:
            found = [find_device(reader, named) for named in devices]
            names = [part for device in found for part in reader.parts_of(device)]
        ((_, out),) = open_outputs(stack, None, (f"ndjson:{output}",), [])
        for line in exported(reader.database, names):
            out.write(line)
        out.flush()


@command.command("import")
@click.argument("file")
@config_options
@click.option("--store", metavar="URL", help="Inventory; default: this machine's. It may be new.")
def import_(file: str, config: str | None, store: str | None) -> None:
    """Take in what devices export wrote; devices that are there already stay as they are."""
    settings = configured(config, store, False, 0, None).settings
    from sniffer.inventory.store.database import Database
    from sniffer.inventory.store.exchange import LONGEST_LINE, take_in

    database = Database(settings.store.url or default_store())
    database.open()
    with database.errors(), ExitStack() as stack:
        try:
            source = sys.stdin.fileno() if file == "-" else file
            opened = stack.enter_context(open(source, "rb", closefd=file != "-"))
        except OSError as error:
            raise InputError(file, None, f"cannot be opened ({error.strerror})") from error
        lines = iter(lambda: opened.readline(LONGEST_LINE + 1), b"")
        new, known = take_in(database, file, lines)
    click.echo(f"{new} devices were taken in, {known} were there already", err=True)


@command.command("merge")
@click.argument("device")
@click.argument("others", metavar="OTHER...", nargs=-1, required=True)
@config_options
@click.option("--store", metavar="URL", help="Inventory; default: this machine's.")
def merge(device: str, others: tuple[str, ...], config: str | None, store: str | None) -> None:
    """Take OTHERs for the same device, under the id of DEVICE, until they are split."""
    reader = open_reader(configured(config, store, False, 0, None).settings, None, "UTC")
    from sniffer.inventory.store.answers import join

    with reader.database.errors():
        found = find_device(reader, device)
        joining = [find_device(reader, other) for other in others]
        for other, named in zip(joining, others, strict=True):
            if other.id == found.id:
                raise ConfigError("", named, f"is the same device as {device} already")
            if other.site != found.site:
                raise ConfigError("", named, f"is at another site than {device}")
        join(reader.database, found.id, [other.id for other in joining])


@command.command("split")
@_of_one_device
def split_device(device: str, config: str | None, store: str | None) -> None:
    """Tell the devices apart again that were merged into one."""
    reader = open_reader(configured(config, store, False, 0, None).settings, None, "UTC")
    from sniffer.inventory.store.answers import split

    with reader.database.errors():
        if not split(reader.database, find_device(reader, device).id):
            raise ConfigError("", device, "was not merged with another one")


@command.command("forget")
@click.argument("device", required=False)
@click.option("--site", metavar="NAME", help="All devices of a site, and what was watched there.")
@config_options
@click.option("--store", metavar="URL", help="Inventory; default: this machine's.")
def forget_device(
    device: str | None, site: str | None, config: str | None, store: str | None
) -> None:
    """Forget everything about a device, or a site."""
    if (device is None) == (site is None):
        raise click.UsageError("say which DEVICE, or which --site")
    reader = open_reader(configured(config, store, False, 0, None).settings, None, "UTC")
    from sniffer.inventory.store.answers import forget, forget_site

    with reader.database.errors():
        if device is not None:
            forget(reader.database, find_device(reader, device).id)
        elif site is not None and not forget_site(reader.database, site):
            raise ConfigError("--site", site, "names no site of this inventory")


@command.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@click.option("--tz", metavar="ZONE", default="UTC", help="Zone of times given without one.")
@config_options
@click.option("--store", metavar="URL", help="Inventory to ask; default: this machine's.")
def diff(before: str, after: str | None, tz: str, config: str | None, store: str | None) -> None:
    """Tell what changed between two times, one device a line, as JSON."""
    settings = configured(config, store, False, 0, None).settings
    then, now = open_reader(settings, before, tz), open_reader(settings, after, tz)
    from sniffer.export.stored import changes_json

    with ExitStack() as stack, now.database.errors():
        ((_, out),) = open_outputs(stack, "ndjson", (), [])
        _write_ndjson(changes_json(then, now), out)
        out.flush()
