# A run and the loop that drives items through its nodes.

from remotemedia._core.plan cimport Step
from remotemedia._core.run cimport RunState


cdef class Run(RunState):
    cpdef object execute(self, object items)
    cpdef object result(self)
    cdef int drive(self) except -1
    cdef int advance(self) except -1
    cdef int reraise(self) except -1
    cdef object next_merged(self, Step* step)
    cdef object gather(self, Step* step)
    cdef int open_call(self, Step* step, object iterable) except -1
    cdef bint next_pass(self) except -1
    cdef int start_flush(self) except -1
    cdef int open_generator(self, int u, str phase) except -1
    cdef int begin(self, object items, bint streaming) except -1
    cdef object outputs_of_call(self)
    cdef int failed_pass(self, int u, str phase, object error) except -1
