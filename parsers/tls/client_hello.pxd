cimport cython

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int CLIENT_HELLO, SERVER_NAME, SUPPORTED_GROUPS, EC_POINT_FORMATS, SIGNATURE_ALGORITHMS
cdef int ALPN, SUPPORTED_VERSIONS
cdef Py_ssize_t HEADER_LENGTH, SHORTEST

@cython.locals(have=Py_ssize_t, length=Py_ssize_t, at=Py_ssize_t)
cpdef int fits(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
@cython.locals(at=Py_ssize_t, length=Py_ssize_t, stop=Py_ssize_t, size=Py_ssize_t,
               legacy_version=int, found=_Extensions, complete=bint)
cpdef object read(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, int record_version)

@cython.final
cdef class _Extensions:
    cdef tuple alpn, groups, point_formats, signature_algorithms, supported_versions
    cdef bytes server_name
    cdef bint repeated
    cdef list types

    @cython.locals(stop=Py_ssize_t, size=Py_ssize_t, kind=int, sound=bint)
    cdef bint read(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end) except? 1
    @cython.locals(size=Py_ssize_t)
    cdef object _one(self, const unsigned char[:] wire, int kind, Py_ssize_t at, Py_ssize_t end)

cdef tuple _numbers(const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
@cython.locals(size=Py_ssize_t)
cdef tuple _list_of_numbers(const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
@cython.locals(size=Py_ssize_t, kind=int)
cdef bytes _server_name(const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
@cython.locals(size=Py_ssize_t)
cdef tuple _protocol_names(const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
