"""Frames in, handshakes out.

Per frame (compiled, no Python object): decode, choose by port, look up the flow, and let go
of what changes nothing. What is left, a few segments of each conversation, goes through
``_segment``: find the hello at the start of the client's stream, then have the records of
both sides read until the outcome is known, and forget the stream.

The parts know their own affairs and not each other's: ``Streams`` where each stream stands,
``Datagrams`` what fragments make, ``Dialogues`` the lines before an upgrade, ``HelloReader``
what a hello is, ``Records`` what records tell of an attempt, ``Agenda`` who is waited for,
``Evidence`` which frames show it, if anybody asks for them.

Time is the frames' time; the tracker has no clock.
"""

from array import array

from parsers import decode, starttls
from parsers.answer import FOUND, NO_MATCH
from parsers.batch import Batch
from parsers.counts import Counts
from parsers.discovery.hints import Hints
from parsers.discovery.ports import LLDP
from parsers.frame import Frame
from parsers.layers import DATAGRAM, FRAGMENTED, MOST_TUNNELS, READ, UNDECODED_REASONS
from sniffer.config import IMPLICIT_TLS, Ports, TrackSettings
from sniffer.event import Dialogue, Flow, Handshake, Outcome, Session, Side, Sighting
from sniffer.track.agenda import Agenda
from sniffer.track.counters import (
    CUT,
    END_OF_INPUT,
    ENDED,
    EVICTED,
    GAP,
    INCOMPLETE_REASONS,
    LENGTH,
    TIMEOUT,
    Counters,
)
from sniffer.track.datagrams import Datagrams
from sniffer.track.dialogue import Dialogues
from sniffer.track.discovery import AS_DESTINATION, AS_HINTED, AS_SOURCE, Discovery
from sniffer.track.ends import flow_of
from sniffer.track.evidence import Evidence
from sniffer.track.flows import Flows
from sniffer.track.hello import HelloReader
from sniffer.track.layout import (
    ACK,
    ACKED,
    ASKED,
    AT,
    BUFFER,
    CIPHER,
    CLIENT_KNOWN,
    DIALOGUE,
    DONE,
    END_HOPS_SHIFT,
    END_IS_FROM_1,
    END_IS_RESET,
    ENDING,
    FIN,
    FRESH,
    GUESSED,
    HALF_0,
    HALF_WORDS,
    HOLDS_BACK,
    HOPS_BITS,
    HOPS_SHIFT,
    JOINED,
    LARGEST,
    LAST_SEEN,
    LOST,
    NO_ROOM,
    NO_USE,
    NOT_WHOLE,
    OPEN,
    ORIGIN,
    OTHER,
    PHASE,
    PROTOCOL_BITS,
    PROTOCOL_SHIFT,
    RECORDS,
    RENEGOTIATED,
    RESET_WINDOW,
    RING,
    RST,
    SAID_HELLO,
    SECOND_NS,
    SEEN_0,
    SEEN_1,
    SESSION_NS,
    SETTLED,
    SLOT_WORDS,
    START,
    STATE,
    SYN,
    SYN_SEEN,
    TOP,
    UPGRADED,
    WANT,
    WINDOW,
)
from sniffer.track.outcome import Attempt
from sniffer.track.records import Records
from sniffer.track.streams import Streams, end_of

LONGEST_EARLY_ANSWER = 16384
"""How much is kept of what a server says before its client's hello was seen."""
FRAGMENT = -2
"""In place of a slot: the frame holds a fragment of an IP packet."""
ASIDE = -3
"""In place of a slot: a device may say who it is in the frame."""
INTERNAL_ERRORS_KEPT = 10
MOST_EARLY_ENDS = 4096
"""RST and FIN remembered of conversations without a hello so far."""
MOST_LINES_A_FRAME = 24
"""Lines in clear that one frame has read; further ones wait for the side's next frame."""
MOST_HOPS_APART = 1
"""Hop limits of one sender differ no more than that, unless its route changes."""


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
        behind_filter: bool = False,
        keep_evidence: bool = False,
        discovery: Discovery | None = None,
        keep_octets: bool = False,
    ) -> None:
        """Reserve all budgets; ``key`` is 16 secret octets for the flow table's hash.

        ``behind_filter``: the source passes all that clients send, and of what servers send
        inside TLS no more than is read here (sniffer/capture/filter.py). ``keep_evidence``: the
        handshakes carry the frames that show them; ``keep_octets``: their octets, too.
        ``discovery`` is given what is no mail's and in which devices may say who they are.
        """
        self.frame = Frame()
        self.streams = Streams(settings.flows, settings.reassembly_bytes, key)
        self.flows = self.streams.flows
        self.words = self.streams.words
        self.reassembly = self.streams.reassembly
        self.datagrams = Datagrams()
        self.dialogues = Dialogues(
            self.streams, settings.answer_seconds * SECOND_NS + SESSION_NS, path
        )
        self.hello = HelloReader()
        self.evidence = Evidence(settings.evidence_bytes) if keep_evidence else None
        self.keeps_syns = keep_evidence
        self.keeps_octets = keep_octets
        self.records = Records(self.streams, self.evidence)
        self.agenda = Agenda(
            settings.answer_seconds * SECOND_NS,
            settings.open_handshakes,
            ordered=ordered,
            path=path,
            evidence=self.evidence,
        )
        self.attempts: list[Attempt | None] = [None] * settings.flows
        # RST and FIN seen before any octet of a hello, by slot; they count in the end.
        self.early_ends: dict[int, int] = {}
        self.watched = memoryview(bytearray(65536))
        self.implicit = memoryview(bytearray(65536))
        for port, service in ports.services.items():
            self.watched[port] = 1
            self.implicit[port] = service in IMPLICIT_TLS
        self.behind_filter = behind_filter
        self.follow_any = ports.follow_any

        self.discovery = discovery
        self.listened = memoryview(bytes(65536) if discovery is None else discovery.ports())
        self.hints = Hints(()) if discovery is None else discovery.hints
        self.hears_lldp = discovery is not None and discovery.passive

        self.is_over = False
        self.slot = -1
        self.number = 0
        self.time_ns = 0
        self.index = 0
        self.now_ns = 0
        self.first_ns = 0
        self.frames = 0
        self.bytes = 0
        self.truncated = 0
        self.backwards = 0
        self.flow_count = 0
        self.open_flows = 0
        self.evicted_flows = 0
        self.evicted_buffers = 0
        self.internal = 0
        self.internal_errors: list[str] = []
        self.undecoded = memoryview(array("q", bytes(8 * len(UNDECODED_REASONS))))
        self.ethertypes = Counts()

    @property
    def hellos(self) -> int:
        """How many handshakes were settled so far."""
        return self.agenda.hellos

    @property
    def open_count(self) -> int:
        """How many attempts are under way."""
        return self.agenda.open_count

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
                elif self.slot == ASIDE:
                    self._hear(batch, at)
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
        return self.agenda.ready()

    def tell(self, from_ns: int, until_ns: int) -> None:
        """Tell only of hellos, and of dialogues, from one time on and before another.

        All frames are followed, and counted; somebody else tells of the others.
        """
        self.agenda.tell(from_ns, until_ns)

    def open_before(self, time_ns: int) -> int:
        """Return how many hellos before a time have no outcome yet."""
        return self.agenda.open_before(time_ns)

    def heard(self) -> list[Dialogue]:
        """Return the dialogues in clear that ended; each after the handshakes before it."""
        due = self.dialogues.due(self.now_ns, is_over=self.is_over)
        return [dialogue for dialogue in due if self.agenda.is_told(dialogue.time_ns)]

    def sightings(self) -> list[Sighting]:
        """Return what was said of devices since the last call."""
        told = () if self.discovery is None else self.discovery.take()
        return [sighting for sighting in told if self.agenda.is_told(sighting.time_ns)]

    def finish(self) -> None:
        """Settle everything that is still open: there is no more input."""
        self.is_over = True
        for attempt in self.agenda.unfinished():
            self._settle(attempt, END_OF_INPUT, time_is_over=False)
        for slot in list(self.dialogues.talks):
            self._let_go(slot)
        self.datagrams.finish()
        owner = self.reassembly.any_owner()
        while owner >= 0:
            self.streams.drop_buffer(owner >> 1, owner & 1)
            owner = self.reassembly.any_owner()
        self.streams.finish()

    def counters(self) -> Counters:
        """Return what was seen and lost so far."""
        undecoded = {
            reason: self.undecoded[number]
            for number, reason in enumerate(UNDECODED_REASONS)
            if reason and self.undecoded[number]
        }
        lost = self.datagrams.lost()
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
            "attempt": self.agenda.evicted,
            "dialogue": self.dialogues.evicted,
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
            one_sided_flows=self.streams.one_sided,
            hellos=self.agenda.hellos,
            incomplete={
                reason: count
                for reason, count in zip(INCOMPLETE_REASONS, self.agenda.incomplete, strict=True)
                if count
            },
            evicted={what: count for what, count in evicted.items() if count},
            reassembly_bytes=self.reassembly.in_use,
            unseen_bytes=self.records.unseen_bytes + self.streams.unseen_bytes,
            filtered_bytes=self.streams.filtered_bytes,
            conflicts=self.reassembly.conflicts,
            evidence_lost=0 if self.evidence is None else self.evidence.lost,
            passed_over=0 if self.discovery is None else self.discovery.passed_over,
            first_ns=self.first_ns if self.frames else None,
            last_ns=self.now_ns if self.frames else None,
            internal_errors=self.internal_errors,
        )

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
                    if self.hears_lldp and frame.ethertype == LLDP:
                        self.slot = ASIDE
                        return index
                elif frame.next == DATAGRAM and (
                    self.listened[frame.destination_port] & AS_DESTINATION
                    or self.listened[frame.source_port] & AS_SOURCE
                    or (
                        self.listened[frame.source_port] & AS_HINTED
                        and self.hints.found(batch.wire, frame.at, frame.end)
                    )
                ):
                    self.slot = ASIDE
                    return index
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
                self.streams.note_syn(frame)
                if self.keeps_syns:
                    return True
            elif frame.flags & (FIN | RST) and frame.end + frame.missing == frame.at:
                self.streams.note_early_end(frame)
            return frame.end + frame.missing > frame.at
        at = slot * SLOT_WORDS
        words[at + LAST_SEEN] = self.now_ns
        words[at + STATE] |= SEEN_1 if flows.direction else SEEN_0
        if frame.flags & SYN:
            return True
        half = at + HALF_0 + flows.direction * HALF_WORDS
        if self.behind_filter and words[at + STATE] & (SETTLED | ENDING):
            self.streams.note_passed_over(slot, frame)
        if words[at + STATE] & SETTLED or (
            words[half + PHASE] == OTHER and not words[at + STATE] & OPEN
        ):
            return not self.streams.is_same(wire, frame, half)
        if words[at + STATE] & ENDING and not frame.flags & (FIN | RST):
            return not self.streams.is_same(wire, frame, half)
        if frame.flags & ACK:
            self.streams.note_acknowledgement(
                frame, at + HALF_0 + (1 - flows.direction) * HALF_WORDS
            )
        return frame.end + frame.missing > frame.at or frame.flags & (FIN | RST) != 0

    def _fragment(self, batch: Batch, index: int) -> None:
        """Keep the fragment in ``frame``; once its datagram is whole, follow that."""
        frame = self.frame
        whole = self.datagrams.whole
        answer = self.datagrams.add(batch, index, frame, self.now_ns)
        for _ in range(MOST_TUNNELS):
            if answer is None or frame.undecoded != FRAGMENTED:
                break
            # What the datagram carries is a fragment itself.
            answer = self.datagrams.add(whole, 0, frame, self.now_ns)
        if answer is None:
            return
        if frame.undecoded != READ:
            self.undecoded[frame.undecoded] += 1
        if answer == FOUND and self._matters(whole.wire, frame, self.flows):
            self._segment(whole, 0)

    def _hear(self, batch: Batch, index: int) -> None:
        """Have the message in ``frame`` read that is no mail's."""
        if self.discovery is not None:
            self.discovery.observe(batch.wire, self.frame, batch.times_ns[index])

    # -- per segment that may matter -------------------------------------------------------

    def _segment(self, batch: Batch, index: int) -> None:
        """Follow the segment in ``frame``: payload first, then RST or FIN."""
        self.number = batch.first_frame + index
        self.time_ns = batch.times_ns[index]
        if self.now_ns >= self.agenda.next_deadline_ns:
            self._expire()
        frame = self.frame
        slot = self.slot
        direction = self.flows.direction
        length = frame.end - frame.at + frame.missing
        if frame.flags & SYN:
            if slot >= 0 and self._is_new_connection(slot, direction):
                self._forget(slot, ENDED)
                self.streams.note_syn(frame)
                slot = -1
            if not length:
                if self.evidence is not None:
                    self.evidence.keep_syn(slot, self.flows.tag, batch, index, frame, direction)
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
            answers = attempt is not None and attempt.hello is not None
            if not length and not answers:
                # Where this side's octets begin is not known yet.
                self._note_end(slot, end_of(frame, direction))
                return
            words[half + ORIGIN] = frame.sequence
            words[half + PHASE] = RECORDS if answers else JOINED
        offset = self.streams.offset(half, frame.sequence)
        is_near = -WINDOW < offset - words[half + TOP] < WINDOW
        if is_near and words[base + STATE] & (SETTLED | ENDING) and offset >= words[half + TOP]:
            # Nothing more is wanted of it, unless it is another connection after all.
            is_near = self.streams.is_same(batch.wire, frame, half) or not self.hello.begins(
                batch.wire, frame.at, frame.end
            )
        if not is_near:
            if length and words[base + STATE] & GUESSED and self.streams.is_server(slot, direction):
                words[half + ORIGIN] = frame.sequence
                offset = words[half + AT] = words[half + TOP] = words[half + ACKED] = 0
            elif not length or not self.hello.begins(batch.wire, frame.at, frame.end):
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
        if self.evidence is not None:
            self.evidence.keep(slot, batch, index, frame, direction, offset)
        if length:
            self.streams.raise_top(slot, direction, offset)
            if offset + length > words[half + TOP]:
                words[half + TOP] = offset + length
            if words[base + STATE] & GUESSED and self.streams.is_server(slot, direction):
                words[base + STATE] &= ~GUESSED
            self._payload(batch.wire, slot, direction, offset)
            is_clear = self.attempts[slot] is None and words[half + PHASE] in (DIALOGUE, OTHER)
            if is_clear and self.evidence is not None:
                self.evidence.take_back(slot, self.number)
        if frame.flags & (FIN | RST) and not words[base + STATE] & SETTLED:
            self._end(slot, offset + length, end_of(frame, direction))

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
        if self.words[half + ORIGIN] == first:
            return False
        other = slot * SLOT_WORDS + HALF_0 + (1 - direction) * HALF_WORDS
        if (
            self.frame.flags & ACK
            and self.words[half + TOP] == 0
            and self.words[other + PHASE] != FRESH
            and self.words[other + ORIGIN] == self.frame.acknowledgement
        ):
            # The server forgot its first answer and makes another one to the same SYN.
            self.words[half + ORIGIN] = first
            self.words[half + ACKED] = 0
            return False
        return True

    def _enter(self) -> int:
        """Give the segment's flow a slot, and tell it what its SYNs said."""
        flows = self.flows
        slot = flows.choose()
        if flows.tags[slot]:
            self._forget(slot, EVICTED)
            self.evicted_flows += 1
        self.flow_count += 1
        self.open_flows += 1
        frame = self.frame
        client = -1
        if self.watched[frame.destination_port] != self.watched[frame.source_port]:
            to_server = self.watched[frame.destination_port]
            client = flows.direction if to_server else 1 - flows.direction
        self.streams.begin(slot, self.now_ns, client)
        if self.evidence is not None:
            self.evidence.begin(slot, flows.tag)
        implicit = self.implicit[frame.destination_port] or self.implicit[frame.source_port]
        if self.behind_filter and implicit and not frame.tunnel_count:
            self.words[slot * SLOT_WORDS + STATE] |= HOLDS_BACK
        if self.streams.early_end:
            self._note_end(slot, self.streams.early_end)
        return slot

    def _payload(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Take the payload of the segment in ``frame``, which starts at a stream offset."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        phase = words[half + PHASE]
        server = self.streams.is_server(slot, direction)
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
            self._take_records(wire, slot, direction, offset)
        elif phase in (START, JOINED, UPGRADED):
            if server:
                self._early_answer(wire, slot, direction, offset)
            else:
                self._seek_hello(wire, slot, direction, offset)
        elif phase == DIALOGUE:
            self._dialogue(wire, slot, direction, offset, server)
        self._check_end(slot)

    def _end(self, slot: int, offset: int, end: int) -> None:
        """Note a RST or FIN (see ``end_of``) at a stream offset, the first that may be genuine."""
        words = self.words
        direction = 1 if end & END_IS_FROM_1 else 0
        is_reset = end & END_IS_RESET != 0
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        attempt = self.attempts[slot]
        if attempt is not None and attempt.last_word is not None:
            # A client that had done its part may close first: the server's end is awaited.
            if attempt.is_half_closed() and direction != attempt.direction:
                attempt.end_at = (direction, offset)
                self._check_end(slot)
            return
        if is_reset:
            furthest = max(words[half + TOP], words[half + ACKED]) + RESET_WINDOW
            if not words[half + ACKED] <= offset <= furthest:
                return
        if attempt is None:
            if slot in self.dialogues.talks and self._is_read(half, offset):
                self._let_go(slot)
            else:
                self._note_end(slot, end)
            return
        if is_reset:
            hops = (words[slot * SLOT_WORDS + STATE] & HOPS_BITS) >> HOPS_SHIFT
            apart = abs(hops - (end >> END_HOPS_SHIFT))
            if direction != attempt.direction and hops and apart > MOST_HOPS_APART:
                attempt.path_reset = True
        if words[slot * SLOT_WORDS + STATE] & ENDING:
            # What was not seen, or was held back by a filter, was sent all the same.
            words[half + TOP] = max(words[half + TOP], offset)
        outcome = Outcome.RESET if is_reset else Outcome.CLOSED
        side = Side.CLIENT if direction == attempt.direction else Side.SERVER
        attempt.last_word = (side, outcome)
        attempt.end_at = (direction, offset)
        self._check_end(slot)

    def _note_end(self, slot: int, end: int) -> None:
        """Remember the first RST or FIN that came before any octet of its hello."""
        if slot in self.early_ends:
            return
        if len(self.early_ends) >= MOST_EARLY_ENDS:
            del self.early_ends[next(iter(self.early_ends))]
        self.early_ends[slot] = end

    def _check_end(self, slot: int) -> None:
        """Let a RST or FIN count once all that was sent before it was read."""
        attempt = self.attempts[slot]
        if attempt is None or attempt.end_at is None:
            return
        direction, offset = attempt.end_at
        if direction == attempt.direction and attempt.is_half_closed():
            return
        if self._is_read(slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS, offset):
            self._conclude(attempt, ENDED, time_is_over=False)

    def _is_read(self, half: int, offset: int) -> bool:
        """Tell whether all was read that the sender of a RST or FIN knew of.

        That is what its own side sent, and what it has from the other.
        """
        place = (half - HALF_0) % SLOT_WORDS
        other = half - HALF_WORDS if place else half + HALF_WORDS
        # The other side's FIN, confirmed too, is no octet.
        return (
            self.streams.reach(half) >= offset
            and self.streams.reach(other) >= self.words[other + ACKED] - 1
        )

    # -- the hello -------------------------------------------------------------------------

    def _early_answer(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Keep what a server sends before its client's hello was seen, if it may be TLS."""
        frame = self.frame
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        first = wire[frame.at] if frame.end > frame.at else 0
        if first and self.dialogues.greets(wire, frame.at, frame.end, slot, half, self.now_ns):
            self._dialogue(wire, slot, direction, offset, True)
            return
        if (offset == 0 and not (20 <= first <= 23 or first & 0x80)) or (
            offset + frame.end - frame.at > LONGEST_EARLY_ANSWER
        ):
            self._ignore(slot, direction)
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
            answer = self.hello.look(wire, start, end, words[half + PHASE])
            if answer == NO_MATCH:
                if self.dialogues.begins(wire, start, end, slot, half, self.now_ns):
                    at = offset - (start - frame.at)
                    self._dialogue(wire, slot, direction, at, False)
                else:
                    self._no_hello(slot, direction)
                return
            attempt = self._begin(wire, slot, direction)
            if answer == FOUND:
                self._found(attempt, slot, direction)
                words[half + AT] = offset + self.hello.message.after - start
                if self.evidence is not None:
                    self.evidence.show(slot, direction, at, words[half + AT])
                self._go_on(wire, slot, direction, offset - (start - frame.at))
                return
            words[half + WANT] = at + self.hello.message.want - start
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
                answer = self.hello.look(
                    self.reassembly.arena, first, first + reach - at, words[half + PHASE]
                )
                if answer == NO_MATCH:
                    self._abandon(slot)
                    if self.dialogues.begins(
                        self.reassembly.arena, first, first + reach - at, slot, half, self.now_ns
                    ):
                        self._read_lines(wire, slot, direction)
                    else:
                        self._no_hello(slot, direction)
                    return
                if answer == FOUND:
                    self._found_in_buffer(
                        attempt, slot, direction, at + self.hello.message.after - first
                    )
                    return
                words[half + WANT] = at + self.hello.message.want - first
        attempt.frame, attempt.time_ns = self.number, self.time_ns
        reach = self.reassembly.reach(handle)
        if reach - at >= LARGEST:
            self._accept_cut(slot, direction, LENGTH)
        elif frame.missing and reach == offset + end - start:
            self._accept_cut(slot, direction, CUT)

    def _no_hello(self, slot: int, direction: int) -> None:
        """Let go of a direction that does not begin with a hello."""
        base = slot * SLOT_WORDS
        self.words[base + HALF_0 + direction * HALF_WORDS + PHASE] = OTHER
        self._abandon(slot)
        other = base + HALF_0 + (1 - direction) * HALF_WORDS
        if self.words[base + STATE] & CLIENT_KNOWN or self.words[other + PHASE] == OTHER:
            self._let_go(slot)
        else:
            self.streams.drop_buffer(slot, direction)

    def _abandon(self, slot: int) -> None:
        """Let go of an attempt that turned out to be none."""
        attempt = self.attempts[slot]
        if attempt is not None:
            self._close(attempt)

    def _dialogue(
        self, wire: memoryview, slot: int, direction: int, offset: int, is_server: bool
    ) -> None:
        """Take the segment in ``frame`` as part of one side's lines in clear."""
        frame = self.frame
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        is_lost = offset - self.words[half + AT] >= LARGEST or frame.missing > 0
        if is_lost and is_server:
            self._ignore(slot, direction)
        elif is_lost:
            self._no_hello(slot, direction)
        elif self._keep(wire, slot, direction, offset, frame.at, frame.end):
            if is_server:
                self._read_answers(slot, direction)
            else:
                self._read_lines(wire, slot, direction)

    def _ignore(self, slot: int, direction: int) -> None:
        """Read no more of one side."""
        self.streams.note_gap(slot, direction)
        self.streams.drop_buffer(slot, direction)
        self.words[slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS + PHASE] = OTHER

    def _read_lines(self, wire: memoryview, slot: int, direction: int) -> None:
        """Read the client's lines that are there, up to the upgrade and the hello behind it."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reassembly = self.reassembly
        for _ in range(MOST_LINES_A_FRAME):
            if self.streams.ready(half) <= 0:
                return
            at = words[half + AT]
            if words[half + PHASE] == UPGRADED:
                first = reassembly.place(words[half + BUFFER] - 1, at)
                end = first + self.streams.ready(half)
                answer = self.hello.look(reassembly.arena, first, end, words[half + PHASE])
                if answer != NO_MATCH:
                    attempt = self._begin(wire, slot, direction)
                    if answer == FOUND:
                        after = at + self.hello.message.after - first
                        self._found_in_buffer(attempt, slot, direction, after)
                    else:
                        words[half + WANT] = at + self.hello.message.want - first
                    return
                self._abandon(slot)
                words[half + PHASE] = DIALOGUE
            used = self.dialogues.read_client(
                wire, self.frame, self.number, self.time_ns, slot, direction
            )
            if used == NO_USE:
                self._no_hello(slot, direction)
                return
            if used == NOT_WHOLE:
                return
            if words[half + PHASE] == UPGRADED and self.evidence is not None:
                self.evidence.show(slot, direction, at, at + used)
            self._step(slot, direction, used)

    def _read_answers(self, slot: int, direction: int) -> None:
        """Read the server's lines that are there."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        for _ in range(MOST_LINES_A_FRAME):
            if self.streams.ready(half) <= 0:
                return
            used = self.dialogues.read_server(slot, direction)
            if used == NO_USE:
                self._ignore(slot, direction)
                return
            if used == NOT_WHOLE:
                return
            self._step(slot, direction, used)

    def _step(self, slot: int, direction: int, octets: int) -> None:
        """Go on behind octets of a half's buffer that were read."""
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        self.words[half + AT] += octets
        # The rest is moved up once, behind the last line: it may be long, and the lines many.
        if self.streams.ready(half) <= 0:
            handle = self.words[half + BUFFER] - 1
            if self.reassembly.advance(handle, self.words[half + AT]) == 0:
                self.streams.drop_buffer(slot, direction)

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
        self.streams.drop_buffer(slot, direction)
        words[half + AT] = words[half + TOP]
        self.agenda.wait(attempt, self.now_ns)
        self._expect_answer(slot, 1 - direction)

    def _begin(self, wire: memoryview, slot: int, direction: int) -> Attempt:
        """Return the slot's attempt; if it has none, begin one with the segment in ``frame``."""
        attempt = self.attempts[slot]
        if attempt is not None:
            return attempt
        return self._new_attempt(slot, direction, flow_of(wire, self.frame))

    def _new_attempt(self, slot: int, direction: int, flow: Flow) -> Attempt:
        surplus = self.agenda.surplus()
        while surplus is not None:
            self._settle(surplus, EVICTED, time_is_over=False)
            surplus = self.agenda.surplus()
        attempt = Attempt(slot, direction, self.number, self.time_ns, flow)
        state = self.words[slot * SLOT_WORDS + STATE]
        if state & ASKED:
            attempt.starttls = starttls.PROTOCOL_WORDS[(state & PROTOCOL_BITS) >> PROTOCOL_SHIFT]
        self.attempts[slot] = attempt
        self.words[slot * SLOT_WORDS + STATE] |= OPEN
        self.agenda.add(attempt, self.now_ns)
        return attempt

    def _found(self, attempt: Attempt, slot: int, direction: int) -> None:
        """Note the whole hello that was looked at last."""
        words = self.words
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        attempt.frame, attempt.time_ns = self.number, self.time_ns
        attempt.hello = self.hello.read()
        if self.keeps_octets:
            attempt.hello_octets = self.hello.octets()
        attempt.cut_reason = LENGTH
        attempt.doubtful = self.hello.is_sslv2 and words[half + PHASE] == JOINED
        self.agenda.wait(attempt, self.now_ns)
        self.streams.know_client(slot, direction)
        words[half + PHASE] = RECORDS
        words[half + WANT] = 0
        self.dialogues.tell(slot, self.now_ns, upgraded=True)

    def _found_in_buffer(self, attempt: Attempt, slot: int, direction: int, after: int) -> None:
        """Note the whole hello in the half's buffer, and read on behind it."""
        self._found(attempt, slot, direction)
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        if self.evidence is not None:
            self.evidence.show(slot, direction, self.words[half + AT], after)
        self.words[half + AT] = after
        self._read_buffer(slot, direction)
        self._expect_answer(slot, 1 - direction)

    def _go_on(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Read on behind the hello, in the same segment and on the server's side."""
        if (
            self.frame.end
            > self.frame.at
            + self.words[slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS + AT]
            - offset
        ):
            self._take_records(wire, slot, direction, offset)
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
                answer = self.streams.offset(half, frame.acknowledgement)
                if words[half + TOP] < answer < words[half + TOP] + WINDOW:
                    words[half + AT] = answer

    # -- the records, and what they decide -------------------------------------------------

    def _take_records(self, wire: memoryview, slot: int, direction: int, offset: int) -> None:
        """Take the segment in ``frame`` as part of a sequence of records."""
        attempt = self.attempts[slot]
        while attempt is not None:
            answer = self.records.take(wire, self.frame, attempt, direction, offset, self.now_ns)
            if answer == RENEGOTIATED:
                attempt = self._renegotiate(attempt)
            elif answer == DONE or not self._make_room(slot):
                break
        if attempt is not None:
            self._check_outcome(attempt)

    def _read_buffer(self, slot: int, direction: int) -> None:
        """Read the records that wait in a half's buffer."""
        attempt = self.attempts[slot]
        while attempt is not None:
            if self.records.read_buffer(attempt, direction) != RENEGOTIATED:
                self._check_outcome(attempt)
                break
            attempt = self._renegotiate(attempt)

    def _renegotiate(self, attempt: Attempt) -> Attempt:
        """Settle an attempt whose stream goes on with another hello, and begin that one's."""
        hello = self.records.again
        attempt.give_up(server_seen=False, time_is_over=False)
        self._note_halves(attempt)
        self._close(attempt, before=self.number)
        fresh = self._new_attempt(attempt.slot, attempt.direction, attempt.flow)
        fresh.hello = hello
        fresh.cut_reason = LENGTH
        return fresh

    def _check_outcome(self, attempt: Attempt) -> None:
        """Settle an attempt whose records decided it, but for the end of its session."""
        if attempt.closed or attempt.outcome is None or attempt.agreed_at is not None:
            return
        if attempt.outcome is Outcome.ESTABLISHED:
            self._await_end(attempt)
        else:
            self._conclude(attempt, ENDED, time_is_over=False)

    def _await_end(self, attempt: Attempt) -> None:
        """Wait a while for the end of an established session, whatever it carries."""
        words = self.words
        base = attempt.slot * SLOT_WORDS
        words[base + STATE] |= ENDING
        for direction in (0, 1):
            self.streams.drop_buffer(attempt.slot, direction)
            words[base + HALF_0 + direction * HALF_WORDS + PHASE] = OTHER
            words[base + HALF_0 + direction * HALF_WORDS + WANT] = 0
        client = base + HALF_0 + attempt.direction * HALF_WORDS
        server = base + HALF_0 + (1 - attempt.direction) * HALF_WORDS
        if self.behind_filter and not attempt.flow.tunnels:
            words[base + STATE] |= HOLDS_BACK
            self.streams.raise_top(attempt.slot, 1 - attempt.direction, words[server + ACKED])
        attempt.agreed_at = (
            words[client + TOP],
            words[server + TOP],
            words[client + AT],
            self.time_ns,
        )
        self.agenda.wait_for_end(attempt, self.now_ns)

    def _note_session(self, attempt: Attempt) -> None:
        """Note what followed an established handshake, if its end was seen."""
        if attempt.agreed_at is None or attempt.last_word is None:
            return
        words = self.words
        base = attempt.slot * SLOT_WORDS
        client_at, server_at, read_until, since_ns = attempt.agreed_at
        client = base + HALF_0 + attempt.direction * HALF_WORDS
        server = base + HALF_0 + (1 - attempt.direction) * HALF_WORDS
        client_end = max(words[client + TOP], words[client + ACKED])
        server_end = max(words[server + TOP], words[server + ACKED])
        session = Session(
            client_bytes=max(0, client_end - client_at),
            server_bytes=max(0, server_end - server_at),
            seconds=max(0, self.time_ns - since_ns) / SECOND_NS,
            closed_by=attempt.last_word[0],
        )
        attempt.saw_session(session, max(0, client_end - read_until))

    def _keep(
        self, wire: memoryview, slot: int, direction: int, offset: int, start: int, end: int
    ) -> int:
        """Put octets into the half's buffer; return how many are new."""
        while True:
            kept = self.streams.keep(wire, slot, direction, offset, start, end, self.now_ns)
            if kept != NO_ROOM:
                return kept
            if not self._make_room(slot):
                return 0

    def _make_room(self, slot: int) -> bool:
        """Free a buffer for a conversation that needs one; False: there is none to free."""
        # The one without progress for longest makes room; never this conversation.
        owner = self.reassembly.oldest(self.streams.wanted, slot * 2, slot * 2 + 1)
        if owner < 0:
            return False
        self.evicted_buffers += 1
        self._give_up_buffer(owner >> 1, owner & 1)
        return True

    def _give_up_buffer(self, slot: int, direction: int) -> None:
        """Make do without what a half has in its buffer: the room is needed."""
        attempt = self.attempts[slot]
        if attempt is not None and attempt.hello is None:
            self._conclude(attempt, EVICTED, time_is_over=False)
        else:
            half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
            self.streams.drop_buffer(slot, direction)
            if self.words[half + PHASE] in (RECORDS, CIPHER):
                self.words[half + PHASE] = LOST

    # -- the end of an attempt -------------------------------------------------------------

    def _expire(self) -> None:
        """Settle the attempts whose time is over."""
        attempt = self.agenda.due(self.now_ns)
        while attempt is not None:
            self._settle(attempt, TIMEOUT, time_is_over=True)
            attempt = self.agenda.due(self.now_ns)

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
                self.records.read_to_the_end(attempt, direction)
                if attempt.outcome is not None:
                    break
        if attempt.hello is not None:
            self.dialogues.tell(slot, self.now_ns, upgraded=True)
        if slot in self.early_ends and attempt.last_word is None:
            self._recall_end(attempt)
        self._note_session(attempt)
        if attempt.last_word is not None:
            attempt.saw_end(*attempt.last_word)
        state = self.words[base + STATE]
        server_seen = bool(state & (SEEN_0 if attempt.direction else SEEN_1))
        attempt.give_up(server_seen=server_seen, time_is_over=time_is_over)
        self._note_halves(attempt)
        self.streams.note_one_sided(slot)
        self._close(attempt)
        self._let_go(slot)

    def _recall_end(self, attempt: Attempt) -> None:
        """Note a RST or FIN that came before the hello: nothing after it has decided."""
        end = self.early_ends[attempt.slot]
        direction = 1 if end & END_IS_FROM_1 else 0
        side = Side.CLIENT if direction == attempt.direction else Side.SERVER
        outcome = Outcome.RESET if end & END_IS_RESET else Outcome.CLOSED
        attempt.last_word = (side, outcome)

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
        if end == start:
            return
        if self.hello.look(reassembly.arena, start, end, words[half + PHASE]) == NO_MATCH:
            return
        attempt.hello = self.hello.read()
        if attempt.hello is None:
            return
        attempt.cut_reason = reason
        if reassembly.top(handle) > reach and reason in (ENDED, TIMEOUT, END_OF_INPUT):
            attempt.cut_reason = GAP
        self.streams.know_client(slot, attempt.direction)
        if self.evidence is not None:
            self.evidence.show(slot, attempt.direction, words[half + AT], reach)
        words[half + AT] = reach
        words[half + WANT] = 0
        words[half + PHASE] = LOST

    def _close(self, attempt: Attempt, before: int | None = None) -> None:
        """Take an attempt out of its slot; frames from ``before`` on belong to another one."""
        if self.evidence is not None:
            upgraded = attempt.starttls is not None
            attempt.evidence = self.evidence.settle(attempt.slot, upgraded=upgraded, before=before)
        if attempt.hello is not None:
            self.words[attempt.slot * SLOT_WORDS + STATE] |= SAID_HELLO
        self.attempts[attempt.slot] = None
        self.words[attempt.slot * SLOT_WORDS + STATE] &= ~OPEN
        self.agenda.close(attempt)

    def _let_go(self, slot: int) -> None:
        """Want nothing more of a conversation; its slot stays, so that it is not begun anew."""
        self.dialogues.tell(slot, self.now_ns, upgraded=False)
        self.early_ends.pop(slot, None)
        base = slot * SLOT_WORDS
        if self.evidence is not None:
            self.evidence.drop(slot)
        for direction in (0, 1):
            self.streams.note_gap(slot, direction)
            self.streams.drop_buffer(slot, direction)
            if not self.words[base + STATE] & (SETTLED | ENDING):
                self.words[base + HALF_0 + direction * HALF_WORDS + WANT] = 0
        self.words[base + STATE] |= SETTLED

    def _forget(self, slot: int, reason: int) -> None:
        """Free a slot, whatever its conversation was about."""
        attempt = self.attempts[slot]
        if attempt is not None:
            self._conclude(attempt, reason, time_is_over=False)
        self._let_go(slot)
        self.streams.note_end(slot)
        self.open_flows -= 1
        self.flows.release(slot)

    def _internal(self, number: int, error: Exception) -> None:
        """Count a frame that an error of ours cost; remember the first few for the log."""
        self.internal += 1
        if len(self.internal_errors) < INTERNAL_ERRORS_KEPT:
            self.internal_errors.append(f"frame {number}: {type(error).__name__}: {error}")
