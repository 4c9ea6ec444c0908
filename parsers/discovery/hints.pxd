cimport cython

cdef int SHORTEST_WORD, LONGEST_WORD

@cython.final
cdef class Hints:
    cdef unsigned char[:] begins, words
    cdef long long[:] lengths
    cdef public int count
    cdef public bint tell

    @cython.locals(at=Py_ssize_t, octet=int, before=int)
    cpdef bint found(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
    @cython.locals(number=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t, octet=int)
    cdef bint _stands(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
