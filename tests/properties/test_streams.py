"""However the octets of a conversation reach the capture, the same handshakes are told."""

import craft
import pytest
from craft import Conversation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tracking import ANY_PORT, track

from sniffer.config import DEFAULT_PORTS

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
NEW = craft.tls13_client_hello()
V2 = craft.sslv2_client_hello(craft.TLS_1_0)
RETRY = craft.hello_retry_request()
AGAIN = craft.tls13_client_hello(share=0x0017)
FLIGHT = craft.server_hello(craft.TLS_1_0) + craft.certificate_flight()
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()
REFUSED = craft.alert(2, 70)
HELLOS = {"tls": OLD, "tls13": NEW, "sslv2": V2}


def established(hello=OLD, **where):
    return (
        Conversation(**where)
        .open()
        .client(hello)
        .server(FLIGHT)
        .client(KEYS)
        .server(AGREED)
        .client(craft.application_data())
        .server(craft.application_data())
    )


def refused(hello=OLD, **where):
    return Conversation(**where).open().client(hello).server(REFUSED).fin("server").fin("client")


def retried(**where):
    show = craft.change_cipher_spec(craft.TLS_1_2)
    return (
        Conversation(**where)
        .open()
        .client(NEW)
        .server(RETRY + show)
        .client(show + AGAIN)
        .server(craft.tls13_server_hello() + craft.application_data())
        .client(craft.application_data())
    )


PLAIN = {
    "established": established(),
    "refused": refused(),
    "retried": retried(),
    "sslv2": refused(V2),
    "reset": Conversation().open().client(OLD).rst("server"),
    "closed": Conversation().open().client(OLD).fin("server"),
    "unanswered": Conversation().open().client(OLD).ack("server").wait(20).ack("client"),
    "hello-over-records": refused(craft.records(OLD[5:], (3, 0, 40, 1))),
    "ipv6": refused(client="2001:db8::50", server="2603:1096::1"),
    "other-port": refused(server_port=8443),
}
EXPECTED = {
    "established": "established",
    "refused": "alert",
    "retried": "established",
    "sslv2": "alert",
    "reset": "reset",
    "closed": "closed",
    "unanswered": "unanswered",
    "hello-over-records": "alert",
    "ipv6": "alert",
    "other-port": "alert",
}
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def ports_for(name):
    return ANY_PORT if name == "other-port" else DEFAULT_PORTS


@pytest.fixture(params=PLAIN)
def name(request):
    return request.param


@pytest.fixture
def plain(name):
    """What the conversation tells when nothing happens to it on the way."""
    found = track(PLAIN[name].frames(), ports=ports_for(name))
    assert [one.outcome for one in found.handshakes] == [EXPECTED[name]]
    assert found.only.hello.complete
    return found.told()


# ------------------------------------------------------------------------- split and order


@pytest.mark.parametrize("hello", HELLOS)
def test_hello_split_at_any_octet_is_one_event(hello):
    wire = HELLOS[hello]
    whole = track(refused(wire).frames()).told()
    for at in range(1, len(wire)):
        talk = Conversation().open().client(wire, split=(at,)).server(REFUSED)
        found = track(talk.fin("server").fin("client").frames())
        assert found.told() == whole, at
        assert found.only.frame == 5, "the frame that completed it"
        late = Conversation().open().client(wire, split=(at,), order=(1, 0)).server(REFUSED)
        found = track(late.frames())
        assert found.told() == whole, at
        assert found.only.frame == 5


@pytest.mark.parametrize("hello", HELLOS)
def test_hello_cut_at_any_octet_and_never_finished_is_no_complete_one(hello):
    wire = HELLOS[hello]
    whole = track(refused(wire).frames()).only.hello
    for at in range(len(wire)):
        found = track(Conversation().open().client(wire[:at]).fin("client").frames())
        for one in found.handshakes:
            assert not one.hello.complete
            assert one.hello.legacy_version == whole.legacy_version
            assert one.hello.max_offered in (None, whole.max_offered)
            assert one.hello.server_name in (None, whole.server_name)
            assert whole.random.startswith(one.hello.random)
        assert found.counters.incomplete == ({"ended": 1} if found.handshakes else {})


def shuffled(draw, segments):
    """Order, double and re-cut the segments of each side, as networks and mirrors do."""
    pieces = []
    for segment in segments:
        payload = segment.payload
        if len(payload) < 2 or draw(st.booleans()):
            pieces.append(segment)
            continue
        cut = draw(st.integers(1, len(payload) - 1))
        overlap = draw(st.integers(0, cut))
        pieces.append(part(segment, 0, cut))
        pieces.append(part(segment, cut - overlap, len(payload)))
    doubled = [piece for piece in pieces for _ in range(draw(st.integers(1, 2)))]
    keys = [index + draw(st.integers(0, 2)) for index in range(len(doubled))]
    return [piece for _, piece in sorted(zip(keys, doubled, strict=True), key=lambda p: p[0])]


def part(segment, start, end):
    return craft.Segment(
        segment.time_ns,
        segment.side,
        segment.flags,
        segment.offset + start,
        segment.acknowledged,
        segment.payload[start:end],
        segment.options,
        segment.ttl,
    )


@few
@given(data=st.data())
@pytest.mark.parametrize("ordered", [True, False])
def test_any_order_doubling_and_overlap_of_segments_gives_the_same_events(
    name, plain, ordered, data
):
    talk = PLAIN[name]
    # What ends a conversation is not seen before its hello.
    hello = 4 if name in ("reset", "closed", "unanswered") else len(talk.segments)
    start_ns = talk.segments[3].time_ns
    pieces = shuffled(data.draw, talk.segments[3:hello])
    frames = talk.frames()[:3]
    frames += [(start_ns + index, talk.frame(piece)) for index, piece in enumerate(pieces)]
    frames += talk.frames()[hello:]
    found = track(frames, ordered=ordered, ports=ports_for(name))
    assert found.told() == plain


@few
@given(order=st.permutations(range(6)))
def test_segments_of_a_hello_in_any_order_give_one_event(order):
    sizes = (1, 4, 5, 30, 20)
    talk = Conversation().open().client(OLD, split=sizes, order=order).server(REFUSED)
    assert track(talk.frames()).told() == track(refused().frames()).told()


@few
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=12))
@pytest.mark.parametrize("hello", [OLD, NEW], ids=["tls", "tls13"])
def test_hello_over_any_records_is_the_same_hello(hello, sizes):
    wire = craft.records(hello[5:], sizes)
    found = track(refused(wire).frames())
    assert found.told() == track(refused(hello).frames()).told()


def test_segments_of_one_octet_are_one_event(name, plain):
    talk = PLAIN[name]
    segments = [
        piece
        for segment in talk.segments
        for piece in (
            [part(segment, at, at + 1) for at in range(len(segment.payload))]
            if segment.payload
            else [segment]
        )
    ]
    frames = [(segment.time_ns, talk.frame(segment)) for segment in segments]
    assert track(frames, ports=ports_for(name)).told() == plain


# ------------------------------------------------------------------ doubled, joined, halved


def test_every_frame_doubled_changes_nothing(name, plain):
    frames = craft.mirrored(PLAIN[name].frames())
    assert track(frames, ports=ports_for(name)).told() == plain


def test_every_frame_doubled_on_another_vlan_is_the_same_handshake(name, plain):
    talk = PLAIN[name]
    first = talk.frames()
    vlan, talk.vlans = talk.vlans, (30,)
    try:
        copies = [(time_ns + 2_000, octets) for time_ns, octets in talk.frames()]
    finally:
        talk.vlans = vlan
    found = track(craft.merged(first, copies), ports=ports_for(name))
    assert found.told() == plain
    assert found.only.flow.vlan is None, "the first copy is told"


def test_start_without_a_syn_changes_nothing_but_sslv2_of_a_split_hello(name, plain):
    talk = PLAIN[name]
    frames = [(s.time_ns, talk.frame(s)) for s in talk.segments if not s.flags & craft.SYN]
    found = track(frames, ports=ports_for(name))
    assert found.told() == plain
    assert not found.only.flow.syn_seen


def test_the_client_alone_gives_the_hello(name, plain):
    talk = PLAIN[name]
    found = track(talk.frames("client"), ports=ports_for(name))
    assert [one.hello for one in found.handshakes] == [row[4] for row in plain]
    assert found.only.outcome == "unknown"
    assert (found.only.flow.client_half, found.only.flow.server_half) == (True, False)
    assert found.counters.one_sided_flows == 1


def test_the_server_alone_gives_nothing(name):
    found = track(PLAIN[name].frames("server"), ports=ports_for(name))
    assert found.handshakes == []
    assert found.counters.flows == found.counters.one_sided_flows


@pytest.mark.parametrize("shift", [-400, -300, -3, -1, 0])
def test_sequence_numbers_that_wrap_change_nothing(name, plain, shift):
    wrapped = PLAIN[name]
    isns = wrapped.client_isn, wrapped.server_isn
    wrapped.client_isn = wrapped.server_isn = (1 << 32) + shift
    try:
        assert track(wrapped.frames(), ports=ports_for(name)).told() == plain
    finally:
        wrapped.client_isn, wrapped.server_isn = isns


def test_the_wrap_may_lie_anywhere_in_hello_and_answer():
    plain = track(established().frames()).told()
    for shift in range(0, len(OLD) + 1, 7):
        for where in ("client_isn", "server_isn"):
            frames = established(**{where: (1 << 32) - 1 - shift}).frames()
            assert track(frames).told() == plain, (where, shift)


@few
@given(data=st.data())
def test_both_directions_of_a_mirror_may_be_out_of_step(name, plain, data):
    """Each direction keeps its order; one of them is seen up to half a second later."""
    talk = PLAIN[name]
    late = data.draw(st.sampled_from(("client", "server")))
    by = data.draw(st.integers(0, 4))
    frames, held = [], []
    for segment in talk.segments[3:]:
        frame = (segment.time_ns, talk.frame(segment))
        if segment.side == late:
            held.append(frame)
            if len(held) > by:
                frames.append(held.pop(0))
        else:
            frames.append(frame)
    frames = talk.frames()[:3] + frames + held
    if name in ("reset", "closed") and late == "client":
        return  # The end of a conversation comes before its hello: then it is another one's.
    if name == "unanswered":
        return
    found = track(frames, ports=ports_for(name))
    assert [row[:5] for row in found.told()] == [row[:5] for row in plain]
    assert found.only.outcome == plain[0][6]


@few
@given(
    lost=st.sets(st.integers(0, 12), max_size=4),
    cut=st.integers(54, 1500),
)
def test_loss_and_snap_length_invent_nothing(name, plain, lost, cut):
    talk = PLAIN[name]
    frames = [f for index, f in enumerate(talk.frames()) if index not in lost]
    found = track(frames, ports=ports_for(name), snaplen=cut)
    assert len(found.handshakes) <= 1 + (name == "retried")
    for one in found.handshakes:
        told = plain[0]
        assert one.hello.legacy_version == told[4].legacy_version
        assert one.hello.max_offered in (None, told[4].max_offered)
        if one.hello.complete and name != "retried":
            assert one.hello == told[4]


def test_frames_cut_at_every_octet_give_a_part_of_the_whole(name, plain):
    talk = PLAIN[name]
    whole = plain[0][4]
    longest = max(len(octets) for _, octets in talk.frames())
    for snaplen in range(0, min(longest, 420), 3):
        found = track(talk.frames(), ports=ports_for(name), snaplen=snaplen)
        assert len(found.handshakes) <= 1
        for one in found.handshakes:
            assert one.hello.legacy_version == whole.legacy_version
            assert one.hello.max_offered in (None, whole.max_offered)
            assert whole.random.startswith(one.hello.random)
            assert one.hello.suites in (None, whole.suites)
            if not one.hello.complete:
                assert found.counters.incomplete == {"truncated": 1}
            else:
                assert one.hello == whole


SEGMENTS = st.tuples(
    st.integers(0, 40),  # which connection
    st.sampled_from(("client", "server")),
    st.sampled_from((16, 16, 16, 17, 4, 20, 2, 18, 0)),
    st.sampled_from((0, 0, 0, 1, 60, 70_000, 1 << 20, 1 << 31, (1 << 32) - 5)),
    st.sampled_from(
        (OLD, NEW, V2, FLIGHT, KEYS, AGREED, REFUSED, RETRY, b"", b"\x16\x03", bytes(99))
    ),
    st.integers(0, 90),  # octets left out at its start
    st.sampled_from((0, 1_000, 1_000_000, 16_000_000_000, -1_000_000_000)),
)


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(SEGMENTS, max_size=120),
    snaplen=st.sampled_from((60, 70, 120, 1 << 18)),
    ordered=st.booleans(),
)
def test_whatever_comes_nothing_goes_wrong_and_nothing_is_left(segments, snaplen, ordered):
    """``track`` asserts it: no error of ours, no buffer, no attempt, and counts that agree."""
    frames, now = [], craft.START_NS
    for port, side, flags, offset, payload, left_out, later in segments:
        now += later
        talk = Conversation(client_port=2000 + port, server_port=993 if port % 3 else 8443)
        octets = payload[left_out:]
        segment = craft.Segment(now, side, flags, offset + left_out, 0, octets)
        frames.append((now, talk.frame(segment)))
    found = track(frames, ports=ANY_PORT, snaplen=snaplen, ordered=ordered)
    numbers = [one.frame for one in found.handshakes]
    assert not ordered or numbers == sorted(numbers)
    times = {number: time_ns for number, (time_ns, _) in enumerate(frames, 1)}
    assert all(times[one.frame] == one.time_ns for one in found.handshakes)
