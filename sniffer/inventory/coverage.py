"""How far the picture can be trusted: what was seen, and everything that was lost."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from parsers.ethertypes import NO_IP

SHARE = 0.01
"""Losing more than this part of frames, octets or conversations makes a capture unfit: one
device in a hundred could then be missed for no fault of its own (reliability.md, row L9)."""

HELLO_SHARE = 0.1
"""The part of hellos that may be cut. A cut one is still counted, and often still told."""

HARMLESS_TYPES = frozenset(f"0x{number:04x}" for number in NO_IP)


class Doubt(StrEnum):
    """What makes a capture unfit to tell that a client is not there."""

    NOTHING_SEEN = "nothing-seen"
    LINK_TYPE = "link-type"
    NO_MAIL = "no-mail"
    NO_CLIENT_SIDE = "no-client-side"
    DROPPED = "dropped"
    UNREAD = "unread"
    UNKNOWN_ETHERTYPES = "unknown-ethertypes"
    CUT_HELLOS = "cut-hellos"
    UNSEEN = "unseen"
    NO_ROOM = "no-room"


class Coverage(Struct, kw_only=True):
    """Counters of one input or interface; they add up. Bytes count captured octets.

    ``a.merge(b)`` adds b's counters to a's; it is associative and commutative.
    """

    frames: int = 0
    frames_dropped: int = 0
    """Of the frames that arrived, those lost before they could be read (the kernel's count)."""
    bytes: int = 0
    flows: int = 0
    """TCP conversations followed."""
    one_sided_flows: int = 0
    """Of those, how many showed one direction only."""
    hellos: int = 0
    frames_truncated: int = 0
    """Frames the snap length cut."""
    frames_backwards: int = 0
    """Frames older than one before them."""
    undecoded: dict[str, int] = field(default_factory=dict)
    """Frames that could not be read down to what they carry, by reason."""
    ethertypes: dict[str, int] = field(default_factory=dict)
    """Frames that ended at an EtherType nobody here reads, by its number; the first 64
    numbers apart, the rest under ``other``."""
    incomplete: dict[str, int] = field(default_factory=dict)
    """Hellos that were not seen to their end, by reason."""
    evicted: dict[str, int] = field(default_factory=dict)
    """What was let go for want of room, by what it was."""
    unseen_bytes: int = 0
    """Octets of followed streams that were acknowledged or overtaken and never seen."""
    filtered_bytes: int = 0
    """Octets of followed streams that our own filter held back: nothing that is wanted."""
    conflicts: int = 0
    """Segments that repeated octets with other content; the first ones were kept."""
    evidence_lost: int = 0
    """Frames of handshakes that found no room where evidence is kept."""
    passed_over: int = 0
    """Messages of devices about themselves that came too many at once to be read."""
    first_ns: int | None = None
    last_ns: int | None = None
    """Times of the first and the newest frame."""

    @property
    def complete(self) -> int:
        """Hellos seen to their end: ``hellos = complete + incomplete``."""
        return self.hellos - sum(self.incomplete.values())

    @property
    def watched_seconds(self) -> float:
        """Time from the first to the newest frame."""
        if self.first_ns is None or self.last_ns is None:
            return 0.0
        return (self.last_ns - self.first_ns) / 1e9

    def merge(self, other: "Coverage") -> None:
        """Add what another input or time range saw and lost."""
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _BY_REASON:
            mine = getattr(self, name)
            for reason, count in getattr(other, name).items():
                mine[reason] = mine.get(reason, 0) + count
        if other.first_ns is not None:
            mine_ns = self.first_ns
            self.first_ns = other.first_ns if mine_ns is None else min(mine_ns, other.first_ns)
        if other.last_ns is not None:
            mine_ns = self.last_ns
            self.last_ns = other.last_ns if mine_ns is None else max(mine_ns, other.last_ns)

    def without(self, other: "Coverage") -> "Coverage":
        """Return what is counted here and was not yet in ``other``, an earlier state of it."""
        rest = self.copy()
        for name in _COUNTERS:
            setattr(rest, name, getattr(self, name) - getattr(other, name))
        for name in _BY_REASON:
            mine, theirs = getattr(rest, name), getattr(other, name)
            left = {reason: count - theirs.get(reason, 0) for reason, count in mine.items()}
            setattr(rest, name, {reason: count for reason, count in left.items() if count})
        return rest

    def copy(self) -> "Coverage":
        """Return the same counters, held apart from these."""
        other = Coverage()
        other.merge(self)
        return other

    def fitness(self) -> "Fitness":
        """Tell whether "no old client was seen" may be said of this, and why (not)."""
        doubts = self.doubts()
        if doubts:
            return Fitness(False, "; ".join(doubts.values()) + ".")
        return Fitness(True, "Nothing was found that would hide a client.")

    @property
    def unknown_types(self) -> dict[str, int]:
        """Of the EtherTypes nobody here reads, those that may well carry a client's packets."""
        return {
            number: count
            for number, count in sorted(self.ethertypes.items())
            if number not in HARMLESS_TYPES
        }

    def doubts(self) -> dict[Doubt, str]:
        """Return what makes the capture unfit to tell, one clause each, the plainest first."""
        if not self.frames:
            return {Doubt.NOTHING_SEEN: "No frame was seen"}
        undecoded = dict(self.undecoded)
        foreign = undecoded.pop("link_type", 0)
        unread = sum(undecoded.values())
        unknown = sum(self.unknown_types.values())
        cut = sum(self.incomplete.values())
        arrived = self.frames + self.frames_dropped
        let_go = sum(self.evicted.values())
        doubts = {}
        if foreign:
            doubts[Doubt.LINK_TYPE] = f"{_count(foreign, 'frame')} of a link type that is not read"
        if not self.flows:
            doubts[Doubt.NO_MAIL] = "No conversation on the watched ports was seen"
        elif self.one_sided_flows == self.flows and not self.hellos:
            doubts[Doubt.NO_CLIENT_SIDE] = (
                "Only one direction of every conversation was seen, and no hello in it"
            )
        if self.frames_dropped > SHARE * arrived:
            share = _share(self.frames_dropped, arrived)
            doubts[Doubt.DROPPED] = f"{share} of the frames were dropped"
        if unread > SHARE * self.frames:
            share, why = _share(unread, self.frames), _listed(undecoded)
            doubts[Doubt.UNREAD] = f"{share} of the frames could not be read ({why})"
        if unknown > SHARE * self.frames:
            share, which = _share(unknown, self.frames), _listed(self.unknown_types)
            clause = f"{share} of the frames are of unknown types ({which})"
            doubts[Doubt.UNKNOWN_ETHERTYPES] = clause
        if cut > HELLO_SHARE * self.hellos:
            doubts[Doubt.CUT_HELLOS] = f"{cut} of {self.hellos} hellos were cut"
        if self.unseen_bytes > SHARE * (self.bytes + self.unseen_bytes):
            share = _share(self.unseen_bytes, self.bytes + self.unseen_bytes)
            doubts[Doubt.UNSEEN] = f"{share} of the octets were sent but never seen"
        if let_go > SHARE * self.flows:
            what = _listed(self.evicted)
            doubts[Doubt.NO_ROOM] = f"Not all could be followed for want of room ({what})"
        return doubts


class Fitness(NamedTuple):
    """Whether a capture can tell that a client is not there, and why in one sentence."""

    fit: bool
    why: str


_BY_REASON = ("undecoded", "ethertypes", "incomplete", "evicted")
_COUNTERS = (
    "frames",
    "frames_dropped",
    "bytes",
    "flows",
    "one_sided_flows",
    "hellos",
    "frames_truncated",
    "frames_backwards",
    "unseen_bytes",
    "filtered_bytes",
    "conflicts",
    "evidence_lost",
    "passed_over",
)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
