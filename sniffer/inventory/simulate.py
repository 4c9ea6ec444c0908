"""What will become of each stack of a device at each destination that it uses.

What a profile says comes first: taken or not, what is missing, since or until when. Beside it
stands what was seen there lately, which says more than any announcement. Where neither says
anything the answer is None, with the way to find out.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from msgspec import Struct

from parsers.tls.facts import ClientHello
from parsers.tls.names import version as version_name
from sniffer.event import Reason, Side, Verdict
from sniffer.inventory.aggregate import (
    DeviceSnapshot,
    ExposureSnapshot,
    StackSnapshot,
    UseSnapshot,
    key_exchanges,
)
from sniffer.inventory.device import DAY_NS, EXPOSED, OTHER, is_relay
from sniffer.inventory.passage import Passages, passage_key
from sniffer.judge.profile import Accepts, Profile, Window, unix_seconds
from sniffer.judge.verdict import Rules, weigh

WHEN = ("already-refused", "window-open", "dated", "not-announced", "unknown")
"""When something breaks, the most urgent first."""


LATELY_DAYS = 14
LATELY_NS = LATELY_DAYS * DAY_NS
"""How far back an observation counts as the present state of a destination."""

Counts = Mapping[tuple[str | None, str, str], int]
"""Handshakes established lately, by a stack's id, service and destination."""

FIND_OUT = (
    "No profile says what is taken there. Look into the server's configuration, or try it with "
    "openssl s_client, and write what you find into a profile of your own."
)
NOT_IN_PROFILE = "The profile says nothing of this service; what was seen is all there is."
THROUGH_RELAY = (
    "A declared relay takes it; what the provider makes of the relay tell the relay's own hellos."
)
NO_HELLO = "No whole hello of this stack is kept, so it cannot be held against a profile."


class Break(Struct, frozen=True, kw_only=True):
    """When old TLS stops working for a device. Days are ISO dates; None: not known."""

    when: str
    """One of WHEN."""
    start: str | None = None
    until: str | None = None
    source: str | None = None


class Observed(Struct, frozen=True, kw_only=True):
    """What was seen of one stack at one destination."""

    established: int | None
    """Handshakes established lately; None: some, and it is not known how many of them lately."""
    established_ns: int | None
    """The newest one, whenever that was."""
    refused: int
    refused_ns: int | None
    refused_by: str | None
    others_pass: bool | None
    """Whether others were taken in there since this one was first turned away; None: it is not
    turned away, nothing was seen of others, or the destination has no profile."""


class Prospect(Struct, frozen=True, kw_only=True):
    """One stack at one service of one destination."""

    service: str
    destination: str
    """The profile's name, or "other"."""
    verdict: Verdict
    accepted: bool | None
    """By the profile; None: it does not say."""
    missing: str | None
    """What the offer lacks; None: nothing, or not known."""
    breaks: Break | None
    """When it ends; None: it does not."""
    source: str | None
    """Who says what is taken there."""
    checked: str | None
    """The day somebody last looked that up."""
    observed: Observed | None
    """None: it was never seen there."""
    find_out: str | None
    """How to know, where the profile does not say."""


def prospects(
    stack: StackSnapshot,
    now_ns: int,
    profiles: Mapping[str, Profile],
    passages: Passages,
    lately: Counts | None = None,
) -> tuple[Prospect, ...]:
    """Return what will become of a stack at each destination it uses.

    ``lately``: counted by the hour, where somebody did.
    """
    return tuple(_prospect(stack, use, now_ns, profiles, passages, lately) for use in stack.uses)


def breaking(
    exposure: ExposureSnapshot | UseSnapshot, now_ns: int, profiles: Mapping[str, Profile]
) -> Break:
    """Return when an exposure breaks, from what was seen and what its profile announces."""
    profile = profiles.get(exposure.destination)
    window = None if profile is None else profile.enforcement(exposure.service)
    start = _start(window)
    end = None if window is None else window.end
    if exposure.is_failing and exposure.refused_by in (Side.SERVER, Side.UNKNOWN):
        when = "already-refused"
    elif profile is None:
        when = "unknown"
    elif start is not None and unix_seconds(start) * 10**9 <= now_ns:
        when = "window-open"
    elif start is not None or end is not None:
        when = "dated"
    else:
        when = "not-announced"
    return Break(
        when=when,
        start=None if start is None else start.isoformat(),
        until=None if end is None else end.isoformat(),
        source=None if window is None else window.source,
    )


def what_if(
    device: DeviceSnapshot, hellos: Mapping[str, ClientHello], profile: Profile, now_ns: int
) -> Iterator[tuple[StackSnapshot, Prospect]]:
    """Yield what a profile would make of each stack on each service the device uses.

    ``hellos``: one whole hello of each stack, by its id.
    """
    for stack in device.stacks:
        hello = None if stack.shape is None else hellos.get(stack.shape.id)
        for service in stack.services:
            yield stack, _supposed(hello, service, profile, now_ns)


def _supposed(hello: ClientHello | None, service: str, profile: Profile, now_ns: int) -> Prospect:
    accepts = profile.accepts(service)
    verdict = Verdict.UNKNOWN
    reasons: tuple[Reason, ...] = ()
    if hello is not None:
        verdict, reasons = weigh(hello, None if accepts is None else Rules(accepts), False)
    top = None if hello is None else hello.max_offered
    exchanges = () if hello is None or hello.suites is None else key_exchanges(hello.suites)
    accepted = _accepted(verdict, reasons, top, accepts)
    find_out = None
    if accepts is None:
        find_out = NOT_IN_PROFILE
    elif hello is None:
        find_out = NO_HELLO
    use = UseSnapshot(service=service, destination=profile.name, verdict=verdict, reasons=reasons)
    return Prospect(
        service=service,
        destination=profile.name,
        verdict=verdict,
        accepted=accepted,
        missing=_missing(reasons, top, exchanges, accepts, verdict),
        breaks=breaking(use, now_ns, {profile.name: profile}) if accepted is False else None,
        source=None if accepts is None else accepts.source,
        checked=None if accepts is None else accepts.checked.isoformat(),
        observed=None,
        find_out=find_out,
    )


def _prospect(
    stack: StackSnapshot,
    use: UseSnapshot,
    now_ns: int,
    profiles: Mapping[str, Profile],
    passages: Passages,
    lately: Counts | None,
) -> Prospect:
    profile = profiles.get(use.destination)
    accepts = None if profile is None else profile.accepts(use.service)
    top = None if stack.shape is None else stack.shape.max_offered
    exchanges = () if stack.shape is None else stack.shape.exchanges
    accepted = _accepted(use.verdict, use.reasons, top, accepts)
    if accepts is not None:
        find_out = None
    elif is_relay(use.destination):
        find_out = THROUGH_RELAY
    else:
        find_out = FIND_OUT if use.destination == OTHER else NOT_IN_PROFILE
    return Prospect(
        service=use.service,
        destination=use.destination,
        verdict=use.verdict,
        accepted=accepted,
        missing=_missing(use.reasons, top, exchanges, accepts, use.verdict),
        breaks=breaking(use, now_ns, profiles) if use.verdict in EXPOSED else None,
        source=None if accepts is None else accepts.source,
        checked=None if accepts is None else accepts.checked.isoformat(),
        observed=_observed(stack, use, now_ns, passages, lately),
        find_out=find_out,
    )


def _accepted(
    verdict: Verdict, reasons: Iterable[Reason], top: int | None, accepts: Accepts | None
) -> bool | None:
    """Tell whether a profile's entry takes an offer; it may take old TLS."""
    if accepts is None or verdict in (Verdict.UNKNOWN, Verdict.AT_RISK):
        return None
    if verdict is Verdict.OK:
        return True
    if top is not None and top < accepts.minimum:
        return False
    # What is old all the same is called so for its version, which is taken here.
    return not [reason for reason in reasons if reason is not Reason.VERSION]


def _missing(
    reasons: Iterable[Reason],
    top: int | None,
    exchanges: tuple[str, ...],
    accepts: Accepts | None,
    verdict: Verdict,
) -> str | None:
    """Say what an offer lacks, in a few words."""
    if accepts is None:
        return None
    lacking = []
    is_too_old = top is not None and top < accepts.minimum
    if top is not None and is_too_old:
        lacking.append(f"offers {version_name(top)}; needs {version_name(accepts.minimum)}")
    doubtful = verdict is Verdict.AT_RISK
    if Reason.SUITES in reasons:
        lacking.append(_suites(exchanges, accepts, doubtful))
    if Reason.GROUPS in reasons:
        lacking.append("no group (elliptic curve) that is taken there")
    if Reason.SIGNATURE_ALGORITHMS in reasons:
        lacking.append("no signature algorithm that is taken there")
    return ", and ".join(lacking) or None


def _suites(exchanges: tuple[str, ...], accepts: Accepts, doubtful: bool) -> str:
    """Say what kind of suite is missing, where all that are taken are of one kind."""
    lists = (accepts.suites.tls10, accepts.suites.tls12, accepts.suites.tls13)
    taken = {e for codes in lists if codes for e in key_exchanges(codes.accepted)}
    if len(taken) == 1 and taken.isdisjoint(exchanges):
        (kind,) = taken
        return f"no {kind} suite"
    if doubtful:
        return "only suites that are reported to be refused, or not documented"
    return "no suite that is taken there"


def _observed(
    stack: StackSnapshot,
    use: UseSnapshot,
    now_ns: int,
    passages: Passages,
    lately: Counts | None,
) -> Observed:
    since_ns = now_ns - LATELY_NS
    established: int | None
    if use.established_ns is None or use.established_ns < since_ns:
        established = 0
    elif use.first_established_ns is not None and use.first_established_ns >= since_ns:
        established = use.established
    else:
        name = None if stack.shape is None else stack.shape.id
        established = None
        if lately is not None:
            established = lately.get((name, use.service, use.destination))
    return Observed(
        established=established,
        established_ns=use.established_ns,
        refused=use.refused,
        refused_ns=use.refused_ns,
        refused_by=use.refused_by,
        others_pass=_others_pass(use, since_ns, passages),
    )


def _others_pass(use: UseSnapshot, since_ns: int, passages: Passages) -> bool | None:
    """Tell whether others are taken in where this one is turned away.

    Whatever was established after its own last good handshake is another's.
    """
    if not use.is_failing or use.destination == OTHER:  # many servers, not one
        return None
    passage = passages.get(passage_key(use.service, use.destination))
    newest_ns = None if passage is None else passage.established_ns
    if newest_ns is None or newest_ns == use.established_ns:
        return None
    turned_ns = max(t for t in (use.first_refused_ns, use.established_ns) if t is not None)
    return newest_ns >= max(turned_ns, since_ns)


def _start(window: Window | None) -> date | None:
    return None if window is None else window.start_revised or window.start
