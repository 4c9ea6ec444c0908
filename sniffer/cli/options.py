"""Options that several commands share, and what they mean."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sniffer.errors import ConfigError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

STORE = re.compile(r"sqlite:///.+|postgresql(\+psycopg)?://.+")
FORMATS = ("table", "json", "ndjson", "csv")
FORMATS_LATER = ("html", "zeek", "eve")


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
                help="Judge every hello by this provider profile, whatever its destination.",
            ),
            click.option(
                "--store",
                metavar="URL",
                help="sqlite:///PATH or postgresql+psycopg://... (keeps nothing yet).",
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
                "--tz", metavar="ZONE", default="UTC", help="Time zone of tables: UTC, local, name."
            ),
            click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error."),
            click.option("-v", "--verbose", count=True, help="Tell more on standard error."),
            click.option(
                "--log-format", type=click.Choice(["text", "json"]), default="text", help="Of logs."
            ),
            click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto"),
        )
    ):
        command = option(command)
    return command


def check_format(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return a format that is built."""
    if value is None or value in FORMATS:
        return value
    if value in FORMATS_LATER:
        raise click.UsageError(f"--format {value}: not built yet")
    raise click.BadParameter(f"{value!r} is none of {', '.join(FORMATS + FORMATS_LATER)}")


def check_store(url: str | None) -> None:
    """Check a store's address, and say that nothing is kept in it yet."""
    if url is None:
        return
    if not STORE.fullmatch(url):
        why = f"{url!r} is no store: write sqlite:///PATH or postgresql+psycopg://..."
        raise ConfigError("--store", "", why)
    click.echo("hellowatch: --store: nothing is kept yet; this run answers for itself", err=True)


def zone(name: str) -> Any:  # noqa: ANN401 (a tzinfo; datetime is not imported at start)
    """Return the time zone of a name."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name.upper() == "UTC":
        return UTC
    if name == "local":
        return datetime.now().astimezone().tzinfo
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError("--tz", "", f"{name!r} is no time zone known here") from error


def configure_log(quiet: bool, verbose: int, form: str) -> None:
    """Set up the log lines on standard error."""
    import logging

    from sniffer import log

    level = logging.ERROR if quiet else logging.DEBUG if verbose > 1 else logging.INFO
    if not quiet and not verbose:
        level = logging.WARNING
    log.configure(level, form)
