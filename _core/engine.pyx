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
import sys
from operator import itemgetter

cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.list cimport PyList_CheckExact
from cpython.method cimport PyMethod_Check
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_TYPE
from cpython.time cimport perf_counter_ns
from libc.string cimport memcpy

from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.node cimport Claims, NativeNode
from remotemedia._core.nodes cimport Counter
from remotemedia._core.plan cimport (
    CALL, CALL_MANY, COPY, COUNT, EACH, EMIT, END, FETCH, JOIN, JUMP, MERGE, NATIVE, NATIVE_MANY, PASS, PRODUCER,
    PUSH, PUT, SOURCE, TAKE, TAP, Branch, Plan, Step, call_t, fingerprint, is_native, make_plan,
)

from remotemedia.errors import NodeError, RemoteMediaError, SessionClosedError, bounded_repr, detach, in_use, settle
from remotemedia.items import iterate, refusal
from remotemedia.result import ExecutionResult, ExecutionStatus
from remotemedia.returns import emitted_many, lazy_error, refuse_lazy, series

cdef extern from "Python.h":
    PyTypeObject PyGen_Type
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
    """
    #define REMOTEMEDIA_STEAL(reference) (reference)

    /* A generator, coroutine or async generator, Cython's too: never an item (R37). All of them can be sent to. */
    static CYTHON_INLINE int remotemedia_is_lazy(PyObject *value) {
        PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_send != NULL;
    }

    /* process_item by the C virtual table, its result an owned pointer. */
    #define REMOTEMEDIA_PROCESS_ITEM(node, item) ((node)->__pyx_vtab->process_item((node), (item)))
    """
    object steal "REMOTEMEDIA_STEAL"(PyObject* reference)  # takes over a new reference
    bint is_lazy "remotemedia_is_lazy"(object value) noexcept
    PyObject* process_item "REMOTEMEDIA_PROCESS_ITEM"(NativeNode node, object item) noexcept

cdef object logger = logging.getLogger("remotemedia")
cdef object COMPLETED = ExecutionStatus.COMPLETED
cdef object COMPLETED_WITH_ERRORS = ExecutionStatus.COMPLETED_WITH_ERRORS
cdef object FAILED = ExecutionStatus.FAILED
cdef dict POLICIES = {"stop": POLICY_STOP, "skip": POLICY_SKIP, "collect": POLICY_COLLECT}
cdef object FIRST_TWO = itemgetter(0, 1)

cdef enum:
    COLUMNS = 6  # of Counts.nodes


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

    def __init__(self):
        raise TypeError("counts are made by a run")

    def __dealloc__(self):
        PyMem_Free(self.nodes)

    cdef int subtract(self, Counts before) except -1:
        cdef Py_ssize_t i
        for i in range(<Py_ssize_t> COLUMNS * self.plan.graph.node_count + self.plan.graph.connection_count):
            self.nodes[i] -= before.nodes[i]
        self.items_in -= before.items_in
        self.refused -= before.refused
        self.duration_ns -= before.duration_ns
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


@cython.final
cdef class Run:
    """One run, or one session: from the nodes' `initialize` to their `cleanup`.

    Duties: `initialize` and `end` keep R01–R07 and R11; `drive` keeps the order of contract §2 and the counts of
    R14; `fault` keeps the error policy. No method cleans up by itself: who calls must call `end`. One call at a time,
    but for `stop` and `metrics`; `Session` sees to both.
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
                        found = process_item(<NativeNode> step.instance, item)
                        if found is NULL:
                            self.reraise()
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
                            self.reraise()
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
                    elif op == CALL_MANY or op == NATIVE_MANY:
                        if self.budget < 0:
                            self.tick()
                        self.inputs[step.node] = item
                        if op == NATIVE_MANY:
                            taken = (<NativeNode> step.instance).process_item(item)
                        else:
                            args[1] = step.instance
                            args[2] = <PyObject*> item
                            found = step.call(step.function, args + step.first, step.nargs, NULL)
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
                        item = None  # the last one is not kept alive while the next is fetched
                        item = self.next_merged(step)
                        step = steps + step.skip if item is None else step + 1
                    elif op == JOIN:
                        item = self.gather(step)
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
        call.active = False  # it is counted; what it left open stays in `iterators`
        if not isinstance(error, Exception):
            raise error
        if step.op == CALL_MANY or step.op == NATIVE_MANY or step.op == EACH:
            item = self.inputs[step.node]
        phase = "copy" if step.op == COPY else "process"
        self.drop(step.node, phase, error, None if self.index < 0 else self.index, item)
        if self.iterators is not None:
            self.close_call(step.node)
        return step.skip

    cdef int drop(self, int u, str phase, object error, object index, object item) except -1:
        """Do with the failure of a node what the policy says: raise it, or drop its item."""
        if self.policy == POLICY_SKIP:
            self.dropped += 1
        else:
            self.record(self.node_error(u, phase, error, index, item))
        return 0

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
            detach(error, self.outer)
            if self.on_error is not None:
                self.on_error(error)
            else:
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
            raise SessionClosedError("closed while it was running")
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
                self.budget -= 1
                if self.budget < 0:
                    self.tick()
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
        if not PyList_CheckExact(iterable) and <PyTypeObject*> Py_TYPE(iterable) != &PyGen_Type:
            emitted_many(<object> step.instance, iterable)
        self.iterators[step.node] = iter(iterable)
        step.active = True
        step.emitted = 0
        return 0

    cdef int close_call(self, int u) except -1:
        """Forget a call of a many-node; what is left of it is closed (R11)."""
        iterator = self.iterators[u]
        self.iterators[u] = None
        self.inputs[u] = None
        if iterator is not None:
            self.close_one(u, iterator)
        return 0

    # --- feeding the loop -----------------------------------------------------------------------------------------

    cdef int advance(self) except -1:
        """Run until an item comes out (streaming; returns 1) or everything went through (returns 0)."""
        if self.ended:
            raise SessionClosedError("the run is at its end")
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
                self.stop_clock()
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
            if self.generator is None and self.verbose:
                self.log(phase, u)
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
                        raise lazy_error(<object> step.instance, phase, item)
            except BaseException as error:
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
        if self.stage == STAGE_PRODUCE:
            self.index += 1
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
        self.close_one(u, unfinished)
        return 0

    cdef int open_generator(self, int u, str phase) except -1:
        given = getattr(self.nodes[u], phase)()
        if given is None and phase == "flush":
            given = ()
        if not PyList_CheckExact(given) and <PyTypeObject*> Py_TYPE(given) != &PyGen_Type:
            series(self.nodes[u], phase, given)
        self.generator_of = u
        self.generator = iter(given)
        return 0

    # --- the record of a call: what it emitted, what failed, what it counted -----------------------------------------

    cdef int begin_call(self) except -1:
        """Begin a record. What `initialize` counted belongs to the first call."""
        if self.used:
            if self.before is None:
                self.before = self.new_counts()
            self.fill(self.before)
        self.has_before = self.used
        self.used = True
        self.kept = []
        self.dropped = 0
        self.outer = sys.exception() if self.policy == POLICY_COLLECT else None
        self.begin_outputs()
        self.began_ns = perf_counter_ns()
        return 0

    cdef int stop_clock(self) except -1:
        if self.began_ns != 0:
            self.busy_ns += perf_counter_ns() - self.began_ns
            self.began_ns = 0
        return 0

    cdef int end_call(self) except -1:
        """Let go of the record: what was handed out is not the run's any more."""
        self.kept = None
        self.outer = None
        self.source = None
        self.has_before = False
        self.results = self.outputs = None
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
        self.begin_call()
        self.streaming = streaming
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

    cpdef object initialize(self):
        """Initialize every node in topological order (R01–R03) and look up what the loop calls."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int i, u
        self.began_ns = perf_counter_ns()
        for i in range(graph.node_count):
            u = graph.order[i]
            self.started = i + 1  # before the call: one that failed half-way is cleaned up too
            if self.verbose:
                self.log("initialize", u)
            if not self.plan.has_initialize[u]:
                continue
            context = self.blueprint.context(u, self.session_id)
            try:
                initialize = getattr(self.nodes[u], "initialize", None)
                given = initialize(context) if initialize is not None else None
                if given is not None:
                    refuse_lazy(self.nodes[u], "initialize", given)
            except Exception as error:
                raise self.node_error(u, "initialize", error, None, None)
            if self.stop_asked:
                self.tick()
        self.bind()
        self.stop_clock()

    cdef int bind(self) except -1:
        """Give each calling step its function: looked up once, called with (instance, item) where it is a method."""
        cdef Step* step
        cdef bint many
        cdef int u
        for u in range(self.plan.graph.node_count):
            step = self.steps + self.plan.call_at[u]
            step.instance = <PyObject*> self.nodes[u]
            if step.op == PASS or step.op == COUNT or step.op == PRODUCER or self.plan.fresh[u]:
                continue
            many = step.op == CALL_MANY or step.op == NATIVE_MANY
            try:
                process = self.nodes[u].process
            except Exception as error:
                raise self.node_error(u, "initialize", error, None, None)
            if is_native(self.nodes[u]):
                step.op = NATIVE_MANY if many else NATIVE
                continue
            step.op = CALL_MANY if many else CALL
            step.first = 2
            step.nargs = 1 | PY_VECTORCALL_ARGUMENTS_OFFSET
            if PyMethod_Check(process) and process.__self__ is self.nodes[u]:
                process = process.__func__
                step.first = 1
                step.nargs = 2 | PY_VECTORCALL_ARGUMENTS_OFFSET
            self.functions.append(process)
            step.function = <PyObject*> process
            step.call = <call_t> PyVectorcall_Function(step.function)
            if step.call is NULL:
                step.call = <call_t> PyObject_Vectorcall
        return 0

    cpdef object execute(self, object items):
        """Drive `items` (None: the producers) through, flush, and return the result of it."""
        self.begin(items, False)
        self.advance()
        result = self.result()
        self.end_call()
        return result

    def process(self, item):
        """Drive one item through, without a flush; return what the sinks emitted."""
        self.begin_call()
        self.streaming = False
        self.stage = STAGE_IDLE
        self.feed = FEED_LIST
        self.source = [item]
        self.cursor_at = 0
        self.index = self.next_call - 1
        self.next_call += 1
        self.pc = 0
        return self.outputs_of_call()

    def flush(self):
        """Flush every node; return what came out of it."""
        self.begin_call()
        self.streaming = False
        self.pc = -1
        self.start_flush()
        return self.outputs_of_call()

    cdef object outputs_of_call(self):
        try:
            self.advance()
        finally:
            if self.kept:
                self.errors += self.errors_in_order()
        results = self.results
        self.end_call()
        return results

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
        self.stop_asked = False
        self.persist(False)
        self.stop_clock()
        self.end_call()
        failures = self.failures
        self.failures = []
        failure = settle(None, failures)
        if failure is not None:
            raise failure

    cpdef object result(self):
        """Return the result of the `execute` or the stream that has come to its end."""
        return self.result_of(COMPLETED_WITH_ERRORS if self.dropped else COMPLETED)

    def stop(self):
        """Ask the call that is running, in whichever thread, to end with SessionClosedError."""
        self.stop_asked = True
        self.budget = -1

    def metrics(self):
        """Return the counts since `initialize`; legal from any thread, at any time."""
        return self.snapshot().to_dict()

    cpdef object end(self, object error):
        """Close what is in flight and clean up, once; return the exception to raise, None for none (R05)."""
        cdef list failures
        if self.ended:
            return error
        self.persist(True)
        self.ended = True
        self.stop_clock()
        if self.claims is not None:
            self.claims.give_back()
        failures, self.failures = self.failures, []
        if failures:
            try:
                error = settle(error, failures)
            except BaseException as interrupt:
                if error is None or (isinstance(error, Exception) and not isinstance(interrupt, Exception)):
                    error = interrupt
        if isinstance(error, RemoteMediaError) and error.partial is None:
            error.partial = self.result_of(FAILED)
        self.end_call()
        self.nodes = []
        self.functions = []
        return error

    # --- the end --------------------------------------------------------------------------------------------------

    cdef int persist(self, bint whole) except -1:
        """Close all calls and, for the `whole` end, clean up, whatever is raised meanwhile: it is kept (R05–R07).

        Both go on where they were interrupted.
        """
        while True:
            try:
                self.close_generators()
                if whole:
                    self.clean_up()
                return 0
            except BaseException as failure:
                self.failures.append(failure)

    cdef int clean_up(self) except -1:
        """Clean up what was initialized, in reverse."""
        cdef int u
        while self.started > 0:
            self.started -= 1  # before anything can raise: never twice
            u = self.plan.graph.order[self.started]
            if self.plan.fresh[u] and not self.verbose:
                continue  # the cleanup of a built-in node does nothing but tell its count
            try:
                if self.verbose:
                    self.log("cleanup", u)
            finally:
                self.clean_up_one(u)
        return 0

    cdef int clean_up_one(self, int u) except -1:
        try:
            cleanup = getattr(self.nodes[u], "cleanup", None)
            given = cleanup() if cleanup is not None else None
            if given is not None:
                refuse_lazy(self.nodes[u], "cleanup", given)
        except Exception as failure:
            self.failures.append(self.node_error(u, "cleanup", failure, None, None))
        return 0

    cdef int close_generators(self) except -1:
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
                if step.op == CALL_MANY or step.op == NATIVE_MANY:
                    if step.active:  # a call left unfinished counts by what it emitted so far
                        step.passed += step.emitted > 0
                        step.filtered += step.emitted == 0
                        step.active = False
                    self.close_call(step.node)
        if self.generator is not None:
            iterator = self.generator
            self.generator = None
            self.close_one(self.generator_of, iterator)
        for pc in range(len(self.waiting)):
            self.waiting[pc] = None
        if self.plan.has_queues:
            for pc in range(self.plan.graph.connection_count):
                (<list> self.queues[pc]).clear()
                self.heads[pc] = 0
            for pc in range(self.plan.gather_count):
                self.branch_at[pc] = self.plan.branch_heads[pc]
        return 0

    cdef int close_one(self, int u, object iterator) except -1:
        """Close one iterator of a node; what it raises counts as a cleanup error."""
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except Exception as failure:
            self.failures.append(self.node_error(u, "cleanup", failure, None, None))
        return 0

    cdef int log(self, str phase, int u) except -1:
        """Tell a lifecycle phase at DEBUG."""
        logger.debug("%s node %r (%s)", phase, self.plan.graph.ids[u], self.blueprint.specs[u].node_type)
        return 0

    # --- counts ---------------------------------------------------------------------------------------------------

    cdef Counts new_counts(self):
        cdef Plan plan = self.plan
        cdef Counts counts = Counts.__new__(Counts)
        cdef Py_ssize_t size = <Py_ssize_t> COLUMNS * plan.graph.node_count
        counts.nodes = <int64_t*> PyMem_Calloc(size + plan.graph.connection_count, sizeof(int64_t))
        if counts.nodes is NULL:
            raise MemoryError
        counts.edges = counts.nodes + size
        counts.plan = plan
        counts.timed = self.timed
        return counts

    cdef Counts snapshot(self):
        """All counts since `initialize`."""
        cdef Counts counts = self.new_counts()
        self.fill(counts)
        return counts

    cdef int fill(self, Counts counts) except -1:
        cdef Plan plan = self.plan
        cdef Step* step
        cdef int64_t* row = counts.nodes
        cdef int u
        counts.items_in = self.items_in
        counts.refused = self.refused
        counts.duration_ns = self.busy_ns
        if self.began_ns != 0:
            counts.duration_ns += perf_counter_ns() - self.began_ns
        for u in range(plan.graph.node_count):
            step = self.steps + plan.call_at[u]
            row[0] = step.passed + (step.active and step.emitted > 0)
            row[1] = step.filtered + (step.active and step.emitted == 0)
            row[2] = step.failed
            row[3] = step.out if step.op == CALL_MANY or step.op == NATIVE_MANY else step.passed
            row[4] = step.flushed
            row[5] = step.time_ns
            row += COLUMNS
        if plan.gather_count:
            memcpy(counts.edges, self.delivered, plan.graph.connection_count * sizeof(int64_t))
        return 0

    cdef object result_of(self, object status):
        """The result of the call that is under way, or that came to its end last."""
        cdef Counts counts = self.snapshot()
        cdef dict outputs = {}
        cdef Py_ssize_t i
        if self.results is None:
            self.begin_outputs()
        if self.has_before:
            counts.subtract(self.before)
        for i in range(len(self.outputs)):
            outputs[self.plan.output_ids[i]] = self.outputs[i]
        return ExecutionResult(
            status, self.results, outputs, self.errors_in_order(), "cython", counts, self.plan.graph
        )

    cdef list errors_in_order(self):
        """What was kept under collect, in the order of R34."""
        if self.kept is None:
            return []
        if len(self.kept) < 2:
            return self.kept
        decorated = [(error_key(error, self.plan), i, error) for i, error in enumerate(self.kept)]
        decorated.sort(key=FIRST_TWO)
        return [error for _, _, error in decorated]


# --- helpers off the hot path ---------------------------------------------------------------------------------------

cdef tuple error_key(object error, Plan plan):
    """Order of R34: item index (None last), then topological position, refused inputs before nodes."""
    index = error.item_index
    position = plan.rank[<int> plan.graph.index[error.node_id]] if isinstance(error, NodeError) else -1
    return (index is None, index or 0, position)


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
        plan = make_plan(graph, blueprint, nodes)
        blueprint.plan = plan

    run = Run.__new__(Run)
    run.plan = plan
    run.blueprint = blueprint
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
    run.waiting = [None] * m
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
    for u in range(n):
        if not plan.fresh[u]:
            if run.claims is None:
                run.claims = Claims()
            if not run.claims.take_one(nodes[u]):
                raise in_use(f"node {bounded_repr(graph.ids[u])} ({blueprint.specs[u].node_type})")
    return run
