"""Alerts that pass in clear, row by row."""

import pytest
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NO_MATCH
from parsers.tls import alert
from parsers.tls.facts import Alert

ROWS = [
    Row("protocol-version", octets("02 46"), Alert(2, 70), "RFC 8446 6.2", grows=False),
    Row("handshake-failure", octets("02 28"), Alert(2, 40), "RFC 8446 6.2", grows=False),
    Row("inappropriate-fallback", octets("02 56"), Alert(2, 86), "RFC 7507 3", grows=False),
    Row("warning-close-notify", octets("01 00"), Alert(1, 0), "RFC 8446 6.1", grows=False),
    Row("unknown-description", octets("02 ff"), Alert(2, 255), "RFC 8446 6", grows=False),
    Row("level-0", octets("00 46"), None, "RFC 8446 6", NO_MATCH, grows=False),
    Row("level-3", octets("03 46"), None, "RFC 8446 6", NO_MATCH, grows=False),
    Row("one-octet", octets("02"), None, "RFC 8446 6", NO_MATCH, grows=False),
    Row("encrypted", octets("02 46") + bytes(22), None, "RFC 5246 6.2.3", NO_MATCH, grows=False),
    Row("nothing", b"", None, "", NO_MATCH, grows=False),
]


def reading(row: Row) -> Reading:
    """Return the alert; its length is the record's, so its rows do not grow."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        found = alert.read(wire, start, end)
        return (NO_MATCH if found is None else FOUND), found

    return read


@parametrize(ROWS)
def test_an_alert(row: Row) -> None:
    four_ways(reading(row), row)


@pytest.mark.parametrize("size", [0, 1, *range(3, 40)])
def test_a_body_of_any_other_length_is_encrypted(size: int) -> None:
    assert alert.read(memoryview(b"\x02" * 64), 3, 3 + size) is None


def test_every_octet_pair_is_an_alert_or_none() -> None:
    for level in range(256):
        found = alert.read(memoryview(bytes((level, 70))), 0, 2)
        assert found == (Alert(level, 70) if level in (1, 2) else None)
