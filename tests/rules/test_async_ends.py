"""R06, R08, R11: a run that is cancelled, closed or interrupted where it waits, in every phase of an async node."""

import asyncio
import contextvars
import os
import signal
import threading

import pytest
from support import ENGINES, LOOPS, Driver, await_on, node, plain

import remotemedia as rm

CALLS: list[str] = []
SEEN: list[type] = []
PHASES = ("initialize", "process", "stream", "flush", "produce", "cleanup", "input")


@pytest.fixture(params=ENGINES)
def driver(request):
    CALLS.clear()
    SEEN.clear()
    driver = Driver(request.param)
    driver.register(Calm=Calm)
    return driver


class Calm(rm.NodeExecutor):
    def initialize(self, context):
        self.id = context.node_id
        CALLS.append(f"+{self.id}")

    def process(self, item):
        return item

    def cleanup(self):
        CALLS.append(f"-{self.id}")


async def wait_for_ever(entered):
    entered.set()
    try:
        await asyncio.get_running_loop().create_future()
    except BaseException as error:
        SEEN.append(type(error))
        raise


def waiting(phase, entered):
    """A node class that waits in a phase, and tells it."""

    async def initialize(self, context):
        CALLS.append("+n")
        if phase == "initialize":
            await wait_for_ever(entered)

    async def process(self, item):
        if phase == "process":
            await wait_for_ever(entered)
        return item

    async def stream(self, item):
        yield item
        await wait_for_ever(entered)

    async def flush(self):
        await wait_for_ever(entered)

    async def produce(self):
        yield 1
        await wait_for_ever(entered)

    async def cleanup(self):
        CALLS.append("-n")
        if phase == "cleanup":
            await wait_for_ever(entered)

    methods = {"initialize": initialize, "process": process, "cleanup": cleanup}
    if phase == "stream":
        methods["process"] = stream
    elif phase == "flush":
        methods["flush"] = flush
    elif phase == "produce":
        methods["produce"] = produce
        del methods["process"]
    return type("Waiting", (rm.NodeExecutor,), methods)


def pipeline(driver, phase, entered):
    driver.register(Waiting=waiting(phase, entered))
    first = "n" if phase == "produce" else "a"
    pairs = {"a": "a n, n z", "n": "n z"}[first]
    nodes = [node("n", "Waiting"), node("z", "Calm")]
    return plain(nodes if first == "n" else [node("a", "Calm"), *nodes], pairs)


def feed(phase, entered):
    async def source():
        yield 1
        await wait_for_ever(entered)

    return None if phase == "produce" else source() if phase == "input" else [1, 2]


def cleaned(phase):
    if phase == "initialize":
        return ["+a", "+n", "-n", "-a"]
    return ["+n", "+z", "-z", "-n"] if phase == "produce" else ["+a", "+n", "+z", "-z", "-n", "-a"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["execute", "stream"])
def test_r06_a_cancelled_task_cleans_up_and_is_cancelled(driver, loop, phase, how):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, phase, entered)

        async def execute():
            if phase == "produce":
                return await driver.executor.execute_async(manifest)
            return await driver.executor.execute_with_input_async(manifest, feed(phase, entered))

        async def stream():
            async with driver.executor.stream_async(manifest, feed(phase, entered)) as out:
                async for _ in out:
                    pass

        task = asyncio.create_task(execute() if how == "execute" else stream())
        await entered.wait()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert task.cancelled()
        return caught.value

    await_on(loop, main())
    assert [asyncio.CancelledError] == SEEN
    assert cleaned(phase) == CALLS


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_timeout_around_the_call_is_a_timeout(driver, loop, phase):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, phase, entered)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                if phase == "produce":
                    await driver.executor.execute_async(manifest)
                else:
                    await driver.executor.execute_with_input_async(manifest, feed(phase, entered))
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)  # nothing is left of it

    await_on(loop, main())
    assert cleaned(phase) == CALLS


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_before_it_started(driver, loop):
    async def main():
        manifest = pipeline(driver, "process", asyncio.Event())
        task = asyncio.create_task(driver.executor.execute_with_input_async(manifest, [1]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await_on(loop, main())
    assert CALLS == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_cancellation_in_a_cleanup_does_not_skip_the_others(driver, loop):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, "cleanup", entered)
        task = asyncio.create_task(driver.executor.execute_with_input_async(manifest, [1]))
        await entered.wait()
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await_on(loop, main())
    assert cleaned("cleanup") == CALLS


@pytest.mark.parametrize("loop", LOOPS)
def test_a_sibling_that_fails_cancels_the_run(driver, loop):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, "process", entered)

        async def fail():
            await entered.wait()
            raise KeyError("sibling")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(driver.executor.execute_with_input_async(manifest, [1]))
                group.create_task(fail())
        assert [type(error) for error in caught.value.exceptions] == [KeyError]

    await_on(loop, main())
    assert cleaned("process") == CALLS


def test_a_coroutine_that_is_closed_cleans_up_without_waiting(driver):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, "process", entered)
        running = driver.executor.execute_with_input_async(manifest, [1])

        async def step():  # the first step only
            running.send(None)

        await step()
        assert entered.is_set()
        running.close()

    asyncio.run(main())
    assert [GeneratorExit] == SEEN
    assert cleaned("process") == CALLS


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_r06_what_a_node_raises_beside_errors_is_raised_as_it_is(driver, kind):
    raised = kind("by the node")

    class Raises(Calm):
        async def process(self, item):
            await asyncio.sleep(0)
            raise raised

    driver.register(Raises=Raises)
    with pytest.raises(kind) as caught:
        driver.executor.execute_with_input(plain([node("r", "Raises")]), [1], error_policy="skip")
    assert caught.value is raised
    assert CALLS == ["+r", "-r"]


@pytest.mark.skipif(os.name == "nt", reason="no signals to threads")
def test_r42_ctrl_c_ends_a_plain_call_that_waits(driver):
    entered = threading.Event()
    manifest = pipeline(driver, "process", entered)

    def interrupt():
        assert entered.wait(30)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        driver.executor.execute_with_input(manifest, [1])
    thread.join()
    assert cleaned("process") == CALLS


@pytest.mark.parametrize("loop", LOOPS)
def test_a_node_is_awaited_in_the_callers_own_task_and_context(driver, loop):
    variable = contextvars.ContextVar("variable", default="nobody's")
    tasks = []

    class Looks(Calm):
        async def process(self, item):
            tasks.append(asyncio.current_task())
            seen = variable.get()
            variable.set("the node's")
            try:
                async with asyncio.timeout(0):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                return seen

    driver.register(Looks=Looks)

    async def main():
        variable.set("the caller's")
        result = await driver.executor.execute_with_input_async(plain([node("l", "Looks")]), [1])
        assert tasks == [asyncio.current_task()]
        assert variable.get() == "the node's"  # as for any function that is awaited
        return result.results

    assert await_on(loop, main()) == ["the caller's"]


@pytest.mark.parametrize("loop", LOOPS)
def test_r08_a_consumer_that_raises_or_leaves_closes_what_gave_it_items(driver, loop):
    """An early break that leaves producers running is a known failure."""
    closed = []

    class Endless(Calm):
        async def produce(self):
            try:
                while True:
                    await asyncio.sleep(0)
                    yield 1
            finally:
                closed.append("produce")

    driver.register(Endless=Endless)
    manifest = plain([node("p", "Endless"), node("z", "Calm")], "p z")

    async def main():
        with pytest.raises(KeyError):
            async with driver.executor.stream_async(manifest) as out:
                async for _ in out:
                    raise KeyError("the consumer's")
        assert closed == ["produce"]
        assert CALLS == ["+p", "+z", "-z", "-p"]
        async with driver.executor.stream_async(manifest) as out:
            async for _ in out:
                break
        assert closed == ["produce"] * 2

    await_on(loop, main())
    assert CALLS == ["+p", "+z", "-z", "-p"] * 2


@pytest.mark.parametrize("loop", LOOPS)
def test_two_tasks_cannot_read_one_stream(driver, loop):
    async def main():
        entered = asyncio.Event()
        manifest = pipeline(driver, "process", entered)
        async with driver.executor.stream_async(manifest, [1]) as out:
            first = asyncio.create_task(anext(out))
            await entered.wait()
            with pytest.raises(rm.SessionBusyError):
                await anext(out)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    await_on(loop, main())
    assert cleaned("process") == CALLS


@pytest.mark.parametrize("loop", LOOPS)
def test_r38_tasks_times_runs(driver, loop):
    class Turns(Calm):
        async def process(self, item):
            await asyncio.sleep(0)
            return item + 1

    driver.register(Turns=Turns)
    manifest = rm.Manifest.from_dict(plain([node("t", "Turns"), node("u", "Turns")], "t u"))

    async def many(start):
        found = []
        for i in range(10):
            result = await driver.executor.execute_with_input_async(manifest, range(start, start + i))
            found.append(result.results)
        return found

    async def main():
        return await asyncio.gather(*(many(start) for start in range(20)))

    wanted = [[[x + 2 for x in range(start, start + i)] for i in range(10)] for start in range(20)]
    assert await_on(loop, main()) == wanted


def test_inside_a_running_loop_an_error_names_the_call_to_use(driver):
    manifest = pipeline(driver, "process", asyncio.Event())

    async def main():
        with pytest.raises(rm.EventLoopError, match="execute_with_input_async"):
            driver.executor.execute_with_input(manifest, [1])

    asyncio.run(main())
    assert CALLS == []
