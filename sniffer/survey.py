"""What frames tell of the place they were taken at: the port, its mirror, its clock.

The tracker asks what clients say; this asks what is wrong with the picture. Only the doctor
runs it, before the tracker, on the same batches. It decodes each frame itself, compiled and
without a Python object; the first segments of a TLS conversation get a closer look.

All counts are exact. What could be many, numbers and addresses from the wire, is bounded.
"""

from array import array
from collections.abc import Iterable

from msgspec import Struct, field

from parsers import decode
from parsers.answer import FOUND
from parsers.batch import Batch
from parsers.counts import Counts
from parsers.frame import Frame
from parsers.layers import LINK_TYPE, TUNNEL_WORDS
from parsers.tls import certificate
from sniffer.config import Ports

SYN = 0x02
LINK_ETHERNET = 1
ETHERNET_LENGTH = 14
GROUP_BIT = 1 << 40
"""Of an Ethernet address: it names a group, or all."""
NOBODY = -1

LARGEST_PACKET = 1500
"""Octets of an IP packet in a standard Ethernet frame."""

COPIES = 4096
"""Segments remembered to know a copy by."""
COPY_NS = 100_000_000
"""A copy comes sooner than any sender repeats itself, which takes 200 ms at least."""
HASHED = 256
"""Octets of a packet that a copy has in common with its original."""
HASH_START = 0xCBF29CE484222325
HASH_FACTOR = 0x100000001B3
MASK = 0xFFFFFFFFFFFFFFFF
"""FNV-1a in 64 bits; a collision would cost one wrong count."""

RECORD_HANDSHAKE = 22
CLIENT_HELLO = 1
SERVER_HELLO = 2
CERTIFICATE = 11

MOST_CLIENTS = 1024
MOST_SERVERS = 64
HOP_STARTS = (32, 64, 128, 255)
"""What systems start the hop limit with; bit N of ``hops`` stands for the Nth."""


class Certificate(Struct, frozen=True):
    """Whose certificate a server showed, as far as it was sent in clear."""

    server: bytes
    port: int
    subject: bytes | None
    issuer: bytes | None
    issuer_organization: bytes | None


class Facts(Struct, kw_only=True):
    """What a survey found; facts of several inputs add up by ``merge``."""

    frames: int = 0
    unicast: int = 0
    groups: int = 0
    """Ethernet frames to one station, and to several."""
    foreign: int = 0
    """Of those to one station: neither from us nor to us."""
    stations: tuple[int, ...] | None = None
    """Ethernet addresses that all unicast frames have in common; None: there is none."""
    tcp: int = 0
    to_server: int = 0
    from_server: int = 0
    """Segments to and from watched ports."""
    payload_to_server: int = 0
    payload_from_server: int = 0
    """Of those, the ones that carry something."""
    other_tcp: int = 0
    """Segments of other ports."""
    server_ports: dict[int, int] = field(default_factory=dict)
    """Segments by watched port."""
    hellos_elsewhere: dict[int, int] = field(default_factory=dict)
    upgrades_elsewhere: dict[int, int] = field(default_factory=dict)
    """Segments to ports not watched that begin as a ClientHello, or ask for TLS."""
    vlans: dict[int, int] = field(default_factory=dict)
    mail_vlans: dict[int, int] = field(default_factory=dict)
    """Frames, and segments of watched ports, by innermost VLAN; -1: none."""
    tunnels: dict[str, int] = field(default_factory=dict)
    link_types: dict[int, int] = field(default_factory=dict)
    """Frames of link types that are not read, by LINKTYPE number."""
    cut: int = 0
    """Frames the snap length cut ..."""
    shortest_cut: int = 0
    longest_cut: int = 0
    """... to so many octets."""
    cut_before: int = 0
    """Segments that were cut before they came to us."""
    longest: int = 0
    oversize: int = 0
    """The longest IP packet, and how many do not fit a standard Ethernet frame."""
    without_length: int = 0
    """IPv4 packets whose length was left to the hardware."""
    checksums: int = 0
    checksums_unfilled: int = 0
    checksums_wrong: int = 0
    """TCP checksums looked at; left to the hardware; wrong otherwise."""
    originals: int = 0
    """Segments with payload or SYN, which copies are looked for of."""
    copies: int = 0
    copies_other_vlan: int = 0
    copies_routed: int = 0
    """Seen again the same; in another VLAN; with another hop limit."""
    backwards: int = 0
    furthest_back_ns: int = 0
    longest_silence_ns: int = 0
    silence_from_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    hops: dict[bytes, int] = field(default_factory=dict)
    """By client: with which hop limits its hellos may have begun, a bit for each."""
    certificates: tuple[Certificate, ...] = ()
    internal: int = 0
    """Frames that a mistake of ours cost."""

    def merge(self, other: "Facts") -> None:
        """Add what another input showed."""
        if not other.frames:
            return
        if self.unicast and other.unicast:
            mine, theirs = self.stations or (), other.stations or ()
            self.stations = tuple(one for one in mine if one in theirs) or None
        elif other.unicast:
            self.stations = other.stations
        if other.cut and (not self.cut or other.shortest_cut < self.shortest_cut):
            self.shortest_cut = other.shortest_cut
        if other.longest_silence_ns > self.longest_silence_ns:
            self.silence_from_ns = other.silence_from_ns
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MOST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        for name in _BY_NUMBER:
            mine = getattr(self, name)
            for number, count in getattr(other, name).items():
                mine[number] = mine.get(number, 0) + count
        for address, hops in other.hops.items():
            if address in self.hops or len(self.hops) < MOST_CLIENTS:
                self.hops[address] = self.hops.get(address, 0) | hops
        both = dict.fromkeys((*self.certificates, *other.certificates))
        self.certificates = tuple(both)[:MOST_SERVERS]
        ends = [ns for ns in (self.first_ns, other.first_ns) if ns is not None]
        self.first_ns = min(ends)
        self.last_ns = max(ns for ns in (self.last_ns, other.last_ns) if ns is not None)


_SUMS = (
    *("frames", "unicast", "groups", "foreign", "tcp", "to_server", "from_server"),
    *("payload_to_server", "payload_from_server", "other_tcp", "cut", "cut_before"),
    *("oversize", "without_length", "checksums", "checksums_unfilled", "checksums_wrong"),
    *("originals", "copies", "copies_other_vlan", "copies_routed", "backwards", "internal"),
)
_MOST = ("longest_cut", "longest", "furthest_back_ns", "longest_silence_ns")
_BY_NUMBER = (
    *("server_ports", "hellos_elsewhere", "upgrades_elsewhere"),
    *("vlans", "mail_vlans", "tunnels", "link_types"),
)


class Survey:
    """Looks at frames, batch by batch; ``facts`` tells what it found so far."""

    def __init__(self, ports: Ports, own: Iterable[bytes] = ()) -> None:
        """Begin with nothing seen; ``own`` are the addresses of our interfaces."""
        self.frame = Frame()
        self.watched = memoryview(bytearray(65536))
        for port in ports.services:
            self.watched[port] = 1
        self.follow_any = ports.follow_any
        mine = [int.from_bytes(address, "big") for address in own if address]
        self.own_count = len(mine)
        self.own = memoryview(array("q", mine or [NOBODY]))
        self.one_station = NOBODY
        self.other_station = NOBODY
        self.server_ports = Counts()
        self.hellos_elsewhere = Counts()
        self.upgrades_elsewhere = Counts()
        self.link_types = Counts()
        self.vlans = Counts()
        self.mail_vlans = Counts()
        self.tunnels = memoryview(array("q", bytes(8 * len(TUNNEL_WORDS))))
        self.copy_hashes = memoryview(array("Q", bytes(8 * COPIES)))
        self.copy_times = memoryview(array("q", bytes(8 * COPIES)))
        self.copy_vlans = memoryview(array("i", bytes(4 * COPIES)))
        self.copy_hops = memoryview(array("i", bytes(4 * COPIES)))
        self.hops: dict[bytes, int] = {}
        self.certificates: dict[Certificate, None] = {}

        self.frames = self.unicast = self.groups = self.foreign = 0
        self.tcp = self.to_server = self.from_server = self.other_tcp = 0
        self.payload_to_server = self.payload_from_server = 0
        self.cut = self.shortest_cut = self.longest_cut = self.cut_before = 0
        self.longest = self.oversize = self.without_length = 0
        self.checksums = self.checksums_unfilled = self.checksums_wrong = 0
        self.originals = self.copies = self.copies_other_vlan = self.copies_routed = 0
        self.backwards = self.furthest_back_ns = 0
        self.longest_silence_ns = self.silence_from_ns = 0
        self.first_ns = self.last_ns = 0
        self.internal = 0
        self.index = 0

    def observe(self, batch: Batch) -> None:
        """Look at the frames of a batch, which is not needed any more when this returns."""
        self.index = 0
        while self.index < batch.count:
            try:
                if self._scan(batch, self.index, self.frame) < batch.count:
                    self._look_closer(batch.wire, self.frame)
            except Exception:
                # Our bug, whatever the frame was. The tracker meets it too, and logs it.
                self.internal += 1
            self.index += 1

    def facts(self) -> Facts:
        """Return what was found so far."""
        stations = {self.one_station, self.other_station} - {NOBODY}
        return Facts(
            frames=self.frames,
            unicast=self.unicast,
            groups=self.groups,
            foreign=self.foreign,
            stations=tuple(sorted(stations)) or None,
            tcp=self.tcp,
            to_server=self.to_server,
            from_server=self.from_server,
            payload_to_server=self.payload_to_server,
            payload_from_server=self.payload_from_server,
            other_tcp=self.other_tcp,
            server_ports=self.server_ports.told(),
            hellos_elsewhere=self.hellos_elsewhere.told(),
            upgrades_elsewhere=self.upgrades_elsewhere.told(),
            vlans=self.vlans.told(),
            mail_vlans=self.mail_vlans.told(),
            tunnels={
                word: self.tunnels[number]
                for number, word in enumerate(TUNNEL_WORDS)
                if self.tunnels[number]
            },
            link_types=self.link_types.told(),
            cut=self.cut,
            shortest_cut=self.shortest_cut,
            longest_cut=self.longest_cut,
            cut_before=self.cut_before,
            longest=self.longest,
            oversize=self.oversize,
            without_length=self.without_length,
            checksums=self.checksums,
            checksums_unfilled=self.checksums_unfilled,
            checksums_wrong=self.checksums_wrong,
            originals=self.originals,
            copies=self.copies,
            copies_other_vlan=self.copies_other_vlan,
            copies_routed=self.copies_routed,
            backwards=self.backwards,
            furthest_back_ns=self.furthest_back_ns,
            longest_silence_ns=self.longest_silence_ns,
            silence_from_ns=self.silence_from_ns,
            first_ns=self.first_ns if self.frames else None,
            last_ns=self.last_ns if self.frames else None,
            hops=dict(self.hops),
            certificates=tuple(self.certificates),
            internal=self.internal,
        )

    # -- per frame -------------------------------------------------------------------------

    def _scan(self, batch: Batch, start: int, frame: Frame) -> int:
        """Look at frames from ``start`` on; return the first that needs a closer look.

        ``batch.count``: there is none.
        """
        for index in range(start, batch.count):
            self.index = index
            self.frames += 1
            self._note_time(batch.times_ns[index])
            at = batch.starts[index]
            captured = batch.ends[index] - at
            if batch.links[index] == LINK_ETHERNET and captured >= ETHERNET_LENGTH:
                self._note_stations(batch.wire, at)
            is_whole = batch.wire_lengths[index] <= captured
            if not is_whole:
                self._note_cut(captured)
            answer = decode.decode(batch, index, frame)
            self.vlans.add(frame.vlan)
            if frame.tunnel_count:
                self.tunnels[frame.tunnel_type] += 1
            if answer != FOUND:
                if frame.undecoded == LINK_TYPE:
                    self.link_types.add(batch.links[index])
                continue
            if frame.missing and is_whole:
                self.cut_before += 1
            self._note_packet(batch.wire, frame)
            self._note_copy(batch.wire, frame, batch.times_ns[index])
            if self._note_segment(batch.wire, frame):
                return index
        return batch.count

    def _note_time(self, time_ns: int) -> int:
        if self.frames == 1:
            self.first_ns = self.last_ns = time_ns
        ahead = time_ns - self.last_ns
        if ahead < 0:
            self.backwards += 1
            self.furthest_back_ns = max(self.furthest_back_ns, -ahead)
            self.first_ns = min(self.first_ns, time_ns)
            return 0
        if ahead > self.longest_silence_ns:
            self.longest_silence_ns = ahead
            self.silence_from_ns = self.last_ns
        self.last_ns = time_ns
        return 0

    def _note_stations(self, wire: memoryview, at: int) -> int:
        """Note who sent an Ethernet frame to whom."""
        destination = _station(wire, at)
        source = _station(wire, at + 6)
        if destination & GROUP_BIT:
            self.groups += 1
            return 0
        if self.unicast == 0:
            self.one_station = source
            self.other_station = destination
        self.unicast += 1
        if self.one_station not in (source, destination):
            self.one_station = NOBODY
        if self.other_station not in (source, destination):
            self.other_station = NOBODY
        for place in range(self.own_count):
            if self.own[place] in (source, destination):
                return 0
        self.foreign += 1
        return 0

    def _note_cut(self, captured: int) -> int:
        if self.cut == 0 or captured < self.shortest_cut:
            self.shortest_cut = captured
        self.longest_cut = max(self.longest_cut, captured)
        self.cut += 1
        return 0

    def _note_packet(self, wire: memoryview, frame: Frame) -> int:
        """Note the length and the checksum of the packet around a segment."""
        start = frame.source - (12 if frame.ip_version == 4 else 8)
        length = frame.end - start + frame.missing
        self.longest = max(self.longest, length)
        if length > LARGEST_PACKET:
            self.oversize += 1
        if frame.ip_version != 4:
            return 0
        if wire[start + 2] == 0 and wire[start + 3] == 0:
            self.without_length += 1
        if frame.missing == 0:
            self._note_checksum(wire, frame, start + (wire[start] & 0x0F) * 4)
        return 0

    def _note_checksum(self, wire: memoryview, frame: Frame, segment: int) -> int:
        """Compare the TCP checksum of an IPv4 packet (RFC 9293 section 3.1)."""
        size = frame.end - segment
        beside = 6 + size + _sum(wire, frame.source, frame.source + 8)
        whole = _folded(beside + _sum(wire, segment, frame.end))
        self.checksums += 1
        if whole != 0xFFFF:
            stored = wire[segment + 16] << 8 | wire[segment + 17]
            # What a driver leaves to the hardware holds the sum of what lies beside.
            if stored == _folded(beside) or stored == 0:
                self.checksums_unfilled += 1
            else:
                self.checksums_wrong += 1
        return 0

    def _note_copy(self, wire: memoryview, frame: Frame, time_ns: int) -> int:
        """Tell whether a segment was seen a moment ago; bare acknowledgements look alike."""
        if frame.end <= frame.at and not frame.flags & SYN:
            return 0
        self.originals += 1
        is_v4 = frame.ip_version == 4
        start = frame.source - (12 if is_v4 else 8)
        stop = min(frame.end, start + HASHED)
        found = HASH_START
        for at in range(start, stop):
            place = at - start
            # A router changes the hop limit, the header's checksum, and perhaps the class.
            if (place in (1, 8, 10, 11)) if is_v4 else (place in (0, 1, 7)):
                continue
            found = (found ^ wire[at]) * HASH_FACTOR & MASK
        row = found & (COPIES - 1)
        if self.copy_hashes[row] == found and 0 <= time_ns - self.copy_times[row] < COPY_NS:
            self.originals -= 1
            if self.copy_vlans[row] != frame.vlan:
                self.copies_other_vlan += 1
            elif self.copy_hops[row] != frame.hop_limit:
                self.copies_routed += 1
            else:
                self.copies += 1
            return 0
        self.copy_hashes[row] = found
        self.copy_times[row] = time_ns
        self.copy_vlans[row] = frame.vlan
        self.copy_hops[row] = frame.hop_limit
        return 0

    def _note_segment(self, wire: memoryview, frame: Frame) -> bool:
        """Count a segment by its ports; tell whether it needs a closer look."""
        at = frame.at
        have = frame.end - at
        carries = have + frame.missing > 0
        self.tcp += 1
        begins = have >= 6 and wire[at] == RECORD_HANDSHAKE and wire[at + 1] == 3
        to_server = self.watched[frame.destination_port] != 0
        from_server = not to_server and self.watched[frame.source_port] != 0
        if not (to_server or from_server):
            self.other_tcp += 1
            if self.follow_any:
                return begins and wire[at + 5] in (CLIENT_HELLO, SERVER_HELLO, CERTIFICATE)
            if begins and wire[at + 5] == CLIENT_HELLO:
                self.hellos_elsewhere.add(frame.destination_port)
            elif _asks_for_tls(wire, at, frame.end):
                self.upgrades_elsewhere.add(frame.destination_port)
            return False
        self.mail_vlans.add(frame.vlan)
        self.server_ports.add(frame.destination_port if to_server else frame.source_port)
        if to_server:
            self.to_server += 1
            self.payload_to_server += carries
            return begins and wire[at + 5] == CLIENT_HELLO
        self.from_server += 1
        self.payload_from_server += carries
        return begins and wire[at + 5] in (SERVER_HELLO, CERTIFICATE)

    # -- a closer look ---------------------------------------------------------------------

    def _look_closer(self, wire: memoryview, frame: Frame) -> None:
        """Note a client's hop limit, or whose certificate a server shows."""
        size = 4 if frame.ip_version == 4 else 16
        address = bytes(wire[frame.source : frame.source + size])
        if wire[frame.at + 5] == CLIENT_HELLO:
            if address in self.hops or len(self.hops) < MOST_CLIENTS:
                self.hops[address] = self.hops.get(address, 0) | 1 << _start_of(frame.hop_limit)
            return
        if len(self.certificates) == MOST_SERVERS:
            return
        names = certificate.find(wire, frame.at, frame.end)
        if names is not None:
            found = Certificate(
                address,
                frame.source_port,
                names.subject,
                names.issuer,
                names.issuer_organization,
            )
            self.certificates[found] = None


def _start_of(hop_limit: int) -> int:
    """Return which of HOP_STARTS a hop limit most likely began with."""
    return next(place for place, start in enumerate(HOP_STARTS) if hop_limit <= start)


def _station(wire: memoryview, at: int) -> int:
    high = wire[at] << 16 | wire[at + 1] << 8 | wire[at + 2]
    return high << 24 | wire[at + 3] << 16 | wire[at + 4] << 8 | wire[at + 5]


def _sum(wire: memoryview, start: int, end: int) -> int:
    """Return the sum of 16-bit words; a last odd octet is the high one of its word."""
    total = 0
    at = start
    while at + 1 < end:
        total += wire[at] << 8 | wire[at + 1]
        at += 2
    if at < end:
        total += wire[at] << 8
    return total


def _folded(total: int) -> int:
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def _asks_for_tls(wire: memoryview, start: int, end: int) -> bool:
    """Tell whether a line is STARTTLS or STLS, behind a tag perhaps."""
    if not 6 <= end - start <= 64 or wire[end - 1] != 0x0A or wire[end - 2] != 0x0D:
        return False
    is_tls = wire[end - 3] | 0x20 == 0x73 and wire[end - 4] | 0x20 == 0x6C
    return is_tls and wire[end - 5] | 0x20 == 0x74 and wire[end - 6] | 0x20 in (0x73, 0x74)
