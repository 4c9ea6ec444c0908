"""What became of a device, told from what was seen of it hour by hour.

A story follows from frame times alone: in whatever order captures were read, and however
often somebody looked, the same hours tell the same story. Within an hour only the first and
the newest hello of each kind are known, and no turn is claimed between them.
"""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from msgspec import Struct

from sniffer.config import InventorySettings
from sniffer.event import Outcome, Status, Verdict
from sniffer.inventory.device import (
    EXPOSED,
    OUTCOME_INDEX,
    RED,
    SERVICE_BIT,
    VERDICT_RANK,
    Calendar,
    Device,
    Shape,
    Stack,
    Trail,
    Troubles,
    status,
    turning_points,
)


class Pulse(Struct, frozen=True, kw_only=True):
    """Hellos of one kind that a device sent within some time."""

    shape: Shape | None
    """None: one of those without room."""
    service: str
    destination: str
    verdict: Verdict
    outcome: Outcome
    refused_by: str | None
    hellos: int
    first_ns: int
    prior_ns: int | None
    """The newest but one; None: there was one only."""
    last_ns: int


class Turn(NamedTuple):
    """Since when a device is what its status says."""

    since_ns: int
    status: Status
    refused_by: str | None
    """Who refuses it, where it is refused."""


class Trouble(NamedTuple):
    """A time in which something was wrong with a relay itself."""

    relay: str
    """Its destination word."""
    since_ns: int
    until_ns: int | None
    """None: it still is."""
    status: Status


def troubles_at(troubles: Iterable[Trouble], time_ns: int) -> dict[str, Status]:
    """Return what was wrong with relays at a time."""
    return {
        trouble.relay: trouble.status
        for trouble in troubles
        if trouble.since_ns <= time_ns and (trouble.until_ns is None or time_ns < trouble.until_ns)
    }


def troubles_of(relay: str, turns: Sequence[Turn]) -> list[Trouble]:
    """Return when something was wrong with a relay, from its own turns."""
    ends = [turn.since_ns for turn in turns[1:]]
    return [
        Trouble(relay, turn.since_ns, end_ns, turn.status)
        for turn, end_ns in zip_longest(turns, ends)
        if turn.status in RED
    ]


def story(
    pulses: Iterable[Pulse],
    now_ns: int,
    calendar: Calendar,
    troubles: Sequence[Trouble] = (),
) -> list[Turn]:
    """Return the turns of a device up to a time, the first one when it was first seen.

    ``troubles``: of the relays it is sent through.

    It takes two refusals after a good handshake to call a device refused; it is so since the
    first of them.
    """
    device: Device | None = None
    refused_since_ns: int | None = None
    turns: list[Turn] = []
    moments = _moments(pulses, now_ns)
    for at, (time_ns, part) in enumerate(moments, 1):
        is_newest = at == len(moments)
        until_ns = now_ns if is_newest else moments[at][0]
        if device is None:
            device = part
        else:
            device.merge(part, *_BOUNDS)
        if part.established_ns is not None:
            refused_since_ns = None
        elif part.refused_ns is not None and refused_since_ns is None:
            refused_since_ns = time_ns
        if until_ns == time_ns and not is_newest:
            continue  # more of the same moment
        found = troubles_at(troubles, time_ns)
        _turn(turns, device, time_ns, calendar, found, refused_since_ns)
        points = {*turning_points(device, until_ns, calendar)}
        points |= {at_ns for t in troubles for at_ns in (t.since_ns, t.until_ns) if at_ns}
        for point_ns in sorted(points):
            # At the next hello's own moment it is that hello which decides.
            if time_ns < point_ns < until_ns or (is_newest and time_ns < point_ns == until_ns):
                _turn(turns, device, point_ns, calendar, troubles_at(troubles, point_ns))
    return turns


def device_of(pulses: Iterable[Pulse], until_ns: int) -> Device | None:
    """Return the device as it was at a time; None: it had not been seen."""
    device: Device | None = None
    for _, part in _moments(pulses, until_ns):
        if device is None:
            device = part
        else:
            device.merge(part, *_BOUNDS)
    return device


def came_back(turns: Sequence[Turn]) -> bool:
    """Tell whether a device is up to its old ways, after it was fixed or silent."""
    rest = [turn.status for turn in turns]
    return (
        len(rest) > 1
        and rest[-1] in (Status.LEGACY, Status.REFUSED, Status.INCOMPATIBLE)
        and any(before in (Status.FIXED, Status.SILENT) for before in rest[:-1])
    )


_SETTINGS = InventorySettings()
_BOUNDS = (_SETTINGS.stacks, _SETTINGS.names, _SETTINGS.destinations)


def _turn(
    turns: list[Turn],
    device: Device,
    time_ns: int,
    calendar: Calendar,
    troubles: Troubles,
    refused_since_ns: int | None = None,
) -> None:
    is_now = status(device, time_ns, calendar, troubles)
    refused_by = device.refused_by if is_now is Status.REFUSED else None
    if not turns or (turns[-1].status, turns[-1].refused_by) != (is_now, refused_by):
        if is_now is Status.REFUSED and refused_since_ns is not None:
            time_ns = max(refused_since_ns, turns[-1].since_ns if turns else refused_since_ns)
        turns.append(Turn(time_ns, is_now, refused_by))


def _moments(pulses: Iterable[Pulse], until_ns: int) -> list[tuple[int, Device]]:
    """Return what was seen at the first and at the newest moment of each pulse, in order."""
    moments = []
    for pulse in pulses:
        if pulse.first_ns > until_ns:
            continue
        moments.append((pulse.first_ns, _part(pulse, 1, pulse.first_ns, None)))
        if pulse.hellos > 1 and pulse.last_ns <= until_ns:
            moments.append(
                (pulse.last_ns, _part(pulse, pulse.hellos - 1, pulse.last_ns, pulse.prior_ns))
            )
    return sorted(moments, key=lambda moment: moment[0])


def _part(pulse: Pulse, hellos: int, time_ns: int, prior_ns: int | None) -> Device:
    device = Device(time_ns)
    _fill(device, pulse, hellos, time_ns, prior_ns)
    if pulse.verdict in EXPOSED:
        version = None if pulse.shape is None else pulse.shape.max_offered
        exposure = device.expose(time_ns, pulse.verdict, pulse.service, pulse.destination, version)
        _fill(exposure, pulse, hellos, time_ns, prior_ns)
    if pulse.outcome is Outcome.ESTABLISHED and pulse.verdict is Verdict.OK:
        device.last_ok_ns = time_ns
    stack = Stack(pulse.shape, (time_ns, "", 0))
    stack.hellos = hellos
    stack.rank = VERDICT_RANK[pulse.verdict]
    stack.services = SERVICE_BIT[pulse.service]
    stack.outcomes[OUTCOME_INDEX[pulse.outcome]] = hellos
    use = stack.use(time_ns, pulse.service, pulse.destination)
    _fill(use, pulse, hellos, time_ns, prior_ns)
    use.rank = stack.rank
    if pulse.outcome is Outcome.ESTABLISHED:
        use.established, use.first_established_ns = hellos, time_ns
    elif pulse.refused_by is not None:
        use.refused = hellos
        use.alert_ns = time_ns if pulse.outcome is Outcome.ALERT else None
    if pulse.shape is None:
        device.rest = stack
    else:
        device.stacks = [stack]
    return device


def _fill(trail: Trail, pulse: Pulse, hellos: int, time_ns: int, prior_ns: int | None) -> None:
    trail.hellos = hellos
    if pulse.outcome is Outcome.ESTABLISHED:
        trail.established_ns = time_ns
    elif pulse.refused_by is not None:
        trail.first_refused_ns = trail.refused_ns = time_ns
        trail.refused_by = pulse.refused_by
        if hellos > 1 and prior_ns is not None:
            trail.refused_before_ns = prior_ns
