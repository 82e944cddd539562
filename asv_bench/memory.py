"""Rows of `ratios.py` for memory: what is in use at most, as `tracemalloc` counts it.

The consumer of a stream is slow: it pauses after every thousandth item, for longer than it takes to fill every queue.
So does the last stage of those in threads. What comes before would run ahead, were it not held back.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from live import Awaited, chain_of
from scenarios import S1, Same, executor, manifest

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1_000_000
PAUSE_EVERY = 1000
PAUSE_S = 0.001


class Pausing(Same):
    def initialize(self, context: rm.NodeContext) -> None:
        self.passed = 0

    def process(self, item: Any) -> Any:
        self.passed += 1
        if self.passed % PAUSE_EVERY == 0:
            time.sleep(PAUSE_S)
        return item


def threads(capacity: int | None = None) -> rm.Manifest:
    """Return the manifest of two stages in threads, the last of them slow."""
    stages = [{"id": kind, "node_type": kind, "isolation": "thread"} for kind in ("Same", "Pausing")]
    tree = manifest([{"id": "first", "node_type": "Same"}, *stages], [("first", "Same"), ("Same", "Pausing")])
    for connection in tree["connections"]:
        if capacity is not None:
            connection["capacity"] = capacity
    return rm.Manifest.from_dict(tree)


COMPOSITIONS: dict[str, tuple[rm.Manifest, bool]] = {
    "S1": (rm.Manifest.from_dict(S1), False),
    "S1, async": (rm.Manifest.from_dict(S1), True),
    "two stages in threads": (threads(), False),
    "two stages in threads, async": (threads(), True),
    "two async nodes, 8 calls at a time, async": (chain_of("Awaited", 2, max_concurrency=8), True),
}
"""What is streamed, and whether an `async for` reads it."""


def beyond_kept(call: Callable[[], Any]) -> int:
    """Return the bytes that were in use at most during a call, beyond what its result holds."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        result = call()
        kept, peak = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return peak - kept


def growth(tree: rm.Manifest, *, is_async: bool, few: int = 100_000, many: int = 1_000_000) -> int:
    """Return the bytes by which the peak of a stream of many items is above that of one of few."""
    made = executor("cython", Same=Same, Awaited=Awaited, Pausing=Pausing)
    read = read_async if is_async else read_plain
    read(made, tree, 2 * PAUSE_EVERY)  # what is made once is not counted
    peaks = [peak_of(lambda count=count: read(made, tree, count), count) for count in (few, many)]
    return peaks[1] - peaks[0]


def peak_of(read: Callable[[], int], count: int) -> int:
    """Return the bytes in use at most while a stream is read."""
    gc.collect()
    tracemalloc.start()
    try:
        passed = read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert passed == count
    return peak


def read_plain(made: rm.Executor, tree: rm.Manifest, count: int) -> int:
    """Read a stream slowly and throw each item away; return how many there were."""
    passed = 0
    with made.stream(tree, iter(range(count))) as stream:
        for _ in stream:
            passed += 1
            if passed % PAUSE_EVERY == 0:
                time.sleep(PAUSE_S)
    return passed


def read_async(made: rm.Executor, tree: rm.Manifest, count: int) -> int:
    """Do the same with an `async for`."""

    async def main() -> int:
        passed = 0
        async with made.stream_async(tree, iter(range(count))) as stream:
            async for _ in stream:
                passed += 1
                if passed % PAUSE_EVERY == 0:
                    await asyncio.sleep(PAUSE_S)
        return passed

    return asyncio.run(main())
