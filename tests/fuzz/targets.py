"""What fuzzing feeds, and what must hold whatever the octets are.

Each target takes octets and raises if something is wrong; an AssertionError is as good as
any other exception. No target may depend on time, chance or an earlier call.
"""

import os
import struct
from collections.abc import Callable
from contextlib import closing
from functools import cache, partial

import craft
import discovering
from captures import told
from craft import FIN, RST, SYN, Frame
from tracking import listened, track

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.decode import decode
from parsers.discovery import dhcp, dhcpv6, dns, lldp, mdns, netbios
from parsers.frame import Frame as Decoded
from sniffer.capture.files import CaptureFile, captures
from sniffer.event import Handshake

LONGEST = 4096
"""Octets that a target is given at most."""

LONGEST_FRAME = 262_144 + 65_536

CLIENT, SERVER = "10.0.0.50", "52.96.0.10"
ENDS = {craft.address(CLIENT), craft.address(SERVER)}
LINKS = (1, 0, 9, 12, 51, 101, 104, 108, 113, 204, 219, 228, 229, 239, 276, 147)
PORTS = (993, 143, 110, 25, 587)
POISON = b"\xee" * 16


def frame(data: bytes) -> None:
    """Decode one frame; the first octet chooses the link type.

    What stands before and behind it must not matter, and all that is told lies inside.
    """
    link, octets = LINKS[data[0] % len(LINKS)] if data else 1, data[1:]
    alone = _decoded(octets, 0, len(octets), link)
    inside = _decoded(POISON + octets + POISON, len(POISON), len(POISON) + len(octets), link)
    assert alone == inside, (alone, inside)


def hello(data: bytes) -> None:
    """Let a client begin with these octets: however they are cut, the hello is the same."""
    whole = _begun(data, ())
    cut = data[0] % 64 + 1 if data else 1
    assert _begun(data, (cut,)) == whole
    assert _begun(data, (cut, cut)) == whole


def segments(data: bytes) -> None:
    """Let both ends of a connection send what a small script says, in any order.

    An octet chooses the port; then come steps: an octet of flags, one that moves the
    sequence number, one with the length of the payload that follows.
    """
    frames = _script(data)
    if frames:
        _sound(track(frames).handshakes)
        _sound(track(frames, ordered=False, snaplen=96).handshakes)


LISTENERS: list[tuple[Callable[[memoryview, int, int], tuple[int, object]], int, int]] = [
    (partial(dns.read, kinds=frozenset((1, 5, 16, 28, 33))), 53, 50_053),
    (mdns.read, 5353, 5353),
    (netbios.read, 137, 137),
    (dhcp.read, 68, 67),
    (dhcpv6.read, 546, 547),
    (lldp.read, 0, 0),
]
MOST_SIGHTINGS = 256


def discovery(data: bytes) -> None:
    """Let a device say something; the first octet chooses the protocol.

    What stands around the message must not matter, and what is told of it is bounded.
    """
    read, *ports = LISTENERS[data[0] % len(LISTENERS)] if data else LISTENERS[0]
    message = data[1:]
    alone = read(memoryview(message), 0, len(message))
    start = len(POISON)
    inside = read(memoryview(POISON + message + POISON), start, start + len(message))
    assert alone == inside, (alone, inside)
    assert alone[0] in (FOUND, NEED_MORE, NO_MATCH)
    assert alone[0] != NO_MATCH or alone[1] is None
    told = listened(_heard(message, *ports))
    assert len(told) <= MOST_SIGHTINGS
    for sighting in told:
        texts = [sighting.name or b"", *(text for _, text in sighting.facts)]
        assert max(map(len, texts)) <= 255
        assert len(sighting.facts) <= 32


def _heard(message: bytes, source: int, destination: int) -> bytes:
    if not source:
        return discovering.lldp_frame(message)
    return discovering.datagram("10.0.0.50", "224.0.0.251", (source, destination), message)


def file(data: bytes) -> None:
    """Read an input: frames that lie inside it, then the end of each capture or what is wrong."""
    descriptor = os.memfd_create("capture")
    try:
        os.write(descriptor, data)
        with closing(captures(f"/proc/self/fd/{descriptor}")) as sources:
            for source in sources:
                if isinstance(source, CaptureFile):
                    _read(source)
    finally:
        os.close(descriptor)


def _read(source: CaptureFile) -> None:
    batch = Batch()
    while source.read(batch):
        for octets, length, _, _ in told(batch):
            assert length >= 0
            assert len(octets) <= LONGEST_FRAME
    assert source.frames_dropped >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frame": frame,
    "hello": hello,
    "segments": segments,
    "starttls": segments,
    "discovery": discovery,
    "file": file,
}
"""``starttls`` are scripts too, but begin from other seeds."""


def _decoded(octets: bytes, start: int, end: int, link: int) -> dict[str, object]:
    batch = Batch(1)
    batch.wire = memoryview(octets)
    batch.add(start, end, end - start, 0, -1, link)
    one = Decoded()
    answer = decode(batch, 0, one)
    assert answer in (FOUND, NEED_MORE, NO_MATCH)
    found: dict[str, object] = {"answer": answer, "undecoded": one.undecoded, "vlan": one.vlan}
    places = {"mac": 6}
    if answer == FOUND:
        size = 4 if one.ip_version == 4 else 16
        places |= {"source": size, "destination": size}
        assert start <= one.at <= one.end <= end
        found["payload"] = octets[one.at : one.end]
        found["ports"] = (one.source_port, one.destination_port, one.sequence, one.flags)
    for name, size in places.items():
        at = getattr(one, name)
        if at >= 0:
            assert start <= at <= end - size
            found[name] = octets[at : at + size]
    return found


def _begun(data: bytes, sizes: tuple[int, ...]) -> list[object]:
    at, frames = 0, _opening(PORTS[0])
    for size in (*sizes, len(data)):
        part = data[at : at + size]
        frames.append(_segment(len(frames), True, craft.PSH | craft.ACK, 1 + at, 1, part))
        at += len(part)
    handshakes = track(frames).handshakes
    _sound(handshakes)
    return [one.hello for one in handshakes]


def _script(data: bytes) -> list[Frame]:
    if not data:
        return []
    port, at = PORTS[data[0] % len(PORTS)], 1
    frames = [] if data[0] & 0x80 else _opening(port)
    due = {True: 1, False: 1}
    while at + 3 <= len(data) and len(frames) < 64:
        flags, moved, length = data[at : at + 3]
        payload = data[at + 3 : at + 3 + length]
        at += 3 + length
        is_client = not flags & 0x80
        sequence = due[is_client] + struct.unpack("b", bytes((moved,)))[0]
        shown = craft.ACK | flags & (FIN | SYN | RST)
        number = len(frames)
        frames.append(
            _segment(number, is_client, shown, sequence, due[not is_client], payload, port)
        )
        due[is_client] = max(due[is_client], sequence + len(payload))
    return frames


def _sound(handshakes: list[Handshake]) -> None:
    """Check that nobody was made up."""
    for one in handshakes:
        assert one.flow.source in ENDS
        assert one.flow.destination in ENDS


@cache
def _header(is_client: bool) -> bytes:
    """Return Ethernet and IPv4 headers without the length."""
    ends = (CLIENT, SERVER) if is_client else (SERVER, CLIENT)
    return craft.ethernet(craft.ipv4(*ends, b""))[:34]


def _segment(
    number: int,
    is_client: bool,
    flags: int,
    sequence: int,
    acknowledged: int,
    payload: bytes,
    port: int = PORTS[0],
) -> Frame:
    """Make a frame; checksums are left out, because nobody reads them."""
    ports = (50123, port) if is_client else (port, 50123)
    tcp = struct.pack(
        "!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, acknowledged, 0x50, flags, 64240, 0, 0
    )
    octets = bytearray(_header(is_client) + tcp + payload)
    octets[16:18] = struct.pack("!H", len(octets) - 14)
    return craft.START_NS + number * craft.MILLISECOND_NS, bytes(octets)


def _opening(port: int) -> list[Frame]:
    return [
        _segment(0, True, SYN, 0, 0, b"", port),
        _segment(1, False, SYN | craft.ACK, 0, 1, b"", port),
    ]
