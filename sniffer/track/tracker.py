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

from parsers import decode
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.batch import Batch
from parsers.frame import Frame
from parsers.layers import UNDECODED_REASONS
from parsers.tls import alert as tls_alert
from parsers.tls import client_hello, server_hello, sslv2
from parsers.tls import record as tls_record
from parsers.tls.message import Message
from parsers.tls.record import Record
from sniffer.config import Ports, TrackSettings
from sniffer.event import Flow, Handshake, Outcome, Side
from sniffer.track.flows import Flows
from sniffer.track.layout import LARGEST, LAST_SEEN, SLOT_WORDS
from sniffer.track.outcome import Attempt
from sniffer.track.reassembly import Reassembly

FIN = 0x01
SYN = 0x02
RST = 0x04
ACK = 0x10

# Words of a slot; word 1 is the table's LAST_SEEN.
STATE = 0
HALF_0 = 2
HALF_WORDS = 6

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

RECORD_CHANGE_CIPHER_SPEC = 20
RECORD_ALERT = 21
RECORD_HANDSHAKE = 22
RECORD_APPLICATION_DATA = 23

WINDOW = 1 << 20
"""How far from what was seen a sequence number may lie to be of the same stream."""
HALF_RING = 0x80000000
RING = 0xFFFFFFFF
SECOND_NS = 1_000_000_000

SYN_ENTRIES = 65536
"""Connections whose SYN is remembered before they have a slot; two words each."""
SYN_CLIENT = 1
SYN_SERVER = 2
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
    undecoded: dict[str, int]
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
        self.syns = memoryview(array("Q", bytes(16 * SYN_ENTRIES)))
        self.attempts: list[Attempt | None] = [None] * settings.flows
        self.watched = memoryview(bytearray(65536))
        for port in ports.services:
            self.watched[port] = 1
        self.follow_any = ports.follow_any
        self.answer_ns = settings.answer_seconds * SECOND_NS
        self.most_open = settings.open_handshakes
        self.ordered = ordered
        self.path = path

        self.waiting: deque[tuple[int, Attempt]] = deque()
        self.order: list[tuple[int, int, Attempt]] = []
        self.settled: list[Handshake] = []
        self.open_count = 0
        self.serial = 0
        self.next_deadline_ns = 0

        self.slot = -1
        self.number = 0
        self.time_ns = 0
        self.is_sslv2 = False
        self.index = 0
        self.now_ns = 0
        self.first_ns = 0
        self.frames = 0
        self.bytes = 0
        self.truncated = 0
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
                self._segment(batch, at)
            except Exception as error:
                # Our bug, whatever the frame was: one frame is lost, the run goes on.
                self._internal(batch, error)
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
        while self.waiting:
            _, attempt = self.waiting.popleft()
            if not attempt.closed:
                self._conclude(attempt, END_OF_INPUT, time_is_over=False)

    def counters(self) -> Counters:
        """Return what was seen and lost so far."""
        undecoded = {
            reason: self.undecoded[number]
            for number, reason in enumerate(UNDECODED_REASONS)
            if reason and self.undecoded[number]
        }
        if self.internal:
            undecoded["internal"] = self.internal
        evicted = {
            "flow": self.evicted_flows,
            "buffer": self.evicted_buffers,
            "attempt": self.evicted_attempts,
        }
        return Counters(
            frames=self.frames,
            bytes=self.bytes,
            frames_truncated=self.truncated,
            undecoded=undecoded,
            flows=self.flow_count,
            flows_open=self.open_flows,
            one_sided_flows=self.one_sided + self._count_one_sided(),
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
        words = self.words
        for index in range(start, batch.count):
            self.index = index
            time_ns = batch.times_ns[index]
            if self.frames == 0:
                self.first_ns = time_ns
                self.now_ns = time_ns
            if time_ns > self.now_ns:
                self.now_ns = time_ns
            self.frames += 1
            captured = batch.ends[index] - batch.starts[index]
            self.bytes += captured
            if batch.wire_lengths[index] > captured:
                self.truncated += 1
            if decode.decode(batch, index, frame) != FOUND:
                if frame.undecoded:
                    self.undecoded[frame.undecoded] += 1
                continue
            if not (
                self.follow_any
                or self.watched[frame.destination_port]
                or self.watched[frame.source_port]
            ):
                continue
            slot = flows.locate(batch.wire, frame)
            if slot < 0:
                if frame.flags & SYN:
                    self._note_syn(frame)
                    continue
                if frame.end + frame.missing <= frame.at:
                    continue
                self.slot = -1
                return index
            at = slot * SLOT_WORDS
            words[at + LAST_SEEN] = self.now_ns
            words[at + STATE] |= SEEN_1 if flows.direction else SEEN_0
            if not frame.flags & SYN:
                if words[at + STATE] & SETTLED:
                    continue
                if frame.end + frame.missing <= frame.at and not frame.flags & (FIN | RST):
                    continue
            self.slot = slot
            return index
        return batch.count

    def _note_syn(self, frame: Frame) -> int:
        """Remember the sequence number of a SYN or SYN-ACK without giving it a slot."""
        at = (self.flows.tag >> 20 & (SYN_ENTRIES - 1)) * 2
        tag = self.flows.tag & ~7
        if self.syns[at] & ~7 != tag:
            self.syns[at] = tag
            self.syns[at + 1] = 0
        if frame.flags & ACK:
            number = frame.sequence
            self.syns[at] |= SYN_SERVER
            self.syns[at + 1] = (self.syns[at + 1] >> 32) << 32 | number
            client_is_1 = self.flows.direction == 0
        else:
            # A new connection: whatever an earlier one's server said is void.
            self.syns[at] = tag | SYN_CLIENT
            number = frame.sequence
            self.syns[at + 1] = number << 32
            client_is_1 = self.flows.direction == 1
        if client_is_1:
            self.syns[at] |= SYN_CLIENT_IS_1
        else:
            self.syns[at] &= ~SYN_CLIENT_IS_1
        return 0

    def _count_one_sided(self) -> int:
        """Return how many of the flows at hand showed one direction only."""
        count = 0
        for slot in range(self.flows.slots):
            if self.flows.tags[slot]:
                seen = self.words[slot * SLOT_WORDS + STATE] & (SEEN_0 | SEEN_1)
                if seen != SEEN_0 | SEEN_1:
                    count += 1
        return count

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
        if frame.flags & SYN:
            if self._is_new_connection(slot, direction):
                self._forget(slot, ENDED)
                self._note_syn(frame)
            return
        if slot < 0:
            slot = self._enter()
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        length = frame.end - frame.at + frame.missing
        if words[half + PHASE] == FRESH:
            words[half + ORIGIN] = frame.sequence
            words[half + PHASE] = RECORDS if words[base + STATE] & OPEN else JOINED
        offset = self._offset(half, frame.sequence)
        if not -WINDOW < offset - words[half + TOP] < WINDOW:
            if words[base + STATE] & GUESSED and self._is_server(slot, direction):
                words[half + ORIGIN] = frame.sequence
                offset = words[half + AT] = words[half + TOP] = 0
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

    def _offset(self, half: int, sequence: int) -> int:
        """Return the stream offset of a sequence number: the one nearest to AT."""
        at = self.words[half + AT]
        delta = (sequence - self.words[half + ORIGIN] - at) & RING
        if delta >= HALF_RING:
            delta -= RING + 1
        return at + delta

    def _is_new_connection(self, slot: int, direction: int) -> bool:
        """Tell whether the SYN in ``frame`` begins another connection than the slot's."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        first = (self.frame.sequence + 1) & RING
        if self.words[half + PHASE] == FRESH and self.frame.flags & ACK:
            open_now = self.words[slot * SLOT_WORDS + STATE] & OPEN
            self.words[half + ORIGIN] = first
            self.words[half + PHASE] = RECORDS if open_now else START
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
            if said & SYN_CLIENT:
                half = base + HALF_0 + client * HALF_WORDS
                words[half + ORIGIN] = ((self.syns[at + 1] >> 32) + 1) & RING
                words[half + PHASE] = START
                state |= SYN_SEEN | (SEEN_1 if client else SEEN_0)
            if said & SYN_SERVER:
                half = base + HALF_0 + (1 - client) * HALF_WORDS
                words[half + ORIGIN] = ((self.syns[at + 1] & RING) + 1) & RING
                words[half + PHASE] = START
                state |= SEEN_0 if client else SEEN_1
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
        if server and attempt is not None and attempt.hello is not None:
            attempt.server_answered = True
        if phase in (RECORDS, CIPHER, LOST):
            self._records(wire, slot, direction, offset)
        elif phase in (START, JOINED):
            if server:
                self._early_answer(wire, slot, direction, offset)
            else:
                self._seek_hello(wire, slot, direction, offset)

    def _is_server(self, slot: int, direction: int) -> bool:
        """Tell whether this direction is known to be the server's."""
        state = self.words[slot * SLOT_WORDS + STATE]
        if not state & CLIENT_KNOWN:
            return False
        return direction != (1 if state & CLIENT_IS_1 else 0)

    def _end(self, slot: int, direction: int, offset: int, is_reset: bool) -> None:
        """Take the RST or FIN of the segment in ``frame``; a FIN waits for what precedes it."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        attempt = self.attempts[slot]
        if attempt is None:
            if is_reset:
                self._let_go(slot)
            return
        if is_reset:
            attempt.saw_end(self._side(slot, direction), Outcome.RESET)
            self._conclude(attempt, ENDED, time_is_over=False)
            return
        attempt.fin_at = (direction, offset)
        if words[half + PHASE] in (OTHER, LOST):
            attempt.fin_at = (direction, 0)
        self._check_fin(slot)

    def _check_fin(self, slot: int) -> None:
        """Let a FIN count once everything before it was read."""
        attempt = self.attempts[slot]
        if attempt is None or attempt.fin_at is None:
            return
        direction, offset = attempt.fin_at
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reach = self.words[half + AT]
        handle = self.words[half + BUFFER] - 1
        if handle >= 0:
            reach = max(reach, self.reassembly.reach(handle))
        if reach >= offset:
            attempt.saw_end(self._side(slot, direction), Outcome.CLOSED)
            self._conclude(attempt, ENDED, time_is_over=False)

    def _side(self, slot: int, direction: int) -> Side:
        return Side.SERVER if self._is_server(slot, direction) else Side.CLIENT

    # -- the hello -------------------------------------------------------------------------

    def _early_answer(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Keep what a server sends before its client's hello was seen, if it may be TLS."""
        frame = self.frame
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        first = wire[frame.at] if frame.end > frame.at else 0
        if offset == 0 and not (20 <= first <= 23 or first & 0x80):
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
                self._no_hello(slot, direction)
                return
            attempt = self._begin(wire, slot)
            if answer == FOUND:
                self._found(wire, slot, direction)
                words[half + AT] = offset + self.message.after - start
                self._go_on(wire, slot, direction, offset - (start - frame.at))
                return
            words[half + WANT] = at + self.message.want - start
            if self._keep(wire, slot, direction, offset, start, end) == 0:
                return
            handle = words[half + BUFFER] - 1
        else:
            if self._keep(wire, slot, direction, offset, start, end) == 0:
                return
            handle = words[half + BUFFER] - 1
            reach = self.reassembly.reach(handle)
            if reach == at:
                return
            if reach >= words[half + WANT]:
                first = self.reassembly.start(handle)
                answer = self._look(self.reassembly.arena, first, first + reach - at, half)
                if answer == NO_MATCH:
                    self._no_hello(slot, direction)
                    return
                attempt = self._begin(wire, slot)
                if answer == FOUND:
                    self._found(self.reassembly.arena, slot, direction)
                    words[half + AT] = at + self.message.after - first
                    self._read_buffer(slot, direction)
                    self._expect_answer(slot, 1 - direction)
                    return
                words[half + WANT] = at + self.message.want - first
            else:
                attempt = self._begin(wire, slot)
        attempt.frame, attempt.time_ns = self.number, self.time_ns
        reach = self.reassembly.reach(handle)
        if reach - at >= LARGEST:
            self._conclude(attempt, LENGTH, time_is_over=False)
        elif frame.missing and reach == offset + end - start:
            self._conclude(attempt, CUT, time_is_over=False)

    def _look(self, wire: memoryview, start: int, end: int, half: int) -> int:
        """Tell whether a hello stands at ``start``; ``message`` is where it was looked for."""
        message = self.message
        self.is_sslv2 = False
        answer = message.read(wire, start, end)
        if answer == NO_MATCH and message.limited:
            return NO_MATCH
        if answer != NO_MATCH:
            fit = client_hello.fits(message.wire, message.start, message.end)
            return NO_MATCH if fit == NO_MATCH else answer
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
        attempt = self.attempts[slot]
        if attempt is not None:
            self._close(attempt)
        other = base + HALF_0 + (1 - direction) * HALF_WORDS
        if self.words[base + STATE] & CLIENT_KNOWN or self.words[other + PHASE] == OTHER:
            self._let_go(slot)
        else:
            self._drop_buffer(slot, direction)

    def _begin(self, wire: memoryview, slot: int) -> Attempt:
        """Return the slot's attempt; if it has none, begin one with the segment in ``frame``."""
        attempt = self.attempts[slot]
        if attempt is not None:
            return attempt
        return self._new_attempt(slot, self._flow(wire))

    def _new_attempt(self, slot: int, flow: Flow) -> Attempt:
        if self.open_count >= self.most_open:
            self._settle_oldest()
        attempt = Attempt(slot, self.number, self.time_ns, flow)
        self.attempts[slot] = attempt
        self.words[slot * SLOT_WORDS + STATE] |= OPEN
        self.open_count += 1
        if self.ordered:
            heapq.heappush(self.order, (attempt.frame, self._next(), attempt))
        self._wait(attempt)
        return attempt

    def _found(self, wire: memoryview, slot: int, direction: int) -> None:
        """Note the whole hello that ``message`` holds."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        message = self.message
        attempt = self._begin(wire, slot)
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
        state = words[base + STATE] & ~CLIENT_IS_1
        words[base + STATE] = state | CLIENT_KNOWN | (CLIENT_IS_1 if direction else 0)
        words[half + PHASE] = RECORDS
        words[half + WANT] = 0

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
                words[half + AT] = self._offset(half, frame.acknowledgement)

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
        )

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
            self._skip_gaps(slot, direction)
            if words[base + STATE] & SETTLED:
                return
            at = words[half + AT]
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
        handle = words[half + BUFFER] - 1
        if handle >= 0:
            reassembly = self.reassembly
            if reassembly.advance(handle, words[half + AT]) == 0:
                self._drop_buffer(slot, direction)
            else:
                reach = reassembly.reach(handle)
                if reach > words[half + AT] and reach >= words[half + WANT]:
                    start = reassembly.start(handle)
                    end = start + reach - words[half + AT]
                    self._walk(reassembly.arena, start, end, slot, direction)
                    if words[base + STATE] & SETTLED:
                        return
                    if words[half + PHASE] == OTHER or (
                        reassembly.advance(handle, words[half + AT]) == 0
                    ):
                        self._drop_buffer(slot, direction)
        self._check_fin(slot)

    def _walk(self, wire: memoryview, start: int, end: int, slot: int, direction: int) -> int:
        """Read the records from ``start`` on, the stream's octet AT; return how many were used.

        AT moves with them, beyond ``end`` where the rest of a record is of no interest.
        """
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        record = self.record
        side = self._side(slot, direction)
        first = words[half + AT]
        at = start
        want = 0
        attempt = self.attempts[slot]
        while at < end and attempt is not None and attempt.outcome is None:
            answer = tls_record.read(wire, at, end, record)
            if answer == NO_MATCH:
                if side is Side.SERVER and attempt.server_hello is None:
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
            self._conclude(attempt, ENDED, time_is_over=False)
        return at - start

    def _handshake(self, wire: memoryview, at: int, end: int, slot: int, side: Side) -> int:
        """Read the message that begins with the handshake record at ``at``, if it matters.

        Returns how far the octets must reach before it can be read; 0: it is done with.
        """
        message = self.message
        attempt = self.attempts[slot]
        if attempt is None:
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
            if answer == NEED_MORE and not self.frame.missing:
                return message.want
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
            return 0 if self.frame.missing else message.want
        if said is not None and said.retry:
            return 0
        again = client_hello.read(message.wire, message.start, message.end, message.version)
        if again is None or (said is None and again == attempt.hello):
            return 0
        # A renegotiation in clear is an attempt of its own, in the same stream.
        self._expect_nothing_more(attempt)
        fresh = self._new_attempt(slot, attempt.flow)
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

    def _skip_gaps(self, slot: int, direction: int) -> None:
        """Read what the buffer holds behind its gaps, and drop it."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        while words[half + BUFFER]:
            handle = words[half + BUFFER] - 1
            island = reassembly.next_island(handle)
            if island < 0:
                self._drop_buffer(slot, direction)
                return
            self.unseen_bytes += island - reassembly.reach(handle)
            words[half + AT] = island
            words[half + WANT] = 0
            reassembly.advance(handle, island)
            start = reassembly.start(handle)
            reach = reassembly.reach(handle)
            if self._begins_with_record(reassembly.arena, start, start + reach - island):
                words[half + PHASE] = RECORDS
                self._walk(reassembly.arena, start, start + reach - island, slot, direction)
                if words[base + STATE] & SETTLED:
                    return
            words[half + AT] = max(words[half + AT], reach)
            reassembly.advance(handle, min(words[half + AT], reach))

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
                # The one untouched for longest makes room; not this one.
                owner = reassembly.oldest(size, slot * 2 + direction)
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

    def _expire(self) -> None:
        """Settle the attempts whose time is over."""
        waiting = self.waiting
        while waiting and waiting[0][0] <= self.now_ns:
            deadline_ns, attempt = waiting.popleft()
            if not attempt.closed and attempt.deadline_ns == deadline_ns:
                self._conclude(attempt, TIMEOUT, time_is_over=True)
        self.next_deadline_ns = waiting[0][0] if waiting else self.now_ns + self.answer_ns

    def _settle_oldest(self) -> None:
        while self.waiting:
            deadline_ns, attempt = self.waiting.popleft()
            if not attempt.closed and attempt.deadline_ns == deadline_ns:
                self.evicted_attempts += 1
                self._conclude(attempt, EVICTED, time_is_over=False)
                return

    def _conclude(self, attempt: Attempt, reason: int, *, time_is_over: bool) -> None:
        """Settle an attempt on what is there; ``reason`` is why its hello may be cut."""
        slot = attempt.slot
        state = self.words[slot * SLOT_WORDS + STATE]
        client = 1 if state & CLIENT_IS_1 else 0
        if attempt.hello is None:
            self._read_cut_hello(attempt, reason)
        elif attempt.outcome is None:
            for direction in (1 - client, client):
                self._skip_gaps(slot, direction)
                if attempt.closed:
                    return
            if attempt.fin_at is not None:
                attempt.saw_end(self._side(slot, attempt.fin_at[0]), Outcome.CLOSED)
        server_seen = bool(state & (SEEN_0 if client else SEEN_1))
        attempt.give_up(server_seen=server_seen, time_is_over=time_is_over)
        self._note_halves(attempt)
        self._close(attempt)
        self._let_go(slot)

    def _expect_nothing_more(self, attempt: Attempt) -> None:
        """Settle an attempt whose stream goes on with another one."""
        attempt.give_up(server_seen=False, time_is_over=False)
        self._note_halves(attempt)
        self._close(attempt)

    def _note_halves(self, attempt: Attempt) -> None:
        state = self.words[attempt.slot * SLOT_WORDS + STATE]
        client = 1 if state & CLIENT_IS_1 else 0
        attempt.client_half = bool(state & (SEEN_1 if client else SEEN_0))
        attempt.server_half = bool(state & (SEEN_0 if client else SEEN_1))
        attempt.syn_seen = bool(state & SYN_SEEN)

    def _read_cut_hello(self, attempt: Attempt, reason: int) -> None:
        """Read what there is of a hello that was not seen to its end."""
        words = self.words
        slot = attempt.slot
        base = slot * SLOT_WORDS
        for direction in (0, 1):
            half = base + HALF_0 + direction * HALF_WORDS
            handle = words[half + BUFFER] - 1
            if handle < 0 or words[half + PHASE] not in (START, JOINED):
                continue
            if self._is_server(slot, direction):
                continue
            start = self.reassembly.start(handle)
            end = start + self.reassembly.reach(handle) - words[half + AT]
            if end == start or self._look(self.reassembly.arena, start, end, half) == NO_MATCH:
                continue
            message = self.message
            if self.is_sslv2:
                if end - start >= sslv2.HEADER_LENGTH:
                    attempt.hello = sslv2.read(message.wire, message.start, message.end)
            else:
                attempt.hello = client_hello.read(
                    message.wire, message.start, message.end, message.version
                )
            attempt.cut_reason = reason
            state = words[base + STATE] & ~CLIENT_IS_1
            words[base + STATE] = state | CLIENT_KNOWN | (CLIENT_IS_1 if direction else 0)

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
        seen = self.words[slot * SLOT_WORDS + STATE] & (SEEN_0 | SEEN_1)
        if seen != SEEN_0 | SEEN_1:
            self.one_sided += 1
        self.open_flows -= 1
        self.flows.release(slot)

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _internal(self, batch: Batch, error: Exception) -> None:
        """Count a frame that an error of ours cost; remember the first few for the log."""
        self.internal += 1
        if len(self.internal_errors) < INTERNAL_ERRORS_KEPT:
            number = batch.first_frame + self.index
            self.internal_errors.append(f"frame {number}: {type(error).__name__}: {error}")
