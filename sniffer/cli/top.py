"""``hellowatch top``: devices and handshakes on the terminal, as they come."""

import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from sniffer.cli.options import config_options, file_names, interface_names
from sniffer.errors import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from sniffer.top.board import Board
    from sniffer.top.feed import Feed

EPILOG = """\b
Keys:
  s  sort by urgency, hellos, newest, device      /  filter; Escape: all again
  o  only what is to be looked at                 p  hold the picture
  q  end

\b
Exit codes are those of run and analyze.

\b
Examples:
  hellowatch top -i eth1
  hellowatch top office.pcapng
"""

START_SECONDS = 20.0


@click.command("top", epilog=EPILOG)
@click.argument("path", metavar="[FILE]", required=False, shell_complete=file_names)
@click.option(
    "-i",
    "interfaces",
    metavar="IFACE",
    multiple=True,
    shell_complete=interface_names,
    help="Interface to watch; repeatable. any: all of them.",
)
@click.option(
    "--ports",
    metavar="LIST|any",
    help="Ports to follow, e.g. 993,995,10143/imap; any: every TCP flow.",
)
@click.option(
    "--profile",
    metavar="NAME|FILE",
    shell_complete=file_names,
    help="Judge every hello by this provider profile, whatever its destination.",
)
@config_options
def command(
    path: str | None,
    interfaces: tuple[str, ...],
    ports: str | None,
    profile: str | None,
    config: str | None,
) -> None:
    """Show devices and handshakes on the terminal, live or out of a file."""
    if (path is None) == (not interfaces):
        raise click.UsageError("name a capture file, or an interface with -i IFACE")
    if not sys.stdout.isatty():
        raise click.UsageError("standard output is no terminal; run and analyze write into pipes")
    if path == "-":
        raise click.UsageError("-: the keyboard is needed; analyze reads standard input")
    from sniffer.log import one_line
    from sniffer.top.board import Board
    from sniffer.top.feed import Feed

    chosen = [("--ports", ports), ("--profile", profile), ("--config", config)]
    options = [part for name, value in chosen if value is not None for part in (name, value)]
    if path is None:
        watched = [part for name in interfaces for part in ("-i", name)]
        arguments = ["run", *watched, "--web.listen-address", "127.0.0.1:0", *options]
    else:
        arguments = ["analyze", *options, "--", path]
    board = Board()
    feed = Feed(board, arguments, live=path is None)
    _give_up_privileges()
    feed.listen()
    code = EXIT_OK
    try:
        _wait(feed)
        if not feed.failed():
            what = ", ".join(interfaces) if path is None else path
            code = _show(board, feed, one_line(what))
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    ended = feed.end()
    if feed.failed():
        for line in feed.said:
            click.echo(line, err=True)
        code = code or ended
    elif path is not None and feed.is_over:
        code = code or ended
    sys.exit(code)


def _wait(feed: "Feed") -> None:
    """Wait until the other process is at work, or has failed: before the screen is taken."""
    until = time.monotonic() + START_SECONDS
    while not (feed.is_over or feed.address or feed.board.hellos) and time.monotonic() < until:
        time.sleep(0.02)


def _show(board: "Board", feed: "Feed", what: str) -> int:
    """Show it until told to end; return the exit code."""
    if find_spec("textual") is None:
        from sniffer.top.plain import show

        show(board, feed)
        return EXIT_OK
    from sniffer.top.dashboard import Dashboard

    dashboard = Dashboard(board, feed, what)
    dashboard.run()
    return dashboard.return_code or EXIT_OK


def _give_up_privileges() -> None:
    """Whoever only shows needs none; the process that captures has what it was given."""
    if sys.platform == "linux":
        from sniffer.cage import privileges

        privileges.drop()
