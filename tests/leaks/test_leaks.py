"""R41: after many runs of every kind nothing is left over. Each case in a process of its own."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from support import Driver, node, plain

SCRIPT = """
import asyncio, gc, os, sys, threading, warnings
sys.path.insert(0, {tests!r})
warnings.simplefilter("ignore", ResourceWarning)
from support import Driver, chain, function_node, guarded, node
import remotemedia as rm

driver = Driver({engine!r})
class Many(rm.NodeExecutor):
    def process(self, item):
        yield item
        yield [item]
driver.register(Many=Many, Fail=function_node(lambda x: 1 // 0 if x == 7 else x))
good = rm.Manifest.from_dict(guarded(
    [node("m", "Many"), node("e", "Echo"), node("p", "PassThrough"), node("j", "PassThrough", fan_in="join"),
     node("b", "Buffer", size=2)], "m e, m p, e j, p j, j b"))
bad = rm.Manifest.from_dict(chain(node("f", "Fail"), node("m", "Many"), node("b", "Batcher", size=3)))

class Batch(rm.NodeExecutor):
    batch_size = 2
    def process_batch(self, items):
        return [1 // (item != 7) for item in items]
class Gather(Batch):
    emits = "many"
driver.register(Batch=Batch, Gather=Gather)
batched = rm.Manifest.from_dict(chain(node("p", "PassThrough"), node("b", "Batch"), node("g", "Gather")))

def one(kind):
    executor = driver.executor
    if kind == "good":
        executor.execute_with_input(good, [1, 2, 3])
    elif kind == "failing":
        try:
            executor.execute_with_input(bad, [1, 7])
        except rm.NodeError:
            pass
    elif kind == "collect":
        executor.execute_with_input(bad, [1, 7, None, 7], error_policy="collect")
    elif kind == "batches":
        for policy in ("collect", "skip"):
            executor.execute_with_input(batched, [1, 7, 3, 4, 5], error_policy=policy)
        try:
            executor.execute_with_input(batched, [1, 2, 7])
        except rm.NodeError:
            pass
        with executor.stream(batched, [1, 2, 3, 4, 5]) as stream:
            next(stream)
    elif kind == "closed early":
        with executor.stream(good, [1, 2, 3]) as stream:
            next(stream)
    elif kind == "dropped":
        next(executor.stream(good, [1, 2, 3]))
    elif kind == "session":
        with executor.open(good) as session:
            session.process(1)
            session.run([2])
            session.flush()
    elif kind == "pool":
        with executor.pool(bad, 2) as pool:
            for item in (1, 7, 2):  # 7 breaks its session, the next caller gets a new one
                try:
                    with pool.session() as session:
                        session.process(item)
                except rm.NodeError:
                    pass
            lent = pool.acquire()
        pool.release(lent)
    elif kind == "dropped pool":
        executor.pool(good, 2).__enter__().acquire().process(1)
    elif kind == "async pool":
        asyncio.run(serve(executor))
    elif kind == "refused manifest":
        try:
            executor.execute_with_input({{"version": "v1", "metadata": {{"name": "x"}}, "nodes": [{{"id": "?"}}],
                                         "connections": []}}, [1])
        except rm.ManifestError:
            pass

async def serve(executor):
    async with executor.pool_async(bad, 1) as pool:
        lent = await pool.acquire()
        waiters = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await pool.release(lent)
        lent = await waiters[1]
        try:
            await lent.process(7)
        except rm.NodeError:
            pass
        await pool.release(lent)
        async with pool.session() as session:
            await session.process(1)

def level():
    gc.collect()
    # below one block in two runs: caches of the interpreter, not runs, make the rest
    return sys.getallocatedblocks(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

for _ in range(50):
    one({kind!r})
blocks, fds = level()
for _ in range(1000):
    one({kind!r})
after, fds_after = level()
assert threading.active_count() == 1
assert fds_after == fds
assert after - blocks < 500, f"{{after - blocks}} blocks more after 1000 runs"
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["cython", "reference"])
@pytest.mark.parametrize(
    "kind",
    [
        "good",
        "failing",
        "collect",
        "batches",
        "closed early",
        "dropped",
        "session",
        "pool",
        "dropped pool",
        "async pool",
        "refused manifest",
    ],
)
def test_r41_a_thousand_runs_leave_nothing(kind, engine):
    script = SCRIPT.format(tests=str(Path(__file__).parent.parent), engine=engine, kind=kind)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_a_dropped_stream_in_a_circle_with_an_item_on_its_way_is_freed(engine):
    class Item:
        pass

    manifest = plain([node(i, "PassThrough") for i in "abcd"], "a b, a c, c d")
    refs = []
    for _ in range(3):
        item = Item()
        item.stream = Driver(engine).executor.stream(manifest, [item])
        assert next(item.stream) is item  # from b; on its way to d the same item waits
        refs.append(weakref.ref(item))
        del item
        with pytest.warns(ResourceWarning, match="dropped"):
            gc.collect()
    assert [ref for ref in refs if ref() is not None] == []
