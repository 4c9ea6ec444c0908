"""Log lines: harmless, single, limited."""

import io
import json
import logging
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sniffer import log
from sniffer.log import RateLimit, one_line, printable

HOSTILE = (
    b"nul\x00nul",
    b"\x1b[31mred\x1b[0m",
    b"<script>alert(1)</script>",
    b"=cmd|' /C calc'!A0",
    "right\u202eleft".encode(),
    b"\xff\xfe\xc3(",
    b"[red]rich[/red] :smile:",
    b"line\r\nfeed",
    b"back\\slash \\x00",
    b"A" * 65_536,
    b"\xff" * 65_536,
)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"outlook.office365.com", "outlook.office365.com"),
        (b" ~", " ~"),
        (b"\x00\x1f\x7f\x80\xff", "\\x00\\x1f\\x7f\\x80\\xff"),
        (b"\\", "\\x5c"),
        (b"\\x00", "\\x5cx00"),
        ("ü".encode(), "\\xc3\\xbc"),
        (b"a" * 255, "a" * 255),
        (b"a" * 256, "a" * 255),
        (b"a" * 252 + b"\x00", "a" * 252),
        (b"a" * 251 + b"\x00", "a" * 251 + "\\x00"),
        (b"a" * 251 + b"\x00b", "a" * 251 + "\\x00"),
        (b"\x00" * 64, "\\x00" * 63),
    ],
)
def test_printable_keeps_ascii_and_escapes_the_rest(octets: bytes, text: str) -> None:
    assert printable(octets) == text


@given(st.binary(max_size=2000))
def test_printable_is_short_ascii_and_never_ends_inside_an_escape(octets: bytes) -> None:
    text = printable(octets)
    assert len(text) <= 255
    assert text.isascii()
    assert text.isprintable()
    # What stands there is read back to the octets it was made from.
    back = text.encode("ascii").decode("unicode_escape").encode("latin-1")
    assert octets.startswith(back)
    assert back == octets or len(text) > 251


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_printable_tells_different_octets_apart(one: bytes, two: bytes) -> None:
    assert (printable(one) == printable(two)) is (one == two)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Büro/Übersicht.pcap", "Büro/Übersicht.pcap"),
        ("a\nb\x1b", "a\\x0ab\\x1b"),
        ("a\u202eb", "a\\u202eb"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_one_line_keeps_letters_and_escapes_what_steers(text: str, line: str) -> None:
    assert one_line(text) == line


def spoken(form: str, message: str, *args: object, **more: object) -> str:
    """Return what a formatter makes of one record."""
    formatter = log.JsonFormatter() if form == "json" else log.TextFormatter(form == "journal")
    record = logging.LogRecord("sniffer.x", logging.WARNING, "x.py", 1, message, args, None)
    record.created, record.msecs = 1_795_435_200.25, 250.0
    record.__dict__.update(more)
    return formatter.format(record)


def test_text_line_has_time_level_sentence_and_fields() -> None:
    line = spoken("text", "The capture is damaged", {"path": "a b.pcap", "offset": 12})
    assert line == (
        '2026-11-23T12:00:00.250Z WARNING The capture is damaged path="a b.pcap" offset=12'
    )


def test_journal_line_has_a_priority_and_no_time() -> None:
    assert spoken("journal", "The capture is damaged", {"offset": 12}) == (
        "<4>The capture is damaged offset=12"
    )


def test_json_line_is_one_object() -> None:
    line = spoken("json", "The capture is damaged", {"offset": 12, "list": [b"\x00", None]})
    assert json.loads(line) == {
        "@timestamp": "2026-11-23T12:00:00.250Z",
        "log.level": "warning",
        "log.logger": "sniffer.x",
        "message": "The capture is damaged",
        "fields": {"offset": 12, "list": ["\\x00", None]},
    }


@pytest.mark.parametrize("form", ["text", "journal", "json"])
@pytest.mark.parametrize("octets", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_fields_stay_inert_in_the_log(form: str, octets: bytes) -> None:
    loose = octets.decode("utf-8", "surrogateescape")
    line = spoken(form, "A frame could not be read", {"name": octets, "loose": loose})
    assert line.isprintable()
    assert len(line) < 40_000
    line.encode("utf-8")
    if form == "json":
        assert json.loads(line)["fields"]["name"] == printable(octets)


def test_percent_signs_in_a_sentence_with_fields_stay() -> None:
    assert spoken("journal", "100 % of it was lost", {"n": 1}) == "<4>100 % of it was lost n=1"


def test_an_exception_is_one_line_with_its_place() -> None:
    try:
        int("x\ny")
    except ValueError:
        info = sys.exc_info()
    line = spoken("journal", "A frame could not be read", exc_info=info)
    assert "\n" not in line
    assert "Traceback" not in line
    assert "ValueError: invalid literal" in line
    assert "test_log.py:" in line


def test_limit_admits_ten_lines_in_any_minute_and_counts_the_rest() -> None:
    limit = RateLimit()
    told = [limit.admit("bad", now / 100) for now in range(6000)]  # 100 a second for a minute
    assert told[:10] == [0] * 10
    assert set(told[10:]) == {None}
    assert limit.admit("bad", 60.0) == 5990
    assert limit.admit("bad", 60.0) is None  # the other nine were said less than a minute ago
    assert limit.rest() == [("bad", 1)]
    assert limit.rest() == []


@given(st.lists(st.floats(0, 30), min_size=20, max_size=200))
def test_limit_holds_in_every_window_and_loses_no_count(gaps: list[float]) -> None:
    limit, now, said, counted = RateLimit(), 0.0, [], 0
    for gap in gaps:
        now += gap
        for _, held in limit.due(now):
            said.append(now)
            counted += held
        held_back = limit.admit("bad", now)
        if held_back is not None:
            said.append(now)
            counted += 1 + held_back
    counted += sum(count for _, count in limit.rest())
    assert counted == len(gaps)
    for at, first in enumerate(said):
        assert len([t for t in said[at:] if t - first < 60]) <= 10


def test_limit_keeps_reasons_apart_and_their_number_bounded() -> None:
    limit = RateLimit(lines=1)
    assert limit.admit("one", 0) == 0
    assert limit.admit("two", 0) == 0
    assert limit.admit("one", 0) is None
    admitted = [limit.admit(f"reason {n}", 0) for n in range(5000)]
    assert admitted.count(0) <= RateLimit.REASONS
    assert sum(count for _, count in limit.rest()) == 1 + admitted.count(None)


def test_limit_forgets_reasons_that_may_speak_freely_again() -> None:
    limit = RateLimit()
    for n in range(RateLimit.REASONS):
        limit.admit(f"reason {n}", 0)
    assert [limit.admit("late", 60) for _ in range(11)] == [0] * 10 + [None]
    assert limit.rest() == [("late", 1)]


def test_limit_says_by_itself_when_a_reason_may_speak_again() -> None:
    limit = RateLimit(lines=2)
    assert [limit.admit("bad", 1), limit.admit("bad", 2), limit.admit("bad", 3)] == [0, 0, None]
    assert limit.due(60.9) == []
    assert limit.due(61) == [("bad", 1)]
    assert limit.due(200) == []


def test_handler_writes_ten_lines_then_one_with_the_count() -> None:
    now = 0.0
    out = io.StringIO()
    handler = log.Handler(out, log.TextFormatter(journal=True), lambda: now)
    logger = logging.Logger("flood")
    logger.addHandler(handler)
    for _ in range(1000):
        logger.warning("A frame could not be read", {"reason": "length"})
    logger.warning("A frame could not be read", {"reason": "depth"})
    lines = out.getvalue().splitlines()
    assert lines == ["<4>A frame could not be read reason=length"] * 10 + [
        "<4>A frame could not be read reason=depth"
    ]
    now = 60.0
    logger.warning("A frame could not be read", {"reason": "length"})
    assert out.getvalue().splitlines()[-1] == (
        "<4>A frame could not be read reason=length held_back=990"
    )
    for _ in range(20):
        logger.warning("A frame could not be read", {"reason": "length"})
    handler.close()
    assert out.getvalue().splitlines()[-1] == (
        '<4>Lines of one kind were held back what="A frame could not be read: length" held_back=11'
    )


def test_messages_that_differ_are_not_held_back_for_each_other() -> None:
    out = io.StringIO()
    logger = logging.Logger("files")
    logger.addHandler(log.Handler(out, log.TextFormatter(journal=True), lambda: 0.0))
    for n in range(50):
        logger.warning("%s", f"{n}.pcap: cut short at offset {n}")
    assert len(out.getvalue().splitlines()) == 50


def test_handler_survives_a_reader_that_went_away() -> None:
    out = io.StringIO()
    handler = log.Handler(out, log.TextFormatter())
    out.close()
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, "Gone", (), None))
    handler.close()


@pytest.fixture
def _root_logger() -> object:
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = kept
    root.setLevel(level)


@pytest.mark.usefixtures("_root_logger")
def test_configure_prefixes_priorities_only_for_the_journal(tmp_path: object) -> None:
    for matches, start in ((True, "<4>Careful"), (False, "20")):
        path = os.path.join(str(tmp_path), f"err{matches}")
        with open(path, "w+", encoding="utf-8") as stream:
            found = os.fstat(stream.fileno())
            where = f"{found.st_dev}:{found.st_ino}" if matches else "8:1"
            log.configure(stream=stream, environ={"JOURNAL_STREAM": where})
            logging.getLogger("sniffer.a").warning("Careful")
            logging.getLogger("sniffer.a").debug("Not said")
            stream.seek(0)
            text = stream.read()
        assert text.startswith(start)
        assert text.count("\n") == 1


@pytest.mark.usefixtures("_root_logger")
def test_configure_writes_json_when_asked() -> None:
    stream = io.StringIO()
    log.configure(logging.DEBUG, "json", stream, {})
    logging.getLogger("sniffer.a").debug("Said", {"n": 1})
    assert json.loads(stream.getvalue())["fields"] == {"n": 1}
