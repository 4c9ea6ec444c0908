"""Which of the wanted names an address was given out for, to whom, and when.

A handshake is judged by what was answered before its hello, however late it is judged: so
times are kept as runs, each of answers of one name with no other between them. What a client
was told itself comes before what others were told, as a resolver between them is.
"""

from bisect import bisect_right
from collections import OrderedDict
from typing import NamedTuple

from sniffer.event import Sighting

MOST_PAIRS = 16_384
"""Pairs of client and address remembered, and addresses whoever asked."""
MOST_RUNS = 8
STALE_NS = 86_400 * 1_000_000_000
"""Programs look a name up once and keep what they got (RFC 8767 section 5 allows it to
resolvers for a day to three)."""

ANYBODY = b""


class _Run(NamedTuple):
    """Answers of one name with no other between them."""

    first_ns: int
    last_ns: int
    until_ns: int
    """How long the last of them counts."""
    name: bytes


class Resolutions:
    """Answers of DNS servers, the least recently given out first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: OrderedDict[bytes, list[_Run]] = OrderedDict()

    def note(self, answer: Sighting) -> None:
        """Take in an answer: the address of a name, and who was told."""
        address, name = answer.address, answer.name
        if address is None or name is None:
            return
        until_ns = max(answer.time_ns, answer.until_ns or 0) + STALE_NS
        for client in {answer.asked_by or ANYBODY, ANYBODY}:
            run = _Run(answer.time_ns, answer.time_ns, until_ns, name)
            self._add(_key(client, address), run)

    def name(self, client: bytes, address: bytes, time_ns: int) -> bytes | None:
        """Return the name under which a client found an address, as far as it was seen."""
        for asked_by in (client, ANYBODY):
            for run in reversed(self._runs.get(_key(asked_by, address), ())):
                if run.first_ns <= time_ns:
                    if time_ns <= run.until_ns:
                        return run.name
                    break
        return None

    def __len__(self) -> int:
        """Return how many pairs are remembered."""
        return len(self._runs)

    def _add(self, key: bytes, run: _Run) -> None:
        runs = self._runs.get(key)
        if runs is None:
            runs = self._runs[key] = []
            if len(self._runs) > MOST_PAIRS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(key)
        at = bisect_right(runs, run.first_ns, key=_first) - 1
        before = runs[at] if at >= 0 else run
        if before.name == run.name and run.first_ns <= before.until_ns:
            last_ns, until_ns = max(before.last_ns, run.last_ns), max(before.until_ns, run.until_ns)
            runs[max(at, 0) : at + 1] = [before._replace(last_ns=last_ns, until_ns=until_ns)]
        elif run.first_ns < before.last_ns:
            # Told late, it parts the answers around it; of those behind it the last is known.
            earlier = before._replace(last_ns=before.first_ns)
            runs[at : at + 1] = [earlier, run, before._replace(first_ns=before.last_ns)]
        else:
            runs.insert(at + 1, run)
        del runs[:-MOST_RUNS]


def _first(run: _Run) -> int:
    return run.first_ns


def _key(client: bytes, address: bytes) -> bytes:
    return b"%c%b%b" % (len(client), client, address)
