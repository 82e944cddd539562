"""The built-in nodes that compute with numbers, or choose by them, at C speed. Most have a lane, see `lanes`.

A bool is not a number here, and what is none fails with TypeError.
"""

from collections.abc import Mapping
from types import MappingProxyType

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact, PyFloat_FromDouble
from cpython.number cimport (
    PyNumber_Absolute, PyNumber_Add, PyNumber_Multiply, PyNumber_Power, PyNumber_Remainder, PyNumber_Subtract,
    PyNumber_TrueDivide,
)
from libc.math cimport fabs, rint

from remotemedia._core.node cimport NativeNode, NodeContext
from remotemedia._core.params cimport (
    check_names, choice_param, is_number, is_operand, number_param, param_error, refuse_item, text_param,
)

from remotemedia.errors import bounded_repr

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
cdef class Abs(NativeNode):
    """The absolute value of every item, a number or an array of numbers."""

    PARAMS = MappingProxyType({})

    cdef object process_item(self, object item):
        if PyFloat_CheckExact(item):
            return PyFloat_FromDouble(fabs(PyFloat_AS_DOUBLE(item)))
        if not is_operand(item):
            refuse_item(item, "a number")
        return PyNumber_Absolute(item)

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)


@cython.final
cdef class Clamp(NativeNode):
    """Limit every item to ``min`` and ``max``; a float stays a float, and NaN what it is."""

    PARAMS = MappingProxyType({
        "min": "number; default: no limit",
        "max": "number of at least min; default: no limit",
    })

    cdef object process_item(self, object item):
        if not is_number(item):
            refuse_item(item, "a number")
        if self.least is not None and item < self.least:
            return float(self.least) if isinstance(item, float) else self.least
        if self.most is not None and item > self.most:
            return float(self.most) if isinstance(item, float) else self.most
        return item

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.least = number_param(context, "min") if context.params.get("min") is not None else None
        self.most = number_param(context, "max") if context.params.get("max") is not None else None
        if self.least is not None and self.most is not None and not self.least <= self.most:
            raise param_error(context, "max", f"must be at least min, {bounded_repr(self.least)}, not {bounded_repr(self.most)}")


@cython.final
cdef class Round(NativeNode):
    """Round every item to ``digits`` decimals, a half to the even side, as Python does; a float stays a float."""

    PARAMS = MappingProxyType({"digits": "integer from -300 to 300; default 0"})

    cdef object process_item(self, object item):
        if PyFloat_CheckExact(item) and self.digits == 0:
            return PyFloat_FromDouble(rint(PyFloat_AS_DOUBLE(item)))
        if not is_number(item):
            refuse_item(item, "a number")
        return round(item, self.digits)

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        digits = context.params.get("digits")
        if digits is None:
            digits = 0
        if not isinstance(digits, int) or PyBool_Check(digits) or not -300 <= digits <= 300:
            raise param_error(context, "digits", f"must be an integer from -300 to 300, not {bounded_repr(digits)}")
        self.digits = digits


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
