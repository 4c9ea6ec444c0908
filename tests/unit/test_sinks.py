"""Outputs: which format goes where, and what happens where one cannot be written."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from parsers.tls.facts import ClientHello
from sniffer.errors import ConfigError, HelloWatchError
from sniffer.event import Flow, Handshake, Judgement, Verdict
from sniffer.export import ecs
from sniffer.export.sinks import Output, Sinks, check_format, read_output

FLOW = Flow(bytes((10, 0, 0, 7)), 50123, bytes((52, 96, 1, 1)), 993)
HELLO = ClientHello("tls", 0x0301, 0x0301, bytes(32), suites=(0x002F,))
EVENT = ecs.event(Handshake(0, 1, FLOW, HELLO), Judgement("imaps", Verdict.LEGACY))
SUMMARY: dict[str, Any] = {
    "coverage": {
        "frames": 0,
        "flows": 0,
        "one_sided_flows": 0,
        "hellos": 0,
        "dropped_frames": 0,
        "truncated_frames": 0,
        "undecoded_frames": {},
        "incomplete_hellos": {},
        "first_seen": None,
        "last_seen": None,
        "watched_seconds": 0.0,
        "fit": False,
        "why": "No frame was seen.",
    },
    "devices": [],
}


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("out.csv", Output("csv", "out.csv")),
        ("csv:out.txt", Output("csv", "out.txt")),
        ("ndjson:a:b.json", Output("ndjson", "a:b.json")),
        ("events.json", Output("json", "events.json")),
        ("out", Output("ndjson", "out")),
        ("out.log", Output("ndjson", "out.log")),
        ("C:\\out.csv", Output("csv", "C:\\out.csv")),
        ("noformat:out.csv", Output("csv", "noformat:out.csv")),
        ("table:-", Output("table", "-")),
    ],
)
def test_a_prefix_counts_only_if_it_names_a_format(text: str, output: Output) -> None:
    assert read_output(text) == output


@pytest.mark.parametrize("text", ["", "csv:", "html:report", "report.html", "eve:eve.log"])
def test_an_output_that_cannot_be_is_a_usage_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_output(text)
    assert caught.value.exit_code == 2


def test_formats_still_to_come_say_so() -> None:
    for word in ("html", "zeek", "eve"):
        with pytest.raises(ConfigError, match=f"{word} is not built yet"):
            check_format(word)
    with pytest.raises(ConfigError, match="'xml' is no format: one of ndjson, csv, table, json"):
        check_format("xml")
    assert check_format("table") == "table"


def test_events_and_summaries_go_to_all_outputs(tmp_path: Path) -> None:
    names = {word: str(tmp_path / word) for word in ("ndjson", "csv", "json", "table")}
    stdout = io.BytesIO()
    with Sinks([Output(*pair) for pair in names.items()], stdout, "ndjson") as sinks:
        assert sinks.wants_events
        sinks.write(EVENT)
        sinks.write(EVENT)
        sinks.finish(SUMMARY)
        told = {word: Path(name).read_bytes() for word, name in names.items()}
    assert told["ndjson"] == stdout.getvalue()
    assert len(told["ndjson"].splitlines()) == 2
    assert len(told["csv"].splitlines()) == 3
    assert json.loads(told["json"]) == SUMMARY
    assert b"What we could see: " in told["table"]
    assert not stdout.closed


def test_summaries_alone_want_no_events() -> None:
    for word, last in (("json", b"}\n"), ("table", b"No frame was seen.\n")):
        stdout = io.BytesIO()
        with Sinks([], stdout, word) as sinks:
            assert not sinks.wants_events
            assert stdout.getvalue() == b""
            sinks.finish(SUMMARY)
        assert stdout.getvalue().endswith(last)


def test_stdout_stays_empty_where_no_format_is_given_for_it(tmp_path: Path) -> None:
    stdout = io.BytesIO()
    with Sinks([Output("ndjson", str(tmp_path / "out"))], stdout, None) as sinks:
        sinks.write(EVENT)
        sinks.finish(SUMMARY)
    assert stdout.getvalue() == b""


def test_a_file_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    first = str(tmp_path / "first")
    wrong = str(tmp_path / "none" / "out")
    with pytest.raises(HelloWatchError, match="cannot be written: No such file") as caught:
        Sinks([Output("ndjson", first), Output("csv", wrong)], io.BytesIO(), None)
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(wrong)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_is_one_sentence() -> None:
    sinks = Sinks([Output("ndjson", "/dev/full")], io.BytesIO(), None)
    sinks.write(EVENT)
    with pytest.raises(HelloWatchError, match="/dev/full: cannot be written: No space left"):
        sinks.close()
