"""Reassembly: whatever order octets come in, the first seen at each place is what is read."""

import pytest

from sniffer.track.reassembly import SIZES, Reassembly

BUDGET = 1 << 20


@pytest.fixture
def room():
    return Reassembly(BUDGET)


def put(room, handle, offset, octets, now_ns=0):
    return room.put(handle, offset, memoryview(octets), 0, len(octets), now_ns)


def held(room, handle, start, end):
    first = room.place(handle, start)
    return bytes(room.arena[first : first + end - start])


def test_octets_are_read_up_to_the_first_gap(room):
    handle = room.take(7, 100, 50, 0)
    assert put(room, handle, 110, b"klm") == 3
    assert room.reach(handle) == 100
    assert put(room, handle, 100, b"abcdefghij") == 10
    assert room.reach(handle) == room.top(handle) == 113
    assert held(room, handle, 100, 113) == b"abcdefghijklm"


def test_the_first_octet_seen_at_a_place_stays_and_another_is_a_conflict(room):
    handle = room.take(7, 0, 50, 0)
    put(room, handle, 2, b"CD")
    assert put(room, handle, 0, b"abcdef") == 4
    assert held(room, handle, 0, 6) == b"abCDef"
    assert room.conflicts == 1
    assert put(room, handle, 0, b"abCDef") == 0
    assert room.conflicts == 1


def test_octets_before_the_base_or_beyond_the_room_are_left_out(room):
    handle = room.take(7, 100, SIZES[0], 0)
    assert put(room, handle, 97, b"xyzab") == 2
    assert held(room, handle, 100, 102) == b"ab"
    assert put(room, handle, 90, b"old") == 0
    end = 100 + SIZES[0]
    assert put(room, handle, end - 2, b"yzEND") == 2
    assert put(room, handle, end, b"END") == 0
    assert room.top(handle) == end


def test_advance_forgets_what_was_read_and_keeps_the_rest(room):
    handle = room.take(7, 0, 100, 0)
    put(room, handle, 0, b"0123456789")
    put(room, handle, 20, b"tail")
    assert room.advance(handle, 5) == 19
    assert (room.base(handle), room.reach(handle)) == (5, 10)
    assert held(room, handle, 5, 10) == b"56789"
    assert room.advance(handle, 21) == 3
    assert room.reach(handle) == 24
    assert held(room, handle, 21, 24) == b"ail"
    assert room.advance(handle, 30) == 0
    assert put(room, handle, 31, b"z") == 1, "what was forgotten leaves no marks"
    assert room.reach(handle) == 30


def test_the_pieces_between_gaps_are_found(room):
    handle = room.take(7, 10, 100, 0)
    for offset, octets in ((12, b"ab"), (20, b"cdef"), (30, b"g")):
        put(room, handle, offset, octets)
    found = []
    at = 10
    while (at := room.next_held(handle, at)) >= 0:
        end = room.held_until(handle, at)
        found.append((at, end))
        at = end
    assert found == [(12, 14), (20, 24), (30, 31)]


def test_a_wider_buffer_takes_over(room):
    handle = room.take(7, 50, 10, 0)
    put(room, handle, 50, b"abc")
    put(room, handle, 60, b"xyz")
    wider = room.take(7, 50, SIZES[1], 0)
    room.move(handle, wider)
    room.drop(handle)
    assert (room.room(wider), room.reach(wider), room.top(wider)) == (SIZES[1], 53, 63)
    assert held(room, wider, 60, 63) == b"xyz"
    assert room.in_use == SIZES[1]


def test_a_buffer_given_back_is_empty_when_taken_again(room):
    taken = [room.take(n, 0, SIZES[2], 0) for n in range(9)]
    full = [handle for handle in taken if handle >= 0]
    assert -1 in taken
    for handle in full:
        put(room, handle, 3, b"secret")
        room.drop(handle)
    assert (room.count, room.in_use) == (0, 0)
    for handle in (room.take(n, 0, SIZES[2], 0) for n in range(len(full))):
        assert room.reach(handle) == room.top(handle) == 0
        assert room.next_held(handle, 0) == -1
        assert put(room, handle, 0, b"abcdefghij") == 10


def test_the_budget_is_held(room):
    assert room.arena.nbytes + room.marks.nbytes <= BUDGET
    while room.take(1, 0, 1, 0) >= 0:
        pass
    assert room.count == room.buffers
    assert room.in_use == room.arena.nbytes


def test_who_made_no_progress_for_longest_is_named_first(room):
    handles = [room.take(owner, 0, 1, owner) for owner in range(4)]
    assert room.oldest(1, -1, -1) == 0
    put(room, handles[0], 0, b"a", 10)
    assert room.oldest(1, -1, -1) == 1
    put(room, handles[1], 0, b"a", 11)
    put(room, handles[0], 0, b"a", 12)
    assert room.oldest(1, 2, 3) == 0, "a repetition is no progress, and 2 and 3 are left alone"
    room.drop(handles[2])
    assert room.oldest(1, -1, -1) == 3
    assert room.oldest(SIZES[1], -1, -1) == -1, "none of them is that large"


def test_every_owner_is_named_until_all_is_given_back(room):
    handles = {owner: room.take(owner, 0, SIZES[owner % 3], 0) for owner in range(5)}
    while (owner := room.any_owner()) >= 0:
        room.drop(handles.pop(owner))
    assert handles == {}
    assert room.count == 0
