"""Writes numbered deltas until it is killed; says each one's number when it is on the disk."""

import sys

from handshakes import PRINTER, SECOND_NS, START_NS, handshake, judgement

from sniffer.config import DEFAULT_PORTS
from sniffer.export.ecs import encode
from sniffer.inventory.delta import Delta
from sniffer.inventory.store.database import Database
from sniffer.inventory.store.writer import Writer
from sniffer.judge.profile import load_profiles

HELLOS = 5
"""In one delta."""


def delta(number: int) -> Delta:
    first = HELLOS * number
    judged = tuple(
        (handshake(START_NS + n * SECOND_NS, source=PRINTER[:3] + bytes([n % 7])), judgement())
        for n in range(first, first + HELLOS)
    )
    return Delta(number=number, now_ns=judged[-1][0].time_ns, judged=judged)


def main(url: str, first: int) -> None:
    database = Database(url)
    database.open(check=True)
    writer = Writer(database, "one", DEFAULT_PORTS, load_profiles(), encode)
    number = first
    print("ready", flush=True)
    while True:
        writer.apply(delta(number))
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
