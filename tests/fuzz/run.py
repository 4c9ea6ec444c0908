#!/usr/bin/env python3
"""Fuzz one target: run.py TARGET [--seconds N] [--engine atheris|mutation] [--found FOLDER]

Begins from the seeds beside this file. ``atheris`` follows the coverage of the interpreted
sources (set PYTHONPATH to the checkout); ``mutation`` changes the seeds blindly, and works
with any Python and either build. The octets that a target fails on are kept in FOLDER,
named after their contents; then the exit code is 1. The last line tells executions and
findings.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
import traceback
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

LONGEST = 4096
GUIDED = "--guided"
"""Says that this process is the one atheris works in: libFuzzer ends it as it likes."""


def seeds(name: str) -> list[Path]:
    """Return the files that a target begins from."""
    return sorted((FOLDER / "seeds" / name).iterdir())


def mutate(name: str, seconds: float, found: Path) -> tuple[int, int]:
    """Run blind mutations for some time; return executions and findings."""
    from mutation import mutations
    from targets import TARGETS

    target, executions, findings = TARGETS[name], 0, 0
    until = time.monotonic() + seconds
    wires = [path.read_bytes() for path in seeds(name)]
    for wire in chain(wires, mutations(wires, name, LONGEST)):
        try:
            target(wire)
        except Exception:
            traceback.print_exc()
            keep(found, wire)
            findings += 1
        executions += 1
        if time.monotonic() > until:
            break
    return executions, findings


def keep(found: Path, wire: bytes) -> None:
    """Keep octets that a target failed on."""
    found.mkdir(parents=True, exist_ok=True)
    (found / f"crash-{hashlib.sha1(wire, usedforsecurity=False).hexdigest()}").write_bytes(wire)


def guide(name: str, seconds: float, found: Path) -> tuple[int, int]:
    """Let atheris work in a process of its own; return executions and findings."""
    found.mkdir(parents=True, exist_ok=True)
    corpus = found / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    before = set(found.glob("crash-*")) | set(found.glob("timeout-*"))
    command = [sys.executable, __file__, name, GUIDED, f"-max_total_time={seconds:.0f}"]
    command += [f"-max_len={LONGEST}", "-timeout=10", f"-artifact_prefix={found}/"]
    command += ["-print_final_stats=1", str(corpus), str(FOLDER / "seeds" / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    counted = re.search(r"number_of_executed_units: ([0-9]+)", run.stderr)
    new = (set(found.glob("crash-*")) | set(found.glob("timeout-*"))) - before
    if run.returncode != 0 or counted is None:
        print(run.stdout[-3000:], run.stderr[-3000:], file=sys.stderr)
        return int(counted[1]) if counted else 0, max(1, len(new))
    return int(counted[1]), len(new)


def fuzz_guided(name: str, arguments: list[str]) -> None:
    """Work as atheris does; does not return."""
    import atheris

    with atheris.instrument_imports(include=["parsers", "sniffer.track", "sniffer.capture"]):
        from targets import TARGETS

        import parsers
    if parsers.compiled():
        raise SystemExit("atheris follows interpreted sources: set PYTHONPATH to the checkout")
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Fuzz, and tell how much."""
    if sys.argv[2:3] == [GUIDED]:
        fuzz_guided(sys.argv[1], sys.argv[3:])
    parser = argparse.ArgumentParser(description="Fuzz one target")
    parser.add_argument("target", choices=[path.name for path in (FOLDER / "seeds").iterdir()])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--engine", choices=["atheris", "mutation"], default=None)
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    engine = asked.engine or ("atheris" if find_spec("atheris") else "mutation")
    work = guide if engine == "atheris" else mutate
    executions, findings = work(asked.target, asked.seconds, asked.found)
    print(f"{asked.target}: {executions} executions by {engine}, {findings} findings", flush=True)
    return int(findings > 0)


if __name__ == "__main__":
    os.nice(10)
    sys.exit(main())
