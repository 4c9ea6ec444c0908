"""Packed captures: every packing, alone and inside each other, cut, damaged and hostile."""

import itertools
import lzma
import os
import random
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import craft
import pytest
import zstandard
from captures import ALL, FRAMES, PCAP, PCAPNG, Read, Told, expected, found, of, read
from packing import PACKED, STREAMS, File, archive, gz, zipped, zst

from parsers.batch import Batch
from sniffer.capture import unpack
from sniffer.capture.files import captures
from sniffer.errors import InputError

MANY = [
    (craft.START_NS + number * 1000, random.Random(number).randbytes(number % 150))
    for number in range(14_000)
]
"""Some 1.3 MB that hardly pack: more than any buffer, and several blocks of each packing."""

each_packing = pytest.mark.parametrize("word", PACKED)
each_stream = pytest.mark.parametrize("word", STREAMS)


def member(word: str) -> str:
    return ":capture.pcap" if word == "zip" else ""


# ---------------------------------------------------------------------------- what is readable


@each_packing
@pytest.mark.parametrize(("container", "octets"), [("pcap", PCAP), ("pcapng", PCAPNG)])
def test_each_packing_of_each_container(
    word: str, container: str, octets: bytes, tmp_path: Path
) -> None:
    wanted = (member(word), f"{word}:{container}", ALL, None)
    assert of(PACKED[word](octets), tmp_path) == ([wanted], [])


@pytest.mark.parametrize("words", list(itertools.product(PACKED, PACKED)), ids=":".join)
def test_packings_inside_each_other(words: tuple[str, str], tmp_path: Path) -> None:
    outer, inner = words
    wanted = (member(outer) + member(inner), f"{outer}:{inner}:pcap", ALL, None)
    assert of(PACKED[outer](PACKED[inner](PCAP)), tmp_path) == ([wanted], [])


@each_packing
def test_three_packings_are_read_and_four_refused_by_name(word: str, tmp_path: Path) -> None:
    pack = PACKED[word]
    three = pack(gz(zipped(PCAP)))
    ((_, form, frames, problem),), refused = of(three, tmp_path)
    assert (form, frames, problem, refused) == (f"{word}:gz:zip:pcap", ALL, None, [])
    read_in, (error,) = of(pack(three), tmp_path)
    assert read_in == []
    assert error.why == "is packed more than 3 times over"


@each_packing
def test_a_large_capture_packed(word: str, tmp_path: Path) -> None:
    ((*_, frames, problem),), refused = of(PACKED[word](craft.pcap(MANY)), tmp_path)
    assert frames == expected(MANY)
    assert (problem, refused) == (None, [])


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["gzip", "-9"], "gz"),
        (["bzip2", "-1"], "bz2"),
        (["xz", "-9", "-T2"], "xz"),
        (["xz", "-0", "--check=crc32"], "xz"),
        (["zstd", "-3", "-q"], "zst"),
        (["zstd", "-19", "-q", "--no-check"], "zst"),
        (["zstd", "-1", "--long=27", "-q"], "zst"),
        (["zip", "-q", "-", "-"], "zip"),
    ],
    ids=" ".join,
)
def test_what_the_usual_programs_pack(command: list[str], word: str, tmp_path: Path) -> None:
    octets = craft.pcap(MANY)
    packed = subprocess.run(command, input=octets, capture_output=True, check=True).stdout
    ((_, form, frames, problem),), refused = of(packed, tmp_path)
    assert (form, problem, refused) == (f"{word}:pcap", None, [])
    assert frames == expected(MANY)


@each_stream
def test_members_streams_and_frames_follow_each_other(word: str, tmp_path: Path) -> None:
    pack = STREAMS[word]
    for at in range(0, len(PCAP) + 1, 29):
        packed = pack(PCAP[:at]) + pack(b"") + pack(PCAP[at:])
        assert of(packed, tmp_path) == ([("", f"{word}:pcap", ALL, None)], [])
    padded = pack(PCAP[:99]) + bytes(200_000) + pack(PCAP[99:]) + bytes(8)
    assert of(padded, tmp_path) == ([("", f"{word}:pcap", ALL, None)], [])


def test_skippable_frames_of_zstd_are_passed_over(tmp_path: Path) -> None:
    skippable = b"\x5e\x2a\x4d\x18" + (300_000).to_bytes(4, "little") + b"\x28" * 300_000
    packed = skippable + zst(PCAP[:99]) + skippable + zst(PCAP[99:]) + skippable
    assert of(packed, tmp_path) == ([("", "zst:pcap", ALL, None)], [])
    ((*_, frames, problem),), _ = of(packed[:-1], tmp_path)
    assert (frames, problem) == (ALL, "the zstd data end too early")


@each_stream
def test_octets_behind_the_last_stream_are_told(word: str, tmp_path: Path) -> None:
    ((*_, frames, problem),), _ = of(STREAMS[word](PCAP) + b"more than this", tmp_path)
    assert frames == ALL
    assert problem is not None
    assert "data are damaged" in problem


# ------------------------------------------------------------------------------- F1: cut files


def whole(prefix: list[Told]) -> bool:
    return prefix == ALL[: len(prefix)]


@each_packing
def test_a_packed_capture_cut_anywhere_gives_what_was_before(word: str, tmp_path: Path) -> None:
    packed = PACKED[word](PCAP)
    for size in range(len(packed)):
        read_in, refused = of(packed[:size], tmp_path)
        # Nothing to be read is exit code 3; else one line tells the damage, which is 4.
        problems = [problem for *_, problem in read_in if problem]
        assert len(problems) + len(refused) == 1, (size, problems, refused)
        assert all(whole(frames) for *_, frames, _ in read_in)
        why = problems[0] if problems else str(refused[0])
        words = ("end too early", "cut short", "is empty", "neither a pcap", "header")
        assert any(word in why for word in words), (size, why)
    assert of(packed, tmp_path)[1] == []


@each_packing
def test_a_packed_capture_damaged_anywhere_invents_no_frame(word: str, tmp_path: Path) -> None:
    packed = PACKED[word](PCAP)
    for at in range(len(packed)):
        damaged = bytearray(packed)
        damaged[at] ^= 0x55
        read_in, refused = of(bytes(damaged), tmp_path)
        for *_, frames, problem in read_in:
            # A time or a name in a header may change unseen; no frame does.
            assert frames == ALL or problem is not None or refused, at


@each_packing
def test_a_damaged_container_within_is_told_as_one(word: str, tmp_path: Path) -> None:
    ((*_, frames, problem),), refused = of(PACKED[word](PCAP + b"\xff" * 40), tmp_path)
    assert (frames, refused) == (ALL, [])
    assert problem == "the file is damaged: this is no packet record"


# ------------------------------------------------------------------------------------- pipes


def from_a_pipe(octets: bytes, size: int, folder: Path) -> Read:
    """Read all captures of a named pipe that is written ``size`` octets at a time."""
    path = folder / "x"
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    def write() -> None:
        with open(path, "wb", buffering=0) as pipe:
            for at in range(0, len(octets), size):
                pipe.write(octets[at : at + size])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return found(path)
    finally:
        writer.join()
        path.unlink()


def several() -> Iterator[tuple[str, bytes]]:
    for word, pack in PACKED.items():
        yield word, pack(PCAP)
        yield f"{word}-cut", pack(PCAP)[:-9]
    follows = [File(name, PCAP, method, "short") for name, method in (("a", 8), ("b", 0))]
    yield "zip-of-a-pipe", archive(*follows, File("c", zst(PCAPNG), 0))


@pytest.mark.parametrize("octets", [pytest.param(o, id=name) for name, o in several()])
def test_a_pipe_gives_what_the_file_gives(octets: bytes, tmp_path: Path) -> None:
    read_in, refused = of(octets, tmp_path)
    whys = [error.why for error in refused]
    for size in (1, 7, 64, len(octets)):
        again, errors = from_a_pipe(octets, size, tmp_path)
        assert (again, [error.why for error in errors]) == (read_in, whys), size


@pytest.mark.parametrize("word", ["gz", "bz2", "xz", "zst"])
def test_a_pipe_is_read_as_it_comes(word: str, tmp_path: Path) -> None:
    """What was packed and flushed is told before the writer goes on."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pack = STREAMS[word]
    first, rest = pack(PCAP), pack(PCAP[24:])
    may_end = threading.Event()

    def write() -> None:
        with open(path, "wb", buffering=0) as pipe:
            pipe.write(first)
            assert may_end.wait(60)
            pipe.write(rest)

    writer = threading.Thread(target=write)
    writer.start()

    with closing(captures(str(path))) as sources:
        source = next(sources)
        assert not isinstance(source, InputError)
        batch = Batch()
        assert source.read(batch)
        assert batch.count == len(FRAMES)
        may_end.set()
        assert source.read(batch)
        assert batch.count == len(FRAMES)
    writer.join()


# ------------------------------------------------------------- F4: what would take too much


def test_a_gigabyte_of_memory_is_not_given(tmp_path: Path) -> None:
    octets = bytearray(lzma.compress(PCAP, preset=6))
    # The block's header: its size, flags, filter LZMA2 with one octet that tells the
    # dictionary's size, padding, CRC-32 (The .xz File Format, section 3.1).
    assert octets[12:16] == b"\x02\x00\x21\x01"
    octets[16] = 36  # 1 GiB
    octets[20:24] = zlib.crc32(octets[12:20]).to_bytes(4, "little")
    _, (error,) = of(bytes(octets), tmp_path)
    assert "takes more than 128 MiB of memory to unpack" in error.why
    assert "xz -dc FILE | hellowatch analyze -" in error.why
    assert error.exit_code == 3


@pytest.mark.parametrize("exponent", [28, 31, 41])
def test_a_zstd_window_of_gigabytes_is_refused_by_name(exponent: int, tmp_path: Path) -> None:
    header = b"\x28\xb5\x2f\xfd" + bytes((0, exponent - 10 << 3))
    block = (1 | len(PCAP) << 3).to_bytes(3, "little") + PCAP
    _, (error,) = of(header + block, tmp_path)
    assert "takes more than 128 MiB of memory to unpack" in error.why
    narrow = b"\x28\xb5\x2f\xfd" + bytes((0, 27 - 10 << 3))
    assert of(narrow + block, tmp_path) == ([("", "zst:pcap", ALL, None)], [])


def test_what_is_packed_inside_gets_less_memory(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=25)
    ).compressobj()
    wide = packer.compress(PCAP) + packer.flush()
    assert of(wide, tmp_path) == ([("", "zst:pcap", ALL, None)], [])
    assert of(zipped(wide), tmp_path)[1] == []
    _, (error,) = of(gz(wide), tmp_path)
    assert "takes more than 16 MiB of memory" in error.why


def test_a_frame_with_a_dictionary_is_told(tmp_path: Path) -> None:
    samples = [random.Random(n).randbytes(40) * 9 for n in range(900)]
    packer = zstandard.ZstdCompressor(dict_data=zstandard.train_dictionary(4096, samples))
    _, (error,) = of(packer.compress(PCAP), tmp_path)
    assert "packed with a dictionary of its own" in error.why


@each_stream
def test_empty_members_have_an_end(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MOST_EMPTY", 1000)
    empty, fine = STREAMS[word](b""), STREAMS[word](PCAP)
    assert of(empty * 1000 + fine, tmp_path) == ([("", f"{word}:pcap", ALL, None)], [])
    _, (error,) = of(empty * 1001 + fine, tmp_path)
    assert "has more than 1000 empty parts" in error.why
    ((*_, frames, problem),), _ = of(fine + empty * 1001, tmp_path)
    assert frames == ALL
    assert problem is not None
    assert "has more than 1000 empty parts" in problem


def test_one_capture_of_an_input_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(zipped(PCAP))
    assert read(path) == (ALL, None)
    path.write_bytes(archive(File("a", PCAP), File("b", PCAPNG)))
    frames, problem = read(path)
    assert frames == ALL
    assert problem is not None
    assert problem.path == f"{path}:a"
    assert problem.why == f"is not all of the archive: {path}:b is left out"
