"""The per-item loop. Read `Run.drive` first: it executes a plan's program (`plan.pyx`), one step at a time.

An item travels in one variable, `item`. A step either moves it, or calls a node with it; a step that ends up with
nothing goes to its `skip`. The loop needs no stack: loops of many-nodes and merges are jumps in the program, and
everything that must outlive an iteration is in the `Run`. So the loop can stop at any EMIT and go on later, which is
how streams work, and flushed or produced items enter in the middle of the program.

Memory: a `Run` owns its nodes and every item in flight; items wait in Python lists, which the garbage collector sees.
Threads: one at a time calls into a run, which the session layer sees to; `stop` may come from any.
Errors: a node's exception leaves the inner loop for one cold gate, `fault`, which either raises or says where to go
on. What a run is beside its loop is in `run.pyx`.
"""

import copy
import logging

cimport cython
from cpython.exc cimport PyErr_Occurred
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact, PyFloat_FromDouble
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_CheckExact, PyLong_FromLongLong
from cpython.mem cimport PyMem_Calloc, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_TYPE
from cpython.time cimport perf_counter_ns
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from remotemedia._core.batches cimport BatchState
from remotemedia._core.capi cimport (
    PYGEN_NEXT, PYGEN_RETURN, PyCoro_CheckExact, PyGen_Type, PyIter_Next, PyIter_Send, PySendResult, is_lazy, raise_again,
    steal,
)
from remotemedia._core.clock cimport clock_scale, read_clock
from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.histogram cimport Times, add, count_call
from remotemedia._core.int_lanes cimport becomes_a_double, through_lane_ints
from remotemedia._core.lanes cimport Lane, through_lane
from remotemedia._core.node cimport Claims
from remotemedia._core.nodes cimport Counter
from remotemedia._core.overlap cimport CHOICE_FEED, CHOICE_GO_ON, CHOICE_LAND, CHOICE_OVER
from remotemedia._core.plan cimport (
    ACALL, ACALL_MANY, AEACH, AGEN, AWAIT_FLUSH, AWAIT_PRODUCE, BARRIER, BATCH, CALL, CALL_MANY, COPY, COUNT, EACH, EMIT, END,
    END_OF_PASS, FETCH, HANDOVER, ITERATE_FLUSH, ITERATE_PRODUCE, JOIN, JUMP, LANE, LIMITED, MERGE, NATIVE, NATIVE_MANY, OFFLOAD,
    OFFLOAD_MANY, PASS, POST, PUSH, PUT, SCHEDULE, SOURCE, TAKE, TAP, Branch, Plan, Step, fingerprint, make_plan,
)
from remotemedia._core.run cimport (
    AGAIN, FEED_ARRAY, FEED_ASYNC, FEED_BLOCKS, FEED_ITERATOR, FEED_LIST, FEED_NONE, POLICY_COLLECT, POLICY_SKIP, POLICY_STOP, STAGE_FLUSH, STAGE_IDLE,
    STAGE_ITEMS, STAGE_PRODUCE, SUSPENDED, Batch,
)

from remotemedia._core.run import Interrupted
from remotemedia.errors import SessionClosedError, bounded_repr, in_use, set_traceback, settle
from remotemedia.arrays import canonical
from remotemedia.items import as_array_input, is_array, is_async_iterable, iterate
from remotemedia.limits import overrun
from remotemedia.result import ExecutionStatus
from remotemedia.returns import async_series, emitted_many, lazy_error, series

cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object number, int* overflow) noexcept
    PyObject* PyList_GET_ITEM(list items, Py_ssize_t i) noexcept
    void PyList_SET_ITEM(list items, Py_ssize_t i, object stolen) noexcept
    void Py_INCREF(object) noexcept
    void Py_DECREF(PyObject*) noexcept
    int PyDict_SetItem(dict target, PyObject* key, object value) except -1
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence) noexcept
    PyObject* PySequence_Fast_GET_ITEM(object sequence, Py_ssize_t i) noexcept

cdef object logger = logging.getLogger("remotemedia")
cdef object COMPLETED = ExecutionStatus.COMPLETED
cdef object COMPLETED_WITH_ERRORS = ExecutionStatus.COMPLETED_WITH_ERRORS
cdef dict POLICIES = {"stop": POLICY_STOP, "skip": POLICY_SKIP, "collect": POLICY_COLLECT}


# What waits on a connection, in a list of the run; None is nothing. Without the checks of `list[i] = x`.

cdef inline void put(list waiting, int edge, object item) noexcept:
    cdef PyObject* before = PyList_GET_ITEM(waiting, edge)
    Py_INCREF(item)
    PyList_SET_ITEM(waiting, edge, item)
    Py_DECREF(before)


cdef inline object take(list waiting, int edge):
    cdef PyObject* item = PyList_GET_ITEM(waiting, edge)
    Py_INCREF(None)
    PyList_SET_ITEM(waiting, edge, None)
    return steal(item)


cdef Step* stop_clock(Step* timing, int64_t then, uint64_t clock) noexcept:
    """What comes is nobody's time: a wait for the input, or for who takes the output."""
    if timing is not NULL:
        timing.times.call_ns += read_clock(clock) - then
        if not timing.active:
            count_call(timing.times)
    return NULL


@cython.final
cdef class Run(BatchState):
    """One run, or one session: from the nodes' `initialize` to their `cleanup`.

    `drive` keeps the order of contract §2 and the counts of R14.
    """

    # --- the loop --------------------------------------------------------------------------------------------------------

    cdef int drive(self) except -1:
        """Go on at `self.pc`: 1 when an item came out (streaming), 0 when the feed is at its end, or SUSPENDED."""
        cdef Step* steps = self.steps
        cdef Step* step = steps + self.pc
        cdef Step* call
        cdef Step* timing = NULL       # whose time is running
        cdef int* call_at = self.plan.call_at
        cdef list results = self.results
        cdef list waiting = self.waiting
        cdef int reads_clock = SCHEDULE if self.timed else INT_MAX  # steps from this one on do
        cdef uint64_t clock = self.clock
        cdef object item = self.carried
        cdef object taken = None
        cdef PySendResult progress
        cdef PyObject* found
        cdef PyObject* args[3]         # [0] is scratch for the callee (PY_VECTORCALL_ARGUMENTS_OFFSET)
        cdef int op
        cdef int status
        cdef int64_t now, then = 0
        cdef Step* measured = NULL     # LIMITED: the step at which `began` is this moment
        cdef int64_t began = 0
        cdef int64_t ended
        cdef Lane* lane
        cdef double value
        cdef int64_t whole
        self.carried = None
        if self.timed and self.pending is not None and self.timing_at >= 0:  # a call goes on that was suspended
            steps[self.timing_at].times.call_ns += read_clock(clock) - self.timed_since
        while True:
            try:
                while True:
                    op = step.op
                    if op >= reads_clock:  # a run that is timed; neighbours share a clock read
                        if measured == step:
                            now = began
                        else:
                            now = began = read_clock(clock)
                        measured = step if op == LIMITED else NULL
                        if timing is not NULL:
                            timing.times.call_ns += now - then
                            if not timing.active and not (
                                (timing is step or step.op == BATCH) and (step[-1].op == COPY or step[-1].op == BATCH)
                            ):  # the call is over
                                count_call(timing.times)
                        timing = NULL
                        if op >= COPY and op != OFFLOAD and op != OFFLOAD_MANY:  # these are timed where they are made
                            timing = steps + call_at[step.node]
                        then = now

                    if op == LANE:
                        lane = self.lanes.lanes + step.arg
                        if PyFloat_CheckExact(item):
                            value = PyFloat_AS_DOUBLE(item)
                            status = through_lane(lane, 0, &value)
                            if status >= 0:
                                item = None
                                step = steps + lane.ops[status].step.skip
                            else:
                                if lane.changes:
                                    item = PyFloat_FromDouble(value)
                                step = steps + lane.end
                            continue
                        if lane.whole_until >= 0 and PyLong_CheckExact(item):
                            whole = PyLong_AsLongLongAndOverflow(item, &status)
                            if status == 0:
                                status = through_lane_ints(lane, &whole)
                                if status < 0:
                                    item = None
                                    step = steps + lane.ops[-1 - status].step.skip
                                    continue
                                if status == lane.count:
                                    if lane.changes:
                                        item = PyLong_FromLongLong(whole)
                                    step = steps + lane.end
                                    continue
                                if status == lane.whole_until and becomes_a_double(lane, whole):
                                    value = <double> whole
                                    status = through_lane(lane, status, &value)
                                    if status >= 0:
                                        item = None
                                        step = steps + lane.ops[status].step.skip
                                    else:
                                        item = PyFloat_FromDouble(value)
                                        step = steps + lane.end
                                    continue
                                if status > 0:  # it does not fit
                                    item = PyLong_FromLongLong(whole)
                                    step = lane.ops[status].step
                                    continue
                        op = lane.op

                    if op == PASS:
                        step.passed += 1
                        step += 1
                    elif op == NATIVE:
                        found = step.native(step.instance, <PyObject*> item)
                        if found is NULL:
                            raise_again()
                        if found is not <PyObject*> item and is_lazy(<object> found):
                            raise lazy_error(<object> step.instance, "process", steal(found))
                        item = steal(found)
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        else:
                            step.passed += 1
                            step += 1
                    elif op == CALL:
                        args[1] = step.instance
                        args[2] = <PyObject*> item
                        found = step.call(step.function, args + step.first, step.nargs, NULL)
                        if found is NULL:
                            raise_again()
                        if is_lazy(<object> found):
                            raise lazy_error(<object> step.instance, "process", steal(found))
                        item = steal(found)
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        else:
                            step.passed += 1
                            step += 1
                    elif op == EMIT:
                        if self.streaming:
                            stop_clock(timing, then, clock)
                            self.out_item = item
                            self.out_node = step.node
                            self.pc = <int> (step - steps) + 1
                            return 1
                        results.append(item)
                        if step.arg >= 0:
                            (<list> self.outputs[step.arg]).append(item)
                        step += 1
                    elif op == FETCH:
                        self.budget -= 1
                        if timing is not NULL and (self.feed != FEED_LIST or self.budget < 0):
                            timing = stop_clock(timing, then, clock)
                        if self.budget < 0:
                            self.tick()
                            if self.on_loop and self.pending is None:
                                self.yielded = None  # a turn for the other tasks of the loop
                                return self.suspend(step, timing, then, None)
                        if self.feed == FEED_LIST:
                            if self.whole_lane and not self.streaming:
                                self.floats_through_lane(results)
                            if self.cursor_at >= PySequence_Fast_GET_SIZE(self.source):
                                if self.windows is None:
                                    stop_clock(timing, then, clock)
                                    return 0
                                self.fed_out = True
                                step = steps + self.plan.schedule_at
                                continue
                            item = <object> PySequence_Fast_GET_ITEM(self.source, self.cursor_at)
                            self.cursor_at += 1
                        elif self.feed == FEED_BLOCKS:
                            self.fed_out = True
                            step = steps + self.plan.schedule_at
                            continue
                        elif self.feed == FEED_ARRAY:
                            if not self.array_through_lane():
                                return 0
                            continue
                        elif self.feed == FEED_ASYNC:
                            item = None
                            status = self.draw(self.source, -1, True)
                            if status == SUSPENDED:
                                if self.windows is not None and self.set_aside():
                                    step = steps + self.pc
                                    continue
                                return self.suspend(step, timing, then, None)
                            if status == 0:
                                if self.windows is None:
                                    return 0
                                self.fed_out = True
                                step = steps + self.plan.schedule_at
                                continue
                            item = self.take_outcome()
                        else:
                            item = None  # the last one is not kept alive while the input makes the next
                            found = PyIter_Next(<PyObject*> self.source)
                            if found is NULL:
                                if PyErr_Occurred():
                                    raise_again()
                                if self.windows is None:
                                    return 0
                                self.fed_out = True
                                step = steps + self.plan.schedule_at
                                continue
                            item = steal(found)
                        self.fed += 1
                        self.index = self.fed
                        self.items_in += 1
                        if item is None or is_lazy(item):
                            timing = stop_clock(timing, then, clock)
                            self.refuse(item)
                        else:
                            if not self.plan.one_source:
                                self.input_item = item
                            step = steps + 1
                    elif op == END:
                        if self.feed == FEED_NONE:
                            stop_clock(timing, then, clock)
                            return 0
                        step = steps
                    elif op == TAKE:
                        item = take(waiting, step.arg)
                        step = steps + step.skip if item is None else step + 1
                    elif op == PUT:
                        put(waiting, step.arg, item)
                        step += 1
                    elif op == COUNT:
                        (<Counter> step.instance).count += 1
                        step.passed += 1
                        step += 1
                    elif op == EACH:
                        self.budget -= 1
                        if self.budget < 0:
                            self.tick()
                            if self.interrupts is not None:
                                self.check_interrupts(step.node)
                            if self.on_loop:
                                self.yielded = None
                                return self.suspend(step, timing, then, None)
                        call = steps + step.arg
                        if not call.active:
                            timing = NULL  # no call: what was flushed came this way
                            step = steps + step.skip
                            continue
                        item = None
                        found = PyIter_Next(<PyObject*> self.iterators[call.node])
                        if found is NULL:
                            if PyErr_Occurred():
                                raise_again()
                            if call.emitted > 0:
                                call.passed += call.weight
                            else:
                                call.filtered += call.weight
                            call.active = False
                            self.iterators[call.node] = None
                            self.inputs[call.node] = None
                            step = steps + step.skip
                            continue
                        item = steal(found)
                        if item is None:
                            continue
                        if is_lazy(item):
                            raise lazy_error(<object> call.instance, "process", item)
                        call.emitted += 1
                        call.out += 1
                        step += 1
                    elif op == JUMP:
                        step = steps + step.arg
                    elif op == LIMITED:
                        if measured != step:  # else the call before it ended here and now
                            began = read_clock(clock)
                        measured = NULL
                        if step.native is not NULL:
                            found = step.native(step.instance, <PyObject*> item)
                        else:
                            args[1] = step.instance
                            args[2] = <PyObject*> item
                            found = step.call(step.function, args + step.first, step.nargs, NULL)
                        if found is NULL:
                            raise_again()
                        ended = read_clock(clock)
                        if ended - began > step.limit_ns:
                            Py_DECREF(found)  # it is late: thrown away
                            raise overrun("process", ended - began, step.limit_ns)
                        if found is not <PyObject*> item and is_lazy(<object> found):
                            raise lazy_error(<object> step.instance, "process", steal(found))
                        item = steal(found)
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        else:
                            step.passed += 1
                            step += 1
                            measured = step
                            began = ended
                    elif op == ACALL:
                        if self.pending is None:
                            args[1] = step.instance
                            args[2] = <PyObject*> item
                            found = step.call(step.function, args + step.first, step.nargs, NULL)
                            if found is NULL:
                                raise_again()
                            taken = steal(found)
                            if PyCoro_CheckExact(taken):  # as `go_on` does, without a way through the run
                                found = NULL
                                progress = PyIter_Send(<PyObject*> taken, <PyObject*> None, &found)
                                if progress == PYGEN_NEXT:
                                    self.yielded = steal(found)
                                    self.pending = taken
                                    self.pending_of = step.node
                                    return self.suspend(step, timing, then, item)
                                if progress != PYGEN_RETURN:
                                    raise_again()
                                item = steal(found)
                            else:
                                self.begin_await(step.node, "process", taken)
                                if self.go_on() == SUSPENDED:
                                    return self.suspend(step, timing, then, item)
                                item = self.take_outcome()
                            taken = None
                        else:
                            if self.go_on() == SUSPENDED:
                                return self.suspend(step, timing, then, item)
                            item = self.take_outcome()
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        elif is_lazy(item):
                            raise lazy_error(<object> step.instance, "process", item)
                        else:
                            step.passed += 1
                            step += 1
                    elif op == ACALL_MANY:
                        self.inputs[step.node] = item
                        if self.call_and_wait(step, item) == SUSPENDED:
                            return self.suspend(step, timing, then, item)
                        taken = self.take_outcome()
                        if taken is None:
                            step.filtered += step.weight
                            self.inputs[step.node] = None
                            step = steps + step.skip
                        else:
                            self.open_call(step, taken)
                            taken = None
                            step += 1
                    elif op == AGEN:
                        self.inputs[step.node] = item
                        args[1] = step.instance
                        args[2] = <PyObject*> item
                        found = step.call(step.function, args + step.first, step.nargs, NULL)
                        if found is NULL:
                            raise_again()
                        taken = steal(found)
                        self.iterators[step.node] = async_series(<object> step.instance, "process", taken)
                        taken = None
                        step.active = True
                        step.emitted = 0
                        step += 1
                    elif op == AEACH:
                        call = steps + step.arg
                        if not call.active:
                            timing = NULL
                            step = steps + step.skip
                            continue
                        if self.pending is None:
                            self.budget -= 1
                            if self.budget < 0:
                                self.tick()
                                if self.interrupts is not None:
                                    self.check_interrupts(step.node)
                                self.yielded = None
                                return self.suspend(step, timing, then, None)
                        item = None  # the last output is not kept alive while the next is made
                        status = self.draw(self.iterators[call.node], call.node, False)
                        if status == SUSPENDED:
                            return self.suspend(step, timing, then, None)
                        if status == 0:
                            if call.emitted > 0:
                                call.passed += call.weight
                            else:
                                call.filtered += call.weight
                            call.active = False
                            self.iterators[call.node] = None
                            self.inputs[call.node] = None
                            step = steps + step.skip
                            continue
                        item = self.take_outcome()
                        if item is None:
                            continue
                        if is_lazy(item):
                            raise lazy_error(<object> call.instance, "process", item)
                        call.emitted += 1
                        call.out += 1
                        step += 1
                    elif op == CALL_MANY or op == NATIVE_MANY:
                        if self.budget < 0:
                            self.tick()
                        self.inputs[step.node] = item
                        if op == NATIVE_MANY:
                            found = step.native(step.instance, <PyObject*> item)
                        else:
                            args[1] = step.instance
                            args[2] = <PyObject*> item
                            found = step.call(step.function, args + step.first, step.nargs, NULL)
                        if found is NULL:
                            raise_again()
                        taken = steal(found)
                        if taken is None:
                            step.filtered += step.weight
                            self.inputs[step.node] = None
                            step = steps + step.skip
                        else:
                            self.open_call(step, taken)
                            taken = None
                            step += 1
                    elif op == SOURCE:
                        item = self.input_item
                        step = steps + step.skip if item is None else step + 1
                    elif op == PUSH:
                        (<list> self.queues[step.arg]).append(item)
                        step += 1
                    elif op == MERGE:
                        item = None  # the last one is not kept alive while the next is fetched
                        item = self.next_merged(step)
                        step = steps + step.skip if item is None else step + 1
                    elif op == JOIN:
                        item = self.gather(step)
                        step = steps + step.skip if item is None else step + 1
                    elif op == SCHEDULE:
                        item = None
                        status = self.schedule()
                        if status == CHOICE_GO_ON:
                            item = self.carried
                            self.carried = None
                            step = steps + self.pc
                        elif status == CHOICE_LAND:
                            step = steps + self.pc
                            item = self.landed.given  # if the call failed: for the text of the error
                            item = self.land(step)
                            step = steps + step.skip if item is None and not step.active else step + 1
                        elif status == CHOICE_FEED:
                            if self.feed == FEED_NONE:
                                return 0
                            step = steps
                        elif status == CHOICE_OVER:
                            return 0
                        elif status == SUSPENDED:
                            return self.suspend(step, NULL, 0, None)
                        elif status == AGAIN:
                            return AGAIN
                        else:
                            self.pc = <int> (step - steps)
                            return 1
                    elif op == OFFLOAD or op == OFFLOAD_MANY:
                        self.offload(step, item)
                        item = None
                        step = steps + self.pc
                    elif op == POST:
                        self.post(step, item)
                        step += 1
                    elif op == HANDOVER:
                        self.leave(step.arg, step.skip)
                        item = None
                        step = steps + self.pc
                    elif op == BARRIER:
                        self.wait_at_barrier(step)
                        step = steps + self.pc
                    elif op == END_OF_PASS:
                        self.end_pass()
                        step = steps + self.pc
                    elif op == BATCH:
                        item = self.gather_batch(step, item)
                        step = steps + step.skip if item is None else step + 1
                    elif op == COPY:
                        item = copy.deepcopy(item)
                        if item is None:
                            raise TypeError("copying the item gave None")
                        step += 1
                    elif op == TAP:
                        if not self.streaming:
                            (<list> self.outputs[step.arg]).append(item)
                        step += 1
                    else:  # PRODUCER
                        step = steps + step.skip
            except BaseException as error:
                taken = None
                if step.op < COPY:
                    timing = stop_clock(timing, then, clock)
                elif timing is not NULL:
                    timing.times.call_ns += read_clock(clock) - then
                    timing = NULL
                if type(error) is Interrupted:
                    status = self.interrupted(<int> (step - steps))
                    item = None
                    if status == -2:
                        return self.drop_all()
                    step = steps + status
                    if self.closing:
                        return self.suspend(step, NULL, 0, None)
                    continue
                call = step
                try:
                    step = steps + self.fault(<int> (step - steps), error, item)
                    if call.op != COPY and self.is_before_call(call):  # the queue was full
                        self.leave(call.arg, call.skip)
                        step = steps + self.pc
                except Exception as final:
                    if not self.holds(final):
                        raise
                    self.hold(final, False)
                    step = steps + self.pc
                item = None
                if self.closing:  # of what the failed call left open
                    return self.suspend(step, NULL, 0, None)

    cdef int floats_through_lane(self, list results) except -1:
        """Send items of the input list through the whole program, as long as they are floats."""
        cdef Lane* lane = self.lanes.lanes
        cdef Py_ssize_t at = self.cursor_at
        cdef Py_ssize_t began = at
        cdef Py_ssize_t most = at + self.budget  # of which FETCH took one
        cdef PyObject* item
        cdef double value
        while at < PySequence_Fast_GET_SIZE(self.source) and at < most:
            item = PySequence_Fast_GET_ITEM(self.source, at)
            if not PyFloat_CheckExact(<object> item):
                break
            at += 1
            value = PyFloat_AS_DOUBLE(<object> item)
            if through_lane(lane, 0, &value) < 0:
                results.append(PyFloat_FromDouble(value) if lane.changes else <object> item)
        self.cursor_at = at
        self.budget -= at - began
        self.fed += at - began
        self.index = self.fed
        self.items_in += at - began
        return 0

    cdef int array_through_lane(self) except -1:
        """Send some more of the input array through; False at its end."""
        cdef Py_ssize_t count = self.lanes.through_array()
        if count < 0:  # an int does not fit: from the beginning, through the nodes
            self.items_in -= self.fed + 1
            self.index = self.fed = -1
            self.feed = FEED_ITERATOR
            self.source = iterate(self.lanes.array)
            self.lanes.array = None
            return True
        self.fed += count
        self.index = self.fed
        self.items_in += count
        self.budget = 0  # look at signals
        return count > 0

    cdef int drop_all(self) except -1:
        """Drop every pass on its way: `advance` goes on with it; SUSPENDED where that waits."""
        if self.closing:
            self.pc = -1
            return SUSPENDED
        return AGAIN

    cdef int suspend(self, Step* step, Step* timing, int64_t then, object item) except -1:
        """Keep where the loop is, for the next `drive`."""
        self.pc = <int> (step - self.steps)
        self.carried = item
        self.timing_at = -1 if timing is NULL else <int> (timing - self.steps)
        self.timed_since = then
        return SUSPENDED

    cdef int call_and_wait(self, Step* step, object item) except -1:
        """Call an async node, or go on with its call; SUSPENDED, or 1: see `outcome`."""
        cdef PyObject* args[3]
        cdef PyObject* found
        if self.pending is None:
            args[1] = step.instance
            args[2] = <PyObject*> item
            found = step.call(step.function, args + step.first, step.nargs, NULL)
            if found is NULL:
                raise_again()
            self.begin_await(step.node, "process", steal(found))
        return self.go_on()

    cdef object land(self, Step* step):
        """Take what an overlapping call gave; of a many-node, begin to draw from it."""
        self.landed = None  # it is the frame of the pass under way, too
        if self.timed:
            step.times.call_ns += self.frame.elapsed_ns + self.frame.copied_ns
            add(&self.waits[step.arg].processing, self.frame.waited_ns)
        if step.op == OFFLOAD_MANY:
            self.inputs[step.node] = self.frame.given
        self.frame.given = None
        item = self.frame.item
        self.frame.item = None
        if self.frame.error is not None:
            error = self.frame.error
            self.frame.error = None
            if self.frame.trace is not None:  # it is that of other frames, too, and may have been kept
                set_traceback(error, self.frame.trace)
                self.frame.trace = None
            raise error
        if item is None:
            step.filtered += 1
            if step.op == OFFLOAD_MANY:
                self.inputs[step.node] = None
        elif step.op == OFFLOAD_MANY:
            self.open_call(step, item)
            return None
        elif is_lazy(item):
            raise lazy_error(<object> step.instance, "process", item)
        else:
            step.passed += 1
        if self.timed:
            count_call(step.times)
        return item

    cdef object next_merged(self, Step* step):
        """The next item queued for a merge, in the order of its connections; None when all are through."""
        cdef Plan plan = self.plan
        cdef int number = step.arg
        cdef int place
        cdef list queue
        while self.branch_at[number] < plan.branch_heads[number + 1]:
            place = plan.branches[self.branch_at[number]].place
            queue = self.queues[place]
            if self.heads[place] < len(queue):
                self.budget -= 1
                if self.budget < 0:
                    self.tick()
                item = queue[self.heads[place]]
                queue[self.heads[place]] = None  # it lives as long as its pass
                self.heads[place] += 1
                self.delivered[plan.branches[self.branch_at[number]].edge] += 1
                return item
            queue.clear()
            self.heads[place] = 0
            self.branch_at[number] += 1
        self.branch_at[number] = plan.branch_heads[number]
        return None

    cdef object gather(self, Step* step):
        """The dict of a join, or None if it is not to be called."""
        cdef Plan plan = self.plan
        cdef Branch* branch = plan.branches + plan.branch_heads[step.arg]
        cdef Branch* end = plan.branches + plan.branch_heads[step.arg + 1]
        cdef list waiting = self.waiting
        cdef Py_ssize_t missing = 0
        cdef dict joined = {}
        cdef PyObject* item
        while branch < end:
            item = PyList_GET_ITEM(waiting, branch.place)
            if <object> item is None:
                missing += 1
            else:
                PyList_SET_ITEM(waiting, branch.place, None)
                Py_INCREF(None)
                PyDict_SetItem(joined, branch.key, steal(item))
                self.delivered[branch.edge] += 1
            branch += 1
        if missing == 0 or (joined and plan.partial[step.arg]):
            return joined
        if joined:
            self.steps[plan.call_at[step.node]].filtered += 1
        return None

    cdef list gather_batch(self, Step* step, object item):
        """Let an item wait for the others of its batch; the batch, once it is full, else None."""
        cdef Batch batch = self.batches[step.node]
        batch.items.append(item)
        batch.indexes.append(None if self.index < 0 else self.index)
        if len(batch.items) < step.arg:
            return None
        step[1].weight = len(batch.items)
        return self.take_batch(step.node)

    cdef int open_call(self, Step* step, object iterable) except -1:
        """Begin to draw from what a many-node gave."""
        if not PyList_CheckExact(iterable) and <PyTypeObject*> Py_TYPE(iterable) != &PyGen_Type:
            emitted_many(<object> step.instance, iterable)
        self.iterators[step.node] = iter(iterable)
        step.active = True
        step.emitted = 0
        return 0

    # --- feeding the loop ------------------------------------------------------------------------------------------------

    cdef int advance(self) except -1:
        """Run until an item came out (streaming; 1), everything went through (0), or something is awaited (SUSPENDED)."""
        cdef int status
        if self.ended:
            raise SessionClosedError("the run is at its end")
        if self.closing:
            if self.finish_closing() == SUSPENDED:
                return SUSPENDED
        elif self.thrown is not None and self.pending is None:
            error = self.thrown
            self.thrown = None
            raise error
        while True:
            if self.dropping and self.drop_passes() == SUSPENDED:
                return SUSPENDED
            if self.pc >= 0:
                status = self.drive()
                if status == AGAIN:
                    continue
                if status != 0:
                    return status
                self.pc = -1
                self.input_item = None
                if self.stage == STAGE_ITEMS:
                    self.source = None
                    self.start_flush()
            status = self.next_pass()
            if status == SUSPENDED:
                return SUSPENDED
            if status == 0:
                self.stop_clock()
                return 0

    cdef int begin(self, object items, bint streaming) except -1:
        """Start an input: items, or None for the producers."""
        self.begin_call()
        self.streaming = streaming
        self.index = self.fed = -1
        self.flush_at = 0
        if items is None:
            self.stage = STAGE_PRODUCE
            self.feed = FEED_NONE
            self.pc = -1
            return 0
        self.stage = STAGE_ITEMS
        self.pc = 0 if self.windows is None else self.plan.schedule_at
        if self.lanes is not None:
            self.lanes.values = None
        self.blocks = None
        items = as_array_input(items)
        if self.plan.whole_batch and not streaming and not self.on_loop and not self.timed and self.takes_blocks(items):
            self.feed = FEED_BLOCKS
            self.source = items[:]  # a view: its shape and type are nobody else's to change
            self.cursor_at = 0
        elif self.whole_lane and not streaming and is_array(items) and self.lanes.start(items):
            self.feed = FEED_ARRAY
        elif type(items) is list or type(items) is tuple:
            self.feed = FEED_LIST
            self.source = items
            self.cursor_at = 0
        else:
            self.feed = FEED_ASYNC if self.on_loop and is_async_iterable(items) else FEED_ITERATOR
            self.source = items.__aiter__() if self.feed == FEED_ASYNC else iterate(items)
        return 0

    cdef bint takes_blocks(self, object items) except -1:
        """Whether the one node takes batches of an array as they are: items would make the same arrays."""
        cdef int u = self.plan.cuts[0].node
        if not is_array(items) or not self.plan.batchings[u].arrays or self.plan.batchings[u].isolates:
            return False
        return not self.plan.flushes[u] and items.ndim > 0 and canonical(items[:0]) is not None

    cdef int start_flush(self) except -1:
        self.stage = STAGE_FLUSH
        self.feed = FEED_NONE
        self.fed_out = False
        self.flush_at = 0
        self.index = self.fed = -1
        return 0

    cdef int next_pass(self) except -1:
        """Set up the pass of the next produced or flushed item: 1, 0 if there is none left, or SUSPENDED."""
        cdef list nodes
        cdef Step* step
        cdef int u, status
        cdef str phase
        cdef int64_t began
        while self.stage != STAGE_IDLE:
            phase = "produce" if self.stage == STAGE_PRODUCE else "flush"
            nodes = self.plan.producers if self.stage == STAGE_PRODUCE else self.plan.flushers
            if self.windows is not None and self.goes_through_first(self.generator is None and self.pending is None):
                return 1
            if self.flush_at == len(nodes):
                if self.stage == STAGE_PRODUCE:
                    self.start_flush()
                else:
                    self.stage = STAGE_IDLE
                continue
            u = nodes[self.flush_at]
            step = self.steps + self.plan.call_at[u]
            if self.stage == STAGE_FLUSH and self.pending is None and self.takes_batches(step):
                if (<Batch> self.batches[u]).items:
                    self.enter_batch(u)
                    return 1
                if not self.plan.flushes[u]:
                    self.flush_at += 1
                    continue
            if self.pending is None:
                self.budget -= 1
                if self.budget < 0:
                    self.tick()
                    if self.on_loop:
                        self.yielded = None
                        return SUSPENDED
                if self.generator is None and self.verbose:
                    self.log(phase, u)
            began = 0
            if self.timed:
                began = self.drawn_since if self.pending is not None else perf_counter_ns()
            try:
                status = self.draw_pass(u, phase)
            except BaseException as error:
                if self.timed:
                    self.time_pass(step, began, self.stage == STAGE_PRODUCE)
                try:
                    self.failed_pass(u, phase, error)
                except Exception as final:
                    if not self.holds(final):
                        raise
                    self.hold(final, True)
                    return 1
                if self.closing:
                    return SUSPENDED
                continue
            if status == SUSPENDED:
                self.drawn_since = began
                return 1 if self.windows is not None and self.set_aside() else SUSPENDED
            item = self.take_outcome()
            if self.timed:
                self.time_pass(step, began, self.stage == STAGE_PRODUCE and item is not None)
            if status == 0:
                self.generator = None
                self.flush_at += 1
            elif item is not None:
                if self.stage == STAGE_PRODUCE:
                    self.fed += 1
                    self.items_in += 1
                    step.passed += 1
                else:
                    step.flushed += 1
                self.index = self.fed
                self.carried = item
                self.pc = self.plan.entry[u]
                if self.windows is not None:
                    self.enter_program(u, self.pc, self.plan.entry_loop[u], self.plan.entry_cut[u])
                return 1
        return 0

    cdef int enter_batch(self, int u) except -1:
        """Set up the pass of the last batch, which is not full, of a node with n-to-m batches: it begins with the call."""
        cdef Plan plan = self.plan
        cdef Step* step = self.steps + plan.call_at[u]
        self.index = -1
        self.carried = self.take_batch(u)
        step.weight = len(self.carried)
        self.pc = plan.call_at[u]
        if self.windows is not None:
            self.enter_program(u, self.pc, plan.batch_loop[u], plan.batch_cut[u])
        return 0

    cdef int time_pass(self, Step* step, int64_t began, bint is_call) noexcept:
        """Count the time of what `draw_pass` did: an item of a producer is as a call."""
        cdef int64_t spent = perf_counter_ns() - began
        if is_call:
            add(&step.times.processing, spent)
        else:
            step.times.other_ns += spent
        return 0

    cdef int draw_pass(self, int u, str phase) except -1:
        """Get the next item of a flush or a producer: 1 (see `outcome`), 0 at its end, or SUSPENDED."""
        cdef PyObject* found
        cdef int bits = self.plan.asyncs[u]
        cdef int status
        cdef bint iterates = bits & (ITERATE_PRODUCE if self.stage == STAGE_PRODUCE else ITERATE_FLUSH)
        if self.generator is None:
            if self.pending is None:
                given = getattr(self.nodes[u], phase)()
                if bits & (AWAIT_PRODUCE if self.stage == STAGE_PRODUCE else AWAIT_FLUSH):
                    if self.windows is not None:
                        given = self.apart(self.nodes[u], phase, given)
                    self.begin_await(u, phase, given)
            if self.pending is not None:
                if self.go_on() == SUSPENDED:
                    return SUSPENDED
                given = self.take_outcome()
            self.open_generator(u, phase, given, iterates)
        if iterates:
            status = self.draw(self.generator, u, True)
            if status != 1:
                return status
        else:
            found = PyIter_Next(<PyObject*> self.generator)
            if found is NULL:
                if PyErr_Occurred():
                    raise_again()
                return 0
            self.outcome = steal(found)
        if is_lazy(self.outcome):
            raise lazy_error(self.nodes[u], phase, self.take_outcome())
        return 1

    cdef int open_generator(self, int u, str phase, object given, bint iterates) except -1:
        """Begin to draw from what a flush or a producer gave."""
        self.generator_of = u
        if iterates:
            self.generator = async_series(self.nodes[u], phase, given)
            return 0
        if given is None and phase == "flush":
            given = ()
        if not PyList_CheckExact(given) and <PyTypeObject*> Py_TYPE(given) != &PyGen_Type:
            series(self.nodes[u], phase, given)
        self.generator = iter(given)
        return 0

    cdef int failed_pass(self, int u, str phase, object error) except -1:
        """Take in what a flush or a producer raised: the first ends the run, the second is under the policy."""
        if self.stage == STAGE_PRODUCE:
            self.fed += 1
            self.index = self.fed
            self.items_in += 1
            self.steps[self.plan.call_at[u]].failed += 1
        if not isinstance(error, Exception):
            raise error
        if self.stage == STAGE_FLUSH:
            raise self.node_error(u, phase, error, None, None)
        self.drop(u, phase, error, self.index, None)
        unfinished = self.generator
        self.generator = None
        self.flush_at += 1
        self.close_one(u, unfinished, True)
        return 0

    # --- what the session layer calls, beside initialize and end ---------------------------------------------------------
    #
    # What a coroutine of `aio` does in parts, with suspensions between, is begun by `begin…` and ended by `take…`.

    cpdef object execute(self, object items):
        """Drive `items` (None: the producers) through, flush, and return the result of it."""
        self.begin(items, False)
        self.advance()
        return self.take_result()

    cpdef object take_result(self):
        """Return the result of the call that came to its end, and let go of it."""
        result = self.result()
        self.end_call()
        return result

    def process(self, item):
        """Drive one item through, without a flush; return what the sinks emitted."""
        self.begin_process(item)
        return self.outputs_of_call()

    def flush(self):
        """Flush every node; return what came out of it."""
        self.begin_flush()
        return self.outputs_of_call()

    cdef int begin_process(self, object item) except -1:
        self.begin_call()
        self.streaming = False
        self.stage = STAGE_IDLE
        self.index = self.fed = self.next_call - 1
        self.next_call += 1
        if self.windows is not None or item is None or is_lazy(item):
            self.feed = FEED_LIST
            self.source = [item]
            self.cursor_at = 0
            self.pc = 0 if self.windows is None else self.plan.schedule_at
            return 0
        self.feed = FEED_NONE  # what FETCH would do is done
        self.index += 1
        self.fed = self.index
        self.items_in += 1
        if not self.plan.one_source:
            self.input_item = item
        self.carried = item
        self.pc = 1
        return 0

    cdef int begin_flush(self) except -1:
        self.begin_call()
        self.streaming = False
        self.pc = -1
        self.start_flush()
        return 0

    cdef object outputs_of_call(self):
        try:
            self.advance()
        finally:
            self.keep_errors()
        return self.take_results()

    cdef int keep_errors(self) except -1:
        """Let `errors` have what failed in the call."""
        if self.kept:
            self.errors += self.errors_in_order()
        return 0

    cdef object take_results(self):
        results = self.results
        self.end_call()
        return results

    def begin_stream(self, items):
        """Start an input whose outputs `next_output` hands out one by one."""
        self.begin(items, True)

    def next_output(self):
        """Return the next ``(node id, item)``; None after the last flushed item."""
        return self.take_output() if self.advance() else None

    cdef object take_output(self):
        item = self.out_item
        self.out_item = None
        return self.plan.graph.ids[self.out_node], item

    def abandon(self):
        """Drop what a stream has in flight, without a flush; errors of closing generators are raised."""
        self.stop_asked = False
        self.persist(False)
        self.abandoned()

    cdef int abandoned(self) except -1:
        """Nothing is in flight any more: end the call."""
        self.stop_clock()
        self.end_call()
        failures = self.failures
        self.failures = []
        failure = settle(None, failures)
        if failure is not None:
            raise failure
        return 0

    cpdef object result(self):
        """Return the result of the `execute` or the stream that has come to its end."""
        return self.result_of(COMPLETED_WITH_ERRORS if self.dropped else COMPLETED)


cdef bint same_kinds(Plan plan, list nodes) except -1:
    """Whether `plan` was made for nodes of these kinds."""
    cdef Py_ssize_t u
    for u in range(len(nodes)):
        if plan.fresh[u]:
            if plan.fingerprints[u] is not type(nodes[u]):
                return False
        elif fingerprint(nodes[u]) != plan.fingerprints[u]:
            return False
    return True


cdef Batch new_batch():
    cdef Batch batch = Batch.__new__(Batch)
    batch.items = []
    batch.indexes = []
    return batch


def open_run(blueprint, str error_policy not None, session_id=None, bint timed=False, on_error=None):
    """Make the nodes of a blueprint and the plan for them; no method of a node is called.

    Raises
    ------
    ManifestError
        The instances do not fit the graph, or this version cannot run them.
    RegistryError
        A factory failed, or gave something else than a node.
    SessionBusyError
        A factory gave an instance that another run holds.
    """
    cdef PipelineGraph graph = blueprint.graph
    cdef int n = graph.node_count
    cdef int m = graph.connection_count
    cdef int places
    cdef list factories = blueprint.factories
    cdef list nodes = [None] * n
    cdef list held = nodes
    cdef list guarded = blueprint.guarded
    cdef Plan plan = blueprint.plan
    cdef Run run
    cdef int i, u
    policy = POLICIES.get(error_policy)
    if policy is None:
        raise ValueError(f"error_policy must be one of {', '.join(POLICIES)}, not {error_policy!r}")
    for i in range(n):
        u = graph.order[i]
        try:
            nodes[u] = factories[u]()
        except Exception as error:
            raise blueprint.failed(u, error)
    if plan is None or not same_kinds(plan, nodes):
        plan = make_plan(graph, blueprint, nodes)
        blueprint.plan = plan
    elif guarded:
        blueprint.check_guards(nodes)

    run = Run.__new__(Run)
    run.plan = plan
    run.blueprint = blueprint
    run.is_async = plan.is_async
    run.session_id = session_id
    run.policy = policy
    run.timed = timed
    run.on_error = on_error
    run.verbose = logger.isEnabledFor(logging.DEBUG)
    run.nodes = nodes
    run.functions = []
    run.producers = [graph.ids[i] for i in plan.producers]
    run.errors = []
    run.failures = []
    run.pc = -1
    run.budget = plan.stride
    run.steps = <Step*> PyMem_Malloc(plan.step_count * sizeof(Step))
    if run.steps is NULL:
        raise MemoryError
    memcpy(run.steps, plan.steps, plan.step_count * sizeof(Step))
    places = plan.slot_count  # as many as there are connections, and more where calls overlap
    run.waiting = [None] * places
    run.pending_of = -1
    if timed or plan.limits is not None:
        run.clock = clock_scale()
    if timed:
        run.times = <Times*> PyMem_Calloc(n, sizeof(Times))
        if run.times is NULL:
            raise MemoryError
        for u in range(n):
            run.steps[plan.call_at[u]].times = run.times + u
    if plan.has_many:
        run.iterators = [None] * n
        run.inputs = [None] * n
    if plan.batchings is not None:
        run.batches = [None if given is None or not given.many else new_batch() for given in plan.batchings]
    if plan.gather_count:
        run.delivered = <int64_t*> PyMem_Calloc(m + places + plan.gather_count, sizeof(int64_t))
        if run.delivered is NULL:
            raise MemoryError
        run.heads = <Py_ssize_t*> (run.delivered + m)
        run.branch_at = <int*> (run.heads + places)
        memcpy(run.branch_at, plan.branch_heads, plan.gather_count * sizeof(int))
        if plan.has_queues:
            run.queues = [[] for _ in range(places)]
    if guarded:
        run.guards = blueprint.attempts(nodes)
        held = blueprint.held(nodes)
    for u in range(n):
        if not plan.fresh[u]:
            if run.claims is None:
                run.claims = Claims()
            if not run.claims.take_one(held[u]):
                raise in_use(f"node {bounded_repr(graph.ids[u])} ({blueprint.specs[u].node_type})")
    if plan.is_cut:
        run.lost = <int64_t*> PyMem_Calloc(m + 1, sizeof(int64_t))
        if run.lost is NULL:
            raise MemoryError
        if timed:
            run.waits = <Times*> PyMem_Calloc(2 * plan.cut_count, sizeof(Times))
            if run.waits is NULL:
                raise MemoryError
        run.open_windows()
    return run
