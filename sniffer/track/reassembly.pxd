cimport cython
from libc.stdint cimport int64_t

cdef Py_ssize_t _CLASSES, _FIELDS, _OFFSET, _SIZE, _BASE, _FILLED, _TOP, _OWNER, _TOUCHED, _CLASS
cdef Py_ssize_t _NEXT, _PREVIOUS, _ENDS, _FREE, _OLDEST, _NEWEST

@cython.final
cdef class Reassembly:
    cdef public unsigned char[:] arena, marks
    cdef readonly Py_ssize_t buffers
    cdef public long long conflicts, count, in_use
    cdef long long[:] ends, fields
    cdef unsigned char[:] nothing, seen

    @cython.locals(kind=Py_ssize_t, handle=Py_ssize_t, row=Py_ssize_t)
    cpdef Py_ssize_t take(self, long long owner, long long base, long long size, long long now_ns) except? -1
    @cython.locals(kind=Py_ssize_t, handle=Py_ssize_t, row=Py_ssize_t, found=int64_t, touched=int64_t,
                   owner=int64_t)
    cpdef int64_t oldest(self, long long size, long long first, long long last) except? -1
    @cython.locals(kind=Py_ssize_t, handle=Py_ssize_t)
    cpdef int64_t any_owner(self) except? -1
    @cython.locals(row=Py_ssize_t, start=Py_ssize_t, top=Py_ssize_t)
    cpdef Py_ssize_t drop(self, Py_ssize_t handle) except -1
    cpdef int64_t room(self, Py_ssize_t handle) except? -1
    cpdef int64_t base(self, Py_ssize_t handle) except? -1
    @cython.locals(row=Py_ssize_t)
    cpdef int64_t place(self, Py_ssize_t handle, long long offset) except? -1
    @cython.locals(row=Py_ssize_t)
    cpdef int64_t reach(self, Py_ssize_t handle) except? -1
    @cython.locals(row=Py_ssize_t)
    cpdef int64_t top(self, Py_ssize_t handle) except? -1
    @cython.locals(row=Py_ssize_t, place=int64_t, stop=int64_t, origin=Py_ssize_t, top=int64_t,
                   fresh=int64_t, conflict=bint, at=int64_t, octet="unsigned char", filled=int64_t)
    cpdef int64_t put(self, Py_ssize_t handle, long long offset, const unsigned char[:] wire,
                        Py_ssize_t start, Py_ssize_t end, long long now_ns) except? -1
    @cython.locals(row=Py_ssize_t, to=Py_ssize_t, source=Py_ssize_t, target=Py_ssize_t, top=Py_ssize_t)
    cpdef Py_ssize_t move(self, Py_ssize_t handle, Py_ssize_t wider) except -1
    @cython.locals(row=Py_ssize_t, shift=int64_t, top=int64_t, origin=Py_ssize_t, left=int64_t,
                   start=Py_ssize_t, filled=int64_t)
    cpdef int64_t advance(self, Py_ssize_t handle, long long offset) except? -1
    @cython.locals(row=Py_ssize_t, origin=Py_ssize_t, at=int64_t)
    cpdef int64_t next_held(self, Py_ssize_t handle, long long offset) except? -1
    @cython.locals(row=Py_ssize_t, origin=Py_ssize_t, at=int64_t)
    cpdef int64_t held_until(self, Py_ssize_t handle, long long offset) except? -1
    @cython.locals(row=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _put_free(self, Py_ssize_t handle) except -1
    @cython.locals(row=Py_ssize_t, ends=Py_ssize_t, last=int64_t)
    cdef Py_ssize_t _put_newest(self, Py_ssize_t handle, long long now_ns) except -1
    @cython.locals(row=Py_ssize_t, ends=Py_ssize_t, before=int64_t, after=int64_t)
    cdef Py_ssize_t _unlink(self, Py_ssize_t handle) except -1
