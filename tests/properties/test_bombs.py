"""F4 and F5: inputs that would take all memory or all time, given to the program itself.

Memory is the program's own largest resident set, against that of a small plain capture.
"""

import bz2
import json
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import craft
import pytest
from packing import File, archive, gz, zipped, zst
from program import OFFICE, SECONDS, environment, hellowatch

MIB = 1 << 20
MORE_KIB = 16 << 10
"""How much more memory than for a plain capture may be resident (row F4)."""

TALK = craft.Conversation().open().client(craft.client_hello()).server(craft.alert()).frames()
PCAP = craft.pcap(TALK)
NOISE = craft.pcap([(TALK[-1][0] + 60 * 10**9, craft.ethernet(bytes(MIB // 8), kind=0x88B5))])[24:]
"""A frame of 128 KiB, nothing of it mail, a minute later: few of them make a gigabyte."""

LAUNCH = """
import os, resource, sys
process = os.fork()
if process == 0:
    os.execv(sys.executable, [sys.executable, "-m", "sniffer.cli.main", *sys.argv[1:]])
_, status, usage = os.wait4(process, 0)
print(f"KIB {usage.ru_maxrss}", file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small parent: a child begins with the resident set of whoever started it."""


class Ran:
    """What became of ``analyze --format json``."""

    def __init__(self, *arguments: str | Path, cwd: Path, stdin: object = None) -> None:
        process = subprocess.run(
            [sys.executable, "-c", LAUNCH, "analyze", "--format", "json", *arguments],
            cwd=cwd,
            env=environment(),
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        lines = process.stderr.decode().splitlines()
        self.kib = int(lines.pop().removeprefix("KIB "))
        self.told = lines
        self.code = process.returncode
        assert not any("Traceback" in line for line in lines), lines
        self.summary = json.loads(process.stdout)

    @property
    def hellos(self) -> int:
        return int(self.summary["totals"]["hellos"])


@cache
def usual_kib() -> int:
    """Return what a small plain capture takes."""
    return Ran(OFFICE, cwd=OFFICE.parent).kib


def gz_bomb(head: bytes, filling: bytes) -> bytes:
    """Pack ``head`` and 10 GiB of ``filling``, in members of 64 MiB: some 10 MB."""
    return gz(head) + gz(filling * (64 * MIB // len(filling))) * 160


def bz2_bomb(head: bytes, filling: bytes) -> bytes:
    """The same as bzip2 streams."""
    return bz2.compress(head) + bz2.compress(filling * (64 * MIB // len(filling))) * 160


def xz_asking(octets: bytes) -> bytes:
    """Pack so that unpacking asks for 1 GiB (The .xz File Format, section 3.1)."""
    wire = bytearray(lzma.compress(octets))
    assert wire[12:16] == b"\x02\x00\x21\x01"
    wire[16] = 36
    wire[20:24] = zlib.crc32(wire[12:20]).to_bytes(4, "little")
    return bytes(wire)


def zst_window(octets: bytes) -> bytes:
    """Pack as a frame with a window of 2 GiB."""
    return b"\x28\xb5\x2f\xfd\0\xa8" + (1 | len(octets) << 3).to_bytes(3, "little") + octets


def zst_runs() -> bytes:
    """Pack 16 GiB of zeros in 512 kB: blocks of one octet, 128 KiB each."""
    run = (1 << 1 | 131072 << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x38" + run * 131_072


NG = bytes(craft.Section().interface().packets(TALK))

BOMBS: dict[str, tuple[Callable[[], bytes], int, int, str]] = {
    # id: octets, exit code, hellos, what is told
    "gz-zeros": (lambda: gz_bomb(b"", bytes(64)), 3, 0, "neither a pcap nor a pcapng"),
    "gz-hole": (lambda: gz_bomb(PCAP, bytes(64)), 4, 1, "no packet record"),
    "gz-hole-pcapng": (lambda: gz_bomb(NG, bytes(64)), 4, 1, "a block of 0 octets"),
    "gz-frames": (lambda: gz_bomb(PCAP, NOISE), 4, 1, "more than 250 times its size"),
    "bz2-zeros": (lambda: bz2_bomb(b"", bytes(64)), 3, 0, "neither a pcap nor a pcapng"),
    "bz2-hole": (lambda: bz2_bomb(PCAP, bytes(64)), 4, 1, "no packet record"),
    "zst-runs": (zst_runs, 3, 0, "neither a pcap nor a pcapng"),
    "zst-runs-behind": (lambda: zst(NG) + zst_runs(), 4, 1, "a block of 0 octets"),
    "xz-1-gib": (lambda: xz_asking(PCAP), 3, 0, "takes more than 128 MiB of memory"),
    "zst-window-2-gib": (lambda: zst_window(PCAP), 3, 0, "takes more than 128 MiB of memory"),
    "nested": (lambda: gz(gz_bomb(PCAP, NOISE)), 4, 1, "more than 250 times its size"),
    "nested-five": (lambda: gz(zipped(gz(gz(gz(PCAP))))), 3, 0, "packed more than 3 times"),
    "empty-gz": (lambda: gz(b"") * 10**6 + gz(PCAP), 3, 0, "more than 65536 empty parts"),
    "empty-zip": (
        lambda: archive(File("a", PCAP)).partition(b"PK\1\2")[0] + EMPTY_MEMBER * 10**6,
        4,
        1,
        "holds more than 16384 files",
    ),
    "zip-frames": (
        lambda: archive(File("a", PCAP + NOISE * 8 * 256)).partition(b"PK\1\2")[0] * 3,
        4,
        3,
        "more than 250 times its size",
    ),
}
EMPTY_MEMBER = archive(File("", b"", 0)).partition(b"PK\1\2")[0]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_memory_and_is_named(name: str, tmp_path: Path) -> None:
    make, code, hellos, why = BOMBS[name]
    (tmp_path / "bomb").write_bytes(make())
    ran = Ran("bomb", cwd=tmp_path)
    assert (ran.code, ran.hellos) == (code, hellos), ran.told[-1]
    assert any(why in line for line in ran.told), ran.told[:3]
    assert ran.kib < usual_kib() + MORE_KIB


def test_a_bomb_through_a_pipe_takes_no_more(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(gz_bomb(PCAP, NOISE))
    with open(tmp_path / "bomb", "rb") as file:
        ran = Ran("-", cwd=tmp_path, stdin=file)
    assert (ran.code, ran.hellos) == (4, 1)
    assert ran.kib < usual_kib() + MORE_KIB
    assert "-: unpacks to more than 250 times its size" in ran.told[0]


# ---------------------------------------------------------------------------------------- F5


@pytest.mark.parametrize(
    ("head", "code", "hellos"), [(b"", 3, 0), (PCAP, 4, 1), (NG, 4, 1)], ids=["", "pcap", "pcapng"]
)
def test_a_terabyte_of_nothing(head: bytes, code: int, hellos: int, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(head)
    os.truncate(path, 1 << 40)
    ran = Ran("sparse", cwd=tmp_path)
    assert (ran.code, ran.hellos, len(ran.told)) == (code, hellos, 1)
    assert ran.kib < usual_kib() + MORE_KIB
    if head:
        assert ran.told[0].endswith(f"at offset {len(head)}")


def test_an_endless_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    """Ended by the number of events: it would go on for ever, in the same memory."""
    talks = [
        frame
        for port in range(40_000, 40_040)
        for frame in craft.Conversation(client_port=port)
        .open()
        .client(craft.client_hello(random=port.to_bytes(32, "big")))
        .frames()
    ]
    (tmp_path / "head").write_bytes(craft.pcap(talks))
    (tmp_path / "noise").write_bytes(NOISE)
    pipe = subprocess.Popen(
        ["sh", "-c", "cat head; while cat noise; do :; done"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert pipe.stdout is not None
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            pipe.wait(0.1)
        # Each hello waits 15 s of the frames' time for an answer; the one frame more ends that.
        ran = Ran("-c", "40", "-", cwd=tmp_path, stdin=pipe.stdout)
    finally:
        pipe.kill()
        pipe.wait()
        pipe.stdout.close()
    assert (ran.code, ran.hellos) == (0, 40)
    assert ran.kib < usual_kib() + MORE_KIB


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "again").symlink_to(tmp_path / "round")
    (tmp_path / "round" / "x").write_bytes(PCAP)
    for path, why in (
        ("loop", "loop: cannot be opened (Too many levels of symbolic links)"),
        ("a", "a: cannot be opened (Too many levels of symbolic links)"),
        ("/dev/zero", "/dev/zero: is a device or socket, not a capture file"),
        ("/dev/full", "/dev/full: is a device or socket, not a capture file"),
    ):
        ran = hellowatch("analyze", path, cwd=tmp_path)
        assert ran.returncode == 3
        (line,) = ran.stderr.decode().splitlines()
        assert line.endswith(why)
    ran = hellowatch("analyze", "--format", "json", "round", cwd=tmp_path)
    assert ran.returncode == 0
    assert [one["path"] for one in json.loads(ran.stdout)["inputs"]] == ["round/x"]
