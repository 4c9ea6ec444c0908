"""The evidence of one device as a capture: the same hello when read again, and nothing else."""

import io
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import craft
import pytest
from canary import CANARY, dialogues
from goldens import PCAPS
from kinds import kinds
from tracking import ANY_PORT, SMALL

from parsers.tls import fingerprint
from parsers.tls.facts import ClientHello
from sniffer.capture.files import CaptureFile
from sniffer.config import InventorySettings
from sniffer.event import Handshake, Judgement
from sniffer.export import rebuilt
from sniffer.export.evidence import CaptureWriter
from sniffer.inventory.aggregate import Aggregate
from sniffer.inventory.store.exhibits import exhibit, read_exhibit
from sniffer.judge.profile import load_profiles
from sniffer.judge.verdict import Judge
from sniffer.pipeline import Pipeline
from sniffer.track.layout import LONGEST_OCTETS
from sniffer.track.tracker import Tracker

PROFILES = load_profiles()
Judged = tuple[Handshake, Judgement]


def judged(path: Path) -> list[Judged]:
    """Return what a capture holds, octets included."""
    told: list[Judged] = []

    def note(handshake: Handshake, judgement: Judgement) -> None:
        told.append((handshake, judgement))

    tracker = Tracker(SMALL, ANY_PORT, bytes(16), path=path.name, keep_octets=True)
    aggregate = Aggregate(InventorySettings(), ANY_PORT, PROFILES)
    with closing(CaptureFile(str(path))) as source:
        Pipeline(tracker, Judge(ANY_PORT, PROFILES), aggregate, (note,)).run(source)
    assert tracker.counters().internal_errors == []
    return told


def write(handshakes: Iterable[Handshake], into: Path) -> list[Handshake]:
    """Write what is kept of handshakes, each by way of the store's text; return those."""
    shown = []
    with io.FileIO(into, "w") as out:
        writer = CaptureWriter(out, in_order=True)
        for handshake in handshakes:
            if handshake.octets is None:
                continue
            kept = read_exhibit(exhibit(handshake, handshake.octets).encode())
            frames = rebuilt.frames(kept, handshake.flow.source, handshake.flow.mac)
            writer.add(frames, rebuilt.comment(kept))
            shown.append(handshake)
        writer.finish()
    return shown


def assert_read_again(path: Path, folder: Path) -> None:
    """Each handshake that is kept says the same again, read by us, alone in a file."""
    before = judged(path)
    for handshake, judgement in before:
        if not write([handshake], folder / "one.pcapng"):
            continue
        ((again, rejudged),) = judged(folder / "one.pcapng")
        assert again.hello == handshake.hello
        for name in ("source", "source_port", "destination", "destination_port", "vlan"):
            assert getattr(again.flow, name) == getattr(handshake.flow, name)
        assert again.time_ns == handshake.time_ns
        assert (again.alert, again.alert_sender) == (handshake.alert, handshake.alert_sender)
        if handshake.octets is not None and handshake.octets.answer:
            assert again.server_hello == handshake.server_hello
        if handshake.starttls is None and not handshake.flow.tunnels:
            assert rejudged.verdict in (judgement.verdict, "legacy")  # it was a fallback


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_case_is_read_again(kind: str, tmp_path: Path) -> None:
    (tmp_path / "all.pcap").write_bytes(kinds()[kind])
    assert_read_again(tmp_path / "all.pcap", tmp_path)


@pytest.mark.parametrize("path", sorted(PCAPS.glob("*.pcap*")), ids=lambda path: path.stem)
def test_captures_of_programs_are_read_again(path: Path, tmp_path: Path) -> None:
    assert_read_again(path, tmp_path)


@pytest.mark.parametrize("name", ["office.pcapng", "starttls.pcap"])
def test_tshark_reads_the_same_hellos(name: str, tmp_path: Path) -> None:
    shown = write((one for one, _ in judged(PCAPS / name)), tmp_path / "e.pcapng")
    fields = ("frame.time_epoch", "tls.handshake.version", "tls.handshake.ja3", "frame.comment")
    wanted = ["-Y", "tls.handshake.type == 1", "-o", "tcp.check_checksum:TRUE"]
    asked = [part for field in (*fields, "tcp.checksum.status") for part in ("-e", field)]
    told = run_tshark(tmp_path / "e.pcapng", *wanted, "-T", "fields", *asked)
    assert sorted(line.split("\t")[:3] for line in told.splitlines()) == sorted(
        [seconds(one.time_ns), f"0x{one.hello.legacy_version:04x}", ja3(one.hello)] for one in shown
    )
    assert len(shown) > 8
    for line, one in zip(told.splitlines(), sorted(shown, key=by_time), strict=True):
        assert f"frame {one.frame} of {name}" in line
        assert line.endswith("\t1")
    checked = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    damaged = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"
    assert run_tshark(tmp_path / "e.pcapng", *checked, "-Y", damaged) == ""


def run_tshark(path: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["tshark", "-r", path, *arguments], capture_output=True, text=True, check=True
    )
    return ran.stdout


def seconds(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d}"


def ja3(hello: ClientHello) -> str:
    return fingerprint.ja3(hello) or ""


def by_time(handshake: Handshake) -> tuple[int, int]:
    return handshake.time_ns, handshake.frame


def test_canary_is_in_no_exhibit(tmp_path: Path) -> None:
    """Reliability row P4: nothing but records of the handshake."""
    frames = craft.merged(*(talk.frames() for talk in dialogues()))
    (tmp_path / "all.pcap").write_bytes(craft.pcap([(at, wire + CANARY) for at, wire in frames]))
    handshakes = [one for one, _ in judged(tmp_path / "all.pcap")]
    assert len(write(handshakes, tmp_path / "e.pcapng")) == 5
    texts = [exhibit(one, one.octets).encode() for one in handshakes if one.octets is not None]
    assert len(texts) == 5
    kept = [read_exhibit(text) for text in texts]
    for octets in (
        (tmp_path / "e.pcapng").read_bytes(),
        *(text.encode() for text in texts),
        *(one.hello + one.answer for one in kept),
    ):
        for word in (CANARY, b"Canary", b"PASS", b"USER", b"AUTH"):
            assert word not in octets


def test_octets_are_left_where_nobody_will_ask_for_them(tmp_path: Path) -> None:
    agreed = craft.Conversation(client_port=1).open().client(craft.tls13_client_hello())
    agreed.server(craft.tls13_server_hello()).client(craft.application_data())
    long = craft.Conversation(client_port=2).open()
    long.client(craft.client_hello(sni="x" * LONGEST_OCTETS)).rst("server")
    cut = craft.Conversation(client_port=3).open().client(craft.client_hello()[:-1]).rst("server")
    most = craft.Conversation(client_port=4).open()
    rest = LONGEST_OCTETS - len(craft.client_hello_message(sni=""))
    most.client(craft.client_hello(sni="x" * rest)).rst("server")
    frames = craft.merged(*(talk.frames() for talk in (agreed, long, cut, most)))
    (tmp_path / "all.pcap").write_bytes(craft.pcap(frames))
    told = {one.flow.source_port: one for one, _ in judged(tmp_path / "all.pcap")}
    assert [port for port, one in sorted(told.items()) if one.octets is not None] == [4]
    assert told[1].outcome == "established"
    assert [told[port].hello.complete for port in (2, 3)] == [True, False]
    assert len(told[4].octets.hello) == LONGEST_OCTETS


@pytest.mark.parametrize("splits", [1, 3, 100])
def test_octets_are_the_message_however_it_came(splits: int, tmp_path: Path) -> None:
    message = craft.client_hello_message(sni="outlook.office365.com")
    talk = craft.Conversation().open().client(craft.records(message, 40), split=splits)
    talk.server(craft.server_hello()).rst("server")
    (tmp_path / "one.pcap").write_bytes(craft.pcap(talk.frames()))
    ((handshake, _),) = judged(tmp_path / "one.pcap")
    assert handshake.octets is not None
    assert handshake.octets.hello == message
    assert handshake.octets.answer == craft.server_hello()[5:]
