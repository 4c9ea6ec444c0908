"""What users are told on stderr: wire text made harmless, two line formats, a rate limit.

Messages are constant sentences; what varies goes into fields, handed over as one mapping::

    logger.warning("The capture is damaged", {"path": path, "offset": 4096})

Every line is one line whatever the fields hold, and no traceback is ever written: an
exception becomes its class, its words and the place it came from.
"""

import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

import msgspec

LONGEST = 255
"""Characters kept of one text from the wire."""

_HARMLESS = re.compile(rb"[ -\[\]-~]{0,%d}" % LONGEST)
_ESCAPED = [chr(o) if 0x20 <= o < 0x7F and o != 0x5C else f"\\x{o:02x}" for o in range(256)]


def printable(octets: bytes) -> str:
    r"""Return octets from the wire as harmless text of at most 255 characters.

    Printable ASCII stays; every other octet, and the backslash itself, becomes ``\xNN``, so
    two texts differ where their octets do. Longer ones are cut, never inside an escape.
    """
    if _HARMLESS.fullmatch(octets):
        return octets.decode("ascii")
    text = "".join([_ESCAPED[octet] for octet in octets[:LONGEST]])
    if len(text) <= LONGEST:
        return text
    end = LONGEST
    while text.rfind("\\", end - 3, end) >= 0:
        end = text.rfind("\\", end - 3, end)
    return text[:end]


def one_line(text: str) -> str:
    r"""Return text of ours or of the user's (a path, a name) fit for one line of a terminal.

    Letters of any script stay. Control and formatting characters, right-to-left marks and
    octets that were no UTF-8 become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _escape(c) for c in text])


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # how the system hands over an octet that is no UTF-8
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
