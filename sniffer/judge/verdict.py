"""What an offer is worth to the destination it was made to.

A verdict is of the hello alone, never of its outcome. Only what a profile documents makes a
hello ``incompatible``; what it merely reports, or says is not documented, makes it
``at-risk`` at most; and a list that the profile does not have is never a reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from parsers.tls.facts import TLS_1_2, TLS_1_3, ClientHello
from parsers.tls.names import SUITES
from sniffer.config import OTHER_SERVICE, Ports, Relay
from sniffer.event import (
    ClearJudgement,
    DestinationBasis,
    Dialogue,
    Handshake,
    Judgement,
    Reason,
    Sighting,
    Verdict,
)
from sniffer.judge.downgrade import Downgrades
from sniffer.judge.ladder import Ladders, ladder_key
from sniffer.judge.profile import Accepts, CodeList, Destinations, Profile, normal_name
from sniffer.judge.relays import Relays
from sniffer.judge.resolutions import Resolutions

MOST_CHOICES = 4096
"""Destinations whose profile is remembered; beyond it all are forgotten and found anew."""

REASONS = tuple(Reason)

KEY_TRANSPORT = frozenset(c for c, name in SUITES.items() if name.startswith("TLS_RSA_WITH_"))
"""Suites in which the client encrypts a secret with the server's RSA key."""


class Judge:
    """Judges handshakes one after the other, in the order of their time."""

    def __init__(
        self,
        ports: Ports,
        profiles: Mapping[str, Profile],
        forced: Profile | None = None,
        relays: Iterable[Relay] = (),
    ) -> None:
        """Judge by these profiles, or by ``forced`` alone: the one of ``--profile``.

        ``relays``: those that were declared.
        """
        self._ladders = Ladders()
        self._downgrades = Downgrades()
        self._resolutions = Resolutions()
        self.use(ports, profiles, forced, relays)

    def use(
        self,
        ports: Ports,
        profiles: Mapping[str, Profile],
        forced: Profile | None = None,
        relays: Iterable[Relay] = (),
    ) -> None:
        """Judge by others from now on; clients' earlier offers stay known."""
        self._ports = ports
        self._forced = forced
        self._relays = Relays(relays)
        self._destinations = Destinations(profiles.values())
        # The key is wire text, so it is octets, whose hash is keyed, and the size is bound.
        self._choices: dict[bytes, tuple[Profile | None, DestinationBasis | None]] = {}
        self._rules: dict[tuple[str, str], Rules | None] = {}

    @property
    def ladders_evicted(self) -> int:
        """Clients whose earlier offers were let go for want of room, before 30 s were over."""
        return self._ladders.evicted

    def judge(self, handshake: Handshake) -> Judgement:
        """Return what the handshake's hello is worth to its destination."""
        flow, hello = handshake.flow, handshake.hello
        service = self._ports.service(flow.destination_port)
        profile, basis = self._choose(handshake, service)
        retried = False
        proven = least_offered(hello)
        if proven is not None:
            key = ladder_key(flow.source, flow.destination, flow.destination_port)
            retried = self._ladders.offer(key, proven, handshake.time_ns)

        self._downgrades.note(handshake)
        rules = None if profile is None else self._rules_of(profile, service)
        verdict, reasons = weigh(hello, rules, retried)
        name = None if profile is None else profile.name
        relay = self._relays.find(flow.destination, flow.destination_port)
        return Judgement(service, verdict, reasons, name, basis, relay)

    def note_answer(self, answer: Sighting) -> None:
        """Take in what a DNS server answered, before any hello that came after it."""
        self._resolutions.note(answer)

    def judge_dialogue(self, dialogue: Dialogue) -> ClearJudgement:
        """Return what is wrong with a dialogue; on ports that are none of mail's, nothing.

        The handshakes before it were judged before it.
        """
        service = self._ports.service(dialogue.flow.destination_port)
        kinds = () if service == OTHER_SERVICE else self._downgrades.judge(dialogue)
        return ClearJudgement(service, kinds)

    def _choose(
        self, handshake: Handshake, service: str
    ) -> tuple[Profile | None, DestinationBasis | None]:
        if self._forced is not None:
            return self._forced, DestinationBasis.FORCED
        flow, server_name = handshake.flow, handshake.hello.server_name
        address, port = flow.destination, flow.destination_port
        key = b"%c%c%c%b%b" % (
            len(address),
            port >> 8,
            port & 0xFF,
            address,
            normal_name(server_name),
        )
        choice = self._choices.get(key)
        if choice is None:
            if len(self._choices) >= MOST_CHOICES:
                self._choices.clear()
            choice = self._destinations.choose(server_name, address, service)
            self._choices[key] = choice
        if choice[1] is not DestinationBasis.SNI and self._resolutions:
            called = self._resolutions.name(flow.source, address, handshake.time_ns)
            named = self._destinations.called(called, server_name)
            if named is not None:
                return named, DestinationBasis.DNS
        return choice

    def _rules_of(self, profile: Profile, service: str) -> "Rules | None":
        key = profile.name, service
        if key not in self._rules:
            accepts = profile.accepts(service)
            self._rules[key] = None if accepts is None else Rules(accepts)
        return self._rules[key]


def least_offered(hello: ClientHello) -> int | None:
    """Return the version that the client offered at least, or None.

    That is the highest one where it is proven. A cut hello whose version field says 0x0303
    leaves open whether TLS 1.3 was offered too, and proves TLS 1.2.
    """
    if hello.max_offered is None and not hello.complete and hello.legacy_version == TLS_1_2:
        return TLS_1_2
    return hello.max_offered


def weigh(
    hello: ClientHello, rules: "Rules | None", retried: bool
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Return the verdict and all its reasons; ``rules`` None: the destination is not known.

    ``retried``: the same client offered more a moment before.
    """
    top = hello.max_offered
    if top is None:
        return Verdict.UNKNOWN, () if hello.complete else (Reason.CUT,)

    fits = {} if rules is None else rules.fits(hello, top)
    if top < TLS_1_2:
        fits[Reason.VERSION] = Fit.REFUSED
    reasons = tuple(reason for reason in REASONS if fits.get(reason, Fit.GOOD) < Fit.GOOD)
    if top < TLS_1_2:
        legacy = not (retried or hello.fallback_scsv)
        return Verdict.LEGACY if legacy else Verdict.FALLBACK, reasons

    worst = min(fits.values(), default=Fit.GOOD)
    if worst is Fit.REFUSED:
        return Verdict.INCOMPATIBLE, reasons
    if not hello.complete and rules is not None and rules.lack(hello):
        return Verdict.UNKNOWN, (*reasons, Reason.CUT)
    return Verdict.AT_RISK if worst is Fit.DOUBTFUL else Verdict.OK, reasons


class Fit(IntEnum):
    """How well an offer fits what a provider accepts, worst first."""

    REFUSED = 0
    DOUBTFUL = 1
    GOOD = 2


class Codes:
    """One list of a profile, ready to hold offers against; None: not known, so all fits."""

    def __init__(self, codes: CodeList | None) -> None:
        """Take a list over from a profile."""
        self.known = codes is not None
        codes = codes or CodeList(exhaustive=False)
        self.accepted = frozenset(codes.accepted)
        self._doubtful = frozenset((*codes.reported_refused, *codes.undocumented))
        self._rest = Fit.REFUSED if codes.exhaustive else Fit.DOUBTFUL

    def fit(self, offered: Sequence[int]) -> Fit:
        """Tell how the best of the offered code points fits."""
        if not self.known or not self.accepted.isdisjoint(offered):
            return Fit.GOOD
        return self._rest if self._doubtful.isdisjoint(offered) else Fit.DOUBTFUL


class Rules:
    """What a provider makes of a hello's lists on one service."""

    def __init__(self, accepts: Accepts) -> None:
        """Take the lists over from a profile's entry."""
        self._minimum = accepts.minimum
        self._tls10 = Codes(accepts.suites.tls10)
        self._tls12 = Codes(accepts.suites.tls12)
        self._tls13 = Codes(accepts.suites.tls13)
        self._groups = Codes(accepts.groups)
        self._signature_algorithms = Codes(accepts.signature_algorithms)

    def fits(self, hello: ClientHello, top: int) -> dict[Reason, Fit]:
        """Tell how each part of a hello fits that offers ``top`` at most.

        A list that was cut away, or that the client leaves to the server, fits.
        """
        fits = {}
        if top < self._minimum:
            fits[Reason.VERSION] = Fit.REFUSED
        if hello.suites is None:
            return fits
        older, newest = self._suite_lists(hello, top)
        if older or newest:
            fits[Reason.SUITES] = best((*older, *newest), hello.suites)
        if not self._groups.known and not self._signature_algorithms.known:
            return fits

        # RSA key transport uses no group and no signature: where it is open, both can miss.
        transport = [code for code in hello.suites if code in KEY_TRANSPORT]
        without = best(older, transport) if transport else Fit.REFUSED
        if hello.groups is not None:
            fits[Reason.GROUPS] = max(without, self._groups.fit(hello.groups))
        if hello.signature_algorithms is not None and top >= TLS_1_2:
            fits[Reason.SIGNATURE_ALGORITHMS] = max(
                without, self._signature_algorithms.fit(hello.signature_algorithms)
            )
        return fits

    def lack(self, hello: ClientHello) -> bool:
        """Tell whether a list is missing from a hello on which there is something to say."""
        return (hello.groups is None and self._groups.known) or (
            hello.signature_algorithms is None and self._signature_algorithms.known
        )

    def _suite_lists(
        self, hello: ClientHello, top: int
    ) -> tuple[tuple[Codes, ...], tuple[Codes, ...]]:
        """Return what the suites are held against: up to TLS 1.2, and TLS 1.3."""
        newest = (self._tls13,) if top >= TLS_1_3 else ()
        if top >= TLS_1_2:
            agreeable = self._minimum <= TLS_1_2 and offers_tls12(hello)
            return (self._tls12,) if agreeable else (), newest
        # Where the version is refused anyway, TLS 1.2's list tells whether a newer version
        # alone would do.
        return (self._tls10 if self._minimum <= top else self._tls12,), newest


def best(lists: Iterable[Codes], offered: Sequence[int]) -> Fit:
    """Tell how code points fit the most welcoming of some lists."""
    return max((codes.fit(offered) for codes in lists), default=Fit.REFUSED)


def offers_tls12(hello: ClientHello) -> bool:
    """Tell whether TLS 1.2 itself is among the versions offered."""
    if hello.supported_versions is None:
        return hello.legacy_version >= TLS_1_2
    return TLS_1_2 in hello.supported_versions
