"""Live frames the portable way: libpcap through pcapy-ng, or scapy.

For systems without the ring of ``sniffer.capture.ring``, or by choice. It promises less:
frames are copied, their times are the wall clock's (libpcap's to the microsecond), whoever
opened the interface also reads it, and an interface that goes away ends the run. Where the
kernel takes our own filter (Linux, Ethernet) it has it, so that as much is handed over as by
the ring; elsewhere all frames are.
"""

import importlib
import importlib.util
import os
import select
import socket
import struct
import sys
import time
from types import ModuleType
from typing import Any, Protocol

from msgspec import Struct

from parsers.batch import NO_VLAN, Batch
from sniffer.capture import ring
from sniffer.capture.bpf import Program
from sniffer.capture.filter import attach
from sniffer.capture.interfaces import ANY, names
from sniffer.config import CaptureSettings
from sniffer.errors import EXIT_PERMISSION, EXIT_UNREADABLE, EXIT_USAGE, CaptureError

RING, PCAP, SCAPY = "ring", "pcap", "scapy"

SNAP_LENGTH = 262_144
"""No frame is cut: offload makes them as long as 64 KiB."""
LINK_ETHERNET = 1
LINK_UNKNOWN = 0xFFFF
SCAPY_LINKS = {
    "Ether": LINK_ETHERNET,
    "CookedLinux": 113,
    "CookedLinuxV2": 276,
    "Loopback": 0,
    "IP": 101,
    "IPv6": 101,
}
"""Link type by the name of scapy's class for it."""
MOST_AT_ONCE = 512
"""Frames read before the batch is handed on."""
MICROSECOND_NS = 1000
SECOND_NS = 1_000_000_000
META = struct.Struct("=4I")
"""Of each frame: seconds, microseconds, where its octets begin, how many there are."""


class PortableCounters(Struct, frozen=True, kw_only=True):
    """What was seen and lost since the interface was opened."""

    received: int
    """Frames that passed the filter, the dropped ones included, as the system tells."""
    dropped: int
    frames: int
    """Frames handed on."""
    up_seconds: float


class _Driver(Protocol):
    """A library that captures."""

    link: int
    errors: tuple[type[Exception], ...]
    """What it raises where the interface goes away."""

    def fileno(self) -> int:
        """Return a descriptor that polls readable when frames are there."""

    def take(self, batch: Batch) -> None:
        """Add the frames that are there; none is waited for."""

    def statistics(self) -> tuple[int, int] | None:
        """Return frames received and dropped so far; None: that is not told."""

    def close(self) -> None:
        """Capture no more."""


def chosen(source: str) -> str:
    """Return which source a setting stands for; ``auto`` is the best one of this system."""
    if source != "auto":
        return source
    if sys.platform == "linux":
        return RING
    return SCAPY if not _is_installed("pcapy") and _is_installed("scapy") else PCAP


class Portable:
    """A source of frames that libpcap or scapy captures."""

    def __init__(
        self, source: str, interface: str, settings: CaptureSettings, program: Program
    ) -> None:
        """Open an interface by ``pcap`` or ``scapy``.

        Raises CaptureError: the library is not installed or there is no such interface
        (exit code 2), a permission is missing (5), or it cannot be captured on (3).
        """
        self.interface = interface
        self.is_filtered = False
        """The kernel has our filter."""
        library = _load(source, interface)
        _check(interface)
        try:
            self._driver: _Driver = (
                _Pcap(library, interface, settings)
                if source == PCAP
                else _Scapy(library, interface, settings)
            )
        except Exception as error:  # each library has exceptions of its own, and scapy any
            raise _refusal(interface, error) from error
        if sys.platform == "linux" and self._driver.link == LINK_ETHERNET and interface != ANY:
            with socket.socket(fileno=os.dup(self._driver.fileno())) as same:
                attach(same, program)
            self.is_filtered = True
        self._retire_ns = 2 * settings.block_milliseconds * 1_000_000
        self._idle_ms = 1000 * settings.idle_seconds
        self._poll = select.poll()
        self._poll.register(self._driver.fileno(), select.POLLIN)
        self._frames = 0
        self._since = time.monotonic()
        self._end: float | None = None
        self._counters = self._count()

    def end_after(self, seconds: float) -> None:
        """Have ``read`` end after so long."""
        self._end = time.monotonic() + seconds

    def read(self, batch: Batch) -> bool:
        """Fill the batch, whose earlier content is void; False: the time is over.

        An empty batch tells the time. Raises CaptureError where the interface goes away.
        """
        batch.clear()
        batch.now_ns = 0
        wait_ms = self._idle_ms
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                return False
            wait_ms = min(wait_ms, 1000 * left + 1)
        try:
            if self._poll.poll(wait_ms):
                self._driver.take(batch)
            self._frames += batch.count
            self._counters = self._count()
        except self._driver.errors as error:
            raise _refusal(self.interface, error) from error
        if not batch.count:
            batch.wire = memoryview(b"")
            batch.now_ns = time.time_ns() - self._retire_ns
        return True

    @property
    def frames_dropped(self) -> int:
        """Frames lost before they could be read, as far as the system tells."""
        return self.counters().dropped

    def counters(self) -> PortableCounters:
        """Return what was seen and lost, as of the last reading; from any thread."""
        return self._counters

    def close(self) -> None:
        """Capture no more."""
        self._driver.close()

    def _count(self) -> PortableCounters:
        told = self._driver.statistics()
        received, dropped = told or (self._frames, 0)
        return PortableCounters(
            received=received,
            dropped=dropped,
            frames=self._frames,
            up_seconds=time.monotonic() - self._since,
        )


class _Pcap:
    """libpcap, by pcapy-ng."""

    def __init__(self, pcapy: ModuleType, interface: str, settings: CaptureSettings) -> None:
        handle = pcapy.create(interface)
        handle.set_snaplen(SNAP_LENGTH)
        handle.set_promisc(settings.promiscuous)
        handle.set_timeout(settings.block_milliseconds)
        handle.set_buffer_size(min(settings.ring_bytes, 0x7FFFFFFF))
        handle.activate()
        handle.setnonblock(1)
        self._handle: Any = handle
        self.errors: tuple[type[Exception], ...] = (pcapy.PcapError,)
        self.link: int = handle.datalink()

    def fileno(self) -> int:
        return int(self._handle.getfd())

    def take(self, batch: Batch) -> None:
        octets, packed = self._handle.next_batch(min(MOST_AT_ONCE, batch.capacity))
        batch.wire = memoryview(octets)
        for seconds, microseconds, start, length in META.iter_unpack(packed):
            time_ns = seconds * SECOND_NS + microseconds * MICROSECOND_NS
            batch.add(start, start + length, length, time_ns, NO_VLAN, self.link)

    def statistics(self) -> tuple[int, int] | None:
        received, dropped, _ = self._handle.stats()
        return received, dropped

    def close(self) -> None:
        self._handle.close()


class _Scapy:
    """Whatever scapy captures by on this system."""

    def __init__(self, scapy: ModuleType, interface: str, settings: CaptureSettings) -> None:
        listen = scapy.conf.L2listen
        self._socket: Any = listen(iface=interface, promisc=settings.promiscuous)
        self.link = SCAPY_LINKS.get(self._socket.LL.__name__, LINK_UNKNOWN)
        self.errors: tuple[type[Exception], ...] = (OSError, scapy.Scapy_Exception)
        self._received = self._dropped = 0

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def take(self, batch: Batch) -> None:
        octets = bytearray()
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        for _ in range(min(MOST_AT_ONCE, batch.capacity)):
            if not poll.poll(0):
                break
            _, frame, seconds = self._socket.recv_raw(SNAP_LENGTH)
            if not frame:
                continue
            time_ns = time.time_ns() if seconds is None else int(seconds * SECOND_NS)
            start = len(octets)
            octets += frame
            batch.add(start, len(octets), len(frame), time_ns, NO_VLAN, self.link)
        batch.wire = memoryview(bytes(octets))

    def statistics(self) -> tuple[int, int] | None:
        if sys.platform != "linux":
            return None
        told = self._socket.ins.getsockopt(ring.SOL_PACKET, ring.PACKET_STATISTICS, 8)
        packets, drops = struct.unpack("2I", told)  # reading sets them to 0
        self._received += packets
        self._dropped += drops
        return self._received, self._dropped

    def close(self) -> None:
        self._socket.close()


def _load(source: str, interface: str) -> ModuleType:
    try:
        return importlib.import_module("pcapy" if source == PCAP else "scapy.all")
    except ImportError as error:
        extra, package = ("pcap", "pcapy-ng") if source == PCAP else ("crosscheck", "scapy")
        raise CaptureError(
            interface,
            f"the source {source} needs {package}, which is not installed",
            f"pip install 'hellowatch[{extra}]'",
            EXIT_USAGE,
        ) from error


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _check(interface: str) -> None:
    """Refuse what the ring refuses, by the same words where that can be told beforehand."""
    if sys.platform == "linux":
        with socket.socket(fileno=ring.open_socket(interface)):
            return
    known = names()
    if interface not in known:
        there = f"the interfaces are {', '.join(known)}"
        raise CaptureError(interface, "no such interface", there, EXIT_USAGE)


def _refusal(interface: str, error: Exception) -> CaptureError:
    why = " ".join(str(error).split()) or type(error).__name__
    if "permi" in why.lower():
        return CaptureError(interface, why, "start it as root", EXIT_PERMISSION)
    return CaptureError(
        interface, f"cannot be captured on: {why}", "see what hellowatch interfaces tells",
        EXIT_UNREADABLE,
    )  # fmt: skip
