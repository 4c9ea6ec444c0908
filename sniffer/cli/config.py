"""``hellowatch config``: is the configuration right, and where does each value come from."""

import re

import click

from sniffer.cli.options import chosen_profiles, config_options, file_names

EPILOG = """\b
Exit codes:
  0  done      2  what cannot be used: file, line, key and what is allowed, one line each

\b
Examples:
  hellowatch config check
  hellowatch config check office.toml
  hellowatch config show
"""


@click.group("config", epilog=EPILOG)
def command() -> None:
    """Check or show the configuration: file, environment and defaults."""


@command.command("check")
@click.argument("path", metavar="[FILE]", required=False, shell_complete=file_names)
@config_options
def check(path: str | None, config: str | None) -> None:
    """Say what is wrong with a file, all of it; by default with the one that is in use."""
    from sniffer.config_file import DEFAULT_PATH, Sources
    from sniffer.daemon.web_config import read
    from sniffer.log import one_line

    if path is not None and config is not None:
        raise click.UsageError("FILE and --config: one of them at a time")
    configuration = Sources(path or config, {}).load()
    chosen_profiles(configuration)
    if configuration.settings.web.config_file:
        read(configuration.settings.web.config_file)
    if configuration.path is None:
        click.echo(f"{DEFAULT_PATH} is not there: all values are defaults, or of the environment")
    else:
        click.echo(f"{one_line(configuration.path)}: all of it can be used")


@command.command("show")
@config_options
def show(config: str | None) -> None:
    """Print every value and where it comes from, as a configuration file."""
    from msgspec import structs

    from sniffer.config_file import Sources, toml_value
    from sniffer.log import one_line

    configuration = Sources(config, {}).load()
    section = ""
    for key, origin in configuration.origins.items():
        at, _, name = key.partition(".")
        if not name:
            for table in getattr(configuration.settings, at):
                click.echo(f"\n[[{at}]]  # {one_line(origin)}")
                for field, value in structs.asdict(table).items():
                    click.echo(f"{field} = {toml_value(value)}")
            continue
        if at != section:
            click.echo(f"{section and chr(10)}[{at}]")
            section = at
        value = getattr(getattr(configuration.settings, at), name)
        if key == "store.url":
            value = re.sub("(://[^:@/]*):[^@]*@", r"\1:***@", value)
        click.echo(f"{name} = {toml_value(value)}  # {one_line(origin)}")
