"""Capture files: packed, piped, cut, damaged, and none at all."""

import gzip
import json
import os
import random
import shlex
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import craft
import pytest
from captures import FRAMES, Told, expected, read
from craft import Conversation, Section
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.batch import Batch
from sniffer.capture import files
from sniffer.capture.files import BUFFER_BYTES, CaptureFile
from sniffer.errors import InputError

PCAP = craft.pcap(FRAMES)
HEAD = bytes(Section().interface().packets(FRAMES[:2]))
TAIL = bytes(Section(">").interface().packets(FRAMES[2:]))
PCAPNG = HEAD + TAIL
ALL = expected(FRAMES)

OFFICE = Path(__file__).parents[2] / "pcaps" / "office.pcapng"

MANY = [
    (craft.START_NS + number * 1000, number.to_bytes(4, "big") * (1 + number % 150))
    for number in range(9_000)
]
"""Some 2.7 MB, more than the buffer, and more frames than a batch holds."""


def of(octets: bytes, folder: Path, capacity: int = 64) -> tuple[list[Told], InputError | None]:
    """Return what is read of a file with these octets."""
    path = folder / "capture"
    path.write_bytes(octets)
    return read(path, capacity)


def refused(octets: bytes, folder: Path) -> InputError:
    """Return why a file with these octets is no capture."""
    with pytest.raises(InputError) as error:
        of(octets, folder)
    return error.value


# ------------------------------------------------------------------------- what is readable


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (PCAP, "pcap"),
        (craft.pcap(FRAMES, byte_order=">", nanoseconds=True), "pcap"),
        (PCAPNG, "pcapng"),
        (craft.pcap(FRAMES, more=bytes(8)), "pcap"),
        (craft.snoop(FRAMES), "snoop"),
        (gzip.compress(PCAP, mtime=0), "gz:pcap"),
        (gzip.compress(PCAPNG, mtime=0), "gz:pcapng"),
    ],
)
def test_formats_are_told_by_their_first_octets(octets: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(octets)
    source = CaptureFile(str(path))
    assert (source.format, source.size) == (name, len(octets))
    assert source.consumed <= len(octets)
    source.close()
    frames, problem = read(path)
    assert problem is None
    assert [frame[0] for frame in frames] == [frame[0] for frame in ALL]


@pytest.mark.parametrize("capacity", [1, 3, 8192])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("form", [craft.pcap, craft.pcapng])
def test_a_file_larger_than_the_buffer(
    form: Callable[[list[craft.Frame]], bytes],
    pack: Callable[[bytes], bytes],
    capacity: int,
    tmp_path: Path,
) -> None:
    octets = form(MANY)
    assert len(octets) > 2 * BUFFER_BYTES
    frames, problem = of(pack(octets), tmp_path, capacity)
    assert problem is None
    assert frames == expected(MANY)


def test_frames_are_numbered_through_all_batches(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(PCAP)
    source, batch = CaptureFile(str(path)), Batch(3)
    numbers: list[int] = []
    while source.read(batch):
        numbers += range(batch.first_frame, batch.first_frame + batch.count)
    source.close()
    assert numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("octets", [craft.pcap([]), bytes(Section()), bytes(Section().interface())])
def test_a_capture_without_frames_is_a_capture(octets: bytes, tmp_path: Path) -> None:
    assert of(octets, tmp_path) == ([], None)


# ------------------------------------------------------------------------------------ gzip


def test_gzip_members_follow_each_other_wherever_they_part(tmp_path: Path) -> None:
    for at in range(0, len(PCAP) + 1, 7):
        packed = (
            gzip.compress(PCAP[:at], mtime=0)
            + gzip.compress(b"", mtime=0)
            + gzip.compress(PCAP[at:], mtime=0)
        )
        assert of(packed, tmp_path) == (ALL, None)


def test_zeros_behind_and_between_members_are_padding(tmp_path: Path) -> None:
    for zeros in (1, 511, 200_000):
        packed = (
            gzip.compress(PCAP[:100], mtime=0) + bytes(zeros) + gzip.compress(PCAP[100:], mtime=0)
        )
        assert of(packed + bytes(zeros), tmp_path) == (ALL, None)


def test_octets_behind_the_last_member_are_told(tmp_path: Path) -> None:
    frames, problem = of(gzip.compress(PCAP, mtime=0) + b"more", tmp_path)
    assert frames == ALL
    assert problem is not None
    assert "gzip" in problem.why


def stored(octets: bytes) -> bytes:
    """Pack without compressing, so that a cut costs no frame but the one it hits."""
    return gzip.compress(octets, compresslevel=0, mtime=0)


def test_gzip_cut_anywhere_gives_what_was_before(tmp_path: Path) -> None:
    packed = stored(PCAP)
    seen = 0
    for size in range(18, len(packed)):
        if size < 10 + 5 + 24:
            assert (
                "is no readable capture: the gzip data end" in refused(packed[:size], tmp_path).why
            )
            continue
        frames, problem = of(packed[:size], tmp_path)
        assert frames == ALL[: len(frames)]
        assert len(frames) >= seen
        seen = len(frames)
        assert problem is not None
        assert problem.why == "the gzip data end too early"
        assert problem.offset == size
    assert seen == len(ALL)


def test_gzip_damaged_anywhere_is_told_and_never_raises(tmp_path: Path) -> None:
    packed = gzip.compress(PCAP, mtime=0)
    for at in range(len(packed)):
        octets = bytearray(packed)
        octets[at] ^= 0x55
        try:
            frames, problem = of(bytes(octets), tmp_path)
        except InputError:
            continue
        # A header's time or name may change unseen; no frame does.
        assert frames == ALL or problem is not None


def test_twenty_thousand_empty_members_take_no_time(tmp_path: Path) -> None:
    empty = gzip.compress(b"", mtime=0)
    started = time.process_time()
    gzip.decompress(empty * 20_000)
    usual = time.process_time() - started
    started = time.process_time()
    assert of(empty * 20_000 + gzip.compress(PCAP, mtime=0), tmp_path) == (ALL, None)
    assert time.process_time() - started < 20 * usual + 0.5


# ------------------------------------------------------------------------------------ pipes


def through_a_pipe(octets: bytes, size: int, folder: Path) -> tuple[list[Told], object]:
    """Return what is read from a named pipe that is written ``size`` octets at a time."""
    path = folder / "pipe"
    if not path.exists():
        os.mkfifo(path)

    def write() -> None:
        with open(path, "wb", buffering=0) as pipe:
            for at in range(0, len(octets), size):
                pipe.write(octets[at : at + size])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        frames, problem = read(path)
    finally:
        writer.join()
    return frames, None if problem is None else (problem.why, problem.offset)


@pytest.mark.parametrize(
    "octets",
    [
        PCAP,
        PCAPNG,
        gzip.compress(PCAPNG, mtime=0),
        PCAP[:-3],
        HEAD + b"junk" * 9 + TAIL,
        stored(PCAP)[:-20],
    ],
    ids=["pcap", "pcapng", "gz", "cut", "damaged", "gz-cut"],
)
def test_a_pipe_gives_what_the_file_gives(octets: bytes, tmp_path: Path) -> None:
    frames, problem = of(octets, tmp_path)
    wanted = (frames, None if problem is None else (problem.why, problem.offset))
    for size in (1, 2, 3, 5, 7, 12, 16, 24, 31, 64, len(octets)):
        assert through_a_pipe(octets, size, tmp_path) == wanted, size


class Trickle:
    """Octets that come in the sizes given, then one at a time."""

    def __init__(self, octets: bytes, sizes: list[int]) -> None:
        self.octets, self.sizes, self.at = octets, list(sizes), 0
        self.size = len(octets)
        self.consumed = 0

    def read_into(self, buffer: memoryview) -> int:
        size = min(self.sizes.pop(0) if self.sizes else 1, len(buffer))
        part = self.octets[self.at : self.at + size]
        buffer[: len(part)] = part
        self.at += len(part)
        self.consumed = self.at
        return len(part)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [PCAP, PCAPNG, PCAP[:-1], HEAD + bytes(40) + TAIL, gzip.compress(PCAPNG, mtime=0)]
    ),
    st.lists(st.integers(1, 200), max_size=12),
)
def test_any_sizes_of_reads_give_the_same(octets: bytes, sizes: list[int]) -> None:
    results = []
    for reads in ([len(octets)], sizes):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(files, "PlainOctets", lambda *_, r=reads: Trickle(octets, r))
            frames, problem = read(__file__)
        results.append((frames, problem and (problem.why, problem.offset)))
    assert results[0] == results[1]


# ------------------------------------------------------------------------------ F1: cut files


def test_a_pcap_cut_anywhere_gives_all_before_the_cut(tmp_path: Path) -> None:
    borders = [24]
    for _, frame in FRAMES:
        borders.append(borders[-1] + 16 + len(frame))
    check_cuts(PCAP, 24, borders, borders[1:], tmp_path)


def test_a_pcapng_cut_anywhere_gives_all_before_the_cut(tmp_path: Path) -> None:
    borders = [0]
    for section, order in ((HEAD, "<"), (TAIL, ">")):
        at, start = 0, borders[-1]
        while at < len(section):
            at += struct.unpack_from(order + "I", section, at + 4)[0]
            borders.append(start + at)
    check_cuts(PCAPNG, 28, borders, borders[3:5] + borders[7:9], tmp_path)


def check_cuts(
    octets: bytes, header: int, borders: list[int], ends: list[int], folder: Path
) -> None:
    """Cut a capture at every octet: the frames whole by then, and one problem with its place."""
    path = folder / "capture"
    path.write_bytes(octets)
    for size in range(len(octets), -1, -1):
        os.truncate(path, size)
        if size < header:
            with pytest.raises(InputError) as error:
                read(path)
            assert error.value.exit_code == 3
            assert error.value.why in ("is empty", "is cut short within its header")
            continue
        frames, problem = read(path)
        assert frames == ALL[: sum(1 for end in ends if end <= size)]
        place = max(border for border in borders if border <= size)
        if place == size:
            assert problem is None
        else:
            assert problem is not None
            assert (problem.path, problem.offset) == (str(path), place)
            assert problem.why == "the file is cut short: a record does not end"


def test_a_large_file_cut_tells_the_place_in_the_file(tmp_path: Path) -> None:
    octets = craft.pcap(MANY)
    frames, problem = of(octets[:-1], tmp_path)
    assert frames == expected(MANY[:-1])
    assert problem is not None
    assert problem.offset == len(octets) - 16 - len(MANY[-1][1])


@pytest.mark.parametrize("size", [1, 3, 4, 11, 12, 23, 24, 100, 5000])
def test_random_octets_are_no_capture(size: int, tmp_path: Path) -> None:
    for seed in range(20):
        error = refused(random.Random(seed).randbytes(size), tmp_path)
        assert error.exit_code == 3


# -------------------------------------------------------------------------- F2: damaged files

ZEROS = b"\0" * 64


@pytest.mark.parametrize(
    "junk",
    [
        bytes(4),
        b"junk",
        struct.pack("<III", 6, 0, 0),
        struct.pack("<III", 6, 0xFFFFFFFF, 0),
        struct.pack("<IIII", 5, 16, 0, 20),
        b"\x0a\x0d\x0d\x0a" + bytes(24),
        b"\x0a\x0d\x0d\x0a\xff\xff\xff\xff\x4d\x3c\x2b\x1a" + bytes(16),
        b"\x0a\x0d\x0d\x0a\x20\0\0\0\x4d\x3c\x2b\x1a" + bytes(20),
        b"\x0a\x0d\x0d\x0a" * 9,
        b"\x0a",
        b"\x0a\x0d\x0d",
        bytes(300_000),
        bytes(3 * BUFFER_BYTES),
    ],
    ids=lambda junk: f"{junk[:12].hex()}-{len(junk)}",
)
def test_reading_goes_on_at_the_next_section(junk: bytes, tmp_path: Path) -> None:
    frames, problem = of(HEAD + junk + TAIL, tmp_path)
    assert frames == ALL
    assert problem is not None
    assert problem.offset == len(HEAD)
    assert problem.why.startswith("the file is damaged: ")


def test_without_another_section_reading_stops_at_the_damage(tmp_path: Path) -> None:
    for junk in (b"junk" * 9, ZEROS, bytes(2 * BUFFER_BYTES), b"\x0a\x0d\x0d\x0a" * 999):
        frames, problem = of(HEAD + junk, tmp_path)
        assert frames == ALL[:2]
        assert problem is not None
        assert problem.offset == len(HEAD)


def test_only_the_first_of_several_damages_is_told(tmp_path: Path) -> None:
    frames, problem = of(HEAD + b"junk" * 5 + TAIL + b"more junk" * 5, tmp_path)
    assert frames == ALL
    assert problem is not None
    assert problem.offset == len(HEAD)


def test_a_pcap_is_read_up_to_its_damage(tmp_path: Path) -> None:
    for junk in (bytes(64), b"\xff" * 64):
        frames, problem = of(PCAP + junk + PCAP[24:], tmp_path)
        assert frames == ALL
        assert problem is not None
        assert problem.offset == len(PCAP)
        assert problem.why == "the file is damaged: this is no packet record"


def test_damage_again_and_again_costs_no_more_than_its_octets(tmp_path: Path) -> None:
    """Each broken section is followed by a sound header, so that reading starts anew."""
    broken = bytes(Section()) + struct.pack("<III", 6, 0, 0)
    few, many = (timed(broken * count, tmp_path) for count in (3_000, 24_000))
    assert many < 8 * 3 * few + 0.2


def timed(octets: bytes, folder: Path) -> float:
    started = time.process_time()
    frames, problem = of(octets, folder)
    assert (frames, problem is None) == ([], False)
    return time.process_time() - started


def test_a_million_interfaces_end(tmp_path: Path) -> None:
    one = bytes(Section().interface())[28:]
    octets = bytes(Section()) + one * 1_000_000 + TAIL
    frames, problem = of(octets, tmp_path)
    assert frames == ALL[2:]
    assert problem is not None
    assert problem.offset == 28 + 65_536 * len(one)
    assert "interfaces" in problem.why


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([PCAP, PCAPNG, gzip.compress(PCAPNG, mtime=0)]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 60),
)
def test_changed_octets_never_raise_anything_else(
    octets: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(octets)
    for at, value in changes:
        changed[at % len(changed)] = value
    with pytest.MonkeyPatch.context() as patched:
        wire = bytes(changed[: len(changed) - cut])
        patched.setattr(files, "PlainOctets", lambda *_: Trickle(wire, [len(wire)]))
        try:
            frames, problem = read(__file__)
        except InputError:
            return
    assert sum(len(frame[0]) for frame in frames) <= len(PCAPNG)
    assert problem is None or 0 <= (problem.offset or 0) <= 4 * len(octets)


# ------------------------------------------------------------------------ what is no capture


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "is empty"),
        (b"\xd4\xc3\xb2\xa1", "is cut short within its header"),
        (b"\x0a\x0d\x0d\x0a", "is cut short within its header"),
        (b"no capture at all, but a text", "is neither a pcap nor a pcapng file"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "the zstd data are damaged"),
        (b"\xfd7zXZ\0" + b"\xff" * 40, "the xz data are damaged"),
        (b"BZh91AY" + b"\xff" * 40, "the bzip2 data are damaged"),
        (b"PK\x03\x04" + b"\xff" * 40, "the zip archive is cut short"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (
            gzip.compress(b"a text, packed, of some length", mtime=0),
            "is neither a pcap nor a pcapng file",
        ),
        (b"\x1f\x8b" + b"\xff" * 40, "is no readable capture"),
        (gzip.compress(PCAP, mtime=0)[:15], "is no readable capture"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(octets: bytes, why: str, tmp_path: Path) -> None:
    error = refused(octets, tmp_path)
    assert error.exit_code == 3
    assert why in str(error)
    assert "\n" not in str(error)


TRACE = (
    (0x10000).to_bytes(4, "little") + bytes(68) + bytes.fromhex("020002c0 14010000") + bytes(400)
)
"""An event trace of Windows as its headers draw it: no program here writes one."""

CONVERT = "convert it first: editcap -F pcap {} - | hellowatch analyze -"
FOREIGN = [
    (b"RTSS" + bytes(40), "is a Network Monitor 1 capture; " + CONVERT),
    (b"GMBU" + bytes(40), "is a Network Monitor 2 capture; " + CONVERT),
    (b"TRSNIFF data    " + bytes(40), "is a Sniffer capture; " + CONVERT),
    (b"XCP\0" + bytes(40), "is a NetXray capture; " + CONVERT),
    (b"iptrace 2.0" + bytes(40), "is an AIX iptrace capture; " + CONVERT),
    (craft.snoop(FRAMES, version=3), "is a snoop capture, not of version 2; " + CONVERT),
    (
        TRACE,
        "is a Windows event trace (.etl); convert it first, on Windows: pktmon etl2pcap {} --out "
        "{}.pcapng (of pktmon), or etl2pcapng {} {}.pcapng (of netsh trace)",
    ),
    (
        b"\x04\x22\x4d\x18" + bytes(40),
        "is packed with lz4; unpack it first: lz4 -dc {} | hellowatch analyze -",
    ),
    (b"7z\xbc\xaf\x27\x1c" + bytes(40), "is a 7z archive; unpack it first: 7z x {}"),
    (b"Rar!\x1a\x07\x01\0" + bytes(40), "is a RAR archive; unpack it first: unrar x {}"),
]


@pytest.mark.parametrize(("wire", "why"), FOREIGN, ids=[why[:28] for _, why in FOREIGN])
def test_other_formats_are_refused_with_the_command_that_helps(
    wire: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "it's here"
    path.write_bytes(wire)
    with pytest.raises(InputError) as error:
        read(path)
    assert error.value.why == why.replace("{}", shlex.quote(str(path)))
    # Packed, it has no name that a command could take.
    assert refused(gzip.compress(wire, mtime=0), tmp_path).why == why.replace("{}", "FILE")
    for size in range(len(wire)):
        refused(wire[:size], tmp_path)


def test_what_editcap_writes_is_refused_by_name_or_read(tmp_path: Path) -> None:
    """Real files of other formats; the commands that are told work."""
    (tmp_path / "x.pcap").write_bytes(PCAP)
    for form, why in (("netmon1", "Network Monitor 1"), ("netmon2", "Network Monitor 2")):
        made = tmp_path / form
        subprocess.run(["editcap", "-F", form, "x.pcap", made], cwd=tmp_path, check=True)
        with pytest.raises(InputError, match=why) as error:
            read(made)
        command = error.value.why.partition("convert it first: ")[2].partition(" | ")[0]
        octets = subprocess.run(shlex.split(command), capture_output=True, check=True).stdout
        assert [frame[0] for frame in of(octets, tmp_path)[0]] == [frame[0] for frame in ALL]
    for form in ("snoop", "modpcap", "nsecpcap", "pcapng"):
        made = tmp_path / form
        subprocess.run(["editcap", "-F", form, "x.pcap", made], cwd=tmp_path, check=True)
        frames, problem = read(made)
        assert problem is None
        assert [frame[:3] for frame in frames] == [frame[:3] for frame in ALL]


def test_a_tar_archive_is_refused_by_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        (tmp_path / "a.pcap").write_bytes(PCAP)
        archive.add(tmp_path / "a.pcap", "a.pcap")
    octets = (tmp_path / "x.tar").read_bytes()
    assert "is a tar archive; unpack it first: tar -xf" in refused(octets, tmp_path).why
    assert "tar -xf FILE" in refused(gzip.compress(octets, mtime=0), tmp_path).why


def test_a_trace_that_cannot_be_told_by_its_octets_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "Monday.ETL"
    path.write_bytes(b"anything at all, of some length")
    with pytest.raises(InputError, match=r"pktmon etl2pcap \S+Monday.ETL --out"):
        read(path)


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path, "is a directory"),
        (Path("/dev/zero"), "is a device or socket"),
        (tmp_path / "missing", "cannot be opened"),
        ("a\0b", "cannot be opened"),
    ):
        with pytest.raises(InputError, match=why):
            CaptureFile(str(path))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for octets in (PCAP, PCAPNG[:50], b"", b"text", gzip.compress(PCAP, mtime=0)[:20]):
        try:
            of(octets, tmp_path)
        except InputError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before


# --------------------------------------------------------------------------- the real command


def analyze(path: Path, folder: Path) -> tuple[int, list[dict[str, object]], list[str]]:
    """Run ``hellowatch analyze`` on a capture: exit code, events, lines on stderr."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in paths if p)}
    command = [sys.executable, "-m", "sniffer.cli.main", "analyze", "--format", "ndjson", str(path)]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in run.stdout.splitlines()]
    return run.returncode, events, run.stderr.splitlines()


TALK = Conversation().open().client(craft.client_hello()).server(craft.alert()).frames()
SECOND = Conversation(client="10.0.0.51").open().client(craft.client_hello()).frames()
BOTH = craft.pcap([*TALK, *SECOND])


@pytest.mark.parametrize(
    ("octets", "code", "events", "place"),
    [
        pytest.param(BOTH, 0, 2, None, id="whole"),
        pytest.param(BOTH[:-1], 4, 1, len(BOTH) - 16 - len(SECOND[-1][1]), id="cut"),
        pytest.param(BOTH + b"\xff" * 40, 4, 2, len(BOTH), id="damaged"),
        pytest.param(gzip.compress(BOTH, mtime=0) + b"more", 4, 2, None, id="gz-damaged"),
        pytest.param(BOTH[:23], 3, 0, 23, id="cut-in-the-header"),
        pytest.param(bytes(Section())[:27], 3, 0, 27, id="cut-in-the-section-header"),
        pytest.param(b"", 3, 0, None, id="empty"),
        pytest.param(random.Random(1).randbytes(4096), 3, 0, None, id="random"),
    ],
)
def test_analyze_tells_damage_once_with_its_offset(
    octets: bytes, code: int, events: int, place: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(octets)
    found, told_events, lines = analyze(path, tmp_path)
    assert (found, len(told_events)) == (code, events), lines
    named = [line for line in lines if "capture.pcap" in line]
    assert len(named) == (0 if code == 0 else 1), lines
    if place is not None:
        assert f"at offset {place}" in named[0]
    assert not any("Traceback" in line for line in lines)
