"""Which declared relay a destination is.

A relay takes old TLS from devices that cannot do better, and speaks for them to the provider.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from sniffer.config import Relay

MOST_ANSWERS = 4096
"""Destinations whose answer is remembered; beyond it all are forgotten and found anew."""


class Relays:
    """The relays of the configuration; of several that fit the first one counts."""

    def __init__(self, relays: Iterable[Relay]) -> None:
        """Take them over as they were checked."""
        self._relays = [
            (relay.name, [ip_network(text) for text in relay.addresses], frozenset(relay.ports))
            for relay in relays
        ]
        # The key is wire text, so it is octets, whose hash is keyed, and the size is bound.
        self._answers: dict[bytes, str | None] = {}

    def find(self, address: bytes, port: int) -> str | None:
        """Return the name of the relay at a destination; None: there is none."""
        if not self._relays:
            return None
        key = b"%c%c%b" % (port >> 8, port & 0xFF, address)
        if key not in self._answers:
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            self._answers[key] = self._find(address, port)
        return self._answers[key]

    def _find(self, address: bytes, port: int) -> str | None:
        there = ip_address(address)
        for name, networks, ports in self._relays:
            if (not ports or port in ports) and any(there in network for network in networks):
                return name
        return None
