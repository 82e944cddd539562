# What a run does where nodes take 1-to-1 batches.

from libc.stdint cimport int64_t

from remotemedia._core.overlap cimport OverlapState
from remotemedia._core.window cimport Frame, Window


cdef class BatchState(OverlapState):
    cdef list batch               # frames whose call is awaited
    cdef int64_t batch_began_ns

    cdef bint may_begin(self, Window window) except -1
    cdef list frames_of_batch(self, Window window)
    cdef int settle_batch(self, Window window, list frames, object given) except -1
    cdef int fail_batch(self, Window window, list frames, object error) except -1
    cdef bint feed_blocks(self, Window window) except -1
    cdef int take_in(self, Py_ssize_t count) except -1
    cdef bint keep_block(self, object given, Py_ssize_t count) except -1
    cdef int spill_blocks(self) except -1
    cdef int make_frames(self, Window window, list items, Py_ssize_t count, object given, object failure) except -1
    cdef Py_ssize_t bulk_count(self, Window window) except -1
    cdef int keep_outputs(self, list outputs) except -1
