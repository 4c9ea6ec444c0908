"""Rule 4 of bounded work: no frame costs much more than an ordinary one, whatever it holds.

A frame of up to 64 KiB, as offload makes them, may hold ten thousand records. What is
measured is the last frame of a conversation that leads up to it; what it is compared with is
a loop that runs beside it, so that a slow machine is slow for both.
"""

import time
from collections.abc import Callable

import craft
import discovering
import pytest
from craft import Conversation
from tracking import ANY_PORT, batch_of, listener, track, tracker

import parsers

OFFLOADED = 65_000
"""Octets of payload in the largest frames."""
TURNS = 1000
LOOPS = 3.5 if parsers.compiled() else 400.0
"""How many times as long as the loop a frame may take; the loop takes 14 to 20 µs."""

OLD = craft.client_hello(craft.TLS_1_0)


def filled(piece: bytes) -> bytes:
    return piece * (OFFLOADED // len(piece))


def after_hello(payload: bytes) -> Conversation:
    return Conversation(gap_ns=1000).open().client(OLD).server(payload, split=OFFLOADED)


def client_after_hello(payload: bytes) -> Conversation:
    return Conversation(gap_ns=1000).open().client(OLD).client(payload, split=OFFLOADED)


def lines(*texts: bytes) -> Conversation:
    talk = Conversation(gap_ns=1000, server_port=25).open().server(b"220 mail.example.org\r\n")
    return talk.client(b"".join(texts), split=OFFLOADED)


WORST = {
    "empty records of data": lambda: client_after_hello(filled(craft.application_data(0))),
    "empty records of data, of a server": lambda: after_hello(filled(craft.application_data(0))),
    "warnings": lambda: after_hello(filled(craft.alert(level=1, description=112))),
    "ChangeCipherSpecs": lambda: after_hello(filled(craft.change_cipher_spec())),
    "empty handshake records": lambda: after_hello(filled(craft.record(b""))),
    "hellos that are none": lambda: after_hello(filled(craft.record(b"\x02\0\0\x30\x03"))),
    "hellos again": lambda: client_after_hello(filled(OLD)),
    "lines in clear": lambda: lines(*[b"NOOP\r\n"] * 64),
    "lines in clear before much else": lambda: lines(
        *[b"NOOP\r\n"] * 64, b"x" * (OFFLOADED - 6 * 64)
    ),
    "lines of a server": lambda: (
        Conversation(gap_ns=1000, server_port=25)
        .open()
        .client(b"EHLO x\r\n")
        .server(filled(b"250-x\r\n"), split=OFFLOADED)
    ),
    "answers in clear where TLS is due": lambda: (
        Conversation(gap_ns=1000, server_port=25)
        .open()
        .server(b"220 mail.example.org\r\n")
        .client(b"EHLO x\r\nSTARTTLS\r\n" + OLD)
        .server(filled(b"250-x\r\n"), split=OFFLOADED)
    ),
    "nothing like a record behind a gap": lambda: (
        Conversation(gap_ns=1000)
        .open()
        .client(OLD)
        .lose("server", 500)
        .server(filled(b"\x16\x03"), split=OFFLOADED)
        .server(bytes(100))
        .server(b"beyond what may wait")
    ),
}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def loop() -> int:
    total = 0
    for turn in range(TURNS):
        total += turn
    return total


def cost(talk: Conversation) -> float:
    """Return how long the conversation's last frame takes, at best of many times."""
    one = tracker(ports=ANY_PORT)
    nothing = batch_of([])
    times = []
    for port in range(2000, 2020):
        talk.client_port = port
        *before, last = talk.frames()
        batch = batch_of([last])
        one.observe(batch_of(before))
        idle = seconds(lambda: one.observe(nothing))
        times.append(seconds(lambda batch=batch: one.observe(batch)) - idle)
    assert one.counters().internal_errors == []
    return min(time for time in times if time > 0)


LONG = ".".join(["a"] * 120)
MESSAGE_LOOPS = 15.0
"""The same for messages of devices, of which a second has a bounded number read: their parsers
are not compiled."""
POINTER = b"\xc0\x0c"
MESSAGES = {
    "aliases of a long name": discovering.dns_answer(
        LONG, *[discovering.record(POINTER, discovering.CNAME, POINTER)] * 128
    ),
    "addresses": discovering.dns_answer(
        "outlook.office365.com", *[discovering.record(POINTER, discovering.A, bytes(4))] * 128
    ),
    "hosts": discovering.mdns(*[discovering.a(f"h{n}.local", "10.0.0.7") for n in range(128)]),
    "services": discovering.mdns(
        *[discovering.txt("p._ipp._tcp.local", *[b"x=1"] * 60, b"ty=%d" % n) for n in range(48)]
    ),
    "options": discovering.dhcp_frame(
        discovering.dhcp(3, *[discovering.option(12, b"x") + bytes(3)] * 200)
    ),
    "leases": discovering.dhcpv6_frame(
        discovering.dhcpv6(7, discovering.duid(), *[discovering.ia_na("2001:db8::7")] * 200)
    ),
    "introduction": discovering.lldp_frame(
        discovering.lldp(*[discovering.management("10.0.0.7")] * 60)
    ),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_no_message_takes_much_longer_than_some_short_loops(kind: str) -> None:
    one = listener()
    batches = [batch_of([(n * 10**9, MESSAGES[kind])]) for n in range(30)]
    took = min(seconds(lambda batch=batch: one.observe(batch)) for batch in batches)
    yardstick = min(seconds(loop) for _ in range(50))
    assert one.counters().internal_errors == []
    assert took <= MESSAGE_LOOPS * yardstick, (took, yardstick)


@pytest.mark.parametrize("kind", WORST)
def test_no_frame_takes_much_longer_than_a_short_loop(kind: str) -> None:
    took = cost(WORST[kind]())
    yardstick = min(seconds(loop) for _ in range(50))
    assert took <= LOOPS * yardstick, (took, yardstick)


def test_what_one_frame_has_too_much_of_is_counted() -> None:
    payload = filled(craft.application_data(0))
    one = tracker()
    one.observe(batch_of(client_after_hello(payload).frames()))
    one.finish()
    assert one.counters().unseen_bytes == len(payload) - 256 * len(craft.application_data(0))


def test_lines_that_one_frame_has_too_many_of_wait_for_the_next() -> None:
    talk = lines(*[b"NOOP\r\n"] * 40, b"STARTTLS\r\n").server(b"220 go\r\n").client(OLD)
    assert track(talk.frames()).only.starttls == "smtp"
