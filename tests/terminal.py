"""A program on a terminal of its own, as somebody sits before it."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from program import SECONDS

ROWS, COLUMNS = 45, 160


class Terminal:
    """What stands on it, and a keyboard."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.told = b""
        self._descriptor = descriptor

    def wait_for(self, *texts: str) -> None:
        """Read until all of these were shown."""
        until = time.monotonic() + SECONDS
        while not all(text.encode() in self.told for text in texts):
            assert select.select([self._descriptor], [], [], until - time.monotonic())[0], self.told
            octets = self._read()
            assert octets, self.told.decode(errors="replace")
            self.told += octets

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def ended(self) -> int:
        """Read on until the program has ended; return its exit code."""
        while octets := self._read():
            self.told += octets
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        assert b"Traceback" not in self.told, self.told.decode(errors="replace")
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bytes:
        with suppress(OSError):  # how a terminal tells that its last writer is gone
            return os.read(self._descriptor, 65536)
        return b""


@contextmanager
def terminal(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a program there, and kill what is left of it at the end."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(command[0], list(command), dict(env))
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    made = Terminal(pid, descriptor)
    try:
        yield made
    finally:
        if made.pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)
