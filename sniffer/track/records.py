"""The records of both sides of a conversation, and what they tell of its attempt.

Nothing here settles an attempt: who calls looks at its ``outcome`` afterwards.
"""

from parsers import starttls
from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.frame import Frame
from parsers.tls import alert as tls_alert
from parsers.tls import client_hello, server_hello, sslv2
from parsers.tls import record as tls_record
from parsers.tls.facts import ClientHello
from parsers.tls.message import Message
from parsers.tls.record import Record
from sniffer.event import Side
from sniffer.track.evidence import Evidence
from sniffer.track.layout import (
    ACKED,
    AT,
    BUFFER,
    CIPHER,
    DONE,
    HALF_0,
    HALF_WORDS,
    LARGEST,
    LONGEST_OCTETS,
    LOST,
    NO_ROOM,
    OTHER,
    PHASE,
    RECORDS,
    RENEGOTIATED,
    SLOT_WORDS,
    WANT,
)
from sniffer.track.outcome import CLOSE_NOTIFY, FATAL, Attempt
from sniffer.track.streams import Streams

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

SHORTEST_ENCRYPTED_ALERT = 18
"""Octets of two and the shortest tag: of MD5, or of 8 octets behind an explicit nonce."""
MOST_ISLANDS = 64
"""Pieces between gaps of one direction that are looked at when no more will come."""
MOST_RECORDS = 256
"""Records that are looked at of what one frame brought; no handshake is made of so many."""
LINE_COST = 8
HELLO_COST = 128
"""How many records a line in clear, and what may be a hello, count for: they cost as much."""
LONGEST_ANSWER = 512
"""How much of a server's line is looked at first; hardly any is longer."""
MOST_TRIES = 256
"""Places behind a gap that are tried whether a record begins there."""


class Records:
    """A reader of records over segments, buffers and gaps.

    ``again`` is the hello that the answer RENEGOTIATED is about.
    """

    def __init__(self, streams: Streams, evidence: Evidence | None = None) -> None:
        """Begin with nothing read; ``evidence`` is told where each record lies."""
        self.streams = streams
        self.words = streams.flows.words
        self.record = Record()
        self.message = Message()
        self.evidence = evidence
        self.again: ClientHello | None = None
        self.unseen_bytes = 0
        """Missing in the streams, or passed over because one frame brought too much."""
        self.behind = 0
        self.final = False
        self.closing = False

    def take(
        self,
        wire: memoryview,
        frame: Frame,
        attempt: Attempt,
        direction: int,
        offset: int,
        now_ns: int,
    ) -> int:
        """Take the segment in ``frame`` as part of a sequence of records.

        DONE; or RENEGOTIATED or NO_ROOM, and with that seen to it is called again.
        """
        words = self.words
        slot = attempt.slot
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        at = words[half + AT]
        start = frame.at
        end = frame.end
        stop = offset + end - start
        if stop + frame.missing <= at:
            return DONE
        self.closing = False
        is_held_back = at < offset <= words[half + ACKED] and self.streams.may_hold_back(
            slot, direction
        )
        if words[half + PHASE] != LOST and (offset > at + LARGEST or is_held_back):
            # What is missing will not come any more.
            answer = self._read_over_gaps(attempt, direction)
            if answer != DONE or attempt.outcome is not None:
                return answer
            at = words[half + AT]
            if offset > at:
                self._note_gap(slot, direction, offset - at)
                words[half + PHASE] = LOST
        if words[half + PHASE] == LOST:
            if not self._begins_with_record(wire, start, end):
                words[half + AT] = stop + frame.missing
                return DONE
            words[half + PHASE] = RECORDS
            words[half + AT] = at = offset
        if words[half + BUFFER] or offset > at:
            kept = self.streams.keep(wire, slot, direction, offset, start, end, now_ns)
            if kept == NO_ROOM:
                return NO_ROOM
            return self.read_buffer(attempt, direction) if kept else DONE
        start += at - offset
        if start < end:
            self.final = frame.missing > 0
            answer = self._walk(wire, start, end, attempt, direction)
            if answer != DONE or attempt.outcome is not None or words[half + PHASE] == OTHER:
                return answer
        at = words[half + AT]
        if frame.missing:
            if at < stop + frame.missing:
                words[half + AT] = stop + frame.missing
                words[half + PHASE] = LOST
        elif at < stop:
            start = end - (stop - at)
            if self.streams.keep(wire, slot, direction, at, start, end, now_ns) == NO_ROOM:
                return NO_ROOM
        return DONE

    def read_buffer(self, attempt: Attempt, direction: int) -> int:
        """Walk over what the buffer holds without a gap, and forget what was read.

        DONE, or RENEGOTIATED, and with that seen to it is called again.
        """
        words = self.words
        slot = attempt.slot
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reassembly = self.streams.reassembly
        self.final = False
        self.closing = False
        while words[half + BUFFER]:
            handle = words[half + BUFFER] - 1
            at = words[half + AT]
            if reassembly.advance(handle, at) == 0:
                self.streams.drop_buffer(slot, direction)
                break
            reach = reassembly.reach(handle)
            if reach <= at or reach < words[half + WANT]:
                break
            start = reassembly.place(handle, at)
            answer = self._walk(reassembly.arena, start, start + reach - at, attempt, direction)
            if answer != DONE or attempt.outcome is not None:
                return answer
            if words[half + PHASE] == OTHER:
                self.streams.drop_buffer(slot, direction)
            elif words[half + AT] == at:
                break
        return DONE

    def read_to_the_end(self, attempt: Attempt, direction: int) -> int:
        """Read what a half's buffer holds, over its gaps, and drop it: no more will come."""
        self.closing = True
        return self._read_over_gaps(attempt, direction)

    def _read_over_gaps(self, attempt: Attempt, direction: int) -> int:
        words = self.words
        slot = attempt.slot
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        reassembly = self.streams.reassembly
        handle = words[half + BUFFER] - 1
        if handle < 0:
            return DONE
        for _ in range(MOST_ISLANDS):
            at = words[half + AT]
            island = reassembly.next_held(handle, at)
            if island < 0:
                break
            stop = reassembly.held_until(handle, island)
            start = reassembly.place(handle, island)
            end = start + stop - island
            if island > at or words[half + PHASE] in (LOST, OTHER):
                self._note_gap(slot, direction, island - at)
                start = self._find_record(reassembly.arena, start, end)
                words[half + PHASE] = RECORDS
            words[half + AT] = stop - (end - start)
            self.final = True
            answer = self._walk(reassembly.arena, start, end, attempt, direction)
            if answer != DONE or attempt.outcome is not None:
                return answer
            if words[half + AT] < stop:
                words[half + AT] = stop
                words[half + PHASE] = LOST
        words[half + AT] = max(words[half + AT], reassembly.top(handle))
        words[half + WANT] = 0
        self.streams.drop_buffer(slot, direction)
        return DONE

    def _note_gap(self, slot: int, direction: int, octets: int) -> int:
        """Count what is missing; what a filter may hold back ``Streams`` counts."""
        if not self.streams.may_hold_back(slot, direction):
            self.unseen_bytes += octets
        return 0

    def _walk(
        self, wire: memoryview, start: int, end: int, attempt: Attempt, direction: int
    ) -> int:
        """Read the records from ``start`` on, the stream's octet AT: DONE or RENEGOTIATED.

        AT moves with them, beyond ``end`` where the rest of a record is of no interest.
        """
        words = self.words
        slot = attempt.slot
        half = slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS
        record = self.record
        moved = words[half + AT] - start
        at = start
        want = 0
        left = MOST_RECORDS
        said_cipher = said_data = said_alert = False
        side = Side.CLIENT if direction == attempt.direction else Side.SERVER
        self.again = None
        while at < end and attempt.outcome is None and self.again is None:
            if left <= 0:
                # What one frame may cost is bounded, whatever it holds.
                self.unseen_bytes += end - at
                at = end
                words[half + PHASE] = LOST
                break
            left -= 1
            answer = tls_record.read(wire, at, end, record)
            if answer == NO_MATCH:
                if side is Side.SERVER and attempt.server_hello is None:
                    if attempt.starttls is not None:
                        heard = self._hear_answer(wire, at, end, attempt)
                        if heard > 0:
                            left -= LINE_COST
                            if self.evidence is not None:
                                line = bytes(wire[at : at + heard])
                                self.evidence.show_answer(slot, direction, at + moved, line)
                            at += heard
                            continue
                        if heard == 0:
                            want = end + 1
                            break
                    attempt.server_hello = sslv2.read_server(wire, at, end)
                    if attempt.server_hello is not None and self.evidence is not None:
                        self.evidence.show(slot, direction, at + moved, end + moved)
                words[half + PHASE] = OTHER
                break
            if end - at < tls_record.HEADER_LENGTH:
                want = at + tls_record.HEADER_LENGTH
                break
            content = record.content_type
            after = record.end
            if content == HANDSHAKE:
                if words[half + PHASE] == RECORDS and self._may_be_hello(wire, end, attempt, side):
                    left -= HELLO_COST
                    want = self._handshake(wire, at, end, attempt, side)
                    if want:
                        break
                    after = max(after, self.behind)
            elif content == ALERT:
                if after - record.body == tls_alert.LENGTH and words[half + PHASE] == RECORDS:
                    if after > end:
                        want = after
                        break
                    # Other warnings decide nothing, and may be many.
                    if wire[record.body] == FATAL or wire[record.body + 1] == CLOSE_NOTIFY:
                        said = tls_alert.read(wire, record.body, after)
                        if said is not None:
                            attempt.saw_alert(side, said)
                elif after - record.body >= SHORTEST_ENCRYPTED_ALERT and not said_alert:
                    said_alert = True
                    attempt.saw_encrypted_alert(side)
            elif content == CHANGE_CIPHER_SPEC:
                if not said_cipher:
                    said_cipher = True
                    attempt.saw_change_cipher_spec(side)
                    if not attempt.is_tls13():
                        words[half + PHASE] = CIPHER
            elif content == APPLICATION_DATA and not said_data:
                said_data = True
                attempt.saw_application_data(side, after - record.body)
            if self.evidence is not None:
                shown = after if content <= HANDSHAKE else at + tls_record.HEADER_LENGTH
                self.evidence.show(slot, direction, at + moved, after + moved, shown + moved)
            at = after
        words[half + AT] = at + moved
        words[half + WANT] = want + moved if want else 0
        return DONE if self.again is None else RENEGOTIATED

    def _may_be_hello(self, wire: memoryview, end: int, attempt: Attempt, side: Side) -> bool:
        """Tell whether the handshake record at hand may begin with a hello that matters."""
        body = self.record.body
        wanted = client_hello.CLIENT_HELLO
        if side is Side.SERVER:
            said = attempt.server_hello
            if said is not None and not said.retry:
                return False
            wanted = server_hello.SERVER_HELLO
        return body >= min(end, self.record.end) or wire[body] == wanted

    def _handshake(self, wire: memoryview, at: int, end: int, attempt: Attempt, side: Side) -> int:
        """Read the message that begins with the handshake record at ``at``, if it matters.

        Returns how far the octets must reach before it can be read; 0: it is done with, and
        ``behind`` is the end of its last record if it was read.
        """
        message = self.message
        self.behind = 0
        said = attempt.server_hello
        if side is Side.SERVER:
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
                is_short = message.end - message.start <= LONGEST_OCTETS
                if answer == FOUND and is_short and attempt.hello_octets:
                    attempt.answer_octets = bytes(message.wire[message.start : message.end])
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
        self.again = again
        return 0

    def _hear_answer(self, wire: memoryview, start: int, end: int, attempt: Attempt) -> int:
        """Read the server's line to an upgrade that its client did not wait for.

        Returns its length; 0: it is not whole yet; -1: this is no such line.
        """
        protocol = starttls.PROTOCOL_WORDS.index(attempt.starttls or "")
        stop = min(end, start + LONGEST_ANSWER)
        held = bytes(wire[start:stop])
        newline = held.find(b"\n")
        if newline < 0 and stop < end:
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
        left = MOST_TRIES
        while at < end and left > 0:
            left -= 20 <= wire[at] <= 23
            if 20 <= wire[at] <= 23 and self._begins_with_record(wire, at, end):
                after = record.end
                if at == start or after == end or self._begins_with_record(wire, after, end):
                    return at
            at += 1
        return end
