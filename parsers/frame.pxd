cimport cython

cdef int NOTHING, READ

@cython.final
cdef class Frame:
    cdef public Py_ssize_t at, end, missing, mac, source, destination, tunnel_source
    cdef public int next, undecoded, vlan, ip_version, hop_limit, source_port, destination_port
    cdef public int flags, tunnel_type, tunnel_version
    cdef public long long tunnel_id
    cdef public unsigned int sequence, acknowledgement

    cpdef void reset(self, Py_ssize_t start, Py_ssize_t end, int following, int vlan) noexcept nogil
