"""What the command line says about a run, in both its modes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sniffer.config import CaptureSettings, MetricsSettings, Ports

if TYPE_CHECKING:
    from datetime import tzinfo


class Wanted(NamedTuple):
    """The choices of ``hellowatch run``."""

    ports: Ports
    profile: str | None
    metrics: MetricsSettings
    capture: CaptureSettings
    form: str | None
    outputs: tuple[str, ...]
    events: int | None
    fail_on: tuple[str, ...]
    zone: "tzinfo"
    color: str
    seconds: float | None
    announce: Callable[[str, str], None]
    """Tells the user a sentence and an address."""
