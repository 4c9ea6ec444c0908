"""One client's retries: whether it offered more to the same place a moment before.

A client that is refused often tries again with less: 1.2, then 1.1, then 1.0. The lower
offers are then no sign of an old device. The memory is bounded, and has no clock: times are
those of the hellos, in nanoseconds.
"""

from collections import OrderedDict

WINDOW_NS = 30_000_000_000
"""How long before a hello a higher offer still makes it a retry (the contract's 30 s)."""

MOST_LADDERS = 16_384
"""Client and destination pairs remembered at once, about 0.4 kB each."""


class Ladders:
    """The offers of every client to every address and port, of the last 30 seconds."""

    def __init__(self, window_ns: int = WINDOW_NS, most: int = MOST_LADDERS) -> None:
        """Remember ``most`` pairs of client and destination, each for ``window_ns``."""
        self._window_ns = window_ns
        self._most = most
        # Per pair the newest time of each version: six entries at most. The pair whose last
        # offer is the oldest stands first. Keys are octets, whose hash is keyed.
        self._offers: OrderedDict[bytes, dict[int, int]] = OrderedDict()
        self.evicted = 0
        """Pairs let go for want of room, before their 30 seconds were over."""

    def __len__(self) -> int:
        """Tell how many pairs are remembered."""
        return len(self._offers)

    def offer(self, key: bytes, version: int, now_ns: int) -> bool:
        """Note an offer; tell whether a higher one came within the window before it.

        ``key`` holds the client's address, the destination's address and its port. Offers
        that bear a later time than this one are no reason, even if they were noted first.
        """
        self._let_go(now_ns)
        offers = self._offers.get(key)
        if offers is None:
            if len(self._offers) >= self._most:
                self._offers.popitem(last=False)
                self.evicted += 1
            self._offers[key] = {version: now_ns}
            return False

        self._offers.move_to_end(key)
        more = any(
            other > version and 0 <= now_ns - time_ns <= self._window_ns
            for other, time_ns in offers.items()
        )
        offers[version] = max(now_ns, offers.get(version, now_ns))
        return more

    def _let_go(self, now_ns: int) -> None:
        """Drop the pairs at the front whose time is over, also where time went backwards."""
        while self._offers:
            key = next(iter(self._offers))
            if any(abs(now_ns - t) <= self._window_ns for t in self._offers[key].values()):
                return
            del self._offers[key]


def ladder_key(client: bytes, destination: bytes, destination_port: int) -> bytes:
    """Return the key of a client's offers to one address and port.

    The client's length stands in front, so that no other split of the octets is the same.
    """
    return b"%c%b%b%b" % (len(client), client, destination, destination_port.to_bytes(2, "big"))
