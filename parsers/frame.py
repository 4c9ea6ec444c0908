"""What is known of one frame: offsets into its octets, and numbers."""

from array import array

from parsers.layers import MOST_TUNNELS, NOTHING, READ, TUNNEL_FIELDS


class Frame:
    """One frame as far as it was decoded; every decoding overwrites it.

    Offsets count from the start of the batch's octets; -1 means absent. Of nested headers
    the innermost one is told.
    """

    __slots__ = (
        "acknowledgement",
        "at",
        "destination",
        "destination_port",
        "end",
        "ethertype",
        "flags",
        "fragment_more",
        "fragment_offset",
        "hop_limit",
        "identification",
        "ip_version",
        "mac",
        "missing",
        "next",
        "protocol",
        "sequence",
        "source",
        "source_port",
        "tunnel_count",
        "tunnel_id",
        "tunnel_type",
        "tunnels",
        "undecoded",
        "vlan",
    )
    at: int
    """Where the next header starts; in the end, the TCP payload."""
    end: int
    """Where the captured octets of the current layer end."""
    missing: int
    """Octets the innermost IP packet claims beyond the captured ones."""
    next: int
    """What follows at ``at``: a number of ``parsers.layers``."""
    undecoded: int
    """Why decoding stopped early, a number of ``parsers.layers``; READ: it did not."""
    ethertype: int
    """The EtherType at which decoding ended because it is not read; 0: it did not."""
    mac: int
    """Offset of the source address of the innermost Ethernet header."""
    vlan: int
    """The innermost VLAN id."""
    ip_version: int
    """4 or 6; 0: no IP."""
    source: int
    destination: int
    """Offsets of the addresses, 4 or 16 octets."""
    hop_limit: int
    """Hop limit or time to live."""
    protocol: int
    """What the IP packet carries, by its number."""
    fragment_offset: int
    """Of a fragment: where its octets belong in the datagram."""
    fragment_more: int
    """Of a fragment: whether others follow it."""
    identification: int
    """Of a fragment: what it has in common with the others."""
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    tunnel_type: int
    """The innermost tunnel, a number of ``parsers.layers``; NOTHING: none."""
    tunnel_id: int
    """Its VNI, key, session or TEID; -1: it has none."""
    tunnel_count: int
    tunnels: memoryview
    """TUNNEL_FIELDS numbers for each tunnel, the outermost first."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.tunnels = memoryview(array("q", bytes(8 * TUNNEL_FIELDS * MOST_TUNNELS)))
        self.reset(0, 0, NOTHING, -1)

    def reset(self, start: int, end: int, following: int, vlan: int) -> None:
        """Begin a frame that lies from ``start`` to ``end``."""
        self.at = start
        self.end = end
        self.missing = 0
        self.next = following
        self.undecoded = READ
        self.ethertype = 0
        self.mac = -1
        self.vlan = vlan
        self.ip_version = 0
        self.source = -1
        self.destination = -1
        self.hop_limit = 0
        self.protocol = -1
        self.fragment_offset = 0
        self.fragment_more = 0
        self.identification = 0
        self.source_port = 0
        self.destination_port = 0
        self.sequence = 0
        self.acknowledgement = 0
        self.flags = 0
        self.tunnel_type = NOTHING
        self.tunnel_id = -1
        self.tunnel_count = 0

    def enter_tunnel(self, kind: int, tunnel_id: int) -> int:
        """Note a tunnel carried by the IP packet at hand; what follows lies inside it."""
        row = self.tunnel_count * TUNNEL_FIELDS
        if self.tunnel_count < MOST_TUNNELS:
            self.tunnels[row] = kind
            self.tunnels[row + 1] = tunnel_id
            self.tunnels[row + 2] = self.source
            self.tunnels[row + 3] = 4 if self.ip_version == 4 else 16
            self.tunnel_count += 1
        self.tunnel_type = kind
        self.tunnel_id = tunnel_id
        return self.tunnel_count
