"""Options that several commands share, and what they mean."""

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sniffer.errors import EXIT_DAMAGED, EXIT_FOUND, EXIT_OK, EXIT_UNREADABLE, ConfigError

if TYPE_CHECKING:
    from datetime import tzinfo

    from click.shell_completion import CompletionItem

    from sniffer.config import JudgeSettings, LogSettings
    from sniffer.config_file import Configuration
    from sniffer.identify.identity import Roster
    from sniffer.judge.profile import Profile

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PROFILE_OPTION = "--profile"
FAIL_ON = ("legacy", "incompatible", "at-risk")
FORMATS = ("table", "json", "ndjson", "csv", "html", "zeek", "eve")


class Lists(click.Group):
    """A group that lists where no word says what else is wanted."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the word that may be left out before its options."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def later(*names: str, takes_value: bool = True) -> Callable[[Decorated], Decorated]:
    """Declare an option of the contract that is not built yet: it says so, exit code 2."""

    def refuse(_ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value:
            raise click.UsageError(f"{param.opts[0]}: not built yet")

    return click.option(
        *names,
        is_flag=not takes_value,
        hidden=True,
        expose_value=False,
        callback=refuse,
        multiple=takes_value,
    )


def interfaces_option(command: Decorated) -> Decorated:
    """Add -D, which lists the interfaces and ends, as tcpdump's does."""

    def list_them(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            from sniffer.cli.interfaces import show

            show(())
            ctx.exit()

    return click.option(
        "-D",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=list_them,
        help="List the interfaces, and end.",
    )(command)


SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def check_seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Return a length of time in seconds: ``90``, ``90s``, ``10m``, ``2h``, ``1d``."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no length of time: write 90, 90s, 10m, 2h or 1d")
    seconds = float(found[1]) * SECONDS[found[2]]
    if seconds > threading.TIMEOUT_MAX:
        raise click.BadParameter(f"{value!r} is longer than this machine can wait")
    return seconds


def config_options(command: Decorated) -> Decorated:
    """Add what names the configuration file."""
    return click.option(
        "--config",
        "config",
        metavar="FILE",
        shell_complete=file_names,
        help="Configuration file; default /etc/hellowatch/config.toml, if it is there.",
    )(command)


def file_names(_ctx: click.Context, _param: click.Parameter, begun: str) -> "list[CompletionItem]":
    """Have the shell complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


def interface_names(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Complete the name of an interface."""
    with suppress(OSError):
        names = sorted([*os.listdir("/sys/class/net"), "any"])
        return [name for name in names if name.startswith(begun)]
    return []


def format_names(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Complete the word of a format."""
    return [form for form in FORMATS if form.startswith(begun)]


def format_options(command: Decorated) -> Decorated:
    """Add what says in which form things are told, and where."""
    for option in reversed(
        (
            click.option(
                "--format",
                "form",
                callback=check_format,
                metavar="|".join(FORMATS),
                shell_complete=format_names,
                help="Of standard output: table on a terminal, ndjson in a pipe.",
            ),
            click.option(
                "-o",
                "outputs",
                metavar="[FORMAT:]FILE",
                multiple=True,
                shell_complete=file_names,
                help="Write to a file as well, or instead if --format is not given. Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


def event_options(command: Decorated) -> Decorated:
    """Add what says which frames and events are wanted, and which make the exit code 1."""
    for option in reversed(
        (
            click.option(
                "-w",
                "frames",
                metavar="FILE",
                shell_complete=file_names,
                help="Write the frames of the handshakes, all else zeroed; - is standard output.",
            ),
            click.option(
                "-c", "count", metavar="N", type=click.IntRange(min=1), help="End after N events."
            ),
            click.option(
                "--fail-on",
                metavar="|".join(FAIL_ON),
                multiple=True,
                type=click.Choice(FAIL_ON),
                help="Exit 1 if a device with this verdict was found. Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


def pipeline_options(command: Decorated) -> Decorated:
    """Add what chooses flows, profile and store."""
    for option in reversed(
        (
            click.option(
                "--ports",
                metavar="LIST|any",
                help="Ports to follow, e.g. 993,995,10143/imap; any: every TCP flow.",
            ),
            click.option(
                "--profile",
                metavar="NAME|FILE",
                shell_complete=file_names,
                help="Judge every hello by this provider profile, whatever its destination.",
            ),
            click.option(
                "--store",
                metavar="URL",
                help="Inventory to keep devices in: sqlite:///PATH or postgresql+psycopg://...",
            ),
            click.option(
                "--site",
                metavar="NAME",
                help="Where this comes from; devices of two sites are never the same.",
            ),
            click.option("-n", "numeric", is_flag=True, help="No name look-ups (there are none)."),
        )
    ):
        command = option(command)
    return command


def output_options(command: Decorated) -> Decorated:
    """Add what says how much is told, where and in which form."""
    for option in reversed(
        (
            click.option(
                "--tz",
                metavar="ZONE",
                default="UTC",
                help="Time zone of tables: UTC (as if not given), local, or a name.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error."),
            click.option(
                "-v", "--verbose", count=True, help="Tell more on standard error; -vv: most."
            ),
            click.option(
                "--log-format",
                metavar="text|json",
                type=click.Choice(["text", "json"]),
                help="Of the lines on standard error; default text.",
            ),
            click.option(
                "--color",
                metavar="auto|always|never",
                type=click.Choice(["auto", "always", "never"]),
                default="auto",
                help="Colours in tables; auto: on a terminal. NO_COLOR, FORCE_COLOR count too.",
            ),
        )
    ):
        command = option(command)
    return command


def check_format(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return a format that is built."""
    if value is None or value in FORMATS:
        return value
    raise click.BadParameter(f"{value!r} is none of {', '.join(FORMATS)}")


def default_store() -> str:
    """Return the store of this machine's service, else of this user."""
    return "sqlite:///" + os.path.join(state_folder(), "hellowatch.db")


def state_folder() -> str:
    """Return where this machine's service, else this user, keeps what lasts."""
    if folder := os.environ.get("STATE_DIRECTORY"):
        return folder.partition(":")[0]
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "hellowatch")


def profile_folder() -> str:
    """Return where imported profiles are."""
    return os.path.join(state_folder(), "profiles")


def profile_files(judge: "JudgeSettings") -> tuple[str, ...]:
    """Return the files of profiles beside those that ship: imported, then configured."""
    folder = profile_folder()
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".toml"))
    except OSError:
        names = []
    return (*(os.path.join(folder, name) for name in names), *judge.profiles)


def zone(name: str) -> "tzinfo":
    """Return the time zone of a name. Raises ConfigError."""
    from datetime import UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name.upper() == "UTC":
        return UTC
    if name == "local":
        return _local_zone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        why = f"{name!r} is no time zone known here: write UTC, local or a name as Europe/Berlin"
        raise ConfigError("--tz", "", why) from error


def _local_zone() -> "tzinfo":
    """Return this machine's zone, with its summer times."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file, "local")
    except (KeyError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def installed_version() -> str:
    """Return the version of the installed package; sources that are not installed have none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hellowatch")
    except PackageNotFoundError:
        return "unknown"


def log_options(quiet: bool, verbose: int, form: str | None) -> dict[str, tuple[str, Any]]:
    """Return the settings of the log that the command line makes: -v what happens, -vv all."""
    made: dict[str, tuple[str, Any]] = {}
    if verbose:
        made["log.level"] = ("-v", "info" if verbose == 1 else "debug")
    if quiet:
        made["log.level"] = ("-q", "error")
    if form is not None:
        made["log.format"] = ("--log-format", form)
    return made


def pipeline_settings(
    ports: str | None, profile: str | None, store: str | None = None, site: str | None = None
) -> dict[str, tuple[str, Any]]:
    """Return the settings that the shared options make."""
    made: dict[str, tuple[str, Any]] = {}
    if ports is not None:
        made["watch.ports"] = ("--ports", ports)
    if profile is not None:
        made["judge.profile"] = ("--profile", profile)
    if store is not None:
        made["store.url"] = ("--store", store)
    if site is not None:
        made["store.site"] = ("--site", site)
    return made


def chosen_profiles(configuration: "Configuration") -> "tuple[dict[str, Profile], Profile | None]":
    """Return the profiles by name, and the one that is forced. Raises ConfigError."""
    from pathlib import Path

    from sniffer.judge.profile import find_profile, load_profiles

    judge = configuration.settings.judge
    profiles = load_profiles(map(Path, profile_files(judge)))
    for relay in configuration.settings.relay:
        if relay.name in profiles:
            raise configuration.error("relay", f"{relay.name!r} is the name of a profile")
    if not judge.profile:
        return profiles, None
    try:
        return profiles, find_profile(judge.profile, profiles)
    except ConfigError as error:
        if error.path == PROFILE_OPTION:
            raise configuration.error("judge.profile", error.why) from error
        raise


def roster_of(configuration: "Configuration") -> "Roster":
    """Return what tells who devices are. Raises ConfigError."""
    from sniffer.identify.identity import Roster

    return Roster(configuration.settings.identify, configuration.settings.place)


def configure_log(settings: "LogSettings") -> None:
    """Set up the log lines."""
    import logging

    from sniffer import log

    log.configure(getattr(logging, settings.level.upper()), settings.format)


def exit_code(states: list[str], totals: dict[str, Any], fail_on: tuple[str, ...]) -> int:
    """Return the code for what became of the inputs, and for what was found in them."""
    if all(state == "failed" for state in states):
        return EXIT_UNREADABLE
    if any(totals["by_verdict"].get(verdict) for verdict in fail_on):
        return EXIT_FOUND
    return EXIT_OK if all(state in ("ok", "known") for state in states) else EXIT_DAMAGED
