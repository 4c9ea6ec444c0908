"""In what two profiles differ, service by service."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from parsers.tls.names import group, signature_scheme, suite
from sniffer.config import OTHER_SERVICE, SERVICES
from sniffer.judge.profile import Accepts, CodeList, Profile


class Difference(NamedTuple):
    """One thing in which they differ. What one of them does not say is empty."""

    service: str
    """Empty: of the profile as a whole."""
    what: str
    one: str
    other: str


def differences(one: Profile, other: Profile) -> Iterator[Difference]:
    """Yield what differs: versions, suites and lists, windows, then names and addresses."""
    for service in (*SERVICES.values(), OTHER_SERVICE):
        mine = dict(_entry(one.accepts(service)))
        theirs = dict(_entry(other.accepts(service)))
        yield from _compare(service, mine, theirs)
    yield from _compare("", dict(_places(one)), dict(_places(other)))


def _compare(
    service: str, mine: dict[str, tuple[str, ...]], theirs: dict[str, tuple[str, ...]]
) -> Iterator[Difference]:
    for what in dict.fromkeys([*mine, *theirs]):
        here, there = mine.get(what, ()), theirs.get(what, ())
        if here != there:
            # Of lists only what the other one lacks.
            yield Difference(service, what, _without(here, there), _without(there, here))


def _without(words: Iterable[str], others: tuple[str, ...]) -> str:
    return ", ".join(word for word in words if word not in others)


def _entry(accepts: Accepts | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    if accepts is None:
        return
    yield "minimum_version", (accepts.minimum_version,)
    lists: tuple[tuple[str, CodeList | None], ...] = (
        ("suites.tls10", accepts.suites.tls10),
        ("suites.tls12", accepts.suites.tls12),
        ("suites.tls13", accepts.suites.tls13),
        ("groups", accepts.groups),
        ("signature_algorithms", accepts.signature_algorithms),
    )
    for name, codes in lists:
        if codes is None:
            continue
        spell = {"groups": group, "signature_algorithms": signature_scheme}.get(name, suite)
        for key in ("accepted", "reported_refused", "undocumented"):
            yield f"{name}.{key}", tuple(sorted(map(spell, getattr(codes, key))))
        yield f"{name}.exhaustive", (str(codes.exhaustive).lower(),)
    if accepts.window is not None:
        for key in ("announced", "start", "start_revised", "end"):
            day = getattr(accepts.window, key)
            yield f"window.{key}", () if day is None else (day.isoformat(),)


def _places(profile: Profile) -> Iterator[tuple[str, tuple[str, ...]]]:
    names = profile.names
    yield "names.hosts", () if names is None else tuple(sorted(names.hosts))
    yield "names.hosts_exclude", () if names is None else tuple(sorted(names.hosts_exclude))
    networks = {network for ranges in profile.ranges for network in ranges.networks}
    yield "ranges.networks", tuple(sorted(networks))
