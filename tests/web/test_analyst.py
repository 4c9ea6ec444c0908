"""The process that analyses an upload, from inside its cage: it tries what it must not."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
from program import OFFICE, SECONDS, environment

from sniffer.config import (
    DEFAULT_PORTS,
    IdentifySettings,
    InventorySettings,
    JudgeSettings,
    TrackSettings,
)
from sniffer.web.task import END, EVENTS, HEADER, PROGRESS, SUMMARY, Progress, Result, Task

ATTEMPTS = """
import ctypes, errno, json, mmap, os, resource, socket, sys
from sniffer.web import analyst
libc = ctypes.CDLL(None, use_errno=True)

def called(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")

attempts = {
    "open a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "write a file": lambda: os.open("/tmp/caged", os.O_WRONLY | os.O_CREAT),
    "remove a file": lambda: os.unlink("/tmp/nosuch"),
    "list a folder": lambda: os.listdir("/"),
    "an INET socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "a datagram socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "a Unix socket": lambda: socket.socketpair(),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "fork": os.fork,
    "signal its parent": lambda: os.kill(os.getppid(), 0),
    "become another user": lambda: os.setuid(1),
    "write to its input": lambda: os.write(0, b"x"),
    "executable memory": lambda: mmap.mmap(
        -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "more memory than it may": lambda: bytearray(600 << 20),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "trace a process": lambda: called(libc.ptrace, 0, 0, 0, 0),
    "a user namespace": lambda: called(libc.unshare, 0x10000000),
}

def tried(_task, enter=analyst.enter_cage):
    enter(_task)
    became = {}
    for what, attempt in attempts.items():
        try:
            attempt()
            became[what] = "done"
        except (OSError, MemoryError, ValueError) as error:
            became[what] = type(error).__name__
    sys.stderr.write(json.dumps(became))

analyst.enter_cage = tried
analyst.main()
"""


def task(**more: object) -> str:
    told = {
        "name": "office.pcapng",
        "ports": DEFAULT_PORTS,
        "judge": JudgeSettings(),
        "identify": IdentifySettings(),
        "place": (),
        "track": TrackSettings(),
        "inventory": InventorySettings(),
        "seconds": 20,
        "bytes": 512 << 20,
    }
    return msgspec.json.encode(Task(**(told | more))).decode()


def analysed(path: Path, *program: str, **more: object) -> "subprocess.CompletedProcess[bytes]":
    with path.open("rb") as capture:
        return subprocess.run(
            [sys.executable, "-P", *(program or ("-m", "sniffer.web.analyst")), task(**more)],
            cwd="/",
            env=environment(),
            stdin=capture,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )


def pieces(octets: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(octets):
        kind, length = HEADER.unpack_from(octets, at)
        at += HEADER.size
        found[kind] = found.get(kind, b"") + octets[at : at + length]
        at += length
    return found


def test_everything_but_its_work_is_refused_in_the_cage():
    ran = analysed(OFFICE, "-c", ATTEMPTS)
    became = json.loads(ran.stderr)
    assert "done" not in became.values(), became
    # And with all that refused it does its work.
    assert msgspec.json.decode(pieces(ran.stdout)[END], type=Result).state == "done"


def test_each_attempt_would_succeed_outside_the_cage():
    free = ATTEMPTS.replace("    enter(_task)\n", "").replace('"fork": os.fork', '"f": lambda: 0')
    for harmless in ("start a program", "become another user"):
        free = free.replace(f'"{harmless}": lambda: os.', f'"{harmless}": lambda: None and os.')
    became = json.loads(analysed(OFFICE, "-c", free).stderr.splitlines()[-1])
    Path("/tmp/caged").unlink()
    refused = {what for what, how in became.items() if how != "done"}
    # Files that are not there, and what the machine itself refuses, prove nothing.
    assert refused <= {"remove a file", "write to its input", "raise a limit", "a user namespace"}


def test_summary_and_events_come_whole():
    found = pieces(analysed(OFFICE).stdout)
    result = msgspec.json.decode(found[END], type=Result)
    summary = json.loads(found[SUMMARY])
    assert found[EVENTS].count(b"\n") == result.hellos == summary["totals"]["hellos"]
    assert len(summary["devices"]) == result.devices


def test_processor_time_is_bounded_and_what_was_read_is_told():
    # Handshakes without end, through a pipe: the same ones again and again.
    octets = OFFICE.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "sniffer.web.analyst", task(seconds=1)],
        cwd="/",
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def feed() -> None:
        with suppress(BrokenPipeError):
            while True:
                process.stdin.write(octets)

    feeding = threading.Thread(target=feed)
    feeding.start()
    found = pieces(process.stdout.read())
    assert process.wait(SECONDS) == 0
    feeding.join(SECONDS)
    result = msgspec.json.decode(found[END], type=Result)
    assert result.state == "partial"
    assert "1 s of processor time" in result.problem
    assert result.hellos > 0
    for line in found[PROGRESS].replace(b"}{", b"}\n{").splitlines():
        assert msgspec.json.decode(line, type=Progress).octets > 0


def test_memory_is_bounded():
    ran = analysed(OFFICE, bytes=1 << 20)
    assert ran.returncode == 1
    assert b"Cannot allocate memory" in ran.stderr
