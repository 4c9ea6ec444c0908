"""Whether a provider has begun to refuse old TLS here: several devices turn, and only they.

A device turned at a destination if it was taken in there, and all since was refused by the
server. Two or more that turn within a day are told; an outage, in which those fail that offer
nothing old, is not, nor a firewall on the way, which is not the server.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sniffer.event import Outcome, Side
from sniffer.inventory.device import DAY_NS, EXPOSED, OTHER, Use, is_relay
from sniffer.inventory.passage import Passage, Passages, passage_key
from sniffer.inventory.story import Pulse

if TYPE_CHECKING:
    from sniffer.inventory.aggregate import UseSnapshot

WITHIN_NS = DAY_NS
AT_LEAST = 2
"""Devices that turn within so long."""


class Turned(NamedTuple):
    """One device that was taken in at a destination and is not any more."""

    address: bytes
    service: str
    destination: str
    time_ns: int
    """The first refusal after the last handshake that was established."""
    newest_ns: int
    by_alert: bool
    """The server said so, in the newest refusal at least."""


class Enforcement(NamedTuple):
    """Devices that turned at one destination within a day."""

    service: str
    destination: str
    first_ns: int
    last_ns: int
    """When the first and the last of them turned."""
    addresses: tuple[bytes, ...]


def turned(
    address: bytes, uses: Iterable["Use | UseSnapshot"], pulses: Sequence[Pulse] | None = None
) -> Iterator[Turned]:
    """Yield where a device turned.

    Without ``pulses`` nothing is claimed of one that was refused before it was last taken in:
    which refusal was the first afterwards is not known then.
    """
    for use in uses:
        taken_ns, refused_ns = use.established_ns, use.refused_ns
        if (
            use.verdict not in EXPOSED
            or use.destination == OTHER
            or is_relay(use.destination)
            or not use.is_failing
            or use.refused_by != Side.SERVER
            or taken_ns is None
            or refused_ns is None
        ):
            continue
        time_ns = use.first_refused_ns
        if time_ns is None or time_ns <= taken_ns:
            time_ns = None if pulses is None else _first_refusal(pulses, use, taken_ns)
        if time_ns is not None:
            by_alert = use.alert_ns == refused_ns
            yield Turned(address, use.service, use.destination, time_ns, refused_ns, by_alert)


def enforcements(turns: Iterable[Turned], passages: Passages) -> list[Enforcement]:
    """Return what tells of enforcement, by service, destination and time."""
    by_place: dict[tuple[str, str], dict[bytes, Turned]] = defaultdict(dict)
    for turn in turns:
        devices = by_place[turn.service, turn.destination]
        known = devices.get(turn.address)
        if known is None or turn.time_ns < known.time_ns:
            devices[turn.address] = turn
    found = []
    for (service, destination), devices in sorted(by_place.items()):
        passage = passages.get(passage_key(service, destination), Passage())
        for group in _groups(sorted(devices.values(), key=_time)):
            if _only_they(group, passage):
                addresses = tuple(sorted(turn.address for turn in group))
                first, last = group[0].time_ns, group[-1].time_ns
                found.append(Enforcement(service, destination, first, last, addresses))
    return found


def _time(turn: Turned) -> int:
    return turn.time_ns


def _groups(turns: Sequence[Turned]) -> Iterator[Sequence[Turned]]:
    """Yield those that turned within a day of the first of them, if there are enough."""
    at = 0
    while at < len(turns):
        end = bisect_right(turns, turns[at].time_ns + WITHIN_NS, at, key=_time)
        if end - at >= AT_LEAST:
            yield turns[at:end]
            at = end
        else:
            at += 1


def _only_they(group: Sequence[Turned], passage: Passage) -> bool:
    """Tell whether those fared better that offered nothing old.

    Where none of them was seen since, only a server that says why can tell.
    """
    first_ns = group[0].time_ns
    taken_ns, refused_ns = passage.modern_established_ns, passage.modern_refused_ns
    was_taken = taken_ns is not None and taken_ns > first_ns
    if refused_ns is not None and refused_ns >= first_ns:
        return was_taken and max(turn.newest_ns for turn in group) > refused_ns
    return was_taken or all(turn.by_alert for turn in group)


def _first_refusal(pulses: Iterable[Pulse], use: "Use | UseSnapshot", taken_ns: int) -> int | None:
    return min(
        (
            moment
            for pulse in pulses
            if (pulse.service, pulse.destination) == (use.service, use.destination)
            and pulse.verdict in EXPOSED
            and pulse.outcome is not Outcome.ESTABLISHED
            and pulse.refused_by == Side.SERVER
            for moment in (pulse.first_ns, pulse.prior_ns, pulse.last_ns)
            if moment is not None and moment > taken_ns
        ),
        default=None,
    )
