"""The office capture: what HelloWatch must say of it, as tshark and the script tell."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OFFICE = ROOT / "pcaps" / "office.pcapng"
EXPECTED = ROOT / "pcaps" / "office.expected.ndjson"

needs_tshark = pytest.mark.skipif(
    not shutil.which("tshark") and not os.environ.get("CI"), reason="tshark is not installed"
)


def expected_events() -> list[dict[str, Any]]:
    """Read the expected events: null stands for a key that must not be there."""
    return [json.loads(line) for line in EXPECTED.read_text().splitlines()]


def analyzed(folder: Path) -> list[dict[str, Any]]:
    """Return the events of ``hellowatch analyze``, run away from the checkout.

    So the package under test is found as this process finds it, and not by lying in the
    working directory.
    """
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in paths if p)}
    command = [sys.executable, "-m", "sniffer.cli.main", "analyze", "--format", "ndjson"]
    run = subprocess.run(
        [*command, str(OFFICE)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def differences(expected: Any, found: Any, where: str) -> Iterator[str]:
    """Tell every expected key that is missing, another, or there against expectation."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            yield from differences(value, found.get(key), f"{where} {key}")
    elif expected != found:
        yield f"{where}: expected {expected}, found {found}"


def test_analyze_reports_the_expected_events(tmp_path: Path) -> None:
    expected, found = expected_events(), analyzed(tmp_path)
    wanted = [event["hellowatch"]["frame"] for event in expected]
    assert [event["hellowatch"]["frame"] for event in found] == wanted
    wrong = [
        line
        for one, other in zip(expected, found, strict=True)
        for line in differences(one, other, f"frame {one['hellowatch']['frame']}")
    ]
    assert not wrong, "\n".join(wrong)


@needs_tshark
def test_tshark_and_the_script_still_expect_the_same() -> None:
    tool = ROOT / "tools" / "expect_with_tshark.py"
    run = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_office_holds_every_kind_of_case() -> None:
    events = expected_events()
    parts = [event["hellowatch"] for event in events]
    assert {part["outcome"] for part in parts} == {
        "established",
        "alert",
        "reset",
        "closed",
        "unanswered",
        "unknown",
    }
    assert {part["verdict"] for part in parts} == {
        "legacy",
        "incompatible",
        "at-risk",
        "fallback",
        "ok",
    }
    assert {part["max_offered"] for part in parts} == {
        "SSL 3.0",
        "TLS 1.0",
        "TLS 1.1",
        "TLS 1.2",
        "TLS 1.3",
    }
    assert {part["hello_format"] for part in parts} == {"tls", "sslv2"}
    assert {part["alert"]["code"] for part in parts if part["alert"]} == {40, 48, 70, 86}
    assert {event["network"]["protocol"] for event in events} == {"imaps", "pop3s", "smtps"}
    assert len({event["source"]["ip"] for event in events}) >= 20


def test_each_device_has_its_sentence() -> None:
    text = (ROOT / "pcaps" / "README.md").read_text()
    described = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert described == {event["source"]["ip"] for event in expected_events()}
