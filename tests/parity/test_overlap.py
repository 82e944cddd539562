"""R15, R45: where calls overlap, what comes out is what the sequential reference gives, on random DAGs."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import ASYNC, PLAIN, SOURCES, describe
from support import Driver, plain

import remotemedia as rm


@st.composite
def pipelines(draw):
    n = draw(st.integers(1, 8))
    produced = draw(st.integers(0, 7)) == 0
    nodes, connections = [], []
    order = draw(st.permutations(range(n)))
    for i in range(n):
        feeders = sorted(draw(st.sets(st.sampled_from(order[:i]), max_size=3)), key=order.index) if i else []
        if i and not feeders and draw(st.booleans()):
            feeders = [order[i - 1]]
        spec = {"id": f"n{order[i]}"}
        if produced and not feeders:
            spec["node_type"] = draw(st.sampled_from(sorted(SOURCES)))
        else:
            spec["node_type"] = draw(st.sampled_from([*PLAIN, *ASYNC, *ASYNC, "PassThrough", "Batcher"]))
            if spec["node_type"] in ASYNC:
                spec["max_concurrency"] = draw(st.integers(1, 4))
            elif draw(st.booleans()):
                spec["isolation"] = "thread"
                if spec["node_type"] not in ("Late", "Batcher"):
                    spec["max_concurrency"] = draw(st.integers(1, 3))
        if spec["node_type"] == "Batcher":
            spec["params"] = {"size": 2}
        elif spec["node_type"] != "PassThrough" and draw(st.integers(0, 5)) == 0:
            spec["params"] = {"fail": draw(st.integers(0, 4))}
        if feeders and draw(st.booleans()):
            spec["fan_in"] = "join"
            if draw(st.booleans()):
                spec["join_missing"] = "partial"
        if draw(st.integers(0, 7)) == 0:
            spec["is_output_node"] = True
        nodes.append(spec)
        for feeder in draw(st.permutations(feeders)):
            connection = {"from": f"n{feeder}", "to": spec["id"]}
            if draw(st.booleans()):
                connection["capacity"] = draw(st.integers(1, 4))
            connections.append(connection)
    manifest = plain(sorted(nodes, key=lambda spec: spec["id"]), [])
    manifest["connections"] = draw(st.permutations(connections))
    items = None if produced else draw(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=12))
    if items is not None and draw(st.booleans()):
        items = [item for item in items if item is not None]
    return manifest, items, draw(st.sampled_from(["stop", "skip", "collect"]))


@st.composite
def chains(draw):
    """Thread stages, or async ones, one behind the other: passes go on from each to the next without the run."""
    kinds = draw(st.sampled_from([("Plus", "Odd", "SlowPlus"), ("AsyncPlus", "AsyncOdd")]))
    count = draw(st.integers(2, 5))
    nodes = [
        {
            "id": f"n{i}",
            "node_type": draw(st.sampled_from(kinds)),
            "max_concurrency": draw(st.integers(1, 3)),
            "isolation": "none" if kinds[0] == "AsyncPlus" else "thread",
            "params": {"fail": draw(st.integers(0, 4))} if draw(st.integers(0, 4)) == 0 else {},
            "is_output_node": draw(st.integers(0, 5)) == 0,
            "copy": draw(st.integers(0, 9)) == 0,
        }
        for i in range(count)
    ]
    manifest = plain(nodes, [])
    for i in range(count - 1):
        connection = {"from": f"n{i}", "to": f"n{i + 1}"}
        if draw(st.booleans()):
            connection["capacity"] = draw(st.integers(1, 9))
        manifest["connections"].append(connection)
    items = draw(st.lists(st.integers(0, 96), max_size=60))
    return manifest, items, draw(st.sampled_from(["stop", "skip", "collect"]))


def everything(engine, mode, manifest, items, policy):
    driver = Driver(engine, mode)
    driver.register(**PLAIN, **ASYNC, **SOURCES)
    outcome = driver.run(manifest, items, error_policy=policy)
    seen = {"results": outcome.results, "error": describe(outcome.error)}
    if outcome.result is not None:
        metrics = dict(outcome.result.metrics)
        del metrics["duration_ns"]
        seen |= {
            "metrics": metrics,
            "status": outcome.result.status,
            "outputs": outcome.result.outputs,
            "errors": [describe(e) for e in outcome.result.errors],
        }
    return seen


@pytest.mark.slow
@settings(max_examples=1500)
@given(pipelines())
def test_r45_overlapping_calls_equal_the_sequential_reference(case):
    manifest, items, policy = case
    expected = everything("reference", "execute", manifest, items, policy)
    assert everything("cython", "execute", manifest, items, policy) == expected


@pytest.mark.slow
@settings(max_examples=600)
@given(chains(), st.sampled_from(["execute", "session", "session stream", "async stream on asyncio"]))
def test_r45_chains_of_overlapping_calls(case, mode):
    manifest, items, policy = case
    expected = everything("reference", mode, manifest, items, policy)
    assert everything("cython", mode, manifest, items, policy) == expected


@pytest.mark.slow
@settings(max_examples=300)
@given(
    pipelines(),
    st.sampled_from(["session", "stream", "session stream", "async execute on asyncio", "async stream on uvloop",
                     "async session stream on asyncio"]),
)  # fmt: skip
def test_r45_in_every_mode(case, mode):
    manifest, items, policy = case
    expected = everything("reference", mode, manifest, items, policy)
    assert everything("cython", mode, manifest, items, policy) == expected


def test_what_an_opener_emitted_before_its_pass_failed_is_kept():
    """The opener itself is further by then, and waits at a cut behind its loop."""
    kinds = ("Burst", "Plus", "Plus", "Plus", "Plus", "Plus", "AsyncPlus")
    nodes = [{"id": f"n{i}", "node_type": kind} for i, kind in enumerate(kinds)]
    nodes[1] |= {"isolation": "thread", "max_concurrency": 2}
    nodes[3]["params"] = {"fail": 0}
    nodes[6]["max_concurrency"] = 2
    pairs = [("n0", "n1"), ("n0", "n2"), ("n1", "n2"), ("n2", "n3"), ("n0", "n4"), ("n1", "n4"), ("n0", "n5")]
    expected = everything("reference", "execute", plain(nodes, pairs), [31], "stop")
    assert len(expected["results"]) == 11
    assert everything("cython", "execute", plain(nodes, pairs), [31], "stop") == expected


@pytest.mark.slow
def test_r16_many_items_through_many_stages():
    rng = random.Random(5)
    items = [rng.randrange(1000) for _ in range(3000)]
    nodes = [
        {"id": "a", "node_type": "AsyncPlus", "max_concurrency": 7},
        {"id": "b", "node_type": "Burst", "isolation": "thread", "max_concurrency": 2},
        {"id": "c", "node_type": "AsyncOdd", "max_concurrency": 5},
        {"id": "d", "node_type": "SlowPlus", "isolation": "thread"},
        {"id": "e", "node_type": "AsyncBurst", "max_concurrency": 3},
    ]
    pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("d", "e")]
    expected = everything("reference", "execute", plain(nodes, pairs), items, "stop")
    assert everything("cython", "execute", plain(nodes, pairs), items, "stop") == expected


class Clingy:
    """An item that gives the GIL away when it is dropped."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        time.sleep(1e-5)


class Renew(rm.NodeExecutor):
    def process(self, item):
        return Clingy(item.number) if item.number % 5 else None


@pytest.mark.slow
def test_r15_order_holds_where_dropping_an_item_lets_others_run():
    """While the run has a pass of a window under way, workers do not hand on those behind it."""
    nodes = [{"id": f"n{i}", "node_type": "Renew", "isolation": "thread", "max_concurrency": 4} for i in range(3)]
    driver = Driver("cython", "stream")
    driver.register(Renew=Renew)
    for _ in range(60):  # while threads are started
        outcome = driver.run(plain(nodes, [("n0", "n1"), ("n1", "n2")]), (Clingy(i) for i in range(40)))
        assert [item.number for item in outcome.results] == [i for i in range(40) if i % 5]
