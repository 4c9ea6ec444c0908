"""A process that reads a ring as nobody, and says in JSON lines what it saw.

Arguments: the descriptor of a packet socket and the interface's name.
"""

import json
import os
import sys

from namespaces import NOBODY, number_in

from parsers.batch import Batch
from sniffer.capture.filter import build
from sniffer.capture.ring import Ring
from sniffer.config import DEFAULT_PORTS, CaptureSettings

SMALL = CaptureSettings(ring_bytes=1 << 20, block_bytes=1 << 16, block_milliseconds=10)


def main() -> None:
    descriptor, interface = int(sys.argv[1]), sys.argv[2]
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    ring = Ring(descriptor, interface, SMALL, build(DEFAULT_PORTS).program)
    batch = Batch()
    while True:
        counters = ring.counters()
        seen = [
            number_in(bytes(batch.wire[batch.starts[i] : batch.ends[i]]))
            for i in range(batch.count)
        ]
        said = {"is_up": counters.is_up, "rebinds": counters.rebinds, "seen": seen}
        print(json.dumps(said), flush=True)
        ring.read(batch)


main()
