"""Live frames: an AF_PACKET socket and the ring the kernel shares with us (TPACKET_V3).

``open_socket`` needs CAP_NET_RAW and captures nothing: its protocol is 0. All the rest,
``Ring``, needs no privilege: memory, filter, binding, promiscuous mode, and binding anew
when the interface was deleted and came back. So a launcher opens sockets and hands their
descriptors to a process that may do nothing else.

The kernel fills a block of the ring, marks it as ours and goes on to the next; frames are
parsed where they lie, and the block is handed back when the next batch is asked for. The
promiscuous mode belongs to the socket: however we end, the kernel takes it back.

Source: packet(7), linux/if_packet.h, net/packet/af_packet.c.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import select
import shlex
import socket
import struct
import sys
import time
from contextlib import suppress

from msgspec import Struct

from parsers.batch import Batch
from parsers.tpacket import Tpacket
from sniffer.capture.bpf import Program
from sniffer.capture.clock import SteadyClock
from sniffer.capture.filter import attach
from sniffer.capture.interfaces import ANY, IFF_UP, names
from sniffer.config import CaptureSettings
from sniffer.errors import EXIT_UNREADABLE, EXIT_USAGE, CaptureError

AF_PACKET = 17
ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_DROP_MEMBERSHIP = 2
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_VERSION = 10
TPACKET_V3 = 2
PACKET_MR_PROMISC = 1
SO_TIMESTAMPNS = 35
SO_LOCK_FILTER = 44
SIOCGIFFLAGS = 0x8913
SIOCGIFINDEX = 0x8933
IFF_RUNNING = 0x40
LONGEST_NAME = 15

BLOCK_STATUS = 8
"""Offset of a block's status."""
STATUS_KERNEL = 0
STATUS_USER = 1
FRAME_BYTES = 2048
"""What the kernel is told of frames; a TPACKET_V3 block packs them as they come."""
SECOND_NS = 1_000_000_000
LOOK_NS = 400_000_000
"""The interface is looked at when a wait begins this long after the last look, or ends.

Two looks are thus no further apart than this and a wait of a second: with the time to bind
and the age of a block, a new interface is captured within 2 s. An idle ring does not wake
up for it.
"""


class RingCounters(Struct, frozen=True, kw_only=True):
    """What one ring saw and lost since it was opened, by the kernel's own count.

    Once the ring is drained, ``received = dropped + frames + skipped + lost``.
    """

    interface: str
    received: int
    """Frames that passed the filter, the dropped ones included."""
    dropped: int
    """Frames that found the ring full."""
    freezes: int
    """How often it was full."""
    frames: int
    """Frames handed on."""
    skipped: int
    """Frames of the loopback interface on their way out."""
    damaged_blocks: int
    lost: int
    """Frames given up with a damaged block."""
    is_up: bool
    """The interface is there, up, has a carrier, and is bound to."""
    up_seconds: float
    """How long it was."""
    downs: int
    """How often it went down or away."""
    rebinds: int
    """How often it came back as another."""
    clock_steps: int
    """How often the wall clock was set."""
    last_frame_ns: int | None
    """Wall clock time of the newest frame."""


def open_socket(interface: str, again: str = "") -> int:
    """Open a packet socket for an interface and return its descriptor; it sees nothing yet.

    ``again`` is what to start with the capability, if not ``run`` on the interface.

    Raises CaptureError: there is no such interface (exit code 2), or the capability
    CAP_NET_RAW is missing (5).
    """
    if sys.platform != "linux":
        raise CaptureError(
            interface,
            "cannot be captured on here: the ring is Linux's",
            "analyze a capture file instead",
            EXIT_USAGE,
        )
    known = names()
    if interface != ANY and interface not in known:
        there = f"the interfaces are {', '.join(known)}" if known else "there is none at all"
        raise CaptureError(interface, "no such interface", there, EXIT_USAGE)
    try:
        opened = socket.socket(AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        raise CaptureError(
            interface, "capturing needs the capability CAP_NET_RAW", grant(interface, again)
        ) from error
    except OSError as error:
        raise CaptureError(
            interface,
            f"no packet socket can be opened ({error.strerror})",
            "ask for a kernel with CONFIG_PACKET",
            EXIT_UNREADABLE,
        ) from error
    return opened.detach()


def grant(interface: str, again: str = "") -> str:
    """Return the command that starts us with CAP_NET_RAW and nothing more, in words."""
    if os.getuid() == 0:
        return "run the container or unit with it: --cap-add=NET_RAW"
    again = again or f"run -i {shlex.quote(interface)}"
    command = (
        f"sudo setpriv --reuid={os.getuid()} --regid={os.getgid()} --init-groups"
        f" --inh-caps=+net_raw --ambient-caps=+net_raw hellowatch {again}"
    )
    return f"start it with {command}"


class Ring:
    """A source: the frames of one interface, live.

    ``read`` returns within ``settings.idle_seconds``, with an empty batch if no frame came:
    then ``batch.now_ns`` is the time that was reached. Times are those of ``clock``, which
    is not set back or forth while it runs.
    """

    def __init__(
        self,
        descriptor: int,
        interface: str,
        settings: CaptureSettings,
        program: Program,
        clock: SteadyClock | None = None,
    ) -> None:
        """Set up the ring on a socket of ``open_socket``, which is ours to close from now on.

        An interface that is down or gone meanwhile is waited for. Raises CaptureError where
        the kernel refuses the memory or the filter.
        """
        self.interface = interface
        self.settings = settings
        self.clock = clock or SteadyClock()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._walker = Tpacket()
        self._batch: Batch | None = None
        self._views: list[memoryview] = []
        self._statuses: memoryview | None = None
        self._map: mmap.mmap | None = None
        self._block = 0
        """The block parsed, or wanted next."""
        self._at = 0
        self._is_open = False
        """The block at hand has frames left, or is still parsed."""
        self._stop_ns = 0
        """When the last block from before ``stop`` is ours; 0: nobody asked to stop."""
        self._blocks_left = 0
        """Blocks still given out after ``stop``."""
        self._step_blocks = 0
        """Blocks that may hold frames from before the wall clock was set."""
        self._index = 0
        """Number of the interface we are bound to; 0: none."""
        self._promiscuous = 0
        self._received = self._dropped = self._freezes = 0
        self._is_up = False
        self._up_ns = 0
        self._downs = self._rebinds = 0
        self._last_frame_ns: int | None = None
        self._looked_ns = time.monotonic_ns()
        self._socket = socket.socket(fileno=descriptor)
        self._wake = -1
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN | select.POLLERR)
            self._poll.register(self._wake, select.POLLIN)
            # The kernel then looks at the clock once for all who listen, so that another ring
            # on this interface has the same times.
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._map_ring()
            self._attach(program)
            self._look()
        except BaseException:
            self.close()
            raise

    def read(self, batch: Batch) -> bool:
        """Fill the batch, whose earlier content is void; False: ``stop`` was asked for.

        The block parsed before goes back to the kernel. An empty batch tells the time.
        """
        self._batch = batch
        batch.clear()
        batch.now_ns = 0
        deadline_ns = time.monotonic_ns() + int(self.settings.idle_seconds * SECOND_NS)
        while True:
            now_ns = time.monotonic_ns()
            if now_ns - self._looked_ns >= LOOK_NS:
                self._look()
            if self._is_open and self._give_out(batch):
                return True
            if self._take():
                continue
            if self._stop_ns:
                if self._blocks_left == 0 or now_ns >= self._stop_ns:
                    return False
                self._wait(self._stop_ns - now_ns)
            elif now_ns >= deadline_ns or not self._wait(deadline_ns - now_ns):
                if self._stop_ns:
                    continue
                # The ring is empty: no frame from before the clock's last step is left.
                self._walker.step_ns = 0
                self._apply_step(self.clock.step())
                batch.wire = memoryview(b"")
                # What is still in an open block may be as old as a block gets.
                batch.now_ns = self.clock.now() - self._retire_ns()
                return True

    def stop(self) -> None:
        """Have ``read`` give out what is in the ring, then False; may be called anywhere."""
        if self._stop_ns == 0 and self._wake >= 0:
            self._blocks_left = len(self._views) + 1
            self._stop_ns = time.monotonic_ns() + self._retire_ns()
            os.eventfd_write(self._wake, 1)

    def wake_by(self, descriptor: int) -> None:
        """Have ``read`` return, empty perhaps, when this descriptor has something to read."""
        self._poll.register(descriptor, select.POLLIN)

    def fileno(self) -> int:
        """Return the socket's descriptor; it polls readable when a block is ours."""
        return self._socket.fileno()

    def counters(self) -> RingCounters:
        """Return what was seen and lost so far; reads the kernel's own counters first."""
        self._count()
        walker = self._walker
        up_ns = self._up_ns
        if self._is_up:
            up_ns += time.monotonic_ns() - self._looked_ns
        return RingCounters(
            interface=self.interface,
            received=self._received,
            dropped=self._dropped,
            freezes=self._freezes,
            frames=walker.frames,
            skipped=walker.skipped,
            damaged_blocks=walker.damaged,
            lost=walker.lost,
            is_up=self._is_up,
            up_seconds=up_ns / SECOND_NS,
            downs=self._downs,
            rebinds=self._rebinds,
            clock_steps=self.clock.steps,
            last_frame_ns=self._last_frame_ns,
        )

    def close(self) -> None:
        """Give back the memory, the interface's promiscuous mode and the socket."""
        self._is_open = False
        self._count()
        if self._batch is not None:
            # It is void now, and would keep the memory.
            self._batch.clear()
            self._batch.wire = memoryview(b"")
            self._batch = None
        try:
            for view in (*self._views, *([self._statuses] if self._statuses else [])):
                view.release()
            if self._map is not None:
                self._map.close()
        except BufferError:
            # Somebody still looks at the octets; the memory goes when they let go.
            pass
        self._views = []
        self._statuses = None
        self._map = None
        self._socket.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
        self._is_up = False

    # -- set-up ----------------------------------------------------------------------------

    def _map_ring(self) -> None:
        size = self.settings.block_bytes
        blocks = max(2, self.settings.ring_bytes // size)
        if size % mmap.PAGESIZE or size & (size - 1):
            raise CaptureError(
                self.interface,
                f"a block of {size} octets fits no ring",
                "choose a power of two, whole pages of it",
                EXIT_USAGE,
            )
        request = struct.pack(
            "7I",
            size,
            blocks,
            FRAME_BYTES,
            size // FRAME_BYTES * blocks,
            self.settings.block_milliseconds,
            0,
            0,
        )
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
            self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            self._map = mmap.mmap(self._socket.fileno(), size * blocks)
        except OSError as error:
            raise CaptureError(
                self.interface,
                f"no ring of {size * blocks >> 20} MiB ({error.strerror})",
                "choose a smaller one",
                EXIT_UNREADABLE,
            ) from error
        whole = memoryview(self._map)
        self._views = [whole[at : at + size] for at in range(0, size * blocks, size)]
        self._statuses = whole.cast("I")
        whole.release()

    def _attach(self, program: Program) -> None:
        """Attach the filter for good: not even we can take it off again."""
        try:
            attach(self._socket, program)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1)
        except OSError as error:
            raise CaptureError(
                self.interface,
                f"the kernel refuses the filter ({error.strerror})",
                "give the worker a socket that was not used before",
                EXIT_UNREADABLE,
            ) from error

    # -- reading ---------------------------------------------------------------------------

    def _give_out(self, batch: Batch) -> bool:
        """Walk on in the block at hand; False: it is exhausted and back with the kernel."""
        view = self._views[self._block]
        batch.wire = view
        self._at = self._walker.walk(view, self._at, len(view), batch)
        if batch.count:
            newest_ns = batch.times_ns[batch.count - 1] + self.clock.offset_ns
            self._last_frame_ns = max(self._last_frame_ns or 0, newest_ns)
            return True
        if self._walker.left:
            return False
        assert self._statuses is not None  # noqa: S101  # there are blocks, so there is a ring
        self._is_open = False
        self._statuses[(self._block * len(view) + BLOCK_STATUS) // 4] = STATUS_KERNEL
        self._block = (self._block + 1) % len(self._views)
        return False

    def _take(self) -> bool:
        """Open the next block if it is ours."""
        if self._statuses is None or (self._stop_ns and self._blocks_left == 0):
            return False
        view = self._views[self._block]
        # One aligned load; what the kernel wrote before it is there since the poll or the
        # block before, thousands of instructions ago.
        if not self._statuses[(self._block * len(view) + BLOCK_STATUS) // 4] & STATUS_USER:
            return False
        self._blocks_left -= 1
        self._step_blocks -= 1
        if self._step_blocks == 0:
            self._walker.step_ns = 0
        self._apply_step(self.clock.step())
        self._walker.now_ns = self.clock.now()
        self._at = self._walker.open(view, 0, len(view))
        self._is_open = True
        return True

    def _apply_step(self, step_ns: int) -> None:
        """Let frames stamped before the wall clock was set keep the right time."""
        if step_ns:
            self._walker.step_ns += step_ns
            self._walker.offset_ns = self.clock.offset_ns
            self._step_blocks = len(self._views)

    def _wait(self, duration_ns: int) -> bool:
        """Wait for a block; False: none came in this time, or somebody wants us to stop."""
        happened = dict(self._poll.poll(max(1, duration_ns // 1_000_000)))
        if self._wake in happened:
            os.eventfd_read(self._wake)
            return False
        events = happened.get(self._socket.fileno(), 0)
        if events & select.POLLERR:
            self._read_error()
        return events != 0

    def _read_error(self) -> None:
        """Clear the socket's error; else every poll would return at once."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == 0:
            # Nothing to clear: do not spin, whatever it is.
            time.sleep(self.settings.block_milliseconds / 1000)
        self._look()

    def _retire_ns(self) -> int:
        """Return how old a frame may get in a block that is not full."""
        return 2 * self.settings.block_milliseconds * 1_000_000

    # -- the interface ---------------------------------------------------------------------

    def _look(self) -> None:
        """See how the interface does, bind to it if it is another one, and count.

        The one we are bound to is followed where its name changes, until another interface
        takes the name.
        """
        now_ns = time.monotonic_ns()
        if self._is_up:
            self._up_ns += now_ns - self._looked_ns
        self._looked_ns = now_ns
        self._count()
        was_up = self._is_up
        try:
            self._is_up = self._bound_and_up()
        except OSError:
            # It went away between two calls; the next look tells.
            self._is_up = False
        if was_up and not self._is_up:
            self._downs += 1

    def _bound_and_up(self) -> bool:
        if self.interface == ANY:
            if not self._index:
                self._bind_to(0)
                self._index = -1
            return True
        # The kernel knows by number: "" where that interface is gone.
        bound = self._socket.getsockname()[0] if self._index else ""
        index = self._index_of(self.interface)
        if index and (not bound or index != self._index):
            self._bind(index)
            bound = self.interface
        if not bound:
            return False
        request = struct.pack("16s24x", os.fsencode(bound))
        answer = fcntl.ioctl(self._socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        return bool(flags & IFF_UP and flags & IFF_RUNNING)

    def _bind(self, index: int) -> None:
        """Bind to the interface of this number, and set its promiscuous mode."""
        if self._index:
            self._rebinds += 1
        self._bind_to(index)
        self._index = index
        if self._promiscuous:
            request = struct.pack("IHH8x", self._promiscuous, PACKET_MR_PROMISC, 0)
            # It is gone with its interface, most often.
            with suppress(OSError):
                self._socket.setsockopt(SOL_PACKET, PACKET_DROP_MEMBERSHIP, request)
            self._promiscuous = 0
        if self.settings.promiscuous:
            request = struct.pack("IHH8x", index, PACKET_MR_PROMISC, 0)
            self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
            self._promiscuous = index

    def _bind_to(self, index: int) -> None:
        """Have the kernel hand over what passes an interface; 0: all of them.

        By number: Python's own ``bind`` takes a name, which may change its bearer meanwhile.
        """
        address = struct.pack("=HHiHBB8x", AF_PACKET, socket.htons(ETH_P_ALL), index, 0, 0, 0)
        if self._libc.bind(self._socket.fileno(), address, len(address)):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def _index_of(self, name: str) -> int:
        """Return the number of an interface in the socket's own namespace; 0: no such."""
        encoded = os.fsencode(name)
        if len(encoded) > LONGEST_NAME:
            return 0
        try:
            answer = fcntl.ioctl(self._socket, SIOCGIFINDEX, struct.pack("16s24x", encoded))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return 0
            raise
        (index,) = struct.unpack_from("i", answer, 16)
        return int(index)

    def _count(self) -> None:
        """Add the kernel's counters up: reading sets them to 0."""
        if self._map is None:
            return
        answer = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        packets, drops, freezes = struct.unpack("3I", answer)
        self._received += packets
        self._dropped += drops
        self._freezes += freezes
