"""``hellowatch crosscheck``: other dissectors as our oracle, over all captures there are."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import craft
import pytest
from craft import Conversation
from goldens import EXPECTED, PCAPS, capture_of
from kinds import kinds, packet
from program import PROGRAM, environment, hellowatch

from sniffer.crosscheck.rules import rules

DPKT = PCAPS / "oldest-hellos.pcap"
DISSECTORS = "tshark,scapy,dpkt"


def special() -> dict[str, bytes]:
    """Captures for rules that no golden one needs."""
    hello = craft.client_hello(sni="m.test")
    around = ("2001:db8:ffff::1", "2001:db8:ffff::2")
    mixed = [
        (at, craft.ethernet(craft.ipv6(*around, packet(frame), protocol=4)))
        for at, frame in Conversation().open().client(hello).frames()
    ]
    again = Conversation().open().client(hello).client(hello)
    database = Conversation(server_port=5432).open().client(bytes.fromhex("00000008 04d2162f"))
    two_in_one = craft.record(hello[5:] + hello[5:])
    other = hello[:60] + bytes(20) + hello[80:]
    overlap = Conversation().open().segment("client", hello[40:], offset=40)
    overlap.segment("client", other[:90], offset=0)
    return {
        "4in6": craft.pcap(mixed),
        "database": craft.pcap(database.server(b"S").client(hello).frames()),
        "record-goes-on": craft.pcap(
            Conversation().open().client(two_in_one, split=(len(hello) + 20,)).frames()
        ),
        "overlap": craft.pcap(overlap.frames()),
        "same-hello-again": craft.pcap(again.frames()),
        "ppp": craft.pcap(
            [(at, b"\xff\x03\0\x21" + frame[14:]) for at, frame in again.frames()[:4]],
            link_type=9,
        ),
    }


def checked(*arguments: str | Path, cwd: Path, code: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Run the command; return its differences."""
    ran = hellowatch("crosscheck", "--format", "ndjson", *arguments, cwd=cwd, **more)
    assert ran.returncode == code, ran.stdout[-2000:] + ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    """Put a program that calls itself tshark before the real one; return the environment."""

    def install(script: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "tshark").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "tshark").chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}

    return install


PARTS = 4
"""The captures are checked in parts, because each takes tshark a third of a second to start."""


def captures() -> dict[str, bytes]:
    """Return every capture there is to check, by its file name."""
    golden = {capture_of(one).name: capture_of(one).read_bytes() for one in EXPECTED}
    return golden | {f"{name}.pcap": octets for name, octets in kinds().items()}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_difference_over_all_captures_is_explained(part: int, tmp_path: Path) -> None:
    names = sorted(captures())[part::PARTS]
    for name in names:
        (tmp_path / name).write_bytes(captures()[name])
    ran = hellowatch(
        *("crosscheck", "--format", "json", "--with", DISSECTORS, tmp_path), cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    told = json.loads(ran.stdout)
    assert [Path(one["path"]).name for one in told["files"]] == names
    assert sum(len(one["differences"]) for one in told["files"]) > 10


SAMPLES = {
    "retry-is-one-event": ("tls13-retry", "tshark"),
    "repetition-is-one-event": ("same-hello-again", "tshark"),
    "sslv2-only-at-a-start": ("sslv2-inside-application-data-no-start", "scapy"),
    "upgrade-of-another-protocol": ("database", "tshark"),
    "overlap-keeps-the-first": ("overlap", "tshark"),
    "record-goes-on": ("record-goes-on", "tshark"),
    "gave-up": ("ppp", "dpkt"),
    "whole-messages-only": ("snaplen-96", "tshark"),
    "upgrade-wants-its-answer": ("starttls-imap-client-half", "tshark"),
    "no-upgrades": ("starttls-pop3-established", "scapy"),
    "no-sslv2-format": ("sslv2-format-refused", "dpkt"),
    "outer-address": ("4in6", "tshark"),
    "no-such-tunnel": ("vxlan", "dpkt"),
    "no-such-shim": ("ttag", "scapy"),
    "one-record-only": ("two-records", "dpkt"),
    "segments-in-order-only": ("split-in-three-out-of-order", "scapy"),
}
"""For each rule a capture and a dissector that need it."""


def test_every_rule_explains_what_it_is_for(tmp_path: Path) -> None:
    made = kinds() | special()
    for name, _ in SAMPLES.values():
        (tmp_path / f"{name}.pcap").write_bytes(made[name])
    found = checked("--ports", "any", "--with", DISSECTORS, tmp_path, cwd=tmp_path)
    assert set(SAMPLES) == {rule.name for rule in rules()}
    explained = {(one["rule"], Path(one["path"]).stem, one["dissector"]) for one in found}
    assert {(rule, *sample) for rule, sample in SAMPLES.items()} <= explained


def test_pyshark_reads_what_tshark_reads(tmp_path: Path) -> None:
    for name in ("oldest-hellos.pcap", "dovecot-versions.pcap"):
        shutil.copy(PCAPS / name, tmp_path)
    ran = hellowatch(
        *("crosscheck", "--with", "tshark,pyshark", "--format", "json", tmp_path), cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    for file in json.loads(ran.stdout)["files"]:
        counts = {one["name"]: (one["hellos"], one["problem"]) for one in file["dissectors"]}
        assert counts["tshark"] == counts["pyshark"]
        assert counts["tshark"][0] >= file["hellos"] > 0
        by_name: dict[str, list[Any]] = {"tshark": [], "pyshark": []}
        for one in file["differences"]:
            by_name[one.pop("dissector")].append(one)
        assert by_name["tshark"] == by_name["pyshark"]


def test_a_misreading_is_told_with_its_bytes_and_exit_code_1(tmp_path: Path, fake: Any) -> None:
    layers = {
        "frame_number": ["4"],
        "ip_src": ["10.30.0.18"],
        "ip_dst": ["10.30.1.7"],
        "tcp_srcport": ["54562"],
        "tcp_dstport": ["993"],
        "tls_record_version": ["0x0300"],
        "tls_handshake_version": ["0x0303"],
        "tls_handshake_ciphersuite": ["255", "10", "5", "4"],
        "tls_handshake_extensions_server_name": ["\x1b[31m"],
    }
    env = fake(f"cat <<'END'\n{json.dumps({'layers': layers})}\nEND")
    found = checked("--with", "tshark", DPKT, cwd=tmp_path, code=1, env=env)
    facts = {one["kind"]: one for one in found if one["kind"] != "missing"}
    assert set(facts) == {"legacy_version", "server_name"}
    version = facts["legacy_version"]
    assert (version["frame"], version["hellowatch"], version["said"]) == (4, "0x0300", "0x0303")
    assert (version["rule"], version["right"]) == (None, "unknown")
    assert "160300" in version["bytes"]
    assert facts["server_name"]["said"] == r"\x1b[31m"
    assert sum(one["kind"] == "missing" for one in found) == 6
    table = hellowatch(
        "crosscheck", "--format", "table", "--with", "tshark", DPKT, cwd=tmp_path, env=env
    )
    assert table.returncode == 1
    assert b"\x1b" not in table.stdout
    assert b"no rule explains it" in table.stdout


@pytest.mark.parametrize(
    ("script", "options", "why"),
    [
        ("sleep 60", ["--timeout", "1s"], "took longer than 1 s"),
        ("echo broken pipe dream >&2; exit 2", [], "RuntimeError: broken pipe dream"),
        ("echo '[[['", [], "DecodeError"),
        ("yes '{\"layers\": {}}'", [], "ValueError: a hello without frame.number"),
        ("yes | tr -d '\\n'", ["--timeout", "1s"], "took longer than 1 s"),
    ],
    ids=["silent", "failing", "garbage", "wrong-fields", "endless-line"],
)
def test_a_dissector_that_fails_is_told_of_and_leaves_nothing_behind(
    script: str, options: list[str], why: str, tmp_path: Path, fake: Any
) -> None:
    env = fake(f"echo $$ >{tmp_path}/pid; {script}")
    started = time.monotonic()
    ran = hellowatch(
        *("crosscheck", "--format", "json", "--with", "tshark", *options, DPKT),
        cwd=tmp_path,
        env=env,
    )
    assert time.monotonic() - started < 45
    assert ran.returncode == 0, ran.stderr
    (file,) = json.loads(ran.stdout)["files"]
    assert why in file["dissectors"][0]["problem"]
    assert {one["rule"] for one in file["differences"]} == {"gave-up"}
    assert why.encode() in ran.stderr
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path("/proc", pid).exists() or "zombie" in Path("/proc", pid, "status").read_text()


def test_what_is_not_installed_is_named_with_its_cure(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    ran = hellowatch("crosscheck", "--with", "tshark,dpkt", DPKT, cwd=tmp_path, env=env)
    assert ran.returncode == 0
    assert b"tshark needs the program tshark: apt-get install tshark" in ran.stderr
    assert {json.loads(line)["dissector"] for line in ran.stdout.splitlines()} == {"dpkt"}
    ran = hellowatch("crosscheck", "--with", "tshark,pyshark", DPKT, cwd=tmp_path, env=env)
    assert (ran.returncode, ran.stdout) == (3, b"")
    assert ran.stderr.count(b"apt-get install tshark") == 2


def test_packed_and_piped_captures_give_the_same(tmp_path: Path) -> None:
    plain = checked("--with", "dpkt", DPKT, cwd=tmp_path)
    assert plain
    packed = tmp_path / "oldest.pcap.gz"
    packed.write_bytes(gzip.compress(DPKT.read_bytes(), mtime=0))
    for found in (
        checked("--with", "dpkt", packed, cwd=tmp_path),
        checked("--with", "dpkt", "-", cwd=tmp_path, stdin=DPKT.read_bytes()),
    ):
        assert [one | {"path": plain[0]["path"]} for one in found] == plain


def test_damaged_and_unreadable_inputs(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(DPKT.read_bytes()[:-10])
    ran = hellowatch("crosscheck", "--with", "dpkt", cut, cwd=tmp_path)
    assert ran.returncode == 4
    assert b"cut.pcap" in ran.stderr
    assert b"offset" in ran.stderr
    ran = hellowatch("crosscheck", "--with", "dpkt", tmp_path / "none", cut, cwd=tmp_path)
    assert ran.returncode == 4
    ran = hellowatch("crosscheck", "--with", "dpkt", tmp_path / "none", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (3, b"")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--with", "wireshark", "x"], ["--timeout", "soon", "x"], ["--format", "csv", "x"]],
    ids=["no-file", "unknown-dissector", "no-time", "unknown-format"],
)
def test_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    ran = hellowatch("crosscheck", *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, b"")


def test_a_password_in_clear_is_not_shown(tmp_path: Path) -> None:
    """What another dissector takes for a hello may be something else."""
    talk = Conversation(server_port=110).open().client(b"USER scanner\r\nPASS topsecret\r\n")
    (tmp_path / "clear.pcap").write_bytes(craft.pcap(talk.frames()))
    layers = {
        "frame_number": ["4"],
        "ip_src": ["10.0.0.50"],
        "ip_dst": ["52.96.0.10"],
        "tcp_srcport": ["50123"],
        "tcp_dstport": ["110"],
        "tls_handshake_version": ["0x0301"],
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "tshark").write_text(f"#!/bin/sh\necho '{json.dumps({'layers': layers})}'\n")
    (folder / "tshark").chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}"}
    (extra,) = checked("--with", "tshark", tmp_path / "clear.pcap", cwd=tmp_path, code=1, env=env)
    assert extra["kind"] == "extra"
    assert b"topsecret".hex() not in extra["bytes"]
    assert b"USER".hex() not in extra["bytes"]


def test_ctrl_c_tells_what_was_found_and_ends_what_was_started(tmp_path: Path, fake: Any) -> None:
    env = environment(**fake(f"echo $$ >{tmp_path}/pid; sleep 60"))
    command = [*PROGRAM, "crosscheck", "--format", "json", "--with", "tshark", str(DPKT)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        until = time.monotonic() + 30
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert json.loads(out) == {"files": [], "unexplained": 0}
    assert b"Traceback" not in err


def test_rules_are_data_with_a_source_each() -> None:
    names = [rule.name for rule in rules()]
    assert len(set(names)) == len(names) >= 10
    for rule in rules():
        assert rule.source
        assert rule.why
        assert set(rule.dissectors) <= {"tshark", "pyshark", "scapy", "dpkt"}
