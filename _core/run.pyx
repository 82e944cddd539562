"""What a run is beside its loop: the life of its nodes, the error policy, and the record of each call.

`engine.Run` adds the loop and what feeds it. A run owns its nodes and every item in flight; one call at a time goes
into it, but for `stop` and `metrics`, which `session` sees to. Nothing here is on the way of a good item.

The end (`end`) is one way: it closes what is in flight, innermost first, and cleans up in reverse; whatever is raised
meanwhile is kept, and the end goes on where it was interrupted (R05–R07, R11).
"""

import logging
import sys
from functools import partial
from operator import itemgetter

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.method cimport PyMethod_Check
from cpython.object cimport PyObject
from cpython.time cimport perf_counter_ns
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from remotemedia._core.capi cimport (
    PY_VECTORCALL_ARGUMENTS_OFFSET, PYGEN_NEXT, PYGEN_RETURN, PyCoro_CheckExact, PyIter_Check, PyIter_Send,
    PyObject_Vectorcall, PySendResult, PyVectorcall_Function, is_lazy, raise_again, steal,
)
from remotemedia._core.counts cimport COLUMNS, Counts, make_counts
from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.histogram cimport Times, count_call, fold, make_timings
from remotemedia._core.node cimport NativeNode
from remotemedia._core.plan cimport (
    AEACH, AWAIT_CLEANUP, AWAIT_INITIALIZE, BATCH, CALL, CALL_MANY, COPY, COUNT, EACH, LIMITED, NATIVE, NATIVE_MANY, OFFLOAD,
    OFFLOAD_MANY, PASS, PRODUCER, Plan, Step, call_t, is_native, native_t,
)
from remotemedia._core.lanes cimport Lanes
from remotemedia._core.window cimport Window

from remotemedia.errors import NodeError, RemoteMediaError, SessionClosedError, bounded_repr, detach, set_traceback, settle
from remotemedia.items import refusal
from remotemedia.limits import bounded
from remotemedia.result import ExecutionResult, ExecutionStatus
from remotemedia.returns import awaited_by, refuse_lazy
from remotemedia.traits import read_traits

cdef extern from *:
    """
    #define REMOTEMEDIA_PROCESS_ITEM_OF(node) ((void *) (node)->__pyx_vtab->process_item)
    """
    native_t process_item_of "REMOTEMEDIA_PROCESS_ITEM_OF"(NativeNode node) noexcept


class Interrupted(BaseException):
    """Raised inside of a run where a pass is to be dropped; never comes out of it."""


cdef object logger = logging.getLogger("remotemedia")
cdef object FAILED = ExecutionStatus.FAILED
cdef object FIRST_TWO = itemgetter(0, 1)
cdef tuple POLICY_NAMES = ("stop", "skip", "collect")  # by Policy


cdef class Batch:
    """Items on their way into a node with n-to-m batches. Made by a run."""

    def __init__(self):
        raise TypeError("made by a run")


cdef class RunState:
    """The base of `engine.Run`. Not made by itself.

    Duties: `initialize` and `end` keep R01–R07 and R11; `fault` keeps the error policy. No method ends the run by
    itself: who calls must call `end`.
    """

    def __init__(self):
        raise TypeError("runs are made by Executor")

    def __dealloc__(self):
        PyMem_Free(self.steps)
        PyMem_Free(self.delivered)
        PyMem_Free(self.lost)
        PyMem_Free(self.times)
        PyMem_Free(self.earlier)
        PyMem_Free(self.waits)

    # --- the life of the nodes -------------------------------------------------------------------------------------------

    cpdef object initialize(self):
        """Initialize every node in topological order (R01–R03) and look up what the loop calls."""
        self.initialize_all()

    cdef int initialize_all(self) except -1:
        """The same; SUSPENDED, or 0 at the end."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int u
        if self.began_ns == 0:
            self.began_ns = perf_counter_ns()
        if self.blueprint.parallel_init and self.initialize_levels() == SUSPENDED:
            return SUSPENDED
        while self.pending is not None or self.started < graph.node_count:
            context = None
            if self.pending is not None:
                u = graph.order[self.started - 1]
            else:
                u = graph.order[self.started]
                if self.verbose:
                    self.log("initialize", u)
                if self.plan.has_initialize[u]:
                    context = self.blueprint.context(u, self.session_id)
                self.started += 1  # before the call, not long before: one that failed half-way is cleaned up too
                if context is None:
                    continue
            try:
                if self.initialize_one(u, context) == SUSPENDED:
                    return SUSPENDED
            except Exception as error:
                raise self.node_error(u, "initialize", error, None, None)
            if self.stop_asked:
                self.tick()
        self.bind()
        self.stop_clock()
        return 0

    cdef int initialize_levels(self) except -1:
        """Do the same with all nodes of a level at once."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int u
        from remotemedia.parallel_init import Call, initialize, initialize_async, levels

        if self.begun is None:
            self.begun = bytearray(graph.node_count)
            self.started = graph.node_count
            feeders = [
                [graph.in_tails[k] for k in range(graph.in_heads[u], graph.in_heads[u + 1])]
                for u in range(graph.node_count)
            ]
            order = [graph.order[u] for u in range(graph.node_count)]
            by_level = [
                [
                    Call(
                        self.plan.rank[u], partial(self.begin_node, u), partial(self.finish_node, u),
                        (self.plan.asyncs[u] & AWAIT_INITIALIZE) != 0, bool(self.plan.fresh[u]),
                    )
                    for u in level
                ]
                for level in levels(order, feeders.__getitem__)
            ]
            if not self.is_async:
                initialize(by_level, self.look)
                return 0
            self.begin_await(graph.order[0], "initialize", initialize_async(by_level, self.look))
        if self.pending is not None:
            if self.go_on() == SUSPENDED:
                return SUSPENDED
            self.take_outcome()
        return 0

    def look(self):
        """Raise SessionClosedError if the run is to stop."""
        if self.stop_asked:
            self.tick()

    def begin_node(self, int u):
        """Call a node's `initialize`; return what is to be awaited."""
        if self.verbose:
            self.log("initialize", u)
        self.begun[u] = True
        if not self.plan.has_initialize[u]:
            return None
        try:
            initialize = self.with_limit(u, "initialize", getattr(self.nodes[u], "initialize", None))
            given = initialize(self.blueprint.context(u, self.session_id)) if initialize is not None else None
            if self.plan.asyncs[u] & AWAIT_INITIALIZE:
                from remotemedia.workers import to_await

                return to_await(self.nodes[u], given, "initialize")
            if given is not None:
                refuse_lazy(self.nodes[u], "initialize", given)
        except Exception as error:
            raise self.node_error(u, "initialize", error, None, None)

    def finish_node(self, int u, outcome, error):
        """Take what an async `initialize` came to."""
        try:
            if error is not None:
                raise error
            if outcome is not None:
                refuse_lazy(self.nodes[u], "initialize", outcome)
        except Exception as failure:
            raise self.node_error(u, "initialize", failure, None, None)

    cdef int initialize_one(self, int u, object context) except -1:
        """Call a node's `initialize`, or go on with it."""
        if self.pending is None:
            initialize = self.with_limit(u, "initialize", getattr(self.nodes[u], "initialize", None))
            given = initialize(context) if initialize is not None else None
            if self.plan.asyncs[u] & AWAIT_INITIALIZE:
                self.begin_await(u, "initialize", given)
        if self.pending is not None:
            if self.go_on() == SUSPENDED:
                return SUSPENDED
            given = self.take_outcome()
        if given is not None:
            refuse_lazy(self.nodes[u], "initialize", given)
        return 0

    cdef int bind(self) except -1:
        """Give each calling step its function: looked up once, called with (instance, item) where it is a method."""
        cdef Step* step
        cdef bint many
        cdef int u
        for u in range(self.plan.graph.node_count):
            step = self.steps + self.plan.call_at[u]
            step.instance = <PyObject*> self.nodes[u]
            if step.op == PASS or step.op == COUNT or step.op == PRODUCER:
                continue
            if step.op == OFFLOAD or step.op == OFFLOAD_MANY:
                self.bind_window(u, self.windows[step.arg])
                continue
            if self.plan.fresh[u] and (self.plan.limits is None or step.op == LIMITED or step.op == NATIVE):
                step.native = process_item_of(self.nodes[u])
                continue
            many = step.op >= NATIVE_MANY
            if self.batches is not None and self.batches[u] is not None:
                step.first = 2
                step.nargs = 1 | PY_VECTORCALL_ARGUMENTS_OFFSET
                process = self.batch_function(u)
                self.functions.append(process)
                step.function = <PyObject*> process
                step.call = <call_t> PyObject_Vectorcall
                continue
            try:
                process = self.nodes[u].process
            except Exception as error:
                raise self.node_error(u, "initialize", error, None, None)
            if step.op == LIMITED:  # what the call takes is measured by the loop
                if is_native(self.nodes[u]):
                    step.native = process_item_of(self.nodes[u])
                    continue
            elif self.plan.limits is not None and self.plan.limits[u] is not None:
                process = self.with_limit(u, "process", process)
            elif not self.plan.asyncs[u] and is_native(self.nodes[u]):
                step.op = NATIVE_MANY if many else NATIVE
                step.native = process_item_of(self.nodes[u])
                continue
            if step.op == NATIVE or step.op == NATIVE_MANY:
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
        if self.plan.spans and not self.timed:
            self.bind_lanes()
        return 0

    cdef int bind_lanes(self) except -1:
        """Let nodes share lanes, now that their operands are known."""
        self.lanes = Lanes.__new__(Lanes)
        self.whole_lane = self.lanes.bind(self.steps, self.plan.spans, self.nodes, self.plan.whole_span, self.plan.parallelism)
        return 0

    cdef object with_limit(self, int u, str phase, object method):
        """A method of a node with its time limit, if it has one."""
        if self.plan.limits is None or self.plan.limits[u] is None or method is None:
            return method
        limit = self.plan.limits[u].get(phase)
        if limit is None:
            return method
        traits = read_traits(self.nodes[u])
        return bounded(
            method, limit, phase, phase in traits.awaits, phase in traits.streams, traits.many and phase == "process"
        )

    cdef int bind_window(self, int u, Window window) except -1:
        """Give a window the function that its workers call."""
        if window.batch:
            window.function = self.batch_function(u)
            return 0
        try:
            window.function = self.with_limit(u, "process", self.nodes[u].process)
        except Exception as error:
            raise self.node_error(u, "initialize", error, None, None)
        return 0

    cdef object batch_function(self, int u):
        """What is to be called with a list of items of a node that takes batches."""
        from remotemedia.batching import batch_call

        try:
            method = self.with_limit(u, "process", self.nodes[u].process_batch)
        except Exception as error:
            raise self.node_error(u, "initialize", error, None, None)
        function, attempts = batch_call(self.nodes[u], method, self.plan.batchings[u], bool(self.plan.batch_awaits[u]))
        if attempts is not None:
            if self.guards is None:
                self.guards = {}
            self.guards[u] = attempts
        return function

    cpdef object end(self, object error):
        """Close what is in flight and clean up, once; return the exception to raise, None for none (R05)."""
        if self.ended:
            return error
        self.ended_by = error
        self.finish()
        error = self.ended_by
        self.ended_by = None
        return error

    cdef int finish(self) except -1:
        """Go on with the end that `ended_by` asked for; SUSPENDED, or 0 when that says what is to be raised."""
        cdef list failures
        if self.persist(True) == SUSPENDED:
            return SUSPENDED
        error = self.ended_by
        self.ended = True
        self.stop_clock()
        if self.claims is not None:
            self.claims.give_back()
        if self.others and isinstance(error, NodeError):
            error.others += self.others
        self.others = None  # they lead to frames that hold the run
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
        if self.windows is not None:
            self.forget_windows()
        self.nodes = []
        self.functions = []
        self.ended_by = error
        return 0

    cdef int persist(self, bint whole) except -1:
        """Close all calls and, for the `whole` end, clean up, whatever is raised meanwhile: it is kept (R05–R07).

        Both go on where they were interrupted, or suspended.
        """
        while True:
            try:
                if self.pending is not None and self.close_pending() == SUSPENDED:
                    return SUSPENDED
                if not self.calls_closed and self.close_generators() == SUSPENDED:
                    return SUSPENDED
                if whole and self.clean_up() == SUSPENDED:
                    return SUSPENDED
                return 0
            except BaseException as failure:
                self.failures.append(failure)

    cdef int clean_up(self) except -1:
        """Clean up what was initialized, in reverse."""
        cdef int u
        while self.started > 0:
            self.started -= 1  # before anything can raise: never twice
            u = self.plan.graph.order[self.started]
            if self.begun is not None and not self.begun[u]:
                continue
            if self.plan.fresh[u] and not self.verbose:
                continue  # the cleanup of a built-in node does nothing but tell its count
            try:
                if self.verbose:
                    self.log("cleanup", u)
            except BaseException as failure:
                self.failures.append(failure)
            if self.clean_up_one(u) == SUSPENDED:
                return SUSPENDED
        return 0

    cdef int clean_up_one(self, int u) except -1:
        try:
            cleanup = self.with_limit(u, "cleanup", getattr(self.nodes[u], "cleanup", None))
            given = cleanup() if cleanup is not None else None
            if self.plan.asyncs[u] & AWAIT_CLEANUP:
                self.begin_await(u, "cleanup", given)
                self.closing = True
            elif given is not None:
                refuse_lazy(self.nodes[u], "cleanup", given)
        except Exception as failure:
            self.failures.append(self.node_error(u, "cleanup", failure, None, None))
        return self.finish_closing() if self.closing else 0

    cdef int finish_closing(self) except -1:
        """Go on with a cleanup, or with the closing of an async generator; what it raises is a cleanup error."""
        cdef int u = self.pending_of
        try:
            if self.go_on() == SUSPENDED:
                return SUSPENDED
            self.closing = False
            given = self.take_outcome()
            if given is not None:
                refuse_lazy(self.nodes[u], "cleanup", given)
        except Exception as failure:
            self.closing = False
            self.failures.append(self.node_error(u, "cleanup", failure, None, None))
        except BaseException:
            self.closing = False
            raise
        return 0

    cdef int close_generators(self) except -1:
        """Close the calls of many-nodes in progress, innermost first, and forget all items in flight (R11)."""
        if self.close_calls() == SUSPENDED:
            return SUSPENDED
        self.source = None
        self.stage = STAGE_IDLE
        if self.generator is not None:
            iterator = self.generator
            self.generator = None
            if self.close_one(self.generator_of, iterator, True) == SUSPENDED:
                return SUSPENDED
        self.calls_closed = True
        return 0

    cdef int close_calls(self) except -1:
        """Close the calls of ``process`` in progress, and forget the items on their way."""
        cdef Step* step
        cdef int pc
        self.halt_guards(False)
        if self.windows is not None and self.close_windows() == SUSPENDED:
            return SUSPENDED
        self.input_item = None
        self.carried = None
        self.out_item = None
        self.pc = -1
        if self.iterators is not None:
            for pc in range(self.plan.step_count - 1, -1, -1):
                step = self.steps + pc
                if step.op >= NATIVE_MANY:
                    if step.active:  # a call left unfinished counts by what it emitted so far
                        step.passed += step.weight * (step.emitted > 0)
                        step.filtered += step.weight * (step.emitted == 0)
                        step.active = False
                        if step.times is not NULL:
                            count_call(step.times)
                    if self.close_call(step.node) == SUSPENDED:
                        return SUSPENDED
        if self.batches is not None:
            for pc in range(self.plan.graph.node_count):
                if self.batches[pc] is not None:
                    self.steps[self.plan.call_at[pc]].filtered += len(self.take_batch(pc))
        for pc in range(len(self.waiting)):
            self.waiting[pc] = None
        if self.plan.has_queues:
            for pc in range(self.plan.slot_count):
                (<list> self.queues[pc]).clear()
                self.heads[pc] = 0
            for pc in range(self.plan.gather_count):
                self.branch_at[pc] = self.plan.branch_heads[pc]
        return 0

    cdef int close_call(self, int u) except -1:
        """Forget a call of a many-node; what is left of it is closed (R11)."""
        iterator = self.iterators[u]
        self.iterators[u] = None
        self.inputs[u] = None
        return 0 if iterator is None else self.close_one(u, iterator, False)

    cdef int close_one(self, int u, object iterator, bint feeds) except -1:
        """Close one iterator of a node, that feeds the run or not; what it raises counts as a cleanup error."""
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
            elif self.plan.is_async:
                close = getattr(iterator, "aclose", None)
                if close is not None:
                    given = close()
                    if feeds and self.windows is not None:
                        given = self.apart(iterator, "aclose", given)
                    self.begin_await(u, "aclose", given)
                    self.closing = True
        except Exception as failure:
            self.failures.append(self.node_error(u, "cleanup", failure, None, None))
        return self.finish_closing() if self.closing else 0

    cdef int close_windows(self) except -1:
        """Let go of passes that were left; see `overlap`."""
        return 0

    cdef object apart(self, object giver, str method, object given):
        """Let what feeds the run be awaited apart from its nodes, where calls of those overlap; see `overlap`."""
        return given

    cdef int forget_windows(self) except -1:
        """Let go of the windows of a run that has ended; see `overlap`."""
        return 0

    cdef int begin_overlap(self) except -1:
        """Begin a call where calls of nodes overlap; see `overlap`."""
        return 0

    # --- waiting ---------------------------------------------------------------------------------------------------------
    #
    # Whatever is awaited is driven in the caller's own task: sent to, until it returns. Where it suspends, every
    # method on the way returns SUSPENDED, and does the same again when it is called next; `pending` says that
    # something was begun. `aio.Pending` is what an event loop sees of it.

    cdef int begin_await(self, int u, str method, object given) except -1:
        """Let what an async `method` of node `u` gave be awaited: `go_on` is to be called."""
        if not PyCoro_CheckExact(given):
            given = awaited_by(self.nodes[u], method, given)
        self.pending = given
        self.pending_of = u
        return 0

    cdef int go_on(self) except -1:
        """Let what is awaited run until it comes to its end (1, see `outcome`), or suspends (SUSPENDED)."""
        cdef PyObject* result = NULL
        cdef PySendResult status
        awaited = self.pending
        if self.thrown is not None:
            error = self.thrown
            self.thrown = None
            try:
                throw = getattr(awaited, "throw", None)
                if throw is None:
                    raise error
                self.yielded = throw(error)
            except StopIteration as stop:
                self.pending = None
                if self.interrupting and self.take_interruption():
                    raise Interrupted from None
                self.outcome = stop.value
                return 1
            except BaseException as failure:
                self.pending = None
                if self.interrupting and self.take_interruption() and type(failure) is type(error):
                    raise Interrupted from None
                raise
            return SUSPENDED
        sent = self.sent
        self.sent = None
        status = PyIter_Send(<PyObject*> awaited, <PyObject*> sent, &result)
        if status == PYGEN_NEXT:
            self.yielded = steal(result)
            return SUSPENDED
        self.pending = None
        if status == PYGEN_RETURN:
            self.outcome = steal(result)
            return 1
        return raise_again()

    cdef int draw(self, object iterator, int u, bint feeds) except -1:
        """Await the next item of an async iterator, that feeds the run or not: 1 (see `outcome`), 0 at its end, or SUSPENDED."""
        if self.pending is None:
            given = iterator.__anext__()
            if feeds and self.windows is not None:
                given = self.apart(iterator, "__anext__", given)
            elif not is_lazy(given) and not PyIter_Check(given):
                given = awaited_by(iterator, "__anext__", given)
            self.pending = given
            self.pending_of = u
        try:
            return self.go_on()
        except StopAsyncIteration:
            return 0

    cdef object take_outcome(self):
        outcome = self.outcome
        self.outcome = None
        return outcome

    cdef int close_pending(self) except -1:
        """Go on with what is awaited, which nobody wants any more: what is no cleanup is interrupted first."""
        if self.closing:
            return self.finish_closing()
        if self.thrown is None:
            self.thrown = GeneratorExit()
        try:
            if self.go_on() == SUSPENDED:
                self.closing = True
                return SUSPENDED
        except GeneratorExit:
            return 0
        self.take_outcome()
        return 0

    cdef int log(self, str phase, int u) except -1:
        """Tell a lifecycle phase at DEBUG."""
        logger.debug("%s node %r (%s)", phase, self.plan.graph.ids[u], self.blueprint.specs[u].node_type)
        return 0

    def stop(self):
        """Ask the call that is running, in whichever thread, to end with SessionClosedError."""
        self.stop_asked = True
        self.budget = -1
        if self.bell is not None:
            self.bell.ring(True)
        self.halt_guards(True)

    cdef int halt_guards(self, bint closed) except -1:
        """Let waits for a next attempt come to their end, in whichever thread they are."""
        if self.guards is not None:
            for attempts in self.guards.values():
                attempts.halt(closed=closed)
        return 0

    cdef int resume_guards(self) except -1:
        """Let them wait again."""
        if self.guards is not None and not self.stop_asked:
            for attempts in self.guards.values():
                attempts.resume()
        return 0

    cdef int tick(self) except -1:
        """Look at signals and at `stop`, and let other threads run; none of it is a node's fault."""
        self.budget = self.next_pace() if self.on_loop else self.plan.stride
        self.raw = True
        PyErr_CheckSignals()
        with nogil:
            pass
        if self.stop_asked:
            raise SessionClosedError("closed while it was running")
        self.raw = False
        return 0

    cdef int64_t next_pace(self) except -1:
        """How many passes until the other tasks of the event loop get a turn: as many as take about `TURN_NS`."""
        cdef int64_t now = perf_counter_ns()
        cdef int64_t fitting = self.pace * TURN_NS // max(now - self.turned_ns, 1)
        self.turned_ns = now
        self.pace = max(1, min(fitting, 8 * self.pace, self.plan.stride))
        return self.pace

    # --- interruption: what is on its way is dropped, and the run goes on --------------------------------------------------

    def interrupt(self, node_id=None):
        """Drop what is on its way, or what one node is called with; legal from any thread."""
        cdef int u = -1
        if node_id is not None:
            if node_id not in self.plan.graph.index:
                raise ValueError(f"the pipeline has no node {bounded_repr(node_id)}")
            u = self.plan.graph.index[node_id]
        if self.interrupts is None:
            self.interrupts = []
        self.interrupts.append(u)
        self.budget = -1
        if self.guards is not None:
            for guarded, attempts in self.guards.items():
                if u < 0 or u == guarded:
                    attempts.interrupt()
        if self.bell is not None:
            self.bell.ring(True)
        waiter = self.waiter
        if waiter is not None:
            try:
                waiter.get_loop().call_soon_threadsafe(self.interrupt_waiting, waiter)
            except RuntimeError:  # the loop is closed, and nobody waits
                return

    def interrupt_waiting(self, waiter):
        """Cancel what is awaited, if it is the call of a node that is to be interrupted; on the event loop."""
        if waiter is not self.waiter or self.pending is None or self.pending_of < 0 or self.pc < 0 or self.closing:
            return
        if self.interrupts is None or self.interrupting:
            return
        if -1 in self.interrupts or self.pending_of in self.interrupts:
            self.interrupting = True
            waiter.cancel()

    cdef int take_interruption(self) except -1:
        """Take the cancellation back; whether nobody else cancelled the task."""
        self.interrupting = False
        return self.waiter is not None and self.waiter.uncancel() <= self.cancelling

    cdef int check_interrupts(self, int u) except -1:
        """Raise if the pass under way, which is in node `u` (-1: between passes), is to be dropped."""
        if u >= 0 and (-1 in self.interrupts or u in self.interrupts):
            raise Interrupted
        if u < 0 and self.windows is None:  # nothing is on its way
            self.interrupts = None
        return 0

    cdef int interrupt_windows(self) except -1:
        """Drop what is asked for of passes that were left; see `overlap`."""
        return 0

    cdef int interrupted(self, int pc) except -3:
        """Drop the pass under way, or the call of its node; the step to go on with, or -2 if passes are being dropped."""
        cdef Step* step = self.steps + pc
        cdef Step* call
        cdef bint every = -1 in self.interrupts
        if self.windows is not None:
            self.interrupt_windows()
        self.interrupts = None
        if step.node >= 0:
            call = self.steps + self.plan.call_at[step.node]
            if call.active:
                call.passed += call.weight * (call.emitted > 0)
                call.filtered += call.weight * (call.emitted == 0)
                call.active = False
            elif step.op >= COPY:
                call.filtered += call.weight if step is call else 1
            if call.times is not NULL and step.op >= COPY:
                count_call(call.times)
            if self.iterators is not None:
                self.close_call(step.node)
        if not every:
            return step.skip
        self.dropping = True
        return -2

    cdef int drop_passes(self) except -1:
        """Go on dropping what is on its way; SUSPENDED, or 0 when that is done: `pc` says what goes on."""
        if self.close_calls() == SUSPENDED:
            return SUSPENDED
        self.resume_guards()
        self.dropping = False
        self.pc = -1 if self.feed == FEED_NONE else 0 if self.windows is None else self.plan.schedule_at
        return 0

    # --- errors ----------------------------------------------------------------------------------------------------------

    cdef int fault(self, int pc, object error, object item) except -1:
        """The one gate for what the loop meets: raise it, or keep it and return the step to go on with."""
        cdef Step* step = self.steps + pc
        cdef Step* call
        cdef bint begun = not self.is_before_call(step)
        if self.raw or step.op < COPY:
            self.raw = False
            raise error
        call = self.steps + self.plan.call_at[step.node]
        call.failed += call.weight if begun else 1
        if call.times is not NULL and (begun or not call.active):
            count_call(call.times)
        if begun:
            call.active = False  # it is counted; what it left open stays in `iterators`
        if not isinstance(error, Exception) or (self.stop_asked and isinstance(error, SessionClosedError)):
            raise error
        if begun and (step.op >= NATIVE_MANY or step.op == EACH or step.op == AEACH):
            item = self.inputs[step.node]
        if begun and self.takes_batches(step):
            self.drop_batch(step.node, error)
        else:
            phase = "copy" if step.op == COPY else "process"
            self.drop(step.node, phase, error, None if self.index < 0 else self.index, item)
        if begun and self.iterators is not None:
            self.close_call(step.node)
        return step.skip

    cdef bint is_before_call(self, Step* step) noexcept:
        """Whether an item at a step that calls a node did not come to its call; the node may still be in another one."""
        return step.op == COPY or step.op == BATCH

    cdef bint takes_batches(self, Step* step) except -1:
        """Whether a step is of a node with n-to-m batches."""
        return self.batches is not None and step.op >= COPY and self.batches[step.node] is not None

    cdef list take_batch(self, int u):
        """Take what waits for a node with n-to-m batches: it is called with it."""
        cdef Batch batch = self.batches[u]
        batch.called = batch.items
        batch.called_indexes = batch.indexes
        batch.items = []
        batch.indexes = []
        return list(batch.called)

    cdef int drop_batch(self, int u, object error) except -1:
        """Do with the failure of a batch what the policy says, for each of its items."""
        cdef Batch batch = self.batches[u]
        cdef list items = batch.called
        cdef list indexes = batch.called_indexes
        cdef Py_ssize_t i
        batch.called = batch.called_indexes = None
        trace = error.__traceback__
        if self.policy == POLICY_STOP:
            self.others = [self.node_error(u, "process", error, indexes[i], items[i]) for i in range(1, len(items))]
        for i in range(len(items)):
            set_traceback(error, trace)  # which is taken where an error is kept
            self.drop(u, "process", error, indexes[i], items[i])
        return 0

    cdef int drop(self, int u, str phase, object error, object index, object item) except -1:
        """Do with the failure of a node what the policy says: raise it, or drop its item."""
        if self.policy == POLICY_SKIP:
            self.dropped += 1
        else:
            self.record(self.node_error(u, phase, error, index, item))
        return 0

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
                if self.kept is None:
                    self.kept = []
                self.kept.append(error)
        return 0

    cdef int refuse(self, object item) except -1:
        self.refused += 1
        self.raw = True
        self.record(refusal(item, self.index))
        self.raw = False
        return 0

    cdef object node_error(self, int u, str phase, object error, object index, object item):
        return NodeError.of(
            error, node_id=self.plan.graph.ids[u], node_type=self.blueprint.specs[u].node_type, phase=phase,
            item_index=index, item=item,
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

    # --- the record of a call: what it emitted, what failed, what it counted ---------------------------------------------

    cdef int begin_call(self) except -1:
        """Begin a record. What `initialize` counted belongs to the first call."""
        if self.used:
            if self.before is None:
                self.before = make_counts(self.plan)
            self.fill(self.before)
            if self.timed:
                self.fold_times()
        self.has_before = self.used
        self.used = True
        self.calls_closed = False
        self.interrupts = None
        self.kept = None
        self.resume_guards()
        self.dropped = 0
        self.outer = sys.exception() if self.policy == POLICY_COLLECT else None
        self.begin_outputs()
        if self.windows is not None:
            self.begin_overlap()
        self.began_ns = perf_counter_ns()
        if self.on_loop:
            self.turned_ns = self.began_ns
            self.pace = self.budget = min(<int64_t> FIRST_PACE, self.plan.stride)
        return 0

    cdef int stop_clock(self) except -1:
        if self.began_ns != 0:
            self.busy_ns += perf_counter_ns() - self.began_ns
            self.began_ns = 0
        return 0

    cdef int end_call(self) except -1:
        """Let go of the record: what was handed out is not the run's any more."""
        cdef Batch batch
        self.kept = None
        self.outer = None
        self.waiter = None
        if self.batches is not None:
            for batch in self.batches:
                if batch is not None:
                    batch.called = batch.called_indexes = None
        self.source = None
        self.has_before = False
        self.results = self.outputs = None
        return 0

    cdef int begin_outputs(self) except -1:
        cdef Plan plan = self.plan
        self.results = []
        self.outputs = None  # `results` is the only one
        if not plan.one_sink or len(plan.output_ids) > 1:
            self.outputs = [[] for _ in plan.output_ids]
            if plan.one_sink:
                self.outputs[0] = self.results
        return 0

    cdef object result_of(self, object status):
        """The result of the call that is under way, or that came to its end last."""
        cdef Counts counts = self.snapshot()
        cdef dict outputs = {}
        cdef Py_ssize_t i
        lane = None
        if self.results is None:
            self.begin_outputs()
        if self.has_before:
            counts.subtract(self.before)
            if self.timed:
                self.add_times(counts, False)
        if self.lanes is not None and self.lanes.values is not None:
            lane = self.lanes.take_arrays()
            outputs[self.plan.output_ids[0]] = None
            self.results = None
        elif self.blocks is not None:
            from remotemedia.arrays import joined

            lane = joined(self.blocks)
            self.blocks = None
            outputs[self.plan.output_ids[0]] = None
            self.results = None
        elif self.outputs is None:
            outputs[self.plan.output_ids[0]] = self.results
        else:
            for i in range(len(self.outputs)):
                outputs[self.plan.output_ids[i]] = self.outputs[i]
        return ExecutionResult(
            status, self.results, outputs, self.errors_in_order(), "cython", counts, self.plan.graph, lane,
            self.blueprint.outline, POLICY_NAMES[self.policy],
        )

    def metrics(self):
        """Return the counts since `initialize`; legal from any thread, at any time."""
        return self.snapshot().to_dict()

    cdef Counts snapshot(self):
        """All counts since `initialize`."""
        cdef Counts counts = make_counts(self.plan)
        self.fill(counts)
        if self.timed:
            self.add_times(counts, True)
        return counts

    cdef int add_times(self, Counts counts, bint whole) except -1:
        """Add the times, and what waits, to counts of the `whole` run or of the call under way."""
        cdef int k
        cdef int cuts = self.plan.cut_count
        cdef Window window
        counts.timings = make_timings(self.times, self.earlier if whole else NULL, self.plan.graph.node_count)
        if self.waits is not NULL:
            counts.waits = make_timings(self.waits, self.waits + cuts if whole else NULL, cuts)
            counts.queues = []
            for k in range(cuts):
                window = self.windows[k]
                counts.queues.append((self.plan.cuts[k].node, window.queued, window.running))
        return 0

    cdef int fold_times(self) except -1:
        """What was timed so far is of earlier calls."""
        cdef int n = self.plan.graph.node_count
        cdef int u
        if self.earlier is NULL:
            self.earlier = <Times*> PyMem_Calloc(n, sizeof(Times))
            if self.earlier is NULL:
                raise MemoryError
        for u in range(n):
            fold(self.times + u, self.earlier + u)
        if self.waits is not NULL:
            for u in range(self.plan.cut_count):
                fold(self.waits + u, self.waits + self.plan.cut_count + u)
        return 0

    cdef int fill(self, Counts counts) except -1:
        cdef Plan plan = self.plan
        cdef Step* step
        cdef int64_t* row = counts.nodes
        cdef Window window
        cdef int u
        counts.items_in = self.items_in
        counts.refused = self.refused
        counts.duration_ns = self.busy_ns
        if self.began_ns != 0:
            counts.duration_ns += perf_counter_ns() - self.began_ns
        for u in range(plan.graph.node_count):
            step = self.steps + plan.call_at[u]
            row[0] = step.passed + step.weight * (step.active and step.emitted > 0)
            row[1] = step.filtered + step.weight * (step.active and step.emitted == 0)
            row[2] = step.failed
            row[3] = step.out if step.op >= NATIVE_MANY else step.passed
            row[4] = step.flushed
            row += COLUMNS
        if plan.gather_count:
            memcpy(counts.edges, self.delivered, plan.graph.connection_count * sizeof(int64_t))
        if self.guards is not None:
            counts.attempts = {u: given.count for u, given in self.guards.items() if given.count is not None}
        if self.lost is not NULL:
            memcpy(counts.lost, self.lost, plan.graph.connection_count * sizeof(int64_t))
        if self.windows is not None:
            for u in range(plan.cut_count):
                window = self.windows[u]
                row = counts.nodes + COLUMNS * plan.cuts[u].node
                row[0] += window.relayed
                row[3] += window.relayed
        return 0


cdef tuple error_key(object error, Plan plan):
    """Order of R34: item index (None last), then topological position, refused inputs before nodes."""
    index = error.item_index
    position = plan.rank[<int> plan.graph.index[error.node_id]] if isinstance(error, NodeError) else -1
    return (index is None, index or 0, position)
