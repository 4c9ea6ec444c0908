"""One client's retries, and the bounds of the memory for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.tls.facts import SSL_2_0, SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3
from sniffer.judge.ladder import Ladders, ladder_key

SECOND = 1_000_000_000
CLIENT, OTHER_CLIENT = bytes([10, 0, 0, 7]), bytes([10, 0, 0, 8])
SERVER, OTHER_SERVER = bytes([52, 96, 1, 1]), bytes([52, 96, 1, 2])
KEY = ladder_key(CLIENT, SERVER, 993)

# id, offers as (second, version), whether the last one is a retry
TALES = [
    ("first offer", [(0, TLS_1_0)], False),
    ("1.2 then 1.0", [(0, TLS_1_2), (1, TLS_1_0)], True),
    ("1.2, 1.1, 1.0", [(0, TLS_1_2), (1, TLS_1_1), (2, TLS_1_0)], True),
    ("the same again", [(0, TLS_1_0), (1, TLS_1_0)], False),
    ("less, then more", [(0, TLS_1_0), (1, TLS_1_2)], False),
    ("1.3 then 1.2", [(0, TLS_1_3), (1, TLS_1_2)], True),
    ("SSL 2.0 is less than SSL 3.0", [(0, SSL_3_0), (1, SSL_2_0)], True),
    ("at 30 s", [(0, TLS_1_2), (30, TLS_1_0)], True),
    ("after 30 s", [(0, TLS_1_2), (30.000000001, TLS_1_0)], False),
    ("1.2 is too old, 1.1 is not", [(0, TLS_1_2), (20, TLS_1_1), (40, TLS_1_0)], True),
    ("1.2 again keeps it fresh", [(0, TLS_1_2), (20, TLS_1_2), (45, TLS_1_0)], True),
    ("a low offer between them", [(0, TLS_1_2), (10, TLS_1_0), (20, TLS_1_0)], True),
    ("at the same moment", [(5, TLS_1_2), (5, TLS_1_0)], True),
    ("more, but later in time", [(5, TLS_1_2), (4, TLS_1_0)], False),
    ("noted late, within its window", [(40, TLS_1_1), (12, TLS_1_2), (41, TLS_1_0)], True),
]


@pytest.mark.parametrize(("offers", "retry"), [t[1:] for t in TALES], ids=[t[0] for t in TALES])
def test_a_retry_is_less_than_was_offered_within_thirty_seconds(offers, retry):
    ladders = Ladders()
    answers = [ladders.offer(KEY, version, round(at * SECOND)) for at, version in offers]
    assert answers[-1] is retry


@pytest.mark.parametrize(
    ("client", "server", "port"),
    [(OTHER_CLIENT, SERVER, 993), (CLIENT, OTHER_SERVER, 993), (CLIENT, SERVER, 995)],
    ids=["client", "address", "port"],
)
def test_another_client_address_or_port_is_no_retry(client, server, port):
    ladders = Ladders()
    ladders.offer(KEY, TLS_1_2, 0)
    assert not ladders.offer(ladder_key(client, server, port), TLS_1_0, SECOND)


def test_keys_of_different_pairs_differ_where_their_octets_run_together():
    four, sixteen = bytes(4), bytes(16)
    keys = {ladder_key(four, sixteen, 0), ladder_key(sixteen, four, 0), ladder_key(four, four, 0)}
    assert len(keys) == 3


def test_a_full_memory_lets_the_oldest_go_and_counts_it():
    ladders = Ladders(most=2)
    for n in range(3):
        ladders.offer(bytes([n]), TLS_1_2, n)
    assert len(ladders) == 2
    assert ladders.evicted == 1
    assert not ladders.offer(b"\0", TLS_1_0, 3)
    assert ladders.offer(b"\2", TLS_1_0, 4)


def test_a_flood_of_pairs_stays_within_the_bound_and_is_counted():
    ladders = Ladders(most=100)
    for n in range(10_000):
        ladders.offer(n.to_bytes(2, "big"), TLS_1_0, n)
    assert len(ladders) == 100
    assert ladders.evicted == 9_900


def test_offers_past_their_time_make_room_uncounted():
    ladders = Ladders()
    for n in range(50):
        ladders.offer(bytes([n]), TLS_1_2, 0)
    ladders.offer(KEY, TLS_1_2, 31 * SECOND)
    assert len(ladders) == 1
    assert ladders.evicted == 0


def test_time_that_went_far_back_leaves_nothing_immortal():
    ladders = Ladders()
    ladders.offer(b"future", TLS_1_2, 4_000_000_000 * SECOND)
    ladders.offer(KEY, TLS_1_2, 0)
    assert len(ladders) == 1
    assert ladders.offer(KEY, TLS_1_0, SECOND)


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from([SSL_3_0, TLS_1_0, TLS_1_2, TLS_1_3])),
        max_size=30,
    ).map(sorted)
)
def test_answers_in_time_order_equal_those_of_a_full_memory(offers):
    ladders = Ladders()
    for n, (at, version) in enumerate(offers):
        before = [v for t, v in offers[:n] if at - t <= 30]
        answer = ladders.offer(KEY, version, at * SECOND)
        assert answer is any(v > version for v in before)
