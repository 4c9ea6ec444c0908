"""``hellowatch run --replay`` from outside: the page, the signals, the ends."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import craft
import pytest
from program import ANY_PORT, OFFICE, PROGRAM, SECONDS, environment, hellowatch, running
from prometheus_client.parser import text_string_to_metric_families

HELLO = craft.client_hello()
CUT = OFFICE.read_bytes()[:30_000]
READY_WORDS = "until Ctrl-C the metrics stay at"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def events(octets: bytes) -> list[dict[str, Any]]:
    """Read NDJSON."""
    return [json.loads(line) for line in octets.decode().splitlines()]


def samples(page: str, name: str) -> list[tuple[dict[str, str], float]]:
    """Return the labels and values of one metric."""
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    ]


def analyzed(folder: Path) -> list[dict[str, Any]]:
    """Return the events that analyze finds in the office capture."""
    return events(hellowatch("analyze", OFFICE, cwd=folder).stdout)


def test_page_counts_what_analyze_counts(tmp_path: Path) -> None:
    told = analyzed(tmp_path)
    with running("--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        status, page = program.get("/metrics")
    assert status == 200

    def counted(metric: str, third: str) -> Counter[tuple[str, str, str]]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for labels, value in samples(page, metric):
            assert labels.keys() == {"protocol", "version", third}
            if value:
                counts[labels["protocol"], labels["version"], labels[third]] += int(value)
        return counts

    def wanted(third: str) -> Counter[tuple[str, str, str]]:
        return Counter(
            (
                event["network"]["protocol"],
                event["hellowatch"].get("max_offered", "unknown"),
                event["hellowatch"][third],
            )
            for event in told
        )

    assert counted("hellowatch_client_hellos_total", "verdict") == wanted("verdict")
    assert counted("hellowatch_handshakes_total", "outcome") == wanted("outcome")

    legacy = [event for event in told if event["hellowatch"]["verdict"] == "legacy"]
    by_device: Counter[str] = Counter()
    for labels, value in samples(page, "hellowatch_device_legacy_hellos_total"):
        by_device[labels["device"]] += int(value)
    assert sum(by_device.values()) == len(legacy)
    assert +by_device == Counter(event["source"]["ip"] for event in legacy)

    summary = json.loads(hellowatch("analyze", "--format=json", OFFICE, cwd=tmp_path).stdout)
    statuses = Counter(device["status"] for device in summary["devices"])
    shown = {labels["status"]: value for labels, value in samples(page, "hellowatch_devices")}
    assert {status: count for status, count in shown.items() if count} == statuses
    ((labels, frames),) = samples(page, "hellowatch_frames_received_total")
    assert (labels, frames) == ({"interface": OFFICE.name}, summary["coverage"]["frames"])


@needs_promtool
def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    with running("--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        page = program.get("/metrics")[1]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page.encode(), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_pages_beside_the_metrics(tmp_path: Path) -> None:
    with running("--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        assert program.get("/-/healthy") == (200, "HelloWatch is healthy.\n")
        assert program.get("/-/ready") == (200, "HelloWatch is ready.\n")
        status, landing = program.get("/")
        assert status == 200
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            assert f'href="{path}"' in landing
        assert program.get("/nothing")[0] == 404


def test_frames_older_than_those_before_them_are_counted(tmp_path: Path) -> None:
    talk = craft.Conversation().open().client(craft.client_hello())
    talk.time_ns -= 3600 * 10**9
    talk.server(craft.alert()).fin("server")
    (tmp_path / "back.pcap").write_bytes(craft.pcap(talk.frames()))
    with running("--replay", "back.pcap", cwd=tmp_path) as program:
        program.wait_until_replayed()
        page = program.get("/metrics")[1]
    backwards = samples(page, "hellowatch_frames_backwards_total")
    assert backwards == [({"interface": "back.pcap"}, 2)]


def test_page_answers_while_the_replay_goes_on(tmp_path: Path) -> None:
    with running("--replay", "-", cwd=tmp_path, stdin=subprocess.PIPE) as program:
        pipe = program.process.stdin
        assert pipe is not None
        pipe.write(CUT)
        pipe.flush()
        until = time.monotonic() + SECONDS
        while True:
            page = program.get("/metrics")[1]
            ((labels, frames),) = samples(page, "hellowatch_frames_received_total")
            if frames:
                break
            assert time.monotonic() < until
        assert labels == {"interface": "stdin"}
        assert program.get("/-/ready")[0] == 503
        assert program.get("/-/healthy")[0] == 200
        assert sum(value for _, value in samples(page, "hellowatch_client_hellos_total")) > 0
        pipe.write(OFFICE.read_bytes()[len(CUT) :])
        pipe.close()
        program.process.stdin = None
        program.wait_until_replayed()
        page = program.get("/metrics")[1]
        assert sum(value for _, value in samples(page, "hellowatch_client_hellos_total")) == 63
        assert program.end()[0] == 0


def test_reader_of_the_events_who_stands_still_does_not_stop_the_page(tmp_path: Path) -> None:
    """The lock of the picture is not held while an output blocks."""
    options = ("--format", "ndjson", "--replay", "-")
    with running(*options, cwd=tmp_path, stdin=subprocess.PIPE, drain=False) as run:
        pipe = run.process.stdin
        assert pipe is not None
        pipe.write(OFFICE.read_bytes())
        pipe.flush()
        for _ in range(20):  # its events are more than a pipe holds
            status, _ = run.get("/metrics")
            assert status == 200
            time.sleep(0.05)


def test_events_are_those_of_analyze(tmp_path: Path) -> None:
    run = hellowatch("run", *ANY_PORT, "--replay", OFFICE, "--duration", "0", cwd=tmp_path)
    assert run.returncode == 0
    told = {event["hellowatch"]["id"]: event for event in events(run.stdout)}
    assert told == {event["hellowatch"]["id"]: event for event in analyzed(tmp_path)}
    assert len(told) == len(run.stdout.splitlines())


@pytest.mark.parametrize("form", ["table", "json"])
def test_summary_is_that_of_analyze(form: str, tmp_path: Path) -> None:
    replay = hellowatch(
        *("run", *ANY_PORT, "--replay", OFFICE, "--format", form, "--duration", "0"), cwd=tmp_path
    )
    offline = hellowatch("analyze", "--format", form, OFFICE, cwd=tmp_path)
    assert (replay.returncode, replay.stdout) == (0, offline.stdout)


def test_outputs_count_and_fail_on_are_those_of_analyze(tmp_path: Path) -> None:
    options = ["--replay", OFFICE, "-o", "a.json", "-o", "b.csv", "-c", "12", "--fail-on", "legacy"]
    run = hellowatch("run", *ANY_PORT, *options, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, b"")
    assert json.loads((tmp_path / "a.json").read_bytes())["totals"]["hellos"] == 12
    assert len((tmp_path / "b.csv").read_text().splitlines()) == 13
    before = OFFICE.read_bytes()
    run = hellowatch("run", *ANY_PORT, "--replay", OFFICE, "-o", OFFICE, cwd=tmp_path)
    assert run.returncode == 2
    assert OFFICE.read_bytes() == before


def test_frames_of_a_replay_are_written(tmp_path: Path) -> None:
    options = ["--replay", OFFICE, "-w", "frames", "--format", "csv", "--duration", "0"]
    run = hellowatch("run", *ANY_PORT, *options, cwd=tmp_path)
    again = hellowatch("analyze", "--format", "csv", "frames", cwd=tmp_path)
    assert (run.returncode, again.returncode, again.stderr) == (0, 0, b"")
    assert again.stdout.count(b"\n") == run.stdout.count(b"\n")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_ends_it_after_the_replay(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with running("--format", "table", "--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        ended, out, err = program.end(number)
        assert ended == code
        assert b"Old TLS (1.0)" in out
        assert err.count(READY_WORDS) <= 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_signal_amid_the_replay_tells_what_was_found(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    arguments = ["--format", "json", "--replay", "-"]
    with running(*arguments, cwd=tmp_path, stdin=subprocess.PIPE) as program:
        assert program.process.stdin is not None
        program.process.stdin.write(CUT)
        program.process.stdin.flush()
        until = time.monotonic() + SECONDS
        while not sum(
            value
            for _, value in samples(program.get("/metrics")[1], "hellowatch_frames_received_total")
        ):
            assert time.monotonic() < until
        ended, out, err = program.end(number)
    assert ended == code, err
    told = json.loads(out)
    whole = json.loads(
        hellowatch("analyze", "--format", "json", "-", cwd=tmp_path, stdin=CUT).stdout
    )
    assert told["totals"] == whole["totals"]
    assert told["devices"] == whole["devices"]
    assert told["inputs"][0]["status"] == "partial"


def test_signal_prints_what_was_lost(tmp_path: Path) -> None:
    talk = craft.Conversation().open().client(craft.client_hello(), split=(30,), order=(0,))
    (tmp_path / "gap.pcap").write_bytes(craft.pcap(talk.frames()))
    with running("--replay", "gap.pcap", cwd=tmp_path) as program:
        program.wait_until_replayed()
        program.process.send_signal(signal.SIGUSR1)
        assert program.process.stderr is not None
        line = ""
        while "gap.pcap" not in line or READY_WORDS in line:
            line = program.process.stderr.readline().decode()
            assert line
        found = re.fullmatch(
            r"hellowatch: gap\.pcap: 4 frames, 0 dropped, 0 cut, 1 hellos; lost: (\S.*)\n", line
        )
        assert found, line
        assert re.search(r"\b\w+ 1\b", found[1])
        assert program.get("/-/healthy")[0] == 200
        assert program.end()[0] == 0


def test_duration_ends_it_by_itself(tmp_path: Path) -> None:
    began = time.monotonic()
    options = ["--replay", OFFICE, "-o", "x.json", "--duration", "0.5s"]
    run = hellowatch("run", *ANY_PORT, *options, cwd=tmp_path)
    assert run.returncode == 0
    assert time.monotonic() - began >= 0.5
    assert READY_WORDS.encode() not in run.stderr


def test_damaged_capture_is_four_when_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "cut.pcapng").write_bytes(CUT)
    options = ["--replay", "cut.pcapng", "--duration", "0"]
    run = hellowatch("run", *ANY_PORT, *options, cwd=tmp_path)
    assert run.returncode == 4
    assert re.search(rb"WARNING cut\.pcapng: .* at offset \d+\n", run.stderr)
    whole = hellowatch("analyze", "cut.pcapng", cwd=tmp_path).stdout
    assert sorted(run.stdout.splitlines()) == sorted(whole.splitlines())


def test_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ["--replay", OFFICE, "--web.listen-address", where]
        run = hellowatch("run", *options, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    line = f"hellowatch: --web.listen-address: cannot listen on {where}: Address already in use\n"
    assert run.stderr.decode() == line


@pytest.mark.parametrize("where", ["nowhere", "127.0.0.1:99999", "::1:80", "192.0.2.1:1", ""])
def test_address_that_cannot_be_used_is_one_line(where: str, tmp_path: Path) -> None:
    options = ["--replay", OFFICE, "--web.listen-address", where]
    run = hellowatch("run", *options, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.startswith(b"hellowatch: --web.listen-address: ")
    assert run.stderr.count(b"\n") == 1


def test_hangup_of_a_replay_reads_the_configuration_anew(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("")
    family = "hellowatch_device_legacy_hellos_total"
    with running("--config", "my.toml", "--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        before = samples(program.get("/metrics")[1], family)
        stderr = program.process.stderr
        assert stderr is not None
        for text, why in (
            ("[metrics]\ndevice_series = -1\n", b"my.toml:2: metrics.device_series: -1 is not an"),
            ('[watch]\nports = "1"\n', b"--replay: ports, capture and track are"),
        ):
            (tmp_path / "my.toml").write_text(text)
            program.process.send_signal(signal.SIGHUP)
            while b"The configuration stays as it was" not in (line := stderr.readline()):
                assert line
            assert why in line
            assert samples(program.get("/metrics")[1], family) == before
        (tmp_path / "my.toml").write_text("[metrics]\ndevice_series = 0\n")
        program.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + SECONDS
        while (after := samples(program.get("/metrics")[1], family)) == before:
            assert time.monotonic() < until
        assert {labels["device"] for labels, _ in after} == {"__overflow__"}
        assert sum(value for _, value in after) == sum(value for _, value in before)
        assert program.end()[0] == 0


def test_every_device_with_old_tls_is_named_once(tmp_path: Path) -> None:
    said = [
        craft.Conversation(f"10.0.0.{1 + number % 3}", client_port=40_000 + number)
        .open()
        .client(craft.client_hello(sni=f"mail\x1b[2J{number}"))
        .server(craft.alert())
        .fin("server")
        for number in range(9)
    ]
    modern = craft.Conversation("10.0.0.9").open().client(craft.tls13_client_hello())
    capture = craft.pcap([frame for talk in [*said, modern] for frame in talk.frames()])
    (tmp_path / "old.pcap").write_bytes(capture)
    options = [*ANY_PORT, "--replay", "old.pcap", "--duration", "0"]
    run = hellowatch("run", *options, cwd=tmp_path)
    named = re.findall(rb"WARNING New device with old TLS device=(\S+) (.*)", run.stderr)
    assert [device for device, _ in named] == [b"10.0.0.1", b"10.0.0.2", b"10.0.0.3"]
    assert named[0][1] == rb'offers="TLS 1.0" server=mail\x1b[2J0 port=993 outcome=alert'
    assert b"\x1b" not in run.stderr


def test_flood_of_old_devices_names_few_and_counts_the_rest(tmp_path: Path) -> None:
    frames = [
        frame
        for number in range(200)
        for frame in craft.Conversation(f"10.0.1.{number}").open().client(HELLO).frames()
    ]
    (tmp_path / "many.pcap").write_bytes(craft.pcap(frames))
    options = [*ANY_PORT, "--replay", "many.pcap", "--duration", "0"]
    run = hellowatch("run", *options, cwd=tmp_path)
    assert run.stderr.count(b"device=") == 10
    assert b"held_back=190" in run.stderr


def test_quiet_says_nothing_and_json_is_json(tmp_path: Path) -> None:
    options = ["--replay", OFFICE, "-o", "x.json", "--duration", "0"]
    run = hellowatch("run", *ANY_PORT, "-q", *options, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    run = hellowatch("run", *ANY_PORT, "--log-format", "json", *options, cwd=tmp_path)
    line, *devices = [json.loads(line) for line in run.stderr.splitlines()]
    assert line["message"] == "metrics at"
    assert {one["log.level"] for one in devices} == {"warning"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", line["fields"]["url"])


def test_stuck_scraper_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with running("--replay", OFFICE, cwd=tmp_path) as program:
        program.wait_until_replayed()
        split = urlsplit(program.address)
        stuck = [http.client.HTTPConnection(str(split.hostname), split.port) for _ in range(20)]
        for connection in stuck:
            connection.connect()
        began = time.monotonic()
        assert program.end()[0] == 0
        assert time.monotonic() - began < 5
        for connection in stuck:
            connection.close()


def test_reader_who_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", *ANY_PORT, "-q", "--replay", "-"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with suppress(BrokenPipeError):
        process.stdin.write(OFFICE.read_bytes())
        process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait(SECONDS) == -signal.SIGPIPE
