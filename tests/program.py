"""The program as users start it: a process of its own, away from the checkout."""

import atexit
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OFFICE = ROOT / "pcaps" / "office.pcapng"
PROGRAM = [sys.executable, "-m", "sniffer.cli.main"]
SECONDS = 60
"""Longer than anything here takes on a loaded machine."""

STATE_HOME = tempfile.mkdtemp(prefix="hellowatch-state-")
"""Where a daemon without --store keeps its inventory."""
atexit.register(shutil.rmtree, STATE_HOME, ignore_errors=True)

ANY_PORT = ("--web.listen-address", "127.0.0.1:0")


def environment(**more: str) -> dict[str, str]:
    """Return an environment that finds the package where this process found it.

    What would change the output is left out; ``more`` is put in.
    """
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TZ", "JOURNAL_STREAM")
    }
    env.setdefault("XDG_STATE_HOME", STATE_HOME)
    env["PYTHONPATH"] = os.pathsep.join(str(Path(p).resolve()) for p in paths if p)
    return env | more


def hellowatch(
    *arguments: str | bytes | Path,
    cwd: Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    """Run the program to its end. No run may show a traceback, whatever it is given."""
    ran = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert b"Traceback" not in ran.stderr, ran.stderr.decode()
    assert b"a mistake of HelloWatch itself" not in ran.stderr, ran.stderr.decode()
    return ran


class Running:
    """``hellowatch run`` under way, its page up."""

    def __init__(self, process: "subprocess.Popen[bytes]", told: str) -> None:
        """Read the address from the line on stderr."""
        self.process = process
        self.told = told
        self.out = bytearray()
        self.reader: threading.Thread | None = None
        found = re.search(r"(https?://127\.0\.0\.1:[0-9]+)/metrics", told)
        assert found, told
        self.address = found[1]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def drain(self) -> None:
        """Read what it writes to standard output: a pipe does not hold all of it."""

        def read() -> None:
            assert self.process.stdout is not None
            while octets := os.read(self.process.stdout.fileno(), 65536):
                self.out += octets

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()

    def wait_until_replayed(self) -> None:
        """Wait until all of the capture is counted."""
        until = time.monotonic() + SECONDS
        while self.get("/-/ready")[0] != 200:
            assert time.monotonic() < until
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, bytes, str]:
        """End it by a signal; return its exit code, and all it wrote to both streams."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        err = self.process.stderr.read()
        self.process.wait(timeout=SECONDS)
        if self.reader is not None:
            self.reader.join(SECONDS)
        out = bytes(self.out)
        assert b"Traceback" not in err, err.decode()
        return self.process.returncode, out, self.told + err.decode()


@contextmanager
def running(
    *arguments: str | Path, cwd: Path, stdin: Any = subprocess.DEVNULL, drain: bool = True
) -> Iterator[Running]:
    """Start ``hellowatch run`` on a free port and wait for its page; kill what is left of it."""
    process = subprocess.Popen(
        [*PROGRAM, "run", *ANY_PORT, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        told = b""
        until = time.monotonic() + SECONDS
        while b"/metrics" not in told or not told.endswith(b"\n"):
            assert select.select([process.stderr], [], [], until - time.monotonic())[0], told
            octets = os.read(process.stderr.fileno(), 65536)
            assert octets, f"ended: {told.decode()}"
            told += octets
        run = Running(process, told.decode())
        if drain:
            run.drain()
        yield run
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
