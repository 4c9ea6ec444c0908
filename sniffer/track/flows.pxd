cimport cython
from libc.stdint cimport uint64_t

from parsers.frame cimport Frame

cdef Py_ssize_t WAYS, SLOT_WORDS, LAST_SEEN, STATE
cdef long long SETTLED
cdef int CROWDED, SECOND_SHIFT
cdef unsigned long long FREE, MASK, START_0, START_1, START_2, START_3
cdef int FINISH_ROUNDS

@cython.final
cdef class Flows:
    cdef unsigned long long[:] block
    cdef public int direction
    cdef unsigned long long key_0, key_1
    cdef readonly Py_ssize_t sets, slots
    cdef public unsigned long long tag
    cdef public unsigned long long[:] tags
    cdef public long long[:] words

    @cython.locals(slot=Py_ssize_t)
    cpdef Py_ssize_t locate(self, const unsigned char[:] wire, Frame frame) except? -1 nogil
    @cython.locals(first=Py_ssize_t, second=Py_ssize_t, used=int, spare=Py_ssize_t)
    cpdef Py_ssize_t choose(self) except -1 nogil
    @cython.locals(word=Py_ssize_t)
    cpdef Py_ssize_t claim(self, Py_ssize_t slot) except -1 nogil
    cpdef Py_ssize_t release(self, Py_ssize_t slot) except -1 nogil
    cdef Py_ssize_t _first(self) except -1 nogil
    cdef Py_ssize_t _second(self) except -1 nogil
    @cython.locals(slot=Py_ssize_t)
    cdef Py_ssize_t _find(self, Py_ssize_t start, unsigned long long tag) except? -1 nogil
    @cython.locals(slot=Py_ssize_t, used=int)
    cdef int _used(self, Py_ssize_t start) except -1 nogil
    @cython.locals(words="long long[:]", slot=Py_ssize_t, at=Py_ssize_t, best_at=Py_ssize_t,
                   settled="long long")
    cdef Py_ssize_t _spare(self, Py_ssize_t start, Py_ssize_t best) except -1 nogil
    @cython.locals(source=Py_ssize_t, destination=Py_ssize_t, octets=int, direction=int, at=int,
                   low_port="unsigned long long", high_port="unsigned long long",
                   block="unsigned long long[:]", count=int, step=int,
                   v0="unsigned long long", v1="unsigned long long", v2="unsigned long long",
                   v3="unsigned long long", tag="unsigned long long")
    cdef uint64_t _hash(self, const unsigned char[:] wire, Frame frame) except? 0 nogil
    @cython.locals(word="unsigned long long", index=int)
    cdef uint64_t _word(self, const unsigned char[:] wire, Py_ssize_t at, int octets) except? 0 nogil
