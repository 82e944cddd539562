"""C functions and functions over arrays as nodes: the same in both engines and every mode, else refused."""

import ctypes
import ctypes.util
import math
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Driver, plain

import remotemedia as rm

DOUBLE, INT, POINTER = ctypes.c_double, ctypes.c_int, ctypes.POINTER(ctypes.c_double)
MAP = ctypes.CFUNCTYPE(DOUBLE, DOUBLE)
MAP_WITH = ctypes.CFUNCTYPE(DOUBLE, DOUBLE, ctypes.c_void_p)
SELECT = ctypes.CFUNCTYPE(INT, DOUBLE, POINTER)
SELECT_WITH = ctypes.CFUNCTYPE(INT, DOUBLE, POINTER, ctypes.c_void_p)


@MAP
def halve(x):
    return x / 2


@SELECT
def positive(x, out):
    if x != x:
        return -3
    out[0] = x + 1
    return 1 if x > 0 else 0


@SELECT_WITH
def above(x, out, data):
    out[0] = x
    return int(x > ctypes.cast(data, POINTER)[0])


@MAP_WITH
def scaled(x, data):
    return x * ctypes.cast(data, POINTER)[0]


def libm(name):
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.restype, function.argtypes = DOUBLE, [DOUBLE]
    return function


def run(driver, cls, items, *kinds, **options):
    driver.registry.register(cls, replace=True)
    nodes = [{"id": f"n{i}", "node_type": kind} | keys for i, (kind, keys) in enumerate(kinds or [(cls.node_type, {})])]
    return driver.run(plain(nodes, [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)]), items, **options)


TWICE = ("Multiply", {"params": {"multiplier": 2.0}})


def test_it_maps_numbers_to_floats(driver):
    outcome = run(driver, rm.c_function(halve, "Halve"), [1.0, 3, True, np.float32(0.5), -0.0])
    assert outcome.results == [0.5, 1.5, 0.5, 0.25, -0.0]
    assert {type(item) for item in outcome.results} == {float}


@given(st.lists(st.one_of(st.floats(), st.integers(-(2**60), 2**60))))
def test_in_a_lane_it_gives_what_it_gives_alone(items):
    """R45: between built-ins, over lists; `items` that are no floats leave the lane."""
    expected = [math.tanh(float(item * 2.0)) - 1.0 for item in items]
    less = ("Calculator", {"params": {"operation": "subtract", "operand": 1.0}})
    for engine in ("cython", "reference"):
        outcome = run(Driver(engine), rm.c_function(libm("tanh")), items, TWICE, ("tanh", {}), less)
        found = [struct.pack("d", x) for x in outcome.results if not math.isnan(x)]
        assert found == [struct.pack("d", x) for x in expected if not math.isnan(x)]
        assert len(outcome.results) == len(items)


def test_arrays_go_through_in_blocks(engine):
    array = np.random.default_rng(3).standard_normal(10_000)
    half = ("Threshold", {"params": {"threshold": 0.0}})
    outcome = run(Driver(engine), rm.c_function(libm("tanh")), array, TWICE, half, ("tanh", {}))
    expected = [math.tanh(x * 2.0) for x in array.tolist() if x * 2.0 >= 0.0]
    assert outcome.result.array.tolist() == expected
    if engine == "cython":
        assert outcome.result.indices.tolist() == np.flatnonzero(array >= 0).tolist()
    assert outcome.counts("n2")["in"] == len(expected)


def test_a_python_callback_takes_the_gil_by_itself_where_arrays_go_through(engine):
    outcome = run(Driver(engine), rm.c_function(halve, "Halve"), np.arange(5000.0))
    assert outcome.result.array.tolist() == [i / 2 for i in range(5000)]


def test_user_data(driver):
    factor = DOUBLE(3.0)
    assert run(driver, rm.c_function(scaled, "Scaled", user_data=factor), [1.0, 2]).results == [3.0, 6.0]
    assert run(driver, rm.c_function(scaled, "Scaled", user_data=ctypes.pointer(factor)), [1.0]).results == [3.0]
    assert run(driver, rm.c_function(scaled, "Scaled", user_data=ctypes.addressof(factor)), [2.0]).results == [6.0]
    assert run(driver, rm.c_function(above, "Above", user_data=factor), [1.0, 5.0]).results == [5.0]


def test_user_data_is_kept_alive(engine):
    cls = rm.c_function(scaled, "Scaled", user_data=(DOUBLE * 1)(7.0))
    assert run(Driver(engine), cls, np.ones(3000)).result.array.tolist() == [7.0] * 3000


def test_it_filters_and_fails_by_what_it_returns(driver):
    cls = rm.c_function(positive, "Positive")
    outcome = run(driver, cls, [1.0, -1.0, math.nan, 2], error_policy="collect")
    assert outcome.results == [2.0, 3.0]
    (error,) = outcome.result.errors
    assert "returned -3" in str(error)
    assert error.item_index == 2
    counts = outcome.counts("n0")
    assert (counts["passed"], counts["filtered"], counts["failed"]) == (2, 1, 1)


NO_NUMBERS = [("x", TypeError), ([1.0], TypeError), (10**400, OverflowError), (1j, TypeError)]


@pytest.mark.parametrize(("item", "kind"), NO_NUMBERS, ids=["text", "list", "large", "complex"])
def test_what_is_no_number_fails(driver, item, kind):
    error = run(driver, rm.c_function(halve, "Halve"), [item]).error
    assert type(error.__cause__) is kind


def capsule(function, name, context=None):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    made = new(ctypes.cast(function, ctypes.c_void_p), name, None)
    if context is not None:
        put = ctypes.pythonapi.PyCapsule_SetContext
        put.restype, put.argtypes = INT, [ctypes.py_object, ctypes.c_void_p]
        put(made, context)
    return made


class Disguised(ctypes.c_float):
    """Has the name of another type."""


class double_pair(ctypes.Structure):
    _fields_ = [("a", DOUBLE), ("b", DOUBLE)]


Disguised.__name__ = "c_double"
NAME = b"double (double)"
WITH_DATA = b"double(double x, void * user_data)"


class LowLevelCallable(tuple):
    """What SciPy's is: a tuple whose first member is the capsule."""

    __slots__ = ()
    signature = "double (double)"

    def __getitem__(self, index):
        raise ValueError


def test_capsules(driver):
    assert run(driver, rm.c_function(capsule(halve, NAME), "Halve"), [1.0]).results == [0.5]
    factor = DOUBLE(4.0)
    assert (
        rm.c_function(capsule(scaled, b"double (double, void *user_data)", 8), "x").signature
        == rm.c_function(capsule(scaled, b" double(double x,void*data ) ", 8), "x").signature
    )
    cls = rm.c_function(capsule(scaled, WITH_DATA, ctypes.addressof(factor)), "Scaled")
    assert run(driver, cls, [2.0]).results == [8.0]
    assert run(driver, rm.c_function(LowLevelCallable((capsule(halve, NAME), halve, None)), "Low"), [3.0]).results == [
        1.5
    ]


def test_cffi(driver):
    cffi = pytest.importorskip("cffi")
    ffi = cffi.FFI()
    callback = ffi.callback("double(double)", lambda x: x + 1)
    assert run(driver, rm.c_function(callback, "Inc"), [1.0, 2]).results == [2.0, 3.0]
    select = ffi.callback("int(double, double *)", lambda x, out: 0)
    assert run(driver, rm.c_function(select, "Nothing"), [1.0, 2]).results == []
    with pytest.raises(rm.RegistryError, match="no function pointer"):
        rm.c_function(ffi.new("double *"), "x")
    ffi.cdef("double tanh(double, ...);")
    with pytest.raises(rm.RegistryError, match="has the signature"):
        rm.c_function(ffi.cast("double (*)(double, ...)", callback), "x")
    with pytest.raises(rm.RegistryError, match=r"'float \(float\)'"):
        rm.c_function(ffi.callback("float(float)", lambda x: x), "x")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(abs), r"'c_float \(c_float\)'"),
        (ctypes.CFUNCTYPE(DOUBLE, DOUBLE, DOUBLE)(max), r"'double \(double, double\)'"),
        (ctypes.CFUNCTYPE(None, DOUBLE)(print), r"'void \(double\)'"),
        (ctypes.CFUNCTYPE(DOUBLE)(float), r"'double \(\)'"),
        (ctypes.PYFUNCTYPE(DOUBLE, DOUBLE)(abs), "needs the GIL"),
        (ctypes.CDLL(None).abs, "set its restype and argtypes"),
        (capsule(halve, b"double (double complex)"), "has the signature"),
        (capsule(halve, b"double (double long)"), "has the signature"),
        (capsule(halve, b"double (double float)"), "has the signature"),
        (capsule(halve, b"double (double) and more"), "has the signature"),
        (capsule(halve, b"double (double, void)"), "has the signature"),
        (capsule(halve, b"int (double, const double *)"), "has the signature"),
        (ctypes.CFUNCTYPE(Disguised, Disguised)(abs), "has the signature"),
        (capsule(halve, b"double (double_t)"), "has the signature"),
        (capsule(halve, b"int (doublex, double *)"), "has the signature"),
        (ctypes.CFUNCTYPE(DOUBLE, double_pair)(lambda pair: pair.b), "has the signature"),
        (MAP(), "is at NULL"),
        (capsule(halve, None), "has no name"),
        (capsule(halve, b"numpy.random.BitGenerator"), "has the signature"),
        (math.sin, "is no C function"),
        (3, "is no C function"),
        (None, "is no C function"),
        (("a",), "is no C function"),
    ],
)
def test_another_signature_is_refused_when_it_is_made(function, text):
    with pytest.raises(rm.RegistryError, match=text):
        rm.c_function(function, "x")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: rm.c_function(scaled, "x"), "takes user data"),
        (lambda: rm.c_function(halve, "x", user_data=5), "takes no user data"),
        (lambda: rm.c_function(scaled, "Scaled", user_data="text"), "user_data is a str"),
        (lambda: rm.c_function(scaled, "Scaled", user_data=0), "takes user data|user_data is a int"),
        (lambda: rm.c_function(capsule(halve, NAME)), "tells no name"),
        (lambda: rm.c_function(halve, ""), "tells no name"),
    ],
)
def test_what_is_missing_is_said(call, text):
    with pytest.raises(rm.RegistryError, match=text):
        call()


def test_info_and_the_name():
    cls = rm.c_function(halve, "Halve", version="1.2")
    assert cls.node_type == "Halve"
    assert cls().info() == rm.NodeInfo("Halve", "1.2", "the C function double (double)")


def test_the_function_lives_as_long_as_the_class():
    def made():
        return rm.c_function(MAP(lambda x: x * 5), "Five")

    outcome = run(Driver("cython"), made(), [1.0, 2.0])
    assert outcome.results == [5.0, 10.0]
    assert sys.getrefcount(halve) < 100


def test_a_subclass_with_a_process_of_its_own_is_called_through_it(engine):
    class Own(rm.c_function(halve, "Halve")):
        node_type = "Own"

        def process(self, item):
            return "own"

    assert run(Driver(engine), Own, [1.0, 2.0]).results == ["own"] * 2


# --- functions over arrays ---


def test_a_ufunc(driver):
    cls = rm.array_function(np.sqrt, batch_size=3)
    outcome = run(driver, cls, [0.0, 1, 4, 9.0, 16.0])
    assert outcome.results == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {type(item) for item in outcome.results} == {float}


def test_a_function_over_rows(driver):
    cls = rm.array_function(lambda rows: rows.sum(axis=1), "Sum")
    assert run(driver, cls, np.arange(6.0).reshape(3, 2)).results == [1.0, 5.0, 9.0]


def test_a_function_that_filters(driver):
    cls = rm.array_function(lambda x: [v if v > 1 else None for v in x.tolist()], "Big")
    assert run(driver, cls, [1.0, 2.0]).results == [2.0]


@pytest.mark.parametrize(
    ("function", "name", "text"),
    [
        (np.add, None, "takes 2 arrays"),
        (np.modf, None, "gives 2"),
        (3, None, "is none"),
        (np.float64, None, "is none"),
        (lambda x: x, None, "tells no name"),
    ],
)
def test_no_function_over_arrays(function, name, text):
    with pytest.raises(rm.RegistryError, match=text):
        rm.array_function(function, name)


def test_another_length_is_an_error_that_names_the_node(direct):
    error = run(direct, rm.array_function(lambda x: x[:1], "Short"), [1.0, 2.0]).error
    assert "gave 1 outputs for 2 items" in str(error)
    assert error.node_id == "n0"


@pytest.mark.parametrize("size", [0, -1, 2.5, "3", True])
def test_no_batch_size(size):
    with pytest.raises(rm.RegistryError, match="an integer from 1"):
        rm.array_function(np.sqrt, batch_size=size)
