cdef Py_ssize_t LENGTH

cpdef object read(const unsigned char[:] wire, Py_ssize_t start, Py_ssize_t end)
