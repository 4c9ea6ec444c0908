"""What the commands over the inventory share: its store, its time, and how a device is named."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sniffer.cli.options import (
    config_options,
    configure_log,
    default_store,
    log_options,
    output_options,
    pipeline_settings,
    zone,
)
from sniffer.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from datetime import tzinfo

    from sniffer.config import Settings
    from sniffer.config_file import Configuration
    from sniffer.inventory.store.database import Database
    from sniffer.inventory.store.reader import Reader, Stored

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

AMBIGUOUS_SHOWN = 10


def inventory_options(command: Decorated) -> Decorated:
    """Add which inventory is asked, as of when, and how the answer is written."""
    for option in reversed(
        (
            click.option(
                "--store",
                metavar="URL",
                help="Inventory to ask: sqlite:///PATH or postgresql+psycopg://...; "
                "default: this machine's.",
            ),
            click.option(
                "--as-of",
                metavar="TIME",
                help="Answer as of then: 2026-12-24, 2026-12-24T18:00; default: the newest time.",
            ),
        )
    ):
        command = option(command)
    return config_options(output_options(command))


def configured(
    config: str | None, store: str | None, quiet: bool, verbose: int, log_format: str | None
) -> "Configuration":
    """Return the settings in force, and set up the log by them. Raises ConfigError."""
    from sniffer.config_file import Sources

    options = {**pipeline_settings(None, None, store), **log_options(quiet, verbose, log_format)}
    configuration = Sources(config, options).load()
    configure_log(configuration.settings.log)
    return configuration


def open_store(settings: "Settings") -> "Database":
    """Open the inventory that is there. Raises StoreError, ConfigError."""
    from sniffer.inventory.store.database import Database

    database = Database(settings.store.url or default_store())
    if database.path is not None and not os.path.exists(database.path):
        why = "there is no inventory yet; run makes it, and analyze with --store"
        raise StoreError(database.name, why)
    database.open()
    return database


def open_reader(
    settings: "Settings", as_of: str | None, tz: str, option: str = "--as-of"
) -> "Reader":
    """Return what reads the inventory as of the time of an option.

    Raises StoreError, ConfigError.
    """
    as_of_ns = None if as_of is None else parse_time(as_of, zone(tz), option)
    database = open_store(settings)
    from sniffer.inventory.store.reader import Reader

    return Reader(database, settings.ports, as_of_ns)


def find_device(reader: "Reader", named: str) -> "Stored":
    """Return the one device that is meant. Raises ConfigError: none is, or several are."""
    found = reader.find(named)
    if not found:
        why = "names no device of this inventory: an id, IP, MAC or name does"
        raise ConfigError("", named, why)
    if len(found) > 1:
        shown = ", ".join(
            f"{one.id} ({one.ip}{f' at {one.site}' if one.site else ''})"
            for one in found[:AMBIGUOUS_SHOWN]
        )
        more = f" and {len(found) - AMBIGUOUS_SHOWN} more" * (len(found) > AMBIGUOUS_SHOWN)
        why = f"names {len(found)} devices, say which: {shown}{more}"
        raise ConfigError("", named, why)
    return found[0]


def parse_time(text: str, zone_chosen: "tzinfo", where: str) -> int:
    """Return a time in nanoseconds since 1970; one without a zone is in the one chosen."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        why = f"{text!r} is no time: write 2026-12-24 or 2026-12-24T18:00"
        raise ConfigError(where, "", why) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_chosen)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
