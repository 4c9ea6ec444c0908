"""What HelloWatch itself reads in a capture, in the form the other dissectors tell theirs."""

import ipaddress
import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from msgspec import Struct

from parsers.answer import FOUND
from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame
from parsers.tls.facts import ClientHello
from sniffer.capture.files import CaptureFile
from sniffer.config import Ports, TrackSettings
from sniffer.crosscheck.hello import Hello, without_grease
from sniffer.errors import InputError
from sniffer.event import Handshake
from sniffer.track.tracker import Tracker

SHOWN_OCTETS = 64
SYN = 2
MOST_STREAMS = 1 << 20
PLAIN = (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1")
PLAIN_BLOCKS = b"\x0a\x0d\x0d\x0a"
"""How files begin that every dissector can open by itself."""


class Own(Struct):
    """What HelloWatch says of one capture."""

    handshakes: list[Handshake]
    conflicts: int
    """Octets that came twice, and differently."""
    problem: InputError | None
    """Damage; all before it was read."""


class Evidence(Struct):
    """The octets of one frame: its headers, and the begin of what looks like a handshake."""

    octets: bytes
    payload_at: int
    """Where TCP's payload begins; -1: no TCP was found in it."""
    link: int
    begins_stream: bool
    """The payload is the first of its stream, whose SYN is in the capture."""
    continues_stream: bool
    """The SYN is in the capture, and something was sent before this payload."""
    payload_length: int


def read(path: str, ports: Ports) -> Own:
    """Read a capture. Raises InputError if it cannot be read as one."""
    source = CaptureFile(path)
    try:
        tracker = Tracker(TrackSettings(), ports, os.urandom(16), path=path)
        batch, handshakes = Batch(), []
        while source.read(batch):
            tracker.observe(batch)
            handshakes += tracker.ready()
        tracker.finish()
        handshakes += tracker.ready()
        return Own(handshakes, tracker.counters().conflicts, source.problem)
    finally:
        source.close()


def hello_of(handshake: Handshake) -> Hello:
    """Return a handshake's hello in the common form."""
    flow, said = handshake.flow, handshake.hello
    return Hello(
        frame=handshake.frame,
        client=str(ipaddress.ip_address(flow.source)),
        client_port=flow.source_port,
        server=str(ipaddress.ip_address(flow.destination)),
        server_port=flow.destination_port,
        hello_format=said.hello_format,
        record_version=said.record_version,
        legacy_version=said.legacy_version,
        supported_versions=without_grease(said.supported_versions or ()),
        suites=_suites(said),
        server_name=(said.server_name or b"").decode("ascii", "replace"),
    )


def _suites(said: ClientHello) -> tuple[int, ...] | None:
    return None if said.suites is None else without_grease(said.suites)


def evidence(path: str, numbers: Iterable[int]) -> dict[int, Evidence]:
    """Return of some frames of a capture what may be shown of them."""
    wanted = set(numbers)
    found: dict[int, Evidence] = {}
    begun: dict[tuple[bytes, int], int] = {}
    if not wanted:
        return {}
    frame = Frame()
    for number, batch, index in _frames(path):
        is_tcp = decode(batch, index, frame) == FOUND
        stream = _stream(batch.wire, frame) if is_tcp else None
        if stream is not None and frame.flags & SYN and len(begun) < MOST_STREAMS:
            begun[stream] = frame.sequence + 1 & 0xFFFFFFFF
        if number not in wanted:
            continue
        start, end = batch.starts[index], batch.ends[index]
        payload_at = frame.at - start if is_tcp else -1
        first = None if stream is None else begun.get(stream)
        found[number] = Evidence(
            octets=_shown(bytes(batch.wire[start:end]), payload_at),
            payload_at=payload_at,
            payload_length=frame.end - frame.at if is_tcp else 0,
            link=batch.links[index],
            begins_stream=first is not None and first == frame.sequence,
            continues_stream=first is not None and first != frame.sequence,
        )
    return found


def _stream(wire: memoryview, frame: Frame) -> tuple[bytes, int]:
    """Return what tells one direction of a connection from all others."""
    size = 4 if frame.ip_version == 4 else 16
    ends = [bytes(wire[at : at + size]) for at in (frame.source, frame.destination)]
    return b"".join(ends), frame.source_port << 16 | frame.destination_port


def _shown(octets: bytes, payload_at: int) -> bytes:
    """Return headers, and of the payload the begin, if it looks like a handshake.

    Other payload may hold a password, and is not shown.
    """
    if payload_at < 0:
        return octets[:SHOWN_OCTETS]
    payload = octets[payload_at:]
    is_record = payload[:2] in (b"\x14\x03", b"\x16\x03")
    is_sslv2 = len(payload) > 2 and payload[0] & 0x80 != 0 and payload[2] == 1
    return octets[: payload_at + (SHOWN_OCTETS if is_record or is_sslv2 else 0)]


def is_plain(path: str) -> bool:
    """Tell whether other dissectors can open a file as it is."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        begin = file.read(4)
    return begin in PLAIN or begin == PLAIN_BLOCKS


def unpack(path: str, out: BinaryIO) -> InputError | None:
    """Write a capture that is packed, or comes from a pipe, as a plain pcapng file.

    Returns what was wrong with it; all before it was written. Raises InputError if it cannot
    be read as a capture.
    """
    out.write(struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28))
    interfaces: dict[int, int] = {}
    source, batch = CaptureFile(path), Batch()
    try:
        while source.read(batch):
            for index in range(batch.count):
                _write_frame(out, interfaces, batch, index)
    finally:
        source.close()
    return source.problem


def _write_frame(out: BinaryIO, interfaces: dict[int, int], batch: Batch, index: int) -> None:
    """Write an enhanced packet block, and before it its interface if it is the first of it."""
    link = batch.links[index]
    if link not in interfaces:
        interfaces[link] = len(interfaces)
        # Its one option says that times count in nanoseconds.
        body = struct.pack("<HHIHHB3xHH", link, 0, 0, 9, 1, 9, 0, 0)
        _write_block(out, 1, body)
    octets = bytes(batch.wire[batch.starts[index] : batch.ends[index]])
    time_ns = batch.times_ns[index]
    body = struct.pack(
        "<IIIII",
        interfaces[link],
        time_ns >> 32 & 0xFFFFFFFF,
        time_ns & 0xFFFFFFFF,
        len(octets),
        batch.wire_lengths[index],
    )
    _write_block(out, 6, body + octets + bytes(-len(octets) % 4))


def _write_block(out: BinaryIO, kind: int, body: bytes) -> None:
    size = struct.pack("<I", 12 + len(body))
    out.write(struct.pack("<I", kind) + size + body + size)


def _frames(path: str) -> Iterator[tuple[int, Batch, int]]:
    """Yield each frame's number, and where it lies."""
    source, batch, number = CaptureFile(path), Batch(), 0
    try:
        while source.read(batch):
            for index in range(batch.count):
                number += 1
                yield number, batch, index
    finally:
        source.close()
