"""What passes between the serving side and the process that analyses one upload.

The task goes there as JSON, the capture as standard input. What was found comes back through
one pipe, in pieces:

    kind      1 octet     see below
    length    4 octets    of what follows, network byte order
    content               at most LONGEST octets

Nothing that comes back is trusted: it is bounded, and read as data only.
"""

import struct
from typing import Literal

from msgspec import Struct

from sniffer.config import (
    IdentifySettings,
    InventorySettings,
    JudgeSettings,
    Place,
    Ports,
    Relay,
    TrackSettings,
)

HEADER = struct.Struct("!cI")
LONGEST = 1 << 20

PROGRESS = b"p"
"""JSON: a Progress."""
EVENTS = b"e"
"""The next lines of events, as NDJSON."""
SUMMARY = b"s"
"""The next piece of the summary, as JSON."""
END = b"z"
"""JSON: a Result. All was said."""


class Task(Struct, frozen=True, kw_only=True):
    """One upload to be analysed."""

    name: str
    """What the file was called; nothing is opened by it."""
    ports: Ports
    judge: JudgeSettings
    track: TrackSettings
    inventory: InventorySettings
    identify: IdentifySettings
    place: tuple[Place, ...]
    relay: tuple[Relay, ...] = ()
    seconds: int
    """Processor time; when it is over, what was read is told."""
    bytes: int
    """Memory."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far the analysis came."""

    octets: int
    """Read of the upload."""
    hellos: int


class Result(Struct, frozen=True, kw_only=True):
    """What became of the upload."""

    state: Literal["done", "partial", "failed"]
    problem: str | None = None
    hellos: int = 0
    devices: int = 0


def piece(kind: bytes, content: bytes) -> bytes:
    """Return one piece as it passes the pipe."""
    return HEADER.pack(kind, len(content)) + content
