"""Words among octets: found wherever they stand, whatever the case, and nowhere else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.discovery.hints import Hints

LABEL = 63
"""Octets of the longest label (RFC 1035 section 2.3.4); more of a word is not looked for."""
WORDS = st.lists(st.binary(min_size=2, max_size=4), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("words", "octets", "expected"),
    [
        ((b"office365", b"gmail"), b"\7outlook\x09OFFICE365\3com\0", True),
        ((b"office365", b"gmail"), b"\4imap\5gmail\3com\0", True),
        ((b"office365", b"gmail"), b"\3www\7example\3org\0", False),
        ((b"gmail",), b"gmai", False),
        ((b"aab",), b"aaab", True),
        ((b"ab", b"abc"), b"xab", True),
        ((b"x" * 99,), b"x" * LABEL, True),
        ((), b"", True),
        ((b"a", b"gmail"), b"", True),
        ((b"\0\1",), b"\1", False),
    ],
)
def test_words_are_found(words, octets, expected) -> None:
    for poison in (b"", b"office365 gmail aab"):
        start = len(poison)
        wire = memoryview(poison + octets + poison)
        assert Hints(words).found(wire, start, start + len(octets)) == expected


@given(WORDS, st.binary(max_size=40))
def test_what_is_found_is_what_an_expression_finds(words, octets) -> None:
    pattern = re.compile(b"|".join(map(re.escape, words)), re.IGNORECASE)
    assert Hints(words).found(memoryview(octets), 0, len(octets)) == bool(pattern.search(octets))


def test_other_words_take_the_place_of_those_before() -> None:
    hints = Hints((b"gmail",))
    hints.use((b"office365",))
    assert not hints.found(memoryview(b"gmail"), 0, 5)
    assert hints.found(memoryview(b"office365"), 0, 9)
