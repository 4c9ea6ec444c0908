"""Suricata's EVE JSON: its names, its forms, with nothing offered told as agreed."""

import json
from typing import Any

import pytest
from events import BARE, EVENT, FULL, HOSTILE, spoken, written
from msgspec.structs import replace

from parsers.tls import fingerprint
from parsers.tls.facts import ServerHello
from sniffer.export.eve import EveWriter


def read(octets: bytes) -> dict[str, Any]:
    """Read one line."""
    assert octets.count(b"\n") == 1
    line = json.loads(octets)
    assert isinstance(line, dict)
    return line


def test_an_event_has_suricatas_names_and_forms() -> None:
    line = read(written(EveWriter, FULL))
    own = line.pop("hellowatch")
    assert line == {
        "timestamp": "2026-11-23T12:00:00.123456+0000",
        "flow_id": line["flow_id"],
        "pcap_cnt": 17,
        "pcap_filename": "office, main.pcapng",
        "event_type": "tls",
        "vlan": [12],
        "src_ip": "10.0.0.7",
        "src_port": 50123,
        "dest_ip": "52.96.1.1",
        "dest_port": 993,
        "proto": "TCP",
        "ip_v": 4,
        "ether": {"src_mac": "3c:2a:f4:00:00:50"},
        "community_id": EVENT.network.community_id,
        "tls": {
            "from_proto": "imap",
            "sni": "outlook.office365.com",
            "version": "TLSv1",
            "ja3": {
                "hash": EVENT.tls.client.ja3,
                "string": fingerprint.ja3_string(FULL.hello),
            },
            "ja4": EVENT.hellowatch.ja4,
            "client_alpns": ["imap", "a b"],
            "server_alpns": ["imap"],
        },
    }
    assert own["max_offered"] == "TLS 1.1"
    assert own["verdict"] == "legacy"
    assert own["outcome"] == "alert"
    assert own["service"] == "imaps"
    assert own["established"] is False
    assert own["cipher"] == "TLS_RSA_WITH_AES_128_CBC_SHA"


def test_what_was_only_offered_is_never_told_as_agreed() -> None:
    line = read(written(EveWriter, replace(FULL, server_hello=None)))
    assert "version" not in line["tls"]
    assert "server_alpns" not in line["tls"]
    assert "cipher" not in line["hellowatch"]


def test_a_flow_keeps_its_number_in_both_directions() -> None:
    flow = FULL.flow
    back = replace(
        flow,
        source=flow.destination,
        source_port=flow.destination_port,
        destination=flow.source,
        destination_port=flow.source_port,
    )
    one, other = (read(written(EveWriter, replace(FULL, flow=f))) for f in (flow, back))
    assert one["flow_id"] == other["flow_id"] < 1 << 53


def test_absent_values_are_left_out() -> None:
    line = read(written(EveWriter, BARE))
    assert line["tls"] == {}
    assert not {"vlan", "ether", "pcap_filename"} & line.keys()


@pytest.mark.parametrize(
    ("version", "word"),
    [
        (0x0002, "SSLv2"),
        (0x0300, "SSLv3"),
        (0x0302, "TLS 1.1"),
        (0x0303, "TLS 1.2"),
        (0x0304, "TLS 1.3"),
        (0x0305, "0x0305"),
    ],
)
def test_versions_are_spelled_as_suricata_does(version: int, word: str) -> None:
    answer = ServerHello("tls", 0x0301, version, bytes(32), 0x002F)
    line = read(written(EveWriter, replace(FULL, server_hello=answer)))
    assert line["tls"]["version"] == word


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_leave_one_printable_line(name: str) -> None:
    octets = written(EveWriter, spoken(name))
    assert octets[:-1].decode("utf-8").isprintable()
    assert read(octets)["event_type"] == "tls"
