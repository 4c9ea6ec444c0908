cimport cython

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int CLIENT_HELLO, SERVER_HELLO
cdef Py_ssize_t HEADER_LENGTH, SERVER_HEADER_LENGTH

@cython.locals(have=Py_ssize_t, major=int, minor=int, length=Py_ssize_t, specs=Py_ssize_t,
               session=Py_ssize_t, challenge=Py_ssize_t)
cpdef int fits(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
@cython.locals(at=Py_ssize_t, stop=Py_ssize_t, specs=Py_ssize_t, session=Py_ssize_t, challenge=Py_ssize_t)
cpdef object read(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end)
cpdef object read_server(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end)
cdef tuple _suites(const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
