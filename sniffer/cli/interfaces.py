"""``hellowatch interfaces``: what can be captured on, and what passes there."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from sniffer.cli.options import check_seconds, interface_names

if TYPE_CHECKING:
    from sniffer.capture.interfaces import Interface
    from sniffer.config import Ports
    from sniffer.export.ports import Heard

EPILOG = """\b
Exit codes:
  0  done      2  wrong usage, or no such interface
  130  Ctrl-C: what was heard so far is told first
  5  listening is not permitted: the line names the capability and the command that grants it

\b
Examples:
  hellowatch interfaces
  hellowatch interfaces --format json
  sudo hellowatch interfaces --listen 10 eth1
"""

RING_BYTES, BLOCK_BYTES, BLOCK_MILLISECONDS = 8 << 20, 1 << 18, 20
TURN_SECONDS = 0.05
"""How long one interface is listened to before it is the next one's turn; rings hold more."""


@click.command("interfaces", epilog=EPILOG)
@click.argument("names", metavar="[IFACE]...", nargs=-1, shell_complete=interface_names)
@click.option(
    "--format",
    "form",
    metavar="table|json",
    type=click.Choice(["table", "json"]),
    default="table",
    help="Of standard output: text for people, as if not given, or one JSON document.",
)
@click.option(
    "--listen",
    "seconds",
    metavar="TIME",
    callback=check_seconds,
    help="Listen so long and tell what passes: 10, 90s, 5m. Without IFACE: on all that are up.",
)
@click.option("--ports", metavar="LIST", help="Ports that carry mail; default as for run.")
def command(names: tuple[str, ...], form: str, seconds: float | None, ports: str | None) -> None:
    """List the interfaces: link, speed, driver, addresses, and what passes on them.

    Listing needs no privilege; listening needs CAP_NET_RAW.
    """
    from sniffer.config import DEFAULT_PORTS, parse_ports

    mail = DEFAULT_PORTS if ports is None else parse_ports(ports)
    show(names, form, seconds, mail)


def show(
    names: Sequence[str],
    form: str = "table",
    seconds: float | None = None,
    ports: "Ports | None" = None,
) -> None:
    """Print these interfaces, or all. Raises CaptureError."""
    from sniffer.capture.interfaces import interfaces
    from sniffer.capture.rtnetlink import links
    from sniffer.errors import EXIT_USAGE, CaptureError
    from sniffer.export.ports import port_json, ports_table

    there = interfaces()
    by_name = {one.name: one for one in there}
    for name in names:
        if name not in by_name:
            told = f"the interfaces are {', '.join(by_name)}"
            raise CaptureError(name, "no such interface", told, EXIT_USAGE)
    chosen = [by_name[name] for name in dict.fromkeys(names)] or there
    heard: dict[str, Heard] = {}
    is_whole = True
    if seconds is not None and ports is not None:
        heard, is_whole = listen([one for one in chosen if names or one.is_up], seconds, ports)
    known, numbers = links(), {one.index: one.name for one in there}
    told_all = [port_json(one, known, numbers, heard.get(one.name)) for one in chosen]
    if form == "json":
        click.echo(json.dumps({"interfaces": told_all}, indent=2))
    else:
        click.echo(ports_table(told_all), nl=False)
    if not is_whole:
        raise KeyboardInterrupt


def listen(
    interfaces: "Sequence[Interface]", seconds: float, ports: "Ports"
) -> "tuple[dict[str, Heard], bool]":
    """Listen to interfaces at once; return what was heard on each, and whether to the end.

    Ctrl-C ends it early. Every privilege is given up before a frame is looked at. Raises
    CaptureError.
    """
    from parsers.batch import Batch
    from sniffer.cage import privileges
    from sniffer.capture.filter import everything
    from sniffer.capture.ring import Ring, open_socket
    from sniffer.config import CaptureSettings
    from sniffer.export.ports import Heard
    from sniffer.survey import Survey

    names = [one.name for one in interfaces]
    again = f"interfaces --listen {seconds:g} {' '.join(names)}"
    sockets = [open_socket(name, again) for name in names]
    privileges.keep_memory_private()
    privileges.drop()
    settings = CaptureSettings(
        ring_bytes=RING_BYTES,
        block_bytes=BLOCK_BYTES,
        block_milliseconds=BLOCK_MILLISECONDS,
        idle_seconds=TURN_SECONDS,
    )
    own = [bytes.fromhex(one.mac.replace(":", "")) for one in interfaces if one.mac]
    surveys = [Survey(ports, own) for _ in names]
    with ExitStack() as stack:
        rings = []
        for name, descriptor in zip(names, sockets, strict=True):
            rings.append(Ring(descriptor, name, settings, everything()))
            stack.callback(rings[-1].close)
        batches = [Batch() for _ in names]
        started = time.monotonic()
        is_whole = True
        try:
            while time.monotonic() - started < seconds:
                for ring, survey, batch in zip(rings, surveys, batches, strict=True):
                    ring.read(batch)
                    survey.observe(batch)
        except KeyboardInterrupt:
            is_whole = False
        took = time.monotonic() - started
        counted = [ring.counters() for ring in rings]
    heard = {}
    for name, survey, counters in zip(names, surveys, counted, strict=True):
        facts = survey.facts()
        heard[name] = Heard(
            seconds=took,
            frames=counters.received - counters.skipped,
            dropped=counters.dropped,
            unicast=facts.unicast,
            foreign=facts.foreign,
            to_server=facts.to_server,
            from_server=facts.from_server,
            mail_ports=facts.server_ports,
            vlans=list(facts.vlans),
        )
    return heard, is_whole
