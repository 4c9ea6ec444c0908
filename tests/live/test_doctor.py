"""``hellowatch doctor -i`` on real interfaces: each thing wrong with a mirror is told."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import craft
import pytest
from craft import Conversation, Frame
from daemon import Daemon, is_stopped
from namespaces import Namespace, eventually, namespace, numbered
from office import office
from program import PROGRAM, SECONDS, environment, hellowatch

Told = dict[str, Any]

HELLO = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
FLIGHT = craft.server_hello() + craft.certificate_flight()
LONGEST = 9000


@pytest.fixture
def ns():
    """A namespace with a cable: what is sent into ``far`` comes in at ``mirror``."""
    with namespace() as made:
        made.veth("far", "mirror", mtu=LONGEST)
        yield made


@contextmanager
def doctor(ns: Namespace, cwd: Path, *arguments: str) -> Iterator[Daemon]:
    """Start it, wait until it looks, and kill what is left of it at the end."""
    command = ["ip", "netns", "exec", ns.name, *PROGRAM, "doctor", "-i", "mirror"]
    process = subprocess.Popen(
        [*command, "--format", "json", *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    made = Daemon(ns, process)
    try:
        eventually(lambda: b"looking at" in made.told or process.poll() is not None, SECONDS)
        assert process.poll() is None, made.told
        yield made
    finally:
        process.kill()
        process.wait()


def send(ns: Namespace, frames: Iterable[bytes]) -> None:
    with ns.sender("far") as sender:
        for frame in frames:
            sender.send(frame)


def told_of(ns: Namespace, cwd: Path, frames: Iterable[bytes], *arguments: str) -> Told:
    """Let the doctor look while frames pass; return what it says."""
    with doctor(ns, cwd, *arguments) as looking:
        send(ns, frames)
        assert looking.end(signal.SIGTERM) == 0, looking.told
        return json.loads(looking.out)


def octets(frames: Iterable[Frame]) -> list[bytes]:
    return [wire for _, wire in frames]


def calls(number: int = 12) -> list[Conversation]:
    """Make conversations of as many clients with a server, none of them ours."""
    return [
        Conversation(
            f"10.0.0.{50 + at}",
            client_port=40000 + at,
            client_mac=f"3c:2a:f4:00:01:{at:02x}",
            server_port=993 if at % 2 else 995,
        )
        .open()
        .client(HELLO)
        .server(FLIGHT)
        .ack("client")
        .server(craft.alert())
        .fin("server")
        .fin("client")
        for at in range(number)
    ]


def of(sides: tuple[str, ...] = ()) -> list[bytes]:
    return [wire for call in calls() for wire in octets(call.frames(*sides))]


def codes(told: Told) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in told["findings"]}


def found(told: Told, code: str) -> Told:
    (finding,) = [finding for finding in told["findings"] if finding["code"] == code]
    return finding["figures"]


def test_good_mirror_is_fit_and_only_short(ns, tmp_path):
    told = told_of(ns, tmp_path, of())
    assert codes(told) == {"too-short": "warning"}
    assert told["fit"] is True
    assert told["verdict"] == "12 of 12 devices seen offer old TLS."
    assert told["coverage"]["frames"] == len(of())
    assert told["interface"]["name"] == "mirror"
    assert told["interface"]["mtu"] == LONGEST
    assert told["interface"]["lost"] == {}


def test_one_way_mirror_is_told_with_the_missing_side(ns, tmp_path):
    told = told_of(ns, tmp_path, of(("client",)))
    assert codes(told) == {"one-way": "warning", "too-short": "warning"}
    assert found(told, "one-way")["segments_from_servers"] == 0
    assert "What servers answer is missing" in told["findings"][0]["finding"]


def test_mirror_of_the_servers_side_alone_cannot_tell(ns, tmp_path):
    told = told_of(ns, tmp_path, of(("server",)))
    assert codes(told)["no-client-side"] == "problem"
    assert told["fit"] is False
    assert told["verdict"].startswith("This cannot tell that no old client is there: ")


def test_every_frame_twice_is_told(ns, tmp_path):
    twice = [wire for wire in of() for _ in range(2)]
    told = told_of(ns, tmp_path, twice)
    figures = found(told, "copies")
    assert figures["copies"] == figures["same"] == figures["segments"] / 2
    assert told["coverage"]["hellos"] == 12


def test_copies_in_another_vlan_are_told_apart(ns, tmp_path):
    both = [
        wire
        for one in octets(calls(1)[0].frames())
        for wire in (one[:12] + b"\x81\0\0\x0a" + one[12:], one[:12] + b"\x81\0\0\x14" + one[12:])
    ]
    told = told_of(ns, tmp_path, both)
    figures = found(told, "copies")
    assert figures["copies"] == figures["other_vlan"] == figures["segments"] / 2
    assert set(found(told, "vlans")["mail"]) == {"10", "20"}


def test_frames_cut_by_the_mirror_are_told(ns, tmp_path):
    told = told_of(ns, tmp_path, [wire[:96] for wire in of()])
    assert codes(told)["cut-before"] == "warning"
    assert codes(told)["cut-hellos"] == "problem"
    assert found(told, "cut-before")["cut"] == sum(len(wire) > 96 for wire in of())
    assert told["fit"] is False


def test_port_that_sees_only_its_own_and_broadcasts_is_no_mirror(ns, tmp_path):
    own = bytes.fromhex(ns.run("cat", "/sys/class/net/mirror/address").strip().replace(":", ""))
    call = octets(calls(1)[0].frames("client"))
    arp = craft.ethernet(
        craft.arp_request("10.0.0.1", craft.SERVER_MAC, "10.0.0.2"),
        destination="ff:ff:ff:ff:ff:ff",
        kind=craft.ARP,
    )
    told = told_of(ns, tmp_path, [own + wire[6:] for wire in call] + [arp] * 5)
    figures = found(told, "not-mirrored")
    assert figures == {"frames": len(call) + 5, "groups": 5, "own": len(call), "foreign": 0}


CLIENTS = [f"10.9.0.{number}" for number in range(10, 16)]
SERVER = "10.9.0.1"


def refuse(listening: socket.socket) -> None:
    for _ in CLIENTS:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(craft.alert())


@pytest.mark.parametrize(
    ("ways", "times", "expected"),
    [
        pytest.param(("ingress", "egress"), 1, set(), id="as it should be"),
        pytest.param(("ingress",), 1, {"one-way"}, id="one way"),
        pytest.param(("egress",), 1, {"no-client-side"}, id="the other way"),
        pytest.param(("ingress", "egress"), 2, {"copies"}, id="every frame twice"),
    ],
)
def test_mirror_of_real_conversations(tmp_path, ways, times, expected):
    with office(CLIENTS, [SERVER], ways, times) as (desks, rack, sensor):
        with rack.inside():
            listening = socket.create_server((SERVER, 993))
        with listening, doctor(sensor, tmp_path) as looking:
            serving = threading.Thread(target=refuse, args=(listening,))
            serving.start()
            for client in CLIENTS:
                with desks.inside():
                    calling = socket.create_connection((SERVER, 993), 5, (client, 0))
                with calling:
                    calling.sendall(HELLO)
                    assert calling.recv(100) == craft.alert()
            serving.join(SECONDS)
            assert looking.end(signal.SIGTERM) == 0
            told = json.loads(looking.out)
    # Cables made of software leave checksums to a card that is not there.
    assert set(codes(told)) - {"checksums"} == expected | {"too-short"}
    assert told["fit"] is (expected != {"no-client-side"})
    assert told["coverage"]["hellos"] == (0 if ways == ("egress",) else len(CLIENTS))


def test_silent_port_cannot_tell(ns, tmp_path):
    told = told_of(ns, tmp_path, [])
    assert codes(told) == {"nothing-seen": "problem"}
    assert told["fit"] is False


def test_port_without_a_partner_is_down(ns, tmp_path):
    ns.ip("link set far down")
    with doctor(ns, tmp_path) as looking:
        assert looking.end(signal.SIGTERM) == 0, looking.told
        told = json.loads(looking.out)
    assert codes(told) == {"nothing-seen": "problem", "interface-down": "warning"}


def test_joined_segments_are_told_and_read(ns, tmp_path):
    call = Conversation(mss=8000).open().client(HELLO).server(FLIGHT + bytes(6000))
    told = told_of(ns, tmp_path, octets(call.frames()))
    assert codes(told)["offload"] == "note"
    assert found(told, "offload")["longest"] > 6000
    assert told["coverage"]["hellos"] == 1


def test_frames_that_find_the_ring_full_are_told(ns, tmp_path):
    with doctor(ns, tmp_path, "-B", "1") as looking:
        worker = looking.child("hw-mirror")
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: is_stopped(worker))
        send(ns, (numbered(number, size=1400) for number in range(2500)))
        os.kill(worker, signal.SIGCONT)
        assert looking.end(signal.SIGTERM) == 0, looking.told
        told = json.loads(looking.out)
    dropped = found(told, "dropped")["dropped_frames"]
    assert codes(told)["dropped"] == "problem"
    assert dropped > 500
    assert told["coverage"]["frames"] + dropped == 2500


def test_octets_lost_before_us_are_told_apart_from_dropped_ones(ns, tmp_path):
    call = Conversation().open().client(HELLO).server(FLIGHT).lose("server", 6000).ack("client")
    call.server(craft.alert())
    told = told_of(ns, tmp_path, octets(call.frames()))
    assert codes(told)["unseen"] == "problem"
    assert found(told, "unseen")["dropped_frames"] == 0
    (why,) = [one["finding"] for one in told["findings"] if one["code"] == "unseen"]
    assert "the kernel dropped none" in why


def test_ctrl_c_prints_what_was_found_so_far(ns, tmp_path):
    with doctor(ns, tmp_path) as looking:
        send(ns, of())
        assert looking.end(signal.SIGINT) == 130
        assert json.loads(looking.out)["coverage"]["hellos"] == 12


def test_it_ends_by_itself_and_fails_on_what_was_asked_for(ns, tmp_path):
    with doctor(ns, tmp_path, "--duration", "0.2", "--fail-on", "problem") as looking:
        assert looking.wait() == 1
        assert json.loads(looking.out)["fit"] is False


def test_without_the_capability_it_says_how_to_grant_it(tmp_path):
    by = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    ran = subprocess.run(
        [*by, *PROGRAM, "doctor", "-i", "lo"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=SECONDS,
    )
    assert ran.returncode == 5, ran.stderr
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("hellowatch: lo: capturing needs the capability CAP_NET_RAW; ")


def test_unknown_interface_and_any_are_refused(tmp_path):
    ran = hellowatch("doctor", "-i", "nosuch0", cwd=tmp_path)
    assert ran.returncode == 2
    assert b"no such interface" in ran.stderr
    assert hellowatch("doctor", "-i", "any", cwd=tmp_path).returncode == 2
