"""R15, R23, R26-R28, R32, R34: calls beside each other, in tasks and threads, with bounded queues."""

import asyncio
import contextvars
import ctypes
import gc
import itertools
import signal
import threading
import weakref

import pytest
from support import LOOPS, MODES, Driver, await_on, chain, node, plain

import remotemedia as rm

LIMIT = 20  # seconds after which a test is taken to hang


@pytest.fixture
def driver():
    return Driver("cython")


def over(manifest, **keys):
    """The manifest with these keys on its first connection."""
    manifest["connections"][0] |= keys
    return manifest


class Meter(rm.NodeExecutor):
    """An async node that counts its calls under way, and notes how they end."""

    def __init__(self):
        self.now = self.most = self.cancelled = self.cleaned = 0

    async def process(self, item):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(item % 5 + 1):
                await asyncio.sleep(0)
            return item
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1

    def cleanup(self):
        assert self.now == 0, "cleaned while a call is under way"
        self.cleaned += 1


def metered(driver, **keys):
    made = Meter()
    driver.register(Meter=lambda: made)
    manifest = chain(node("m", "Meter"), node("c", "PassThrough"))
    manifest["nodes"][1] |= keys
    return made, manifest


@pytest.mark.parametrize("loop", LOOPS)
def test_r15_calls_overlap_up_to_the_limit_and_keep_their_order(driver, loop):
    made, manifest = metered(driver, max_concurrency=7)
    result = await_on(loop, driver.executor.execute_with_input_async(manifest, range(100)))
    assert result.results == list(range(100))
    assert made.most == 7
    assert made.cleaned == 1


def test_a_class_says_how_many_calls_it_takes_and_the_manifest_has_the_last_word(driver):
    class Four(Meter):
        max_concurrency = 4

    for keys, most in (({}, 4), ({"max_concurrency": 1}, 1), ({"max_concurrency": 2}, 2)):
        made, manifest = metered(driver, **keys)
        made.__class__ = Four
        assert driver.results(manifest, range(20)) == list(range(20))
        assert made.most == most


class AsyncTwice(rm.NodeExecutor):
    async def process(self, item):
        return item * 2


@pytest.mark.parametrize(
    ("cls", "keys", "path", "words"),
    [
        (rm.NodeExecutor, {"max_concurrency": 2}, ".max_concurrency", "plain node"),
        (AsyncTwice, {"isolation": "thread"}, ".isolation", "async"),
        (type("Odd", (AsyncTwice,), {"max_concurrency": 0}), {}, "", "an integer from 1"),
    ],
)
@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_r43_what_cannot_overlap_is_a_manifest_error(engine, cls, keys, path, words):
    driver = Driver(engine)
    driver.register(N=type("N", (cls,), {} if cls is not rm.NodeExecutor else {"process": lambda self, item: item}))
    manifest = plain([node("a", "PassThrough"), node("n", "N") | keys], "a n")
    with pytest.raises(rm.ManifestError, match=words) as caught:
        driver.executor.execute_with_input(manifest, [1])
    assert caught.value.errors[0].path == f"$.nodes[1]{path}"


def test_r43_an_overflow_of_one_of_several_connections_is_a_manifest_error(driver):
    manifest = plain([node("a", "PassThrough"), node("b", "PassThrough"), node("c", "PassThrough")], "a c, b c")
    over(manifest, overflow="drop_newest")
    with pytest.raises(rm.ManifestError, match="not defined"):
        driver.executor.execute_with_input(manifest, [1])


# --- threads


class Gate(rm.NodeExecutor):
    """A plain node whose calls wait until they are let through."""

    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.threads = set()
        self.cleaned = 0

    def process(self, item):
        self.threads.add(threading.current_thread())
        self.entered.release()
        assert self.open.wait(LIMIT)
        return item

    def cleanup(self):
        self.cleaned += 1


def gated(driver, **keys):
    gate = Gate()
    driver.register(Gate=lambda: gate)
    manifest = chain(node("p", "PassThrough"), node("g", "Gate"))
    manifest["nodes"][2] |= {"isolation": "thread", **keys}
    return gate, manifest


def test_r32_a_threaded_node_is_called_off_the_callers_thread(driver):
    gate, manifest = gated(driver, max_concurrency=3)
    gate.open.set()
    before = threading.active_count()
    assert driver.results(manifest, range(50)) == list(range(50))
    assert threading.current_thread() not in gate.threads
    assert 1 <= len(gate.threads) <= 3
    assert threading.active_count() == before


@pytest.mark.parametrize("loop", LOOPS)
def test_r32_the_loop_turns_while_a_threaded_node_blocks(driver, loop):
    gate, manifest = gated(driver)

    async def main():
        run = asyncio.create_task(driver.executor.execute_with_input_async(manifest, [1, 2]))
        while not gate.entered.acquire(blocking=False):
            await asyncio.sleep(0)
        gate.open.set()  # this task runs while the node blocks
        return (await run).results

    assert await_on(loop, main()) == [1, 2]


def test_calls_in_threads_see_the_context_variables_of_the_caller(driver):
    variable = contextvars.ContextVar("variable", default="none")
    driver.register(Look=lambda: type("Look", (rm.NodeExecutor,), {"process": lambda self, item: variable.get()})())
    manifest = plain([node("a", "Look") | {"isolation": "thread"}])
    variable.set("set by the caller")
    assert driver.results(manifest, [1]) == ["set by the caller"]


def test_r23_r26_the_input_is_pulled_no_further_than_there_is_room(driver):
    gate, manifest = gated(driver)
    manifest["connections"][1]["capacity"] = 4
    pulled = []

    def source():
        for i in range(100):
            pulled.append(i)
            if len(pulled) == 5:  # one in the call, four that wait: as many as there is room for
                gate.entered.acquire()
                threading.Timer(0.05, gate.open.set).start()
            assert gate.open.is_set() or len(pulled) <= 5
            yield i

    assert driver.results(manifest, source()) == list(range(100))


# --- overflow


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop_newest", [0, 1, 2]), ("drop_oldest", [0, 8, 9]), ("block", list(range(10)))]
)
def test_r28_an_overflow_drops_what_it_names_and_counts_it(driver, overflow, kept):
    gate, manifest = gated(driver)
    manifest["connections"][1] |= {"capacity": 2, "overflow": overflow}

    def source():
        for i in range(10):
            yield i
            if i == 0:
                assert gate.entered.acquire(timeout=LIMIT)  # the call of 0 is under way
            if overflow == "block" or i == 9:
                gate.open.set()

    outcome = driver.run(manifest, source())
    assert outcome.error is None
    assert outcome.results == kept
    assert outcome.metrics["connections"]["p->g"] == {
        "sent": 10, "delivered": len(kept), "dropped": 10 - len(kept)
    }  # fmt: skip
    assert outcome.counts("g")["in"] == len(kept)


@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
def test_r28_an_overflow_can_be_an_error(driver, policy):
    gate, manifest = gated(driver)
    manifest["connections"][1] |= {"capacity": 1, "overflow": "error"}

    def source():
        for i in range(3):
            yield i
            if i == 0:
                assert gate.entered.acquire(timeout=LIMIT)
        gate.open.set()

    threading.Timer(0.2, gate.open.set).start()  # under stop the error waits for the calls before it
    outcome = driver.run(manifest, source(), error_policy=policy)
    assert outcome.results == [0, 1]
    errors = [outcome.error] if policy == "stop" else outcome.result.errors
    if policy != "skip":
        assert [(type(e.__cause__), e.node_id, e.item_index) for e in errors] == [(rm.QueueFullError, "g", 2)]


@pytest.mark.parametrize("policy", ["skip", "collect"])
@pytest.mark.parametrize("opener", ["inline", "thread"])
def test_r28_an_output_that_meets_a_full_queue_costs_no_other(driver, opener, policy):
    class Twice(rm.NodeExecutor):
        def process(self, item):
            yield from [item, item]

    gate, _ = gated(driver)
    driver.register(Twice=Twice)
    manifest = chain(node("t", "Twice"), node("g", "Gate"))
    manifest["nodes"][1] |= {"isolation": "thread"} if opener == "thread" else {}
    manifest["nodes"][2]["isolation"] = "thread"
    manifest["connections"][1] |= {"capacity": 1, "overflow": "error"}
    threading.Timer(0.1, gate.open.set).start()
    result = driver.run(manifest, range(10), error_policy=policy).result
    twice, gate_counts = result.metrics["nodes"]["t"], result.metrics["nodes"]["g"]
    assert (twice["in"], twice["passed"], twice["out"]) == (10, 10, 20)
    assert gate_counts["in"] == gate_counts["passed"] + gate_counts["failed"] == 20
    assert gate_counts["failed"] > 0
    assert result.results[:2] == [0, 0]


def test_r28_a_full_queue_leaves_the_call_of_a_many_node_that_is_under_way(driver):
    given = threading.Semaphore(0)

    class Twice(rm.NodeExecutor):
        def process(self, item):
            yield from [item, item]
            given.release()

    gate, _ = gated(driver)
    driver.register(Twice=Twice)
    manifest = chain(node("p", "PassThrough"), node("t", "Twice"), node("g", "Gate"))
    for spec in manifest["nodes"][2:]:
        spec["isolation"] = "thread"
    over(manifest)["connections"][1] |= {"capacity": 1, "overflow": "error"}
    manifest["connections"][2]["capacity"] = 1
    threading.Timer(0.1, gate.open.set).start()

    def source():
        yield from range(2)
        assert given.acquire(timeout=LIMIT)
        assert given.acquire(timeout=LIMIT)
        yield from range(2, 30)  # what the first calls of t gave waits for room before g

    result = driver.run(manifest, source(), error_policy="skip").result
    counts = result.metrics["nodes"]["t"]
    assert counts["in"] == counts["passed"] + counts["failed"] == 30
    assert counts["failed"] > 0
    assert counts["out"] == 2 * counts["passed"] == len(result.results)


def test_r28_dropped_items_keep_their_place_in_a_join(driver):
    gate, _ = gated(driver)
    nodes = [
        node("p", "PassThrough"),
        node("g", "Gate") | {"isolation": "thread"},
        node("j", "PassThrough", fan_in="join", join_missing="partial"),
    ]
    manifest = plain(nodes, "p g, p j, g j")
    manifest["connections"][0] |= {"capacity": 1, "overflow": "drop_newest"}

    def source():
        for i in range(4):
            yield i
            if i == 0:
                assert gate.entered.acquire(timeout=LIMIT)
        gate.open.set()

    assert driver.results(manifest, source()) == [{"p": 0, "g": 0}, {"p": 1, "g": 1}, {"p": 2}, {"p": 3}]


# --- errors, cancellation, the end


class Fails(rm.NodeExecutor):
    """Fails at some items, the later ones sooner."""

    async def process(self, item):
        for _ in range(40 - 3 * item):
            await asyncio.sleep(0)
        if item in (3, 5, 9):
            raise ValueError(item)
        return item


def test_r34_the_first_failure_in_order_is_raised_whichever_came_first(driver):
    driver.register(Fails=Fails)
    manifest = plain([node("f", "Fails") | {"max_concurrency": 12}])
    outcome = driver.run(manifest, range(12))
    assert outcome.error.item_index == 3
    assert outcome.results == [0, 1, 2]
    assert {e.item_index for e in outcome.error.others} <= {5, 9}
    assert {e.item_index for e in outcome.error.others}
    collected = driver.run(manifest, range(12), error_policy="collect")
    assert [e.item_index for e in collected.result.errors] == [3, 5, 9]
    assert collected.results == [i for i in range(12) if i not in (3, 5, 9)]


def test_r34_a_failure_further_down_at_an_earlier_item_is_the_one(driver):
    class Late(rm.NodeExecutor):
        async def process(self, item):
            await asyncio.sleep(0.05)
            raise ValueError(f"late {item}")

    class Early(rm.NodeExecutor):
        async def process(self, item):
            if item == 1:
                raise ValueError("early")
            return item

    driver.register(Late=Late, Early=Early)
    manifest = chain(node("e", "Early"), node("l", "Late"))
    for spec in manifest["nodes"][1:]:
        spec["max_concurrency"] = 4
    error = driver.run(manifest, range(3)).error
    assert (error.node_id, error.item_index) == ("l", 0)
    assert [(e.node_id, e.item_index) for e in error.others] == [("e", 1)]


def test_r37_a_wrong_return_is_the_fault_of_the_node_that_gave_it_not_of_the_next(driver):
    class Lazy(rm.NodeExecutor):
        async def process(self, item):
            await asyncio.sleep(0)
            return (k for k in range(item)) if item > 4 else item

    driver.register(Lazy=Lazy, Meter=Meter)
    manifest = chain(node("l", "Lazy") | {"max_concurrency": 2}, node("m", "Meter") | {"max_concurrency": 2})
    result = driver.run(manifest, range(9), error_policy="collect").result
    assert result.results == list(range(5))
    assert [(error.node_id, error.item_index) for error in result.errors] == [("l", k) for k in range(5, 9)]
    assert result.metrics["nodes"]["m"]["in"] == 5


def test_an_error_of_the_input_comes_after_what_was_pulled_before_it(driver):
    _, manifest = metered(driver, max_concurrency=3)

    def source():
        yield from range(5)
        raise OSError("unplugged")

    out = []
    with pytest.raises(OSError, match="unplugged"), driver.executor.stream(manifest, source()) as stream:
        out.extend(stream)
    assert out == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("loop", LOOPS)
def test_r06_a_cancelled_run_cancels_its_calls_and_cleans_up(driver, loop):
    made, manifest = metered(driver, max_concurrency=5)

    async def main():
        started = asyncio.Event()

        class Hang(Meter):
            async def process(self, item):
                if self.now == 3:
                    started.set()
                self.now += 1
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                finally:
                    self.now -= 1

        made.__class__ = Hang
        run = asyncio.create_task(driver.executor.execute_with_input_async(manifest, range(100)))
        await started.wait()
        run.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await run

    await_on(loop, main())
    assert made.cancelled >= 4
    assert (made.now, made.cleaned) == (0, 1)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 20])
def test_idle_tasks_that_somebody_cancels_are_replaced(driver, loop, turns):
    _, manifest = metered(driver, max_concurrency=2)

    async def main():
        async with driver.executor.open_async(manifest) as session:
            results = await session.process(4)
            for others in range(2):
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
                async with asyncio.timeout(LIMIT):
                    results += (await session.run([others] * 3)).results
            return results

    assert await_on(loop, main()) == [4, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("loop", LOOPS)
def test_r08_a_stream_left_early_cancels_its_calls_and_a_session_goes_on(driver, loop):
    made, manifest = metered(driver, max_concurrency=5)

    async def main():
        async with driver.executor.open_async(manifest) as session:
            async with session.stream(range(1000)) as stream:
                async for item in stream:
                    if item == 10:
                        break
            assert made.now == 0
            assert made.cancelled > 0
            return (await session.run(range(7))).results, await session.process(3)

    assert await_on(loop, main()) == (list(range(7)), [3])
    assert made.cleaned == 1


def test_r08_a_stream_with_threads_left_early_waits_for_the_calls_under_way(driver):
    gate, manifest = gated(driver, max_concurrency=2)
    gate.open.set()
    with driver.executor.open(manifest) as session:
        with session.stream(range(1000)) as stream:
            for item in stream:
                if item == 10:
                    break
        assert session.run(range(5)).results == list(range(5))
        assert session.process(7) == [7]
    assert gate.cleaned == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_r36_nodes_are_free_when_a_run_has_ended_without_the_garbage_collector(kind, mode):
    alive = weakref.WeakSet()

    class Noted(rm.NodeExecutor):
        def __init__(self):
            alive.add(self)

        def process(self, item):
            return item

    class Awaited(Noted):
        async def process(self, item):
            await asyncio.sleep(0)
            return item

    driver = Driver("cython", mode)
    driver.register(Noted=Noted if kind == "thread" else Awaited)
    keys = {"isolation": "thread"} if kind == "thread" else {"max_concurrency": 2}
    manifest = chain(node("a", "Noted") | keys, node("b", "Noted") | keys)
    gc.collect()
    gc.disable()
    try:
        assert driver.results(manifest, range(5)) == list(range(5))
        assert not alive
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", ["thread", "task"])
def test_r10_close_from_another_thread_ends_a_run_that_waits(driver, mode):
    gate, manifest = gated(driver)
    if mode == "task":

        class Forever(Gate):
            async def process(self, item):
                self.entered.release()
                await asyncio.get_running_loop().create_future()

        gate.__class__ = Forever
        manifest["nodes"][2] = node("g", "Gate") | {"max_concurrency": 2}
    session = driver.executor.open(manifest)
    caught = []

    def run():
        try:
            with session:
                session.run(range(1000))
        except rm.SessionClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert gate.entered.acquire(timeout=LIMIT)
    session.close()
    gate.open.set()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert len(caught) == 1
    assert gate.cleaned == 1


def test_r42_ctrl_c_just_before_the_run_falls_asleep_is_seen(driver):
    gate, _ = gated(driver)
    manifest = plain([node("p", "PassThrough"), node("g", "Gate") | {"isolation": "thread"}], "p g")
    last = threading.Timer(LIMIT, gate.open.set)
    seen = []

    def see(number, frame):
        seen.append(gate.open.is_set())
        gate.open.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, see)
    last.start()
    try:
        with pytest.raises(KeyboardInterrupt):  # no code of Python between the signal and the sleep
            set_signal = map(ctypes.pythonapi.PyErr_SetInterruptEx, [int(signal.SIGINT)])
            driver.executor.execute_with_input(manifest, itertools.chain([1], set_signal))
    finally:
        signal.signal(signal.SIGINT, before)
        last.cancel()
    assert seen == [False]


def test_r42_ctrl_c_ends_a_run_that_waits_for_a_thread(driver):
    gate, manifest = gated(driver)

    def interrupt():
        assert gate.entered.acquire(timeout=LIMIT)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.05, gate.open.set).start()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        driver.executor.execute_with_input(manifest, range(1000))
    assert gate.cleaned == 1


def test_r07_a_second_ctrl_c_does_not_wait_for_a_thread_that_never_returns(driver):
    gate, manifest = gated(driver)
    main = threading.main_thread().ident
    ended = threading.Event()

    def interrupt():
        assert gate.entered.acquire(timeout=LIMIT)
        while not ended.wait(0.05):
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            try:
                driver.executor.execute_with_input(manifest, range(1000))
            finally:
                ended.set()
        assert gate.cleaned == 1
        assert not gate.open.is_set()
    finally:
        ended.set()
        gate.open.set()
        thread.join()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("mode", ["thread", "task"])
def test_r06_an_interrupt_raised_by_a_node_is_the_one_that_is_raised(driver, kind, mode):
    raised = kind("by the node")

    class Thrower(rm.NodeExecutor):
        def process(self, item):
            if item == 5:
                raise raised
            return item

    class AsyncThrower(rm.NodeExecutor):
        async def process(self, item):
            await asyncio.sleep(0)
            if item == 5:
                raise raised
            return item

    driver.register(N=Thrower if mode == "thread" else AsyncThrower)
    keys = {"isolation": "thread"} if mode == "thread" else {"max_concurrency": 3}
    with pytest.raises(kind) as caught:
        driver.executor.execute_with_input(plain([node("n", "N") | keys]), range(20))
    assert caught.value is raised


@pytest.mark.parametrize("keys", [{"isolation": "thread", "max_concurrency": 2}, {"max_concurrency": 3}])
def test_r36_r41_nothing_is_kept_alive(driver, keys):
    class Item:
        pass

    async def process(self, item):
        await asyncio.sleep(0)
        return item

    def plain_process(self, item):
        return item

    driver.register(
        N=type("N", (rm.NodeExecutor,), {"process": plain_process if "isolation" in keys else process})
    )  # fmt: skip
    seen = []

    def items():
        for _ in range(50):
            item = Item()
            seen.append(weakref.ref(item))
            yield item
            del item

    manifest = plain([node("n", "N") | keys])
    result = driver.executor.execute_with_input(manifest, items())
    assert len(result.results) == 50
    del result
    gc.collect()
    assert [ref for ref in seen if ref() is not None] == []


def test_r26_a_slow_consumer_of_a_stream_holds_the_input_back(driver):
    _, manifest = metered(driver, max_concurrency=3)
    pulled = []

    def source():
        for i in range(200):
            pulled.append(i)
            yield i

    with driver.executor.stream(manifest, source()) as stream:
        for n, item in enumerate(stream):
            assert item == n
            assert len(pulled) <= n + 1 + 6  # three in calls, three that wait


@pytest.mark.parametrize("loop", LOOPS)
def test_outputs_come_while_an_async_input_waits(driver, loop):
    _, manifest = metered(driver, max_concurrency=3)

    async def main():
        more = asyncio.Event()

        async def source():
            yield 1
            yield 2
            await more.wait()
            yield 3

        out = []
        async with driver.executor.stream_async(manifest, source()) as stream:
            async for item in stream:
                out.append(item)
                if item == 2:
                    more.set()  # had the outputs waited for the input, nobody would come here
        return out

    assert await_on(loop, main()) == [1, 2, 3]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_async_input_that_waits_is_cancelled_with_the_run(driver, loop):
    _, manifest = metered(driver, max_concurrency=3)
    seen = []

    async def main():
        waits = asyncio.Event()

        async def source():
            yield 1
            try:
                waits.set()
                await asyncio.get_running_loop().create_future()
            except BaseException as error:
                seen.append(type(error))
                raise

        run = asyncio.create_task(driver.executor.execute_with_input_async(manifest, source()))
        await waits.wait()
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    await_on(loop, main())
    assert seen == [asyncio.CancelledError]


@pytest.mark.parametrize("loop", LOOPS)
def test_r27_a_failing_stage_wakes_a_producer_that_is_held_back(driver, loop):
    """A queue full while a stage raises: a known way to hang."""

    class Breaks(rm.NodeExecutor):
        async def process(self, item):
            await asyncio.sleep(0.01)
            raise ValueError("broken")

    driver.register(Breaks=Breaks)
    manifest = chain(node("p", "PassThrough"), node("b", "Breaks"))
    manifest["nodes"][2]["max_concurrency"] = 2
    manifest["connections"][1]["capacity"] = 1

    async def main():
        async with asyncio.timeout(LIMIT):
            with pytest.raises(rm.NodeError, match="broken"):
                await driver.executor.execute_with_input_async(manifest, range(10**6))

    await_on(loop, main())
