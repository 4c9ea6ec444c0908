"""Frames in, handshakes out.

Per frame (compiled, no Python object): decode, choose by port, look up the flow, and let go
of what changes nothing. What is left, a few segments of each conversation, goes through
``_segment``: find the hello at the start of the client's stream, then walk the records of
both sides until the outcome is known, and forget the stream.

A stream's octets are numbered from 0 where its first octet is known to be (behind the SYN),
or was seen first. ``AT`` is the next one wanted: what lies before it was read, or is of no
interest; what comes from beyond it waits in a reassembly buffer.

Time is the frames' time; the tracker has no clock.
"""

import heapq
from array import array
from collections import deque

from msgspec import Struct, field

from parsers import decode, starttls
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.counts import Counts
from parsers.frame import Frame
from parsers.layers import (
    FRAGMENTED,
    MOST_TUNNELS,
    NOTHING,
    READ,
    TUNNEL_FIELDS,
    TUNNEL_WORDS,
    UNDECODED_REASONS,
)
from parsers.tls import alert as tls_alert
from parsers.tls import client_hello, server_hello, sslv2
from parsers.tls import record as tls_record
from parsers.tls.message import Message
from parsers.tls.record import Record
from sniffer.config import Ports, TrackSettings
from sniffer.event import Flow, Handshake, Outcome, Session, Side, Tunnel
from sniffer.track.flows import Flows
from sniffer.track.fragments import Fragments
from sniffer.track.layout import LARGEST, LAST_SEEN, SLOT_WORDS, reserve
from sniffer.track.outcome import Attempt
from sniffer.track.reassembly import Reassembly

FIN = 0x01
SYN = 0x02
RST = 0x04
ACK = 0x10

# Words of a slot; word 1 is the table's LAST_SEEN.
STATE = 0
HALF_0 = 2
HALF_WORDS = 7

# Words of each half.
ORIGIN = 0
"""Sequence number of the stream's first octet."""
AT = 1
TOP = 2
"""Stream offset behind the highest octet seen."""
PHASE = 3
BUFFER = 4
"""Handle of the reassembly buffer, plus one; 0: none."""
WANT = 5
"""Stream offset that must be reached before it makes sense to read again."""
ACKED = 6
"""Stream offset up to which the other side confirmed that it was received."""

# Bits of STATE.
CLIENT_KNOWN = 1
CLIENT_IS_1 = 2
SEEN_0 = 4
SEEN_1 = 8
SYN_SEEN = 16
SETTLED = 32
"""Nothing of this conversation is wanted any more."""
OPEN = 64
"""An attempt is under way."""
GUESSED = 128
"""Where the server's stream starts was told by the hello's acknowledgement alone."""
ONE_SIDED = 256
"""Counted as a conversation of which only one direction was seen."""
PROTOCOL_SHIFT = 9
"""Where the two bits lie that tell which protocol the client spoke in clear."""
PROTOCOL_BITS = 3 << PROTOCOL_SHIFT
ASKED = 2048
"""The client asked for the upgrade: what it says next may be a hello."""
ENDING = 4096
"""Established; how the session ends is still of interest, what it carries is not."""
HOPS_SHIFT = 16
"""Where the eight bits lie that hold the hop limit the server's frames arrive with."""
HOPS_BITS = 0xFF << HOPS_SHIFT

# Phases of a half.
FRESH = 0
"""Nothing of it was seen."""
START = 1
"""At the start of its stream, a hello may come."""
JOINED = 2
"""The same, but the stream was joined in the middle."""
RECORDS = 3
"""A sequence of records."""
CIPHER = 4
"""The same, behind a ChangeCipherSpec: handshake records are encrypted."""
LOST = 5
"""Something is missing; any segment may begin with a record."""
OTHER = 6
"""Not TLS, or not any more."""
DIALOGUE = 7
"""A client's lines in clear, before an upgrade."""
UPGRADED = 8
"""Behind the line that asked for the upgrade, a hello may come."""

RECORD_CHANGE_CIPHER_SPEC = 20
RECORD_ALERT = 21
RECORD_HANDSHAKE = 22
RECORD_APPLICATION_DATA = 23

WINDOW = 1 << 20
"""How far from what was seen a sequence number may lie to be of the same stream."""
RESET_WINDOW = 65535
"""How far behind the last octet a RST may lie (RFC 9293 section 3.10.7.4)."""
LONGEST_FIRST_PIECE = 512
"""How much of a line in clear a client may send before the line's end tells what it is."""
LONGEST_EARLY_ANSWER = 16384
"""How much is kept of what a server says before its client's hello was seen."""
MOST_ISLANDS = 64
"""Pieces between gaps of one direction that are looked at when no more will come."""
FRAGMENT = -2
"""In place of a slot: the frame holds a fragment of an IP packet."""
LINK_ETHERNET = 1
LINK_RAW = 101
HALF_RING = 0x80000000
RING = 0xFFFFFFFF
SECOND_NS = 1_000_000_000
SESSION_NS = 10 * SECOND_NS
"""How long the end of an established session is waited for."""

SYN_ENTRIES = 65536
"""Connections whose SYN is remembered before they have a slot; two words each."""
SYN_CLIENT = 1
SYN_SERVER = 2
"""Whose SYN was seen; a SYN-ACK tells the client's sequence number too."""
SYN_CLIENT_IS_1 = 4

# Why a hello is not complete.
CUT = 0
GAP = 1
ENDED = 2
TIMEOUT = 3
END_OF_INPUT = 4
LENGTH = 5
EVICTED = 6

INTERNAL_ERRORS_KEPT = 10
MOST_HOPS_APART = 1
"""Hop limits of one sender differ no more than that, unless its route changes."""
FEW_WAITING = 1024
"""So many attempts may wait for their time though they are closed."""

INCOMPLETE_REASONS = (
    "truncated",
    "gap",
    "ended",
    "timeout",
    "end_of_input",
    "length",
    "evicted",
)


class Counters(Struct, kw_only=True):
    """What the tracker saw and lost, since its start."""

    frames: int
    bytes: int
    frames_truncated: int
    frames_backwards: int
    """Frames older than one before them; their time is told, but nothing waits for it."""
    undecoded: dict[str, int]
    ethertypes: dict[str, int]
    """Frames that ended at an EtherType nobody here reads, by its number."""
    flows: int
    flows_open: int
    one_sided_flows: int
    hellos: int
    incomplete: dict[str, int]
    evicted: dict[str, int]
    reassembly_bytes: int
    unseen_bytes: int
    conflicts: int
    first_ns: int | None
    last_ns: int | None
    internal_errors: list[str] = field(default_factory=list)


class Tracker:
    """The state between frames and handshakes of one input or interface.

    ``observe`` a batch, then ``ready`` gives the handshakes that are settled: in the order
    of their frames if ``ordered``, else as settled. ``finish`` settles the rest.
    """

    def __init__(
        self,
        settings: TrackSettings,
        ports: Ports,
        key: bytes,
        *,
        ordered: bool = True,
        path: str | None = None,
    ) -> None:
        """Reserve all budgets; ``key`` is 16 secret octets for the flow table's hash."""
        self.frame = Frame()
        self.record = Record()
        self.message = Message()
        self.flows = Flows(settings.flows, key)
        self.words = self.flows.words
        self.reassembly = Reassembly(settings.reassembly_bytes)
        self.syns = reserve(16 * SYN_ENTRIES).cast("Q")
        self.syn_hops = memoryview(bytearray(SYN_ENTRIES))
        self.attempts: list[Attempt | None] = [None] * settings.flows
        self.watched = memoryview(bytearray(65536))
        for port in ports.services:
            self.watched[port] = 1
        self.follow_any = ports.follow_any
        self.answer_ns = settings.answer_seconds * SECOND_NS
        self.most_open = settings.open_handshakes
        self.ordered = ordered
        self.path = path

        self.fragments = Fragments()
        self.whole = Batch(1)

        self.waiting: deque[tuple[int, Attempt]] = deque()
        self.ending: deque[tuple[int, Attempt]] = deque()
        self.order: list[tuple[int, int, Attempt]] = []
        self.settled: list[Handshake] = []
        self.open_count = 0
        self.serial = 0
        self.next_deadline_ns = 0

        self.slot = -1
        self.number = 0
        self.time_ns = 0
        self.is_sslv2 = False
        self.final = False
        self.closing = False
        self.behind = 0
        self.index = 0
        self.now_ns = 0
        self.first_ns = 0
        self.frames = 0
        self.bytes = 0
        self.truncated = 0
        self.backwards = 0
        self.flow_count = 0
        self.open_flows = 0
        self.one_sided = 0
        self.hellos = 0
        self.unseen_bytes = 0
        self.evicted_flows = 0
        self.evicted_buffers = 0
        self.evicted_attempts = 0
        self.internal = 0
        self.internal_errors: list[str] = []
        self.undecoded = memoryview(array("q", bytes(8 * len(UNDECODED_REASONS))))
        self.ethertypes = Counts()
        self.incomplete = memoryview(array("q", bytes(8 * len(INCOMPLETE_REASONS))))

    # -- what others call ------------------------------------------------------------------

    def observe(self, batch: Batch) -> None:
        """Follow the frames of a batch, which is not needed any more when this returns."""
        self.index = 0
        while True:
            try:
                at = self._scan(batch, self.index, self.frame, self.flows)
                if at >= batch.count:
                    break
                if self.slot == FRAGMENT:
                    self._fragment(batch, at)
                else:
                    self._segment(batch, at)
            except Exception as error:
                # Our bug, whatever the frame was: one frame is lost, the run goes on.
                self._internal(batch.first_frame + self.index, error)
            self.index += 1
        self.tick(self.now_ns)

    def tick(self, now_ns: int) -> None:
        """Let frame time reach ``now_ns``: attempts that waited long enough are settled."""
        self.now_ns = max(self.now_ns, now_ns)
        self._expire()

    def ready(self) -> list[Handshake]:
        """Return the handshakes settled since the last call."""
        if self.ordered:
            while self.order:
                number, _, attempt = self.order[0]
                if number != attempt.frame:
                    heapq.heapreplace(self.order, (attempt.frame, self._next(), attempt))
                elif attempt.closed:
                    heapq.heappop(self.order)
                    self._emit(attempt)
                else:
                    break
        settled, self.settled = self.settled, []
        return settled

    def finish(self) -> None:
        """Settle everything that is still open: there is no more input."""
        for waiting in (self.waiting, self.ending):
            while waiting:
                _, attempt = waiting.popleft()
                if not attempt.closed:
                    self._settle(attempt, END_OF_INPUT, time_is_over=False)
        self.fragments.finish()
        owner = self.reassembly.any_owner()
        while owner >= 0:
            self._drop_buffer(owner >> 1, owner & 1)
            owner = self.reassembly.any_owner()
        self._count_one_sided()

    def counters(self) -> Counters:
        """Return what was seen and lost so far."""
        undecoded = {
            reason: self.undecoded[number]
            for number, reason in enumerate(UNDECODED_REASONS)
            if reason and self.undecoded[number]
        }
        lost = sum(self.fragments.lost.values())
        if lost:
            undecoded["fragment"] = undecoded.get("fragment", 0) + lost
        if self.internal:
            undecoded["internal"] = self.internal
        ethertypes = {f"0x{number:04x}": count for number, count in self.ethertypes.told().items()}
        if self.ethertypes.rest:
            ethertypes["other"] = self.ethertypes.rest
        evicted = {
            "flow": self.evicted_flows,
            "buffer": self.evicted_buffers,
            "attempt": self.evicted_attempts,
        }
        return Counters(
            frames=self.frames,
            bytes=self.bytes,
            frames_truncated=self.truncated,
            frames_backwards=self.backwards,
            undecoded=undecoded,
            ethertypes=ethertypes,
            flows=self.flow_count,
            flows_open=self.open_flows,
            one_sided_flows=self.one_sided,
            hellos=self.hellos,
            incomplete={
                reason: self.incomplete[number]
                for number, reason in enumerate(INCOMPLETE_REASONS)
                if self.incomplete[number]
            },
            evicted={what: count for what, count in evicted.items() if count},
            reassembly_bytes=self.reassembly.in_use,
            unseen_bytes=self.unseen_bytes,
            conflicts=self.reassembly.conflicts,
            first_ns=self.first_ns if self.frames else None,
            last_ns=self.now_ns if self.frames else None,
            internal_errors=self.internal_errors,
        )

    # -- per frame -------------------------------------------------------------------------

    def _scan(self, batch: Batch, start: int, frame: Frame, flows: Flows) -> int:
        """Follow frames from ``start`` on; return the first that needs a closer look.

        That one is decoded in ``frame``, its flow located. ``batch.count``: there is none.
        """
        for index in range(start, batch.count):
            self.index = index
            time_ns = batch.times_ns[index]
            if self.frames == 0:
                self.first_ns = time_ns
                self.now_ns = time_ns
            if time_ns > self.now_ns:
                self.now_ns = time_ns
            elif time_ns < self.now_ns:
                self.backwards += 1
            self.frames += 1
            captured = batch.ends[index] - batch.starts[index]
            self.bytes += captured
            if batch.wire_lengths[index] > captured:
                self.truncated += 1
            if decode.decode(batch, index, frame) != FOUND:
                if frame.undecoded == FRAGMENTED:
                    self.slot = FRAGMENT
                    return index
                if frame.undecoded:
                    self.undecoded[frame.undecoded] += 1
                elif frame.ethertype:
                    self.ethertypes.add(frame.ethertype)
                continue
            if self._matters(batch.wire, frame, flows):
                return index
        return batch.count

    def _matters(self, wire: memoryview, frame: Frame, flows: Flows) -> bool:
        """Tell whether a segment needs a closer look; its slot is then known."""
        if not (
            self.follow_any
            or self.watched[frame.destination_port]
            or self.watched[frame.source_port]
        ):
            return False
        words = self.words
        slot = flows.locate(wire, frame)
        self.slot = slot
        if slot < 0:
            if frame.flags & SYN:
                self._note_syn(frame)
            return frame.end + frame.missing > frame.at
        at = slot * SLOT_WORDS
        words[at + LAST_SEEN] = self.now_ns
        words[at + STATE] |= SEEN_1 if flows.direction else SEEN_0
        if frame.flags & SYN:
            return True
        half = at + HALF_0 + flows.direction * HALF_WORDS
        if words[at + STATE] & SETTLED or (
            words[half + PHASE] == OTHER and not words[at + STATE] & OPEN
        ):
            return not self._is_same_stream(wire, frame, half)
        if words[at + STATE] & ENDING and not frame.flags & (FIN | RST):
            return not self._is_same_stream(wire, frame, half)
        if frame.flags & ACK:
            self._note_acknowledgement(frame, at + HALF_0 + (1 - flows.direction) * HALF_WORDS)
        return frame.end + frame.missing > frame.at or frame.flags & (FIN | RST) != 0

    def _is_same_stream(self, wire: memoryview, frame: Frame, half: int) -> bool:
        """Follow a stream nothing of which is wanted; False: another one may begin here.

        That is where the sequence number fits no more, its SYN was missed, and the segment
        looks like a ClientHello.
        """
        words = self.words
        length = frame.end - frame.at + frame.missing
        if words[half + PHASE] == FRESH:
            words[half + PHASE] = OTHER
            words[half + ORIGIN] = frame.sequence
            words[half + TOP] = length
            return True
        offset = self._offset(half, frame.sequence)
        if -WINDOW < offset - words[half + TOP] < WINDOW:
            if offset + length > words[half + TOP]:
                words[half + TOP] = offset + length
            return True
        at = frame.at
        return not (
            frame.end - at > tls_record.HEADER_LENGTH
            and wire[at] == RECORD_HANDSHAKE
            and wire[at + 1] == 3
            and wire[at + tls_record.HEADER_LENGTH] == client_hello.CLIENT_HELLO
        )

    def _note_acknowledgement(self, frame: Frame, half: int) -> int:
        """Note how much of the other side's stream the segment confirms."""
        words = self.words
        if words[half + PHASE] == FRESH:
            return 0
        offset = self._offset(half, frame.acknowledgement)
        if words[half + ACKED] < offset < words[half + TOP] + WINDOW:
            words[half + ACKED] = offset
        return 0

    def _offset(self, half: int, sequence: int) -> int:
        """Return the stream offset of a sequence number: the one nearest to TOP."""
        top = self.words[half + TOP]
        delta = (sequence - self.words[half + ORIGIN] - top) & RING
        if delta >= HALF_RING:
            delta -= RING + 1
        return top + delta

    def _note_syn(self, frame: Frame) -> int:
        """Remember the sequence number of a SYN or SYN-ACK without giving it a slot."""
        at = (self.flows.tag >> 20 & (SYN_ENTRIES - 1)) * 2
        tag = self.flows.tag & ~7
        said = self.syns[at] & 7 if self.syns[at] & ~7 == tag else 0
        client = self.syns[at + 1] >> 32
        server = self.syns[at + 1] & RING
        sequence = frame.sequence
        acknowledged = (frame.acknowledgement - 1) & RING
        if frame.flags & ACK:
            client_is_1 = self.flows.direction == 0
            if said & SYN_CLIENT and client != acknowledged:
                return 0
            client = acknowledged
            server = sequence
            said |= SYN_SERVER
            self.syn_hops[at >> 1] = frame.hop_limit
        else:
            client_is_1 = self.flows.direction == 1
            # A new connection: whatever an earlier one's server said is void.
            if client != sequence:
                said = 0
            client = sequence
            said |= SYN_CLIENT
        said &= ~SYN_CLIENT_IS_1
        if client_is_1:
            said |= SYN_CLIENT_IS_1
        self.syns[at] = tag | said
        self.syns[at + 1] = client << 32 | server
        return 0

    def _count_one_sided(self) -> int:
        """Count the flows at hand that showed one direction only."""
        for slot in range(self.flows.slots):
            if self.flows.tags[slot]:
                self._note_one_sided(slot)
        return 0

    def _note_one_sided(self, slot: int) -> int:
        """Count a flow that is done with, once, if it showed one direction only."""
        at = slot * SLOT_WORDS + STATE
        seen = self.words[at] & (SEEN_0 | SEEN_1)
        if seen != SEEN_0 | SEEN_1 and not self.words[at] & ONE_SIDED:
            self.words[at] |= ONE_SIDED
            self.one_sided += 1
        return 0

    # -- fragments -------------------------------------------------------------------------

    def _fragment(self, batch: Batch, index: int) -> None:
        """Keep the fragment in ``frame``; once its datagram is whole, follow that."""
        frame = self.frame
        wire = batch.wire
        if frame.missing:
            self.undecoded[FRAGMENTED] += 1
            return
        size = 4 if frame.ip_version == 4 else 16
        source = bytes(wire[frame.source : frame.source + size])
        destination = bytes(wire[frame.destination : frame.destination + size])
        tunnels = self._tunnels(wire)
        key = (
            source
            + destination
            + frame.identification.to_bytes(4, "big")
            + bytes((frame.protocol, frame.tunnel_type))
            + (frame.tunnel_id + 1).to_bytes(8, "big")
        )
        data = self.fragments.add(
            key,
            frame.fragment_offset,
            bytes(wire[frame.at : frame.end]),
            more=frame.fragment_more != 0,
            now_ns=self.now_ns,
        )
        if data is None:
            return
        mac = bytes(wire[frame.mac : frame.mac + 6]) if frame.mac >= 0 else None
        packet = _packet(source, destination, frame.protocol, frame.hop_limit, data)
        if mac is not None:
            kind = b"\x08\x00" if size == 4 else b"\x86\xdd"
            packet = bytes(6) + mac + kind + packet
        outer = b"".join(ip for _, _, ip in tunnels)
        self._follow_whole(batch, index, packet, outer, tunnels, LINK_RAW if mac is None else 1)

    def _follow_whole(
        self,
        batch: Batch,
        index: int,
        packet: bytes,
        outer: bytes,
        tunnels: list[tuple[int, int, bytes]],
        link: int,
    ) -> None:
        """Follow a datagram put together of fragments, as the frame that completed it."""
        frame = self.frame
        whole = self.whole
        whole.clear()
        whole.first_frame = batch.first_frame + index
        whole.wire = memoryview(packet + outer)
        whole.add(0, len(packet), len(packet), batch.times_ns[index], frame.vlan, link)
        answer = decode.decode(whole, 0, frame)
        if frame.undecoded != READ:
            self.undecoded[frame.undecoded] += 1
        if answer != FOUND:
            return
        at = len(packet)
        rows = []
        for kind, number, ip in tunnels:
            rows.append((kind, number, at, len(ip)))
            at += len(ip)
        count = frame.tunnel_count
        inner = [
            tuple(frame.tunnels[row * TUNNEL_FIELDS : (row + 1) * TUNNEL_FIELDS])
            for row in range(count)
        ]
        if tunnels and frame.tunnel_type == NOTHING:
            frame.tunnel_type, frame.tunnel_id, _ = tunnels[-1]
        frame.tunnel_count = 0
        for kind, number, place, size in (rows + inner)[:MOST_TUNNELS]:
            row = frame.tunnel_count * TUNNEL_FIELDS
            frame.tunnels[row] = kind
            frame.tunnels[row + 1] = number
            frame.tunnels[row + 2] = place
            frame.tunnels[row + 3] = size
            frame.tunnel_count += 1
        if self._matters(whole.wire, frame, self.flows):
            self._segment(whole, 0)

    # -- per segment that may matter -------------------------------------------------------

    def _segment(self, batch: Batch, index: int) -> None:
        """Follow the segment in ``frame``: payload first, then RST or FIN."""
        self.number = batch.first_frame + index
        self.time_ns = batch.times_ns[index]
        if self.now_ns >= self.next_deadline_ns:
            self._expire()
        frame = self.frame
        slot = self.slot
        direction = self.flows.direction
        length = frame.end - frame.at + frame.missing
        if frame.flags & SYN:
            if slot >= 0 and self._is_new_connection(slot, direction):
                self._forget(slot, ENDED)
                self._note_syn(frame)
                slot = -1
            if not length:
                return
            # The SYN carries data (RFC 7413), which begins one number later.
            frame.sequence = (frame.sequence + 1) & RING
        if slot < 0:
            slot = self._enter()
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        if words[half + PHASE] == FRESH:
            attempt = self.attempts[slot]
            words[half + ORIGIN] = frame.sequence
            answers = attempt is not None and attempt.hello is not None
            words[half + PHASE] = RECORDS if answers else JOINED
        offset = self._offset(half, frame.sequence)
        if not -WINDOW < offset - words[half + TOP] < WINDOW:
            if length and words[base + STATE] & GUESSED and self._is_server(slot, direction):
                words[half + ORIGIN] = frame.sequence
                offset = words[half + AT] = words[half + TOP] = words[half + ACKED] = 0
            elif not length or not self._begins_with_hello(batch.wire, frame.at, frame.end):
                return
            else:
                # The four-tuple is in use again, and its SYN was not seen.
                self._forget(slot, ENDED)
                slot = self._enter()
                base = slot * SLOT_WORDS
                half = base + HALF_0 + direction * HALF_WORDS
                words[half + ORIGIN] = frame.sequence
                words[half + PHASE] = JOINED
                offset = 0
        if words[base + STATE] & SETTLED:
            return
        if length:
            if offset + length > words[half + TOP]:
                words[half + TOP] = offset + length
            if words[base + STATE] & GUESSED and self._is_server(slot, direction):
                words[base + STATE] &= ~GUESSED
            self._payload(batch.wire, slot, direction, offset)
        if frame.flags & (FIN | RST) and not words[base + STATE] & SETTLED:
            self._end(slot, direction, offset + length, bool(frame.flags & RST))

    def _is_new_connection(self, slot: int, direction: int) -> bool:
        """Tell whether the SYN in ``frame`` begins another connection than the slot's."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        first = (self.frame.sequence + 1) & RING
        if self.words[half + PHASE] == FRESH and self.frame.flags & ACK:
            attempt = self.attempts[slot]
            answers = attempt is not None and attempt.hello is not None
            self.words[half + ORIGIN] = first
            self.words[half + PHASE] = RECORDS if answers else START
            return False
        return self.words[half + ORIGIN] != first

    def _enter(self) -> int:
        """Give the segment's flow a slot, and tell it what its SYNs said."""
        flows = self.flows
        slot = flows.choose()
        if flows.tags[slot]:
            self._forget(slot, EVICTED)
            self.evicted_flows += 1
        flows.claim(slot)
        self.flow_count += 1
        self.open_flows += 1
        frame = self.frame
        words = self.words
        base = slot * SLOT_WORDS
        state = SEEN_1 if flows.direction else SEEN_0
        words[base + LAST_SEEN] = self.now_ns

        at = (flows.tag >> 20 & (SYN_ENTRIES - 1)) * 2
        said = self.syns[at]
        if said & ~7 == flows.tag & ~7 and said & (SYN_CLIENT | SYN_SERVER):
            client = 1 if said & SYN_CLIENT_IS_1 else 0
            state |= CLIENT_KNOWN | (CLIENT_IS_1 if client else 0)
            half = base + HALF_0 + client * HALF_WORDS
            words[half + ORIGIN] = ((self.syns[at + 1] >> 32) + 1) & RING
            words[half + PHASE] = START
            if said & SYN_CLIENT:
                state |= SYN_SEEN | (SEEN_1 if client else SEEN_0)
            if said & SYN_SERVER:
                half = base + HALF_0 + (1 - client) * HALF_WORDS
                words[half + ORIGIN] = ((self.syns[at + 1] & RING) + 1) & RING
                words[half + PHASE] = START
                state |= SEEN_0 if client else SEEN_1
                state |= self.syn_hops[at >> 1] << HOPS_SHIFT
            self.syns[at] = 0
        elif self.watched[frame.destination_port] != self.watched[frame.source_port]:
            to_server = self.watched[frame.destination_port]
            client = flows.direction if to_server else 1 - flows.direction
            state |= CLIENT_KNOWN | (CLIENT_IS_1 if client else 0)
        words[base + STATE] = state
        return slot

    def _payload(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Take the payload of the segment in ``frame``, which starts at a stream offset."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        phase = words[half + PHASE]
        server = self._is_server(slot, direction)
        attempt = self.attempts[slot]
        if attempt is not None:
            if attempt.direction != direction:
                server = True
            if server and attempt.hello is not None:
                frame = self.frame
                if offset + frame.end - frame.at + frame.missing > words[half + AT]:
                    attempt.server_answered = True
                if not words[base + STATE] & HOPS_BITS:
                    words[base + STATE] |= frame.hop_limit << HOPS_SHIFT
        if phase in (RECORDS, CIPHER, LOST):
            self._records(wire, slot, direction, offset)
        elif phase in (START, JOINED, UPGRADED):
            if server:
                self._early_answer(wire, slot, direction, offset)
            else:
                self._seek_hello(wire, slot, direction, offset)
        elif phase == DIALOGUE:
            self._dialogue(wire, slot, direction, offset)
        self._check_end(slot)

    def _is_server(self, slot: int, direction: int) -> bool:
        """Tell whether this direction is known to be the server's."""
        state = self.words[slot * SLOT_WORDS + STATE]
        if not state & CLIENT_KNOWN:
            return False
        return direction != (1 if state & CLIENT_IS_1 else 0)

    def _end(self, slot: int, direction: int, offset: int, is_reset: bool) -> None:
        """Note the RST or FIN of the segment in ``frame``, the first one that may be genuine."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        attempt = self.attempts[slot]
        if attempt is None:
            return
        if attempt.last_word is not None:
            # A client that had done its part may close first: the server's end is awaited.
            if attempt.is_half_closed() and direction != attempt.direction:
                attempt.end_at = (direction, offset)
                self._check_end(slot)
            return
        if is_reset:
            furthest = max(words[half + TOP], words[half + ACKED]) + RESET_WINDOW
            if not words[half + ACKED] <= offset <= furthest:
                return
            hops = (words[slot * SLOT_WORDS + STATE] & HOPS_BITS) >> HOPS_SHIFT
            apart = abs(hops - self.frame.hop_limit)
            if direction != attempt.direction and hops and apart > MOST_HOPS_APART:
                attempt.path_reset = True
        if self.words[slot * SLOT_WORDS + STATE] & ENDING:
            # What was not seen, or was held back by a filter, was sent all the same.
            words[half + TOP] = max(words[half + TOP], offset)
        outcome = Outcome.RESET if is_reset else Outcome.CLOSED
        attempt.last_word = (self._side(attempt, direction), outcome)
        attempt.end_at = (direction, offset)
        self._check_end(slot)

    def _check_end(self, slot: int) -> None:
        """Let a RST or FIN count once all that was sent before it was read.

        That is what its own side sent, and what it has from the other.
        """
        attempt = self.attempts[slot]
        if attempt is None or attempt.end_at is None:
            return
        direction, offset = attempt.end_at
        if direction == attempt.direction and attempt.is_half_closed():
            return
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        other = slot * SLOT_WORDS + HALF_0 + (1 - direction) * HALF_WORDS
        # The other side's FIN, confirmed too, is no octet.
        if self._reach(half) >= offset and self._reach(other) >= self.words[other + ACKED] - 1:
            self._conclude(attempt, ENDED, time_is_over=False)

    def _reach(self, half: int) -> int:
        """Return the stream offset up to which a half was read, or has nothing more to read."""
        words = self.words
        if words[half + PHASE] in (FRESH, LOST, OTHER):
            return max(words[half + TOP], words[half + ACKED]) + RESET_WINDOW
        handle = words[half + BUFFER] - 1
        if handle < 0:
            return words[half + AT]
        return max(words[half + AT], self.reassembly.reach(handle))

    def _side(self, attempt: Attempt, direction: int) -> Side:
        return Side.CLIENT if direction == attempt.direction else Side.SERVER

    # -- the hello -------------------------------------------------------------------------

    def _early_answer(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Keep what a server sends before its client's hello was seen, if it may be TLS."""
        frame = self.frame
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        first = wire[frame.at] if frame.end > frame.at else 0
        if (offset == 0 and not (20 <= first <= 23 or first & 0x80)) or (
            offset + frame.end - frame.at > LONGEST_EARLY_ANSWER
        ):
            self._drop_buffer(slot, direction)
            self.words[half + PHASE] = OTHER
            return
        self._keep(wire, slot, direction, offset, frame.at, frame.end)

    def _seek_hello(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Look for a ClientHello at the start of a client's stream."""
        frame = self.frame
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        at = words[half + AT]
        start = frame.at
        end = frame.end
        if offset < at:
            start += at - offset
            offset = at
        if start >= end:
            return
        handle = words[half + BUFFER] - 1
        if handle < 0 and offset == at:
            answer = self._look(wire, start, end, half)
            if answer == NO_MATCH:
                if self._is_dialogue(wire, start, end, slot, half):
                    self._dialogue(wire, slot, direction, offset - (start - frame.at))
                else:
                    self._no_hello(slot, direction)
                return
            attempt = self._begin(wire, slot, direction)
            if answer == FOUND:
                self._found(attempt, slot, direction)
                words[half + AT] = offset + self.message.after - start
                self._go_on(wire, slot, direction, offset - (start - frame.at))
                return
            words[half + WANT] = at + self.message.want - start
            if self._keep(wire, slot, direction, offset, start, end) == 0:
                return
            handle = words[half + BUFFER] - 1
        else:
            if offset - at >= LARGEST:
                # What is missing will not come any more.
                self._accept_cut(slot, direction, GAP)
                return
            before = self.reassembly.reach(handle) if handle >= 0 else at
            if self._keep(wire, slot, direction, offset, start, end) == 0:
                return
            handle = words[half + BUFFER] - 1
            reach = self.reassembly.reach(handle)
            if reach == before:
                return
            attempt = self._begin(wire, slot, direction)
            if reach >= words[half + WANT]:
                first = self.reassembly.place(handle, at)
                answer = self._look(self.reassembly.arena, first, first + reach - at, half)
                if answer == NO_MATCH:
                    self._abandon(slot)
                    if self._is_dialogue(
                        self.reassembly.arena, first, first + reach - at, slot, half
                    ):
                        self._read_lines(wire, slot, direction)
                    else:
                        self._no_hello(slot, direction)
                    return
                if answer == FOUND:
                    self._found_in_buffer(attempt, slot, direction, at + self.message.after - first)
                    return
                words[half + WANT] = at + self.message.want - first
        attempt.frame, attempt.time_ns = self.number, self.time_ns
        reach = self.reassembly.reach(handle)
        if reach - at >= LARGEST:
            self._accept_cut(slot, direction, LENGTH)
        elif frame.missing and reach == offset + end - start:
            self._accept_cut(slot, direction, CUT)

    def _look(self, wire: memoryview, start: int, end: int, half: int) -> int:
        """Tell whether a hello stands at ``start``; ``message`` is where it was looked for."""
        message = self.message
        self.is_sslv2 = False
        answer = message.read(wire, start, end)
        if answer != NO_MATCH:
            fit = client_hello.fits(message.wire, message.start, message.end)
            return NO_MATCH if fit == NO_MATCH else answer
        if message.end - message.start > client_hello.HEADER_LENGTH + 1:
            # Its records end before the message does: the smaller of the lengths counts.
            # Where the stream does not surely start here, it may as well be other data.
            fit = client_hello.fits(message.wire, message.start, message.end)
            proven = self.words[half + PHASE] in (START, UPGRADED)
            return FOUND if fit == NEED_MORE and proven else NO_MATCH
        answer = sslv2.fits(wire, start, end)
        if answer == NO_MATCH:
            return NO_MATCH
        length = 2 + ((wire[start] & 0x7F) << 8)
        if end - start >= 2:
            length += wire[start + 1]
        # Data in the middle of a stream may look alike: there it has to be one segment.
        if self.words[half + PHASE] == JOINED and (answer != FOUND or length != end - start):
            return NO_MATCH
        self.is_sslv2 = True
        message.wire = wire
        message.start = start
        message.want = max(start + length, end + 1) if answer == NEED_MORE else start + length
        message.end = start + length if answer == FOUND else end
        message.after = message.end
        return answer

    def _begins_with_hello(self, wire: memoryview, start: int, end: int) -> bool:
        """Tell whether a whole ClientHello in TLS format stands at ``start``."""
        message = self.message
        return (
            message.read(wire, start, end) == FOUND
            and client_hello.fits(message.wire, message.start, message.end) == FOUND
        )

    def _no_hello(self, slot: int, direction: int) -> None:
        """Let go of a direction that does not begin with a hello."""
        base = slot * SLOT_WORDS
        self.words[base + HALF_0 + direction * HALF_WORDS + PHASE] = OTHER
        self._abandon(slot)
        other = base + HALF_0 + (1 - direction) * HALF_WORDS
        if self.words[base + STATE] & CLIENT_KNOWN or self.words[other + PHASE] == OTHER:
            self._let_go(slot)
        else:
            self._drop_buffer(slot, direction)

    def _abandon(self, slot: int) -> None:
        """Let go of an attempt that turned out to be none."""
        attempt = self.attempts[slot]
        if attempt is not None:
            self._close(attempt)

    # -- the clear dialogue before an upgrade ----------------------------------------------

    def _is_dialogue(self, wire: memoryview, start: int, end: int, slot: int, half: int) -> bool:
        """Tell whether a client that does not begin with a hello speaks mail in clear."""
        words = self.words
        if words[half + PHASE] == UPGRADED:
            words[half + PHASE] = DIALOGUE
            words[half + WANT] = starttls.ASKING
            return True
        if not 0x21 <= wire[start] <= 0x7E:
            return False
        line, newline, _ = bytes(wire[start : min(end, start + starttls.LONGEST_LINE)]).partition(
            b"\n"
        )
        protocol = starttls.protocol_of(line.rstrip(b"\r")) if newline else starttls.NO_PROTOCOL
        if newline and protocol == starttls.NO_PROTOCOL:
            return False
        if not newline and not (line.isascii() and len(line) < LONGEST_FIRST_PIECE):
            return False
        words[half + PHASE] = DIALOGUE
        words[half + WANT] = starttls.ASKING
        return True

    def _dialogue(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Take the segment in ``frame`` as part of a client's lines in clear."""
        frame = self.frame
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        if offset - self.words[half + AT] >= LARGEST or frame.missing:
            self._no_hello(slot, direction)
        elif self._keep(wire, slot, direction, offset, frame.at, frame.end):
            self._read_lines(wire, slot, direction)

    def _read_lines(self, wire: memoryview, slot: int, direction: int) -> None:
        """Read the client's lines that are there, up to the upgrade and the hello behind it.

        WANT is the dialogue's state meanwhile: the state's number, the lines read, and what
        is left of an IMAP literal.
        """
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        while words[half + BUFFER]:
            handle = words[half + BUFFER] - 1
            at = words[half + AT]
            reach = reassembly.reach(handle)
            if reach <= at:
                return
            if words[half + PHASE] == UPGRADED:
                first = reassembly.place(handle, at)
                answer = self._look(reassembly.arena, first, first + reach - at, half)
                if answer != NO_MATCH:
                    attempt = self._begin(wire, slot, direction)
                    if answer == FOUND:
                        after = at + self.message.after - first
                        self._found_in_buffer(attempt, slot, direction, after)
                    else:
                        words[half + WANT] = at + self.message.want - first
                    return
                self._abandon(slot)
                words[half + PHASE] = DIALOGUE
                words[half + WANT] = starttls.ASKING
            used = self._read_line(slot, half, handle, at, reach)
            if used < 0:
                self._no_hello(slot, direction)
                return
            if used == 0:
                return
            words[half + AT] = at + used
            if reassembly.advance(handle, at + used) == 0:
                self._drop_buffer(slot, direction)

    def _read_line(self, slot: int, half: int, handle: int, at: int, reach: int) -> int:
        """Read one line from the buffer; return its length, 0: not whole yet, -1: no use."""
        words = self.words
        base = slot * SLOT_WORDS
        state = words[half + WANT] & 0xF
        lines = words[half + WANT] >> 4 & 0xFFF
        skip = words[half + WANT] >> 16
        if skip:
            step = min(skip, reach - at)
            words[half + WANT] -= step << 16
            return step
        first = self.reassembly.place(handle, at)
        stop = min(reach - at, starttls.LONGEST_LINE)
        held = bytes(self.reassembly.arena[first : first + stop])
        newline = held.find(b"\n")
        if newline < 0:
            return -1 if stop >= starttls.LONGEST_LINE else 0
        line = held[:newline].rstrip(b"\r")
        protocol = (words[base + STATE] & PROTOCOL_BITS) >> PROTOCOL_SHIFT
        if protocol == starttls.NO_PROTOCOL:
            protocol = starttls.protocol_of(line)
            if protocol == starttls.NO_PROTOCOL:
                return -1
            words[base + STATE] |= protocol << PROTOCOL_SHIFT
        if state & starttls.CONTINUED:
            # What follows a literal is the rest of its command.
            state &= ~starttls.CONTINUED
        else:
            state = starttls.step(protocol, state, line)
        if state == starttls.OVER or lines >= starttls.MOST_LINES:
            return -1
        skip = starttls.literal(line) if protocol == starttls.IMAP else 0
        if skip:
            state |= starttls.CONTINUED
        words[half + WANT] = skip << 16 | (lines + 1) << 4 | state
        if state == starttls.UPGRADE:
            words[base + STATE] |= ASKED
            words[half + PHASE] = UPGRADED
            words[half + WANT] = 0
        return newline + 1

    def _hear_answer(self, wire: memoryview, start: int, end: int, attempt: Attempt) -> int:
        """Read the server's line to an upgrade that its client did not wait for.

        Returns its length; 0: it is not whole yet; -1: this is no such line.
        """
        protocol = starttls.PROTOCOL_WORDS.index(attempt.starttls or "")
        stop = min(end, start + starttls.LONGEST_LINE)
        held = bytes(wire[start:stop])
        newline = held.find(b"\n")
        if newline < 0:
            return 0 if held.isascii() and stop < start + starttls.LONGEST_LINE else -1
        answer = starttls.answer(protocol, held[:newline].rstrip(b"\r"))
        if answer == NO_MATCH:
            attempt.saw_refused_upgrade()
            return newline + 1
        return newline + 1 if answer == FOUND else -1

    def _accept_cut(self, slot: int, direction: int, reason: int) -> None:
        """Make do with the beginning of a hello: the rest will not come. Wait for its outcome."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        attempt = self.attempts[slot]
        if attempt is not None:
            self._read_cut_hello(attempt, reason)
        if attempt is None or attempt.hello is None:
            self._no_hello(slot, direction)
            return
        self._drop_buffer(slot, direction)
        words[half + AT] = words[half + TOP]
        if attempt.deadline_ns != self.now_ns + self.answer_ns:
            self._wait(attempt)
        self._expect_answer(slot, 1 - direction)

    def _begin(self, wire: memoryview, slot: int, direction: int) -> Attempt:
        """Return the slot's attempt; if it has none, begin one with the segment in ``frame``."""
        attempt = self.attempts[slot]
        if attempt is not None:
            return attempt
        return self._new_attempt(slot, direction, self._flow(wire))

    def _new_attempt(self, slot: int, direction: int, flow: Flow) -> Attempt:
        self._make_room()
        attempt = Attempt(slot, direction, self.number, self.time_ns, flow)
        state = self.words[slot * SLOT_WORDS + STATE]
        if state & ASKED:
            attempt.starttls = starttls.PROTOCOL_WORDS[(state & PROTOCOL_BITS) >> PROTOCOL_SHIFT]
        self.attempts[slot] = attempt
        self.words[slot * SLOT_WORDS + STATE] |= OPEN
        self.open_count += 1
        if self.ordered:
            heapq.heappush(self.order, (attempt.frame, self._next(), attempt))
        self._wait(attempt)
        return attempt

    def _found(self, attempt: Attempt, slot: int, direction: int) -> None:
        """Note the whole hello that ``message`` holds."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        message = self.message
        attempt.frame, attempt.time_ns = self.number, self.time_ns
        if self.is_sslv2:
            attempt.hello = sslv2.read(message.wire, message.start, message.end)
        else:
            attempt.hello = client_hello.read(
                message.wire, message.start, message.end, message.version
            )
        attempt.cut_reason = LENGTH
        attempt.doubtful = self.is_sslv2 and words[half + PHASE] == JOINED
        if attempt.deadline_ns != self.now_ns + self.answer_ns:
            self._wait(attempt)
        self._know_client(slot, direction)
        words[half + PHASE] = RECORDS
        words[half + WANT] = 0

    def _found_in_buffer(self, attempt: Attempt, slot: int, direction: int, after: int) -> None:
        """Note the whole hello in the half's buffer, and read on behind it."""
        self._found(attempt, slot, direction)
        self.words[slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS + AT] = after
        self._read_buffer(slot, direction)
        self._expect_answer(slot, 1 - direction)

    def _know_client(self, slot: int, direction: int) -> None:
        """Take who sent the hello for the client, whatever ports and SYNs said."""
        base = slot * SLOT_WORDS
        state = self.words[base + STATE] & ~CLIENT_IS_1
        self.words[base + STATE] = state | CLIENT_KNOWN | (CLIENT_IS_1 if direction else 0)

    def _go_on(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Read on behind the hello, in the same segment and on the server's side."""
        if (
            self.frame.end
            > self.frame.at
            + self.words[slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS + AT]
            - offset
        ):
            self._records(wire, slot, direction, offset)
        self._expect_answer(slot, 1 - direction)

    def _expect_answer(self, slot: int, direction: int) -> None:
        """Read the server's side from where its answer to the hello begins."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        if words[base + STATE] & SETTLED:
            return
        frame = self.frame
        phase = words[half + PHASE]
        words[half + WANT] = 0
        if phase == FRESH:
            if frame.flags & ACK:
                words[half + ORIGIN] = frame.acknowledgement
                words[half + PHASE] = RECORDS
                words[base + STATE] |= GUESSED
        elif words[half + BUFFER]:
            words[half + PHASE] = RECORDS
            attempt = self.attempts[slot]
            if attempt is not None:
                attempt.server_answered = True
            self._read_buffer(slot, direction)
        else:
            words[half + PHASE] = RECORDS
            words[half + AT] = words[half + TOP]
            if frame.flags & ACK:
                answer = self._offset(half, frame.acknowledgement)
                if words[half + TOP] < answer < words[half + TOP] + WINDOW:
                    words[half + AT] = answer

    def _flow(self, wire: memoryview) -> Flow:
        """Return the conversation of the segment in ``frame``, sent by the client."""
        frame = self.frame
        size = 4 if frame.ip_version == 4 else 16
        mac = bytes(wire[frame.mac : frame.mac + 6]) if frame.mac >= 0 else None
        return Flow(
            source=bytes(wire[frame.source : frame.source + size]),
            source_port=frame.source_port,
            destination=bytes(wire[frame.destination : frame.destination + size]),
            destination_port=frame.destination_port,
            mac=mac,
            vlan=frame.vlan if frame.vlan >= 0 else None,
            tunnels=tuple(
                Tunnel(type=TUNNEL_WORDS[kind], id=None if number < 0 else number, outer_source=ip)
                for kind, number, ip in self._tunnels(wire)
            ),
        )

    def _tunnels(self, wire: memoryview) -> list[tuple[int, int, bytes]]:
        """Return number, id and outer source of the tunnels the frame came through."""
        rows = self.frame.tunnels
        found = []
        for row in range(0, self.frame.tunnel_count * TUNNEL_FIELDS, TUNNEL_FIELDS):
            source = rows[row + 2]
            outer = bytes(wire[source : source + rows[row + 3]])
            found.append((rows[row], rows[row + 1], outer))
        return found

    # -- records ---------------------------------------------------------------------------

    def _records(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Take the segment in ``frame`` as part of a sequence of records."""
        frame = self.frame
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        at = words[half + AT]
        start = frame.at
        end = frame.end
        stop = offset + end - start
        if stop + frame.missing <= at:
            return
        if offset > at + LARGEST and words[half + PHASE] != LOST:
            # What is missing will not come any more.
            self._read_to_the_end(slot, direction)
            if words[base + STATE] & SETTLED:
                return
            at = words[half + AT]
            if offset > at:
                self.unseen_bytes += offset - at
                words[half + PHASE] = LOST
        if words[half + PHASE] == LOST:
            if not self._begins_with_record(wire, start, end):
                words[half + AT] = stop + frame.missing
                return
            words[half + PHASE] = RECORDS
            words[half + AT] = at = offset
        if words[half + BUFFER] or offset > at:
            if self._keep(wire, slot, direction, offset, start, end):
                self._read_buffer(slot, direction)
            return
        start += at - offset
        if start < end:
            self.final = frame.missing > 0
            start += self._walk(wire, start, end, slot, direction)
            if words[base + STATE] & SETTLED or words[half + PHASE] == OTHER:
                return
        at = words[half + AT]
        if frame.missing:
            if at < stop + frame.missing:
                words[half + AT] = stop + frame.missing
                words[half + PHASE] = LOST
        elif at < stop:
            self._keep(wire, slot, direction, at, end - (stop - at), end)

    def _read_buffer(self, slot: int, direction: int) -> None:
        """Walk over what the buffer holds without a gap, and forget what was read."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        self.final = False
        while words[half + BUFFER]:
            handle = words[half + BUFFER] - 1
            at = words[half + AT]
            if reassembly.advance(handle, at) == 0:
                self._drop_buffer(slot, direction)
                break
            reach = reassembly.reach(handle)
            if reach <= at or reach < words[half + WANT]:
                break
            start = reassembly.place(handle, at)
            self._walk(reassembly.arena, start, start + reach - at, slot, direction)
            if words[base + STATE] & SETTLED:
                return
            if words[half + PHASE] == OTHER:
                self._drop_buffer(slot, direction)
            elif words[half + AT] == at:
                break

    def _walk(self, wire: memoryview, start: int, end: int, slot: int, direction: int) -> int:
        """Read the records from ``start`` on, the stream's octet AT; return how many were used.

        AT moves with them, beyond ``end`` where the rest of a record is of no interest.
        """
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        record = self.record
        first = words[half + AT]
        at = start
        want = 0
        attempt = self.attempts[slot]
        side = Side.UNKNOWN if attempt is None else self._side(attempt, direction)
        while at < end and attempt is not None and attempt.outcome is None:
            answer = tls_record.read(wire, at, end, record)
            if answer == NO_MATCH:
                if side is Side.SERVER and attempt.server_hello is None:
                    if attempt.starttls is not None:
                        heard = self._hear_answer(wire, at, end, attempt)
                        if heard > 0:
                            at += heard
                            continue
                        if heard == 0:
                            want = end + 1
                            break
                    attempt.server_hello = sslv2.read_server(wire, at, end)
                words[half + PHASE] = OTHER
                break
            if end - at < tls_record.HEADER_LENGTH:
                want = at + tls_record.HEADER_LENGTH
                break
            content = record.content_type
            after = record.end
            if content == RECORD_HANDSHAKE:
                if words[half + PHASE] == RECORDS:
                    want = self._handshake(wire, at, end, slot, side)
                    if want:
                        break
                    after = max(after, self.behind)
                    attempt = self.attempts[slot]
            elif content == RECORD_ALERT:
                if after - record.body == tls_alert.LENGTH and words[half + PHASE] == RECORDS:
                    if after > end:
                        want = after
                        break
                    said = tls_alert.read(wire, record.body, after)
                    if said is not None:
                        attempt.saw_alert(side, said)
            elif content == RECORD_CHANGE_CIPHER_SPEC:
                attempt.saw_change_cipher_spec(side)
                if not attempt.is_tls13():
                    words[half + PHASE] = CIPHER
            elif content == RECORD_APPLICATION_DATA:
                attempt.saw_application_data(side)
            at = after
        words[half + AT] = first + at - start
        words[half + WANT] = first + want - start if want else 0
        if attempt is not None and attempt.outcome is not None:
            if attempt.outcome is Outcome.ESTABLISHED and not self.closing:
                self._await_end(attempt)
            else:
                self._conclude(attempt, ENDED, time_is_over=False)
        return at - start

    def _await_end(self, attempt: Attempt) -> None:
        """Wait a while for the end of an established session, whatever it carries."""
        words = self.words
        base = attempt.slot * SLOT_WORDS
        words[base + STATE] |= ENDING
        for direction in (0, 1):
            self._drop_buffer(attempt.slot, direction)
            words[base + HALF_0 + direction * HALF_WORDS + PHASE] = OTHER
        client = base + HALF_0 + attempt.direction * HALF_WORDS
        server = base + HALF_0 + (1 - attempt.direction) * HALF_WORDS
        attempt.agreed_at = (words[client + TOP], words[server + TOP], self.time_ns)
        if not self.ending:
            self.next_deadline_ns = min(self.next_deadline_ns, self.now_ns + SESSION_NS)
        self.ending.append((self.now_ns + SESSION_NS, attempt))

    def _session(self, attempt: Attempt) -> Session | None:
        """Return what followed an established handshake; None unless its end was seen."""
        if attempt.agreed_at is None or attempt.last_word is None:
            return None
        words = self.words
        base = attempt.slot * SLOT_WORDS
        client_at, server_at, since_ns = attempt.agreed_at
        octets = []
        for direction, at in (
            (attempt.direction, client_at),
            (1 - attempt.direction, server_at),
        ):
            half = base + HALF_0 + direction * HALF_WORDS
            octets.append(max(0, max(words[half + TOP], words[half + ACKED]) - at))
        return Session(
            client_bytes=octets[0],
            server_bytes=octets[1],
            seconds=max(0, self.time_ns - since_ns) / SECOND_NS,
            closed_by=attempt.last_word[0],
        )

    def _handshake(self, wire: memoryview, at: int, end: int, slot: int, side: Side) -> int:
        """Read the message that begins with the handshake record at ``at``, if it matters.

        Returns how far the octets must reach before it can be read; 0: it is done with, and
        ``behind`` is the end of its last record if it was read.
        """
        message = self.message
        self.behind = 0
        attempt = self.attempts[slot]
        body = self.record.body
        wanted = server_hello.SERVER_HELLO if side is Side.SERVER else client_hello.CLIENT_HELLO
        if attempt is None or (body < min(end, self.record.end) and wire[body] != wanted):
            return 0
        said = attempt.server_hello
        if side is Side.SERVER:
            if said is not None and not said.retry:
                return 0
            answer = message.read(wire, at, end)
            if answer == NO_MATCH or (
                server_hello.fits(message.wire, message.start, message.end) == NO_MATCH
            ):
                return 0
            if answer == NEED_MORE and not self.final:
                return message.want
            if answer == FOUND:
                self.behind = message.after
            hello = server_hello.read(message.wire, message.start, message.end, message.version)
            if hello is not None:
                attempt.saw_server_hello(hello)
            return 0

        answer = message.read(wire, at, end)
        if answer == NO_MATCH or (
            client_hello.fits(message.wire, message.start, message.end) == NO_MATCH
        ):
            return 0
        if answer == NEED_MORE:
            return 0 if self.final else message.want
        self.behind = message.after
        if said is not None and said.retry:
            return 0
        first = attempt.hello
        again = client_hello.read(message.wire, message.start, message.end, message.version)
        if again is None or first is None or self.closing:
            return 0
        if again.random == first.random and (said is None or attempt.is_tls13()):
            # A copy, or the retry: TLS 1.3 knows no renegotiation.
            return 0
        # A renegotiation in clear is an attempt of its own, in the same stream.
        self._expect_nothing_more(attempt)
        fresh = self._new_attempt(slot, attempt.direction, attempt.flow)
        fresh.hello = again
        fresh.cut_reason = LENGTH
        return 0

    def _begins_with_record(self, wire: memoryview, start: int, end: int) -> bool:
        """Tell whether a segment behind a gap begins with what looks like a record."""
        record = self.record
        if end - start < tls_record.HEADER_LENGTH:
            return False
        if tls_record.read(wire, start, end, record) == NO_MATCH:
            return False
        return record.version <= 0x0304 and record.end > record.body

    def _find_record(self, wire: memoryview, start: int, end: int) -> int:
        """Return where in octets behind a gap a record begins; ``end``: nowhere.

        At their very start one header is believed, further on two that follow each other,
        or one whose record ends where they end.
        """
        record = self.record
        at = start
        while at < end:
            if 20 <= wire[at] <= 23 and self._begins_with_record(wire, at, end):
                after = record.end
                if at == start or after == end or self._begins_with_record(wire, after, end):
                    return at
            at += 1
        return end

    def _read_to_the_end(self, slot: int, direction: int) -> None:
        """Read what a half's buffer holds, over its gaps, and drop it: no more will come."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        handle = words[half + BUFFER] - 1
        if handle < 0:
            return
        for _ in range(MOST_ISLANDS):
            at = words[half + AT]
            island = reassembly.next_held(handle, at)
            if island < 0:
                break
            stop = reassembly.held_until(handle, island)
            start = reassembly.place(handle, island)
            end = start + stop - island
            if island > at or words[half + PHASE] in (LOST, OTHER):
                self.unseen_bytes += island - at
                start = self._find_record(reassembly.arena, start, end)
                words[half + PHASE] = RECORDS
            words[half + AT] = stop - (end - start)
            self.final = True
            self._walk(reassembly.arena, start, end, slot, direction)
            if words[base + STATE] & SETTLED:
                return
            if words[half + AT] < stop:
                words[half + AT] = stop
                words[half + PHASE] = LOST
        words[half + AT] = max(words[half + AT], reassembly.top(handle))
        words[half + WANT] = 0
        self._drop_buffer(slot, direction)

    def _keep(
        self, wire: memoryview, slot: int, direction: int, offset: int, start: int, end: int
    ) -> int:
        """Put octets into the half's buffer, found or widened for them; return how many are new."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        at = words[half + AT]
        if offset < at:
            start += at - offset
            offset = at
        size = min(offset + end - start - at, LARGEST)
        if start >= end or size <= 0:
            return 0
        handle = words[half + BUFFER] - 1
        if handle >= 0 and offset + end - start - reassembly.base(handle) > reassembly.room(handle):
            reassembly.advance(handle, at)
        if handle < 0 or size > reassembly.room(handle):
            wider = reassembly.take(slot * 2 + direction, at, size, self.now_ns)
            while wider < 0:
                # The one without progress for longest makes room; never this conversation.
                owner = reassembly.oldest(size, slot * 2, slot * 2 + 1)
                if owner < 0:
                    return 0
                self.evicted_buffers += 1
                self._give_up_buffer(owner >> 1, owner & 1)
                wider = reassembly.take(slot * 2 + direction, at, size, self.now_ns)
            if handle >= 0:
                reassembly.move(handle, wider)
                reassembly.drop(handle)
            words[half + BUFFER] = wider + 1
            handle = wider
        return reassembly.put(handle, offset, wire, start, end, self.now_ns)

    def _give_up_buffer(self, slot: int, direction: int) -> None:
        """Make do without what a half has in its buffer: the room is needed."""
        attempt = self.attempts[slot]
        if attempt is not None and attempt.hello is None:
            self._conclude(attempt, EVICTED, time_is_over=False)
        else:
            half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
            self._drop_buffer(slot, direction)
            if self.words[half + PHASE] in (RECORDS, CIPHER):
                self.words[half + PHASE] = LOST

    def _drop_buffer(self, slot: int, direction: int) -> None:
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        if self.words[half + BUFFER]:
            self.reassembly.drop(self.words[half + BUFFER] - 1)
            self.words[half + BUFFER] = 0

    # -- the end of an attempt -------------------------------------------------------------

    def _wait(self, attempt: Attempt) -> None:
        """Wait for the attempt's outcome no longer than the settings say."""
        attempt.deadline_ns = self.now_ns + self.answer_ns
        if not self.waiting:
            self.next_deadline_ns = attempt.deadline_ns
        self.waiting.append((attempt.deadline_ns, attempt))
        if len(self.waiting) > 4 * self.open_count + FEW_WAITING:
            # Most are closed, or wait further on: they are not kept for their time to come.
            still = [
                (deadline_ns, one)
                for deadline_ns, one in self.waiting
                if not one.closed and one.deadline_ns == deadline_ns
            ]
            self.waiting = deque(still)

    def _expire(self) -> None:
        """Settle the attempts whose time is over."""
        while self.waiting and self.waiting[0][0] <= self.now_ns:
            deadline_ns, attempt = self.waiting.popleft()
            if (
                not attempt.closed
                and attempt.deadline_ns == deadline_ns
                and attempt.agreed_at is None
            ):
                self._settle(attempt, TIMEOUT, time_is_over=True)
        while self.ending and (self.ending[0][0] <= self.now_ns or self.ending[0][1].closed):
            _, attempt = self.ending.popleft()
            if not attempt.closed:
                self._settle(attempt, TIMEOUT, time_is_over=True)
        self.next_deadline_ns = min(
            self.waiting[0][0] if self.waiting else self.now_ns + self.answer_ns,
            self.ending[0][0] if self.ending else self.now_ns + SESSION_NS,
        )

    def _make_room(self) -> None:
        """Settle the oldest attempts where one more would be too many."""
        while self.open_count >= self.most_open and self.ending:
            # Of these nothing is missing but how their session ends.
            _, attempt = self.ending.popleft()
            if not attempt.closed:
                self._settle(attempt, EVICTED, time_is_over=False)
        while self.open_count >= self.most_open and self.waiting:
            deadline_ns, attempt = self.waiting.popleft()
            if not attempt.closed and attempt.deadline_ns == deadline_ns:
                self.evicted_attempts += 1
                self._settle(attempt, EVICTED, time_is_over=False)
        while len(self.order) >= self.most_open:
            # What is settled waits for the oldest one; that is too many too.
            number, _, attempt = heapq.heappop(self.order)
            if not attempt.closed and number == attempt.frame:
                self.evicted_attempts += 1
                self._settle(attempt, EVICTED, time_is_over=False)
            if attempt.closed:
                self._emit(attempt)
            else:
                heapq.heappush(self.order, (attempt.frame, self._next(), attempt))

    def _settle(self, attempt: Attempt, reason: int, *, time_is_over: bool) -> None:
        """Settle an attempt that no frame at hand belongs to."""
        try:
            self._conclude(attempt, reason, time_is_over=time_is_over)
        except Exception as error:
            # Our bug: its outcome is lost, the run goes on.
            self._internal(attempt.frame, error)
            if not attempt.closed:
                self._close(attempt)
                self._let_go(attempt.slot)

    def _conclude(self, attempt: Attempt, reason: int, *, time_is_over: bool) -> None:
        """Settle an attempt on what is there; ``reason`` is why its hello may be cut."""
        slot = attempt.slot
        base = slot * SLOT_WORDS
        if attempt.hello is None:
            self._read_cut_hello(attempt, reason)
        if attempt.hello is not None and attempt.outcome is None:
            for direction in (1 - attempt.direction, attempt.direction):
                half = base + HALF_0 + direction * HALF_WORDS
                if self.words[half + PHASE] in (START, JOINED):
                    self.words[half + PHASE] = RECORDS
                    attempt.server_answered = self.words[half + BUFFER] > 0
                self.closing = True
                self._read_to_the_end(slot, direction)
                self.closing = False
                if attempt.closed:
                    return
        attempt.session = self._session(attempt)
        if attempt.last_word is not None:
            attempt.saw_end(*attempt.last_word)
        state = self.words[base + STATE]
        server_seen = bool(state & (SEEN_0 if attempt.direction else SEEN_1))
        attempt.give_up(server_seen=server_seen, time_is_over=time_is_over)
        self._note_halves(attempt)
        self._note_one_sided(slot)
        self._close(attempt)
        self._let_go(slot)

    def _expect_nothing_more(self, attempt: Attempt) -> None:
        """Settle an attempt whose stream goes on with another one."""
        attempt.give_up(server_seen=False, time_is_over=False)
        self._note_halves(attempt)
        self._close(attempt)

    def _note_halves(self, attempt: Attempt) -> None:
        state = self.words[attempt.slot * SLOT_WORDS + STATE]
        attempt.client_half = bool(state & (SEEN_1 if attempt.direction else SEEN_0))
        attempt.server_half = bool(state & (SEEN_0 if attempt.direction else SEEN_1))
        attempt.syn_seen = bool(state & SYN_SEEN)

    def _read_cut_hello(self, attempt: Attempt, reason: int) -> None:
        """Read what there is of a hello that was not seen to its end."""
        words = self.words
        slot = attempt.slot
        half = slot * SLOT_WORDS + HALF_0 + attempt.direction * HALF_WORDS
        handle = words[half + BUFFER] - 1
        if handle < 0:
            return
        reassembly = self.reassembly
        reach = reassembly.reach(handle)
        start = reassembly.place(handle, words[half + AT])
        end = start + reach - words[half + AT]
        if end == start or self._look(reassembly.arena, start, end, half) == NO_MATCH:
            return
        message = self.message
        if self.is_sslv2:
            if end - start >= sslv2.HEADER_LENGTH:
                attempt.hello = sslv2.read(message.wire, message.start, message.end)
        else:
            attempt.hello = client_hello.read(
                message.wire, message.start, message.end, message.version
            )
        if attempt.hello is None:
            return
        attempt.cut_reason = reason
        if reassembly.top(handle) > reach and reason in (ENDED, TIMEOUT, END_OF_INPUT):
            attempt.cut_reason = GAP
        self._know_client(slot, attempt.direction)
        words[half + AT] = reach
        words[half + WANT] = 0
        words[half + PHASE] = LOST

    def _close(self, attempt: Attempt) -> None:
        """Take an attempt out of its slot; if it holds a hello, it is an event."""
        attempt.closed = True
        self.open_count -= 1
        self.attempts[attempt.slot] = None
        self.words[attempt.slot * SLOT_WORDS + STATE] &= ~OPEN
        if not self.ordered:
            self._emit(attempt)

    def _emit(self, attempt: Attempt) -> None:
        hello = attempt.hello
        if hello is None:
            return
        if attempt.doubtful and attempt.server_hello is None and attempt.alert is None:
            return
        self.hellos += 1
        if not hello.complete:
            self.incomplete[attempt.cut_reason] += 1
        self.settled.append(attempt.handshake(hello, self.path))
        # The deque of deadlines may hold it a while longer; not what it holds.
        attempt.hello = attempt.server_hello = None

    def _let_go(self, slot: int) -> None:
        """Want nothing more of a conversation; its slot stays, so that it is not begun anew."""
        self._drop_buffer(slot, 0)
        self._drop_buffer(slot, 1)
        self.words[slot * SLOT_WORDS + STATE] |= SETTLED

    def _forget(self, slot: int, reason: int) -> None:
        """Free a slot, whatever its conversation was about."""
        attempt = self.attempts[slot]
        if attempt is not None:
            self._conclude(attempt, reason, time_is_over=False)
        self._let_go(slot)
        self._note_one_sided(slot)
        self.open_flows -= 1
        self.flows.release(slot)

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _internal(self, number: int, error: Exception) -> None:
        """Count a frame that an error of ours cost; remember the first few for the log."""
        self.internal += 1
        self.closing = False
        if len(self.internal_errors) < INTERNAL_ERRORS_KEPT:
            self.internal_errors.append(f"frame {number}: {type(error).__name__}: {error}")


def _packet(source: bytes, destination: bytes, protocol: int, hop_limit: int, data: bytes) -> bytes:
    """Return an IP packet around the data of a datagram; its checksum is nobody's business."""
    if len(source) == 4:
        # A length of 0 is left to the hardware, and means as much as is there.
        total = 20 + len(data) if len(data) <= 65515 else 0
        head = b"\x45\0" + total.to_bytes(2, "big") + b"\0\0\0\0"
        return head + bytes((hop_limit, protocol)) + b"\0\0" + source + destination + data
    head = b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes((protocol, hop_limit))
    return head + source + destination + data
