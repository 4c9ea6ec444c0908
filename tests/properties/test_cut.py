"""Frames cut short: what is said of them is a part of what the whole ones say, or nothing.

Row B1: every frame of the office, cut at every octet.
"""

import ipaddress
from collections import defaultdict
from pathlib import Path

from captures import told, tracked
from craft import Frame
from rows import is_part

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.decode import decode
from parsers.frame import Frame as Decoded
from parsers.layers import READ, TRUNCATED
from parsers.tls import client_hello
from parsers.tls.facts import ClientHello
from parsers.tls.message import Message
from sniffer.capture.files import CaptureFile
from sniffer.config import TrackSettings
from sniffer.event import Handshake

OFFICE = Path(__file__).parents[2] / "pcaps" / "office.pcapng"


def office() -> list[Frame]:
    """Return the frames of the office capture."""
    source, batch, frames = CaptureFile(str(OFFICE)), Batch(), []
    while source.read(batch):
        frames += [(time_ns, octets) for octets, _, time_ns, _ in told(batch)]
    source.close()
    assert source.problem is None
    return frames


def decoded(octets: bytes, end: int) -> tuple[int, Decoded]:
    """Decode a frame of which ``end`` octets were captured; the others lie behind, poisoned."""
    batch = Batch(1)
    batch.wire = memoryview(octets)
    batch.add(0, end, len(octets), 0, -1, 1)
    frame = Decoded()
    return decode(batch, 0, frame), frame


def test_every_frame_cut_at_every_octet_says_a_part_of_what_it_said() -> None:
    names = ("mac", "vlan", "ip_version", "source", "destination", "hop_limit")
    tcp_names = ("source_port", "destination_port", "sequence", "acknowledgement", "flags", "at")
    for _, octets in office():
        answer, whole = decoded(octets, len(octets))
        assert (answer == FOUND) <= (whole.undecoded == READ)
        for end in range(len(octets)):
            cut_answer, cut = decoded(octets, end)
            if answer == FOUND:
                assert cut_answer in (FOUND, NEED_MORE)
                assert cut.undecoded == (READ if cut_answer == FOUND else TRUNCATED)
            else:
                assert cut_answer in (NEED_MORE, NO_MATCH)
            for name in names:
                assert getattr(cut, name) in (getattr(whole, name), -1, 0)
            if cut_answer == FOUND:
                assert [getattr(cut, n) for n in tcp_names] == [
                    getattr(whole, n) for n in tcp_names
                ]
                assert cut.end + cut.missing == whole.end
                check_hello(octets, whole, cut)


def check_hello(octets: bytes, whole: Decoded, cut: Decoded) -> None:
    """Read the hello at the start of a payload, cut and whole: one is a part of the other."""
    if whole.end == whole.at:
        return
    hello = hello_at(octets, whole)
    part = hello_at(octets, cut)
    if hello is None:
        assert part is None
    elif part is not None:
        assert is_part(part, hello)
        assert part.complete == (cut.end == whole.end)


def hello_at(octets: bytes, frame: Decoded) -> ClientHello | None:
    """Return what a frame's payload holds of a ClientHello; None: none begins there."""
    message = Message()
    if message.read(memoryview(octets), frame.at, frame.end) == NO_MATCH:
        return None
    if message.end - message.start < 4:
        return None
    if client_hello.fits(message.wire, message.start, message.end) == NO_MATCH:
        return None
    return client_hello.read(message.wire, message.start, message.end, message.version)


def conversations() -> list[tuple[list[Frame], list[Handshake]]]:
    """Return the office's conversations with a hello in them, and what they say whole."""
    frames = office()
    events, _ = tracked(frames)
    by_flow = defaultdict(list)
    for event in events:
        flow = event.flow
        by_flow[flow.source, flow.source_port, flow.destination, flow.destination_port].append(
            event
        )
    parts = defaultdict(list)
    for time_ns, octets in frames:
        answer, frame = decoded(octets, len(octets))
        if answer == FOUND:
            size = 4 if frame.ip_version == 4 else 16
            source, destination = (
                octets[at : at + size] for at in (frame.source, frame.destination)
            )
            key = (source, frame.source_port, destination, frame.destination_port)
            key = key if key in by_flow else (*key[2:], *key[:2])
            if key in by_flow:
                parts[key].append((time_ns, octets))
    assert len(parts) == len(by_flow) > 50
    return [(parts[key], by_flow[key]) for key in by_flow]


def moved(octets: bytes, client: bytes, number: int) -> bytes:
    """Return the frame with the client's address replaced by one of the cut's own."""
    _, frame = decoded(octets, len(octets))
    at = frame.source if octets[frame.source :].startswith(client) else frame.destination
    own = (0xF0000000 + number).to_bytes(4, "big").rjust(len(client), b"\xfd")
    return octets[:at] + own + octets[at + len(client) :]


def test_every_hello_cut_by_every_snap_length_is_a_part_of_itself() -> None:
    """All cuts in one capture: each is a conversation of its own, by the client's address."""
    frames: list[Frame] = []
    lengths: list[int] = []
    cuts: list[tuple[int, list[Handshake]]] = []
    for talk, events in conversations():
        client = events[0].flow.source
        # A ServerHello and the first hello lie within this many octets of their frames.
        last = max(len(octets) for _, octets in talk if len(octets) < 800)
        shortest = min(len(octets) for _, octets in talk)
        for snaplen in range(last):
            # Cuts within the headers alone are all alike: a few stand for them.
            if snaplen > shortest or snaplen % 8 == 0:
                for time_ns, octets in talk:
                    cut = moved(octets, client, len(cuts))[:snaplen]
                    frames.append((time_ns, cut))
                    lengths.append(len(octets))
                cuts.append((snaplen, events))
    assert len(cuts) > 5_000
    found, counted = tracked(
        frames,
        wire_lengths=lengths,
        settings=TrackSettings(flows=1 << 17, reassembly_bytes=64 << 20),
    )
    check(found, cuts)
    assert counted.internal_errors == []
    assert counted.evicted == {}
    assert sum(counted.incomplete.values()) == sum(1 for e in found if not e.hello.complete)
    assert set(counted.incomplete) <= {"truncated"}, counted.incomplete
    assert counted.hellos == len(found)
    assert counted.frames_truncated == sum(
        1 for (_, o), length in zip(frames, lengths, strict=True) if len(o) < length
    )
    assert set(counted.undecoded) == {"truncated"}


def check(found: list[Handshake], cuts: list[tuple[int, list[Handshake]]]) -> None:
    """Check that each event of a cut conversation is a part of one of the whole's."""
    complete = incomplete = 0
    for event in found:
        number = int(ipaddress.ip_address(event.flow.source[-4:])) - 0xF0000000
        snaplen, whole = cuts[number]
        assert any(is_part(event.hello, other.hello) for other in whole), (snaplen, event)
        assert event.flow.destination == whole[0].flow.destination
        if event.hello.complete:
            complete += 1
        else:
            incomplete += 1
        if event.server_hello is not None:
            assert any(
                other.server_hello is not None
                and other.server_hello.random == event.server_hello.random
                and other.server_hello.suite == event.server_hello.suite
                for other in whole
            ), (snaplen, event)
        if event.alert is not None:
            assert any(event.alert == other.alert for other in whole)
    assert complete > 100
    assert incomplete > 1_000
