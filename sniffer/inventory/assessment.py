"""What a device's snapshot means: will it break, when, why, and what to do next.

Only what was seen and what a profile says, with its source, is claimed. Where either is
missing the answer is None: a capture unfit to tell never yields "will not break".
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from parsers.tls.names import version as version_name
from sniffer.event import RELAY, Side, Status, Verdict
from sniffer.inventory.aggregate import DeviceSnapshot, ExposureSnapshot, UseSnapshot
from sniffer.inventory.device import DAY_NS, OTHER, RED, is_relay
from sniffer.inventory.passage import Passages
from sniffer.inventory.simulate import WHEN, Break, Counts, Prospect, breaking, prospects
from sniffer.judge.profile import Profile
from sniffer.log import printable


class Remark(Struct, frozen=True, kw_only=True):
    """A dated remark of a profile on a service the device uses, apart from TLS."""

    profile: str
    service: str
    date: str
    text: str
    source: str


class Assessment(Struct, frozen=True, kw_only=True):
    """What is to be said of one device."""

    onset_ns: int | None
    """Since when it is what its status says; None where that needs nothing done, or more
    than one capture to know."""
    will_break: bool | None
    breaks: Break | None
    """The most urgent one; None if nothing is exposed."""
    notices: tuple[Remark, ...]
    why: str
    next_step: str | None
    """None: nothing to do."""
    prospects: tuple[tuple[Prospect, ...], ...]
    """Of each stack, in the device's order."""


def assess(
    device: DeviceSnapshot,
    name: str,
    now_ns: int,
    profiles: Mapping[str, Profile],
    fit: bool,
    passages: Passages,
    lately: Counts | None = None,
) -> Assessment:
    """Say what a device's snapshot means. ``name`` is what sentences call it.

    ``fit``: whether the capture can tell that something is not there. ``passages`` and
    ``lately``: see ``simulate.prospects``.
    """
    exposures = in_use(device)
    breaks = [(breaking(exposure, now_ns, profiles), exposure) for exposure in exposures]
    breaks.sort(key=lambda pair: (WHEN.index(pair[0].when), pair[1].verdict, -pair[1].hellos))
    first, exposure = breaks[0] if breaks else (None, None)
    why = _why(device, name, now_ns, profiles, exposure, first)
    next_step = _next_step(device, exposure, fit)
    if ejecting := _ejecting(device):
        why = f"{why.removesuffix('.')}; {_ejection(device, ejecting, profiles)}."
        next_step = next_step or (
            "Look into the mail server's log: what it said inside TLS cannot be seen from here."
        )
    return Assessment(
        onset_ns=onset(device),
        will_break=will_break(device, exposures, profiles, fit),
        breaks=first,
        notices=remarks(device, profiles),
        why=why,
        next_step=next_step,
        prospects=tuple(
            prospects(stack, now_ns, profiles, passages, lately) for stack in device.stacks
        ),
    )


def in_use(device: DeviceSnapshot) -> list[ExposureSnapshot]:
    """Return the exposures that still count: a fixed device's old hellos do not."""
    if device.status in (Status.FIXED, Status.RELAYED):
        return []
    direct = [e for e in device.exposures if not is_relay(e.destination)]
    return direct or list(device.exposures)


def programs(device: DeviceSnapshot) -> set[tuple[int | None, str]]:
    """Return what tells the TLS clients at this address apart: no fewer than these were seen.

    That is the best version and the list of suites. Extensions are left out, because the same
    client sends others when it resumes a session; a lower retry is by one that is there already.
    """
    return {
        (stack.shape.max_offered, stack.shape.suites_hash)
        for stack in device.stacks
        if stack.shape is not None
        and stack.shape.complete
        and stack.verdict is not Verdict.FALLBACK
    }


def will_break(
    device: DeviceSnapshot,
    exposures: list[ExposureSnapshot],
    profiles: Mapping[str, Profile],
    fit: bool,
) -> bool | None:
    """Tell whether what the device offers ends working where it is used; None: cannot tell."""
    certain = [e for e in exposures if e.verdict is not Verdict.AT_RISK]
    if device.status is not Status.SILENT and any(
        profile.enforcement(exposure.service) is not None
        for exposure in certain
        if (profile := profiles.get(exposure.destination)) is not None
    ):
        return True
    is_open = any(e.destination not in profiles for e in certain) or len(certain) < len(exposures)
    if is_open or not fit or device.status in (Status.UNKNOWN, Status.SILENT):
        return None
    return False


def onset(device: DeviceSnapshot) -> int | None:
    """Return since when a device is what its status says, where this capture shows it."""
    if device.status is Status.REFUSED:
        first_ns, established_ns = device.first_refused_ns, device.established_ns
        if first_ns is None or (established_ns is not None and first_ns <= established_ns):
            return None  # refused, established, refused again: the second time's start is lost
        return first_ns
    if device.status is Status.IMPROVING:
        return min((e.first_ns for e in device.exposures), default=None)
    verdict = {
        Status.LEGACY: Verdict.LEGACY,
        Status.INCOMPATIBLE: Verdict.INCOMPATIBLE,
        Status.AT_RISK: Verdict.AT_RISK,
    }.get(device.status)
    return min((e.first_ns for e in device.exposures if e.verdict is verdict), default=None)


def remarks(device: DeviceSnapshot, profiles: Mapping[str, Profile]) -> tuple[Remark, ...]:
    """Return the notices of the services a device uses at destinations with a profile."""
    used = {(e.destination, e.service) for e in device.exposures}
    used |= {(d.label, d.service) for stack in device.stacks for d in stack.destinations}
    return tuple(
        Remark(
            profile=label,
            service=service,
            date=notice.date.isoformat(),
            text=notice.text,
            source=notice.source,
        )
        for label, service in sorted(used)
        if label in profiles
        for notice in profiles[label].notices(service)
    )


def _why(
    device: DeviceSnapshot,
    name: str,
    now_ns: int,
    profiles: Mapping[str, Profile],
    exposure: ExposureSnapshot | None,
    first: Break | None,
) -> str:
    """Say in one sentence why the device has its status."""
    match device.status:
        case Status.SILENT:
            days = (now_ns - device.last_ns) // DAY_NS
            return f"{name} was last seen on {_day(device.last_ns)}, {_many(days, 'day')} ago."
        case _ if device.troubles and not device.is_failing:
            relay = _relays(device.troubles)
            worst = min(device.troubles.values(), key=RED.index)
            what = "is refused itself" if worst is Status.REFUSED else "offers old TLS itself"
            return f"{name} goes through the relay {relay}, which {what}."
        case Status.RELAYED:
            through = [e for e in device.exposures if is_relay(e.destination)]
            newest = max(through, key=lambda e: e.last_ns)
            relay = _relays({e.destination for e in through})
            return f"{name} offers at most {_version(newest)}, and only to the relay {relay}."
        case Status.REFUSED:
            return _why_refused(device, name, profiles, exposure)
        case Status.FIXED:
            old = max(device.exposures, key=lambda e: (e.verdict is Verdict.LEGACY, e.last_ns))
            if old.verdict is Verdict.LEGACY:
                offered = f"offered at most {_version(old)}"
            else:
                offered = "offered only what is or may be refused"
            return (
                f"{name} {offered} until {_day(old.last_ns)} and has established handshakes "
                "with TLS 1.2 or newer since."
            )
        case Status.OK:
            if all(stack.verdict is not Verdict.OK for stack in device.stacks):
                return f"{name} can do TLS 1.2 and fell back to an older version for a retry."
            return f"{name} offers TLS 1.2 or newer wherever it was seen."
    if exposure is None or first is None:
        return f"Too little of the hellos of {name} was seen to tell."
    what = _what(device, exposure, profiles)
    if device.status is Status.IMPROVING:
        return (
            f"{name} {what} until {_day(exposure.last_ns)} and newer TLS since, "
            "not yet often or long enough to call it fixed."
        )
    return f"{name} {what}{_ending(first)}."


def _why_refused(
    device: DeviceSnapshot,
    name: str,
    profiles: Mapping[str, Profile],
    exposure: ExposureSnapshot | None,
) -> str:
    when = "" if device.refused_ns is None else f", last on {_day(device.refused_ns)}"
    match device.refused_by:
        case Side.CLIENT:
            return f"{name} rejects the server's certificate{when}."
        case Side.PATH:
            return f"Something between {name} and the server, such as a firewall, resets it{when}."
    by = "by the server" if device.refused_by == Side.SERVER else "in its handshakes"
    if exposure is None:
        return f"{name} is refused {by}{when}."
    return f"{name} is refused {by}{when}; it {_what(device, exposure, profiles)}."


def _ejecting(device: DeviceSnapshot) -> UseSnapshot | None:
    """Return the use in which a server takes the device in, and most likely throws it out.

    None: nowhere, or no more: its newest handshake there was not thrown out.
    """
    if device.status in (Status.SILENT, Status.RELAYED):
        return None
    found = [
        (use.thrown_out_ns, use.service, use.destination, use)
        for stack in device.stacks
        for use in stack.uses
        if use.thrown_out_ns is not None and use.thrown_out_ns == use.established_ns
    ]
    return max(found, key=lambda one: one[:3])[3] if found else None


def _ejection(device: DeviceSnapshot, use: UseSnapshot, profiles: Mapping[str, Profile]) -> str:
    where = f"{_where(device, use, profiles)} ({use.service})"
    last = "" if use.thrown_out_ns is None else f", last on {_day(use.thrown_out_ns)}"
    return (
        f"{where} agreed on TLS with it, and then most likely threw it out at once, "
        f"{_many(use.thrown_out, 'time')}{last}"
    )


def _what(
    device: DeviceSnapshot, exposure: ExposureSnapshot, profiles: Mapping[str, Profile]
) -> str:
    where = f"{_where(device, exposure, profiles)} ({exposure.service})"
    match exposure.verdict:
        case Verdict.LEGACY:
            return f"offers at most {_version(exposure)} to {where}"
        case Verdict.INCOMPATIBLE:
            return f"offers nothing to {where} that is documented to be accepted there"
        case _:
            return f"offers only what {where} is reported, not documented, to refuse"


def _where(
    device: DeviceSnapshot,
    exposure: ExposureSnapshot | UseSnapshot,
    profiles: Mapping[str, Profile],
) -> str:
    """Return what to call a destination: its provider, else the name the device asked for."""
    profile = profiles.get(exposure.destination)
    if profile is not None:
        return profile.title
    if is_relay(exposure.destination):
        return f"the relay {_relays([exposure.destination])}"
    asked: dict[bytes, int] = {}
    for stack in device.stacks:
        for d in stack.destinations:
            if d.label == OTHER and d.service == exposure.service and d.name:
                asked[d.name] = asked.get(d.name, 0) + d.hellos
    if not asked:
        return "a server it did not name"
    return printable(min(asked, key=lambda n: (-asked[n], n)))


def _ending(first: Break) -> str:
    match first.when:
        case "already-refused":
            return " and is refused there"
        case "window-open" if first.until is not None:
            return f", where this is being switched off, for good by {first.until}"
        case "window-open":
            return f", where this has been switched off step by step since {first.start}"
        case "dated" if first.until is not None:
            return f", where this ends by {first.until}"
        case "dated":
            return f", where switching this off begins on {first.start}"
        case "not-announced":
            return ", where no end of this is announced"
    return ", of which it is not known how long that is accepted"


def _next_step(device: DeviceSnapshot, exposure: ExposureSnapshot | None, fit: bool) -> str | None:
    """Say in one sentence what to do."""
    match device.status:
        case Status.OK | Status.FIXED | Status.RELAYED:
            return None
        case _ if device.troubles and not device.is_failing:
            relay = _relays(device.troubles)
            return (
                f"Mend the relay {relay}: it has to speak TLS 1.2 to the provider, and be let in."
            )
        case Status.SILENT:
            return "Find out whether it is switched off, gone, or no longer on the watched path."
        case Status.IMPROVING:
            return "Keep watching until it has been quiet for a week or three of its usual pauses."
        case Status.UNKNOWN:
            if not fit:
                return "Mend the capture first; what hampers it stands under what we could see."
            return "Let it connect again while the capture runs."
        case Status.REFUSED if device.refused_by == Side.CLIENT:
            return "Install the certificate authority the server uses, and check its clock."
        case Status.REFUSED if device.refused_by == Side.PATH:
            return "Look for a firewall or filter on the way that resets this connection."
    if exposure is None:
        return (
            "Read the alert or reset of its last handshake, and compare with a device that works."
        )
    if exposure.verdict is Verdict.LEGACY:
        return (
            "Update its firmware or mail program to one that offers TLS 1.2; if there is none, "
            "put a relay in front of it or replace it."
        )
    if exposure.verdict is Verdict.INCOMPATIBLE:
        return "Enable ECDHE cipher suites on it by an update or its settings, or use a relay."
    return "Test it against the server now, and look for an update that offers ECDHE suites."


def _relays(words: Iterable[str]) -> str:
    return " and ".join(sorted(word.removeprefix(RELAY) for word in words))


def _version(exposure: ExposureSnapshot) -> str:
    return "an unknown version" if exposure.version is None else version_name(exposure.version)


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).date().isoformat()


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
