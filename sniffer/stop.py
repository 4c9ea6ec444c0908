"""Signals that end a run, let in only where nothing is half done."""

import os
import select
import signal
import time
from types import FrameType, TracebackType


class Stopped(Exception):
    """A signal asked for the end; what was found so far is still to be told."""


class Stop:
    """Ends the work by a signal, but only while it waits.

    Entered around whatever may block (opening, reading, sleeping): there a signal raises
    Stopped, at once or as soon as it is entered. Anywhere else the signal is kept for later,
    so that no event is lost or written by half. The second Ctrl-C ends whatever is done.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        """Answer these signals between ``install`` and ``remove``."""
        self._numbers = numbers
        self._before: list[tuple[signal.Signals, signal.Handlers]] = []
        self._is_waiting = False
        self._wake = (-1, -1)
        self.by: int | None = None
        """The signal that came, if one did."""

    def install(self) -> None:
        """Answer the signals from now on."""
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in self._numbers:
            self._before.append((number, signal.signal(number, self._handle)))  # type: ignore[arg-type]  # what it returns, it takes

    def remove(self) -> None:
        """Let others answer them again."""
        while self._before:
            signal.signal(*self._before.pop())
        if self._wake[0] >= 0:
            signal.set_wakeup_fd(-1)
            for descriptor in self._wake:
                os.close(descriptor)
            self._wake = (-1, -1)

    def sleep(self, seconds: float | None) -> None:
        """Wait for a signal, no longer than told. Raises Stopped.

        The pipe is written at the very moment a signal comes: between looking for one and
        beginning to wait, none is lost.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self:
            while select.select([self._wake[0]], [], [], _left(until))[0]:
                # A signal that asks for a report, not for the end.
                os.read(self._wake[0], 512)

    def __enter__(self) -> None:
        """Wait from here on. Raises Stopped if a signal came before."""
        self._is_waiting = True
        if self.by is not None:
            self._is_waiting = False
            raise Stopped

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait no longer."""
        self._is_waiting = False

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.by is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.by = number
        if self._is_waiting:
            self._is_waiting = False
            raise Stopped


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())
