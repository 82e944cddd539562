"""R45: what goes through a lane equals the reference bit for bit: floats beside other items, any operands, arrays."""

import _thread
import asyncio
import math
import pickle
import struct
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import Driver, node, plain

import remotemedia as rm

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 0.0, 1, -1, 2, 2**53, 2**53 + 1, 2**64, 10**30, 0.1, -3.5, 1e308, 5e-324]),
    st.integers(),
)
ITEMS = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 2.0**53, 1e308]),
    st.integers(-(2**65), 2**65),
    st.booleans(),
    st.sampled_from(["text", None, 1j, np.float64(0.1), np.float32(0.1), np.int64(3), [1.0]]),
)
KINDS = st.one_of(
    st.builds(lambda x: ("Multiply", {"multiplier": x}), NUMBERS),
    st.builds(lambda x: ("Add", {"operand": x}), NUMBERS),
    st.builds(
        lambda op, x: ("Calculator", {"operation": op, "operand": x}),
        st.sampled_from(["add", "subtract", "multiply", "divide", "modulo"]),
        NUMBERS,
    ),
    st.builds(lambda x: ("Calculator", {"operation": "power", "operand": x}), st.sampled_from([2, 0.5, -1])),
    st.builds(lambda x: ("Threshold", {"threshold": x}), NUMBERS),
    st.builds(lambda x, y: ("Clamp", {"min": min(x, y), "max": max(x, y)}), NUMBERS, NUMBERS),
    st.builds(lambda x, name: ("Clamp", {name: x}), NUMBERS, st.sampled_from(["min", "max"])),
    st.builds(lambda x: ("Round", {"digits": x}), st.integers(-3, 3) | st.just(0)),
    st.sampled_from(
        [("Abs", {}), ("Round", {}), ("PassThrough", {}), ("Counter", {}), ("Echo", {}), ("Buffer", {"size": 1})]
    ),
)


@st.composite
def chains(draw):
    """Chains of nodes with lanes, now and then with one in it that has none, and with a second branch."""
    kinds = draw(st.lists(KINDS, min_size=1, max_size=6))
    kinds = [kind for i, kind in enumerate(kinds) if kind[0] != "Echo" or i == len(kinds) - 1]
    nodes = [node(f"n{i}", kind, **params) for i, (kind, params) in enumerate(kinds)] or [node("n0", "PassThrough")]
    pairs = [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)]
    if draw(st.integers(0, 3)) == 0:
        nodes.append(node("side", "Multiply", multiplier=3.0))
        pairs.append((draw(st.sampled_from(nodes[:-1]))["id"], "side"))
    for spec in nodes:
        if draw(st.integers(0, 9)) == 0:
            spec["copy"] = True
        if draw(st.integers(0, 9)) == 0:
            spec["is_output_node"] = True
    return plain(nodes, pairs)


def exactly(value):
    """A value as its type and bits: NaN is NaN, and -0.0 is not 0.0."""
    if type(value) is float:
        return "nan" if math.isnan(value) else struct.pack("d", value)
    if isinstance(value, dict):
        return {key: exactly(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [exactly(inner) for inner in value]
    return type(value), repr(value)


def everything(engine, mode, manifest, items, policy):
    outcome = Driver(engine, mode).run(manifest, items, error_policy=policy)
    seen = {"results": exactly(outcome.results), "error": str(outcome.error), "cause": repr(outcome.error.__cause__)
            if outcome.error is not None else None}  # fmt: skip
    if outcome.result is not None:
        metrics = dict(outcome.result.metrics)
        del metrics["duration_ns"]
        seen |= {
            "metrics": metrics,
            "outputs": exactly(outcome.result.outputs),
            "errors": [str(error) for error in outcome.result.errors],
            "status": outcome.result.status,
        }
    return seen


MODES = ("execute", "session", "stream", "async execute on asyncio")


@pytest.mark.slow
@settings(max_examples=1500)
@given(chains(), st.lists(ITEMS, max_size=8), st.sampled_from(["stop", "skip", "collect"]), st.sampled_from(MODES))
@example(plain([node("a", "Calculator", operation="divide", operand=0.0)]), [1.0], "collect", "execute")
@example(
    plain([node("a", "Multiply", multiplier=2**53 + 1), node("b", "Add", operand=0.0)], "a b"), [1.0], "stop", "execute"
)
def test_r45_items_of_any_kind_come_out_as_the_reference_gives_them(manifest, items, policy, mode):
    expected = everything("reference", mode, manifest, items, policy)
    assert everything("cython", mode, manifest, items, policy) == expected


@st.composite
def arrays(draw):
    """Arrays of any numeric type, contiguous, strided, reversed, read-only, byte-swapped, of any length."""
    dtype = draw(st.sampled_from(["f8", "f4", "f2", ">f8", ">f4", "i8", "i2", "u8", "?", "c16", "longdouble"]))
    length = draw(st.sampled_from([0, 1, 2, 7, 2047, 2048, 2049, 5000]))
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).normal(scale=10.0 ** draw(st.integers(-3, 6)), size=2 * length + 1)
    if length and draw(st.booleans()):
        values[:: draw(st.integers(1, 5))] = draw(st.sampled_from([math.nan, math.inf, -0.0, 0.0, 1e300]))
    with np.errstate(all="ignore"):
        array = values.astype(dtype) if not dtype.startswith("u") else np.abs(values).astype(dtype)
    step = draw(st.sampled_from([1, 2, -1]))
    array = array[::step][:length]
    if draw(st.booleans()):
        array = np.ascontiguousarray(array)
    if draw(st.booleans()):
        array.flags.writeable = False
    return array


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(chains(), arrays(), st.sampled_from(["stop", "collect"]), st.sampled_from(MODES))
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_r45_arrays_of_any_kind_come_out_as_the_reference_gives_them(manifest, array, policy, mode):
    before = array.tobytes()
    expected = everything("reference", mode, manifest, array, policy)
    assert everything("cython", mode, manifest, array, policy) == expected
    assert array.tobytes() == before


S3 = plain(
    [node("a", "Multiply", multiplier=2.0), node("b", "Threshold", threshold=1.0), node("c", "Add", operand=1)],
    "a b, b c",
)


@pytest.fixture(params=["execute", "async"])
def run(request):
    driver = Driver("cython", "execute" if request.param == "execute" else "async execute on asyncio")
    return lambda *given, **options: driver.run(*given, **options).result


@pytest.mark.parametrize("length", [0, 1, 2048, 300_001])
def test_an_array_gives_an_array_and_where_its_elements_came_from(run, length):
    array = np.random.default_rng(1).random(length)
    result = run(S3, array)
    assert result.array.dtype == np.float64
    np.testing.assert_array_equal(result.array, (array * 2)[array * 2 >= 1.0] + 1)
    np.testing.assert_array_equal(result.indices, np.flatnonzero(array * 2 >= 1.0))
    assert result.results == result.array.tolist()
    assert result.results is result.results
    assert result.outputs == {"c": result.results}
    assert result.outputs["c"] is result.results
    assert run(S3, array).outputs == result.outputs  # asked for first
    assert f"{len(result.results)} out" in repr(result)


def test_two_filters_keep_the_places_of_the_first_input():
    manifest = plain([node("a", "Threshold", threshold=0.2), node("b", "Multiply", multiplier=-1.0),
                      node("c", "Threshold", threshold=-0.7)], "a b, b c")  # fmt: skip
    array = np.random.default_rng(2).random(10_000)
    result = Driver("cython").run(manifest, array).result
    np.testing.assert_array_equal(result.indices, np.flatnonzero((array >= 0.2) & (-array >= -0.7)))
    assert result.array.tolist() == (-array[result.indices]).tolist()


def test_a_chain_that_only_hands_on_gives_a_copy():
    array = np.arange(5000.0)
    result = (
        Driver("cython").run(plain([node("a", "Counter"), node("b", "Threshold", threshold=-1.0)], "a b"), array).result
    )
    assert result.array.tolist() == array.tolist()
    result.array[0] = 7.0
    assert array[0] == 0.0


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_results_of_other_ways_are_an_array_if_they_can_be(engine):
    driver = Driver(engine)
    echo = plain([node("a", "PassThrough")])
    for items, dtype in (([1.5, 2.0], np.float64), ([1, -2], np.int64), ([True], np.bool_), ([], np.float64)):
        result = driver.run(echo, items).result
        assert (result.array.dtype, result.array.tolist()) == (dtype, items)
    for items, why in (([1, 1.0], "float, int"), ([2**63], "int64"), (["a"], "str")):
        with pytest.raises(rm.ResultArrayError, match=why):
            _ = driver.run(echo, items).result.array
    with pytest.raises(rm.ResultArrayError, match="which item"):
        _ = driver.run(echo, [1.5]).result.indices


def test_a_session_counts_on_and_each_run_has_its_own_array():
    executor = rm.Executor()
    with executor.open(S3) as session:
        first = session.run(np.array([1.0, 0.1]))
        second = session.run(np.array([2.0, 3.0, 0.2]))
        third = session.run([4.0])
        assert session.process(5.0) == [11.0]
    assert (first.array.tolist(), second.array.tolist(), third.results) == ([3.0], [5.0, 7.0], [9.0])
    assert first.metrics["nodes"]["b"] == {"in": 2, "passed": 1, "filtered": 1, "failed": 0, "out": 1, "flushed": 0}
    assert second.metrics["items_in"] == 3


def test_a_result_with_an_array_is_pickled_with_it():
    result = Driver("cython").run(S3, np.array([1.0, 0.1, 2.0])).result
    again = pickle.loads(pickle.dumps(result))
    assert (again.array.tolist(), again.indices.tolist(), again.results) == ([3.0, 5.0], [0, 2], [3.0, 5.0])


def test_masked_arrays_go_item_by_item():
    """Their elements are not floats."""
    array = np.ma.masked_array([1.0, 2.0], [False, True])
    expected = everything("reference", "execute", S3, array, "collect")
    assert everything("cython", "execute", S3, array, "collect") == expected


@pytest.mark.parametrize("way", ["interrupt", "abort"])
def test_r42_an_array_on_its_way_is_left_at_once(way):
    array = np.zeros(40_000_000)
    tens = plain([node(f"n{i}", "Add", operand=1.0) for i in range(10)], [(f"n{i}", f"n{i + 1}") for i in range(9)])
    with rm.Executor().open(tens) as session:

        def end():
            while session.metrics()["items_in"] < 1_000_000:
                time.sleep(0.0001)
            _thread.interrupt_main() if way == "interrupt" else session.abort()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(KeyboardInterrupt if way == "interrupt" else rm.SessionClosedError):
            session.run(array)
        thread.join()
        assert session.metrics()["items_in"] < len(array)


def test_other_tasks_have_their_turns_while_an_array_is_on_its_way():
    turns = 0

    async def main():
        async def tick():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(tick())
        tens = plain([node(f"n{i}", "Add", operand=1.0) for i in range(10)], [(f"n{i}", f"n{i + 1}") for i in range(9)])
        result = await rm.Executor().execute_with_input_async(tens, np.zeros(4_000_000))
        other.cancel()
        return result

    result = asyncio.run(main())
    assert result.array[-1] == 10.0
    assert turns > 10
