"""A diagnosis as plain values for JSON, and as text for people."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any

from sniffer.doctor.examine import Diagnosis
from sniffer.doctor.finding import Evidence, Finding, Port, Severity
from sniffer.export.summary import coverage_json
from sniffer.export.table import coverage_line

Json = dict[str, Any]
Paint = Callable[[str, Severity], str]

INDENT = "    "
GREATEST_WIDTH = 100


def diagnosis_json(evidence: Evidence, diagnosis: Diagnosis) -> Json:
    """Return what was found; an unknown value is None, never missing."""
    return {
        "inputs": [dict(told) for told in evidence.inputs],
        "interface": None if evidence.port is None else _port_json(evidence.port),
        "fit": diagnosis.fit,
        "verdict": diagnosis.verdict,
        "findings": [finding_json(finding) for finding in diagnosis.findings],
        "coverage": coverage_json(evidence.coverage, evidence.snapshot.devices_let_go),
    }


def finding_json(finding: Finding) -> Json:
    """Return one finding."""
    return {
        "code": finding.code.value,
        "severity": finding.severity.value,
        "finding": finding.finding,
        "figures": finding.figures,
        "cure": finding.cure,
        "source": finding.source,
    }


def diagnosis_text(told: Mapping[str, Any], paint: Paint, zone: tzinfo = UTC) -> str:
    """Return the same as lines for a terminal: what it can tell, then why, the worst first.

    ``paint`` colours a word by its severity.
    """
    lines = [*_wrapped(told["verdict"], ""), ""]
    for finding in told["findings"]:
        severity = Severity(finding["severity"])
        lines.append(f"{paint(severity.upper(), severity)} {finding['code']}")
        lines += _wrapped(finding["finding"], INDENT)
        lines += _wrapped(f"To do: {finding['cure']}", INDENT)
        if finding["source"]:
            lines += _wrapped(f"Source: {finding['source']}", INDENT)
        lines.append("")
    if not told["findings"]:
        lines += ["Nothing is wrong with this picture.", ""]
    lines += _wrapped(coverage_line(told["coverage"], zone), "")
    return "".join(f"{line}\n" for line in lines)


def _wrapped(text: str, indent: str) -> Iterable[str]:
    return textwrap.wrap(
        text,
        GREATEST_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _port_json(port: Port) -> Json:
    interface, offloads = port.interface, port.offloads
    return {
        "name": interface.name,
        "up": interface.is_up,
        "carrier": interface.has_carrier,
        "speed_mbps": interface.speed_mbps,
        "duplex": interface.duplex,
        "driver": interface.driver,
        "mtu": interface.mtu,
        "mac": interface.mac,
        "gro": offloads.gro,
        "lro": offloads.lro,
        "gso": offloads.gso,
        "tso": offloads.tso,
        "lost": port.lost,
    }
