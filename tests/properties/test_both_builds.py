"""Compiled and interpreted give the same: every table of the parsers, and all of ``pcaps/``.

Each build runs in a process of its own, which prints what it found, a line an item.
"""

from functools import cache
from pathlib import Path

import pytest
from builds import differences, printed

DUMP = Path(__file__).parents[1] / "dump.py"


@cache
def dumped(interpreted: bool) -> str:
    """Return what one of the two builds finds; an empty string: it is not there."""
    return printed(DUMP, interpreted)


def test_compiled_and_interpreted_find_the_same() -> None:
    compiled, interpreted = dumped(False), dumped(True)
    if not compiled:
        pytest.skip("no compiled build is installed")
    assert len(interpreted.splitlines()) > 500
    sources = [dump.partition("\n")[0] for dump in (compiled, interpreted)]
    assert sources[0] == sources[1], "what is installed was built from other sources: make build"
    assert interpreted.count("internal_errors=[]") == interpreted.count("internal_errors=")
    wrong = list(differences(compiled, interpreted))
    assert not wrong, "\n".join(wrong[:5])


def test_a_build_says_the_same_twice() -> None:
    once = dumped(True)
    dumped.cache_clear()
    assert dumped(True) == once
