"""What a tracker saw and lost, in numbers."""

from msgspec import Struct, field

# Why a hello is not complete.
CUT = 0
GAP = 1
ENDED = 2
TIMEOUT = 3
END_OF_INPUT = 4
LENGTH = 5
EVICTED = 6

INCOMPLETE_REASONS = (
    "truncated",
    "gap",
    "ended",
    "timeout",
    "end_of_input",
    "length",
    "evicted",
)


class Counters(Struct, kw_only=True):
    """What the tracker saw and lost, since its start."""

    frames: int
    bytes: int
    frames_truncated: int
    frames_backwards: int
    """Frames older than one before them; their time is told, but nothing waits for it."""
    undecoded: dict[str, int]
    ethertypes: dict[str, int]
    """Frames that ended at an EtherType nobody here reads, by its number."""
    flows: int
    flows_open: int
    one_sided_flows: int
    hellos: int
    incomplete: dict[str, int]
    evicted: dict[str, int]
    reassembly_bytes: int
    unseen_bytes: int
    filtered_bytes: int
    conflicts: int
    evidence_lost: int
    """Frames of handshakes that found no room where evidence is kept."""
    passed_over: int
    """Messages in which devices say who they are that came too many at once to be read."""
    first_ns: int | None
    last_ns: int | None
    internal_errors: list[str] = field(default_factory=list)
