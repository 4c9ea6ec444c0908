"""The file that frames are written to: a capture for every reader, whatever happens to the disk."""

import io
import subprocess
from pathlib import Path

import craft
import pytest
from events import FULL
from msgspec.structs import replace

from sniffer.capture.files import CaptureFile
from sniffer.daemon.link import LONGEST_REPORT, MOST_HANDSHAKES
from sniffer.event import EvidenceFrame, Handshake
from sniffer.export.evidence import HORIZON_NS, MOST_WAITING, CaptureWriter
from sniffer.track.evidence import LINK_ETHERNET, MOST_OCTETS, restored

FRAME = craft.Conversation().syn().frames()[0][1]


def shown(number: int, time_ns: int, link: int = LINK_ETHERNET, octets: bytes = FRAME) -> Handshake:
    """Return a handshake with one frame."""
    frame = EvidenceFrame(number, time_ns, link, len(octets) + 4, octets)
    return replace(FULL, evidence=(frame,))


def fill(writer: CaptureWriter) -> None:
    """Write frames, each handed over at once."""
    for number in range(10):
        writer.write(shown(number + 1, number))
        writer.flush()


def read(path: Path, *fields: str) -> list[list[str]]:
    """Return fields of each frame as tshark reads them."""
    options = [part for field in fields for part in ("-e", field)]
    ran = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *options], capture_output=True, text=True, check=True
    )
    return [line.split("\t") for line in ran.stdout.splitlines()]


class FullDisk(io.FileIO):
    """A file on a disk with room for some octets."""

    room = 0

    def write(self, octets: bytes, /) -> int:
        if self.room == 0:
            raise OSError(28, "No space left on device")
        taken = super().write(octets[: self.room])
        self.room -= taken
        return taken


def test_tshark_reads_times_lengths_and_link_types(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    with io.FileIO(path, "w") as out:
        writer = CaptureWriter(out, in_order=True)
        writer.write(shown(1, 1_795_435_200_123_456_789))
        writer.write(shown(2, 1_795_435_201_000_000_001, 101, FRAME[14:]))
        writer.write(shown(3, 1_795_435_202_000_000_000))
        writer.finish()
    assert read(path, "frame.time_epoch", "frame.encap_type", "frame.len", "frame.cap_len") == [
        ["1795435200.123456789", "1", str(len(FRAME) + 4), str(len(FRAME))],
        ["1795435201.000000001", "7", str(len(FRAME) - 10), str(len(FRAME) - 14)],
        ["1795435202.000000000", "1", str(len(FRAME) + 4), str(len(FRAME))],
    ]


def test_file_without_a_frame_is_a_capture(tmp_path: Path) -> None:
    with io.FileIO(tmp_path / "none", "w") as out:
        CaptureWriter(out, in_order=True).finish()
    assert read(tmp_path / "none", "frame.number") == []
    assert CaptureFile(str(tmp_path / "none")).problem is None


def test_frames_are_in_order_of_time_as_far_as_they_wait(tmp_path: Path) -> None:
    second = 1_000_000_000
    with io.FileIO(tmp_path / "x", "w") as out:
        writer = CaptureWriter(out, in_order=True)
        for number, seconds in enumerate((100, 90, 110, 30, 200, 120, 260)):
            writer.write(shown(number + 1, seconds * second))
        writer.flush()
        assert len(read(tmp_path / "x", "frame.number")) == 5  # older than the horizon
        writer.finish()
    times = [float(time) for (time,) in read(tmp_path / "x", "frame.time_epoch")]
    assert times == sorted(times)
    assert 60 * second == HORIZON_NS


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    with io.FileIO(tmp_path / "x", "w") as out:
        writer = CaptureWriter(out, in_order=True)
        for number in range(2 * MOST_WAITING // 60_000):
            writer.write(shown(number + 1, number, octets=bytes(60_000)))
        writer.flush()
        assert out.tell() > MOST_WAITING // 2


@pytest.mark.parametrize("room", range(28, 400, 7))
def test_full_disk_leaves_whole_blocks(room: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    with FullDisk(path, "w") as out:
        out.room = room
        writer = CaptureWriter(out, in_order=False)
        with pytest.raises(OSError, match="No space left"):
            fill(writer)
    assert path.stat().st_size <= room
    # Nothing is cut: a section, then as many interfaces and packets as there was room for.
    assert CaptureFile(str(path)).problem is None
    subprocess.run(["tshark", "-r", path], capture_output=True, check=True)


def test_another_process_goes_on_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with io.FileIO(tmp_path / "x", "w") as out:
        writer = CaptureWriter(out, in_order=False)
        writer.write(shown(1, 1, 101, FRAME[14:]))
        writer.flush()
        other = CaptureWriter.__new__(CaptureWriter)
        other.__dict__.update(writer.__dict__, _interfaces={})
        monkeypatch.setattr("sniffer.export.evidence.os.getpid", lambda: -2)
        other.write(shown(2, 2))
        other.finish()
    assert read(tmp_path / "x", "frame.encap_type") == [["7"], ["1"]]


def test_vlan_tag_the_kernel_took_out_is_put_back() -> None:
    tagged = craft.Conversation(vlans=(77,)).syn().frames()[0][1]
    assert restored(FRAME, LINK_ETHERNET, 77) == tagged
    assert restored(FRAME, LINK_ETHERNET, -1) == FRAME
    assert restored(FRAME[14:], 101, 77) == FRAME[14:]


def test_report_full_of_evidence_is_still_a_report() -> None:
    assert MOST_HANDSHAKES * MOST_OCTETS < LONGEST_REPORT - (1 << 20)
