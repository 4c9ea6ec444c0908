"""``hellowatch serve``: the web page, upload and API."""

import os
import signal
import sys
from pathlib import Path

import click

from sniffer.cli.options import (
    chosen_profiles,
    config_options,
    configure_log,
    default_store,
    installed_version,
    log_options,
    profile_files,
    roster_of,
)
from sniffer.errors import EXIT_INTERRUPTED, ConfigError

NOT_YET = "not built yet; reach it by ssh -L 10994:127.0.0.1:10994 HOST"

EPILOG = """\b
Examples:
  hellowatch serve
  curl -T office.pcapng http://127.0.0.1:10994/api/v1/captures/
"""


class Words(click.Group):
    """A command that serves where no word says what else is wanted."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Say of a word that is promised that it is not built."""
        if cmd_name == "users":
            raise click.UsageError("serve users: not built yet")
        return super().get_command(ctx, cmd_name)


@click.group("serve", cls=Words, invoke_without_command=True, epilog=EPILOG)
@click.option(
    "--web.listen-address",
    "listen_address",
    metavar="HOST:PORT",
    help="Of the page; default 127.0.0.1:10994. Port 0: any free one.",
)
@config_options
@click.option("--store", metavar="URL", help="Inventory to show; default: this machine's.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error.")
@click.option("-v", "--verbose", count=True, help="Tell more on standard error; -vv: most.")
@click.option(
    "--log-format",
    metavar="text|json",
    type=click.Choice(["text", "json"]),
    help="Of the lines on standard error; default text.",
)
def command(
    listen_address: str | None,
    config: str | None,
    store: str | None,
    quiet: bool,
    verbose: int,
    log_format: str | None,
) -> None:
    """Serve the web page: captures are uploaded there, and their answer read."""
    from msgspec import structs

    from sniffer.config import is_loopback, split_address
    from sniffer.config_file import Sources

    options = log_options(quiet, verbose, log_format)
    if listen_address is not None:
        options["serve.listen_address"] = ("--web.listen-address", listen_address)
    if store is not None:
        options["store.url"] = ("--store", store)
    configuration = Sources(config, options).load()
    settings = configuration.settings
    # Who analyses what is uploaded finds no folder of this user: it is told the files.
    judge = structs.replace(settings.judge, profiles=profile_files(settings.judge))
    settings = structs.replace(settings, judge=judge)
    configure_log(settings.log)
    host, _ = split_address(settings.serve.listen_address)
    if not is_loopback(host):
        why = f"{host or 'every address'} is beyond loopback, where users are needed: {NOT_YET}"
        raise configuration.error("serve.listen_address", why)
    try:
        from sniffer.web.analyses import Analyses
        from sniffer.web.app import application
        from sniffer.web.captures import Captures
        from sniffer.web.inventory import Inventory
        from sniffer.web.picture import Pictures
        from sniffer.web.server import Server, listen
        from sniffer.web.services import Services
    except ModuleNotFoundError as error:
        why = "the page needs the extra: pip install 'hellowatch[web]'"
        raise ConfigError("serve", "", why) from error
    profiles, _ = chosen_profiles(configuration)
    roster = roster_of(configuration)
    inventory = Inventory(settings.store.url or default_store(), settings.ports, profiles, roster)
    folder = Path(settings.serve.folder or _default_folder())
    try:
        captures = Captures(folder)
    except OSError as error:
        raise ConfigError("serve.folder", str(folder), error.strerror or str(error)) from error
    made = Services(
        settings,
        captures,
        Analyses(captures, settings),
        inventory,
        Pictures(inventory),
        receiving=set(),
        version=installed_version(),
    )
    listening = listen(settings.serve.listen_address, "serve.listen_address")
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"The page is on http://{shown}:{port}/", err=True)
    server = Server(application(made), settings.serve.request_seconds)
    server.run(sockets=[listening])
    if server.by == signal.SIGINT:
        sys.exit(EXIT_INTERRUPTED)


def _default_folder() -> str:
    """Return the folder beside the inventory of this machine's service, else of this user."""
    return os.path.join(os.path.dirname(default_store().removeprefix("sqlite:///")), "captures")
