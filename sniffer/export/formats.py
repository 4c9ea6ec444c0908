"""Events and summaries as programs ask for them: NDJSON, CSV and JSON.

A writer of events takes a binary stream that it does not own. The summary (the contract's
section 4) is a mapping made elsewhere. Whatever the wire made is inert in each of them:
JSON escapes it, CSV cells cannot become formulas.
"""

import csv
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import msgspec

from sniffer.event import Handshake
from sniffer.export.ecs import Event
from sniffer.log import one_line


class EventWriter(Protocol):
    """What every format for events offers."""

    def write(self, handshake: Handshake, event: Event) -> None:
        """Write one event, made of this handshake."""


class NdjsonWriter:
    """One event a line, as JSON."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to ``out``, which stays the caller's."""
        self._out = out.write
        self._encode = msgspec.json.Encoder().encode

    def write(self, _handshake: Handshake, event: Event) -> None:
        """Write one event."""
        self._out(self._encode(event) + b"\n")


CSV_COLUMNS = (
    "@timestamp",
    "source.ip",
    "source.port",
    "source.mac",
    "destination.ip",
    "destination.port",
    "network.protocol",
    "network.vlan.id",
    "network.community_id",
    "log.file.path",
    "tls.client.server_name",
    "tls.client.ja3",
    "tls.client.supported_ciphers",
    "tls.version",
    "tls.version_protocol",
    "tls.cipher",
    "tls.established",
    "tls.next_protocol",
    "hellowatch.id",
    "hellowatch.max_offered",
    "hellowatch.record_version",
    "hellowatch.legacy_version",
    "hellowatch.supported_versions",
    "hellowatch.hello_format",
    "hellowatch.hello_complete",
    "hellowatch.ja4",
    "hellowatch.alpn",
    "hellowatch.fallback_scsv",
    "hellowatch.starttls",
    "hellowatch.verdict",
    "hellowatch.reasons",
    "hellowatch.profile",
    "hellowatch.destination_basis",
    "hellowatch.outcome",
    "hellowatch.ended_by",
    "hellowatch.refused_by",
    "hellowatch.alert.level",
    "hellowatch.alert.description",
    "hellowatch.alert.code",
    "hellowatch.alert.sender",
    "hellowatch.session.client_bytes",
    "hellowatch.session.server_bytes",
    "hellowatch.session.seconds",
    "hellowatch.session.closed_by",
    "hellowatch.frame",
    "hellowatch.tunnel",
    "hellowatch.flow.client_half",
    "hellowatch.flow.server_half",
    "hellowatch.flow.syn_seen",
    "hellowatch.session.thrown_out",
    "hellowatch.encrypted_alert.sender",
    "hellowatch.encrypted_alert.sure",
    "hellowatch.relay",
)
"""One per key of the event, in this order. New ones are added at the end only."""


class CsvWriter:
    r"""One event a row: RFC 4180, UTF-8, a header row, empty where the event has no value.

    Lists are joined by spaces (a space inside an item is written ``\x20``), a tunnel is
    ``TYPE:ID@OUTER_SOURCE``. A cell that a spreadsheet would take for a formula gets a
    leading apostrophe.
    """

    def __init__(self, out: BinaryIO) -> None:
        """Write to ``out``, which stays the caller's; the header row at once."""
        self._row: Callable[[list[str]], Any] = csv.writer(
            _Encoded(out), lineterminator="\r\n"
        ).writerow
        self._row(list(CSV_COLUMNS))

    def write(self, _handshake: Handshake, event: Event) -> None:
        """Write one event."""
        keys = flattened(msgspec.to_builtins(event))
        self._row([_cell(keys.get(column, "")) for column in CSV_COLUMNS])


class _Encoded:
    """A text stream as csv wants it, over a binary one."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out.write

    def write(self, text: str) -> int:
        return self._out(text.encode("utf-8"))


def flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their dotted keys."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            found |= flattened(inner, f"{prefix}{key}.")
        else:
            found[prefix + key] = inner
    return found


def _cell(value: object) -> str:
    if isinstance(value, str):
        return defused(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = [tunnel_text(item) if isinstance(item, dict) else str(item) for item in value]
        return defused(" ".join([item.replace(" ", "\\x20") for item in items]))
    return str(value)


def tunnel_text(tunnel: Mapping[str, Any]) -> str:
    """Return a tunnel of an event as one word: TYPE:ID@OUTER_SOURCE."""
    number = f":{tunnel['id']}" if "id" in tunnel else ""
    outer = f"@{tunnel['outer_source']}" if "outer_source" in tunnel else ""
    return f"{tunnel['type']}{number}{outer}"


def defused(text: str) -> str:
    """Return a CSV cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def summary_json(summary: Mapping[str, Any] | list[dict[str, Any]]) -> bytes:
    """Return the summary as JSON for reading: the same bytes for the same facts, keys sorted."""
    try:
        octets = msgspec.json.encode(summary, order="deterministic")
    except UnicodeEncodeError:  # a path that is no UTF-8
        octets = msgspec.json.encode(_encodable(summary), order="deterministic")
    return msgspec.json.format(octets, indent=2) + b"\n"


def _encodable(value: object) -> object:
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner) for inner in value]
    return one_line(value) if isinstance(value, str) else value
