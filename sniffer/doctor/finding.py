"""What the doctor says, and what it says it from."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from sniffer.capture.interfaces import Interface, Offloads
from sniffer.config import Ports
from sniffer.inventory.aggregate import Snapshot
from sniffer.inventory.coverage import Coverage
from sniffer.judge.profile import Profile
from sniffer.survey import Facts


class Severity(StrEnum):
    """How much a finding matters, the worst first."""

    PROBLEM = "problem"
    """Clients may be hidden: the capture is unfit to tell that one is not there."""
    WARNING = "warning"
    """Part of the picture is missing or misleads."""
    NOTE = "note"
    """Good to know; nothing is lost by it."""


class Code(StrEnum):
    """Every finding there is; docs/doctor.md has a paragraph on each."""

    # The doubts of sniffer.inventory.coverage, word by word.
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

    DAMAGED = "damaged"
    INTERFACE_DOWN = "interface-down"
    INTERFACE_LOSES = "interface-loses"
    NOT_MIRRORED = "not-mirrored"
    ONE_MACHINE = "one-machine"
    ONE_WAY = "one-way"
    COPIES = "copies"
    NO_HELLOS = "no-hellos"
    ONLY_OPENINGS = "only-openings"
    ONE_PORT = "one-port"
    WRONG_VLAN = "wrong-vlan"
    VLANS = "vlans"
    TUNNELS = "tunnels"
    MAIL_ELSEWHERE = "mail-elsewhere"
    SNAP_LENGTH = "snap-length"
    CUT_BEFORE = "cut-before"
    OFFLOAD = "offload"
    CHECKSUMS = "checksums"
    CLOCK_UNSET = "clock-unset"
    CLOCK_BACK = "clock-back"
    SILENCE = "silence"
    TOO_SHORT = "too-short"
    OUTSIDE_NAT = "outside-nat"
    SAME_HELLO = "same-hello"
    FOREIGN_CERTIFICATE = "foreign-certificate"
    PATH_RESETS = "path-resets"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or worth knowing."""

    code: Code
    severity: Severity
    finding: str
    """A sentence for an admin."""
    figures: dict[str, Any]
    """The numbers behind it."""
    cure: str
    """What to do about it."""
    source: str | None = None
    """Who says so, where a fact is cited."""


class Port(Struct, frozen=True, kw_only=True):
    """An interface that was watched: as it is, and what its card counted meanwhile."""

    interface: Interface
    offloads: Offloads
    lost: dict[str, int]
    """What the card or its driver lost or refused, by the kernel's words; 0 is left out."""
    is_up: bool


class Evidence(Struct, frozen=True, kw_only=True):
    """All there is to judge a capture by."""

    coverage: Coverage
    facts: Facts
    snapshot: Snapshot
    ports: Ports
    profiles: Mapping[str, Profile]
    inputs: list[dict[str, Any]] = field(default_factory=list)
    """As the summary tells them."""
    port: Port | None = None
    """None: the capture is a file."""
