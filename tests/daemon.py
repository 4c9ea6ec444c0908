"""``hellowatch run -i`` inside a namespace, and what a user or Prometheus would see of it."""

import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import craft
import msgspec
from namespaces import Namespace, eventually
from program import PROGRAM, SECONDS, environment
from prometheus_client.parser import text_string_to_metric_families

Event = dict[str, Any]
CALL, HELLO = 5, 3
"""Frames of a refused call, and of one without an answer, that pass the filter: no bare ACK."""


class Daemon:
    """The daemon under way: its launcher, its events, its page."""

    def __init__(self, ns: Namespace, process: "subprocess.Popen[bytes]") -> None:
        self.ns = ns
        self.process = process
        self.out = b""
        self.told = b""
        self._address = ""
        self._reading = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_words, daemon=True),
        ]
        for thread in self._reading:
            thread.start()

    @property
    def events(self) -> list[Event]:
        whole = self.out[: self.out.rfind(b"\n") + 1]
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    @property
    def address(self) -> str:
        """Of the page; a server started anew takes another port, as it was free to."""
        return re.findall(r"(http://127\.0\.0\.1:[0-9]+)/metrics", self.told.decode())[-1]

    def get(self, path: str) -> str:
        with self.ns.inside(), urllib.request.urlopen(self.address + path, timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum over the series with these labels; -1 while there is no page."""
        try:
            page = self.get("/metrics")
        except (OSError, urllib.error.URLError):
            return -1
        samples = [
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(samples)

    def children(self, name: str) -> set[int]:
        """Return the processes of the children with a name."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = set()
        for pid in map(int, children.read_text().split()):
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name and not is_dead(pid):
                    found.add(pid)
        return found

    def child(self, name: str) -> int:
        """Return the process of a child by its name, 0 while there is none."""
        return min(self.children(name), default=0)

    def new_child(self, name: str, before: int) -> bool:
        return self.child(name) not in (0, before)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code; everything it wrote is read then."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(SECONDS)
        for thread in self._reading:
            thread.join(SECONDS)
        assert b"Traceback" not in self.told, self.told.decode()
        return code

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.out += line

    def _read_words(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told += line


class Caller:
    """Clients that are refused at once, each by its own port, at the other end of the cable."""

    def __init__(self, sender: socket.socket) -> None:
        self.sender = sender
        self.port = 20_000

    def call(self, times: int = 1, refused: bool = True) -> None:
        for _ in range(times):
            self.port += 1
            made = craft.Conversation(client_port=self.port).open()
            made.client(craft.client_hello(random=self.port.to_bytes(32)))
            if refused:
                made.server(craft.alert()).rst("server")
            for _, frame in made.frames():
                self.sender.send(frame)


def calls(events: list[dict]) -> Counter:
    return Counter(event["source"]["port"] for event in events)


@contextmanager
def daemon(ns: Namespace, *arguments: str, cwd: Path) -> Iterator[Daemon]:
    """Start it, wait until it captures, and kill what is left of it at the end."""
    command = ["ip", "netns", "exec", ns.name, *PROGRAM, "run"]
    process = subprocess.Popen(
        [*command, "--web.listen-address", "127.0.0.1:0", *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    made = Daemon(ns, process)
    try:
        eventually(lambda: b"/metrics" in made.told or process.poll() is not None, SECONDS)
        assert process.poll() is None, made.told
        yield made
    finally:
        process.kill()
        process.wait()


def is_dead(pid: int) -> bool:
    """Tell whether a process is gone, or only waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
