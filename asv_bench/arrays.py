"""Rows of `ratios.py` for lanes: floats in lists and arrays, against a comprehension and NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from live import in_turn, median_ratio
from scenarios import executor, manifest

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable

FACTOR, BOUND_AT, STEP = 2.0, 1.0, 1.0
COUNT = 10_000_000
CHUNK = 65_536


def numeric(*nodes: tuple[str, dict[str, Any]]) -> rm.Manifest:
    """Return the manifest of a chain of nodes, given as node type and params."""
    specs = [{"id": f"n{i}", "node_type": kind, "params": params} for i, (kind, params) in enumerate(nodes)]
    return rm.Manifest.from_dict(manifest(specs, [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)]))


def filtering() -> rm.Manifest:
    """Return S3 out of built-ins: doubled, half dropped, 1 added."""
    return numeric(
        ("Multiply", {"multiplier": FACTOR}), ("Threshold", {"threshold": BOUND_AT}), ("Add", {"operand": STEP})
    )


def multiplying() -> rm.Manifest:
    """Return a chain of ten Multiply."""
    return numeric(*(("Multiply", {"multiplier": 1.0 + i / 10}) for i in range(10)))


def scalars(rounds: int = 25, count: int = 100_000) -> float:
    """Return S3 of built-ins over a list of floats ÷ the comprehension that does the same."""
    import random

    draw = random.Random(1).random
    items = [draw() for _ in range(count)]
    tree = filtering()
    run = executor("cython").execute_with_input

    def by_comprehension() -> list[float]:
        return [y + STEP for x in items if (y := x * FACTOR) >= BOUND_AT]

    assert run(tree, items).results == by_comprehension()
    return median_ratio(in_turn(rounds, lambda: run(tree, items).results, by_comprehension))


def blocks(rounds: int = 7, count: int = COUNT) -> tuple[float, float, float]:
    """Return, over an array: S3 ÷ NumPy, S3 ÷ NumPy in chunks, ten Multiply ÷ ten multiplications in NumPy."""
    import numpy as np

    array = np.random.default_rng(1).random(count)
    run = executor("cython").execute_with_input
    few, ten = filtering(), multiplying()

    def by_numpy() -> Any:
        y = array * FACTOR
        y = y[y >= BOUND_AT]
        return y + STEP

    def by_chunks() -> Any:
        parts = []
        for start in range(0, count, CHUNK):
            y = array[start : start + CHUNK] * FACTOR
            y = y[y >= BOUND_AT]
            parts.append(y + STEP)
        return np.concatenate(parts)

    def ten_by_numpy() -> Any:
        y = array
        for i in range(10):
            y = y * (1.0 + i / 10)
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
