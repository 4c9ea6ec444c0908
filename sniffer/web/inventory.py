"""The API over the inventory: devices, kept handshakes, what could be seen.

The store is asked in threads, never on the event loop, and told piece by piece, so that no
answer is held in memory whole.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sniffer.config import Ports
from sniffer.event import Outcome, Status
from sniffer.export.ecs import timestamp
from sniffer.export.stored import stored_device, story_json, wire_json
from sniffer.export.summary import coverage_json
from sniffer.identify.identity import Roster
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.simulate import Counts
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.reader import Reader, Stored
from sniffer.judge.profile import Profile
from sniffer.web.problems import Problem
from sniffer.web.services import Services

PREFIX = "/api/v1"
GATHERED_BYTES = 1 << 16
MOST_HANDSHAKES = 1000
"""Handshakes told if nobody asks for another number."""


class Inventory:
    """The store that is shown. There may be none yet: run makes it."""

    def __init__(
        self, url: str, ports: Ports, profiles: Mapping[str, Profile], roster: Roster
    ) -> None:
        """Know the store. Raises ConfigError where this is no URL of one."""
        self.roster = roster
        self._database = Database(url)
        self._ports = ports
        self.profiles = profiles
        self._is_open = False

    def reader(self) -> Reader | None:
        """Return what reads the store as it is now; None: there is none yet. Raises StoreError."""
        database = self._database
        if not self._is_open:
            if database.path is not None and not os.path.exists(database.path):
                return None
            database.open()
            self._is_open = True
        return Reader(database, self._ports)


def routes() -> list[Route]:
    """Return the paths of the API over the inventory."""
    return [
        Route(f"{PREFIX}/devices", list_devices, methods=["GET"]),
        Route(f"{PREFIX}/devices/{{id}}", get_device, methods=["GET"]),
        Route(f"{PREFIX}/handshakes", list_handshakes, methods=["GET"]),
        Route(f"{PREFIX}/coverage", get_coverage, methods=["GET"]),
    ]


def list_devices(request: Request) -> Response:
    """Tell the devices by site and address, and what could be seen."""
    statuses = request.query_params.getlist("status")
    unknown = set(statuses) - set(Status)
    if unknown:
        raise _wrong("status", unknown.pop(), ", ".join(Status))
    most = _number(request, "limit", None)
    reader, inventory = _reader(request)
    coverage = Coverage() if reader is None else reader.coverage()

    def told() -> Iterator[bytes]:
        yield b'{"devices":['
        if reader is not None:
            fit = coverage.fitness().fit
            wanted = (d for d in reader.devices() if not statuses or d.snapshot.status in statuses)
            for number, device in enumerate(islice(wanted, most)):
                yield b"," if number else b""
                yield _encode(_told(reader, device, inventory, fit))
        yield b"],%b}" % _encode(_picture(reader, coverage))[1:-1]

    return StreamingResponse(_gathered(told()), media_type="application/json")


def get_device(request: Request) -> Response:
    """Tell one device, named by id, address, MAC or name, with its history."""
    return _json(device_told(request))


def device_told(request: Request) -> dict[str, Any]:
    """Return the device that a path names, its history, and what could be seen. Raises Problem."""
    reader, inventory = _reader(request)
    named = request.path_params["id"]
    found = [] if reader is None else reader.find(named)
    if reader is None or not found:
        raise Problem(404, "this names no device of the inventory")
    if len(found) > 1:
        ids = [device.id for device in found]
        raise Problem(409, f"this names {len(found)} devices; ask for one by its id", devices=ids)
    coverage = reader.coverage()
    fit = coverage.fitness().fit
    device = _told(reader, found[0], inventory, fit, reader.lately(found[0]))
    kept = {"history": story_json(reader.story(found[0])), "wire": wire_json(reader, found[0])}
    return device | kept | _picture(reader, coverage)


def list_handshakes(request: Request) -> Response:
    """Tell the kept handshakes, oldest first: of a device, since a time, ended in one way."""
    asked = request.query_params
    outcome = asked.get("outcome")
    if outcome is not None and outcome not in set(Outcome):
        raise _wrong("outcome", outcome, ", ".join(Outcome))
    since_ns = None if "since" not in asked else _time_ns(asked["since"])
    most = _number(request, "limit", MOST_HANDSHAKES)
    reader, _ = _reader(request)
    name = None
    if reader is not None and "device" in asked:
        found = reader.find(asked["device"])
        if len(found) != 1:
            raise Problem(404, f"this names {len(found)} devices of the inventory, not one")
        name = found[0].id

    def told() -> Iterator[bytes]:
        yield b'{"handshakes":['
        kept = iter(()) if reader is None else reader.events(name, since_ns, outcome)
        for number, event in enumerate(islice(kept, most)):
            yield (b"," if number else b"") + event.told.encode()
        yield b"]}"

    return StreamingResponse(_gathered(told()), media_type="application/json")


def get_coverage(request: Request) -> Response:
    """Tell how far the picture can be trusted."""
    reader, _ = _reader(request)
    return _json(_picture(reader, Coverage() if reader is None else reader.coverage()))


def _told(
    reader: Reader, device: Stored, inventory: Inventory, fit: bool, lately: Counts | None = None
) -> dict[str, Any]:
    return stored_device(reader, device, inventory.profiles, fit, lately, inventory.roster)


def _picture(reader: Reader | None, coverage: Coverage) -> dict[str, Any]:
    now_ns = None if reader is None else reader.now_ns
    return {
        "coverage": coverage_json(coverage),
        "now": None if now_ns is None else timestamp(now_ns),
    }


def _reader(request: Request) -> tuple[Reader | None, Inventory]:
    inventory = Services.of(request).inventory
    return inventory.reader(), inventory


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same octets in larger pieces: each costs a thread's switch."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= GATHERED_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _number(request: Request, name: str, default: int | None) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _wrong(name, text, "a whole number")
    return int(text)


def _time_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong("since", text, "a time as 2026-12-24T18:00:00Z") from error
    if moment.tzinfo is None:
        raise _wrong("since", text, "a time with its zone, as 2026-12-24T18:00:00Z")
    return int(moment.timestamp() * 10**6) * 1000


def _wrong(name: str, given: str, allowed: str) -> Problem:
    return Problem(400, f"{name}: {given!r} is not {allowed}")


def _encode(told: object) -> bytes:
    return msgspec.json.encode(told)


def _json(told: object) -> Response:
    return Response(_encode(told), media_type="application/json")
