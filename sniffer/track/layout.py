"""Numbers that the tracker shares with its tables, and their memory.

Uncompiled, so that compiled and interpreted code import the same constants.
"""

import mmap

SLOT_WORDS = 16
"""64-bit words of state in a flow's slot; two cache lines."""

LAST_SEEN = 1
"""The word of a slot that the flow table itself uses: when it was last touched, in ns."""

LARGEST = 65536
"""Octets of one direction that can wait for what is missing before them."""


def reserve(octets: int) -> memoryview:
    """Return that much memory, all zero, of which no page is touched before it is used."""
    return memoryview(mmap.mmap(-1, octets))
