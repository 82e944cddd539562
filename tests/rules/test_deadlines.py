"""R10, R31: a deadline, `close(timeout=…)` and `abort()` end what waits, in bounded time, with every cleanup done."""

import asyncio
import threading
from time import perf_counter_ns

import pytest
from support import ENGINES, LOOPS, MODES, Driver, await_on, chain, node

import remotemedia as rm

LIMIT = 30  # seconds after which a test is taken to hang
CLEANED = []


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(autouse=True)
def nothing_cleaned():
    CLEANED.clear()


class Watched(rm.NodeExecutor):
    def initialize(self, context):
        self.id = context.node_id

    def cleanup(self):
        CLEANED.append(self.id)


class Waits(Watched):
    """Waits for ever at item 3, and says so."""

    entered = threading.Event()
    cancelled = 0

    async def process(self, item):
        if item == 3:
            Waits.entered.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                Waits.cancelled += 1
                raise
        return item


class Spins(Watched):
    def process(self, item):
        end = perf_counter_ns() + 1_000_000
        while perf_counter_ns() < end:
            pass
        return item


class WaitsInCleanup(Watched):
    def process(self, item):
        return item

    async def cleanup(self):
        CLEANED.append(self.id)
        await asyncio.get_running_loop().create_future()


class WaitsInInitialize(Watched):
    async def initialize(self, context):
        self.id = context.node_id
        await asyncio.get_running_loop().create_future()

    def process(self, item):
        return item


def pipeline(kind, **run):
    Waits.entered.clear()
    Waits.cancelled = 0
    manifest = chain(node("a", "First"), node("n", kind), node("z", "Last"))
    if run:
        manifest["run"] = run
    return manifest


def made(engine, mode="execute"):
    driver = Driver(engine, mode)
    plain = type("Plain", (Watched,), {"process": lambda self, item: item})
    driver.register(
        First=plain, Last=plain, Waits=Waits, Spins=Spins, WaitsInCleanup=WaitsInCleanup, Init=WaitsInInitialize
    )
    return driver


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "cleaned", "results"),
    [("Waits", ["z", "n", "a"], [0, 1, 2]), ("Init", ["n", "a"], [])],
)
def test_r31_a_deadline_ends_what_waits(engine, mode, kind, cleaned, results):
    outcome = made(engine, mode).run(pipeline(kind, deadline_ms=60), range(6))
    assert type(outcome.error) is rm.DeadlineError
    assert isinstance(outcome.error, TimeoutError)
    assert "60 ms" in str(outcome.error)
    assert cleaned == CLEANED
    assert outcome.results == results
    if kind == "Waits":
        assert Waits.cancelled == 1


@pytest.mark.parametrize("mode", MODES)
def test_r31_a_deadline_ends_a_plain_run_at_its_next_item(engine, mode):
    def endless():
        while True:
            yield 1

    outcome = made(engine, mode).run(pipeline("Spins", deadline_ms=30), endless())
    assert type(outcome.error) is rm.DeadlineError
    assert CLEANED == ["z", "n", "a"]


@pytest.mark.parametrize("mode", MODES)
def test_r31_a_cleanup_that_hangs_has_as_long_again(engine, mode):
    outcome = made(engine, mode).run(pipeline("WaitsInCleanup", deadline_ms=40), range(3))
    assert type(outcome.error) is rm.DeadlineError
    assert CLEANED == ["z", "n", "a"]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_over_in_time_is_as_without_a_deadline(engine, mode):
    before = threading.active_count()
    outcome = made(engine, mode).run(pipeline("Spins", deadline_ms=600_000), range(3))
    assert outcome.error is None
    assert outcome.results == [0, 1, 2]
    assert threading.active_count() == before


def test_an_earlier_error_stays_when_the_cleanups_are_cut_short(engine):
    driver = made(engine)

    class Breaks(WaitsInCleanup):
        def process(self, item):
            raise ValueError("broken")

    driver.register(Breaks=Breaks)
    error = driver.run(pipeline("Breaks", deadline_ms=40), [1]).error
    assert type(error) is rm.NodeError
    assert CLEANED == ["z", "n", "a"]


def test_each_call_of_a_session_has_the_whole_time(engine):
    driver = made(engine)
    with driver.executor.open(pipeline("Spins", deadline_ms=600_000)) as session:
        assert session.run([1, 2]).results == [1, 2]
        assert session.process(3) == [3]
        with session.stream([4, 5]) as stream:
            assert list(stream) == [4, 5]
    assert CLEANED == ["z", "n", "a"]


def in_thread(function):
    """Start it; return a function that waits for its end and raises what it raised."""
    raised = []

    def call():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()

    def join():
        thread.join(LIMIT)
        assert not thread.is_alive()
        return raised[0] if raised else None

    return join


@pytest.mark.parametrize("way", ["abort", "close"])
def test_r10_a_session_that_waits_is_ended_from_another_thread(engine, way):
    session = made(engine).executor.open(pipeline("Waits"))

    def run():
        with session:
            session.run(range(6))

    join = in_thread(run)
    assert Waits.entered.wait(LIMIT)
    if way == "abort":
        session.abort()
    else:
        session.close(timeout=0.02)
    assert type(join()) is rm.SessionClosedError
    assert Waits.cancelled == 1
    assert CLEANED == ["z", "n", "a"]
    session.close(timeout=1)
    session.abort()  # both more than once


def test_close_with_a_timeout_lets_the_item_under_way_end(engine):
    session = made(engine).executor.open(pipeline("Spins"))
    started = threading.Event()

    def source():
        while True:
            started.set()
            yield 1

    def run():
        with session:
            session.run(source())

    join = in_thread(run)
    assert started.wait(LIMIT)
    session.close(timeout=LIMIT)
    assert CLEANED == ["z", "n", "a"]  # it has waited for the end
    assert type(join()) is rm.SessionClosedError


def test_a_node_may_close_its_own_session_with_a_timeout(engine):
    driver = made(engine)
    holder = []

    class Closes(Watched):
        def process(self, item):
            holder[0].close(timeout=LIMIT)  # does not wait for itself
            return item

    driver.register(Closes=Closes)
    with pytest.raises(rm.SessionClosedError), driver.executor.open(pipeline("Closes")) as session:
        holder.append(session)
        session.run([1, 2])
    holder.clear()
    assert CLEANED == ["z", "n", "a"]


def test_close_with_a_timeout_cuts_a_hanging_cleanup_short(engine):
    session = made(engine).executor.open(pipeline("WaitsInCleanup"))
    session.__enter__()
    with pytest.raises(rm.SessionClosedError):
        session.close(timeout=0.02)
    assert CLEANED == ["z", "n", "a"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["abort", "close"])
def test_r10_an_async_session_that_waits_is_ended_by_another_task(engine, loop, way):
    async def main():
        session = made(engine).executor.open_async(pipeline("Waits"))
        entered = asyncio.Event()

        async def run():
            async with session:
                entered.set()
                with pytest.raises(rm.SessionClosedError):
                    await session.run(range(6))
                assert asyncio.current_task().cancelling() == 0
                return "went on"

        task = asyncio.create_task(run())
        await entered.wait()
        await asyncio.sleep(0)
        if way == "abort":
            await session.abort()
        else:
            await session.close(timeout=0.01)
        assert CLEANED == ["z", "n", "a"]
        assert await task == "went on"

    await_on(loop, main())
    assert Waits.cancelled == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_an_async_stream_that_waits_is_ended_by_its_session(engine, loop):
    async def main():
        out = []
        async with made(engine).executor.open_async(pipeline("Waits")) as session:

            async def read():
                async with session.stream(range(6)) as stream:
                    async for item in stream:
                        out.append(item)

            task = asyncio.create_task(read())
            while len(out) < 3:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            await session.abort()
            with pytest.raises(rm.SessionClosedError):
                await task
        return out

    assert await_on(loop, main()) == [0, 1, 2]
    assert CLEANED == ["z", "n", "a"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancellation_by_somebody_else_stays_one(engine, loop):
    async def main():
        async with made(engine).executor.open_async(pipeline("Waits")) as session:
            task = asyncio.create_task(session.run(range(6)))
            while not Waits.entered.is_set():
                await asyncio.sleep(0)
            task.cancel("outside")
            aborting = asyncio.create_task(session.abort())
            with pytest.raises(asyncio.CancelledError):
                await task
            await aborting

    await_on(loop, main())
    assert CLEANED == ["z", "n", "a"]
