"""`session.interrupt()`: what is on its way is dropped, the nodes stay warm, and the run goes on."""

import asyncio
import threading

import pytest
from support import LOOPS, Driver, await_on, chain, node, plain

import remotemedia as rm

LIMIT = 30  # seconds after which a test is taken to hang


class Speaks(rm.NodeExecutor):
    """Waits at the items that it is told to, until it is cancelled."""

    made = 0

    def __init__(self, waits_at=(2,)):
        self.waits_at = waits_at
        self.entered = threading.Event()
        self.cancelled = []
        Speaks.made += 1

    async def process(self, item):
        if item in self.waits_at:
            self.entered.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled.append(item)
                raise
        return item


def speaking(waits_at=(2,), **keys):
    driver = Driver("cython")
    speaks = Speaks(waits_at)
    driver.register(Speaks=lambda: speaks)
    manifest = chain(node("a", "PassThrough"), node("s", "Speaks"), node("z", "PassThrough"))
    manifest["nodes"][2] |= keys
    return driver, speaks, manifest


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("node_id", [None, "s"])
@pytest.mark.parametrize("calls", [1, 2])
def test_what_is_awaited_is_cancelled_and_the_run_goes_on(loop, node_id, calls):
    driver, speaks, manifest = speaking(max_concurrency=calls)

    async def main():
        async with driver.executor.open_async(manifest, metrics="time") as session:
            running = asyncio.create_task(session.run(range(5)))
            await until(speaks.entered.is_set)
            session.interrupt(node_id)
            result = await running
            assert running.cancelling() == 0
            assert (await session.process(7)) == [7]
            return result

    result = await_on(loop, main())
    assert speaks.cancelled == [2]
    dropped = set(range(5)) - set(result.results)
    assert 2 in dropped
    assert result.results == sorted(result.results)
    if calls == 1:
        assert result.results == [0, 1, 3, 4]
    counts = result.metrics["nodes"]["s"]
    assert counts["in"] == counts["passed"] + counts["filtered"] == 5
    assert counts["passed"] == len(result.results)
    assert counts["processing"]["count"] == 5


@pytest.mark.parametrize("loop", LOOPS)
def test_what_waits_for_the_node_is_dropped_with_it(loop):
    driver, speaks, manifest = speaking(waits_at=(0, 1), max_concurrency=2)
    manifest["connections"][1]["capacity"] = 3

    async def main():
        feed = asyncio.Queue()

        async def source():
            while (item := await feed.get()) is not None:
                yield item

        for i in range(5):
            feed.put_nowait(i)  # two in calls, three that wait
        async with driver.executor.open_async(manifest) as session:
            running = asyncio.create_task(session.run(source()))
            await until(lambda: speaks.entered.is_set() and feed.empty())
            for _ in range(5):
                await asyncio.sleep(0)
            session.interrupt("s")
            feed.put_nowait(9)
            feed.put_nowait(None)
            return await running

    result = await_on(loop, main())
    assert speaks.cancelled == [0, 1]
    assert result.results == [9]
    assert result.metrics["nodes"]["s"] == {"in": 6, "passed": 1, "filtered": 5, "failed": 0, "out": 1, "flushed": 0}


@pytest.mark.parametrize("node_id", [None, "s"])
def test_from_another_thread_in_a_plain_session(node_id):
    driver, speaks, manifest = speaking()
    with driver.executor.open(manifest) as session:

        def interrupt():
            assert speaks.entered.wait(LIMIT)
            session.interrupt(node_id)

        thread = threading.Thread(target=interrupt)
        thread.start()
        assert session.run(range(5)).results == [0, 1, 3, 4]
        thread.join()


@pytest.mark.parametrize("node_id", [None, "t"])
def test_a_call_in_a_thread_is_left_behind(node_id):
    release, entered, back = threading.Event(), threading.Event(), threading.Event()

    class Blocks(rm.NodeExecutor):
        def process(self, item):
            if item == 2:
                entered.set()
                assert release.wait(LIMIT)
                back.set()
            return item

    driver = Driver("cython")
    driver.register(Blocks=Blocks)
    manifest = chain(node("t", "Blocks"))
    manifest["nodes"][1]["isolation"] = "thread"
    manifest["connections"][0]["capacity"] = 1

    def interrupt():
        assert entered.wait(LIMIT)
        session.interrupt(node_id)

    with driver.executor.open(manifest) as session:
        thread = threading.Thread(target=interrupt)
        thread.start()
        result = session.run(range(10))
        thread.join()
        assert 2 not in result.results
        assert result.results[-1] == 9
        assert not back.is_set()
        release.set()
    assert back.wait(LIMIT)


def test_between_the_choice_of_a_call_and_its_begin(monkeypatch):
    """Who starts a thread lets others run: it had taken its own item before."""
    start = threading.Thread.start
    entered, given = threading.Event(), []

    class Takes(rm.NodeExecutor):
        def process(self, item):
            given.append(item)
            entered.set()
            return item

    def interrupt_and_start(thread):
        if thread.name == "remotemedia" and threading.current_thread().name == "remotemedia" and not asked:
            asked.append(session.interrupt("t"))
            while not session.metrics()["nodes"]["t"]["filtered"]:
                threading.Event().wait(0.001)
        start(thread)

    asked = []
    driver = Driver("cython")
    driver.register(Takes=Takes)
    manifest = chain(node("t", "Takes"))
    manifest["nodes"][1] |= {"isolation": "thread", "max_concurrency": 2}
    monkeypatch.setattr(threading.Thread, "start", interrupt_and_start)
    with driver.executor.open(manifest) as session:
        result = session.run(range(1000))
        counts = result.metrics["nodes"]["t"]
    assert asked
    assert None not in given
    assert counts["in"] == counts["passed"] + counts["filtered"] == 1000
    assert len(result.results) == counts["passed"] == len(given)


class Endless(rm.NodeExecutor):
    def __init__(self):
        self.closed = 0

    def process(self, item):
        try:
            for i in range(10**9):
                yield item, i
        finally:
            self.closed += 1


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_endless_call_of_a_many_node_is_closed(kind):
    class AsyncEndless(Endless):
        async def process(self, item):
            try:
                for i in range(10**9):
                    await asyncio.sleep(0)
                    yield item, i
            finally:
                self.closed += 1

    endless = Endless() if kind == "plain" else AsyncEndless()
    driver = Driver("cython")
    driver.register(Endless=lambda: endless)
    seen = []
    with driver.executor.open(plain([node("e", "Endless")])) as session, session.stream([1, 2, 3]) as stream:
        for item, i in stream:
            seen.append(item)
            if i == 100:
                session.interrupt()
    assert sorted(set(seen)) == [1, 2, 3]
    assert endless.closed == 3


def test_between_calls_it_does_nothing_and_an_unknown_node_is_an_error():
    driver, _, manifest = speaking(waits_at=())
    session = driver.executor.open(manifest)
    with pytest.raises(rm.SessionClosedError):
        session.interrupt()
    with session:
        session.interrupt()
        with pytest.raises(ValueError, match="no node 'x'"):
            session.interrupt("x")
        assert session.run([1, 2]).results == [1, 2]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_that_is_cancelled_too_is_cancelled(loop):
    driver, speaks, manifest = speaking()

    async def main():
        async with driver.executor.open_async(manifest) as session:
            running = asyncio.create_task(session.run(range(5)))
            await until(speaks.entered.is_set)
            session.interrupt()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    await_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_input_that_waits_is_not_interrupted(loop):
    driver, _, manifest = speaking(waits_at=(), max_concurrency=2)

    async def main():
        more = asyncio.Event()

        async def source():
            yield 1
            await more.wait()
            yield 2

        async with driver.executor.open_async(manifest) as session:
            running = asyncio.create_task(session.run(source()))
            for _ in range(20):
                await asyncio.sleep(0)
            session.interrupt()
            for _ in range(20):
                await asyncio.sleep(0)
            more.set()
            return (await running).results

    assert await_on(loop, main())[-1] == 2
