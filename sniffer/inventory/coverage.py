"""How far the picture can be trusted: what was seen, and everything that was lost."""

from msgspec import Struct, field


class Coverage(Struct, kw_only=True):
    """Counters of one input or interface; they add up. Bytes count captured octets."""

    frames: int = 0
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
