"""DNS messages (RFC 1035 section 4), which mDNS (RFC 6762) sends too.

    id             2
    flags          2      response 8000, opcode 7800, cut 0200, code 000f
    counts       4 x 2    of questions, answers, authorities, additional records
    questions             name; type 2; class 2
    records               name; type 2; class 2; time to live 4; length 2; data

A name is labels, each behind its length (1 to 63), up to one of length 0; two octets from
c000 on are the rest of the name, at that place of the message (section 4.1.4). A place has to
lie before the name's own beginning, and before the one that led there: so no name goes in
circles. What is read of a message is bounded; a longer one ends in NEED_MORE.
"""

from dataclasses import dataclass
from typing import NamedTuple

from parsers.answer import FOUND, NEED_MORE, NO_MATCH

HEADER_LENGTH = 12
LONGEST_MESSAGE = 9000
"""Octets (RFC 6762 section 17)."""
MOST_QUESTIONS = 8
MOST_RECORDS = 48
MOST_LABELS = 128
"""Of all names in a message together; one that is pointed at again counts once."""
MOST_JUMPS = 16
MOST_ENDS = 8
"""Ends of a name that are remembered, in case somebody points at one."""
LONGEST_NAME = 255
MOST_STRINGS = 32

RESPONSE = 0x8000
OPCODE = 0x7800
CODE = 0x000F

A = 1
CNAME = 5
TXT = 16
AAAA = 28
SRV = 33
ALIAS = b"\0\5\0\1"
"""CNAME, class IN."""
LENGTHS = {A: 4, AAAA: 16}

Labels = tuple[bytes, ...]


class Record(NamedTuple):
    """One record of a kind that is asked for."""

    name: Labels
    kind: int
    seconds: int
    """Time to live."""
    data: bytes = b""
    """The address of A and AAAA; of TXT, and of raw kinds, all of it."""
    target: Labels = ()
    """The name that CNAME and SRV lead to."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, or as much of it as there was."""

    flags: int
    questions: tuple[Labels, ...]
    records: tuple[Record, ...]
    """Of all three sections, in their order; other kinds are passed over."""


def asks(wire: memoryview, start: int, end: int) -> tuple[bytes, bool] | None:
    """Return what a response answers, and whether that may be an alias; None: it answers nothing.

    A look at its beginning alone: most responses are of no interest.
    """
    octets = bytes(wire[start : min(end, start + LONGEST_MESSAGE)])
    if len(octets) < HEADER_LENGTH or not (octets[4] or octets[5]):
        return None
    if (octets[2] << 8 | octets[3]) & (RESPONSE | OPCODE | CODE) != RESPONSE:
        return None
    answer, name, at = Names(octets).read(HEADER_LENGTH)
    if answer != FOUND:
        return None
    # Kind and class of an alias stand side by side: where these octets are not, none is.
    return dotted(name).lower(), octets.find(ALIAS, at) >= 0


def read(
    wire: memoryview,
    start: int,
    end: int,
    kinds: frozenset[int],
    raw: frozenset[int] = frozenset(),
) -> tuple[int, Message | None]:
    """Read the message from ``start`` to ``end``, and nothing from there on.

    Told are records of ``kinds``, those of the kinds in ``raw`` with their data as it is.
    """
    octets = bytes(wire[start : min(end, start + LONGEST_MESSAGE)])
    if len(octets) < HEADER_LENGTH:
        return NEED_MORE, None
    names = Names(octets)
    counts = [octets[at] << 8 | octets[at + 1] for at in (4, 6, 8, 10)]
    at = HEADER_LENGTH
    questions: list[Labels] = []
    records: list[Record] = []
    answer = FOUND
    for _ in range(min(counts[0], MOST_QUESTIONS)):
        answer, name, at = names.read(at)
        if answer == FOUND and len(octets) - at < 4:
            answer = NEED_MORE
        if answer != FOUND:
            break
        questions.append(name)
        at += 4
    record_count = sum(counts[1:])
    if answer == FOUND and counts[0] > MOST_QUESTIONS:
        answer = NEED_MORE
    if answer == FOUND:
        for _ in range(min(record_count, MOST_RECORDS)):
            answer, record, at = _record(octets, at, names, kinds, raw)
            if answer != FOUND:
                break
            if record is not None:
                records.append(record)
        if answer == FOUND and record_count > MOST_RECORDS:
            answer = NEED_MORE
    if answer == NO_MATCH:
        return NO_MATCH, None
    flags = octets[2] << 8 | octets[3]
    return answer, Message(flags, tuple(questions), tuple(records))


class Names:
    """The names in a message, each place of them read once."""

    left: int
    """Labels that may still be read."""

    def __init__(self, octets: bytes) -> None:
        """Read names of this message."""
        self._octets = octets
        self._known: dict[int, tuple[Labels, int]] = {}
        """Labels of a name, and its octets, by the place where it begins."""
        self.left = MOST_LABELS

    def read(self, at: int, jumps: int = MOST_JUMPS) -> tuple[int, Labels, int]:
        """Return the name at a place and where it ends: FOUND, or NEED_MORE, NO_MATCH."""
        octets, end = self._octets, len(self._octets)
        first = at
        labels: list[bytes] = []
        length = 0
        while at < end:
            size = octets[at]
            if size == 0:
                return FOUND, self._note(first, tuple(labels), length, len(labels)), at + 1
            if size >= 0xC0:
                if end - at < 2:
                    break
                place = (size & 0x3F) << 8 | octets[at + 1]
                answer = self._know(place, first, jumps - 1)
                if answer != FOUND:
                    return answer, (), at
                rest, more = self._known[place]
                if length + more >= LONGEST_NAME:
                    return NO_MATCH, (), at
                if labels:
                    rest = self._note(first, (*labels, *rest), length + more, len(labels))
                return FOUND, rest, at + 2
            length += 1 + size
            if size > 63 or length >= LONGEST_NAME:
                return NO_MATCH, (), at
            if end - at <= size or self.left <= 0:
                break
            self.left -= 1
            labels.append(octets[at + 1 : at + 1 + size])
            at += 1 + size
        return NEED_MORE, (), at

    def _know(self, place: int, before: int, jumps: int) -> int:
        """Read the name at a place, unless it is known."""
        if place in self._known:
            return FOUND
        if not HEADER_LENGTH <= place < before or jumps < 0:
            return NO_MATCH
        answer, labels, _ = self.read(place, jumps)
        if answer == FOUND and place not in self._known:
            self._known[place] = labels, sum(map(len, labels)) + len(labels)
        return answer

    def _note(self, at: int, labels: Labels, length: int, own: int) -> Labels:
        """Remember a name, and the ends of it that begin with one of its first ``own`` labels."""
        for number in range(min(own, MOST_ENDS)):
            self._known[at] = labels[number:], length
            at += 1 + len(labels[number])
            length -= 1 + len(labels[number])
        return labels


def plain_name(octets: bytes) -> bytes | None:
    """Return a name that stands outside of a message, where nothing can be pointed at.

    One without its end is taken too: somebody else is to complete it (RFC 4702 section 2.1).
    """
    if len(octets) > LONGEST_NAME:
        return None
    answer, labels, _ = Names(octets + b"\0").read(0)
    return dotted(labels) or None if answer == FOUND else None


def strings(text: bytes) -> tuple[bytes, ...]:
    """Return the strings in the data of TXT, the first ones of many."""
    found: list[bytes] = []
    at = 0
    while at < len(text) and len(found) < MOST_STRINGS:
        after = at + 1 + text[at]
        found.append(text[at + 1 : after])
        at = after
    return tuple(found)


def dotted(labels: Labels) -> bytes:
    """Return a name as it is written, without the last dot."""
    return b".".join(labels)


def _record(
    octets: bytes, at: int, names: Names, kinds: frozenset[int], raw: frozenset[int]
) -> tuple[int, Record | None, int]:
    """Read the record at a place: its answer, it if it is wanted, and where it ends."""
    answer, name, at = names.read(at)
    if answer != FOUND:
        return answer, None, at
    if len(octets) - at < 10:
        return NEED_MORE, None, at
    kind = octets[at] << 8 | octets[at + 1]
    after = at + 10 + (octets[at + 8] << 8 | octets[at + 9])
    if after > len(octets):
        return NEED_MORE, None, at
    if kind not in kinds:
        return FOUND, None, after
    seconds = int.from_bytes(octets[at + 4 : at + 8], "big")
    at += 10
    if kind == TXT or kind in raw or LENGTHS.get(kind) == after - at:
        return FOUND, Record(name, kind, seconds, octets[at:after]), after
    if kind == CNAME or (kind == SRV and after - at > 6):
        answer, target, ended = names.read(at + (6 if kind == SRV else 0))
        if answer != FOUND or ended != after:
            # The record is whole: where its name is not, nothing more will come.
            return (NO_MATCH if names.left else NEED_MORE), None, at
        return FOUND, Record(name, kind, seconds, target=target), after
    return FOUND, None, after
