#!/usr/bin/env python3
"""Flip 1 to 8 bits in captures, and print what the build at hand makes of each, a line each.

    flips.py compiled|interpreted COUNT [SEED]

Row B2: nothing may crash or hang, and no client may be invented. Where only payload is
changed, every client is one of the unchanged capture; else its address stands in the frame
that is said to hold its hello. The same count and seed change the same bits in any build.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "fuzz")]

from builds import check_build  # noqa: E402 - lies in tests/

MOST_BITS = 8
HEADER_LENGTH = 24
"""Of a pcap file."""


def main() -> None:
    """Print a line for each changed capture."""
    check_build(sys.argv[1])
    seed = sys.argv[3] if len(sys.argv) > 3 else "B2"
    for line in changed(int(sys.argv[2]), seed):
        print(line)


def changed(count: int, seed: str) -> Iterator[str]:
    """Yield what became of ``count`` changed captures."""
    from captures import tracked
    from kinds import kinds
    from mutation import flipped
    from tracking import SMALL

    chance = random.Random(seed)
    names = sorted(kinds())
    for number in range(count):
        name = chance.choice(names)
        link, frames, payloads, clients = prepared(name)
        at = chance.randrange(len(frames))
        bits = chance.randrange(1, MOST_BITS + 1)
        in_payload = chance.random() < 0.5 and payloads[at] < len(frames[at][1])
        octets = flipped(frames[at][1], chance, bits, payloads[at] if in_payload else 0)
        bent = [*frames[:at], (frames[at][0], octets), *frames[at + 1 :]]
        found, counters = tracked(bent, links=[link] * len(bent), settings=SMALL)
        where = f"{number} {name} frame {at + 1}"
        if counters.internal_errors:
            raise AssertionError(f"{where}: {counters.internal_errors}")
        for one in found:
            known = one.flow.source in bent[one.frame - 1][1]
            if not known or (in_payload and one.flow.source not in clients):
                raise AssertionError(f"{where}: a client was invented: {one}")
        digest = hashlib.sha256(f"{found} {counters}".encode()).hexdigest()[:16]
        yield f"{where}: {len(found)} hellos {digest}"


@cache
def prepared(name: str) -> tuple[int, list[tuple[int, bytes]], list[int], set[bytes]]:
    """Return a kind's link type, frames, where each one's payload begins, and its clients."""
    from captures import told, tracked
    from kinds import kinds
    from tracking import SMALL

    from parsers.answer import FOUND
    from parsers.batch import Batch
    from parsers.decode import decode
    from parsers.frame import Frame
    from parsers.pcap import Pcap

    wire = kinds()[name]
    batch = Batch(256)
    batch.wire = memoryview(wire)
    walker = Pcap()
    walker.open(batch.wire, 0, len(wire))
    walker.walk(batch.wire, HEADER_LENGTH, len(wire), batch)
    frames = [(time_ns, octets) for octets, _, time_ns, _ in told(batch)]
    link, payloads, frame = batch.links[0], [], Frame()
    for index, (_, octets) in enumerate(frames):
        found = decode(batch, index, frame) == FOUND
        payloads.append(frame.at - batch.starts[index] if found else len(octets))
    handshakes, _ = tracked(frames, links=[link] * len(frames), settings=SMALL)
    return link, frames, payloads, {one.flow.source for one in handshakes}


if __name__ == "__main__":
    main()
