"""Conversations in clear that may be upgraded: what their lines tell, and when it is told."""

from collections import deque

from parsers import starttls
from parsers.frame import Frame
from parsers.prologue import Prologue
from sniffer.event import Dialogue, Flow
from sniffer.track.ends import flow_of
from sniffer.track.layout import (
    ASKED,
    DIALOGUE,
    HALF_0,
    HALF_WORDS,
    MOST_TALKS,
    NO_USE,
    NOT_WHOLE,
    PHASE,
    PROTOCOL_SHIFT,
    SLOT_WORDS,
    STATE,
    UPGRADED,
    WANT,
)
from sniffer.track.streams import Streams

LONGEST_FIRST_PIECE = 512
"""How much of a line in clear a client may send before the line's end tells what it is."""
GREETINGS = [b"220", b"* ", b"+OK"]
"""How the greetings of SMTP, IMAP and POP3 begin."""


class Talk:
    """A dialogue under way."""

    __slots__ = ("flow", "frame", "prologue", "time_ns")
    flow: Flow | None
    """None: no line of the client was seen."""
    frame: int
    prologue: Prologue
    time_ns: int

    def __init__(self) -> None:
        """Begin with nothing said."""
        self.flow = None
        self.frame = 0
        self.prologue = Prologue()
        self.time_ns = 0


class Dialogues:
    """The dialogues under way, by slot, and those that ended.

    An ended one is held until the handshakes before it have surely left: whoever goes on in
    clear does so after something failed.
    """

    def __init__(self, streams: Streams, hold_ns: int, path: str | None) -> None:
        """Begin with none; hold ended ones for ``hold_ns``."""
        self.streams = streams
        self.words = streams.flows.words
        self.hold_ns = hold_ns
        self.path = path
        self.talks: dict[int, Talk] = {}
        self.held: deque[tuple[int, Dialogue]] = deque()
        self.evicted = 0

    def begins(
        self, wire: memoryview, start: int, end: int, slot: int, half: int, now_ns: int
    ) -> bool:
        """Tell whether a client that does not begin with a hello speaks mail in clear."""
        words = self.words
        if words[half + PHASE] == UPGRADED:
            # It is no hello: the line, or the client's next one, tells why.
            words[half + PHASE] = DIALOGUE
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
        self._join(slot, half, now_ns)
        return True

    def greets(
        self, wire: memoryview, start: int, end: int, slot: int, half: int, now_ns: int
    ) -> bool:
        """Tell whether a server that speaks first, or in a dialogue, speaks mail in clear."""
        if slot not in self.talks:
            head = bytes(wire[start : min(end, start + 3)])
            if not any(greeting.startswith(head[: len(greeting)]) for greeting in GREETINGS):
                return False
        elif not 0x20 <= wire[start] <= 0x7E:
            return False
        self._join(slot, half, now_ns)
        return True

    def read_client(
        self, wire: memoryview, frame: Frame, number: int, time_ns: int, slot: int, direction: int
    ) -> int:
        """Read the client's next line from its buffer; return its length.

        NOT_WHOLE, or NO_USE: nothing more is wanted of this conversation. A line that asks
        for the upgrade leaves the half UPGRADED.
        """
        talk = self.talks.get(slot)
        if talk is None:
            return NO_USE
        prologue = talk.prologue
        base = slot * SLOT_WORDS
        half = base + HALF_0 + direction * HALF_WORDS
        if prologue.skip:
            step = min(prologue.skip, self.streams.ready(half))
            prologue.skip -= step
            return step
        line, length = self._line(half)
        if length <= 0:
            return length
        if talk.flow is None:
            talk.flow = flow_of(wire, frame)
        talk.frame, talk.time_ns = number, time_ns
        state = prologue.hear_client(line)
        if state in (starttls.NO_PROTOCOL, starttls.OVER):
            return NO_USE
        if state == starttls.UPGRADE:
            self.words[base + STATE] |= ASKED | prologue.protocol << PROTOCOL_SHIFT
            self.words[half + PHASE] = UPGRADED
            self.words[half + WANT] = 0
        return length

    def read_server(self, slot: int, direction: int) -> int:
        """Read the server's next line from its buffer; return its length.

        NOT_WHOLE, also where TLS may begin; NO_USE: this is no line.
        """
        talk = self.talks.get(slot)
        if talk is None:
            return NO_USE
        line, length = self._line(slot * SLOT_WORDS + HALF_0 + direction * HALF_WORDS)
        if length > 0:
            talk.prologue.hear_server(line)
        return length

    def tell(self, slot: int, now_ns: int, *, upgraded: bool) -> None:
        """Make of a dialogue, if there is one, what it amounts to."""
        talk = self.talks.pop(slot, None)
        if talk is None or talk.flow is None or not talk.prologue.protocol:
            return
        said = talk.prologue
        told = Dialogue(
            time_ns=talk.time_ns,
            frame=talk.frame,
            flow=talk.flow,
            protocol=starttls.PROTOCOL_WORDS[said.protocol],
            offered=said.offered,
            mangled=said.mangled,
            asked=said.asked,
            refused=said.refused,
            upgraded=upgraded,
            login=said.login,
            went_on=said.went_on,
            names=tuple(said.names),
            server_name=said.server_name,
            path=self.path,
        )
        self.held.append((now_ns + self.hold_ns, told))

    def due(self, now_ns: int, *, is_over: bool) -> list[Dialogue]:
        """Return those that were held long enough; all, once the input is over."""
        told = []
        while self.held and (is_over or self.held[0][0] <= now_ns):
            told.append(self.held.popleft()[1])
        return told

    def _join(self, slot: int, half: int, now_ns: int) -> None:
        """Have a half read as lines."""
        self.words[half + PHASE] = DIALOGUE
        self.words[half + WANT] = 0
        if slot in self.talks:
            return
        if len(self.talks) >= MOST_TALKS:
            self.evicted += 1
            self.tell(next(iter(self.talks)), now_ns, upgraded=False)
        self.talks[slot] = Talk()

    def _line(self, half: int) -> tuple[bytes, int]:
        """Return the line in a half's buffer without its end, and its length with it."""
        held = self.streams.held(half, LONGEST_FIRST_PIECE)
        if len(held) == LONGEST_FIRST_PIECE and b"\n" not in held:
            held = self.streams.held(half, starttls.LONGEST_LINE)
        if held and not (0x20 <= held[0] <= 0x7E or held[0] in b"\r\n\t"):
            return b"", NOT_WHOLE
        newline = held.find(b"\n")
        if newline < 0:
            return b"", NO_USE if len(held) >= starttls.LONGEST_LINE else NOT_WHOLE
        return held[:newline].rstrip(b"\r"), newline + 1
