"""How commands that count keep what they count in a store."""

import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from sniffer.cli.options import default_store
from sniffer.config import Settings
from sniffer.daemon.server import Server
from sniffer.errors import StoreError
from sniffer.export.ecs import encode
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.store.recorder import Recorder, open_recorder
from sniffer.judge.profile import Profile

logger = logging.getLogger(__name__)

Profiles = Mapping[str, Profile]


def keep_analysis(
    stack: ExitStack, url: str, aggregate: Aggregate, profiles: Profiles, settings: Settings
) -> Recorder:
    """Keep what an analysis counts in the store that was asked for. Raises StoreError."""
    recorder = open_recorder(url, aggregate, profiles, encode, settings=settings.store)
    stack.callback(recorder.close)
    return recorder


def keep_replay(
    stack: ExitStack, server: Server, profiles: Profiles, settings: Settings
) -> Recorder:
    """Keep what a replay counts: in the store asked for, or for this run alone."""
    url = settings.store.url
    if not url:
        folder = stack.enter_context(TemporaryDirectory(prefix="hellowatch-"))
        url = f"sqlite:///{folder}/hellowatch.db"
    recorder = _of_server(url, server, profiles, settings)
    stack.callback(recorder.close)
    server.keep(recorder)
    return recorder


def keep_live(server: Server, profiles: Profiles, settings: Settings) -> Recorder | None:
    """Keep what is captured: in the store asked for, or in this machine's.

    None if the latter cannot be used, which is said: what is seen is told all the same.
    Raises StoreError where the one that was asked for cannot be used.
    """
    url = settings.store.url or default_store()
    try:
        if not settings.store.url:
            os.makedirs(os.path.dirname(url.removeprefix("sqlite:///")), 0o700, exist_ok=True)
        recorder = _of_server(url, server, profiles, settings)
    except (StoreError, OSError) as error:
        if settings.store.url:
            raise
        fields = {"why": str(error), "cure": "name a store with --store"}
        logger.warning("Nothing is kept: the inventory cannot be written", fields)
        return None
    server.keep(recorder)
    return recorder


def _of_server(url: str, server: Server, profiles: Profiles, settings: Settings) -> Recorder:
    return open_recorder(
        url, server.aggregate, profiles, encode, server.lock, settings=settings.store
    )
