"""Network namespaces of our own for live tests: made, entered, and taken away again.

``namespace()`` skips the test where this machine cannot make one; in CI that is a failure.
Sockets opened ``inside`` a namespace stay in it. Nothing here touches a real interface.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
NOBODY = 65534


class Namespace:
    """One network namespace by its name."""

    def __init__(self, name: str) -> None:
        """Speak of the namespace of this name; ``namespace`` makes one."""
        self.name = name

    def ip(self, command: str) -> str:
        """Run ``ip`` on the namespace and return what it says."""
        return run("ip", "-n", self.name, *command.split())

    def run(self, *command: str) -> str:
        """Run a command inside."""
        return run("ip", "netns", "exec", self.name, *command)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside with this thread, and back again."""
        libc = ctypes.CDLL(None, use_errno=True)
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        wanted = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(libc.setns(wanted, CLONE_NEWNET))
            try:
                yield
            finally:
                _check(libc.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)
            os.close(wanted)

    def sender(self, interface: str) -> socket.socket:
        """Open a socket that sends whole frames out of an interface, and hears none."""
        with self.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sender.bind((interface, 0))
        return sender

    def promiscuity(self, interface: str) -> int:
        """Return how many ask this interface for frames to others."""
        (link,) = json.loads(self.ip(f"-d -j link show dev {interface}"))
        return int(link["promiscuity"])

    def veth(self, interface: str, peer: str, mtu: int = 1500) -> None:
        """Make a cable between two interfaces, both up and silent: no IPv6 of their own."""
        self.ip(f"link add {interface} type veth peer name {peer}")
        for end in (interface, peer):
            self.ip(f"link set {end} addrgenmode none")
            self.ip(f"link set {end} mtu {mtu} up")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with its loopback up; skip the test where that cannot be done."""
    made = Namespace(f"hw{os.getpid()}x{time.monotonic_ns() % 10**9}")
    try:
        run("ip", "netns", "add", made.name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {error}")
    try:
        made.ip("link set lo up")
        yield made
    finally:
        run("ip", "netns", "del", made.name)


def run(*command: str) -> str:
    """Run a command; raises where it fails, with what it said."""
    done = subprocess.run(command, text=True, capture_output=True, timeout=20)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def eventually(is_so: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until something is so and return how long it took; fail after ``seconds``."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < seconds, f"not so within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - start


def numbered(number: int, port: int = 993, size: int = 0, payload: bytes = b"") -> bytes:
    """Make an Ethernet frame to a mail server's port that carries its number."""
    payload = payload or struct.pack("!BHH", 0x16, 0x0301, 0) + struct.pack("!I", number)
    payload = payload.ljust(size, b"\0")
    segment = struct.pack("!HHIIBBHHH", 40000, port, number, 1, 0x50, 0x10, 0, 0, 0) + payload
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0)
    packet += bytes((10, 0, 0, 1)) + bytes((10, 0, 0, 2)) + segment
    return bytes.fromhex("020000000002 020000000001 0800") + packet


def number_in(frame: bytes) -> int:
    """Return the number of such a frame."""
    return int.from_bytes(frame[14 + 20 + 4 : 14 + 20 + 8])


def _check(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), "setns")
