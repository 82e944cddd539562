# Lanes: neighbouring nodes that compute with floats, run as one step on a C double.

from cpython.object cimport PyObject
from libc.math cimport fabs, rint
from libc.stdint cimport int32_t, int64_t, uint16_t

from remotemedia._core.cfunction cimport map_t, map_with_t
from remotemedia._core.plan cimport Step


cdef enum LaneCode:
    LANE_PASS, LANE_COUNT, LANE_ADD, LANE_SUBTRACT, LANE_MULTIPLY, LANE_DIVIDE, LANE_MODULO, LANE_ABS, LANE_ROUND,
    LANE_CLAMP, LANE_MAP, LANE_MAP_WITH, LANE_AT_LEAST


cdef struct LaneOp:
    int code
    double value                  # the operand, the threshold, or the lower limit
    double most                   # the upper limit
    bint whole                    # the operand is an int, or the limits are (CLAMP): in `integer` too
    int64_t integer
    int64_t integer_most
    int64_t* seen                 # LANE_COUNT: the node's own count
    void* function                # LANE_MAP, LANE_MAP_WITH: a C function of the user's, and its data
    void* data
    Step* step                    # of the node, for its counts and where to go on when it filters


cdef struct Lane:
    LaneOp* ops
    int count
    int end                       # step behind the last node
    int op                        # what the first step was: for items that are no float
    int whole_until               # ops that leave an int one, from the first on; -1 if ints are not for the lane
    bint changes                  # an op computes; else items are handed on as they are
    bint filters                  # an op drops items
    bint calls                    # an op calls a function of the user's
    Py_ssize_t stretch            # elements of an array that go through between two looks at signals


cdef enum:
    BLOCK = 2048                  # elements of an array that go through all ops at a time


cdef class LanePart:
    # A thread's share of an array: a copy of the lane that counts by itself, and where it reads and writes.
    cdef Lane lane
    cdef LaneOp* ops
    cdef Step* steps              # of the ops: only their counts
    cdef int64_t* seen
    cdef const double* items
    cdef double* to
    cdef uint16_t* places         # NULL if nothing filters
    cdef int32_t* kept            # of each block; likewise
    cdef Py_ssize_t count         # elements
    cdef Py_ssize_t survived
    cdef object done              # a lock, held until the thread is through

    cdef int run(self) except -1
    cdef int take_counts(self, Lane* lane) noexcept


cdef class Lanes:
    # of one run; owns the ops
    cdef Lane* lanes
    cdef LaneOp* ops
    cdef int count

    cdef int threads              # that an array is split over
    cdef list parts               # LanePart of each thread; None as long as there was no need

    cdef bint bind(self, Step* steps, list spans, list nodes, bint whole, int threads) except -1
    cdef int pace(self, int64_t spent) except -1
    cdef Py_ssize_t send_some(self, int longer) except -2
    cdef int keep_counts(self) except -1
    cdef int restore_counts(self) noexcept
    cdef Py_ssize_t through_ints(self, Py_ssize_t count) except -2
    cdef int through_threads(self, Py_ssize_t count, object given) except -1
    cdef bint start(self, object array) except -1
    cdef Py_ssize_t through_array(self) except -2
    cdef object take_arrays(self)

    # an array on its way
    cdef object array             # what is left of it in blocks, as doubles
    cdef object values            # what comes out
    cdef object offsets           # of each value, in its block; None if nothing filters
    cdef object kept              # values of each block
    cdef bint whole               # its elements are ints
    cdef int64_t* before          # the counts of the ops before it, to go back to
    cdef int64_t* work            # a block of ints that become doubles
    cdef Py_ssize_t at            # elements taken
    cdef Py_ssize_t out           # values that came out


cdef inline double clamp(double x, double least, double most) noexcept nogil:
    """NaN, and a zero of either sign at a limit of zero, stay what they are."""
    return least if x < least else most if x > most else x


cdef inline int through_lane(Lane* lane, int first, double* value) noexcept nogil:
    """Send a value through, from an op on; return the op that filtered it, or -1."""
    cdef LaneOp* op = lane.ops + first
    cdef LaneOp* end = lane.ops + lane.count
    cdef double x = value[0]
    while op < end:
        if op.code == LANE_MULTIPLY:
            x = x * op.value
        elif op.code == LANE_AT_LEAST:
            if not x >= op.value:
                op.step.filtered += 1
                return <int> (op - lane.ops)
        elif op.code == LANE_ADD:
            x = x + op.value
        elif op.code == LANE_SUBTRACT:
            x = x - op.value
        elif op.code == LANE_DIVIDE:
            x = x / op.value
        elif op.code == LANE_MODULO:
            x = modulo(x, op.value)
        elif op.code == LANE_ABS:
            x = fabs(x)
        elif op.code == LANE_CLAMP:
            x = clamp(x, op.value, op.most)
        elif op.code == LANE_ROUND:
            x = rint(x)
        elif op.code == LANE_MAP:
            x = (<map_t> op.function)(x)
        elif op.code == LANE_MAP_WITH:
            x = (<map_with_t> op.function)(x, op.data)
        elif op.code == LANE_COUNT:
            op.seen[0] += 1
        op.step.passed += 1
        op += 1
    value[0] = x
    return -1


cdef double modulo(double x, double y) noexcept nogil
