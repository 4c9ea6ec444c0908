"""The portable sources, by choice, on an interface of our own: what the ring sees, they see."""

import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import craft
import pytest
from daemon import Caller, calls, daemon
from namespaces import eventually, namespace
from office import analysed, dumped, sorted_by_client
from program import PROGRAM, environment

from sniffer.capture.portable import chosen

CALL = 5
"""Frames of a refused call that pass the filter: no bare acknowledgement."""

each_source = pytest.mark.parametrize("source", ["pcap", "scapy"])


@pytest.fixture
def ns():
    """A namespace with a cable: what is sent into ``far`` comes in at ``mirror``."""
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


@each_source
def test_real_frames_give_the_events_of_the_file_beside(source, ns, tmp_path):
    with ExitStack() as stack:
        far = stack.enter_context(ns.sender("far"))
        arguments = ("-i", "mirror", "--source", source, "--format", "ndjson", "-o", "sum.json")
        watching = stack.enter_context(daemon(ns, *arguments, cwd=tmp_path))
        with dumped(ns, "mirror", tmp_path / "beside.pcap"):
            caller = Caller(far)
            for _ in range(20):
                caller.call()
                time.sleep(0.005)
            for number, size in enumerate((1, 40, 1000)):
                hello = craft.tls13_client_hello()
                split = craft.Conversation(f"10.1.0.{number + 1}", vlans=[number + 1]).open()
                split.client(hello, split=size).server(craft.alert()).fin("server")
                for _, frame in split.frames():
                    far.send(frame)
                    time.sleep(0.0002)
            eventually(lambda: len(watching.events) == 23)
        received = watching.metric("hellowatch_frames_received_total", interface="mirror")
        assert watching.metric("hellowatch_frames_dropped_total") == 0
        assert watching.metric("hellowatch_capture_up", interface="mirror") == 1
        assert watching.child("hw-mirror") == 0
        watching.process.send_signal(signal.SIGUSR1)
        eventually(lambda: b"mirror: " in watching.told and b"dropped by kernel" in watching.told)
        watching.process.send_signal(signal.SIGHUP)
        eventually(lambda: b"reloads nothing" in watching.told)
        status = Path(f"/proc/{watching.process.pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert watching.end() == 0
        coverage = json.loads((tmp_path / "sum.json").read_text())["coverage"]
        assert coverage["frames"] == received
        assert coverage["fit"]

    live, beside = watching.events, analysed(tmp_path / "beside.pcap")
    for event in [*live, *beside]:
        # libpcap's times are cut to microseconds, and so is another id.
        del event["hellowatch"]["id"], event["@timestamp"]
    assert sorted_by_client(live) == sorted_by_client(beside)


@each_source
def test_frames_the_filter_holds_back_do_not_reach_it(source, ns, tmp_path):
    with ns.sender("far") as far:
        arguments = ("-i", "mirror", "--source", source)
        with daemon(ns, *arguments, cwd=tmp_path) as watching:
            caller = Caller(far)
            for _, frame in craft.Conversation(server_port=80).open().client(b"GET /").frames()[2:]:
                far.send(frame)
            caller.call(3)
            eventually(lambda: len(watching.events) == 3)
            assert watching.metric("hellowatch_frames_received_total") == 3 * CALL


@each_source
def test_more_than_can_be_read_in_time_is_counted(source, ns, tmp_path):
    with ns.sender("far") as far:
        arguments = ("-i", "mirror", "--source", source, "-B", "1")
        with daemon(ns, *arguments, cwd=tmp_path) as watching:
            os.kill(watching.process.pid, signal.SIGSTOP)
            frame = craft.Conversation().open().client(bytes(1000)).frames()[-1][1]
            for _ in range(20_000):
                far.send(frame)
            os.kill(watching.process.pid, signal.SIGCONT)
            received = "hellowatch_frames_received_total"
            eventually(lambda: watching.metric(received) == 20_000, 15)
            dropped = watching.metric("hellowatch_frames_dropped_total")
            assert 0 < dropped < 20_000


def test_it_ends_by_time_by_number_and_where_the_interface_goes(ns, tmp_path):
    arguments = ("-i", "mirror", "--source", "pcap")
    with ns.sender("far") as far:
        with daemon(ns, *arguments, "-c", "2", cwd=tmp_path) as watching:
            Caller(far).call(5)
            assert watching.wait() == 0
            assert len(calls(watching.events)) == 2
        with daemon(ns, *arguments, "--duration", "1", "--fail-on", "legacy", cwd=tmp_path) as it:
            Caller(far).call(1)
            assert it.wait() == 1
    with daemon(ns, *arguments, cwd=tmp_path) as watching:
        ns.ip("link set mirror down")
        assert watching.wait() == 3
        assert b"mirror: cannot be captured on" in watching.told.splitlines()[-1]


WITHOUT = "import sys; sys.modules[{module!r}] = None; from sniffer.cli.main import main; main()"


@pytest.mark.parametrize(
    ("source", "module", "says"),
    [
        ("pcap", "pcapy", "needs pcapy-ng, which is not installed; pip install 'hellowatch[pcap]'"),
        ("scapy", "scapy", "which is not installed; pip install 'hellowatch[crosscheck]'"),
    ],
)
def test_missing_library_is_one_line_that_names_the_extra(source, module, says, ns, tmp_path):
    program = [PROGRAM[0], "-c", WITHOUT.format(module=module)]
    ran = subprocess.run(
        ["ip", "netns", "exec", ns.name, *program, "run", "-i", "mirror", "--source", source],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.endswith(says)


@each_source
def test_what_cannot_be_captured_on_is_refused_as_by_the_ring(source, ns, tmp_path):
    def refused(*arguments: str, by: tuple[str, ...] = ()) -> tuple[int, str]:
        command = ["ip", "netns", "exec", ns.name, *by, *PROGRAM, "run", "--source", source]
        ran = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        (line,) = ran.stderr.splitlines()
        return ran.returncode, line

    code, line = refused("-i", "eth9")
    assert (code, line) == (
        2,
        "hellowatch: eth9: no such interface; the interfaces are lo, mirror, far",
    )
    by = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    code, line = refused("-i", "mirror", by=by)
    assert code == 5
    assert "needs the capability CAP_NET_RAW" in line
    code, line = refused("-i", "mirror", "-i", "far")
    assert code == 2
    assert "one interface at a time" in line


def test_the_ring_is_what_this_system_has_by_default():
    assert chosen("auto") == "ring"
    assert chosen("scapy") == "scapy"
