"""Where output goes: standard output in one format, and any number of files.

Files are opened before anything is read, so that a path that cannot be written is known at
once and not after hours of work.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from io import TextIOWrapper
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from sniffer.errors import ConfigError, HelloWatchError
from sniffer.export import formats
from sniffer.export.ecs import Event

EVENT_FORMATS: Mapping[str, Callable[[BinaryIO], formats.EventWriter]] = {
    "ndjson": formats.NdjsonWriter,
    "csv": formats.CsvWriter,
}
"""Written while events come."""

SUMMARY_FORMATS = ("table", "json")
"""Written once, at the end."""

LATER_FORMATS = ("html", "zeek", "eve")
"""Promised, and answered "not built yet"."""

FORMATS = (*EVENT_FORMATS, *SUMMARY_FORMATS, *LATER_FORMATS)


class Output(NamedTuple):
    """One ``-o``: what to write where."""

    format: str
    path: str


def read_output(text: str, where: str = "-o") -> Output:
    """Read ``[FORMAT:]FILE``; a prefix counts only if it names a format.

    Without one the file's ending names it, and ndjson is written where that does not either.
    """
    word, colon, path = text.partition(":")
    if not colon or word not in FORMATS:
        word, path = text.rpartition(".")[2], text
        if word not in FORMATS:
            word = "ndjson"
    if not path:
        raise ConfigError(where, "", f"{text!r} names no file")
    return Output(check_format(word, where), path)


def check_format(word: str, where: str = "--format") -> str:
    """Return a format's word if it can be written; raise ConfigError if not, or not yet."""
    if word in LATER_FORMATS:
        raise ConfigError(where, "", f"{word} is not built yet")
    if word not in FORMATS:
        known = ", ".join((*EVENT_FORMATS, *SUMMARY_FORMATS))
        raise ConfigError(where, "", f"{word!r} is no format: one of {known}")
    return word


class Sinks:
    """All outputs of one run; a context manager that closes the files it opened."""

    def __init__(
        self,
        outputs: Iterable[Output],
        stdout: BinaryIO,
        stdout_format: str | None,
        zone: tzinfo = UTC,
        color: bool | None = None,
    ) -> None:
        self._zone, self._color = zone, color
        self._files: list[tuple[str, BinaryIO]] = []
        self._events: list[formats.EventWriter] = []
        self._summaries: list[tuple[str, BinaryIO]] = []
        self._stdout = stdout
        try:
            for output in outputs:
                self._add(output.format, self._open(output.path))
        except BaseException:
            self.close()
            raise
        if stdout_format is not None:
            self._add(stdout_format, stdout)

    def __enter__(self) -> Self:
        """Return the sinks."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self.close()

    @property
    def wants_events(self) -> bool:
        """Whether any output is written event by event; else none need be made."""
        return bool(self._events)

    def write(self, event: Event) -> None:
        """Write one event to every output of events."""
        for writer in self._events:
            writer.write(event)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary to every output of summaries."""
        for word, out in self._summaries:
            if word == "json":
                out.write(formats.summary_json(summary))
                continue
            text = TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
            try:
                formats.table(summary, text, zone=self._zone, color=self._color)
            finally:
                text.detach()  # or it would close what it wraps
        self.flush()

    def flush(self) -> None:
        """Hand over what is buffered to whoever reads."""
        for _, file in self._files:
            file.flush()
        self._stdout.flush()

    def close(self) -> None:
        """Close the files; standard output stays open."""
        while self._files:
            path, file = self._files.pop()
            try:
                file.close()
            except OSError as error:
                raise _unwritable(path, error) from error

    def _open(self, path: str) -> BinaryIO:
        try:
            file = open(path, "wb")  # noqa: SIM115 (closed by close)
        except (OSError, ValueError) as error:
            raise _unwritable(path, error) from error
        self._files.append((path, file))
        return file

    def _add(self, word: str, out: BinaryIO) -> None:
        if word in EVENT_FORMATS:
            self._events.append(EVENT_FORMATS[word](out))
        else:
            self._summaries.append((word, out))


def _unwritable(path: str, error: Exception) -> HelloWatchError:
    why = getattr(error, "strerror", None) or str(error)
    return HelloWatchError(f"{path}: cannot be written: {why}")
