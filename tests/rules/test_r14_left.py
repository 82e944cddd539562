"""R14: what is on its way when a run ends early is counted: as filtered by the node whose call came to nothing."""

import asyncio
import time
from itertools import pairwise

import pytest
from support import LOOPS, Driver, await_on, node, plain

import remotemedia as rm

WAIT = 0.02


class Slow(rm.NodeExecutor):
    async def process(self, item):
        await asyncio.sleep(WAIT)
        if item == self.fails:
            raise ValueError(item)
        return item

    def initialize(self, context):
        self.fails = context.params.get("fails")


class SlowThere(Slow):
    def process(self, item):
        time.sleep(WAIT)
        if item == self.fails:
            raise ValueError(item)
        return item


KINDS = {"tasks": ("Slow", {"max_concurrency": 3}), "threads": ("SlowThere", {"isolation": "thread"})}


def chain(ids, kind, **params):
    """Nodes one behind the other; capital letters are those that overlap."""
    overlapping = node("", KINDS[kind][0], **params) | KINDS[kind][1]
    nodes = [(overlapping if name.isupper() else node("", "PassThrough")) | {"id": name} for name in ids]
    return plain(nodes, ", ".join(f"{a} {b}" for a, b in pairwise(ids)))


def check(ids, metrics):
    nodes, connections = metrics["nodes"], metrics["connections"]
    assert nodes[ids[0]]["in"] + metrics["refused"] == metrics["items_in"]
    for row in nodes.values():
        assert row["in"] == row["passed"] + row["filtered"] + row["failed"]
    for a, b in pairwise(ids):
        row = connections[f"{a}->{b}"]
        assert row["sent"] == row["delivered"] + row["dropped"]
        assert row["delivered"] == nodes[b]["in"]


@pytest.fixture
def driver(engine):
    made = Driver(engine)
    made.register(Slow=Slow, SlowThere=SlowThere)
    return made


@pytest.mark.parametrize("ids", ["A", "aB", "AB", "aBc", "ABC"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["close", "abort", "cancel"])
@pytest.mark.parametrize("loop", LOOPS)
def test_r14_of_a_session_that_was_left_early(driver, ids, kind, end, loop):
    async def main():
        session = driver.executor.open_async(chain(ids, kind), metrics="time")
        async with session:
            call = asyncio.ensure_future(session.run(range(30)))
            await asyncio.sleep(3.5 * WAIT)
            if end == "cancel":
                call.cancel()
            else:
                await (session.close() if end == "close" else session.abort())
            await asyncio.gather(call, return_exceptions=True)
        return session.metrics()

    metrics = await_on(loop, main())
    assert metrics["items_in"] > 0
    check(ids, metrics)


@pytest.mark.parametrize("ids", ["A", "aB", "AB", "aBc"])
@pytest.mark.parametrize("kind", KINDS)
def test_r14_of_a_run_that_an_error_ended(driver, ids, kind):
    outcome = driver.run(chain(ids, kind, fails=4), range(30))
    assert outcome.error.item_index == 4
    check(ids, outcome.metrics)
