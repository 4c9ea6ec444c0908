"""JA3 and JA4: the published vectors, the rules of their texts, and a second opinion."""

import hashlib
from dataclasses import replace

import craft
import pytest
from craft import (
    alpn_extension,
    client_hello_message,
    groups_extension,
    point_formats_extension,
    signature_algorithms_extension,
    sni_extension,
    supported_versions_extension,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from ja4plus import generate_ja4
from ja4plus.utils.tls_utils import parse_tls_handshake
from rows import octets

from parsers.answer import FOUND
from parsers.tls import client_hello, sslv2
from parsers.tls.facts import ClientHello, is_grease
from parsers.tls.fingerprint import ja3, ja3_string, ja4
from parsers.tls.message import Message


def numbers(text: str) -> tuple[int, ...]:
    """Read code points as four hexadecimal digits each."""
    return tuple(int(code, 16) for code in text.split())


GREASE = tuple(n << 12 | 0x0A00 | n << 4 | 0x0A for n in range(16))

# TLS 1.0 of OpenSSL (FoxIO-LLC/ja4 https3-301-get.pcap), TLS 1.2 of Schannel (its
# latest.pcapng, frame 75), and a bare message (aws/s2n-tls s2n_fingerprint_ja3_test.c).
OPENSSL = octets(
    """
    16030100720100006e030152937a55b696cc98ae7b08ec10e765c98aefa82db3081771f8627617b967980800002e
    00390038003500160013000a00330032002f009a00990096000500040015001200090014001100080006000300ff
    0100001700000013001100000e7777772e6769746875622e636f6d
    """
)
SCHANNEL = octets(
    """
    16030300b8010000b4030364960ddb84e92e8d5a9be477e2f7112257269dc742143793732813c25ec65af0000026
    c02cc02bc030c02fc024c023c028c027c00ac009c014c013009d009c003d003c0035002f000a010000650000001b
    0019000016646973636f766572792e63656d2e636c6f75642e7573000500050100000000000a00080006001d0017
    0018000b00020100000d001a00180804080508060401050102010403050302030202060106030023000000170000
    ff01000100
    """
)
S2N = octets(
    """
    010000a00301543dd2dd48f517ca9a93b1e599f019fdece704a23e86c1dcac588427abbaddf200005cc014c00a00
    39003800880087c00fc00500350084c012c00800160013c00dc003000ac013c00900330032009a009900450044c0
    0ec004002f009600410007c011c007c00cc002000500040015001200090014001100080006000300ff0100001b00
    0b000403000102000a000600040018001700230000000f000101
    """
)
S2N_SUITES = S2N[: S2N.index(bytes.fromhex("0003 00ff 0100")) + 6]
S2N_SSL_3_0 = b"\1" + (0x83).to_bytes(3, "big") + b"\3\0" + S2N_SUITES[6:]
S2N_TLS_1_1 = S2N[:4] + b"\3\2" + S2N[6:]

MODERN_SUITES = numbers(
    "1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035"
)
MODERN_TYPES = numbers(
    "001b 0000 0033 0010 4469 0017 002d 000d 0005 0023 0012 002b ff01 000b 000a 0015"
)
MODERN_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
FIREFOX_SUITES = numbers(
    "1301 1303 1302 c02b c02f cca9 cca8 c02c c030 c00a c009 c013 c014 009c 009d 002f 0035"
)
FIREFOX_TYPES = (0, 23, 65281, 10, 11, 35, 16, 5, 34, 51, 43, 13, 45, 28, 21)
FIREFOX_SIGNATURES = numbers("0403 0503 0603 0804 0805 0806 0401 0501 0601 0203 0201")
MACOS_SUITES = numbers(
    "1301 1302 1303 c02c c02b c024 c023 c00a c009 cca9 c030 c02f c028 c027 c014 c013 cca8 "
    "009d 009c 003d 003c 0035 002f c008 c012 000a"
)
MACOS_TYPES = (65281, 0, 23, 13, 5, 18, 16, 11, 51, 45, 43, 10, 21)
MACOS_SIGNATURES = numbers("0403 0804 0401 0503 0203 0805 0805 0501 0806 0601 0201")


def of_record(wire: bytes) -> ClientHello:
    """Return the hello in records."""
    message = Message()
    assert message.read(memoryview(wire), 0, len(wire)) == FOUND
    found = client_hello.read(message.wire, message.start, message.end, message.version)
    assert found is not None
    return found


def of_message(wire: bytes) -> ClientHello:
    """Return the hello of a bare message."""
    found = client_hello.read(memoryview(wire), 0, len(wire), 0x0301)
    assert found is not None
    assert found.complete
    return found


def of_lists(
    suites: tuple[int, ...],
    types: tuple[int, ...],
    versions: tuple[int, ...],
    signatures: tuple[int, ...],
    alpn: bytes = b"h2",
) -> ClientHello:
    """Return the hello with these lists, sent and read again."""
    known = {
        0: sni_extension("mail.example.org"),
        10: groups_extension((29, 23)),
        11: point_formats_extension((0,)),
        13: signature_algorithms_extension(signatures),
        16: alpn_extension((alpn, b"http/1.1")),
        34: (34, craft.vector(2, craft.u16s(0x0403, 0x0503, 0x0603, 0x0203))),
        43: supported_versions_extension(versions),
    }
    listed = [known.get(kind, (kind, b"")) for kind in types]
    return of_message(client_hello_message(0x0303, suites, extensions=listed))


VECTORS = [
    pytest.param(
        of_lists(MODERN_SUITES, MODERN_TYPES, (0x0304, 0x0303), MODERN_SIGNATURES),
        None,
        "t13d1516h2_8daaf6152771_e5627efa2ab1",
        id="1-ja4-text",
    ),
    pytest.param(
        of_lists(MODERN_SUITES, MODERN_TYPES, (0x0304, 0x0303), MODERN_SIGNATURES, b"\xba\xad"),
        None,
        "t13d1516bd_8daaf6152771_e5627efa2ab1",
        id="1b-alpn-of-octets",
    ),
    pytest.param(
        of_record(OPENSSL),
        "06a92bf69b367389d2feb0d70501ddfe",
        "t10d230100_6a57a6f57151_000000000000",
        id="2-openssl-sni-only",
    ),
    pytest.param(
        of_record(SCHANNEL),
        "a0e9f5d64349fb13191bc781f81f42e1",
        "t12d190800_d83cc789557e_7af1ed941c26",
        id="3-schannel",
    ),
    pytest.param(
        of_message(S2N_SSL_3_0),
        "f917ae2520ef9784557b0a3c02489c2c",
        "ts3i460000_234845559c90_000000000000",
        id="4-ssl-3.0",
    ),
    pytest.param(
        of_message(S2N),
        "503053a0c5b2bd9b9334bf7f3d3b8852",
        "t10i460400_234845559c90_282f11336259",
        id="5-tls-1.0",
    ),
    pytest.param(
        of_message(S2N_TLS_1_1),
        "a314eb64cee6cb832aaaa372c8295bab",
        "t11i460400_234845559c90_282f11336259",
        id="6-tls-1.1",
    ),
    pytest.param(
        of_lists(FIREFOX_SUITES, FIREFOX_TYPES, (0x0304, 0x0303), FIREFOX_SIGNATURES),
        None,
        "t13d1715h2_5b57614c22b0_3d5424432f57",
        id="7-delegated-credentials",
    ),
    pytest.param(
        of_lists(MACOS_SUITES, MACOS_TYPES, (0x0304, 0x0303, 0x0302, 0x0301), MACOS_SIGNATURES),
        None,
        "t13d2613h2_2802a3db6c62_845d286b0d67",
        id="8-repeated-signature-algorithm",
    ),
    pytest.param(
        of_message(client_hello_message(0x0301, (0x002F,))),
        "b02be259814e870a469a20ce9b2a7900",
        "t10i010000_ba72b8082249_000000000000",
        id="9-one-suite",
    ),
]


@pytest.mark.parametrize(("hello", "wanted_ja3", "wanted_ja4"), VECTORS)
def test_the_published_vectors(hello: ClientHello, wanted_ja3: str, wanted_ja4: str) -> None:
    assert ja4(hello) == wanted_ja4
    if wanted_ja3 is not None:
        assert ja3(hello) == wanted_ja3


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        (
            "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
            "ada70206e40642a3e4461f35503241d5",
        ),
        ("769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"),
    ],
)
def test_the_strings_of_the_ja3_readme(text: str, hashed: str) -> None:
    version, suites, types, groups, formats = (
        [int(number) for number in part.split("-") if number] for part in text.split(",")
    )
    known = {
        0: sni_extension("m.test"),
        10: groups_extension(groups),
        11: point_formats_extension(formats),
    }
    extensions = [known.get(kind, (kind, b"")) for kind in types] or None
    hello = of_message(client_hello_message(version[0], suites, extensions=extensions))
    assert ja3_string(hello) == text
    assert ja3(hello) == hashed


# ------------------------------------------------------------------------------- the rules

PLAIN = of_message(client_hello_message(0x0301, (0x2F,)))


def test_an_empty_extensions_block_counts_as_none() -> None:
    empty = of_message(client_hello_message(0x0301, (0x2F,), extensions=()))
    assert (ja3(empty), ja4(empty)) == (ja3(PLAIN), ja4(PLAIN))
    assert ja3_string(empty) == "769,47,,,"


def test_no_suites_and_no_extensions_hash_to_zeros() -> None:
    hello = of_message(client_hello_message(0x0301, ()))
    assert ja4(hello) == "t10i000000_000000000000_000000000000"
    assert ja3_string(hello) == "769,,,,"


@pytest.mark.parametrize(
    ("first", "shown"),
    [
        (None, "00"),
        (b"", "00"),
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
        (b" a", "21"),
        (b"a ", "60"),
        ("é".encode(), "c9"),
        (b"\xb5x", "b8"),
    ],
)
def test_the_two_characters_of_the_first_alpn_value(first: bytes | None, shown: str) -> None:
    extensions = None if first is None else [alpn_extension((first, b"imap"))]
    hello = of_message(client_hello_message(0x0301, (0x2F,), extensions=extensions))
    assert str(ja4(hello))[8:10] == shown


def test_an_empty_alpn_list_shows_zeros() -> None:
    hello = of_message(client_hello_message(0x0301, extensions=[alpn_extension(())]))
    assert str(ja4(hello))[6:10] == "0100"


@pytest.mark.parametrize("body", [sni_extension("192.0.2.1")[1], sni_extension("")[1], b"", b"?"])
def test_a_server_name_extension_is_d_whatever_it_holds(body: bytes) -> None:
    hello = of_message(client_hello_message(0x0301, (0x2F,), extensions=[(0, body)]))
    assert ja4(hello) == "t10d010100_ba72b8082249_000000000000"


@pytest.mark.parametrize("count", [9, 10, 98, 99, 100, 101, 200])
def test_counts_of_a_hundred_and_more_stay_at_99(count: int) -> None:
    suites = tuple(range(1, count + 1))
    extensions = [(kind, b"") for kind in range(200, 200 + count)]
    hello = of_message(client_hello_message(0x0301, suites, extensions=extensions))
    shown = f"{min(count, 99):02d}"
    sorted_suites = ",".join(f"{suite:04x}" for suite in suites)
    hashed = hashlib.sha256(sorted_suites.encode()).hexdigest()[:12]
    assert str(ja4(hello)).startswith(f"t10i{shown}{shown}00_{hashed}_")


@pytest.mark.parametrize(
    ("legacy", "versions", "shown"),
    [
        (0x0300, None, "s3"),
        (0x0301, None, "10"),
        (0x0302, None, "11"),
        (0x0303, None, "12"),
        (0x0304, None, "13"),
        (0x0305, None, "00"),
        (0x0303, (0x0304,), "13"),
        (0x0303, (0x0302, 0x0304, 0x0303), "13"),
        (0x0303, (0x0A0A, 0x0303), "12"),
        (0x0303, (0xFAFA, 0x0304), "13"),
        (0x0303, (0x7F1C, 0x0304), "00"),
        (0x0303, (0x0002,), "s2"),
        (0x0303, (0xFEFF, 0xFEFD), "d1"),
        (0x0303, (0xFEFD,), "d2"),
        (0x0303, (0xFEFC,), "d3"),
        (0x0303, (), "00"),
        (0x0303, (0x0A0A,), "00"),
    ],
)
def test_the_version_is_the_numerically_highest(
    legacy: int, versions: tuple[int, ...] | None, shown: str
) -> None:
    hello = of_message(client_hello_message(legacy, (0x2F,), supported_versions=versions))
    assert str(ja4(hello))[1:3] == shown


def test_grease_is_in_neither() -> None:
    extensions = [
        sni_extension("m.test"),
        groups_extension((29, 23)),
        supported_versions_extension((0x0304, 0x0303)),
        signature_algorithms_extension((0x0403, 0x0804)),
        alpn_extension((b"h2",)),
    ]
    greased = [
        (GREASE[3], b""),
        *extensions[:1],
        groups_extension((GREASE[7], 29, 23, GREASE[0])),
        supported_versions_extension((*GREASE, 0x0304, 0x0303)),
        signature_algorithms_extension((GREASE[4], 0x0403, 0x0804)),
        extensions[4],
        *((kind, b"\0") for kind in GREASE[4:]),
    ]
    suites = (0x1301, 0xC02F)
    plain = of_message(client_hello_message(0x0303, suites, extensions=extensions))
    hello = of_message(
        client_hello_message(0x0303, (GREASE[0], *suites, *GREASE), extensions=greased)
    )
    assert (ja3_string(hello), ja4(hello)) == (ja3_string(plain), ja4(plain))


def test_a_cut_hello_and_one_in_sslv2_format_have_none() -> None:
    cut = replace(PLAIN, complete=False)
    wire = craft.sslv2_client_hello()
    old = sslv2.read(memoryview(wire), 0, len(wire))
    for hello in (cut, old):
        assert (ja3(hello), ja3_string(hello), ja4(hello)) == (None, None, None)


# ----------------------------------------------------------------------- a second opinion

codes = st.integers(0, 0xFFFF)
names = st.sampled_from([b"h2", b"imap", b"pop3", b"http/1.1", b"x"])
others = st.integers(0, 0xFFFF).filter(lambda kind: kind not in (0, 10, 11, 13, 16, 43))


@st.composite
def hellos(draw: st.DrawFn) -> bytes:
    """Draw a whole hello whose first ALPN value, if any, is of letters and digits."""
    listed = [(kind, b"") for kind in draw(st.lists(others, max_size=6, unique=True))]
    chosen = [
        sni_extension(draw(st.sampled_from(["mail.example.org", "a"]))),
        groups_extension(draw(st.lists(codes, max_size=5))),
        point_formats_extension(draw(st.lists(st.integers(0, 255), max_size=3))),
        signature_algorithms_extension(
            draw(st.lists(codes.filter(lambda code: not is_grease(code)), max_size=5))
        ),
        alpn_extension(draw(st.lists(names, min_size=1, max_size=3))),
        supported_versions_extension(
            draw(st.lists(st.sampled_from((0x0301, 0x0302, 0x0303, 0x0304)), min_size=1))
        ),
    ]
    listed += [extension for extension in chosen if draw(st.booleans())]
    listed = draw(st.permutations(listed))
    suites = draw(st.lists(codes, min_size=1, max_size=20))
    version = draw(st.sampled_from((0x0300, 0x0301, 0x0302, 0x0303)))
    return craft.client_hello(version, suites, extensions=listed)


@settings(max_examples=60, deadline=None)
@given(hellos())
def test_ja4_is_what_ja4plus_says(wire: bytes) -> None:
    assert ja4(of_record(wire)) == generate_ja4(parse_tls_handshake(wire))
