"""The built-in nodes at C speed, those for numbers are in `numeric` and `running`; `remotemedia.reference.nodes` has the same in Python.

What a node does not take fails with TypeError. Params are checked at `initialize`: a missing, wrong or unknown one is a
ValueError that names node and param.
"""

import logging
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.long cimport PyLong_FromLongLong

from remotemedia._core.node cimport NativeNode, NodeContext
from remotemedia._core.params cimport check_names, choice_param, param_error, refuse_item, required, size_param, text_param

from remotemedia._core.numeric import Abs, Add, Calculator, Clamp, Multiply, Round, Threshold
from remotemedia._core.running import MovingAverage, RunningStats
from remotemedia.errors import bounded_repr

cdef object logger = logging.getLogger("remotemedia")
cdef dict ECHO_TEMPLATE = {"input": None, "counter": None, "node": "Echo"}
cdef str INPUT = "input"
cdef str COUNTER = "counter"


@cython.final
cdef class PassThrough(NativeNode):
    """Hand every item on as it is.

    Params are ignored: it can stand in for any node.
    """

    PARAMS = MappingProxyType({})

    cdef object process_item(self, object item):
        return item


@cython.final
cdef class Echo(NativeNode):
    """Wrap every item into ``{"input": item, "counter": n, "node": "Echo"}``; n counts from 1."""

    PARAMS = MappingProxyType({})

    cdef object process_item(self, object item):
        # copying a template and setting two keys beats building the dict anew by a tenth
        self.counter += 1
        echoed = PyDict_Copy(ECHO_TEMPLATE)
        PyDict_SetItem(echoed, INPUT, item)
        PyDict_SetItem(echoed, COUNTER, PyLong_FromLongLong(self.counter))
        return echoed

    def initialize(self, NodeContext context not None):
        self.counter = 0

    def cleanup(self):
        logger.debug("Echo saw %d items", self.counter)


@cython.final
cdef class Counter(NativeNode):
    """Hand every item on and count it; ``count`` is readable."""

    PARAMS = MappingProxyType({})

    cdef object process_item(self, object item):
        self.count += 1
        return item

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.count = 0


cdef dict COMPARISONS = {
    "==": EQUAL, "!=": UNEQUAL, "<": LESS, "<=": LESS_EQUAL, ">": GREATER, ">=": GREATER_EQUAL, "in": CONTAINED,
}


cdef bint is_equal(object left, object right) except -1:
    """``left == right``, but a bool equals only a bool (JSON's ``true`` is not 1)."""
    return PyBool_Check(left) == PyBool_Check(right) and left == right


@cython.final
cdef class Filter(NativeNode):
    """Keep items whose value at ``key`` compares with ``value``; a missing key drops."""

    PARAMS = MappingProxyType({
        "key": "key of the value to compare; required",
        "op": "==, !=, <, <=, >, >= or in; required",
        "value": "what to compare with; a list, string or object for 'in'; required",
    })

    cdef object process_item(self, object item):
        if not isinstance(item, (dict, Mapping)):
            refuse_item(item, "a mapping")
        if self.key not in item:
            return None
        return item if self.accepts(item[self.key]) else None

    cdef bint accepts(self, object found) except -1:
        cdef Comparison op = self.comparison
        if op == EQUAL:
            return is_equal(found, self.value)
        if op == UNEQUAL:
            return not is_equal(found, self.value)
        if op == CONTAINED:
            if isinstance(self.value, str):
                return found in self.value
            for member in self.value:
                if is_equal(found, member):
                    return True
            return False
        if PyBool_Check(found) != PyBool_Check(self.value):
            raise TypeError(f"no order between {type(found).__name__} and {type(self.value).__name__}")
        if op == LESS:
            return found < self.value
        if op == LESS_EQUAL:
            return found <= self.value
        if op == GREATER:
            return found > self.value
        return found >= self.value

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.key = text_param(context, "key")
        self.comparison = <Comparison> choice_param(context, "op", COMPARISONS)
        self.value = required(context, "value")
        if self.comparison == CONTAINED and not isinstance(self.value, (list, tuple, str, Mapping)):
            raise param_error(context, "value", f"must be a list, a string or an object for 'in', not {bounded_repr(self.value)}")


@cython.final
cdef class Batcher(NativeNode):
    """Gather items into lists of ``size``; the last, shorter one comes at the flush."""

    PARAMS = MappingProxyType({"size": "integer of at least 1; required"})

    cdef object process_item(self, object item):
        self.held.append(item)
        if len(self.held) < self.size:
            return None
        batch = self.held
        self.held = []
        return batch

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.size = size_param(context, "size")
        self.held = []

    def flush(self):
        if not self.held:
            return None
        batch = self.held
        self.held = []
        return [batch]


@cython.final
cdef class Expander(NativeNode):
    """Hand on each element of a list or tuple."""

    PARAMS = MappingProxyType({})
    emits = "many"

    cdef object process_item(self, object item):
        if not isinstance(item, (list, tuple)):
            refuse_item(item, "a list or a tuple")
        return item

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)


@cython.final
cdef class Buffer(NativeNode):
    """A delay line: hold the last ``size`` items, hand on the oldest, and the rest at the flush."""

    PARAMS = MappingProxyType({"size": "integer of at least 1; required"})

    cdef object process_item(self, object item):
        self.held.append(item)
        return self.held.popleft() if len(self.held) > self.size else None

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.size = size_param(context, "size")
        self.held = deque()

    def flush(self):
        while self.held:
            yield self.held.popleft()


BUILTINS = MappingProxyType({
    "PassThrough": PassThrough,
    "PassThroughNode": PassThrough,
    "Echo": Echo,
    "Multiply": Multiply,
    "Add": Add,
    "Calculator": Calculator,
    "Abs": Abs,
    "Clamp": Clamp,
    "Round": Round,
    "MovingAverage": MovingAverage,
    "RunningStats": RunningStats,
    "Threshold": Threshold,
    "Filter": Filter,
    "Batcher": Batcher,
    "Expander": Expander,
    "Counter": Counter,
    "Buffer": Buffer,
})
