"""A client's lines in clear, before an upgrade."""

from parsers import starttls
from sniffer.track.layout import (
    ASKED,
    DIALOGUE,
    HALF_0,
    HALF_WORDS,
    PHASE,
    PROTOCOL_BITS,
    PROTOCOL_SHIFT,
    SLOT_WORDS,
    STATE,
    UPGRADED,
    WANT,
)
from sniffer.track.streams import Streams

LONGEST_FIRST_PIECE = 512
"""How much of a line in clear a client may send before the line's end tells what it is."""


class Dialogues:
    """A reader of lines.

    WANT is the dialogue's state meanwhile: the state's number, the lines read, and what is
    left of an IMAP literal.
    """

    def __init__(self, streams: Streams) -> None:
        """Begin with nothing read."""
        self.streams = streams
        self.words = streams.flows.words

    def begins(self, wire: memoryview, start: int, end: int, half: int) -> bool:
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

    def read_line(self, slot: int, direction: int, handle: int, at: int, reach: int) -> int:
        """Read one line from the buffer; return its length, 0: not whole yet, -1: no use."""
        words = self.words
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        state = words[half + WANT] & 0xF
        lines = words[half + WANT] >> 4 & 0xFFF
        skip = words[half + WANT] >> 16
        if skip:
            step = min(skip, reach - at)
            words[half + WANT] -= step << 16
            return step
        reassembly = self.streams.reassembly
        first = reassembly.place(handle, at)
        stop = min(reach - at, starttls.LONGEST_LINE)
        held = bytes(reassembly.arena[first : first + stop])
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
