"""Whole IP datagrams out of frames that hold a fragment each."""

from parsers import decode
from parsers.answer import FOUND
from parsers.batch import Batch
from parsers.frame import Frame
from parsers.layers import MOST_TUNNELS, NOTHING, TUNNEL_FIELDS, TUNNEL_PORTS
from sniffer.track.ends import tunnels_of
from sniffer.track.fragments import Fragments

LINK_ETHERNET = 1
LINK_RAW = 101
UDP = 17

BUDGET_BYTES = 6 << 20
UDP_BUDGET_BYTES = 2 << 20
"""Apart, so that what is mostly of no interest cannot crowd out what is."""
MOST_PASSED_OVER = 4096
"""Datagrams of UDP remembered to be no tunnel's, while their later fragments come."""


class Datagrams:
    """Fragments waiting for each other; ``whole`` is the batch of the datagram made last.

    A fragment of UDP is a tunnel's only if the first one, which holds the port, says so.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.fragments = Fragments(BUDGET_BYTES)
        self.of_udp = Fragments(UDP_BUDGET_BYTES, headed_only=True)
        self.passed_over: dict[bytes, None] = {}
        self.cut = 0
        self.whole = Batch(1)

    def lost(self) -> int:
        """Return how many frames held a fragment that was cut, or of a datagram given up."""
        given_up = (*self.fragments.lost.values(), *self.of_udp.lost.values())
        return self.cut + sum(given_up)

    def finish(self) -> None:
        """Give up what is still waiting."""
        self.fragments.finish()
        self.of_udp.finish()

    def add(self, batch: Batch, index: int, frame: Frame, now_ns: int) -> int | None:
        """Keep the fragment decoded in ``frame``.

        Once its datagram is whole, decode that in ``frame``, as the frame that completed it,
        and return the answer; None: others are missing.
        """
        wire = batch.wire
        is_udp = frame.protocol == UDP
        if frame.missing:
            # What a cut fragment of UDP was is not known.
            self.cut += not is_udp
            return None
        size = 4 if frame.ip_version == 4 else 16
        source = bytes(wire[frame.source : frame.source + size])
        destination = bytes(wire[frame.destination : frame.destination + size])
        tunnels = tunnels_of(wire, frame)
        key = (
            source
            + destination
            + frame.identification.to_bytes(4, "big")
            + bytes((frame.protocol, frame.tunnel_type))
            + (frame.tunnel_id + 1).to_bytes(8, "big")
        )
        if is_udp and self._is_passed_over(wire, frame, key):
            return None
        data = (self.of_udp if is_udp else self.fragments).add(
            key,
            frame.fragment_offset,
            bytes(wire[frame.at : frame.end]),
            more=frame.fragment_more != 0,
            now_ns=now_ns,
        )
        if data is None:
            return None
        packet = _packet(source, destination, frame.protocol, frame.hop_limit, data)
        link = LINK_RAW
        if frame.mac >= 0:
            link = LINK_ETHERNET
            kind = b"\x08\x00" if size == 4 else b"\x86\xdd"
            packet = bytes(6) + bytes(wire[frame.mac : frame.mac + 6]) + kind + packet
        number, time_ns = batch.first_frame + index, batch.times_ns[index]
        whole = self.whole
        whole.clear()
        whole.first_frame = number
        whole.wire = memoryview(packet + b"".join(ip for _, _, ip in tunnels))
        whole.add(0, len(packet), len(packet), time_ns, frame.vlan, link)
        answer = decode.decode(whole, 0, frame)
        if answer == FOUND:
            _came_through(frame, tunnels, len(packet))
        return answer

    def _is_passed_over(self, wire: memoryview, frame: Frame, key: bytes) -> bool:
        """Tell whether a fragment of UDP is surely no tunnel's."""
        if frame.fragment_offset:
            return key in self.passed_over
        self.passed_over.pop(key, None)
        at = frame.at
        if frame.end - at >= 4 and (wire[at + 2] << 8 | wire[at + 3]) in TUNNEL_PORTS:
            return False
        if len(self.passed_over) >= MOST_PASSED_OVER:
            del self.passed_over[next(iter(self.passed_over))]
        self.passed_over[key] = None
        self.of_udp.forget(key)
        return True


def _came_through(frame: Frame, tunnels: list[tuple[int, int, bytes]], at: int) -> None:
    """Put the tunnels of the fragments before those found inside; outer sources are at ``at``."""
    rows = []
    for kind, number, ip in tunnels:
        rows.append((kind, number, at, len(ip)))
        at += len(ip)
    inner = [
        tuple(frame.tunnels[row * TUNNEL_FIELDS : (row + 1) * TUNNEL_FIELDS])
        for row in range(frame.tunnel_count)
    ]
    if tunnels and frame.tunnel_type == NOTHING:
        frame.tunnel_type, frame.tunnel_id, _ = tunnels[-1]
    frame.tunnel_count = 0
    for kind, number, place, size in (rows + inner)[:MOST_TUNNELS]:
        row = frame.tunnel_count * TUNNEL_FIELDS
        frame.tunnels[row] = kind
        frame.tunnels[row + 1] = number
        frame.tunnels[row + 2] = place
        frame.tunnels[row + 3] = size
        frame.tunnel_count += 1


def _packet(source: bytes, destination: bytes, protocol: int, hop_limit: int, data: bytes) -> bytes:
    """Return an IP packet around the data of a datagram; its checksum is nobody's business."""
    if len(source) == 4:
        # A length of 0 is left to the hardware, and means as much as is there.
        total = 20 + len(data) if len(data) <= 65515 else 0
        head = b"\x45\0" + total.to_bytes(2, "big") + b"\0\0\0\0"
        return head + bytes((hop_limit, protocol)) + b"\0\0" + source + destination + data
    head = b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes((protocol, hop_limit))
    return head + source + destination + data
