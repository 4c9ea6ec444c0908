"""Landlock's structure, by the ABI that the kernel knows (linux/landlock.h)."""

import struct

import pytest

from sniffer.cage.landlock import rules

EXECUTE, TRUNCATE, IOCTL = 1 << 0, 1 << 14, 1 << 15


@pytest.mark.parametrize(
    ("version", "length", "knows", "knows_not"),
    [
        (1, 8, EXECUTE | 1 << 12, 1 << 13),
        (2, 8, 1 << 13, TRUNCATE),
        (3, 8, TRUNCATE, IOCTL),
        (4, 16, TRUNCATE, IOCTL),
        (5, 16, IOCTL, 1 << 16),
        (6, 24, IOCTL, 1 << 16),
        (99, 24, IOCTL, 1 << 16),
    ],
)
def test_all_that_an_abi_knows_is_refused_and_nothing_else(version, length, knows, knows_not):
    made = rules(version)
    assert len(made) == length
    files, *rest = struct.unpack(f"={length // 8}Q", made)
    assert files & knows == knows
    assert not files & knows_not
    assert all(one == 0b11 for one in rest)
