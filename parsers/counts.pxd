cimport cython

cdef Py_ssize_t KINDS

@cython.final
cdef class Counts:
    cdef long long[:] _numbers, _counts
    cdef readonly Py_ssize_t kinds
    cdef readonly long long rest

    @cython.locals(at=Py_ssize_t)
    cpdef Py_ssize_t add(self, long long number) except -1 nogil
    cpdef dict told(self)
