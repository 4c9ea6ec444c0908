"""IP fragments: any order joins, an overlap never does, and memory is bounded."""

import random
import time
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sniffer.track.fragments import WAIT_NS, Fragments

KEY = b"a datagram"


def pieces(data: bytes, cuts: list[int]) -> list[tuple[int, bytes, bool]]:
    """Return offset, octets and whether more follow, cut at multiples of eight."""
    edges = sorted({0, *(cut * 8 for cut in cuts if cut * 8 < len(data)), len(data)})
    return [(a, data[a:b], b < len(data)) for a, b in pairwise(edges)]


@given(st.binary(min_size=16, max_size=400), st.lists(st.integers(1, 40)), st.randoms())
@settings(max_examples=60, deadline=None)
def test_fragments_in_any_order_and_twice_give_the_datagram_once(
    data: bytes, cuts: list[int], rng: random.Random
) -> None:
    table = Fragments()
    given_pieces = pieces(data, cuts)
    doubled = given_pieces + given_pieces[:-1]
    rng.shuffle(doubled)
    whole = []
    for offset, octets, more in doubled:
        found = table.add(KEY, offset, octets, more=more, now_ns=0)
        if found:
            whole.append(found)
            break
    assert whole == [data]
    assert table.held == 0


def test_other_content_at_the_same_place_drops_the_datagram() -> None:
    table = Fragments()
    table.add(KEY, 0, b"a" * 16, more=True, now_ns=0)
    table.add(KEY, 8, b"b" * 16, more=True, now_ns=0)
    assert table.lost == {"overlap": 2}
    assert table.add(KEY, 16, b"c" * 8, more=False, now_ns=0) is None
    assert table.held > 0, "the third piece waits alone"


def test_a_tail_that_ends_before_what_was_seen_drops_the_datagram() -> None:
    table = Fragments()
    table.add(KEY, 16, b"a" * 16, more=True, now_ns=0)
    table.add(KEY, 8, b"b" * 8, more=False, now_ns=0)
    assert table.lost == {"overlap": 2}
    assert table.held == 0


def test_a_piece_that_is_no_multiple_of_eight_and_not_the_last_is_malformed() -> None:
    table = Fragments()
    assert table.add(KEY, 0, b"a" * 9, more=True, now_ns=0) is None
    assert table.lost == {"malformed": 1}


def test_the_rest_is_waited_for_thirty_seconds() -> None:
    table = Fragments()
    table.add(KEY, 0, b"a" * 8, more=True, now_ns=0)
    assert table.add(b"x", 0, b"b" * 8, more=True, now_ns=WAIT_NS) is None
    assert table.lost == {"unfinished": 1}
    assert list(table.waiting) == [b"x"]


def test_a_bomb_stays_within_the_budget_and_valid_ones_still_join() -> None:
    table = Fragments(budget=64 << 10)
    for number in range(5000):
        table.add(number.to_bytes(4, "big"), 8, bytes(64), more=True, now_ns=0)
        assert table.held <= 64 << 10
    assert table.lost["evicted"] > 4000
    table.add(KEY, 0, b"a" * 8, more=True, now_ns=0)
    assert table.add(KEY, 8, b"b", more=False, now_ns=0) == b"a" * 8 + b"b"


def test_beyond_64_kib_there_is_no_datagram() -> None:
    table = Fragments()
    assert table.add(KEY, 65528, bytes(8), more=False, now_ns=0) is None
    assert table.lost == {"overlap": 1}
    table.finish()
    assert table.held == 0


def test_the_cost_of_many_tiny_pieces_grows_with_their_number_only() -> None:
    """Row B5, rule 4: 8,191 pieces of one datagram cost no more than so many of others."""

    def seconds(key: Callable[[int], bytes]) -> float:
        table = Fragments()
        begin = time.process_time()
        for number in range(8191):
            table.add(key(number), number * 8, bytes(8), more=True, now_ns=0)
        return time.process_time() - begin

    of_others = min(seconds(lambda number: number.to_bytes(4, "big")) for _ in range(3))
    of_one = min(seconds(lambda _: KEY) for _ in range(3))
    assert of_one < 6 * of_others
