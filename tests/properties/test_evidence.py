"""The frames of ``-w``: the same events when read again, and nothing else to be read in them."""

import io
from pathlib import Path
from typing import Any

import craft
import msgspec
import pytest
from canary import CANARY, dialogues
from craft import Conversation
from goldens import PCAPS
from kinds import kinds
from tracking import SMALL

from sniffer.analysis import Analysis
from sniffer.config import Ports, TrackSettings, parse_ports
from sniffer.export import ecs
from sniffer.export.evidence import CaptureWriter
from sniffer.judge.profile import load_profiles
from sniffer.track.evidence import MOST_OCTETS

PROFILES = load_profiles()
ANY = parse_ports("any")
Events = dict[str, dict[str, Any]]


def events(path: Path, ports: Ports = ANY) -> Events:
    """Return the events of a capture by their id."""
    return analysed(path, None, ports, SMALL)[0]


def written(
    path: Path, into: Path, ports: Ports = ANY, track: TrackSettings | None = None
) -> tuple[Events, Analysis]:
    """Return the events of a capture, whose frames are written into another."""
    return analysed(path, into, ports, track or TrackSettings())


def analysed(
    path: Path, into: Path | None, ports: Ports, track: TrackSettings
) -> tuple[Events, Analysis]:
    told: Events = {}

    def note(handshake: Any, judgement: Any) -> None:
        event = msgspec.to_builtins(ecs.event(handshake, judgement))
        told[event["hellowatch"]["id"]] = event
        event.pop("log")
        event["hellowatch"].pop("frame")
        if writer is not None:
            writer.write(handshake)

    with io.FileIO(into or "/dev/null", "w") as out:
        writer = None if into is None else CaptureWriter(out, in_order=True)
        analysis = Analysis(
            ports, PROFILES, track=track, sinks=(note,), keep_evidence=into is not None
        )
        analysis.read(str(path))
        if writer is not None:
            writer.finish()
    assert analysis.inputs[0].problem is None
    return told, analysis


def assert_same(before: Events, after: Events) -> None:
    """Compare, but for what cannot be: docs/commands.md says the same."""
    assert after.keys() == before.keys()
    for name, event in before.items():
        own = event["hellowatch"]
        if "starttls" in own:
            own["flow"]["syn_seen"] = False
        if own["outcome"] == "unanswered" != after[name]["hellowatch"]["outcome"]:
            own["outcome"] = "unknown"
        assert after[name] == event


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_case_is_read_again(kind: str, tmp_path: Path) -> None:
    (tmp_path / "all.pcap").write_bytes(kinds()[kind])
    before, _ = written(tmp_path / "all.pcap", tmp_path / "frames.pcapng")
    assert_same(before, events(tmp_path / "frames.pcapng"))


WITH_HELLOS = [path for path in sorted(PCAPS.glob("*.pcap*")) if "discovery" not in path.stem]


@pytest.mark.parametrize("path", WITH_HELLOS, ids=lambda path: path.stem)
def test_captures_of_programs_are_read_again(path: Path, tmp_path: Path) -> None:
    before, analysis = written(path, tmp_path / "frames.pcapng")
    assert analysis.coverage.evidence_lost == 0
    assert before
    assert_same(before, events(tmp_path / "frames.pcapng"))


def test_what_was_written_is_written_again_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one.pcapng", tmp_path / "two.pcapng"
    written(PCAPS / "office.pcapng", one)
    written(one, two)
    assert one.read_bytes() == two.read_bytes()


# ------------------------------------------------------------------------------ what is hidden


@pytest.mark.parametrize("ports", [ANY, parse_ports("110/pop3")], ids=["any", "110"])
def test_canary_is_in_no_written_frame(ports: Ports, tmp_path: Path) -> None:
    frames = craft.merged(*(talk.frames() for talk in dialogues()))
    # What the sender's memory held, behind the packet.
    frames = [(time_ns, octets + CANARY) for time_ns, octets in frames]
    (tmp_path / "all.pcap").write_bytes(craft.pcap(frames))
    told, _ = written(tmp_path / "all.pcap", tmp_path / "frames.pcapng", ports)
    assert len(told) == 5
    octets = (tmp_path / "frames.pcapng").read_bytes()
    assert (tmp_path / "all.pcap").read_bytes().count(CANARY) > 80
    for shown in (CANARY, b"Canary", b"PASS", b"USER", b"AUTH"):
        assert shown not in octets
    assert b"STLS\r\n" in octets


def test_hello_alone_is_shown_of_a_segment_that_holds_more(tmp_path: Path) -> None:
    hello = craft.client_hello()
    early = Conversation().open().client(hello + craft.record(CANARY, content_type=23))
    (tmp_path / "all.pcap").write_bytes(craft.pcap(early.server(craft.alert()).frames()))
    written(tmp_path / "all.pcap", tmp_path / "frames.pcapng")
    octets = (tmp_path / "frames.pcapng").read_bytes()
    assert hello + b"\x17\x03\x01\x00\x0b" + bytes(len(CANARY)) in octets


# --------------------------------------------------------------------------------- the budgets


def test_what_finds_no_room_is_counted_and_no_event_is_lost(tmp_path: Path) -> None:
    talks = [Conversation(f"10.0.0.{n}").open() for n in range(1, 101)]
    for talk in talks:
        talk.client(craft.client_hello())
        talk.wait(1).server(craft.server_hello() + craft.certificate_flight(length=9000))
    frames = craft.merged(*(talk.frames() for talk in talks))
    (tmp_path / "all.pcap").write_bytes(craft.pcap(frames))
    small = TrackSettings(evidence_bytes=100_000)
    told, analysis = written(tmp_path / "all.pcap", tmp_path / "frames.pcapng", track=small)
    assert len(told) == 100
    lost = analysis.coverage.evidence_lost
    again = events(tmp_path / "frames.pcapng")
    assert again
    assert_same({name: told[name] for name in again}, again)
    assert lost + len(packets(tmp_path / "frames.pcapng")) == len(frames) - 100  # bare ACKs


def test_one_conversation_cannot_take_all_of_the_room(tmp_path: Path) -> None:
    endless = Conversation().open().client(craft.client_hello())
    endless.server(craft.server_hello()).server(craft.records(bytes(4 * MOST_OCTETS), 1000))
    (tmp_path / "all.pcap").write_bytes(craft.pcap(endless.frames()))
    told, analysis = written(tmp_path / "all.pcap", tmp_path / "frames.pcapng")
    assert len(told) == 1
    assert analysis.coverage.evidence_lost > 0
    assert sum(map(len, packets(tmp_path / "frames.pcapng"))) <= MOST_OCTETS


def packets(path: Path) -> list[bytes]:
    """Return the frames of a capture, read by others."""
    import dpkt  # type: ignore[import-untyped] # it has no types

    with path.open("rb") as file:
        return [octets for _, octets in dpkt.pcapng.Reader(file)]
