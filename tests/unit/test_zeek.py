"""Zeek's ssl.log: read back as others read it, with nothing offered told as agreed."""

import re
from pathlib import Path
from typing import Any

import pytest
from events import BARE, EVENT, FULL, HOSTILE, spoken, written
from msgspec.structs import replace
from parsezeeklogs import ParseZeekLogs

from parsers.tls.facts import ServerHello
from sniffer.event import Outcome, Side
from sniffer.export.formats import CSV_COLUMNS
from sniffer.export.zeek import FIELDS, OWN_FIELDS, ZeekWriter


def read(octets: bytes, folder: Path) -> list[dict[str, Any]]:
    """Read a log with a reader of Zeek's format that is not ours."""
    log = folder / "ssl.log"
    log.write_bytes(octets)
    return [dict(row) for row in ParseZeekLogs(str(log), output_format="dict") if row is not None]


def columns(octets: bytes) -> list[dict[str, str]]:
    """Return the raw cells by field, as zeek-cut takes them apart."""
    lines = octets.decode().split("\n")
    assert lines.pop() == ""
    head = [line for line in lines if line.startswith("#fields")]
    fields = head[0].split("\t")[1:]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert all(len(row) == len(fields) for row in rows)
    return [dict(zip(fields, row, strict=True)) for row in rows]


def test_header_is_zeeks() -> None:
    lines = written(ZeekWriter).decode().split("\n")
    assert lines[:5] == [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tssl",
    ]
    assert lines[5].startswith(
        "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tversion\tcipher\tcurve\t"
        "server_name\tresumed\tlast_alert\tnext_protocol\testablished\tssl_history\t"
    )
    assert lines[6].startswith(
        "#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tstring\tstring\t"
        "string\tbool\tstring\tstring\tbool\tstring\t"
    )
    assert lines[5].count("\t") == lines[6].count("\t")
    assert lines[7:] == [""]


def test_another_reader_gets_the_values_back(tmp_path: Path) -> None:
    (row,) = read(written(ZeekWriter, FULL), tmp_path)
    assert float(row["ts"]) == pytest.approx(1_795_435_200.123456, abs=1e-6)
    assert row["id.orig_h"] == "10.0.0.7"
    assert row["id.resp_p"] == 993
    assert row["version"] == "TLSv10"
    assert row["cipher"] == "TLS_RSA_WITH_AES_128_CBC_SHA"
    assert row["server_name"] == "outlook.office365.com"
    assert row["last_alert"] == "protocol_version"
    assert row["established"] is False
    assert row["hellowatch.reasons"] == ["version", "suites"]
    assert row["hellowatch.frame"] == 17
    assert row["community_id"] == EVENT.network.community_id


def test_every_key_of_the_event_is_told_once() -> None:
    (row,) = columns(written(ZeekWriter, FULL))
    assert {column for column, text in row.items() if text == "-"} == {
        "curve",
        "resumed",
        "ssl_history",
    }
    zeeks_own = {"curve", "resumed", "ssl_history", "uid"}
    assert len(FIELDS) + len(OWN_FIELDS) == len(CSV_COLUMNS) + len(zeeks_own)
    assert row["hellowatch.tunnel"] == "vxlan:77@192.0.2.1,gre"
    assert row["hellowatch.alpn"] == "imap,a b"
    assert re.fullmatch("C[0-9A-Za-z]{17}", row["uid"])


def test_what_was_only_offered_is_never_told_as_agreed() -> None:
    (row,) = columns(written(ZeekWriter, replace(FULL, server_hello=None)))
    assert (row["version"], row["cipher"], row["next_protocol"]) == ("-", "-", "-")
    assert row["hellowatch.max_offered"] == "TLS 1.1"
    assert row["ssl_history"] == "Cl"


def test_absent_values_are_unset() -> None:
    (row,) = columns(written(ZeekWriter, BARE))
    for field in ("version", "established", "server_name", "ja3", "hellowatch.profile"):
        assert row[field] == "-"
    assert row["hellowatch.hello_complete"] == "T"


@pytest.mark.parametrize(
    ("version", "word"),
    [
        (0x0002, "SSLv2"),
        (0x0300, "SSLv3"),
        (0x0301, "TLSv10"),
        (0x0302, "TLSv11"),
        (0x0303, "TLSv12"),
        (0x0304, "TLSv13"),
        (0x0305, "unknown-773"),
    ],
)
def test_versions_are_spelled_as_zeek_does(version: int, word: str) -> None:
    answer = ServerHello("tls", 0x0301, version, bytes(32), 0x002F)
    (row,) = columns(written(ZeekWriter, replace(FULL, server_hello=answer)))
    assert row["version"] == word


@pytest.mark.parametrize(
    ("outcome", "sender", "history"),
    [
        (Outcome.ALERT, Side.CLIENT, "CL"),
        (Outcome.ALERT, Side.SERVER, "Cl"),
        (Outcome.ALERT, None, "-"),
        (Outcome.RESET, None, "-"),
    ],
)
def test_history_is_told_only_where_it_is_known(
    outcome: Outcome, sender: Side | None, history: str
) -> None:
    ended = replace(FULL, server_hello=None, outcome=outcome, alert_sender=sender)
    (row,) = columns(written(ZeekWriter, ended))
    assert row["ssl_history"] == history
    seen = replace(ended, flow=replace(ended.flow, server_half=True))
    (row,) = columns(written(ZeekWriter, seen))
    assert row["ssl_history"] == ("C" if outcome is Outcome.RESET else history)


@pytest.mark.parametrize("name", [*HOSTILE, "-", "(empty)", "a,b"], ids=range(len(HOSTILE) + 3))
def test_hostile_names_are_one_cell(name: str, tmp_path: Path) -> None:
    octets = written(ZeekWriter, spoken(name))
    (row,) = columns(octets)
    assert all(text.isprintable() and text for text in row.values())
    assert row["server_name"] not in ("-", "(empty)")
    assert row["hellowatch.alpn"].count(",") == 1
    assert len(read(octets, tmp_path)) == 1
