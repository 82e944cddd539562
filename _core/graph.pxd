# The checked graph of a manifest as flat C arrays. Immutable once made, so plans and threads share it freely.


cdef class PipelineGraph:
    cdef readonly tuple ids            # node ids in manifest order
    cdef dict index                    # id -> position in `ids`
    cdef readonly int node_count
    cdef readonly int connection_count
    cdef int* heads                    # [n + 1] where each node's successors begin in `tails`
    cdef int* tails                    # [m] successors; each node's in connection order
    cdef int* in_heads                 # [n + 1] where each node's predecessors begin in `in_tails`
    cdef int* in_tails                 # [m] predecessors; each node's in connection order
    cdef int* in_edges                 # [m] the connection behind each entry of `in_tails`
    cdef int* order                    # [n] positions in topological order

    cdef int allocate(self, Py_ssize_t n, Py_ssize_t m) except -1
    cdef bint has_repeated_pair(self) except -1
    cdef bint sort(self) except -1
    cdef int position(self, object node_id) except -1


cpdef PipelineGraph link(object nodes, object connections)
