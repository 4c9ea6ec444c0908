cimport cython

cdef long long SESSION_NS
cdef Py_ssize_t FEW_WAITING

@cython.final
cdef class Agenda:
    cdef long long answer_ns
    cdef Py_ssize_t most_open
    cdef bint ordered
    cdef object path, waiting, ending, evidence
    cdef list order, settled
    cdef readonly Py_ssize_t open_count
    cdef long long serial, from_ns, until_ns
    cdef readonly long long next_deadline_ns, hellos, evicted
    cdef readonly list incomplete

    cdef object add(self, object attempt, long long now_ns)
    @cython.locals(deadline_ns="long long")
    cdef object wait(self, object attempt, long long now_ns)
    cdef object wait_for_end(self, object attempt, long long now_ns)
    cdef object due(self, long long now_ns)
    cdef object surplus(self)
    cdef object close(self, object attempt)
    cdef bint is_told(self, long long time_ns) except -1
    cpdef list ready(self)
    cdef object _emit(self, object attempt)
    cdef object _next(self)
