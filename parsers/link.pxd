cimport cython

from parsers.frame cimport Frame

cdef int FOUND, NEED_MORE, NO_MATCH
cdef int DEPTH, ENCRYPTED, ETHERNET, ETHERTYPE, IP, IPV4, IPV6, LINK_TYPE, LINUX_SLL, LINUX_SLL2
cdef int LLC, LOOP, MPLS, NOTHING, NULL, OTHER, PPP, PPPOE, TRUNCATED
cdef int MALFORMED, NFLOG, PPP_WITH_DIRECTION, CISCO_HDLC
cdef int MOST_LABELS, MOST_ATTRIBUTES

cpdef int first_layer(long long link) noexcept nogil
@cython.locals(at=Py_ssize_t, have=Py_ssize_t, layer=int, size=Py_ssize_t)
cpdef int read(const unsigned char[:] wire, Frame frame) except -1 nogil
cdef int _protocol(const unsigned char[:] wire, Frame frame, int kind, Py_ssize_t after) except -1 nogil
cdef int _shim(Frame frame, Py_ssize_t length, int following) except -1 nogil
@cython.locals(at=Py_ssize_t, snap=bint)
cdef int _llc(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(at=Py_ssize_t, kind=int)
cdef int _ppp(const unsigned char[:] wire, Frame frame) except -1 nogil
cdef int _family(Frame frame, int family) except -1 nogil
@cython.locals(at=Py_ssize_t, nibble=int, _=int)
cdef int _mpls(const unsigned char[:] wire, Frame frame) except -1 nogil
@cython.locals(at=Py_ssize_t, size=int, kind=int, _=int)
cdef int _nflog(const unsigned char[:] wire, Frame frame) except -1 nogil
cdef int _cut(Frame frame) except -1 nogil
