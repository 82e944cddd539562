"""What a node is: `NodeExecutor`, `NativeNode`, and the two records they meet, `NodeContext` and `NodeInfo`."""

from types import MappingProxyType

from cpython.mem cimport PyMem_Free, PyMem_Realloc

from remotemedia.errors import in_use

cdef extern from *:
    """
    /* Makes instances of `type` and of its Python subclasses as `object` does, which gives them attributes that the
       interpreter caches: an access costs a few nanoseconds in place of 20 to 30. Cython's own tp_new leaves that out,
       and is needed only by types with fields. */
    #define REMOTEMEDIA_MAKE_AS_OBJECT(type) (((PyTypeObject *) (type))->tp_new = PyBaseObject_Type.tp_new)
    """
    void make_as_object "REMOTEMEDIA_MAKE_AS_OBJECT"(object cls)

cdef object NO_METADATA = MappingProxyType({})
cdef set CLAIMED = set()  # addresses of instances that a run holds, so none is used anew while it is in here


cdef int check_api(int version) except -1:
    """Raise an ImportError if an extension was built against another version of this interface."""
    if version != API_VERSION:
        raise ImportError(
            f"built against version {version} of the C-level interface of remotemedia, which here has {API_VERSION}; "
            "build the extension anew"
        )
    return 0


cdef class NodeInfo:
    """Who a node is.

    Parameters
    ----------
    name : str
        Name of the node; by default its class name.
    version : str
        Its version; by default ``"0.0.0"``.
    description : str, optional
        One line; by default the first line of the class docstring.
    """

    def __init__(self, name, version, description=None):
        self.name = name
        self.version = version
        self.description = description

    def __repr__(self):
        return f"NodeInfo(name={self.name!r}, version={self.version!r}, description={self.description!r})"

    def __eq__(self, other):
        if not isinstance(other, NodeInfo):
            return NotImplemented
        return (self.name, self.version, self.description) == (other.name, other.version, other.description)

    def __hash__(self):
        return hash((self.name, self.version, self.description))

    def __reduce__(self):
        return NodeInfo, (self.name, self.version, self.description)


cdef class NodeContext:
    """What a node learns at `initialize`.

    Parameters
    ----------
    node_id : str
        Id of the node in its manifest.
    node_type : str
        The registered type that it was made from.
    params : dict, optional
        The node's parameters; ``{}`` when absent.
    session_id : str, optional
        The caller's name for the run or session.
    metadata : mapping, optional
        The manifest's metadata; read-only.
    """

    def __init__(self, str node_id not None, str node_type="", params=None, session_id=None, metadata=None):
        self.node_id = node_id
        self.node_type = node_type
        self.params = {} if params is None else dict(params)
        self.session_id = session_id
        if metadata is None:
            self.metadata = NO_METADATA
        else:
            self.metadata = metadata if isinstance(metadata, MappingProxyType) else MappingProxyType(dict(metadata))

    def __repr__(self):
        return (
            f"NodeContext(node_id={self.node_id!r}, node_type={self.node_type!r}, params={self.params!r}, "
            f"session_id={self.session_id!r}, metadata={dict(self.metadata)!r})"
        )

    def __reduce__(self):
        return NodeContext, (self.node_id, self.node_type, self.params, self.session_id, dict(self.metadata))


cdef class NodeExecutor:
    """Base class of nodes: subclass it in Python, or `cimport` it in Cython.

    A node lives through ``initialize`` → ``process`` … → ``flush`` → ``cleanup``; only ``process`` must be written
    (``produce`` instead, for a source of its own).

    Examples
    --------
    >>> from remotemedia import NodeContext, NodeExecutor
    >>> class Scale(NodeExecutor):
    ...     def initialize(self, context):
    ...         self.factor = float(context.params["factor"])
    ...     def process(self, item):
    ...         return item * self.factor
    >>> node = Scale()
    >>> node.initialize(NodeContext("scale", "Scale", {"factor": 2}))
    >>> node.process(21.0)
    42.0
    """

    def process(self, item):
        """Turn one item into another.

        Parameters
        ----------
        item : object
            Never `None`, never a coroutine or a generator. Read-only: other branches get the same object.

        Returns
        -------
        object
            The item to hand on; `None` filters. A generator function emits 0..n items.
        """
        raise TypeError(f"{type(self).__name__} has no process method; define process(self, item)")

    def initialize(self, context):
        """Get ready; called once per run before any ``process``. ``context`` is a `NodeContext`."""

    def flush(self):
        """Return what is still held at the end of the input: `None`, or an iterable of items."""

    def cleanup(self):
        """Let go of everything; called once if ``initialize`` was called, even if that failed half-way."""

    def info(self):
        """Return the `NodeInfo` of this node."""
        cls = type(self)
        doc = (cls.__doc__ or "").strip().partition("\n")[0].strip()
        return NodeInfo(cls.__name__, "0.0.0", doc or None)


make_as_object(NodeExecutor)


cdef class NativeNode(NodeExecutor):
    """Base class of nodes at C speed: `cimport` it and override ``process_item`` (see ``node.pxd``)."""

    cdef object process_item(self, object item):
        raise TypeError(f"{type(self).__name__} has no process_item method; define cdef object process_item(self, item)")

    def process(self, item):
        """Call ``process_item``, as the engine does without this detour."""
        return self.process_item(item)


cdef class Claims:
    """The node instances of one run, which no other may have meanwhile (R13); given back with this object at the latest.

    In C, so that no interrupt comes between a claim and its record.
    """

    def __dealloc__(self):
        self.give_back()
        PyMem_Free(self.ids)

    def take(self, nodes, names):
        """Claim every one of `nodes`, or raise `SessionBusyError`; `names` say which node it is in the manifest."""
        cdef Py_ssize_t i
        for i in range(len(nodes)):
            if not self.take_one(nodes[i]):
                raise in_use(names[i])

    def release(self):
        """Give all of them back; more than once is legal."""
        self.give_back()

    cdef int take_one(self, object node) except -1:
        """Claim `node`; 0 if a run has it."""
        cdef size_t* grown
        key = <size_t> <void*> node
        if key in CLAIMED:
            return 0
        if self.count & (self.count - 1) == 0:  # full: there is room for a power of two
            grown = <size_t*> PyMem_Realloc(self.ids, max(2 * self.count, 1) * sizeof(size_t))
            if grown is NULL:
                raise MemoryError
            self.ids = grown
        CLAIMED.add(key)
        self.ids[self.count] = key
        self.count += 1
        return 1

    cdef void give_back(self) noexcept:
        while self.count > 0:
            self.count -= 1
            CLAIMED.discard(self.ids[self.count])
