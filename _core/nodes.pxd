# The built-in nodes. Final, so that the plan may trade a node of exactly one of these types for an opcode.

from libc.stdint cimport int64_t

from remotemedia._core.node cimport NativeNode


cdef enum Comparison:
    EQUAL, UNEQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, CONTAINED


cdef class PassThrough(NativeNode):
    pass


cdef class Echo(NativeNode):
    cdef readonly int64_t counter     # items seen since initialize


cdef class Counter(NativeNode):
    cdef readonly int64_t count       # items seen since initialize


cdef class Filter(NativeNode):
    cdef Comparison comparison
    cdef str key
    cdef object value

    cdef bint accepts(self, object found) except -1


cdef class Batcher(NativeNode):
    cdef Py_ssize_t size
    cdef list held


cdef class Expander(NativeNode):
    pass


cdef class Buffer(NativeNode):
    cdef Py_ssize_t size
    cdef object held                  # deque
