cimport cython

from parsers.frame cimport Frame

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int DEPTH, ENCRYPTED, FRAGMENTED, IPV4, IPV6, MALFORMED, OTHER, TCP, TRUNCATED, UDP, GRE, IP_IN_IP, ETHERIP, MPLS
cdef int PROTOCOL_UDP, PROTOCOL_ETHERIP, PROTOCOL_MPLS
cdef int MOST_EXTENSION_HEADERS
cdef int PROTOCOL_HOP_BY_HOP, PROTOCOL_IPV4, PROTOCOL_TCP, PROTOCOL_IPV6, PROTOCOL_ROUTING
cdef int PROTOCOL_FRAGMENT, PROTOCOL_GRE, PROTOCOL_ESP, PROTOCOL_AH, PROTOCOL_OPTIONS
cdef int PROTOCOL_MOBILITY, PROTOCOL_HIP, PROTOCOL_SHIM6

@cython.locals(version=int)
cpdef int read(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(at=Py_ssize_t, have=Py_ssize_t, header=Py_ssize_t, total=Py_ssize_t)
cdef int _read_ipv4(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(at=Py_ssize_t, have=Py_ssize_t, length=Py_ssize_t, size=Py_ssize_t, following=int, offset=int, _=int)
cdef int _read_ipv6(const unsigned char[:] wire, Frame frame) except -1 nogil
cdef int _fragment(Frame frame, int offset, int more) except -1 nogil
cdef int _ended(Frame frame) except -1 nogil
cdef int _upper(Frame frame, int protocol) except -1 nogil
