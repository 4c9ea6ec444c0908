"""Every capture in pcaps/: what HelloWatch must say of it, as tshark and the scripts tell."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from goldens import EXPECTED, PCAPS, analyzed, capture_of, differences, name_of, read_events
from packing import PACKED
from program import ROOT

LARGEST_BYTES = 60_000
"""Of a capture of real programs."""

needs_tshark = pytest.mark.skipif(
    not shutil.which("tshark") and not os.environ.get("CI"), reason="tshark is not installed"
)
each_capture = pytest.mark.parametrize("expected", EXPECTED, ids=name_of)
of_programs = [expected for expected in EXPECTED if name_of(expected) != "office"]


@each_capture
def test_the_file_gives_the_expected_events(expected: Path, tmp_path: Path) -> None:
    found = analyzed([capture_of(expected)], tmp_path)
    wrong = differences(read_events(expected.read_text()), found)
    assert not wrong, "\n".join(wrong)


@each_capture
def test_pipe_and_every_packing_give_the_same(expected: Path, tmp_path: Path) -> None:
    events = read_events(expected.read_text())
    octets = capture_of(expected).read_bytes()
    for word, pack in PACKED.items():
        (tmp_path / word).write_bytes(pack(octets))
    found = analyzed(["-", *PACKED], tmp_path, octets)
    paths = ["-", *(f"{word}:capture.pcap" if word == "zip" else word for word in PACKED)]
    for path in paths:
        wrong = differences(events, [one for one in found if one["log"]["file"]["path"] == path])
        assert not wrong, f"{path}: " + "\n".join(wrong)
    assert len(found) == len(paths) * len(events)


@pytest.mark.parametrize("word", PACKED)
def test_a_pipe_of_every_packing_gives_the_same(word: str, tmp_path: Path) -> None:
    (expected,) = (one for one in EXPECTED if name_of(one) == "office")
    found = analyzed(["-"], tmp_path, PACKED[word](capture_of(expected).read_bytes()))
    wrong = differences(read_events(expected.read_text()), found)
    assert not wrong, "\n".join(wrong)


@each_capture
@needs_tshark
def test_tshark_and_the_scripts_still_expect_the_same(expected: Path) -> None:
    tool = ROOT / "tools" / "expect_with_tshark.py"
    run = subprocess.run(
        [sys.executable, str(tool), "--check", name_of(expected)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_capture_has_its_events_and_sentence() -> None:
    captures = {path.name for path in PCAPS.iterdir() if ".pcap" in path.name}
    captures -= {path.name for path in PCAPS.glob("discovery-*.pcap")}  # no mail, no event
    assert captures == {capture_of(expected).name for expected in EXPECTED}
    described = re.findall(r"^\| `([^`]+\.pcap)` \|", (PCAPS / "README.md").read_text(), re.M)
    assert sorted(described) == [capture_of(expected).name for expected in of_programs]


def test_captures_of_programs_are_small() -> None:
    sizes = {name_of(one): capture_of(one).stat().st_size for one in of_programs}
    assert {name: size for name, size in sizes.items() if size > LARGEST_BYTES} == {}


def test_the_programs_show_every_version_outcome_and_upgrade() -> None:
    events = [event for one in of_programs for event in read_events(one.read_text())]
    parts = [event["hellowatch"] for event in events]
    agreed = {event["tls"]["version"] for event in events if event["tls"].get("established")}
    assert agreed == {"3.0", "1.0", "1.1", "1.2", "1.3"}
    outcomes = {"established", "alert", "reset", "closed", "unanswered"}
    assert {part["outcome"] for part in parts} == outcomes
    assert {part.get("refused_by") for part in parts} == {None, "server", "client", "path"}
    codes = {part["alert"]["code"] for part in parts if part["alert"]}
    assert codes == {40, 42, 45, 46, 48, 70, 86}
    assert {part["starttls"] for part in parts} == {None, "imap", "pop3", "smtp"}
    assert {part["hello_format"] for part in parts} == {"tls", "sslv2"}
    assert {part["verdict"] for part in parts} == {"ok", "legacy", "fallback"}
