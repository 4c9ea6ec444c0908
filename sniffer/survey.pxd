cimport cython
from libc.stdint cimport int64_t

from parsers cimport decode
from parsers.batch cimport Batch
from parsers.counts cimport Counts
from parsers.frame cimport Frame
from parsers.tls cimport certificate

cdef int FOUND, SYN, LINK_TYPE
cdef long long LINK_ETHERNET, ETHERNET_LENGTH, GROUP_BIT, NOBODY, LARGEST_PACKET, COPY_NS
cdef Py_ssize_t HASHED
cdef unsigned long long COPIES, HASH_START, HASH_FACTOR, MASK
cdef int RECORD_HANDSHAKE, CLIENT_HELLO, SERVER_HELLO, CERTIFICATE

@cython.final
cdef class Survey:
    cdef Frame frame
    cdef unsigned char[:] watched
    cdef bint follow_any
    cdef long long[:] own, tunnels, copy_times
    cdef unsigned long long[:] copy_hashes
    cdef int[:] copy_vlans, copy_hops
    cdef Counts server_ports, hellos_elsewhere, upgrades_elsewhere, vlans, mail_vlans
    cdef Counts link_types
    cdef dict hops, certificates
    cdef long long one_station, other_station
    cdef long long frames, unicast, groups, foreign, tcp, to_server, from_server, other_tcp
    cdef long long payload_to_server, payload_from_server
    cdef long long cut, shortest_cut, longest_cut, cut_before
    cdef long long longest, oversize, without_length
    cdef long long checksums, checksums_unfilled, checksums_wrong
    cdef long long originals, copies, copies_other_vlan, copies_routed
    cdef long long backwards, furthest_back_ns, longest_silence_ns, silence_from_ns
    cdef long long first_ns, last_ns, internal
    cdef Py_ssize_t index, own_count

    cpdef object observe(self, Batch batch)
    cpdef object facts(self)

    @cython.locals(index=Py_ssize_t, at=Py_ssize_t, captured=int64_t, is_whole=bint, answer=int)
    cdef Py_ssize_t _scan(self, Batch batch, Py_ssize_t start, Frame frame) except -1 nogil
    @cython.locals(ahead=int64_t)
    cdef int _note_time(self, long long time_ns) except -1 nogil
    @cython.locals(destination=int64_t, source=int64_t, place=Py_ssize_t)
    cdef int _note_stations(self, const unsigned char[:] wire, Py_ssize_t at) except -1 nogil
    cdef int _note_cut(self, long long captured) except -1 nogil
    @cython.locals(start=Py_ssize_t, length=int64_t)
    cdef int _note_packet(self, const unsigned char[:] wire, Frame frame) except -1 nogil
    @cython.locals(size=int64_t, beside=int64_t, whole=int64_t, stored=int64_t)
    cdef int _note_checksum(self, const unsigned char[:] wire, Frame frame,
                            Py_ssize_t segment) except -1 nogil
    @cython.locals(is_v4=bint, start=Py_ssize_t, stop=Py_ssize_t, at=Py_ssize_t, place=Py_ssize_t,
                   found="unsigned long long", row=Py_ssize_t)
    cdef int _note_copy(self, const unsigned char[:] wire, Frame frame,
                        long long time_ns) except -1 nogil
    @cython.locals(at=Py_ssize_t, have=Py_ssize_t, carries=bint, begins=bint, to_server=bint,
                   from_server=bint)
    cdef bint _note_segment(self, const unsigned char[:] wire, Frame frame) except -1 nogil
    @cython.locals(size=int)
    cdef object _look_closer(self, const unsigned char[:] wire, Frame frame)

@cython.locals(high=int64_t)
cdef int64_t _station(const unsigned char[:] wire, Py_ssize_t at) except -1 nogil
@cython.locals(total=int64_t, at=Py_ssize_t)
cdef int64_t _sum(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
cdef int64_t _folded(long long total) noexcept nogil
@cython.locals(is_tls=bint)
cdef bint _asks_for_tls(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end) except -1 nogil
