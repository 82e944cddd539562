"""The per-item loop. Read `Run.drive` first: it executes a plan's program (`plan.pyx`), one step at a time.

An item travels in one variable, `item`. A step either moves it, or calls a node with it; a step that ends up with
nothing goes to its `skip`. The loop needs no stack: loops of many-nodes and merges are jumps in the program, and
everything that must outlive an iteration is in the `Run`. So the loop can stop at any EMIT and go on later, which is
how streams work, and flushed or produced items enter in the middle of the program.

Memory: a `Run` owns its nodes and every item in flight; items wait in Python lists, which the garbage collector sees.
Threads: one at a time calls into a run, which the session layer sees to; `stop` may come from any.
Errors: a node's exception leaves the inner loop for one cold gate, `Run.fault`, which either raises or says where
to go on.
"""

import copy
import logging
from collections.abc import Mapping
from operator import itemgetter

from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.method cimport PyMethod_Check
from cpython.buffer cimport PyObject_CheckBuffer
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_TYPE
from cpython.time cimport perf_counter_ns
from libc.string cimport memcpy, memset

from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.node cimport NativeNode, NodeContext
from remotemedia._core.nodes cimport Counter
from remotemedia._core.plan cimport (
    CALL, CALL_MANY, COPY, COUNT, EACH, EMIT, END, FETCH, JOIN, JUMP, MERGE, NATIVE, NATIVE_MANY, PASS, PRODUCER,
    PUSH, PUT, SOURCE, TAKE, TAP, Branch, Plan, Step, call_t, fingerprint, make_plan,
)

from remotemedia.claims import claim, release
from remotemedia.errors import (
    NodeError, RemoteMediaError, SessionBusyError, SessionClosedError, detach, settle,
)
from remotemedia.items import iterate, refusal
from remotemedia.result import ExecutionResult, ExecutionStatus

cdef extern from "Python.h":
    PyTypeObject PyGen_Type, PyCoro_Type, PyAsyncGen_Type
    void* PyVectorcall_Function(PyObject* callable) noexcept
    PyObject* PyObject_Vectorcall(PyObject* callable, PyObject** args, size_t nargs, PyObject* names) noexcept
    PyObject* PyList_GET_ITEM(list items, Py_ssize_t i) noexcept
    void PyList_SET_ITEM(list items, Py_ssize_t i, object stolen) noexcept
    void Py_INCREF(object) noexcept
    void Py_DECREF(PyObject*) noexcept
    int PyDict_SetItem(dict target, PyObject* key, object value) except -1
    PyObject* PyIter_Next(PyObject* iterator) noexcept
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence) noexcept
    PyObject* PySequence_Fast_GET_ITEM(object sequence, Py_ssize_t i) noexcept

cdef extern from *:
    """#define REMOTEMEDIA_STEAL(reference) (reference)"""
    object steal "REMOTEMEDIA_STEAL"(PyObject* reference)  # takes over a new reference

cdef object logger = logging.getLogger("remotemedia")
cdef object COMPLETED = ExecutionStatus.COMPLETED
cdef object COMPLETED_WITH_ERRORS = ExecutionStatus.COMPLETED_WITH_ERRORS
cdef object FAILED = ExecutionStatus.FAILED
cdef dict POLICIES = {"stop": POLICY_STOP, "skip": POLICY_SKIP, "collect": POLICY_COLLECT}
cdef object FIRST_TWO = itemgetter(0, 1)
cdef object NATIVE_PROCESS = NativeNode.process

cdef enum:
    COLUMNS = 6  # of Counts.nodes


cdef inline bint is_lazy(object value) noexcept:
    """A generator, coroutine or async generator: never an item (R37)."""
    cdef PyTypeObject* kind = <PyTypeObject*> Py_TYPE(value)
    return kind == &PyGen_Type or kind == &PyCoro_Type or kind == &PyAsyncGen_Type


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


cdef class Counts:
    """The counts of a run (R14) as numbers; `to_dict` gives them as the contract words them."""

    def __dealloc__(self):
        PyMem_Free(self.nodes)

    cdef int add(self, Counts other) except -1:
        cdef Py_ssize_t i
        for i in range(<Py_ssize_t> COLUMNS * self.plan.graph.node_count + self.plan.graph.connection_count):
            self.nodes[i] += other.nodes[i]
        self.items_in += other.items_in
        self.refused += other.refused
        self.duration_ns += other.duration_ns
        return 0

    def to_dict(self):
        """Return ``{"nodes", "connections", "items_in", "refused", "duration_ns"}`` as a plain dict."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int u, v, k
        cdef int64_t* row
        cdef int64_t came, taken
        cdef dict nodes = {}
        cdef list connections = [None] * graph.connection_count
        for u in range(graph.node_count):
            row = self.nodes + <Py_ssize_t> COLUMNS * u
            nodes[graph.ids[u]] = counts = {
                "in": row[0] + row[1] + row[2], "passed": row[0], "filtered": row[1], "failed": row[2],
                "out": row[3], "flushed": row[4],
            }
            if self.timed:
                counts["time_ns"] = row[5]
        for v in range(graph.node_count):
            row = self.nodes + <Py_ssize_t> COLUMNS * v
            came = row[0] + row[1] + row[2]
            for k in range(graph.in_heads[v], graph.in_heads[v + 1]):
                taken = self.edges[graph.in_edges[k]] if self.plan.gathers[v] else came
                connections[graph.in_edges[k]] = (
                    f"{graph.ids[graph.in_tails[k]]}->{graph.ids[v]}",
                    {"sent": taken, "delivered": taken, "dropped": 0},
                )
        return {
            "nodes": nodes,
            "connections": dict(connections),
            "items_in": self.items_in,
            "refused": self.refused,
            "duration_ns": self.duration_ns,
        }


cdef class Run:
    """One run, or one session: from the nodes' `initialize` to their `cleanup`.

    Duties: `initialize` and `end` keep R01–R07 and R11; `drive` keeps the order of contract §2 and the counts of
    R14; `fault` keeps the error policy. No method cleans up by itself but `whole`: who calls must call `end`.
    """

    def __init__(self):
        raise TypeError("runs are made by Executor")

    def __dealloc__(self):
        PyMem_Free(self.steps)
        PyMem_Free(self.delivered)

    # --- the loop -------------------------------------------------------------------------------------------------

    cdef int drive(self) except -1:
        """Go on at `self.pc` until an item comes out (streaming; returns 1), or the feed is at its end (returns 0)."""
        cdef Step* steps = self.steps
        cdef Step* step = steps + self.pc
        cdef Step* call
        cdef Step* timing = NULL       # whose time is running
        cdef int* call_at = self.plan.call_at
        cdef list results = self.results
        cdef list waiting = self.waiting
        cdef bint timed = self.timed
        cdef object item = self.carried
        cdef object taken
        cdef PyObject* found
        cdef PyObject* args[3]         # [0] is scratch for the callee (PY_VECTORCALL_ARGUMENTS_OFFSET)
        cdef int op
        cdef int64_t now, then = 0
        self.carried = None
        while True:
            try:
                while True:
                    op = step.op
                    if timed:
                        now = perf_counter_ns()
                        if timing is not NULL:
                            timing.time_ns += now - then
                        timing = steps + call_at[step.node] if op >= COPY else NULL
                        then = now

                    if op == PASS:
                        step.passed += 1
                        step += 1
                    elif op == NATIVE:
                        item = (<NativeNode> step.instance).process_item(item)
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        else:
                            step.passed += 1
                            step += 1
                    elif op == CALL:
                        args[1] = step.instance
                        args[2] = <PyObject*> item
                        found = step.call(
                            step.function, args + 2 - step.nself, (step.nself + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL
                        )
                        if found is NULL:
                            self.reraise()
                        if is_lazy(<object> found):
                            raise wrong_return(step, "process", steal(found))
                        item = steal(found)
                        if item is None:
                            step.filtered += 1
                            step = steps + step.skip
                        else:
                            step.passed += 1
                            step += 1
                    elif op == EMIT:
                        if self.streaming:
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
                        if self.budget < 0:
                            self.tick()
                        if self.feed == FEED_LIST:
                            if self.cursor_at >= PySequence_Fast_GET_SIZE(self.source):
                                return 0
                            item = <object> PySequence_Fast_GET_ITEM(self.source, self.cursor_at)
                            self.cursor_at += 1
                        else:
                            item = None  # the last one is not kept alive while the input makes the next
                            found = PyIter_Next(<PyObject*> self.source)
                            if found is NULL:
                                if PyErr_Occurred():
                                    self.reraise()
                                return 0
                            item = steal(found)
                        self.index += 1
                        self.items_in += 1
                        if item is None or is_lazy(item):
                            self.refuse(item)
                        else:
                            if not self.plan.one_source:
                                self.input_item = item
                            step = steps + 1
                    elif op == END:
                        if self.feed == FEED_NONE:
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
                        call = steps + step.arg
                        if not call.active:
                            step = steps + step.skip
                            continue
                        item = None
                        found = PyIter_Next(<PyObject*> self.iterators[call.node])
                        if found is NULL:
                            if PyErr_Occurred():
                                self.reraise()
                            if call.emitted > 0:
                                call.passed += 1
                            else:
                                call.filtered += 1
                            self.close_call(call)
                            step = steps + step.skip
                            continue
                        item = steal(found)
                        if item is None:
                            continue
                        if is_lazy(item):
                            raise wrong_return(call, "process", item)
                        call.emitted += 1
                        call.out += 1
                        step += 1
                    elif op == JUMP:
                        step = steps + step.arg
                    elif op == CALL_MANY or op == NATIVE_MANY:
                        self.inputs[step.node] = item
                        if op == NATIVE_MANY:
                            taken = (<NativeNode> step.instance).process_item(item)
                        else:
                            args[1] = step.instance
                            args[2] = <PyObject*> item
                            found = step.call(
                                step.function, args + 2 - step.nself,
                                (step.nself + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL
                            )
                            if found is NULL:
                                self.reraise()
                            taken = steal(found)
                        if taken is None:
                            step.filtered += 1
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
                        item = self.next_merged(step)
                        step = steps + step.skip if item is None else step + 1
                    elif op == JOIN:
                        item = self.gather(step)
                        step = steps + step.skip if item is None else step + 1
                    elif op == COPY:
                        item = copy.deepcopy(item)
                        step += 1
                    elif op == TAP:
                        if not self.streaming:
                            (<list> self.outputs[step.arg]).append(item)
                        step += 1
                    else:  # PRODUCER
                        step = steps + step.skip
            except BaseException as error:
                if timing is not NULL:
                    timing.time_ns += perf_counter_ns() - then
                    timing = NULL
                step = steps + self.fault(<int> (step - steps), error, item)
                item = None

    cdef int fault(self, int pc, object error, object item) except -1:
        """The one gate for what the loop meets: raise it, or keep it and return the step to go on with."""
        cdef Step* step = self.steps + pc
        cdef Step* call
        if self.raw or step.op < COPY:
            self.raw = False
            raise error
        call = self.steps + self.plan.call_at[step.node]
        call.failed += 1
        if not isinstance(error, Exception):
            call.active = False
            raise error
        if step.op == CALL_MANY or step.op == NATIVE_MANY or step.op == EACH:
            item = self.inputs[step.node]
            if call.active:
                unfinished = self.iterators[step.node]
                self.close_call(call)
                close_quietly(unfinished, error)
            self.inputs[step.node] = None
        phase = "copy" if step.op == COPY else "process"
        self.record(self.node_error(step.node, phase, error, None if self.index < 0 else self.index, item))
        return step.skip

    cdef object node_error(self, int u, str phase, object error, object index, object item):
        return NodeError.of(
            error, node_id=self.plan.graph.ids[u], node_type=self.blueprint.specs[u].node_type, phase=phase,
            item_index=index, item=item,
        )

    cdef int record(self, object error) except -1:
        """Do with an error what the policy says."""
        if self.policy == POLICY_STOP:
            raise error
        self.dropped += 1
        if self.policy == POLICY_COLLECT:
            detach(error)
            self.kept.append(error)
        return 0

    cdef int refuse(self, object item) except -1:
        self.refused += 1
        self.raw = True
        self.record(refusal(item, self.index))
        self.raw = False
        return 0

    cdef int reraise(self) except -1:
        return -1  # an exception is set already

    cdef int tick(self) except -1:
        """Look at signals and at `stop`, and let other threads run; none of it is a node's fault."""
        self.budget = self.plan.stride
        self.raw = True
        PyErr_CheckSignals()
        with nogil:
            pass
        if self.stop_asked:
            raise SessionClosedError("closed by another thread while it was running")
        self.raw = False
        return 0

    cdef object next_merged(self, Step* step):
        """The next item queued for a merge, in the order of its connections; None when all are through."""
        cdef Plan plan = self.plan
        cdef int number = step.arg
        cdef int edge
        cdef list queue
        while self.branch_at[number] < plan.branch_heads[number + 1]:
            edge = plan.branches[self.branch_at[number]].edge
            queue = self.queues[edge]
            if self.heads[edge] < len(queue):
                item = queue[self.heads[edge]]
                queue[self.heads[edge]] = None  # it lives as long as its pass
                self.heads[edge] += 1
                self.delivered[edge] += 1
                return item
            queue.clear()
            self.heads[edge] = 0
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
            item = PyList_GET_ITEM(waiting, branch.edge)
            if <object> item is None:
                missing += 1
            else:
                PyList_SET_ITEM(waiting, branch.edge, None)
                Py_INCREF(None)
                PyDict_SetItem(joined, branch.key, steal(item))
                self.delivered[branch.edge] += 1
            branch += 1
        if missing == 0 or (joined and plan.partial[step.arg]):
            return joined
        if joined:
            self.steps[plan.call_at[step.node]].filtered += 1
        return None

    cdef int open_call(self, Step* step, object iterable) except -1:
        """Begin to draw from what a many-node gave."""
        if is_lazy(iterable) and <PyTypeObject*> Py_TYPE(iterable) != &PyGen_Type:
            raise wrong_return(step, "process", iterable)
        if not hasattr(iterable, "__iter__") and not hasattr(iterable, "__getitem__"):
            raise TypeError(
                f"{type(<object> step.instance).__name__}.process gave a {type(iterable).__name__}, but emits many "
                '(emits = "many", or a generator function) and so must give an iterable of items'
            )
        self.iterators[step.node] = iter(iterable)
        step.active = True
        step.emitted = 0
        return 0

    cdef int close_call(self, Step* step) except -1:
        """Forget a call of a many-node."""
        step.active = False
        self.iterators[step.node] = None
        self.inputs[step.node] = None
        return 0

    # --- feeding the loop -----------------------------------------------------------------------------------------

    cdef int advance(self) except -1:
        """Run until an item comes out (streaming; returns 1) or everything went through (returns 0)."""
        if self.ended:
            raise SessionClosedError("the run is at its end")
        if self.driving:
            raise SessionBusyError("a call into the run is under way")
        self.driving = True
        try:
            return self.go_on()
        finally:
            self.driving = False

    cdef int go_on(self) except -1:
        while True:
            if self.pc >= 0:
                if self.drive():
                    return 1
                self.pc = -1
                self.input_item = None
                if self.stage == STAGE_ITEMS:
                    self.source = None
                    self.start_flush()
            if not self.next_pass():
                self.duration_ns = perf_counter_ns() - self.began_ns
                return 0

    cdef int start_flush(self) except -1:
        self.stage = STAGE_FLUSH
        self.feed = FEED_NONE
        self.flush_at = 0
        self.index = -1
        return 0

    cdef bint next_pass(self) except -1:
        """Set up the pass of the next produced or flushed item; False if there is none left."""
        cdef list nodes
        cdef PyObject* found
        cdef Step* step
        cdef int u
        cdef str phase
        cdef int64_t began
        while self.stage != STAGE_IDLE:
            phase = "produce" if self.stage == STAGE_PRODUCE else "flush"
            nodes = self.plan.producers if self.stage == STAGE_PRODUCE else self.plan.flushers
            if self.flush_at == len(nodes):
                if self.stage == STAGE_PRODUCE:
                    self.start_flush()
                else:
                    self.stage = STAGE_IDLE
                continue
            u = nodes[self.flush_at]
            step = self.steps + self.plan.call_at[u]
            self.budget -= 1
            if self.budget < 0:
                self.tick()
            began = perf_counter_ns() if self.timed else 0
            try:
                if self.generator is None:
                    self.open_generator(u, phase)
                found = PyIter_Next(<PyObject*> self.generator)
                if found is NULL:
                    if PyErr_Occurred():
                        self.reraise()
                    item = None
                else:
                    item = steal(found)
                    if is_lazy(item):
                        raise wrong_return(step, phase, item)
            except Exception as error:
                self.failed_pass(u, phase, error)
                continue
            finally:
                if self.timed:
                    step.time_ns += perf_counter_ns() - began
            if found is NULL:
                self.generator = None
                self.flush_at += 1
            elif item is not None:
                if self.stage == STAGE_PRODUCE:
                    self.index += 1
                    self.items_in += 1
                    step.passed += 1
                else:
                    step.flushed += 1
                self.carried = item
                self.pc = self.plan.entry[u]
                return True
        return False

    cdef int failed_pass(self, int u, str phase, object error) except -1:
        """Take in what a flush or a producer raised: the first ends the run, the second is under the policy."""
        unfinished = self.generator
        self.generator = None
        close_quietly(unfinished, error)
        if self.stage == STAGE_FLUSH:
            raise self.node_error(u, phase, error, None, None)
        self.index += 1
        self.items_in += 1
        self.steps[self.plan.call_at[u]].failed += 1
        self.flush_at += 1
        self.record(self.node_error(u, phase, error, self.index, None))
        return 0

    cdef int open_generator(self, int u, str phase) except -1:
        if self.verbose:
            self.log(phase, u)
        given = getattr(self.nodes[u], phase)()
        if given is None and phase == "flush":
            given = ()
        if is_lazy(given) and <PyTypeObject*> Py_TYPE(given) != &PyGen_Type:
            raise wrong_return(self.steps + self.plan.call_at[u], phase, given)
        check_series(self.nodes[u], phase, given)
        self.generator = iter(given)
        return 0

    cdef int begin_outputs(self) except -1:
        cdef Plan plan = self.plan
        self.results = []
        self.outputs = [self.results]
        if not plan.one_sink or len(plan.output_ids) > 1:
            self.outputs = [[] for _ in plan.output_ids]
            if plan.one_sink:
                self.outputs[0] = self.results
        return 0

    cdef int begin(self, object items, bint streaming) except -1:
        """Start an input: items, or None for the producers."""
        if self.began_ns == 0 or self.used:
            self.began_ns = perf_counter_ns()
        if self.used:
            if self.totals is None:
                self.totals = self.snapshot()
            else:
                self.totals.add(self.snapshot())
            self.clear_counts()
        self.used = True
        self.streaming = streaming
        self.begin_outputs()
        self.kept = []
        self.dropped = 0
        self.index = -1
        self.flush_at = 0
        if items is None:
            self.stage = STAGE_PRODUCE
            self.feed = FEED_NONE
            self.pc = -1
            return 0
        self.stage = STAGE_ITEMS
        self.pc = 0
        if type(items) is list or type(items) is tuple:
            self.feed = FEED_LIST
            self.source = items
            self.cursor_at = 0
        else:
            self.feed = FEED_ITERATOR
            self.source = iterate(items)
        return 0

    # --- what the session layer calls -----------------------------------------------------------------------------

    def initialize(self):
        """Initialize every node in topological order (R01–R03) and look up what the loop calls."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int i, u
        cdef NodeContext context
        self.began_ns = perf_counter_ns()
        for i in range(graph.node_count):
            u = graph.order[i]
            self.started = i + 1
            if self.verbose:
                self.log("initialize", u)
            if not self.plan.has_initialize[u]:
                continue
            spec = self.blueprint.specs[u]
            context = NodeContext.__new__(NodeContext)
            context.node_id = graph.ids[u]
            context.node_type = spec.node_type
            context.params = dict(spec.params)
            context.session_id = self.session_id
            context.metadata = self.blueprint.metadata
            try:
                check_plain(self.nodes[u], "initialize", self.nodes[u].initialize(context))
            except Exception as error:
                raise self.node_error(u, "initialize", error, None, None)
        self.bind()

    cdef int bind(self) except -1:
        """Give each calling step its function: looked up once, called with (instance, item) where it is a method."""
        cdef Step* step
        cdef int u
        for u in range(self.plan.graph.node_count):
            step = self.steps + self.plan.call_at[u]
            step.instance = <PyObject*> self.nodes[u]
            if step.op == PASS or step.op == COUNT or step.op == PRODUCER or self.plan.fresh[u]:
                continue
            process = self.nodes[u].process
            step.nself = 0
            if PyMethod_Check(process) and process.__self__ is self.nodes[u]:
                process = process.__func__
                step.nself = 1
                if process is NATIVE_PROCESS:
                    continue  # NATIVE
            if step.op == NATIVE:
                step.op = CALL
            elif step.op == NATIVE_MANY:
                step.op = CALL_MANY
            self.functions.append(process)
            step.function = <PyObject*> process
            step.call = <call_t> PyVectorcall_Function(step.function)
            if step.call is NULL:
                step.call = <call_t> PyObject_Vectorcall
        return 0

    def execute(self, items):
        """Drive `items` (None: the producers) through, flush, and return the result of it."""
        self.begin(items, False)
        self.advance()
        return self.result_of(COMPLETED_WITH_ERRORS if self.dropped else COMPLETED)

    def whole(self, items):
        """Initialize, execute, and end, in one call: what `Executor.execute_with_input` does."""
        try:
            self.initialize()
            result = self.execute(items)
        except BaseException as error:
            raise self.end(error)
        failure = self.run_cleanups(None)
        if failure is not None:
            if isinstance(failure, RemoteMediaError):
                failure.partial = self.result_of(FAILED)
            raise failure
        return result

    def process(self, item):
        """Drive one item through, without a flush; return what the sinks emitted."""
        self.began_ns = perf_counter_ns()
        self.streaming = False
        self.used = True
        self.begin_outputs()
        self.kept = self.errors
        self.stage = STAGE_IDLE
        self.feed = FEED_LIST
        self.source = [item]
        self.cursor_at = 0
        self.index = self.next_call - 1
        self.next_call += 1
        self.pc = 0
        self.advance()
        return self.results

    def flush(self):
        """Flush every node; return what came out of it."""
        self.began_ns = perf_counter_ns()
        self.streaming = False
        self.used = True
        self.begin_outputs()
        self.kept = self.errors
        self.pc = -1
        self.start_flush()
        self.advance()
        return self.results

    def begin_stream(self, items):
        """Start an input whose outputs `next_output` hands out one by one."""
        self.begin(items, True)

    def next_output(self):
        """Return the next ``(node id, item)``; None after the last flushed item."""
        if not self.advance():
            return None
        item = self.out_item
        self.out_item = None
        return self.plan.graph.ids[self.out_node], item

    def abandon(self):
        """Drop what a stream has in flight, without a flush; errors of closing generators are raised."""
        cdef list failures = []
        self.close_generators(failures)
        failure = settle(None, failures)
        if failure is not None:
            raise failure

    def result(self):
        """Return the result of the stream or execute at its end."""
        return self.result_of(COMPLETED_WITH_ERRORS if self.dropped else COMPLETED)

    def partial(self):
        """Return what the failed run had finished."""
        return self.result_of(FAILED)

    def stop(self):
        """Ask the call that is running, in whichever thread, to end with SessionClosedError."""
        self.stop_asked = True
        self.budget = -1

    def metrics(self):
        """Return the counts since `initialize`."""
        counts = self.snapshot()
        if self.totals is not None:
            counts.add(self.totals)
        return counts.to_dict()

    def end(self, error):
        """Close what is in flight and clean up, once; return the exception to raise, None for none (R05)."""
        if self.ended:
            return error
        if self.driving:  # from inside one of its nodes: the loop must come to its own end
            self.stop()
            return error
        if isinstance(error, RemoteMediaError) and error.partial is None:
            error.partial = self.result_of(FAILED)
        return self.run_cleanups(error)

    # --- the end --------------------------------------------------------------------------------------------------

    cdef object run_cleanups(self, object error):
        cdef PipelineGraph graph = self.plan.graph
        cdef list failures = []
        cdef int u
        if self.ended:
            return error
        self.ended = True
        self.close_generators(failures)
        while self.started > 0:
            self.started -= 1
            u = graph.order[self.started]
            if self.verbose:
                self.log("cleanup", u)
            if not self.plan.has_cleanup[u] or (self.plan.fresh[u] and not self.verbose):
                continue  # the cleanup of a built-in node does nothing but tell its count
            try:
                check_plain(self.nodes[u], "cleanup", self.nodes[u].cleanup())
            except Exception as failure:
                failures.append(self.node_error(u, "cleanup", failure, None, None))
            except BaseException as failure:
                failures.append(failure)
        for node in self.claimed:
            release(node)
        self.claimed = []
        self.nodes = []
        self.functions = []
        return settle(error, failures) if failures else error

    cdef int close_generators(self, list failures) except -1:
        """Close the calls of many-nodes in progress, innermost first, and forget all items in flight (R11)."""
        cdef Step* step
        cdef int pc
        self.source = None
        self.input_item = None
        self.carried = None
        self.out_item = None
        self.pc = -1
        self.stage = STAGE_IDLE
        if self.iterators is not None:
            for pc in range(self.plan.step_count - 1, -1, -1):
                step = self.steps + pc
                if step.active:
                    iterator = self.iterators[step.node]
                    step.passed += step.emitted > 0  # a call left unfinished counts by what it emitted so far
                    step.filtered += step.emitted == 0
                    self.close_call(step)
                    self.close_one(step.node, iterator, failures)
        if self.generator is not None:
            iterator = self.generator
            self.generator = None
            nodes = self.plan.flushers if self.feed == FEED_NONE and self.index < 0 else self.plan.producers
            u = nodes[self.flush_at] if self.flush_at < len(nodes) else 0
            self.close_one(u, iterator, failures)
        for pc in range(len(self.waiting)):
            self.waiting[pc] = None
        if self.plan.has_queues:
            for pc in range(self.plan.graph.connection_count):
                (<list> self.queues[pc]).clear()
                self.heads[pc] = 0
            for pc in range(self.plan.gather_count):
                self.branch_at[pc] = self.plan.branch_heads[pc]
        return 0

    cdef int close_one(self, int u, object iterator, list failures) except -1:
        """Close one iterator of a node; what it raises counts as a cleanup error."""
        close = getattr(iterator, "close", None)
        if close is None:
            return 0
        try:
            close()
        except Exception as failure:
            failures.append(self.node_error(u, "cleanup", failure, None, None))
        except BaseException as failure:
            failures.append(failure)
        return 0

    cdef int log(self, str phase, int u) except -1:
        """Tell a lifecycle phase at DEBUG."""
        logger.debug("%s node %r (%s)", phase, self.plan.graph.ids[u], self.blueprint.specs[u].node_type)
        return 0

    # --- counts ---------------------------------------------------------------------------------------------------

    cdef Counts snapshot(self):
        cdef Plan plan = self.plan
        cdef PipelineGraph graph = plan.graph
        cdef Counts counts = Counts.__new__(Counts)
        cdef Py_ssize_t size = <Py_ssize_t> COLUMNS * graph.node_count
        cdef Step* step
        cdef int64_t* row
        cdef int u
        counts.nodes = <int64_t*> PyMem_Calloc(size + graph.connection_count, sizeof(int64_t))
        if counts.nodes is NULL:
            raise MemoryError
        counts.edges = counts.nodes + size
        counts.plan = plan
        counts.timed = self.timed
        counts.items_in = self.items_in
        counts.refused = self.refused
        counts.duration_ns = self.duration_ns
        for u in range(graph.node_count):
            step = self.steps + plan.call_at[u]
            row = counts.nodes + <Py_ssize_t> COLUMNS * u
            row[0] = step.passed + (step.active and step.emitted > 0)
            row[1] = step.filtered + (step.active and step.emitted == 0)
            row[2] = step.failed
            row[3] = step.out if step.op == CALL_MANY or step.op == NATIVE_MANY else step.passed
            row[4] = step.flushed
            row[5] = step.time_ns
        if plan.gather_count:
            memcpy(counts.edges, self.delivered, graph.connection_count * sizeof(int64_t))
        return counts

    cdef int clear_counts(self) except -1:
        """Begin to count anew."""
        cdef Step* step
        cdef int u
        for u in range(self.plan.graph.node_count):
            step = self.steps + self.plan.call_at[u]
            step.passed = step.filtered = step.failed = step.out = step.flushed = step.time_ns = 0
        if self.plan.gather_count:
            memset(self.delivered, 0, self.plan.graph.connection_count * sizeof(int64_t))
        self.items_in = self.refused = self.duration_ns = 0
        return 0

    cdef object result_of(self, object status):
        cdef dict outputs
        cdef list errors = self.kept
        cdef Py_ssize_t i
        if self.streaming:
            self.begin_outputs()
        if self.duration_ns == 0:
            self.duration_ns = perf_counter_ns() - self.began_ns
        outputs = {}
        for i in range(len(self.outputs)):
            outputs[self.plan.output_ids[i]] = self.outputs[i]
        if errors:
            decorated = [(error_key(error, self.plan), i, error) for i, error in enumerate(errors)]
            decorated.sort(key=FIRST_TWO)
            errors = [error for _, _, error in decorated]
        return ExecutionResult(
            status, self.results, outputs, errors, "cython", self.snapshot(), self.plan.graph
        )


# --- helpers off the hot path ---------------------------------------------------------------------------------------

cdef tuple error_key(object error, Plan plan):
    """Order of R34: item index (None last), then topological position, refused inputs before nodes."""
    index = error.item_index
    position = plan.rank[<int> plan.graph.index[error.node_id]] if isinstance(error, NodeError) else -1
    return (index is None, index or 0, position)


cdef object wrong_return(Step* step, str phase, object value):
    """The error for a lazy value where an item was due (R37); the value is closed."""
    name = f"{type(<object> step.instance).__name__}.{phase}"
    kind = type(value).__name__.replace("_", " ")
    if hasattr(value, "close"):
        value.close()
    if kind == "generator":
        remedy = 'declare emits = "many" on the class (or make it a generator function), or return one item'
    else:
        remedy = "async methods are not supported by this version; make it a plain method"
    return TypeError(f"{name} gave a {kind}, which is no item; {remedy}")


cdef int check_plain(object node, str phase, object value) except -1:
    """Refuse a coroutine or generator from a method whose result nobody looks at (R37)."""
    if value is not None and is_lazy(value):
        if hasattr(value, "close"):
            value.close()
        raise TypeError(f"{type(node).__name__}.{phase} gave a {type(value).__name__}, which nobody runs; "
                        "make it a plain method")
    return 0


cdef int close_quietly(object iterator, object error) except -1:
    """Close an iterator whose node failed; an error of that is a note on the failure."""
    close = getattr(iterator, "close", None)
    if close is not None:
        try:
            close()
        except Exception as failure:
            error.add_note(f"and closing it raised {type(failure).__name__}: {failure}")
    return 0


cdef int check_series(object node, str phase, object given) except -1:
    """Refuse what is one item where an iterable of items is due."""
    single = isinstance(given, (str, Mapping)) or PyObject_CheckBuffer(given) or hasattr(given, "__array__")
    if single or not (hasattr(given, "__iter__") or hasattr(given, "__getitem__")):
        raise TypeError(f"{type(node).__name__}.{phase} gave one {type(given).__name__}; return a list of items")
    return 0


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


def open_run(blueprint, str error_policy not None, session_id=None, bint timed=False):
    """Make the nodes of a blueprint and the plan for them; no method of a node is called.

    Raises
    ------
    ManifestError
        The instances do not fit the graph, or this version cannot run them.
    RegistryError
        A factory failed.
    SessionBusyError
        A factory gave an instance that another run holds.
    """
    cdef PipelineGraph graph = blueprint.graph
    cdef int n = graph.node_count
    cdef int m = graph.connection_count
    cdef list factories = blueprint.factories
    cdef list nodes = [None] * n
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
        plan = make_plan(graph, blueprint.specs, nodes)
        blueprint.plan = plan

    run = Run.__new__(Run)
    run.plan = plan
    run.blueprint = blueprint
    run.session_id = session_id
    run.policy = policy
    run.timed = timed
    run.verbose = logger.isEnabledFor(logging.DEBUG)
    run.nodes = nodes
    run.functions = []
    run.producers = [graph.ids[i] for i in plan.producers]
    run.errors = []
    run.claimed = []
    run.pc = -1
    run.budget = plan.stride
    run.steps = <Step*> PyMem_Malloc(plan.step_count * sizeof(Step))
    if run.steps is NULL:
        raise MemoryError
    memcpy(run.steps, plan.steps, plan.step_count * sizeof(Step))
    run.waiting = [None] * m
    run.begin_outputs()
    if plan.has_many:
        run.iterators = [None] * n
        run.inputs = [None] * n
    if plan.gather_count:
        run.delivered = <int64_t*> PyMem_Calloc(2 * m + plan.gather_count, sizeof(int64_t))
        if run.delivered is NULL:
            raise MemoryError
        run.heads = <Py_ssize_t*> (run.delivered + m)
        run.branch_at = <int*> (run.heads + m)
        memcpy(run.branch_at, plan.branch_heads, plan.gather_count * sizeof(int))
        if plan.has_queues:
            run.queues = [[] for _ in range(m)]
    try:
        for u in range(n):
            if not plan.fresh[u]:
                claim(nodes[u], f"node {graph.ids[u]!r} ({blueprint.specs[u].node_type})")
                run.claimed.append(nodes[u])
    except BaseException:
        run.end(None)
        raise
    return run
