"""Findings as the summary tells them: plain values, and one sentence an admin can forward."""

from collections.abc import Mapping
from typing import Any

from sniffer.event import FindingKind, address
from sniffer.export.ecs import timestamp
from sniffer.inventory.enforcement import Enforcement
from sniffer.inventory.findings import FindingSnapshot
from sniffer.judge.profile import Profile
from sniffer.log import printable

SENTENCES: Mapping[FindingKind, str] = {
    FindingKind.CLEAR_AFTER_FAILED_TLS: (
        "TLS failed, and then {device} went on in clear text to {server} ({service})."
    ),
    FindingKind.CLEAR_LOGIN: (
        "{device} handed its login to {server} ({service}) in clear text: "
        "whoever can see this network can read the password."
    ),
    FindingKind.CAPABILITY_STRIPPED: (
        "Between {device} and {server} ({service}) the offer of TLS was taken out of the "
        "server's answer, most likely by a firewall."
    ),
    FindingKind.UPGRADE_REFUSED: (
        "{server} ({service}) refused the upgrade to TLS that {device} asked for."
    ),
    FindingKind.UPGRADE_MISSING: "{server} ({service}) did not offer TLS to {device}.",
}


ENFORCEMENT = "enforcement-reached"
"""The kind of a finding that is not about clear text, nor about one device."""


def enforcement_json(found: Enforcement, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """Return what tells that a provider has begun to refuse old TLS here."""
    profile = profiles.get(found.destination)
    title = found.destination if profile is None else profile.title
    day = timestamp(found.first_ns)[:10]
    return {
        "kind": ENFORCEMENT,
        "device": None,
        "devices": [address(octets) for octets in found.addresses],
        "service": found.service,
        "destination": {"ip": None, "port": None, "name": found.destination},
        "count": len(found.addresses),
        "first_seen": timestamp(found.first_ns),
        "last_seen": timestamp(found.last_ns),
        "text": (
            f"Enforcement seems to have reached you on {day}: {title} ({found.service}) took in "
            f"{len(found.addresses)} devices before, and refuses them since."
        ),
    }


def finding_json(finding: FindingSnapshot) -> dict[str, Any]:
    """Return one finding."""
    name = None if finding.name is None else printable(finding.name)
    device, server = address(finding.source), address(finding.destination)
    return {
        "kind": finding.kind.value,
        "device": device,
        "service": finding.service,
        "destination": {"ip": server, "port": finding.port, "name": name},
        "count": finding.count,
        "first_seen": timestamp(finding.first_ns),
        "last_seen": timestamp(finding.last_ns),
        "text": SENTENCES[finding.kind].format(
            device=device, server=name or server, service=finding.service
        ),
    }
