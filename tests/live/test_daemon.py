"""The daemon on real interfaces: real clients, real losses, and a cage that holds."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import craft
import pytest
from daemon import CALL, HELLO, Caller, Daemon, calls, daemon, is_dead, is_stopped
from mail import SERVER, MailServer, talk
from namespaces import Namespace, eventually, namespace, numbered
from office import analysed, dumped, office, sorted_by_client, without_times
from program import PROGRAM, environment, hellowatch

CAGED = Path(__file__).parent / "caged.py"
SO_TIMESTAMPNS = 35
CLIENTS = {
    # address: the most it offers, and what its server does about it on port 993 and on 995
    "10.9.0.10": (ssl.TLSVersion.TLSv1, "TLS 1.0", ("established", "alert")),
    "10.9.0.11": (ssl.TLSVersion.TLSv1_1, "TLS 1.1", ("established", "alert")),
    "10.9.0.12": (ssl.TLSVersion.TLSv1_2, "TLS 1.2", ("established", "established")),
    "10.9.0.13": (ssl.TLSVersion.TLSv1_3, "TLS 1.3", ("established", "established")),
}


@pytest.fixture
def ns():
    """A namespace with a cable: what is sent into ``far`` comes in at ``mirror``."""
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


# ------------------------------------------------------------------------ what it is for


def test_real_clients_are_named_and_the_file_beside_it_says_the_same(tmp_path):
    with ExitStack() as stack:
        clients, server, sensor = stack.enter_context(office(CLIENTS, [SERVER]))
        MailServer(stack, server, tmp_path)
        watching = stack.enter_context(daemon(sensor, "-i", "mirror", cwd=tmp_path))
        assert "watching mirror; metrics at http://127.0.0.1:" in watching.told.decode()
        with dumped(sensor, "mirror", tmp_path / "beside.pcap"):
            for client, (newest, _, outcomes) in CLIENTS.items():
                for port, outcome in zip((993, 995), outcomes, strict=True):
                    assert talk(clients, client, port, newest) == outcome
        eventually(lambda: len(watching.events) >= 2 * len(CLIENTS), 15)

        told = {
            (event["source"]["ip"], event["destination"]["port"]): (
                event["hellowatch"]["max_offered"],
                event["hellowatch"]["outcome"],
            )
            for event in watching.events
        }
        assert told == {
            (client, port): (version, outcome)
            for client, (_, version, outcomes) in CLIENTS.items()
            for port, outcome in zip((993, 995), outcomes, strict=True)
        }
        hellos = "hellowatch_client_hellos_total"
        assert watching.metric(hellos, version="TLS 1.0", verdict="legacy", protocol="imaps") == 1
        assert watching.metric(hellos) == 2 * len(CLIENTS)
        assert watching.metric("hellowatch_capture_up", interface="mirror") == 1
        assert watching.metric("hellowatch_frames_dropped_total") == 0
        assert abs(watching.metric("hellowatch_last_frame_timestamp_seconds") - time.time()) < 60
        assert watching.get("/-/ready")
        assert watching.end() == 0

        live = sorted_by_client(watching.events)
        beside = sorted_by_client(analysed(tmp_path / "beside.pcap"))
        assert without_times(live) == without_times(beside)


def test_conversation_has_the_same_ids_live_and_in_a_file(ns, tmp_path):
    with ExitStack() as stack:
        far = stack.enter_context(ns.sender("far"))
        # Somebody who asks for times: the kernel then stamps a frame once, for all of us.
        asking = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        watching = stack.enter_context(daemon(ns, "-i", "mirror", cwd=tmp_path))
        with dumped(ns, "mirror", tmp_path / "beside.pcap"):
            caller = Caller(far)
            for _ in range(20):
                caller.call()
                time.sleep(0.005)  # tcpdump has room for few frames
            for number, size in enumerate((1, 7, 40, 1000)):
                hello = craft.tls13_client_hello()
                split = craft.Conversation(f"10.1.0.{number + 1}", vlans=[number + 1]).open()
                split.client(hello, split=size).server(craft.alert()).fin("server")
                for _, frame in split.frames():
                    far.send(frame)
                    time.sleep(0.0002)
        eventually(lambda: len(watching.events) == 24)
        live = sorted_by_client(watching.events)
        assert live == sorted_by_client(analysed(tmp_path / "beside.pcap"))
        assert len({event["hellowatch"]["id"] for event in live}) == 24


# ------------------------------------------------------------------------ what may happen


def test_killed_worker_is_back_within_two_seconds_and_its_loss_counted(ns, tmp_path):
    received, dropped = "hellowatch_frames_received_total", "hellowatch_frames_dropped_total"
    unreported = "hellowatch_hellos_unreported_total"
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        caller = Caller(far)
        caller.call(5)
        caller.call(2, refused=False)
        eventually(lambda: watching.metric(received) == 5 * CALL + 2 * HELLO)
        before = watching.child("hw-mirror")
        os.kill(before, signal.SIGSTOP)
        eventually(lambda: is_stopped(before))
        for number in range(500):
            far.send(numbered(number))
        os.kill(before, signal.SIGKILL)
        took = eventually(lambda: watching.new_child("hw-mirror", before), 2)
        took += eventually(lambda: watching.metric(dropped) == 500, 2 - took)
        caller.call(3)
        eventually(lambda: len(watching.events) == 8)

        assert took < 2
        assert watching.metric(received) == 8 * CALL + 2 * HELLO + 500
        assert watching.metric(unreported) == 2
        assert watching.metric("hellowatch_capture_up") == 1
        assert set(calls(watching.events).values()) == {1}
        assert ns.promiscuity("mirror") == 1
        watching.process.send_signal(signal.SIGUSR1)
        eventually(lambda: b"500 packets dropped by kernel" in watching.told)
        assert b"another one takes over" in watching.told
        assert watching.end() == 0


def test_worker_goes_on_while_the_server_is_killed_and_nothing_is_lost(ns, tmp_path):
    hellos = "hellowatch_client_hellos_total"
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        caller = Caller(far)
        caller.call(5)
        eventually(lambda: len(watching.events) == 5)
        worker, before = watching.child("hw-mirror"), watching.child("hw-server")
        os.kill(before, signal.SIGSTOP)
        eventually(lambda: is_stopped(before))
        caller.call(700)
        time.sleep(0.3)  # the worker has told the reader, which does not read
        os.kill(before, signal.SIGKILL)
        caller.call(50)
        eventually(lambda: watching.new_child("hw-server", before))
        eventually(lambda: len(watching.events) >= 755)

        assert calls(watching.events) == dict.fromkeys(range(20_001, 20_756), 1)
        eventually(lambda: watching.metric(hellos) == 750)
        assert watching.metric("hellowatch_hellos_unreported_total") == 0
        assert watching.metric("hellowatch_frames_dropped_total") == 0
        assert watching.child("hw-mirror") == worker
        assert watching.end() == 0


def test_what_was_seen_is_in_the_store_a_second_later_whoever_dies(ns, tmp_path):
    store = f"sqlite:///{tmp_path}/office.db"

    def stored() -> int:
        done = hellowatch("handshakes", "--format", "ndjson", "--store", store, cwd=tmp_path)
        return done.stdout.count(b"\n")

    watched = ("-i", "mirror", "--store", store)
    with ns.sender("far") as far, daemon(ns, *watched, cwd=tmp_path) as watching:
        caller = Caller(far)
        caller.call(3)
        eventually(lambda: stored() == 3, seconds=10)
        time.sleep(3)  # it sleeps, for want of anything to write
        caller.call(2)
        eventually(lambda: stored() == 5, seconds=10)
        os.kill(watching.child("hw-server"), signal.SIGKILL)
        caller.call(2)
        eventually(lambda: stored() == 7, seconds=20)
        assert watching.end() == 0
    assert stored() == 7
    evidence = "devices", "evidence", "10.0.0.50", "--store", store, "-w", "-"
    hello = craft.client_hello(random=(20_001).to_bytes(32))
    assert hello in hellowatch(*evidence, cwd=tmp_path).stdout


def test_frames_are_written_by_a_server_that_may_die(ns, tmp_path):
    options = ["-i", "mirror", "-w", "frames"]
    with ns.sender("far") as far, daemon(ns, *options, cwd=tmp_path) as watching:
        caller = Caller(far)
        caller.call(10)
        talk = craft.Conversation("10.1.0.9", server_port=110, vlans=[7]).open()
        talk.client(b"CAPA\r\n").client(b"AUTH canary\r\n").client(b"STLS\r\n")
        talk.client(craft.client_hello() + craft.application_data(8)).server(craft.alert())
        for _, frame in talk.frames():
            far.send(frame + b"canary")
        eventually(lambda: len(watching.events) == 11)
        before = watching.child("hw-server")
        os.kill(before, signal.SIGKILL)
        eventually(lambda: watching.new_child("hw-server", before))
        caller.call(10)
        eventually(lambda: len(calls(watching.events)) == 21)
        eventually(lambda: watching.metric("hellowatch_evidence_frames_lost_total") == 0)
        assert watching.end() == 0

        told = analysed(tmp_path / "frames")
        # What the dead server had told and not confirmed was told twice.
        live = list({event["hellowatch"]["id"]: event for event in watching.events}.values())
        for event in live:
            if "starttls" in event["hellowatch"]:
                event["hellowatch"]["flow"]["syn_seen"] = False
        assert sorted_by_client(told) == sorted_by_client(live)
        assert b"canary" not in (tmp_path / "frames").read_bytes()


def test_interface_that_goes_down_is_waited_for(ns, tmp_path):
    up = "hellowatch_capture_up"
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        worker = watching.child("hw-mirror")
        ns.ip("link set mirror down")
        eventually(lambda: watching.metric(up, interface="mirror") == 0)
        ns.ip("link set mirror up")
        eventually(lambda: watching.metric(up, interface="mirror") == 1)
        with ns.sender("far") as far:
            Caller(far).call(3)
        eventually(lambda: len(watching.events) == 3)

        assert watching.child("hw-mirror") == worker
        assert 0 < watching.metric("hellowatch_coverage_seconds_total") < 60


def test_interface_made_anew_is_captured_within_two_seconds_by_a_worker_without_privileges(
    ns, tmp_path
):
    up = "hellowatch_capture_up"
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        worker = watching.child("hw-mirror")
        ns.ip("link del mirror")
        eventually(lambda: watching.metric(up, interface="mirror") == 0)
        ns.veth("far", "mirror")
        back = time.monotonic()
        with ns.sender("far") as far:
            caller = Caller(far)
            eventually(lambda: caller.call() or watching.events)
        assert time.monotonic() - back < 2
        eventually(lambda: watching.metric(up, interface="mirror") == 1)
        assert watching.child("hw-mirror") == worker
        assert ns.promiscuity("mirror") == 1
        assert b"another one takes over" not in watching.told


def test_flood_of_small_frames_is_counted_and_the_page_answers_meanwhile(ns, tmp_path):
    sent, took = 0, []
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", "-B", "1", cwd=tmp_path) as watching:
        frame = craft.Conversation().open().frames()[0][1].ljust(60, b"\0")
        over = threading.Event()

        def flood() -> None:
            nonlocal sent
            while not over.is_set():
                far.send(frame)
                sent += 1

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            for _ in range(10):
                before = time.monotonic()
                watching.get("/metrics")
                took.append(time.monotonic() - before)
                time.sleep(0.1)
        finally:
            over.set()
            flooding.join()
        received = "hellowatch_frames_received_total"
        eventually(lambda: watching.metric(received) == sent)
        assert watching.end() == 0
    assert sent > 10_000
    assert sorted(took)[len(took) // 2] < 1


def test_two_interfaces_have_a_worker_each_and_one_judge(ns, tmp_path):
    ns.veth("away", "second")
    with ExitStack() as stack:
        far, away = (stack.enter_context(ns.sender(one)) for one in ("far", "away"))
        watching = stack.enter_context(
            daemon(ns, "-i", "mirror", "-i", "second", cwd=tmp_path),
        )
        for sender, version in ((far, craft.TLS_1_2), (away, craft.TLS_1_0)):
            made = craft.Conversation(client_port=version).open()
            made.client(craft.client_hello(version)).server(craft.alert()).rst("server")
            for _, frame in made.frames():
                sender.send(frame)
            time.sleep(0.01)
        eventually(lambda: len(watching.events) == 2)

        first, second = (event["hellowatch"] for event in watching.events)
        assert (first["max_offered"], first["verdict"]) == ("TLS 1.2", "ok")
        assert (second["max_offered"], second["verdict"]) == ("TLS 1.0", "fallback")
        for interface in ("mirror", "second"):
            assert watching.metric("hellowatch_frames_received_total", interface=interface) == CALL


def test_without_a_spare_socket_it_ends_so_that_systemd_starts_it_anew(ns, tmp_path):
    (tmp_path / "few.toml").write_text("[daemon]\nreload_sockets = 0\n")
    with daemon(ns, "-i", "mirror", "--config", "few.toml", cwd=tmp_path) as watching:
        worker = 0
        for _ in range(5):
            eventually(lambda: watching.new_child("hw-mirror", worker))  # noqa: B023
            worker = watching.child("hw-mirror")
            os.kill(worker, signal.SIGKILL)
        assert watching.wait() == 3
        last = watching.told.decode().splitlines()[-1]
        assert "mirror: the capturing process ended (signal 9)" in last
        assert "no spare socket is left" in last


def test_nothing_is_left_where_the_launcher_is_killed(ns, tmp_path):
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        children = [watching.child("hw-mirror"), watching.child("hw-server")]
        assert all(children)
        assert ns.promiscuity("mirror") == 1
        watching.process.kill()
        eventually(lambda: all(map(is_dead, children)))
        assert ns.promiscuity("mirror") == 0


# ------------------------------------------------------------------------ how it ends


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signal_ends_it_after_what_is_open_was_told(ns, tmp_path, number, code):
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        Caller(far).call(2, refused=False)
        eventually(lambda: watching.metric("hellowatch_frames_received_total") == 2 * HELLO)
        assert watching.events == []
        assert watching.end(number) == code
        assert calls(watching.events) == {20_001: 1, 20_002: 1}


def test_signal_to_all_its_processes_ends_it_in_order_too(ns, tmp_path):
    """As systemd sends it, if not told otherwise (systemd.kill(5), KillMode=control-group)."""
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        Caller(far).call(2, refused=False)
        eventually(lambda: watching.metric("hellowatch_frames_received_total") == 2 * HELLO)
        for name in ("hw-server", "hw-mirror"):
            os.kill(watching.child(name), signal.SIGTERM)
        assert watching.end() == 0
        assert calls(watching.events) == {20_001: 1, 20_002: 1}


def test_it_ends_by_itself_after_events_or_time(ns, tmp_path):
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", "-c", "2", cwd=tmp_path) as watching:
        Caller(far).call(5)
        assert watching.wait() == 0
        assert calls(watching.events) == {20_001: 1, 20_002: 1}
    with ns.sender("far") as far:
        arguments = ("-i", "mirror", "--duration", "1", "--format", "json", "-o", "found.csv")
        with daemon(ns, *arguments, "--fail-on", "legacy", cwd=tmp_path) as watching:
            Caller(far).call(5)
            assert watching.wait() == 1
            summary = json.loads(watching.out)
            assert summary["totals"]["hellos"] == 5
            assert summary["inputs"][0]["path"] == "mirror"
            assert summary["coverage"]["frames"] == 5 * CALL
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 6


def test_signals_of_a_daemon_do_not_end_it(ns, tmp_path):
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        watching.process.send_signal(signal.SIGHUP)
        eventually(lambda: b"nothing changed" in watching.told)
        watching.process.send_signal(signal.SIGUSR1)
        eventually(lambda: b"mirror: 0 packets captured" in watching.told)
        assert watching.child("hw-mirror")
        assert watching.child("hw-server")


# ------------------------------------------------------------------------ how it starts


def started(ns: Namespace, *arguments: str, cwd: Path, **how) -> "subprocess.CompletedProcess":
    return subprocess.run(
        ["ip", "netns", "exec", ns.name, *how.pop("by", ()), *PROGRAM, "run", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        **how,
    )


def test_without_the_capability_it_says_which_and_how_to_grant_it(ns, tmp_path):
    by = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    ran = started(ns, "-i", "mirror", "-o", "events.csv", cwd=tmp_path, by=by)
    assert ran.returncode == 5
    (line,) = ran.stderr.splitlines()
    assert line.startswith("hellowatch: mirror: capturing needs the capability CAP_NET_RAW; ")
    assert ran.stdout == ""
    assert not (tmp_path / "events.csv").exists()


def test_unknown_interface_lists_those_there_are(ns, tmp_path):
    ran = started(ns, "-i", "eth9", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (
        "hellowatch: eth9: no such interface; the interfaces are lo, mirror, far\n"
    )


def test_what_keeps_the_server_from_starting_ends_it_in_one_line(ns, tmp_path):
    with ns.inside():
        taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = started(ns, "-i", "mirror", "--web.listen-address", where, cwd=tmp_path)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert f"cannot listen on {where}" in line


def test_it_captures_within_a_second(ns, tmp_path):
    before = time.monotonic()
    with daemon(ns, "-i", "mirror", cwd=tmp_path):
        took = time.monotonic() - before
    # The interpreter itself, as a measure of this machine at this moment.
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", "import msgspec, click"], check=True)
    alone = time.monotonic() - before
    assert took < max(1.0, 12 * alone), (took, alone)


def test_it_wakes_up_no_more_than_once_a_second_when_idle(ns, tmp_path):
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        eventually(lambda: watching.metric("hellowatch_capture_up") == 1)
        time.sleep(1.5)
        names = ("hw-mirror", "hw-server")
        pids = [watching.process.pid, *(watching.child(name) for name in names)]
        before, begun = [wake_ups(pid) for pid in pids], time.monotonic()
        time.sleep(3)
        after, took = [wake_ups(pid) for pid in pids], time.monotonic() - begun
    woken = [two - one for one, two in zip(before, after, strict=True)]
    assert woken[0] == 0
    assert max(woken[1:]) <= took + 2


def wake_ups(pid: int) -> int:
    """Return how often a process, all its threads, waited for something."""
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", s, re.M)[1]) for s in statuses)


def test_old_devices_are_named_once_and_an_empty_screen_says_what_it_is_worth(ns, tmp_path):
    with ns.sender("far") as far, daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        assert "hellowatch: nothing seen yet. A working day, better a month end," in (
            watching.told.decode()
        )
        watching.process.send_signal(signal.SIGUSR1)
        eventually(lambda: b"no old TLS seen yet. Watched for " in watching.told)
        Caller(far).call(3)
        eventually(lambda: b"New device with old TLS device=10.0.0.50" in watching.told)
        watching.process.send_signal(signal.SIGUSR1)
        eventually(lambda: watching.told.count(b"packets captured, ") == 2)
        assert watching.end() == 0
    assert watching.told.count(b"New device") == watching.told.count(b"no old TLS") == 1


# ------------------------------------------------------------------------ the cage


def test_worker_can_do_nothing_but_read_its_ring_and_report(ns, tmp_path):
    ran = subprocess.run(
        ["ip", "netns", "exec", ns.name, sys.executable, str(CAGED), "mirror"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr
    became = dict(json.loads(line) for line in ran.stderr.splitlines())
    assert int(became.pop("sockets")) >= 1
    assert len(became) == 19
    assert became == dict.fromkeys(became, "EPERM")
    assert list(tmp_path.iterdir()) == []


def test_no_process_of_the_daemon_keeps_a_capability(ns, tmp_path):
    with daemon(ns, "-i", "mirror", cwd=tmp_path) as watching:
        for pid in (watching.process.pid, watching.child("hw-mirror"), watching.child("hw-server")):
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            sets = {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
            assert sets == {"0000000000000000"}
            assert status["NoNewPrivs"] == "1"
            limits = Path(f"/proc/{pid}/limits").read_text()
            # The launcher never holds what passed on the wire.
            if pid != watching.process.pid:
                assert re.search(r"^Max core file size +0 +0 ", limits, re.M), "row P3"
            assert status["Seccomp"] == ("2" if pid == watching.child("hw-mirror") else "0")
        sockets = packet_sockets(watching, "hw-server")
        assert sockets == 0
        assert packet_sockets(watching, "hw-mirror") >= 1


def packet_sockets(watching: Daemon, name: str) -> int:
    """Return how many descriptors of a process are packet sockets."""
    pid = watching.child(name)
    table = Path(f"/proc/{pid}/net/packet").read_text().splitlines()[1:]
    inodes = {f"socket:[{line.split()[-1]}]" for line in table}
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(link) in inodes for link in folder.iterdir())


def test_privileges_once_given_up_are_gone_for_programs_too():
    script = (
        "import os, subprocess\n"
        "from sniffer.cage import privileges\n"
        "privileges.drop()\n"
        "print(privileges.held(), flush=True)\n"
        "os.execv('/bin/grep', ['grep', 'CapEff', '/proc/self/status'])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    assert ran.stdout == "{}\nCapEff:\t0000000000000000\n", ran.stderr
