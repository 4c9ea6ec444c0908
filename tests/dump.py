"""Print what the build at hand makes of every table and capture, a line an item.

Run as a program, with ``compiled`` or ``interpreted``: it exits with 77 where the other of
the two is what Python finds.
"""

import hashlib
import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from builds import check_build

TESTS = Path(__file__).parent
CAPTURES = TESTS.parent / "pcaps"
CHANGES = 20
"""Times each row is changed at random, always the same way."""


def main() -> None:
    """Check which build this is, and print."""
    check_build(sys.argv[1])
    import parsers

    print(f"sources {digest(Path(parsers.__file__).parents[1])}")
    for line in (*tables(), *captures()):
        print(line)


def digest(packages: Path) -> str:
    """Return what tells the sources of one build from those of another."""
    both = hashlib.sha256()
    for package in ("parsers", "sniffer/track", "sniffer/capture"):
        for path in sorted((packages / package).rglob("*.py")):
            both.update(path.read_bytes())
    both.update((packages / "sniffer" / "survey.py").read_bytes())
    return both.hexdigest()


def tables() -> Iterator[str]:
    """Yield each row's result: of the row as it is, cut, and with octets changed."""
    for path in sorted((TESTS / "unit").glob("test_*.py")):
        if "\ndef reading(" not in path.read_text():
            continue
        table = loaded(path)
        for row in table.ROWS:
            reading = table.reading(row)
            name = f"{path.stem} {row.id}"
            yield f"{name}: {reading(memoryview(row.octets), 0, len(row.octets))}"
            for number, wire in enumerate(changed(row.id, row.octets)):
                try:
                    found = reading(memoryview(wire), 0, len(wire))
                except AssertionError:
                    found = "against the table's own expectations"
                yield f"{name} changed {number}: {found}"


def changed(name: str, octets: bytes) -> Iterator[bytes]:
    """Yield variants of a row, the same ones in every process."""
    chance = random.Random(name)
    for _ in range(CHANGES if octets and len(octets) < 4096 else 0):
        wire = bytearray(octets)
        for _ in range(chance.randrange(1, 4)):
            wire[chance.randrange(len(wire))] = chance.randrange(256)
        yield bytes(wire[: chance.randrange(len(wire) + 1)] if chance.random() < 0.3 else wire)


def captures() -> Iterator[str]:
    """Yield each handshake of each capture, whole and with octets changed, and the counters."""
    from captures import batches, told, tracked

    from parsers.batch import Batch
    from sniffer.capture.files import CaptureFile
    from sniffer.config import DEFAULT_PORTS
    from sniffer.survey import Survey

    for path in sorted(CAPTURES.iterdir()):
        if not path.name.endswith((".pcap", ".pcapng", ".gz")):
            continue
        source, batch, frames = CaptureFile(str(path)), Batch(), []
        while source.read(batch):
            for octets, length, time_ns, link in told(batch):
                frames.append((time_ns, octets, length, link))
        source.close()
        yield f"{path.name}: {source.format} {len(frames)} {source.problem}"
        for rate in (0, 1, 3):
            chance = random.Random(rate)
            captured = [(time_ns, bent(octets, chance, rate)) for time_ns, octets, _, _ in frames]
            lengths, links = [f[2] for f in frames], [f[3] for f in frames]
            found, counted = tracked(captured, wire_lengths=lengths, links=links)
            survey = Survey(DEFAULT_PORTS)
            for taken in batches(captured, wire_lengths=lengths, links=links):
                survey.observe(taken)
            yield f"{path.name} bent {rate}: {survey.facts()}"
            for handshake in found:
                yield f"{path.name} bent {rate}: {handshake}"
            yield f"{path.name} bent {rate}: {counted}"


def bent(octets: bytes, chance: random.Random, rate: int) -> bytes:
    """Change some octets of a frame, or cut it."""
    wire = bytearray(octets)
    for _ in range(rate):
        if chance.random() < 0.5:
            wire[chance.randrange(len(wire))] ^= 1 << chance.randrange(8)
    return bytes(wire[: chance.randrange(len(wire))] if rate and chance.random() < 0.1 else wire)


def loaded(path: Path) -> ModuleType:
    """Import a test module by its path, as pytest does."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
