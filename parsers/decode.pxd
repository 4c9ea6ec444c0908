cimport cython

from parsers cimport ip, link, tcp, tunnel
from parsers.batch cimport Batch
from parsers.frame cimport Frame

cdef int FOUND, NO_MATCH
cdef int ETHERIP, GRE, IP_IN_IP, UDP
cdef int DATAGRAM, DEPTH, IP, IPV4, IPV6, OTHER, TCP
cdef int MOST_LAYERS

@cython.locals(start=Py_ssize_t, end=Py_ssize_t, answer=int, following=int, _=int)
cpdef int decode(Batch batch, Py_ssize_t index, Frame frame) except -1 nogil
