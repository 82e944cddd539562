"""R45: the engine equals the reference on random DAGs: results, outputs, counts, errors, and every call in order."""

import asyncio
from collections import Counter as Tally

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import ASYNC_MODES, Driver, node, plain

import remotemedia as rm

EXAMPLES = 2000
CALLS: list[tuple[str, object]] = []


class Watched(rm.NodeExecutor):
    """Base: notes every call, and enforces their order."""

    def initialize(self, context):
        self.id = context.node_id
        self.ready = True
        self.fail = context.params.get("fail")
        self.held = []

    def note(self, call, item=None):
        assert self.ready
        CALLS.append((f"{self.id}.{call}", repr(item)))

    def check(self, item):
        self.note("process", item)
        if self.fail is not None and weigh(item) % 5 == self.fail:
            raise ValueError(f"{self.id} cannot take it")

    def cleanup(self):
        self.note("cleanup")
        self.ready = False


def weigh(item):
    """A small number that depends on all of an item."""
    if isinstance(item, int):
        return item
    if isinstance(item, dict):
        item = list(item.values())
    return 1 + sum(weigh(i) for i in item)


class Plus(Watched):
    def process(self, item):
        self.check(item)
        return (weigh(item) + 1) % 97


class Odd(Watched):
    def process(self, item):
        self.check(item)
        return item if weigh(item) % 2 else None


class Burst(Watched):
    def process(self, item):
        for i in range(weigh(item) % 4):
            if i == 2 and self.fail is not None:
                raise ValueError(f"{self.id} cannot go on")
            self.note("yield", i)
            yield weigh(item) + i


class Listed(Watched):
    emits = "many"

    def process(self, item):
        self.check(item)
        return [weigh(item), None, 2] if weigh(item) % 3 else None


class Late(Watched):
    def process(self, item):
        self.check(item)
        self.held.append(item)
        return self.held.pop(0) if len(self.held) > 1 else None

    def flush(self):
        self.note("flush")
        while self.held:
            yield self.held.pop(0)
        if self.fail == 4:
            raise ValueError(f"{self.id} cannot flush")


class Source(Watched):
    def produce(self):
        for i in range(4):
            if i == 3 and self.fail is not None:
                raise ValueError(f"{self.id} ran dry")
            self.note("produce", i)
            yield i


async def some_turns(item):
    for _ in range(weigh(item) % 3):
        await asyncio.sleep(0)


class AsyncWatched(Watched):
    """Base: initialized and cleaned up in turns of the loop, too."""

    async def initialize(self, context):
        await asyncio.sleep(0)
        super().initialize(context)

    async def cleanup(self):
        await asyncio.sleep(0)
        super().cleanup()


class AsyncPlus(AsyncWatched):
    async def process(self, item):
        await some_turns(item)
        self.check(item)
        return (weigh(item) + 1) % 97


class AsyncOdd(Watched):
    async def process(self, item):
        self.check(item)  # never suspends
        return item if weigh(item) % 2 else None


class AsyncBurst(AsyncWatched):
    async def process(self, item):
        for i in range(weigh(item) % 4):
            await some_turns(i)
            if i == 2 and self.fail is not None:
                raise ValueError(f"{self.id} cannot go on")
            self.note("yield", i)
            yield weigh(item) + i


class AsyncListed(Watched):
    emits = "many"

    async def process(self, item):
        await some_turns(item)
        self.check(item)
        return [weigh(item), None, 2] if weigh(item) % 3 else None


class AsyncLate(AsyncWatched):
    async def process(self, item):
        self.check(item)
        self.held.append(item)
        return self.held.pop(0) if len(self.held) > 1 else None

    async def flush(self):
        self.note("flush")
        while self.held:
            await asyncio.sleep(0)
            yield self.held.pop(0)
        if self.fail == 4:
            raise ValueError(f"{self.id} cannot flush")


class AsyncSource(Watched):
    async def produce(self):
        for i in range(4):
            await some_turns(i)
            if i == 3 and self.fail is not None:
                raise ValueError(f"{self.id} ran dry")
            self.note("produce", i)
            yield i


KINDS = {cls.__name__: cls for cls in (Plus, Odd, Burst, Listed, Late)}
ASYNC_KINDS = {cls.__name__: cls for cls in (AsyncPlus, AsyncOdd, AsyncBurst, AsyncListed, AsyncLate)}
BUILTINS = {
    "PassThrough": {},
    "Echo": {},
    "Counter": {},
    "Batcher": {"size": 2},
    "Buffer": {"size": 1},
    "Expander": {},
}


@st.composite
def pipelines(draw, kinds=(*KINDS, *KINDS, *BUILTINS), source="Source"):
    n = draw(st.integers(1, 9))
    produced = draw(st.integers(0, 7)) == 0
    nodes, pairs = [], []
    order = draw(st.permutations(range(n)))
    for i in range(n):
        feeders = sorted(draw(st.sets(st.sampled_from(order[:i]), max_size=3)), key=order.index) if i else []
        if i and not feeders and draw(st.booleans()):
            feeders = [order[i - 1]]
        me = order[i]
        keys = {}
        if produced and not feeders:
            kind = source
        else:
            kind = draw(st.sampled_from(kinds))
        if kind in BUILTINS:
            keys |= BUILTINS[kind]
        elif draw(st.integers(0, 5)) == 0:
            keys["fail"] = draw(st.integers(0, 4))
        if feeders and draw(st.booleans()):
            keys["fan_in"] = "join"
            if draw(st.booleans()):
                keys["join_missing"] = "partial"
        if draw(st.integers(0, 7)) == 0:
            keys["is_output_node"] = True
        if draw(st.integers(0, 9)) == 0:
            keys["copy"] = True
        nodes.append((me, node(f"n{me}", kind, **keys)))
        pairs += [(f"n{f}", f"n{me}") for f in draw(st.permutations(feeders))]
    manifest = plain([spec for _, spec in sorted(nodes)], draw(st.permutations(pairs)))
    items = (
        None
        if produced
        else draw(
            st.lists(
                st.one_of(
                    st.integers(0, 50), st.none() if draw(st.booleans()) else st.lists(st.integers(0, 9), max_size=3)
                ),
                max_size=6,
            )
        )
    )
    return manifest, items, draw(st.sampled_from(["stop", "skip", "collect"]))


def describe(error):
    if error is None:
        return None
    fields = ("node_id", "node_type", "phase", "item_index", "input_type", "input_repr", "errors")
    return (type(error).__name__, str(error), *(getattr(error, f, None) for f in fields), repr(error.__cause__))


def everything(engine, mode, manifest, items, policy, **options):
    driver = Driver(engine, mode)
    driver.register(Source=Source, AsyncSource=AsyncSource, **KINDS, **ASYNC_KINDS)
    CALLS.clear()
    outcome = driver.run(manifest, items, error_policy=policy, **options)
    result = outcome.result if outcome.result is not None else getattr(outcome.error, "partial", None)
    seen = {"results": outcome.results, "error": describe(outcome.error), "calls": list(CALLS)}
    if result is not None:
        metrics = dict(result.metrics)
        del metrics["duration_ns"]
        for counts in metrics["nodes"].values() if options else ():
            counts["processing"] = calls_timed(counts)
        seen |= {
            "metrics": metrics,
            "status": result.status,
            "outputs": result.outputs,
            "info": result.graph_info,
            "errors": [describe(e) for e in result.errors],
        }
    return seen


def calls_timed(counts):
    """Return how many calls were timed; times themselves are never the same twice, so they are dropped."""
    processing = counts["processing"]
    assert 0 <= processing["max_ns"] <= processing["total_ns"] <= counts.pop("time_ns")
    assert processing["count"] <= counts["in"]  # a join that was not called is among these
    return processing["count"]


def tally(tallies, manifest, seen):
    kinds = {spec["node_type"] for spec in manifest["nodes"]}
    tallies["all"] += 1
    tallies["join"] += any(spec.get("fan_in") == "join" for spec in manifest["nodes"])
    tallies["many"] += bool(kinds & {"Burst", "Listed", "Expander"})
    tallies["flush"] += bool(kinds & {"Late", "Batcher", "Buffer"})
    tallies["error"] += bool(seen["error"] or seen.get("errors"))


@pytest.mark.slow
def test_r45_engine_equals_reference():
    """And the examples have enough of everything."""
    tallies: Tally[str] = Tally()
    late = plain([node("n0", "Burst"), node("n1", "Plus"), node("n2", "Late")], "n0 n1, n0 n2, n1 n2")

    @settings(max_examples=EXAMPLES)
    @given(pipelines())
    @example((late, [3, 7], "stop"))
    def check(case):
        manifest, items, policy = case
        expected = everything("reference", "execute", manifest, items, policy)
        assert everything("cython", "execute", manifest, items, policy) == expected
        tally(tallies, manifest, expected)

    check()
    shares = {what: tallies[what] / tallies["all"] for what in ("join", "many", "flush", "error")}
    assert tallies["all"] >= EXAMPLES
    assert min(shares.values()) >= 0.2, shares


@pytest.mark.slow
@settings(max_examples=400)
@given(
    pipelines((*KINDS, *ASYNC_KINDS, *ASYNC_KINDS, *BUILTINS), "AsyncSource"),
    st.sampled_from(["execute", "stream", *ASYNC_MODES]),
)
def test_r45_async_nodes_beside_plain_ones_equal_the_reference(case, mode):
    manifest, items, policy = case
    expected = everything("reference", mode, manifest, items, policy)
    assert everything("cython", mode, manifest, items, policy) == expected


@pytest.mark.slow
@settings(max_examples=300)
@given(pipelines(), st.sampled_from(["session", "stream", "session stream"]))
def test_r45_every_mode_equals_the_reference(case, mode):
    manifest, items, policy = case
    expected = everything("reference", "execute", manifest, items, policy, metrics="time")
    for engine in ("cython", "reference"):
        seen = everything(engine, mode, manifest, items, policy, metrics="time")
        if "stream" in mode:
            for key in ("outputs",):
                seen.pop(key, None), expected.pop(key, None)
        assert seen == expected
