"""What users are told on stderr: wire text made harmless, two line formats, a rate limit.

Messages are constant sentences; what varies goes into fields, handed over as one mapping::

    logger.warning("The capture is damaged", {"path": path, "offset": 4096})

Every line is one line whatever the fields hold, and no traceback is ever written: an
exception becomes its class, its words and the place it came from.
"""

import logging
import os
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

import msgspec

LONGEST = 255
"""Characters kept of one text from the wire."""

LONGEST_FIELD = 4096
"""Characters kept of one field of a log line; as long as a path can be."""

_HARMLESS = re.compile(rb"[ -\[\]-~]{0,%d}" % LONGEST)
_ESCAPED = [chr(o) if 0x20 <= o < 0x7F and o != 0x5C else f"\\x{o:02x}" for o in range(256)]


def printable(octets: bytes) -> str:
    r"""Return octets from the wire as harmless text of at most 255 characters.

    Printable ASCII stays; every other octet, and the backslash itself, becomes ``\xNN``, so
    two texts differ where their octets do. Longer ones are cut, never inside an escape.
    """
    if _HARMLESS.fullmatch(octets):
        return octets.decode("ascii")
    text = "".join([_ESCAPED[octet] for octet in octets[:LONGEST]])
    if len(text) <= LONGEST:
        return text
    end = LONGEST
    while text.rfind("\\", end - 3, end) >= 0:
        end = text.rfind("\\", end - 3, end)
    return text[:end]


def one_line(text: str) -> str:
    r"""Return text of ours or of the user's (a path, a name) fit for one line of a terminal.

    Letters of any script stay. Control and formatting characters, right-to-left marks and
    octets that were no UTF-8 become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _escape(c) for c in text])


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # how the system hands over an octet that is no UTF-8
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class RateLimit:
    """At most ``lines`` lines in any ``seconds`` for each reason, and a count of the rest.

    Time is handed in, in seconds of any clock that never goes back.
    """

    REASONS = 1024
    """Reasons told apart; further ones share one budget."""

    def __init__(self, lines: int = 10, seconds: float = 60.0) -> None:
        """Admit so many lines in so many seconds."""
        self._lines, self._seconds = lines, seconds
        self._said: dict[str, deque[float]] = {}
        self._held: dict[str, int] = {}

    def admit(self, reason: str, now: float) -> int | None:
        """Return None if this line must be held back, else how many were since the last one."""
        if reason not in self._said and len(self._said) >= self.REASONS:
            self._forget(now)
            if len(self._said) >= self.REASONS:
                reason = ""
        said = self._said.setdefault(reason, deque(maxlen=self._lines))
        if len(said) == self._lines and now - said[0] < self._seconds:
            self._held[reason] = self._held.get(reason, 0) + 1
            return None
        said.append(now)
        return self._held.pop(reason, 0)

    def _forget(self, now: float) -> None:
        """Make room by the reasons that have their whole budget back."""
        for reason, said in list(self._said.items()):
            if reason not in self._held and now - said[-1] >= self._seconds:
                del self._said[reason]

    def due(self, now: float) -> list[tuple[str, int]]:
        """Return the reasons that may speak again, with how many lines were held back."""
        told = []
        for reason in list(self._held):
            said = self._said[reason]
            if now - said[0] >= self._seconds:
                said.append(now)
                told.append((reason, self._held.pop(reason)))
        return told

    def rest(self) -> list[tuple[str, int]]:
        """Return what is still held back; for the end of a run."""
        told = sorted(self._held.items())
        self._held.clear()
        return told


class Handler(logging.Handler):
    """Writes limited lines to a stream; when something was held back, says how often.

    A reason is the sentence, with the field ``reason`` where there is one; of a message
    without fields it is the whole text.
    """

    def __init__(
        self,
        stream: TextIO,
        formatter: logging.Formatter,
        clock: Callable[[], float] = time.monotonic,
        limit: RateLimit | None = None,
    ) -> None:
        """Write to ``stream``; ``clock`` gives seconds and never goes back."""
        super().__init__()
        self.setFormatter(formatter)
        self._stream, self._clock = stream, clock
        self._limit = limit or RateLimit()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless its reason has used up its lines."""
        now = self._clock()
        fields = _fields(record)
        try:
            reason = _sentence(record)
            if "reason" in fields:
                reason += f": {_text(fields['reason'])}"
            held = self._limit.admit(reason, now)
            for told in self._limit.due(now):
                self._tell(*told)
            if held is None:
                return
            if held:
                record.args = {**fields, "held_back": held}
            self._write(record)
        except (OSError, ValueError):
            pass  # the reader of stderr went away: there is nobody left to tell

    def close(self) -> None:
        """Tell what is still held back."""
        try:
            for told in self._limit.rest():
                self._tell(*told)
        except (OSError, ValueError):
            pass
        super().close()

    def _tell(self, reason: str, count: int) -> None:
        fields = {"what": reason or "further kinds of line", "held_back": count}
        self._write(logging.LogRecord(__name__, logging.WARNING, "", 0, HELD_BACK, (fields,), None))

    def _write(self, record: logging.LogRecord) -> None:
        self._stream.write(self.format(record) + "\n")
        self._stream.flush()


HELD_BACK = "Lines of one kind were held back"


class TextFormatter(logging.Formatter):
    """``TIME LEVEL sentence key=value ...``; for the journal ``<N>sentence key=value ...``."""

    def __init__(self, journal: bool = False) -> None:
        """Format for the journal, or for a file or terminal."""
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        words = [_sentence(record)]
        for key, value in _fields(record).items():
            text = _text(value)
            words.append(f"{key}={text if _BARE.fullmatch(text) else _quoted(text)}")
        line = " ".join(words)
        if self._journal:
            return f"<{_priority(record.levelno)}>{line}"
        return f"{_when(record)} {record.levelname} {line}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields beside them."""

    def __init__(self) -> None:
        """Prepare the encoder; there is nothing to choose."""
        super().__init__()
        self._encode = msgspec.json.Encoder(order="deterministic").encode

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        told = {
            "@timestamp": _when(record),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": _sentence(record),
        }
        fields = {key: _plain(value) for key, value in _fields(record).items()}
        return self._encode({**told, **({"fields": fields} if fields else {})}).decode("utf-8")


def configure(
    level: int = logging.INFO,
    form: str = "text",
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Handler:
    """Send all log lines of the process to stderr, as ``text`` or ``json``; return the handler."""
    stream = stream or sys.stderr
    formatter = JsonFormatter() if form == "json" else TextFormatter(_is_journal(stream, environ))
    handler = Handler(stream, formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    logging.getLogger("asyncio").setLevel(logging.WARNING)  # of its own doings it tells all
    root.setLevel(level)
    return handler


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


_BARE = re.compile(r"""[^\s"=]+""")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def _priority(level: int) -> int:
    """Return syslog's number of a level (RFC 5424 section 6.2.1)."""
    for limit, number in ((50, 2), (40, 3), (30, 4), (20, 6)):
        if level >= limit:
            return number
    return 7


def _when(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _sentence(record: logging.LogRecord) -> str:
    if isinstance(record.args, Mapping):
        return one_line(str(record.msg))
    return one_line(record.getMessage())


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record; an exception under way is one of them."""
    fields: dict[str, object] = {}
    if isinstance(record.args, Mapping):
        fields.update((one_line(str(key)), value) for key, value in record.args.items())
    if record.exc_info and record.exc_info[1] is not None:
        fields.setdefault("error", record.exc_info[1])
    return fields


def _plain(value: object) -> object:
    """Return a field as JSON has it, with all text harmless."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_text(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_plain(inner) for inner in value]
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return printable(bytes(value))
    if isinstance(value, BaseException):
        return _error(value)
    if isinstance(value, float):
        return format(value, "g")
    return one_line(str(value)[:LONGEST_FIELD])


def _error(error: BaseException) -> str:
    """Return an exception as its class, its words and its place in the code."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f" ({os.path.basename(frame.f_code.co_filename)}:{line})"
    return one_line(words[:LONGEST_FIELD] + place)
