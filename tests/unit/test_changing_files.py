"""F3: a file that is truncated, grows, is renamed, removed, replaced or fails while read."""

import os
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import craft
import pytest
from captures import expected, told

from parsers.batch import Batch
from sniffer.capture.files import BUFFER_BYTES, CaptureFile
from sniffer.capture.octets import PlainOctets
from sniffer.errors import InputError

FRAMES = [(craft.START_NS + n * 1000, n.to_bytes(4, "big") * 100) for n in range(12_000)]
OCTETS = craft.pcap(FRAMES)
RECORD = 16 + 400
ALL = expected(FRAMES)
assert len(OCTETS) > 4 * BUFFER_BYTES


@contextmanager
def half_read(path: Path, octets: bytes = OCTETS) -> Iterator[Callable[[], tuple[int, object]]]:
    """Open a capture and read some of it; yields what reads the rest.

    The rest: how many frames there were in all, each checked, and the problem.
    """
    path.write_bytes(octets)
    source, batch, frames = CaptureFile(str(path)), Batch(512), []
    try:
        while source.read(batch) and len(frames) < 3000:
            frames += told(batch)
        frames += told(batch)

        def rest() -> tuple[int, object]:
            while source.read(batch):
                frames.extend(told(batch))
            assert frames[: len(ALL)] == ALL[: len(frames)]
            problem = source.problem
            return len(frames), problem and (problem.why, problem.offset, problem.exit_code)

        yield rest
    finally:
        source.close()


def test_a_truncated_file_gives_what_was_there_and_tells_where(tmp_path: Path) -> None:
    path = tmp_path / "x"
    why = "the file was truncated while it was read"
    for size in (0, 100, 24 + 4000 * RECORD, len(OCTETS) - RECORD, len(OCTETS) - 1):
        with half_read(path) as rest:
            os.truncate(path, size)
            count, problem = rest()
        assert problem == (why, size, 3)
        assert count >= min(3000, (size - 24) // RECORD)


def test_a_file_that_grows_is_read_as_far_as_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with half_read(path) as rest:
        with open(path, "ab") as file:
            file.write(OCTETS[24 : 24 + 5 * RECORD])
        count, problem = rest()
    assert (count, problem) == (len(FRAMES) + 5, None)
    with half_read(path) as rest:
        with open(path, "ab") as file:
            file.write(OCTETS[24 : 24 + 5 * RECORD - 7])
        count, problem = rest()
    place = len(OCTETS) + 4 * RECORD
    wanted = ("the file is cut short: a record does not end", place, 3)
    assert (count, problem) == (len(FRAMES) + 4, wanted)


@pytest.mark.parametrize("change", ["renamed", "removed", "rotated"])
def test_a_file_that_goes_away_is_read_to_its_end(change: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    with half_read(path) as rest:
        if change == "removed":
            path.unlink()
        else:
            path.rename(tmp_path / "x.1")
        if change == "rotated":
            path.write_bytes(craft.pcap(FRAMES[:9]))
        assert rest() == (len(FRAMES), None)


def test_a_file_written_anew_in_its_place_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    other = craft.pcap([(time_ns + 10**9, octets) for time_ns, octets in FRAMES])
    with half_read(path, OCTETS) as rest:
        os.utime(path, ns=(1, 1))
        with open(path, "r+b") as file:
            file.write(other[:BUFFER_BYTES])
        count, problem = rest()
    assert count == len(FRAMES)
    assert problem == ("the file was overwritten while it was read", len(OCTETS), 3)
    # Only its date changed: that is nothing.
    with half_read(path, OCTETS) as rest:
        os.utime(path, ns=(1, 1))
        assert rest() == (len(FRAMES), None)


def test_a_failing_device_ends_the_reading_where_it_fails(tmp_path: Path) -> None:
    """A terminal whose other side was closed fails with EIO, behind what it had to give."""
    first, second = os.openpty()
    tty.setraw(second)
    os.write(second, OCTETS[: 24 + 5 * RECORD + 9])
    octets = PlainOctets("the device", first)
    buffer = memoryview(bytearray(BUFFER_BYTES))
    count = octets.read_into(buffer)
    os.close(second)

    def read_on() -> None:
        nonlocal count
        while True:
            count += octets.read_into(buffer[count:])

    with pytest.raises(InputError) as error:
        read_on()
    os.close(first)
    assert buffer[:count] == OCTETS[:count]
    assert str(error.value) == f"the device: cannot be read (Input/output error) at offset {count}"


def test_a_device_that_fails_under_a_capture_costs_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own EIO: memory that is not mapped, seen as a file."""
    assert_fails_at(Path("/proc/self/mem"), "is no readable capture: cannot be read (Input")
    with half_read(tmp_path / "x") as rest:
        memory = os.open("/proc/self/mem", os.O_RDONLY)
        real = os.preadv

        def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
            """Read of unmapped memory, instead of the disk."""
            return real(memory, buffers, 0)

        monkeypatch.setattr(os, "preadv", failing)
        count, problem = rest()
        os.close(memory)
    assert 3000 <= count < len(FRAMES)
    assert isinstance(problem, tuple)
    why, offset, _ = problem
    assert why == "cannot be read (Input/output error)"
    assert offset % BUFFER_BYTES >= 0


def assert_fails_at(path: Path, why: str) -> None:
    with pytest.raises(InputError) as error:
        CaptureFile(str(path))
    assert error.value.why.startswith(why)
