"""Large captures with a known truth, the same octets for the same arguments.

Each is made of a few conversations out of ``craft``, repeated with other addresses, ports and
randoms. Checksums stay those of the pattern: nothing that is compared here looks at them.

    mixed        a mail session among some 300 frames of other traffic
    handshakes   nothing but short mail sessions
    elephant     eight mail sessions that carry everything
    flood        connections to mail ports that nobody answers, each from elsewhere
"""

import random
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import craft  # noqa: E402 - lies in tests/

WORKLOADS = ("mixed", "handshakes", "elephant", "flood")
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
FRAME_GAP_NS = 10_000
DEVICES = 5_000
OTHER_FRAMES = 300
ELEPHANTS = 8

SOURCE, TARGET = 26, 30
SOURCE_PORT, TARGET_PORT = 34, 36
SEQUENCE = 38
OFFERS = {
    "TLS 1.0": craft.client_hello(sni="imap.example.org"),
    "TLS 1.1": craft.client_hello(craft.TLS_1_1),
    "TLS 1.2": craft.client_hello(craft.TLS_1_2, sni="outlook.office365.com", groups=(23, 24)),
    "TLS 1.3": craft.tls13_client_hello(sni="outlook.office365.com"),
}
"""Hellos by the max offered that the summary has to tell."""

Pattern = list[tuple[bool, bytearray]]
"""Frames of one conversation, each with whether the client sent it."""


def write(path: Path, workload: str, octets: int, seed: int = 1) -> Counter[str]:
    """Write a capture of about so many octets; return how many hellos offer what."""
    truth: Counter[str] = Counter()
    chance = random.Random(f"{workload} {seed}")
    time_ns, written = craft.START_NS, len(FILE_HEADER)
    with path.open("wb") as out:
        out.write(FILE_HEADER)
        for frame in _frames(workload, chance, truth, octets):
            seconds, rest = divmod(time_ns, 1_000_000_000)
            out.write(struct.pack("<IIII", seconds, rest, len(frame), len(frame)))
            out.write(frame)
            time_ns += FRAME_GAP_NS
            written += 16 + len(frame)
            if written >= octets:
                break
    return truth


def _frames(
    workload: str, chance: random.Random, truth: Counter[str], octets: int
) -> Iterator[bytes]:
    """Yield frames without end; a hello is counted once its conversation is over."""
    sessions = {offer: _session(hello) for offer, hello in OFFERS.items()}
    if workload == "elephant":
        yield from _elephants(sessions["TLS 1.2"], chance, truth)
    others = _pattern(_other())
    number = 0
    while True:
        number += 1
        if workload == "flood":
            syn = _pattern(craft.Conversation().syn())
            yield from _as(syn, chance.randrange(1 << 24), 1024 + number % 60_000, chance)
            continue
        offer = chance.choice(list(OFFERS))
        client, port = number % DEVICES, 1024 + number // DEVICES % 60_000
        # One that the file's end cuts off after its hello was a hello all the same.
        for place, frame in enumerate(_as(sessions[offer], client, port, chance)):
            if place == HELLO_AT:
                truth[offer] += 1
            yield frame
        if workload == "mixed":
            for _ in range(OTHER_FRAMES // len(others)):
                yield from _as(others, chance.randrange(DEVICES), chance.randrange(1024, 65536))


HELLO_AT = 3
"""Behind the three segments that open the connection."""


def _session(hello: bytes) -> Pattern:
    talk = craft.Conversation().open().client(hello)
    talk.server(craft.server_hello() + craft.certificate_flight())
    talk.client(craft.client_key_exchange() + craft.change_cipher_spec() + craft.finished())
    talk.server(craft.change_cipher_spec() + craft.finished())
    talk.client(craft.application_data(120)).server(craft.application_data(200))
    return _pattern(talk.fin("client").fin("server"))


def _other() -> craft.Conversation:
    talk = craft.Conversation(server_port=443, server="192.0.2.10").open()
    for _ in range(6):
        talk.client(bytes(200)).server(bytes(4380))
    return talk.fin("client").fin("server")


def _elephants(session: Pattern, chance: random.Random, truth: Counter[str]) -> Iterator[bytes]:
    for client in range(ELEPHANTS):
        yield from [*_as(session, client, 5000, chance)][:-2]
        truth["TLS 1.2"] += 1
    body = craft.application_data(1400)
    data = _pattern(craft.Conversation().server(body * 40))
    ahead = 8192
    while True:
        for client in range(ELEPHANTS):
            for frame in _as(data, client, 5000):
                moved = bytearray(frame)
                (at,) = struct.unpack_from(">I", moved, SEQUENCE)
                struct.pack_into(">I", moved, SEQUENCE, (at + ahead) & 0xFFFFFFFF)
                yield bytes(moved)
        ahead += len(body) * 40


def _pattern(talk: craft.Conversation) -> Pattern:
    return [(segment.side == "client", bytearray(talk.frame(segment))) for segment in talk.segments]


def _as(
    pattern: Pattern, client: int, port: int, chance: random.Random | None = None
) -> Iterator[bytes]:
    """Yield a conversation of another client, with another random where there is one."""
    address = (10 << 24 | client).to_bytes(4, "big")
    fresh = None if chance is None else chance.randbytes(len(craft.RANDOM))
    for is_client, frame in pattern:
        at = SOURCE if is_client else TARGET
        frame[at : at + 4] = address
        struct.pack_into(">H", frame, SOURCE_PORT if is_client else TARGET_PORT, port)
        made = bytes(frame)
        if fresh is not None and is_client:
            made = made.replace(craft.RANDOM, fresh)
        yield made
