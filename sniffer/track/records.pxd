cimport cython
from libc.stdint cimport int64_t

from parsers.frame cimport Frame
from parsers.tls cimport client_hello, server_hello, sslv2
from parsers.tls cimport alert as tls_alert
from parsers.tls cimport record as tls_record
from parsers.tls.message cimport Message
from parsers.tls.record cimport Record
from sniffer.track.streams cimport Streams

cdef int FOUND, NEED_MORE, NO_MATCH
cdef Py_ssize_t SLOT_WORDS, HALF_0, HALF_WORDS, ACKED, AT, PHASE, BUFFER, WANT
cdef int RECORDS, CIPHER, LOST, OTHER, DONE, RENEGOTIATED, NO_ROOM
cdef int CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA
cdef int MOST_ISLANDS, MOST_RECORDS, LINE_COST, HELLO_COST, MOST_TRIES
cdef int FATAL, CLOSE_NOTIFY
cdef Py_ssize_t LONGEST_ANSWER, LONGEST_OCTETS, SHORTEST_ENCRYPTED_ALERT
cdef long long LARGEST

@cython.final
cdef class Records:
    cdef Streams streams
    cdef long long[:] words
    cdef Record record
    cdef Message message
    cdef readonly object again
    cdef object evidence
    cdef readonly long long unseen_bytes
    cdef Py_ssize_t behind
    cdef bint final, closing

    @cython.locals(words="long long[:]", slot=Py_ssize_t, half=Py_ssize_t, at=int64_t, start=Py_ssize_t,
                   end=Py_ssize_t, stop=int64_t, kept=int64_t, answer=int, is_held_back=bint)
    cdef int take(self, const unsigned char[:] wire, Frame frame, object attempt, int direction,
                  long long offset, long long now_ns) except? -2
    @cython.locals(words="long long[:]", slot=Py_ssize_t, half=Py_ssize_t, handle=Py_ssize_t, at=int64_t,
                   reach=int64_t, start=Py_ssize_t, answer=int)
    cdef int read_buffer(self, object attempt, int direction) except? -2
    cdef int read_to_the_end(self, object attempt, int direction) except? -2
    @cython.locals(words="long long[:]", slot=Py_ssize_t, half=Py_ssize_t, handle=Py_ssize_t, at=int64_t,
                   island=int64_t, stop=int64_t, start=Py_ssize_t, end=Py_ssize_t, answer=int, _=int)
    cdef int _read_over_gaps(self, object attempt, int direction) except? -2
    cdef int _note_gap(self, Py_ssize_t slot, int direction, long long octets) except -1
    @cython.locals(words="long long[:]", slot=Py_ssize_t, half=Py_ssize_t, record=Record, moved=int64_t,
                   at=Py_ssize_t, want=Py_ssize_t, answer=int, content=int, after=Py_ssize_t,
                   heard=Py_ssize_t, shown=Py_ssize_t, left=int,
                   said_cipher=bint, said_alert=bint, said_data=bint)
    cdef int _walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, object attempt,
                   int direction) except? -2
    @cython.locals(body=Py_ssize_t, wanted=int)
    cdef bint _may_be_hello(self, const unsigned char[:] wire, Py_ssize_t end, object attempt,
                            object side) except -1
    @cython.locals(message=Message, answer=int, is_short=bint)
    cdef Py_ssize_t _handshake(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end,
                               object attempt, object side) except -1
    @cython.locals(stop=Py_ssize_t, newline=Py_ssize_t)
    cdef Py_ssize_t _hear_answer(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                                 object attempt) except? -2
    @cython.locals(record=Record)
    cdef bint _begins_with_record(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except? 1
    @cython.locals(record=Record, at=Py_ssize_t, after=Py_ssize_t, left=int)
    cdef Py_ssize_t _find_record(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
