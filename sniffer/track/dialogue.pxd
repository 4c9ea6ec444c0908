cimport cython

from sniffer.track.streams cimport Streams

cdef Py_ssize_t SLOT_WORDS, STATE, HALF_0, HALF_WORDS, PHASE, WANT
cdef long long PROTOCOL_SHIFT, PROTOCOL_BITS, ASKED
cdef int DIALOGUE, UPGRADED
cdef Py_ssize_t LONGEST_FIRST_PIECE

@cython.final
cdef class Dialogues:
    cdef Streams streams
    cdef long long[:] words

    @cython.locals(words="long long[:]")
    cdef bint begins(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                     Py_ssize_t half) except -1
    @cython.locals(words="long long[:]", base=Py_ssize_t, half=Py_ssize_t)
    cdef Py_ssize_t read_line(self, Py_ssize_t slot, int direction, Py_ssize_t handle, long long at,
                              long long reach) except? -2
