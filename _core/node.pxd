# The C-level interface of nodes: cimport it to write a node at C speed.
#
#     from remotemedia._core.node cimport NativeNode
#
# Owner of every object here: the run that made it. None of this is thread-safe by itself; one run calls a node
# from one thread at a time (the registry's shared nodes are serialized by a lock).

#
# API_VERSION grows when an extension that was built before would break. It is compiled into what cimports it, so an
# extension that calls `check_api(API_VERSION)` when it is imported is refused by a package of another version.

cdef enum:
    API_VERSION = 1

cdef int check_api(int version) except -1


cdef class NodeInfo:
    cdef readonly str name
    cdef readonly str version
    cdef readonly object description  # str or None


cdef class NodeContext:
    cdef readonly str node_id
    cdef readonly str node_type
    cdef readonly dict params
    cdef readonly object session_id   # str or None
    cdef readonly object metadata     # a read-only mapping


cdef class Claims:
    cdef size_t* ids
    cdef Py_ssize_t count

    cdef int take_one(self, object node) except -1
    cdef void give_back(self) noexcept


cdef class NodeExecutor:
    # No fields and no virtual table, so that instances of Python subclasses are laid out as those of plain classes are.
    pass


cdef class NativeNode(NodeExecutor):
    cdef object __weakref__

    # The hot method. A Cython node overrides it in place of `process`; the engine calls it through the C virtual
    # table, the Python method `process` forwards to it. `item` is borrowed and never None. Returns a new reference;
    # None filters; NULL with an exception set fails.
    cdef object process_item(self, object item)
