cimport cython
from libc.stdint cimport int64_t

from parsers.batch cimport Batch

cdef int FOUND, NEED_MORE, NO_MATCH
cdef unsigned int BYTE_ORDER_MAGIC, SECTION_HEADER, INTERFACE, PACKET, SIMPLE_PACKET, ENHANCED_PACKET
cdef Py_ssize_t SHORTEST_BLOCK, SHORTEST_SECTION_HEADER, LONGEST_BLOCK, MOST_INTERFACES
cdef int OPTION_END, OPTION_TSRESOL, OPTION_TSOFFSET
cdef unsigned long long FARTHEST_NS, NS_A_SECOND, ONE
cdef long long FARTHEST_OFFSET
cdef int NO_VLAN, DECIMAL_COARSE, DECIMAL_FINE, BINARY
cdef Py_ssize_t _FIELDS, _LINK, _SNAP, _KIND, _UNIT, _OFFSET

@cython.final
cdef class Pcapng:
    cdef public int answer
    cdef public bint big_endian
    cdef public Py_ssize_t interface_count
    cdef public long long[:] interfaces
    cdef public long long last_ns
    cdef public str problem

    cpdef int open(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t, after=Py_ssize_t)
    cpdef Py_ssize_t walk(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                          Batch batch) except -1
    @cython.locals(at=Py_ssize_t, length=Py_ssize_t, interface=Py_ssize_t, captured=Py_ssize_t,
                   row=Py_ssize_t, frame=Py_ssize_t)
    cdef Py_ssize_t _packets(self, const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end,
                             Batch batch) except -1 nogil
    cdef Py_ssize_t _block(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end,
                           Batch batch) except -1
    cdef bint _packet(self, const unsigned char[:] wire, Py_ssize_t at, unsigned int kind,
                      Py_ssize_t length, Batch batch) except? 1
    cdef object _interface(self, const unsigned char[:] wire, Py_ssize_t at, Py_ssize_t end)
    cdef object _resolution(self, Py_ssize_t row, int code)
    @cython.locals(units="unsigned long long", fraction="unsigned long long",
                   seconds="unsigned long long", kind=int, unit="unsigned long long")
    cdef int64_t _time(self, Py_ssize_t row, unsigned long long high, unsigned long long low) except? -1 nogil
    cdef Py_ssize_t _damage(self, Py_ssize_t at, str problem) except -1
    cdef unsigned int _number(self, const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
