cimport cython

from parsers.tls cimport record as tls_record
from parsers.tls.record cimport Record

cdef int NO_MATCH
cdef int HANDSHAKE, CERTIFICATE, INTEGER, OID, SEQUENCE, SET, VERSION
cdef Py_ssize_t MESSAGE_HEADER, MOST_OCTETS
cdef int MOST_RECORDS, MOST_MESSAGES, MOST_PARTS

@cython.locals(octets=bytes, at=Py_ssize_t, after=Py_ssize_t, first=Py_ssize_t, _=int)
cpdef object find(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end)
@cython.locals(record=Record, held=bytes, at=Py_ssize_t, answer=int, _=int)
cdef bytes _messages(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end)
