"""Who talks to whom: the flow and the tunnels of a frame, as an event tells them."""

from parsers.frame import Frame
from parsers.layers import TUNNEL_FIELDS, TUNNEL_WORDS
from sniffer.event import Flow, Tunnel


def flow_of(wire: memoryview, frame: Frame) -> Flow:
    """Return the conversation of a segment that its client sent."""
    size = 4 if frame.ip_version == 4 else 16
    mac = bytes(wire[frame.mac : frame.mac + 6]) if frame.mac >= 0 else None
    return Flow(
        source=bytes(wire[frame.source : frame.source + size]),
        source_port=frame.source_port,
        destination=bytes(wire[frame.destination : frame.destination + size]),
        destination_port=frame.destination_port,
        mac=mac,
        vlan=frame.vlan if frame.vlan >= 0 else None,
        tunnels=tuple(
            [
                Tunnel(type=TUNNEL_WORDS[kind], id=None if number < 0 else number, outer_source=ip)
                for kind, number, ip in tunnels_of(wire, frame)
            ]
        ),
    )


def tunnels_of(wire: memoryview, frame: Frame) -> list[tuple[int, int, bytes]]:
    """Return number, id and outer source of the tunnels a frame came through."""
    rows = frame.tunnels
    found = []
    for row in range(0, frame.tunnel_count * TUNNEL_FIELDS, TUNNEL_FIELDS):
        source = rows[row + 2]
        outer = bytes(wire[source : source + rows[row + 3]])
        found.append((rows[row], rows[row + 1], outer))
    return found
