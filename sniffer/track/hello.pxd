cimport cython

from parsers.tls cimport client_hello, sslv2
from parsers.tls.message cimport Message

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int JOINED, START, UPGRADED
cdef Py_ssize_t LONGEST_OCTETS

@cython.final
cdef class HelloReader:
    cdef readonly Message message
    cdef readonly bint is_sslv2

    @cython.locals(message=Message, answer=int, fit=int, length=Py_ssize_t)
    cdef int look(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, int phase) except -1
    @cython.locals(message=Message)
    cdef bint begins(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except? 1
    @cython.locals(message=Message)
    cdef object read(self)
    @cython.locals(message=Message)
    cdef object octets(self)
