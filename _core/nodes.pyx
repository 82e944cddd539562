"""The built-in nodes at C speed; `remotemedia.reference.nodes` has the same in plain Python.

A bool is not a number here, and what is none fails with TypeError. Params are checked at `initialize`: a
missing, wrong or unknown one is a ValueError that names node and param.
"""

import logging
from collections import deque
from collections.abc import Mapping
from numbers import Number
from types import MappingProxyType

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact, PyFloat_FromDouble
from cpython.number cimport (
    PyNumber_Add, PyNumber_Multiply, PyNumber_Power, PyNumber_Remainder, PyNumber_Subtract, PyNumber_TrueDivide,
)
from cpython.long cimport PyLong_CheckExact, PyLong_FromLongLong

from remotemedia._core.node cimport NativeNode, NodeContext

from remotemedia.errors import bounded_repr
from remotemedia.items import is_array

cdef object logger = logging.getLogger("remotemedia")
cdef dict ECHO_TEMPLATE = {"input": None, "counter": None, "node": "Echo"}
cdef str INPUT = "input"
cdef str COUNTER = "counter"


# --- numbers and params (cold, but for is_number) -------------------------------------------------------------------

cdef inline bint is_number(object value) except -1:
    if PyFloat_CheckExact(value) or PyLong_CheckExact(value):
        return True
    return isinstance(value, Number) and not PyBool_Check(value)


cdef bint is_operand(object value) except -1:
    """A number, or a NumPy array of numbers: what arithmetic takes."""
    return is_number(value) or (is_array(value) and value.dtype.kind in "iufc")


cdef int refuse_item(object item, str wanted) except -1:
    raise TypeError(f"takes {wanted}, not {type(item).__name__}")


cdef object param_error(NodeContext context, str name, str problem):
    where = f"node {bounded_repr(context.node_id)} ({context.node_type})"
    return ValueError(f"{where}: param {bounded_repr(name)} {problem}")


cdef int check_names(NodeContext context, object known) except -1:
    for name in context.params:
        if name not in known:
            from remotemedia.bounded import close_matches
            close = close_matches(str(name), known)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'none'}"
            raise param_error(context, str(name), f"is unknown; {hint}")
    return 0


cdef object required(NodeContext context, str name):
    try:
        return context.params[name]
    except KeyError:
        raise param_error(context, name, "is missing") from None


cdef object number_param(NodeContext context, str name):
    value = required(context, name)
    if not is_number(value):
        raise param_error(context, name, f"must be a number, not {bounded_repr(value)}")
    return value


cdef Py_ssize_t size_param(NodeContext context) except -1:
    value = required(context, "size")
    if not isinstance(value, int) or PyBool_Check(value) or value < 1:
        raise param_error(context, "size", f"must be an integer of at least 1, not {bounded_repr(value)}")
    return min(value, 2 ** 62)  # more than memory holds


cdef str text_param(NodeContext context, str name):
    value = required(context, name)
    if not isinstance(value, str):
        raise param_error(context, name, f"must be a string, not {bounded_repr(value)}")
    return str(value)


cdef int choice_param(NodeContext context, str name, dict choices) except -1:
    value = required(context, name)
    if not isinstance(value, str) or value not in choices:
        raise param_error(context, name, f"must be one of {', '.join(choices)}, not {bounded_repr(value)}")
    return choices[value]


# --- nodes ----------------------------------------------------------------------------------------------------------

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


cdef dict OPERATIONS = {
    "add": ADD, "subtract": SUBTRACT, "multiply": MULTIPLY, "divide": DIVIDE, "modulo": MODULO, "power": POWER,
}


cdef class Arithmetic(NativeNode):
    """``item <operation> operand`` for numbers and arrays of numbers; the leaves read their params."""

    cdef object process_item(self, object item):
        cdef double x, y
        if PyFloat_CheckExact(item) and PyFloat_CheckExact(self.operand):
            x = PyFloat_AS_DOUBLE(item)
            y = PyFloat_AS_DOUBLE(self.operand)
            if self.operation == ADD:
                return PyFloat_FromDouble(x + y)
            if self.operation == MULTIPLY:
                return PyFloat_FromDouble(x * y)
            if self.operation == SUBTRACT:
                return PyFloat_FromDouble(x - y)
        elif not is_operand(item):
            refuse_item(item, "a number")
        # the C functions, since Cython's own shortcut for an int operand loses the sign of 0.0 * -1
        if self.operation == ADD:
            return PyNumber_Add(item, self.operand)
        if self.operation == SUBTRACT:
            return PyNumber_Subtract(item, self.operand)
        if self.operation == MULTIPLY:
            return PyNumber_Multiply(item, self.operand)
        if self.operation == DIVIDE:
            if self.operand == 0:  # NumPy would give infinity
                raise ZeroDivisionError("division by zero")
            return PyNumber_TrueDivide(item, self.operand)
        if self.operation == MODULO:
            if self.operand == 0:
                raise ZeroDivisionError("modulo by zero")
            return PyNumber_Remainder(item, self.operand)
        return PyNumber_Power(item, self.operand, None)


@cython.final
cdef class Multiply(Arithmetic):
    """Multiply every item by ``multiplier``."""

    PARAMS = MappingProxyType({"multiplier": "number; required"})

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.operation = MULTIPLY
        self.operand = number_param(context, "multiplier")


@cython.final
cdef class Add(Arithmetic):
    """Add ``operand`` to every item."""

    PARAMS = MappingProxyType({"operand": "number; required"})

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.operation = ADD
        self.operand = number_param(context, "operand")


@cython.final
cdef class Calculator(Arithmetic):
    """Compute ``item <operation> operand``; division by zero is an error."""

    PARAMS = MappingProxyType({
        "operation": "add (default), subtract, multiply, divide, modulo or power",
        "operand": "number; required",
    })

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.operation = ADD
        if "operation" in context.params:
            self.operation = <Operation> choice_param(context, "operation", OPERATIONS)
        self.operand = number_param(context, "operand")


@cython.final
cdef class Threshold(NativeNode):
    """Keep what is at least ``threshold``: the item, or its value at ``key`` (0.0 where the key is missing)."""

    PARAMS = MappingProxyType({
        "threshold": "number; required",
        "key": "key of the value to compare, in items that are mappings; default: the item itself",
    })

    cdef object process_item(self, object item):
        value = item
        if self.key is not None:
            if not isinstance(item, (dict, Mapping)):
                refuse_item(item, "a mapping (it has a key)")
            value = item.get(self.key, 0.0)
        if not is_number(value):
            refuse_item(value, "a number")
        return item if value >= self.threshold else None

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.threshold = number_param(context, "threshold")
        self.key = text_param(context, "key") if context.params.get("key") is not None else None


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
        self.size = size_param(context)
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
        self.size = size_param(context)
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
    "Threshold": Threshold,
    "Filter": Filter,
    "Batcher": Batcher,
    "Expander": Expander,
    "Counter": Counter,
    "Buffer": Buffer,
})
