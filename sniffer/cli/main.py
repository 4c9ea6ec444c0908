"""``hellowatch``: finds the command, and turns every failure into one line and an exit code."""

import importlib
import os
import signal
import sys
from contextlib import suppress

import click

from sniffer.cli.options import installed_version, interfaces_option
from sniffer.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREADABLE,
    EXIT_USAGE,
    ConfigErrors,
    HelloWatchError,
)

COMMANDS = {
    "analyze": "Analyse capture files: which devices offer old TLS?",
    "completion": "What a shell needs to complete commands and options.",
    "config": "Check or show the configuration.",
    "crosscheck": "A second opinion from independent dissectors.",
    "doctor": "What is wrong with this mirror port or capture?",
    "devices": "The inventory of devices.",
    "handshakes": "The events that were kept.",
    "profiles": "Provider profiles, with their age.",
    "interfaces": "What can be captured on, and what passes there.",
    "report": "What will stop working, when, and what to do.",
    "run": "Watch an interface, or replay a capture, and serve the metrics.",
    "serve": "The web page, upload and API.",
    "top": "Live view of devices and handshakes in the terminal.",
    "watch": "Print the next handshake of one device.",
}
"""What is built: each has a module of its name here, with a ``command``."""

LATER = {
    "probe": "Which TLS versions a server accepts.",
    "logs": "Join mail logs with the devices.",
    "signins": "Join sign-in exports with the devices.",
    "leases": "Join DHCP leases with the devices.",
    "relay": "A relay configuration for devices that cannot be updated.",
    "setup": "First installation.",
    "assets": "Dashboards, rules and units to copy.",
}
"""What the contract promises and is not built yet."""

PROGRAM = "hellowatch"
OWN_PACKAGES = ("parsers", "sniffer")

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or the names that are meant perhaps."""
        name = args[0]
        if name not in COMMANDS and name not in LATER and not name.startswith("-"):
            from difflib import get_close_matches

            meant = get_close_matches(name, [*COMMANDS, *LATER])
            hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

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
    import parsers

    form = "compiled" if parsers.compiled() else "interpreted, many times slower"
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"hellowatch {installed_version()} ({form}; Python {python})")
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
@interfaces_option
def cli() -> None:
    """Find the devices that will break when a mail provider refuses old TLS.

    Reads what a mirror port or a capture shows; changes and sends nothing.
    """


def main() -> None:
    """Run the command line; this is what the program starts."""
    _reserve_standard_streams()
    try:
        code = _run()
    except ConfigErrors as several:
        for one in several.errors:
            code = _tell(str(one), several.exit_code)
    except HelloWatchError as error:
        code = _tell(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        code = EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        _end_by_pipe()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _tell(f"{where}{error.strerror or error}", EXIT_UNREADABLE)
    except MemoryError:
        code = _tell("out of memory", EXIT_UNREADABLE)
    except ModuleNotFoundError as error:
        code = _tell(_not_installed(error), EXIT_UNREADABLE)
    except Exception as error:  # the last border: users get a line, no traceback
        code = _tell(_own_mistake(error), EXIT_UNREADABLE)
    sys.exit(code)


def _run() -> int:
    """Run the command that the arguments name; return its exit code.

    Not by click's own ``main``, which turns a reader who went away into exit code 1.
    """
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, PROGRAM, COMPLETE, instruction)
    try:
        with cli.make_context(PROGRAM, sys.argv[1:]) as context:
            cli.invoke(context)
        code = EXIT_OK
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    sys.stdout.flush()
    return code


COMPLETE = "_HELLOWATCH_COMPLETE"
"""By this variable shells ask what a line may go on with."""


def _tell(why: str, code: int) -> int:
    from sniffer.log import one_line

    with suppress(OSError):  # the reader of stderr went away: there is nobody left to tell
        click.echo(f"hellowatch: {one_line(why)}", err=True)
    return code


def _not_installed(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    if package in ("", *OWN_PACKAGES):
        return _own_mistake(error)
    return (
        f"the Python package {package} is missing, so this installation is not whole; "
        "install it again: pip install --force-reinstall hellowatch"
    )


def _own_mistake(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = os.path.basename(place.tb_frame.f_code.co_filename) if place else ""
    line = place.tb_lineno if place else 0
    return (
        f"a mistake of HelloWatch itself: {type(error).__name__}: {error} ({name}:{line}); "
        "please report this line"
    )


def _reserve_standard_streams() -> None:
    """Keep the numbers of closed standard streams from being given to other files.

    What is written to such a stream fails as the shell's user would expect.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (for the process's life)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (for the process's life)


def _end_by_pipe() -> None:
    """End as tools do whose reader went away: quietly, by SIGPIPE."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


if __name__ == "__main__":
    main()
