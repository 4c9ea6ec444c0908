"""The TPACKET_V3 block: where the kernel put frames in the ring it shares with a process.

    version           4      block header, 48 octets; all in the host's byte order
    private offset    4
    status            4      1: ours to read
    frames            4
    first frame       4      offset from the block's start
    length            4
    sequence          8
    first, last time  8 + 8

    next              4      frame header, 48 octets: offset of the next one, 0: the last
    seconds           4
    nanoseconds       4
    captured          4
    length            4      on the wire
    status            4      0x10: the VLAN tag below is valid
    mac, net          2 + 2  offsets of the frame and of its network header
    hash              4
    VLAN tag          4      taken out of the frame: priority 3, DEI 1, id 12
    VLAN type         2
    padding          10

    family            2      the sockaddr_ll behind it, 20 octets
    protocol          2      big-endian
    interface         4
    ARPHRD type       2      what the frame starts with
    packet type       1      4: outgoing
    ...

Source: linux/if_packet.h, linux/if_arp.h; net/packet/af_packet.c for how they are filled.
"""

import sys

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch

BLOCK_HEADER_LENGTH = 48
FRAME_HEADER_LENGTH = 68
"""With the address behind it."""
VLAN_VALID = 0x10
OUTGOING = 4
NO_VLAN = -1
SECOND_NS = 1_000_000_000

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
LINK_ETHERNET = 1
LINK_RAW = 12
LINK_UNKNOWN = -1
"""No LINKTYPE: the decoder counts such frames and reads nothing of them."""


class Tpacket:
    """The walk over one block after the other.

    The clock of the frames is the kernel's wall clock, which people and NTP set; the times
    given out are those of a steady clock: ``offset_ns`` is subtracted. While ``step_ns`` is
    not 0, frames stamped before the last step of the wall clock may still lie in the ring:
    each is taken for one of before or after, whichever is nearer to ``now_ns``.
    """

    __slots__ = (
        "answer",
        "big_endian",
        "damaged",
        "frames",
        "left",
        "lost",
        "now_ns",
        "offset_ns",
        "skipped",
        "step_ns",
    )
    answer: int
    big_endian: bool
    left: int
    """Frames of the block not walked over yet."""
    frames: int
    """Frames given out, of all blocks."""
    skipped: int
    """Frames of the loopback interface on their way out: each comes in again."""
    damaged: int
    """Blocks that were not what the kernel writes, and the frames given up with them."""
    lost: int
    offset_ns: int
    step_ns: int
    now_ns: int

    def __init__(self) -> None:
        """Begin before the first block."""
        self.answer = NEED_MORE
        self.big_endian = sys.byteorder == "big"
        self.left = 0
        self.frames = 0
        self.skipped = 0
        self.damaged = 0
        self.lost = 0
        self.offset_ns = 0
        self.step_ns = 0
        self.now_ns = 0

    def open(self, wire: memoryview, start: int, end: int) -> int:
        """Read the header of the block at ``start``; return where its first frame lies.

        ``left`` says how many frames there are; ``answer`` is NO_MATCH, and ``left`` 0,
        where this is no block.
        """
        self.left = 0
        first = 0
        if end - start >= BLOCK_HEADER_LENGTH:
            self.left = self._number(wire, start + 12)
            first = self._number(wire, start + 16)
        if first < BLOCK_HEADER_LENGTH or first > end - start:
            return self._give_up(end)
        self.answer = FOUND
        return start + first

    def walk(self, wire: memoryview, start: int, end: int, batch: Batch) -> int:
        """Add the frames from the header at ``start`` on; return where the walk stopped.

        ``answer`` says why: NEED_MORE: the block is exhausted; FOUND: the batch is full;
        NO_MATCH: what lies there is no frame of this block, whose rest is ``lost``.
        """
        at = start
        while self.left > 0:
            if batch.is_full():
                self.answer = FOUND
                return at
            if end - at < FRAME_HEADER_LENGTH:
                return self._give_up(end)
            following = self._number(wire, at)
            captured = self._number(wire, at + 12)
            frame = at + self._short(wire, at + 24)
            # Sums stay below 2^33: nothing here can overflow.
            if frame < at + FRAME_HEADER_LENGTH or frame + captured > end:
                return self._give_up(end)
            self.left -= 1
            device = self._short(wire, at + 56)
            if device == ARPHRD_LOOPBACK and wire[at + 58] == OUTGOING:
                self.skipped += 1
            else:
                seconds = self._number(wire, at + 4)
                time_ns = seconds * SECOND_NS + self._number(wire, at + 8) - self.offset_ns
                if self.step_ns != 0:
                    time_ns = self._nearer(time_ns)
                vlan = NO_VLAN
                if self._number(wire, at + 20) & VLAN_VALID:
                    vlan = self._number(wire, at + 32) & 0x0FFF
                length = self._number(wire, at + 16)
                batch.add(frame, frame + captured, length, time_ns, vlan, link_type(device))
                self.frames += 1
            if self.left > 0:
                if following < FRAME_HEADER_LENGTH or following > end - at:
                    return self._give_up(end)
                at += following
        self.answer = NEED_MORE
        return end

    def _nearer(self, time_ns: int) -> int:
        """Return the time, or the one it has if it was stamped before the clock's step."""
        before = time_ns + self.step_ns
        ahead = time_ns - self.now_ns
        ahead_before = before - self.now_ns
        if ahead < 0:
            ahead = -ahead
        if ahead_before < 0:
            ahead_before = -ahead_before
        return before if ahead_before < ahead else time_ns

    def _give_up(self, end: int) -> int:
        self.damaged += 1
        self.lost += self.left
        self.left = 0
        self.answer = NO_MATCH
        return end

    def _number(self, wire: memoryview, at: int) -> int:
        if self.big_endian:
            return wire[at] << 24 | wire[at + 1] << 16 | wire[at + 2] << 8 | wire[at + 3]
        return wire[at + 3] << 24 | wire[at + 2] << 16 | wire[at + 1] << 8 | wire[at]

    def _short(self, wire: memoryview, at: int) -> int:
        if self.big_endian:
            return wire[at] << 8 | wire[at + 1]
        return wire[at + 1] << 8 | wire[at]


def link_type(device: int) -> int:
    """Return the LINKTYPE of the frames of a device, by its ARPHRD number.

    Loopback has an Ethernet header of zeros. Devices without a link layer (tun, WireGuard,
    cellular, PPP, IP tunnels) show the IP header first; -1: not known.
    """
    if device in (ARPHRD_ETHER, ARPHRD_LOOPBACK):
        return LINK_ETHERNET
    if device in (512, 519, 768, 769, 776, 778, 823, 65534):
        return LINK_RAW
    return LINK_UNKNOWN
