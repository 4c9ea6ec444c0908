cimport cython

from parsers.tls cimport record as tls_record
from parsers.tls.record cimport Record

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int HANDSHAKE
cdef Py_ssize_t HEADER_LENGTH
cdef int MOST_RECORDS

@cython.final
cdef class Message:
    cdef public Py_ssize_t after, end, start, want
    cdef public int kind
    cdef public unsigned int version
    cdef public bint whole, limited
    cdef public Record record
    cdef public const unsigned char[:] wire

    @cython.locals(record=Record, answer=int, length=Py_ssize_t)
    cpdef int read(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(record=Record, answer=int, length=Py_ssize_t, joined=bytearray, _=int)
    cdef int _join(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end) except -1
    cdef Py_ssize_t _length(self) except -1
