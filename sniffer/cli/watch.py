"""``hellowatch watch``: the next handshake of one device, for whoever stands beside it."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from typing import IO, TYPE_CHECKING, Any

import click

from sniffer.cli.inventory import configured, find_device, open_reader
from sniffer.cli.options import check_seconds, config_options, interface_names
from sniffer.cli.output import open_outputs
from sniffer.errors import EXIT_FOUND, EXIT_NOTHING_SEEN, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from sniffer.inventory.store.reader import Reader, Stored

LOOK_SECONDS = 0.25
END_SECONDS = 8.0
LINES_KEPT = 20
"""Of what the capturing process says."""
PROGRAM = (sys.executable, "-P", "-m", "sniffer.cli.main")
"""Not from the folder somebody happens to be in."""

EPILOG = """\b
Exit codes:
  0  its offer is ok    1  it is old, or else is or may be refused    6  nothing was seen
  2  wrong usage        3  there is no inventory                      5  permission missing

\b
Examples:
  hellowatch watch 10.0.0.7
  hellowatch watch 3c:2a:f4:00:00:07 --timeout 2m
  sudo hellowatch watch 10.0.0.7 -i eth1
"""

Tell = Callable[[dict[str, Any]], bool]
"""Takes an event; True: that was the one."""


@click.command("watch", epilog=EPILOG)
@click.argument("device")
@click.option(
    "--timeout",
    metavar="TIME",
    default="10m",
    callback=check_seconds,
    help="How long to wait: 90, 90s, 10m, 2h; default: 10m.",
)
@click.option(
    "-i",
    "interfaces",
    metavar="IFACE",
    multiple=True,
    shell_complete=interface_names,
    help="Capture here, instead of asking what a running daemon keeps. Repeatable.",
)
@click.option(
    "--format",
    "form",
    metavar="table|ndjson|json",
    type=click.Choice(["table", "ndjson", "json"]),
    help="Of standard output: a line on a terminal, the event in a pipe.",
)
@config_options
@click.option("--store", metavar="URL", help="Inventory to ask; default: this machine's.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error.")
def command(
    device: str,
    timeout: float,
    interfaces: tuple[str, ...],
    form: str | None,
    config: str | None,
    store: str | None,
    quiet: bool,
) -> None:
    """Print the next handshake of a device: stand at the printer, press Scan."""
    if form is None:
        form = "table" if sys.stdout.isatty() else "ndjson"
    device = _normal(device)
    codes: list[int] = []
    with ExitStack() as stack:
        ((_, out),) = open_outputs(stack, form, (), [])

        def tell(event: dict[str, Any]) -> bool:
            from sniffer.export.watched import event_line, is_old

            old = is_old(event)
            if old is None:
                return False  # too little of it was seen: the next one may tell
            line = event_line(event) if form == "table" else json.dumps(event)
            out.write(line.encode() + b"\n")
            out.flush()
            codes.append(EXIT_FOUND if old else EXIT_OK)
            return True

        if interfaces:
            failed = _capture(device, interfaces, timeout, config, quiet, tell)
            if failed and not codes:
                sys.exit(failed)
        else:
            _ask(device, timeout, config, store, quiet, tell)
    if not codes and not quiet:
        click.echo(f"hellowatch: nothing was seen of {device}", err=True)
    sys.exit(codes[0] if codes else EXIT_NOTHING_SEEN)


def _ask(
    device: str,
    seconds: float,
    config: str | None,
    store: str | None,
    quiet: bool,
    tell: Tell,
) -> None:
    """Look at what a daemon keeps, until there is something new of the device."""
    settings = configured(config, store, quiet, 0, None).settings
    reader = open_reader(settings, None, "UTC")
    from sniffer.export.watched import Mark
    from sniffer.inventory.store.reader import Reader

    until = time.monotonic() + seconds
    with reader.database.errors():
        mark = Mark(reader.now_ns, _named(reader, device))
        if not quiet:
            click.echo(f"hellowatch: watching {device} in {reader.database.name}", err=True)
        while True:
            now = Reader(reader.database, settings.ports)
            for found in now.find(device):
                if any(tell(event) for event in mark.news(now, found)):
                    return
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(LOOK_SECONDS, left))


def _named(reader: "Reader", device: str) -> "list[Stored]":
    """Return the device that is meant; an address that was never seen yet may be."""
    if not reader.find(device) and _is_address(device):
        return []
    return [find_device(reader, device)]


def _normal(device: str) -> str:
    """Return an IP address or a MAC as the inventory writes it; any other name as it is."""
    try:
        return str(ip_address(device))
    except ValueError:
        return device.lower() if _is_address(device) else device


def _is_address(text: str) -> bool:
    parts = text.split(":")
    if len(parts) == 6 and all(len(part) == 2 for part in parts):
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _capture(
    device: str,
    interfaces: tuple[str, ...],
    seconds: float,
    config: str | None,
    quiet: bool,
    tell: Tell,
) -> int:
    """Capture in a process of its own, which alone keeps the privilege; return its exit code."""
    if not _is_address(device):
        raise ConfigError("", device, "names no address: with -i write an IP address or a MAC")
    with tempfile.TemporaryDirectory(prefix="hellowatch-") as folder:
        watched = [part for name in interfaces for part in ("-i", name)]
        more = [] if config is None else ["--config", config]
        apart = ("--web.listen-address", "127.0.0.1:0", "--store", f"sqlite:///{folder}/w.db")
        process = subprocess.Popen(  # noqa: S603 (ourselves)
            [*PROGRAM, "run", *watched, *more, "--format", "ndjson", *apart],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if sys.platform == "linux":
            from sniffer.cage import privileges

            privileges.drop()
        assert process.stdout is not None  # noqa: S101 (asked for above)
        assert process.stderr is not None  # noqa: S101
        said: deque[bytes] = deque(maxlen=LINES_KEPT)
        place = ", ".join(interfaces)

        def listen(lines: IO[bytes]) -> None:
            for line in lines:
                said.append(line)
                if b"; metrics at " in line and not quiet:
                    click.echo(f"hellowatch: watching {device} on {place}", err=True)

        listening = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
        listening.start()
        timer = threading.Timer(seconds, process.terminate)
        timer.start()
        was_told = False
        try:
            for line in process.stdout:
                event = json.loads(line)
                source = event["source"]
                if device in (source["ip"], source.get("mac")) and tell(event):
                    was_told = True
                    break
        finally:
            timer.cancel()
            process.terminate()
            try:
                code = process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            listening.join(1)
    if code > 0 and not was_told:
        click.echo(b"".join(said).rstrip(b"\n"), err=True)
    return max(0, code)
