"""The ring on real interfaces in namespaces of our own: what is sent is seen or counted."""

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from captures import frames_in
from craft import ethernet, ipv4, tcp
from namespaces import ETH_P_ALL, NOBODY, Namespace, eventually, namespace, number_in, numbered

from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame
from sniffer.capture import bpf
from sniffer.capture.clock import SteadyClock
from sniffer.capture.filter import build
from sniffer.capture.ring import Ring, grant, open_socket
from sniffer.config import DEFAULT_PORTS, CaptureSettings, parse_ports
from sniffer.errors import CaptureError

FILTER = build(DEFAULT_PORTS).program
SO_DETACH_FILTER = 27
TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x1001
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
READER = Path(__file__).parent / "reader.py"


@pytest.fixture
def ns():
    """A namespace with a cable: what is sent into ``far`` comes in at ``mirror``."""
    with namespace() as made:
        made.veth("far", "mirror")
        yield made


def settings(**changed) -> CaptureSettings:
    small = {"ring_bytes": 1 << 20, "block_bytes": 1 << 16, "block_milliseconds": 10}
    return CaptureSettings(**(small | {"idle_seconds": 0.1} | changed))


def opened(ns: Namespace, interface: str = "mirror") -> int:
    with ns.inside():
        return open_socket(interface)


@contextmanager
def ring_on(ns: Namespace, interface: str = "mirror", program=FILTER, **changed):
    ring = Ring(opened(ns, interface), interface, settings(**changed), program)
    try:
        yield ring
    finally:
        ring.close()


class Seen:
    """All that a ring gives out, copied."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.batch = Batch()
        self.octets: list[bytes] = []
        self.lengths: list[int] = []
        self.times_ns: list[int] = []
        self.vlans: list[int] = []
        self.inner_vlans: list[int] = []
        self.links: list[int] = []

    @property
    def numbers(self) -> list[int]:
        return [number_in(frame) for frame in self.octets]

    def read(self) -> bool:
        going_on = self.ring.read(self.batch)
        batch, frame = self.batch, Frame()
        for i in range(batch.count):
            self.octets.append(bytes(batch.wire[batch.starts[i] : batch.ends[i]]))
            self.lengths.append(batch.wire_lengths[i])
            self.times_ns.append(batch.times_ns[i])
            self.vlans.append(batch.vlans[i])
            self.links.append(batch.links[i])
            decode(batch, i, frame)
            self.inner_vlans.append(frame.vlan)
        return going_on

    def until(self, is_so, seconds: float = 5.0) -> float:
        start = time.monotonic()
        while not is_so():
            assert time.monotonic() - start < seconds, f"not so within {seconds} s"
            self.read()
        return time.monotonic() - start

    def rest(self) -> None:
        """Read until nothing comes any more."""
        self.read()
        while self.batch.count:
            self.read()


def balanced(ring: Ring) -> bool:
    """Tell whether the drained ring's account is even."""
    counted = ring.counters()
    handed_on = counted.frames + counted.skipped + counted.lost
    return counted.received == counted.dropped + handed_on and counted.damaged_blocks == 0


# ------------------------------------------------------------------------- what is seen


def test_each_frame_is_seen_once_whichever_way_it_goes(ns):
    with ring_on(ns) as ring, ns.sender("far") as coming, ns.sender("mirror") as going:
        seen = Seen(ring)
        for number in range(2000):
            (going if number % 5 == 0 else coming).send(numbered(number))
            coming.send(numbered(number, port=80))
        seen.until(lambda: len(seen.octets) >= 2000)
        seen.rest()

        assert seen.numbers == list(range(2000))
        assert seen.lengths == [len(frame) for frame in seen.octets]
        assert ring.counters().received == 2000
        assert balanced(ring)


def test_times_are_those_at_which_the_kernel_saw_the_frames(ns):
    with ring_on(ns) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        before = time.time_ns()
        for number in range(20):
            coming.send(numbered(number))
        after = time.time_ns()
        seen.until(lambda: len(seen.octets) == 20)

        assert seen.times_ns == sorted(seen.times_ns)
        assert before - 5_000_000 <= seen.times_ns[0] <= seen.times_ns[-1] <= after + 5_000_000
        assert ring.counters().last_frame_ns == seen.times_ns[-1]


@pytest.mark.parametrize("hours", [1, -1])
def test_time_goes_on_evenly_while_the_wall_clock_is_set(ns, hours):
    shift_ns = 0
    clock = SteadyClock(wall=lambda: time.time_ns() + shift_ns)
    ring = Ring(opened(ns), "mirror", settings(), FILTER, clock)
    with ns.sender("far") as coming:
        seen = Seen(ring)
        coming.send(numbered(1))
        shift_ns = hours * 3_600_000_000_000  # the kernel stamped the frame before
        seen.until(lambda: seen.octets)
        seen.read()
        counted = ring.counters()

        assert 0 < seen.batch.now_ns - seen.times_ns[0] < 1_000_000_000
        assert abs(seen.times_ns[0] - time.time_ns()) < 1_000_000_000
        assert abs(clock.offset_ns - shift_ns) < 1_000_000
        assert abs(counted.last_frame_ns - shift_ns - time.time_ns()) < 1_000_000_000
        assert counted.clock_steps == 1
    ring.close()


def test_tags_the_kernel_takes_out_are_restored_and_inner_ones_read(ns):
    packet = ipv4("10.0.0.1", "10.0.0.2", tcp("10.0.0.1", "10.0.0.2", 40000, 993, b"\x16\3\1"))
    stacks = [[], [7], [(0x8100, 0xE00A)], [(0x88A8, 5), 9], [(0x88A8, 5), 9, 11], [0]]
    with ring_on(ns) as ring, ns.sender("far") as coming, ns.sender("mirror") as going:
        seen = Seen(ring)
        for vlans in stacks:
            coming.send(ethernet(packet, vlans=vlans))
        for vlans in stacks:
            going.send(ethernet(packet, vlans=vlans))
        seen.until(lambda: len(seen.octets) == 2 * len(stacks))

        assert seen.vlans[: len(stacks)] == [-1, 7, 10, 5, 5, 0]
        assert seen.inner_vlans == [-1, 7, 10, 9, 11, 0] * 2
        assert seen.octets[1] == ethernet(packet)[: len(seen.octets[1])]
        assert seen.octets[3][12:18] == bytes.fromhex("8100 0009 0800")


def test_loopback_shows_each_segment_once(ns):
    with ring_on(ns, "lo") as ring:
        seen = Seen(ring)
        with ns.inside():
            server = socket.create_server(("127.0.0.1", 993))
            client = socket.create_connection(("127.0.0.1", 993))
        peer, _ = server.accept()
        client.sendall(b"\x16\3\1\0\1x")
        assert peer.recv(10)
        peer.sendall(b"\x15\3\1\0\2\2\x46")
        assert client.recv(10)
        for one in (client, peer, server):
            one.close()
        seen.until(lambda: sum(frame[47] & 1 for frame in seen.octets) >= 2)
        seen.rest()

        flags = [frame[47] for frame in seen.octets]
        assert [flag for flag in flags if flag & 2] == [0x02, 0x12]
        payloads = [frame[66:] for frame in seen.octets if frame[66:] and not frame[47] & 2]
        assert payloads == [b"\x16\3\1\0\1x", b"\x15\3\1\0\2\2\x46"]
        assert set(seen.links) == {1}
        assert balanced(ring)


def test_device_without_a_link_layer_shows_bare_ip(ns):
    try:
        with ns.inside():
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"bare", IFF_TUN_WITHOUT_HEADER))
    except OSError as error:
        pytest.skip(f"no tun device can be made here: {error}")
    packet = numbered(3)[14:]
    try:
        ns.ip("link set bare addrgenmode none")
        ns.ip("link set bare up")
        with ring_on(ns, "bare") as ring:
            seen = Seen(ring)
            os.write(tun, numbered(3, port=80)[14:])
            os.write(tun, packet)
            seen.until(lambda: seen.octets)

            assert seen.octets == [packet]
            assert seen.links == [12]
    finally:
        os.close(tun)


def test_frames_longer_than_any_cable_allows_are_whole(ns):
    for end in ("far", "mirror"):
        ns.ip(f"link set {end} mtu 65535")
    with ring_on(ns, block_bytes=1 << 20, ring_bytes=1 << 22) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        sizes = [9000, 40_000, 65_535 - 40]
        for number, size in enumerate(sizes):
            coming.send(numbered(number, size=size))
        seen.until(lambda: len(seen.octets) == len(sizes))

        assert seen.octets == [numbered(number, size=size) for number, size in enumerate(sizes)]
        assert seen.lengths == [size + 54 for size in sizes]


def test_frame_longer_than_a_block_is_cut_and_tells_its_length(ns):
    for end in ("far", "mirror"):
        ns.ip(f"link set {end} mtu 65535")
    frame = numbered(1, size=65_535 - 40)
    with ring_on(ns, block_bytes=1 << 16) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        coming.send(frame)
        seen.until(lambda: seen.octets)

        assert seen.lengths == [len(frame)]
        assert 60_000 < len(seen.octets[0]) < len(frame)
        assert frame.startswith(seen.octets[0])


def test_mirrored_conversation_is_what_tcpdump_saw_and_the_filter_passes(ns, tmp_path):
    saved = tmp_path / "beside.pcap"
    hello, answer = b"\x16\3\1\0\5hello", b"\x16\3\1\1\0" + bytes(4000)
    with ExitStack() as stack:
        office = stack.enter_context(namespace())
        office.ip("link add server type veth peer name client")
        office.ip(f"link add span type veth peer name near netns {ns.name}")
        for end in ("server", "client", "span"):
            office.ip(f"link set {end} addrgenmode none")
        provider = stack.enter_context(namespace())
        office.ip(f"link set server netns {provider.name}")
        office.ip("addr add 10.9.0.1/24 dev client")
        provider.ip("addr add 10.9.0.2/24 dev server")
        for where, end in ((office, "client"), (office, "span"), (provider, "server")):
            where.ip(f"link set {end} up")
        ns.ip("link set near addrgenmode none")
        ns.ip("link set near up")
        mirror = "protocol all u32 match u32 0 0 action mirred egress mirror dev span"
        try:
            office.run("tc", "qdisc", "add", "dev", "client", "clsact")
            for way in ("ingress", "egress"):
                office.run(*f"tc filter add dev client {way} {mirror}".split())
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this kernel cannot mirror: {error.stderr}")
        with ns.inside():
            dump = subprocess.Popen(
                ["tcpdump", "-i", "near", "-s0", "-U", "--immediate-mode", "-w", saved],
                stderr=subprocess.PIPE,
                text=True,
            )
        stack.callback(dump.wait, 10)
        stack.callback(dump.terminate)
        assert "listening on near" in dump.stderr.readline()
        ring = stack.enter_context(ring_on(ns, "near"))
        seen = Seen(ring)
        with provider.inside():
            server = socket.create_server(("10.9.0.2", 993))
        with office.inside():
            client = socket.create_connection(("10.9.0.2", 993), timeout=5)
        peer, _ = server.accept()
        client.sendall(hello)
        assert peer.recv(100)
        peer.sendall(answer)
        peer.sendall(b"\x17\3\1\1\0" + bytes(1000))
        while client.recv(10_000)[-1:] not in (b"", answer[-1:]):
            pass
        for one in (client, peer, server):
            one.close()
        seen.until(lambda: sum(frame[47] & 1 for frame in seen.octets) >= 2)
        seen.rest()
        dump.terminate()
        dump.wait(10)

        beside = [wire for _, wire in frames_in(saved) if bpf.run(FILTER, wire)]
        assert seen.octets == beside
        assert hello in {frame[66:] for frame in seen.octets}
        assert balanced(ring)


def test_all_interfaces_at_once(ns):
    ns.veth("second", "third")
    with ring_on(ns, "any") as ring, ns.sender("far") as one, ns.sender("second") as other:
        seen = Seen(ring)
        one.send(numbered(1))
        other.send(numbered(2))
        seen.until(lambda: len(seen.octets) == 4)

        # Each shows at both ends of its cable.
        assert sorted(seen.numbers) == [1, 1, 2, 2]
        assert ring.counters().is_up


# --------------------------------------------------------------------------- what is lost


def test_overrun_is_counted_to_the_frame(ns):
    with ring_on(ns) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        for number in range(20_000):
            coming.send(numbered(number, size=300))
            if number == 15_000:
                ring.counters()  # reading the kernel's counters clears them
        eventually(lambda: ring.counters().received == 20_000)
        seen.until(lambda: balanced(ring))
        seen.rest()

        counted = ring.counters()
        assert counted.received == 20_000
        assert counted.dropped > 1000
        assert counted.freezes >= 1
        assert len(seen.octets) + counted.dropped == 20_000
        assert len(set(seen.numbers)) == len(seen.numbers)

        for number in range(20_000, 20_100):
            coming.send(numbered(number, size=300))
        seen.until(lambda: seen.numbers[-1] == 20_099)
        assert ring.counters().received == 20_100


def test_more_frames_in_a_block_than_a_batch_holds_are_all_seen(ns):
    with ring_on(ns, block_bytes=1 << 20, ring_bytes=1 << 22) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        seen.batch = Batch(16)
        for number in range(1000):
            coming.send(numbered(number))
        seen.until(lambda: len(seen.octets) == 1000)

        assert seen.numbers == list(range(1000))
        assert balanced(ring)


def test_nothing_unfiltered_slips_in_at_the_start(ns):
    with ExitStack() as stack:
        coming = stack.enter_context(ns.sender("far"))
        over = threading.Event()

        def flood() -> None:
            number = 0
            while not over.is_set():
                coming.send(numbered(number, port=80))
                coming.send(numbered(number, port=80))
                coming.send(numbered(number, port=993))
                number += 1

        flooding = threading.Thread(target=flood)
        flooding.start()
        stack.callback(flooding.join)
        stack.callback(over.set)
        numbers = 0
        for _ in range(15):
            with ring_on(ns) as ring:
                seen = Seen(ring)
                seen.until(lambda seen=seen: len(seen.octets) >= 5)
                assert {frame[36:38] for frame in seen.octets} == {struct.pack("!H", 993)}
                assert seen.numbers == list(range(seen.numbers[0], seen.numbers[-1] + 1))
                numbers += len(seen.octets)
        assert numbers >= 75


def test_spare_socket_sees_nothing_until_it_is_set_up(ns):
    descriptor = opened(ns)
    with socket.socket(fileno=os.dup(descriptor)) as spare, ns.sender("far") as coming:
        for number in range(10):
            coming.send(numbered(number))
        spare.setblocking(False)
        with pytest.raises(BlockingIOError):
            spare.recv(100)
        assert ns.promiscuity("mirror") == 0
    ring = Ring(descriptor, "mirror", settings(), FILTER)
    assert ring.counters().received == 0
    ring.close()


def test_filter_cannot_be_taken_off_again(ns):
    with ring_on(ns) as ring, socket.socket(fileno=os.dup(ring.fileno())) as ours:
        for option in (SO_DETACH_FILTER, 26):
            with pytest.raises(PermissionError):
                ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("HP", 0, 0))


# ------------------------------------------------------------------------------ interface


def test_down_and_up_is_survived_without_a_spin(ns):
    with ring_on(ns, idle_seconds=0.2) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        seen.read()
        assert ring.counters().is_up
        ns.ip("link set mirror down")
        seen.until(lambda: not ring.counters().is_up, 1.2)
        busy, start, reads = time.process_time(), time.monotonic(), 0
        while time.monotonic() - start < 1:
            seen.read()
            reads += 1
        assert reads <= 7
        assert time.process_time() - busy < 0.2
        assert ring.counters().downs == 1

        ns.ip("link set mirror up")
        number = iter(range(10**6))
        took = seen.until(lambda: sent(coming, next(number)) and seen.octets, 3)
        assert took <= 1
        seen.until(lambda: ring.counters().is_up, 1.2)
        counted = ring.counters()
        assert (counted.rebinds, counted.downs) == (0, 1)
        assert ns.promiscuity("mirror") == 1
        assert counted.up_seconds < 4


def sent(sender: socket.socket, number: int) -> bool:
    """Send a numbered frame, as soon as there is a cable."""
    try:
        sender.send(numbered(number))
    except OSError:
        return False
    return True


def test_interface_deleted_and_made_anew_is_captured_again(ns):
    with ring_on(ns) as ring:
        seen = Seen(ring)
        ns.ip("link del mirror")
        seen.until(lambda: not ring.counters().is_up, 1.2)
        ns.veth("far", "mirror")
        with ns.sender("far") as coming:
            number = iter(range(10**6))
            took = seen.until(lambda: sent(coming, next(number)) and seen.octets, 3)

        assert took <= 2
        assert ns.promiscuity("mirror") == 1
        counted = ring.counters()
        assert (counted.is_up, counted.rebinds) == (True, 1)


def test_interface_made_anew_under_its_old_number_is_found_too(ns):
    (link,) = json.loads(ns.ip("-j link show dev mirror"))
    with ring_on(ns) as ring, ExitStack() as stack:
        seen = Seen(ring)
        ns.ip("link del mirror")
        ns.ip(f"link add mirror index {link['ifindex']} type veth peer name far")
        for end in ("mirror", "far"):
            ns.ip(f"link set {end} addrgenmode none")
            ns.ip(f"link set {end} up")
        coming = stack.enter_context(ns.sender("far"))
        number = iter(range(10**6))

        assert seen.until(lambda: sent(coming, next(number)) and seen.octets, 3) <= 2
        assert ring.counters().rebinds == 1


def test_renamed_interface_is_followed_until_another_takes_its_name(ns):
    with ring_on(ns) as ring, ExitStack() as stack:
        seen = Seen(ring)
        coming = stack.enter_context(ns.sender("far"))
        ns.ip("link set mirror down")
        ns.ip("link set mirror name renamed")
        ns.ip("link set renamed up")
        number = iter(range(10**6))
        assert seen.until(lambda: sent(coming, next(number)) and seen.octets, 3) <= 1
        seen.until(lambda: ring.counters().is_up, 1.2)
        assert ns.promiscuity("renamed") == 1

        ns.veth("other", "mirror")
        other = stack.enter_context(ns.sender("other"))
        numbers = iter(range(10**6, 2 * 10**6))
        found = seen.until(
            lambda: other.send(numbered(next(numbers))) and seen.numbers[-1] >= 10**6, 3
        )
        assert found <= 2
        assert (ns.promiscuity("renamed"), ns.promiscuity("mirror")) == (0, 1)


def test_interface_that_is_not_there_yet_is_waited_for(ns):
    descriptor = opened(ns)
    ns.ip("link del mirror")
    ring = Ring(descriptor, "mirror", settings(), FILTER)
    try:
        seen = Seen(ring)
        seen.read()
        assert not ring.counters().is_up
        ns.veth("far", "mirror")
        seen.until(lambda: ring.counters().is_up, 2)
        assert ring.counters().rebinds == 0
    finally:
        ring.close()


@contextmanager
def reader_on(ns: Namespace):
    """A process that reads the ring as nobody; what it says, as it comes."""
    descriptor = opened(ns)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [
        str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")
    ]))}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, READER, str(descriptor), "mirror"],
        pass_fds=[descriptor],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    os.close(descriptor)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def says(process: subprocess.Popen, is_so, seconds: float = 5.0) -> float:
    """Wait for a line of which something is so; return how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if select.select([process.stdout], [], [], 0.05)[0] and is_so(
            json.loads(process.stdout.readline())
        ):
            return time.monotonic() - start
    raise AssertionError(f"not so within {seconds} s")


@needs_root
def test_worker_without_any_privilege_sets_up_reads_and_binds_anew(ns):
    with reader_on(ns) as process:
        says(process, lambda line: line["is_up"], 10)
        ns.ip("link del mirror")
        says(process, lambda line: not line["is_up"])
        ns.veth("far", "mirror")
        with ns.sender("far") as coming:
            took = says(process, lambda line: sent(coming, 7) and 7 in line["seen"])

        assert took <= 2.2
        assert ns.promiscuity("mirror") == 1


@needs_root
def test_killed_process_leaves_no_promiscuous_mode_behind(ns):
    with ring_on(ns):
        with reader_on(ns) as process:
            says(process, lambda line: line["is_up"], 10)
            assert ns.promiscuity("mirror") == 2
            process.kill()
            process.wait()
        eventually(lambda: ns.promiscuity("mirror") == 1)
    assert ns.promiscuity("mirror") == 0


def test_promiscuous_mode_can_be_left_off(ns):
    with ring_on(ns, promiscuous=False):
        assert ns.promiscuity("mirror") == 0


# ------------------------------------------------------------------------ start and end


def test_idle_ring_tells_the_time_and_sleeps_meanwhile(ns):
    with ring_on(ns, idle_seconds=0.3) as ring:
        seen = Seen(ring)
        busy, start = time.process_time(), time.monotonic()
        for _ in range(3):
            assert seen.read()
            assert seen.batch.count == 0
            assert 0 <= time.time_ns() - seen.batch.now_ns < 1_000_000_000
        took = time.monotonic() - start

        assert 0.85 <= took < 1.2
        assert time.process_time() - busy < 0.1


def test_stop_wakes_the_reader_and_gives_out_what_is_there(ns):
    with ring_on(ns, idle_seconds=1.0, block_milliseconds=100) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        threading.Timer(0.2, ring.stop).start()
        start = time.monotonic()
        while seen.read():
            if len(seen.octets) == 0 and not seen.batch.count:
                break
        for number in range(50):
            coming.send(numbered(number))
        ring.stop()
        while seen.read():
            pass
        assert time.monotonic() - start < 1

    with ring_on(ns, block_milliseconds=100) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        for number in range(50):
            coming.send(numbered(number))
        ring.stop()
        while seen.read():
            pass
        assert seen.numbers == list(range(50))
        assert balanced(ring)


def test_close_gives_back_memory_descriptors_and_promiscuous_mode(ns):
    before = sorted(os.listdir("/proc/self/fd"))
    ring = Ring(opened(ns), "mirror", settings(), FILTER)
    batch = Batch()
    ring.read(batch)
    assert ns.promiscuity("mirror") == 1
    assert "socket:" in Path("/proc/self/maps").read_text()

    ring.close()
    ring.close()

    assert ns.promiscuity("mirror") == 0
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert "socket:" not in Path("/proc/self/maps").read_text()
    assert not ring.counters().is_up


def test_unknown_interface_is_refused_with_the_names_of_those_there_are(ns):
    with pytest.raises(CaptureError) as refused:
        opened(ns, "mirorr")

    assert refused.value.exit_code == 2
    assert str(refused.value) == (
        "mirorr: no such interface; the interfaces are lo, mirror, far"
    ) or set(str(refused.value).rpartition("are ")[2].split(", ")) == {"lo", "mirror", "far"}


AS_NOBODY = f"""
import os, sys
from sniffer.capture.ring import open_socket
from sniffer.errors import CaptureError
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
try:
    open_socket("lo")
except CaptureError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@needs_root
def test_without_the_capability_one_line_names_it_and_the_command_that_grants_it():
    said = subprocess.run([sys.executable, "-c", AS_NOBODY], text=True, stdout=subprocess.PIPE)

    assert said.returncode == 5
    assert said.stdout == (
        "lo: capturing needs the capability CAP_NET_RAW; start it with sudo setpriv "
        f"--reuid={NOBODY} --regid={NOBODY} --init-groups --inh-caps=+net_raw "
        "--ambient-caps=+net_raw hellowatch run -i lo\n"
    )


@needs_root
def test_command_that_grants_the_capability_grants_it_and_nothing_else(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    monkeypatch.setattr(os, "getgid", lambda: NOBODY)
    command = grant("lo").partition("sudo ")[2].partition(" hellowatch")[0].split()

    said = subprocess.run(
        [*command, "cat", "/proc/self/status"], text=True, stdout=subprocess.PIPE, check=True
    ).stdout
    fields = dict(line.split(":\t", 1) for line in said.splitlines())

    assert int(fields["CapEff"], 16) == 1 << 13
    assert fields["Uid"].split() == [str(NOBODY)] * 4


def test_ring_the_kernel_refuses_is_one_line():
    ours, other = socket.socketpair()
    with other, pytest.raises(CaptureError, match=r"^lo: no ring of 1 MiB \(") as refused:
        Ring(ours.detach(), "lo", settings(), FILTER)
    assert refused.value.exit_code == 3

    with namespace() as ns, pytest.raises(CaptureError, match="power of two") as refused:
        Ring(opened(ns, "lo"), "lo", settings(block_bytes=(1 << 16) + 4096), FILTER)
    assert refused.value.exit_code == 2


def test_filter_for_any_port_passes_all_of_tcp(ns):
    program = build(parse_ports("any")).program
    with ring_on(ns, program=program) as ring, ns.sender("far") as coming:
        seen = Seen(ring)
        coming.send(numbered(1, port=80))
        coming.send(ethernet(bytes(40), kind=ETH_P_ALL))
        coming.send(numbered(2, port=81))
        seen.until(lambda: len(seen.octets) == 2)

        assert seen.numbers == [1, 2]
        assert ring.counters().received == 2
