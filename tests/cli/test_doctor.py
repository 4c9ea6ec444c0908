"""``hellowatch doctor`` on files, as users start it."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import craft
import pytest
from craft import Conversation
from program import OFFICE, PROGRAM, ROOT, SECONDS, environment, hellowatch

from sniffer.doctor.finding import Code, Finding, Severity

PAGE = (ROOT / "docs" / "doctor.md").read_text()
OLD = craft.client_hello(craft.TLS_1_0)
TALK = Conversation().open().client(OLD).server(craft.alert())


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "cut.pcap"
    path.write_bytes(craft.pcap(TALK.frames(), snaplen=96))
    return path


def test_text_is_for_people(capture: Path, tmp_path: Path) -> None:
    ran = hellowatch("doctor", capture, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, b"")
    text = ran.stdout.decode()
    assert text.startswith("1 of 1 device seen offers old TLS. There may be more: 1 of 1 hellos")
    assert "\nPROBLEM cut-hellos\n    1 of 1 hellos were cut.\n    To do: Capture whole" in text
    assert "\nWARNING snap-length\n" in text
    assert "\nWhat we could see: " in text
    assert "\x1b" not in text


def test_json_is_one_document_with_every_key(capture: Path, tmp_path: Path) -> None:
    ran = hellowatch("doctor", "-r", capture, "--format", "json", cwd=tmp_path)
    told = json.loads(ran.stdout)
    assert set(told) == {"inputs", "interface", "fit", "verdict", "findings", "coverage"}
    assert told["interface"] is None
    assert told["fit"] is told["coverage"]["fit"] is False
    assert [entry["status"] for entry in told["inputs"]] == ["ok"]
    for finding in told["findings"]:
        assert set(finding) == set(Finding.__struct_fields__)
        assert finding["code"] in set(Code)
        assert finding["severity"] in set(Severity)


@pytest.mark.parametrize(
    ("arguments", "color"),
    [(("--color", "always"), True), (("--color", "never"), False), ((), False)],
)
def test_colour_where_it_is_wanted(
    capture: Path, tmp_path: Path, arguments: tuple[str, ...], color: bool
) -> None:
    ran = hellowatch("doctor", capture, *arguments, cwd=tmp_path)
    assert (b"\x1b[31m" in ran.stdout) is color


def test_fails_on_what_was_asked_for(capture: Path, tmp_path: Path) -> None:
    assert hellowatch("doctor", capture, "--fail-on", "problem", cwd=tmp_path).returncode == 1
    whole = tmp_path / "whole.pcap"
    whole.write_bytes(craft.pcap(TALK.frames()))
    assert hellowatch("doctor", whole, "--fail-on", "problem", cwd=tmp_path).returncode == 0
    assert hellowatch("doctor", whole, "--fail-on", "warning", cwd=tmp_path).returncode == 1


def test_damaged_and_unreadable_inputs_have_their_exit_codes(tmp_path: Path) -> None:
    cut = tmp_path / "short.pcap"
    cut.write_bytes(craft.pcap(TALK.frames())[:-7])
    ran = hellowatch("doctor", cut, "--format", "json", cwd=tmp_path)
    assert ran.returncode == 4
    assert "damaged" in [one["code"] for one in json.loads(ran.stdout)["findings"]]
    ran = hellowatch("doctor", "missing.pcap", "--format", "json", cwd=tmp_path)
    assert ran.returncode == 3
    told = json.loads(ran.stdout)
    assert {"damaged", "nothing-seen"} <= {one["code"] for one in told["findings"]}
    assert told["verdict"].startswith("This cannot tell that no old client is there: ")


def test_each_file_has_its_own_clock(tmp_path: Path) -> None:
    later, earlier = tmp_path / "a.pcap", tmp_path / "b.pcap"
    earlier.write_bytes(craft.pcap(TALK.frames()))
    hour = 3600 * 1_000_000_000
    later.write_bytes(craft.pcap([(time_ns + hour, wire) for time_ns, wire in TALK.frames()]))
    told = json.loads(hellowatch("doctor", tmp_path, "--format", "json", cwd=tmp_path).stdout)
    assert "clock-back" not in [one["code"] for one in told["findings"]]
    assert told["coverage"]["hellos"] == 2


def test_a_pipe_is_read_and_ctrl_c_tells_what_was_found(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "doctor", "-", "--format", "json", "-v"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(OFFICE.read_bytes())
    process.stdin.flush()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert json.loads(out)["coverage"]["frames"] > 1000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "name a capture file, or an interface with -i IFACE"),
        (("x.pcap", "-i", "lo"), "-i and files: one of them at a time"),
        (("x.pcap", "--format", "xml"), "'xml' is not one of 'table', 'json'"),
        (("x.pcap", "--ports", "99999"), "99999"),
        (("-i", "any"), "one interface at a time"),
        (("x.pcap", "--tz", "Mars/Base"), "is no time zone known here"),
        (("x.pcap", "-o", "x.json"), "-o: not built yet"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], why: str, tmp_path: Path) -> None:
    ran = hellowatch("doctor", *arguments, cwd=tmp_path)
    assert ran.returncode == 2
    assert why in ran.stderr.decode()
    assert ran.stdout == b""


def test_every_finding_is_documented_and_the_reverse() -> None:
    assert re.findall(r"^### `(.*)`$", PAGE, flags=re.MULTILINE) == [code.value for code in Code]
    for severity in Severity:
        assert f"| `{severity}` | " in PAGE
    for key in Finding.__struct_fields__:
        assert f"| `{key}` | " in PAGE


def test_same_input_gives_the_same_octets(tmp_path: Path) -> None:
    both = [hellowatch("doctor", OFFICE, "--format", "json", cwd=tmp_path) for _ in range(2)]
    assert both[0].stdout == both[1].stdout
    assert both[0].returncode == 0
