#!/usr/bin/env python3
"""Write tests/golden/kinds.tshark.ndjson: what tshark reads in each kind of case.

    expect_kinds.py [--check]

One line a hello: the kind's name and the part of its event that the hello's own frame tells,
by the reader of expect_with_tshark.py; null stands for a key that must not be there. What
the conversation amounts to is no matter for tshark: that part is written by hand, in
kinds.toml, which also names the kinds that tshark cannot read, and why. --check writes
nothing and exits 1 if the committed file says otherwise.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

import expect_with_tshark as reader  # noqa: E402 - lies beside this file
import kinds  # noqa: E402 - lies in tests/

EXPECTED = ROOT / "tests" / "golden" / "kinds.tshark.ndjson"
HELLOS = "tls.handshake.type == 1"
FROM_OTHER_FRAMES = ("tunnel", "starttls")
"""Keys of an event that the reader takes from elsewhere; by hand here."""


def lines() -> list[str]:
    """Return a line for each hello that tshark finds."""
    suite_names = reader.names("tls.handshake.ciphersuite")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kind.pcap"
        for name, octets in kinds.kinds().items():
            path.write_bytes(octets)
            for row in reader.rows(path, HELLOS):
                event = reader.offered(row, suite_names)
                for key in FROM_OTHER_FRAMES:
                    del event["hellowatch"][key]
                if event["source"]["mac"] is None:
                    del event["source"]["mac"]  # where there is no Ethernet it stands elsewhere
                found.append(json.dumps({"kind": name, **event}) + "\n")
    return found


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description="Write tests/golden/kinds.tshark.ndjson")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if they differ")
    asked = parser.parse_args()
    found = lines()
    if not asked.check:
        EXPECTED.write_text("".join(found))
        print(f"{EXPECTED.name}: {len(found)} hellos", file=sys.stderr)
        return 0
    committed = EXPECTED.read_text().splitlines(keepends=True)
    for line in sorted(set(found) ^ set(committed)):
        print(("now:       " if line in found else "committed: ") + line, end="")
    return int(committed != found)


if __name__ == "__main__":
    sys.exit(main())
