r"""Events as Zeek's ssl.log: tab-separated, with Zeek's header, for whoever has tools for that.

Zeek's own fields come first (scripts/base/protocols/ssl/main.zeek), then JA3, JA4 and the
Community ID as Zeek's packages call them, then what Zeek has no field for, by the event's own
names. ``version``, ``cipher`` and ``next_protocol`` are what was agreed on, nothing that was
offered. Left unset is what is not followed here: the curve, and whether a session was resumed.

An unset value is ``-``, an empty one ``(empty)``; a text that would read like one of them, and
any separator, is written as ``\xNN``, the form in which wire text already is.
"""

from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET

from sniffer.event import Handshake, Outcome, Side
from sniffer.export.ecs import Event
from sniffer.export.formats import CSV_COLUMNS, flattened, tunnel_text

UNSET_FIELD = "-"
EMPTY_FIELD = "(empty)"
SET_SEPARATOR = ","

FIELDS = {
    "ts": "time",
    "uid": "string",
    "id.orig_h": "addr",
    "id.orig_p": "port",
    "id.resp_h": "addr",
    "id.resp_p": "port",
    "version": "string",
    "cipher": "string",
    "curve": "string",
    "server_name": "string",
    "resumed": "bool",
    "last_alert": "string",
    "next_protocol": "string",
    "established": "bool",
    "ssl_history": "string",
    "ja3": "string",
    "ja4": "string",
    "community_id": "string",
}
"""Zeek's fields and their types; those of its ja3, ja4 and community-id packages behind."""

_TOLD_ABOVE = {
    "@timestamp": "ts",
    "source.ip": "id.orig_h",
    "source.port": "id.orig_p",
    "destination.ip": "id.resp_h",
    "destination.port": "id.resp_p",
    "tls.version": "version",
    "tls.cipher": "cipher",
    "tls.client.server_name": "server_name",
    "hellowatch.alert.description": "last_alert",
    "tls.next_protocol": "next_protocol",
    "tls.established": "established",
    "tls.client.ja3": "ja3",
    "hellowatch.ja4": "ja4",
    "network.community_id": "community_id",
}
"""Keys of the event that have a field of Zeek's."""

_TYPES = {
    "tls.client.supported_ciphers": "vector[string]",
    "hellowatch.supported_versions": "vector[string]",
    "hellowatch.hello_complete": "bool",
    "hellowatch.alpn": "vector[string]",
    "hellowatch.fallback_scsv": "bool",
    "hellowatch.reasons": "vector[string]",
    "hellowatch.alert.code": "count",
    "hellowatch.session.client_bytes": "count",
    "hellowatch.session.server_bytes": "count",
    "hellowatch.session.seconds": "interval",
    "hellowatch.frame": "count",
    "hellowatch.tunnel": "vector[string]",
    "hellowatch.flow.client_half": "bool",
    "hellowatch.flow.server_half": "bool",
    "hellowatch.flow.syn_seen": "bool",
}

OWN_FIELDS = {key: _TYPES.get(key, "string") for key in CSV_COLUMNS if key not in _TOLD_ABOVE}
"""What Zeek has no field for, by the event's keys. New ones are added at the end only."""

_VERSIONS = {
    "2.0": "SSLv2",
    "3.0": "SSLv3",
    "1.0": "TLSv10",
    "1.1": "TLSv11",
    "1.2": "TLSv12",
    "1.3": "TLSv13",
}

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UID_CHARACTERS = 17


class ZeekWriter:
    """One event a row, behind the header that says what each column is."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to ``out``, which stays the caller's; the header at once.

        It has no ``#open``: the same input gives the same octets, at whatever time.
        """
        self._out: Callable[[bytes], Any] = out.write
        fields = FIELDS | OWN_FIELDS
        for line in (
            "#separator \\x09",
            f"#set_separator\t{SET_SEPARATOR}",
            f"#empty_field\t{EMPTY_FIELD}",
            f"#unset_field\t{UNSET_FIELD}",
            "#path\tssl",
            "\t".join(["#fields", *fields]),
            "\t".join(["#types", *fields.values()]),
        ):
            self._out(f"{line}\n".encode())

    def write(self, handshake: Handshake, event: Event) -> None:
        """Write one event."""
        keys = flattened(msgspec.to_builtins(event))
        told = {field: keys[key] for key, field in _TOLD_ABOVE.items() if key in keys}
        told["ts"] = _seconds(handshake.time_ns)
        told["uid"] = _uid(event.hellowatch.id)
        if "version" in told:
            told["version"] = _version(told["version"])
        told["ssl_history"] = _history(handshake)
        row = [_field(told.get(field)) for field in FIELDS]
        row += [_field(keys.get(key)) for key in OWN_FIELDS]
        self._out("\t".join(row).encode("utf-8") + b"\n")


def _seconds(time_ns: int) -> str:
    seconds, rest = divmod(time_ns // 1000, 1_000_000)
    return f"{seconds}.{rest:06d}"


def _uid(identity: str) -> str:
    """Return an identity as Zeek's look, which is of a connection; ours is of the hello."""
    number = int(identity, 16)
    characters = []
    for _ in range(_UID_CHARACTERS):
        number, at = divmod(number, len(_BASE62))
        characters.append(_BASE62[at])
    return "C" + "".join(characters)


def _version(agreed: str) -> str:
    return _VERSIONS.get(agreed) or f"unknown-{int(agreed, 16)}"


def _history(handshake: Handshake) -> str | None:
    """Return the messages in order, as letters, a client's in capitals.

    Only where all are known that passed: behind a ServerHello not every one is read.
    """
    if handshake.server_hello is not None:
        return None
    letters = {Side.CLIENT: "CL", Side.SERVER: "Cl"}
    if handshake.outcome is Outcome.ALERT:
        return letters.get(handshake.alert_sender or Side.UNKNOWN)
    return "C" if handshake.flow.client_half and handshake.flow.server_half else None


def _field(value: Any) -> str:  # noqa: ANN401 (whatever JSON has)
    if value is None or value is UNSET:
        return UNSET_FIELD
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, list):
        texts = [tunnel_text(item) if isinstance(item, dict) else str(item) for item in value]
        return SET_SEPARATOR.join([_text(text, SET_SEPARATOR) for text in texts]) or EMPTY_FIELD
    return _text(str(value)) if isinstance(value, str) else str(value)


def _text(text: str, separator: str = "\t") -> str:
    """Return a text that reads as itself: no separator in it, neither unset nor empty."""
    if text in (UNSET_FIELD, EMPTY_FIELD):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    return text.replace(separator, f"\\x{ord(separator):02x}") or EMPTY_FIELD
