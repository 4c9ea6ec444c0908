"""What looks like a capture and is not read: what it is, and the command that helps."""

import shlex
from collections.abc import Callable
from typing import NamedTuple


class Foreign(NamedTuple):
    """A format of others, and what makes a capture of it; FILE stands for the file."""

    what: str
    cure: str
    is_one: Callable[[bytes], bool]


def refusal(octets: bytes, name: str | None) -> str | None:
    """Return what a file is that begins with these octets, and what to do; None: not known.

    ``name`` is what a command calls it by; None: it is not to be had by a name.
    """
    for foreign in FOREIGN:
        if foreign.is_one(octets):
            break
    else:
        if name is None or not name.lower().endswith(".etl"):
            return None
        foreign = TRACE
    file = "FILE" if name is None else shlex.quote(name)
    return f"{foreign.what}; {foreign.cure.replace('FILE', file)}"


def _begins(magic: bytes) -> Callable[[bytes], bool]:
    return lambda octets: octets.startswith(magic)


def _is_trace(octets: bytes) -> bool:
    """Tell an event trace: a buffer's header of 72 octets, then a system event of version 2.

    Source: WMI_BUFFER_HEADER and SYSTEM_TRACE_HEADER of the Windows headers; no magic number.
    """
    size = int.from_bytes(octets[:4], "little")
    if len(octets) < 76 or size % 1024 or not 1024 <= size <= 1 << 24:
        return False
    return octets[72:74] == b"\x02\x00" and octets[74] in (1, 2) and octets[75] == 0xC0


_CONVERT = "convert it first: editcap -F pcap FILE - | hellowatch analyze -"
_PKTMON = "convert it first, on Windows: pktmon etl2pcap FILE --out FILE.pcapng"
_ARCHIVE = "unpack it first:"

TRACE = Foreign(
    "is a Windows event trace (.etl)",
    f"{_PKTMON} (of pktmon), or etl2pcapng FILE FILE.pcapng (of netsh trace)",
    _is_trace,
)
FOREIGN = (
    Foreign(
        "is packed with lz4",
        "unpack it first: lz4 -dc FILE | hellowatch analyze -",
        _begins(b"\x04\x22\x4d\x18"),
    ),
    Foreign("is a 7z archive", f"{_ARCHIVE} 7z x FILE", _begins(b"7z\xbc\xaf\x27\x1c")),
    Foreign("is a RAR archive", f"{_ARCHIVE} unrar x FILE", _begins(b"Rar!\x1a\x07")),
    Foreign("is a tar archive", f"{_ARCHIVE} tar -xf FILE", lambda o: o[257:262] == b"ustar"),
    Foreign("is a Network Monitor 1 capture", _CONVERT, _begins(b"RTSS")),
    Foreign("is a Network Monitor 2 capture", _CONVERT, _begins(b"GMBU")),
    Foreign("is a Sniffer capture", _CONVERT, _begins(b"TRSNIFF data")),
    Foreign("is a NetXray capture", _CONVERT, _begins(b"XCP\x00")),
    Foreign("is an AIX iptrace capture", _CONVERT, _begins(b"iptrace ")),
    Foreign("is a snoop capture, not of version 2", _CONVERT, _begins(b"snoop\x00\x00\x00")),
    TRACE,
)
