"""Row B3: lengths that lie, in every layer down to the hello, through the tracker."""

from typing import Any

import craft
import pytest
from captures import tracked
from craft import Conversation, client_hello_message, ethernet, ipv4, ipv6, record, u16s

from sniffer.event import Handshake
from sniffer.track.counters import Counters

A4, B4 = "10.0.0.50", "52.96.0.10"
A6, B6 = "2001:db8::50", "2001:db8::10"
MESSAGE = client_hello_message(sni="mail.example.org", groups=(29, 23))
HELLO = record(MESSAGE)
HELD = 65536


def segment(payload: bytes = HELLO, **known: Any) -> bytes:
    return craft.tcp(A4, B4, 50123, 993, payload, **known)


def one(frame: bytes) -> tuple[list[Handshake], Counters]:
    """Return what comes of a conversation whose only payload is in ``frame``."""
    talk = Conversation(client_isn=0, server_isn=0).open().frames()
    found, counted = tracked([*talk, (talk[-1][0] + 1, frame)])
    assert counted.internal_errors == []
    assert counted.reassembly_bytes <= HELD
    return found, counted


# ------------------------------------------------------------------------- down to the segment


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        pytest.param(ipv4(A4, B4, segment(), total_length=30), "malformed", id="total-in-tcp"),
        pytest.param(ipv4(A4, B4, segment(), total_length=19), "malformed", id="total-in-ip"),
        pytest.param(b"\x44" + ipv4(A4, B4, segment())[1:], "malformed", id="ihl-4"),
        pytest.param(b"\x4f" + ipv4(A4, B4, segment())[1:], "malformed", id="ihl-15"),
        pytest.param(ipv4(A4, B4, b"\0" * 12 + b"\x40" + bytes(60)), "malformed", id="offset-4"),
        pytest.param(
            ipv4(A4, B4, segment(b"")[:12] + b"\xf0" + segment(b"")[13:]),
            "malformed",
            id="offset-15-of-5",
        ),
        pytest.param(
            ipv6(A6, B6, b"", headers=[(0, bytes((255,)) + bytes(6))]), "malformed", id="extension"
        ),
    ],
)
def test_a_length_that_leaves_no_segment_is_counted(frame: bytes, reason: str) -> None:
    found, counted = one(ethernet(frame))
    assert found == []
    assert counted.undecoded == {reason: 1}


def test_a_tcp_offset_into_the_payload_hides_it_and_invents_nothing() -> None:
    frame = bytearray(segment())
    frame[12] = 0xF0
    found, _ = one(ethernet(ipv4(A4, B4, bytes(frame))))
    assert found == []


def test_a_total_length_below_the_captured_octets_wins() -> None:
    """What lies behind the packet is padding, be it the rest of a hello."""
    size = 40 + 60
    found, counted = one(ethernet(ipv4(A4, B4, segment(), total_length=size)))
    (event,) = found
    assert not event.hello.complete
    assert event.hello.suites == craft.SUITES
    assert event.hello.server_name is None
    assert counted.incomplete == {"end_of_input": 1}


def test_a_total_length_beyond_the_captured_octets_is_a_cut_frame() -> None:
    (event,), counted = one(ethernet(ipv4(A4, B4, segment(HELLO[:-4]), total_length=0xFFFF)))
    assert not event.hello.complete
    assert counted.incomplete == {"truncated": 1}


def test_a_hello_that_is_whole_all_the_same_is_whole() -> None:
    for total in (0, 0xFFFF, 40 + len(HELLO) + 1):
        (event,), counted = one(ethernet(ipv4(A4, B4, segment(), total_length=total)))
        assert event.hello.complete
        assert counted.incomplete == {}


# --------------------------------------------------------------------- records and messages


def talk(payload: bytes, *, fin: bool = True) -> tuple[list[Handshake], Counters]:
    """Return what comes of a client that sends ``payload``."""
    conversation = Conversation().open().client(payload)
    if fin:
        conversation.fin("client").fin("server")
    found, counted = tracked(conversation.frames())
    assert counted.internal_errors == []
    assert counted.reassembly_bytes == 0
    return found, counted


@pytest.mark.parametrize("length", [len(MESSAGE), len(MESSAGE) + 1, 16384, 18432])
def test_a_record_that_claims_more_than_its_message_does_not_delay_it(length: int) -> None:
    (event,), _ = talk(HELLO[:3] + u16s(length) + MESSAGE)
    assert event.hello.complete
    assert event.hello.server_name == b"mail.example.org"


def test_a_record_beyond_the_longest_is_no_record() -> None:
    assert talk(HELLO[:3] + u16s(18433) + MESSAGE)[0] == []


@pytest.mark.parametrize("length", [len(MESSAGE), 20_000, 70_000, 131_397, (1 << 24) - 1])
def test_a_message_that_claims_more_than_there_is_is_told_incomplete(length: int) -> None:
    (event,), counted = talk(record(b"\1" + length.to_bytes(3, "big") + MESSAGE[4:]))
    assert not event.hello.complete
    assert event.hello.legacy_version == craft.TLS_1_0
    assert event.hello.suites == craft.SUITES
    assert event.hello.server_name == b"mail.example.org"
    assert sum(counted.incomplete.values()) == 1


def test_a_message_that_claims_all_there_can_be_holds_no_more_than_allowed() -> None:
    """It is let go by its length once 64 KiB of it were held."""
    part = MESSAGE[4:] + bytes(16384 - len(MESSAGE))
    payload = record(b"\1\xff\xff\xff" + part) + record(bytes(16384)) * 6
    (event,), counted = talk(payload, fin=False)
    assert not event.hello.complete
    assert counted.incomplete == {"length": 1}


@pytest.mark.parametrize("length", [6, 40, 60])
def test_a_record_that_ends_within_the_message_and_is_followed_by_none(length: int) -> None:
    """The record's length is the smaller one: what it holds is told."""
    (event,), counted = talk(HELLO[:3] + u16s(length) + MESSAGE)
    assert not event.hello.complete
    assert event.hello.server_name is None
    assert counted.incomplete == {"length": 1}


def test_vectors_that_lie_are_told_incomplete_for_their_length() -> None:
    at = 4 + 2 + 32 + 1
    (event,), counted = talk(record(MESSAGE[:at] + u16s(0xFFFE) + MESSAGE[at + 2 :]))
    assert not event.hello.complete
    assert event.hello.suites is None
    assert counted.incomplete == {"length": 1}
