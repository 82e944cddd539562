# A run and the loop that drives items through its nodes.

from libc.stdint cimport int64_t

from remotemedia._core.plan cimport Step
from remotemedia._core.batches cimport BatchState


cdef class Run(BatchState):
    cpdef object execute(self, object items)
    cpdef object result(self)
    cpdef object take_result(self)
    cdef int floats_through_lane(self, list results) except -1
    cdef int array_through_lane(self) except -1
    cdef int drive(self) except -1
    cdef int advance(self) except -1
    cdef int drop_all(self) except -1
    cdef object next_merged(self, Step* step)
    cdef object gather(self, Step* step)
    cdef bint takes_blocks(self, object items) except -1
    cdef list gather_batch(self, Step* step, object item)
    cdef int enter_batch(self, int u) except -1
    cdef int open_call(self, Step* step, object iterable) except -1
    cdef int call_and_wait(self, Step* step, object item) except -1
    cdef int suspend(self, Step* step, Step* timing, int64_t then, object item) except -1
    cdef int next_pass(self) except -1
    cdef int time_pass(self, Step* step, int64_t began, bint is_call) noexcept
    cdef int draw_pass(self, int u, str phase) except -1
    cdef int start_flush(self) except -1
    cdef int open_generator(self, int u, str phase, object given, bint iterates) except -1
    cdef int begin(self, object items, bint streaming) except -1
    cdef int begin_process(self, object item) except -1
    cdef int begin_flush(self) except -1
    cdef object outputs_of_call(self)
    cdef int keep_errors(self) except -1
    cdef object take_results(self)
    cdef object take_output(self)
    cdef int abandoned(self) except -1
    cdef object land(self, Step* step)
    cdef int failed_pass(self, int u, str phase, object error) except -1
