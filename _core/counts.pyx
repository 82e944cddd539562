"""The counts of R14: numbers while a run goes on, a plain dict when someone looks. Owned by a run or a result."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free

from remotemedia._core.graph cimport PipelineGraph
from remotemedia._core.plan cimport Plan


cdef Counts make_counts(Plan plan):
    """Return counts of zero for runs of `plan`."""
    cdef Counts counts = Counts.__new__(Counts)
    cdef Py_ssize_t size = <Py_ssize_t> COLUMNS * plan.graph.node_count
    counts.nodes = <int64_t*> PyMem_Calloc(size + 2 * plan.graph.connection_count, sizeof(int64_t))
    if counts.nodes is NULL:
        raise MemoryError
    counts.edges = counts.nodes + size
    counts.lost = counts.edges + plan.graph.connection_count
    counts.plan = plan
    return counts


cdef class Counts:
    """The counts of a run (R14) as numbers; `to_dict` gives them as the contract words them."""

    def __init__(self):
        raise TypeError("counts are made by a run")

    def __dealloc__(self):
        PyMem_Free(self.nodes)

    cdef int subtract(self, Counts before) except -1:
        cdef Py_ssize_t i
        for i in range(<Py_ssize_t> COLUMNS * self.plan.graph.node_count + 2 * self.plan.graph.connection_count):
            self.nodes[i] -= before.nodes[i]
        self.items_in -= before.items_in
        self.refused -= before.refused
        self.duration_ns -= before.duration_ns
        if self.attempts is not None and before.attempts is not None:
            self.attempts = {u: count - before.attempts[u] for u, count in self.attempts.items()}
        return 0

    def to_dict(self):
        """Return ``{"nodes", "connections", "items_in", "refused", "duration_ns"}`` as a plain dict that is the caller's."""
        cdef PipelineGraph graph = self.plan.graph
        cdef int u, v, k
        cdef int64_t* row
        cdef int64_t came, taken, lost
        cdef dict nodes = {}
        cdef list connections = [None] * graph.connection_count
        cdef list times = None if self.timings is None else self.timings.to_list()
        for u in range(graph.node_count):
            row = self.nodes + <Py_ssize_t> COLUMNS * u
            nodes[graph.ids[u]] = counts = {
                "in": row[0] + row[1] + row[2], "passed": row[0], "filtered": row[1], "failed": row[2],
                "out": row[3], "flushed": row[4],
            }
            if self.attempts is not None and u in self.attempts:
                counts["attempts"] = self.attempts[u]
            if times is not None:
                counts["time_ns"], counts["processing"] = times[u]
        for (v, waiting, running), (_, wait) in zip(self.queues or (), self.waits.to_list() if self.queues else ()):
            nodes[graph.ids[v]]["queue"] = {"depth": waiting, "in_flight": running, "waiting": wait}
        for v in range(graph.node_count):
            row = self.nodes + <Py_ssize_t> COLUMNS * v
            came = row[0] + row[1] + row[2]
            for k in range(graph.in_heads[v], graph.in_heads[v + 1]):
                taken = self.edges[graph.in_edges[k]] if self.plan.gathers[v] else came
                lost = self.lost[graph.in_edges[k]]
                connections[graph.in_edges[k]] = (
                    f"{graph.ids[graph.in_tails[k]]}->{graph.ids[v]}",
                    {"sent": taken + lost, "delivered": taken, "dropped": lost},
                )
        return {
            "nodes": nodes,
            "connections": dict(connections),
            "items_in": self.items_in,
            "refused": self.refused,
            "duration_ns": self.duration_ns,
        }
