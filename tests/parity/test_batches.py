"""R16, R45: nodes that take batches give what they would give item by item, in every mode, on random DAGs."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import ASYNC, PLAIN, SOURCES, Kind, Late, describe, some_turns, weigh
from support import Driver, plain


class Batched(Kind):
    """Base: as `Kind`, a batch at a time."""

    def process_batch(self, items):
        return [self.one(item) for item in items]


class BatchPlus(Batched):
    def one(self, item):
        return (self.check(item) + 1) % 97


class BatchOdd(Batched):
    def one(self, item):
        return item if self.check(item) % 2 else None


class Isolating:
    """Tries the items of a batch that failed one by one."""

    batch_errors = "isolate"
    idempotent = True


class AsyncBatch(Batched):
    async def process_batch(self, items):
        for item in items:
            await some_turns(item)
        return super().process_batch(items)


class IsoPlus(Isolating, BatchPlus):
    pass


class IsoOdd(Isolating, BatchOdd):
    pass


class IsoAsyncPlus(Isolating, AsyncBatch, BatchPlus):
    pass


class AsyncBatchOdd(AsyncBatch, BatchOdd):
    pass


class LateBatch(Batched):
    """1-to-1 with a flush: it opens a scope."""

    def one(self, item):
        self.check(item)
        self.held.append(item)
        return self.held.pop(0) if len(self.held) > 1 else None

    flush = Late.flush


class Sums(Batched):
    """N-to-m: the sum of a batch, and how many there were."""

    emits = "many"

    def process_batch(self, items):
        given = [self.check(item) for item in items]
        return [sum(given) % 97, None, len(given)] if sum(given) % 3 else None


class Apart(Batched):
    """N-to-m by a generator; it flushes, too."""

    def process_batch(self, items):
        for item in items:
            if weigh(item) % 2:
                yield self.check(item)

    def flush(self):
        return [3, 5]


class AsyncSums(Sums):
    async def process_batch(self, items):
        await asyncio.sleep(0)
        return super().process_batch(items)


class AsyncApart(Batched):
    async def process_batch(self, items):
        for item in items:
            await some_turns(item)
            if weigh(item) % 2:
                yield self.check(item)


PAIRED = {cls.__name__: cls for cls in (BatchPlus, BatchOdd, AsyncBatchOdd)}
ISOLATING = {cls.__name__: cls for cls in (IsoPlus, IsoOdd, IsoAsyncPlus)}
STATEFUL = {"LateBatch": LateBatch}
MANY = {cls.__name__: cls for cls in (Sums, Apart, AsyncSums, AsyncApart)}
BATCHED = PAIRED | ISOLATING | STATEFUL | MANY
SINGLE = {
    name: type(name, (Kind,), {"process": cls.one} | ({"flush": cls.flush} if cls is LateBatch else {}))
    for name, cls in (PAIRED | ISOLATING | STATEFUL).items()
}


@st.composite
def pipelines(draw, kinds, may_fail):
    n = draw(st.integers(1, 7))
    produced = draw(st.integers(0, 9)) == 9 and "Source" in kinds
    kinds = [kind for kind in kinds if kind not in SOURCES]
    nodes, connections = [], []
    for i in range(n):
        feeders = sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else []
        if i and not feeders and draw(st.booleans()):
            feeders = [i - 1]
        kind = draw(st.sampled_from(kinds))
        spec = {"id": f"n{i}", "node_type": "Source" if produced and not feeders else kind}
        if spec["node_type"] in BATCHED:
            spec["batch_size"] = draw(st.integers(1, 5))
        if spec["node_type"] in ASYNC:
            spec["max_concurrency"] = draw(st.integers(1, 3))
        if spec["node_type"] in ("Plus", "Odd") and draw(st.integers(0, 3)) == 3:
            spec |= {"isolation": "thread", "max_concurrency": 2}
        if spec["node_type"] in may_fail and draw(st.integers(0, 3)) == 3:
            spec["params"] = {"fail": draw(st.integers(0, 4))}
        if spec["node_type"] == "Batcher":
            spec["params"] = {"size": 2}
        if feeders and draw(st.booleans()):
            spec["fan_in"] = "join"
            if draw(st.booleans()):
                spec["join_missing"] = "partial"
        if draw(st.integers(0, 7)) == 7:
            spec["is_output_node"] = True
        if draw(st.integers(0, 7)) == 7:
            spec["copy"] = True
        nodes.append(spec)
        connections += [(f"n{feeder}", f"n{i}") for feeder in draw(st.permutations(feeders))]
    manifest = plain(nodes, draw(st.permutations(connections)))
    items = None if produced else draw(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=14))
    if items is not None and draw(st.booleans()):
        items = [item for item in items if item is not None]
    return manifest, items, draw(st.sampled_from(["stop", "skip", "collect"]))


def everything(engine, mode, manifest, items, policy, classes=BATCHED):
    driver = Driver(engine, mode)
    driver.register(**PLAIN, **ASYNC, **SOURCES, **classes)
    outcome = driver.run(manifest, items, error_policy=policy)
    seen = {"results": outcome.results, "error": describe(outcome.error)}
    if outcome.result is not None:
        metrics = dict(outcome.result.metrics)
        del metrics["duration_ns"]
        for counts in metrics["nodes"].values():
            counts.pop("attempts", None)  # depends on how many items were in a batch
        seen |= {
            "metrics": metrics,
            "status": outcome.result.status,
            "outputs": outcome.result.outputs,
            "errors": [describe(e) for e in outcome.result.errors],
        }
    return seen


def without_batches(manifest):
    return manifest | {"nodes": [{k: v for k, v in spec.items() if k != "batch_size"} for spec in manifest["nodes"]]}


SEQUENTIAL = ["PassThrough", "Plus", "Odd", "Burst", "Late", "Batcher", "Source", *PAIRED, *ISOLATING, *STATEFUL]


@pytest.mark.slow
@settings(max_examples=800)
@given(pipelines(SEQUENTIAL, {"Plus", "Burst", *ISOLATING}))
def test_r16_batches_in_the_reference_are_as_single_items(case):
    manifest, items, policy = case
    singles = everything("reference", "execute", without_batches(manifest), items, policy, SINGLE)
    if singles["error"] is not None and "input items" in str(singles["error"]):
        return
    assert everything("reference", "execute", manifest, items, policy) == singles


@pytest.mark.slow
@settings(max_examples=1500)
@given(
    pipelines(
        ["PassThrough", *PLAIN, *ASYNC, *SOURCES, "Batcher", *BATCHED, *BATCHED], {"Plus", "Odd", "Burst", *ISOLATING}
    )
)
def test_r45_batches_beside_everything_else(case):
    manifest, items, policy = case
    expected = everything("reference", "execute", manifest, items, policy)
    assert everything("cython", "execute", manifest, items, policy) == expected


@pytest.mark.slow
@settings(max_examples=800)
@given(pipelines(["PassThrough", "Plus", "Odd", *PAIRED, *ISOLATING], {"Plus", "Odd", *PAIRED, *ISOLATING}))
def test_r45_batches_that_fail_as_a_whole(case):
    """Without openers both engines make the same batches; with them, a batch of the engine may hold more."""
    manifest, items, policy = case
    manifest["nodes"] = [spec | {"fan_in": "join"} for spec in manifest["nodes"]]
    fed = {connection["to"] for connection in manifest["connections"]} | {"n0"}
    manifest["connections"] += [{"from": "n0", "to": s["id"]} for s in manifest["nodes"] if s["id"] not in fed]
    expected = everything("reference", "execute", manifest, items, policy)
    assert everything("cython", "execute", manifest, items, policy) == expected


@pytest.mark.slow
@settings(max_examples=300)
@given(
    pipelines(["PassThrough", *PLAIN, *ASYNC, *SOURCES, *BATCHED, *BATCHED], {"Plus", "Burst", *ISOLATING}),
    st.sampled_from(
        [
            "session",
            "stream",
            "session stream",
            "async execute on asyncio",
            "async stream on uvloop",
            "async session on asyncio",
        ]
    ),
)
def test_r45_batches_in_every_mode(case, mode):
    manifest, items, policy = case
    expected = everything("reference", mode, manifest, items, policy)
    assert everything("cython", mode, manifest, items, policy) == expected


def test_r34_a_pass_that_failed_leaves_nothing_to_the_passes_before_it():
    """They wait at a batch, and go on when the error is known; what the failed one left for a join is not theirs."""
    kinds = ("Odd", "PassThrough", "IsoPlus", "BatchOdd", "BatchPlus")
    nodes = [{"id": f"n{i}", "node_type": kind, "fan_in": "join"} for i, kind in enumerate(kinds)]
    nodes[2] |= {"batch_size": 1, "params": {"fail": 3}}
    nodes[3]["batch_size"] = 4
    nodes[4] |= {"batch_size": 1, "join_missing": "partial"}
    manifest = plain(nodes, [("n0", "n1"), ("n2", "n4"), ("n0", "n4")])
    expected = everything("reference", "execute", manifest, [4, 3, 48, 47], "stop")
    assert expected["results"] == [7, {"n0": 3}]
    assert everything("cython", "execute", manifest, [4, 3, 48, 47], "stop") == expected


@pytest.mark.parametrize("items", [[44, 5, 23, 19, 27, 38, 5, 39], list(range(20))])
def test_a_batch_is_called_when_the_last_call_beside_it_is_at_its_end(items):
    """That call need not be the first of its window, which is what the run is woken for else."""
    nodes = [
        {"id": "n0", "node_type": "AsyncList", "max_concurrency": 3},
        {"id": "n1", "node_type": "SlowPlus"},
        {"id": "n2", "node_type": "BatchPlus", "batch_size": 3},
        {"id": "n3", "node_type": "AsyncBatchOdd", "batch_size": 2},
    ]
    manifest = plain(nodes, [("n0", "n2"), ("n1", "n2"), ("n0", "n3"), ("n2", "n3")])
    expected = everything("reference", "execute", manifest, items, "skip")
    assert everything("cython", "execute", manifest, items, "skip") == expected
