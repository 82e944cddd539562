"""Functions that Numba compiles: the same as in Python, at C speed; refused with a reason where they cannot be."""

import math
import signal
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from support import Driver, node, plain

import remotemedia as rm

numba = pytest.importorskip("numba")


@rm.node(compile="numba", version="1.1")
def soften(x: float, drive: float = 1.0, times: int = 1) -> float:
    """Limit softly."""
    for _ in range(times):
        x = math.tanh(x * drive)
    return x


@rm.node(compile="numba")
def positive(x: float, least: float = 0.0) -> float | None:
    if x > least:
        return x
    return None


@rm.node(compile="numba")
def root(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return math.sqrt(x)


@rm.node(compile="numba")
def inverse(x: float) -> float:
    return 1 / x


def run(driver, cls, items, *before, **params):
    driver.registry.register(cls, replace=True)
    nodes = [*before, node("f", cls.node_type, **params)]
    return driver.run(plain(nodes, [(a["id"], b["id"]) for a, b in pairwise(nodes)]), items)


def test_it_gives_what_python_gives(driver):
    items = [0.5, -2.0, 3, True]
    assert run(driver, soften, items).results == [math.tanh(float(x)) for x in items]
    expected = [math.tanh(math.tanh(float(x) * 0.5) * 0.5) for x in items]
    assert run(driver, soften, items, drive=0.5, times=2).results == expected


def test_it_has_a_place_in_lanes(engine):
    array = np.linspace(-1, 1, 5000)
    double = node("d", "Multiply", multiplier=2.0)
    outcome = run(Driver(engine), soften, array, double)
    assert outcome.result.array.tolist() == [math.tanh(x * 2.0) for x in array.tolist()]
    if engine == "cython":
        assert outcome.result.indices.tolist() == list(range(5000))


def test_it_filters(driver):
    assert run(driver, positive, [1.0, -1.0, 0.0, 2.0]).results == [1.0, 2.0]
    assert run(driver, positive, [1.0, 2.0], least=1.5).results == [2.0]


def test_what_it_raises_fails_the_item(driver):
    error = run(driver, root, [4.0, -1.0]).error
    assert error.item_index == 1
    assert "returned -1" in str(error)


def test_a_division_by_zero_is_that_of_numpy(driver):
    assert run(driver, inverse, [0.0, -0.0, 2.0]).results == [math.inf, -math.inf, 0.5]


def test_params_are_checked(direct):
    for params, text in ({"drive": "x"}, "drive"), ({"what": 1}, "what"), ({"times": 1.5}, "times"):
        error = run(direct, soften, [1.0], **params).error
        assert error.phase == "initialize"
        assert text in str(error)


def test_two_nodes_of_one_class_have_their_own_params(direct):
    direct.registry.register(soften)
    nodes = [node("a", "soften", drive=2.0), node("b", "soften", times=2)]
    outcome = direct.run(plain(nodes, "a b"), [0.3])
    assert outcome.results == [math.tanh(math.tanh(math.tanh(0.6)))]


def test_info_and_a_node_by_hand():
    assert soften().info() == rm.NodeInfo("soften", "1.1", "Limit softly.")
    assert soften.function(0.5) == math.tanh(0.5)
    with pytest.raises(RuntimeError, match="was not initialized"):
        soften().process(1.0)


def no_item(x, y: float = 1.0) -> float:
    return x


def no_result(x: float):
    return x


def text(x: float, y: str = "a") -> float:
    return x


def keyword(x: float, *, y: float = 1.0) -> float:
    return x


def whole(x: int) -> int:
    return x


def gone(x: "Gone") -> float:  # noqa: F821
    return x


def dynamic(x: float) -> float:
    return x.bit_length()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_item, "takes a float and gives one"),
        (no_result, "takes a float and gives one"),
        (whole, "takes a float and gives one"),
        (text, "annotate the param 'y'"),
        (keyword, "no keyword-only"),
        (gone, "name what is not there"),
        (dynamic, "Numba cannot compile it"),
        (3, "is none"),
    ],
)
def test_what_cannot_be_compiled_is_refused_when_the_class_is_made(function, message):
    with pytest.raises(TypeError, match=message):
        rm.node(compile="numba")(function)


def helper(x):
    if x < 0:
        raise ValueError("negative")
    return x


helper = numba.njit(helper)


@rm.node(compile="numba")
def by_helper(x: float) -> float:
    return helper(x) + 1.0


@rm.node(compile="numba")
def by_table(x: float) -> float:
    return [1.0, 2.0][int(x)] if x < 2 else [1.0].pop(int(x))


@rm.node(compile="numba")
def signed(x: float, d: float = 0.0) -> float:
    return math.copysign(x, d)


@rm.node(compile="numba")
def times(x: float, n: int) -> float:
    return x * n


def test_what_others_raise_fails_the_item(driver):
    error = run(driver, by_helper, [1.0, -1.0, 2.0]).error
    assert (error.item_index, "returned -1" in str(error)) == (1, True)
    assert run(driver, by_table, [1.0, 5.0]).error.item_index == 1


def test_zeros_of_both_signs_are_two_params(direct):
    assert run(direct, signed, [1.0], d=0.0).results == [1.0]
    assert run(direct, signed, [1.0], d=-0.0).results == [-1.0]
    assert run(direct, signed, [1.0]).results == [1.0]


@pytest.mark.parametrize("n", [2**63, 2**70, -(2**63) - 1])
def test_an_int_param_has_64_bits(direct, n):
    error = run(direct, times, [1.0], n=n).error
    assert error.phase == "initialize"
    assert "an integer of 64 bits" in str(error)
    assert run(direct, times, [1.0], n=2**63 - 1).results == [float(2**63 - 1)]


def imports(x: float) -> float:
    import os

    return x + os.getpid()


def none(x: float) -> float:
    return None


def falls_off(x: float) -> float:  # noqa: RET503
    if x > 0:
        return x


def series(x: float) -> float:
    yield x


async def later(x: float) -> float:
    return x


def wrong_default(x: float, y: int = 1.7) -> float:
    return x


@pytest.mark.parametrize("function", [imports, none, falls_off, series, later, wrong_default, math.sin, soften().info])
def test_likewise_what_numba_would_refuse_later(function):
    with pytest.raises(TypeError):
        rm.node(compile="numba")(function)


@pytest.mark.parametrize(
    "options",
    [{"compile": "cython"}, {"compile": "numba", "max_concurrency": 2}, {"compile": "numba", "retryable": ()}],
)
def test_options_that_do_not_go_together(options):
    with pytest.raises(TypeError, match="compile='numba'"):
        rm.node(**options)


def test_without_numba_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(rm.RegistryError, match=r"remotemedia\[numba\]"):
        rm.node(compile="numba")(soften.function)


@rm.node(compile="numba")
def slow(x: float, turns: int = 20_000) -> float:
    for _ in range(turns):
        x = x * 1.0000001 + 1e-9
    return x


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
@pytest.mark.parametrize("items", ["array", "list"])
@pytest.mark.parametrize("parallelism", [1, 2])
def test_r42_ctrl_c_is_seen_between_calls_of_a_slow_function(items, parallelism):
    driver = Driver("cython")
    driver.registry.register(slow, replace=True)
    manifest = plain([node("f", "slow") | {"parallelism": parallelism}])
    driver.run(manifest, [1.0])  # compiled
    data = np.zeros(400_000) if items == "array" else [0.0] * 400_000
    asked = []

    def stop(*_):
        asked.append(time.perf_counter())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    began = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        outcome = driver.run(manifest, data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert asked[0] - began < 0.3 + 0.1 + 0.3  # and as much for a machine that is busy


def test_what_numba_makes_itself_is_taken(driver):
    made = numba.cfunc("float64(float64)")(lambda x: x / 2)
    assert run(driver, rm.c_function(made, "Half"), [1.0, 3]).results == [0.5, 1.5]
    with pytest.raises(rm.RegistryError, match="has the signature"):
        rm.c_function(numba.cfunc("float32(float32)")(lambda x: x), "x")
