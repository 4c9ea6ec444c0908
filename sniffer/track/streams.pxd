cimport cython
from libc.stdint cimport int64_t, uint64_t

from parsers.frame cimport Frame
from parsers.tls cimport client_hello
from parsers.tls cimport record as tls_record
from sniffer.track.flows cimport Flows
from sniffer.track.reassembly cimport Reassembly

cdef int ACK, FIN, RST, RECORD_HANDSHAKE
cdef Py_ssize_t LAST_SEEN, SLOT_WORDS, STATE, HALF_0, HALF_WORDS, ORIGIN, AT, TOP, PHASE, BUFFER, WANT, ACKED
cdef long long CLIENT_KNOWN, CLIENT_IS_1, SEEN_0, SEEN_1, SYN_SEEN, ONE_SIDED, SETTLED, ENDING, HOLDS_BACK, HOPS_SHIFT, SAID_HELLO
cdef int FRESH, DIALOGUE, START, LOST, OTHER, NO_ROOM
cdef long long WINDOW, HELD_BACK, RESET_WINDOW, HALF_RING, RING, LARGEST
cdef int FOLLOWED_BITS, FOLLOWED_ENOUGH
cdef unsigned long long SYN_ENTRIES, SYN_CLIENT, SYN_SERVER, SYN_CLIENT_IS_1, SYN_BOTH
cdef Py_ssize_t SYN_WAYS
cdef int SYN_SHIFT
cdef unsigned long long END_SEEN, END_IS_RESET, END_IS_FROM_1
cdef int END_HOPS_SHIFT

@cython.final
cdef class Streams:
    cdef readonly Flows flows
    cdef long long[:] words
    cdef readonly Reassembly reassembly
    cdef unsigned long long[:] syns
    cdef unsigned char[:] syn_hops
    cdef unsigned long long[:] ends
    cdef readonly long long wanted, one_sided, filtered_bytes, unseen_bytes, early_end

    @cython.locals(top=int64_t, delta=int64_t)
    cdef int64_t offset(self, Py_ssize_t half, unsigned int sequence) except? -1 nogil
    @cython.locals(words="long long[:]", length=int64_t, offset=int64_t, at=Py_ssize_t, is_near=bint,
                   state=int64_t)
    cdef bint is_same(self, const unsigned char[:] wire, Frame frame, Py_ssize_t half) except -1 nogil
    @cython.locals(words="long long[:]", offset=int64_t)
    cdef int note_acknowledgement(self, Frame frame, Py_ssize_t half) except -1 nogil
    @cython.locals(words="long long[:]", handle=Py_ssize_t, at=int64_t)
    cdef int64_t reach(self, Py_ssize_t half) except? -1

    cdef bint may_hold_back(self, Py_ssize_t slot, int direction) except -1 nogil
    @cython.locals(direction=int, length=int64_t)
    cdef int note_passed_over(self, Py_ssize_t slot, Frame frame) except -1 nogil
    @cython.locals(words="long long[:]", half=Py_ssize_t, offset=int64_t, ahead=int64_t,
                   furthest=int64_t, late=int64_t)
    cdef int _pass_over(self, Py_ssize_t slot, int direction, unsigned int sequence,
                        long long length) except -1 nogil
    @cython.locals(half=Py_ssize_t, missing=int64_t)
    cdef int _note_missing(self, Py_ssize_t slot, int direction) except -1 nogil
    @cython.locals(direction=int)
    cdef int note_end(self, Py_ssize_t slot) except -1 nogil
    @cython.locals(half=Py_ssize_t, ahead=int64_t)
    cdef int raise_top(self, Py_ssize_t slot, int direction, long long offset) except -1 nogil

    @cython.locals(half=Py_ssize_t, handle=Py_ssize_t, reach=int64_t, island=int64_t)
    cdef int note_gap(self, Py_ssize_t slot, int direction) except -1
    cdef int64_t ready(self, Py_ssize_t half) except? -1
    @cython.locals(at=int64_t, start=Py_ssize_t, octets=int64_t, handle=Py_ssize_t)
    cdef bytes held(self, Py_ssize_t half, Py_ssize_t most)

    @cython.locals(entry=Py_ssize_t, at=Py_ssize_t, tag=uint64_t, said=uint64_t, client=uint64_t, server=uint64_t,
                   sequence=uint64_t, acknowledged=uint64_t, client_is_1=bint)
    cdef int note_syn(self, Frame frame) except -1 nogil
    @cython.locals(entry=Py_ssize_t)
    cdef int note_early_end(self, Frame frame) except -1 nogil
    @cython.locals(tag=uint64_t, first=Py_ssize_t, entry=Py_ssize_t)
    cdef Py_ssize_t _syn_entry(self) except? -1 nogil
    @cython.locals(first=Py_ssize_t, last=Py_ssize_t, entry=Py_ssize_t)
    cdef Py_ssize_t _free_syn_entry(self) except -1 nogil
    cdef Py_ssize_t _syn_set(self) except -1 nogil
    @cython.locals(flows=Flows, words="long long[:]", base=Py_ssize_t, half=Py_ssize_t, state=int64_t,
                   entry=Py_ssize_t, at=Py_ssize_t, said=uint64_t)
    cdef Py_ssize_t begin(self, Py_ssize_t slot, long long now_ns, int client) except -1

    @cython.locals(state=int64_t)
    cdef bint is_server(self, Py_ssize_t slot, int direction) except -1 nogil
    @cython.locals(base=Py_ssize_t, state=int64_t)
    cdef int know_client(self, Py_ssize_t slot, int direction) except -1
    @cython.locals(slot=Py_ssize_t)
    cdef int finish(self) except -1 nogil
    @cython.locals(at=Py_ssize_t, seen=int64_t)
    cdef int note_one_sided(self, Py_ssize_t slot) except -1 nogil

    @cython.locals(words="long long[:]", half=Py_ssize_t, reassembly=Reassembly, at=int64_t, size=int64_t,
                   handle=Py_ssize_t, wider=Py_ssize_t)
    cdef int64_t keep(self, const unsigned char[:] wire, Py_ssize_t slot, int direction, long long offset,
                      Py_ssize_t start, Py_ssize_t end, long long now_ns) except? -2
    @cython.locals(half=Py_ssize_t)
    cdef int drop_buffer(self, Py_ssize_t slot, int direction) except -1

@cython.locals(word=uint64_t)
cpdef uint64_t end_of(Frame frame, int direction) except? 0 nogil
