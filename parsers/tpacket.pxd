cimport cython

from parsers.batch cimport Batch

cdef int FOUND, NEED_MORE, NO_MATCH
cdef Py_ssize_t BLOCK_HEADER_LENGTH, FRAME_HEADER_LENGTH
cdef unsigned int VLAN_VALID
cdef int OUTGOING, ARPHRD_ETHER, ARPHRD_LOOPBACK, LINK_ETHERNET, LINK_RAW, LINK_UNKNOWN
cdef int NO_VLAN
cdef long long SECOND_NS

@cython.final
cdef class Tpacket:
    cdef public int answer
    cdef public bint big_endian
    cdef public long long left, frames, skipped, damaged, lost, offset_ns, step_ns, now_ns

    @cython.locals(first=Py_ssize_t)
    cpdef Py_ssize_t open(self, const unsigned char[:] wire, Py_ssize_t start,
                          Py_ssize_t end) except -1 nogil
    @cython.locals(at=Py_ssize_t, frame=Py_ssize_t, following=Py_ssize_t, captured=Py_ssize_t,
                   device=int, seconds="long long", time_ns="long long", vlan=int,
                   length="long long")
    cpdef Py_ssize_t walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          Batch batch) except -1 nogil
    @cython.locals(before="long long", ahead="long long", ahead_before="long long")
    cdef long long _nearer(self, long long time_ns) noexcept nogil
    cdef Py_ssize_t _give_up(self, Py_ssize_t end) noexcept nogil
    cdef unsigned int _number(self, const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
    cdef int _short(self, const unsigned char[:] wire, Py_ssize_t at) except -1 nogil

cpdef int link_type(int device) noexcept nogil
