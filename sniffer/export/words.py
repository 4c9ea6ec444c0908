"""The words on the screen, where they differ from the codes: used by terminal, page, report.

A word in braces is a fact that whoever shows the word has to give. Codes that stand in no
table are shown as they are.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from parsers.tls.facts import TLS_1_0
from parsers.tls.names import version as version_name
from sniffer.event import Outcome, Side, Status, Sure, Verdict
from sniffer.inventory.coverage import Coverage

COVERAGE = "What we could see"

STATUS = {
    Status.LEGACY: "Old TLS ({version})",
    Status.REFUSED: "Refused by {refused_by}",
    Status.INCOMPATIBLE: "No cryptography in common",
    Status.AT_RISK: "May be refused (reported, not confirmed)",
    Status.RELAYED: "Old TLS, through the relay",
    Status.IMPROVING: "No old TLS lately",
    Status.FIXED: "Verified: {handshakes} in {days}, all 1.2 or newer",
    Status.SILENT: "Not seen for {days}",
    Status.EXCEPTED: "Old TLS, accepted for now",
    Status.OK: "OK",
    Status.UNKNOWN: "Cannot tell",
}

VERDICT = {
    Verdict.UNKNOWN: "Cannot tell",
    Verdict.FALLBACK: "Can do 1.2, fell back",
    Verdict.LEGACY: "Old TLS ({version})",
    Verdict.INCOMPATIBLE: "No cryptography in common",
    Verdict.AT_RISK: "May be refused (reported, not confirmed)",
    Verdict.OK: "OK",
}

OUTCOME = {
    Outcome.ESTABLISHED: "TLS agreed (login not visible)",
    Outcome.ALERT: "Broken off by an alert",
    Outcome.RESET: "Connection reset",
    Outcome.CLOSED: "Connection closed",
    Outcome.UNANSWERED: "No answer (not a TLS verdict)",
    Outcome.REFUSED_STARTTLS: "Upgrade to TLS refused",
    Outcome.UNKNOWN: "End not seen",
}

THROWN_OUT = {
    Sure.LIKELY: "TLS agreed, then most likely thrown out",
    Sure.POSSIBLE: "TLS agreed, closed soon by the server",
}
"""In place of the outcome's words where nothing can have come of the agreement."""

SIDE = {
    Side.CLIENT: "the device",
    Side.SERVER: "the server",
    Side.PATH: "something on the way",
    Side.UNKNOWN: "somebody",
}

DID = {
    "firmware": "Firmware updated",
    "setting": "Setting changed",
    "relay": "Put behind a relay",
    "replaced": "Replaced",
    "retired": "Taken out of service",
}
"""What somebody says was done about a device."""

CLAIM = {
    "verified": "verified",
    "pending": "nothing old since, not yet verified",
    "not-seen-since": "not seen since",
    "still-old": "still old",
    "came-back": "came back",
}
"""What became of it."""

CHANGE = {
    "new": "new",
    "came-back": "came back",
    "worse": "worse",
    "improving": "better lately",
    "fixed": "verified as mended",
    "vanished": "not seen any more",
    "changed": "changed otherwise",
}
"""What became of devices between two moments."""

MOST_URGENT = (
    Status.REFUSED,
    Status.LEGACY,
    Status.INCOMPATIBLE,
    Status.AT_RISK,
    Status.IMPROVING,
    Status.RELAYED,
    Status.EXCEPTED,
    Status.SILENT,
    Status.UNKNOWN,
    Status.FIXED,
    Status.OK,
)
"""Statuses by how soon somebody has to look."""

WILL_BREAK = {True: "Yes", False: "No", None: "Cannot tell"}

FIT = {True: "Fit to tell", False: "Not fit to tell"}

WATCH_LONGER = (
    'A working day, better a month end, must pass before "none" means something: '
    "some devices send mail once a month."
)


def status_words(
    status: Status,
    version: int | None = None,
    refused_by: str | None = None,
    handshakes: int = 0,
    days: int = 0,
) -> str:
    """Return a device's status in words. ``version``: the oldest it offers as its best."""
    return STATUS[status].format(
        version=short_version(version),
        refused_by=SIDE[Side(refused_by or Side.UNKNOWN)],
        handshakes=counted(handshakes, "handshake"),
        days=counted(days, "day"),
    )


def verdict_words(verdict: Verdict, version: int | None = None) -> str:
    """Return a verdict in words."""
    return VERDICT[verdict].format(version=short_version(version))


def outcome_words(outcome: Outcome, thrown_out: Sure | None = None) -> str:
    """Return an outcome in words; ``thrown_out``: what followed shows that it was no success."""
    return OUTCOME[outcome] if thrown_out is None else THROWN_OUT[thrown_out]


def ends(
    outcomes: Mapping[str, int], thrown_out: Mapping[str, int] | None = None
) -> list[tuple[str, int]]:
    """Return how handshakes ended, in words with numbers, the most frequent first.

    Both as the summary has them of a stack: those thrown out are among the established.
    """
    told = {OUTCOME[Outcome(code)]: count for code, count in outcomes.items()}
    for sure, count in (thrown_out or {}).items():
        if count:
            told[OUTCOME[Outcome.ESTABLISHED]] -= count
            told[THROWN_OUT[Sure(sure)]] = count
    return sorted(((word, n) for word, n in told.items() if n), key=lambda end: (-end[1], end[0]))


def break_words(will_break: bool | None, breaks: Mapping[str, str | None] | None) -> str:
    """Return whether and when a device breaks; ``breaks`` as the summary has it."""
    told = breaks or {}
    if told.get("when") == "already-refused":
        return "Refused already"
    word = WILL_BREAK[will_break]
    if not will_break:
        return word
    match told.get("when"):
        case "window-open":
            return f"{word}, any day now"
        case "dated" if told.get("from"):
            return f"{word}, from {told['from']}"
        case "dated" if told.get("until"):
            return f"{word}, by {told['until']}"
    return word


def claim_words(claim: Mapping[str, str]) -> str:
    """Return what was done about a device, as the inventory has it, and what became of it."""
    return f"{DID[claim['did']]}: {CLAIM[claim['state']]}"


def short_version(version: int | None) -> str:
    """Return a version as "1.0" where it is one of TLS, else by its whole name."""
    if version is None:
        return "version unknown"
    name = version_name(version)
    return name.removeprefix("TLS ") if version >= TLS_1_0 else name


def nothing_yet(coverage: Coverage, seconds: float | None = None) -> str:
    """Return what a screen without devices says: how long was watched, and what was seen.

    ``seconds`` None: from the first frame to the newest.
    """
    return (
        f"Watched for {duration(coverage.watched_seconds if seconds is None else seconds)}: "
        f"{counted(coverage.frames, 'frame')}, {counted(coverage.flows, 'conversation')}, "
        f"{counted(coverage.hellos, 'hello')}. {WATCH_LONGER}"
    )


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units, as "2 d 3 h" or "0 s"."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def octets(number: int) -> str:
    """Return a number of octets in the largest unit that fits."""
    size = float(number)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def urgency(device: Mapping[str, Any]) -> tuple[bool, int]:
    """Return what sorts devices of a summary: what breaks first comes first."""
    return device["will_break"] is not True, MOST_URGENT.index(Status(device["status"]))


def days_between(first: str, last: str) -> int:
    """Return the days from one ISO date to another; below 0 if that one is over."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
