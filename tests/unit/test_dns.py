"""DNS messages: names, records, and everything that could lead a reader in circles."""

import pytest
from craft import address, u16s
from discovering import (
    AAAA,
    CNAME,
    NS,
    SRV,
    TXT,
    A,
    a,
    cname,
    dns,
    name,
    question,
    record,
    srv,
    txt,
)
from rows import Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.discovery import dns as dns_parser
from parsers.discovery.dns import (
    MOST_LABELS,
    MOST_RECORDS,
    MOST_STRINGS,
    Message,
    Record,
    asks,
    plain_name,
    strings,
)

KINDS = frozenset((A, AAAA, CNAME, TXT, SRV))
OUTLOOK = (b"outlook", b"office365", b"com")
HOST = (b"host", b"example")
ANSWERED = octets("""
    ef37 8580 0001 0003 0000 0000
    07 6f75746c6f6f6b 09 6f6666696365333635 03 636f6d 00  0001 0001   # at 12
    c00c 0005 0001 0000012c 0006  03 6f6f63 c014                      # ooc.office365.com
    c033 0005 0001 0000003c 0002  c014                                # office365.com
    c014 0001 0001 0000000a 0004  cb007107
""")


def message(*records: Record, questions: tuple = (), flags: int = 0x8400) -> Message:
    return Message(flags, questions, records)


def host(data: bytes = b"\x0a\0\0\7", kind: int = A) -> Record:
    return Record(HOST, kind, 300, data)


def pointing(*places: int) -> bytes:
    """A message whose one record is owned by pointers, the first of them at 12."""
    owners = b"".join(u16s(0xC000 | place) for place in places)
    return u16s(7, 0x8400, 0, 1, 0, 0) + owners + u16s(A, 1) + bytes(4) + b"\0\4" + bytes(4)


def read(wire: memoryview, start: int, end: int):
    return dns_parser.read(wire, start, end, KINDS)


LONG = b".".join([b"a" * 63] * 3 + [b"b" * 61])

ROWS = [
    Row(
        "query",
        dns(questions=[question("host.example")], flags=0x0100),
        message(questions=(HOST,), flags=0x0100),
        "RFC 1035 4.1",
    ),
    Row("address", dns(a("host.example", "10.0.0.7")), message(host()), "RFC 1035 3.4.1"),
    Row(
        "address-6",
        dns(a("host.example", "2001:db8::7")),
        message(host(address("2001:db8::7"), AAAA)),
        "RFC 3596 2",
    ),
    Row(
        "chain",
        ANSWERED,
        Message(
            0x8580,
            (OUTLOOK,),
            (
                Record(OUTLOOK, CNAME, 300, target=(b"ooc", *OUTLOOK[1:])),
                Record((b"ooc", *OUTLOOK[1:]), CNAME, 60, target=OUTLOOK[1:]),
                Record(OUTLOOK[1:], A, 10, b"\xcb\0q\7"),
            ),
        ),
        "RFC 1035 4.1.4",
    ),
    Row(
        "service",
        dns(srv("p._ipp._tcp.local", "host.example")),
        message(Record((b"p", b"_ipp", b"_tcp", b"local"), SRV, 300, target=HOST)),
        "RFC 2782",
    ),
    Row(
        "texts",
        dns(txt("host.example", b"ty=x", b"", b"\0\xff")),
        message(Record(HOST, TXT, 300, b"\4ty=x\0\2\0\xff")),
        "RFC 1035 3.3.14",
    ),
    Row(
        "text-longer-than-its-record",
        dns(record("host.example", TXT, b"\x09ab")),
        message(Record(HOST, TXT, 300, b"\x09ab")),
        "RFC 1035 3.3.14",
    ),
    Row(
        "other-kinds-are-passed-over",
        dns(record("host.example", NS, b"\xff\xff"), a("host.example", "10.0.0.7")),
        message(host()),
        "RFC 1035 3.6",
    ),
    Row(
        "address-of-another-length",
        dns(record("host.example", A, b"\1\2\3")),
        message(),
        "RFC 1035 3.4.1",
    ),
    Row("empty", dns(), message(), "RFC 1035 4.1.1"),
    Row("root", dns(a("", "10.0.0.7")), message(Record((), A, 300, b"\x0a\0\0\7")), "RFC 1035 3.1"),
    Row(
        "longest-name",
        dns(a(LONG.decode(), "10.0.0.7")),
        message(Record(tuple(LONG.split(b".")), A, 300, b"\x0a\0\0\7")),
        "RFC 1035 2.3.4",
    ),
    Row("name-too-long", dns(a(LONG.decode() + "b", "10.0.0.7")), None, "RFC 1035 2.3.4", NO_MATCH),
    Row(
        "label-of-64",
        dns(record(b"\x40" + b"a" * 64 + b"\0", A, bytes(4))),
        None,
        "RFC 1035 2.3.4",
        NO_MATCH,
    ),
    Row("pointer-to-itself", pointing(12), None, "RFC 1035 4.1.4", NO_MATCH),
    Row("pointer-forwards", pointing(14), None, "RFC 1035 4.1.4", NO_MATCH),
    Row("pointer-into-the-header", pointing(0), None, "RFC 1035 4.1.4", NO_MATCH),
    Row(
        "pointers-in-a-circle",
        dns(questions=[b"\1a" + u16s(0xC012) + u16s(A, 1), b"\1b" + u16s(0xC00C) + u16s(A, 1)]),
        None,
        "RFC 1035 4.1.4",
        NO_MATCH,
    ),
    Row(
        "alias-that-ends-before-its-record-does",
        dns(record("host.example", CNAME, name("x") + b"\0")),
        None,
        "RFC 1035 3.2.1",
        NO_MATCH,
        grows=False,
    ),
    Row(
        "alias-beyond-its-record",
        dns(record("host.example", CNAME, b"\3ab")) + b"cd\0",
        None,
        "RFC 1035 3.2.1",
        NO_MATCH,
        grows=False,
    ),
]


@parametrize(ROWS)
def test_message(row: Row) -> None:
    four_ways(read, row)


def test_a_cut_message_tells_what_it_holds() -> None:
    wire = memoryview(ANSWERED)
    answer, whole = read(wire, 0, len(wire))
    assert answer == FOUND
    assert whole is not None
    for end in range(12, len(wire)):
        cut, part = read(wire, 0, end)
        assert cut == NEED_MORE
        assert part is not None
        assert part.records == whole.records[: len(part.records)]


def test_more_records_than_are_read_are_more_to_come() -> None:
    wire = memoryview(dns(*[a("host.example", "10.0.0.7")] * (MOST_RECORDS + 1)))
    answer, told = read(wire, 0, len(wire))
    assert answer == NEED_MORE
    assert told is not None
    assert len(told.records) == MOST_RECORDS


def test_lying_counts_end_where_the_message_does() -> None:
    wire = memoryview(u16s(7, 0x8400, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF) + question("host.example"))
    assert read(wire, 0, len(wire)) == (NEED_MORE, message(questions=(HOST,)))


def test_names_are_bounded_all_together_and_the_rest_is_more_to_come() -> None:
    long = ".".join(["a"] * 120)
    wire = memoryview(dns(*[a(f"{n}.{long}", "10.0.0.7") for n in range(9)]))
    answer, told = read(wire, 0, len(wire))
    assert answer == NEED_MORE
    assert told is not None
    assert len(told.records) == MOST_LABELS // 121


def test_a_name_pointed_at_again_counts_once() -> None:
    records = [record(b"\xc0\x0c", A, bytes(4))] * MOST_RECORDS
    wire = memoryview(dns(*records, questions=[question(".".join(["a"] * 120))]))
    answer, told = read(wire, 0, len(wire))
    assert answer == FOUND
    assert told is not None
    assert {one.name for one in told.records} == {(b"a",) * 120}


@pytest.mark.parametrize(("jumps", "answer"), [(15, FOUND), (17, NO_MATCH), (2000, NO_MATCH)])
def test_pointers_lead_so_far_and_no_further(jumps: int, answer: int) -> None:
    """A record that is passed over holds a chain of them; the next one's name is its end."""
    data = b"\1x\0" + b"".join(u16s(0xC000 | (24 + 2 * n if n else 23)) for n in range(jumps))
    held = record(b"\0", NS, data)
    chain_at = 12 + len(held) - 2
    wire = memoryview(dns(held, record(u16s(0xC000 | chain_at), A, bytes(4))))
    assert read(wire, 0, len(wire))[0] == answer


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (name("host.example"), b"host.example"),
        (name("host", end=b""), b"host"),
        (b"", None),
        (b"\0", None),
        (b"\xc0\0", None),
        (b"\x3fab", None),
    ],
)
def test_name_outside_of_a_message(octets: bytes, expected: bytes | None) -> None:
    assert plain_name(octets) == expected


ASKED = question("Host.Example")
ALIAS = cname("host.example", "x.example")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (dns(a("host.example", "10.0.0.7"), questions=[ASKED]), (b"host.example", False)),
        (dns(ALIAS, questions=[ASKED]), (b"host.example", True)),
        (dns(questions=[ASKED], flags=0x8580), (b"host.example", False)),
        (dns(ALIAS, questions=[ASKED], flags=0x0100), None),
        (dns(ALIAS, questions=[ASKED], flags=0x8403), None),
        (dns(ALIAS), None),
        (dns(questions=[ASKED])[:20], None),
        (b"", None),
    ],
    ids=["address", "alias", "nothing", "query", "error", "unasked", "cut", "empty"],
)
def test_what_a_response_answers(octets: bytes, expected: tuple[bytes, bool] | None) -> None:
    for poison in (b"", b"\0\5\0\1" * 9):
        start = len(poison)
        assert asks(memoryview(poison + octets + poison), start, start + len(octets)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\4ty=x\0\2\0\xff", (b"ty=x", b"", b"\0\xff")),
        (b"\x09ab", (b"ab",)),
        (b"", ()),
        (b"\1x" * 99, (b"x",) * MOST_STRINGS),
    ],
    ids=["three", "longer than its record", "none", "many"],
)
def test_strings_of_a_text(text: bytes, expected: tuple[bytes, ...]) -> None:
    assert strings(text) == expected
