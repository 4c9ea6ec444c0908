"""``hellowatch serve`` under way, and what its users do: requests over real connections."""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from program import PROGRAM, SECONDS, environment

CAPTURES = "/api/v1/captures"


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.octets = response.read()

    def json(self) -> Any:
        """Return what it says."""
        return json.loads(self.octets)


class Serving:
    """The page, on a port of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", told: str, folder: Path) -> None:
        self.process = process
        self.folder = folder
        """Where captures lie."""
        found = re.search(r"http://(127\.0\.0\.1):([0-9]+)/", told)
        assert found, told
        self.host, self.port = found[1], int(found[2])

    @property
    def origin(self) -> str:
        """Return the page's own origin."""
        return f"http://{self.host}:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request over a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def put(self, name: str, octets: bytes, **query: str) -> str:
        """Upload a capture; return its address."""
        asked = "&".join(f"{key}={quote(value)}" for key, value in query.items())
        answer = self.ask("PUT", f"{CAPTURES}/{quote(name, safe='')}?{asked}", octets)
        assert answer.status == 202, answer.octets
        return answer.json()["url"]

    def over(self, url: str) -> dict[str, Any]:
        """Return a capture's state once its analysis is over."""
        until = time.monotonic() + SECONDS
        while True:
            state = self.ask("GET", url).json()
            if state["state"] in ("done", "partial", "failed"):
                return state
            assert time.monotonic() < until, state
            time.sleep(0.02)

    def resident_kib(self) -> int:
        """Return how much memory the serving process has resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def end(self) -> tuple[int, str]:
        """End it; return its exit code and what it said."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        err = self.process.stderr.read().decode()
        self.process.wait(timeout=SECONDS)
        assert "Traceback" not in err, err
        assert "our mistake" not in err, err
        return self.process.returncode, err


@contextmanager
def serving(
    folder: Path, settings: Mapping[str, object] | None = None, *arguments: str
) -> Iterator[Serving]:
    """Start the page with these settings of ``[serve]``; no line of it may tell a mistake."""
    captures = folder / "captures"
    told = {"folder": str(captures), "listen_address": "127.0.0.1:0", **(settings or {})}
    config = folder / "config.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in told.items()]
    config.write_text("\n".join(["[serve]", *lines, ""]))
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--config", str(config), *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    page = None
    try:
        assert process.stderr is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([process.stderr], [], [], SECONDS)[0], line
            octets = os.read(process.stderr.fileno(), 4096)
            assert octets, f"ended: {line.decode()}"
            line += octets
        page = Serving(process, line.decode(), captures)
        yield page
        if process.poll() is None:
            code, _ = page.end()
            assert code == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
