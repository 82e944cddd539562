"""Integers in lanes: what neighbouring nodes compute with ints is done on an int64, as long as it fits.

An int stays one up to the first op that makes a float of it: a division, an operand that is a float, a function of the
user's. From there on the lane goes on with a double. What does not fit (an overflow; an int beyond 2⁵³ where Python
compares or divides exactly, and a double would not) leaves the lane at that op: an item of a list goes on through the
nodes themselves, and of an array all items do, from the beginning (`lanes`).
"""

from libc.stdint cimport INT64_MIN, int64_t, uint16_t

from remotemedia._core.lanes cimport (
    LANE_ABS, LANE_ADD, LANE_AT_LEAST, LANE_CLAMP, LANE_COUNT, LANE_DIVIDE, LANE_MAP, LANE_MAP_WITH, LANE_MODULO,
    LANE_MULTIPLY, LANE_PASS, LANE_ROUND, LANE_SUBTRACT, Lane, LaneOp,
)

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define remotemedia_add_int(a, b, out) __builtin_add_overflow(a, b, out)
    #define remotemedia_subtract_int(a, b, out) __builtin_sub_overflow(a, b, out)
    #define remotemedia_multiply_int(a, b, out) __builtin_mul_overflow(a, b, out)
    #else
    static int remotemedia_add_int(int64_t a, int64_t b, int64_t *out) {
        if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) return 1;
        *out = a + b;
        return 0;
    }
    static int remotemedia_subtract_int(int64_t a, int64_t b, int64_t *out) {
        if (b > 0 ? a < INT64_MIN + b : a > INT64_MAX + b) return 1;
        *out = a - b;
        return 0;
    }
    static int remotemedia_multiply_int(int64_t a, int64_t b, int64_t *out) {
        if (a != 0 && b != 0) {
            if ((a == -1 && b == INT64_MIN) || (b == -1 && a == INT64_MIN)) return 1;
            if (b != -1 && (a > 0 ? (b > 0 ? a > INT64_MAX / b : b < INT64_MIN / a)
                                  : (b > 0 ? a < INT64_MIN / b : a < INT64_MAX / b))) return 1;
        }
        *out = a * b;
        return 0;
    }
    #endif
    """
    bint add_int "remotemedia_add_int"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint subtract_int "remotemedia_subtract_int"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint multiply_int "remotemedia_multiply_int"(int64_t a, int64_t b, int64_t* out) noexcept nogil

cdef int64_t EXACT = 1 << 53  # every integer up to it is a double


cdef int whole_until(Lane* lane) noexcept:
    """The first op that makes floats of ints, or how many ops there are; -1 if ints cannot be in the lane."""
    cdef int i
    cdef LaneOp* op
    for i in range(lane.count):
        op = lane.ops + i
        if op.code == LANE_CLAMP and not op.whole:  # gives a limit that is a float, or the int
            return -1
        if op.code == LANE_DIVIDE or op.code == LANE_MAP or op.code == LANE_MAP_WITH:
            return i
        if not op.whole and (
            op.code == LANE_ADD or op.code == LANE_SUBTRACT or op.code == LANE_MULTIPLY or op.code == LANE_MODULO
        ):
            return i
    return lane.count


cdef inline int through_op(LaneOp* op, int64_t* value) noexcept nogil:
    """Send a value through an op that leaves it an int: 1, 0 if it is filtered, -1 if it, as it was, does not fit."""
    cdef int64_t x = value[0]
    cdef int64_t made
    if op.code == LANE_ADD or op.code == LANE_MULTIPLY or op.code == LANE_SUBTRACT:
        if (
            add_int(x, op.integer, &made) if op.code == LANE_ADD
            else multiply_int(x, op.integer, &made) if op.code == LANE_MULTIPLY
            else subtract_int(x, op.integer, &made)
        ):
            return -1
        value[0] = made
        return 1
    if op.code == LANE_AT_LEAST:
        if op.whole:
            return x >= op.integer
        if x > EXACT or x < -EXACT:
            return -1
        return <double> x >= op.value
    if op.code == LANE_MODULO:
        if op.integer == -1:  # INT64_MIN % -1 traps
            value[0] = 0
            return 1
        x = x % op.integer
        value[0] = x + op.integer if x and (x < 0) != (op.integer < 0) else x
    elif op.code == LANE_ABS:
        if x == INT64_MIN:
            return -1
        value[0] = -x if x < 0 else x
    elif op.code == LANE_CLAMP:
        value[0] = op.integer if x < op.integer else op.integer_most if x > op.integer_most else x
    return 1


cdef bint becomes_a_double(Lane* lane, int64_t x) noexcept nogil:
    """Whether the op that makes a float of an int gets it as exactly as Python has it.

    A division of two ints is rounded once in Python; a double, or one of them beyond 2⁵³, would be rounded before.
    """
    cdef LaneOp* op = lane.ops + lane.whole_until
    return not (op.code == LANE_DIVIDE and op.whole) or -EXACT <= x <= EXACT


cdef int through_lane_ints(Lane* lane, int64_t* value) noexcept nogil:
    """Send a value through the ops that leave it an int.

    Return `whole_until` if it came through; -1 - i if op i filtered it; or i, below that, if it left the lane at op i.
    """
    cdef int i, status
    cdef LaneOp* op
    for i in range(lane.whole_until):
        op = lane.ops + i
        status = through_op(op, value)
        if status < 0:
            return i
        if status == 0:
            op.step.filtered += 1
            return -1 - i
        if op.code == LANE_COUNT:
            op.seen[0] += 1
        op.step.passed += 1
    return lane.whole_until


cdef Py_ssize_t through_block_ints(
    Lane* lane, int64_t* values, uint16_t* places, bint* placed, Py_ssize_t n
) noexcept nogil:
    """Send a block through the ops that leave it ints, in place; return how many are left, -1 if one does not fit."""
    cdef int k, status
    cdef Py_ssize_t i, kept
    cdef LaneOp* op
    for k in range(lane.whole_until):
        op = lane.ops + k
        if op.code == LANE_AT_LEAST:
            kept = 0
            for i in range(n):
                status = through_op(op, values + i)
                if status < 0:
                    return -1
                values[kept] = values[i]
                places[kept] = places[i] if placed[0] else <uint16_t> i
                kept += status
            op.step.filtered += n - kept
            n = kept
            placed[0] = True
        elif op.code == LANE_COUNT:
            op.seen[0] += n
        elif op.code != LANE_PASS and op.code != LANE_ROUND:
            for i in range(n):
                if through_op(op, values + i) < 0:
                    return -1
        op.step.passed += n
    if lane.whole_until < lane.count:
        for i in range(n):
            if not becomes_a_double(lane, values[i]):
                return -1
    return n
