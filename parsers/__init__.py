"""Octets in, facts out: no input or output, no clock, no logging, no global state."""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def compiled() -> bool:
    """Whether every module that has a C header (``.pxd``) runs compiled.

    Looks at the installed files only and imports none of them: the interpreter takes an
    extension before a ``.py`` of the same name. ``sniffer`` lies beside this package.
    """
    here = Path(__file__).parent
    headers = [*here.rglob("*.pxd"), *(here.parent / "sniffer").rglob("*.pxd")]
    return bool(headers) and all(
        any(header.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES)
        for header in headers
        if header.stem != "__init__"
    )
