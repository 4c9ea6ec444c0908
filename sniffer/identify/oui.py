"""Who a MAC was made by, from tables on this machine: nobody is asked.

The table that comes with ``aiooui`` knows blocks of 24 bits. The IEEE gives smaller ones, of
28 and 36 bits, to whoever makes few; those stand in a file as Wireshark's ``manuf`` has it,
if one is named:

    00:00:0C        Cisco           Cisco Systems, Inc.
    00:1B:C5:00/36  Converging...   Converging Systems Inc.

A MAC whose second bit is set was made up by its owner (IEEE 802-2014 section 8.4), so it tells
of no maker.
"""

import asyncio
import re

import aiooui

from sniffer.config_file import read_text
from sniffer.errors import ConfigError

MADE_UP = 0x02
GROUP = 0x01
REGISTRY = "IEEE Registration Authority"
"""Whom a block belongs to that was cut into smaller ones."""
LENGTHS = (36, 28, 24)
"""Bits of a block, the longest first."""
LARGEST_FILE = 16 << 20
LINE = re.compile(r"([0-9A-Fa-f:.-]+)(?:/(\d\d))?\t+([^\t]+)(?:\t+(.+))?")


class Vendors:
    """Makers by the first bits of a MAC."""

    def __init__(self, path: str = "") -> None:
        """Load the tables; ``path`` names a ``manuf`` file. Raises ConfigError."""
        if not aiooui.is_loaded():
            asyncio.run(aiooui.async_load())
        self._blocks = _read(path) if path else {}

    def of(self, mac: bytes) -> str | None:
        """Return the maker of a MAC of six octets, if one is known."""
        if mac[0] & (MADE_UP | GROUP):
            return None
        number = int.from_bytes(mac, "big")
        for length in LENGTHS:
            vendor = self._blocks.get((length, number >> (48 - length)))
            if vendor is not None:
                return None if vendor == REGISTRY else vendor
        vendor = aiooui.get_vendor(mac[:3].hex())
        return None if vendor == REGISTRY else vendor


def _read(path: str) -> dict[tuple[int, int], str]:
    """Return the makers of a file, by length and first bits. Raises ConfigError."""
    blocks: dict[tuple[int, int], str] = {}
    text = read_text(path, LARGEST_FILE)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.rstrip())
        digits = re.sub("[:.-]", "", found[1]) if found else ""
        length = int(found[2]) if found and found[2] else 4 * len(digits)
        if found is None or length not in LENGTHS or not 24 <= 4 * len(digits) <= 48:
            raise ConfigError(f"{path}:{number}", "", "is no line of a manuf file: PREFIX, names")
        first = int(digits.ljust(12, "0"), 16) >> (48 - length)
        blocks[length, first] = (found[4] or found[3]).strip()
    return blocks
