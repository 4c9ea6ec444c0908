"""Octets changed at random, the same way for the same seed.

For Pythons without a coverage-guided fuzzer, and to compare two builds on equal inputs.
"""

import random
from collections.abc import Iterator, Sequence

INTERESTING = (0, 1, 2, 3, 0x16, 0x7F, 0x80, 0xFF)


def flipped(octets: bytes, chance: random.Random, bits: int, start: int = 0) -> bytes:
    """Return ``octets`` with so many bits flipped, from ``start`` on."""
    wire = bytearray(octets)
    for _ in range(bits if start < len(wire) else 0):
        at = chance.randrange(start * 8, len(wire) * 8)
        wire[at // 8] ^= 1 << at % 8
    return bytes(wire)


def mutations(seeds: Sequence[bytes], seed: str, longest: int) -> Iterator[bytes]:
    """Yield variants of the seeds for ever: bits, octets and lengths changed, parts moved."""
    chance = random.Random(seed)
    while True:
        wire = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            _change(wire, chance, seeds)
        yield bytes(wire[:longest])


def _change(wire: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(wire) + 1)
    match chance.randrange(7):
        case 0:
            wire[:] = flipped(bytes(wire), chance, chance.randrange(1, 9))
        case 1:
            wire[at : at + 1] = bytes((chance.choice(INTERESTING),))
        case 2:
            wire[at : at + 2] = chance.randrange(1 << 16).to_bytes(2, "big")
        case 3:
            del wire[at:]
        case 4:
            del wire[at : at + chance.randrange(1, 9)]
        case 5:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            wire[at:at] = other[start : start + chance.randrange(1, 65)]
        case 6:
            wire[at:at] = wire[at : at + chance.randrange(1, 65)] * chance.randrange(1, 4)
