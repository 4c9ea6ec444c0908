"""Tells whether this is the mirror of the right port: what passes, which way, how often."""

from sniffer.doctor.finding import Code, Evidence, Finding, Severity
from sniffer.export.words import counted

MANY = 0.1
"""One-sided conversations below this part are those that nobody answered."""
COPIED = 0.01
FEW_SEGMENTS = 10
FEW_FLOWS = 5
SOME_SEGMENTS = 100
MANY_SEGMENTS = 1000
"""Below these, chance explains what is missing."""
NO_VLAN = -1

MAIL_PORTS = (25, 110, 143, 465, 587, 993, 995, 2525)


def not_mirrored(evidence: Evidence) -> Finding | None:
    """Tell a port that sees its own traffic and broadcasts from a mirror."""
    facts = evidence.facts
    if evidence.port is None or facts.foreign or not facts.unicast + facts.groups:
        return None
    own = facts.unicast
    return Finding(
        code=Code.NOT_MIRRORED,
        severity=Severity.WARNING,
        finding=(
            f"This is no mirror port: of {counted(own + facts.groups, 'frame')} {facts.groups} "
            f"went to all or to groups, {own} to or from this machine, and none from one stranger "
            "to another."
        ),
        figures={"frames": facts.frames, "groups": facts.groups, "own": own, "foreign": 0},
        cure=(
            "Set up a mirror (SPAN) session whose destination is this port; source: the port "
            "towards the firewall or router, on its inner side, both directions."
        ),
    )


def one_machine(evidence: Evidence) -> Finding | None:
    """Tell a capture made on one machine from one of a network."""
    facts = evidence.facts
    devices = evidence.snapshot.devices
    if evidence.port is not None or facts.stations is None or len(devices) != 1:
        return None
    stations = [one.to_bytes(6, "big").hex(":") for one in facts.stations]
    if len(stations) == 2:
        where = f"every frame runs between {' and '.join(stations)}"
    else:
        where = f"every frame comes from {stations[0]} or goes to it"
    return Finding(
        code=Code.ONE_MACHINE,
        severity=Severity.WARNING,
        finding=f"Only one machine's traffic is here: one client spoke, and {where}.",
        figures={"devices": 1, "stations": stations, "unicast": facts.unicast},
        cure=(
            "This tells of that machine alone. To find the others, mirror the port that all of "
            "them pass: the one towards the firewall or router."
        ),
    )


def one_way(evidence: Evidence) -> Finding | None:
    """Tell which direction of the conversations is missing."""
    coverage, facts = evidence.coverage, evidence.facts
    if not coverage.hellos or coverage.one_sided_flows <= MANY * coverage.flows:
        return None
    figures = {
        "flows": coverage.flows,
        "one_sided_flows": coverage.one_sided_flows,
        "segments_to_servers": facts.to_server,
        "segments_from_servers": facts.from_server,
    }
    one_sided = f"{coverage.one_sided_flows} of {coverage.flows} conversations"
    if not facts.from_server:
        said = f"What servers answer is missing: {one_sided} show the client's side only"
        effect = "hellos are told, but not whether they were refused"
    elif not facts.to_server:
        said = f"What clients say is missing: {one_sided} show the server's side only"
        effect = "no hello of theirs is told"
    else:
        said = f"{one_sided} show one direction only, though both directions pass here"
        effect = "their outcome is not told; the two ways may be routed apart, or go unanswered"
    return Finding(
        code=Code.ONE_WAY,
        severity=Severity.WARNING,
        finding=f"{said}: {effect}.",
        figures=figures,
        cure=(
            "Have the mirror session copy both directions (rx and tx), and mirror every way out "
            "if there are several."
        ),
    )


def copies(evidence: Evidence) -> Finding | None:
    """Tell how many segments were seen more than once, and where the copies come from."""
    facts = evidence.facts
    again = facts.copies + facts.copies_other_vlan + facts.copies_routed
    whole = facts.originals + again
    if again <= COPIED * whole:
        return None
    kinds = (
        (facts.copies, "unchanged: the ports of both ends are mirrored"),
        (facts.copies_other_vlan, "in another VLAN: both sides of a trunk are mirrored"),
        (facts.copies_routed, "one hop further: before and behind a router"),
    )
    most, how = max(kinds)
    return Finding(
        code=Code.COPIES,
        severity=Severity.WARNING,
        finding=(
            f"{100 * again / whole:.0f} % of the segments are copies of one seen a moment ago, "
            f"{'all' if most == again else 'most'} of them {how}."
        ),
        figures={
            "segments": whole,
            "copies": again,
            "same": facts.copies,
            "other_vlan": facts.copies_other_vlan,
            "routed": facts.copies_routed,
        },
        cure=(
            "Nothing is counted twice, but the port carries twice the load: mirror the one port "
            "towards the firewall or router, not the clients' ports as well."
        ),
    )


def no_hellos(evidence: Evidence) -> Finding | None:
    """Tell conversations whose handshakes are not in the picture."""
    coverage, facts = evidence.coverage, evidence.facts
    if coverage.hellos or coverage.flows < FEW_FLOWS or not facts.payload_to_server:
        return None
    return Finding(
        code=Code.NO_HELLOS,
        severity=Severity.WARNING,
        finding=(
            f"{counted(coverage.flows, 'conversation')} on the watched ports, and in none of them "
            "a ClientHello: their beginnings are missing, or none of them asked for TLS."
        ),
        figures={"flows": coverage.flows, "segments_with_payload": facts.payload_to_server},
        cure=(
            "Capture by port and direction only, without a filter on flags, size or content, and "
            "long enough that clients connect anew."
        ),
    )


def only_openings(evidence: Evidence) -> Finding | None:
    """Tell a filter that lets through segments without payload alone."""
    facts = evidence.facts
    mail = facts.to_server + facts.from_server
    if mail < FEW_SEGMENTS or evidence.coverage.flows:
        return None
    return Finding(
        code=Code.ONLY_OPENINGS,
        severity=Severity.WARNING,
        finding=(
            f"{counted(mail, 'segment')} of the watched ports, and none carries anything: a "
            "filter on TCP flags (only SYN, FIN, RST) left all the rest out."
        ),
        figures={"segments": mail, "segments_with_payload": 0},
        cure="Filter by port alone: tcp port 993 or tcp port 995 ...",
    )


def one_port(evidence: Evidence) -> Finding | None:
    """Tell a capture that was filtered to one port, where several are asked for."""
    facts, ports = evidence.facts, evidence.ports
    # In a minute at a port there may be no other traffic; a file was filtered more likely.
    few = SOME_SEGMENTS if evidence.port is None else MANY_SEGMENTS
    if facts.tcp < few or facts.other_tcp or len(facts.server_ports) != 1:
        return None
    if len(ports.services) < 2:
        return None
    (port,) = facts.server_ports
    return Finding(
        code=Code.ONE_PORT,
        severity=Severity.WARNING,
        finding=(
            f"All {counted(facts.tcp, 'TCP segment')} belong to port {port}: most likely the rest "
            f"was filtered away, and with it {counted(len(ports.services) - 1, 'watched port')}."
        ),
        figures={"port": port, "segments": facts.tcp, "watched_ports": len(ports.services)},
        cure="Leave the filter off, or name every port that mail uses in it.",
    )


def wrong_vlan(evidence: Evidence) -> Finding | None:
    """Tell where VLANs are seen, but no mail in any."""
    facts = evidence.facts
    tagged = sorted(vlan for vlan in facts.vlans if vlan != NO_VLAN)
    if not tagged or facts.mail_vlans:
        return None
    return Finding(
        code=Code.WRONG_VLAN,
        severity=Severity.WARNING,
        finding=f"Frames of {_vlans(tagged)} were seen, and no mail in any of them.",
        figures={"vlans": _by_vlan(facts.vlans)},
        cure=(
            "Mirror the VLAN of printers and scanners, or the trunk that carries all VLANs; on a "
            "switch, the session's VLAN filter."
        ),
    )


def vlans(evidence: Evidence) -> Finding | None:
    """Tell which VLANs pass, and in which of them mail does."""
    facts = evidence.facts
    tagged = sorted(vlan for vlan in facts.vlans if vlan != NO_VLAN)
    if not tagged or not facts.mail_vlans:
        return None
    without = [vlan for vlan in tagged if vlan not in facts.mail_vlans]
    said = f"Frames of {_vlans(tagged)} pass here"
    if without:
        said += f"; there was no mail in {_vlans(without)}"
    return Finding(
        code=Code.VLANS,
        severity=Severity.NOTE,
        finding=f"{said}.",
        figures={"vlans": _by_vlan(facts.vlans), "mail": _by_vlan(facts.mail_vlans)},
        cure="Compare with your list: a VLAN that is not named here is not mirrored.",
    )


def tunnels(evidence: Evidence) -> Finding | None:
    """Tell that frames come through tunnels: a remote mirror, most often."""
    facts = evidence.facts
    if not facts.tunnels:
        return None
    most = sum(facts.tunnels.values())
    which = ", ".join(f"{word} {count}" for word, count in sorted(facts.tunnels.items()))
    return Finding(
        code=Code.TUNNELS,
        severity=Severity.NOTE,
        finding=(
            f"{counted(most, 'frame')} came through a tunnel ({which}): a remote mirror, or a "
            "virtual network. Clients are named by their inner addresses."
        ),
        figures={"tunnels": dict(sorted(facts.tunnels.items()))},
        cure=(
            "Nothing, if you set it up. A tunnel's packets must fit the MTU of its way: else they "
            "arrive in fragments, or not at all."
        ),
        source="draft-foschiano-erspan" if "erspan" in facts.tunnels else None,
    )


def mail_elsewhere(evidence: Evidence) -> Finding | None:
    """Tell mail on ports that are not watched."""
    facts = evidence.facts
    seen = dict(facts.upgrades_elsewhere)
    for port, count in facts.hellos_elsewhere.items():
        if port in MAIL_PORTS:
            seen[port] = seen.get(port, 0) + count
    if not seen:
        return None
    listed = ", ".join(str(port) for port in sorted(seen))
    return Finding(
        code=Code.MAIL_ELSEWHERE,
        severity=Severity.WARNING,
        finding=(
            f"Clients ask for TLS as mail does on ports that are not watched: {listed}. They are "
            "not judged."
        ),
        figures={"ports": {str(port): count for port, count in sorted(seen.items())}},
        cure=f"Add them: --ports {listed.replace(' ', '')},993,995,... with /imap, /pop3 or /smtp.",
    )


RULES = (
    not_mirrored,
    one_machine,
    one_way,
    copies,
    no_hellos,
    only_openings,
    one_port,
    wrong_vlan,
    vlans,
    tunnels,
    mail_elsewhere,
)


def _vlans(numbers: list[int]) -> str:
    return f"VLAN{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _by_vlan(counts: dict[int, int]) -> dict[str, int]:
    return {
        "untagged" if vlan == NO_VLAN else str(vlan): count
        for vlan, count in sorted(counts.items())
    }
