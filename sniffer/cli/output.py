"""Where commands write: events as they come, summaries at the end."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sniffer.cli.options import FORMATS, FORMATS_LATER
from sniffer.errors import ConfigError

if TYPE_CHECKING:
    from datetime import tzinfo

    from sniffer.event import Handshake, Judgement


class Enough(Exception):
    """The events that -c asked for have been written."""


class Outputs:
    """Standard output and the files of ``-o``: events as they come, the summary at the end."""

    def __init__(
        self, stack: ExitStack, form: str | None, outputs: tuple[str, ...], inputs: list[str]
    ) -> None:
        """Open every output; ``stack`` closes the files."""
        wanted: list[tuple[str, BinaryIO, str | None]] = []
        if form is None and not outputs:
            form = "table" if sys.stdout.isatty() else "ndjson"
        if form is not None:
            wanted.append((form, sys.stdout.buffer, None))
        for text in outputs:
            prefix, colon, path = text.partition(":")
            if not colon or prefix not in FORMATS + FORMATS_LATER:
                prefix, path = _format_of(text), text
            if prefix in FORMATS_LATER:
                raise click.UsageError(f"-o {text}: {prefix}: not built yet")
            wanted.append((prefix, stack.enter_context(_create(path, inputs)), path))
        self._summaries = [(kind, out) for kind, out, _ in wanted if kind in ("json", "table")]
        self._streams = [out for _, out, _ in wanted]
        self._writers = []
        if any(kind in ("ndjson", "csv") for kind, _, _ in wanted):
            from sniffer.export.ecs import event
            from sniffer.export.formats import CsvWriter, EventWriter, NdjsonWriter

            kinds: dict[str, Callable[[BinaryIO], EventWriter]] = {
                "ndjson": NdjsonWriter,
                "csv": CsvWriter,
            }
            self._event = event
            self._writers = [kinds[kind](out) for kind, out, _ in wanted if kind in kinds]

    def write(self, handshake: "Handshake", judgement: "Judgement") -> None:
        """Write one event wherever events go."""
        if self._writers:
            told = self._event(handshake, judgement)
            for writer in self._writers:
                writer.write(told)

    def flush(self) -> None:
        """Let readers of a pipe see what there is."""
        for out in self._streams:
            out.flush()

    def finish(self, told: dict[str, Any], zone: "tzinfo", color: str) -> None:
        """Write the summary wherever summaries go."""
        from sniffer.export.formats import summary_json, table

        for kind, out in self._summaries:
            if kind == "json":
                out.write(summary_json(told))
            else:
                out.flush()
                _print_table(table, told, out, zone, color)
        self.flush()


def _print_table(
    table: Callable[..., None],
    told: dict[str, Any],
    out: BinaryIO,
    zone: "tzinfo",
    color: str,
) -> None:
    chosen = {"always": True, "never": False, "auto": None}[color]
    if out is sys.stdout.buffer:
        table(told, sys.stdout, zone=zone, color=chosen)
        sys.stdout.flush()
        return
    text = io.StringIO()
    table(told, text, zone=zone, color=chosen)
    out.write(text.getvalue().encode())


def _format_of(path: str) -> str:
    """Return the format that a file's name asks for; ndjson if it asks for none."""
    suffix = path.rpartition(".")[2].lower()
    known = {"json": "json", "csv": "csv", "txt": "table", "html": "html"}
    return known.get(suffix, "ndjson")


def _create(path: str, inputs: list[str]) -> BinaryIO:
    for given in inputs:
        if os.path.exists(path) and os.path.exists(given) and os.path.samefile(path, given):
            raise ConfigError("-o", path, "is an input; it would be overwritten")
    try:
        return open(path, "wb")
    except OSError as error:
        raise ConfigError("-o", path, f"cannot be written ({error.strerror})") from error


def counter(most: int) -> Callable[["Handshake", "Judgement"], None]:
    """Return a sink that raises Enough at the ``most``th event."""
    left = most

    def count(_handshake: "Handshake", _judgement: "Judgement") -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Enough

    return count
