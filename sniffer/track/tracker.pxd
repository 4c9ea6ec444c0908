cimport cython
from libc.stdint cimport int64_t, uint64_t

from parsers cimport decode
from parsers.batch cimport Batch
from parsers.counts cimport Counts
from parsers.frame cimport Frame
from parsers.tls cimport client_hello, server_hello, sslv2
from parsers.tls cimport alert as tls_alert
from parsers.tls cimport record as tls_record
from parsers.tls.message cimport Message
from parsers.tls.record cimport Record
from sniffer.track.flows cimport Flows
from sniffer.track.reassembly cimport Reassembly

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int FIN, SYN, RST, ACK
cdef Py_ssize_t LAST_SEEN, SLOT_WORDS, STATE, HALF_0, HALF_WORDS, ORIGIN, AT, TOP, PHASE, BUFFER, WANT, ACKED
cdef long long CLIENT_KNOWN, CLIENT_IS_1, SEEN_0, SEEN_1, SYN_SEEN, SETTLED, OPEN, GUESSED, ONE_SIDED
cdef long long PROTOCOL_SHIFT, PROTOCOL_BITS, ASKED, ENDING, HOPS_SHIFT, HOPS_BITS
cdef int FRAGMENT, FRAGMENTED, READ, NOTHING, TUNNEL_FIELDS, MOST_TUNNELS
cdef int FRESH, START, JOINED, RECORDS, CIPHER, LOST, OTHER, DIALOGUE, UPGRADED
cdef int RECORD_CHANGE_CIPHER_SPEC, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_APPLICATION_DATA
cdef int MOST_ISLANDS
cdef long long WINDOW, RESET_WINDOW, LONGEST_EARLY_ANSWER, HALF_RING, RING, LARGEST
cdef long long SESSION_NS, SECOND_NS
cdef unsigned long long SYN_ENTRIES, SYN_CLIENT, SYN_SERVER, SYN_CLIENT_IS_1

@cython.final
cdef class Tracker:
    cdef readonly Frame frame
    cdef Record record
    cdef Message message
    cdef readonly Flows flows
    cdef long long[:] words
    cdef readonly Reassembly reassembly
    cdef unsigned long long[:] syns
    cdef unsigned char[:] syn_hops
    cdef list attempts
    cdef unsigned char[:] watched
    cdef bint follow_any, ordered, is_sslv2, final, closing
    cdef long long answer_ns, next_deadline_ns, number, time_ns
    cdef Py_ssize_t most_open, slot, index, behind
    cdef readonly Py_ssize_t open_count
    cdef object path, waiting, ending
    cdef list order, settled, internal_errors
    cdef long long serial
    cdef readonly long long now_ns, first_ns, frames, bytes, truncated, backwards, flow_count, open_flows
    cdef readonly long long one_sided, hellos, unseen_bytes, evicted_flows, evicted_buffers
    cdef readonly long long evicted_attempts, internal
    cdef long long[:] undecoded, incomplete
    cdef Counts ethertypes
    cdef object fragments
    cdef Batch whole

    @cython.locals(at=Py_ssize_t)
    cpdef object observe(self, Batch batch)
    cpdef object tick(self, long long now_ns)
    cpdef list ready(self)
    cpdef object finish(self)

    @cython.locals(index=Py_ssize_t, time_ns=int64_t, captured=int64_t)
    cdef Py_ssize_t _scan(self, Batch batch, Py_ssize_t start, Frame frame, Flows flows) except -1 nogil
    @cython.locals(words="long long[:]", slot=Py_ssize_t, at=Py_ssize_t, half=Py_ssize_t)
    cdef bint _matters(self, const unsigned char[:] wire, Frame frame, Flows flows) except -1 nogil
    @cython.locals(words="long long[:]", length=int64_t, offset=int64_t, at=Py_ssize_t)
    cdef bint _is_same_stream(self, const unsigned char[:] wire, Frame frame, Py_ssize_t half) except -1 nogil
    @cython.locals(words="long long[:]", offset=int64_t)
    cdef int _note_acknowledgement(self, Frame frame, Py_ssize_t half) except -1 nogil
    @cython.locals(top=int64_t, delta=int64_t)
    cdef int64_t _offset(self, Py_ssize_t half, unsigned int sequence) except? -1 nogil
    @cython.locals(at=Py_ssize_t, tag=uint64_t, said=uint64_t, client=uint64_t, server=uint64_t,
                   sequence=uint64_t, acknowledged=uint64_t, client_is_1=bint)
    cdef int _note_syn(self, Frame frame) except -1 nogil
    @cython.locals(slot=Py_ssize_t)
    cdef int _count_one_sided(self) except -1 nogil
    @cython.locals(at=Py_ssize_t, seen=int64_t)
    cdef int _note_one_sided(self, Py_ssize_t slot) except -1 nogil

    @cython.locals(frame=Frame, slot=Py_ssize_t, direction=int, words="long long[:]", base=Py_ssize_t,
                   half=Py_ssize_t, length=int64_t, offset=int64_t)
    cdef object _segment(self, Batch batch, Py_ssize_t index)
    @cython.locals(half=Py_ssize_t, first=int64_t)
    cdef bint _is_new_connection(self, Py_ssize_t slot, int direction) except? 1
    @cython.locals(flows=Flows, frame=Frame, slot=Py_ssize_t, words="long long[:]", base=Py_ssize_t,
                   half=Py_ssize_t, state=int64_t, at=Py_ssize_t, said=uint64_t, client=int,
                   to_server=bint)
    cdef Py_ssize_t _enter(self) except -1
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, phase=int, server=bint)
    cdef object _payload(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(state=int64_t)
    cdef bint _is_server(self, Py_ssize_t slot, int direction) except? 1
    @cython.locals(words="long long[:]", half=Py_ssize_t, furthest=int64_t)
    cdef object _end(self, Py_ssize_t slot, int direction, long long offset, bint is_reset)
    @cython.locals(half=Py_ssize_t, other=Py_ssize_t)
    cdef object _check_end(self, Py_ssize_t slot)
    @cython.locals(words="long long[:]", handle=Py_ssize_t)
    cdef int64_t _reach(self, Py_ssize_t half) except? -1
    cdef object _side(self, object attempt, int direction)

    @cython.locals(frame=Frame, half=Py_ssize_t, first=int)
    cdef object _early_answer(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(frame=Frame, words="long long[:]", half=Py_ssize_t, at=int64_t, start=Py_ssize_t,
                   end=Py_ssize_t, handle=Py_ssize_t, answer=int, before=int64_t, reach=int64_t,
                   first=Py_ssize_t)
    cdef object _seek_hello(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(message=Message, answer=int, fit=int, length=Py_ssize_t)
    cdef int _look(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, Py_ssize_t half) except -1
    @cython.locals(message=Message)
    cdef bint _begins_with_hello(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except? 1
    @cython.locals(base=Py_ssize_t, other=Py_ssize_t)
    cdef object _no_hello(self, Py_ssize_t slot, int direction)
    @cython.locals(words="long long[:]", half=Py_ssize_t)
    cdef object _accept_cut(self, Py_ssize_t slot, int direction, int reason)
    cdef object _begin(self, const unsigned char[:] wire, Py_ssize_t slot, int direction)
    cdef object _new_attempt(self, Py_ssize_t slot, int direction, object flow)
    @cython.locals(words="long long[:]", half=Py_ssize_t, message=Message)
    cdef object _found(self, object attempt, Py_ssize_t slot, int direction)
    @cython.locals(base=Py_ssize_t, state=int64_t)
    cdef object _know_client(self, Py_ssize_t slot, int direction)
    cdef object _go_on(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, frame=Frame, phase=int,
                   answer=int64_t)
    cdef object _expect_answer(self, Py_ssize_t slot, int direction)
    @cython.locals(frame=Frame, size=int)
    cdef object _flow(self, const unsigned char[:] wire)

    @cython.locals(frame=Frame, words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, at=int64_t,
                   start=Py_ssize_t, end=Py_ssize_t, stop=int64_t)
    cdef object _records(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, handle=Py_ssize_t,
                   reassembly=Reassembly, at=int64_t, reach=int64_t, start=Py_ssize_t)
    cdef object _read_buffer(self, Py_ssize_t slot, int direction)
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, record=Record, first=int64_t,
                   at=Py_ssize_t, want=Py_ssize_t, answer=int, content=int, after=Py_ssize_t)
    cdef Py_ssize_t _walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          Py_ssize_t slot, int direction) except -1
    @cython.locals(message=Message, answer=int, body=Py_ssize_t, wanted=int)
    cdef Py_ssize_t _handshake(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end,
                               Py_ssize_t slot, object side) except -1
    @cython.locals(record=Record)
    cdef bint _begins_with_record(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except? 1
    @cython.locals(record=Record, at=Py_ssize_t, after=Py_ssize_t)
    cdef Py_ssize_t _find_record(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, reassembly=Reassembly,
                   handle=Py_ssize_t, at=int64_t, island=int64_t, stop=int64_t, start=Py_ssize_t,
                   end=Py_ssize_t, _=int)
    cdef object _read_to_the_end(self, Py_ssize_t slot, int direction)
    @cython.locals(words="long long[:]", half=Py_ssize_t, reassembly=Reassembly, at=int64_t, size=int64_t,
                   handle=Py_ssize_t, wider=Py_ssize_t, owner=int64_t)
    cdef int64_t _keep(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset,
                       Py_ssize_t start, Py_ssize_t end) except? -1
    @cython.locals(half=Py_ssize_t)
    cdef object _give_up_buffer(self, Py_ssize_t slot, int direction)
    @cython.locals(half=Py_ssize_t)
    cdef object _drop_buffer(self, Py_ssize_t slot, int direction)
    cdef object _expire(self)
    cdef object _let_go(self, Py_ssize_t slot)
    cdef object _forget(self, Py_ssize_t slot, int reason)
    cdef object _next(self)

    cdef object _abandon(self, Py_ssize_t slot)
    @cython.locals(words="long long[:]")
    cdef bint _is_dialogue(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                           Py_ssize_t slot, Py_ssize_t half) except -1
    cdef object _dialogue(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset)
    cdef object _read_lines(self, const unsigned char[:] wire, Py_ssize_t slot, int direction)
    cdef Py_ssize_t _read_line(self, Py_ssize_t slot, Py_ssize_t half, Py_ssize_t handle, long long at,
                               long long reach) except? -2
    cdef Py_ssize_t _hear_answer(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                                 object attempt) except? -2
    cdef object _found_in_buffer(self, object attempt, Py_ssize_t slot, int direction, long long after)
    cdef list _tunnels(self, const unsigned char[:] wire)
    cdef object _fragment(self, Batch batch, Py_ssize_t index)
    cdef object _follow_whole(self, Batch batch, Py_ssize_t index, bytes packet, bytes outer, list tunnels, int link)
    cdef object _await_end(self, object attempt)
    cdef object _session(self, object attempt)
