"""`run.parallel_init`: nodes that do not depend on each other are initialized at the same time (R02 by levels, R03)."""

import asyncio
import contextvars
import threading

import pytest
from support import ENGINES, MODES, Driver, edges

import remotemedia as rm
from remotemedia.parallel_init import levels

VARIABLE = contextvars.ContextVar("variable", default="outside")


@pytest.fixture(params=[(engine, mode) for engine in ENGINES for mode in MODES], ids="-".join)
def driver(request):
    return Driver(*request.param)


def manifest(nodes, connections, **run):
    return {
        "version": "v1",
        "metadata": {"name": "t"},
        "run": {"parallel_init": True, **run},
        "nodes": [{"id": name, "node_type": kind} for name, kind in nodes.items()],
        "connections": [{"from": a, "to": b} for a, b in edges(connections)],
    }


class Tells(rm.NodeExecutor):
    log: list = []

    def initialize(self, context):
        self.id = context.node_id
        self.log.append(f"+{self.id}")

    def process(self, item):
        return item

    def cleanup(self):
        self.log.append(f"-{self.id}")


@pytest.fixture
def log():
    Tells.log = []
    return Tells.log


def meeting(count):
    """Node classes, plain and async, whose initialize ends only when `count` of them are in it."""
    arrived, together = [], threading.Barrier(count)

    class Plain(Tells):
        def initialize(self, context):
            super().initialize(context)
            together.wait(60)

    class Async(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            arrived.append(self)
            while len(arrived) < count:
                await asyncio.sleep(0)

    return Plain, Async


@pytest.mark.parametrize("kind", ["Plain", "Async"])
def test_r02_nodes_of_a_level_are_initialized_at_the_same_time(driver, log, kind):
    plain, awaited = meeting(3)
    driver.register(T=Tells, M=plain if kind == "Plain" else awaited)
    given = manifest({"a": "T", "b": "M", "c": "M", "d": "M", "z": "T"}, "a b, a c, a d, b z, c z, d z")
    outcome = driver.run(given, [1])
    assert outcome.error is None
    assert outcome.results == [1, 1, 1]
    assert (log[0], set(log[1:4]), log[4]) == ("+a", {"+b", "+c", "+d"}, "+z")
    assert log[5:] == ["-z", "-d", "-c", "-b", "-a"]


def test_plain_and_async_nodes_are_mixed(driver, log):
    entered = threading.Event()

    class Plain(Tells):
        def initialize(self, context):
            super().initialize(context)
            assert entered.wait(60)

    class Async(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            entered.set()

    driver.register(P=Plain, A=Async)
    outcome = driver.run(manifest({"p": "P", "a": "A", "e": "Echo"}, ""), [1])
    assert outcome.error is None
    assert sorted(log[:2]) == ["+a", "+p"]
    assert log[2:] == ["-a", "-p"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_r03_after_a_failure_what_was_begun_is_cleaned_up(driver, log, kind):
    both = threading.Barrier(2)

    class Fails(Tells):
        def initialize(self, context):
            super().initialize(context)
            both.wait(60)
            raise ValueError(self.id)

    class AsyncFails(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            raise ValueError(self.id)

    driver.register(T=Tells, F=Fails if kind == "plain" else AsyncFails)
    error = driver.run(manifest({"a": "T", "c": "F", "b": "F", "z": "T"}, "a b, a c, b z, c z"), [1]).error
    assert (error.node_id, error.phase, str(error.__cause__)) == ("c", "initialize", "c")
    assert [other.node_id for other in error.others] == ["b"]
    assert sorted(log[1:3]) == ["+b", "+c"]
    assert log[3:] == ["-b", "-c", "-a"]


def test_r03_other_tasks_of_the_level_are_cancelled(driver, log):
    class Hangs(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

    class Fails(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            raise ValueError

    driver.register(H=Hangs, F=Fails)
    error = driver.run(manifest({"h": "H", "f": "F"}, ""), [1]).error
    assert (error.node_id, error.others) == ("f", [])
    assert log == ["+h", "+f", "cancelled", "-f", "-h"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_context_variables_are_copied_for_each(driver, log, kind):
    seen = []

    class Plain(Tells):
        def initialize(self, context):
            super().initialize(context)
            seen.append(VARIABLE.get())
            VARIABLE.set(self.id)

    class Async(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            seen.append(VARIABLE.get())
            VARIABLE.set(self.id)

    token = VARIABLE.set("caller")
    try:
        driver.register(N=Plain if kind == "plain" else Async)
        driver.run(manifest({"a": "N", "b": "N"}, ""), [1])
    finally:
        VARIABLE.reset(token)
    assert seen == ["caller", "caller"]
    assert VARIABLE.get() == "outside"


def test_an_interrupt_of_initialize_is_raised_and_cleaned_up(driver, log):
    class Interrupts(Tells):
        def initialize(self, context):
            super().initialize(context)
            raise KeyboardInterrupt

    driver.register(T=Tells, I=Interrupts)
    outcome = driver.run(manifest({"a": "T", "b": "I"}, ""), [1])
    assert type(outcome.error) is KeyboardInterrupt
    assert "-b" in log


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_who_cancels_the_wait_for_threads_twice_leaves_them_behind(engine, log):
    release, entered, back = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    class Sticks(Tells):
        def initialize(self, context):
            super().initialize(context)
            entered.release()
            release.wait(60)
            back.release()

    class Async(Tells):
        async def process(self, item):
            return item

    async def main():
        run = asyncio.ensure_future(
            driver.executor.execute_with_input_async(manifest({"a": "S", "b": "S", "c": "A"}, ""), [1])
        )
        for _ in range(2):
            await asyncio.to_thread(entered.acquire)
        for _ in range(2):
            run.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.wait([run], timeout=30)
        return run.cancelled()

    driver = Driver(engine, "async execute on asyncio")
    driver.register(S=Sticks, A=Async)
    assert asyncio.run(main())
    assert not back.acquire(blocking=False)
    release.set()
    assert back.acquire(timeout=30)
    assert back.acquire(timeout=30)
    assert {"-a", "-b"} <= set(log)


def test_no_thread_is_left(driver, log):
    driver.register(T=Tells)
    before = threading.active_count()
    driver.run(manifest(dict.fromkeys("abcdefgh", "T"), ""), [1])
    for _ in range(1000):
        if threading.active_count() == before:
            break
        threading.Event().wait(0.001)
    assert threading.active_count() == before
    assert sorted(log[:8]) == [f"+{name}" for name in "abcdefgh"]


def test_levels_are_of_the_longest_way():
    feeders = {0: [], 1: [0], 2: [0, 1], 3: []}
    assert levels([0, 1, 2, 3], feeders.__getitem__) == [[0, 3], [1], [2]]


def slow(kind):
    """A node class whose initialize takes long: the async one waits for ever, the plain one until it is let go."""
    free = threading.Event()

    class Plain(Tells):
        def initialize(self, context):
            super().initialize(context)
            free.wait(0.2)

    class Async(Tells):
        async def initialize(self, context):
            Tells.initialize(self, context)
            await asyncio.Event().wait()

    return Plain if kind == "plain" else Async


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_r30_a_limit_holds_for_each_node_of_a_level(driver, log, kind):
    driver.register(T=Tells, S=slow(kind))
    given = manifest({"a": "T", "b": "S", "c": "T", "z": "T"}, "a b, a c, b z, c z")
    given["nodes"][1]["timeout_ms"] = {"initialize": 20}
    error = driver.run(given, [1]).error
    assert (error.node_id, error.phase) == ("b", "initialize")
    assert isinstance(error.__cause__, rm.NodeTimeoutError)
    assert (log[0], set(log[1:3])) == ("+a", {"+b", "+c"})
    assert log[3:] == ["-c", "-b", "-a"]


def test_r31_a_deadline_cuts_a_level_short(driver, log):
    driver.register(T=Tells, S=slow("async"))
    error = driver.run(manifest({"a": "T", "b": "S", "c": "S"}, "a b, a c", deadline_ms=50), [1]).error
    assert isinstance(error, rm.DeadlineError)
    assert (log[0], set(log[1:3])) == ("+a", {"+b", "+c"})
    assert log[3:] == ["-c", "-b", "-a"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_shared_node_of_a_level_is_initialized_once(driver, log, kind):
    class Async(Tells):
        async def initialize(self, context):
            await asyncio.sleep(0)
            Tells.initialize(self, context)

    driver.register(T=Tells)
    driver.registry.register("S", Tells if kind == "plain" else Async, shared=True)
    outcome = driver.run(manifest({"a": "T", "b": "S", "c": "S", "d": "T"}, "a b, a c, a d"), [1])
    assert outcome.error is None
    assert outcome.results == [1, 1, 1]
    assert len([entry for entry in log if entry in ("+b", "+c")]) == 1
    driver.executor.close()
