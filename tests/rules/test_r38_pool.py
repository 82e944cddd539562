"""R38, R13: pools of warm sessions for threads and tasks."""

import asyncio
import signal
import threading

import pytest
from support import ENGINES, LOOPS, Driver, await_on, node, plain

import remotemedia as rm

LIMIT = 30  # seconds after which a test is taken to hang


class Worker(rm.NodeExecutor):
    """Counts its own calls, so that a session in two hands at once is seen."""

    made = alive = 0
    fail_initialize = False

    def initialize(self, context):
        Worker.made += 1
        Worker.alive += 1
        self.inside = False
        if Worker.fail_initialize:
            raise OSError("no model")

    def process(self, item):
        assert not self.inside
        self.inside = True
        if item == "break":
            raise ValueError("broken")
        self.inside = False
        return item

    def cleanup(self):
        Worker.alive -= 1


class AsyncWorker(Worker):
    async def process(self, item):
        assert not self.inside
        self.inside = True
        await asyncio.sleep(0)
        self.inside = False
        return item


@pytest.fixture(autouse=True)
def fresh():
    Worker.made = Worker.alive = 0
    Worker.fail_initialize = False
    yield
    assert Worker.alive == 0


@pytest.fixture(params=ENGINES)
def executor(request):
    driver = Driver(request.param)
    driver.register(Worker=Worker, AsyncWorker=AsyncWorker)
    return driver.executor


PLAIN, ASYNC = plain([node("w", "Worker")]), plain([node("w", "AsyncWorker")])


@pytest.mark.parametrize("manifest", [PLAIN, ASYNC], ids=["plain nodes", "async nodes"])
def test_r38_many_threads_share_few_warm_sessions(executor, manifest):
    results, errors = {}, []
    with executor.pool(manifest, 3) as pool:
        assert Worker.made == 3

        def serve(number):
            try:
                for i in range(20):
                    with pool.session() as session:
                        results[number, i] = session.process((number, i))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=serve, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert Worker.made == 3
    assert errors == []
    assert results == {(n, i): [(n, i)] for n in range(8) for i in range(20)}


def test_the_session_used_last_is_handed_out_first(executor):
    with executor.pool(PLAIN, 2) as pool:
        first = pool.acquire()
        second = pool.acquire()
        pool.release(first)
        pool.release(second)
        assert pool.acquire() is second
        pool.release(second)


def test_a_broken_session_is_replaced(executor):
    with executor.pool(PLAIN, 1) as pool:
        with pytest.raises(rm.NodeError, match="broken"), pool.session() as session:
            session.process("break")
        with pool.session() as session:
            assert session.process(1) == [1]
            session.close()  # by hand
        with pool.session() as session:
            assert session.process(2) == [2]
        assert Worker.made == 3


def test_an_initialize_that_fails_meets_who_asked_and_the_slot_is_not_lost(executor):
    with executor.pool(PLAIN, 1) as pool:
        with pool.session() as session:
            session.close()
        Worker.fail_initialize = True
        for _ in range(3):
            with pytest.raises(rm.NodeError, match="no model"):
                pool.acquire()
        Worker.fail_initialize = False
        with pool.session() as session:
            assert session.process(1) == [1]


def test_one_that_cannot_be_opened_closes_the_others(executor):
    class Third(Worker):
        def initialize(self, context):
            super().initialize(context)
            if Worker.made == 3:
                raise OSError("out of memory")

    executor.registry.register("Third", Third)
    pool = executor.pool(plain([node("t", "Third")]), 4)
    with pytest.raises(rm.NodeError, match="out of memory"), pool:
        pass
    assert Worker.alive == 0


def test_who_waits_too_long_gets_an_error_that_says_so(executor):
    with executor.pool(PLAIN, 2) as pool, pool.session(), pool.session():
        with pytest.raises(rm.PoolTimeoutError, match=r"all 2 sessions .* 0\.01 s") as caught:
            pool.acquire(timeout=0.01)
        assert isinstance(caught.value, TimeoutError)
        with pytest.raises(rm.PoolTimeoutError):
            pool.acquire(timeout=0)


def test_close_wakes_who_waits_and_cleans_what_is_lent_when_it_comes_back(executor):
    raised = []
    with executor.pool(PLAIN, 1) as pool:
        lent = pool.acquire()

        def wait():
            try:
                pool.acquire()
            except rm.SessionClosedError as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.02)  # whether it waits already or not: the same comes of it
        pool.close()
        pool.close()
        thread.join(LIMIT)
        assert len(raised) == 1
        assert lent.process(1) == [1]  # who has one may go on
        assert Worker.alive == 1
        pool.release(lent)
        assert Worker.alive == 0
        with pytest.raises(rm.SessionClosedError):
            pool.acquire()


def test_what_is_not_lent_cannot_be_given_back(executor):
    with executor.pool(PLAIN, 1) as pool, executor.pool(PLAIN, 1) as other:
        session = pool.acquire()
        with pytest.raises(ValueError, match="lent"):
            other.release(session)
        pool.release(session)
        with pytest.raises(ValueError, match="lent"):
            pool.release(session)
        with executor.open(PLAIN) as foreign, pytest.raises(ValueError, match="lent"):
            pool.release(foreign)
        with pytest.raises(rm.SessionBusyError):
            pool.__enter__()


def test_a_pool_is_used_in_a_with(executor):
    pool = executor.pool(PLAIN, 1)
    with pytest.raises(rm.SessionClosedError):
        pool.acquire()
    with pytest.raises(ValueError, match="at least 1"):
        executor.pool(PLAIN, 0)
    pool.__enter__()
    with pytest.warns(ResourceWarning, match="dropped while open"):
        del pool  # by its last reference, not only by the collector


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("manifest", [PLAIN, ASYNC], ids=["plain nodes", "async nodes"])
def test_r38_many_tasks_share_few_warm_sessions(executor, manifest, loop):
    async def main():
        results = {}
        async with executor.pool_async(manifest, 3) as pool:

            async def serve(number):
                for i in range(20):
                    async with pool.session() as session:
                        results[number, i] = await session.process((number, i))
                        await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(serve(number))
            assert Worker.made == 3
        return results

    assert await_on(loop, main()) == {(n, i): [(n, i)] for n in range(8) for i in range(20)}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_waiter_that_is_cancelled_loses_no_session(executor, loop):
    async def main():
        async with executor.pool_async(PLAIN, 1) as pool:
            lent = await pool.acquire()
            waiters = [asyncio.create_task(pool.acquire()) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
            await asyncio.sleep(0)
            await pool.release(lent)  # to the second
            waiters[1].cancel()  # who was handed it, and did not come to take it
            assert await asyncio.wait_for(waiters[2], LIMIT) is lent
            await pool.release(lent)
            with pytest.raises(rm.PoolTimeoutError):
                async with pool.session():
                    await pool.acquire(timeout=0.01)
            async with pool.session() as session:
                return await session.process(1)

    assert await_on(loop, main()) == [1]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_async_pool_replaces_what_broke_and_closes_at_any_time(executor, loop):
    async def main():
        async with executor.pool_async(PLAIN, 1) as pool:
            with pytest.raises(rm.NodeError, match="broken"):
                async with pool.session() as session:
                    await session.process("break")
            Worker.fail_initialize = True
            with pytest.raises(rm.NodeError, match="no model"):
                await pool.acquire()
            Worker.fail_initialize = False
            lent = await pool.acquire()
            waiter = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            await pool.close()
            with pytest.raises(rm.SessionClosedError):
                await waiter
            assert await lent.process(2) == [2]
            await pool.release(lent)
            with pytest.raises(ValueError, match="lent"):
                await pool.release(lent)

    await_on(loop, main())


def test_who_asks_while_the_pool_is_entered_is_served_by_it(executor):
    """A waiter that came before the first session was made is not left waiting beside an idle one."""
    got = []

    class Slow(Worker):
        def initialize(self, context):
            super().initialize(context)
            thread.start()
            assert asking.wait(LIMIT)
            thread.join(0.02)  # whether it waits already or not: the same comes of it

    executor.registry.register("Slow", Slow)
    pool = executor.pool(plain([node("s", "Slow")]), 1)
    asking = threading.Event()

    def ask():
        asking.set()
        session = pool.acquire(timeout=LIMIT)
        got.append(session.process(1))
        pool.release(session)

    thread = threading.Thread(target=ask)
    with pool:
        thread.join(LIMIT)
        assert got == [[1]]


def test_close_while_the_pool_is_entered_leaves_no_session(executor):
    class Closing(Worker):
        def initialize(self, context):
            super().initialize(context)
            if Worker.made == 2:
                pool.close()

    executor.registry.register("Closing", Closing)
    pool = executor.pool(plain([node("c", "Closing")]), 3)
    with pytest.raises(rm.SessionClosedError):
        pool.__enter__()
    assert (Worker.made, Worker.alive) == (2, 0)
    with pytest.raises(rm.SessionClosedError):
        pool.acquire()


def test_r05_an_error_in_the_with_outranks_a_cleanup_at_release(executor):
    class Leaving(Worker):
        def cleanup(self):
            super().cleanup()
            raise OSError("cleanup")

    executor.registry.register("Leaving", Leaving)
    pool = executor.pool(plain([node("l", "Leaving")]), 1)
    pool.__enter__()
    with pytest.raises(KeyError) as caught, pool.session():
        pool.close()
        raise KeyError("mine")
    assert "cleanup" in "".join(caught.value.__notes__)
    pool = executor.pool(plain([node("l", "Leaving")]), 1)
    pool.__enter__()
    with pytest.raises(rm.NodeError, match="cleanup"), pool.session():
        pool.close()


def test_a_session_with_an_unfinished_stream_is_not_handed_on(executor):
    with executor.pool(PLAIN, 1) as pool:
        with pool.session() as session:
            stream = session.stream([1, 2])
            assert next(stream) == 1
        with pool.session() as session:
            assert session.process(3) == [3]
        with pytest.raises(rm.SessionClosedError):
            next(stream)
        assert Worker.made == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_an_async_pool_that_is_asked_or_closed_while_entered(executor, loop):
    started, go = [], []

    class Gated(Worker):
        async def initialize(self, context):
            super().initialize(context)
            started[-1].set()
            await go[-1].wait()

    executor.registry.register("Gated", Gated)

    async def main():
        for closes in (False, True):
            started.append(asyncio.Event())
            go.append(asyncio.Event())
            pool = executor.pool_async(plain([node("g", "Gated")]), 1)
            entering = asyncio.create_task(pool.__aenter__())
            await asyncio.wait_for(started[-1].wait(), LIMIT)
            waiter = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            if closes:
                await pool.close()
            go[-1].set()
            if closes:
                with pytest.raises(rm.SessionClosedError):
                    await entering
                with pytest.raises(rm.SessionClosedError):
                    await waiter
                assert Worker.alive == 0
            else:
                await entering
                await pool.release(await asyncio.wait_for(waiter, LIMIT))
                await pool.close()

    await_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_r05_an_error_in_the_async_with_outranks_a_cleanup_at_release(executor, loop):
    class Leaving(Worker):
        async def cleanup(self):
            super().cleanup()
            raise OSError("cleanup")

    executor.registry.register("Leaving", Leaving)

    async def main():
        pool = await executor.pool_async(plain([node("l", "Leaving")]), 1).__aenter__()
        with pytest.raises(KeyError) as caught:
            async with pool.session():
                await pool.close()
                raise KeyError("mine")
        assert "cleanup" in "".join(caught.value.__notes__)

    await_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_session_with_an_unfinished_stream_is_not_handed_on_to_a_task(executor, loop):
    async def main():
        async with executor.pool_async(PLAIN, 1) as pool:
            async with pool.session() as session:
                stream = session.stream([1, 2])
                assert await anext(stream) == 1
            async with pool.session() as session:
                assert await session.process(3) == [3]
            with pytest.raises(rm.SessionClosedError):
                await anext(stream)
            assert Worker.made == 2

    await_on(loop, main())


def test_r06_an_interrupt_at_the_handover_leaves_no_session(executor):
    """Ctrl-C comes when the session was handed to who waits, and the pool closed: nobody has it, and nobody will."""
    pool = executor.pool(PLAIN, 1).__enter__()
    lent = pool.acquire()

    def handler(number, frame):  # runs where the lock is waited for
        pool.release(lent)
        pool.close()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            pool.acquire(timeout=LIMIT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert Worker.alive == 0


def test_an_infinite_timeout_is_none(executor):
    got = []
    with executor.pool(PLAIN, 1) as pool:
        lent = pool.acquire(timeout=float("inf"))
        thread = threading.Thread(target=lambda: got.append(pool.acquire(timeout=float("inf"))))
        thread.start()
        pool.release(lent)
        thread.join(LIMIT)
        assert got == [lent]
        pool.release(lent)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_infinite_timeout_of_an_async_pool_is_none(executor, loop):
    async def main():
        async with executor.pool_async(PLAIN, 1) as pool:
            lent = await pool.acquire(timeout=float("inf"))
            waiter = asyncio.create_task(pool.acquire(timeout=float("inf")))
            await asyncio.sleep(0)
            await pool.release(lent)
            assert await waiter is lent
            await pool.release(lent)

    await_on(loop, main())
