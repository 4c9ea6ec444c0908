"""What real programs said to each other, out of the captures in ``pcaps/``."""

import io
from functools import cache

import dpkt  # type: ignore[import-untyped] # it has no types
from craft import Side
from goldens import PCAPS

Dialogue = tuple[tuple[Side, bytes], ...]
"""Who said which octets, in the order of the wire, repetitions left out."""


@cache
def dialogue(capture: str, client: str, nth: int = 0) -> Dialogue:
    """Return the ``nth`` conversation of a client in a capture, from its first segments."""
    said: dict[tuple[int, int], list[tuple[Side, bytes]]] = {}
    reached: dict[tuple[int, int, Side], int] = {}
    for ip in _packets(capture):
        segment = ip.data
        if not isinstance(segment, dpkt.tcp.TCP):
            continue
        ends: dict[str, tuple[Side, tuple[int, int]]] = {
            dpkt.utils.inet_to_str(ip.src): ("client", (segment.sport, segment.dport)),
            dpkt.utils.inet_to_str(ip.dst): ("server", (segment.dport, segment.sport)),
        }
        if client not in ends:
            continue
        side, ports = ends[client]
        steps = said.setdefault(ports, [])
        due = reached.setdefault((*ports, side), segment.seq)
        if segment.data and segment.seq >= due:
            steps.append((side, bytes(segment.data)))
            reached[*ports, side] = segment.seq + len(segment.data)
        elif segment.flags & dpkt.tcp.TH_SYN:
            reached[*ports, side] = segment.seq + 1
    return tuple(list(said.values())[nth])


@cache
def _packets(capture: str) -> list["dpkt.ip.IP | dpkt.ip6.IP6"]:
    (path,) = PCAPS.glob(f"{capture}.pcap*")
    octets = io.BytesIO(path.read_bytes())
    reader = dpkt.pcapng.Reader if path.suffix == ".pcapng" else dpkt.pcap.Reader
    packets = [dpkt.ethernet.Ethernet(frame).data for _, frame in reader(octets)]
    return [packet for packet in packets if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6)]
