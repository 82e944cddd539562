"""R45: arrays and what lends its memory as an input: the items are Python scalars, or rows, however they go through."""

import array
import asyncio
import ctypes
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Driver, node, plain

import remotemedia as rm

DTYPES = ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", "?", "c16", "g"]


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    length = draw(st.sampled_from([0, 1, 2, 3, 7, 20]))
    shape = (length,) if draw(st.integers(0, 3)) else (length, draw(st.integers(1, 3)))
    values = draw(st.lists(st.integers(-128, 127), min_size=math.prod(shape), max_size=math.prod(shape)))
    with np.errstate(all="ignore"):
        made = (np.array(values, np.float64).reshape(shape) / 4).astype(dtype)
    if dtype.kind == "f" and made.size and draw(st.booleans()):
        made.flat[0] = draw(st.sampled_from([math.nan, math.inf, -0.0]))
    step = draw(st.sampled_from([1, 1, 2, -1]))
    made = made[::step]
    if draw(st.booleans()):
        made.flags.writeable = False
    return made


class Twice(rm.NodeExecutor):
    """Over arrays; notes what it got, and spoils it."""

    batch_type = "array"
    batch_size = 3

    def process_batch(self, items):
        assert items.flags.writeable
        outputs = items + items
        items[:] = 0
        return outputs


class Some(Twice):
    """Gives a list, now and then, and filters."""

    def process_batch(self, items):
        if len(items) == 3:
            return super().process_batch(items)
        return [None if i else item for i, item in enumerate(items.tolist())]


class Fails(Twice):
    def process_batch(self, items):
        if np.any(items == 2):
            raise ValueError("two")
        return super().process_batch(items)


class Kinds(rm.NodeExecutor):
    """Not over arrays: what it gets shows in what comes out."""

    def process(self, item):
        assert not isinstance(item, np.generic) or item.dtype.kind in "gc"
        if isinstance(item, np.ndarray):
            assert not item.flags.writeable
            return item.dtype.str, item.tolist()
        return type(item).__name__, item


CLASSES = {cls.__name__: cls for cls in (Twice, Some, Fails, Kinds)}


def seen(engine, mode, kinds, items, policy):
    driver = Driver(engine, mode)
    driver.register(**CLASSES)
    nodes = [node(f"n{i}", kind, **({"multiplier": 2} if kind == "Multiply" else {})) for i, kind in enumerate(kinds)]
    manifest = plain(nodes, [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)])
    outcome = driver.run(manifest, items, error_policy=policy)
    metrics = dict(outcome.metrics) if outcome.result is not None else None
    if metrics:
        del metrics["duration_ns"]
    errors = [(e.item_index, str(e)) for e in outcome.result.errors] if outcome.result is not None else None
    results = repr([item.tolist() if isinstance(item, np.ndarray) else item for item in outcome.results])
    return results, [type(item) for item in outcome.results], str(outcome.error), metrics, errors


@settings(max_examples=400)
@given(
    st.sampled_from(
        [["Twice"], ["Some"], ["Fails"], ["Kinds"], ["Multiply"], ["Multiply", "Twice"], ["Twice", "Kinds"]]
    ),
    arrays(),
    st.sampled_from(["stop", "skip", "collect"]),
    st.sampled_from(["execute", "session", "stream", "async execute on asyncio"]),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_r45_arrays_of_any_kind(kinds, items, policy, mode):
    before = items.tobytes()
    expected = seen("reference", mode, kinds, items, policy)
    assert seen("cython", mode, kinds, items, policy) == expected
    if items.ndim == 1:
        assert seen("cython", mode, kinds, items.tolist(), policy)[0] == expected[0]
    assert items.tobytes() == before


class Lender:
    """Lends its memory by DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Far(Lender):
    def __dlpack__(self, **options):
        raise BufferError("it is on a device")


LENT = {
    "array.array": array.array("d", [1.0, 2.0, 3.0]),
    "memoryview": memoryview(array.array("d", [1.0, 2.0, 3.0])),
    "ctypes": (ctypes.c_double * 3)(1, 2, 3),
    "DLPack": Lender(np.array([1.0, 2.0, 3.0])),
}


@pytest.mark.parametrize("items", LENT.values(), ids=LENT.keys())
def test_what_lends_its_memory_goes_through_in_blocks(engine, items):
    driver = Driver(engine)
    driver.register(**CLASSES)
    for kind, params in (("Multiply", {"multiplier": 2.0}), ("Twice", {})):
        result = driver.run(plain([node("a", kind, **params)]), items).result
        assert result.array.tolist() == result.results == [2.0, 4.0, 6.0]
        if engine == "cython":
            assert result.indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize("items", LENT.values(), ids=LENT.keys())
def test_likewise_in_every_mode(driver, items):
    assert driver.run(plain([node("a", "Multiply", multiplier=2.0)]), items).results == [2.0, 4.0, 6.0]


def test_rows_that_are_lent(driver):
    driver.register(**CLASSES)
    items = memoryview(array.array("i", range(6))).cast("B").cast("i", (3, 2))
    assert driver.run(plain([node("a", "Kinds")]), items).results == [("<i4", [0, 1]), ("<i4", [2, 3]), ("<i4", [4, 5])]


@pytest.mark.parametrize("items", [memoryview(b"abc"), b"abc", bytearray(b"abc"), memoryview(b"a").cast("c")])
def test_bytes_are_one_item(driver, items):
    error = driver.run(plain([node("a", "Echo")]), items).error
    assert isinstance(error, rm.InputError)
    assert "put it into a list" in str(error)


def test_memory_on_a_device_is_refused(driver):
    error = driver.run(plain([node("a", "Echo")]), Far(np.ones(2))).error
    assert isinstance(error, rm.InputError)
    assert "copy it to the CPU" in str(error)
    error = driver.run(plain([node("a", "Echo")]), Lender(np.array(2.0))).error
    assert "without dimensions" in str(error)


def test_blocks_that_came_out_before_an_error_are_kept(engine):
    driver = Driver(engine)
    driver.register(**CLASSES)
    manifest = plain([node("a", "Fails")])
    outcome = driver.run(manifest, np.array([3.0, 4.0, 5.0, 6.0, 2.0, 7.0, 8.0]))
    assert outcome.results == [6.0, 8.0, 10.0]
    assert outcome.error.item_index == 3
    outcome = driver.run(manifest, np.array([3.0, 4.0, 5.0, 6.0, 2.0, 7.0, 8.0]), error_policy="collect")
    assert outcome.results == [6.0, 8.0, 10.0, 16.0]
    assert outcome.result.array.tolist() == [6.0, 8.0, 10.0, 16.0]


def test_what_is_flushed_comes_after_the_blocks(driver):
    class Counts(Twice):
        def initialize(self, context):
            self.count = 0

        def process_batch(self, items):
            self.count += len(items)
            return super().process_batch(items)

        def flush(self):
            return [self.count]

    driver.register(Counts=Counts)
    assert driver.run(plain([node("a", "Counts")]), np.arange(4.0)).results == [0.0, 2.0, 4.0, 6.0, 4]


def test_rows_of_any_order_make_the_same_arrays(direct):
    class Sum(rm.NodeExecutor):
        batch_type = "array"

        def process_batch(self, items):
            assert items.flags.c_contiguous
            return items.sum(axis=1)

    direct.register(Sum=Sum)
    rows = np.asfortranarray(np.random.default_rng(1).standard_normal((10, 1000)) * 1e3)
    assert direct.results(plain([node("a", "Sum")]), rows) == [float(np.array(row).sum()) for row in rows.copy("C")]


@pytest.mark.parametrize("kind", ["Multiply", "Twice"])
@pytest.mark.parametrize("change", [("dtype", np.float32), ("shape", (2, -1))])
@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")
def test_what_becomes_of_the_callers_array_meanwhile_is_nothing_to_the_run(kind, change):
    array = np.ones(4_000_000)

    async def main():
        async def other():
            await asyncio.sleep(0)
            setattr(array, *change)

        driver = Driver("cython")
        driver.register(**CLASSES)
        manifest = plain([node("a", kind, **({"multiplier": 2.0} if kind == "Multiply" else {})) | {}])
        if kind == "Twice":
            manifest["nodes"][0]["batch_size"] = 1 << 20
        changing = asyncio.create_task(other())
        result = await driver.executor.execute_with_input_async(manifest, array)
        await changing
        return result

    assert asyncio.run(main()).array.tolist() == [2.0] * 4_000_000


def test_what_offers_dlpack_but_not_for_its_elements_is_iterated(driver):
    class Words(Far):
        def __iter__(self):
            return iter(["a", "b"])

    assert driver.run(plain([node("a", "PassThrough")]), Words(np.ones(2))).results == ["a", "b"]


def test_a_buffer_that_is_nothing_else(engine):
    outcome = Driver(engine).run(plain([node("a", "Multiply", multiplier=2.0)]), pickle.PickleBuffer(np.arange(3.0)))
    assert outcome.results == [0.0, 2.0, 4.0]


def test_few_results_do_not_keep_the_room_for_all():
    array = np.arange(1_000_000.0)
    result = (
        Driver("cython")
        .run(plain([node("a", "Threshold", threshold=999_999), node("b", "Add", operand=0.5)], "a b"), array)
        .result
    )
    assert result.array.tolist() == [999_999.5]
    assert result.array.base is None or result.array.base.nbytes < 1000
