"""What follows an established handshake: how much, how long, and who closed."""

import craft
import pytest
from craft import Conversation
from tracking import track

from sniffer.event import EncryptedAlert, Side, Sure

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


GREETING = craft.application_data(96)


def modern(*records: bytes) -> Conversation:
    """Return a TLS 1.3 conversation whose client goes on with these segments."""
    talk = Conversation(gap_ns=1_000_000).open().client(craft.tls13_client_hello())
    talk.server(craft.tls13_server_hello() + craft.change_cipher_spec())
    talk.server(craft.application_data(900))
    for one in records:
        talk.client(one)
    return talk


FINISHED = craft.change_cipher_spec() + craft.application_data(53)
RESUMED = (
    Conversation()
    .open()
    .client(OLD)
    .server(craft.server_hello() + AGREED)
    .client(craft.change_cipher_spec() + craft.finished())
)
THROWN_OUT = [
    # conversation, thrown out
    pytest.param(established().server(GREETING).fin("server"), "likely", id="silent-client"),
    pytest.param(established().server(GREETING).rst("server"), "likely", id="reset"),
    pytest.param(established().fin("server"), "likely", id="without-a-word"),
    pytest.param(modern(FINISHED).server(GREETING).fin("server"), "likely", id="tls13"),
    pytest.param(
        modern(FINISHED + craft.application_data(23)).server(GREETING).fin("server"),
        "possible",
        id="command-in-the-segment-of-the-finished",
    ),
    pytest.param(
        established().client(craft.application_data(32)).server(GREETING).fin("server"),
        "possible",
        id="one-command-or-a-farewell",
    ),
    pytest.param(
        established().client(craft.application_data(94)).server(GREETING).fin("server"),
        "possible",
        id="99-octets",
    ),
    pytest.param(
        established().client(craft.application_data(95)).server(GREETING).fin("server"),
        None,
        id="100-octets",
    ),
    pytest.param(
        established().server(craft.application_data(2043)).fin("server"), "likely", id="2048-octets"
    ),
    pytest.param(
        established().server(craft.application_data(2044)).fin("server"), None, id="2049-octets"
    ),
    pytest.param(RESUMED.server(GREETING).fin("server"), "possible", id="resumed"),
    pytest.param(established().server(GREETING).fin("client"), None, id="client-closed"),
    pytest.param(established().server(GREETING).rst("server", ttl=9), None, id="reset-by-path"),
    pytest.param(
        established().server(GREETING).wait(11).fin("server"), None, id="after-ten-seconds"
    ),
    pytest.param(established().server(GREETING), None, id="end-not-seen"),
]


@pytest.mark.parametrize(("talk", "sure"), THROWN_OUT)
def test_closed_before_the_client_can_have_done_anything(
    talk: Conversation, sure: str | None
) -> None:
    one = track(talk.frames()).only
    assert one.outcome == "established"
    assert (None if one.session is None else one.session.thrown_out) == sure


GIVEN_UP = [
    # the client's segments, the alert that cannot be read
    pytest.param([craft.application_data(19)], Sure.LIKELY, id="alert-for-a-finished"),
    pytest.param(
        [craft.change_cipher_spec() + craft.application_data(19)], Sure.LIKELY, id="for-show"
    ),
    pytest.param([craft.application_data(11)], Sure.LIKELY, id="tag-of-8"),
    pytest.param([craft.application_data(35)], Sure.LIKELY, id="padded-by-java"),
    pytest.param([craft.application_data(44)], Sure.LIKELY, id="too-short-for-a-finished"),
    pytest.param([craft.application_data(45)], None, id="shortest-finished"),
    pytest.param([FINISHED], None, id="finished"),
    pytest.param([FINISHED, craft.application_data(19)], None, id="close-notify-after-it"),
    pytest.param([craft.application_data(19), GREETING], None, id="went-on"),
]


@pytest.mark.parametrize("closer", ["client", "server"])
@pytest.mark.parametrize(("segments", "sure"), GIVEN_UP)
def test_a_tls13_client_that_sends_an_alert_in_place_of_its_finished(
    segments: list[bytes], sure: Sure | None, closer: craft.Side
) -> None:
    one = track(modern(*segments).fin(closer).frames()).only
    assert one.outcome == "established"
    assert one.encrypted_alert == (None if sure is None else EncryptedAlert(Side.CLIENT, sure))
    if sure is not None:
        assert one.session.thrown_out is None


@pytest.mark.parametrize(
    ("length", "sure"),
    [(2, None), (17, None), (18, Sure.CERTAIN), (26, Sure.CERTAIN), (48, Sure.CERTAIN)],
)
def test_an_alert_behind_a_change_cipher_spec_cannot_be_read(
    length: int, sure: Sure | None
) -> None:
    cannot_be_read = craft.record(bytes(length), content_type=21)
    talk = Conversation().open().client(OLD).server(FLIGHT).client(KEYS + cannot_be_read)
    one = track(talk.fin("client").frames()).only
    assert (one.outcome, one.alert) == ("closed", None)
    assert one.encrypted_alert == (None if sure is None else EncryptedAlert(Side.CLIENT, sure))


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
