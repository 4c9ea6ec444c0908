"""The flow table: one slot for both directions, chosen by a hash that nobody can foresee."""

import struct

import craft
import pytest
from tracking import batch_of

from parsers.decode import decode
from parsers.frame import Frame
from sniffer.track.flows import Flows
from sniffer.track.layout import LAST_SEEN, SETTLED, SLOT_WORDS, STATE

KEY = bytes(range(16))
SLOTS = 1024
WAYS = 8
MASK = (1 << 64) - 1


def siphash(key, words, compressions, finalizations):
    """SipHash-c-d as the paper's section 2 has it, over 64-bit words."""

    def rotated(word, bits):
        return (word << bits | word >> (64 - bits)) & MASK

    def rounds(v, count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D]
    v += [k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    for word in words:
        v[3] ^= word
        rounds(v, compressions)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(v, finalizations)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def words_of(message):
    """Return a message of octets as the paper's words: filled up, its length in the last."""
    filled = message + bytes(7 - len(message) % 8) + bytes((len(message) & 0xFF,))
    return [word for (word,) in struct.iter_unpack("<Q", filled)]


def look(flows, octets):
    """Look up the flow of one frame."""
    batch = batch_of([(0, octets)])
    frame = Frame()
    assert decode(batch, 0, frame) == 1
    return flows.locate(batch.wire, frame)


def segment(source, destination, source_port, destination_port):
    wire = craft.tcp(source, destination, source_port, destination_port, b"x")
    return craft.ethernet(craft.ip(source, destination, wire))


def test_the_reference_is_the_papers():
    # Appendix A of the paper, and the first of the vectors its authors published.
    assert siphash(KEY, words_of(bytes(range(15))), 2, 4) == 0xA129CA6149BE45E5
    assert siphash(KEY, words_of(b""), 2, 4) == 0x726FDB47DD0E0E31


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (
            ("10.0.0.50", "52.96.0.10", 50123, 993),
            (0x0A000032_3460000A, 50123 << 48 | 993 << 32 | 4),
        ),
        (
            ("2001:db8::1", "2001:db8::2", 993, 50123),
            (
                0x20010DB800000000,
                1,
                0x20010DB800000000,
                2,
                993 << 48 | 50123 << 32 | 16,
            ),
        ),
    ],
)
def test_the_hash_is_siphash_1_3(ends, words):
    flows = Flows(SLOTS, KEY)
    look(flows, segment(*ends))
    assert flows.tag == siphash(KEY, words, 1, 3)


@pytest.mark.parametrize(
    ("one", "other"), [("10.0.0.50", "52.96.0.10"), ("2001:db8::1", "2001:db8::ffff")]
)
def test_both_directions_are_one_flow(one, other):
    flows = Flows(SLOTS, KEY)
    assert look(flows, segment(one, other, 50123, 993)) == -1
    tag, direction = flows.tag, flows.direction
    slot = flows.claim(flows.choose())
    assert look(flows, segment(other, one, 993, 50123)) == slot
    assert (flows.tag, flows.direction) == (tag, 1 - direction)
    assert look(flows, segment(one, other, 50123, 993)) == slot
    assert flows.direction == direction


def test_a_connection_of_an_address_to_itself_has_two_directions():
    flows = Flows(SLOTS, KEY)
    look(flows, segment("127.0.0.1", "127.0.0.1", 50123, 993))
    tag, direction = flows.tag, flows.direction
    look(flows, segment("127.0.0.1", "127.0.0.1", 993, 50123))
    assert (flows.tag, flows.direction) == (tag, 1 - direction)


def test_each_of_the_five_things_makes_another_flow():
    flows = Flows(SLOTS, KEY)
    frames = [
        segment("10.0.0.1", "10.0.0.2", 1000, 993),
        segment("10.0.0.3", "10.0.0.2", 1000, 993),
        segment("10.0.0.1", "10.0.0.4", 1000, 993),
        segment("10.0.0.1", "10.0.0.2", 1001, 993),
        segment("10.0.0.1", "10.0.0.2", 1000, 995),
        segment("10.0.0.1", "10.0.0.2", 993, 1000),
        segment("::a00:1", "::a00:2", 1000, 993),
    ]
    tags = set()
    for octets in frames:
        look(flows, octets)
        tags.add(flows.tag)
    assert len(tags) == len(frames)


def test_another_key_puts_flows_elsewhere():
    def sets(key):
        flows = Flows(SLOTS, key)
        found = []
        for port in range(1000, 1064):
            look(flows, segment("10.0.0.1", "10.0.0.2", port, 993))
            found.append(flows.tag % (SLOTS // WAYS))
        return found

    assert sets(KEY) == sets(KEY)
    assert sets(KEY) != sets(bytes(16))


def test_a_full_set_offers_the_slot_unused_for_longest():
    flows = Flows(WAYS, KEY)
    for port in range(WAYS):
        look(flows, segment("10.0.0.1", "10.0.0.2", 1000 + port, 993))
        slot = flows.claim(flows.choose())
        flows.words[slot * SLOT_WORDS + LAST_SEEN] = 100 - port
    oldest = look(flows, segment("10.0.0.1", "10.0.0.2", 1000 + WAYS - 1, 993))
    assert look(flows, segment("10.0.0.1", "10.0.0.2", 2000, 993)) == -1
    assert flows.choose() == oldest
    flows.words[oldest * SLOT_WORDS] = 5
    flows.claim(oldest)
    words = list(flows.words[oldest * SLOT_WORDS : (oldest + 1) * SLOT_WORDS])
    assert words == [0] * SLOT_WORDS, "nothing of the one before is left"
    assert look(flows, segment("10.0.0.1", "10.0.0.2", 2000, 993)) == oldest
    assert look(flows, segment("10.0.0.1", "10.0.0.2", 1000 + WAYS - 1, 993)) == -1


def test_a_slot_let_go_is_given_again():
    flows = Flows(SLOTS, KEY)
    look(flows, segment("10.0.0.1", "10.0.0.2", 1000, 993))
    slot = flows.claim(flows.choose())
    flows.release(slot)
    assert look(flows, segment("10.0.0.1", "10.0.0.2", 1000, 993)) == -1
    assert flows.choose() == slot


def filled(flows: Flows, share: float) -> int:
    """Fill a share of the table with flows; return how many found no free slot."""
    without = 0
    for number in range(int(flows.slots * share)):
        client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert look(flows, segment(client, "52.96.0.10", 50_000, 993)) == -1
        slot = flows.choose()
        without += flows.tags[slot] != 0
        flows.claim(slot)
    return without


@pytest.mark.parametrize("key", [KEY, bytes(16), bytes(range(16, 32))])
def test_no_flow_is_let_go_before_two_thirds_of_the_table_are_full(key):
    assert filled(Flows(4096, key), 2 / 3) == 0


def test_a_settled_flow_is_let_go_before_one_that_is_not():
    flows = Flows(WAYS, KEY)
    for port in range(WAYS):
        look(flows, segment("10.0.0.1", "10.0.0.2", 1000 + port, 993))
        at = flows.claim(flows.choose()) * SLOT_WORDS
        flows.words[at + LAST_SEEN] = 100 + port
        flows.words[at + STATE] = SETTLED if port in (3, 5) else 0
    first_settled = look(flows, segment("10.0.0.1", "10.0.0.2", 1003, 993))
    look(flows, segment("10.0.0.1", "10.0.0.2", 2000, 993))
    assert flows.choose() == first_settled
