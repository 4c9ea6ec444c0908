cimport cython
from libc.stdint cimport int64_t

from parsers cimport decode
from parsers.batch cimport Batch
from parsers.counts cimport Counts
from parsers.discovery.hints cimport Hints
from parsers.frame cimport Frame
from sniffer.track.agenda cimport Agenda
from sniffer.track.dialogue cimport Dialogues
from sniffer.track.ends cimport flow_of
from sniffer.track.flows cimport Flows
from sniffer.track.hello cimport HelloReader
from sniffer.track.reassembly cimport Reassembly
from sniffer.track.records cimport Records
from sniffer.track.streams cimport Streams, end_of

cdef int FOUND, NO_MATCH
cdef int FIN, SYN, RST, ACK
cdef Py_ssize_t LAST_SEEN, SLOT_WORDS, STATE, HALF_0, HALF_WORDS, ORIGIN, AT, TOP, PHASE, BUFFER, WANT, ACKED
cdef long long SEEN_0, SEEN_1, CLIENT_KNOWN, SYN_SEEN, SETTLED, OPEN, GUESSED
cdef long long PROTOCOL_SHIFT, PROTOCOL_BITS, ASKED, ENDING, HOLDS_BACK, SAID_HELLO, HOPS_SHIFT, HOPS_BITS
cdef int FRAGMENT, ASIDE, DATAGRAM, FRAGMENTED, READ, LLDP, AS_DESTINATION, AS_HINTED, AS_SOURCE
cdef int FRESH, START, JOINED, RECORDS, CIPHER, LOST, OTHER, DIALOGUE, UPGRADED
cdef int DONE, RENEGOTIATED, NO_ROOM, NO_USE, NOT_WHOLE
cdef long long END_IS_RESET, END_IS_FROM_1
cdef int END_HOPS_SHIFT
cdef long long WINDOW, RESET_WINDOW, LONGEST_EARLY_ANSWER, RING, LARGEST

@cython.final
cdef class Tracker:
    cdef readonly Frame frame
    cdef readonly Streams streams
    cdef readonly Flows flows
    cdef long long[:] words
    cdef readonly Reassembly reassembly
    cdef object datagrams, evidence, discovery
    cdef Dialogues dialogues
    cdef HelloReader hello
    cdef Records records
    cdef Agenda agenda
    cdef list attempts, internal_errors
    cdef unsigned char[:] watched, implicit
    cdef dict early_ends
    cdef const unsigned char[:] listened
    cdef Hints hints
    cdef bint hears_lldp
    cdef bint behind_filter, follow_any, keeps_syns, keeps_octets, is_over
    cdef long long number, time_ns
    cdef Py_ssize_t slot, index
    cdef readonly long long now_ns, first_ns, frames, bytes, truncated, backwards, flow_count, open_flows
    cdef readonly long long evicted_flows, evicted_buffers, internal
    cdef long long[:] undecoded
    cdef Counts ethertypes

    @cython.locals(at=Py_ssize_t)
    cpdef object observe(self, Batch batch)
    cpdef object tick(self, long long now_ns)
    cpdef list ready(self)
    cpdef object finish(self)

    @cython.locals(index=Py_ssize_t, time_ns=int64_t, captured=int64_t)
    cdef Py_ssize_t _scan(self, Batch batch, Py_ssize_t start, Frame frame, Flows flows) except -1 nogil
    @cython.locals(words="long long[:]", slot=Py_ssize_t, at=Py_ssize_t, half=Py_ssize_t)
    cdef bint _matters(self, const unsigned char[:] wire, Frame frame, Flows flows) except -1 nogil
    cdef object _fragment(self, Batch batch, Py_ssize_t index)
    cdef object _hear(self, Batch batch, Py_ssize_t index)

    @cython.locals(frame=Frame, slot=Py_ssize_t, direction=int, words="long long[:]", base=Py_ssize_t,
                   half=Py_ssize_t, length=int64_t, offset=int64_t, is_near=bint)
    cdef object _segment(self, Batch batch, Py_ssize_t index)
    @cython.locals(half=Py_ssize_t, other=Py_ssize_t, first=int64_t)
    cdef bint _is_new_connection(self, Py_ssize_t slot, int direction) except? 1
    @cython.locals(flows=Flows, frame=Frame, slot=Py_ssize_t, client=int, to_server=bint)
    cdef Py_ssize_t _enter(self) except -1
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, phase=int, server=bint)
    cdef object _payload(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(words="long long[:]", half=Py_ssize_t, furthest=int64_t, direction=int, is_reset=bint)
    cdef object _end(self, Py_ssize_t slot, long long offset, long long end)
    cdef object _note_end(self, Py_ssize_t slot, long long end)
    cdef object _check_end(self, Py_ssize_t slot)
    @cython.locals(place=Py_ssize_t, other=Py_ssize_t)
    cdef bint _is_read(self, Py_ssize_t half, long long offset) except? 1

    @cython.locals(frame=Frame, half=Py_ssize_t, first=int)
    cdef object _early_answer(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(frame=Frame, words="long long[:]", half=Py_ssize_t, at=int64_t, start=Py_ssize_t,
                   end=Py_ssize_t, handle=Py_ssize_t, answer=int, before=int64_t, reach=int64_t,
                   first=Py_ssize_t)
    cdef object _seek_hello(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(base=Py_ssize_t, other=Py_ssize_t)
    cdef object _no_hello(self, Py_ssize_t slot, int direction)
    cdef object _abandon(self, Py_ssize_t slot)
    @cython.locals(frame=Frame, half=Py_ssize_t, is_lost=bint)
    cdef object _dialogue(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset,
                          bint is_server)
    cdef object _ignore(self, Py_ssize_t slot, int direction)
    @cython.locals(words="long long[:]", half=Py_ssize_t, reassembly=Reassembly, at=int64_t, first=Py_ssize_t,
                   end=Py_ssize_t, answer=int, used=Py_ssize_t)
    cdef object _read_lines(self, const unsigned char[:] wire, Py_ssize_t slot, int direction)
    @cython.locals(half=Py_ssize_t, used=Py_ssize_t)
    cdef object _read_answers(self, Py_ssize_t slot, int direction)
    @cython.locals(half=Py_ssize_t, handle=Py_ssize_t)
    cdef object _step(self, Py_ssize_t slot, int direction, Py_ssize_t octets)
    @cython.locals(words="long long[:]", half=Py_ssize_t)
    cdef object _accept_cut(self, Py_ssize_t slot, int direction, int reason)
    cdef object _begin(self, const unsigned char[:] wire, Py_ssize_t slot, int direction)
    cdef object _new_attempt(self, Py_ssize_t slot, int direction, object flow)
    @cython.locals(words="long long[:]", half=Py_ssize_t)
    cdef object _found(self, object attempt, Py_ssize_t slot, int direction)
    cdef object _found_in_buffer(self, object attempt, Py_ssize_t slot, int direction, long long after)
    cdef object _go_on(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, frame=Frame, phase=int,
                   answer=int64_t)
    cdef object _expect_answer(self, Py_ssize_t slot, int direction)

    @cython.locals(answer=int)
    cdef object _take_records(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    cdef object _read_buffer(self, Py_ssize_t slot, int direction)
    cdef object _renegotiate(self, object attempt)
    cdef object _check_outcome(self, object attempt)
    cdef object _await_end(self, object attempt)
    cdef object _note_session(self, object attempt)
    @cython.locals(kept=int64_t)
    cdef int64_t _keep(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset,
                       Py_ssize_t start, Py_ssize_t end) except? -1
    @cython.locals(owner=int64_t)
    cdef bint _make_room(self, Py_ssize_t slot) except? 1
    @cython.locals(half=Py_ssize_t)
    cdef object _give_up_buffer(self, Py_ssize_t slot, int direction)

    cdef object _expire(self)
    cdef object _let_go(self, Py_ssize_t slot)
    cdef object _forget(self, Py_ssize_t slot, int reason)
