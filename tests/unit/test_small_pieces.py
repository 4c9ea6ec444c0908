"""Rows B8 and B9: a hello in the smallest pieces, many of them, and one as large as can be.

Found if it takes no more than 256 records and 64 KiB; what it costs grows with the octets,
not with their square.
"""

import time
from collections.abc import Callable, Iterable

import craft
import pytest
from captures import tracked
from craft import Conversation, client_hello_message, padding_extension, record, records
from rows import is_part

from parsers.tls.facts import ClientHello
from sniffer.event import Handshake
from sniffer.track.counters import Counters

MESSAGE = client_hello_message(sni="mail.example.org", groups=(29, 23))
SHORT = client_hello_message()
MOST_RECORDS = 256
HELD = 65536


def sent(payload: bytes, split: int | Iterable[int] | None) -> tuple[list[Handshake], Counters]:
    """Return what comes of a client that sends ``payload`` in such segments, then nothing."""
    sizes = split if split is None or isinstance(split, int) else tuple(split)
    talk = Conversation(gap_ns=1000).open().client(payload, split=sizes)
    found, counted = tracked(talk.frames())
    assert counted.internal_errors == []
    assert counted.evicted == {}
    return found, counted


def whole(message: bytes) -> ClientHello:
    (event,), _ = sent(craft.records(message, 16384), None)
    assert event.hello.complete
    return event.hello


@pytest.mark.parametrize("split", [1, 2, 3, 7])
@pytest.mark.parametrize("body", [1, 2, 5, 40, 1000])
def test_a_hello_in_small_segments_and_records_is_the_same_hello(split: int, body: int) -> None:
    (event,), _ = sent(records(MESSAGE, body), split)
    assert event.hello == whole(MESSAGE)


def test_empty_records_between_do_not_matter() -> None:
    for split in (None, 1):
        (event,), _ = sent(record(b"") * 100 + records(MESSAGE, (1, 0, 0, 3, 0, 30)), split)
        assert event.hello == whole(MESSAGE)


@pytest.mark.parametrize("split", [None, 1, 1400])
def test_as_many_records_as_allowed(split: int | None) -> None:
    (event,), _ = sent(record(b"") * (MOST_RECORDS - len(SHORT)) + records(SHORT, 1), split)
    assert event.hello == whole(SHORT)


@pytest.mark.parametrize("split", [None, 1, 1400])
def test_more_records_than_allowed_are_told_as_far_as_allowed(split: int | None) -> None:
    long = client_hello_message(extensions=[padding_extension(400)])
    (event,), counted = sent(records(long, 1), split)
    assert not event.hello.complete
    assert event.hello.suites == craft.SUITES
    assert is_part(event.hello, whole(long))
    assert counted.incomplete == {"length": 1}


@pytest.mark.parametrize("split", [None, 1, 1400])
def test_ten_thousand_empty_records_are_let_go(split: int | None) -> None:
    found, counted = sent(record(b"") * (400 if split == 1 else 10_000), split)
    assert found == []
    assert counted.reassembly_bytes == 0


def crowded(octets: int) -> bytes:
    """Return a hello message with the largest padding that leaves it within ``octets``."""
    bare = len(client_hello_message(extensions=[padding_extension(0)]))
    return client_hello_message(extensions=[padding_extension(octets - bare)])


@pytest.mark.parametrize("octets", [20_000, HELD - 4 * 5 - 1])
def test_a_hello_of_up_to_64_kib_is_found(octets: int) -> None:
    message = crowded(octets)
    (event,), counted = sent(records(message, 16384), None)
    assert event.hello.complete
    assert event.hello.extensions == (21,)
    assert counted.incomplete == {}


def test_a_hello_beyond_64_kib_is_told_as_far_as_held() -> None:
    suites = tuple(range(30_000))
    message = client_hello_message(suites=suites, extensions=[padding_extension(60_000)])
    (event,), counted = sent(records(message, 16384), None)
    assert not event.hello.complete
    assert event.hello.suites == suites
    assert counted.incomplete == {"length": 1}


def test_as_many_extensions_and_suites_as_fit_in_64_kib() -> None:
    message = client_hello_message(
        suites=range(16_000), extensions=[(kind, b"") for kind in range(100, 8_000)]
    )
    (event,), _ = sent(records(message, 16384), None)
    assert event.hello.suites == tuple(range(16_000))
    assert event.hello.extensions == tuple(range(100, 8_000))


# ------------------------------------------------------------------------------------- cost


def seconds(work: Callable[[], object]) -> float:
    """Return the shortest of three runs: what else runs on the machine only adds."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def segments_of_one_octet(count: int) -> list[craft.Frame]:
    return Conversation(gap_ns=1000).open().client(record(crowded(count - 5)), split=1).frames()


def segments_backwards(count: int) -> list[craft.Frame]:
    payload = record(crowded(count - 5))
    return (
        Conversation(gap_ns=1000)
        .open()
        .client(payload, split=1, order=range(count - 1, -1, -1))
        .frames()
    )


def records_of_one_octet(count: int) -> list[craft.Frame]:
    """Return ``count`` records of one octet, of hellos in as many conversations as it takes."""
    return [
        frame
        for number in range(count // 200)
        for frame in Conversation(client_port=2000 + number, gap_ns=1000)
        .open()
        .client(records(SHORT, 1) + record(b"") * (200 - len(SHORT)), split=1000)
        .frames()
    ]


def records_behind_the_hello(count: int) -> list[craft.Frame]:
    payload = craft.client_hello() + craft.record(b"", content_type=23) * (count // 5)
    return Conversation(gap_ns=1000).open().client(payload, split=1).frames()


@pytest.mark.parametrize(
    "frames",
    [
        segments_of_one_octet,
        segments_backwards,
        records_of_one_octet,
        records_behind_the_hello,
    ],
)
def test_ten_times_as_many_pieces_cost_ten_times_as_much(
    frames: Callable[[int], list[craft.Frame]],
) -> None:
    few, many = frames(1_000), frames(10_000)
    tracked(few)
    bare = seconds(lambda: tracked([]))
    once = seconds(lambda: tracked(few)) - bare
    ten_times = seconds(lambda: tracked(many)) - bare
    assert ten_times <= 12 * max(once, 0.0005), (once, ten_times)
