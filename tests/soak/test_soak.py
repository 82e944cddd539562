"""R14, R16, R41 under random ends: slow, failing, filtering, async and threaded nodes, cancelled at any moment.

A short one is in the suite; ``make soak`` drives 10⁶ items (``REMOTEMEDIA_SOAK`` says how many).
"""

import asyncio
import gc
import os
import random
import sys
import threading

import pytest
from support import LOOPS, await_on, plain

import remotemedia as rm

ITEMS = int(os.environ.get("REMOTEMEDIA_SOAK", "20000"))


class Slow(rm.NodeExecutor):
    async def process(self, item):
        for _ in range(item % 3):
            await asyncio.sleep(0)
        return item


class Odd(rm.NodeExecutor):
    def process(self, item):
        return item if item % 2 else None


class Fails(rm.NodeExecutor):
    def process(self, item):
        if sum(item.values()) % 17 == 0:
            raise ValueError(item)
        return item


class Triple(rm.NodeExecutor):
    async def process(self, item):
        for i in range(item % 4):
            yield item * 10 + i


class Same(rm.NodeExecutor):
    def process(self, item):
        return item


MANIFEST = plain(
    [
        {"id": "in", "node_type": "PassThrough"},
        {"id": "odd", "node_type": "Odd"},
        {"id": "slow", "node_type": "Slow", "max_concurrency": 8, "timeout_ms": 60_000},
        {"id": "thread", "node_type": "Same", "isolation": "thread", "max_concurrency": 2},
        {"id": "join", "node_type": "Fails", "fan_in": "join", "join_missing": "partial"},
        {"id": "triple", "node_type": "Triple", "max_concurrency": 3},
        {"id": "late", "node_type": "Slow", "max_concurrency": 4},
    ],
    "in odd, in thread, odd slow, slow join, thread join, in triple, triple late",
)


def check(metrics, *, whole):
    """The equations of R14, to the item."""
    for counts in metrics["nodes"].values():
        assert counts["in"] == counts["passed"] + counts["filtered"] + counts["failed"]
    for counts in metrics["connections"].values():
        assert counts["sent"] == counts["delivered"] + counts["dropped"]
    assert metrics["items_in"] == metrics["nodes"]["in"]["in"] + metrics["refused"]
    if whole:
        nodes = metrics["nodes"]
        assert nodes["odd"]["in"] == nodes["thread"]["in"] == nodes["triple"]["in"] == nodes["in"]["passed"]
        assert nodes["slow"]["in"] == nodes["odd"]["passed"]
        assert nodes["late"]["in"] == nodes["triple"]["out"]


def expected(items):
    found = []
    for item in items:
        joined = {"slow": item, "thread": item} if item % 2 else {"thread": item}
        if sum(joined.values()) % 17:
            found.append(joined)
        found += [item * 10 + i for i in range(item % 4)]
    return found


async def one_round(executor, rng):
    """Drive some items, and end in one of the ways that there are; return how many went in."""
    items = [rng.randrange(1000) for _ in range(rng.randrange(1, 1500))]
    failures = []
    way = rng.choice(["whole", "whole", "left", "cancelled", "interrupted", "aborted"])
    async with executor.open_async(MANIFEST, error_policy="collect", on_error=failures.append) as session:
        if way == "whole":
            result = await session.run(items)
            check(result.metrics, whole=True)
            assert sorted(map(str, result.results)) == sorted(map(str, expected(items)))
            assert len(failures) == result.metrics["nodes"]["join"]["failed"]
        elif way == "left":
            async with session.stream(items) as stream:
                left = rng.randrange(len(items))
                async for _ in stream:
                    left -= 1
                    if left < 0:
                        break
        else:
            task = asyncio.create_task(session.run(items))
            for _ in range(rng.randrange(60)):
                await asyncio.sleep(0)
            if way == "cancelled":
                task.cancel()
            elif way == "interrupted":
                session.interrupt()
            else:
                await session.abort()
            try:
                result = await task
                check(result.metrics, whole=False)
            except (asyncio.CancelledError, rm.SessionClosedError):
                assert way != "interrupted"
        check(session.metrics(), whole=False)
        return session.metrics()["items_in"]


def level():
    gc.collect()
    fds = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    return threading.active_count(), fds, sys.getallocatedblocks()


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_r14_r41_the_equations_hold_and_all_comes_back(loop):
    registry = rm.NodeRegistry()
    for cls in (Slow, Odd, Fails, Triple, Same):
        registry.register(cls.__name__, cls)
    executor = rm.Executor(registry)
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # shown if it fails
    rng = random.Random(seed)

    async def main():
        passed = 0
        for _ in range(20):
            passed += await one_round(executor, rng)
        before = level()
        while passed < ITEMS // len(LOOPS):
            passed += await one_round(executor, rng)
        assert len(asyncio.all_tasks()) == 1
        return before, level()

    (threads, fds, blocks), (threads_then, fds_then, blocks_then) = await_on(loop, main())
    assert (threads_then, fds_then) == (threads, fds)
    assert blocks_then - blocks < 500
