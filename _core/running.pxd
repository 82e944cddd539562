# The built-in nodes whose value depends on all numbers of the session so far, or the last few. Final, as the others.

from libc.stdint cimport int64_t

from remotemedia._core.node cimport NativeNode


cdef class MovingAverage(NativeNode):
    cdef Py_ssize_t window            # numbers that an average is of; at least 1
    cdef Py_ssize_t at                # numbers of the block that has begun; below window between two items
    cdef bint full                    # whether a block is complete: held[at:] are its sums
    cdef double total                 # sum of the block that has begun; undefined where at is 0
    cdef Py_ssize_t capacity          # of held, which grows with the numbers: a large window costs nothing yet
    cdef double* held                 # owned. [:at] the numbers of this block; behind, sums from there to the end of the last one

    cdef int grow(self) except -1
    cdef void turn(self) noexcept


cdef class RunningStats(NativeNode):
    cdef int ddof                     # 0, or 1
    cdef int64_t count                # numbers since initialize
    cdef double mean                  # these are undefined where count is 0
    cdef double low                   # mean + low is the mean: what rounding took from it
    cdef double squares               # sum of the squared distances from the mean
    cdef double least
    cdef double most

    cdef void add(self, double x) noexcept
    cdef void shift(self, double step) noexcept
