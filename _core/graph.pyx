"""Nodes and connections become a graph in topological order (Kahn 1962), ties in manifest order.

`link` is the fast way for a manifest that has no fault: linear, no recursion, and it answers `None` at the first
fault; who wants the faults by name walks the manifest again in plain Python (`remotemedia.manifest`).
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t
from libc.string cimport memset

from remotemedia.errors import RegistryError, bounded_repr

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define REMOTEMEDIA_CTZ(x) __builtin_ctzll(x)
    #else
    static int REMOTEMEDIA_CTZ(unsigned long long x) { int n = 0; while (!(x & 1)) { x >>= 1; n++; } return n; }
    #endif
    """
    int lowest_bit "REMOTEMEDIA_CTZ"(uint64_t word) noexcept nogil


cdef struct ReadySet:
    # The set of ready nodes, smallest first: a bitmap, and above each 64 words a summary word. Adding and taking
    # the smallest touch one word a level (3 levels for 100 000 nodes), so sorting stays linear where a heap would not.
    int levels
    uint64_t* words[6]


cdef inline void ready_add(ReadySet* ready, int position) noexcept nogil:
    cdef int level
    for level in range(ready.levels):
        ready.words[level][position >> 6] |= (<uint64_t> 1) << (position & 63)
        position >>= 6


cdef inline int ready_take(ReadySet* ready) noexcept nogil:
    """Remove and return the smallest member; -1 if there is none."""
    cdef int level = ready.levels - 1
    cdef int position = 0
    cdef int taken
    if ready.words[level][0] == 0:
        return -1
    while level >= 0:
        position = (position << 6) + lowest_bit(ready.words[level][position])
        level -= 1
    taken = position
    for level in range(ready.levels):
        ready.words[level][position >> 6] &= ~((<uint64_t> 1) << (position & 63))
        if ready.words[level][position >> 6]:
            break
        position >>= 6
    return taken


cdef inline bint is_node_id(str text) noexcept:
    """Whether `text` matches ``^[A-Za-z0-9_-]+$``."""
    cdef Py_UCS4 ch
    for ch in text:
        if not (u'a' <= ch <= u'z' or u'A' <= ch <= u'Z' or u'0' <= ch <= u'9' or ch == u'_' or ch == u'-'):
            return False
    return len(text) > 0


cdef class PipelineGraph:
    """The graph of a manifest: who feeds whom, and in which order nodes run.

    Made by `PipelineGraph.from_manifest`.
    """

    def __init__(self):
        raise TypeError("PipelineGraph is made by PipelineGraph.from_manifest(manifest)")

    def __dealloc__(self):
        PyMem_Free(self.heads)  # one block holds every array

    cdef int allocate(self, Py_ssize_t n, Py_ssize_t m) except -1:
        cdef int* block = <int*> PyMem_Calloc(3 * n + 2 + 3 * m + 1, sizeof(int))
        if block is NULL:
            raise MemoryError
        self.node_count = <int> n
        self.connection_count = <int> m
        self.heads = block
        self.in_heads = block + n + 1
        self.order = block + 2 * n + 2
        self.tails = self.order + n
        self.in_tails = self.tails + m
        self.in_edges = self.in_tails + m
        return 0

    cdef bint has_repeated_pair(self) except -1:
        cdef int n = self.node_count
        cdef int u, k
        cdef bint found = False
        cdef int* last_source = <int*> PyMem_Calloc(n + 1, sizeof(int))
        if last_source is NULL:
            raise MemoryError
        for u in range(n):
            for k in range(self.heads[u], self.heads[u + 1]):
                if last_source[self.tails[k]] == u + 1:
                    found = True
                last_source[self.tails[k]] = u + 1
        PyMem_Free(last_source)
        return found

    cdef bint sort(self) except -1:
        """Fill `order`; False if there is a cycle."""
        cdef int n = self.node_count
        cdef int u, k, width, level
        cdef int done = 0
        cdef bint forward = True
        cdef ReadySet ready
        cdef int* missing
        cdef uint64_t* block
        for u in range(n):
            self.order[u] = u
            for k in range(self.heads[u], self.heads[u + 1]):
                forward &= self.tails[k] > u
        if forward:  # manifest order is a topological order, hence the first one among them
            return True

        width = (n >> 6) + 1
        missing = <int*> PyMem_Malloc((n + 1) * sizeof(int))
        block = <uint64_t*> PyMem_Calloc(width + (width >> 5) + 12, sizeof(uint64_t))
        if missing is NULL or block is NULL:
            PyMem_Free(missing)
            PyMem_Free(block)
            raise MemoryError
        ready.levels = 0
        level = 0
        while True:
            ready.words[ready.levels] = block + level
            ready.levels += 1
            level += width
            if width == 1:
                break
            width = ((width - 1) >> 6) + 1
        for u in range(n):
            missing[u] = self.in_heads[u + 1] - self.in_heads[u]
            if missing[u] == 0:
                ready_add(&ready, u)
        while True:
            u = ready_take(&ready)
            if u < 0:
                break
            self.order[done] = u
            done += 1
            for k in range(self.heads[u], self.heads[u + 1]):
                missing[self.tails[k]] -= 1
                if missing[self.tails[k]] == 0:
                    ready_add(&ready, self.tails[k])
        PyMem_Free(missing)
        PyMem_Free(block)
        return done == n

    cdef int position(self, object node_id) except -1:
        found = self.index.get(node_id)
        if found is None:
            raise RegistryError(f"the graph has no node {bounded_repr(node_id)}")
        return found

    @staticmethod
    def from_manifest(manifest):
        """Return the graph of a manifest.

        Parameters
        ----------
        manifest : Manifest

        Returns
        -------
        PipelineGraph

        Raises
        ------
        ManifestError
            Naming every fault, if the manifest was built by hand and has any.
        TypeError
            If it is something else, a dict or a text too: `Manifest.coerce` makes a manifest of these.
        """
        graph = getattr(manifest, "graph", None)
        if not isinstance(graph, PipelineGraph):
            raise TypeError(
                f"PipelineGraph.from_manifest takes a Manifest, not {type(manifest).__name__}; "
                "pass Manifest.coerce(...) of a dict, JSON text or pathlib.Path"
            )
        return graph

    @property
    def execution_order(self):
        """Node ids in topological order; where several are ready, in manifest order."""
        return [self.ids[self.order[i]] for i in range(self.node_count)]

    @property
    def sources(self):
        """Ids of the nodes without predecessors, in topological order."""
        return [self.ids[self.order[i]] for i in range(self.node_count)
                if self.in_heads[self.order[i]] == self.in_heads[self.order[i] + 1]]

    @property
    def sinks(self):
        """Ids of the nodes without successors, in topological order."""
        return [self.ids[self.order[i]] for i in range(self.node_count)
                if self.heads[self.order[i]] == self.heads[self.order[i] + 1]]

    def successors(self, node_id):
        """Return the ids that `node_id` feeds, in the order of the connections."""
        cdef int u = self.position(node_id)
        return [self.ids[self.tails[k]] for k in range(self.heads[u], self.heads[u + 1])]

    def predecessors(self, node_id):
        """Return the ids that feed `node_id`, in the order of the connections."""
        cdef int u = self.position(node_id)
        return [self.ids[self.in_tails[k]] for k in range(self.in_heads[u], self.in_heads[u + 1])]

    def to_dict(self):
        """Return ``graph_info`` of a result."""
        return {
            "node_count": self.node_count,
            "connection_count": self.connection_count,
            "sources": self.sources,
            "sinks": self.sinks,
            "execution_order": self.execution_order,
        }

    def __len__(self):
        return self.node_count

    def __contains__(self, node_id):
        return node_id in self.index

    def __repr__(self):
        return f"<PipelineGraph: {self.node_count} nodes, {self.connection_count} connections>"


cpdef PipelineGraph link(object nodes, object connections):
    """Return the graph of `nodes` (each with ``.id``) and `connections` (``.from_``, ``.to``); None if it has a fault.

    Faults: no node, a bad or repeated id, an unknown id, a self-loop, a pair given twice, a cycle.
    """
    cdef Py_ssize_t n = len(nodes)
    cdef Py_ssize_t m = len(connections)
    cdef PipelineGraph graph = PipelineGraph.__new__(PipelineGraph)
    cdef int u, v, k
    cdef int* edges
    cdef int* cursor
    cdef dict index = {}
    cdef list ids = []
    cdef str node_id
    if n == 0:
        return None
    for node in nodes:
        node_id = node.id
        if not is_node_id(node_id):
            return None
        index[node_id] = len(ids)
        ids.append(node_id)
    if len(index) != n:
        return None
    graph.allocate(n, m)
    graph.ids = tuple(ids)
    graph.index = index

    edges = <int*> PyMem_Malloc((2 * m + n + 1) * sizeof(int))
    if edges is NULL:
        raise MemoryError
    cursor = edges + 2 * m
    try:
        k = 0
        for connection in connections:
            source = index.get(connection.from_)
            target = index.get(connection.to)
            if source is None or target is None:
                return None
            u = source
            v = target
            if u == v:
                return None
            edges[2 * k] = u
            edges[2 * k + 1] = v
            graph.heads[u + 1] += 1
            graph.in_heads[v + 1] += 1
            k += 1
        for u in range(<int> n):
            graph.heads[u + 1] += graph.heads[u]
            graph.in_heads[u + 1] += graph.in_heads[u]
        memset(cursor, 0, n * sizeof(int))
        for k in range(<int> m):
            u = edges[2 * k]
            graph.tails[graph.heads[u] + cursor[u]] = edges[2 * k + 1]
            cursor[u] += 1
        memset(cursor, 0, n * sizeof(int))
        for k in range(<int> m):
            v = edges[2 * k + 1]
            graph.in_tails[graph.in_heads[v] + cursor[v]] = edges[2 * k]
            graph.in_edges[graph.in_heads[v] + cursor[v]] = k
            cursor[v] += 1
    finally:
        PyMem_Free(edges)
    if graph.has_repeated_pair() or not graph.sort():
        return None
    return graph
