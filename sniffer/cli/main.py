"""``hellowatch``: finds the command, and turns every failure into one line and an exit code."""

import importlib
import os
import signal
import sys

import click

from sniffer.errors import EXIT_INTERRUPTED, EXIT_UNREADABLE, EXIT_USAGE, HelloWatchError

COMMANDS = {
    "analyze": "Analyse capture files: which devices offer old TLS?",
    "run": "Watch an interface, or replay a capture, and serve the metrics.",
}
"""What is built: each has a module of its name here, with a ``command``."""

LATER = {
    "top": "Live view of devices and handshakes in the terminal.",
    "devices": "The inventory of devices.",
    "handshakes": "The events that were kept.",
    "watch": "Print the next handshake of one device.",
    "report": "The readiness report.",
    "serve": "The web page, upload and API.",
    "probe": "Which TLS versions a server accepts.",
    "logs": "Join mail logs with the devices.",
    "signins": "Join sign-in exports with the devices.",
    "leases": "Join DHCP leases with the devices.",
    "relay": "A relay configuration for devices that cannot be updated.",
    "crosscheck": "A second opinion from independent dissectors.",
    "profiles": "Provider profiles.",
    "setup": "First installation.",
    "config": "Check or show the configuration.",
    "interfaces": "What can be captured on.",
    "doctor": "What is wrong with this mirror port or capture.",
    "assets": "Dashboards, rules and units to copy.",
}
"""What the contract promises and is not built yet."""

EXAMPLES = """\b
Examples:
  hellowatch analyze office.pcapng
  ssh edge tcpdump -w - 'tcp port 993 or tcp port 995' | hellowatch analyze -
  hellowatch run --replay office.pcapng
"""


class Commands(click.Group):
    """The commands, each loaded only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of what is built."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; one that is promised, but not built, says so."""
        if cmd_name in COMMANDS:
            command = importlib.import_module(f"sniffer.cli.{cmd_name}").command
            assert isinstance(command, click.Command)  # noqa: S101 (tells mypy, always true)
            return command
        if cmd_name in LATER:
            return _later(cmd_name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by their sentence, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Not built yet"):
            formatter.write_dl(list(LATER.items()))


def _later(name: str) -> click.Command:
    @click.command(
        name,
        help=f"{LATER[name]} Not built yet.",
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        raise click.UsageError(f"{name}: not built yet")

    return command


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    import parsers

    form = "compiled" if parsers.compiled() else "interpreted, many times slower"
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"hellowatch {version('hellowatch')} ({form}; Python {python})")
    ctx.exit()


@click.group(
    cls=Commands,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Version, and whether it runs compiled.",
)
def cli() -> None:
    """Find the devices that will break when a mail provider refuses old TLS.

    Reads what a mirror port or a capture shows; changes and sends nothing.
    """


def main() -> None:
    """Run the command line; this is what the program starts."""
    # Prevents the traceback of a Ctrl-C during start-up.
    try:
        code = cli.main(prog_name="hellowatch", standalone_mode=False)
        sys.stdout.flush()
    except HelloWatchError as error:
        click.echo(f"hellowatch: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        _end_by_pipe()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"hellowatch: {where}{error.strerror or error}", err=True)
        code = EXIT_UNREADABLE
    except MemoryError:
        click.echo("hellowatch: out of memory", err=True)
        code = EXIT_UNREADABLE
    sys.exit(code)


def _end_by_pipe() -> None:
    """End as tools do whose reader went away: quietly, by SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


if __name__ == "__main__":
    main()
