"""The inventory as pages show it: every device in a few words, made once and shown to all.

Going through a hundred thousand devices takes longer than a page may. So it is done beside the
requests, again when the store has changed, and a page shows what was made last.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from sniffer.export.readiness import Counts, Readiness, place_of, readiness
from sniffer.export.stored import stored_devices
from sniffer.export.summary import coverage_json
from sniffer.export.words import urgency
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.store import schema
from sniffer.inventory.store.reader import Reader
from sniffer.web.inventory import Inventory

Json = dict[str, Any]

PAUSE_SECONDS = 5.0
"""How long a picture is shown before another one is made."""
SHOWN = (
    *("id", "ip", "site", "mac", "names", "vendor", "class", "place", "owner", "status"),
    *("refused_by", "will_break", "breaks", "why", "hellos", "first_seen", "last_seen"),
)
"""What a list shows of a device, and is searched in."""


class Picture(NamedTuple):
    """Everything of one moment."""

    devices: tuple[Json, ...]
    """The most urgent first."""
    counts: Counts
    statuses: Mapping[str, int]
    coverage: Json
    batches: int
    """Of the store, when it was made; -1: nothing was looked at yet."""

    @property
    def readiness(self) -> Readiness:
        """Whether old TLS may be switched off."""
        return readiness(self.counts, self.coverage)


class Pictures:
    """Makes them, one at a time."""

    def __init__(self, inventory: Inventory) -> None:
        """Show this inventory; nothing is looked at yet."""
        self._inventory = inventory
        self._latest = _empty(-1)
        self._made = 0.0
        self._making: asyncio.Task[None] | None = None

    async def latest(self) -> Picture:
        """Return the newest picture; the first one is waited for, others come when they do."""
        if time.monotonic() - self._made >= PAUSE_SECONDS and self._making is None:
            self._making = asyncio.create_task(self._make())
        if self._latest.batches < 0 and self._making is not None:
            await asyncio.shield(self._making)
        return self._latest

    async def _make(self) -> None:
        try:
            self._latest = await asyncio.to_thread(self._picture)
            self._made = time.monotonic()
        finally:
            self._making = None

    def _picture(self) -> Picture:
        reader = self._inventory.reader()
        if reader is None:
            return _empty(0)
        with reader.database.errors():
            batches = _batches(reader)
            if batches == self._latest.batches:
                return self._latest
            told = stored_devices(reader, self._inventory.profiles, self._inventory.roster)
            counts = [0] * len(Counts._fields)
            statuses: dict[str, int] = {}
            devices = []
            for device in told:
                counts[0] += 1
                place = place_of(device)
                counts[place] += place > 0
                statuses[device["status"]] = statuses.get(device["status"], 0) + 1
                devices.append(_shown(device))
            devices.sort(key=urgency)
            return Picture(
                tuple(devices),
                Counts(*counts),
                statuses,
                coverage_json(reader.coverage()),
                batches,
            )


def _empty(batches: int) -> Picture:
    return Picture((), Counts(), {}, coverage_json(Coverage()), batches)


def _shown(device: Json) -> Json:
    """Return what a list needs of a device."""
    stacks = [
        {"max_offered": stack["max_offered"], "outcomes": {"established": established}}
        for stack in device["stacks"]
        if (established := stack["outcomes"].get("established", 0)) or stack["max_offered"]
    ]
    return {key: device[key] for key in SHOWN} | {"stacks": stacks}


def _batches(reader: Reader) -> int:
    with reader.database.read() as connection:
        return int(connection.scalar(sa.select(schema.state.c.batches)) or 0)
