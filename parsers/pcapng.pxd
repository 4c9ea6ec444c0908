cimport cython
from libc.stdint cimport int64_t

from parsers.batch cimport Batch

cdef int FOUND, NEED_MORE, NO_MATCH
cdef unsigned int BYTE_ORDER_MAGIC, SECTION_HEADER, INTERFACE, PACKET, SIMPLE_PACKET, STATISTICS, ENHANCED_PACKET
cdef Py_ssize_t SHORTEST_BLOCK, SHORTEST_SECTION_HEADER, LONGEST_BLOCK, MOST_INTERFACES, LARGEST_PASSED_OVER
cdef int OPTION_END, OPTION_TSRESOL, OPTION_TSOFFSET
cdef int OPTION_DROPS, OPTION_INTERFACE_DROPS, OPTION_SYSTEM_DROPS, UNKNOWN_DROPS
cdef long long MOST_DROPS
cdef unsigned long long FARTHEST_NS, NS_A_SECOND, ONE
cdef long long FARTHEST_OFFSET
cdef int NO_VLAN, DECIMAL_COARSE, DECIMAL_FINE, BINARY
cdef Py_ssize_t _FIELDS, _LINK, _SNAP, _KIND, _UNIT, _OFFSET
cdef Py_ssize_t _LOST_BEFORE, _LOST_BY_INTERFACE, _LOST_BY_SYSTEM

@cython.final
cdef class Pcapng:
    cdef long long _dropped_before
    cdef public int answer
    cdef public bint big_endian, is_resumed
    cdef public Py_ssize_t after, followed, interface_count, large
    cdef public long long[:] interfaces
    cdef public long long last_ns
    cdef public str problem

    cpdef int open(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t, after=Py_ssize_t)
    cpdef Py_ssize_t walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          Batch batch) except -1
    cpdef bint ends_with(self, const unsigned char[:] wire, Py_ssize_t end,
                         Py_ssize_t length) except? 1
    @cython.locals(at=Py_ssize_t, length=Py_ssize_t, kind="unsigned int")
    cpdef int follow(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                     Py_ssize_t enough) except -1 nogil
    @cython.locals(at=Py_ssize_t, length=Py_ssize_t, interface=Py_ssize_t, captured=Py_ssize_t,
                   row=Py_ssize_t, frame=Py_ssize_t, options=Py_ssize_t, lost=Py_ssize_t)
    cdef Py_ssize_t _packets(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                             Batch batch) except -1 nogil
    cdef Py_ssize_t _block(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end,
                           Batch batch) except -1
    cdef bint _is_packet(self, unsigned int kind) noexcept nogil
    cdef object _forget_interfaces(self)
    cdef bint _packet(self, const unsigned char[:] wire, Py_ssize_t at, unsigned int kind,
                      Py_ssize_t length, Batch batch) except? 1
    cdef object _interface(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
    cdef object _statistics(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(option=Py_ssize_t, value=Py_ssize_t, word="unsigned int", code=int,
                   size=Py_ssize_t)
    cdef Py_ssize_t _find(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          int wanted, Py_ssize_t length) except -1 nogil
    cdef int _lose(self, Py_ssize_t row, long long count) except -1 nogil
    cdef object _resolution(self, Py_ssize_t row, int code)
    @cython.locals(units="unsigned long long", fraction="unsigned long long",
                   seconds="unsigned long long", kind=int, unit="unsigned long long")
    cdef int64_t _time(self, Py_ssize_t row, unsigned long long high, unsigned long long low) except? -1 nogil
    cdef Py_ssize_t _damage(self, Py_ssize_t at, str problem) except -1
    @cython.locals(first="unsigned long long", second="unsigned long long")
    cdef unsigned long long _long(self, const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFFFFFFFFFF nogil
    @cython.locals(count="unsigned long long")
    cdef int64_t _count(self, const unsigned char[:] wire, Py_ssize_t at) except? -1 nogil
    cdef unsigned int _number(self, const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
