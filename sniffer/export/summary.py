"""The summary of the contract's section 4: plain values, ready for JSON.

Unlike in an event, an unknown value is None, never missing. The same snapshot gives the same
summary, in the same order.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from parsers.tls.names import version as version_name
from sniffer.event import Side, SightingSource, Status, Sure, address
from sniffer.export.advice import advice_json
from sniffer.export.ecs import timestamp
from sniffer.export.findings import ENFORCEMENT, enforcement_json, finding_json
from sniffer.identify.identity import Identity, Roster
from sniffer.inventory.aggregate import (
    Cell,
    DeviceSnapshot,
    ServiceSnapshot,
    Snapshot,
    StackSnapshot,
)
from sniffer.inventory.assessment import Assessment, Remark, assess, programs
from sniffer.inventory.coverage import Coverage
from sniffer.inventory.device import OTHER, Evidence
from sniffer.inventory.enforcement import Enforcement, enforcements, turned
from sniffer.inventory.sayings import NAME, Saying
from sniffer.inventory.simulate import LATELY_DAYS, Break, Observed, Prospect
from sniffer.judge.profile import Profile
from sniffer.log import one_line, printable

UNKNOWN = "unknown"

Json = dict[str, Any]


def summary(
    inputs: Iterable[Mapping[str, Any]],
    snapshot: Snapshot,
    coverage: Coverage,
    profiles: Mapping[str, Profile],
    roster: Roster | None = None,
) -> Json:
    """Return the summary of what was read. ``inputs`` is passed on as it is."""
    devices = devices_json(snapshot, coverage, profiles, roster)
    reached = enforcements_in(snapshot)
    return {
        "inputs": [dict(told) for told in inputs],
        "coverage": coverage_json(coverage, snapshot.devices_let_go),
        "profile": profiles_json(snapshot, profiles),
        "totals": totals_json(snapshot),
        "devices": devices,
        "findings": [
            *(finding_json(finding) for finding in snapshot.findings),
            *(enforcement_json(found, profiles) for found in reached),
        ],
        "finding_totals": finding_totals(snapshot, len(reached)),
    }


def devices_json(
    snapshot: Snapshot,
    coverage: Coverage,
    profiles: Mapping[str, Profile],
    roster: Roster | None = None,
) -> list[Json]:
    """Return all devices by address, with what is to be said of each."""
    fit = coverage.fitness().fit
    now_ns = snapshot.now_ns or 0
    listed = []
    for device in snapshot.devices:
        name = address(device.address)
        said = assess(device, name, now_ns, profiles, fit, snapshot.passages)
        listed.append(device_json(device, said, roster))
    return listed


def device_json(device: DeviceSnapshot, said: Assessment, roster: Roster | None = None) -> Json:
    """Return one device. What only an inventory over time can know is None."""
    ip = address(device.address)
    who = identity(device, roster)
    names = [(printable(said.text), said.source) for said in device.sayings if said.what == NAME]
    refused_by = device.refused_by if device.status is Status.REFUSED else None
    return {
        "id": ip,
        "ip": ip,
        "addresses": [ip],
        "mac": None if device.mac is None else device.mac.hex(":"),
        "mac_is_own": None if device.mac is None else device.own_mac is not None,
        "vendor": who.vendor,
        "names": sorted({name for name, _ in names}),
        "names_from": [{"name": name, "source": origin} for name, origin in sorted(names)],
        "says": [saying_json(said) for said in device.sayings],
        "place": who.place,
        "owner": who.owner,
        "contact": who.contact,
        "class": who.device_class,
        "class_evidence": list(who.evidence),
        "status": device.status.value,
        "refused_by": None if refused_by is None else Side(refused_by).value,
        "hellos": device.hellos,
        "first_seen": timestamp(device.first_ns),
        "last_seen": timestamp(device.last_ns),
        "onset": None if said.onset_ns is None else timestamp(said.onset_ns),
        "clients_at_least": max(1, len(programs(device))),
        "stacks": [
            {**stack_json(stack), "simulation": [prospect_json(one) for one in told]}
            for stack, told in zip(device.stacks, said.prospects, strict=True)
        ],
        "services": [service_json(service) for service in device.services],
        "will_break": said.will_break,
        "breaks": None if said.breaks is None else break_json(said.breaks),
        "notices": [notice_json(notice) for notice in said.notices],
        "why": said.why,
        "next_step": said.next_step,
        "advice": advice_json(
            who.device_class,
            who.vendor,
            [name for name, _ in names],
            # Who rejects a certificate, or is reset on the way, is not helped by newer TLS.
            []
            if refused_by in (Side.CLIENT, Side.PATH)
            else [stack.verdict for stack in device.stacks],
        ),
        "findings": [finding_json(finding) for finding in device.findings],
    }


def identity(device: DeviceSnapshot, roster: Roster | None) -> Identity:
    """Return who a device is, as far as the roster can tell from what was seen of it."""
    if roster is None:
        return Identity()
    seen: dict[str, list[str]] = {
        "ja4": [s.shape.ja4 for s in device.stacks if s.shape is not None and s.shape.ja4]
    }
    for said in device.sayings:
        by = said.source if said.source == SightingSource.IMAP_ID else said.what
        seen.setdefault(by, []).append(printable(said.text))
    return roster.identify(device.address, device.own_mac, seen)


def service_json(service: ServiceSnapshot) -> Json:
    """Return how a device fares with one service: of several, one may survive."""
    return {
        "service": service.service,
        "status": service.status.value,
        "verdict": service.verdict.value,
        "hellos": service.hellos,
        "last_seen": timestamp(service.last_ns),
        "last_established": _time(service.established_ns),
        "last_ok": _time(service.last_ok_ns),
        "last_refused": _time(service.refused_ns),
        "refused_by": service.refused_by,
    }


def saying_json(said: Saying) -> Json:
    """Return one thing that a device says of itself, and where it does."""
    return {
        "source": said.source,
        "what": said.what,
        "text": printable(said.text),
        "first_seen": timestamp(said.first_ns),
        "last_seen": timestamp(said.last_ns),
    }


def stack_json(stack: StackSnapshot) -> Json:
    """Return one stack; the last of a device may be the sum of those that found no room."""
    shape = stack.shape
    destinations: list[Json] = [
        {
            "ip": address(d.address),
            "port": d.port,
            "name": None if d.name is None else printable(d.name),
            "class": d.label,
            "hellos": d.hellos,
        }
        for d in stack.destinations
    ]
    if stack.other_hellos:
        rest = {"ip": None, "port": None, "name": None, "class": None, "hellos": stack.other_hellos}
        destinations.append(rest)
    top = None if shape is None else shape.max_offered
    return {
        "id": None if shape is None else shape.id,
        "ja4": None if shape is None else shape.ja4,
        "max_offered": None if top is None else version_name(top),
        "verdict": stack.verdict.value,
        "hellos": stack.hellos,
        "services": list(stack.services),
        "destinations": destinations,
        "outcomes": dict(stack.outcomes),
        "thrown_out": {
            Sure.LIKELY.value: sum(use.thrown_out for use in stack.uses),
            Sure.POSSIBLE.value: sum(use.maybe_thrown_out for use in stack.uses),
        },
        "first_seen": timestamp(stack.first[0]),
        "last_seen": timestamp(stack.last[0]),
        "evidence": {"first": evidence_json(stack.first), "last": evidence_json(stack.last)},
    }


def prospect_json(prospect: Prospect) -> Json:
    """Return what will become of a stack at one destination."""
    return {
        "service": prospect.service,
        "destination": prospect.destination,
        "verdict": prospect.verdict.value,
        "accepted": prospect.accepted,
        "missing": prospect.missing,
        "breaks": None if prospect.breaks is None else break_json(prospect.breaks),
        "source": prospect.source,
        "checked": prospect.checked,
        "observed": None if prospect.observed is None else _observed_json(prospect.observed),
        "find_out": prospect.find_out,
    }


def _observed_json(observed: Observed) -> Json:
    return {
        "days": LATELY_DAYS,
        "established": observed.established,
        "last_established": _time(observed.established_ns),
        "refused": observed.refused,
        "last_refused": _time(observed.refused_ns),
        "refused_by": observed.refused_by,
        "others_pass": observed.others_pass,
    }


def evidence_json(evidence: Evidence) -> Json:
    """Return where a hello stands: file and frame; the file is None live."""
    _, path, frame = evidence
    return {"path": one_line(path) if path else None, "frame": frame}


def break_json(breaks: Break) -> Json:
    """Return when something breaks."""
    return {
        "when": breaks.when,
        "from": breaks.start,
        "until": breaks.until,
        "source": breaks.source,
    }


def notice_json(notice: Remark) -> Json:
    """Return one remark on a service."""
    return {
        "profile": notice.profile,
        "service": notice.service,
        "date": notice.date,
        "text": notice.text,
        "source": notice.source,
    }


def totals_json(snapshot: Snapshot) -> Json:
    """Return the exact counts; each ``by_*`` sums to ``hellos``."""
    return {
        "hellos": snapshot.hellos,
        "by_max_offered": _by(snapshot, version_word),
        "by_verdict": _by(snapshot, lambda cell: cell.verdict.value),
        "by_outcome": _by(snapshot, lambda cell: cell.outcome.value),
        "by_service": _by(snapshot, lambda cell: cell.service),
    }


def enforcements_in(snapshot: Snapshot) -> list[Enforcement]:
    """Return what tells of providers that have begun to refuse old TLS."""
    turns = (
        turn
        for device in snapshot.devices
        for stack in device.stacks
        for turn in turned(device.address, stack.uses)
    )
    return enforcements(turns, snapshot.passages)


def finding_totals(snapshot: Snapshot, reached: int = 0) -> dict[str, int]:
    """Return the exact counts of findings by kind, also of those that found no room."""
    counts: dict[str, int] = {ENFORCEMENT: reached} if reached else {}
    for _, kind, count in snapshot.finding_totals:
        counts[kind] = counts.get(kind, 0) + count
    return dict(sorted(counts.items()))


def coverage_json(coverage: Coverage, devices_let_go: int = 0) -> Json:
    """Return what was seen and what was lost."""
    fit, why = coverage.fitness()
    return {
        "frames": coverage.frames,
        "bytes": coverage.bytes,
        "flows": coverage.flows,
        "one_sided_flows": coverage.one_sided_flows,
        "dropped_frames": coverage.frames_dropped,
        "truncated_frames": coverage.frames_truncated,
        "undecoded_frames": dict(sorted(coverage.undecoded.items())),
        "other_ethertypes": dict(sorted(coverage.ethertypes.items())),
        "hellos": coverage.hellos,
        "incomplete_hellos": dict(sorted(coverage.incomplete.items())),
        "evicted": dict(sorted(coverage.evicted.items())),
        "devices_let_go": devices_let_go,
        "unseen_bytes": coverage.unseen_bytes,
        "filtered_bytes": coverage.filtered_bytes,
        "conflicts": coverage.conflicts,
        "first_seen": None if coverage.first_ns is None else timestamp(coverage.first_ns),
        "last_seen": None if coverage.last_ns is None else timestamp(coverage.last_ns),
        "watched_seconds": coverage.watched_seconds,
        "fit": fit,
        "why": why,
    }


def profiles_json(snapshot: Snapshot, profiles: Mapping[str, Profile]) -> Json:
    """Return the profiles that were applied, by name: what the answers rest on."""
    used = {exposure.destination for device in snapshot.devices for exposure in device.exposures}
    for device in snapshot.devices:
        for stack in device.stacks:
            used.update(destination.label for destination in stack.destinations)
    return {
        name: {
            "title": profiles[name].title,
            "checked": profiles[name].checked.isoformat(),
            "source": profiles[name].source,
        }
        for name in sorted(used - {OTHER})
        if name in profiles
    }


def version_word(cell: Cell) -> str:
    """Return the max offered of a cell as a word."""
    return UNKNOWN if cell.version is None else version_name(cell.version)


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else timestamp(time_ns)


def _by(snapshot: Snapshot, word: Callable[[Cell], str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in snapshot.cells:
        key = word(cell)
        counts[key] = counts.get(key, 0) + cell.hellos
    return dict(sorted(counts.items()))
