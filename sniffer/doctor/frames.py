"""Tells whether frames are whole, and as they were on the wire."""

from sniffer.doctor.finding import Code, Evidence, Finding, Severity
from sniffer.export.words import counted

SHARE = 0.01
VERSION_AT = 65
"""Octets of a frame that tell a hello's version: Ethernet, IPv4, TCP, and 11 of TLS."""
VERSION_WITH_OPTIONS = 77
"""The same behind TCP's time stamps."""
HELLO_LENGTH = 600
"""A frame of this length holds most hellos; those with post-quantum keys need two."""


def snap_length(evidence: Evidence) -> Finding | None:
    """Tell at which length frames were cut, and what can still be read of a hello."""
    facts = evidence.facts
    # A live capture of ours cuts what is no mail, and nothing else.
    if not facts.cut or evidence.port is not None:
        return None
    at = facts.longest_cut
    if at < VERSION_AT:
        readable = "not even the version a hello offers lies before the cut"
    elif at < VERSION_WITH_OPTIONS:
        readable = "a hello's version can be read where TCP has no options, and nothing more"
    elif at < HELLO_LENGTH:
        readable = "a hello's version can be read; its server name and suites often cannot"
    else:
        readable = "most hellos are shorter than that"
    return Finding(
        code=Code.SNAP_LENGTH,
        severity=Severity.WARNING if at < HELLO_LENGTH else Severity.NOTE,
        finding=(
            f"{facts.cut} of {counted(facts.frames, 'frame')} cut at a snap length of {at} octets: "
            f"{readable}."
        ),
        figures={"frames": facts.frames, "cut": facts.cut, "snap_length": at},
        cure="Capture whole frames: tcpdump -s 0; in Wireshark, no limit per packet.",
        source="RFC 9293 section 3.1 and RFC 5246 section 7.4.1.2: where the version stands",
    )


def cut_before(evidence: Evidence) -> Finding | None:
    """Tell frames that were cut before they came here: by the mirror itself."""
    facts = evidence.facts
    if not facts.cut_before:
        return None
    return Finding(
        code=Code.CUT_BEFORE,
        severity=Severity.WARNING if facts.cut_before > SHARE * facts.tcp else Severity.NOTE,
        finding=(
            f"{facts.cut_before} of {counted(facts.tcp, 'TCP segment')} are shorter than their IP "
            "packet says: they were cut before they were captured, by the mirror or a tunnel."
        ),
        figures={"segments": facts.tcp, "cut": facts.cut_before},
        cure=(
            "Turn truncation off in the mirror session (slice, truncate, mtu of the ERSPAN "
            "session), or have it keep 1522 octets and more."
        ),
    )


def offload(evidence: Evidence) -> Finding | None:
    """Tell segments that a network card joined, or was to take apart."""
    facts, port = evidence.facts, evidence.port
    if not facts.oversize and not facts.without_length:
        return None
    said = []
    if facts.oversize:
        said.append(
            f"{counted(facts.oversize, 'packet')} longer than 1500 octets, up to {facts.longest}"
        )
    if facts.without_length:
        said.append(f"{counted(facts.without_length, 'packet')} without a length")
    joining = port.offloads.joining if port is not None else ()
    which = f" Here {' and '.join(joining)} is on." if joining else ""
    where = port.interface.name if port is not None else "IFACE"
    return Finding(
        code=Code.OFFLOAD,
        severity=Severity.NOTE,
        finding=(
            f"{' and '.join(said)}: the network card joined segments (GRO, LRO) or was to split "
            f"them (TSO), or the network has jumbo frames. They are read as they are.{which}"
        ),
        figures={
            "segments": facts.tcp,
            "oversize": facts.oversize,
            "longest": facts.longest,
            "without_length": facts.without_length,
        },
        cure=f"Nothing for us. For captures that show the wire: ethtool -K {where} gro off lro off",
        source="Linux, Documentation/networking/segmentation-offloads.rst",
    )


def checksums(evidence: Evidence) -> Finding | None:
    """Tell checksums that do not fit: no error, where the card fills them in."""
    facts = evidence.facts
    wrong = facts.checksums_unfilled + facts.checksums_wrong
    if wrong <= SHARE * facts.checksums:
        return None
    if facts.checksums_unfilled >= facts.checksums_wrong:
        why = "they were left to the network card of the machine that captured (offload)"
    else:
        why = "a card fills them in later (offload), or the mirror changed the frames"
    return Finding(
        code=Code.CHECKSUMS,
        severity=Severity.NOTE,
        finding=(
            f"{wrong} of {counted(facts.checksums, 'TCP checksum')} do not fit: {why}. "
            "HelloWatch does not go by them, and loses nothing."
        ),
        figures={
            "checksums": facts.checksums,
            "unfilled": facts.checksums_unfilled,
            "wrong": facts.checksums_wrong,
        },
        cure="Nothing. Other tools may ignore such frames: tell them not to check.",
        source="Linux, Documentation/networking/checksum-offloads.rst",
    )


def damaged(evidence: Evidence) -> Finding | None:
    """Tell inputs that could not be read to their end."""
    bad = [told for told in evidence.inputs if told["status"] in ("partial", "failed")]
    if not bad:
        return None
    first = bad[0]
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return Finding(
        code=Code.DAMAGED,
        severity=Severity.WARNING,
        finding=f"{first['path']}: {first['problem']}{more}. What lies behind is not told.",
        figures={"inputs": len(evidence.inputs), "damaged": len(bad)},
        cure="Copy the file anew, or end the capture with Ctrl-C before it is copied.",
    )


def interface_down(evidence: Evidence) -> Finding | None:
    """Tell an interface without a carrier, or one that is switched off."""
    port = evidence.port
    if port is None or port.is_up:
        return None
    name = port.interface.name
    return Finding(
        code=Code.INTERFACE_DOWN,
        severity=Severity.WARNING,
        finding=f"{name} is down, or nothing is plugged in at its other end.",
        figures={"up": port.interface.is_up, "carrier": port.interface.has_carrier},
        cure=f"Plug in the cable, and: ip link set {name} up",
    )


def interface_loses(evidence: Evidence) -> Finding | None:
    """Tell frames that the card or its driver lost meanwhile: before any counter of ours."""
    port = evidence.port
    if port is None or not port.lost:
        return None
    which = ", ".join(f"{name} {count}" for name, count in port.lost.items())
    return Finding(
        code=Code.INTERFACE_LOSES,
        severity=Severity.WARNING,
        finding=f"The card of {port.interface.name} lost or refused frames meanwhile: {which}.",
        figures=dict(port.lost),
        cure=(
            "rx_missed, rx_fifo, rx_over: a larger receive ring (ethtool -G), fewer mirrored "
            "ports. rx_crc, rx_frame: the cable. rx_length: a larger MTU on the interface."
        ),
        source="Linux, Documentation/networking/statistics.rst",
    )


RULES = (
    damaged,
    interface_down,
    interface_loses,
    snap_length,
    cut_before,
    offload,
    checksums,
)
