"""The built-in nodes that keep running values of numbers, at C speed; twins in `remotemedia.reference.running`.

The twins do the same operations on doubles in the same order. The build forbids the compiler to contract ``a * b + c``
(setup.py), and a NaN is given as Python's, since its sign and payload would depend on the order of operands.
"""

from numbers import Real
from types import MappingProxyType

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact, PyFloat_FromDouble
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.number cimport PyNumber_Float
from libc.math cimport INFINITY, NAN, isfinite, isnan

from remotemedia._core.node cimport NativeNode, NodeContext
from remotemedia._core.params cimport check_names, param_error, refuse_item, size_param

from remotemedia.errors import bounded_repr

cdef object PYTHON_NAN = float("nan")


cdef double converted(object item) except? -1.0:
    if not PyLong_CheckExact(item) and (not isinstance(item, Real) or PyBool_Check(item)):
        refuse_item(item, "a real number")
    return PyFloat_AS_DOUBLE(PyNumber_Float(item))


cdef inline double as_real(object item) except? -1.0:
    return PyFloat_AS_DOUBLE(item) if PyFloat_CheckExact(item) else converted(item)


cdef inline object boxed(double x):
    return PYTHON_NAN if isnan(x) else PyFloat_FromDouble(x)


@cython.final
cdef class MovingAverage(NativeNode):
    """The mean, a float, of the last ``window`` numbers that came; of all, until so many have come.

    Sums are only added up, never subtracted from, so an error of rounding does not outlive its window, and a NaN, an
    infinity or a huge number is gone with the item that leaves. The numbers come in blocks of ``window``: a window is the end of
    one block and the beginning of the next, its sum the sum of both. Those of ends are made when a block is complete, in
    one pass, that of the beginning grows by each number: two additions an item, amortized. This is the algorithm of M. van Herk
    (Pattern Recognition Letters 13(7), 1992) and of J. Gil and M. Werman (IEEE TPAMI 15(5), 1993), with + for min.

    Takes real numbers, no bools; an integer that no float is large enough for fails. A window whose sum is beyond the largest
    float gives an infinity (or NaN), as in NumPy. What fails is not counted.
    """

    PARAMS = MappingProxyType({"window": "integer of at least 1; required"})

    cdef object process_item(self, object item):
        cdef double x = as_real(item)
        if self.at == self.capacity:
            self.grow()
        cdef double total = self.total + x if self.at else x  # 0.0 + -0.0 would be 0.0
        self.total = total
        self.held[self.at] = x
        self.at += 1
        if self.at == self.window:
            self.turn()
        elif self.full:
            total = self.held[self.at] + total
        else:
            return boxed(total / self.at)
        return boxed(total / self.window)

    cdef int grow(self) except -1:
        cdef Py_ssize_t capacity = min(max(2 * self.capacity, 16), self.window)
        held = <double*> PyMem_Realloc(self.held, capacity * sizeof(double))
        if held == NULL:
            raise MemoryError
        self.held = held
        self.capacity = capacity
        return 0

    cdef void turn(self) noexcept:
        """The block is complete: its numbers become the sums from each to its end."""
        cdef Py_ssize_t i
        for i in range(self.window - 2, -1, -1):
            self.held[i] = self.held[i] + self.held[i + 1]
        self.at = 0
        self.full = True

    def __cinit__(self):
        self.window = 1

    def __dealloc__(self):
        PyMem_Free(self.held)

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        self.window = size_param(context, "window")
        PyMem_Free(self.held)
        self.held = NULL
        self.capacity = 0
        self.at = 0
        self.full = False


@cython.final
cdef class RunningStats(NativeNode):
    """Give ``{"count", "mean", "variance", "min", "max"}`` of all numbers so far, a new dict for each.

    ``variance`` is the sum of squares divided by ``count - ddof``: 0.0 for one number and ``ddof`` 0, None where it is undefined,
    for one number and ``ddof`` 1. All but ``count`` are floats. By the algorithm of B. P. Welford (Technometrics 4(3), 1962),
    which loses nothing to a mean that is large beside the spread. The mean is kept in two floats, since steps of a distance
    divided by ``count`` soon are less than the last digit of one (D. E. Knuth, The Art of Computer Programming 2, 4.2.2).

    Takes real numbers, no bools; an integer that no float is large enough for fails, and what fails is not counted. From a NaN
    on, everything but ``count`` is NaN. From an infinity on ``mean`` is that infinity (NaN after both), ``variance`` is
    NaN. A variance beyond the largest float is infinite from then on; the mean of finite numbers stays finite.
    """

    PARAMS = MappingProxyType({"ddof": "0 (default) or 1: what is subtracted from the count that variance divides by"})

    cdef object process_item(self, object item):
        self.add(as_real(item))
        return {
            "count": self.count,
            "mean": boxed(self.mean + self.low),
            "variance": boxed(self.squares / (self.count - self.ddof)) if self.count > self.ddof else None,
            "min": boxed(self.least),
            "max": boxed(self.most),
        }

    cdef void add(self, double x) noexcept:
        self.count += 1
        if self.count == 1:
            self.mean = self.least = self.most = x
            self.low = 0.0
            self.squares = 0.0 if isfinite(x) else NAN
            return
        if x < self.least or isnan(x):
            self.least = x
        if x > self.most or isnan(x):
            self.most = x
        cdef double n = self.count
        cdef double delta = x - self.mean - self.low
        if isfinite(delta):
            self.shift(delta / n)
            self.squares += delta * (x - self.mean - self.low)
        elif isfinite(x) and isfinite(self.mean):  # so far from each other that their distance is no float
            self.mean += x / n - self.mean / n
            self.squares = INFINITY
        else:
            self.mean += x
            self.squares = NAN

    cdef void shift(self, double step) noexcept:
        """Add to the mean, and what the sum is rounded by to `low` (Knuth's TwoSum)."""
        cdef double mean = self.mean + step
        cdef double added = mean - self.mean
        self.low += (self.mean - (mean - added)) + (step - added)
        self.mean = mean

    def initialize(self, NodeContext context not None):
        check_names(context, self.PARAMS)
        ddof = context.params.get("ddof")
        if ddof is None:
            ddof = 0
        if not isinstance(ddof, int) or PyBool_Check(ddof) or not 0 <= ddof <= 1:
            raise param_error(context, "ddof", f"must be 0 or 1, not {bounded_repr(ddof)}")
        self.ddof = ddof
        self.count = 0
