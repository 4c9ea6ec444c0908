"""What somebody claims to have done about a device, and whether what is seen bears it out.

A claim starts a clock; only what is seen after it counts. Nothing is verified by one good hello:
what verifies is what makes a device fixed, or silent where it was to go away.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from sniffer.event import Status
from sniffer.inventory.device import EXPOSED, is_relay
from sniffer.inventory.story import Pulse, Turn


class Did(StrEnum):
    """What was done."""

    FIRMWARE = "firmware"
    SETTING = "setting"
    RELAY = "relay"
    REPLACED = "replaced"
    RETIRED = "retired"


class State(StrEnum):
    """What became of a claim."""

    VERIFIED = "verified"
    PENDING = "pending"
    """Seen since, nothing old, and not yet often or long enough."""
    NOT_SEEN = "not-seen-since"
    STILL_OLD = "still-old"
    CAME_BACK = "came-back"


class Claim(NamedTuple):
    """What somebody says was done, and when."""

    did: Did
    at_ns: int


class Check(NamedTuple):
    """What became of a claim, and since when it is so."""

    state: State
    since_ns: int


PROOFS = {Did.RELAY: {Status.RELAYED}, Did.RETIRED: {Status.SILENT}}
MENDED = {Status.FIXED, Status.OK}
"""The statuses that bear a claim out."""


def check(claim: Claim, pulses: Sequence[Pulse], turns: Sequence[Turn], last_ns: int) -> Check:
    """Return what became of a claim about a device with these pulses and turns.

    ``last_ns``: when it was last seen, for a device of which no hours are kept.
    """
    seen_ns = _first(pulses, claim.at_ns) if pulses else max(last_ns, claim.at_ns)
    is_seen = seen_ns is not None and last_ns > claim.at_ns
    proven = _proven(claim, turns)
    if claim.did is Did.RETIRED:
        if is_seen and seen_ns is not None:
            return Check(State.CAME_BACK, seen_ns)
        return Check(State.NOT_SEEN, claim.at_ns) if proven is None else proven
    if not is_seen or seen_ns is None:
        return Check(State.NOT_SEEN, claim.at_ns)
    old = [p for p in pulses if p.verdict in EXPOSED and not _is_meant(claim, p)]
    if proven is not None:
        back_ns = _first(old, proven.since_ns + 1)
        return proven if back_ns is None else Check(State.CAME_BACK, back_ns)
    old_ns = _first(old, claim.at_ns)
    if old_ns is None:
        return Check(State.PENDING, seen_ns)
    if turns and turns[-1].status is Status.IMPROVING:
        return Check(State.PENDING, turns[-1].since_ns)
    return Check(State.STILL_OLD, old_ns)


def _is_meant(claim: Claim, pulse: Pulse) -> bool:
    """Tell whether old hellos are as they should be: a relay takes them."""
    return claim.did is Did.RELAY and is_relay(pulse.destination)


def _proven(claim: Claim, turns: Sequence[Turn]) -> Check | None:
    """Return since when a claim was last borne out, whatever was seen afterwards."""
    wanted = PROOFS.get(claim.did, MENDED)
    until_ns: int | None = None
    for turn in reversed(turns):
        if until_ns is not None and until_ns <= claim.at_ns:
            break
        if turn.status in wanted:
            return Check(State.VERIFIED, max(turn.since_ns, claim.at_ns))
        until_ns = turn.since_ns
    return None


def _first(pulses: Iterable[Pulse], since_ns: int) -> int | None:
    """Return the first moment known of hellos from a time on."""
    moments = (
        moment
        for pulse in pulses
        for moment in (pulse.first_ns, pulse.prior_ns, pulse.last_ns)
        if moment is not None and moment >= since_ns
    )
    return min(moments, default=None)
