"""Signals that end a run, let in only where nothing is half done."""

import signal
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
        self.by: int | None = None
        """The signal that came, if one did."""

    def install(self) -> None:
        """Answer the signals from now on."""
        for number in self._numbers:
            self._before.append((number, signal.signal(number, self._handle)))  # type: ignore[arg-type]  # what it returns, it takes

    def remove(self) -> None:
        """Let others answer them again."""
        while self._before:
            signal.signal(*self._before.pop())

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
