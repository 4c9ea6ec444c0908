"""The hello in SSL 2.0's format, and SSL 2.0's own answer, row by row."""

import craft
from craft import sslv2_client_hello
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import sslv2
from parsers.tls.facts import ClientHello, ServerHello

CHALLENGE = bytes(range(16))
BY_HAND = octets(
    """
    80 2b                  # top bit, 43 octets follow        RFC 5246 E.2
    01 0301                # CLIENT-HELLO for TLS 1.0
    0012 0000 0010         # specs, session id, challenge
    00002f 000005 00000a   # TLS suites
    010080 0700c0 030080   # SSL 2.0's own
    000102030405060708090a0b0c0d0e0f
    """
)


def hello(
    version: int, suites: tuple[int, ...], challenge: bytes, session: bytes = b""
) -> ClientHello:
    return ClientHello(
        hello_format="sslv2",
        record_version=None,
        legacy_version=version,
        random=challenge,
        session_id=session,
        suites=suites,
        extensions=(),
    )


def bent(at: int, value: bytes) -> bytes:
    """Return the hello by hand with other octets at a place."""
    return BY_HAND[:at] + value + BY_HAND[at + len(value) :]


ROWS = [
    Row("tls-1.0", BY_HAND, hello(0x0301, (0x2F, 0x05, 0x0A), CHALLENGE), "RFC 5246 E.2"),
    Row("ssl-3.0", bent(3, b"\3\0"), hello(0x0300, (0x2F, 0x05, 0x0A), CHALLENGE), "RFC 6101 E.1"),
    Row("tls-1.2", bent(3, b"\3\3"), hello(0x0303, (0x2F, 0x05, 0x0A), CHALLENGE), "RFC 5246 E.2"),
    Row(
        "ssl-2.0-with-a-session",
        sslv2_client_hello(craft.SSL_2_0, (0x010080, 0x0700C0), CHALLENGE, bytes(range(40, 56))),
        hello(2, (), CHALLENGE, bytes(range(40, 56))),
        "draft-hickman-netscape-ssl 5.5.1",
    ),
    Row(
        "challenge-of-32",
        sslv2_client_hello(craft.TLS_1_0, (0x35,), bytes(range(32))),
        hello(0x0301, (0x35,), bytes(range(32))),
        "RFC 5246 E.2",
    ),
    Row(
        "400-specs",
        sslv2_client_hello(craft.TLS_1_0, tuple(range(400)), CHALLENGE),
        hello(0x0301, tuple(range(400)), CHALLENGE),
        "RFC 5246 E.2",
        grows=False,
    ),
    Row("ten-octets", BY_HAND[:10], None, "", NEED_MORE),
    Row("top-bit-clear", bent(0, b"\x00"), None, "RFC 5246 E.2", NO_MATCH),
    Row("another-message", bent(2, b"\x04"), None, "RFC 5246 E.2", NO_MATCH),
    Row("version-1", bent(3, b"\0\1"), None, "RFC 5246 E.2", NO_MATCH),
    Row("version-0304", bent(3, b"\3\4"), None, "RFC 8446 D.5", NO_MATCH),
    Row("no-specs", bent(5, b"\0\0"), None, "RFC 5246 E.2", NO_MATCH),
    Row("specs-not-in-threes", bent(5, b"\0\x13"), None, "RFC 5246 E.2", NO_MATCH),
    Row("session-of-8", bent(7, b"\0\x08"), None, "RFC 5246 E.2", NO_MATCH),
    Row("challenge-of-15", bent(9, b"\0\x0f"), None, "RFC 5246 E.2", NO_MATCH),
    Row("challenge-of-33", bent(9, b"\0\x21"), None, "RFC 5246 E.2", NO_MATCH),
    Row("length-one-more", bent(1, b"\x2c"), None, "B3: the lengths contradict", NO_MATCH),
    Row("length-one-less", bent(1, b"\x2a"), None, "B3: the lengths contradict", NO_MATCH),
    Row("length-of-all-ones", bent(0, b"\xff\xff"), None, "B3", NO_MATCH),
    Row("tls-hello", craft.client_hello(), None, "RFC 8446 5.1", NO_MATCH),
]


def reading(row: Row) -> Reading:
    """Return what ``fits`` says, and the hello that ``read`` makes of it."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        answer = sslv2.fits(wire, start, end)
        if answer == NO_MATCH or end - start < 11:
            return answer, None
        return answer, sslv2.read(wire, start, end)

    return read


@parametrize(ROWS)
def test_a_hello_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


def test_a_cut_hello_tells_what_was_seen_in_whole() -> None:
    whole = sslv2_client_hello(craft.TLS_1_0, (0x2F, 0x05), CHALLENGE, bytes(range(40, 56)))
    for size in range(11, len(whole)):
        part = sslv2.read(memoryview(whole), 0, size)
        assert not part.complete
        assert part.max_offered == craft.TLS_1_0
        assert part.suites == ((0x2F, 0x05) if size >= 17 else None)
        assert part.session_id == (bytes(range(40, 56)) if size >= 33 else b"")
        assert part.random == CHALLENGE[: max(0, size - 33)]


def test_the_server_of_ssl_2_0_answers() -> None:
    wire = craft.sslv2_server_hello()
    expected = ServerHello("sslv2", None, 2, b"", None)
    around = memoryview(b"\x80" + wire + b"\x80")
    assert sslv2.read_server(around, 1, 1 + len(wire)) == expected
    for size in range(len(wire)):
        found = sslv2.read_server(memoryview(wire), 0, size)
        assert found == (expected if size >= 13 else None)
    for other in (craft.server_hello(), craft.alert(), BY_HAND, b"* OK ready to serve\r\n"):
        assert sslv2.read_server(memoryview(other), 0, len(other)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60) | st.binary(max_size=50).map(lambda tail: b"\x80\x2b\x01\x03\x01" + tail)
)
def test_random_octets_are_no_hello_unless_their_lengths_agree(wire: bytes) -> None:
    answer = sslv2.fits(memoryview(b"\x80" + wire + b"\x01"), 1, 1 + len(wire))
    assert answer == sslv2.fits(memoryview(wire), 0, len(wire))
    if answer == FOUND:
        found = sslv2.read(memoryview(wire), 0, len(wire))
        assert found.complete
        assert len(found.random) >= 16
