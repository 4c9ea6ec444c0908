"""What a provider accepts, read from a TOML file, and which provider a destination is.

A profile is data with a source and a date at each entry; ``docs/profiles.md`` describes the
file. Those that ship lie in ``profiles/``; a user's file replaces the one of the same name.
Unknown keys are refused, so that a misspelt one cannot pass for a missing fact.

What a file leaves out is unknown, and what is unknown never counts against a hello.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from importlib.resources import files
from importlib.resources.abc import Traversable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert, field

from parsers.tls.facts import is_grease
from parsers.tls.names import VERSIONS
from sniffer.config import OTHER_SERVICE, SERVICES
from sniffer.errors import ConfigError
from sniffer.event import DestinationBasis, Reason, Verdict

VERSION_CODES = {word: code for code, word in VERSIONS.items()}
"""The contract's words for versions, as profile files write them."""

LONGEST_NAME = 253
"""A longer server name is no host name (RFC 1035 section 2.3.4), so it names no profile."""

UNKNOWN_OR_MISSING = {
    "Object contains unknown field": "there is no such key",
    "Object missing required field": "is missing",
}
"""Beginnings of what msgspec says of a whole table, and the same said of its key."""

VersionName = Literal["SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]
Text = Annotated[str, Meta(min_length=1)]
Code = Annotated[int, Meta(ge=0, le=0xFFFF)]
ProfileName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a profile states: who says so, and when that was last looked up."""

    source: Text
    checked: date


class CodeList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider makes of the code points of one list."""

    accepted: tuple[Code, ...] = ()
    """Documented, or seen, to be taken."""
    reported_refused: tuple[Code, ...] = ()
    """Documented as taken, or once taken, but reported to be refused."""
    undocumented: tuple[Code, ...] = ()
    """Nothing is known of these."""
    exhaustive: bool = True
    """Whether all that is not listed is refused; False: nothing is known of the rest."""


class Suites(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cipher suites by the version they are used with; None: unknown."""

    tls10: CodeList | None = None
    """With TLS 1.1 and older."""
    tls12: CodeList | None = None
    tls13: CodeList | None = None


class Window(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When TLS older than 1.2 stops working, as announced. None: not announced."""

    announced: date | None = None
    start: date | None = None
    start_revised: date | None = None
    """A later word on the start."""
    end: date | None = None
    """The day by which all such connections are refused."""


class Accepts(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider accepts on some of its services."""

    services: tuple[Text, ...] = ()
    """The contract's service words; empty: all that no other entry names."""
    minimum_version: VersionName
    suites: Suites = Suites()
    groups: CodeList | None = None
    signature_algorithms: CodeList | None = None
    window: Window | None = None

    @property
    def minimum(self) -> int:
        """The lowest version accepted, as its code point."""
        return VERSION_CODES[self.minimum_version]


class Names(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider's host names; a leading ``*`` stands for any beginning of a name."""

    hosts: tuple[Text, ...]
    hosts_exclude: tuple[Text, ...] = ()
    """Never this profile, neither by name nor by address."""


class Ranges(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Address ranges, which name the provider for the services listed."""

    services: tuple[Text, ...] = ()
    """Empty: every service. Ranges often hold more than mail."""
    networks: tuple[Text, ...]


class Certificates(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who issues the provider's certificates: another issuer inspects TLS on the way."""

    issuers: tuple[Text, ...]
    """How the organisation of the issuer begins, or its common name where it has none."""


class Notice(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dated remark that belongs to a service, apart from its TLS versions."""

    services: tuple[Text, ...] = ()
    """Empty: every service."""
    date: date
    """The day it took or takes effect."""
    text: Text


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the judge must say of a sample."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    profile: str | None = None
    """None: no profile is chosen."""
    destination_basis: DestinationBasis | None = None


class Sample(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hello to a destination, and what the judge must say of it."""

    what: Text
    address: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    server_name: str | None = None
    legacy_version: VersionName
    supported_versions: tuple[VersionName, ...] | None = None
    suites: tuple[Code, ...]
    groups: tuple[Code, ...] | None = None
    signature_algorithms: tuple[Code, ...] | None = None
    expected: Expected


class Profile(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider. ``checked`` is the day somebody last looked its facts up as a whole."""

    name: ProfileName
    title: Text
    accept_entries: tuple[Accepts, ...] = field(default=(), name="accepts")
    names: Names | None = None
    ranges: tuple[Ranges, ...] = ()
    certificates: Certificates | None = None
    notice_entries: tuple[Notice, ...] = field(default=(), name="notices")
    samples: tuple[Sample, ...] = ()

    def accepts(self, service: str) -> Accepts | None:
        """Return what is accepted on a service; None if nothing is said of it."""
        others = None
        for entry in self.accept_entries:
            if service in entry.services:
                return entry
            if not entry.services:
                others = entry
        return others

    def enforcement(self, service: str) -> Window | None:
        """Return the announcement that old TLS ends on a service, with its source."""
        entry = self.accepts(service)
        return None if entry is None else entry.window

    def window(self, service: str) -> tuple[int | None, int | None] | None:
        """Return start and end of the enforcement in seconds since 1970, each None if unknown.

        None: no enforcement was announced. The start is the revised one where there is one;
        days begin at midnight UTC. Sources differ on starts: count towards the end only.
        """
        window = self.enforcement(service)
        if window is None:
            return None
        start = window.start_revised or window.start
        return (
            None if start is None else unix_seconds(start),
            None if window.end is None else unix_seconds(window.end),
        )

    def notices(self, service: str) -> tuple[Notice, ...]:
        """Return the remarks that belong to a service, oldest first."""
        mine = [r for r in self.notice_entries if not r.services or service in r.services]
        return tuple(sorted(mine, key=lambda notice: notice.date))


def unix_seconds(day: date) -> int:
    """Return midnight UTC at the beginning of a day, in seconds since 1970."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def load_profiles(paths: Iterable[Path] = ()) -> dict[str, Profile]:
    """Read the profiles that ship, then the user's files, which replace them by name.

    Raises ConfigError with file and key.
    """
    shipped = (file for file in _shipped().iterdir() if file.name.endswith(".toml"))
    profiles: dict[str, Profile] = {}
    for path in (*sorted(shipped, key=lambda file: file.name.removesuffix(".toml")), *paths):
        profile = read_profile(path)
        # Taken out first, so that a replacement also takes its place in the order.
        profiles.pop(profile.name, None)
        profiles[profile.name] = profile
    return profiles


def shipped_text(name: str) -> str:
    """Return the file of a profile that ships."""
    return _shipped().joinpath(f"{name}.toml").read_text()


def _shipped() -> Traversable:
    return files("sniffer.judge").joinpath("profiles")


def find_profile(
    wanted: str, profiles: Mapping[str, Profile], option: str = "--profile"
) -> Profile:
    """Return the profile that ``--profile NAME|FILE``, or another option, asks for.

    A name that is loaded comes first. Raises ConfigError if it is neither.
    """
    if wanted in profiles:
        return profiles[wanted]
    path = Path(wanted)
    if path.suffix == ".toml" or path.is_file():
        return read_profile(path)
    known = ", ".join(profiles)
    raise ConfigError(option, "", f"{wanted!r} is neither a file nor one of {known}")


def read_profile(path: Path | Traversable) -> Profile:
    """Read and check one file. Raises ConfigError with file and key."""
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number may be too long, lists too deep.
        raise ConfigError(str(path), "", f"no TOML: {error}") from None
    try:
        profile = convert(table, Profile)
    except ValidationError as error:
        raise ConfigError(str(path), *key_and_reason(str(error))) from None
    for key, why in mistakes(profile):
        raise ConfigError(str(path), key, why)
    return profile


def key_and_reason(message: str) -> tuple[str, str]:
    """Return key and reason of what msgspec says: ``REASON - at `$.KEY```."""
    why, _, key = message.partition(" - at `$")
    key = key.rstrip("`").removeprefix(".")
    for beginning, reason in UNKNOWN_OR_MISSING.items():
        if why.startswith(beginning):
            field_name = why.removeprefix(beginning).strip(" `")
            return ".".join(part for part in (key, field_name) if part), reason
    return key, why


def mistakes(profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield key and reason of what the types alone do not rule out."""
    words = (*SERVICES.values(), OTHER_SERVICE)
    claimed: set[str] = set()
    for i, entry in enumerate(profile.accept_entries):
        where = f"accepts[{i}]"
        yield from unknown_services(where, entry.services, words)
        for service in entry.services or ("",):
            if service in claimed:
                yield f"{where}.services", f"{service or 'all others'} is named twice"
            claimed.add(service)
        lists = {
            "suites.tls10": entry.suites.tls10,
            "suites.tls12": entry.suites.tls12,
            "suites.tls13": entry.suites.tls13,
            "groups": entry.groups,
            "signature_algorithms": entry.signature_algorithms,
        }
        for name, codes in lists.items():
            if codes is not None:
                yield from wrong_codes(f"{where}.{name}", codes)
        window = entry.window
        if window is not None and window.end is not None:
            for start in (window.start, window.start_revised):
                if start is not None and start > window.end:
                    yield f"{where}.window.end", "lies before the start"
    if profile.names is not None:
        for key in ("hosts", "hosts_exclude"):
            for i, pattern in enumerate(getattr(profile.names, key)):
                if "*" in pattern[1:] or normal_name(pattern.encode()) in (b"", b"*"):
                    why = f"{pattern!r} is no ASCII host name, nor * and the end of one"
                    yield f"names.{key}[{i}]", why
    for i, ranges in enumerate(profile.ranges):
        yield from unknown_services(f"ranges[{i}]", ranges.services, words)
        for j, network in enumerate(ranges.networks):
            try:
                ip_network(network)
            except ValueError as error:
                yield f"ranges[{i}].networks[{j}]", str(error)
    for i, notice in enumerate(profile.notice_entries):
        yield from unknown_services(f"notices[{i}]", notice.services, words)
    for i, sample in enumerate(profile.samples):
        try:
            ip_address(sample.address)
        except ValueError as error:
            yield f"samples[{i}].address", str(error)


def unknown_services(
    where: str, services: Sequence[str], words: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the service words that the contract does not have."""
    for service in services:
        if service not in words:
            yield f"{where}.services", f"{service!r} is no service: one of {', '.join(words)}"


def wrong_codes(where: str, codes: CodeList) -> Iterator[tuple[str, str]]:
    """Yield the code points that stand twice or can never be agreed on."""
    seen: set[int] = set()
    for name in ("accepted", "reported_refused", "undocumented"):
        for code in getattr(codes, name):
            if code in seen:
                yield f"{where}.{name}", f"0x{code:04x} stands there twice"
            if is_grease(code):
                yield f"{where}.{name}", f"0x{code:04x} is GREASE, which nobody accepts"
            seen.add(code)


class Destinations:
    """Which profile a destination has: by the name it was called by, else by its address.

    Where several fit, the longer name or the narrower range wins, then the profile loaded
    last. ``choose`` costs a few lookups; the judge remembers its answers.
    """

    def __init__(self, profiles: Iterable[Profile]) -> None:
        """Index the names and ranges of profiles, given in the order they were loaded."""
        self._hosts: dict[bytes, Profile] = {}
        self._endings: list[tuple[bytes, Profile]] = []
        self._excluded: list[tuple[bytes, Profile]] = []
        # By octets in an address (4, 16), then by prefix length, then by the prefix.
        self._ranges: dict[int, dict[int, dict[bytes, list[tuple[Profile, Ranges]]]]] = {}
        for profile in profiles:
            if profile.names is not None:
                self._add_names(profile, profile.names)
            for ranges in profile.ranges:
                for network in ranges.networks:
                    self._add_network(profile, ranges, network)
        # Sorting is stable: of equal endings the one loaded last stands first.
        self._endings.reverse()
        self._endings.sort(key=lambda item: -len(item[0]))
        for family, lengths in self._ranges.items():
            self._ranges[family] = dict(sorted(lengths.items(), reverse=True))

    def choose(
        self, server_name: bytes | None, address: bytes, service: str
    ) -> tuple[Profile | None, DestinationBasis | None]:
        """Return the profile of a destination and what named it; (None, None) if nothing did.

        A server name that names no profile leaves the question to the address.
        """
        name = normal_name(server_name)
        if name:
            named = self._by_name(name)
            if named is not None:
                return named, DestinationBasis.SNI
        found = self._by_address(address, service, name)
        return (None, None) if found is None else (found, DestinationBasis.ADDRESS)

    def called(self, name: bytes | None, server_name: bytes | None = None) -> Profile | None:
        """Return the profile of a destination whose address was found under a name.

        ``server_name`` is what it was called by besides, which may rule a profile out.
        """
        named = self._by_name(normal_name(name))
        if named is None or self._is_excluded(normal_name(server_name), named):
            return None
        return named

    def _by_name(self, name: bytes) -> Profile | None:
        profile = self._hosts.get(name)
        if profile is not None and not self._is_excluded(name, profile):
            return profile
        for ending, profile in self._endings:
            if matches_ending(name, ending) and not self._is_excluded(name, profile):
                return profile
        return None

    def _by_address(self, address: bytes, service: str, name: bytes) -> Profile | None:
        bits = 8 * len(address)
        value = int.from_bytes(address, "big")
        for length, prefixes in self._ranges.get(len(address), {}).items():
            prefix = (value >> (bits - length)).to_bytes(len(address), "big")
            for profile, ranges in reversed(prefixes.get(prefix, ())):
                serves = not ranges.services or service in ranges.services
                if serves and not self._is_excluded(name, profile):
                    return profile
        return None

    def _is_excluded(self, name: bytes, profile: Profile) -> bool:
        return any(
            profile is other
            and (matches_ending(name, pattern[1:]) if pattern[:1] == b"*" else name == pattern)
            for pattern, other in self._excluded
        )

    def _add_names(self, profile: Profile, names: Names) -> None:
        for pattern in names.hosts:
            text = normal_name(pattern.encode())
            if text.startswith(b"*"):
                self._endings.append((text[1:], profile))
            else:
                self._hosts[text] = profile
        self._excluded += [(normal_name(p.encode()), profile) for p in names.hosts_exclude]

    def _add_network(self, profile: Profile, ranges: Ranges, text: str) -> None:
        network = ip_network(text)
        octets = network.max_prefixlen // 8
        shifted = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        lengths = self._ranges.setdefault(octets, {})
        prefixes = lengths.setdefault(network.prefixlen, {})
        prefixes.setdefault(shifted.to_bytes(octets, "big"), []).append((profile, ranges))


def host_patterns(profiles: Iterable[Profile]) -> tuple[tuple[str, ...], ...]:
    """Return what the names of hosts are recognised by."""
    names = [profile.names for profile in profiles if profile.names is not None]
    return tuple(sorted((*one.hosts, "", *one.hosts_exclude) for one in names))


class WantedNames:
    """The host names of profiles, of which it is asked what addresses they have."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        """Take over the names of profiles, given in the order they were loaded."""
        profiles = list(profiles)
        self._destinations = Destinations(profiles)
        hosts = [host for one in profiles if one.names is not None for host in one.names.hosts]
        self.hints = tuple(sorted({_longest_label(host) for host in hosts}))
        """Octets of which each of the names has some in it, in any case of letters."""

    def __contains__(self, name: bytes) -> bool:
        """Tell whether a name is one of them."""
        return self._destinations.called(name) is not None


def _longest_label(host: str) -> bytes:
    return max(normal_name(host.encode()).lstrip(b"*").split(b"."), key=len)


def wanted_names(profiles: Mapping[str, Profile]) -> WantedNames | None:
    """Return the host names that are asked for; None: none is."""
    return WantedNames(profiles.values()) if host_patterns(profiles.values()) else None


def normal_name(server_name: bytes | None) -> bytes:
    """Return a name as it is compared: lower case, no dot at its end; empty if it is none.

    Only ASCII letters fold, and a name with other octets compares equal to nothing.
    """
    if server_name is None or len(server_name) > LONGEST_NAME + 1 or not server_name.isascii():
        return b""
    return server_name.lower().removesuffix(b".")


def matches_ending(name: bytes, ending: bytes) -> bool:
    """Tell whether a name ends so and has something before it."""
    return len(name) > len(ending) and name.endswith(ending)
