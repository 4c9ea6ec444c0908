"""Conversations through the tracker: which hellos there are, and what became of them."""

import time

import craft
import pytest
from craft import Conversation
from tracking import ANY_PORT, SMALL, batch_of, track, tracker

from parsers.batch import Batch
from parsers.tls.facts import TLS_1_0, TLS_1_2, TLS_1_3
from sniffer.config import DEFAULT_PORTS, TrackSettings
from sniffer.event import Side
from sniffer.track.layout import FOR_EVER

OLD = craft.client_hello(craft.TLS_1_0, sni="outlook.office365.com")
OTHER = craft.client_hello(craft.TLS_1_0, random=bytes(32))
NEW = craft.tls13_client_hello()
V2 = craft.sslv2_client_hello(craft.TLS_1_0)
FLIGHT = craft.server_hello() + craft.certificate_flight()
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()
REFUSED = craft.alert(2, 70)
SECOND_NS = 1_000_000_000


def opened(**where):
    return Conversation(**where).open()


def outcomes(found):
    return [one.outcome for one in found.handshakes]


# ----------------------------------------------------------------------------- one event


def test_the_event_tells_the_frame_and_flow_of_its_hello():
    talk = opened(vlans=(12,)).client(OLD, split=(40,)).server(REFUSED)
    one = track(talk.frames()).only
    assert (one.frame, one.time_ns) == (5, talk.segments[4].time_ns)
    assert one.flow.source == craft.address("10.0.0.50")
    assert (one.flow.source_port, one.flow.destination_port) == (50123, 993)
    assert one.flow.mac == craft.mac(craft.CLIENT_MAC)
    assert one.flow.vlan == 12
    assert (one.flow.client_half, one.flow.server_half, one.flow.syn_seen) == (True, True, True)


def test_a_retry_after_hello_retry_request_belongs_to_the_first_hello():
    for show in (b"", craft.change_cipher_spec(TLS_1_2)):
        talk = opened().client(NEW).server(craft.hello_retry_request() + show)
        talk.client(show + craft.tls13_client_hello(share=0x0017, cookie=b"c"))
        talk.server(craft.tls13_server_hello() + craft.application_data())
        one = track(talk.client(show + craft.application_data()).frames()).only
        assert (one.frame, one.outcome) == (4, "established")
        assert one.server_hello.negotiated == TLS_1_3
        assert not one.server_hello.retry


def test_a_retry_of_which_only_the_client_is_seen_belongs_to_the_first_hello():
    talk = opened().client(NEW).server(craft.hello_retry_request())
    talk.client(craft.tls13_client_hello(share=0x0017))
    assert track(talk.frames("client")).only.frame == 3


def test_equal_hellos_again_in_one_stream_are_one_event():
    assert len(track(opened().client(OLD).client(OLD).client(OLD).frames()).handshakes) == 1


def test_another_hello_in_one_stream_is_another_event():
    talk = opened().client(OLD).server(craft.server_hello()).client(OTHER).server(REFUSED)
    found = track(talk.frames())
    assert outcomes(found) == ["unknown", "alert"]
    assert [one.frame for one in found.handshakes] == [4, 6]
    assert [one.server_hello is None for one in found.handshakes] == [False, True]


def test_an_equal_hello_after_a_server_hello_is_a_renegotiation():
    talk = opened().client(OLD).server(craft.server_hello()).client(OLD).server(REFUSED)
    assert outcomes(track(talk.frames())) == ["unknown", "alert"]


def test_a_new_syn_on_the_same_four_tuple_is_a_new_event():
    first = opened().client(OLD).server(REFUSED).fin("server").fin("client")
    again = opened(client_isn=900, server_isn=70, time_ns=first.time_ns + SECOND_NS)
    again.client(OLD).server(REFUSED)
    found = track(first.frames() + again.frames())
    assert outcomes(found) == ["alert", "alert"]
    assert found.counters.flows == 2


def test_a_new_syn_ends_what_was_still_open():
    first = opened().client(OLD)
    again = opened(client_isn=900, time_ns=first.time_ns).client(OLD).server(REFUSED)
    assert outcomes(track(first.frames() + again.frames())) == ["unknown", "alert"]


@pytest.mark.parametrize("settled", [True, False])
def test_a_four_tuple_in_use_again_is_a_new_event_without_its_syn(settled):
    first = opened().client(OLD)
    if settled:
        first.server(REFUSED)
    again = Conversation(client_isn=90_000_000, server_isn=70, time_ns=first.time_ns)
    again.client(OLD).server(REFUSED)
    found = track(first.frames() + again.frames())
    assert outcomes(found) == ["alert" if settled else "unknown", "alert"]
    assert [one.flow.syn_seen for one in found.handshakes] == [True, False]


def test_sessions_longer_than_the_sequence_numbers_invent_nothing():
    talk = opened().client(OLD).server(FLIGHT).client(KEYS).server(AGREED)
    for _ in range(5000):
        talk.lose("client", 1_000_000).lose("server", 1_000_000)
        talk.client(craft.application_data(16)).server(craft.application_data(16))
    found = track(talk.frames())
    assert outcomes(found) == ["established"]
    assert found.counters.flows == 1


def test_data_before_and_after_a_hello_changes_nothing():
    talk = opened()
    talk.segment("client", b"\0", offset=-1)  # a keep-alive
    talk.client(OLD + craft.alert(1, 112)).server(FLIGHT).client(KEYS + craft.application_data())
    assert outcomes(track(talk.server(AGREED).frames())) == ["established"]


def test_a_syn_that_carries_the_hello_is_read():
    talk = Conversation()
    talk.segment("client", OLD, flags=craft.SYN, offset=0)
    syn = talk.segments.pop()
    data = craft.Segment(syn.time_ns, "client", craft.SYN, -1, 0, OLD)
    talk.segments += [data, data]
    talk.segment("server", flags=craft.SYN | craft.ACK, offset=-1).ack("client").server(REFUSED)
    one = track(talk.frames()).only
    assert (one.frame, one.outcome, one.flow.syn_seen) == (1, "alert", True)


@pytest.mark.parametrize("keep", [("syn",), ("syn-ack",), ("syn", "syn-ack"), ("syn-ack", "syn")])
def test_either_syn_proves_where_the_stream_starts(keep):
    """A hello in SSLv2 format is one in two segments only at a proven start."""
    talk = opened()
    kinds = {"syn": talk.segments[0], "syn-ack": talk.segments[1]}
    talk.segments[:] = [kinds[kind] for kind in keep]
    one = track(talk.client(V2, split=(9,)).server(REFUSED).frames()).only
    assert (one.hello.hello_format, one.outcome) == ("sslv2", "alert")
    assert one.flow.syn_seen == ("syn" in keep)


def test_nothing_is_left_of_a_syn_that_another_one_replaced():
    stale = Conversation(client_isn=5, server_isn=6).syn().syn_ack()
    talk = opened(client_isn=90_000_000, server_isn=80_000_000)
    talk.client(OLD, split=(9,)).server(REFUSED)
    assert outcomes(track(stale.frames() + talk.frames())) == ["alert"]


def test_a_second_syn_ack_of_another_number_begins_no_other_connection():
    """The server forgot its first answer; the client says its hello again."""
    talk = opened(server_isn=80_000_000).client(OLD)
    again = opened(server_isn=90_000_000).client(OLD).server(REFUSED).frames()
    (one,) = track(talk.frames() + again[1:]).handshakes
    assert (one.frame, one.outcome) == (4, "alert")


def test_syns_of_many_connections_at_once_are_remembered():
    """A hello whose second piece comes first is found where its SYN was seen."""
    talks = [opened(client_port=port) for port in range(20_000, 24_000)]
    syns = [frame for talk in talks for frame in talk.frames()]
    pieces = []
    for talk in talks:
        said = talk.client(OLD, split=(40,)).frames()[3:]
        pieces += reversed(said)
    found = track(syns + pieces).handshakes
    assert len(found) == len(talks)
    assert all(one.hello.complete and one.flow.syn_seen for one in found)


def test_syns_take_no_slot():
    frames = [
        frame
        for port in range(20_000, 22_000)
        for frame in Conversation(client_port=port).syn().syn_ack().frames()
    ]
    counters = track(frames).counters
    assert (counters.flows, counters.flows_open, counters.evicted) == (0, 0, {})


# --------------------------------------------------------------------------- not a hello


@pytest.mark.parametrize("ports", [ANY_PORT, DEFAULT_PORTS], ids=["any", "mail"])
@pytest.mark.parametrize("hello", [OLD, NEW, V2], ids=["tls", "tls13", "sslv2"])
def test_a_hello_in_the_middle_of_a_stream_is_none(hello, ports):
    for before in (b"EHLO printer\r\n", b"\x17\x03\x03\x00\x20" + bytes(32), b"\0"):
        talk = opened().client(before).server(b"250 ok\r\n").client(hello).server(REFUSED)
        found = track(talk.frames(), ports=ports)
        assert found.handshakes == []


def test_any_port_looks_at_the_first_client_segment_of_a_stream_joined_in_the_middle():
    joined = Conversation(server_port=8443).client(OLD).server(REFUSED)
    later = Conversation(server_port=8443).client(craft.application_data()).client(OLD)
    assert outcomes(track(joined.frames(), ports=ANY_PORT)) == ["alert"]
    assert track(later.frames(), ports=ANY_PORT).handshakes == []
    assert track(joined.frames()).handshakes == [], "8443 is no mail port"


def test_a_server_that_speaks_first_hides_no_hello_of_any_port():
    talk = Conversation(server_port=8443).server(b"hello there\r\n").client(OLD).server(REFUSED)
    assert outcomes(track(talk.frames(), ports=ANY_PORT)) == ["alert"]


def test_an_sslv2_look_alike_in_the_middle_needs_an_answer():
    alone = Conversation().client(V2).ack("server")
    assert track(alone.frames()).handshakes == []
    assert outcomes(track(Conversation().client(V2).server(REFUSED).frames())) == ["alert"]
    split = Conversation().client(V2, split=(12,)).server(REFUSED)
    assert track(split.frames()).handshakes == []


def test_application_data_holds_no_hellos():
    """Random octets on a port that is followed, joined in the middle, and hellos inside."""
    seed = 12345
    frames = []
    for flow in range(300):
        talk = Conversation(client_port=20_000 + flow)
        for _ in range(4):
            octets = bytearray()
            for _ in range(120):
                seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
                octets.append(seed >> 16 & 0xFF)
            talk.client(bytes(octets) + OLD).server(bytes(octets[::-1]) + OLD)
        frames += talk.frames()
    assert track(frames, ports=ANY_PORT).handshakes == []


# ------------------------------------------------------------------------------ the answer


def test_an_answer_seen_before_its_hello_counts():
    talk = opened().client(OLD).server(REFUSED)
    frames = talk.frames()
    frames[3], frames[4] = frames[4], frames[3]
    one = track(frames).only
    assert (one.outcome, one.frame) == ("alert", 5)


def test_a_gap_in_the_certificate_does_not_hide_the_outcome():
    for lost in (300, 900, 1400):
        long = craft.server_hello() + craft.certificate_flight(length=3000)
        talk = opened().client(OLD).server(long[:lost]).lose("server", 500)
        talk.server(long[lost + 500 :]).client(KEYS).server(AGREED).wait(20).ack("client")
        found = track(talk.frames())
        assert outcomes(found) == ["established"], lost


def test_a_gap_over_the_end_of_a_record_does_not_hide_the_outcome():
    first = craft.server_hello()
    second = craft.certificate_flight(length=2000)
    talk = opened().client(OLD).server(first)
    talk.server(second[:3]).lose("server", 700).server(second[703:] + AGREED).client(KEYS)
    talk.wait(20).ack("client")
    found = track(talk.frames())
    assert outcomes(found) == ["established"]
    assert found.counters.unseen_bytes == 700


def test_a_hello_with_a_gap_is_told_with_what_the_server_said():
    for split in (30, 60):
        talk = opened().client(OLD[:split]).lose("client", 10).client(OLD[split + 10 :])
        found = track(talk.server(REFUSED).fin("server").wait(20).ack("client").frames())
        assert outcomes(found) == ["alert"]
        assert not found.only.hello.complete
        assert found.only.hello.max_offered == TLS_1_0
        assert found.counters.incomplete == {"gap": 1}


def test_a_hello_cut_by_the_snap_length_waits_for_its_outcome():
    talk = opened().client(OLD).server(REFUSED).fin("server")
    found = track(talk.frames(), snaplen=96)
    assert not found.only.hello.complete
    assert (found.only.hello.max_offered, found.only.outcome) == (TLS_1_0, "alert")
    assert found.counters.incomplete == {"truncated": 1}
    assert found.counters.frames_truncated == 1


def test_an_answer_16_s_late_is_no_answer():
    for seconds, outcome in ((14, "alert"), (16, "unanswered")):
        talk = opened().client(OLD).ack("server").wait(seconds).server(REFUSED)
        assert outcomes(track(talk.frames())) == [outcome]


def test_the_end_of_the_capture_proves_nothing():
    talk = opened().client(OLD).ack("server").wait(10).ack("client")
    assert outcomes(track(talk.frames())) == ["unknown"]
    assert outcomes(track(talk.wait(6).ack("client").frames())) == ["unanswered"]
    assert outcomes(track(talk.frames("client"))) == ["unknown"], "the server was never seen"


def test_keep_alives_are_no_answer():
    talk = opened().client(OLD).ack("server")
    for _ in range(4):
        talk.wait(4)
        talk.segment("server", b"\0", offset=-1).segment("client", b"\0", offset=len(OLD) - 1)
    assert outcomes(track(talk.frames())) == ["unanswered"]


def test_another_conversations_frames_carry_the_time():
    talk = opened().client(OLD).ack("server")
    noise = Conversation(server_port=443, time_ns=talk.time_ns + 16 * SECOND_NS).syn()
    assert outcomes(track(talk.frames() + noise.frames())) == ["unanswered"]


def test_time_that_goes_backwards_flushes_nothing():
    talk = opened().client(OLD)
    talk.time_ns -= 3600 * SECOND_NS
    talk.server(REFUSED)
    found = track(talk.frames())
    assert outcomes(found) == ["alert"]
    assert found.counters.frames_backwards == 1
    assert found.counters.last_ns == talk.segments[3].time_ns


def test_an_hour_forward_settles_what_waited():
    talk = opened().client(OLD).ack("server")
    one = tracker()
    one.observe(batch_of(talk.frames()))
    assert one.ready() == []
    one.tick(talk.time_ns + 3600 * SECOND_NS)
    assert [handshake.outcome for handshake in one.ready()] == ["unanswered"]
    assert one.open_count == 0


# -------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("off", [-500, -1, 65_600, 1 << 20, 1 << 29, -(1 << 30)])
def test_a_rst_outside_the_window_changes_nothing(side, off):
    talk = opened().client(OLD).server(craft.server_hello()).ack("client").ack("server")
    sent = len(OLD) if side == "client" else len(craft.server_hello())
    talk.segments.append(craft.Segment(talk.time_ns, side, craft.RST, sent + off, 0))
    talk.server(craft.certificate_flight()).client(KEYS).server(AGREED)
    assert outcomes(track(talk.frames())) == ["established"]


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("off", [0, 1, 1000, 65_535])
def test_a_rst_inside_the_window_ends_it(side, off):
    talk = opened().client(OLD).ack("server")
    sent = len(OLD) if side == "client" else 0
    talk.segment(side, flags=craft.RST, offset=sent + off).wait(20).ack("server")
    one = track(talk.frames()).only
    assert (one.outcome, one.ended_by) == ("reset", side)
    assert one.refused_by == (Side.SERVER if side == "server" else Side.UNKNOWN)


def test_a_rst_before_the_hello_does_not_hide_it():
    talk = opened().rst("server").client(OLD).server(REFUSED)
    assert outcomes(track(talk.frames())) == ["alert"]


def test_a_fin_waits_for_what_is_missing_before_it():
    talk = opened().client(OLD).server(REFUSED).fin("server").fin("client")
    frames = talk.frames()
    frames[4], frames[5] = frames[5], frames[4]
    assert outcomes(track(frames)) == ["alert"]
    frames[4], frames[6] = frames[6], frames[4]
    assert outcomes(track(frames)) == ["alert"]


def test_a_fin_whose_missing_octets_never_come_counts_in_the_end():
    talk = opened().client(OLD).lose("server", 5).fin("server").wait(20).ack("client")
    one = track(talk.frames()).only
    assert (one.outcome, one.ended_by) == ("closed", "server")


def test_alert_and_fin_in_one_segment_is_an_alert():
    talk = opened().client(OLD).segment("server", REFUSED, flags=craft.FIN | craft.ACK)
    assert outcomes(track(talk.frames())) == ["alert"]


def test_a_clients_alert_and_a_rejected_certificate_are_told_apart():
    for code, refused_by in ((48, "client"), (80, "unknown")):
        one = track(opened().client(OLD).server(FLIGHT).client(craft.alert(2, code)).frames()).only
        assert (one.outcome, one.alert_sender, one.refused_by) == ("alert", "client", refused_by)
        assert one.alert.description == code


# ------------------------------------------------------------------------------ the order


def test_events_come_in_the_order_of_their_frames_or_as_settled():
    slow = opened(client_port=2000).client(OLD)
    quick = [
        opened(client_port=3000 + n, time_ns=slow.time_ns).client(OTHER).server(REFUSED)
        for n in range(5)
    ]
    slow.wait(1).server(REFUSED)
    frames = craft.merged(slow.frames(), *(talk.frames() for talk in quick))
    ordered = track(frames).handshakes
    assert [one.frame for one in ordered] == sorted(one.frame for one in ordered)
    assert ordered[0].flow.source_port == 2000
    settled = track(frames, ordered=False).handshakes
    assert settled[-1].flow.source_port == 2000
    assert sorted(ordered, key=lambda one: one.frame) == sorted(settled, key=lambda one: one.frame)


def test_an_event_waits_for_those_before_it_and_no_longer():
    slow = opened(client_port=2000).client(OLD).ack("server")
    quick = opened(client_port=3000, time_ns=slow.time_ns).client(OTHER).server(REFUSED)
    one = tracker()
    one.observe(batch_of(slow.frames() + quick.frames()))
    assert one.ready() == []
    one.tick(slow.time_ns + 16 * SECOND_NS)
    assert [handshake.outcome for handshake in one.ready()] == ["unanswered", "alert"]


# ------------------------------------------------------------------------------- budgets


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_handshakes_are_open_than_allowed(ordered):
    few = TrackSettings(flows=1024, reassembly_bytes=1 << 20, open_handshakes=16)
    one = tracker(few, ordered=ordered)
    told = []
    for port in range(100):
        one.observe(batch_of(opened(client_port=2000 + port).client(OLD).frames()))
        told += one.ready()
        assert one.open_count <= 16
        assert len(told) >= port + 1 - 16
    one.finish()
    told += one.ready()
    assert [handshake.flow.source_port for handshake in told] == list(range(2000, 2100))
    assert one.counters().evicted == {"attempt": 84}


def test_settled_handshakes_that_wait_for_an_older_one_are_bounded_too():
    few = TrackSettings(flows=1024, reassembly_bytes=1 << 20, open_handshakes=16)
    one = tracker(few)
    one.observe(batch_of(opened(client_port=1999).client(OLD).frames()))
    told = []
    for port in range(100):
        one.observe(batch_of(opened(client_port=2000 + port).client(OLD).server(REFUSED).frames()))
        told += one.ready()
    assert len(told) == 101
    assert told[0].outcome == "unknown"
    assert one.counters().evicted == {"attempt": 1}


def test_a_flow_that_has_to_go_is_settled_and_counted():
    one = tracker(TrackSettings(flows=1024, reassembly_bytes=1 << 20))
    told = []
    for start in range(0, 3000, 500):
        frames = [
            frame
            for port in range(2000 + start, 2500 + start)
            for frame in opened(client_port=port).client(OLD, split=(50,), order=(0,)).frames()
        ]
        one.observe(batch_of(frames))
        told += one.ready()
    one.finish()
    told += one.ready()
    counters = one.counters()
    assert counters.flows == counters.hellos == len(told) == 3000
    assert counters.flows_open <= 1024
    assert counters.evicted["flow"] == 3000 - counters.flows_open
    assert sum(counters.incomplete.values()) == 3000
    assert counters.incomplete["evicted"] >= counters.evicted["flow"]
    assert one.reassembly.count == one.open_count == 0


def test_one_hello_of_many_pieces_is_found_among_a_flood_of_halves():
    """The one without progress for longest makes room, so who goes on is not hurt."""
    flood = [opened(client_port=2000 + n, gap_ns=1).client(OLD[:60]) for n in range(900)]
    talk = opened(client_port=1999, gap_ns=1).client(OLD, split=1).server(REFUSED)
    wanted = talk.frames()
    frames = []
    for number, half in enumerate(flood):
        frames += half.frames()
        if number % 4 == 0 and wanted:
            frames.append(wanted.pop(0))
    found = track(frames + wanted)
    assert [one.outcome for one in found.handshakes if one.hello.complete] == ["alert"]
    assert found.counters.evicted["buffer"] > 0
    assert len(found.handshakes) == 901


def test_reassembly_holds_no_more_than_64_kib_of_a_direction():
    long = craft.client_hello(
        TLS_1_2, extensions=[craft.padding_extension(16_000)] * 3, sni="a.example"
    )
    wire = craft.records(long[5:], 16_000)
    found = track(opened().client(wire).server(REFUSED).frames())
    assert found.only.hello.complete
    talk = opened().client(OLD[:60]).lose("client", 100)
    for _ in range(80):
        talk.client(bytes(1400))
    one = tracker()
    one.observe(batch_of(talk.frames()))
    assert one.reassembly.in_use <= 65_536
    one.finish()
    assert len(one.ready()) == 1
    assert one.counters().incomplete == {"gap": 1}


def test_what_a_server_says_before_any_hello_takes_little_room():
    talk = opened()
    for _ in range(200):
        talk.server(craft.application_data(1400))
    one = tracker()
    one.observe(batch_of(talk.frames()))
    assert one.reassembly.in_use == 0
    one.observe(batch_of(talk.client(OLD).server(REFUSED).frames()[-2:]))
    assert [handshake.outcome for handshake in one.ready()] == ["alert"]


# ------------------------------------------------------------------------ counts and cost


def test_conflicting_octets_are_counted_and_the_first_seen_win():
    talk = opened().client(OLD, split=(60,), order=(1,))
    talk.segment("client", b"X" * 20, offset=50).segment("client", OLD[:60], offset=0)
    found = track(talk.server(REFUSED).frames())
    assert found.counters.conflicts >= 1
    assert found.only.hello.max_offered == TLS_1_0


def test_one_sided_flows_are_counted_once_and_never_less():
    one = tracker()
    counts = []
    client_only = opened(client_port=2000).client(OLD)
    both = opened(client_port=2001, time_ns=client_only.time_ns).client(OLD)
    one.observe(batch_of(client_only.frames("client") + both.frames("client")))
    counts.append(one.counters().one_sided_flows)
    one.observe(batch_of(both.server(REFUSED).frames("server")[1:]))
    counts.append(one.counters().one_sided_flows)
    one.tick(both.time_ns + 20 * SECOND_NS)
    counts.append(one.counters().one_sided_flows)
    one.observe(batch_of(client_only.server(REFUSED).frames("server")))
    counts.append(one.counters().one_sided_flows)
    for _ in range(2):
        one.finish()
        counts.append(one.counters().one_sided_flows)
    assert counts == [0, 0, 1, 1, 1, 1]


def test_types_that_are_not_read_are_counted_by_number():
    talk = opened().client(OLD)
    frames = talk.frames()
    time_ns = frames[-1][0]
    packet = frames[-1][1][14:]
    gre = b"\0\0\x12\x34" + packet
    in_gre = craft.ethernet(craft.ipv4("192.0.2.1", "192.0.2.2", gre, protocol=47))
    in_geneve = craft.udp("192.0.2.1", "192.0.2.2", 6081, 6081, bytes.fromhex("0000abcd 00000100"))
    others = [
        craft.ethernet(b"\0" * 46, kind=0x88B5),
        craft.ethernet(b"\0" * 46, kind=0x88B5, vlans=(12,)),
        craft.ethernet(craft.arp_request("10.0.0.1", craft.CLIENT_MAC, "10.0.0.2"), kind=craft.ARP),
        in_gre,
        craft.ethernet(craft.ipv4("192.0.2.1", "192.0.2.2", in_geneve, protocol=17)),
    ]
    counters = track(frames + [(time_ns, octets) for octets in others]).counters
    assert counters.ethertypes == {"0x88b5": 2, "0x0806": 1, "0x1234": 1, "0xabcd": 1}
    assert counters.undecoded == {}
    assert counters.hellos == 1


def test_beyond_64_types_the_rest_is_summed():
    types = [number for number in range(0x9400, 0x9400 + 70) for _ in range(2)]
    counted = track([(0, craft.ethernet(b"\0" * 46, kind=number)) for number in types]).counters
    assert len(counted.ethertypes) == 65
    assert counted.ethertypes["0x9400"] == 2
    assert counted.ethertypes["other"] == 12
    assert sum(counted.ethertypes.values()) == len(types)


def test_counters_of_a_plain_capture():
    talk = opened().client(OLD).server(REFUSED)
    frames = talk.frames()
    counters = track([*frames, (frames[-1][0], b"\0" * 7)]).counters
    assert counters.frames == 6
    assert counters.bytes == sum(len(octets) for _, octets in frames) + 7
    assert (counters.flows, counters.hellos, counters.one_sided_flows) == (1, 1, 0)
    assert sum(counters.undecoded.values()) == 1
    assert (counters.first_ns, counters.last_ns) == (frames[0][0], frames[-1][0])


def test_a_mistake_of_ours_costs_one_frame_and_is_counted():
    talk = opened().client(OLD).server(REFUSED)
    batch = batch_of(talk.frames())
    batch.starts[1] = len(batch.wire) - 1
    batch.ends[1] = len(batch.wire) + 60
    one = tracker()
    one.observe(batch)
    one.finish()
    counters = one.counters()
    assert [handshake.outcome for handshake in one.ready()] == ["alert"]
    assert counters.frames == 5
    assert counters.undecoded == {"internal": 1}
    assert counters.internal_errors[0].startswith("frame 2: IndexError")


def seconds_for(frames):
    """Return the processor time that a capture takes."""
    batch = batch_of(frames)
    one = tracker(SMALL, ANY_PORT)
    begin = time.process_time()
    one.observe(batch)
    one.finish()
    return time.process_time() - begin


def dripped(talk, side, octets, order):
    """Add octets of one side's stream, a segment each, in this order."""
    for at in order:
        talk.segment(side, octets[at : at + 1], offset=at)
    return talk.frames()


def padded_hello(length):
    return craft.client_hello(TLS_1_2, extensions=[craft.padding_extension(length)])[:length]


def one_octet_segments(count):
    return dripped(opened(gap_ns=1), "client", padded_hello(count), range(count))


def one_octet_segments_backwards(count):
    return dripped(opened(gap_ns=1), "client", padded_hello(count), range(count)[::-1])


def every_second_octet(count):
    talk = opened(gap_ns=1).client(OLD)
    return dripped(talk, "server", FLIGHT * 20, range(0, 2 * count, 2))


def one_octet_records(count):
    wire = craft.records(OLD[5:], 1) * 40
    return dripped(opened(gap_ns=1), "client", wire, range(count))


def empty_records(count):
    wire = craft.record(b"") * (count // 5)
    return dripped(opened(gap_ns=1), "client", wire, range(count))


@pytest.mark.parametrize(
    "shape",
    [
        one_octet_segments,
        one_octet_segments_backwards,
        every_second_octet,
        one_octet_records,
        empty_records,
    ],
)
def test_the_cost_of_tiny_pieces_grows_no_faster_than_their_number(shape):
    few, many = shape(1000), shape(10_000)
    ratio = min(seconds_for(many) for _ in range(5)) / min(seconds_for(few) for _ in range(15))
    assert ratio <= 12


def test_a_hello_in_segments_of_one_octet_is_found_up_to_64_kib():
    long = craft.client_hello(TLS_1_2, extensions=[craft.padding_extension(9_900)])
    assert len(long) < 10_000
    talk = opened(gap_ns=1)
    dripped(talk, "client", long, range(len(long)))
    found = track(talk.server(REFUSED).frames())
    assert found.only.hello.complete
    assert outcomes(found) == ["alert"]


def test_a_hello_over_256_records_is_found_and_over_more_is_none():
    wire = OLD[5:]
    assert len(wire) < 256
    assert len(track(opened().client(craft.records(wire, 1)).frames()).handshakes) == 1
    empty = craft.records(wire, [0] * 300 + [len(wire)])
    found = track(opened().client(empty).frames())
    assert found.handshakes == []


def test_the_next_batch_goes_on_where_the_last_one_ended():
    frames = opened().client(OLD, split=7).server(REFUSED).frames()
    one = tracker()
    batch = Batch(3)
    for start in range(0, len(frames), 3):
        part = frames[start : start + 3]
        batch.wire = memoryview(b"".join(octets for _, octets in part))
        at = 0
        for time_ns, octets in part:
            batch.add(at, at + len(octets), len(octets), time_ns, -1, craft.LINK_ETHERNET)
            at += len(octets)
        one.observe(batch)
        batch.clear()
    one.finish()
    (found,) = one.ready()
    assert found.frame == len(frames) - 1
    assert found.outcome == "alert"


@pytest.mark.parametrize("told", [["first"], ["second"], ["first", "second"]])
def test_hellos_of_another_time_are_followed_and_left_to_somebody_else_to_tell(told):
    first, second = opened(client_port=40_000).client(OLD), opened(client_port=40_001)
    border = first.time_ns + SECOND_NS
    second.time_ns = border + SECOND_NS
    second.client(OLD[:20])
    one = tracker(ordered=False)
    one.tell(0 if "first" in told else border, FOR_EVER if "second" in told else border)
    for talk in (first, second):
        one.observe(batch_of(list(talk.frames())))
    assert one.open_before(border) == 1
    one.finish()
    assert one.open_before(FOR_EVER) == 0
    ports = [handshake.flow.source_port for handshake in one.ready()]
    assert ports == [{"first": 40_000, "second": 40_001}[name] for name in told]
    counted = one.counters()
    assert counted.hellos == len(told)
    assert sum(counted.incomplete.values()) == told.count("second")
