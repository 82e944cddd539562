"""R06, R30: what feeds a pipeline has time limits of its own, which hit nothing that is awaited beside it."""

import asyncio
from itertools import pairwise

import anyio
import pytest
from support import LOOPS, Driver, await_on, node, plain

import remotemedia as rm

LIMIT = 20  # seconds after which a test is taken to hang
WAIT = 0.03  # of an input, cut short; calls of `Slow` are at work meanwhile


class Many(rm.NodeExecutor):
    async def process(self, item):
        await asyncio.sleep(0)
        return item


class Slow(rm.NodeExecutor):
    """Awaited in the task of the run, where an input that cancels its task would find it."""

    async def process(self, item):
        await asyncio.sleep(2 * WAIT)
        return item


class Feed:
    """What a microphone does: it waits for a while, then gives what there is. Draws over in `tries`."""

    def __init__(self):
        self.tries = []
        self.task = None

    async def items(self, count, limit):
        for i in range(count):
            here = asyncio.current_task()
            assert self.task in (None, here)
            self.task = here
            try:
                if limit == "anyio":
                    with anyio.fail_after(WAIT):
                        await anyio.sleep(LIMIT)
                async with asyncio.timeout(WAIT):
                    await asyncio.sleep(LIMIT)
            except TimeoutError:
                self.tries.append(i)
            yield i


def overlapping(*first):
    nodes = [*first, node("a", "PassThrough"), node("b", "Many") | {"max_concurrency": 4}, node("c", "Slow")]
    ids = [entry["id"] for entry in nodes]
    return plain(nodes, ", ".join(f"{source} {target}" for source, target in pairwise(ids)))


def run_on(loop, driver, tree, items, way):
    """The results of a run, and nothing of it is left."""

    async def main():
        before = asyncio.all_tasks()
        if way == "run":
            run = driver.executor
            call = run.execute_async(tree) if items is None else run.execute_with_input_async(tree, items)
            results = (await call).results
        else:
            async with driver.executor.open_async(tree) as session:
                results = [item async for item in session.stream(items)]
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        return results

    return await_on(loop, main())


@pytest.fixture(params=LOOPS)
def loop(request):
    return request.param


@pytest.mark.parametrize("limit", ["asyncio", "anyio"])
@pytest.mark.parametrize("way", ["run", "session"])
def test_r30_a_limit_of_the_input_hits_nothing_but_the_input(engine, loop, limit, way):
    driver, feed = Driver(engine), Feed()
    driver.register(Many=Many, Slow=Slow)
    assert run_on(loop, driver, overlapping(), feed.items(4, limit), way) == [0, 1, 2, 3]
    assert feed.tries == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", ["asyncio", "anyio"])
@pytest.mark.parametrize("way", ["run", "session"])
def test_r30_a_limit_of_a_producer_hits_nothing_else(engine, loop, limit, way):
    feed = Feed()

    class Source(rm.NodeExecutor):
        async def produce(self):
            async for item in feed.items(4, limit):
                yield item

        def process(self, item):
            return item

    driver = Driver(engine)
    driver.register(Many=Many, Slow=Slow, Source=Source)
    assert run_on(loop, driver, overlapping(node("s", "Source")), None, way) == [0, 1, 2, 3]
    assert feed.tries == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["generator", "coroutine"])
def test_r30_a_limit_of_a_flush_hits_nothing_else(engine, loop, kind):
    feed = Feed()

    class Ends(rm.NodeExecutor):
        def process(self, item):
            return item

        async def flush(self):
            if kind == "generator":
                async for item in feed.items(3, "asyncio"):
                    yield item

    class EndsAtOnce(Ends):
        async def flush(self):
            return [item async for item in feed.items(3, "asyncio")]

    driver = Driver(engine)
    driver.register(Many=Many, Slow=Slow, Ends=Ends if kind == "generator" else EndsAtOnce)
    assert run_on(loop, driver, overlapping(node("s", "Ends")), [8, 9], "run") == [8, 9, 0, 1, 2]
    assert feed.tries == [0, 1, 2]


@pytest.mark.parametrize("mercy", [False, True])
def test_r06_a_cancelled_run_cancels_what_its_input_awaits(engine, loop, mercy):
    """As it would in one task: what the input makes of it is its own."""
    driver, seen = Driver(engine), []
    driver.register(Many=Many, Slow=Slow)

    async def items():
        yield 1
        try:
            await asyncio.sleep(LIMIT)
        except asyncio.CancelledError:
            await asyncio.sleep(WAIT)
            seen.append("cancelled")
            if not mercy:
                raise
        yield 2

    async def main():
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(driver.executor.execute_with_input_async(overlapping(), items()))
        await asyncio.sleep(4 * WAIT)  # until nothing but the input is awaited
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == before
        return outcome

    outcome = await_on(loop, main())
    assert seen == ["cancelled"]
    if mercy:
        assert outcome.results == [1, 2]
    else:
        assert isinstance(outcome, asyncio.CancelledError)


@pytest.mark.parametrize("begun", [False, True])
def test_r06_an_error_beside_the_input_lets_it_come_to_its_end(engine, loop, begun):
    """A node fails while the input waits: that is cancelled, and the run ends when it is at its end."""
    driver, seen = Driver(engine), []

    class Fails(rm.NodeExecutor):
        async def process(self, item):
            await asyncio.sleep(WAIT if begun else 0)
            raise ValueError(item)

    async def items():
        yield 1
        try:
            await asyncio.sleep(LIMIT if engine == "cython" else 0)
        finally:
            await asyncio.sleep(WAIT)
            seen.append("ended")

    driver.register(Many=Many, Slow=Fails)

    async def main():
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(driver.executor.execute_with_input_async(overlapping(), items()))
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == before
        return outcome

    outcome = await_on(loop, main())
    assert (outcome.node_id, outcome.item_index) == ("c", 0)
    assert seen == (["ended"] if engine == "cython" else [])


@pytest.mark.parametrize("turns", range(6))
def test_r06_tasks_that_somebody_else_cancels_hang_nothing(loop, turns):
    """At any time: before they began, while they wait for input or node, and while they have nothing to do."""
    driver = Driver("cython")
    driver.register(Many=Many, Slow=Slow)

    async def items():
        yield 1
        await asyncio.sleep(0)
        yield 2
        await asyncio.sleep(LIMIT)

    async def main():
        before = asyncio.all_tasks()
        source = items()
        task = asyncio.ensure_future(driver.executor.execute_with_input_async(overlapping(), source))
        for _ in range(turns):
            await asyncio.sleep(0)
        for other in asyncio.all_tasks() - before - {task}:
            other.cancel()
        await asyncio.sleep(WAIT)
        task.cancel()  # the input goes on where its task had nothing to do
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        await source.aclose()
        assert asyncio.all_tasks() == before
        return outcome

    assert isinstance(await_on(loop, main()), asyncio.CancelledError)
