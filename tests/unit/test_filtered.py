"""Behind the kernel's filter: what it held back is filtered, what it would have passed is lost.

The filter is the real program, run by its interpreter over every frame.
"""

import craft
import pytest
from captures import frames_in
from craft import Conversation, Frame
from goldens import EXPECTED, capture_of, name_of
from kinds import kinds
from msgspec import structs
from tracking import Tracked, batch_of, track, tracker

from sniffer.capture import bpf
from sniffer.capture.filter import build
from sniffer.config import DEFAULT_PORTS
from sniffer.event import Handshake
from sniffer.inventory.coverage import Coverage

FILTER = build(DEFAULT_PORTS).program
OLD = craft.client_hello(craft.TLS_1_0)
FLIGHT = craft.server_hello() + craft.certificate_flight(length=5000)
KEYS = craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished()
AGREED = craft.change_cipher_spec() + craft.finished()
DATA = b"\x17\x03\x03\x3e\x80" + b"-" * 16_000


def passed(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if bpf.run(FILTER, frame[1])]


def live(talk: Conversation) -> Tracked:
    return track(passed(talk.frames()), ordered=False, behind_filter=True)


def established(**where: object) -> Conversation:
    """Agree on TLS; the middle of the server's flight does not pass the filter."""
    return Conversation(**where).open().client(OLD).server(FLIGHT).client(KEYS).server(AGREED)


def told(handshakes: list[Handshake]) -> list[Handshake]:
    """Return what must not depend on the filter: all but the number of the frame."""
    return sorted(
        (structs.replace(one, frame=0) for one in handshakes),
        key=lambda one: (one.time_ns, one.flow.source_port),
    )


def without_seconds(handshakes: list[Handshake]) -> list[Handshake]:
    return [
        one
        if one.session is None
        else structs.replace(one, session=structs.replace(one.session, seconds=0.0))
        for one in told(handshakes)
    ]


def octets_held_back(talk: Conversation) -> int:
    """Return the server's octets that do not pass; no segment here overlaps another."""
    return sum(
        len(segment.payload)
        for segment in talk.segments
        if not bpf.run(FILTER, talk.frame(segment))
    )


def fit(found: Tracked) -> bool:
    names = set(Coverage.__struct_fields__) & set(found.counters.__struct_fields__)
    return Coverage(**{name: getattr(found.counters, name) for name in names}).fitness().fit


# ------------------------------------------------------------------------- the same events


@pytest.mark.parametrize("expected", EXPECTED, ids=name_of)
def test_captures_of_programs_give_the_same_events_behind_the_filter(expected):
    frames = frames_in(capture_of(expected))
    whole = track(frames, ordered=False)
    behind = track(passed(frames), ordered=False, behind_filter=True)

    assert without_seconds(behind.handshakes) == without_seconds(whole.handshakes)
    assert behind.counters.unseen_bytes == 0
    assert behind.counters.filtered_bytes > 0 or name_of(expected).startswith("refused")
    assert whole.counters.filtered_bytes == 0


def test_every_kind_of_case_gives_the_same_events_behind_the_filter(tmp_path):
    different = []
    program = build(DEFAULT_PORTS, tunnels=True).program
    played = kinds()
    for name, octets in played.items():
        path = tmp_path / f"{name}.pcap"
        path.write_bytes(octets)
        frames = frames_in(path)
        # Some are of a link type that no program reads: it passes all of them.
        seen = [frame for frame in frames if bpf.run(program, frame[1])] or frames
        whole, behind = track(frames), track(seen, behind_filter=True)
        if without_seconds(behind.handshakes) != without_seconds(whole.handshakes):
            different.append(name)
    assert len(played) > 90
    assert different == []


@pytest.mark.parametrize("closer", ["client", "server"])
@pytest.mark.parametrize("port", [993, 143])
def test_large_download_is_filtered_and_its_session_told(closer, port):
    talk = established(server_port=port)
    for _ in range(200):
        talk.server(DATA).ack("client")
    talk.fin(closer)
    held_back = octets_held_back(talk)
    found = live(talk)

    assert held_back > (3_000_000 if port == 993 else 1000)
    assert found.counters.filtered_bytes == held_back
    assert found.counters.unseen_bytes == 0
    assert fit(found)
    assert told(found.handshakes) == told(track(talk.frames()).handshakes)
    assert found.only.session.server_bytes == 200 * len(DATA)


def test_outcome_does_not_wait_for_what_the_filter_held_back():
    for talk, outcome in (
        (established().fin("client"), "established"),
        (Conversation().open().client(OLD).server(FLIGHT).fin("client"), "closed"),
    ):
        one = tracker(behind_filter=True, ordered=False)
        one.observe(batch_of(passed(talk.frames())))
        settled = one.ready()
        assert [one.outcome for one in settled] == [outcome]
        assert told(settled) == told(track(talk.frames()).handshakes)


def test_download_of_a_session_joined_in_the_middle_is_filtered():
    request = craft.application_data(60)
    talk = Conversation().client(request).client(request).server(DATA * 10)
    found = live(talk.client(request).server(DATA * 10).fin("server"))
    assert found.counters.filtered_bytes == 20 * len(DATA)
    assert found.counters.unseen_bytes == 0


# ------------------------------------------------------------------------------- real loss


def test_clients_octets_that_were_lost_are_unseen():
    talk = established().client(DATA[:1000]).lose("client", 700).client(DATA[:1000]).fin("client")
    found = live(talk)
    assert found.counters.unseen_bytes == 700
    assert found.counters.filtered_bytes == octets_held_back(talk)
    assert not fit(found)

    talk = established().lose("client", 700).server(b"\x15" + bytes(30))
    assert live(talk).counters.unseen_bytes == 700


def test_clients_octets_that_come_late_are_seen():
    talk = established().client(DATA[:4000], split=1000, order=(0, 2, 3, 1, 1)).fin("client")
    assert live(talk).counters.unseen_bytes == 0


def test_counts_never_go_down():
    """A counter of Prometheus that does is taken for one that began anew."""
    talk = established().client(DATA[:6000], split=1000, order=(0, 4, 3, 2, 1, 5))
    talk.server(DATA).lose("client", 700).client(DATA, split=1000).fin("client")
    one, before = tracker(behind_filter=True, ordered=False), (0, 0)
    for frame in passed(talk.frames()):
        one.observe(batch_of([frame]))
        counted = one.counters()
        now = (counted.unseen_bytes, counted.filtered_bytes)
        assert now[0] >= before[0]
        assert now[1] >= before[1]
        before = now
    assert before[0] == 700


def test_clear_text_that_was_lost_is_unseen():
    talk = Conversation(server_port=143).open().server(b"* OK\r\n").client(b"a noop\r\n")
    talk.client(b"a login x y\r\n").server(b"a OK\r\n").lose("server", 300).server(b"* BYE\r\n")
    found = live(talk.fin("server"))
    assert found.handshakes == []
    assert (found.counters.unseen_bytes, found.counters.filtered_bytes) == (300, 0)


def test_reset_far_off_ends_no_session_behind_the_filter_either():
    talk = established()
    talk.lose("server", 2_000_000).rst("server").wait(1).client(craft.application_data(50))
    assert live(talk).only.session is None
