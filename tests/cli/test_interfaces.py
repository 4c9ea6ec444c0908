"""``hellowatch interfaces`` and ``-D``: real links in namespaces, listed and listened to."""

import json
import signal
import subprocess
import time
from pathlib import Path

import craft
import pytest
from namespaces import Namespace, namespace
from program import PROGRAM, environment

from sniffer.capture.interfaces import Interface
from sniffer.capture.rtnetlink import Link
from sniffer.export.ports import port_json, ports_table

LISTED = {
    "name", "index", "kind", "up", "carrier", "state", "speed_mbps", "duplex", "driver", "mtu",
    "mac", "promiscuous", "addresses", "parent", "master", "vlan_id", "received", "sent", "heard",
}  # fmt: skip
WITHOUT_CAPABILITY = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def ns():
    """A namespace with a cable: what is sent into ``far`` comes in at ``mirror``."""
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


def ran(
    ns: Namespace, cwd: Path, *arguments: str, by: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["ip", "netns", "exec", ns.name, *by, *PROGRAM, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )


def listed(ns: Namespace, cwd: Path, *arguments: str) -> dict[str, dict]:
    done = ran(ns, cwd, "interfaces", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    ports = json.loads(done.stdout)["interfaces"]
    assert [port["index"] for port in ports] == sorted(port["index"] for port in ports)
    assert all(set(port) == LISTED for port in ports)
    return {port["name"]: port for port in ports}


def test_every_kind_of_link_is_told_with_what_it_stands_on(ns, tmp_path):
    ns.ip("link add bridge0 type bridge")
    ns.ip("link set far master bridge0")
    ns.ip("address add 10.9.0.7/24 dev bridge0")
    ns.ip("address add 2001:db8::7/64 dev bridge0 nodad")
    ns.ip("link set mirror promisc on")
    ports = listed(ns, tmp_path)

    kinds = {name: port["kind"] for name, port in ports.items()}
    assert kinds == {"lo": "loopback", "far": "veth", "mirror": "veth", "bridge0": "bridge"}
    bridge, far, mirror = ports["bridge0"], ports["far"], ports["mirror"]
    assert (bridge["up"], bridge["vlan_id"], bridge["parent"]) == (False, None, None)
    assert bridge["addresses"] == ["10.9.0.7/24", "2001:db8::7/64"]
    assert (far["master"], far["parent"], far["addresses"]) == ("bridge0", "mirror", [])
    assert (mirror["promiscuous"], far["promiscuous"]) == (True, True)  # a bridge asks for it
    assert (mirror["up"], mirror["carrier"], mirror["mtu"]) == (True, True, 1500)
    (link,) = json.loads(ns.ip("-j link show dev mirror"))
    assert (mirror["mac"], mirror["index"]) == (link["address"], link["ifindex"])
    assert mirror["heard"] is None


def test_counters_are_the_kernels(ns, tmp_path):
    before = listed(ns, tmp_path, "mirror")["mirror"]
    with ns.sender("far") as far:
        for _ in range(7):
            far.send(bytes(100))
    after = listed(ns, tmp_path, "mirror")["mirror"]
    assert after["received"]["frames"] - before["received"]["frames"] == 7
    assert after["received"]["bytes"] - before["received"]["bytes"] == 700
    assert after["sent"] == before["sent"]


def test_listing_needs_no_privilege_and_is_the_same_by_d(ns, tmp_path):
    alone = ran(ns, tmp_path, "interfaces", by=AS_NOBODY)
    assert alone.returncode == 0, alone.stderr
    for arguments in (("-D",), ("run", "-D"), ("analyze", "-D"), ("doctor", "-D")):
        done = ran(ns, tmp_path, *arguments, by=AS_NOBODY)
        assert (done.returncode, done.stdout) == (0, alone.stdout)


def test_table_has_a_line_for_each(ns, tmp_path):
    ns.ip("link set mirror down")
    ns.ip("address add 10.9.0.7/24 dev far")
    lines = ran(ns, tmp_path, "interfaces").stdout.splitlines()
    assert len(lines) == 1 + 3
    mirror, far = lines[2], lines[3]
    assert mirror.split()[:3] == ["mirror", "veth", "down"]
    assert mirror.endswith("  no address")
    assert far.endswith("  10.9.0.7/24")


def test_table_tells_what_a_vlan_stands_on():
    vlan = Link(index=9, kind="vlan", parent=4, vlan_id=12, promiscuity=1, addresses=[])
    port = Interface(name="eth0.12", index=9, is_up=True, has_carrier=False, speed_mbps=1000)
    told = port_json(port, {9: vlan}, {4: "eth0"}, None)
    assert set(told) == LISTED
    _, row = ports_table([told]).splitlines()
    assert row.startswith("eth0.12  vlan  no link  1000 Mb/s")
    assert row.endswith("no address, VLAN 12 of eth0, promiscuous")


def mail(sides: tuple[str, ...] = ()) -> list[bytes]:
    """Return frames of a conversation between two others, on VLAN 7."""
    talk = craft.Conversation(vlans=[7]).open().client(craft.client_hello())
    return [frame for _, frame in talk.server(craft.alert()).frames(*sides)]


def heard(ns: Namespace, cwd: Path, frames: list[bytes], *arguments: str) -> dict:
    """Send frames while it listens; return what was heard on ``mirror``."""
    listening = ["interfaces", "--format", "json", "--listen", "60", *arguments]
    process = subprocess.Popen(
        ["ip", "netns", "exec", ns.name, *PROGRAM, *listening],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with ns.sender("far") as far:
        until = time.monotonic() + 20
        while ns.promiscuity("mirror") == 0:
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.1)
        for frame in frames:
            far.send(frame)
        time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    ports = {port["name"]: port for port in json.loads(out)["interfaces"]}
    return ports["mirror"]["heard"]


def test_listening_tells_a_mirror_port_by_what_passes(ns, tmp_path):
    (link,) = json.loads(ns.ip("-j link show dev mirror"))
    to_us = bytes.fromhex(link["address"].replace(":", "")) + bytes(54)
    told = heard(ns, tmp_path, [*mail(), to_us, b"\xff" * 6 + bytes(54)], "mirror")
    assert told["frames"] == len(mail()) + 2
    assert (told["unicast"], told["foreign_unicast"]) == (len(mail()) + 1, len(mail()))
    assert told["mail_frames_by_port"] == {"993": len(mail())}
    assert (told["mail_frames"], told["dropped"]) == (len(mail()), 0)
    assert told["both_directions"] is True
    assert told["vlans"] == [7]
    assert told["frames_per_second"] == pytest.approx(told["frames"] / told["seconds"], 0.2, 0.1)


def test_listening_tells_that_one_direction_is_missing(ns, tmp_path):
    assert heard(ns, tmp_path, mail(("client",)))["both_directions"] is False
    silent = heard(ns, tmp_path, [])
    assert (silent["both_directions"], silent["mail_frames"]) == (None, 0)


def test_listening_ends_by_itself_and_says_it_in_words(ns, tmp_path):
    done = ran(ns, tmp_path, "interfaces", "--listen", "0.3", "mirror")
    assert done.returncode == 0, done.stderr
    assert "0 between others; no mail" in done.stdout.splitlines()[-1]
    assert ns.promiscuity("mirror") == 0


def test_listening_without_the_capability_is_one_line_and_exit_code_5(ns, tmp_path):
    done = ran(ns, tmp_path, "interfaces", "--listen", "1", "mirror", by=WITHOUT_CAPABILITY)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("hellowatch: mirror: capturing needs the capability CAP_NET_RAW; ")
    done = ran(ns, tmp_path, "interfaces", "--listen", "1", "mirror", by=AS_NOBODY)
    assert done.returncode == 5
    assert done.stderr.endswith("hellowatch interfaces --listen 1 mirror\n")


def test_unknown_interface_is_refused_with_the_names_there_are(ns, tmp_path):
    done = ran(ns, tmp_path, "interfaces", "eth9")
    assert done.returncode == 2
    assert done.stderr == (
        "hellowatch: eth9: no such interface; the interfaces are lo, mirror, far\n"
    )


def test_filter_is_explained_without_privileges_and_by_the_ports_chosen(ns, tmp_path):
    done = ran(ns, tmp_path, "run", "-d", "--ports", "993,10143/imap", by=AS_NOBODY)
    assert done.returncode == 0, done.stderr
    assert "segments with payload to the ports 993, 10143" in done.stdout
    assert "   0  " in done.stdout
    every = ran(ns, tmp_path, "run", "-d", "--ports", "any", by=AS_NOBODY)
    assert "every TCP segment" in every.stdout
