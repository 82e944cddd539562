"""R12: wrappers forward every lifecycle method and `info`: what a node sees does not depend on what is around it."""

import pytest
from support import Driver, node, plain

import remotemedia as rm
from remotemedia.guards import GuardedFactory

RETRY = {"max_attempts": 2, "backoff_ms": 1}
BREAKER = {"failure_threshold": 3, "reset_ms": 1000}
WRAPPERS = {
    "retry": {"retry": RETRY},
    "breaker": {"circuit_breaker": BREAKER},
    "both": {"retry": RETRY, "circuit_breaker": BREAKER},
    "limits": {"timeout_ms": {"initialize": 60_000, "process": 60_000, "cleanup": 60_000}},
    "all": {"retry": RETRY, "circuit_breaker": BREAKER, "timeout_ms": 60_000},
}


class Plain(rm.NodeExecutor):
    """Does something in each of its methods."""

    idempotent = True
    log: list = []

    def initialize(self, context):
        self.log.append(("initialize", context.node_id, dict(context.params)))

    def process(self, item):
        self.log.append(("process", item))
        return item

    def flush(self):
        self.log.append(("flush",))
        return ["flushed"]

    def cleanup(self):
        self.log.append(("cleanup",))

    def info(self):
        return rm.NodeInfo("own name", "1.2.3", "own words")


class Async(Plain):
    async def initialize(self, context):
        super().initialize(context)

    async def process(self, item):
        return super().process(item)

    async def flush(self):
        return super().flush()

    async def cleanup(self):
        super().cleanup()


class Many(Plain):
    def process(self, item):
        yield super().process(item)
        yield "more"


class AsyncMany(Async):
    async def process(self, item):
        yield Plain.process(self, item)
        yield "more"


KINDS = (Plain, Async, Many, AsyncMany)


def seen(driver, kind, keys, *, shared=False):
    """What came out, and every call that the node saw."""
    cls = type(kind.__name__, (kind,), {"log": []})
    driver.registry.register("N", cls, shared=shared, replace=True)
    outcome = driver.run(plain([node("n", "N", p=1) | keys]), [1, 2])
    assert outcome.error is None
    if shared:
        driver.executor.close()
    return outcome.results, cls.log


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_r12_a_guarded_or_limited_node_sees_what_a_bare_one_does(driver, kind, wrapper):
    expected = seen(driver, kind, {})
    assert [entry[0] for entry in expected[1]] == ["initialize", "process", "process", "flush", "cleanup"]
    assert seen(driver, kind, WRAPPERS[wrapper]) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_r12_a_shared_node_sees_what_one_of_its_own_does(engine, kind):
    driver = Driver(engine)
    assert seen(driver, kind, {}, shared=True) == seen(Driver(engine), kind, {})


@pytest.mark.parametrize("kind", KINDS)
def test_r12_a_guard_tells_what_its_node_is(kind):
    spec = rm.NodeSpec("n", "N", retry=rm.Manifest.from_dict(plain([node("n", "N") | {"retry": RETRY}])).nodes[0].retry)
    info = GuardedFactory(kind, 0, spec)().info()
    assert (info.name, info.version, info.description) == ("own name", "1.2.3", "own words")
