"""What is written of events and summaries: whole, stable, and inert whatever the wire said."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace as change
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from parsers.tls.facts import Alert, ClientHello, ServerHello
from sniffer.event import (
    DestinationBasis,
    Flow,
    Handshake,
    Judgement,
    Outcome,
    Reason,
    Session,
    Side,
    Tunnel,
    Verdict,
)
from sniffer.export import ecs, formats, words

CHECKOUT = Path(__file__).parents[2]

HELLO = ClientHello(
    "tls",
    0x0301,
    0x0303,
    bytes(range(32)),
    suites=(0x002F, 0x000A),
    supported_versions=(0x0301, 0x0302),
    server_name=b"outlook.office365.com",
    alpn=(b"imap", b"a b"),
)
FLOW = Flow(
    bytes((10, 0, 0, 7)),
    50123,
    bytes((52, 96, 1, 1)),
    993,
    mac=bytes.fromhex("3c2af4000050"),
    vlan=12,
    tunnels=(Tunnel("vxlan", 77, bytes((192, 0, 2, 1))), Tunnel("gre")),
)
FULL = Handshake(
    1_795_435_200_123_456_789,
    17,
    FLOW,
    HELLO,
    ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=b"imap"),
    Outcome.ALERT,
    ended_by=Side.SERVER,
    refused_by=Side.SERVER,
    alert=Alert(2, 70),
    alert_sender=Side.SERVER,
    starttls="imap",
    session=Session(310, 212, 0.4, Side.SERVER),
    path="office, main.pcapng",
)
JUDGEMENT = Judgement(
    "imaps",
    Verdict.LEGACY,
    (Reason.VERSION, Reason.SUITES),
    "exchange-online",
    DestinationBasis.SNI,
)
EVENT = ecs.event(FULL, JUDGEMENT)
BARE = ecs.event(
    Handshake(0, 1, Flow(bytes(4), 1, bytes(4), 2), ClientHello("sslv2", None, 2, b"")),
    Judgement("tls", Verdict.UNKNOWN),
)

HOSTILE = (
    "nul\x00nul",
    "\x1b]0;title\x07\x1b[31mred",
    "</script><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    'quote" ,\r\nnewline',
    "right\u202eleft\u2066",
    "\udcff\udcc3(",
    "[red]markup[/red] [link=http://x]y[/link] :warning:",
    "A" * 65_536,
)


def named(name: str) -> ecs.Event:
    """Return an event in which the wire and the user said ``name`` wherever they could."""
    octets = name.encode("utf-8", "surrogatepass")
    hello = change(HELLO, server_name=octets, alpn=(octets, octets))
    answer = ServerHello("tls", 0x0301, 0x0301, bytes(32), 0x002F, alpn=octets)
    return ecs.event(replace(FULL, hello=hello, server_hello=answer, path=name), JUDGEMENT)


def written(writer: Any, *events: ecs.Event) -> bytes:
    """Return what a writer makes of events."""
    out = io.BytesIO()
    format_ = writer(out)
    for event in events:
        format_.write(event)
    return out.getvalue()


def rows(octets: bytes) -> list[dict[str, str]]:
    """Read CSV as a program does."""
    return list(csv.DictReader(io.StringIO(octets.decode("utf-8"), newline=""), strict=True))


def test_ndjson_is_one_event_a_line() -> None:
    octets = written(formats.NdjsonWriter, EVENT, BARE)
    lines = octets.split(b"\n")
    assert lines[2] == b""
    assert lines[0] == ecs.encode(FULL, JUDGEMENT)
    assert json.loads(lines[1])["hellowatch"]["hello_format"] == "sslv2"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_leave_ndjson_one_printable_line(name: str) -> None:
    octets = written(formats.NdjsonWriter, named(name))
    assert octets.count(b"\n") == 1
    assert octets[:-1].decode("utf-8").isprintable()
    assert isinstance(json.loads(octets), dict)


def test_csv_has_every_value_of_the_event_in_its_column() -> None:
    row, bare = rows(written(formats.CsvWriter, EVENT, BARE))
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
    octets = written(formats.CsvWriter, EVENT)
    assert octets.startswith(b"@timestamp,source.ip,source.port,")
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\r\n") == octets.count(b"\n") == 2
    assert b'"office, main.pcapng"' in octets


def test_csv_without_events_is_its_header() -> None:
    assert written(formats.CsvWriter).decode() == ",".join(formats.CSV_COLUMNS) + "\r\n"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_make_no_formula_and_no_second_row(name: str) -> None:
    octets = written(formats.CsvWriter, named(name))
    (row,) = rows(octets)
    for text in row.values():
        assert text.isprintable()
        assert not text.startswith(("=", "+", "-", "@", "\t", "\r"))
    if name[0] in "=+-@":
        assert row["tls.client.server_name"] == "'" + name[:255]


@given(st.text(max_size=40))
def test_csv_gives_back_the_text_that_went_in(name: str) -> None:
    event = named(name or "x")
    (row,) = rows(written(formats.CsvWriter, event))
    assert row["tls.client.server_name"].removeprefix("'") == (
        event.tls.client.server_name.removeprefix("'")
    )
    assert row["log.file.path"].removeprefix("'") == event.log.file.path.removeprefix("'")


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


COVERAGE = {
    "frames": 12_345,
    "bytes": 1_000_000,
    "flows": 231,
    "one_sided_flows": 3,
    "dropped_frames": 0,
    "truncated_frames": 1,
    "undecoded_frames": {"length": 2, "depth": 1},
    "hellos": 8,
    "incomplete_hellos": {"snaplen": 2},
    "evicted": {},
    "devices_let_go": 0,
    "unseen_bytes": 0,
    "conflicts": 0,
    "first_seen": "2026-11-23T12:00:00.000000Z",
    "last_seen": "2026-11-24T15:46:40.000000Z",
    "watched_seconds": 100_000.0,
    "fit": True,
    "why": "Nothing was found that would hide a client.",
}
NOTHING = {
    **dict.fromkeys(COVERAGE, 0),
    "undecoded_frames": {},
    "incomplete_hellos": {},
    "first_seen": None,
    "last_seen": None,
    "fit": False,
    "why": "No frame was seen.",
}


def stack(**said: Any) -> dict[str, Any]:
    """Return a stack as the summary has it."""
    return {
        "ja4": "t10i0700__",
        "max_offered": "TLS 1.0",
        "verdict": "legacy",
        "hellos": 3,
        "services": ["imaps"],
        "destinations": [
            {"ip": "52.96.1.1", "port": 993, "name": "outlook.office365.com", "hellos": 3}
        ],
        "outcomes": {"established": 3},
        "first_seen": "2026-11-23T12:00:00.000000Z",
        "last_seen": "2026-11-23T13:01:00.000000Z",
        **said,
    }


def device(ip: str = "10.0.0.7", *stacks: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Return a device as the summary has it."""
    return {
        "id": ip,
        "ip": ip,
        "vendor": None,
        "names": [],
        "status": "legacy",
        "last_seen": "2026-11-23T13:01:00.000000Z",
        "will_break": True,
        "breaks": {"when": "window-open", "from": None, "until": None, "source": None},
        "stacks": list(stacks) or [stack()],
        **said,
    }


def shown(
    *devices: dict[str, Any], coverage: dict[str, Any] | None = None, **how: Any
) -> list[str]:
    """Return the lines of the table of these devices."""
    hellos = sum(stack["hellos"] for told in devices for stack in told["stacks"])
    summary = {
        "inputs": [],
        "coverage": COVERAGE if coverage is None else coverage,
        "profile": {},
        "totals": {"hellos": hellos},
        "devices": list(devices),
    }
    out = io.StringIO()
    formats.table(summary, out, **how)
    return out.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_table_answers_which_device_what_and_will_it_break() -> None:
    lines = shown(device(names=["printer-2"], vendor="Brother"), width=200)
    assert " ".join(lines[0].split()) == (
        "Device Service Destination Offers Verdict Breaks? Outcome Hellos Last seen (UTC)"
    )
    assert " ".join(lines[1].split()) == (
        "10.0.0.7 imaps outlook.office365.com TLS 1.0 Old TLS (1.0) Yes, any day now "
        "TLS agreed (login not visible) 3 2026-11-23 13:01"
    )
    assert [line.strip() for line in lines[2:4]] == ["printer-2", "Brother"]
    assert lines[4:] == [
        "",
        "1 device, 1 to look at; 3 hellos.",
        "",
        "What we could see: 1 d 3 h (2026-11-23 12:00 to 2026-11-24 15:46 UTC), "
        f"{words.counted(12_345, 'frame')}, 231 conversations (3 one-sided), 8 hellos (2 cut), "
        "1 frame cut by the snap length, 3 frames not read (depth 1, length 2). "
        "Fit to tell: Nothing was found that would hide a client.",
    ]


def test_table_shows_every_stack_and_the_most_telling_first() -> None:
    newer = stack(verdict="ok", max_offered="TLS 1.3", outcomes={"established": 1, "reset": 2})
    lines = shown(device("10.0.0.7", newer, stack()), width=200)
    assert "TLS 1.0" in lines[1]
    assert "Yes, any day now" in lines[1]
    assert "TLS 1.3" in lines[2]
    assert "Yes" not in lines[2]
    assert "2 x Connection reset" in lines[2]
    assert "1 x TLS agreed" in lines[3]


def test_table_puts_what_breaks_before_what_does_not() -> None:
    lines = shown(
        device("10.0.0.1", stack(verdict="ok"), status="ok", will_break=False, breaks=None),
        device("10.0.0.2", stack(verdict="unknown", max_offered=None), status="unknown"),
        device("10.0.0.3", will_break=None, status="legacy"),
        device("10.0.0.4"),
        device("10.0.0.5"),
        width=200,
    )
    order = [line.split()[0] for line in lines[1:6]]
    assert order == ["10.0.0.4", "10.0.0.5", "10.0.0.2", "10.0.0.3", "10.0.0.1"]


@pytest.mark.parametrize(
    ("will_break", "breaks", "text"),
    [
        (True, {"when": "already-refused"}, "Refused already"),
        (None, {"when": "already-refused"}, "Refused already"),
        (True, {"when": "window-open"}, "Yes, any day now"),
        (True, {"when": "dated", "from": "2026-12-01", "until": None}, "Yes, from 2026-12-01"),
        (True, {"when": "dated", "from": None, "until": "2026-12-31"}, "Yes, by 2026-12-31"),
        (True, {"when": "not-announced"}, "Yes"),
        (None, {"when": "unknown"}, "Cannot tell"),
        (None, None, "Cannot tell"),
        (False, None, "No"),
    ],
)
def test_table_says_when_it_breaks(
    will_break: bool | None, breaks: dict[str, Any] | None, text: str
) -> None:
    line = shown(device(will_break=will_break, breaks=breaks), width=200)[1]
    assert line.split("Old TLS (1.0)")[1].split("TLS agreed")[0].strip() == text


def test_table_of_hundreds_stops_at_a_hundred_rows_and_says_how_many_more() -> None:
    devices = [device(f"10.0.{n // 256}.{n % 256}") for n in range(250)]
    lines = shown(*devices, width=200)
    assert len([line for line in lines if line.startswith("10.0.")]) == 100
    assert "... and 150 more rows: --format json has all of them." in lines
    assert "250 devices, 250 to look at; 750 hellos." in lines


@pytest.mark.parametrize("coverage", [NOTHING, {**COVERAGE, "hellos": 0, "watched_seconds": 60.0}])
def test_an_empty_screen_says_what_was_watched_and_that_it_is_too_early(
    coverage: dict[str, Any],
) -> None:
    lines = shown(coverage=coverage)
    assert lines[0].startswith("Watched for ")
    assert "frames" in lines[0]
    assert "A working day, better a month end, must pass" in lines[0]
    assert lines[2].startswith("What we could see: ")


def test_coverage_unfit_is_said() -> None:
    line = shown(device(), coverage={**COVERAGE, "fit": False, "why": "2 hellos were cut."})[-1]
    assert line.endswith("Not fit to tell: 2 hellos were cut.")


@pytest.mark.parametrize("width", [20, 40, 80, 100, 119, 120, 121, 140, 200, 400])
@pytest.mark.parametrize("color", [True, False])
def test_table_fits_its_width_and_cuts_no_fact(width: int, color: bool) -> None:
    destinations = [{"ip": "2001:db8::1", "port": 1, "name": "a" * 44, "hellos": 1}] * 3
    lines = shown(
        device("2001:db8:1234:5678:9abc:def0:1234:5678", stack(destinations=destinations)),
        device("fe80::1", stack(verdict="at-risk", hellos=1_234_567)),
        width=width,
        color=color,
    )
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    devices = plain[: plain.index("")]
    assert max(len(line) for line in devices) <= width
    text = "".join("".join(devices).split())
    for fact in ("2001:db8:", "a" * 10, "1234567", "13:01", "fe80::1"):
        assert fact in text
    assert any(line.startswith("What we could see") or width < 40 for line in plain)


def test_table_without_a_terminal_is_plain_and_with_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "\x1b" not in "".join(shown(device()))
    assert "\x1b[31m" in "".join(shown(device(), color=True))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in "".join(shown(device()))
    assert "\x1b" not in "".join(shown(device(), color=False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in "".join(shown(device()))


def test_table_takes_its_width_from_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(device())[1].startswith("Device  ")
    monkeypatch.setenv("COLUMNS", "60")
    assert shown(device())[0] == "10.0.0.7: Old TLS (1.0); breaks? Yes, any day now"
    monkeypatch.setenv("COLUMNS", "wide")
    assert shown(device())[1].startswith("Device  ")


def test_table_shows_times_in_the_zone_asked_for() -> None:
    lines = shown(device(), width=200, zone=timezone(timedelta(hours=2), "CEST"))
    assert "Last seen (CEST)" in lines[0]
    assert "2026-11-23 15:01" in lines[1]


@pytest.mark.parametrize("width", [60, 200])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_steer_no_terminal(name: str, width: int) -> None:
    destinations = [{"ip": "52.96.1.1", "port": 993, "name": name, "hellos": 3}]
    told = device(name, stack(destinations=destinations), names=[name], vendor=name)
    coverage = {**COVERAGE, "undecoded_frames": {name: 1}, "why": name}
    lines = shown(told, coverage=coverage, width=width)
    assert all(line.isprintable() for line in lines)
    assert sum(len(line) for line in lines[:-1]) < 4000
    if "[red]" in name:
        assert "[red]markup[/red]" in "".join(lines)
        assert ":warning:" in "".join(lines)


def test_table_can_be_written_where_only_ascii_can() -> None:
    octets = io.BytesIO()
    out = io.TextIOWrapper(octets, encoding="ascii")
    summary = {"coverage": COVERAGE, "devices": [device(names=["Büro"])], "totals": {"hellos": 3}}
    formats.table(summary, out)
    out.flush()
    assert b"B?ro" in octets.getvalue()


def test_rich_is_loaded_only_to_print_a_table() -> None:
    code = "import sys, sniffer.export.formats; print('rich' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
