"""Tells whether the times are right, and whether it was watched for long enough."""

from sniffer.doctor.finding import Code, Evidence, Finding, Severity
from sniffer.export.ecs import timestamp
from sniffer.export.words import WATCH_LONGER, duration

SECOND_NS = 1_000_000_000
YEAR_1995_NS = 788_918_400 * SECOND_NS
"""Clocks that were never set begin in 1970, 1980 or 1993."""
LONG_SILENCE_NS = 3600 * SECOND_NS
WORKING_DAY_SECONDS = 8 * 3600


def unset(evidence: Evidence) -> Finding | None:
    """Tell a capture whose clock was never set."""
    first_ns = evidence.facts.first_ns
    if first_ns is None or first_ns >= YEAR_1995_NS:
        return None
    return Finding(
        code=Code.CLOCK_UNSET,
        severity=Severity.WARNING,
        finding=f"The first frame is of {timestamp(first_ns)[:10]}: the clock was not set.",
        figures={"first_seen": timestamp(first_ns)},
        cure="Set the clock of the machine that captures (NTP): devices are dated by it.",
    )


def back(evidence: Evidence) -> Finding | None:
    """Tell times that go back further than frames are ever exchanged on their way."""
    facts = evidence.facts
    if facts.furthest_back_ns < SECOND_NS:
        return None
    return Finding(
        code=Code.CLOCK_BACK,
        severity=Severity.WARNING,
        finding=(
            f"Times go backwards, by up to {duration(facts.furthest_back_ns / SECOND_NS)}: the "
            "clock was set meanwhile, or captures were joined without sorting them."
        ),
        figures={
            "frames": facts.backwards,
            "furthest_back_seconds": facts.furthest_back_ns / SECOND_NS,
        },
        cure="Sort by time: reordercap in.pcap out.pcap, or join with mergecap.",
    )


def silence(evidence: Evidence) -> Finding | None:
    """Tell the longest time without a frame."""
    facts = evidence.facts
    if facts.longest_silence_ns < LONG_SILENCE_NS:
        return None
    how_long = duration(facts.longest_silence_ns / SECOND_NS)
    since = timestamp(facts.silence_from_ns)[:19]
    return Finding(
        code=Code.SILENCE,
        severity=Severity.NOTE,
        finding=(
            f"No frame for {how_long} from {since} UTC on: the capture rested, the clock was set "
            "forward, or nobody was there."
        ),
        figures={"seconds": facts.longest_silence_ns / SECOND_NS, "since": f"{since}Z"},
        cure="If somebody was there: look at what the mirror did then.",
    )


def too_short(evidence: Evidence) -> Finding | None:
    """Tell a capture that says little by what it does not show."""
    watched = evidence.coverage.watched_seconds
    if not evidence.coverage.frames or watched >= WORKING_DAY_SECONDS:
        return None
    how_long = f"Only {duration(watched)}" if watched >= 1 else "Less than a second"
    return Finding(
        code=Code.TOO_SHORT,
        severity=Severity.WARNING,
        finding=f'{how_long} was watched: "none" would mean none of those that spoke meanwhile.',
        figures={"watched_seconds": watched},
        cure=WATCH_LONGER,
    )


RULES = (unset, back, silence, too_short)
