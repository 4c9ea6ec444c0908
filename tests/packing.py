"""Packs octets as programs do that HelloWatch knows nothing of: libraries, and zip by hand."""

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import zstandard


def gz(octets: bytes) -> bytes:
    """Pack as one gzip member."""
    return gzip.compress(octets, mtime=0)


def zst(octets: bytes) -> bytes:
    """Pack as one zstd frame with a checksum."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(octets)


@dataclass(frozen=True)
class File:
    """A file of a zip archive, and how it is to be written."""

    name: str
    octets: bytes
    method: int = 8
    follows: str = ""
    """Lengths behind the data, in a descriptor: "short", "long", "bare" (no signature)."""
    flags: int = 0
    long: bool = False
    """Lengths in the extra field."""
    checksum: int | None = None


def deflate(octets: bytes) -> bytes:
    """Pack without any wrapper."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(octets) + packer.flush()


METHODS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    8: deflate,
    12: bz2.compress,
    93: zst,
    95: lzma.compress,
}


def archive(*files: File, comment: bytes = b"") -> bytes:
    """Write a zip archive (PKWARE's APPNOTE.TXT, section 4.3)."""
    wire, directory = b"", b""
    for file in files:
        packed = METHODS.get(file.method, bytes)(file.octets)
        checksum = zlib.crc32(file.octets) if file.checksum is None else file.checksum
        flags = file.flags | (8 if file.follows else 0)
        lengths = (len(packed), len(file.octets))
        told = (0, 0, 0) if file.follows else (checksum, *lengths)
        extra = b""
        if file.long and not file.follows:
            told = (checksum, 0xFFFFFFFF, 0xFFFFFFFF)
            extra = struct.pack("<HH4xHHQQ", 0x7875, 4, 1, 16, lengths[1], lengths[0])
        name = file.name.encode()
        fields = (20, flags, file.method, 0, 0x5AB7, *told, len(name), len(extra))
        place = len(wire)
        wire += struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + name + extra + packed
        if file.follows:
            form = "<IQQ" if file.follows == "long" else "<III"
            signature = b"" if file.follows == "bare" else b"PK\7\x08"
            wire += signature + struct.pack(form, checksum, *lengths)
        known = (20, 20, flags, file.method, 0, 0x5AB7, checksum, *lengths, len(name))
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *known, 0, 0, 0, 0, 0, place) + name
    count = min(len(files), 0xFFFF)
    end = (0, 0, count, count, len(directory), len(wire), len(comment))
    return wire + directory + struct.pack("<4s4H2IH", b"PK\5\6", *end) + comment


def zipped(octets: bytes) -> bytes:
    """Pack as a zip archive with one file."""
    return archive(File("capture.pcap", octets))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gz,
    "zst": zst,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zip": zipped,
}
"""Every packing by the word that the summary has for it."""
STREAMS = {word: pack for word, pack in PACKED.items() if word != "zip"}
