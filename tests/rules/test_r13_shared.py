"""R13: nodes registered as shared live once for an executor, over both engines."""

import asyncio
import gc
import threading

import pytest
from support import LOOPS, Driver, await_on, node, plain

import remotemedia as rm

LOG: list[str] = []


@pytest.fixture(autouse=True)
def empty_log():
    LOG.clear()


@pytest.fixture
def direct(engine):
    return Driver(engine)


def told(name, **methods):
    """A node class that notes its lifecycle under a name."""

    def initialize(self, context):
        LOG.append(f"+{name}")

    def process(self, item):
        return item

    def cleanup(self):
        LOG.append(f"-{name}")

    return type(name, (rm.NodeExecutor,), {"initialize": initialize, "process": process, "cleanup": cleanup} | methods)


def share(driver, **classes):
    for name, cls in classes.items():
        driver.registry.register(name, cls, shared=True)


def test_it_is_initialized_at_first_use_and_cleaned_up_by_close_the_last_first(direct):
    share(direct, A=told("A"), B=told("B"))
    for name in ("A", "B", "A"):
        direct.executor.execute_with_input(plain([node("n", name)]), [1])
    assert LOG == ["+A", "+B"]
    direct.executor.close()
    assert LOG == ["+A", "+B", "-B", "-A"]
    direct.executor.close()
    assert len(LOG) == 4
    with pytest.raises(rm.SessionClosedError):
        direct.executor.execute_with_input(plain([node("n", "A")]), [1])


def test_a_dropped_executor_with_shared_nodes_alive_warns_and_cleans_up(direct):
    share(direct, A=told("A"))
    direct.executor.execute_with_input(plain([node("n", "A")]), [1])
    with pytest.warns(ResourceWarning, match="shared nodes alive"):  # noqa: PT031  both are one act
        del direct.executor
        gc.collect()
    assert LOG == ["+A", "-A"]


def test_all_users_must_give_the_same_params(direct):
    share(direct, A=told("A"))
    direct.executor.execute_with_input(plain([node("n", "A", size=1)]), [1])
    with pytest.raises(rm.NodeError) as caught:
        direct.executor.execute_with_input(plain([node("m", "A", size=2)]), [1])
    assert isinstance(caught.value.__cause__, rm.RegistryError)
    assert "'n'" in str(caught.value)
    assert "'m'" in str(caught.value)
    direct.executor.close()


def test_r03_an_initialize_that_fails_is_cleaned_up_and_tried_anew_by_the_next_run(direct):
    failing = [True]

    def initialize(self, context):
        LOG.append("+A")
        if failing:
            raise RuntimeError("not yet")

    share(direct, A=told("A", initialize=initialize))
    with pytest.raises(rm.NodeError, match="not yet"):
        direct.executor.execute_with_input(plain([node("n", "A")]), [1])
    assert LOG == ["+A", "-A"]
    failing.clear()
    assert direct.executor.execute_with_input(plain([node("n", "A")]), [1]).results == [1]
    direct.executor.close()
    assert LOG == ["+A", "-A", "+A", "-A"]


def test_a_failed_initialize_whose_cleanup_fails_too_keeps_both(direct):
    def fail(self, *context):
        raise RuntimeError("in cleanup" if not context else "in initialize")

    share(direct, A=told("A", initialize=fail, cleanup=fail))
    with pytest.raises(rm.NodeError) as caught:
        direct.executor.execute_with_input(plain([node("n", "A")]), [1])
    assert str(caught.value.__cause__) == "in initialize"
    assert "in cleanup" in caught.value.__cause__.__notes__[0]
    direct.executor.close()


def test_r05_close_goes_on_after_a_cleanup_that_fails(direct):
    def fail(self):
        LOG.append("-B")
        raise RuntimeError("cleanup of B")

    share(direct, A=told("A"), B=told("B", cleanup=fail))
    direct.executor.execute_with_input(plain([node("a", "A"), node("b", "B")], "a b"), [1])
    with pytest.raises(rm.NodeError, match="cleanup of B") as caught:
        direct.executor.close()
    assert (caught.value.phase, caught.value.node_id) == ("cleanup", "b")
    assert LOG == ["+A", "+B", "-B", "-A"]


def test_r06_an_interrupt_in_a_cleanup_comes_out_after_the_others(direct):
    interrupt = KeyboardInterrupt()

    def fail(self):
        raise interrupt

    share(direct, A=told("A"), B=told("B", cleanup=fail))
    direct.executor.execute_with_input(plain([node("a", "A"), node("b", "B")], "a b"), [1])
    with pytest.raises(KeyboardInterrupt) as caught:
        direct.executor.close()
    assert caught.value is interrupt
    assert LOG == ["+A", "+B", "-A"]


def test_flush_and_many_outputs_are_forwarded(direct):
    def process(self, item):
        yield item
        yield -item

    share(direct, Many=told("Many", process=process, flush=lambda self: ["late"]))
    assert direct.executor.execute_with_input(plain([node("n", "Many")]), [1, 2]).results == [1, -1, 2, -2, "late"]
    direct.executor.close()


def test_a_shared_producer_is_one(direct):
    share(direct, Source=told("Source", produce=lambda self: iter([1, 2])))
    assert direct.executor.execute(plain([node("s", "Source")])).results == [1, 2]
    direct.executor.close()


def test_an_unfinished_call_of_a_shared_many_node_is_closed(direct):
    def process(self, item):
        try:
            yield 1
            yield 2
        finally:
            LOG.append("closed")

    share(direct, Many=told("Many", process=process))
    with direct.executor.stream(plain([node("n", "Many")]), [1]) as stream:
        assert next(stream) == 1
    assert LOG == ["+Many", "closed"]
    direct.executor.close()


@pytest.mark.parametrize("many", [False, True])
def test_calls_are_serialized_between_threads(direct, many):
    inside, overlaps = [], []

    def enter():
        overlaps.extend(inside)
        inside.append(1)
        for _ in range(50):
            threading.Event().wait(0)
        inside.pop()

    def process(self, item):
        enter()
        return item

    def process_many(self, item):
        for _ in range(2):
            enter()
            yield item

    share(direct, S=told("S", process=process_many if many else process))
    manifest = rm.Manifest.from_dict(plain([node("n", "S")]))
    threads = [threading.Thread(target=direct.executor.execute_with_input, args=(manifest, range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert overlaps == []
    assert LOG == ["+S"]
    direct.executor.close()


def test_it_may_run_a_pipeline_that_uses_it(direct):
    def process(self, item):
        if item == 0:
            return "inner"
        return direct.executor.execute_with_input(plain([node("m", "S")]), [0]).results

    share(direct, S=told("S", process=process))
    assert direct.executor.execute_with_input(plain([node("n", "S")]), [1]).results == [["inner"]]
    direct.executor.close()


def test_info_is_the_nodes_own(direct):
    share(direct, S=told("S", info=lambda self: rm.NodeInfo("mine", "1.0")))
    run = direct.executor._run(plain([node("n", "S")]), "stop", None, "counts", None, plain=True)
    assert run is not None
    assert direct.registry.info("S").name == "mine"
    direct.executor.close()


# --- async methods


class Narrow(rm.NodeExecutor):
    """An async node that sees whether two are inside at once."""

    def __init__(self):
        self.inside = self.most = self.initialized = 0

    async def initialize(self, context):
        await asyncio.sleep(0)
        self.initialized += 1
        LOG.append("+narrow")

    async def process(self, item):
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        self.inside -= 1
        return item

    async def cleanup(self):
        await asyncio.sleep(0)
        LOG.append("-narrow")


class NarrowMany(Narrow):
    async def process(self, item):
        for _ in range(2):
            yield await super().process(item)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", [Narrow, NarrowMany])
def test_async_calls_are_serialized_while_they_wait_too(direct, loop, kind):
    made = kind()
    direct.registry.register("N", lambda: made, shared=True)
    manifest = plain([node("n", "N")])

    async def main():
        runs = [direct.executor.execute_with_input_async(manifest, [i, i]) for i in range(5)]
        return [result.results for result in await asyncio.gather(*runs)]

    times = 4 if kind is NarrowMany else 2
    assert await_on(loop, main()) == [[i] * times for i in range(5)]
    assert (made.most, made.initialized) == (1, 1)
    direct.executor.close()
    assert LOG == ["+narrow", "-narrow"]


def test_async_calls_of_several_loops_are_serialized(direct):
    made = Narrow()
    direct.registry.register("N", lambda: made, shared=True)
    manifest = plain([node("n", "N")])
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(direct.executor.execute_with_input(manifest, range(50)).results))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [list(range(50))] * 4
    assert (made.most, made.initialized) == (1, 1)
    direct.executor.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_who_is_cancelled_while_he_waits_for_it_leaves_it_to_the_next(direct, loop):
    class Held(Narrow):
        async def process(self, item):
            if item == "hold":
                await self.release.wait()
            return item

    made = Held()
    direct.registry.register("N", lambda: made, shared=True)
    manifest = plain([node("n", "N")])

    async def main():
        made.release = asyncio.Event()
        run = direct.executor.execute_with_input_async
        tasks = [asyncio.create_task(run(manifest, [item])) for item in ("hold", 1, 2)]
        for _ in range(10):
            await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        made.release.set()
        assert (await tasks[0]).results == ["hold"]
        assert (await tasks[2]).results == [2]
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]

    await_on(loop, main())
    direct.executor.close()


def test_an_async_cleanup_is_refused_inside_a_running_loop(direct):
    direct.registry.register("N", Narrow, shared=True)
    direct.executor.execute_with_input(plain([node("n", "N")]), [1])

    async def main():
        await asyncio.to_thread(direct.executor.close)

    asyncio.run(main())
    assert LOG == ["+narrow", "-narrow"]
