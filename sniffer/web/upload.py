"""Octets of captures on their way from a request to the disk, in constant memory.

A form (RFC 7578) is taken apart while it arrives: its file goes to the disk piece by piece,
never through the memory or another file.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from sniffer.web.problems import Problem

GATHERED_BYTES = 1 << 20
LONGEST_FIELD = 4096
MOST_PARTS = 64
FORM_ROOM_BYTES = 1 << 16
"""What a form may have beside its file."""
SPARE_BYTES = 256 << 20
"""Room that uploads leave on the disk."""


class Writer:
    """Appends to a file, up to a limit; octets are gathered into large pieces."""

    def __init__(self, path: Path, most: int) -> None:
        """Open a file, made if there is none. Raises OSError."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.written = os.fstat(self._descriptor).st_size
        self._most = most
        self._gathered = bytearray()

    async def write(self, octets: bytes | memoryview) -> None:
        """Append octets. Raises Problem where they are too many, or the disk is full."""
        if self.written + len(self._gathered) + len(octets) > self._most:
            raise too_large(self._most)
        self._gathered += octets
        if len(self._gathered) >= GATHERED_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Have what was gathered on the disk. Raises Problem."""
        gathered, self._gathered = self._gathered, bytearray()
        try:
            await asyncio.to_thread(_write, self._descriptor, gathered)
        except OSError as error:
            raise Problem(507, f"the upload cannot be kept: {error.strerror}") from error
        self.written += len(gathered)

    def close(self) -> None:
        """Close the file; what was not flushed is lost."""
        os.close(self._descriptor)


class Form:
    """A form with files, in fields of the name ``file``, and short texts."""

    def __init__(self, request: Request) -> None:
        """Read the boundary. Raises Problem."""
        boundary = _parameters(request.headers.get("content-type", "").encode()).get("boundary")
        if not boundary:
            raise Problem(400, "this is no form: its Content-Type names no boundary")
        self.fields: dict[str, str] = {}
        """The texts that came by now."""
        self._stream = request.stream()
        self._came: deque[tuple[str, bytes]] = deque()
        self._header = self._value = self._disposition = b""
        self._parts = 0
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": lambda data, start, end: self._add("data", data[start:end]),
                    "on_part_end": lambda: self._add("end", b""),
                    "on_header_field": self._name,
                    "on_header_value": self._content,
                    "on_header_end": self._headed,
                    "on_headers_finished": lambda: self._add("head", self._disposition),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise Problem(400, f"this is no form: {error}") from error

    async def files(self) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Yield name and octets of each file, to be read before the next. Raises Problem."""
        async for kind, content in self._events():
            if kind != "head":
                continue
            told = _parameters(content)
            if told.get("name") == "file":
                yield told.get("filename", ""), self._content_of_part()
            else:
                await self._take_text(told.get("name", ""))
        if not self._is_whole:
            raise Problem(400, "the form ends early")

    async def _content_of_part(self) -> AsyncIterator[bytes]:
        async for kind, content in self._events():
            if kind == "end":
                return
            yield content

    async def _take_text(self, name: str) -> None:
        text = b""
        async for octets in self._content_of_part():
            text += octets
            if len(text) > LONGEST_FIELD:
                raise Problem(413, f"the field {name!r} is too long")
        self.fields[name] = text.decode("utf-8", "replace")

    async def _events(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield head, data and end of parts as they come."""
        while True:
            while self._came:
                yield self._came.popleft()
            octets = await anext(self._stream, None)
            if octets is None:
                return
            try:
                self._parser.write(octets)
            except FormParserError as error:
                raise Problem(400, f"the form is damaged: {error}") from error

    def _add(self, kind: str, content: bytes) -> None:
        self._came.append((kind, content))

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Problem(413, f"the form has more than {MOST_PARTS} parts")
        self._disposition = b""

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _headed(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _end(self) -> None:
        self._is_whole = True


def check_size(size: int | None, most: int, free: int) -> None:
    """Raise Problem for an upload that will not fit, before its first octet is read."""
    if size is not None and size > most:
        raise too_large(most)
    if free - (size or 0) < SPARE_BYTES:
        raise Problem(507, "the disk has no room for it; delete captures, or wait for them to go")


def too_large(most: int) -> Problem:
    """Return what is told of an upload beyond the limit."""
    why = f"captures may have {most} octets; serve.upload_bytes allows more"
    return Problem(413, why, {"Connection": "close"})


def _parameters(header: bytes) -> dict[str, str]:
    """Return the parameters of a header's value."""
    _, told = parse_options_header(header)
    return {
        name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in told.items()
    }


def _write(descriptor: int, octets: bytearray) -> None:
    left = memoryview(octets)
    while left:
        left = left[os.write(descriptor, left) :]
