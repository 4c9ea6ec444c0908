cimport cython

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int SERVER_HELLO, ALPN, SUPPORTED_VERSIONS
cdef Py_ssize_t HEADER_LENGTH, SHORTEST, LONGEST

@cython.locals(have=Py_ssize_t, length=Py_ssize_t, at=Py_ssize_t)
cpdef int fits(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
@cython.locals(at=Py_ssize_t, stop=Py_ssize_t, size=Py_ssize_t, kind=int, legacy_version=int, suite=int)
cpdef object read(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, int record_version)
