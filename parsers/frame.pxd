cimport cython

cdef int NOTHING, READ, MOST_TUNNELS, TUNNEL_FIELDS

@cython.final
cdef class Frame:
    cdef public Py_ssize_t at, end, missing, mac, source, destination
    cdef public int next, undecoded, ethertype, vlan, ip_version, hop_limit, source_port, destination_port
    cdef public int protocol, fragment_offset, fragment_more
    cdef public int flags, tunnel_type, tunnel_count
    cdef public long long tunnel_id
    cdef public unsigned int sequence, acknowledgement, identification
    cdef public long long[:] tunnels

    cpdef void reset(self, Py_ssize_t start, Py_ssize_t end, int following, int vlan) noexcept nogil
    @cython.locals(row=Py_ssize_t)
    cpdef int enter_tunnel(self, int kind, long long tunnel_id) except -1 nogil
