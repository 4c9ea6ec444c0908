"""What SIGHUP does: the configuration read anew, whole or not at all."""

import logging

import msgspec
from msgspec import Struct

from sniffer.cli.options import chosen_profiles
from sniffer.config import Settings
from sniffer.config_file import (
    Configuration,
    Sources,
    changes,
    needs_new_worker,
    needs_restart,
)
from sniffer.daemon.control import Control
from sniffer.daemon.launcher import Change, Tally, Work
from sniffer.judge.profile import Profile, host_patterns, wanted_names

logger = logging.getLogger(__name__)


class InUse(Struct, frozen=True):
    """What a server works with."""

    settings: Settings
    profiles: dict[str, Profile]
    forced: Profile | None

    def encode(self) -> bytes:
        """Return it as octets, for another process."""
        return msgspec.msgpack.encode(self)


def decode(octets: bytes) -> InUse:
    """Return what ``encode`` made octets of."""
    return msgspec.msgpack.decode(octets, type=InUse)


def work_with(in_use: InUse, keep_evidence: bool) -> Work:
    """Return what a worker does with these settings; it imports what it needs itself."""
    settings, wanted = in_use.settings, wanted_names(in_use.profiles)

    def work(interface: str, descriptor: int, control: Control, tally: Tally, is_heir: bool) -> int:
        from sniffer.daemon import worker

        made = worker.work_with(settings, keep_evidence=keep_evidence, wanted=wanted)
        return made(interface, descriptor, control, tally, is_heir)

    return work


class Current:
    """The configuration in use, and how the next one is read."""

    def __init__(self, sources: Sources, configuration: Configuration, keep_evidence: bool) -> None:
        """Begin with what was read at start. Raises ConfigError."""
        self._sources = sources
        self._keep_evidence = keep_evidence
        self.in_use = InUse(configuration.settings, *chosen_profiles(configuration))

    def reconfigure(self) -> Change | None:
        """Read everything anew; None: nothing changed.

        Raises ConfigError, or ConfigErrors for several; then everything stays as it is.
        """
        configuration = self._sources.load()
        found = InUse(configuration.settings, *chosen_profiles(configuration))
        changed = changes(self.in_use.settings, found.settings)
        if "web.config_file" in changed and found.settings.web.config_file:
            from sniffer.daemon.web_config import read

            read(found.settings.web.config_file)
        if "identify.manuf" in changed:
            from sniffer.identify.identity import Roster

            Roster(found.settings.identify)
        for key in sorted(filter(needs_restart, changed)):
            fields = {"key": key, "origin": configuration.origins[key]}
            logger.warning("A setting changed that needs a restart", fields)
        if found == self.in_use:
            logger.warning("The configuration was read again; nothing changed")
            return None

        was = self.in_use

        def commit() -> None:
            self.in_use = found
            level = getattr(logging, found.settings.log.level.upper())
            logging.getLogger().setLevel(level)
            what = ", ".join(changed) or "profiles"
            logger.warning("The configuration was read again and is in use", {"changed": what})

        return Change(
            octets=found.encode(),
            work=work_with(found, self._keep_evidence),
            needs_new_workers=any(map(needs_new_worker, changed)) or _listens_anew(was, found),
            commit=commit,
            level=getattr(logging, found.settings.log.level.upper()),
        )


def _listens_anew(was: InUse, found: InUse) -> bool:
    """Tell whether the names are others whose addresses a worker listens for."""
    before, now = (host_patterns(one.profiles.values()) for one in (was, found))
    return found.settings.identify.dns and before != now
