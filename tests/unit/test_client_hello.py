"""The ClientHello, row by row; cut, lying, crowded and repeated ones."""

from dataclasses import replace
from typing import Any

import craft
import pytest
from craft import (
    alpn_extension,
    client_hello_message,
    groups_extension,
    handshake,
    point_formats_extension,
    signature_algorithms_extension,
    sni_extension,
    supported_versions_extension,
    u16s,
    vector,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Answer, Reading, Row, four_ways, is_part, octets, parametrize

from parsers.answer import FOUND, NEED_MORE, NO_MATCH
from parsers.tls import client_hello
from parsers.tls.facts import ClientHello, is_grease
from parsers.tls.fingerprint import ja3_string, ja4

GREASE = tuple(n << 12 | 0x0A00 | n << 4 | 0x0A for n in range(16))
RECORD_VERSION = 0x0301

BY_HAND = octets(
    """
    01 00005d              # ClientHello, 93 octets             RFC 8446 4.1.2
    0303                   # legacy_version
    202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f
    02 cafe                # session id
    0006 1301 c02f 0a0a    # suites, one of them GREASE          RFC 8701 3.1
    01 00                  # compression
    002c                   # extensions
    0000 000b 0009 00 0006 6d2e746573 74      # server_name      RFC 6066 3
    000a 0006 0004 001d 0017                  # supported_groups RFC 8446 4.2.7
    002b 0005 04 0304 0303                    # supported_versions 4.2.1
    0010 0006 0004 03 696d61                  # ALPN             RFC 7301 3.1
    """
)


def facts(**known: Any) -> ClientHello:
    """Return the facts of a whole hello made by ``craft`` with its usual values."""
    base = ClientHello(
        hello_format="tls",
        record_version=RECORD_VERSION,
        legacy_version=craft.TLS_1_0,
        random=craft.RANDOM,
        suites=craft.SUITES,
        extensions=(),
    )
    return replace(base, **known)


def with_extensions(*extensions: craft.Extension, version: int = craft.TLS_1_0) -> bytes:
    return client_hello_message(version, extensions=extensions)


NOT_NAMES = bytes((0x01, 0x00, 0x02)) + b"xx" + b"\0" + vector(2, b"m.test")

ROWS = [
    Row(
        "by-hand",
        BY_HAND,
        facts(
            legacy_version=0x0303,
            random=bytes(range(0x20, 0x40)),
            session_id=b"\xca\xfe",
            suites=(0x1301, 0xC02F, 0x0A0A),
            extensions=(0, 10, 43, 16),
            server_name=b"m.test",
            groups=(29, 23),
            supported_versions=(0x0304, 0x0303),
            alpn=(b"ima",),
        ),
        "RFC 8446 4.1.2",
    ),
    Row("no-extensions-block", client_hello_message(), facts(), "RFC 5246 7.4.1.2"),
    Row("empty-extensions-block", with_extensions(), facts(), "RFC 8446 4.1.2"),
    Row(
        "ssl-3.0",
        client_hello_message(craft.SSL_3_0, (0x0A,)),
        facts(legacy_version=0x0300, suites=(0x0A,)),
        "RFC 6101 5.6.1.2",
    ),
    Row("no-suites", client_hello_message(suites=()), facts(suites=()), "RFC 5246 7.4.1.2"),
    Row(
        "no-compression",
        client_hello_message(compression=b"", sni="a.test"),
        facts(extensions=(0,), server_name=b"a.test"),
        "RFC 5246 7.4.1.2",
    ),
    Row(
        "session-id-of-32",
        client_hello_message(session_id=bytes(range(32))),
        facts(session_id=bytes(range(32))),
        "RFC 5246 7.4.1.2",
    ),
    Row(
        "every-list",
        with_extensions(
            point_formats_extension((0, 1, 2)),
            signature_algorithms_extension((0x0403, 0x0804, 0x0403)),
            alpn_extension((b"imap", b"pop3")),
        ),
        facts(
            extensions=(11, 13, 16),
            point_formats=(0, 1, 2),
            signature_algorithms=(0x0403, 0x0804, 0x0403),
            alpn=(b"imap", b"pop3"),
        ),
        "RFC 8446 4.2",
    ),
    Row(
        "lists-of-nothing",
        with_extensions(
            groups_extension(()),
            point_formats_extension(()),
            signature_algorithms_extension(()),
            alpn_extension(()),
            supported_versions_extension(()),
        ),
        facts(
            extensions=(10, 11, 13, 16, 43),
            groups=(),
            point_formats=(),
            signature_algorithms=(),
            alpn=(),
            supported_versions=(),
        ),
        "RFC 8446 4.2",
    ),
    Row(
        "extensions-of-no-octets",
        with_extensions((0, b""), (10, b""), (11, b""), (13, b""), (16, b""), (43, b"")),
        facts(extensions=(0, 10, 11, 13, 16, 43)),
        "B3",
    ),
    Row(
        "unknown-extensions",
        with_extensions((0xFFFE, b"what"), sni_extension("m.test"), (0x1234, b"")),
        facts(extensions=(0xFFFE, 0, 0x1234), server_name=b"m.test"),
        "RFC 8446 4.2: unknown ones are stepped over",
    ),
    Row(
        "first-of-a-repeated-extension",
        with_extensions(sni_extension("first.test"), (7, b""), sni_extension("second.test")),
        facts(extensions=(0, 7, 0), server_name=b"first.test", repeated_extension=True),
        "RFC 8446 4.2; B9",
    ),
    Row(
        "repeated-versions",
        with_extensions(
            supported_versions_extension((0x0303,)), supported_versions_extension((0x0304,))
        ),
        facts(extensions=(43, 43), supported_versions=(0x0303,), repeated_extension=True),
        "RFC 8446 4.2; B9",
    ),
    Row(
        "first-host-name-behind-another-kind-of-name",
        with_extensions((0, vector(2, NOT_NAMES))),
        facts(extensions=(0,), server_name=b"m.test"),
        "RFC 6066 3",
    ),
    Row(
        "server-name-is-an-address-or-octets",
        with_extensions(sni_extension(b"\x00\x1b[31m<\xff")),
        facts(extensions=(0,), server_name=b"\x00\x1b[31m<\xff"),
        "B11: octets stay octets here",
    ),
    Row(
        "grease-everywhere",
        client_hello_message(
            0x0303,
            GREASE,
            extensions=[
                (GREASE[0], b""),
                groups_extension(GREASE),
                supported_versions_extension(GREASE),
                signature_algorithms_extension(GREASE),
                (GREASE[1], b"\0"),
            ],
        ),
        facts(
            legacy_version=0x0303,
            suites=GREASE,
            extensions=(GREASE[0], 10, 43, 13, GREASE[1]),
            groups=GREASE,
            supported_versions=GREASE,
            signature_algorithms=GREASE,
        ),
        "RFC 8701 3.1: kept as the wire had it",
    ),
    Row(
        "server-name-claims-more-than-its-extension",
        with_extensions((0, u16s(9) + b"\0" + u16s(0xFFFF) + b"m.test")),
        facts(extensions=(0,)),
        "B3: half a name is none",
    ),
    Row(
        "server-name-list-claims-less",
        with_extensions((0, u16s(4) + b"\0" + u16s(6) + b"m.test")),
        facts(extensions=(0,)),
        "B3: the smaller length counts",
    ),
    Row(
        "server-name-list-claims-more",
        with_extensions((0, u16s(0xFFFF) + b"\0" + vector(2, b"m.test"))),
        facts(extensions=(0,), server_name=b"m.test"),
        "B3: the smaller length counts",
    ),
    Row(
        "lists-claim-more-than-their-extensions",
        with_extensions(
            (10, u16s(0xFFFF, 29, 23)),
            (11, b"\xff\0\1"),
            (13, u16s(0xFFFF, 0x0403)),
            (43, b"\xff" + u16s(0x0303, 0x0302)),
            (16, u16s(0xFFFF) + b"\4imap\xffpop3"),
        ),
        facts(
            extensions=(10, 11, 13, 43, 16),
            groups=(29, 23),
            point_formats=(0, 1),
            signature_algorithms=(0x0403,),
            supported_versions=(0x0303, 0x0302),
            alpn=(b"imap",),
        ),
        "B3: the smaller length counts",
    ),
    Row(
        "lists-claim-less-than-their-extensions",
        with_extensions(
            (10, u16s(2, 29, 23)),
            (11, b"\1\0\1"),
            (13, u16s(3, 0x0403, 0x0804)),
            (43, b"\3" + u16s(0x0303, 0x0302)),
            (16, u16s(5) + b"\4imap\4pop3"),
        ),
        facts(
            extensions=(10, 11, 13, 43, 16),
            groups=(29,),
            point_formats=(0,),
            signature_algorithms=(0x0403,),
            supported_versions=(0x0303,),
            alpn=(b"imap",),
        ),
        "B3: the smaller length counts",
    ),
    Row("three-octets", octets("01 0000"), None, "", NEED_MORE),
    Row("server-hello", craft.server_hello_message(), None, "RFC 8446 4", NO_MATCH),
    Row("shorter-than-its-fields", handshake(1, bytes(38)), None, "RFC 8446 4.1.2", NO_MATCH),
    Row("major-version-2", handshake(1, b"\x02\x03" + bytes(80)), None, "RFC 8446 D", NO_MATCH),
    Row(
        "session-id-of-33",
        client_hello_message(session_id=bytes(33)),
        None,
        "RFC 8446 4.1.2: at most 32",
        NO_MATCH,
    ),
]


def reading(row: Row) -> Reading:
    """Return what ``fits`` says, and the hello that ``read`` makes of it."""

    def read(wire: memoryview, start: int, end: int) -> Answer:
        answer = client_hello.fits(wire, start, end)
        if answer == NO_MATCH or end - start < 4:
            return answer, None
        return answer, client_hello.read(wire, start, end, RECORD_VERSION)

    return read


@parametrize(ROWS)
def test_a_hello_in_four_ways(row: Row) -> None:
    four_ways(reading(row), row)


@parametrize([row for row in ROWS if row.answer == FOUND])
def test_a_hello_cut_anywhere_tells_a_part_of_the_whole(row: Row) -> None:
    for size in range(len(row.octets)):
        _, part = reading(row)(memoryview(row.octets), 0, size)
        if size < 6:
            assert part is None
        else:
            assert not part.complete
            assert is_part(part, row.expected), part


# ---------------------------------------------------------------------------- lying lengths

LYING = [
    Row("suites-of-an-odd-length", u16s(3) + b"\x00\x2f\x00" + b"\1\0", source="RFC 8446 4.1.2"),
    Row("suites-beyond-the-message", u16s(0xFFFE) + u16s(0x2F) + b"\1\0", source="B3"),
    Row("compression-beyond-the-message", vector(2, u16s(0x2F)) + b"\xff\0", source="B3"),
    Row(
        "extensions-beyond-the-message",
        vector(2, u16s(0x2F)) + b"\1\0" + u16s(0xFFFF, 0, 9, 7) + b"\0" + vector(2, b"m.st"),
        {"server_name": b"m.st"},
        "B3: what is there in whole is told",
    ),
    Row(
        "extensions-end-before-the-message",
        vector(2, u16s(0x2F)) + b"\1\0" + u16s(4, 23, 0) + b"more",
        source="B3",
    ),
    Row(
        "an-extension-beyond-the-block",
        vector(2, u16s(0x2F)) + b"\1\0" + vector(2, u16s(10, 4, 2, 29) + u16s(0, 0xFFFF) + b"xx"),
        {"groups": (29,)},
        "B3: what stands before it is told",
    ),
    Row(
        "half-an-extension-header",
        vector(2, u16s(0x2F)) + b"\1\0" + vector(2, b"\0\x17\0"),
        source="B3",
    ),
    Row("one-octet-of-an-extension-block", vector(2, u16s(0x2F)) + b"\1\0" + b"\0", source="B3"),
]


@parametrize(LYING)
def test_a_hello_that_contradicts_itself_is_told_incomplete(row: Row) -> None:
    wire = handshake(1, u16s(0x0301) + craft.RANDOM + b"\0" + row.octets)
    around = memoryview(b"\xff" * 8 + wire + b"\xff" * 8)
    assert client_hello.fits(around, 8, 8 + len(wire)) == FOUND
    found = client_hello.read(around, 8, 8 + len(wire), RECORD_VERSION)
    assert found is not None
    told = row.expected or {}
    assert (found.complete, found.extensions, found.random) == (False, None, craft.RANDOM)
    assert (found.server_name, found.groups) == (told.get("server_name"), told.get("groups"))
    assert found.max_offered == craft.TLS_1_0
    assert (ja3_string(found), ja4(found)) == (None, None)


def test_a_message_that_claims_all_there_can_be_is_never_whole() -> None:
    wire = b"\x01\xff\xff\xff" + client_hello_message(sni="m.test")[4:]
    assert client_hello.fits(memoryview(wire), 0, len(wire)) == NEED_MORE
    found = client_hello.read(memoryview(wire), 0, len(wire), RECORD_VERSION)
    assert found is not None
    assert not found.complete
    assert (found.server_name, found.suites) == (b"m.test", craft.SUITES)


# ------------------------------------------------------------------------ crowded, repeated


def test_as_many_as_fit_are_read() -> None:
    suites = tuple(range(32767))
    found = read(client_hello_message(suites=suites))
    assert found.suites == suites

    types = tuple(range(100, 100 + 16383))
    found = read(with_extensions(*((kind, b"") for kind in types)))
    assert found.extensions == types
    assert not found.repeated_extension

    groups = tuple(range(32764))
    found = read(with_extensions(groups_extension(groups)))
    assert found.groups == groups


@pytest.mark.parametrize("kind", [0, 10, 11, 13, 16, 43, 23, 0x0A0A])
def test_a_repetition_is_flagged_and_the_first_counts(kind: int) -> None:
    bodies = {
        0: (sni_extension("a.test")[1], sni_extension("b.test")[1]),
        10: (groups_extension((29,))[1], groups_extension((23,))[1]),
        11: (b"\1\0", b"\1\1"),
        13: (u16s(2, 0x0403), u16s(2, 0x0804)),
        16: (alpn_extension((b"a",))[1], alpn_extension((b"b",))[1]),
        43: (b"\2\3\4", b"\2\3\3"),
    }
    first, second = bodies.get(kind, (b"", b""))
    once = read(with_extensions((kind, first), (51, b"")))
    twice = read(with_extensions((kind, first), (51, b""), (kind, second)))
    assert not once.repeated_extension
    assert twice == replace(once, extensions=(kind, 51, kind), repeated_extension=True)


def test_grease_is_in_no_maximum() -> None:
    assert [code for code in range(65536) if is_grease(code)] == list(GREASE)
    for version, most in ((0x0304, 0x0304), (0x0303, 0x0303), (0x0301, 0x0301)):
        offered = (GREASE[15], version, GREASE[0])
        found = read(with_extensions(supported_versions_extension(offered), version=0x0303))
        assert found.versions == (version,)
        assert found.max_offered == most
    only = read(with_extensions(supported_versions_extension(GREASE), version=0x0303))
    assert only.versions == ()
    assert only.max_offered is None


# ------------------------------------------------------------------------------- properties


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_octets_are_read_the_same_wherever_they_lie(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([row.octets for row in ROWS if row.answer == FOUND]))
    wire = bytearray(base)
    for _ in range(data.draw(st.integers(1, 6))):
        wire[data.draw(st.integers(4, len(wire) - 1))] = data.draw(st.integers(0, 255))
    before, after = data.draw(st.binary(max_size=9)), data.draw(st.binary(max_size=9))
    alone = reading(ROWS[0])(memoryview(wire), 0, len(wire))
    around = memoryview(before + wire + after)
    assert reading(ROWS[0])(around, len(before), len(before) + len(wire)) == alone


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=9), st.binary(max_size=9))
def test_random_octets_never_raise(tail: bytes, before: bytes, after: bytes) -> None:
    wire = handshake(1, b"\3\3" + tail)
    around = memoryview(before + wire + after)
    found = client_hello.read(around, len(before), len(before) + len(wire), RECORD_VERSION)
    assert found == client_hello.read(memoryview(wire), 0, len(wire), RECORD_VERSION)


def read(message: bytes) -> ClientHello:
    """Return the hello of a whole message."""
    assert client_hello.fits(memoryview(message), 0, len(message)) == FOUND
    found = client_hello.read(memoryview(message), 0, len(message), RECORD_VERSION)
    assert found is not None
    assert found.complete
    return found
