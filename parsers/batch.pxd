cimport cython

@cython.final
cdef class Batch:
    cdef readonly Py_ssize_t capacity
    cdef public Py_ssize_t count
    cdef public long long first_frame, now_ns
    cdef public const unsigned char[:] wire
    cdef public long long[:] starts, ends, wire_lengths, times_ns, vlans, links

    cpdef void clear(self) noexcept nogil
    cpdef bint is_full(self) noexcept nogil
    @cython.locals(at=Py_ssize_t)
    cpdef int add(self, Py_ssize_t start, Py_ssize_t end, long long wire_length, long long time_ns,
                  long long vlan, long long link) except -1 nogil
