#!/usr/bin/env python3
"""Write tests/fuzz/seeds/: what fuzzing begins from, out of the kinds of case.

    make_seeds.py

A file an input, in the form that its target takes (tests/fuzz/targets.py). Those that are
there and are not made here stay: fuzzing found them worth keeping.
"""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import craft  # noqa: E402 - lies in tests/
import discovering  # noqa: E402 - lies in tests/
import kinds  # noqa: E402 - lies in tests/
from dialogues import Dialogue  # noqa: E402 - lies in tests/

SEEDS = ROOT / "tests" / "fuzz" / "seeds"
LINKS = (1, 0, 9, 12, 51, 101, 104, 108, 113, 204, 219, 228, 229, 239, 276, 147)
"""As targets.py counts them."""
WRAPPED = kinds.wrapped()
LONGEST_PAYLOAD = 255


def frame_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield a frame with the hello in each kind of wrapping, cut to a part of it."""
    for name, capture in WRAPPED.items():
        link = int.from_bytes(capture[20:24], "little")
        at = 24
        for _ in range(3):
            at += 16 + int.from_bytes(capture[at + 8 : at + 12], "little")
        length = int.from_bytes(capture[at + 8 : at + 12], "little")
        yield name, bytes((LINKS.index(link),)) + capture[at + 16 : at + 16 + min(length, 200)]


def hello_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield what clients begin with."""
    body = kinds.hello_of(kinds.OLD)[5:]
    yield "tls10", kinds.hello_of(kinds.OLD)
    yield "tls13", kinds.hello_of(kinds.MODERN)
    yield "sslv2", kinds.hello_of(kinds.JAVA)
    yield "ssl3", kinds.hello_of(kinds.SSL_3)
    yield "records-of-20", craft.records(body, 20)
    yield "empty-record-first", craft.records(body, (0, 40))
    yield "alert-first", craft.alert() + kinds.hello_of(kinds.OLD)
    yield "bare", craft.client_hello()
    yield (
        "grease",
        craft.client_hello(
            craft.TLS_1_2, (0x1A1A, 0x1301), supported_versions=(0x2A2A, 0x0304), alpn=(b"imap",)
        ),
    )


def script(said: Dialogue, port: int) -> bytes:
    """Write a dialogue as steps: flags, movement, length, payload."""
    steps = bytes((port,))
    for side, octets in said:
        for part in craft.pieces(octets, LONGEST_PAYLOAD)[:4]:
            steps += bytes((0 if side == "client" else 0x80, 0, len(part))) + part
    return steps


def segment_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield whole conversations on the port of IMAPS."""
    end = bytes((0x81, 0, 0, 0x01, 0, 0))
    yield "established", script(kinds.AGREED[:6], 0) + end
    yield "refused", script(kinds.OLD, 0) + end
    yield "reset", script(kinds.OLD[:1], 0) + bytes((0x84, 0, 0))
    yield "joined", script(kinds.OLD, 0x80)
    yield "again", script(kinds.OLD, 0) + bytes((0x02, 100, 0)) + script(kinds.OLD, 0)[1:]
    yield "sslv2", script(kinds.JAVA_REFUSED, 0)
    yield "retry", script(kinds.ASKED_AGAIN[:6], 0)
    yield "overlap", script(kinds.OLD[:1], 0) + bytes((0, 0xF0, 16)) + bytes(16)


def starttls_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield dialogues in clear, and the hello behind them."""
    for port, name, said in (
        (1, "imap", kinds.IMAP),
        (2, "pop3", kinds.POP3),
        (3, "smtp", kinds.SMTP),
    ):
        yield name, script(said[:10], port)
    yield (
        "pipelined",
        bytes((3, 0, 0, 10)) + b"STARTTLS\r\n" + script(kinds.OLD, 3)[1:],
    )
    yield "literal", script((("client", b"a1 LOGIN {5+}\r\nhello {5}\r\nworld\r\n"),), 1)
    yield "sasl", script((("client", b"AUTH PLAIN\r\nAGFiYw==\r\nSTLS\r\n"),), 2)


def discovery_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield a message of each protocol in which devices say who they are."""
    chain = (
        discovering.cname("outlook.office365.com", "ooc.example"),
        discovering.a("ooc.example", "10.0.0.7"),
    )
    asked = [discovering.question("outlook.office365.com")]
    instance = "Hall._ipp._tcp.local"
    printer = (
        discovering.srv(instance, "hp.local"),
        discovering.txt(instance, b"ty=M402"),
        discovering.a("hp.local", "10.0.0.7"),
    )
    client = (discovering.option(12, b"hp"), discovering.option(81, b"\5\0\0\2hp\3lan\0"))
    device = (discovering.tlv(5, b"hp"), discovering.management("10.0.0.7"))
    status = ((b"COPIER", 0, 0x0400), (b"OFFICE", 0, 0x8400))
    for number, name, message in (
        (0, "dns", discovering.dns(*chain, questions=asked)),
        (0, "dns-pointers", discovering.dns(questions=[b"\1a\xc0\x0c\0\1\0\1"])),
        (1, "mdns", discovering.dns(*printer)),
        (2, "netbios", discovering.netbios_registration(b"COPIER", "10.0.0.7")),
        (2, "netbios-status", discovering.netbios_status(*status)),
        (3, "dhcp", discovering.dhcp(3, *client)),
        (4, "dhcpv6", discovering.dhcpv6(1, discovering.duid(), discovering.ia_na("2001:db8::7"))),
        (5, "lldp", discovering.lldp(*device)),
    ):
        yield name, bytes((number,)) + message


def file_seeds() -> Iterator[tuple[str, bytes]]:
    """Yield capture files of two small frames in each form."""
    talk = craft.Conversation().open()
    frames = talk.frames()[:2]
    yield "pcap", craft.pcap(frames)
    yield "pcap-big-endian-ns", craft.pcap(frames, byte_order=">", nanoseconds=True)
    yield "pcapng", craft.pcapng(frames)
    yield "pcapng-big-endian", craft.pcapng(frames, byte_order=">", tsresol=9)
    blocks = craft.Section().interface(tsresol=0x8A, tsoffset=7, name="eth0").packets(frames)
    blocks.simple_packet(frames[0][1]).obsolete_packet(*frames[1]).statistics(frames[0][0], 9, 1)
    yield "pcapng-every-block", bytes(blocks.custom()) + bytes(craft.Section(">").interface())
    yield "pcap.gz", gzip.compress(craft.pcap(frames), mtime=0)


def main() -> None:
    """Write the seeds."""
    makers = {
        "frame": frame_seeds,
        "hello": hello_seeds,
        "segments": segment_seeds,
        "starttls": starttls_seeds,
        "discovery": discovery_seeds,
        "file": file_seeds,
    }
    for target, seeds in makers.items():
        folder = SEEDS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, octets in seeds():
            (folder / name).write_bytes(octets)


if __name__ == "__main__":
    main()
