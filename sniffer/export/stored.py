"""Devices of the store as the summary lists them: what history adds stands beside the rest."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

from msgspec.structs import replace

from parsers.tls.names import VERSIONS
from sniffer.event import Side, Status
from sniffer.export import words
from sniffer.export.ecs import timestamp
from sniffer.export.summary import Json, device_json, prospect_json
from sniffer.identify.identity import Roster
from sniffer.inventory.assessment import assess
from sniffer.inventory.device import NEEDS_ACTION
from sniffer.inventory.sayings import NAME
from sniffer.inventory.simulate import Counts, what_if
from sniffer.inventory.store.reader import Reader, Stored
from sniffer.inventory.story import Turn
from sniffer.judge.profile import Profile


def stored_devices(
    reader: Reader,
    profiles: Mapping[str, Profile],
    roster: Roster | None = None,
    site: str | None = None,
    statuses: Collection[str] = (),
) -> Iterator[Json]:
    """Yield all devices by site and address, or those of a site, or of some statuses."""
    fit = reader.coverage().fitness().fit
    for device in reader.devices(site=site):
        if statuses and device.snapshot.status not in statuses:
            continue
        yield stored_device(reader, device, profiles, fit, roster=roster)


def stored_device(
    reader: Reader,
    device: Stored,
    profiles: Mapping[str, Profile],
    fit: bool,
    lately: Counts | None = None,
    roster: Roster | None = None,
) -> Json:
    """Return one device with what is to be said of it; ``lately``: see ``simulate``."""
    said = assess(
        device.snapshot,
        device.ip,
        reader.now_ns or 0,
        profiles,
        fit,
        reader.passages(device.site),
        lately,
    )
    if said.onset_ns is None and device.snapshot.status is Status.REFUSED:
        # It was let in before: only its story knows since when it is not any more.
        said = replace(said, onset_ns=reader.story(device)[-1].since_ns)
    answer = device.answer
    until_ns = answer.excepted_until_ns
    told = device_json(device.snapshot, said, roster)
    return {
        **told,
        "id": device.id,
        "site": device.site or None,
        "addresses": list(device.addresses),
        "owner": answer.owner or told["owner"],
        "note": answer.note,
        "ticket": answer.ticket,
        "exception": None
        if answer.excepted is None
        else {
            "reason": answer.excepted,
            "until": None if until_ns is None else timestamp(until_ns),
        },
        "claim": claim_json(reader, device),
    }


def claim_json(reader: Reader, device: Stored) -> Json | None:
    """Return what was done about a device and what became of it; None: nothing was."""
    claim, found = device.answer.claim, reader.check(device)
    if claim is None or found is None:
        return None
    return {
        "did": claim.did.value,
        "at": timestamp(claim.at_ns),
        "state": found.state.value,
        "since": timestamp(found.since_ns),
    }


CHANGES = ("new", "came-back", "worse", "improving", "fixed", "vanished", "changed")
"""What may have become of a device between two moments."""


def changes_json(before: Reader, after: Reader) -> Iterator[Json]:
    """Yield the devices that are not what they were, by site and address.

    Nor is one of which somebody says that it was mended, if it turns out otherwise than it did.
    """
    were = {
        device.id: (device.snapshot.status, _state(claim_json(before, device)))
        for device in before.devices()
    }
    for device in after.devices():
        was, state = were.get(device.id, (None, None))
        status, claim = device.snapshot.status, claim_json(after, device)
        if was is not status or state != _state(claim):
            yield {
                "id": device.id,
                "ip": device.ip,
                "change": change(was, status),
                "before": None if was is None else was.value,
                "after": status.value,
                "claim": claim,
            }


def _state(claim: Json | None) -> str | None:
    return None if claim is None else str(claim["state"])


def change(was: Status | None, status: Status) -> str:
    """Return the word for what became of a device; ``was`` None: it had not been seen."""
    if was is None:
        return "new"
    if was is status:
        return "changed"
    match status:
        case Status.SILENT:
            return "vanished"
        case Status.FIXED | Status.IMPROVING:
            return status.value
    if status in NEEDS_ACTION:
        return "came-back" if was in (Status.FIXED, Status.SILENT) else "worse"
    return "changed"


def story_json(turns: Iterable[Turn]) -> list[Json]:
    """Return since when a device was what, oldest first."""
    return [
        {
            "since": timestamp(turn.since_ns),
            "status": turn.status.value,
            "refused_by": turn.refused_by,
        }
        for turn in turns
    ]


def wire_json(reader: Reader, device: Stored) -> list[Json]:
    """Return the handshakes of a device that are kept as they stood on the wire, one a stack."""
    return [
        {
            "stack": one.shape.id,
            "time": timestamp(one.exhibit.time_ns),
            "path": one.exhibit.path or None,
            "frame": one.exhibit.frame,
            "hello": one.exhibit.hello.hex(),
            "answer": one.exhibit.answer.hex() or None,
        }
        for one in reader.exhibits(device)
    ]


def wire_lines(told: Iterable[Mapping[str, Any]], zone: tzinfo) -> Iterator[str]:
    """Yield handshakes octet by octet, as tcpdump and tshark write them."""
    for one in told:
        where = f"frame {one['frame']}" + (f" of {one['path']}" if one["path"] else ", live")
        yield ""
        yield f"Hello of {_minute(one['time'], zone)}, {where}, stack {one['stack']}:"
        yield from _hex_lines(bytes.fromhex(one["hello"]))
        if one["answer"]:
            yield "The server's answer:"
            yield from _hex_lines(bytes.fromhex(one["answer"]))


def _hex_lines(octets: bytes) -> Iterator[str]:
    for at in range(0, len(octets), 16):
        row = octets[at : at + 16]
        text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in row)
        yield f"{at:04x}  {row.hex(' '):47}  {text}"


def story_lines(device: Mapping[str, Any], turns: Iterable[Turn], zone: tzinfo) -> Iterator[str]:
    """Yield the story of a device in words, oldest first."""
    for turn in turns:
        since = datetime.fromtimestamp(turn.since_ns // 10**9, zone).strftime("%Y-%m-%d %H:%M")
        yield f"since {since}  {turn_words(device['stacks'], turn.status, turn.refused_by)}"


def against_json(reader: Reader, device: Stored, profile: Profile) -> Json:
    """Return what a profile would make of each stack of a device, wherever it is used now."""
    judged = what_if(device.snapshot, reader.hellos(device), profile, reader.now_ns or 0)
    return {
        "profile": profile.name,
        "stacks": [
            {
                "stack": None if stack.shape is None else stack.shape.id,
                **prospect_json(prospect),
            }
            for stack, prospect in judged
        ],
    }


def saying_line(said: Mapping[str, Any], zone: tzinfo) -> str:
    """Return in words what a device said of itself, and when last."""
    what = "calls itself" if said["what"] == NAME else f"tells its {said['what']}"
    return f"{_minute(said['last_seen'], zone)}  {what} {said['text']} ({said['source']})"


def device_lines(
    device: Mapping[str, Any], turns: Iterable[Turn], supposed: Json | None, zone: tzinfo
) -> Iterator[str]:
    """Yield what is told of one device below its row: services, what will be, what was.

    ``supposed``: see ``against_json``.
    """
    offers = {stack["id"]: stack["max_offered"] for stack in device["stacks"]}
    simulated = [(s["max_offered"], one) for s in device["stacks"] for one in s["simulation"]]
    if (claim := device["claim"]) is not None:
        at, since = (_minute(claim[key], zone) for key in ("at", "since"))
        yield from ("", f"{at}  {words.claim_words(claim)}, since {since}")
    if device["says"]:
        yield from ("", *(saying_line(said, zone) for said in device["says"]))
    yield from ("", *service_lines(device, zone))
    yield from ("", *simulation_lines(simulated, device, zone))
    yield from ("", *story_lines(device, turns, zone))
    if supposed is not None:
        judged = [(offers[one["stack"]], one) for one in supposed["stacks"]]
        yield from ("", f"Supposed it spoke to {supposed['profile']}:")
        yield from simulation_lines(judged, device, zone)


def simulation_lines(
    told: Iterable[tuple[str | None, Mapping[str, Any]]], device: Mapping[str, Any], zone: tzinfo
) -> Iterator[str]:
    """Yield what will become of stacks, each given as its best version and its prospect."""
    for offers, one in told:
        parts = [TAKEN[one["accepted"]]]
        parts += [one["missing"]] if one["missing"] else []
        when = words.break_words(True, one["breaks"]) if one["breaks"] else ""
        parts += [f"breaks? {when}"] if when and one["accepted"] is not True else []
        parts += _observed_words(one["observed"], zone) if one["observed"] else []
        parts += [one["find_out"]] if one["find_out"] else []
        where = f"{one['service']} at {one['destination']}"
        yield f"{where}, offering {offers or 'an unknown version'}: {'; '.join(parts)}"
        for notice in device["notices"]:
            if (notice["profile"], notice["service"]) == (one["destination"], one["service"]):
                yield f"  {notice['date']}: {notice['text']}"


TAKEN = {
    True: "taken, says the profile",
    False: "not taken, says the profile",
    None: "nobody says for certain whether it is taken",
}


def _observed_words(observed: Mapping[str, Any], zone: tzinfo) -> Iterator[str]:
    count = observed["established"]
    if observed["last_established"] is not None:
        last = _minute(observed["last_established"], zone)
        many = "" if count is None else f", {count} in the last {observed['days']} days"
        yield f"was let in last on {last}{many}"
    if observed["last_refused"] is not None:
        by = words.SIDE[Side(observed["refused_by"] or Side.UNKNOWN)]
        last = _minute(observed["last_refused"], zone)
        yield f"was refused {words.counted(observed['refused'], 'time')}, last on {last} by {by}"
    if observed["others_pass"]:
        yield "others are let in there"


def service_lines(device: Mapping[str, Any], zone: tzinfo) -> Iterator[str]:
    """Yield how a device fares with each of its services, side by side."""
    wide = max((len(service["service"]) for service in device["services"]), default=0)
    for service in device["services"]:
        mine = [s for s in device["stacks"] if service["service"] in s["services"]]
        parts = [turn_words(mine, Status(service["status"]), service["refused_by"])]
        for key, word in (("last_ok", "last ok"), ("last_refused", "last refused")):
            parts.append(f"{word} {_minute(service[key], zone)}")
        yield f"{service['service']:{wide}}  {'; '.join(parts)}"


def turn_words(stacks: Iterable[Mapping[str, Any]], status: Status, refused_by: str | None) -> str:
    """Return a status in words, of a device or service that these stacks are of."""
    codes = {name: code for code, name in VERSIONS.items()}
    oldest = min((codes[s["max_offered"]] for s in stacks if s["max_offered"]), default=None)
    return TURNED.get(status) or words.status_words(status, oldest, refused_by)


def _minute(text: str | None, zone: tzinfo) -> str:
    if text is None:
        return "never"
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M")


TURNED = {
    Status.FIXED: "Verified: quiet for long enough, and handshakes with 1.2 or newer",
    Status.SILENT: "Not seen for as long as makes it silent",
}
"""Statuses whose words on the screen count up to now, as a turn in a story says them."""

DEVICE_COLUMNS = (
    "id",
    "site",
    "ip",
    "mac",
    "names",
    "vendor",
    "class",
    "place",
    "owner",
    "status",
    "refused_by",
    "onset",
    "will_break",
    "breaks",
    "hellos",
    "first_seen",
    "last_seen",
    "why",
    "next_step",
    "claim",
    "clients_at_least",
    "addresses",
)
"""One per fact of a device that fits a cell. New ones are added at the end only."""


def device_cells(device: Mapping[str, Any]) -> dict[str, str]:
    """Return a device as the cells of one row."""
    cells = {name: device.get(name) for name in DEVICE_COLUMNS}
    breaks = device["breaks"] or {}
    cells["breaks"] = breaks.get("when")
    for name in ("names", "addresses"):
        cells[name] = " ".join(device[name])
    claim = device.get("claim") or {}
    cells["claim"] = " ".join([claim[key] for key in ("did", "state") if key in claim]) or None
    return {name: _cell(value) for name, value in cells.items()}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
