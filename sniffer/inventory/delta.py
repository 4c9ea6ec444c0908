"""What was counted since the last time, on its way into the store.

A delta is numbered by who drains it. Applying it twice changes nothing: the number is kept
with what it changed, and each handshake has an id of its own.
"""

from msgspec import Struct

from sniffer.event import Handshake, Judgement
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.sayings import Saying

Judged = tuple[Handshake, Judgement]


class Watched(Struct, frozen=True, kw_only=True):
    """For how long a sensor watched, and what it saw and lost in that time."""

    sensor: str
    """An interface's name; "" for capture files."""
    start_ns: int
    end_ns: int
    """Frame times: watched from the one to the other, for ``seconds`` of it."""
    seconds: float
    coverage: Coverage


class Mark(Struct, frozen=True):
    """What an input is known by: its unpacked octets, up to a position."""

    head: bytes
    """SHA-256 of its first 64 KiB."""
    position: int
    tail: bytes
    """SHA-256 of the 64 KiB before the position."""


class Reached(Struct, frozen=True, kw_only=True):
    """How far an input was read; ``reading`` names this one reading of it."""

    reading: str
    path: str
    mark: Mark
    frames: int
    is_done: bool
    """All of it was counted, whatever was still open when it ended."""


class StoreFigures(Struct, frozen=True, kw_only=True):
    """What the way into the store is at."""

    is_up: bool
    """Whether the newest try to write succeeded."""
    bytes: int
    """Size of the store, looked at from time to time."""
    waiting: int
    """Handshakes that wait to be written."""
    lost: int
    """Handshakes that found no room to wait."""
    shed: int = 0
    """Rows that went before their time, because the store was full."""


class Delta(Struct, frozen=True, kw_only=True):
    """Handshakes with what was judged of them, and what was watched meanwhile."""

    number: int
    now_ns: int | None
    """The newest frame time seen; None: no frame yet."""
    judged: tuple[Judged, ...] = ()
    lost: int = 0
    """Handshakes that found no room to wait in; nothing else is known of them."""
    said: tuple[tuple[bytes, Saying], ...] = ()
    """What is new of what devices say of themselves, behind their addresses."""
    watched: tuple[Watched, ...] = ()
    reached: Reached | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.judged or self.lost or self.said or self.watched or self.reached)
