"""The dissectors there are, what each needs, and what each says of some files."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec

import msgspec
from msgspec import Struct

from sniffer.crosscheck.child import Line
from sniffer.crosscheck.hello import Hello

PROGRAMS = {"tshark": "tshark", "pyshark": "tshark"}
MODULES = {"pyshark": "pyshark", "scapy": "scapy", "dpkt": "dpkt"}
LONGEST_LINE = 1 << 21
TICK_SECONDS = 0.1


class Told(Struct):
    """What a dissector said of one file."""

    hellos: list[Hello] = msgspec.field(default_factory=list)
    problem: str | None = None
    """Why it did not read all of it."""


def missing(name: str) -> str | None:
    """Return what a dissector needs and how to get it; None: it is there."""
    program = PROGRAMS.get(name)
    if program is not None and shutil.which(program) is None:
        return f"{name} needs the program {program}: apt-get install {program}"
    module = MODULES.get(name)
    if module is not None and find_spec(module) is None:
        return f"{name} needs the Python package {module}: pip install 'hellowatch[crosscheck]'"
    return None


def read(name: str, paths: Sequence[str], seconds: float, stop: threading.Event) -> dict[str, Told]:
    """Return what a dissector says of each file; no file may take longer than ``seconds``.

    Ends soon after ``stop`` is set; what it returns then is void.
    """
    told: dict[str, Told] = {}
    while len(told) < len(paths) and not stop.is_set():
        told |= _read_some(name, paths[len(told) :], seconds, stop)
    return told


def _read_some(
    name: str, paths: Sequence[str], seconds: float, stop: threading.Event
) -> dict[str, Told]:
    """Read files up to the first one that is given up."""
    command = [sys.executable, "-m", "sniffer.crosscheck.child", name, *paths]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told: dict[str, Told] = {}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 (no shell; the paths stand behind the script's name)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            start_new_session=True,
        ) as run,
    ):
        lines = _Lines(run, stop)
        try:
            for path in paths:
                said = told[path] = Told()
                until = time.monotonic() + seconds
                while (line := lines.next(until)) and line.hello is not None:
                    said.hellos.append(line.hello)
                if line is None:
                    is_late = time.monotonic() >= until
                    said.problem = f"took longer than {seconds:g} s" if is_late else "broke down"
                    break
                said.problem = line.problem
        finally:
            # What it started ends with it: the group is its own.
            os.killpg(run.pid, signal.SIGKILL)
    return told


class _Lines:
    """Lines out of a process, each waited for until some moment."""

    def __init__(self, run: "subprocess.Popen[bytes]", stop: threading.Event) -> None:
        if run.stdout is None:
            raise RuntimeError("the process has no output")
        self.descriptor = run.stdout.fileno()
        self.stop = stop
        self.rest = bytearray()
        self.decoder = msgspec.json.Decoder(Line)

    def next(self, until: float) -> Line | None:
        """Return a line; None: the process ended, the moment came, or all is to stop."""
        while b"\n" not in self.rest:
            if self.stop.is_set() or time.monotonic() >= until:
                return None
            if not select.select([self.descriptor], [], [], TICK_SECONDS)[0]:
                continue
            octets = os.read(self.descriptor, 1 << 16)
            if not octets or len(self.rest) > LONGEST_LINE:
                return None
            self.rest += octets
        line, _, rest = self.rest.partition(b"\n")
        self.rest = rest
        try:
            return self.decoder.decode(line)
        except msgspec.DecodeError:
            return None
