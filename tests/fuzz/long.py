#!/usr/bin/env python3
"""Fuzz for long: long.py SECONDS. The octets found stay in build/fuzz; then the exit code is 1.

Half the time goes to coverage-guided fuzzing, a target after the other; the rest to flipped
bits, the same ones through the compiled, the interpreted and a build under AddressSanitizer,
whose lines must be equal, and to changed seeds under AddressSanitizer.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FOUND = ROOT / "build" / "fuzz"
SANITIZED = ROOT / "build" / "sanitized"
FLIPS_A_SECOND = 50
"""Of the slowest of the three builds, on a slow machine."""
TARGETS = sorted(path.name for path in (FOLDER / "seeds").iterdir())


def ran(*command: str, interpreted: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a script of this folder with one of the builds."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if interpreted:
        env["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, *command], env=env, stdout=subprocess.PIPE, text=True, check=False
    )


def main() -> int:
    """Fuzz, and say what was found."""
    seconds = float(sys.argv[1])
    share = str(seconds / 2 / len(TARGETS))
    failed = []
    for name in TARGETS:
        run = ran(
            f"{FOLDER}/run.py", name, "--seconds", share, "--found", str(FOUND), interpreted=True
        )
        print(run.stdout, end="", flush=True)
        failed += [name] if run.returncode else []

    flips = f"{FOLDER}/flips.py"
    count = str(max(1000, int(seconds / 4 * FLIPS_A_SECOND)))
    builds = {
        "compiled": ran(flips, "compiled", count),
        "interpreted": ran(flips, "interpreted", count, interpreted=True),
        "sanitized": ran(f"{FOLDER}/sanitized.py", str(SANITIZED), flips, "compiled", count),
    }
    for name, run in builds.items():
        same = run.returncode == 0 and run.stdout == builds["interpreted"].stdout
        print(f"{count} captures with flipped bits, {name}: {'the same' if same else 'OTHERWISE'}")
        failed += [] if same else [name]

    share = str(seconds / 4 / len(TARGETS))
    for name in TARGETS:
        mutate = (f"{FOLDER}/run.py", name, "--engine", "mutation", "--seconds", share)
        run = ran(f"{FOLDER}/sanitized.py", str(SANITIZED), *mutate, "--found", str(FOUND))
        print(f"AddressSanitizer, {run.stdout.strip() or 'ended: ' + name}", flush=True)
        failed += [f"sanitized {name}"] if run.returncode else []
    print(f"found: {', '.join(failed)}; see {FOUND}" if failed else "nothing found")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
