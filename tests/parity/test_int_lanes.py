"""R45: ints in lanes are Python's: they stay ints, have no largest, and compare and divide exactly."""

import ctypes
import ctypes.util

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import Driver, node, plain

import remotemedia as rm

EDGES = [0, 1, -1, 2, 7, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1]
INTS = st.one_of(st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100))
OPERANDS = st.one_of(st.sampled_from([1, -1, 2, 3, -7, 10, 2**31, 2**53, 0.5, -2.0, 1e17, 2.0**53]), st.integers(-9, 9))
KINDS = st.one_of(
    st.builds(lambda x: ("Multiply", {"multiplier": x}), OPERANDS),
    st.builds(lambda x: ("Add", {"operand": x}), OPERANDS),
    st.builds(
        lambda op, x: ("Calculator", {"operation": op, "operand": x}),
        st.sampled_from(["subtract", "divide", "modulo", "multiply"]),
        OPERANDS.filter(bool),
    ),
    st.builds(lambda x: ("Threshold", {"threshold": x}), st.one_of(OPERANDS, INTS)),
    st.builds(lambda x, y: ("Clamp", {"min": min(x, y), "max": max(x, y)}), OPERANDS, OPERANDS),
    st.builds(lambda x, name: ("Clamp", {name: x}), OPERANDS, st.sampled_from(["min", "max"])),
    st.sampled_from([("Abs", {}), ("Round", {}), ("PassThrough", {}), ("Counter", {}), ("fabs", {})]),
)
LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
LIBM.fabs.restype, LIBM.fabs.argtypes = ctypes.c_double, [ctypes.c_double]


def chain(kinds):
    nodes = [node(f"n{i}", kind, **params) for i, (kind, params) in enumerate(kinds)]
    return plain(nodes, [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)])


def seen(engine, mode, kinds, items):
    driver = Driver(engine, mode)
    driver.registry.register(rm.c_function(LIBM.fabs))
    outcome = driver.run(chain(kinds), items, error_policy="collect")
    metrics = dict(outcome.result.metrics)
    del metrics["duration_ns"]
    return [(type(x), repr(x)) for x in outcome.results], metrics, [str(e) for e in outcome.result.errors]


@pytest.mark.slow
@settings(max_examples=1500)
@given(st.lists(KINDS, min_size=1, max_size=6), st.lists(INTS, max_size=8), st.sampled_from(["execute", "stream"]))
@example([("Calculator", {"operation": "divide", "operand": 3})], [2**53 + 1], "execute")
@example([("Threshold", {"threshold": 2.0**53})], [2**53 + 1, 2**53, -(2**53) - 1], "execute")
def test_r45_lists_of_ints(kinds, items, mode):
    assert seen("cython", mode, kinds, items) == seen("reference", mode, kinds, items)


@pytest.mark.slow
@settings(max_examples=1500)
@given(
    st.lists(KINDS, min_size=1, max_size=6),
    st.lists(INTS, max_size=8),
    st.sampled_from(["i8", "i4", "i1", "u4", "u1", ">i8", "u8"]),
    st.sampled_from([1, 700]),
)
def test_r45_arrays_of_ints(kinds, items, dtype, times):
    array = np.array(items, np.int64).astype(dtype).repeat(times)
    assert seen("cython", "execute", kinds, array) == seen("reference", "execute", kinds, array)


FEW = [("Multiply", {"multiplier": 3}), ("Threshold", {"threshold": 10}), ("Add", {"operand": -1})]


def test_an_array_of_ints_gives_one_and_where_its_elements_came_from():
    result = Driver("cython").run(chain(FEW), np.arange(5000, dtype=np.int32)).result
    assert result.array.dtype == np.int64
    assert result.array.tolist() == result.results == [3 * i - 1 for i in range(4, 5000)]
    assert result.indices.tolist() == list(range(4, 5000))
    assert {type(item) for item in result.results} == {int}


def test_ints_that_become_floats_in_the_middle():
    kinds = [*FEW, ("Multiply", {"multiplier": 0.5}), ("Threshold", {"threshold": 100})]
    result = Driver("cython").run(chain(kinds), np.arange(5000)).result
    expected = [(3 * i - 1) * 0.5 for i in range(5000) if 3 * i >= 10 and (3 * i - 1) * 0.5 >= 100]
    assert result.array.dtype == np.float64
    assert result.array.tolist() == expected
    assert result.indices.tolist() == [i for i in range(5000) if 3 * i >= 10 and (3 * i - 1) * 0.5 >= 100]


def test_an_overflow_sends_all_of_the_run_through_the_nodes(engine):
    """The counts are those of one way only, also of a Counter; the next run begins in a lane again."""
    kinds = [("Counter", {}), ("Multiply", {"multiplier": 2**40}), ("Threshold", {"threshold": 0})]
    array = np.concatenate([np.arange(-3000, 3000), [2**40]])
    driver = Driver(engine)
    with driver.executor.open(chain(kinds)) as session:
        for _ in range(2):
            result = session.run(array)
            assert result.results == [i * 2**40 for i in array.tolist() if i >= 0]
            assert result.metrics["nodes"]["n0"]["in"] == result.metrics["items_in"] == 6001
            assert result.metrics["nodes"]["n2"]["filtered"] == 3000
            with pytest.raises(rm.ResultArrayError, match="too large for int64"):
                _ = result.array
            with pytest.raises(rm.ResultArrayError):
                _ = result.indices
        result = session.run(array[:-1])
        assert result.array.tolist() == [i * 2**40 for i in range(3000)]
        assert session.metrics()["nodes"]["n0"]["in"] == 18_002


def test_bools_are_no_ints(engine):
    error = Driver(engine).run(chain(FEW), np.array([True, False])).error
    assert "not bool" in str(error)


def test_a_function_of_the_users_own_is_called_once_an_item_though_one_does_not_fit(engine):
    calls = []

    @ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    def noted(x):
        calls.append(x)
        return x

    driver = Driver(engine)
    driver.registry.register(rm.c_function(noted, "noted"))
    array = np.append(np.arange(5000), 2**63 - 1)
    result = driver.run(chain([("Add", {"operand": 1}), ("noted", {})]), array).result
    assert calls == [float(i + 1) for i in array.tolist()] == result.results
