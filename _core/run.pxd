# What a run is beside its loop. One thread at a time calls into a run; only `stop` and `metrics` may come from another.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from remotemedia._core.counts cimport Counts
from remotemedia._core.histogram cimport Times
from remotemedia._core.lanes cimport Lanes
from remotemedia._core.node cimport Claims
from remotemedia._core.plan cimport Plan, Step
from remotemedia._core.window cimport Bell, Window


cdef enum Policy:
    POLICY_STOP, POLICY_SKIP, POLICY_COLLECT


cdef enum Feed:
    # where the next pass comes from
    FEED_LIST        # `source` is a list or tuple
    FEED_ITERATOR    # `source` is an iterator
    FEED_BLOCKS      # `source` is an array, batches of which a node takes as they are
    FEED_ARRAY       # `lanes` has an array, which goes through in blocks
    FEED_ASYNC       # `source` is an async iterator
    FEED_NONE        # one pass that begins below a node (flushed and produced items); FETCH ends it


cdef enum Stage:
    STAGE_IDLE, STAGE_ITEMS, STAGE_PRODUCE, STAGE_FLUSH


cdef enum:
    FIRST_PACE = 16  # passes until the first turn of the loop, which shows how long they take
    TURN_NS = 2_000_000
    AGAIN = 3        # passes are being dropped: `advance` goes on
    SUSPENDED = 2    # what is awaited is not there yet: hand `yielded` to the event loop, and call again


cdef class Batch:
    # the items of a node with n-to-m batches: those that wait for others, and those that it was called with last
    cdef list items, indexes
    cdef list called, called_indexes


cdef class RunState:
    cdef readonly Plan plan
    cdef object blueprint
    cdef readonly object session_id
    cdef readonly bint is_async   # a node is: every call is to be awaited
    cdef Policy policy
    cdef bint timed
    cdef bint streaming           # EMIT hands out one item at a time
    cdef bint verbose             # DEBUG is on: lifecycle lines are wanted
    cdef bint used                # a call was made: counts are not zero
    cdef readonly bint ended
    cdef volatile bint stop_asked  # set by any thread
    cdef readonly list producers  # ids of the nodes that produce
    cdef Claims claims            # before the nodes: given back while they still exist
    cdef list nodes               # instances in manifest order; owns them
    cdef list functions           # what the steps call; owns them
    cdef bytearray begun          # [n] with parallel_init: its initialize was called; else None
    cdef int started              # nodes whose initialize was called and cleanup was not, in topological order

    cdef Step* steps              # the plan's program with this run's instances and counts
    cdef int64_t* delivered       # [m] for joins and merges
    cdef list waiting             # [m] the item on each connection, None for nothing
    cdef list queues              # [m] lists of items on their way into a merge
    cdef Py_ssize_t* heads        # [m] how many of them the merge has taken
    cdef int* branch_at           # [gathers] branch that a merge is taking from
    cdef list iterators           # [n] calls of many-nodes in progress
    cdef list inputs              # [n] what those calls were given
    cdef list batches             # [n] Batch of nodes with n-to-m batches; None if there is no such node

    cdef list blocks              # what came out as arrays, where that is all; else None
    cdef Lanes lanes              # None where no nodes share one
    cdef bint whole_lane          # the whole program is one

    cdef int pc                   # step to go on with
    cdef object carried           # the item to go on with
    cdef Feed feed
    cdef Stage stage
    cdef object source            # list, tuple or iterator of the input
    cdef Py_ssize_t cursor_at     # position in it, if a list
    cdef object input_item        # the item that several sources share
    cdef int64_t index            # of the item of the pass under way
    cdef int64_t fed              # index of the item that was pulled or produced last
    cdef int64_t next_call        # index of the next `process` call of a session
    cdef int64_t budget           # passes left until signals are looked at
    cdef int64_t pace             # on an event loop: how many, as far as is known, take `TURN_NS`
    cdef int64_t turned_ns        # when the loop had its last turn
    cdef int flush_at             # position in plan.flushers or plan.producers
    cdef object generator         # what a flush or produce in progress gives
    cdef int generator_of         # its node

    cdef object pending           # what is awaited, as an iterator; None for nothing
    cdef int pending_of           # its node, -1 for the input
    cdef bint closing             # it is a cleanup, or the closing of an async generator
    cdef object yielded           # what it gave for the event loop
    cdef object sent              # what the event loop sends it
    cdef object thrown            # what the event loop throws into it, or None
    cdef object outcome           # what it came to
    cdef int timing_at            # step whose time ran when the loop was suspended, -1 for none
    cdef int64_t timed_since
    cdef uint64_t clock           # how the loop reads its clock: see `clock`
    cdef int64_t drawn_since      # of the item of a flush or a producer that is awaited
    cdef bint on_loop             # the call under way can suspend, so that other tasks run
    cdef bint calls_closed        # nothing is in flight
    cdef object ended_by          # what the end that is under way is to raise

    cdef object waiter            # task that waits in the call under way
    cdef list interrupts          # positions of nodes whose calls are to be dropped, -1 for all; None for nothing
    cdef bint interrupting        # the task is being cancelled for that
    cdef int cancelling           # how often it had been cancelled before
    cdef bint dropping            # passes are being dropped
    cdef list windows             # [cut_count] Window, where calls overlap; else None (`overlap`)
    cdef Bell bell                # rings when a window can go on
    cdef int64_t* lost            # [m] dropped on connections, where calls overlap
    cdef dict guards              # position -> Attempts, of guarded nodes; None if there are none
    cdef list others              # what failed beside the error that ends the run

    cdef bint raw                 # the exception under way is no node's fault
    cdef list results
    cdef list outputs             # lists of plan.output_ids
    cdef object out_item          # handed out by EMIT when streaming
    cdef int out_node
    cdef object on_error          # takes errors under collect, in place of `kept`; or None
    cdef list kept                # errors under collect, of the call under way
    cdef readonly list errors     # those of a session's process and flush
    cdef list failures            # what cleanups and the closing of generators raised
    cdef object outer             # the exception that the caller was handling, under collect
    cdef int64_t dropped          # items of the call under way that failed under skip or collect
    cdef int64_t items_in
    cdef int64_t refused
    cdef int64_t began_ns         # of the call under way, or 0
    cdef int64_t busy_ns          # in calls that came to their end
    cdef Counts before            # what was counted before the call
    cdef Times* times             # [n] of a timed run: those of the call under way
    cdef Times* earlier           # [n] those of the calls before; NULL before the second
    cdef Times* waits             # [cuts] of a timed run: how long items waited for their call; then those before
    cdef bint has_before          # it holds something: a call is under way, and was not the first

    cpdef object initialize(self)
    cpdef object end(self, object error)
    cdef int initialize_all(self) except -1
    cdef int initialize_levels(self) except -1
    cdef int initialize_one(self, int u, object context) except -1
    cdef int finish(self) except -1
    cdef int go_on(self) except -1
    cdef int draw(self, object iterator, int u, bint feeds) except -1
    cdef int begin_await(self, int u, str method, object given) except -1
    cdef object take_outcome(self)
    cdef int close_pending(self) except -1
    cdef int tick(self) except -1
    cdef int64_t next_pace(self) except -1
    cdef int fault(self, int pc, object error, object item) except -1
    cdef bint is_before_call(self, Step* step) noexcept
    cdef bint takes_batches(self, Step* step) except -1
    cdef int drop_batch(self, int u, object error) except -1
    cdef list take_batch(self, int u)
    cdef object batch_function(self, int u)
    cdef int drop(self, int u, str phase, object error, object index, object item) except -1
    cdef int record(self, object error) except -1
    cdef int refuse(self, object item) except -1
    cdef int close_call(self, int u) except -1
    cdef int begin_outputs(self) except -1
    cdef int bind(self) except -1
    cdef int bind_lanes(self) except -1
    cdef object with_limit(self, int u, str phase, object method)
    cdef int bind_window(self, int u, Window window) except -1
    cdef int begin_call(self) except -1
    cdef int stop_clock(self) except -1
    cdef int end_call(self) except -1
    cdef Counts snapshot(self)
    cdef int fold_times(self) except -1
    cdef int add_times(self, Counts counts, bint whole) except -1
    cdef int fill(self, Counts counts) except -1
    cdef int resume_guards(self) except -1
    cdef int halt_guards(self, bint closed) except -1
    cdef object result_of(self, object status)
    cdef list errors_in_order(self)
    cdef object node_error(self, int u, str phase, object error, object index, object item)
    cdef int persist(self, bint whole) except -1
    cdef int clean_up(self) except -1
    cdef int clean_up_one(self, int u) except -1
    cdef int finish_closing(self) except -1
    cdef int begin_overlap(self) except -1
    cdef int close_windows(self) except -1
    cdef int forget_windows(self) except -1
    cdef object apart(self, object giver, str method, object given)
    cdef int close_generators(self) except -1
    cdef int close_calls(self) except -1
    cdef int take_interruption(self) except -1
    cdef int interrupted(self, int pc) except -3
    cdef int drop_passes(self) except -1
    cdef int interrupt_windows(self) except -1
    cdef int check_interrupts(self, int u) except -1
    cdef int close_one(self, int u, object iterator, bint feeds) except -1
    cdef int log(self, str phase, int u) except -1
