"""Rows of `ratios.py` for lanes and blocks: floats in lists and arrays, audio; against a comprehension and NumPy."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from live import in_turn, median_ratio
from scenarios import BOUND, SEED, chain, executor, floats

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable

FACTOR, STEP = 2.0, 1.0
FACTORS = [1.0 + i / 10 for i in range(10)]
COUNT = 10_000_000
CHUNK = 65_536
HOUR, BLOCK = 3600 * 48_000, 4800  # samples


def filtering() -> rm.Manifest:
    """Return S3 out of built-ins: doubled, half dropped, 1 added."""
    kinds = ("Multiply", {"multiplier": FACTOR}), ("Threshold", {"threshold": BOUND}), ("Add", {"operand": STEP})
    return rm.Manifest.from_dict(chain(*kinds))


def multiplying() -> rm.Manifest:
    """Return a chain of ten Multiply."""
    return rm.Manifest.from_dict(chain(*(("Multiply", {"multiplier": factor}) for factor in FACTORS)))


def scalars(rounds: int = 25, count: int = 100_000) -> float:
    """Return S3 of built-ins over a list of floats ÷ the comprehension that does the same."""
    items = floats(count)
    tree = filtering()
    run = executor("cython").execute_with_input

    def by_comprehension() -> list[float]:
        return [y + STEP for x in items if (y := x * FACTOR) >= BOUND]

    assert run(tree, items).results == by_comprehension()
    return median_ratio(in_turn(rounds, lambda: run(tree, items).results, by_comprehension))


def c_function_slope(rounds: int = 15, count: int = 100_000, more: int = 10) -> float:
    """Return what one more C function of the user's costs an item ÷ what one more built-in Multiply does."""
    import ctypes
    import ctypes.util

    library = ctypes.CDLL(ctypes.util.find_library("m"))
    library.fabs.restype, library.fabs.argtypes = ctypes.c_double, [ctypes.c_double]
    items = floats(count)
    runner = executor("cython", fabs=rm.c_function(library.fabs, "fabs"))
    kinds = {"fabs": {}, "Multiply": {"multiplier": 1.0000001}}
    trees = [rm.Manifest.from_dict(chain(*[(kind, kinds[kind])] * n)) for kind in kinds for n in (2, 2 + more)]
    calls = [lambda tree=tree: runner.execute_with_input(tree, items) for tree in trees]
    slopes = [(ours - short, theirs - brief) for short, ours, brief, theirs in in_turn(rounds, *calls)]
    return statistics.median(ours for ours, _ in slopes) / statistics.median(theirs for _, theirs in slopes)


def batches(rounds: int = 15, count: int = 100_000, size: int = 256) -> float:
    """Return a node with NumPy inside, in batches, ÷ the same calls without the runtime."""
    import numpy as np

    class Roots(rm.NodeExecutor):
        batch_size = size

        def process_batch(self, items: list[Any]) -> list[Any]:
            return np.sqrt(np.array(items)).tolist()  # type: ignore[no-any-return]

    items = floats(count)
    tree = rm.Manifest.from_dict(chain(("Roots", {})))
    run = executor("cython", Roots=Roots).execute_with_input

    def bare() -> list[Any]:
        node = Roots()
        results: list[Any] = []
        for start in range(0, count, size):
            results.extend(node.process_batch(items[start : start + size]))
        return results

    assert run(tree, items).results == bare()
    return median_ratio(in_turn(rounds, lambda: run(tree, items).results, bare))


def threads(rounds: int = 9, count: int = COUNT) -> tuple[float, float]:
    """Return two threads ÷ one over an array: ten Multiply, and S3."""
    import numpy as np

    array = np.random.default_rng(SEED).random(count) * BOUND
    run = executor("cython").execute_with_input

    def split(tree: rm.Manifest, parallelism: int) -> Callable[[], Any]:
        spelled = tree.to_dict()
        for node in spelled["nodes"]:
            node["parallelism"] = parallelism
        ready = rm.Manifest.from_dict(spelled)
        return lambda: run(ready, array).array

    ratios = []
    for tree in (multiplying(), filtering()):
        one, two = split(tree, 1), split(tree, 2)
        assert np.array_equal(one(), two())
        ratios.append(median_ratio(in_turn(rounds, two, one)))
    return ratios[0], ratios[1]


def blocks(rounds: int = 7, count: int = COUNT) -> tuple[float, float, float]:
    """Return, over an array: S3 ÷ NumPy, S3 ÷ NumPy in chunks, ten Multiply ÷ ten multiplications in NumPy."""
    import numpy as np

    array = np.random.default_rng(SEED).random(count) * BOUND
    run = executor("cython").execute_with_input
    few, ten = filtering(), multiplying()

    def by_numpy() -> Any:
        y = array * FACTOR
        y = y[y >= BOUND]
        return y + STEP

    def by_chunks() -> Any:
        parts = []
        for start in range(0, count, CHUNK):
            y = array[start : start + CHUNK] * FACTOR
            y = y[y >= BOUND]
            parts.append(y + STEP)
        return np.concatenate(parts)

    def ten_by_numpy() -> Any:
        y = array
        for factor in FACTORS:
            y = y * factor
        return y

    def through(tree: rm.Manifest) -> Callable[[], Any]:
        return lambda: run(tree, array).array

    assert np.array_equal(through(few)(), by_numpy())
    assert np.array_equal(through(ten)(), ten_by_numpy())
    return (
        median_ratio(in_turn(rounds, through(few), by_numpy)),
        median_ratio(in_turn(rounds, through(few), by_chunks)),
        median_ratio(in_turn(rounds, through(ten), ten_by_numpy)),
    )


def audio(rounds: int = 3, samples: int = HOUR) -> float:
    """Return int16 → float32 → gain → RMS of blocks of 0.1 s, an hour of 48 kHz mono ÷ NumPy, all blocks at once."""
    import numpy as np

    blocks = np.random.default_rng(SEED).integers(-32768, 32768, (samples // BLOCK, BLOCK), np.int16)
    kinds = ("FormatConvert", {"format": "float32"}), ("Gain", {"factor": 0.5}), ("Level", {"unit": "rms"})
    tree = rm.Manifest.from_dict(chain(*kinds))
    run = executor("cython").execute_with_input

    def by_numpy() -> Any:
        y = blocks.astype(np.float32)
        y = y / np.float32(32768)
        y = y * np.float32(0.5)
        y = y * y
        return np.sqrt(y.mean(axis=1))

    assert np.allclose(run(tree, blocks).results, by_numpy())
    return median_ratio(in_turn(rounds, lambda: run(tree, blocks).results, by_numpy))
