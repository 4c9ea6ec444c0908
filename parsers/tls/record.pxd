cimport cython

cdef int FOUND, NEED_MORE, NO_MATCH
cdef Py_ssize_t HEADER_LENGTH, LONGEST_FRAGMENT

@cython.final
cdef class Record:
    cdef public unsigned int content_type, version
    cdef public Py_ssize_t body, end

@cython.locals(have=Py_ssize_t, length=Py_ssize_t)
cpdef int read(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end, Record record) except -1 nogil
