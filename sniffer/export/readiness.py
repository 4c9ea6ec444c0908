"""May old TLS be switched off? Yes, no, or not known, and because of what.

"Yes" is said only of what was watched for long enough, by a picture that is fit to tell.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sniffer.event import Status
from sniffer.export import words

LONG_ENOUGH_SECONDS = 28 * 86_400
"""Some devices send mail once a month."""

Json = Mapping[str, Any]


class Counts(NamedTuple):
    """Devices by what becomes of them when old TLS is refused."""

    all: int = 0
    refused: int = 0
    """Refused already, for what they offer."""
    breaking: int = 0
    """Served by now, and will not be."""
    failing: int = 0
    """Refused for something else, such as a certificate."""
    unclear: int = 0
    """Nobody can tell."""

    @property
    def fine(self) -> int:
        """Devices about which nothing was found."""
        return self.all - sum(self[1:])

    @classmethod
    def of(cls, devices: Iterable[Json]) -> "Counts":
        """Count devices as the summary lists them."""
        counts = [0] * len(cls._fields)
        for device in devices:
            counts[0] += 1
            at = place_of(device)
            counts[at] += at > 0
        return cls(*counts)


class Readiness(NamedTuple):
    """The answer."""

    is_ready: bool | None
    because: str

    @property
    def word(self) -> str:
        """The answer in words."""
        return {True: "Yes", False: "No", None: "Not known"}[self.is_ready]


def readiness(counts: Counts, coverage: Json) -> Readiness:
    """Return whether old TLS may be switched off; ``coverage`` as the summary has it."""
    seen = words.counted(counts.all, "device")
    if counts.refused or counts.breaking:
        told = []
        if counts.refused:
            told.append(f"{counts.refused} {_are(counts.refused)} refused already")
        if counts.breaking:
            told.append(f"{counts.breaking} will stop working")
        return Readiness(False, f"Of {seen} seen, {' and '.join(told)}.")
    watched = words.duration(coverage["watched_seconds"])
    if not coverage["fit"]:
        return Readiness(None, f"The picture is not fit to tell: {coverage['why']}")
    if not counts.all:
        return Readiness(None, f"No device was seen in {watched}. {words.WATCH_LONGER}")
    if counts.unclear:
        return Readiness(None, f"Of {seen} seen, {counts.unclear} cannot be judged yet.")
    if coverage["watched_seconds"] < LONG_ENOUGH_SECONDS:
        why = f"None of {seen} seen in {watched} would stop working. {words.WATCH_LONGER}"
        return Readiness(None, why)
    return Readiness(True, f"None of {seen} seen in {watched} would stop working.")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def place_of(device: Json) -> int:
    """Return the place of a device in Counts; 0: it goes on working."""
    if device["will_break"]:
        when = (device["breaks"] or {}).get("when")
        return 1 if when == "already-refused" else 2
    if device["status"] == Status.REFUSED:
        return 3
    return 4 if device["will_break"] is None and device["status"] != Status.OK else 0
