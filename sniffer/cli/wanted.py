"""What is wanted of a run, in both its modes."""

from typing import TYPE_CHECKING, NamedTuple

from sniffer.cli.screen import Screen
from sniffer.config_file import Configuration, Sources

if TYPE_CHECKING:
    from datetime import tzinfo


class Wanted(NamedTuple):
    """The choices of ``hellowatch run``."""

    sources: Sources
    """Where the configuration comes from; read again at SIGHUP."""
    configuration: Configuration
    form: str | None
    outputs: tuple[str, ...]
    frames: str | None
    """Where the frames of handshakes are written to."""
    events: int | None
    fail_on: tuple[str, ...]
    zone: "tzinfo"
    color: str
    seconds: float | None
    screen: Screen
