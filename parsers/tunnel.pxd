cimport cython

from parsers.frame cimport Frame

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int DATAGRAM, ETHERIP, ETHERNET, GRE, IP, IP_IN_IP, IPV4, IPV6, MALFORMED, MPLS, OTHER, PPP, TRUNCATED
cdef int TUNNEL, TUNNEL_ERSPAN, TUNNEL_ETHERIP, TUNNEL_GENEVE, TUNNEL_GRE, TUNNEL_GTP_U
cdef int TUNNEL_IP_IN_IP, TUNNEL_TZSP, TUNNEL_VXLAN
cdef int NO_ID, MOST_TAGS
cdef int PORT_VXLAN, PORT_VXLAN_LINUX, PORT_VXLAN_GPE, PORT_GENEVE, PORT_GTP_U, PORT_TZSP

@cython.locals(layer=int)
cpdef int read(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(at=Py_ssize_t, flags=int, kind=int, version=int, size=Py_ssize_t, tunnel_id="long long")
cdef int _gre(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(version=int, session=int, following=int, word=int)
cdef int _erspan(const unsigned char[:] wire, Frame frame, Py_ssize_t at, Py_ssize_t size) except -1 nogil
@cython.locals(at=Py_ssize_t, have=Py_ssize_t, port=int, kind=int, size=Py_ssize_t, vni="long long")
cdef int _udp(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(teid="long long", size=Py_ssize_t, following=int, length=Py_ssize_t, _=int)
cdef int _gtp_u(const unsigned char[:] wire, Frame frame, Py_ssize_t at) except -1 nogil
@cython.locals(size=Py_ssize_t, tag=int, _=int)
cdef int _tzsp(const unsigned char[:] wire, Frame frame, Py_ssize_t at) except -1 nogil
cdef int _carries(Frame frame, int kind, long long tunnel_id, Py_ssize_t size, int following) except -1 nogil
cdef int _cut(Frame frame) except -1 nogil
cdef unsigned int _number(const unsigned char[:] wire, Py_ssize_t at) except? 0xFFFFFFFF nogil
