"""The process that analyses one upload: what a hostile capture may do, it does here.

Everything is loaded first. Then the process gives up, for good, every privilege, every file
but those that are open, the network, and all system calls but a few; memory and processor
time are bounded. Only then is the first octet of the capture read, from standard input.
"""

import logging
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import zstandard  # noqa: F401 (what is not loaded by now cannot be loaded in the cage)

from sniffer import log
from sniffer.analysis import Analysis, walk_rarely
from sniffer.cage import landlock, privileges, seccomp
from sniffer.capture.files import CaptureFile
from sniffer.event import Handshake, Judgement
from sniffer.export import advice
from sniffer.export.ecs import event
from sniffer.export.formats import summary_json
from sniffer.export.summary import summary
from sniffer.identify.device_class import classify
from sniffer.identify.identity import Roster
from sniffer.judge.profile import find_profile, load_profiles
from sniffer.stop import Stop, Stopped
from sniffer.web.task import END, EVENTS, LONGEST, PROGRESS, SUMMARY, Progress, Result, Task, piece

PROGRESS_SECONDS = 0.2
GATHERED_BYTES = 1 << 18
GRACE_SECONDS = 10
"""Processor time for telling what was found, once that for reading is over."""


class Answer:
    """The one way out: pieces into a pipe, events gathered into large ones."""

    def __init__(self, descriptor: int) -> None:
        """Write to an open descriptor."""
        self._descriptor = descriptor
        self._events = bytearray()
        self.hellos = 0

    def take(self, line: bytes) -> None:
        """Gather the line of an event."""
        self._events += line
        self.hellos += 1
        if len(self._events) >= GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on the events that were gathered."""
        self.tell(EVENTS, bytes(self._events))
        self._events.clear()

    def tell(self, kind: bytes, content: bytes) -> None:
        """Pass on content of any length, in pieces."""
        for at in range(0, len(content), LONGEST):
            left = memoryview(piece(kind, content[at : at + LONGEST]))
            while left:
                left = left[os.write(self._descriptor, left) :]


def main() -> None:
    """Analyse what stands on standard input by the task in the first argument."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    answer = Answer(sys.stdout.fileno())
    log.configure(logging.ERROR)
    profiles = load_profiles(map(Path, task.judge.profiles))
    forced = find_profile(task.judge.profile, profiles) if task.judge.profile else None
    roster = Roster(task.identify, task.place)
    classify({"name": [""]})  # reads its file while it can
    advice.known()  # and this too
    encode = msgspec.json.Encoder().encode

    def take(handshake: Handshake, judgement: Judgement) -> None:
        answer.take(encode(event(handshake, judgement)) + b"\n")

    walk_rarely()
    stop = Stop(signal.SIGXCPU)
    analysis = Analysis(
        task.ports,
        profiles,
        forced=forced,
        track=task.track,
        inventory=task.inventory,
        identify=task.identify,
        relays=task.relay,
        sinks=(take,),
        waiting=stop,
    )
    stop.install()
    enter_cage(task)
    with suppress(Stopped):
        analysis.read(task.name, _progress(answer), descriptor=sys.stdin.fileno())
    inputs = [entry.told() for entry in analysis.inputs]
    if stop.by is not None and inputs:
        why = f"the reading was ended: it took {task.seconds} s of processor time"
        inputs[-1] |= {"status": "partial", "problem": why}
    answer.flush()
    told = summary(inputs, analysis.aggregate.snapshot(), analysis.coverage, profiles, roster)
    answer.tell(SUMMARY, summary_json(told))
    answer.tell(END, msgspec.json.encode(_result(told)))


def enter_cage(task: Task) -> None:
    """Give up all but what is open, and what the analysis of it needs."""
    time.localtime()  # reads the time zone's file, which no line of the log could later
    privileges.keep_memory_private()
    for limit, most in (
        (resource.RLIMIT_AS, task.bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (most, most))
    spent = math.ceil(time.process_time())
    seconds = spent + task.seconds
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + GRACE_SECONDS))
    privileges.drop()
    landlock.confine()
    seccomp.confine(seccomp.READING)


def _result(told: dict[str, Any]) -> Result:
    """Return what became of the upload: of one archive, of all in it."""
    inputs = told["inputs"]
    states = {entry["status"] for entry in inputs}
    wrong = [entry for entry in inputs if entry["problem"] is not None]
    problem = None
    if wrong:
        where = f"{wrong[0]['path']}: " if len(inputs) > 1 else ""
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        problem = f"{where}{wrong[0]['problem']}{more}"
    return Result(
        state="done" if states == {"ok"} else "failed" if states == {"failed"} else "partial",
        problem=problem,
        hellos=told["totals"]["hellos"],
        devices=len(told["devices"]),
    )


def _progress(answer: Answer) -> Callable[[CaptureFile], None]:
    """Return what tells how far the reading came, now and then."""
    due = 0.0

    def tell(source: CaptureFile) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + PROGRESS_SECONDS
            came = Progress(octets=source.consumed, hellos=answer.hellos)
            answer.tell(PROGRESS, msgspec.json.encode(came))

    return tell


if __name__ == "__main__":
    main()
