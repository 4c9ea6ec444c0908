"""The ServerHello and the HelloRetryRequest, row by row."""

from dataclasses import replace
from typing import Any

import craft
from craft import handshake, server_hello_message, u16s
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import server_hello
from parsers.tls.facts import ServerHello

RECORD_VERSION = 0x0303

BY_HAND = octets(
    """
    02 000034            # ServerHello, 52 octets               RFC 8446 4.1.3
    0303
    202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f
    00                   # no session id
    1301 00              # suite, compression
    000c                 # extensions
    0033 0002 001d       # key_share
    002b 0002 0304       # supported_versions
    """
)


def facts(**known: Any) -> ServerHello:
    """Return the facts of a ServerHello made by ``craft`` with its usual values."""
    base = ServerHello("tls", RECORD_VERSION, craft.TLS_1_0, craft.SERVER_RANDOM, 0x0035)
    return replace(base, **known)


ROWS = [
    Row(
        "by-hand",
        BY_HAND,
        facts(legacy_version=0x0303, suite=0x1301, selected_version=0x0304),
        "RFC 8446 4.1.3",
    ),
    Row("tls-1.0", server_hello_message(), facts(), "RFC 5246 7.4.1.3"),
    Row("no-extensions-in-the-block", server_hello_message(extensions=()), facts(), "RFC 5246"),
    Row(
        "ssl-3.0",
        server_hello_message(craft.SSL_3_0, 0x0A),
        facts(legacy_version=0x0300, suite=0x0A),
        "RFC 6101 5.6.1.3",
    ),
    Row(
        "alpn-and-session-id",
        server_hello_message(0x0303, 0xC02F, session_id=bytes(range(32)), alpn=b"imap"),
        facts(legacy_version=0x0303, suite=0xC02F, alpn=b"imap"),
        "RFC 7301 3.1",
    ),
    Row(
        "retry-request",
        server_hello_message(
            0x0303, 0x1302, random=craft.RETRY_RANDOM, selected_version=0x0304, extensions=()
        ),
        facts(
            legacy_version=0x0303,
            suite=0x1302,
            random=craft.RETRY_RANDOM,
            selected_version=0x0304,
            retry=True,
        ),
        "RFC 8446 4.1.4",
    ),
    Row(
        "draft-28",
        server_hello_message(0x0303, 0x1301, selected_version=0x7F1C),
        facts(legacy_version=0x0303, suite=0x1301, selected_version=0x7F1C),
        "draft-ietf-tls-tls13-28 4.1.3",
    ),
    Row(
        "first-of-repeated-versions",
        server_hello_message(extensions=[(43, b"\3\4"), (43, b"\3\3")]),
        facts(selected_version=0x0304),
        "RFC 8446 4.2",
    ),
    Row(
        "versions-of-three-octets",
        server_hello_message(extensions=[(43, b"\3\4\0")]),
        facts(),
        "B3: no version is read out of it",
    ),
    Row(
        "alpn-claims-more",
        server_hello_message(extensions=[(16, u16s(9) + b"\xffimap")]),
        facts(),
        "B3: half a name is none",
    ),
    Row(
        "extension-claims-more",
        server_hello_message(extensions=[(43, b"\3\4")])[:-8] + u16s(12, 43, 2, 0x0304, 16, 0xFFFF),
        facts(selected_version=0x0304),
        "B3: what stands before it is told",
        grows=False,
    ),
    Row("three-octets", octets("02 0000"), None, "", NEED_MORE),
    Row("client-hello", craft.client_hello_message(), None, "RFC 8446 4", NO_MATCH),
    Row("shorter-than-its-fields", handshake(2, bytes(37)), None, "RFC 8446 4.1.3", NO_MATCH),
    Row("length-of-all-ones", b"\2\xff\xff\xff" + bytes(60), None, "B3", NO_MATCH),
    Row("major-version-2", handshake(2, b"\2\3" + bytes(60)), None, "RFC 8446 D", NO_MATCH),
    Row(
        "session-id-of-33",
        server_hello_message(session_id=bytes(33)),
        None,
        "RFC 8446 4.1.3",
        NO_MATCH,
    ),
]


def reading(row: Row) -> Reading:
    """Return what ``fits`` says, and the hello that ``read`` makes of it."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        answer = server_hello.fits(wire, start, end)
        if answer == NO_MATCH or end - start < 4:
            return answer, None
        return answer, server_hello.read(wire, start, end, RECORD_VERSION)

    return read


@parametrize(ROWS)
def test_a_hello_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def test_a_cut_hello_is_read_from_its_suite_on() -> None:
    for row in ROWS:
        if row.answer != FOUND:
            continue
        for size in range(len(row.octets)):
            part = server_hello.read(memoryview(row.octets), 0, size, RECORD_VERSION)
            if part is None:
                assert size < 4 + 35 + row.octets[38] + 2 or size < 39
                continue
            assert replace(part, selected_version=None, alpn=None) == replace(
                row.expected, selected_version=None, alpn=None
            )
            assert part.selected_version in (None, row.expected.selected_version)
            assert part.alpn in (None, row.expected.alpn)


def test_what_was_negotiated() -> None:
    assert facts().negotiated == craft.TLS_1_0
    assert facts(legacy_version=0x0303, selected_version=0x0304).negotiated == craft.TLS_1_3
    assert facts(legacy_version=0x0303, selected_version=0x7F1C).negotiated == craft.TLS_1_3


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=9), st.binary(max_size=9))
def test_random_octets_and_what_lies_around_them(tail: bytes, before: bytes, after: bytes) -> None:
    wire = handshake(2, b"\3\3" + tail)
    around = memoryview(before + wire + after)
    found = reading(ROWS[0])(around, len(before), len(before) + len(wire))
    assert found == reading(ROWS[0])(memoryview(wire), 0, len(wire))
