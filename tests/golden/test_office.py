"""The office capture: that it holds what it is for. What must be read in it: test_programs."""

import re

from goldens import PCAPS, Event, read_events


def expected_events() -> list[Event]:
    """Read the events of the office."""
    return read_events((PCAPS / "office.expected.ndjson").read_text())


def test_the_office_holds_every_kind_of_case() -> None:
    events = expected_events()
    parts = [event["hellowatch"] for event in events]
    assert {part["outcome"] for part in parts} == {
        "established",
        "alert",
        "reset",
        "closed",
        "unanswered",
        "unknown",
    }
    assert {part["verdict"] for part in parts} == {
        "legacy",
        "incompatible",
        "at-risk",
        "fallback",
        "ok",
    }
    assert {part["max_offered"] for part in parts} == {
        "SSL 3.0",
        "TLS 1.0",
        "TLS 1.1",
        "TLS 1.2",
        "TLS 1.3",
    }
    assert {part["hello_format"] for part in parts} == {"tls", "sslv2"}
    assert {part["alert"]["code"] for part in parts if part["alert"]} == {40, 48, 70, 86}
    assert {event["network"]["protocol"] for event in events} == {"imaps", "pop3s", "smtps"}
    assert len({event["source"]["ip"] for event in events}) >= 20


def test_each_device_has_its_sentence() -> None:
    text = (PCAPS / "README.md").read_text()
    described = set(re.findall(r"^\| `([0-9a-f.:]+)` \|", text, re.MULTILINE))
    assert described == {event["source"]["ip"] for event in expected_events()}
