"""Whole IP datagrams out of frames that hold a fragment each."""

from parsers import decode
from parsers.answer import FOUND
from parsers.batch import Batch
from parsers.frame import Frame
from parsers.layers import MOST_TUNNELS, NOTHING, TUNNEL_FIELDS
from sniffer.track.ends import tunnels_of
from sniffer.track.fragments import Fragments

LINK_ETHERNET = 1
LINK_RAW = 101


class Datagrams:
    """Fragments waiting for each other; ``whole`` is the batch of the datagram made last."""

    def __init__(self) -> None:
        """Begin with none."""
        self.fragments = Fragments()
        self.whole = Batch(1)

    def lost(self) -> int:
        """Return how many frames held a fragment of a datagram that was given up."""
        return sum(self.fragments.lost.values())

    def finish(self) -> None:
        """Give up what is still waiting."""
        self.fragments.finish()

    def add(self, batch: Batch, index: int, frame: Frame, now_ns: int) -> int | None:
        """Keep the fragment decoded in ``frame``.

        Once its datagram is whole, decode that in ``frame``, as the frame that completed it,
        and return the answer; None: others are missing.
        """
        wire = batch.wire
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
        data = self.fragments.add(
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
        whole = self.whole
        whole.clear()
        whole.first_frame = batch.first_frame + index
        whole.wire = memoryview(packet + b"".join(ip for _, _, ip in tunnels))
        whole.add(0, len(packet), len(packet), batch.times_ns[index], frame.vlan, link)
        answer = decode.decode(whole, 0, frame)
        if answer == FOUND:
            _came_through(frame, tunnels, len(packet))
        return answer


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
