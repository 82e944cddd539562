"""The fault grid: every phase, kind of exception and position; cleaned once, in reverse, the right object raised."""

import asyncio
import gc
import weakref

import pytest
from support import Driver, chain, node

import remotemedia as rm

PHASES = ("initialize", "first process", "middle process", "last process", "flush", "cleanup")
KINDS = (RuntimeError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit)
FLAVOURS = {
    "async": {},
    "overlapping tasks": {"max_concurrency": 3},
    "threads": {"isolation": "thread", "max_concurrency": 2},
}
IDS = ("a", "b", "c")
ITEMS = (10, 20, 30)


def make_class(log, alive, phase, victim, raised):
    class Faulty(rm.NodeExecutor):
        def __init__(self):
            alive.append(weakref.ref(self))

        def initialize(self, context):
            self.id = context.node_id
            log.append(("initialize", self.id))
            self._fail("initialize")

        def process(self, item):
            self._fail(f"{('first', 'middle', 'last')[ITEMS.index(item)]} process")
            return item

        def flush(self):
            self._fail("flush")

        def cleanup(self):
            log.append(("cleanup", self.id))
            self._fail("cleanup")

        def _fail(self, now):
            if self.id == victim and now == phase:
                raise raised

    return Faulty


def awaiting(cls):
    """The same node, every method async.

    Each but cleanup is suspended before it does anything: after a GeneratorExit nobody waits for a cleanup.
    """

    def awaited(method):
        async def call(self, *args):
            if method.__name__ != "cleanup":
                await asyncio.sleep(0)
            return method(self, *args)

        return call

    names = ("initialize", "process", "flush", "cleanup")
    return type("Awaiting", (cls,), {name: awaited(getattr(cls, name)) for name in names})


@pytest.mark.parametrize("victim", IDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
def test_node_faults(driver, phase, kind, victim):
    check(driver, phase, kind, victim, lambda cls: cls, {})


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("mode", ["execute", "async session on asyncio", "async stream on asyncio"])
@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_faults_of_nodes_that_wait_or_overlap(engine, mode, phase, kind, flavour):
    make = (lambda cls: cls) if flavour == "threads" else awaiting
    check(Driver(engine, mode), phase, kind, "b", make, FLAVOURS[flavour])


def check(driver, phase, kind, victim, make, keys):
    log, alive = [], []
    raised = kind("boom")
    driver.register(Faulty=make(make_class(log, alive, phase, victim, raised)))
    manifest = chain(*(node(i, "Faulty") for i in IDS))
    for spec in manifest["nodes"][1:]:
        spec |= keys
    outcome = driver.run(manifest, ITEMS)

    if kind is RuntimeError:
        assert isinstance(outcome.error, rm.NodeError)
        assert outcome.error.__cause__ is raised
        assert (outcome.error.node_id, outcome.error.phase) == (victim, phase.split()[-1])
    else:
        assert outcome.error is raised
    started = [i for p, i in log if p == "initialize"]
    assert started == list(IDS[: IDS.index(victim) + 1] if phase == "initialize" else IDS)
    assert [i for p, i in log if p == "cleanup"] == started[::-1]
    raised.__traceback__ = None  # the class keeps the exception itself alive
    del outcome
    gc.collect()
    assert [r for r in alive if r() is not None] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(4))
def test_source_faults(driver, kind, at):
    log, alive = [], []
    raised = kind("boom")
    driver.register(Faulty=make_class(log, alive, None, None, None))

    def items():
        for i, item in enumerate(ITEMS):
            if i == at:
                raise raised
            yield item
        if at == 3:
            raise raised

    outcome = driver.run(chain(*(node(i, "Faulty") for i in IDS)), items())
    assert outcome.error is raised
    assert [i for p, i in log if p == "cleanup"] == list(IDS[::-1])


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_consumer_leaves_a_stream_by_an_exception(engine):
    driver = Driver(engine)
    log, alive = [], []
    driver.register(Faulty=make_class(log, alive, None, None, None))
    with (
        pytest.raises(ZeroDivisionError),
        driver.executor.stream(chain(*(node(i, "Faulty") for i in IDS)), ITEMS) as stream,
    ):
        for _ in stream:
            raise ZeroDivisionError
    assert [i for p, i in log if p == "cleanup"] == list(IDS[::-1])
