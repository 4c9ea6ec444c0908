"""What is written of events and summaries: whole, stable, and inert whatever the wire said."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from events import BARE, EVENT, FULL, HOSTILE, JUDGEMENT, event, spoken, written
from hypothesis import given
from hypothesis import strategies as st

from sniffer.export import ecs, formats

CHECKOUT = Path(__file__).parents[2]


def rows(octets: bytes) -> list[dict[str, str]]:
    """Read CSV as a program does."""
    return list(csv.DictReader(io.StringIO(octets.decode("utf-8"), newline=""), strict=True))


def test_ndjson_is_one_event_a_line() -> None:
    octets = written(formats.NdjsonWriter, FULL, BARE)
    lines = octets.split(b"\n")
    assert lines[2] == b""
    assert lines[0] == ecs.encode(FULL, JUDGEMENT)
    assert json.loads(lines[1])["hellowatch"]["hello_format"] == "sslv2"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_leave_ndjson_one_printable_line(name: str) -> None:
    octets = written(formats.NdjsonWriter, spoken(name))
    assert octets.count(b"\n") == 1
    assert octets[:-1].decode("utf-8").isprintable()
    assert isinstance(json.loads(octets), dict)


def test_csv_has_every_value_of_the_event_in_its_column() -> None:
    row, bare = rows(written(formats.CsvWriter, FULL, BARE))
    assert {column: text for column, text in row.items() if text} == {
        "@timestamp": "2026-11-23T12:00:00.123456Z",
        "source.ip": "10.0.0.7",
        "source.port": "50123",
        "source.mac": "3c:2a:f4:00:00:50",
        "destination.ip": "52.96.1.1",
        "destination.port": "993",
        "network.protocol": "imaps",
        "network.vlan.id": "12",
        "network.community_id": "1:0HSHCmx8eUQ0ekoHyhBkUzUJ8sg=",
        "log.file.path": "office, main.pcapng",
        "tls.client.server_name": "outlook.office365.com",
        "tls.client.ja3": EVENT.tls.client.ja3,
        "tls.client.supported_ciphers": (
            "TLS_RSA_WITH_AES_128_CBC_SHA TLS_RSA_WITH_3DES_EDE_CBC_SHA"
        ),
        "tls.version": "1.0",
        "tls.version_protocol": "tls",
        "tls.cipher": "TLS_RSA_WITH_AES_128_CBC_SHA",
        "tls.established": "false",
        "tls.next_protocol": "imap",
        "hellowatch.id": EVENT.hellowatch.id,
        "hellowatch.max_offered": "TLS 1.1",
        "hellowatch.record_version": "0x0301",
        "hellowatch.legacy_version": "0x0303",
        "hellowatch.supported_versions": "0x0301 0x0302",
        "hellowatch.hello_format": "tls",
        "hellowatch.hello_complete": "true",
        "hellowatch.ja4": EVENT.hellowatch.ja4,
        "hellowatch.alpn": "imap a\\x20b",
        "hellowatch.fallback_scsv": "false",
        "hellowatch.starttls": "imap",
        "hellowatch.verdict": "legacy",
        "hellowatch.reasons": "version suites",
        "hellowatch.profile": "exchange-online",
        "hellowatch.destination_basis": "sni",
        "hellowatch.outcome": "alert",
        "hellowatch.ended_by": "server",
        "hellowatch.refused_by": "server",
        "hellowatch.alert.level": "fatal",
        "hellowatch.alert.description": "protocol_version",
        "hellowatch.alert.code": "70",
        "hellowatch.alert.sender": "server",
        "hellowatch.session.client_bytes": "310",
        "hellowatch.session.server_bytes": "212",
        "hellowatch.session.seconds": "0.4",
        "hellowatch.session.closed_by": "server",
        "hellowatch.frame": "17",
        "hellowatch.tunnel": "vxlan:77@192.0.2.1 gre",
        "hellowatch.flow.client_half": "true",
        "hellowatch.flow.server_half": "false",
        "hellowatch.flow.syn_seen": "false",
        "hellowatch.session.thrown_out": "possible",
        "hellowatch.encrypted_alert.sender": "client",
        "hellowatch.encrypted_alert.sure": "certain",
        "hellowatch.relay": "cellar",
    }
    assert set(bare) == set(row)
    assert bare["tls.client.server_name"] == ""


def keys_of(schema: dict[str, Any], part: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted keys of all values a schema knows."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    if part.get("type") != "object":
        return {prefix.rstrip(".")}
    found: set[str] = set()
    for key, inner in part["properties"].items():
        found |= keys_of(schema, inner, f"{prefix}{key}.")
    return found


def test_csv_has_a_column_for_every_key_of_the_schema() -> None:
    schema = json.loads(ecs.schema())
    assert set(formats.CSV_COLUMNS) == keys_of(schema, schema)
    assert len(formats.CSV_COLUMNS) == len(set(formats.CSV_COLUMNS))


def test_every_key_stands_in_the_docs_and_the_docs_have_no_other() -> None:
    text = (CHECKOUT / "docs" / "events.md").read_text(encoding="utf-8")
    keys = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(formats.CSV_COLUMNS)


def test_csv_is_rfc_4180_without_a_byte_order_mark() -> None:
    octets = written(formats.CsvWriter, FULL)
    assert octets.startswith(b"@timestamp,source.ip,source.port,")
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\r\n") == octets.count(b"\n") == 2
    assert b'"office, main.pcapng"' in octets


def test_csv_without_events_is_its_header() -> None:
    assert written(formats.CsvWriter).decode() == ",".join(formats.CSV_COLUMNS) + "\r\n"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_make_no_formula_and_no_second_row(name: str) -> None:
    octets = written(formats.CsvWriter, spoken(name))
    (row,) = rows(octets)
    for text in row.values():
        assert text.isprintable()
        assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))
    if name[0] in "=+-@":
        assert row["tls.client.server_name"] == "'" + name[:255]


@given(st.text(max_size=40))
def test_csv_gives_back_the_text_that_went_in(name: str) -> None:
    (row,) = rows(written(formats.CsvWriter, spoken(name or "x")))
    told = event(spoken(name or "x"))
    assert row["tls.client.server_name"].removeprefix("'") == (
        told.tls.client.server_name.removeprefix("'")
    )
    assert row["log.file.path"].removeprefix("'") == told.log.file.path.removeprefix("'")


def test_summary_json_is_the_same_bytes_for_the_same_facts() -> None:
    one = {"totals": {"hellos": 1, "by_verdict": {"ok": 1, "legacy": 0}}, "devices": []}
    two = {"devices": [], "totals": {"by_verdict": {"legacy": 0, "ok": 1}, "hellos": 1}}
    assert formats.summary_json(one) == formats.summary_json(two)
    assert formats.summary_json(one).endswith(b"}\n")
    assert json.loads(formats.summary_json(one)) == one


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_leave_summary_json_valid(name: str) -> None:
    octets = formats.summary_json({"devices": [{"names": [name], name: name}]})
    assert "\x1b" not in octets.decode("utf-8")
    assert json.loads(octets)["devices"][0]["names"]
