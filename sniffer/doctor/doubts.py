"""What makes a capture unfit to tell: the doubts of its coverage, each with its cure."""

from collections.abc import Callable
from functools import partial

from sniffer.doctor.finding import Code, Evidence, Finding, Severity
from sniffer.export.words import counted
from sniffer.inventory.coverage import Doubt

WHOLE_FRAMES = "Capture whole frames (tcpdump -s 0)."
CURES = {
    Doubt.NOTHING_SEEN: (
        "Check that the mirror session is on, that its destination is this port, and that the "
        "cable is in it."
    ),
    Doubt.LINK_TYPE: "Capture as Ethernet, or convert: editcap or tcprewrite change link types.",
    Doubt.NO_MAIL: (
        "Check that the mirror shows the way to the mail provider in both directions, and that "
        "--ports names the ports your devices use."
    ),
    Doubt.NO_CLIENT_SIDE: (
        "Mirror both directions: what clients send is missing, and their hellos with it."
    ),
    Doubt.DROPPED: (
        "Mirror less (the mail provider's way out only), give a larger ring (-B), or capture on "
        "a faster machine."
    ),
    Doubt.UNREAD: WHOLE_FRAMES + " If they are whole, send us one of these frames.",
    Doubt.UNKNOWN_ETHERTYPES: (
        "Have the switch take its tag or shim off the mirrored frames, or mirror behind the "
        "device that adds it; an unknown type may be asked for as an issue."
    ),
    Doubt.CUT_HELLOS: WHOLE_FRAMES + " Begin before the clients do, and let it end after them.",
    Doubt.UNSEEN: (
        "Look before this machine: a mirror port slower than the ports it mirrors loses frames "
        "without telling. Mirror fewer ports, or to a faster one."
    ),
    Doubt.NO_ROOM: "Watch fewer ports (--ports), or split the capture.",
}
LINK_NAMES = {105: "802.11", 119: "802.11", 127: "802.11", 163: "802.11", 192: "802.11"}
LINK_NAMES |= {189: "USB", 220: "USB", 249: "USB", 187: "Bluetooth", 201: "Bluetooth", 227: "CAN"}
"""Common link types that carry no mail we could read, by LINKTYPE number."""
SOURCES = {
    Doubt.UNSEEN: "RFC 9293 section 3.4: what is acknowledged was received",
    Doubt.LINK_TYPE: "the tcpdump group's list of link-layer header types",
}


def _finding(doubt: Doubt, evidence: Evidence) -> Finding | None:
    """Return a doubt as a problem; below its bound some are still worth a note."""
    clause = evidence.coverage.doubts().get(doubt)
    severity = Severity.PROBLEM
    if clause is None:
        clause = _lesser(doubt, evidence)
        severity = Severity.NOTE
    if clause is None:
        return None
    if doubt is Doubt.LINK_TYPE:
        clause += f" ({_link_types(evidence.facts.link_types)})"
    if doubt is Doubt.UNSEEN and evidence.port is not None and not evidence.coverage.frames_dropped:
        clause += ", and the kernel dropped none: they were lost before this machine"
    return Finding(
        code=Code(doubt),
        severity=severity,
        finding=f"{clause}.",
        figures=_figures(doubt, evidence),
        cure=CURES[doubt],
        source=SOURCES.get(doubt),
    )


def _link_types(counts: dict[int, int]) -> str:
    names = (f"{number}, {LINK_NAMES.get(number, 'not known here')}" for number in sorted(counts))
    return "; ".join(f"LINKTYPE {name}" for name in names)


def _lesser(doubt: Doubt, evidence: Evidence) -> str | None:
    coverage = evidence.coverage
    if doubt is Doubt.UNKNOWN_ETHERTYPES and coverage.unknown_types:
        which = ", ".join(coverage.unknown_types)
        number = sum(coverage.unknown_types.values())
        return f"{counted(number, 'frame')} of types that are not read ({which})"
    if doubt is Doubt.DROPPED and coverage.frames_dropped:
        return f"{counted(coverage.frames_dropped, 'frame')} found no room and were dropped"
    if doubt is Doubt.CUT_HELLOS and coverage.incomplete:
        cut = sum(coverage.incomplete.values())
        return f"{cut} of {coverage.hellos} hellos were not seen to their end"
    return None


def _figures(doubt: Doubt, evidence: Evidence) -> dict[str, object]:
    """Return the counters that the doubt was made from."""
    coverage = evidence.coverage
    names: dict[Doubt, dict[str, object]] = {
        Doubt.NOTHING_SEEN: {},
        Doubt.LINK_TYPE: {
            "link_types": {
                str(number): count for number, count in sorted(evidence.facts.link_types.items())
            }
        },
        Doubt.NO_MAIL: {"flows": coverage.flows},
        Doubt.NO_CLIENT_SIDE: {"one_sided_flows": coverage.one_sided_flows},
        Doubt.DROPPED: {"dropped_frames": coverage.frames_dropped},
        Doubt.UNREAD: {"undecoded_frames": dict(sorted(coverage.undecoded.items()))},
        Doubt.UNKNOWN_ETHERTYPES: {"ethertypes": coverage.unknown_types},
        Doubt.CUT_HELLOS: {
            "hellos": coverage.hellos,
            "incomplete_hellos": dict(sorted(coverage.incomplete.items())),
        },
        Doubt.UNSEEN: {
            "unseen_bytes": coverage.unseen_bytes,
            "bytes": coverage.bytes,
            "dropped_frames": coverage.frames_dropped,
        },
        Doubt.NO_ROOM: {"evicted": dict(sorted(coverage.evicted.items()))},
    }
    return {"frames": coverage.frames, **names[doubt]}


RULES: tuple[Callable[[Evidence], Finding | None], ...] = tuple(
    partial(_finding, doubt) for doubt in Doubt
)
