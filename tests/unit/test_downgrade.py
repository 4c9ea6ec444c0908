"""What is wrong with a dialogue in clear, and whether TLS had failed before it."""

from typing import Any

import pytest
from handshakes import SECOND_NS, SERVER, START_NS, dialogue, handshake

from sniffer.config import DEFAULT_PORTS
from sniffer.event import Outcome
from sniffer.judge.downgrade import WINDOW_NS, Downgrades
from sniffer.judge.verdict import Judge

OTHER = bytes([10, 9, 9, 9])

DIALOGUES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("nothing", {}, set()),
    ("upgraded", {"upgraded": True, "asked": True, "offered": True}, set()),
    ("missing", {"offered": False}, {"upgrade-missing"}),
    ("missing-and-mail", {"offered": False, "went_on": True}, {"upgrade-missing"}),
    ("offered-and-mail", {"offered": True, "went_on": True}, set()),
    ("written-over", {"offered": False, "mangled": True}, {"capability-stripped"}),
    ("refused", {"offered": True, "asked": True, "refused": True}, {"upgrade-refused"}),
    (
        "refused-and-mail",
        {"asked": True, "refused": True, "went_on": True},
        {"upgrade-refused", "clear-after-failed-tls"},
    ),
    (
        "refused-and-login",
        {"asked": True, "refused": True, "login": "PLAIN"},
        {"upgrade-refused", "clear-login", "clear-after-failed-tls"},
    ),
    ("login", {"login": "USER"}, {"clear-login"}),
    ("login-and-upgrade", {"login": "USER", "upgraded": True}, {"clear-login"}),
]


@pytest.mark.parametrize(
    ("said", "kinds"), [pytest.param(*case[1:], id=case[0]) for case in DIALOGUES]
)
def test_what_is_found(said: dict[str, Any], kinds: set[str]) -> None:
    assert set(Downgrades().judge(dialogue(**said))) == kinds


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_a_handshake_that_failed_makes_clear_text_a_consequence(outcome: Outcome) -> None:
    memory = Downgrades()
    memory.note(handshake(outcome=outcome))
    found = memory.judge(dialogue(START_NS + SECOND_NS, went_on=True))
    failed = outcome in ("alert", "reset", "closed", "refused-starttls")
    assert found == (("clear-after-failed-tls",) if failed else ())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"time_ns": START_NS + WINDOW_NS}, True),
        ({"time_ns": START_NS + WINDOW_NS + 1}, False),
        ({"time_ns": START_NS - 1}, False),
        ({"port": 143, "protocol": "imap"}, True),
        ({"destination": OTHER}, False),
        ({"source": OTHER}, False),
    ],
)
def test_the_same_device_and_destination_soon_after(where: dict[str, Any], expected: bool) -> None:
    memory = Downgrades()
    memory.note(handshake(outcome=Outcome.ALERT))
    assert bool(memory.judge(dialogue(went_on=True, **where))) is expected


def test_the_memory_of_failures_is_bounded() -> None:
    memory = Downgrades(most=2)
    for number in range(3):
        memory.note(handshake(outcome=Outcome.RESET, source=bytes([10, 0, 0, number])))
    found = [
        bool(memory.judge(dialogue(source=bytes([10, 0, 0, number]), went_on=True)))
        for number in range(3)
    ]
    assert (found, memory.evicted) == ([False, True, True], 1)


def test_ports_that_are_none_of_mails_tell_nothing() -> None:
    judge = Judge(DEFAULT_PORTS, {})
    told = judge.judge_dialogue(dialogue(port=8025, login="PLAIN"))
    assert (told.service, told.kinds) == ("tls", ())
    told = judge.judge_dialogue(dialogue(login="PLAIN"))
    assert (told.service, told.kinds) == ("submission", ("clear-login",))


def test_the_judge_remembers_what_failed() -> None:
    judge = Judge(DEFAULT_PORTS, {})
    judge.judge(handshake(outcome=Outcome.ALERT, destination=SERVER))
    assert judge.judge_dialogue(dialogue(went_on=True)).kinds == ("clear-after-failed-tls",)
