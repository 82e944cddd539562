"""R30: `timeout_ms` cancels what is awaited, reports what cannot be cancelled, and names node, item, limit."""

import asyncio
import threading
from time import perf_counter_ns

import pytest
from support import ASYNC_MODES, ENGINES, MODES, Driver, chain, node

import remotemedia as rm

SHORT, LONG = 40, 60_000  # milliseconds; the short one is longer than a busy machine keeps a thread waiting
FOREVER = None


@pytest.fixture(params=[(engine, mode) for engine in ENGINES for mode in MODES], ids="-".join)
def driver(request):
    return Driver(*request.param)


@pytest.fixture(params=[(engine, mode) for engine in ENGINES for mode in ASYNC_MODES], ids="-".join)
def async_driver(request):
    return Driver(*request.param)


def spin():
    """Take longer than `SHORT`, without a sleep."""
    end = perf_counter_ns() + (SHORT + 1) * 1_000_000
    while perf_counter_ns() < end:
        pass


class Slow(rm.NodeExecutor):
    def process(self, item):
        if item == 3:
            spin()
        return item


class SlowMany(rm.NodeExecutor):
    def process(self, item):
        yield item
        if item == 3:
            spin()
            yield "late"


class SlowList(rm.NodeExecutor):
    emits = "many"

    def process(self, item):
        if item == 3:
            spin()
        return [item]


class Blocks(rm.NodeExecutor):
    """Awaits nothing, and takes long."""

    async def process(self, item):
        if item == 3:
            spin()
        return item


class Hangs(rm.NodeExecutor):
    cancelled = 0

    async def process(self, item):
        if item == 3:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                Hangs.cancelled += 1
                raise
        return item


class HangsMany(rm.NodeExecutor):
    async def process(self, item):
        yield item
        if item == 3:
            await asyncio.get_running_loop().create_future()


def limited(kind, **timeout):
    manifest = chain(node("a", "PassThrough"), node("n", kind), node("z", "PassThrough"))
    manifest["nodes"][2]["timeout_ms"] = timeout or SHORT
    return manifest


def check(outcome, policy, partly=()):
    kept = [0, 1, 2, *partly] if policy == "stop" else [0, 1, 2, *partly, 4, 5]
    assert outcome.results == kept
    assert "late" not in outcome.results
    errors = [outcome.error] if policy == "stop" else outcome.result.errors
    (error,) = errors
    assert (error.node_id, error.item_index, error.phase) == ("n", 3, "process")
    assert type(error.__cause__) is rm.NodeTimeoutError
    assert isinstance(error.__cause__, TimeoutError)
    assert f"timeout_ms, {SHORT}" in str(error)
    assert outcome.counts("n")["failed"] == 1


@pytest.mark.parametrize("policy", ["stop", "collect"])
@pytest.mark.parametrize("kind", [Slow, SlowList, Blocks])
def test_r30_a_call_that_overran_is_reported_and_its_result_thrown_away(driver, kind, policy):
    driver.register(N=kind)
    outcome = driver.run(limited("N"), range(6), error_policy=policy)
    check(outcome, policy)
    assert "cannot be cancelled" in str(outcome.error or outcome.result.errors[0])


@pytest.mark.parametrize("policy", ["stop", "collect"])
@pytest.mark.parametrize("kind", [SlowMany, HangsMany])
def test_r30_each_output_of_a_many_node_has_the_time(driver, kind, policy):
    driver.register(N=kind)
    check(driver.run(limited("N"), range(6), error_policy=policy), policy, partly=[3])


@pytest.mark.parametrize("policy", ["stop", "collect"])
@pytest.mark.parametrize("calls", [1, 3])
def test_r30_a_call_that_is_awaited_is_cancelled(driver, policy, calls):
    Hangs.cancelled = 0
    driver.register(N=Hangs)
    manifest = limited("N")
    manifest["nodes"][2]["max_concurrency"] = calls
    outcome = driver.run(manifest, range(6), error_policy=policy)
    check(outcome, policy)
    assert "was cancelled" in str(outcome.error or outcome.result.errors[0])
    assert Hangs.cancelled == 1


def test_what_is_in_time_is_as_without_a_limit(driver):
    driver.register(N=Slow, M=SlowMany, L=SlowList, B=Blocks)
    manifest = chain(
        node("n", "N"), node("e", "Echo"), node("m", "M"), node("b", "B"), node("l", "L"), node("x", "Expander")
    )
    free = driver.run(manifest, [0, 1, 2])
    for spec in manifest["nodes"]:
        spec["timeout_ms"] = {"initialize": LONG, "process": LONG, "cleanup": LONG}
    bound = driver.run(manifest, [0, 1, 2])
    assert bound.results == free.results
    assert bound.metrics["nodes"] == free.metrics["nodes"]


@pytest.mark.parametrize("phase", ["initialize", "cleanup"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_r30_initialize_and_cleanup_have_limits_of_their_own(driver, phase, kind):
    calls = []

    def plain_method(self, *args):
        calls.append(phase)
        spin()

    async def async_method(self, *args):
        calls.append(phase)
        await asyncio.get_running_loop().create_future()

    method = plain_method if kind == "plain" else async_method
    driver.register(N=type("N", (rm.NodeExecutor,), {"process": lambda self, item: item, phase: method}))
    outcome = driver.run(limited("N", **{phase: SHORT}), [1])
    assert (outcome.error.node_id, outcome.error.phase) == ("n", phase)
    assert type(outcome.error.__cause__) is rm.NodeTimeoutError
    assert calls == [phase]


def test_an_error_of_the_node_in_time_or_late_is_its_own(driver):
    class Breaks(rm.NodeExecutor):
        def process(self, item):
            spin()
            raise KeyError("its own")

    driver.register(N=Breaks)
    assert type(driver.run(limited("N"), [1]).error.__cause__) is KeyError


def test_a_timeout_error_that_is_the_nodes_own_stays_it(async_driver):
    class Own(rm.NodeExecutor):
        async def process(self, item):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()

    async_driver.register(N=Own)
    cause = async_driver.run(limited("N", process=LONG), [1]).error.__cause__
    assert type(cause) is TimeoutError


def test_a_node_that_swallows_its_cancellation_is_late(async_driver):
    class Stubborn(rm.NodeExecutor):
        async def process(self, item):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return "late"

    async_driver.register(N=Stubborn)
    outcome = async_driver.run(limited("N"), [1])
    assert type(outcome.error.__cause__) is rm.NodeTimeoutError
    assert outcome.results == []


@pytest.mark.parametrize("mode", MODES)
def test_r30_a_call_in_a_thread_that_hangs_is_left_behind_and_writes_into_no_later_item(mode):
    release, done = threading.Event(), threading.Event()

    class Sticks(rm.NodeExecutor):
        def process(self, item):
            if item == 3:
                release.wait(60)
                done.set()
                return "late"
            return item

    driver = Driver("cython", mode)
    driver.register(N=Sticks)
    manifest = limited("N", process=50)
    manifest["nodes"][2]["isolation"] = "thread"
    before = threading.active_count()
    outcome = driver.run(manifest, range(6), error_policy="collect")
    assert outcome.results == [0, 1, 2, 4, 5]
    assert "left behind" in str(outcome.result.errors[0])
    assert not done.is_set()
    release.set()
    assert done.wait(60)
    for _ in range(1000):
        if threading.active_count() == before:
            break
        threading.Event().wait(0.001)
    assert threading.active_count() == before


@pytest.mark.parametrize("mode", MODES)
def test_r30_an_error_that_ends_the_run_waits_no_longer_than_the_limit_for_the_other_calls_in_threads(mode):
    release = threading.Event()

    class Sticks(rm.NodeExecutor):
        def process(self, item):
            release.wait(60)

    driver = Driver("cython", mode)
    driver.register(N=Sticks)
    manifest = limited("N", process=50)
    manifest["nodes"][2] |= {"isolation": "thread", "max_concurrency": 2}
    began = perf_counter_ns()
    error = driver.run(manifest, range(3)).error
    assert perf_counter_ns() - began < 30e9
    release.set()
    assert isinstance(error.__cause__, rm.NodeTimeoutError)
    assert [0, *(other.item_index for other in error.others)] == list(range(len(error.others) + 1))
