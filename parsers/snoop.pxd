cimport cython

from parsers.batch cimport Batch

cdef int FOUND, NEED_MORE, NO_MATCH
cdef Py_ssize_t HEADER_LENGTH, RECORD_LENGTH
cdef unsigned int LONGEST_FRAME, LONGEST_PADDING
cdef int NO_VLAN

@cython.final
cdef class Snoop:
    cdef public int answer
    cdef public int link
    cdef public long long dropped

    cpdef int open(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t, frame=Py_ssize_t, seconds="long long", fraction="long long",
                   captured="unsigned int", original="unsigned int", length="unsigned int",
                   time_ns="long long")
    cpdef Py_ssize_t walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          Batch batch) except -1 nogil
    cdef unsigned int _number(self, const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
