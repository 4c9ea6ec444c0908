cimport cython

from parsers.frame cimport Frame

cdef int TUNNEL_FIELDS

@cython.locals(size=int)
cpdef object flow_of(const unsigned char[:] wire, Frame frame)
cpdef list tunnels_of(const unsigned char[:] wire, Frame frame)
