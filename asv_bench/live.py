"""Rows of `ratios.py` for what waits and what goes on at the same time: by the clock, in turn, medians."""

from __future__ import annotations

import asyncio
import gc
import queue
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from scenarios import S1, Same, executor, integers, manifest

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

try:
    import uvloop
except ImportError:  # no Windows
    uvloop = None

CALLS = 100
SLEEP_S = 0.001


class Awaited(rm.NodeExecutor):
    """Never suspends."""

    async def process(self, item: Any) -> Any:
        return item


class Sleeping(rm.NodeExecutor):
    async def process(self, item: Any) -> Any:
        await asyncio.sleep(SLEEP_S)
        return item


def chain_of(node_type: str, count: int, **keys: Any) -> rm.Manifest:
    """Return the manifest of a chain of nodes of one type."""
    nodes = [{"id": f"n{i}", "node_type": node_type, **keys} for i in range(count)]
    return rm.Manifest.from_dict(manifest(nodes, [(f"n{i}", f"n{i + 1}") for i in range(count - 1)]))


def in_turn(rounds: int, *calls: Callable[[], Any]) -> list[tuple[float, ...]]:
    """Return for each round the seconds of one call of each."""
    for call in calls:
        call()
    found = []
    for _ in range(rounds):
        gc.collect()
        times = []
        for call in calls:
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        found.append(tuple(times))
    return found


def median_ratio(samples: list[tuple[float, ...]]) -> float:
    return statistics.median(over / under for over, under in samples)


def on_loop(rounds: int, loop: str, *calls: Callable[[], Awaitable[Any]]) -> list[tuple[float, ...]]:
    """Return the same of awaitables, all on one event loop."""

    async def main() -> list[tuple[float, ...]]:
        for call in calls:
            await call()
        found = []
        for _ in range(rounds):
            gc.collect()
            times = []
            for call in calls:
                began = time.perf_counter()
                await call()
                times.append(time.perf_counter() - began)
            found.append(tuple(times))
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        return runner.run(main())


def never_suspending(rounds: int = 30) -> float:
    """Return three async nodes over 10 000 items ÷ the same awaited by hand."""
    items = integers(10_000)
    tree = chain_of("Awaited", 3)
    run = executor("cython", Awaited=Awaited).execute_with_input_async
    nodes = [Awaited() for _ in range(3)]

    async def by_engine() -> list[Any]:
        return (await run(tree, items)).results

    async def by_hand() -> list[Any]:
        results = []
        for item in items:
            for node in nodes:
                item = await node.process(item)
                if item is None:
                    break
            else:
                results.append(item)
        return results

    assert asyncio.run(by_engine()) == asyncio.run(by_hand())
    return median_ratio(on_loop(rounds, "asyncio", by_engine, by_hand))


def sleeping(loop: str, rounds: int = 15) -> float:
    """Return 1 000 items through a node that sleeps, 100 at a time ÷ a hundred workers that keep order."""
    items = integers(1000)
    tree = chain_of("Sleeping", 1, max_concurrency=CALLS)
    run = executor("cython", Sleeping=Sleeping).execute_with_input_async
    process = Sleeping().process

    async def by_engine() -> list[Any]:
        return (await run(tree, items)).results

    async def by_hand() -> list[Any]:
        results: list[Any] = [None] * len(items)
        left = iter(enumerate(items))

        async def work() -> None:
            for i, item in left:
                results[i] = await process(item)

        await asyncio.gather(*(work() for _ in range(CALLS)))
        return results

    assert asyncio.run(by_engine()) == asyncio.run(by_hand())
    return median_ratio(on_loop(rounds, loop, by_engine, by_hand))


def streams(rounds: int = 9) -> tuple[float, float]:
    """Return S1 over 100 000 items: sync stream ÷ whole call, and async stream ÷ sync stream."""
    items = integers(100_000)
    tree = rm.Manifest.from_dict(S1)
    made = executor("cython")

    def whole() -> int:
        return len(made.execute_with_input(tree, items).results)

    def stream() -> int:
        with made.stream(tree, items) as out:
            return len(list(out))

    async def read() -> int:
        async with made.stream_async(tree, items) as out:
            return len([item async for item in out])

    assert whole() == stream() == asyncio.run(read()) == len(items)
    samples = in_turn(rounds, whole, stream, lambda: asyncio.run(read()))
    return (
        statistics.median(b / a for a, b, _ in samples),
        statistics.median(c / b for _, b, c in samples),
    )


def hop(rounds: int = 15) -> tuple[float, float]:
    """Return what a hop between two thread stages takes an item ÷ put and get of a `SimpleQueue` between two threads.

    Four stages beside two, in threads and in the caller's thread: the hop alone, and the hop and the call behind it.
    """
    items = integers(100_000)
    made = executor("cython", Same=Same)
    trees = [chain_of("Same", count, isolation="thread") for count in (2, 4)]
    trees += [chain_of("Same", count) for count in (2, 4)]

    def through_queue() -> None:
        between: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def take() -> None:
            for _ in items:
                between.get()

        thread = threading.Thread(target=take)
        thread.start()
        for item in items:
            between.put(item)
        thread.join()

    def through(tree: rm.Manifest) -> Callable[[], Any]:
        return lambda: made.execute_with_input(tree, items)

    assert all(through(tree)().results == list(items) for tree in trees)
    samples = in_turn(rounds, *map(through, trees), through_queue)
    return (
        statistics.median((four - two - (beside - plain)) / 2 / queued for two, four, plain, beside, queued in samples),
        statistics.median((four - two) / 2 / queued for two, four, _, _, queued in samples),
    )


def pooled(rounds: int = 30) -> float:
    """Return acquire, `process` of one item and release ÷ get and put of a `SimpleQueue` around a bare call."""
    count = range(10_000)
    made = executor("cython", Same=Same)
    nodes: queue.SimpleQueue[Same] = queue.SimpleQueue()
    nodes.put(Same())
    with made.pool(chain_of("Same", 1), 2) as pool:

        def by_pool() -> None:
            acquire, release = pool.acquire, pool.release
            for item in count:
                session = acquire()
                session.process(item)
                release(session)

        def by_queue() -> None:
            get, put = nodes.get, nodes.put
            for item in count:
                node = get()
                node.process(item)
                put(node)

        return median_ratio(in_turn(rounds, by_pool, by_queue))
