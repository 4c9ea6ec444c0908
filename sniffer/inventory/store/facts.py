"""A device as JSON and back: what the store merges is what the aggregate merges.

Octets of the wire, such as server names, are kept as the text whose code points they are.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from sniffer.event import Verdict
from sniffer.inventory.device import (
    DAY_NS,
    OUTCOMES,
    SERVICE_BIT,
    SERVICE_WORDS,
    Device,
    Evidence,
    Shape,
    Stack,
    Trail,
    Use,
    destination_key,
    read_destination,
)
from sniffer.log import one_line

WIRE_TEXT = "latin-1"

AnyTrail = TypeVar("AnyTrail", bound=Trail)


class TrailFacts(Struct, omit_defaults=True):
    """See ``inventory.device.Trail``."""

    hellos: int
    first_ns: int
    last_ns: int
    established_ns: int | None = None
    first_refused_ns: int | None = None
    refused_before_ns: int | None = None
    refused_ns: int | None = None
    refused_by: str | None = None


class ExposureFacts(Struct):
    """See ``inventory.device.Exposure``."""

    verdict: Verdict
    service: str
    destination: str
    version: int | None
    trail: TrailFacts


class DestinationFacts(Struct):
    """One destination of a stack."""

    label: str
    address: str
    port: int
    name: str | None
    hellos: int


class UseFacts(Struct, omit_defaults=True):
    """See ``inventory.device.Use``."""

    service: str
    destination: str
    trail: TrailFacts
    rank: int = 0
    reasons: int = 0
    established: int = 0
    first_established_ns: int | None = None
    refused: int = 0
    alert_ns: int | None = None
    thrown_out: int = 0
    thrown_out_ns: int | None = None
    maybe_thrown_out: int = 0


class StackFacts(Struct):
    """See ``inventory.device.Stack``; ``shape`` None: the sum of those without room."""

    shape: Shape | None
    hellos: int
    rank: int
    services: tuple[str, ...]
    outcomes: dict[str, int]
    first: Evidence
    last: Evidence
    destinations: tuple[DestinationFacts, ...]
    uses: tuple[UseFacts, ...] = ()


class DeviceFacts(Struct, omit_defaults=True):
    """See ``inventory.device.Device``."""

    trail: TrailFacts
    stacks: tuple[StackFacts, ...]
    rest: StackFacts | None = None
    mac: str | None = None
    mac_ns: int = 0
    names: dict[str, int] = {}
    exposures: tuple[ExposureFacts, ...] = ()
    last_ok_ns: int | None = None


USE_COUNTS = UseFacts.__struct_fields__[3:]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DeviceFacts).decode


def device_text(device: Device) -> str:
    """Return a device as JSON."""
    facts = DeviceFacts(
        trail=_trail_facts(device),
        stacks=tuple(_stack_facts(stack) for stack in device.stacks),
        rest=None if device.rest is None else _stack_facts(device.rest),
        mac=None if device.mac is None else device.mac.hex(":"),
        mac_ns=0 if device.mac is None else device.mac_ns,
        names={
            name.decode(WIRE_TEXT): count
            for name, count in zip(device.names, device.name_counts, strict=True)
        },
        exposures=tuple(
            ExposureFacts(e.verdict, e.service, e.destination, e.version, _trail_facts(e))
            for _, e in sorted((device.exposures or {}).items())
        ),
        last_ok_ns=device.last_ok_ns,
    )
    return _encode(facts).decode()


def read_device(text: str) -> Device:
    """Return the device that a text is of. Raises msgspec.DecodeError."""
    facts = _decode(text)
    device = _with_trail(Device(facts.trail.first_ns), facts.trail)
    device.mac = None if facts.mac is None else bytes.fromhex(facts.mac.replace(":", ""))
    device.mac_ns = facts.mac_ns
    device.stacks = [_read_stack(stack) for stack in facts.stacks]
    device.rest = None if facts.rest is None else _read_stack(facts.rest)
    device.names = [name.encode(WIRE_TEXT) for name in facts.names]
    device.name_counts = list(facts.names.values())
    device.last_ok_ns = facts.last_ok_ns
    for told in facts.exposures:
        kind = (told.verdict, told.service, told.destination, told.version)
        _with_trail(device.expose(told.trail.first_ns, *kind), told.trail)
    return device


def forget_hours(device: Device) -> None:
    """Leave of all times the day alone, and of no hello where it stands.

    Rounding down keeps order, so what was merged stays merged; two moments of one day become
    equal, and equal times are never "since".
    """
    _round_down(device)
    device.mac_ns = _day(device.mac_ns)
    device.last_ok_ns = None if device.last_ok_ns is None else _day(device.last_ok_ns)
    for exposure in (device.exposures or {}).values():
        _round_down(exposure)
    for stack in device.all_stacks():
        stack.first = (_day(stack.first[0]), "", 0)
        stack.last = (_day(stack.last[0]), "", 0)
        for use in stack.uses:
            _round_down(use, "first_established_ns", "alert_ns", "thrown_out_ns")


def _round_down(trail: Trail, *more: str) -> None:
    trail.first_ns, trail.last_ns = _day(trail.first_ns), _day(trail.last_ns)
    for name in ("established_ns", "first_refused_ns", "refused_before_ns", "refused_ns", *more):
        time_ns = getattr(trail, name)
        if time_ns is not None:
            setattr(trail, name, _day(time_ns))


def _day(time_ns: int) -> int:
    return time_ns // DAY_NS * DAY_NS


def _trail_facts(trail: Trail) -> TrailFacts:
    return TrailFacts(*(getattr(trail, name) for name in TrailFacts.__struct_fields__))


def _with_trail(trail: AnyTrail, facts: TrailFacts) -> AnyTrail:
    for name in TrailFacts.__struct_fields__:
        setattr(trail, name, getattr(facts, name))
    return trail


def _stack_facts(stack: Stack) -> StackFacts:
    return StackFacts(
        shape=stack.shape,
        hellos=stack.hellos,
        rank=stack.rank,
        services=tuple(word for word in SERVICE_WORDS if stack.services & SERVICE_BIT[word]),
        outcomes={
            outcome.value: count
            for outcome, count in zip(OUTCOMES, stack.outcomes, strict=True)
            if count
        },
        first=_plain(stack.first),
        last=_plain(stack.last),
        destinations=tuple(_destinations(stack)),
        uses=tuple(
            UseFacts(use.service, use.destination, _trail_facts(use), *_use_counts(use))
            for use in stack.uses
        ),
    )


def _use_counts(use: Use) -> Iterable[Any]:
    return (getattr(use, name) for name in USE_COUNTS)


def _plain(evidence: Evidence) -> Evidence:
    time_ns, path, frame = evidence
    return time_ns, one_line(path), frame


def _destinations(stack: Stack) -> Iterable[DestinationFacts]:
    for key, hellos in zip(stack.destinations, stack.destination_counts, strict=True):
        label, address, port, name = read_destination(key)
        called = None if name is None else name.decode(WIRE_TEXT)
        yield DestinationFacts(label, address.hex(), port, called, hellos)


def _read_stack(facts: StackFacts) -> Stack:
    stack = Stack(facts.shape, facts.first)
    stack.hellos, stack.rank, stack.last = facts.hellos, facts.rank, facts.last
    for word in facts.services:
        stack.services |= SERVICE_BIT[word]
    stack.outcomes = [facts.outcomes.get(outcome.value, 0) for outcome in OUTCOMES]
    for to in facts.destinations:
        name = None if to.name is None else to.name.encode(WIRE_TEXT)
        key = destination_key(to.label.encode(), bytes.fromhex(to.address), to.port, name)
        stack.destinations.append(key)
        stack.destination_counts.append(to.hellos)
    for told in facts.uses:
        use = _with_trail(Use(told.trail.first_ns, told.service, told.destination), told.trail)
        for field in USE_COUNTS:
            setattr(use, field, getattr(told, field))
        stack.uses += (use,)
    return stack
