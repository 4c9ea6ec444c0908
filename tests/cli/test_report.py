"""``hellowatch report``: for each reader, in each form, of the inventory and of captures."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import craft
import pytest
from program import OFFICE, ROOT, hellowatch

from sniffer.export.report import AUDIENCES, FORMATS
from sniffer.export.words import MOST_URGENT

STORE = ("--store", "sqlite:///office.db")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    hellowatch("analyze", "-o", "x", *STORE, str(OFFICE), cwd=folder)
    return folder


class Text(HTMLParser):
    """The text of a page, and what it would load or run."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self.text: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self._hidden = False
        self.feed(octets.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._hidden = tag == "style"
        self.loads += [value for name, value in attrs if name in ("src", "href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.text.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.text).split())


def report(folder: Path, *arguments: str, code: int = 0) -> bytes:
    ran = hellowatch("report", *arguments, cwd=folder)
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def listed(folder: Path) -> list[dict]:
    told = hellowatch("devices", "--format", "json", *STORE, cwd=folder).stdout
    return [device for device in json.loads(told) if device["status"] != "ok"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("audience", [*AUDIENCES, None])
def test_every_form_for_every_reader_and_the_same_bytes_again(folder, form, audience):
    chosen = ("--format", form, *(("--for", audience) if audience else ()), *STORE)
    told = report(folder, *chosen)
    assert told
    assert report(folder, *chosen) == told


def test_page_is_complete_in_itself(folder):
    page = Text(report(folder, *STORE))
    assert page.loads == []
    assert "script" not in page.tags


def test_managers_page_has_no_technical_word(folder):
    page = str(Text(report(folder, "--for", "manager", *STORE)))
    first = page.partition("Sources of the dates")[0]
    assert not re.search(r"TLS|SSL|JA4|hello|cipher|handshake|ECDHE", first, re.IGNORECASE)
    assert "Will devices stop sending or fetching mail?" in first
    assert "must pass before" in first
    assert "31 December 2026" in first


def test_managers_figures_are_those_of_the_devices(folder):
    told = json.loads(report(folder, "--format", "json", *STORE))
    devices = json.loads(hellowatch("devices", "--format", "json", *STORE, cwd=folder).stdout)
    counts = told["report"]["counts"]
    refused = [d for d in devices if d["breaks"] and d["breaks"]["when"] == "already-refused"]
    breaking = [d for d in devices if d["will_break"] is True]
    assert counts["all"] == len(devices)
    assert counts["refused"] == len([d for d in refused if d["will_break"]])
    assert counts["refused"] + counts["breaking"] == len(breaking)
    assert sum(told["report"]["statuses"].values()) == len(devices)
    assert told["report"]["ready"] is False
    (exchange,) = [d for d in told["report"]["dates"] if d["provider"] == "Exchange Online"]
    assert (exchange["until"], exchange["days"]) == ("2026-12-31", 37)
    assert exchange["devices"] == len(
        [
            d
            for d in breaking
            for stack in d["stacks"]
            for one in stack["simulation"]
            if one["destination"] == "exchange-online" and one["breaks"]
        ]
    )


def test_technician_has_every_device_the_most_urgent_first_with_its_evidence(folder):
    page = str(Text(report(folder, "--for", "technician", *STORE)))
    devices = listed(folder)
    for device in devices:
        assert device["why"] in page
        assert (device["next_step"] or "") in page
        for stack in device["stacks"]:
            assert f"frame.number == {stack['evidence']['last']['frame']}'" in page
    told = json.loads(report(folder, "--format", "json", *STORE))["devices"]
    assert {d["id"] for d in told} == {d["id"] for d in devices}
    order = [MOST_URGENT.index(device["status"]) for device in told]
    assert order == sorted(order)
    assert all(device["history"] for device in told)


def test_owner_finds_his_devices_under_his_name(tmp_path):
    hellowatch("analyze", "-o", "x", *STORE, str(OFFICE), cwd=tmp_path)
    hellowatch("devices", "own", "10.20.20.11", "Jo <b>Doe</b>", *STORE, cwd=tmp_path)
    page = str(Text(report(tmp_path, "--for", "owner", *STORE)))
    before, _, after = page.partition("Jo <b>Doe</b>")
    mine, _, others = after.partition("nobody named")
    assert "10.20.20.11 is refused" in mine
    assert "10.20.20.11 is refused" not in before + others


def test_csv_has_a_row_for_each_device_that_is_listed(folder):
    rows = list(csv.DictReader(io.StringIO(report(folder, "--format", "csv", *STORE).decode())))
    assert {row["id"] for row in rows} == {device["id"] for device in listed(folder)}


def test_what_changed_since_is_told(folder):
    since = "2026-11-23T12:00"
    told = json.loads(report(folder, "--format", "json", "--since", since, *STORE))["report"]
    changes = hellowatch("devices", "diff", since, *STORE, cwd=folder).stdout.splitlines()
    words = [json.loads(line)["change"] for line in changes]
    assert told["changes"] == {word: words.count(word) for word in set(words)}
    page = str(Text(report(folder, "--for", "manager", "--since", since, *STORE)))
    assert "Since 23 November 2026" in page


def test_captures_are_reported_as_analyze_does(tmp_path):
    (tmp_path / "office.pcapng").write_bytes(OFFICE.read_bytes())
    page = report(tmp_path, "office.pcapng")
    for arguments in (("--format", "html"), ("-o", "out.html"), ("-o", "html:out.html")):
        ran = hellowatch("analyze", *arguments, "office.pcapng", cwd=tmp_path)
        told = ran.stdout or (tmp_path / "out.html").read_bytes()
        assert (ran.returncode, told) == (0, page)
    assert "office.pcapng" in str(Text(page))


def test_damaged_capture_is_reported_as_far_as_it_was_read(tmp_path):
    (tmp_path / "cut.pcapng").write_bytes(OFFICE.read_bytes()[:-7])
    assert b"Device by device" in report(tmp_path, "cut.pcapng", code=4)
    (tmp_path / "none.pcapng").write_bytes(b"none")
    page = str(Text(report(tmp_path, "none.pcapng", code=3)))
    assert "Not known yet" in page


def capture(*names: bytes) -> bytes:
    talks = [
        craft.Conversation(client=f"10.0.0.{number}")
        .open()
        .client(craft.client_hello(sni=name))
        .server(craft.alert())
        .frames()
        for number, name in enumerate(names, 1)
    ]
    return craft.pcap(craft.merged(*talks))


HOSTILE = (b"<script>alert(1)</script>", b"\x1b[31m|x|`y`", b"=cmd|' /C calc'!A0", b"[a](b)")


@pytest.mark.parametrize("form", FORMATS)
def test_what_the_wire_says_is_text_in_every_form(tmp_path, form):
    (tmp_path / "<img src=x>.pcap").write_bytes(capture(*HOSTILE))
    told = report(tmp_path, "--format", form, "<img src=x>.pcap")
    assert b"\x1b" not in told
    if form == "html":
        page = Text(told)
        for name in HOSTILE[::2]:
            assert name.decode() in str(page)
        assert not page.tags & {"script", "img"}
        assert "<img src=x>.pcap" in str(page)
    if form == "markdown":
        assert b"<script>" not in told
        assert b"](b)" not in told
    if form == "csv":
        for row in csv.reader(io.StringIO(told.decode())):
            assert not [cell for cell in row if cell.startswith(("=", "+", "@"))]


def test_nothing_seen_is_not_safety(tmp_path):
    quiet = craft.Conversation().open().client(b"* OK\r\n").frames()
    (tmp_path / "quiet.pcap").write_bytes(craft.pcap(quiet))
    page = str(Text(report(tmp_path, "--for", "manager", "quiet.pcap")))
    assert "Not known yet" in page
    assert "None that was seen" not in page


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--for", "boss"), b"manager"),
        (("--format", "pdf"), b"markdown"),
        (("--since", "2026-11-01", str(OFFICE)), b"not FILEs"),
        (("--since", "soon", *STORE), b"--since"),
        (("--store", "sqlite:///nosuch.db"), b"no inventory yet"),
    ],
)
def test_what_cannot_be_reported_is_one_line(folder, arguments, why):
    ran = hellowatch("report", *arguments, cwd=folder)
    assert ran.returncode in (2, 3)
    assert why in ran.stderr
    assert ran.stdout == b""


def test_documented(folder):
    text = (ROOT / "docs" / "commands.md").read_text()
    for word in (*AUDIENCES, *FORMATS):
        assert word in text
