# What nodes with lanes do with integers, as long as these fit int64.

from libc.stdint cimport int64_t, uint16_t

from remotemedia._core.lanes cimport Lane, LaneOp

cdef int whole_until(Lane* lane) noexcept
cdef bint becomes_a_double(Lane* lane, int64_t x) noexcept nogil
cdef int through_lane_ints(Lane* lane, int64_t* value) noexcept nogil
cdef Py_ssize_t through_block_ints(
    Lane* lane, int64_t* values, uint16_t* places, bint* placed, Py_ssize_t n
) noexcept nogil
