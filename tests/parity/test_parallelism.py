"""R45, R14, R42: an array that is split over threads comes out as by one, in order, with the same counts."""

import _thread
import ctypes
import ctypes.util
import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Driver, node, plain

import remotemedia as rm

MANY = 1 << 20  # elements: more than go through between two looks at signals


def split(kinds, threads):
    nodes = [node(f"n{i}", kind, **params) | {"parallelism": threads} for i, (kind, params) in enumerate(kinds)]
    return plain(nodes, [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)])


def everything(engine, manifest, array):
    result = Driver(engine).run(manifest, array).result
    metrics = dict(result.metrics)
    del metrics["duration_ns"]
    return result, metrics


KINDS = [
    ("Multiply", {"multiplier": 1.5}),
    ("Threshold", {"threshold": 0.25}),
    ("Threshold", {"threshold": 2.0}),
    ("Add", {"operand": -0.1}),
    ("Calculator", {"operation": "modulo", "operand": 0.7}),
    ("Clamp", {"max": 0.9}),
    ("Counter", {}),
    ("PassThrough", {}),
    ("Abs", {}),
]


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    st.integers(2, 5),
    st.sampled_from([0, 1, 2047, 2048, MANY // 5, MANY, 2 * MANY + 17]),
    st.integers(0, 99),
)
def test_r45_several_threads_give_what_one_gives(kinds, threads, length, seed):
    array = np.random.default_rng(seed).standard_normal(length)
    kinds = [*kinds, ("Multiply", {"multiplier": 1.0})]  # the others alone need no lane
    one, counts_of_one = everything("cython", split(kinds, 1), array)
    many, counts_of_many = everything("cython", split(kinds, threads), array)
    assert many.array.tobytes() == one.array.tobytes()
    assert np.array_equal(many.indices, one.indices)
    assert counts_of_many == counts_of_one


def test_the_reference_takes_it_and_uses_one_thread(engine):
    result, metrics = everything(engine, split(KINDS[:2], 4), np.array([0.1, 0.2, 1.0]))
    assert result.results == [0.2 * 1.5, 1.5]
    assert metrics["nodes"]["n1"]["filtered"] == 1


def test_items_of_a_list_go_through_as_ever(driver):
    assert driver.run(split(KINDS[:1], 3), [1.0, 2, 4.0]).results == [1.5, 3.0, 6.0]


def test_functions_of_the_users_own_are_called_from_several_threads():
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    library.cosh.restype, library.cosh.argtypes = ctypes.c_double, [ctypes.c_double]
    driver = Driver("cython")
    driver.registry.register(rm.c_function(library.cosh))
    seen = set()

    @ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    def noted(x):
        seen.add(threading.get_ident())
        return x

    driver.registry.register(rm.c_function(noted, "noted"))
    array = np.linspace(0, 1, 30_000)
    manifest = split([("cosh", {}), ("noted", {})], 2)
    assert driver.run(manifest, array).result.array.tolist() == [library.cosh(x) for x in array.tolist()]
    assert len(seen) == 2


@pytest.mark.parametrize("kind", ["Echo", "Filter", "Batcher", "Own"])
def test_r43_a_node_without_a_lane_is_not_split(engine, kind):
    class Own(rm.NodeExecutor):
        called = False
        c_pointer = 1  # it is none

        def initialize(self, context):
            Own.called = True

        def process(self, item):
            return item

    driver = Driver(engine)
    driver.register(Own=Own)
    error = driver.run(split([(kind, {})], 2), [1.0]).error
    assert isinstance(error, rm.ManifestError)
    assert "$.nodes[0].parallelism" in str(error)
    assert not Own.called


def test_r43_a_c_function_that_selects_has_no_lane(engine):
    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_double))
    def select(x, out):
        return 0

    driver = Driver(engine)
    driver.registry.register(rm.c_function(select, "Select"))
    assert isinstance(driver.run(split([("Select", {})], 2), [1.0]).error, rm.ManifestError)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
def test_r42_ctrl_c_is_seen_and_no_thread_is_left():
    array = np.ones(60 * MANY, np.float32)
    manifest = split([("Calculator", {"operation": "modulo", "operand": 0.7})] * 6, 2)

    def stop(*_):
        raise KeyboardInterrupt

    Driver("cython").run(manifest, array[:100])
    threads = _thread._count()
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        outcome = Driver("cython").run(manifest, array)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert _thread._count() == threads
