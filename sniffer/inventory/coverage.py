"""How far the picture can be trusted: what was seen, and everything that was lost."""

from typing import NamedTuple

from msgspec import Struct, field

SHARE = 0.01
"""Losing more than this part of frames, octets or conversations makes a capture unfit: one
device in a hundred could then be missed for no fault of its own (reliability.md, row L9)."""

HELLO_SHARE = 0.1
"""The part of hellos that may be cut. A cut one is still counted, and often still told."""


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
    undecoded: dict[str, int] = field(default_factory=dict)
    """Frames that could not be read down to what they carry, by reason."""
    incomplete: dict[str, int] = field(default_factory=dict)
    """Hellos that were not seen to their end, by reason."""
    evicted: dict[str, int] = field(default_factory=dict)
    """What was let go for want of room, by what it was."""
    unseen_bytes: int = 0
    """Octets of followed streams that were acknowledged or overtaken and never seen."""
    conflicts: int = 0
    """Segments that repeated octets with other content; the first ones were kept."""
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

    def copy(self) -> "Coverage":
        """Return the same counters, held apart from these."""
        other = Coverage()
        other.merge(self)
        return other

    def fitness(self) -> "Fitness":
        """Tell whether "no old client was seen" may be said of this, and why (not)."""
        doubts = self.doubts()
        if doubts:
            return Fitness(False, "; ".join(doubts) + ".")
        return Fitness(True, "Nothing was found that would hide a client.")

    def doubts(self) -> list[str]:
        """Return what makes the capture unfit to tell, one clause each, the plainest first."""
        if not self.frames:
            return ["No frame was seen"]
        undecoded = dict(self.undecoded)
        foreign = undecoded.pop("link_type", 0)
        unread = sum(undecoded.values())
        cut = sum(self.incomplete.values())
        arrived = self.frames + self.frames_dropped
        let_go = sum(self.evicted.values())
        doubts = []
        if foreign:
            doubts.append(f"{_count(foreign, 'frame')} of a link type that is not read")
        if not self.flows:
            doubts.append("No conversation on the watched ports was seen")
        elif self.one_sided_flows == self.flows and not self.hellos:
            doubts.append("Only one direction of every conversation was seen, and no hello in it")
        if self.frames_dropped > SHARE * arrived:
            doubts.append(f"{_share(self.frames_dropped, arrived)} of the frames were dropped")
        if unread > SHARE * self.frames:
            why = ", ".join(f"{reason} {count}" for reason, count in sorted(undecoded.items()))
            doubts.append(f"{_share(unread, self.frames)} of the frames could not be read ({why})")
        if cut > HELLO_SHARE * self.hellos:
            doubts.append(f"{cut} of {_count(self.hellos, 'hello')} were cut")
        if self.unseen_bytes > SHARE * (self.bytes + self.unseen_bytes):
            of = self.bytes + self.unseen_bytes
            doubts.append(f"{_share(self.unseen_bytes, of)} of the octets were sent but never seen")
        if let_go > SHARE * self.flows:
            what = ", ".join(f"{name} {count}" for name, count in sorted(self.evicted.items()))
            doubts.append(f"Not all could be followed for want of room ({what})")
        return doubts


class Fitness(NamedTuple):
    """Whether a capture can tell that a client is not there, and why in one sentence."""

    fit: bool
    why: str


_BY_REASON = ("undecoded", "incomplete", "evicted")
_COUNTERS = (
    "frames",
    "frames_dropped",
    "bytes",
    "flows",
    "one_sided_flows",
    "hellos",
    "frames_truncated",
    "unseen_bytes",
    "conflicts",
)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
