cimport cython

from parsers.frame cimport Frame
from sniffer.track.ends cimport flow_of
from sniffer.track.streams cimport Streams

cdef Py_ssize_t SLOT_WORDS, STATE, HALF_0, HALF_WORDS, PHASE, WANT
cdef long long PROTOCOL_SHIFT, ASKED
cdef int DIALOGUE, UPGRADED
cdef int NO_USE, NOT_WHOLE
cdef Py_ssize_t LONGEST_FIRST_PIECE, MOST_TALKS

@cython.final
cdef class Dialogues:
    cdef Streams streams
    cdef long long[:] words
    cdef long long hold_ns
    cdef object path, held
    cdef readonly dict talks
    cdef readonly long long evicted

    @cython.locals(words="long long[:]")
    cdef bint begins(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, Py_ssize_t slot,
                     Py_ssize_t half, long long now_ns) except -1
    cdef bint greets(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, Py_ssize_t slot,
                     Py_ssize_t half, long long now_ns) except -1
    @cython.locals(base=Py_ssize_t, half=Py_ssize_t)
    cdef Py_ssize_t read_client(self, const unsigned char[:] wire, Frame frame, long long number,
                                long long time_ns, Py_ssize_t slot, int direction) except? -2
    cdef Py_ssize_t read_server(self, Py_ssize_t slot, int direction) except? -2
    cdef object _join(self, Py_ssize_t slot, Py_ssize_t half, long long now_ns)
    cdef tuple _line(self, Py_ssize_t half)
