# A plan: the program that every run of a graph with nodes of these kinds executes. Made once, immutable, shared by
# runs and threads; it holds no instances. A run copies the steps and fills in its own nodes and counts.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.histogram cimport Times


# a vectorcall; gives a new reference, or NULL with an exception set (which is the caller's to look at)
ctypedef PyObject* (*call_t)(PyObject* function, PyObject** args, size_t nargs, PyObject* names) noexcept

# `process_item` of an extension type, taken from its virtual table; likewise
ctypedef PyObject* (*native_t)(PyObject* node, PyObject* item) noexcept


cdef enum Op:
    # moving items; `edge` is a connection
    END              # the pass is over
    FETCH            # take the next input item
    SOURCE           # item = the input item, for one source among several
    TAKE             # item = what waits on edge `arg`; nothing there: go to `skip`
    PUT              # leave the item on edge `arg`
    PUSH             # queue the item on edge `arg`, which leads into a merge
    TAP              # keep the item in the list of output node number `arg`
    EMIT             # hand the item out: this is a sink; `arg` is its output list, -1 if that is the results
    JUMP             # go to `arg`
    # the time of the call before, which moving its item was part of, ends here: moving passes, where calls overlap (`cuts`)
    SCHEDULE         # choose what goes on next
    POST             # the item is to be handed out, when it is its turn; `arg` as for EMIT
    HANDOVER         # the pass waits at cut `arg` for its turn, and goes on at `skip`
    BARRIER          # the pass waits until there is none in the loops of barrier `arg`, and goes on at `skip`
    END_OF_PASS
    # the rest of moving items
    JOIN             # item = the dict of join number `arg`
    MERGE            # item = the next one queued for merge number `arg`; none: go to `skip`
    PRODUCER         # a node that is never called; go to `skip`
    # parts of calls, whose time runs
    COPY             # item = deepcopy(item)
    BATCH            # item = the batch of node, once it is full, for the call that is the next step; until then: go to `skip`
    EACH             # item = the next output of the many-node called at step `arg`; none: go to `skip`
    AEACH            # the same of an async iterator
    # calling nodes: every code from here on is a call; nothing emitted: go to `skip`
    PASS             # a PassThrough
    COUNT            # a Counter
    NATIVE           # process_item of an extension type, through the C virtual table
    CALL             # a Python callable, by vectorcall
    LANE             # lane `arg` of the run, if the item is a float; else what the step was (`lanes`)
    LIMITED          # NATIVE (if there is a `native`) or CALL, with a limit on its time
    ACALL            # as CALL; what it gives is awaited
    OFFLOAD          # as CALL, beside the rest of the run: the pass waits at cut `arg`
    NATIVE_MANY      # from here on: giving an iterable that the next step, EACH, draws from
    CALL_MANY
    ACALL_MANY       # what it gives is awaited, and then drawn from
    AGEN             # giving an async iterator that the next step, AEACH, draws from
    OFFLOAD_MANY     # as OFFLOAD, giving an iterable


cdef enum Async:
    # what of a node's life is async, beside `process`: bits
    AWAIT_INITIALIZE = 1, AWAIT_CLEANUP = 2, AWAIT_FLUSH = 4, AWAIT_PRODUCE = 8, ITERATE_FLUSH = 16, ITERATE_PRODUCE = 32


cdef struct Step:
    int op
    int node                # manifest position of the node that this step works for; -1 for END, FETCH, JUMP
    int arg
    int skip                # step to go on with when there is no item
    int first               # what `function` is called with: from args[1] the instance and the item, from args[2] the item
    size_t nargs            # how many these are, with PY_VECTORCALL_ARGUMENTS_OFFSET
    PyObject* instance      # borrowed from the run's list of nodes
    PyObject* function      # owned by the run's list of functions
    call_t call             # vectorcall of `function`
    native_t native         # NATIVE, NATIVE_MANY: called in its place
    int64_t limit_ns        # LIMITED: most that a call may take
    int64_t passed          # counts of R14
    int64_t filtered
    bint active             # a call is in progress and not counted yet (many)
    int64_t emitted         # outputs of the call in progress (many)
    int64_t weight          # items that the call is for: of a batch as many as it has (many), else 1
    int64_t failed
    int64_t out
    int64_t flushed
    Times* times            # of a run that is timed, else NULL; owned by the run


cdef struct Branch:
    # one connection into a join or a merge
    int edge
    int place               # where its items wait: `edge`, or the last of its places (`cuts`)
    PyObject* key           # join: id of the predecessor, owned by the graph's tuple


cdef struct Cut:
    # a node whose calls overlap; a pass is left behind it
    int node
    int step                # OFFLOAD
    int head                # of the loop that it is in; -1 for the run
    int behind              # the next cut in the same loop, -1 for none
    int moves, moves_end    # what goes with the pass
    int capacity            # most passes that wait for a call
    int calls               # most calls at the same time
    int overflow            # Overflow of `window`
    bint threaded           # calls are made in threads, else awaited in tasks
    bint streams            # process is an async generator
    bint batch              # calls are made for a batch at a time, by the run itself; `calls` is the size of one
    int64_t wait_ns         # that its first item waits for the others; -1 for as long as it takes
    int edge                # the one connection into the node, -1 if there is none or more
    int onward              # the cut at the very next step, whose calls are made by the same kind of worker; -1 for none


cdef struct Move:
    # an item that waits on a connection which leads over a cut
    int source, target      # its place before and behind the cut
    bint queued             # there are many: it leads into a merge


cdef class Plan:
    cdef readonly PipelineGraph graph
    cdef tuple fingerprints               # the kinds of nodes that this plan was made for
    cdef Step* steps                      # [step_count]; FETCH first, END last
    cdef int step_count
    cdef int* call_at                     # [n] step at which each node is called, or PRODUCER
    cdef int* entry                       # [n] step that takes what the node emitted (flush, produce)
    cdef Branch* branches                 # those of all joins and merges, one after the other
    cdef int* branch_heads                # [gathers + 1] where each join's or merge's branches begin
    cdef int gather_count                 # joins and merges
    cdef bytearray gathers                # [n] whether the node is one
    cdef bint* partial                    # [gathers] join_missing = partial
    cdef bint one_sink                    # its output list is the results
    cdef bint has_queues                  # there is a merge
    cdef bint has_many                    # there is a many-node
    cdef bint one_source                  # FETCH hands the item straight to the next step
    cdef readonly list flushers           # positions, in topological order
    cdef bytearray flushes                # [n] whether the node has a flush
    cdef readonly list producers          # positions, in topological order
    cdef readonly list output_ids         # node ids of result.outputs: sinks, then output nodes, topological order
    cdef int* rank                        # [n] topological rank of each node
    cdef readonly bint is_async           # a run of it needs an event loop
    cdef bytearray asyncs                 # [n] bits of Async
    cdef bytearray has_initialize         # [n] whether the call would do anything
    cdef list limits                      # [n] None, or limit_of each phase that has one; None if no node has any
    cdef bytearray fresh                  # [n] a built-in made for the run: in no other, as its class made it
    cdef int64_t stride                   # passes between two looks at signals
    cdef list batchings                   # [n] Batching of the nodes that have one; None if there are none
    cdef bytearray batch_awaits           # [n] whether its process_batch is awaited
    cdef bint whole_batch                 # the whole program is one cut with batches, between the input and the only sink
    cdef int* batch_cut                   # [n] of nodes with n-to-m batches: as `entry_cut`, where the last one is called
    cdef int* batch_loop                  # [n] as `entry_loop`
    cdef list spans                       # (first, last) step of nodes side by side that may share a lane: see `lanes`
    cdef int parallelism                  # threads that an array is split over
    cdef bint whole_span                  # one of them is the whole program, between the input and the only sink

    # where calls overlap: see `cuts`
    cdef bint is_cut
    cdef Cut* cuts                        # [cut_count] in the order of the program
    cdef int cut_count
    cdef Move* moves
    cdef int slot_count                   # places where items wait on connections
    cdef bint is_nested                   # there is a cut in a loop
    cdef int first_cut, last_cut          # of those in no loop, -1 for none
    cdef int* entry_cut                   # [n] cut behind which what a node flushes or produces begins, -1 for none
    cdef int* entry_loop                  # [n] head of the loop in which it begins, -1 for the run
    cdef dict outer_loops                 # head of a loop -> head of the loop around it, -1 for the run
    cdef int schedule_at                  # step SCHEDULE
    cdef int end_at                       # step END_OF_PASS
    cdef list barriers                    # ranges of cuts


cdef object fingerprint(object node)
cdef bint is_native(object node) except -1
cpdef Plan make_plan(PipelineGraph graph, object blueprint, list nodes)
