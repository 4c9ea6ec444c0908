"""The compiled and the interpreted build side by side, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
NOT_THERE = 77
"""A script's exit code where the other of the two builds is what Python finds."""


def check_build(wanted: str) -> None:
    """End a script unless ``wanted`` (compiled or interpreted) is what Python finds."""
    try:
        import parsers
    except ImportError:
        sys.exit(NOT_THERE)
    if parsers.compiled() != (wanted == "compiled"):
        sys.exit(NOT_THERE)


def printed(script: Path, interpreted: bool, *arguments: str) -> str:
    """Return what a script prints with one of the two builds; empty: it is not there."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    if interpreted:
        env["PYTHONPATH"] = str(CHECKOUT)
    build = "interpreted" if interpreted else "compiled"
    run = subprocess.run(
        [sys.executable, str(script), build, *arguments],
        cwd=script.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == NOT_THERE:
        return ""
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr
    return run.stdout


def differences(compiled: str, interpreted: str) -> Iterator[str]:
    """Yield the lines in which two builds differ."""
    for left, right in zip(compiled.splitlines(), interpreted.splitlines(), strict=True):
        if left != right:
            yield f"compiled:    {left}\ninterpreted: {right}"
