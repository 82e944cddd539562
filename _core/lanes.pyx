"""Lanes: what neighbouring built-in nodes compute with floats is done on a C double, which is boxed once at the end.

The plan notes where nodes stand side by side that may have a lane (`spans`); a run that was initialized, and so knows
the operands, puts LANE in place of the first call of each. An item that is no float goes through the calls themselves,
which are all still there: what comes out never depends on the lane. So a lane holds only what is bit for bit the same
as in Python: no op that can raise for a float (a division by zero is refused as an operand), no operand that is not
exactly a double.

Where the whole program is one lane, arrays go through it in blocks that stay in the first-level cache, all nodes after
each other, without the GIL. Filters compact the block.
"""

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.time cimport perf_counter_ns
from libc.math cimport INFINITY, copysign, fabs, fmod, rint
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t
from libc.string cimport memcpy, memmove

from remotemedia._core.int_lanes cimport through_block_ints, whole_until
from remotemedia._core.cfunction cimport MAP, MAP_WITH, CFunction, map_t, map_with_t
from remotemedia._core.nodes cimport Counter, PassThrough
from remotemedia._core.numeric cimport (
    ADD, DIVIDE, MODULO, POWER, SUBTRACT, Abs, Arithmetic, Clamp, Round, Threshold,
)
from remotemedia._core.plan cimport LANE, NATIVE

import _thread

cdef int64_t EXACT = 1 << 53  # every integer up to it is a double
cdef Py_ssize_t STRETCH = 1 << 20  # ops on elements between two looks at signals: about a millisecond
cdef int LONGER = 8  # as many times that in each of several threads: to start one takes as long as 10 000 additions
cdef int SLOW = 128  # what a remainder takes, in additions
cdef int64_t LOOK_NS = 1_000_000  # between two looks at signals, where only the time shows how long a stretch takes

cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__)
    #define REMOTEMEDIA_VECTOR __attribute__((optimize("O3,fp-contract=off")))
    #else
    #define REMOTEMEDIA_VECTOR
    #endif
    #if defined(__clang__) || defined(_MSC_VER)
    #pragma STDC FP_CONTRACT OFF
    #endif

    #define REMOTEMEDIA_KERNEL(name, expression) \\
        REMOTEMEDIA_VECTOR static void name(double *to, const double *from, Py_ssize_t n, double c) { \\
            Py_ssize_t i; \\
            if (to == from) for (i = 0; i < n; i++) { double x = to[i]; to[i] = expression; } \\
            else { double *restrict out = to; const double *restrict in = from; \\
                for (i = 0; i < n; i++) { double x = in[i]; out[i] = expression; } } \\
        }
    REMOTEMEDIA_KERNEL(remotemedia_add, x + c)
    REMOTEMEDIA_KERNEL(remotemedia_subtract, x - c)
    REMOTEMEDIA_KERNEL(remotemedia_multiply, x * c)
    REMOTEMEDIA_KERNEL(remotemedia_divide, x / c)

    /* Keep what is at least c, in place or not, with where it was: no branch, since what is kept is random. */
    REMOTEMEDIA_VECTOR static Py_ssize_t remotemedia_at_least(
        double *to, const double *from, uint16_t *places, int placed, Py_ssize_t n, double c
    ) {
        Py_ssize_t i, kept = 0;
        if (placed)
            for (i = 0; i < n; i++) {
                double x = from[i];
                to[kept] = x;
                places[kept] = places[i];
                kept += x >= c;
            }
        else
            for (i = 0; i < n; i++) {
                double x = from[i];
                to[kept] = x;
                places[kept] = (uint16_t) i;
                kept += x >= c;
            }
        return kept;
    }
    """
    void add_all "remotemedia_add"(double* to, const double* items, Py_ssize_t n, double c) noexcept nogil
    void subtract_all "remotemedia_subtract"(double* to, const double* items, Py_ssize_t n, double c) noexcept nogil
    void multiply_all "remotemedia_multiply"(double* to, const double* items, Py_ssize_t n, double c) noexcept nogil
    void divide_all "remotemedia_divide"(double* to, const double* items, Py_ssize_t n, double c) noexcept nogil
    Py_ssize_t keep_at_least "remotemedia_at_least"(
        double* to, const double* items, uint16_t* places, bint placed, Py_ssize_t n, double c
    ) noexcept nogil


cdef double modulo(double x, double y) noexcept nogil:
    """The remainder with the sign of `y`, as Python's ``%`` has it."""
    cdef double rest = fmod(x, y)
    if rest:
        if (y < 0) != (rest < 0):
            rest += y
        return rest
    return copysign(0.0, y)


cdef bint as_double(object operand, double* value) except -1:
    """Whether an operand is exactly a double."""
    if PyFloat_CheckExact(operand):
        value[0] = PyFloat_AS_DOUBLE(operand)
        return True
    if PyLong_CheckExact(operand) and -EXACT <= operand <= EXACT:
        value[0] = <double> operand
        return True
    return False


cdef bint as_int(LaneOp* op, object operand) except -1:
    """Whether an operand is an int that is a double, too."""
    if not PyLong_CheckExact(operand) or not -EXACT <= operand <= EXACT:
        return False
    op.integer = operand
    return True


cdef bint as_limits(LaneOp* op, object least, object most) except -1:
    """Whether limits are ints, or none."""
    if most is not None and not as_int(op, most):
        return False
    op.integer_most = INT64_MAX if most is None else op.integer
    if least is not None and not as_int(op, least):
        return False
    if least is None:
        op.integer = INT64_MIN
    return True


cdef bint read_op(LaneOp* op, object node) except -1:
    """Fill in what a node does in a lane; False if it can be in none."""
    if type(node) is PassThrough:
        op.code = LANE_PASS
        return True
    if type(node) is Counter:
        op.code = LANE_COUNT
        op.seen = &(<Counter> node).count
        return True
    if type(node) is Threshold:
        op.code = LANE_AT_LEAST
        op.whole = as_int(op, (<Threshold> node).threshold)
        return (<Threshold> node).key is None and as_double((<Threshold> node).threshold, &op.value)
    if type(node) is Abs:
        op.code = LANE_ABS
        return True
    if type(node) is Round:
        op.code = LANE_ROUND
        return (<Round> node).digits == 0
    if type(node) is Clamp:
        op.code = LANE_CLAMP
        op.value = -INFINITY
        op.most = INFINITY
        op.whole = as_limits(op, (<Clamp> node).least, (<Clamp> node).most)
        return ((<Clamp> node).least is None or as_double((<Clamp> node).least, &op.value)) and (
            (<Clamp> node).most is None or as_double((<Clamp> node).most, &op.most)
        )
    if isinstance(node, CFunction):
        if (<CFunction> node).pointer is None:
            return False
        op.code = LANE_MAP if (<CFunction> node).pointer.signature == MAP else LANE_MAP_WITH
        op.function = (<CFunction> node).pointer.address
        op.data = (<CFunction> node).pointer.data
        return op.step.op == NATIVE and (<CFunction> node).pointer.signature <= MAP_WITH
    cdef Arithmetic given = node
    op.whole = as_int(op, given.operand)
    if not as_double(given.operand, &op.value) or given.operation == POWER:
        return False
    if given.operation == DIVIDE or given.operation == MODULO:
        op.code = LANE_DIVIDE if given.operation == DIVIDE else LANE_MODULO
        return op.value != 0
    op.code = LANE_ADD if given.operation == ADD else LANE_SUBTRACT if given.operation == SUBTRACT else LANE_MULTIPLY
    return True


cdef class Lanes:
    """The lanes of a run. Made by the run."""

    def __init__(self):
        raise TypeError("made by a run")

    def __dealloc__(self):
        PyMem_Free(self.lanes)
        PyMem_Free(self.ops)
        PyMem_Free(self.before)
        PyMem_Free(self.work)

    cdef bint bind(self, Step* steps, list spans, list nodes, bint whole, int threads) except -1:
        """Make the lanes of a run out of its steps.

        `whole` is whether the one span is the whole program between the input and its only sink; return whether it
        became one lane. `threads` is over how many an array is split.
        """
        cdef int first, last, p
        cdef int total = sum([last - first + 1 for first, last in spans])
        cdef LaneOp* op
        cdef Lane* lane
        self.ops = <LaneOp*> PyMem_Calloc(total, sizeof(LaneOp))
        self.lanes = <Lane*> PyMem_Calloc(total, sizeof(Lane))
        if self.ops is NULL or self.lanes is NULL:
            raise MemoryError
        self.threads = threads
        op = self.ops
        for first, last in spans:
            lane = NULL
            for p in range(first, last + 1):
                op.step = steps + p
                if not read_op(op, nodes[steps[p].node]):
                    lane = NULL
                    continue
                if lane is NULL:
                    if op.code == LANE_PASS or op.code == LANE_COUNT:  # saves nothing at the head
                        if not (p == 1 and whole):
                            continue
                    lane = self.lanes + self.count
                    self.count += 1
                    lane.ops = op
                    lane.op = op.step.op
                    op.step.op = LANE
                    op.step.arg = self.count - 1
                lane.count += 1
                lane.end = p + 1
                lane.changes = lane.changes or LANE_ADD <= op.code <= LANE_MAP_WITH
                lane.filters = lane.filters or op.code == LANE_AT_LEAST
                lane.stretch += SLOW if op.code == LANE_MODULO else 1
                lane.calls = lane.calls or op.code == LANE_MAP or op.code == LANE_MAP_WITH
                op += 1
        for p in range(self.count):
            self.lanes[p].whole_until = whole_until(self.lanes + p)
        for p in range(self.count):  # the ops' weights so far
            self.lanes[p].stretch = max(STRETCH // self.lanes[p].stretch // BLOCK, <Py_ssize_t> 1) * BLOCK
            if self.lanes[p].calls:
                self.lanes[p].stretch = BLOCK
        return whole and self.count == 1 and self.lanes[0].count == spans[0][1] - spans[0][0] + 1

    # --- arrays ----------------------------------------------------------------------------------------------------------

    cdef bint start(self, object array) except -1:
        """Begin to send an array through; False if it has to go item by item."""
        cdef bint filters = self.lanes.filters
        cdef str kind = array.dtype.kind
        self.whole = kind == "i" or (kind == "u" and array.dtype.itemsize < 8)
        if array.ndim != 1 or array.dtype.itemsize > 8 or not (kind == "f" or self.whole):
            return False
        if self.whole and self.lanes.whole_until < 0:
            return False
        if type(array).__name__ != "ndarray":  # a subclass may give other elements: masked ones
            return False
        import numpy

        if self.whole and self.lanes.calls:  # a run that begins anew would call a function of the user's twice
            return False
        self.array = array = array[:]  # a view: its shape and type are nobody else's to change
        self.values = numpy.empty(
            len(array), numpy.int64 if self.whole and self.lanes.whole_until == self.lanes.count else numpy.float64
        )
        if self.whole:
            self.keep_counts()
        self.offsets = numpy.empty(len(array), numpy.uint16) if filters else None
        self.kept = numpy.zeros((len(array) + BLOCK - 1) // BLOCK, numpy.int32) if filters else None
        self.at = self.out = 0
        return True

    cdef Py_ssize_t through_array(self) except -2:
        """Send some more elements through; return how many there were."""
        cdef Py_ssize_t count
        cdef int64_t began
        if not self.lanes.calls:
            return self.send_some(LONGER)
        began = perf_counter_ns()  # how long a function of the user's takes is seen from one block
        count = self.send_some(1)
        self.pace(perf_counter_ns() - began)
        return count

    cdef int pace(self, int64_t spent) except -1:
        """Let the next stretch take as long as it may, by how long this one took."""
        cdef int64_t aim = LOOK_NS * (LONGER if self.threads > 1 else 1)
        cdef Py_ssize_t fitting = <Py_ssize_t> (self.lanes.stretch * aim // max(spent, 1))
        self.lanes.stretch = max(min(fitting, 8 * self.lanes.stretch, STRETCH) // BLOCK, <Py_ssize_t> 1) * BLOCK
        return 0

    cdef Py_ssize_t send_some(self, int longer) except -2:
        """Send a stretch of elements through, in threads one that is so much `longer`."""
        cdef Py_ssize_t count = min(self.lanes.stretch, <Py_ssize_t> len(self.array) - self.at)
        cdef const double[::1] given
        cdef double[::1] values
        cdef uint16_t[::1] offsets
        cdef int32_t[::1] kept
        cdef Py_ssize_t start
        cdef Py_ssize_t n
        cdef Py_ssize_t survive
        cdef uint16_t* places = NULL
        if self.threads > 1 and not self.whole:
            count = min(self.lanes.stretch * longer * self.threads, <Py_ssize_t> len(self.array) - self.at)
        if count <= 0:
            return 0
        if self.whole:
            return self.through_ints(count)
        part = self.array[self.at:self.at + count]
        if part.dtype != "=f8" or not part.flags.c_contiguous or not part.flags.aligned:
            part = part.astype("=f8")
        if self.threads > 1 and count > self.lanes.stretch:
            self.through_threads(count, part)
            return count
        given = part
        values = self.values
        if self.offsets is not None:
            offsets = self.offsets
            kept = self.kept
        with nogil:
            start = 0
            while start < count:
                n = min(<Py_ssize_t> BLOCK, count - start)
                if self.offsets is not None:
                    places = &offsets[self.out]
                survive = through_block(self.lanes, 0, &values[self.out], &given[start], places, False, n)
                if places is not NULL:
                    kept[(self.at + start) // BLOCK] = <int32_t> survive
                self.out += survive
                start += n
        self.at += count
        return count

    cdef int keep_counts(self) except -1:
        """Note the counts of all ops, to go back to them if an int does not fit."""
        cdef int i
        cdef LaneOp* op
        if self.before is NULL:
            self.before = <int64_t*> PyMem_Calloc(3 * self.lanes.count, sizeof(int64_t))
            self.work = <int64_t*> PyMem_Calloc(BLOCK, sizeof(int64_t))
            if self.before is NULL or self.work is NULL:
                raise MemoryError
        for i in range(self.lanes.count):
            op = self.lanes.ops + i
            self.before[3 * i] = op.step.passed
            self.before[3 * i + 1] = op.step.filtered
            self.before[3 * i + 2] = op.seen[0] if op.seen is not NULL else 0
        return 0

    cdef int restore_counts(self) noexcept:
        cdef int i
        cdef LaneOp* op
        for i in range(self.lanes.count):
            op = self.lanes.ops + i
            op.step.passed = self.before[3 * i]
            op.step.filtered = self.before[3 * i + 1]
            if op.seen is not NULL:
                op.seen[0] = self.before[3 * i + 2]
        return 0

    cdef Py_ssize_t through_ints(self, Py_ssize_t count) except -2:
        """Do the same with ints; -1 if one did not fit, and nothing of this run is counted any more."""
        cdef Lane* lane = self.lanes
        cdef bint stays = lane.whole_until == lane.count
        cdef const int64_t[::1] given = self.array[self.at:self.at + count].astype("=i8")
        cdef int64_t[::1] wholes
        cdef double[::1] values
        cdef uint16_t[::1] offsets
        cdef int32_t[::1] kept
        cdef int64_t* work = self.work
        cdef uint16_t* places = NULL
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t n, left, i
        cdef bint placed
        if stays:
            wholes = self.values
        else:
            values = self.values
        if self.offsets is not None:
            offsets = self.offsets
            kept = self.kept
        with nogil:
            while start < count:
                n = min(<Py_ssize_t> BLOCK, count - start)
                if self.offsets is not None:
                    places = &offsets[self.out]
                if stays:
                    work = &wholes[self.out]
                memcpy(work, &given[start], n * sizeof(int64_t))
                placed = False
                left = through_block_ints(lane, work, places, &placed, n)
                if left < 0:
                    break
                if not stays:
                    for i in range(left):
                        values[self.out + i] = <double> work[i]
                    if left:
                        left = through_block(
                            lane, lane.whole_until, &values[self.out], &values[self.out], places, placed, left
                        )
                if places is not NULL:
                    kept[(self.at + start) // BLOCK] = <int32_t> left
                self.out += left
                start += n
        if start < count:
            self.restore_counts()
            self.values = self.offsets = self.kept = None
            return -1
        self.at += count
        return count

    cdef int through_threads(self, Py_ssize_t count, object given) except -1:
        """Send as many elements through, each thread a part of them; what filters left is moved together."""
        cdef const double[::1] items = given
        cdef double[::1] values = self.values
        cdef uint16_t[::1] offsets
        cdef int32_t[::1] kept
        cdef Py_ssize_t share = (count // self.threads // BLOCK + 1) * BLOCK
        cdef Py_ssize_t start = 0
        cdef LanePart part
        cdef list busy = []
        cdef double* target
        if self.parts is None:
            self.parts = [new_part(self.lanes) for _ in range(self.threads)]
        if self.offsets is not None:
            offsets = self.offsets
            kept = self.kept
        for part in self.parts:
            if start >= count:
                break
            part.count = min(share, count - start)
            part.items = &items[start]
            if self.offsets is None:
                part.to = &values[self.out + start]
            else:  # apart from the others: it is not known how many elements the part before leaves
                part.to = &values[self.out if start == 0 else self.at + start]
                part.places = &offsets[self.out if start == 0 else self.at + start]
                part.kept = &kept[(self.at + start) // BLOCK]
            busy.append(part)
            start += part.count
        run_beside(busy)
        for part in busy:
            part.take_counts(self.lanes)
            if self.offsets is not None:
                target = &values[self.out] if self.out < values.shape[0] else NULL
                if part.survived and part.to != target:
                    memmove(target, part.to, part.survived * sizeof(double))
                    memmove(&offsets[self.out], part.places, part.survived * sizeof(uint16_t))
            self.out += part.survived
        self.at += count
        return 0

    cdef object take_arrays(self):
        """What came out so far, and let go of it."""
        from remotemedia.arrays import LaneArray

        values = self.values[:self.out]
        offsets = None if self.offsets is None else self.offsets[:self.out]
        if 8 * self.out < len(self.values):  # not to keep the room for all elements, where a copy is cheap
            values = values.copy()
            offsets = None if offsets is None else offsets.copy()
        made = LaneArray(values, offsets, self.kept, BLOCK)
        self.array = self.values = self.offsets = self.kept = None
        return made


cdef class LanePart:
    """A thread's share of an array on its way through a lane. Made by a run."""

    def __init__(self):
        raise TypeError("made by a run")

    def __dealloc__(self):
        PyMem_Free(self.ops)
        PyMem_Free(self.steps)
        PyMem_Free(self.seen)

    def __call__(self):
        """Send the share through; called in a thread of its own."""
        self.run()
        self.done.release()

    cdef int run(self) except -1:
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t n, left
        cdef uint16_t* places = NULL
        self.survived = 0
        with nogil:
            while start < self.count:
                n = min(<Py_ssize_t> BLOCK, self.count - start)
                if self.places is not NULL:
                    places = self.places + self.survived
                left = through_block(&self.lane, 0, self.to + self.survived, self.items + start, places, False, n)
                if self.kept is not NULL:
                    self.kept[start // BLOCK] = <int32_t> left
                self.survived += left
                start += n
        return 0

    cdef int take_counts(self, Lane* lane) noexcept:
        """Add what was counted to the lane of the run."""
        cdef int i
        for i in range(lane.count):
            lane.ops[i].step.passed += self.steps[i].passed
            lane.ops[i].step.filtered += self.steps[i].filtered
            self.steps[i].passed = self.steps[i].filtered = 0
            if lane.ops[i].seen is not NULL:
                lane.ops[i].seen[0] += self.seen[i]
                self.seen[i] = 0
        return 0


cdef LanePart new_part(Lane* lane):
    """A copy of a lane that counts by itself."""
    cdef LanePart part = LanePart.__new__(LanePart)
    cdef int i
    part.lane = lane[0]
    part.ops = <LaneOp*> PyMem_Calloc(lane.count, sizeof(LaneOp))
    part.steps = <Step*> PyMem_Calloc(lane.count, sizeof(Step))
    part.seen = <int64_t*> PyMem_Calloc(lane.count, sizeof(int64_t))
    if part.ops is NULL or part.steps is NULL or part.seen is NULL:
        raise MemoryError
    part.lane.ops = part.ops
    for i in range(lane.count):
        part.ops[i] = lane.ops[i]
        part.ops[i].step = part.steps + i
        if part.ops[i].seen is not NULL:
            part.ops[i].seen = part.seen + i
    return part


cdef int run_beside(list parts) except -1:
    """Run the first part here, the others in threads; none is left behind, also if a signal comes."""
    cdef LanePart part
    cdef list left = []  # locks that the threads release
    interrupt = None
    for part in parts[1:]:  # before any thread is there
        if part.done is None:
            part.done = _thread.allocate_lock()
            part.done.acquire()
    for part in parts[1:]:
        try:
            _thread.start_new_thread(part, ())
        except (RuntimeError, MemoryError):  # there is no room for another thread
            part.run()
        else:
            left.append(part.done)
    part = parts[0]
    part.run()
    while left:
        try:
            left[len(left) - 1].acquire()
            left.pop()
        except BaseException as error:  # Ctrl-C: a part takes some milliseconds
            interrupt = error
    if interrupt is not None:
        raise interrupt
    return 0


cdef Py_ssize_t through_block(
    Lane* lane, int first, double* to, const double* items, uint16_t* places, bint placed, Py_ssize_t n
) noexcept nogil:
    """Send a block through, from an op on, into `to`; return how many elements are left.

    `placed` is whether their `places` are known, for something was filtered already.
    """
    cdef LaneOp* op = lane.ops + first
    cdef LaneOp* end = lane.ops + lane.count
    cdef const double* source = items
    cdef Py_ssize_t left
    cdef Py_ssize_t i
    while op < end:
        if op.code == LANE_MULTIPLY:
            multiply_all(to, source, n, op.value)
            source = to
        elif op.code == LANE_AT_LEAST:
            left = keep_at_least(to, source, places, placed, n, op.value)
            op.step.filtered += n - left
            n = left
            placed = True
            source = to
        elif op.code == LANE_ADD:
            add_all(to, source, n, op.value)
            source = to
        elif op.code == LANE_SUBTRACT:
            subtract_all(to, source, n, op.value)
            source = to
        elif op.code == LANE_DIVIDE:
            divide_all(to, source, n, op.value)
            source = to
        elif op.code == LANE_MODULO:
            for i in range(n):
                to[i] = modulo(source[i], op.value)
            source = to
        elif op.code == LANE_ABS:
            for i in range(n):
                to[i] = fabs(source[i])
            source = to
        elif op.code == LANE_CLAMP:
            for i in range(n):
                to[i] = clamp(source[i], op.value, op.most)
            source = to
        elif op.code == LANE_ROUND:
            for i in range(n):
                to[i] = rint(source[i])
            source = to
        elif op.code == LANE_MAP:
            for i in range(n):
                to[i] = (<map_t> op.function)(source[i])
            source = to
        elif op.code == LANE_MAP_WITH:
            for i in range(n):
                to[i] = (<map_with_t> op.function)(source[i], op.data)
            source = to
        elif op.code == LANE_COUNT:
            op.seen[0] += n
        op.step.passed += n
        op += 1
    if source == items:
        for i in range(n):
            to[i] = items[i]
    return n
