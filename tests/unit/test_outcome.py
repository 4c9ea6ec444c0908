"""What became of an attempt: one row for each thing the contract's words tell apart."""

import pytest
from handshakes import hello

from parsers.tls.facts import TLS_1_0, TLS_1_2, TLS_1_3, Alert, ServerHello
from sniffer.event import Flow, Outcome, Side
from sniffer.track.outcome import Attempt

CLIENT, SERVER = Side.CLIENT, Side.SERVER
FATAL, WARNING = 2, 1
FLOW = Flow(b"\x0a\0\0\x01", 50_000, b"\x0a\0\0\x02", 993)


def server_hello(version, retry=False):
    """Return a ServerHello that chose ``version``."""
    return ServerHello(
        hello_format="tls",
        record_version=min(version, TLS_1_2),
        legacy_version=min(version, TLS_1_2),
        random=bytes(32),
        suite=0x002F,
        selected_version=TLS_1_3 if version == TLS_1_3 else None,
        retry=retry,
    )


def attempt():
    return Attempt(3, 0, 17, 1_000, FLOW)


def said(version):
    return "saw_server_hello", server_hello(version)


RETRY = ("saw_server_hello", server_hello(TLS_1_3, retry=True))
ANSWERED = ("answered",)


def cipher(side):
    return "saw_change_cipher_spec", side


def data(side):
    return "saw_application_data", side


def alert(side, code, level=FATAL):
    return "saw_alert", side, Alert(level, code)


def reset(side):
    return "saw_end", side, Outcome.RESET


def closed(side):
    return "saw_end", side, Outcome.CLOSED


def settled(evidence, server_seen=True, time_is_over=True):
    """Return an attempt that saw all this, in this order, and then no more."""
    one = attempt()
    for what, *told in evidence:
        if what in ("answered", "saw_server_hello") or SERVER in told:
            one.server_answered = True
        if what != "answered":
            getattr(one, what)(*told)
    one.give_up(server_seen=server_seen, time_is_over=time_is_over)
    return one


TABLE = [
    # evidence, outcome, ended_by, refused_by
    # TLS 1.2 and before: ChangeCipherSpec or application data of both sides.
    pytest.param(
        [said(TLS_1_2), cipher(CLIENT), cipher(SERVER)], "established", None, None, id="tls12"
    ),
    pytest.param(
        [said(TLS_1_0), cipher(SERVER), cipher(CLIENT)], "established", None, None, id="resumed"
    ),
    pytest.param([said(TLS_1_0), data(CLIENT), data(SERVER)], "established", None, None, id="data"),
    pytest.param(
        [cipher(CLIENT), cipher(SERVER)], "established", None, None, id="server-hello-not-seen"
    ),
    pytest.param(
        [said(TLS_1_2), cipher(CLIENT), cipher(SERVER), alert(SERVER, 0), reset(SERVER)],
        "established",
        None,
        None,
        id="what-comes-later-changes-nothing",
    ),
    pytest.param([said(TLS_1_2), cipher(CLIENT)], "unknown", None, None, id="client-only"),
    pytest.param([said(TLS_1_2), cipher(SERVER)], "unknown", None, None, id="server-only"),
    # TLS 1.3: a ServerHello, and encrypted records of the client.
    pytest.param([said(TLS_1_3), data(CLIENT)], "established", None, None, id="tls13"),
    pytest.param([data(CLIENT), said(TLS_1_3)], "established", None, None, id="tls13-reordered"),
    pytest.param(
        [said(TLS_1_3), cipher(SERVER), data(SERVER), cipher(CLIENT)],
        "unknown",
        None,
        None,
        id="tls13-change-cipher-spec-is-for-show",
    ),
    pytest.param(
        [cipher(CLIENT), said(TLS_1_3), cipher(SERVER), data(SERVER)],
        "unknown",
        None,
        None,
        id="tls13-change-cipher-spec-before-the-server-hello",
    ),
    pytest.param([RETRY, cipher(CLIENT)], "unknown", None, None, id="retry-only"),
    pytest.param([data(CLIENT), RETRY], "unknown", None, None, id="early-data-refused"),
    pytest.param(
        [RETRY, said(TLS_1_3), data(CLIENT)], "established", None, None, id="retry-established"
    ),
    # An alert in clear that ends it. Who refused: the server; the client by 42 to 48.
    pytest.param([alert(SERVER, 70)], "alert", SERVER, SERVER, id="server-alert"),
    pytest.param([said(TLS_1_2), alert(SERVER, 40)], "alert", SERVER, SERVER, id="after-hello"),
    pytest.param([alert(SERVER, 0, WARNING)], "alert", SERVER, SERVER, id="close-notify"),
    *(
        pytest.param(
            [said(TLS_1_2), alert(CLIENT, code)], "alert", CLIENT, CLIENT, id=f"certificate-{code}"
        )
        for code in range(42, 49)
    ),
    *(
        pytest.param(
            [said(TLS_1_2), alert(CLIENT, code)], "alert", CLIENT, Side.UNKNOWN, id=f"client-{code}"
        )
        for code in (0, 40, 41, 49, 70, 90)
    ),
    pytest.param([alert(SERVER, 112, WARNING)], "unknown", None, None, id="warning"),
    pytest.param(
        [alert(SERVER, 112, WARNING), said(TLS_1_2), cipher(CLIENT), cipher(SERVER)],
        "established",
        None,
        None,
        id="warning-then-established",
    ),
    pytest.param([alert(SERVER, 70), reset(CLIENT)], "alert", SERVER, SERVER, id="first-decides"),
    pytest.param([alert(SERVER, 70), alert(CLIENT, 42)], "alert", SERVER, SERVER, id="first-alert"),
    # RST and FIN before it was established.
    pytest.param([reset(SERVER)], "reset", SERVER, SERVER, id="reset-by-server"),
    pytest.param([reset(CLIENT)], "reset", CLIENT, Side.UNKNOWN, id="reset-by-client"),
    pytest.param([closed(SERVER)], "closed", SERVER, SERVER, id="closed-by-server"),
    pytest.param([closed(CLIENT)], "closed", CLIENT, Side.UNKNOWN, id="closed-by-client"),
    pytest.param([said(TLS_1_2), closed(SERVER)], "closed", SERVER, SERVER, id="hello-and-closed"),
    pytest.param([closed(CLIENT), reset(SERVER)], "closed", CLIENT, Side.UNKNOWN, id="first-end"),
    # Nothing decisive until the time was over.
    pytest.param([], "unanswered", None, None, id="unanswered"),
    pytest.param([ANSWERED], "unknown", None, None, id="payload-that-decides-nothing"),
    pytest.param([ANSWERED, said(TLS_1_2)], "unknown", None, None, id="server-hello-and-nothing"),
]


@pytest.mark.parametrize(("evidence", "outcome", "ended_by", "refused_by"), TABLE)
def test_the_first_decisive_event_is_the_outcome(evidence, outcome, ended_by, refused_by):
    one = settled(evidence)
    event = one.handshake(hello(), "a.pcap")
    assert (event.outcome, event.ended_by, event.refused_by) == (outcome, ended_by, refused_by)
    told = [row for row in evidence if row[0] == "saw_alert"]
    if outcome == "alert":
        first = next(row for row in told if row[2].level == FATAL or row[2].description == 0)
        assert (event.alert_sender, event.alert) == first[1:]
    else:
        assert (event.alert_sender, event.alert) == (None, None)


@pytest.mark.parametrize(
    ("evidence", "server_seen", "time_is_over"),
    [
        pytest.param([], False, True, id="server-not-seen"),
        pytest.param([], True, False, id="time-not-over"),
        pytest.param([], False, False, id="neither"),
        pytest.param([reset(CLIENT)], False, False, id="one-sided-reset"),
        pytest.param([closed(CLIENT)], False, True, id="one-sided-close"),
    ],
)
def test_without_the_server_or_the_time_nothing_is_known(evidence, server_seen, time_is_over):
    event = settled(evidence, server_seen, time_is_over).handshake(hello(), None)
    assert (event.outcome, event.ended_by, event.refused_by) == ("unknown", None, None)


def test_an_alert_decides_in_a_one_sided_capture_too():
    event = settled([alert(CLIENT, 48)], server_seen=False).handshake(hello(), None)
    assert (event.outcome, event.refused_by) == ("alert", CLIENT)


def test_the_final_server_hello_replaces_the_retry_and_no_other_does():
    one = attempt()
    one.saw_server_hello(server_hello(TLS_1_3, retry=True))
    one.saw_server_hello(server_hello(TLS_1_3))
    one.saw_server_hello(server_hello(TLS_1_0))
    assert one.server_hello == server_hello(TLS_1_3)


def test_the_event_tells_where_and_when_it_was_seen():
    one = settled([alert(SERVER, 70)])
    one.client_half, one.server_half, one.syn_seen = True, True, True
    event = one.handshake(hello(), "a.pcap")
    assert (event.frame, event.time_ns, event.path) == (17, 1_000, "a.pcap")
    assert event.hello == hello()
    flow = event.flow
    assert (flow.client_half, flow.server_half, flow.syn_seen) == (True, True, True)
    assert (flow.source, flow.destination_port) == (FLOW.source, FLOW.destination_port)
