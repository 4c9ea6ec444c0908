"""The captures in ``pcaps/`` and what a reader of each must report."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from program import ROOT, hellowatch

Event = dict[str, Any]

PCAPS = ROOT / "pcaps"
EXPECTED = sorted(PCAPS.glob("*.expected.ndjson"))
"""One file beside each capture; tools/expect_with_tshark.py makes them."""


def name_of(expected: Path) -> str:
    """Return the capture's name without its ending."""
    return expected.name.removesuffix(".expected.ndjson")


def capture_of(expected: Path) -> Path:
    """Return the capture a file of expected events belongs to."""
    (capture,) = PCAPS.glob(f"{name_of(expected)}.pcap*")
    return capture


def read_events(lines: str | bytes) -> list[Event]:
    """Read events, one a line. In expected ones null stands for a key that must not be there."""
    return [json.loads(line) for line in lines.splitlines()]


def analyzed(captures: Sequence[str | Path], cwd: Path, stdin: bytes | None = None) -> list[Event]:
    """Return the events of ``hellowatch analyze``, which must be content."""
    ran = hellowatch("analyze", "--format", "ndjson", *captures, cwd=cwd, stdin=stdin)
    assert ran.returncode == 0, ran.stderr.decode()
    return read_events(ran.stdout)


def differences(expected: Sequence[Event], found: Sequence[Event]) -> list[str]:
    """Tell every expected key that is missing, another, or there against expectation."""
    wanted, frames = (
        [one["hellowatch"]["frame"] for one in events] for events in (expected, found)
    )
    if wanted != frames:
        return [f"expected frames {wanted}, found {frames}"]
    return [
        line
        for frame, one, other in zip(wanted, expected, found, strict=True)
        for line in _differences(one, other, f"frame {frame}")
    ]


def _differences(expected: Any, found: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict) and (found is None or isinstance(found, dict)):
        for key, value in expected.items():
            yield from _differences(value, (found or {}).get(key), f"{where} {key}")
    elif expected != found:
        yield f"{where}: expected {expected}, found {found}"
