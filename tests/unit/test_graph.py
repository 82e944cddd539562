"""`PipelineGraph`: order, neighbours, and that its fast check and the slow one agree."""

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotemedia import Connection, Manifest, ManifestError, NodeSpec, PipelineGraph, RegistryError
from remotemedia._core.graph import link


def manifest_of(ids, pairs) -> Manifest:
    return Manifest(
        version="v1",
        metadata={"name": "graph"},
        nodes=tuple(NodeSpec(node_id, "PassThrough") for node_id in ids),
        connections=tuple(Connection(a, b) for a, b in pairs),
    )


def graph_of(ids, pairs) -> PipelineGraph:
    return PipelineGraph.from_manifest(manifest_of(ids, pairs))


def plain_order(n, pairs):
    """Of the nodes whose predecessors are placed, the first of the manifest; None if there is a cycle."""
    missing = [sum(b == u for _, b in pairs) for u in range(n)]
    ready = [u for u in range(n) if not missing[u]]
    order = []
    while ready:
        u = heapq.heappop(ready)
        order.append(u)
        for a, b in pairs:
            if a == u:
                missing[b] -= 1
                if not missing[b]:
                    heapq.heappush(ready, b)
    return order if len(order) == n else None


def test_a_diamond():
    graph = graph_of("dbca", ["ab", "ac", "bd", "cd"])
    assert graph.execution_order == ["a", "b", "c", "d"]
    assert graph.ids == ("d", "b", "c", "a")
    assert (graph.sources, graph.sinks) == (["a"], ["d"])
    assert graph.successors("a") == ["b", "c"]
    assert graph.predecessors("d") == ["b", "c"]
    assert (graph.predecessors("a"), graph.successors("d")) == ([], [])
    assert (len(graph), graph.node_count, graph.connection_count) == (4, 4, 4)
    assert "a" in graph
    assert "x" not in graph
    assert repr(graph) == "<PipelineGraph: 4 nodes, 4 connections>"


@pytest.mark.parametrize("value", [{"version": "v1"}, "{}", None, NodeSpec("a", "Echo"), graph_of("a", [])])
def test_a_graph_is_made_of_a_manifest(value):
    with pytest.raises(TypeError, match=r"takes a Manifest, not .*; pass Manifest\.coerce\(\.\.\.\)"):
        PipelineGraph.from_manifest(value)


def test_a_long_name_is_not_repeated():
    with pytest.raises(RegistryError, match="the graph has no node 'xxx") as caught:
        graph_of("a", []).successors("x" * 10**7)
    assert len(str(caught.value)) < 300


def test_neighbours_are_in_the_order_of_the_connections():
    graph = graph_of("abcd", ["ac", "ab", "dc", "bc"])
    assert graph.successors("a") == ["c", "b"]
    assert graph.predecessors("c") == ["a", "d", "b"]


def test_without_connections_every_node_is_source_and_sink():
    graph = graph_of("ba", [])
    assert graph.execution_order == graph.sources == graph.sinks == ["b", "a"]


def test_lists_that_it_gives_out_are_the_callers_own():
    graph = graph_of("ab", ["ab"])
    graph.execution_order.clear()
    graph.successors("a").clear()
    assert graph.execution_order == ["a", "b"]
    assert graph.successors("a") == ["b"]


@pytest.mark.parametrize("method", ["successors", "predecessors"])
def test_an_unknown_node_is_named(method):
    with pytest.raises(RegistryError, match="no node 'zz'"):
        getattr(graph_of("ab", ["ab"]), method)("zz")


def test_it_is_made_by_from_manifest_alone():
    with pytest.raises(TypeError, match="from_manifest"):
        PipelineGraph()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 4096, 4097, 100_000])
def test_a_chain_given_backwards(n):
    ids = [f"n{i}" for i in range(n)]
    graph = graph_of(ids, [(ids[i + 1], ids[i]) for i in range(n - 1)])
    assert graph.execution_order == ids[::-1]


@pytest.mark.parametrize("n", [64, 5000])
def test_ties_are_in_manifest_order(n):
    ids = [f"n{i}" for i in range(n)]
    middle = ids[n // 2]
    graph = graph_of(ids, [(ids[-1], middle)])
    assert graph.execution_order == [i for i in ids if i not in (middle, ids[-1])] + [ids[-1], middle]


@settings(max_examples=500)
@given(st.data())
def test_any_graph_is_ordered_or_refused_as_the_plain_way_does(data):
    n = data.draw(st.integers(1, 8))
    node = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=14, unique=data.draw(st.booleans())))
    ids = data.draw(st.permutations([f"n{i}" for i in range(n)]))
    order = plain_order(n, pairs)
    manifest = manifest_of(ids, [(ids[a], ids[b]) for a, b in pairs])
    sound = order is not None and len(set(pairs)) == len(pairs)
    assert (link(manifest.nodes, manifest.connections) is not None) == sound
    if sound:
        assert manifest.graph.execution_order == [ids[u] for u in order]
        return
    with pytest.raises(ManifestError) as caught:
        manifest.graph
    assert caught.value.errors
    assert all(issue.path.startswith("$.connections[") for issue in caught.value.errors)


@pytest.mark.parametrize(
    ("ids", "pairs"),
    [
        ([], []),
        (["a b"], []),
        (["ä"], []),
        ([""], []),
        (["a", "a"], []),
        (["a"], [("a", "x")]),
        (["a"], [("x", "a")]),
        (["a"], [("a", "a")]),
        (["a", "b"], [("a", "b"), ("a", "b")]),
        (["a", "b"], [("a", "b"), ("b", "a")]),
    ],
)
def test_link_refuses_a_fault(ids, pairs):
    manifest = manifest_of(ids, pairs)
    assert link(manifest.nodes, manifest.connections) is None
