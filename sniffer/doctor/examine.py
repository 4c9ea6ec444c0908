"""Asks every rule, and says in one sentence what the capture can tell of old clients."""

from msgspec import Struct

from sniffer.doctor import clock, doubts, frames, mirror, network
from sniffer.doctor.finding import Evidence, Finding, Severity
from sniffer.event import Verdict
from sniffer.export.words import counted

RULES = (
    *doubts.RULES,
    *mirror.RULES,
    *frames.RULES,
    *clock.RULES,
    *network.RULES,
)
"""Each takes the evidence and returns a finding or None."""


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What the doctor found."""

    fit: bool
    """Whether the capture can tell that a client is not there: ``Coverage.fitness``, always."""
    verdict: str
    findings: tuple[Finding, ...]
    """The worst first."""


def examine(evidence: Evidence) -> Diagnosis:
    """Return what is wrong with a capture, and what it can tell.

    It is unfit if, and only if, there is a problem among the findings.
    """
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    ranks = list(Severity)
    found.sort(key=lambda finding: ranks.index(finding.severity))
    return Diagnosis(
        fit=evidence.coverage.fitness().fit, verdict=_verdict(evidence), findings=tuple(found)
    )


def _verdict(evidence: Evidence) -> str:
    fit, why = evidence.coverage.fitness()
    snapshot = evidence.snapshot
    devices = snapshot.devices
    # Totals are exact; a device may have found no room.
    hellos = sum(cell.hellos for cell in snapshot.cells if cell.verdict is Verdict.LEGACY)
    old = sum(any(stack.verdict is Verdict.LEGACY for stack in device.stacks) for device in devices)
    seen = counted(len(devices), "device")
    if hellos:
        told = f"{old} of {seen} seen {'offers' if old == 1 else 'offer'} old TLS."
        if not old:
            told = f"{counted(hellos, 'hello')} offered old TLS, of devices that found no room."
        return told if fit else f"{told} There may be more: {why}"
    if not fit:
        return f"This cannot tell that no old client is there: {why}"
    if not evidence.coverage.hellos:
        return "No ClientHello was seen: nothing is told of any client."
    none = f"None of the {seen} seen offers old TLS."
    if len(devices) == 1:
        none = "The one device seen does not offer old TLS."
    return f"{none} Nothing is told of those that did not speak."
