"""The daemon with a worker in other hands: from inside its cage it tries what it must not.

Arguments: an interface. What became of each attempt is one JSON line on standard error.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import sys

from sniffer.capture.ring import open_socket
from sniffer.config import CaptureSettings, Settings, TrackSettings
from sniffer.daemon import worker
from sniffer.daemon.launcher import Launcher
from sniffer.track.tracker import Tracker

CAP_NET_RAW = 13
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
libc = ctypes.CDLL(None, use_errno=True)


def called(function, *arguments) -> None:
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")


def raise_capability() -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    called(libc.capset, header, struct.pack("6I", 1 << CAP_NET_RAW, 1 << CAP_NET_RAW, 0, 0, 0, 0))


def attempts(packet_sockets: list[int]) -> dict:
    first = packet_sockets[0]
    frame = bytes(60)
    return {
        "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
        "open an INET socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "open a Unix socket": lambda: socket.socketpair(),
        "raise a capability": raise_capability,
        "raise an ambient capability": lambda: called(
            libc.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0
        ),
        "become another user": lambda: os.setuid(1),
        "start a program": lambda: os.execv("/bin/true", ["true"]),
        "fork": os.fork,
        "open a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "write a file": lambda: os.open("caged", os.O_WRONLY | os.O_CREAT),
        "look at a file": lambda: os.stat("/etc/passwd"),
        "signal the launcher": lambda: os.kill(os.getppid(), 0),
        "write to the packet socket": lambda: [os.write(one, frame) for one in packet_sockets],
        "send by the packet socket": lambda: called(libc.send, first, frame, len(frame), 0),
        "copy the packet socket": lambda: os.dup(first),
        "copy it by fcntl": lambda: called(libc.fcntl, first, 0, 0),
        "make memory executable": lambda: mmap.mmap(
            -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        ),
        "trace a process": lambda: called(libc.ptrace, 0, 0, 0, 0),
        "unshare a namespace": lambda: called(libc.unshare, 0x10000000),
    }


class Trying:
    """A tracker whose first tick is somebody else's. Compiled, it cannot be a parent."""

    def __init__(self, *arguments, **options) -> None:
        self.real = Tracker(*arguments, **options)

    def __getattr__(self, name: str):
        return getattr(self.real, name)

    def tick(self, now_ns: int) -> None:
        self.real.tick(now_ns)
        global tried
        if not tried:
            tried = True
            # Each of its own, as the mapping holds a copy.
            sockets = [number for number in range(3, 64) if is_packet_socket(number)]
            for what, attempt in attempts(sockets).items():
                tell(what, attempt)
            tell("sockets", lambda: len(sockets))


tried = False


def is_packet_socket(number: int) -> bool:
    domain = ctypes.c_int()
    length = ctypes.c_int(4)
    where = (number, socket.SOL_SOCKET, 39, ctypes.byref(domain), ctypes.byref(length))
    return libc.getsockopt(*where) == 0 and domain.value == socket.AF_PACKET


def tell(what: str, attempt) -> None:
    try:
        became = repr(attempt())
    except OSError as error:
        became = errno.errorcode[error.errno]
    os.write(2, json.dumps([what, became]).encode() + b"\n")


def serve(control, interfaces) -> int:
    control.send("ready", "http://127.0.0.1/")
    while (message := control.receive()) is None or message.word != "finish":
        pass
    return 0


def main() -> None:
    worker.Tracker = Trying
    capture = CaptureSettings(ring_bytes=1 << 20, block_bytes=1 << 16, idle_seconds=0.1)
    work = worker.work_with(Settings(capture=capture, track=TrackSettings(flows=1024)))
    launcher = Launcher([sys.argv[1]], open_socket, work, serve, print, spares=0)
    sys.exit(launcher.run(1.0))


main()
