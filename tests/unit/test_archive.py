"""Zip archives: every way of writing a file into one, and what is wrong with them."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import craft
import pytest
from captures import ALL, PCAP, PCAPNG, expected, of
from packing import File, archive, zst

from sniffer.capture.archive import MOST_MEMBERS

TEXT = b"captures of Monday and Tuesday, both floors"


def wanted(name: str, form: str = "zip:pcap") -> tuple[str, str, object, None]:
    return f":{name}", form, ALL, None


@pytest.mark.parametrize(
    ("method", "follows"),
    [(0, ""), (0, "short"), (0, "long")]
    + [(method, how) for method in (8, 12, 93, 95) for how in ("", "short", "long", "bare")],
)
def test_every_way_to_write_a_file(method: int, follows: str, tmp_path: Path) -> None:
    octets = archive(
        File("a.pcap", PCAP, method, follows),
        File("day/", b"", 0),
        File("day/b", PCAPNG, method, follows, long=True),
        comment=b"two of them",
    )
    assert of(octets, tmp_path) == ([wanted("a.pcap"), wanted("day/b", "zip:pcapng")], [])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("seekable", [True, False])
def test_what_python_writes(method: int, seekable: bool, tmp_path: Path) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return seekable

        def seek(self, *_: int) -> int:
            if not seekable:
                raise OSError
            return super().seek(*_)

    stream = Pipe()
    with zipfile.ZipFile(stream, "w", method) as written:
        written.writestr("a", PCAP)
        with written.open("b", "w", force_zip64=True) as file:
            file.write(PCAPNG)
    read_in, refused = of(stream.getvalue(), tmp_path)
    assert (read_in, refused) == ([wanted("a"), wanted("b", "zip:pcapng")], [])


@pytest.mark.parametrize("level", ["-0", "-9"])
def test_what_info_zip_writes_of_a_folder(level: str, tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "a.pcap").write_bytes(PCAP)
    (tmp_path / "d" / "e" / "b.zst").write_bytes(zst(PCAPNG))
    subprocess.run(["zip", "-q", "-r", level, "z.zip", "d"], cwd=tmp_path, check=True)
    read_in, refused = of((tmp_path / "z.zip").read_bytes(), tmp_path)
    assert refused == []
    assert sorted(read_in) == [wanted("d/a.pcap"), wanted("d/e/b.zst", "zip:zst:pcapng")]


def test_signatures_within_stored_data_do_not_end_them(tmp_path: Path) -> None:
    inner = archive(File("x", PCAP, 0, "short"), File("y", TEXT, 0, "long"))
    hidden = [(craft.START_NS, b"PK\7\x08" * 9), (craft.START_NS, inner), (craft.START_NS, b"PK")]
    octets = archive(File("a", craft.pcap(hidden), 0, "short"), File("b", PCAP, 0, "long"))
    read_in, refused = of(octets, tmp_path)
    assert refused == []
    assert read_in == [(":a", "zip:pcap", expected(hidden), None), wanted("b")]


def test_what_is_no_capture_does_not_keep_from_the_others(tmp_path: Path) -> None:
    octets = archive(
        File("README.txt", TEXT),
        File("empty", b"", 0),
        File("broken", PCAP[:-9]),
        File("changed", PCAP, checksum=77),
        File("secret", PCAP, flags=1),
        File("large", PCAP, 9),
        File("odd", PCAP, 250),
        File("__MACOSX/._a", b"\0\5\x16\7" * 20),
        File("a", PCAP),
    )
    read_in, refused = of(octets, tmp_path)
    assert [(name, problem) for name, *_, problem in read_in] == [
        (":broken", "the file is cut short: a record does not end"),
        (":changed", "the zip data are damaged (their checksum differs)"),
        (":a", None),
    ]
    whys = [str(error).partition("/x:")[2] for error in refused]
    assert whys == [
        "README.txt: is neither a pcap nor a pcapng file",
        "empty: is empty",
        "secret: is encrypted; unpack it first: unzip, or 7z x",
        "large: is packed with Deflate64; unpack it first: unzip, or 7z x",
        "odd: is packed with method 250; unpack it first: unzip, or 7z x",
    ]


def test_a_file_of_untold_length_that_cannot_be_unpacked_ends_it(tmp_path: Path) -> None:
    octets = archive(File("a", PCAP), File("b", PCAP, 9, "short"), File("c", PCAP))
    read_in, refused = of(octets, tmp_path)
    assert read_in == [wanted("a")]
    assert "is packed with Deflate64" in refused[0].why
    assert "what follows that is not read" in refused[1].why


@pytest.mark.parametrize("follows", ["", "short"])
@pytest.mark.parametrize("method", [0, 8])
def test_damage_in_one_file_is_told_once(follows: str, method: int, tmp_path: Path) -> None:
    files = [File(name, PCAP, method, follows) for name in "abc"]
    octets = bytearray(archive(*files))
    one = len(archive(files[0])) - len(archive()) - 47
    octets[one + 31 + 200] ^= 0xFF
    read_in, refused = of(bytes(octets), tmp_path)
    told = [name for name, *_, problem in read_in if problem] + [error.why for error in refused]
    assert len(told) == 1, told
    assert read_in[0] == wanted("a")
    if not follows:
        assert read_in[-1] == wanted("c")


def test_an_archive_without_a_file_is_refused(tmp_path: Path) -> None:
    for octets in (archive(), archive(comment=b"nothing"), archive(File("d/", b"", 0))):
        _, (error,) = of(octets, tmp_path)
        assert error.why == "is an archive without a file in it"


def test_an_archive_cut_in_its_directory_was_read(tmp_path: Path) -> None:
    octets = archive(File("a", PCAP), File("b", PCAP))
    directory = octets.index(b"PK\1\2")
    for size in range(directory, len(octets)):
        read_in, (error,) = of(octets[:size], tmp_path)
        assert read_in == [wanted("a"), wanted("b")]
        assert error.why == "the zip archive is cut short"
        assert error.offset is not None
    read_in, (error,) = of(octets[:directory] + b"junk" * 20, tmp_path)
    assert read_in == [wanted("a"), wanted("b")]
    assert (error.offset, "damaged" in error.why) == (directory, True)
    assert of(octets + b"what some programs add", tmp_path)[1] == []


def test_the_number_of_files_has_an_end(tmp_path: Path) -> None:
    one = archive(File("n", b"", 0))
    header = one[: one.index(b"PK\1\2")]
    read_in, refused = of(header * (MOST_MEMBERS + 50), tmp_path)
    assert read_in == []
    assert len(refused) == MOST_MEMBERS + 1
    assert refused[-1].why == f"holds more than {MOST_MEMBERS} files"


def test_names_of_any_octets_are_bounded_text(tmp_path: Path) -> None:
    octets = archive(File("n" * 60_000, PCAP), File("k\x1b[31m\0.pcap", PCAP))
    octets = octets.replace(b"k\x1b", b"\xe9\x1b")
    (long, hostile), refused = of(octets, tmp_path)
    assert refused == []
    assert long[0] == ":" + "n" * 255
    assert hostile[0] == ":\\xe9\x1b[31m\0.pcap"
    run = subprocess.run(
        [sys.executable, "-m", "sniffer.cli.main", "analyze", "--format", "json", tmp_path / "x"],
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0
    assert b"\x1b" not in run.stdout + run.stderr
