"""Events for ``top``: out of another process, which is the usual ``run`` or ``analyze``.

So whoever shows them needs no privilege, parses no frame, and cannot hold up a capture: what
it does not read in time waits there, and beyond that is counted there.
"""

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from contextlib import suppress
from typing import IO, Any

import msgspec

from sniffer.export.table import coverage_line
from sniffer.export.words import COVERAGE, counted
from sniffer.top.board import Board

PROGRAM = (sys.executable, "-P", "-m", "sniffer.cli.main")
"""Not from the folder somebody happens to be in."""
CHUNK = 1 << 16
LINES_KEPT = 20
"""Of what the other process says on standard error."""
END_SECONDS = 8.0
_ADDRESS = re.compile(r"metrics at (http://\S+)")
_METRIC = re.compile(r"^hellowatch_(frames_received|frames_dropped|client_hellos)_total\S* (\S+)$")


class Feed:
    """A process whose events go onto a board."""

    def __init__(self, board: Board, arguments: list[str], *, live: bool) -> None:
        """Start ``hellowatch`` with these arguments; no thread yet: it would keep privileges."""
        self.board = board
        self.said: deque[str] = deque(maxlen=LINES_KEPT)
        self.address: str | None = None
        self.is_over = False
        """Everything it told was read."""
        self._coverage = ""
        self._live = live
        summary, into = os.pipe()
        more = [] if live else ["-o", f"json:/dev/fd/{into}"]
        self.process = subprocess.Popen(  # noqa: S603 (ourselves)
            [*PROGRAM, arguments[0], "--format", "ndjson", *more, *arguments[1:]],
            stdin=None if "-" in arguments else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(into,),
        )
        os.close(into)
        self._summary = os.fdopen(summary, "rb")
        self._threads: list[threading.Thread] = []

    def listen(self) -> None:
        """Read what the process says, from now on."""
        assert self.process.stdout is not None  # noqa: S101 (asked for above)
        assert self.process.stderr is not None  # noqa: S101
        self._threads = [
            threading.Thread(target=work, args=(file,), daemon=True)
            for work, file in (
                (self._read_words, self.process.stderr),
                (self._read_summary, self._summary),
                (self._read_events, self.process.stdout),
            )
        ]
        for thread in self._threads:
            thread.start()

    def coverage(self) -> str:
        """Return what could be seen so far, as a line."""
        if not self._live:
            return self._coverage or f"{COVERAGE}: the capture is still being read."
        return self._ask() or f"{COVERAGE}: nothing yet."

    def end(self) -> int:
        """End the process, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for thread in self._threads:
            thread.join(1)
        return code

    def failed(self) -> bool:
        """Tell whether it ended without having anything to show."""
        return self.is_over and self.board.hellos == 0 and self.process.wait() not in (0, 4)

    def _read_events(self, file: IO[bytes]) -> None:
        rest = b""
        while octets := os.read(file.fileno(), CHUNK):
            *lines, rest = (rest + octets).split(b"\n")
            self.board.add(lines)
        for thread in self._threads[:2]:
            thread.join()
        self.is_over = True

    def _read_words(self, file: IO[bytes]) -> None:
        for line in file:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.said.append(text)
            if found := _ADDRESS.search(text):
                self.address = found[1]

    def _read_summary(self, file: IO[bytes]) -> None:
        with file, suppress(msgspec.DecodeError):
            told: dict[str, Any] = msgspec.json.decode(file.read())
            self._coverage = coverage_line(told["coverage"])

    def _ask(self) -> str:
        """Return what the daemon's metrics say was seen; empty while there is no page."""
        if self.address is None:
            return ""
        sums = dict.fromkeys(("frames_received", "frames_dropped", "client_hellos"), 0.0)
        try:
            with urllib.request.urlopen(self.address, timeout=1) as answer:  # noqa: S310 (our own)
                for line in answer.read().decode().splitlines():
                    if found := _METRIC.match(line):
                        sums[found[1]] += float(found[2])
        except (OSError, ValueError):
            return ""
        frames, dropped, hellos = (int(number) for number in sums.values())
        return (
            f"{COVERAGE}: {counted(frames, 'frame')}, {dropped} of them dropped, "
            f"{counted(hellos, 'hello')}."
        )
