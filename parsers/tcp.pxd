cimport cython

from parsers.frame cimport Frame

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int MALFORMED, TRUNCATED

@cython.locals(at=Py_ssize_t, have=Py_ssize_t, header=Py_ssize_t)
cpdef int read(const unsigned char[:] wire, Frame frame) except -1 nogil
cdef unsigned int _number(const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
