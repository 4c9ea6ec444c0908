"""Where commands write: events as they come, summaries at the end."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sniffer.cli.options import FORMATS
from sniffer.errors import ConfigError

if TYPE_CHECKING:
    from datetime import tzinfo

    from sniffer.event import Handshake, Judgement
    from sniffer.export.evidence import CaptureWriter
    from sniffer.export.formats import EventWriter

STANDARD_OUTPUT = "-"
BUFFER_BYTES = 1 << 16
SUMMARIES = ("json", "table", "html")
"""Formats that tell the devices, at the end; the others tell each event as it comes."""
OTHERWISE = "ndjson"
"""What a file is given whose name asks for nothing, where that is a choice."""
NAMES = {"ssl.log": "zeek", "eve.json": "eve"}
"""Files that go by a name of their own wherever they are."""
ENDINGS = {"json": "json", "csv": "csv", "txt": "table", "html": "html", "md": "markdown"}


class Outputs:
    """Standard output and the files of ``-o``: events as they come, the summary at the end.

    The frames of ``-w`` too, which ``in_order`` has wait for older ones.
    """

    def __init__(
        self,
        stack: ExitStack,
        form: str | None,
        outputs: tuple[str, ...],
        inputs: list[str],
        frames: str | None = None,
        in_order: bool = True,
    ) -> None:
        """Open every output; ``stack`` closes them."""
        if frames is not None:
            check_no_terminal(frames)
        if form is None and not outputs and frames != STANDARD_OUTPUT:
            form = "table" if sys.stdout.isatty() else "ndjson"
        opened = open_outputs(stack, form, outputs, inputs, frames)
        self._frames = None if frames is None else open_capture(stack, frames, in_order=in_order)
        self._summaries = [(kind, out) for kind, out in opened if kind in SUMMARIES]
        self._streams = [out for _, out in opened]
        self.is_on_screen = any(kind not in SUMMARIES and out.isatty() for kind, out in opened)
        """Events go to a terminal while the work goes on."""
        self._writers = [_writer(kind)(out) for kind, out in opened if kind not in SUMMARIES]
        if self._writers:
            from sniffer.export.ecs import event

            self._event = event

    def write(self, handshake: "Handshake", judgement: "Judgement") -> None:
        """Write one event wherever events go."""
        if self._frames is not None:
            self._frames.write(handshake)
        if self._writers:
            told = self._event(handshake, judgement)
            for writer in self._writers:
                writer.write(handshake, told)

    def flush(self) -> None:
        """Let readers of a pipe see what there is."""
        for out in self._streams:
            out.flush()
        if self._frames is not None:
            self._frames.flush()

    def finish(self, told: dict[str, Any], zone: "tzinfo", color: str) -> None:
        """Write the summary wherever summaries go."""
        from sniffer.export.formats import summary_json

        for kind, out in self._summaries:
            match kind:
                case "json":
                    out.write(summary_json(told))
                case "html":
                    _write_report(told, out)
                case _:
                    write_table(told, out, zone, color)
        if self._frames is not None:
            self._frames.finish()
        self.flush()


def check_no_terminal(frames: str) -> None:
    """Refuse to write a capture to a terminal."""
    if frames == STANDARD_OUTPUT and sys.stdout.isatty():
        raise click.UsageError("-w -: standard output is a terminal; send it into a pipe")


def open_capture(stack: ExitStack, frames: str, *, in_order: bool = True) -> "CaptureWriter":
    """Open a capture to be written; ``stack`` closes it. Raises ConfigError."""
    from sniffer.export.evidence import CaptureWriter

    return CaptureWriter(stack.enter_context(_open(frames, "-w")), in_order=in_order)


def open_outputs(
    stack: ExitStack,
    form: str | None,
    outputs: tuple[str, ...],
    inputs: list[str],
    frames: str | None = None,
    known: tuple[str, ...] = FORMATS,
) -> list[tuple[str, io.BufferedWriter]]:
    """Open what is to be written, with its format; ``stack`` closes it. Raises ConfigError.

    ``frames`` is written as well, by others. ``known``: formats that there are; a file
    whose name asks for none of them gets NDJSON, else the first.
    """
    wanted: list[tuple[str, str]] = []
    if form is not None:
        wanted.append((form, STANDARD_OUTPUT))
    for text in outputs:
        prefix, colon, path = text.partition(":")
        if not colon or prefix not in known:
            named, path = _format_of(text), text
            prefix = named if named in known else OTHERWISE if OTHERWISE in known else known[0]
        wanted.append((prefix, path))
    paths = [path for _, path in wanted]
    options = ["-o"] * len(paths)
    if frames is not None:
        paths.append(frames)
        options.append("-w")
    for at, path in enumerate(paths):
        if any(_is_same(path, other) for other in paths[:at]):
            raise ConfigError(options[at], path, "is written to already")
        if any(given != "-" and _is_same(path, given) for given in inputs):
            raise ConfigError(options[at], path, "is an input; it would be overwritten")
    return [(kind, stack.enter_context(_create(path))) for kind, path in wanted]


def write_table(told: dict[str, Any], out: io.BufferedWriter, zone: "tzinfo", color: str) -> None:
    """Write a summary for people."""
    from sniffer.export.table import table

    encoding = "utf-8"
    if out.fileno() == sys.stdout.fileno():
        encoding = sys.stdout.encoding
    text = io.TextIOWrapper(out, encoding, "replace", newline="", write_through=True)
    chosen = {"always": True, "never": False, "auto": None}[color]
    table(told, text, zone=zone, color=chosen)
    text.detach()


def _write_report(told: dict[str, Any], out: io.BufferedWriter) -> None:
    """Write a summary as a page: the readiness report."""
    from sniffer.export.report import Report, subject_of, write_html

    with ExitStack() as stack:
        write_html(Report(subject_of(told), stack), None, out)


class _Named(io.FileIO):
    """A file whose errors say which file it was."""

    def __init__(self, file: str | int, shown: str) -> None:
        super().__init__(file, "w", closefd=isinstance(file, str))
        self.shown = shown

    def write(self, octets: Any, /) -> int:  # noqa: ANN401 (a buffer)
        try:
            return super().write(octets)
        except BrokenPipeError:
            raise
        except OSError as error:
            error.filename = self.shown
            raise


def _format_of(path: str) -> str:
    """Return the format that a file's name asks for."""
    name = os.path.basename(path).lower()
    return NAMES.get(name) or ENDINGS.get(name.rpartition(".")[2], OTHERWISE)


def _writer(kind: str) -> "Callable[[BinaryIO], EventWriter]":
    """Return what writes events in a format; only that is loaded."""
    match kind:
        case "zeek":
            from sniffer.export.zeek import ZeekWriter

            return ZeekWriter
        case "eve":
            from sniffer.export.eve import EveWriter

            return EveWriter
        case "csv":
            from sniffer.export.formats import CsvWriter

            return CsvWriter
    from sniffer.export.formats import NdjsonWriter

    return NdjsonWriter


def _is_same(path: str, other: str) -> bool:
    """Tell whether two outputs, or an output and an input, are one file."""
    if STANDARD_OUTPUT in (path, other):
        return path == other
    if not os.path.exists(path):
        return os.path.realpath(path) == os.path.realpath(other)
    return os.path.isfile(path) and os.path.exists(other) and os.path.samefile(path, other)


def _create(path: str) -> io.BufferedWriter:
    return io.BufferedWriter(_open(path, "-o"), BUFFER_BYTES)


def _open(path: str, option: str) -> _Named:
    try:
        if path == STANDARD_OUTPUT:
            return _Named(sys.stdout.fileno(), "standard output")
        return _Named(path, path)
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ConfigError(option, path, f"cannot be written ({why})") from error
