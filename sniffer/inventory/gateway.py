"""Which MACs are those of routers, whatever was seen: they say nothing of the device behind."""

VIRTUAL_ROUTERS = (
    bytes.fromhex("00005e0001"),  # VRRP for IPv4, RFC 9568 section 7.3
    bytes.fromhex("00005e0002"),  # VRRP for IPv6
    bytes.fromhex("00000c07ac"),  # HSRP, RFC 2281 section 5.1
    *(bytes.fromhex(f"00000c9ff{group:x}") for group in range(16)),  # HSRP version 2
    *(bytes.fromhex(f"000573a00{group:x}") for group in range(16)),  # HSRP for IPv6
    *(bytes.fromhex(f"0007b4{group:02x}") for group in range(4)),  # GLBP
)
"""How the MACs begin that routers share, so that one of them can stand in for another."""


def is_virtual_router(mac: bytes) -> bool:
    """Whether a MAC is one that routers share."""
    return mac.startswith(VIRTUAL_ROUTERS)
