"""Who gets through at a destination, whoever it is: what one device's refusal is held against.

A passage is a service of one destination, as profiles name it. Of each it is remembered when
it last took anybody in, and when it last took in, or turned away, somebody whose offer is ok.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from msgspec import Struct

from sniffer.event import Outcome, Side, Verdict


class Passage(Struct):
    """One service of one destination; None: that was not seen."""

    established_ns: int | None = None
    """The newest handshake that was established, by whomever."""
    modern_established_ns: int | None = None
    modern_refused_ns: int | None = None
    """The newest ones whose offer was ok; refused by the server."""

    def observe(
        self, time_ns: int, verdict: Verdict, outcome: Outcome, refused_by: str | None
    ) -> None:
        """Take in how one handshake ended."""
        if outcome is Outcome.ESTABLISHED:
            if self.established_ns is None or time_ns > self.established_ns:
                self.established_ns = time_ns
            if verdict is Verdict.OK and (
                self.modern_established_ns is None or time_ns > self.modern_established_ns
            ):
                self.modern_established_ns = time_ns
        elif (
            refused_by == Side.SERVER
            and verdict is Verdict.OK
            and (self.modern_refused_ns is None or time_ns > self.modern_refused_ns)
        ):
            self.modern_refused_ns = time_ns

    def merge(self, other: Self) -> None:
        """Add what another capture saw of the same passage."""
        for name in self.__struct_fields__:
            times = [t for t in (getattr(self, name), getattr(other, name)) if t is not None]
            setattr(self, name, max(times, default=None))


Passages = Mapping[str, Passage]
"""By ``passage_key``."""

NOWHERE: Passages = {}


def passage_key(service: str, destination: str) -> str:
    """Return the words of a passage as one."""
    return f"{service} {destination}"


def merge_passages(mine: dict[str, Passage], others: Iterable[tuple[str, Passage]]) -> None:
    """Add passages to others."""
    for key, passage in others:
        mine.setdefault(key, Passage()).merge(passage)
