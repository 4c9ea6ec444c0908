"""Events as Suricata's EVE JSON, for whoever has a pipeline for that.

Names and forms are those of Suricata's ``tls`` events ("Eve JSON Format" in its user guide);
``hellowatch`` holds what Suricata has no name for, by the event's own keys. ``tls.version`` is
what was agreed on; where nothing was, it is left out, and no word stands in its place.
"""

import base64
from typing import Any, BinaryIO

import msgspec

from parsers.tls import fingerprint
from sniffer.event import Handshake
from sniffer.export.ecs import Event

_VERSIONS = {
    "2.0": "SSLv2",
    "3.0": "SSLv3",
    "1.0": "TLSv1",
    "1.1": "TLS 1.1",
    "1.2": "TLS 1.2",
    "1.3": "TLS 1.3",
}
"""Suricata's spelling, uneven as it is."""

_TOLD_ABOVE = ("ja4", "alpn", "starttls", "frame")
_FLOW_ID_OCTETS = 6
"""So many that every reader of JSON keeps the number exactly."""


class EveWriter:
    """One event a line."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to ``out``, which stays the caller's."""
        self._out = out.write
        self._encode = msgspec.json.Encoder().encode

    def write(self, handshake: Handshake, event: Event) -> None:
        """Write one event."""
        self._out(self._encode(_eve(handshake, msgspec.to_builtins(event))) + b"\n")


def _eve(handshake: Handshake, event: dict[str, Any]) -> dict[str, Any]:
    network, own = event["network"], event["hellowatch"]
    vlan = network.get("vlan")
    told = {
        "timestamp": event["@timestamp"].removesuffix("Z") + "+0000",
        "flow_id": _flow_id(network["community_id"]),
        "pcap_cnt": own["frame"],
        "pcap_filename": event.get("log", {}).get("file", {}).get("path"),
        "event_type": "tls",
        "vlan": [int(vlan["id"])] if vlan else None,
        "src_ip": event["source"]["ip"],
        "src_port": event["source"]["port"],
        "dest_ip": event["destination"]["ip"],
        "dest_port": event["destination"]["port"],
        "proto": "TCP",
        "ip_v": 4 if len(handshake.flow.source) == 4 else 6,
        "ether": {"src_mac": event["source"]["mac"]} if "mac" in event["source"] else None,
        "community_id": network["community_id"],
        "tls": _tls(handshake, event),
        "hellowatch": _own(event),
    }
    return {key: value for key, value in told.items() if value is not None}


def _tls(handshake: Handshake, event: dict[str, Any]) -> dict[str, Any]:
    said, own = event.get("tls", {}), event["hellowatch"]
    client = said.get("client", {})
    agreed, chosen, ja3 = said.get("version"), said.get("next_protocol"), client.get("ja3")
    told = {
        "from_proto": own.get("starttls"),
        "sni": client.get("server_name"),
        "version": _VERSIONS.get(agreed, agreed),
        "ja3": ja3 and {"hash": ja3, "string": fingerprint.ja3_string(handshake.hello)},
        "ja4": own.get("ja4"),
        "client_alpns": own.get("alpn"),
        "server_alpns": [chosen] if chosen else None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _own(event: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in event["hellowatch"].items() if key not in _TOLD_ABOVE}
    said = event.get("tls", {})
    more = {
        "service": event["network"]["protocol"],
        "supported_ciphers": said.get("client", {}).get("supported_ciphers"),
        "cipher": said.get("cipher"),
        "established": said.get("established"),
    }
    return own | {key: value for key, value in more.items() if value is not None}


def _flow_id(community_id: str) -> int:
    """Return a number for the conversation, the same in both directions and in every run."""
    digest = base64.b64decode(community_id.partition(":")[2])
    return int.from_bytes(digest[:_FLOW_ID_OCTETS], "big")
