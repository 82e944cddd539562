"""The compiled built-in nodes equal their plain twins, item by item, with their errors."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ENGINES, Driver, node, plain

import remotemedia as rm

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.sampled_from([0, 0.0, -0.0, 1, 2, -1, 0.5])
)
SIMPLE = st.one_of(NUMBERS, st.text(max_size=3), st.none(), st.lists(st.integers(0, 3), max_size=3))
ITEMS = st.one_of(
    NUMBERS,
    st.text(max_size=2),
    st.dictionaries(st.sampled_from("ab"), SIMPLE, max_size=2),
    st.lists(SIMPLE, max_size=3),
    st.tuples(NUMBERS),
)
JSON = st.one_of(
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=2),
    st.lists(st.integers(0, 3), max_size=3),
)
OPERATIONS = ("add", "subtract", "multiply", "divide", "modulo", "power")
NODES = st.one_of(
    st.builds(lambda x: ("Multiply", {"multiplier": x}), JSON),
    st.builds(lambda x: ("Add", {"operand": x}), JSON),
    st.builds(
        lambda o, x: ("Calculator", {"operation": o, "operand": x}), st.sampled_from([*OPERATIONS[:5], "plus"]), JSON
    ),
    st.builds(lambda x: ("Calculator", {"operand": x}), st.integers(-3, 3)),
    st.builds(lambda t: ("Threshold", {"threshold": t}), JSON),
    st.builds(lambda x, y: ("Clamp", {"min": x, "max": y}), JSON, JSON),
    st.builds(lambda x: ("Clamp", {"max": x}), JSON),
    st.builds(lambda x: ("Round", {"digits": x}), JSON),
    st.builds(lambda t, k: ("Threshold", {"threshold": t, "key": k}), JSON, st.sampled_from(["a", "b", 5])),
    st.builds(
        lambda k, o, v: ("Filter", {"key": k, "op": o, "value": v}),
        st.sampled_from(["a", 1]),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "is"]),
        JSON,
    ),
    st.builds(lambda n: ("MovingAverage", {"window": n}), st.integers(1, 4) | JSON),
    st.builds(lambda n: ("RunningStats", {"ddof": n}), st.integers(0, 1) | JSON),
    st.builds(lambda n: (n[0], {"size": n[1]}), st.tuples(st.sampled_from(["Batcher", "Buffer"]), JSON)),
    st.sampled_from(
        [
            ("Expander", {}),
            ("Counter", {}),
            ("Abs", {}),
            ("Abs", {"of": 1}),
            ("Clamp", {}),
            ("Round", {"digits": None}),
            ("MovingAverage", {}),
            ("RunningStats", {}),
            ("RunningStats", {"ddof": None}),
            ("Echo", {}),
            ("PassThrough", {"any": 1}),
            ("Multiply", {}),
            ("Multiply", {"multiplyer": 1}),
            ("Filter", {"key": "a"}),
        ]
    ),
)


def same(value):
    """A value in a form that compares by type too, with NaN equal to itself."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value, math.copysign(1, value))
    if isinstance(value, (list, tuple)):
        return (type(value), [same(v) for v in value])
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items()}
    return (type(value), value)


def run(engine, manifest, items):
    try:
        result = Driver(engine).executor.execute_with_input(manifest, items, error_policy="collect")
    except rm.NodeError as error:
        return str(error)
    counts = {k: v for k, v in result.metrics.items() if k != "duration_ns"}
    return same(result.results), [str(e) for e in result.errors], counts


@settings(max_examples=1500)
@given(NODES, st.lists(ITEMS, max_size=5))
def test_builtins_equal_their_twins(spec, items):
    manifest = plain([node("n", spec[0]) | ({"params": spec[1]} if spec[1] else {})])
    assert run("cython", manifest, items) == run("reference", manifest, items)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_sign_of_zero_is_kept(engine):
    manifest = plain([node("m", "Multiply", multiplier=-1)])
    (zero,) = Driver(engine).executor.execute_with_input(manifest, [0.0]).results
    assert math.copysign(1, zero) == -1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("operation", ["divide", "modulo"])
def test_division_by_zero_is_a_node_error(engine, operation):
    manifest = plain([node("c", "Calculator", operation=operation, operand=0)])
    with pytest.raises(rm.NodeError, match="by zero"):
        Driver(engine).executor.execute_with_input(manifest, [1])


@pytest.mark.parametrize("engine", ENGINES)
def test_numpy_scalars_are_numbers_and_arrays_are_computed_elementwise(engine):
    np = pytest.importorskip("numpy")
    manifest = plain([node("m", "Multiply", multiplier=2)])
    run = Driver(engine).executor.execute_with_input
    assert run(manifest, [np.float32(1.5), np.int64(2)]).results == [3.0, 4]
    assert run(manifest, [np.arange(3)]).results[0].tolist() == [0, 2, 4]
    with pytest.raises(rm.NodeError, match="takes a number"):
        run(manifest, [np.bool_(True)])
