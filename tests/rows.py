"""Rows of the parsers' tables, and the four ways each of them is run.

A ``Reading`` is a parser in the shape the runner wants: octets from ``start`` to ``end`` in,
its answer and what it said out, offsets in that counted from ``start``. A ``Row`` holds
octets and what must come of them. ``four_ways`` runs a row

- whole;
- growing octet by octet: nothing but NEED_MORE before the last one, and what cannot be the
  structure never becomes it;
- with octets after it;
- between poisoned octets, before and behind, that must not matter.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls.facts import TLS_1_2, ClientHello

Answer = tuple[int, Any]
Reading = Callable[[memoryview, int, int], Answer]


@dataclass(frozen=True)
class Row:
    """Octets, the answer to them, what was read, and where the rule stands."""

    id: str
    octets: bytes
    expected: Any = None
    source: str = ""
    answer: int = FOUND
    whole_at: int | None = None
    """Octets at which the answer is there; by default all of them."""
    grows: bool = True
    """False: the octets' number is itself part of the structure."""
    context: dict[str, Any] = field(default_factory=dict)
    """What the reading has to be told besides the octets."""


class Table(Protocol):
    """A module of rows, as ``dump.py`` reads it."""

    ROWS: list[Row]

    def reading(self, row: Row) -> Reading:
        """Return the parser under test, set up for the row."""


def octets(text: str) -> bytes:
    """Read annotated hex: what stands behind a # is a comment."""
    return bytes.fromhex(" ".join(line.partition("#")[0] for line in text.splitlines()))


def parametrize(rows: Iterable[Row]) -> pytest.MarkDecorator:
    """Run a test once for each row, under the row's id."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in rows])


def four_ways(reading: Reading, row: Row) -> None:
    """Run a row in all four ways."""
    wire = row.octets
    wanted = (row.answer, row.expected)
    assert reading(memoryview(wire), 0, len(wire)) == wanted, "whole"
    if row.grows:
        _growing(reading, row)
        if row.answer != NEED_MORE:
            for tail in (b"\0", b"\xff" * 7, wire):
                longer = memoryview(wire + tail)
                assert reading(longer, 0, len(longer)) == wanted, "with octets after it"
    for poison in poisons(wire):
        surrounded = memoryview(poison + wire + poison)
        start = len(poison)
        found = reading(surrounded, start, start + len(wire))
        assert found == wanted, f"between {poison[:8].hex()}"


def is_part(part: ClientHello, whole: ClientHello) -> bool:
    """Tell whether a cut hello says nothing that the whole one does not say."""
    same = ("hello_format", "record_version", "legacy_version")
    lists = ("suites", "extensions", "supported_versions", "server_name", "alpn")
    more = ("groups", "point_formats", "signature_algorithms")
    return (
        all(getattr(part, name) == getattr(whole, name) for name in same)
        and all(getattr(part, n) in (None, getattr(whole, n)) for n in (*lists, *more))
        and whole.random.startswith(part.random)
        and part.session_id in (b"", whole.session_id)
        and part.repeated_extension <= whole.repeated_extension
        # Who offers versions by extension must write 0x0303; who does not, is taken at his word.
        and (
            part.max_offered in (None, whole.max_offered)
            or (whole.supported_versions is not None and whole.legacy_version < TLS_1_2)
        )
        and (not part.complete or part == whole)
    )


def poisons(wire: bytes) -> list[bytes]:
    """Return octets to put around ``wire``: extremes, and what looks like more of the same."""
    return [b"\0" * 64, b"\xff" * 64, wire or b"\x16", (wire or b"\x16")[::-1]]


def _growing(reading: Reading, row: Row) -> None:
    wire = row.octets
    last = len(wire) if row.whole_at is None else row.whole_at
    ruled_out = False
    for size in range(len(wire) + 1):
        cut, _ = alone = reading(memoryview(wire[:size]), 0, size)
        # The octets behind the end are there in one buffer and not in the other.
        assert reading(memoryview(wire), 0, size) == alone, f"{size} octets, more behind them"
        if row.answer == NO_MATCH:
            assert cut in (NEED_MORE, NO_MATCH), f"{size} octets"
            assert cut == NO_MATCH or not ruled_out, f"{size} octets: ruled out before"
            ruled_out = cut == NO_MATCH
        else:
            assert cut == (row.answer if size >= last else NEED_MORE), f"{size} octets"
