"""LLDP (IEEE 802.1AB-2016 clause 8): a device introduces itself to the port it is plugged in.

type 7 bits, length 9 bits; value               of each TLV
1  chassis id        subtype 1, id              4: a MAC; 5: family 1, a network address
2  port id
3  time to live      seconds 2
5  system name
6  system description
7  capabilities      what it can be 2, what it is 2
8  management        length 1, of: family 1 (1 IPv4, 2 IPv6), address; then the interface
0  end
"""

from dataclasses import dataclass

from parsers.answer import FOUND, NEED_MORE, NO_MATCH

ETHERTYPE = 0x88CC
MOST_TLVS = 64
MOST_ADDRESSES = 8

END, CHASSIS, NAME, DESCRIPTION, CAPABILITIES, MANAGEMENT = 0, 1, 5, 6, 7, 8
OF_MAC, OF_NETWORK = 4, 5
FAMILIES = {1: 4, 2: 16}
"""Octets of an address by IANA's address family number."""

FORWARDS = 0x0004 | 0x0008 | 0x0010
"""Bridge, access point, router: behind its MAC are others."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What one frame says, or as much of it as there was."""

    mac: bytes | None = None
    name: bytes | None = None
    description: bytes | None = None
    addresses: tuple[bytes, ...] = ()
    capabilities: int = 0
    """Those in use, bit by bit."""

    @property
    def forwards(self) -> bool:
        """Whether it passes on what others send."""
        return bool(self.capabilities & FORWARDS)


def read(wire: memoryview, start: int, end: int) -> tuple[int, Introduction | None]:
    """Read the TLVs from ``start`` up to the end TLV, and nothing from ``end`` on."""
    if end > start and wire[start] >> 1 != CHASSIS:
        return NO_MATCH, None
    said: dict[int, bytes] = {}
    addresses: list[bytes] = []
    answer, at = NEED_MORE, start
    for _ in range(MOST_TLVS):
        if end - at < 2:
            break
        kind = wire[at] >> 1
        after = at + 2 + ((wire[at] & 1) << 8 | wire[at + 1])
        if kind == END:
            answer = FOUND
            break
        if after > end:
            break
        value = bytes(wire[at + 2 : after])
        if kind == MANAGEMENT:
            address = _address(value[1 : 1 + value[0]] if value else b"")
            if address is not None and len(addresses) < MOST_ADDRESSES:
                addresses.append(address)
        else:
            said.setdefault(kind, value)
        at = after
    if answer == NEED_MORE and not said:
        return answer, None

    chassis, capabilities = said.get(CHASSIS, b""), said.get(CAPABILITIES, b"")
    if chassis[:1] == bytes((OF_NETWORK,)):
        address = _address(chassis[1:])
        if address is not None and address not in addresses:
            addresses.append(address)
    is_mac = len(chassis) == 7 and chassis[0] == OF_MAC
    return answer, Introduction(
        mac=chassis[1:] if is_mac else None,
        name=said.get(NAME, b"").rstrip(b"\0") or None,
        description=said.get(DESCRIPTION, b"").rstrip(b"\0") or None,
        addresses=tuple(addresses),
        capabilities=int.from_bytes(capabilities[2:4], "big") if len(capabilities) == 4 else 0,
    )


def _address(octets: bytes) -> bytes | None:
    """Return the address behind a family number; None: of another family, or none at all."""
    address = octets[1:]
    size = FAMILIES.get(octets[0]) if octets else None
    return address if len(address) == size and any(address) else None
