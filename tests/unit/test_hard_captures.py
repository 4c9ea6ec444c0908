"""Captures as mirror ports make them: out of order, reused, repeated, too large."""

import craft
import pytest
from craft import Conversation
from tracking import Tracked, track

from sniffer.event import Side

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
REFUSED = craft.alert(2, 70)
FLIGHT = craft.server_hello() + craft.certificate_flight()
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()


def opened(**where: object) -> Conversation:
    return Conversation(**where).open()


def outcomes(found: Tracked) -> list[str]:
    return [one.outcome.value for one in found.handshakes]


@pytest.mark.parametrize(("end", "outcome"), [("fin", "closed"), ("rst", "reset")])
@pytest.mark.parametrize("joined", [False, True], ids=["syn-seen", "no-syn"])
def test_an_end_captured_before_its_hello(end: str, outcome: str, joined: bool) -> None:
    talk = opened().ack("client").client(OLD)
    getattr(talk, end)("server")
    frames = talk.frames()
    frames[-1], frames[-2] = frames[-2], frames[-1]
    one = track(frames).only
    assert (one.outcome, one.ended_by) == (outcome, Side.SERVER)
    if joined:
        # Without its SYN nothing is known of the connection when the end comes.
        assert outcomes(track(frames[3:])) == ["unknown"]


def test_an_end_before_a_hello_in_two_segments() -> None:
    talk = opened().client(OLD, split=(40,)).fin("server")
    frames = talk.frames()
    early = [*frames[:3], frames[-1], *frames[3:-1]]
    late = [*frames[:4], frames[-1], *frames[4:-1]]
    for order in (early, late):
        one = track(order).only
        assert (one.hello.complete, one.outcome, one.ended_by) == (True, "closed", Side.SERVER)


def test_what_comes_after_an_early_end_decides() -> None:
    frames = opened().client(OLD).server(REFUSED).fin("server").frames()
    assert outcomes(track([*frames[:3], frames[-1], *frames[3:-1]])) == ["alert"]


@pytest.mark.parametrize("distance", [1, 400, 70_000, 900_000])
@pytest.mark.parametrize("split", [None, (90,)], ids=["whole", "split"])
@pytest.mark.parametrize("end", ["refused", "established", "closed"])
def test_ports_in_use_again_with_numbers_nearby_and_no_syn(
    distance: int, split: tuple[int] | None, end: str
) -> None:
    first = opened().client(OLD)
    if end == "refused":
        first.server(REFUSED).fin("server").fin("client")
    elif end == "closed":
        first.fin("server").fin("client")
    else:
        first.server(FLIGHT).client(KEYS).server(AGREED)
        first.client(craft.application_data(200)).server(craft.application_data(300))
    again = Conversation(
        client_isn=first.client_isn + 2_000 + distance,
        server_isn=77,
        time_ns=first.time_ns,
    )
    again.client(craft.client_hello(craft.TLS_1_1), split=split).server(REFUSED)
    found = track(first.frames() + again.frames())
    expected = {"refused": "alert", "established": "established", "closed": "closed"}[end]
    assert outcomes(found) == [expected, "alert"]


def test_a_hello_again_behind_another_protocol_is_none() -> None:
    """The contract, section 1: nowhere but at a stream's start and after an upgrade."""
    talk = opened().client(b"CONNECT mail:993 HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200\r\n\r\n")
    assert track(talk.client(OLD).server(REFUSED).frames()).handshakes == []


def test_encrypted_records_that_look_like_a_hello_are_none() -> None:
    talk = opened().client(OLD).server(FLIGHT).client(KEYS).server(AGREED)
    for size in (8, 60, 200):
        body = b"\x01\0\0\xc0\x03\x01" + b"\xff" * 256
        talk.client(craft.record(body[:size]))
    assert outcomes(track(talk.frames())) == ["established"]


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_keep_alives_are_neither_octets_nor_conflicts(place: str) -> None:
    """One octet of no meaning just below the next number (RFC 9293 section 3.8.4)."""
    talk = opened()
    if place == "before":
        talk.segment("client", b"\0", offset=-1)
    talk.client(OLD[:50])
    if place == "between":
        talk.segment("client", b"\0", offset=49)
    talk.client(OLD[50:])
    if place == "after":
        talk.segment("client", b"\0", offset=len(OLD) - 1)
    one = track(talk.server(REFUSED).frames()).only
    assert (one.outcome, one.hello.server_name) == ("alert", b"outlook.office365.com")


@pytest.mark.parametrize("total", ["told", "zero"])
def test_a_super_frame_of_60_kib(total: str) -> None:
    """Segmentation offload: far above the MTU, and its IP length may be 0."""
    talk = opened(mss=64_000).client(OLD).server(FLIGHT + craft.application_data(16_000) * 3)
    talk.client(KEYS).server(AGREED)
    frames = talk.frames()
    if total == "zero":
        frames = [
            (at, octets[:16] + b"\0\0" + octets[18:] if len(octets) > 1514 else octets)
            for at, octets in frames
        ]
    assert max(len(octets) for _, octets in frames) > 40_000
    one = track(frames).only
    assert (one.outcome, one.server_hello.negotiated) == ("established", craft.TLS_1_0)
