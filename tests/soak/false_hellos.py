#!/usr/bin/env python3
"""Row B10: send random octets as mail clients' segments, and count the hellos found in them.

    false_hellos.py OCTETS [SEED]

Every flow is joined in the middle, where a hello is looked for, too; servers answer with
random octets. The last line tells octets, segments and hellos; the exit code is 1 if there
is a hello.
"""

import random
import struct
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from craft import START_NS, Frame, ethernet, ipv4  # noqa: E402 - lies in tests/
from tracking import batch_of, tracker  # noqa: E402 - lies in tests/

LONGEST_SEGMENT = 1460
SEGMENTS_OF_A_FLOW = 4
AT_ONCE = 512
NOT_ETHERNET = 14


def frames(chance: random.Random, first: int) -> list[Frame]:
    """Return frames of flows nobody saw begin; every fourth segment is the server's."""
    made = []
    for number in range(first, first + AT_ONCE):
        flow = number // SEGMENTS_OF_A_FLOW
        port = 1024 + flow % 60_000
        is_server = number % SEGMENTS_OF_A_FLOW == 2
        # Short ones are frequent: a hello in SSL 2.0's format has some fifty octets.
        size = chance.randrange(1, LONGEST_SEGMENT if chance.random() < 0.7 else 80)
        ends = ("52.96.0.10", "10.0.0.50") if is_server else ("10.0.0.50", "52.96.0.10")
        ports = (993, port) if is_server else (port, 993)
        head = struct.pack("!HHIIBBHHH", *ports, flow * 7, 1, 0x50, 0x18, 64240, 0, 0)
        packet = ipv4(*ends, head + chance.randbytes(size))
        made.append((START_NS + number * 20_000_000, ethernet(packet)))
    return made


def hellos_in(octets: int, seed: str) -> tuple[int, int, int]:
    """Return octets and segments that were sent, and hellos that were found."""
    chance, one = random.Random(seed), tracker()
    sent = segments = 0
    while sent < octets:
        some = frames(chance, segments)
        one.observe(batch_of(some))
        one.ready()
        segments += len(some)
        sent += sum(len(wire) for _, wire in some) - len(some) * (NOT_ETHERNET + 40)
    one.finish()
    one.ready()
    counters = one.counters()
    if counters.internal_errors:
        raise AssertionError(counters.internal_errors)
    return sent, segments, counters.hellos


def main() -> int:
    """Send, and tell."""
    sent, segments, hellos = hellos_in(int(sys.argv[1]), *(sys.argv[2:3] or ["B10"]))
    print(f"{sent} random octets in {segments} segments: {hellos} hellos")
    return int(hellos > 0)


if __name__ == "__main__":
    sys.exit(main())
