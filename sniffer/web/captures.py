"""Uploads on disk, what is known of each, and when each goes.

    FOLDER/ID/capture.json    a Capture
              upload          the octets as they came
              events.ndjson   what the analysis found
              summary.json

An id is made here, at random; nothing on disk is ever named by what a client sent. All are
known from the start on, so an id that is not among them opens no file.
"""

import logging
import os
import secrets
import shutil
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from sniffer.log import one_line

logger = logging.getLogger(__name__)

UPLOAD, EVENTS, SUMMARY = "upload", "events.ndjson", "summary.json"
KNOWN_BY = "capture.json"
ID_OCTETS = 16
LONGEST_NAME = 255
"""Characters kept of a file's or a site's name."""


class State(StrEnum):
    """How far a capture has come."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    """Damaged, cut, or ended early: what was read is told."""
    FAILED = "failed"
    """Nothing could be read."""


OVER = (State.DONE, State.PARTIAL, State.FAILED)


class Capture(Struct, kw_only=True):
    """One upload."""

    id: str
    name: str
    """What its owner calls it: a label, never a path."""
    site: str
    state: State = State.UPLOADING
    problem: str | None = None
    size: int | None = None
    """Octets that it will have; None: as many as come."""
    received: int = 0
    """Octets that are here."""
    created_seconds: float
    """Since 1970, by the wall clock: this is about files, not frames."""
    is_kept: bool = False
    """It does not go by itself."""
    octets: int = 0
    """Octets analysed by now."""
    hellos: int = 0
    devices: int = 0


class Captures:
    """All uploads in one folder."""

    def __init__(self, folder: Path) -> None:
        """Find those that are there; what was being analysed waits again. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._known: dict[str, Capture] = {}
        for place in folder.iterdir():
            try:
                octets = (place / KNOWN_BY).read_bytes()
                capture = msgspec.json.decode(octets, type=Capture)
            except (OSError, msgspec.MsgspecError, ValueError):
                # Somebody else's, or killed before it was known to anybody.
                logger.info("A folder among the captures is none", {"path": str(place)})
                continue
            if capture.state is State.RUNNING:
                capture.state = State.QUEUED
            with suppress(FileNotFoundError):
                capture.received = (place / UPLOAD).stat().st_size
            self._known[capture.id] = capture

    def new(self, name: str, site: str, size: int | None, now_seconds: float) -> Capture:
        """Make room for an upload. Raises OSError."""
        capture = Capture(
            id=secrets.token_urlsafe(ID_OCTETS),
            name=one_line(name)[:LONGEST_NAME] or "capture",
            site=one_line(site)[:LONGEST_NAME],
            size=size,
            created_seconds=now_seconds,
        )
        (self._folder / capture.id).mkdir(mode=0o700)
        self._known[capture.id] = capture
        self.save(capture)
        return capture

    def get(self, name: str) -> Capture | None:
        """Return the upload of an id, if there is one."""
        return self._known.get(name)

    def all(self) -> list[Capture]:
        """Return all of them, the newest first."""
        return sorted(self._known.values(), key=lambda one: (-one.created_seconds, one.id))

    def path(self, capture: Capture, file: str) -> Path:
        """Return where a file of an upload is."""
        return self._folder / capture.id / file

    def save(self, capture: Capture) -> None:
        """Keep what is known of an upload. Raises OSError."""
        place = self.path(capture, KNOWN_BY)
        half = place.with_suffix(".part")
        half.write_bytes(msgspec.json.encode(capture))
        half.rename(place)

    def remove(self, capture: Capture) -> None:
        """Remove all of an upload. Raises OSError."""
        self._known.pop(capture.id, None)
        shutil.rmtree(self._folder / capture.id)

    def expired(self, now_seconds: float, keep_seconds: float) -> list[Capture]:
        """Return those whose time is over."""
        return [
            one
            for one in self._known.values()
            if not one.is_kept and now_seconds - one.created_seconds >= keep_seconds
        ]

    def free_bytes(self) -> int:
        """Return how much room the disk has left for them. Raises OSError."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize
