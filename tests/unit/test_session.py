"""What follows an established handshake: how much, how long, and who closed."""

import craft
import pytest
from craft import Conversation
from tracking import track

from sniffer.event import Side

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
FLIGHT = craft.server_hello() + craft.certificate_flight()
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()


def established(**where: object) -> Conversation:
    return Conversation(**where).open().client(OLD).server(FLIGHT).client(KEYS).server(AGREED)


def test_accepted_and_thrown_out_within_tls() -> None:
    """A 421 inside TLS: few octets, the server closes at once (pitfalls 19)."""
    talk = established(gap_ns=1_000_000).server(craft.application_data(96)).fin("server")
    one = track(talk.fin("client").frames()).only
    assert one.outcome == "established"
    assert one.session.server_bytes == 101
    assert one.session.client_bytes == 0
    assert one.session.closed_by is Side.SERVER
    assert one.session.seconds == pytest.approx(0.002)


def test_a_session_of_which_only_the_end_was_captured_is_told_from_sequence_numbers() -> None:
    talk = established().client(craft.application_data(5000)).server(craft.application_data(9000))
    hidden = len(talk.segments)
    talk.fin("client")
    frames = talk.frames()
    agreed = len(established().segments)
    one = track([*frames[:agreed], *frames[hidden:]]).only
    assert one.session.client_bytes == 5005
    assert one.session.server_bytes == 9005
    assert one.session.closed_by is Side.CLIENT


def test_a_reset_ends_a_session() -> None:
    one = track(established().rst("server").frames()).only
    assert (one.outcome, one.ended_by, one.refused_by) == ("established", None, None)
    assert one.session.closed_by is Side.SERVER


def test_an_end_after_ten_seconds_is_not_waited_for() -> None:
    one = track(established().wait(11).fin("server").frames()).only
    assert (one.outcome, one.session) == ("established", None)


def test_an_end_that_was_not_captured_leaves_the_session_unknown() -> None:
    one = track(established().client(craft.application_data(50)).frames()).only
    assert (one.outcome, one.session) == ("established", None)


def test_a_new_connection_on_the_same_ports_ends_the_waiting() -> None:
    first = established()
    again = established(client_isn=77, time_ns=first.segments[-1].time_ns + 1_000_000)
    found = track(first.frames() + again.fin("client").frames())
    assert [one.outcome for one in found.handshakes] == ["established", "established"]
    assert [one.session is None for one in found.handshakes] == [True, False]
