"""Who went on in clear after TLS had failed, and what else is wrong with talk in clear.

A mail client that cannot agree on TLS often tries again without. The memory is bounded and
has no clock: times are those of hellos and lines, in nanoseconds.
"""

from collections import OrderedDict

from sniffer.event import Dialogue, FindingKind, Handshake, Outcome

WINDOW_NS = 600 * 1_000_000_000
"""How long after a failed handshake talk in clear counts as its consequence."""
MOST_FAILURES = 16_384
"""Client and destination pairs remembered at once."""

FAILED = frozenset((Outcome.ALERT, Outcome.RESET, Outcome.CLOSED, Outcome.REFUSED_STARTTLS))


class Downgrades:
    """The newest failed handshake of every client with every address."""

    def __init__(self, window_ns: int = WINDOW_NS, most: int = MOST_FAILURES) -> None:
        """Remember ``most`` pairs of client and address, each for ``window_ns``."""
        self._window_ns = window_ns
        self._most = most
        self._failures: OrderedDict[bytes, int] = OrderedDict()
        self.evicted = 0
        """Pairs let go for want of room, before their time was over."""

    def note(self, handshake: Handshake) -> None:
        """Note a handshake, if it failed."""
        if handshake.outcome not in FAILED:
            return
        key = _key(handshake.flow.source, handshake.flow.destination)
        time_ns = max(handshake.time_ns, self._failures.pop(key, 0))
        while self._failures:
            oldest = next(iter(self._failures.values()))
            if len(self._failures) >= self._most:
                self.evicted += time_ns - oldest <= self._window_ns
            elif time_ns - oldest <= self._window_ns:
                break
            self._failures.popitem(last=False)
        self._failures[key] = time_ns

    def judge(self, dialogue: Dialogue) -> tuple[FindingKind, ...]:
        """Return what is wrong with a dialogue."""
        kinds = []
        if not dialogue.upgraded:
            if dialogue.refused:
                kinds.append(FindingKind.UPGRADE_REFUSED)
            if dialogue.mangled:
                kinds.append(FindingKind.CAPABILITY_STRIPPED)
            elif dialogue.offered is False:
                kinds.append(FindingKind.UPGRADE_MISSING)
        if dialogue.login is not None:
            kinds.append(FindingKind.CLEAR_LOGIN)
        went_on = dialogue.went_on or dialogue.login is not None
        if went_on and not dialogue.upgraded and (dialogue.refused or self._has_failed(dialogue)):
            kinds.append(FindingKind.CLEAR_AFTER_FAILED_TLS)
        return tuple(kinds)

    def _has_failed(self, dialogue: Dialogue) -> bool:
        key = _key(dialogue.flow.source, dialogue.flow.destination)
        time_ns = self._failures.get(key)
        return time_ns is not None and 0 <= dialogue.time_ns - time_ns <= self._window_ns


def _key(client: bytes, destination: bytes) -> bytes:
    return b"%c%b%b" % (len(client), client, destination)
