"""DNS messages (RFC 1035 section 4), which mDNS (RFC 6762) sends too.

    id             2
    flags          2      response 8000, opcode 7800, cut 0200, code 000f
    counts       4 x 2    of questions, answers, authorities, additional records
    questions             name; type 2; class 2
    records               name; type 2; class 2; time to live 4; length 2; data

A name is labels, each behind its length (1 to 63), up to one of length 0; two octets from
c000 on are the rest of the name, at that place of the message (section 4.1.4). A place has to
lie before the name's own beginning, and before the one that led there: so no name goes in
circles. A longer message than is read of it ends in NEED_MORE.
"""

from dataclasses import dataclass

from parsers.answer import FOUND, NEED_MORE, NO_MATCH

HEADER_LENGTH = 12
MOST_QUESTIONS = 16
MOST_RECORDS = 128
LONGEST_NAME = 255
MOST_JUMPS = 16
MOST_STRINGS = 64

RESPONSE = 0x8000
OPCODE = 0x7800
CUT = 0x0200
CODE = 0x000F

A = 1
CNAME = 5
PTR = 12
TXT = 16
AAAA = 28
SRV = 33

ALIAS = b"\0\5\0\1"
"""CNAME, class IN."""

Labels = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a kind that is read; ``data`` of others is empty."""

    name: Labels
    kind: int
    seconds: int
    """Time to live."""
    data: bytes = b""
    """The address of A and AAAA; of raw kinds all of it."""
    target: Labels = ()
    """The name that CNAME, PTR and SRV lead to."""
    strings: tuple[bytes, ...] = ()
    """Of TXT."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, or as much of it as there was."""

    flags: int
    questions: tuple[Labels, ...]
    records: tuple[Record, ...]
    """Of all three sections, in their order."""


def asks(wire: memoryview, start: int, end: int) -> tuple[bytes, bool] | None:
    """Return what a response answers, and whether that may be an alias; None: it answers nothing.

    A look at its beginning alone: most responses are of no interest.
    """
    if end - start < HEADER_LENGTH or _u16(wire, start + 4) == 0:
        return None
    if _u16(wire, start + 2) & (RESPONSE | OPCODE | CODE) != RESPONSE:
        return None
    answer, name, at = read_name(wire, start, start + HEADER_LENGTH, end)
    if answer != FOUND:
        return None
    # Kind and class of an alias stand side by side: where these octets are not, none is.
    return dotted(name).lower(), ALIAS in bytes(wire[at:end])


def read(
    wire: memoryview, start: int, end: int, raw: frozenset[int] = frozenset()
) -> tuple[int, Message | None]:
    """Read the message from ``start`` to ``end``, and nothing from there on.

    Of the kinds in ``raw`` the data is kept as it is.
    """
    if end - start < HEADER_LENGTH:
        return NEED_MORE, None
    flags = _u16(wire, start + 2)
    question_count = _u16(wire, start + 4)
    record_count = sum(_u16(wire, start + at) for at in (6, 8, 10))
    at = start + HEADER_LENGTH
    questions: list[Labels] = []
    records: list[Record] = []
    answer = FOUND
    for _ in range(min(question_count, MOST_QUESTIONS)):
        answer, name, at = read_name(wire, start, at, end)
        if answer != FOUND:
            break
        if end - at < 4:
            answer = NEED_MORE
            break
        questions.append(name)
        at += 4
    if answer == FOUND and question_count > MOST_QUESTIONS:
        answer = NEED_MORE
    if answer == FOUND:
        for _ in range(min(record_count, MOST_RECORDS)):
            answer, record, at = _record(wire, start, at, end, raw)
            if record is None:
                break
            records.append(record)
        if answer == FOUND and record_count > MOST_RECORDS:
            answer = NEED_MORE
    if answer == NO_MATCH:
        return NO_MATCH, None
    return answer, Message(flags, tuple(questions), tuple(records))


def read_name(wire: memoryview, start: int, at: int, end: int) -> tuple[int, Labels, int]:
    """Read the name at ``at`` of the message at ``start``: answer, labels, where it ends."""
    labels: list[bytes] = []
    behind = -1
    earliest = at
    length = 0
    jumps = 0
    while True:
        if at >= end:
            return NEED_MORE, (), at
        size = wire[at]
        if size == 0:
            return FOUND, tuple(labels), at + 1 if behind < 0 else behind
        if size >= 0xC0:
            if end - at < 2:
                return NEED_MORE, (), at
            place = start + (_u16(wire, at) & 0x3FFF)
            if behind < 0:
                behind = at + 2
            jumps += 1
            if not start + HEADER_LENGTH <= place < earliest or jumps > MOST_JUMPS:
                return NO_MATCH, (), at
            at = earliest = place
            continue
        length += 1 + size
        if size > 63 or length >= LONGEST_NAME:
            return NO_MATCH, (), at
        if end - at <= size:
            return NEED_MORE, (), at
        labels.append(bytes(wire[at + 1 : at + 1 + size]))
        at += 1 + size


def plain_name(octets: bytes) -> bytes | None:
    """Return a name that stands outside of a message, where nothing can be pointed at.

    One without its end is taken too: somebody else is to complete it (RFC 4702 section 2.1).
    """
    wire = memoryview(octets + b"\0")
    answer, labels, _ = read_name(wire, len(wire), 0, len(wire))
    return dotted(labels) or None if answer == FOUND else None


def dotted(labels: Labels) -> bytes:
    """Return a name as it is written, without the last dot."""
    return b".".join(labels)


def _record(
    wire: memoryview, start: int, at: int, end: int, raw: frozenset[int]
) -> tuple[int, Record | None, int]:
    answer, name, at = read_name(wire, start, at, end)
    if answer != FOUND:
        return answer, None, at
    if end - at < 10:
        return NEED_MORE, None, at
    kind = _u16(wire, at)
    seconds = _u16(wire, at + 4) << 16 | _u16(wire, at + 6)
    length = _u16(wire, at + 8)
    at += 10
    after = at + length
    if after > end:
        return NEED_MORE, None, at
    if kind in raw or (kind == A and length == 4) or (kind == AAAA and length == 16):
        return FOUND, Record(name, kind, seconds, bytes(wire[at:after])), after
    if kind in (CNAME, PTR) or (kind == SRV and length > 6):
        answer, target, ended = read_name(wire, start, at + (6 if kind == SRV else 0), after)
        if answer != FOUND or ended != after:
            # The record's own length is what counts: nothing more will come.
            return NO_MATCH, None, at
        return FOUND, Record(name, kind, seconds, target=target), after
    if kind == TXT:
        return FOUND, Record(name, kind, seconds, strings=_strings(wire, at, after)), after
    return FOUND, Record(name, kind, seconds), after


def _strings(wire: memoryview, at: int, end: int) -> tuple[bytes, ...]:
    strings: list[bytes] = []
    while at < end and len(strings) < MOST_STRINGS:
        after = at + 1 + wire[at]
        strings.append(bytes(wire[at + 1 : min(after, end)]))
        at = after
    return tuple(strings)


def _u16(wire: memoryview, at: int) -> int:
    return wire[at] << 8 | wire[at + 1]
