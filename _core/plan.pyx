"""Graph and instances become a flat program; every choice that can be made once is made here.

Scopes (contract §2): a node's scope is the nearest opener through which all ways to it lead. Scopes form a tree, so
the program is laid out as nested blocks: a node's call, then what it opens, then the next node of its own scope. A
block that runs once per output is a loop, closed by a JUMP; loops nest in the program text, never on a stack, and
each opener keeps its own iterator. Only a merge can take items from another scope, so only merges have queues; every
other item travels in the loop's one variable (to the next step) or waits on a connection (for a later one).

Layout of one node::

    [SOURCE | TAKE edge | JOIN | MERGE]  [COPY]  call  [EACH]  [TAP] [PUT | PUSH …] [EMIT]  scope…  [JUMP loop]

A node directly behind its only predecessor in the program needs none of the first group.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t
from libc.string cimport memset

from remotemedia._core.cfunction cimport CFunction
from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.node cimport NativeNode, NodeExecutor
from remotemedia._core.nodes cimport Counter, PassThrough
from remotemedia._core.window cimport OVERFLOW_BLOCK

from types import BuiltinMethodType

from remotemedia._core import nodes as _nodes
from remotemedia.beside import LANE_TYPES as _LANE_TYPES
from remotemedia.beside import Overlap, overlap_fault, overlap_of, parallelism_fault
from remotemedia.errors import ManifestError, bounded_repr
from remotemedia.limits import NO_MATTER_MS as _NO_MATTER_MS
from remotemedia.limits import limit_of
from remotemedia.plan_faults import fed_producer, unpaired_join
from remotemedia.traits import check_nodes, fault_of, innermost, read_traits

cdef set BUILTIN_TYPES = set(_nodes.BUILTINS.values())
cdef set LANE_KINDS = {getattr(_nodes, name) for name in _LANE_TYPES}
cdef dict BUILTIN_TRAITS = {}
cdef object NATIVE_PROCESS = NativeNode.process
cdef object BASE_INITIALIZE = NodeExecutor.initialize
cdef tuple KIND = (
    "emits", "max_concurrency", "batch_size", "max_batch_wait_ms", "batch_type", "batch_errors", "idempotent", "initialize", "process", "process_batch",
    "flush", "cleanup", "produce",
)
cdef tuple OVERFLOWS = ("block", "drop_oldest", "drop_newest", "error")  # in the order of window.Overflow
cdef tuple ASYNC_BITS = (
    (AWAIT_INITIALIZE, "awaits", "initialize"), (AWAIT_CLEANUP, "awaits", "cleanup"), (AWAIT_FLUSH, "awaits", "flush"),
    (AWAIT_PRODUCE, "awaits", "produce"), (ITERATE_FLUSH, "streams", "flush"), (ITERATE_PRODUCE, "streams", "produce"),
)
cdef int MOST_THREADS = 256  # that an array is split over
cdef int STRIDE = 50_000  # steps between two looks at signals
cdef int C_STRIDE = 256  # passes between them, where C functions of the user's are called


cdef object fingerprint(object node):
    """What the traits of `node` depend on: equal fingerprints, equal traits.

    A plan is kept with those of the nodes that it was made for, since a factory may give another kind of node at
    each call. Methods set on an instance make it like no other, for a plan must not hold them. A built-in has nothing
    to set: its type says all.
    """
    cdef list kind
    cdef object cls
    if type(node) in BUILTIN_TYPES:
        return type(node)
    kind = []
    while True:
        cls = type(node)
        kind.append(cls)
        for name in KIND:
            own = getattr(cls, name, None)
            found = getattr(node, name, None)
            if found is own or getattr(found, "__func__", None) is own or (
                isinstance(found, BuiltinMethodType) and found.__self__ is node and found.__name__ == name
            ):
                kind.append(own)
            else:
                kind.append(object())
        node = getattr(node, "__wrapped__", None)
        if node is None or len(kind) > 1000:
            return kind


cdef object traits_of(object node):
    """The traits of `node`. Those of a built-in are its type's; reading the same ones 10 000 times takes a while."""
    if type(node) not in BUILTIN_TYPES:
        return read_traits(node)
    traits = BUILTIN_TRAITS.get(type(node))
    if traits is None:
        traits = BUILTIN_TRAITS[type(node)] = read_traits(node)
    return traits


cdef class Plan:
    """The program of a graph for nodes of given kinds. Made by the engine."""

    def __init__(self):
        raise TypeError("plans are made by Executor")

    def __dealloc__(self):
        PyMem_Free(self.steps)
        PyMem_Free(self.call_at)
        PyMem_Free(self.branches)
        PyMem_Free(self.partial)
        PyMem_Free(self.cuts)
        PyMem_Free(self.moves)
        PyMem_Free(self.entry_cut)

    def __len__(self):
        return self.step_count


cdef class Scopes:
    """The tree of scopes: for each node the opener whose scope it is in. The run is position n."""

    cdef int n
    cdef int* scope          # [n] opener whose scope the node is in
    cdef int* depth          # [n + 1] of openers, in the tree; 0 for the run
    cdef int* jump           # [n + 1] an ancestor further up, for logarithmic climbs (Myers 1983)
    cdef char* opens         # [n + 1]

    def __cinit__(self, int n):
        self.n = n
        self.scope = <int*> PyMem_Calloc(3 * (n + 1), sizeof(int))
        self.opens = <char*> PyMem_Calloc(n + 1, 1)
        if self.scope is NULL or self.opens is NULL:
            raise MemoryError
        self.depth = self.scope + n + 1
        self.jump = self.depth + n + 1
        self.scope[n] = self.jump[n] = n
        self.opens[n] = True

    def __dealloc__(self):
        PyMem_Free(self.scope)
        PyMem_Free(self.opens)

    cdef inline int emits_in(self, int u) noexcept:
        """The scope that an output of node `u` is a pass over."""
        return u if self.opens[u] else self.scope[u]

    cdef void place(self, int u, int scope, bint opens) noexcept:
        cdef int j = self.jump[scope]
        self.scope[u] = scope
        self.opens[u] = opens
        self.depth[u] = self.depth[scope] + 1
        if self.depth[scope] - self.depth[j] == self.depth[j] - self.depth[self.jump[j]]:
            self.jump[u] = self.jump[j]
        else:
            self.jump[u] = scope

    cdef int common(self, int a, int b) noexcept:
        """The nearest opener that encloses both (lowest common ancestor)."""
        cdef int low
        if self.depth[a] < self.depth[b]:
            a, b = b, a
        low = self.depth[b]
        while self.depth[a] > low:
            a = self.jump[a] if self.depth[self.jump[a]] >= low else self.scope[a]
        while a != b:
            if self.jump[a] != self.jump[b]:
                a = self.jump[a]
                b = self.jump[b]
            else:
                a = self.scope[a]
                b = self.scope[b]
        return a


cdef class Layout:
    """The program while it is written. `order` is the order of the calls."""

    cdef Plan plan
    cdef PipelineGraph graph
    cdef Scopes scopes
    cdef list specs, traits, nodes
    cdef dict overlaps        # position -> Overlap, of the nodes whose calls overlap
    cdef int capacity
    cdef int* next_in_scope   # [n] the next node of the same scope, -1 at the end
    cdef int* first_in_scope  # [n + 1]
    cdef int gathers, branch_count
    cdef list waiting         # steps whose `skip` is the end of the current run of chained nodes
    cdef list output_index

    def __dealloc__(self):
        PyMem_Free(self.next_in_scope)

    cdef int add(self, int op, int node, int arg=0, int skip=-1) except -1:
        """Append a step; return its position."""
        cdef Step* grown
        cdef Plan plan = self.plan
        if plan.step_count == self.capacity:
            self.capacity = 2 * self.capacity + 16
            grown = <Step*> PyMem_Realloc(plan.steps, self.capacity * sizeof(Step))
            if grown is NULL:
                raise MemoryError
            plan.steps = grown
        memset(&plan.steps[plan.step_count], 0, sizeof(Step))
        plan.steps[plan.step_count].op = op
        plan.steps[plan.step_count].node = node
        plan.steps[plan.step_count].arg = arg
        plan.steps[plan.step_count].skip = skip
        plan.steps[plan.step_count].weight = 1
        plan.step_count += 1
        return plan.step_count - 1

    cdef int patch(self, list steps) except -1:
        """Let `steps` go on here when they have no item."""
        for position in steps:
            self.plan.steps[<int> position].skip = self.plan.step_count
        steps.clear()
        return 0

    cdef int fan_in(self, int u) except -1:
        return self.graph.in_heads[u + 1] - self.graph.in_heads[u]

    cdef bint is_join(self, int u) except -1:
        return self.specs[u].fan_in == "join" and self.fan_in(u) > 0

    cdef int link_scopes(self) except -1:
        """Chain the nodes of each scope in topological order."""
        cdef int n = self.graph.node_count
        cdef int i, u
        self.next_in_scope = <int*> PyMem_Calloc(2 * n + 2, sizeof(int))
        if self.next_in_scope is NULL:
            raise MemoryError
        self.first_in_scope = self.next_in_scope + n + 1
        memset(self.next_in_scope, 0xff, (2 * n + 2) * sizeof(int))  # -1 everywhere
        for i in range(n - 1, -1, -1):
            u = self.graph.order[i]
            self.next_in_scope[u] = self.first_in_scope[self.scopes.scope[u]]
            self.first_in_scope[self.scopes.scope[u]] = u
        return 0

    cdef int write(self) except -1:
        """Write the whole program."""
        cdef int n = self.graph.node_count
        cdef int u = self.first_in_scope[n]
        cdef int previous = -1     # node whose item is in hand, for the one behind it
        cdef int loop, done
        cdef list open_nodes = []  # (node, step to jump back to or -1, steps that leave its block)
        self.waiting = []
        self.add(FETCH, -1)
        while True:
            if u < 0:  # the end of a block
                self.patch(self.waiting)
                if not open_nodes:
                    break
                done, loop, leaving = open_nodes.pop()
                if loop >= 0:
                    self.add(JUMP, -1, loop)
                self.patch(leaving)
                previous = -1
                u = self.next_in_scope[done]
                continue
            previous = self.write_node(u, previous, open_nodes)
            u = self.first_in_scope[u] if self.scopes.opens[u] else self.next_in_scope[u]
        self.add(END, -1)
        return 0

    cdef int write_node(self, int u, int previous, list open_nodes) except -1:
        """Write one node up to where its output is handed on; return `u` if the next step may take it from hand."""
        cdef PipelineGraph graph = self.graph
        cdef Plan plan = self.plan
        cdef bint opens = self.scopes.opens[u]
        cdef bint many = self.traits[u].many
        cdef int loop = -1
        cdef int at
        cdef list leaving = []
        cdef list nothing = leaving if opens else self.waiting  # steps without an item leave the block, or the chain

        if not self.in_hand(u, previous):
            self.patch(self.waiting)
            if self.traits[u].produces:
                pass
            elif self.fan_in(u) == 0:
                if not plan.one_source:
                    nothing.append(self.add(SOURCE, u))
            elif self.is_join(u):
                nothing.append(self.add_gather(JOIN, u))
            elif is_merge(graph, self.specs, u):
                loop = self.add_gather(MERGE, u)
                leaving.append(loop)
            else:
                nothing.append(self.add(TAKE, u, graph.in_edges[graph.in_heads[u]]))
        elif opens:  # nothing in hand: its whole block is left out
            leaving.extend(self.waiting)
            self.waiting.clear()
        if self.specs[u].copy and not self.traits[u].produces:
            at = self.add(COPY, u, 0, loop)
            if loop < 0:
                nothing.append(at)

        if many and self.traits[u].batches:
            at = self.add(BATCH, u, self.plan.batchings[u].size, loop)
            if loop < 0:
                nothing.append(at)
        at = self.add(self.call_code(u), u, 0, loop)
        plan.call_at[u] = at
        if plan.steps[at].op == LIMITED:
            plan.steps[at].limit_ns = <int64_t> (limit_of(self.specs[u], "process") * 1_000_000)
        if loop < 0:
            nothing.append(at)
        if many:
            streams = "process" in self.traits[u].streams and u not in self.overlaps
            at = self.add(AEACH if streams else EACH, u, at, loop)
            if loop < 0:
                leaving.append(at)
            loop = at
        plan.entry[u] = plan.step_count
        if opens:
            open_nodes.append((u, loop, leaving))
        self.add_routes(u)
        return u

    cdef bint in_hand(self, int u, int previous) except -1:
        """Whether `u` gets its item straight from `previous`, the node written before it."""
        cdef PipelineGraph graph = self.graph
        return (
            previous >= 0 and self.fan_in(u) == 1 and not self.is_join(u)
            and graph.in_tails[graph.in_heads[u]] == previous
        )

    cdef int add_routes(self, int u) except -1:
        """Write where the output of `u` goes, but for the node that takes it from hand."""
        cdef PipelineGraph graph = self.graph
        cdef int behind = self.first_in_scope[u] if self.scopes.opens[u] else self.next_in_scope[u]
        cdef int k, v, e
        if graph.heads[u] == graph.heads[u + 1]:
            self.add(EMIT, u, self.output_index[u])
            return 0
        if self.output_index[u] >= 0:
            self.add(TAP, u, self.output_index[u])
        for k in range(graph.heads[u], graph.heads[u + 1]):
            v = graph.tails[k]
            if v == behind and self.in_hand(v, u):
                continue
            for e in range(graph.in_heads[v], graph.in_heads[v + 1]):
                if graph.in_tails[e] == u:
                    self.add(PUSH if is_merge(graph, self.specs, v) else PUT, u, graph.in_edges[e])
                    break
        return 0

    cdef int add_gather(self, int op, int u) except -1:
        """Write a JOIN or MERGE step with its branches, in the order of the connections."""
        cdef PipelineGraph graph = self.graph
        cdef Plan plan = self.plan
        cdef int k
        cdef int number = self.gathers
        plan.branch_heads[number] = self.branch_count
        plan.gathers[u] = True
        plan.partial[number] = self.specs[u].join_missing == "partial"
        for k in range(graph.in_heads[u], graph.in_heads[u + 1]):
            plan.branches[self.branch_count].edge = graph.in_edges[k]
            plan.branches[self.branch_count].place = graph.in_edges[k]
            plan.branches[self.branch_count].key = <PyObject*> graph.ids[graph.in_tails[k]]
            self.branch_count += 1
        self.gathers += 1
        plan.branch_heads[self.gathers] = self.branch_count
        if op == MERGE:
            plan.has_queues = True
        return self.add(op, u, number)

    cdef bint is_limited(self, int u) except -1:
        """Whether the loop is to measure the calls of a node: a plain one that gives one item."""
        traits = self.traits[u]
        if traits.many or traits.batches or "process" in traits.awaits:
            return False
        return limit_of(self.specs[u], "process") is not None

    cdef int call_code(self, int u) except -1:
        node = self.nodes[u]
        if self.traits[u].produces:
            return PRODUCER
        if u in self.overlaps:
            return OFFLOAD_MANY if self.traits[u].many else OFFLOAD
        if type(node) is PassThrough:
            return PASS
        if type(node) is Counter:
            return COUNT
        if self.is_limited(u):
            return LIMITED
        if is_native(node) and not self.traits[u].batches:
            return NATIVE_MANY if self.traits[u].many else NATIVE
        if "process" in self.traits[u].streams:
            return AGEN
        if "process" in self.traits[u].awaits:
            return ACALL_MANY if self.traits[u].many else ACALL
        return CALL_MANY if self.traits[u].many else CALL


cdef int async_bits(object traits) except -1:
    """What of a node's life is async, as bits of `Async`."""
    cdef int bits = 0
    for bit, names, method in ASYNC_BITS:
        if method in getattr(traits, names):
            bits |= <int> bit
    return bits


cdef bint may_lane(object node) noexcept:
    """Whether a node is of a kind that has a lane, whatever its params."""
    return type(node) in LANE_KINDS or isinstance(node, CFunction)


cdef list find_spans(Plan plan, list nodes):
    """Where nodes that may share a lane stand side by side, whatever their params: (first step, last step)."""
    cdef list spans = []
    cdef int p
    cdef int first = -1
    cdef bint computes = False
    for p in range(plan.step_count):
        if plan.steps[p].op in (PASS, COUNT, NATIVE) and may_lane(nodes[plan.steps[p].node]):
            if first < 0:
                first = p
            computes = computes or plan.steps[p].op == NATIVE
            continue
        if computes:
            spans.append((first, p - 1))
        first = -1
        computes = False
    return spans


cdef bint is_native(object node) except -1:
    """Whether the engine may call ``process_item`` in place of ``process``."""
    if not isinstance(node, NativeNode):
        return False
    return type(node).process is NATIVE_PROCESS and getattr(node.process, "__self__", None) is node


cdef object limits_of(object spec):
    """The time limits of a node by phase, None if it has none."""
    cdef dict limits = {}
    if spec.timeout_ms is not None:
        for phase in ("initialize", "process", "cleanup"):
            limit = limit_of(spec, phase)
            if limit is not None:
                limits[phase] = limit
    return limits or None


cdef list connections_into(PipelineGraph graph, object connections, int u):
    """The connections into node `u`, as the manifest has them."""
    cdef int k
    return [connections[graph.in_edges[k]] for k in range(graph.in_heads[u], graph.in_heads[u + 1])]


cdef bint takes_batches(object spec, object traits) except -1:
    """Whether there is more to ask about batches."""
    return traits.batches or spec.batch_size is not None or spec.max_batch_wait_ms is not None


cdef bint may_overlap(object spec, object node) except -1:
    """Whether there is more to ask about calls beside each other."""
    return (
        spec.max_concurrency is not None or spec.isolation != "none"
        or (type(node) not in BUILTIN_TYPES and hasattr(innermost(node), "max_concurrency"))
    )


cdef int set_overlap(Plan plan, dict overlaps, list traits) except -1:
    """Cut the program, and let each cut know how its calls overlap."""
    cdef PipelineGraph graph = plan.graph
    cdef int k, u
    from remotemedia._core.cuts import cut

    cut(plan)
    for k in range(plan.cut_count):
        u = plan.cuts[k].node
        overlap = overlaps[u]
        plan.cuts[k].calls = overlap.calls
        plan.cuts[k].capacity = overlap.capacity
        plan.cuts[k].threaded = overlap.threaded
        plan.cuts[k].overflow = OVERFLOWS.index(overlap.overflow)
        plan.cuts[k].streams = "process" in traits[u].streams
        plan.cuts[k].wait_ns = -1
        if traits[u].batches:
            plan.cuts[k].batch = True
            if plan.batchings[u].wait_ms is not None:
                plan.cuts[k].wait_ns = <int64_t> (min(plan.batchings[u].wait_ms, _NO_MATTER_MS) * 1_000_000)
        plan.cuts[k].edge = -1
        if graph.in_heads[u + 1] - graph.in_heads[u] == 1:
            plan.cuts[k].edge = graph.in_edges[graph.in_heads[u]]
        plan.is_async = plan.is_async or not (overlap.threaded or traits[u].batches)
        plan.cuts[k].onward = -1
        if k and leads_onward(plan, plan.cuts + k - 1, plan.cuts + k):
            plan.cuts[k - 1].onward = k
    return 0


cdef bint leads_onward(Plan plan, Cut* cut, Cut* following) noexcept:
    """Whether what comes out of the calls at a cut meets nothing on its way to those at the following one."""
    return (
        following.step == cut.step + 1 and plan.steps[cut.step].op == OFFLOAD and following.head == cut.head
        and not cut.batch and not following.batch and following.threaded == cut.threaded and following.overflow == OVERFLOW_BLOCK
        and following.moves == following.moves_end
    )


cdef object fault_at(
    PipelineGraph graph, object blueprint, bint overflows, list specs, list nodes, list traits, Scopes scopes, int u
):
    """The fault of node `u` that only the instances show, or None."""
    if type(nodes[u]) not in BUILTIN_TYPES:
        fault = fault_of(nodes[u], f"$.nodes[{u}]", node_name(graph, specs, u))
        if fault is not None:
            return fault
    if specs[u].retry is not None or specs[u].circuit_breaker is not None:
        if nodes[u].fault is not None:
            return nodes[u].fault
    if overflows or may_overlap(specs[u], nodes[u]):
        into = connections_into(graph, blueprint.connections, u)
        fault = overlap_fault(u, node_name(graph, specs, u), specs[u], nodes[u], traits[u], into)
        if fault is not None:
            return fault
    if takes_batches(specs[u], traits[u]):
        from remotemedia.batching import batching_fault

        into = connections_into(graph, blueprint.connections, u)
        fault = batching_fault(u, node_name(graph, specs, u), specs[u], nodes[u], traits[u], into)
        if fault is not None:
            return fault
    if specs[u].parallelism > 1:
        fault = parallelism_fault(u, node_name(graph, specs, u), nodes[u])
        if fault is not None:
            return fault
    before = [graph.in_tails[k] for k in range(graph.in_heads[u], graph.in_heads[u + 1])]
    if traits[u].produces and before:
        return fed_producer(u, node_name(graph, specs, u), [graph.ids[p] for p in before])
    if specs[u].fan_in != "join":
        return None
    openers = sorted({scopes.emits_in(p) for p in before})
    if len(openers) <= 1:
        return None
    branches = [(graph.ids[p], scope_name(graph, scopes.emits_in(p))) for p in before]
    merging = [graph.ids[o] for o in openers if o < graph.node_count and is_merge(graph, specs, o)]
    return unpaired_join(u, graph.ids[u], branches, merging)


cdef str node_name(PipelineGraph graph, list specs, int u):
    return f"node {bounded_repr(graph.ids[u])} ({specs[u].node_type})"


cdef object scope_name(PipelineGraph graph, int opener):
    return None if opener == graph.node_count else graph.ids[opener]


cdef bint is_merge(PipelineGraph graph, list specs, int u) except -1:
    return graph.in_heads[u + 1] - graph.in_heads[u] > 1 and specs[u].fan_in != "join"


cdef Scopes scopes_of(PipelineGraph graph, list specs, list traits):
    """Find every node's scope."""
    cdef int n = graph.node_count
    cdef Scopes scopes = Scopes(n)
    cdef int i, k, u, common
    for i in range(n):
        u = graph.order[i]
        common = n
        for k in range(graph.in_heads[u], graph.in_heads[u + 1]):
            if k == graph.in_heads[u]:
                common = scopes.emits_in(graph.in_tails[k])
            else:
                common = scopes.common(common, scopes.emits_in(graph.in_tails[k]))
        scopes.place(u, common, traits[u].opens or is_merge(graph, specs, u))
    return scopes


cdef int set_batchings(Plan plan, list specs, list nodes, list traits) except -1:
    """Let the plan know how each node takes batches."""
    if any([given.batches for given in traits]):
        from remotemedia.batching import batching_of

        plan.batch_awaits = bytearray([given.batches and "process" in given.awaits for given in traits])
        plan.batchings = [batching_of(spec, node, given) for spec, node, given in zip(specs, nodes, traits)]
    return 0


cpdef Plan make_plan(PipelineGraph graph, object blueprint, list nodes):
    """Return the plan for `graph` with these `nodes` (in manifest order).

    RegistryError with every one of them that is no node, else ManifestError with every fault.
    """
    cdef int n = graph.node_count
    cdef int m = graph.connection_count
    cdef int i, u
    cdef Plan plan = Plan.__new__(Plan)
    cdef Layout layout = Layout.__new__(Layout)
    cdef list spec_list = list(blueprint.specs)
    cdef list traits
    cdef Scopes scopes
    check_nodes(spec_list, nodes)
    traits = [traits_of(node) for node in nodes]
    scopes = scopes_of(graph, spec_list, traits)
    overflows = any([given.overflow is not None for given in blueprint.connections])
    faults = [fault_at(graph, blueprint, overflows, spec_list, nodes, traits, scopes, u) for u in range(n)]
    faults = [fault for fault in faults if fault is not None]
    if faults:
        raise ManifestError(faults)

    plan.graph = graph
    plan.fingerprints = tuple([fingerprint(node) for node in nodes])
    plan.call_at = <int*> PyMem_Calloc(4 * n + 4, sizeof(int))
    plan.branches = <Branch*> PyMem_Calloc(m + 1, sizeof(Branch))
    plan.partial = <bint*> PyMem_Calloc(n + 1, sizeof(bint))
    if plan.call_at is NULL or plan.branches is NULL or plan.partial is NULL:
        raise MemoryError
    plan.entry = plan.call_at + n
    plan.rank = plan.entry + n
    plan.branch_heads = plan.rank + n
    plan.asyncs = bytearray(n)
    plan.has_initialize = bytearray(n)
    plan.fresh = bytearray(n)
    plan.gathers = bytearray(n)
    plan.flushes = bytearray(n)
    plan.flushers = []
    plan.producers = []
    plan.output_ids = []
    sources = 0
    output_index = [-1] * n
    sinks = [graph.order[i] for i in range(n) if graph.heads[graph.order[i]] == graph.heads[graph.order[i] + 1]]
    for i in range(n):
        u = graph.order[i]
        plan.rank[u] = i
        node = nodes[u]
        plan.fresh[u] = type(node) in BUILTIN_TYPES and blueprint.factories[u] is type(node)
        if plan.fresh[u]:  # without params there is nothing to do but to reset what a new instance has
            plan.has_initialize[u] = bool(node.PARAMS) or bool(spec_list[u].params)
        else:
            plan.has_initialize[u] = getattr(type(node), "initialize", None) is not BASE_INITIALIZE or (
                "initialize" in getattr(node, "__dict__", ())
            )
        plan.has_many = plan.has_many or traits[u].many
        if traits[u].is_async:
            plan.is_async = True
            plan.asyncs[u] = async_bits(traits[u])
        if traits[u].produces:
            plan.producers.append(u)
        plan.flushes[u] = traits[u].flushes
        if traits[u].flushes or (traits[u].batches and traits[u].many):
            plan.flushers.append(u)
        sources += graph.in_heads[u] == graph.in_heads[u + 1]
    for u in sinks:
        output_index[u] = len(plan.output_ids) if len(sinks) > 1 else -1
        plan.output_ids.append(graph.ids[u])
    for i in range(n):
        u = graph.order[i]
        if spec_list[u].is_output_node and graph.heads[u] != graph.heads[u + 1]:
            output_index[u] = len(plan.output_ids)
            plan.output_ids.append(graph.ids[u])
    plan.one_source = sources == 1
    plan.one_sink = len(sinks) == 1

    layout.plan = plan
    layout.graph = graph
    layout.scopes = scopes
    layout.specs = spec_list
    layout.traits = traits
    layout.nodes = nodes
    layout.output_index = output_index
    layout.overlaps = {}
    set_batchings(plan, spec_list, nodes, traits)
    for u in range(n):
        if traits[u].batches and not traits[u].many:
            layout.overlaps[u] = Overlap(plan.batchings[u].size, False, 0, "block")
        elif may_overlap(spec_list[u], nodes[u]):
            into = connections_into(graph, blueprint.connections, u)
            overlap = overlap_of(spec_list[u], nodes[u], traits[u], into)
            if overlap is not None:
                layout.overlaps[u] = overlap
    if any([spec.timeout_ms is not None for spec in spec_list]):
        plan.limits = [limits_of(spec) for spec in spec_list]
    layout.link_scopes()
    layout.write()
    plan.spans = find_spans(plan, nodes)
    plan.parallelism = min(max([spec.parallelism for spec in spec_list]), MOST_THREADS)
    plan.whole_span = (
        plan.spans == [(1, plan.step_count - 3)] and plan.steps[plan.step_count - 2].op == EMIT
        and plan.one_source and plan.one_sink and len(plan.output_ids) == 1
    )
    plan.gather_count = layout.gathers
    plan.slot_count = m
    if layout.overlaps:
        set_overlap(plan, layout.overlaps, traits)
        plan.whole_batch = (
            plan.cut_count == 1 and plan.cuts[0].batch and plan.cuts[0].step == 1 and plan.steps[2].op == EMIT
            and n == 1 and len(plan.output_ids) == 1
        )
    plan.stride = max(1, STRIDE // plan.step_count)
    if any([isinstance(node, CFunction) for node in nodes]):  # nobody knows how long it takes
        plan.stride = min(plan.stride, C_STRIDE)
    return plan
