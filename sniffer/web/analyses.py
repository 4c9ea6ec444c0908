"""Uploads that wait for their analysis, and the processes that do it, one each.

The process is trusted with nothing but the octets of its upload: what it says is bounded,
and read as data only. Whatever becomes of it, the upload ends in a state with a reason.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import BinaryIO

import msgspec

from sniffer.config import Settings
from sniffer.log import printable
from sniffer.web import task
from sniffer.web.captures import EVENTS, SUMMARY, UPLOAD, Capture, Captures, State
from sniffer.web.task import Progress, Result, Task

logger = logging.getLogger(__name__)

PATIENCE = 10
"""How much longer than its processor time an analysis may take."""
LAST_WORDS_BYTES = 4096
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ")


class Broken(Exception):
    """An analysis that came to no good end, and why."""


class Analyses:
    """The queue, and ``settings.serve.analyses`` at work on it."""

    def __init__(self, captures: Captures, settings: Settings) -> None:
        """Begin with what waits from before."""
        self._captures = captures
        self._settings = settings
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        for capture in reversed(captures.all()):
            if capture.state is State.QUEUED:
                self._queue.put_nowait(capture.id)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.serve.analyses):
                group.create_task(self._work())

    def submit(self, capture: Capture) -> None:
        """Have an upload analysed that is here whole. Raises OSError."""
        capture.state = State.QUEUED
        self._captures.save(capture)
        self._queue.put_nowait(capture.id)
        self.tell(capture)

    async def cancel(self, capture: Capture) -> None:
        """End the analysis of an upload, if one is under way."""
        running = self._running.get(capture.id)
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    def tell(self, capture: Capture) -> None:
        """Wake whoever waits for news of an upload."""
        changed = self._changed.pop(capture.id, None)
        if changed is not None:
            changed.set()

    async def news(self, capture: Capture) -> None:
        """Wait until something about an upload changes."""
        await self._changed.setdefault(capture.id, asyncio.Event()).wait()

    async def _work(self) -> None:
        while True:
            capture = self._captures.get(await self._queue.get())
            if capture is None:
                continue
            running = asyncio.create_task(self._analyse(capture))
            self._running[capture.id] = running
            try:
                await asyncio.wait([running])
            finally:
                running.cancel()
                del self._running[capture.id]
                self.tell(capture)

    async def _analyse(self, capture: Capture) -> None:
        capture.state = State.RUNNING
        self.tell(capture)
        serve = self._settings.serve
        try:
            async with asyncio.timeout(serve.analysis_seconds * PATIENCE):
                result = await self._through(capture)
        except Broken as error:
            result = Result(state="failed", problem=str(error))
        except TimeoutError:
            result = Result(state="failed", problem="the analysis came to no end")
        except OSError as error:
            result = Result(state="failed", problem=f"the result: {error.strerror}")
        except Exception as error:  # the border of one upload: the next one is analysed
            logger.exception("An upload could not be analysed: our mistake")
            result = Result(state="failed", problem=f"a mistake of ours: {error}")
        capture.problem = result.problem
        capture.state = State(result.state)
        capture.hellos, capture.devices = result.hellos, result.devices
        if self._captures.get(capture.id) is capture:
            with suppress(OSError):
                await asyncio.to_thread(self._captures.save, capture)

    async def _through(self, capture: Capture) -> Result:
        """Analyse an upload in a process of its own. Raises Broken, OSError."""
        settings = self._settings
        serve = settings.serve
        told = Task(
            name=capture.name,
            ports=settings.ports,
            judge=settings.judge,
            identify=settings.identify,
            place=settings.place,
            relay=settings.relay,
            track=settings.track,
            inventory=settings.inventory,
            seconds=serve.analysis_seconds,
            bytes=serve.analysis_bytes,
        )
        path = self._captures.path
        with (
            open(path(capture, UPLOAD), "rb") as upload,
            open(path(capture, EVENTS), "wb") as events,
            open(path(capture, SUMMARY), "wb") as summary,
        ):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "sniffer.web.analyst",
                msgspec.json.encode(told).decode(),
                stdin=upload,
                stdout=PIPE,
                stderr=PIPE,
                env=_environment(),
                cwd="/",
            )
            words = asyncio.create_task(_last_words(process))
            try:
                return await self._listen(
                    capture, process, {task.EVENTS: events, task.SUMMARY: summary}
                )
            except asyncio.IncompleteReadError as error:
                await process.wait()
                raise Broken(_why(process.returncode or 0, await words)) from error
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                words.cancel()

    async def _listen(
        self, capture: Capture, process: Process, files: dict[bytes, BinaryIO]
    ) -> Result:
        pipe = process.stdout
        assert pipe is not None  # noqa: S101 (tells mypy, always true)
        left = self._settings.serve.result_bytes
        while True:
            kind, length = task.HEADER.unpack(await pipe.readexactly(task.HEADER.size))
            if length > task.LONGEST:
                raise Broken("the analysis said what could not be understood")
            content = await pipe.readexactly(length)
            if kind in files:
                left -= length
                if left < 0:
                    most = self._settings.serve.result_bytes >> 20
                    raise Broken(f"the result is larger than {most} MiB")
                await asyncio.to_thread(files[kind].write, content)
                continue
            try:
                if kind == task.END:
                    return msgspec.json.decode(content, type=Result)
                came = msgspec.json.decode(content, type=Progress)
            except msgspec.MsgspecError as error:
                raise Broken("the analysis said what could not be understood") from error
            capture.octets, capture.hellos = came.octets, came.hellos
            self.tell(capture)


def _environment() -> dict[str, str]:
    """Return what the process has to know to find the package where this one found it."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return kept | {"PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in paths if p)}


async def _last_words(process: Process) -> bytes:
    """Return the end of what a process writes to standard error."""
    assert process.stderr is not None  # noqa: S101 (tells mypy, always true)
    words = b""
    while octets := await process.stderr.read(LAST_WORDS_BYTES):
        words = (words + octets)[-LAST_WORDS_BYTES:]
    return words


def _why(code: int, words: bytes) -> str:
    """Say why a process ended before it had told everything."""
    if b"MemoryError" in words or b"Cannot allocate memory" in words:
        return "the analysis took more memory than it may"
    if code < 0:
        return f"the analysis was ended by signal {-code}"
    lines = words.strip().splitlines()
    return f"the analysis ended early: {printable(lines[-1]) if lines else code}"
