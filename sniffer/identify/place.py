"""Where a device is: the smallest of the configured networks that its address lies in."""

from collections.abc import Iterable
from ipaddress import ip_network

from sniffer.config import Place


class Places:
    """Places by network, looked up by the longest prefix first."""

    def __init__(self, places: Iterable[Place]) -> None:
        """Take networks that are well formed; of equal ones the first counts."""
        self._by_length: dict[tuple[int, int], dict[int, Place]] = {}
        for place in places:
            for text in place.net:
                net = ip_network(text)
                spare = net.max_prefixlen - net.prefixlen
                key = (net.max_prefixlen >> 3, spare)
                first = int(net.network_address) >> spare
                self._by_length.setdefault(key, {}).setdefault(first, place)
        self._order = sorted(self._by_length, key=lambda key: key[1])

    def of(self, address: bytes) -> Place | None:
        """Return the place of an address of 4 or 16 octets, if it lies in one."""
        number = int.from_bytes(address, "big")
        for octets, spare in self._order:
            if octets == len(address):
                place = self._by_length[octets, spare].get(number >> spare)
                if place is not None:
                    return place
        return None
