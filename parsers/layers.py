"""What may follow in a frame, and why a frame could not be read: small numbers.

Uncompiled, so that compiled and interpreted code import the same constants.
"""

# What follows at ``Frame.at``.
NOTHING = 0
ETHERNET = 1
ETHERTYPE = 2
"""A 16-bit type or 802.3 length, then what it says."""
LLC = 3
PPP = 4
PPPOE = 5
MPLS = 6
IP = 7
"""IPv4 or IPv6, told by the first nibble."""
IPV4 = 8
IPV6 = 9
TCP = 10
LINUX_SLL = 11
LINUX_SLL2 = 12
NULL = 13
LOOP = 14
OTHER = 15
"""Read as far as it concerns us: no TCP in it."""
FRAGMENT = 16
UDP = 17
GRE = 18
NFLOG = 19
PPP_WITH_DIRECTION = 20
CISCO_HDLC = 21
IP_IN_IP = 22
"""IPv4 or IPv6 straight inside IP."""
ETHERIP = 23
DATAGRAM = 24
"""UDP that is no tunnel's, whose header is read: no TCP in it."""

# Why a frame was not read to its end; 0: it was.
READ = 0
LINK_TYPE = 1
TRUNCATED = 2
MALFORMED = 3
DEPTH = 4
FRAGMENTED = 5
ENCRYPTED = 6
TUNNEL = 7

UNDECODED_REASONS = (
    "",
    "link_type",
    "truncated",
    "malformed",
    "depth",
    "fragment",
    "encrypted",
    "tunnel",
)
"""The metric label of each reason, by its number."""

# The UDP ports that may be a tunnel's.
PORT_VXLAN = 4789
PORT_VXLAN_LINUX = 8472
PORT_VXLAN_GPE = 4790
PORT_GENEVE = 6081
PORT_GTP_U = 2152
PORT_TZSP = 37008
TUNNEL_PORTS = (
    PORT_GTP_U,
    PORT_VXLAN,
    PORT_VXLAN_GPE,
    PORT_GENEVE,
    PORT_VXLAN_LINUX,
    PORT_TZSP,
)

# The tunnels a frame may come through.
TUNNEL_GRE = 1
TUNNEL_ERSPAN = 2
TUNNEL_VXLAN = 3
TUNNEL_GENEVE = 4
TUNNEL_GTP_U = 5
TUNNEL_IP_IN_IP = 6
TUNNEL_TZSP = 7
TUNNEL_ETHERIP = 8

TUNNEL_WORDS = (
    "",
    "gre",
    "erspan",
    "vxlan",
    "geneve",
    "gtp-u",
    "ip-in-ip",
    "tzsp",
    "etherip",
)
"""The event's word for each tunnel, by its number."""

MOST_TUNNELS = 16
"""As many as there may be layers."""

TUNNEL_FIELDS = 4
"""Numbers kept of a tunnel: its number, its id, offset and length of the outer source."""
