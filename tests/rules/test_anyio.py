"""R32: what a node awaits behaves as in a plain ``await``: task groups, cancel scopes and limits of anyio."""

import asyncio
import contextvars

import anyio
import pytest
from support import LOOPS, Driver, await_on, node, plain

import remotemedia as rm

LIMIT = 20  # seconds after which a test is taken to hang
heard = contextvars.ContextVar("heard", default=0)


class Fan(rm.NodeExecutor):
    """Two tasks in a group, and their sum."""

    async def process(self, item):
        parts = []

        async def part(share):
            for _ in range(share):
                await anyio.sleep(0)
            parts.append(share)

        async with anyio.create_task_group() as group:
            group.start_soon(part, item)
            group.start_soon(part, 2 * item)
        return sum(parts)


class Patient(rm.NodeExecutor):
    """Gives up waiting for odd items."""

    async def initialize(self, context):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)

    async def process(self, item):
        with anyio.move_on_after(0 if item % 2 else LIMIT) as scope:
            await anyio.sleep(LIMIT if item % 2 else 0)
        return None if scope.cancelled_caught else item

    async def flush(self):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(LIMIT)
        return ["flushed"]

    async def cleanup(self):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0)


class Many(rm.NodeExecutor):
    async def process(self, item):
        for i in range(3):
            with anyio.CancelScope():
                await anyio.sleep(0)
            yield item + i


class Late(rm.NodeExecutor):
    async def process(self, item):
        with anyio.fail_after(0):
            await anyio.sleep(LIMIT)


class Told(rm.NodeExecutor):
    """What it sets in its context it hears again at the next item, and its task is that of the run."""

    def __init__(self):
        self.tasks = set()

    async def process(self, item):
        self.tasks.add(asyncio.current_task())
        before = heard.get()
        heard.set(before + 1)
        await anyio.lowlevel.checkpoint()
        assert heard.get() == before + 1
        return item


@pytest.mark.parametrize("more", [{}, {"max_concurrency": 3}])
@pytest.mark.parametrize(
    ("cls", "items", "results"),
    [
        (Fan, [1, 2, 3], [3, 6, 9]),
        (Patient, [1, 2, 3, 4], [2, 4, "flushed"]),
        (Many, [10, 20], [10, 11, 12, 20, 21, 22]),
    ],
)
def test_groups_scopes_and_limits(driver, cls, items, results, more):
    driver.register(N=cls)
    assert driver.results(plain([node("n", "N") | more, node("p", "PassThrough")], "n p"), items) == results


@pytest.mark.parametrize("more", [{}, {"max_concurrency": 3}])
def test_a_limit_that_is_over_is_an_error_of_the_node(driver, more):
    driver.register(Late=Late)
    outcome = driver.run(plain([node("n", "Late") | more]), [1])
    assert isinstance(outcome.error, rm.NodeError)
    assert (outcome.error.node_id, outcome.error.item_index) == ("n", 0)
    assert isinstance(outcome.error.__cause__, TimeoutError)


def test_a_node_runs_in_the_task_of_the_call(engine):
    made = []

    class Here(Told):
        def __init__(self):
            super().__init__()
            made.append(self)

    driver = Driver(engine)
    driver.register(Told=Here)
    for loop in LOOPS:

        async def call():
            task = asyncio.current_task()
            result = await driver.executor.execute_with_input_async(plain([node("n", "Told")]), range(5))
            return result.results, task, heard.get()

        results, task, count = await_on(loop, call())
        assert results == list(range(5))
        assert made.pop().tasks == {task}
        assert count == 5


@pytest.mark.parametrize("more", [{}, {"max_concurrency": 2}])
@pytest.mark.parametrize("loop", LOOPS)
def test_r06_a_run_in_a_scope_that_is_cancelled_cleans_up(engine, loop, more):
    """The run is itself called in a task group, and cancelled by it."""
    ends = []

    class Waits(rm.NodeExecutor):
        async def process(self, item):
            self.begun.set()
            try:
                await anyio.sleep(LIMIT)
            finally:
                ends.append("call")

        async def cleanup(self):
            await anyio.sleep(0)  # a cancelled scope cancels each wait in it, but for a shielded one
            ends.append("cleanup")

    class Shielded(Waits):
        async def cleanup(self):
            with anyio.CancelScope(shield=True):
                await super().cleanup()

    driver = Driver(engine)
    driver.register(Waits=Shielded)

    async def main():
        Waits.begun = anyio.Event()
        with anyio.move_on_after(LIMIT) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(
                    driver.executor.execute_with_input_async, plain([node("n", "Waits") | more]), [1, 2, 3]
                )
                await Waits.begun.wait()
                group.cancel_scope.cancel()
        return limit.cancelled_caught

    assert not await_on(loop, main())
    assert ends[-1] == "cleanup"
    assert set(ends) == {"call", "cleanup"}
