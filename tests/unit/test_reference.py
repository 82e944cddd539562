"""The reference engine by itself: what it imports, and the order of nodes and passes, worked out by hand.

Nodes write what they are called with into one log; the expected logs were derived from the contract with pencil and
paper, and each has its reasoning beside it. The other ``test_reference_*`` use the nodes of this file.
"""

from __future__ import annotations

import ast
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from remotemedia import reference
from remotemedia._core.node import Claims, NodeContext, NodeExecutor
from remotemedia._core.session import whole
from remotemedia.reference import open_run
from remotemedia.reference.graph import Graph

PACKAGE = Path(reference.__file__).parent


# --- scratch: a blueprint without manifest and registry, and nodes that tell what is done to them ---


class Log(list):
    """Calls in the order in which they came; `done` empties it."""

    def done(self):
        entries = list(self)
        self.clear()
        return entries


class Tell(NodeExecutor):
    """Hand on `f(item)`, telling ``id:item``; the lifecycle is told as ``id.phase``."""

    def __init__(self, log, name, f=lambda item: item):
        self.log, self.name, self.f = log, name, f

    def initialize(self, context):
        self.log.append(f"{self.name}.initialize")

    def process(self, item):
        self.log.append(f"{self.name}:{item}")
        return self.f(item)

    def cleanup(self):
        self.log.append(f"{self.name}.cleanup")


class Many(Tell):
    """Emit ``item1``, ``item2``; tells when it goes on and when it is closed."""

    def process(self, item):
        self.log.append(f"{self.name}:{item}")
        try:
            for n in (1, 2):
                yield f"{item}{n}"
                self.log.append(f"{self.name}+")
        except GeneratorExit:
            self.log.append(f"{self.name} closed")
            raise


class Hold(Tell):
    """Filter everything, and flush it."""

    held = ()

    def process(self, item):
        self.log.append(f"{self.name}:{item}")
        self.held += (item,)

    def flush(self):
        self.log.append(f"{self.name}.flush")
        for item in self.held:
            yield f"{item}f"
            self.log.append(f"{self.name}+")


class Source(Tell):
    """Produce the items it was given."""

    def produce(self):
        for item in self.f:
            yield item
            self.log.append(f"{self.name}+")


JOIN = {"fan_in": "join"}
PARTIAL = {"fan_in": "join", "join_missing": "partial"}
DEFAULTS = dict.fromkeys(
    (
        "params",
        "fan_in",
        "join_missing",
        "copy",
        "is_output_node",
        "batch_size",
        "max_batch_wait_ms",
        "max_concurrency",
        "isolation",
        "timeout_ms",
        "retry",
        "circuit_breaker",
    )
) | {"parallelism": 1}


def blueprint(nodes, connections=""):
    """Return a blueprint. `nodes`: id -> factory or (factory, keys); `connections`: ``"a->b a->c"``."""
    nodes = {name: node if isinstance(node, tuple) else (node, {}) for name, node in nodes.items()}
    factories = [factory for factory, _ in nodes.values()]
    specs = [SimpleNamespace(**DEFAULTS | {"id": name, "node_type": "T"} | keys) for name, (_, keys) in nodes.items()]
    pairs = [pair.split("->") for pair in connections.split()]

    def claim(nodes):
        claims = Claims()
        claims.take(nodes, [f"node {spec.id!r} ({spec.node_type})" for spec in specs])
        return claims

    return SimpleNamespace(
        specs=specs,
        context=lambda u, session_id: NodeContext(specs[u].id, "T", specs[u].params, session_id, {"name": "test"}),
        claim=claim,
        connections=[SimpleNamespace(from_=a, to=b, capacity=None, overflow=None) for a, b in pairs],
        factories=factories,
        make=lambda position: factories[position](),
        plan=None,
        parallel_init=False,
        check_guards=lambda nodes: None,
        outline=None,
    )


def tellers(log, **kinds):
    """Return nodes that tell: ``name=Many``, or ``name=(Tell, JOIN)``, or ``name=(Tell, {}, f)``."""
    nodes = {}
    for name, kind in kinds.items():
        cls, keys, *f = kind if isinstance(kind, tuple) else (kind, {})
        nodes[name] = ((lambda cls=cls, name=name, f=f: cls(log, name, *f)), keys)
    return nodes


def run(nodes, connections, items, policy="stop"):
    """Run, and return the result."""
    return whole(open_run(blueprint(nodes, connections), policy), items)


def calls(log):
    """Return the log without lifecycle lines."""
    return [entry for entry in log.done() if not entry.endswith((".initialize", ".cleanup"))]


@pytest.fixture
def log():
    return Log()


# --- the package ---


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module, tuple(alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_imports_nothing_compiled_but_the_base_classes(path):
    ours = {
        "remotemedia." + name
        for name in (
            "batching",
            "beside",
            "bounded",
            "errors",
            "guards",
            "limits",
            "parallel_init",
            "workers",
            "items",
            "plan_faults",
            "result",
            "returns",
            "traits",
            "trials",
        )
    }
    for module, names in imports_of(path):
        if module == "remotemedia._core.node":
            assert set(names) <= {"Claims", "NodeContext", "NodeExecutor"}  # Claims is a name for the type checker
        elif module.partition(".")[0] == "remotemedia":
            assert module in ours or module.startswith("remotemedia.reference."), module
            source = Path(sys.modules[module].__file__)
            assert source.suffix == ".py"
        else:
            assert module.partition(".")[0] in sys.stdlib_module_names


def test_files_stay_short_enough_to_be_read():
    assert all(len(path.read_text().splitlines()) < 400 for path in PACKAGE.rglob("*.py"))


# --- order of the nodes ---


def order(nodes, connections):
    return Graph(
        [SimpleNamespace(id=name) for name in nodes],
        [SimpleNamespace(from_=pair[0], to=pair[1]) for pair in connections.split()],
    ).to_dict()["execution_order"]


@pytest.mark.parametrize(
    ("nodes", "connections", "expected"),
    [
        # nothing connected: manifest order
        ("cab", "", "cab"),
        # only c is ready; then b stands before a
        ("bac", "ca cb", "cba"),
        # b and d are ready, b stands first; b makes a ready, which stands before d
        ("abcd", "ba dc", "badc"),
        # a diamond given backwards: d first, then b before c in the manifest, then a
        ("abcd", "ba ca db dc", "dbca"),
    ],
)
def test_the_ready_node_that_stands_first_runs_next(nodes, connections, expected):
    assert "".join(order(nodes, connections)) == expected


@pytest.mark.parametrize("seed", range(30))
def test_the_order_is_that_of_its_definition_on_random_graphs(seed):
    rng = random.Random(seed)
    n = 12
    ranks = rng.sample(range(n), n)  # a hidden order, so that there is no cycle
    pairs = [(a, b) for a in range(n) for b in range(n) if ranks[a] < ranks[b] and rng.random() < 0.15]
    expected, left = [], list(range(n))
    while left:  # the definition, word by word
        ready = [u for u in left if not any(b == u and a in left for a, b in pairs)]
        expected.append(ready[0])
        left.remove(ready[0])
    graph = Graph(
        [SimpleNamespace(id=str(u)) for u in range(n)],
        [SimpleNamespace(from_=str(a), to=str(b)) for a, b in pairs],
    )
    assert graph.order == expected


def test_the_order_of_connections_does_not_matter_to_the_order_of_nodes():
    assert order("abcd", "ab ac bd cd") == order("abcd", "cd bd ac ab")


# --- passes and scopes, by hand ---


def test_a_plain_diamond_is_one_pass_an_item(log):
    # order a b c d; no opener but d, which merges: b's item first, as b->d is d's first connection
    nodes = tellers(log, a=Tell, b=(Tell, {}, "{}b".format), c=(Tell, {}, "{}c".format), d=Tell)
    result = run(nodes, "a->b a->c b->d c->d", ["x", "y"])
    assert calls(log) == ["a:x", "b:x", "c:x", "d:xb", "d:xc", "a:y", "b:y", "c:y", "d:yb", "d:yc"]
    assert result.results == ["xb", "xc", "yb", "yc"]


def test_a_merge_takes_its_connections_in_the_order_in_which_they_stand(log):
    # as above, but c->d stands first
    nodes = tellers(log, a=Tell, b=(Tell, {}, "{}b".format), c=(Tell, {}, "{}c".format), d=Tell)
    assert run(nodes, "a->b a->c c->d b->d", ["x"]).results == ["xc", "xb"]


def test_each_output_of_an_opener_is_a_pass_finished_before_the_next_is_pulled(log):
    # scope of m: a, b (in that order); m is resumed only when both have run
    run(tellers(log, m=Many, a=Tell, b=Tell), "m->a m->b", ["x"])
    assert calls(log) == ["m:x", "a:x1", "b:x1", "m+", "a:x2", "b:x2", "m+"]


def test_an_openers_scope_runs_right_after_it_though_others_come_first_in_topological_order(log):
    # topological order: s m p a b. The run's scope is s m p; m's is a, b, which run before p
    result = run(tellers(log, s=Tell, m=Many, p=Tell, a=Tell, b=Tell), "s->m s->p m->a a->b", ["x"])
    assert calls(log) == ["s:x", "m:x", "a:x1", "b:x1", "m+", "a:x2", "b:x2", "m+", "p:x"]
    assert result.results == ["x1", "x2", "x"]


def test_nested_openers_nest_their_passes(log):
    # n is in m's scope, a in n's: for each of m's two outputs n emits two
    run(tellers(log, m=Many, n=Many, a=Tell), "m->n n->a", ["x"])
    inner = ["n:x{0}", "a:x{0}1", "n+", "a:x{0}2", "n+"]
    assert calls(log) == ["m:x", *[e.format(1) for e in inner], "m+", *[e.format(2) for e in inner], "m+"]


def test_an_opener_in_a_diamond_feeds_the_merge_after_its_whole_scope(log):
    # run's scope: s m p j. m's scope: a. What a emits leaves m's scope and waits until j's turn in the run's pass;
    # there a->j stands first, so both of a's items come before p's
    nodes = tellers(log, s=Tell, m=Many, a=Tell, p=Tell, j=Tell, t=Tell)
    run(nodes, "s->m m->a a->j s->p p->j j->t", ["x"])
    assert calls(log) == [
        "s:x", "m:x", "a:x1", "m+", "a:x2", "m+", "p:x", "j:x1", "t:x1", "j:x2", "t:x2", "j:x", "t:x",
    ]  # fmt: skip


def test_a_merge_inside_a_scope_is_run_once_per_output(log):
    # all ways to j lead through m, so j belongs to m's scope: order a b j there, j an opener of its own for t
    run(tellers(log, m=Many, a=Tell, b=Tell, j=Tell, t=Tell), "m->a m->b a->j b->j j->t", ["x"])
    once = ["a:x{0}", "b:x{0}", "j:x{0}", "t:x{0}", "j:x{0}", "t:x{0}"]
    assert calls(log) == ["m:x", *[e.format(1) for e in once], "m+", *[e.format(2) for e in once], "m+"]


def test_a_merge_fed_from_two_scopes_waits_for_the_pass_around_both(log):
    # m and n each have their scope (a; b); j merges a and b, no opener is on both ways: j is in the run's scope
    run(tellers(log, s=Tell, m=Many, n=Many, a=Tell, b=Tell, j=Tell), "s->m s->n m->a n->b b->j a->j", ["x"])
    assert calls(log) == [
        "s:x", "m:x", "a:x1", "m+", "a:x2", "m+", "n:x", "b:x1", "n+", "b:x2", "n+",
        "j:x1", "j:x2", "j:x1", "j:x2",
    ]  # fmt: skip


def test_what_leaves_an_inner_scope_waits_for_the_pass_of_the_scope_it_enters(log):
    # m opens {n, b, j}, n opens {a}; j merges a (from n's scope) and b (from m's): it is in m's scope and runs once
    # per output of m, with all of n's items before b's
    run(tellers(log, m=Many, n=Many, a=Tell, b=Tell, j=Tell), "m->n n->a m->b a->j b->j", ["x"])
    once = ["n:x{0}", "a:x{0}1", "n+", "a:x{0}2", "n+", "b:x{0}", "j:x{0}1", "j:x{0}2", "j:x{0}"]
    assert calls(log) == ["m:x", *[e.format(1) for e in once], "m+", *[e.format(2) for e in once], "m+"]


def test_a_node_that_could_flush_is_an_opener_though_it_emits_one_item_at_a_time(log):
    # h has a flush of its own, so it opens a scope for a, which runs before p, though p comes earlier in the order
    class Late(Tell):
        def flush(self):
            return None

    run(tellers(log, s=Tell, h=Late, p=Tell, a=Tell), "s->h s->p h->a", ["x"])
    assert calls(log) == ["s:x", "h:x", "a:x", "p:x"]


def test_every_source_gets_every_item(log):
    # no connections: each node is source and sink; a pass runs them in manifest order
    result = run(tellers(log, b=Tell, a=Tell), "", [1, 2])
    assert calls(log) == ["b:1", "a:1", "b:2", "a:2"]
    assert result.results == [1, 1, 2, 2]
    assert result.outputs == {"b": [1, 2], "a": [1, 2]}


def test_sinks_emit_in_topological_order(log):
    # order s b a (b stands before a in the manifest), though the connection to a comes first
    result = run(tellers(log, s=Tell, b=(Tell, {}, "{}b".format), a=(Tell, {}, "{}a".format)), "s->a s->b", ["x"])
    assert result.results == ["xb", "xa"]


def test_outputs_of_an_output_node_are_kept_beside_the_results(log):
    nodes = tellers(log, s=(Tell, {"is_output_node": True}), m=(Many, {"is_output_node": True}), t=Tell)
    result = run(nodes, "s->m m->t", ["x"])
    assert result.results == ["x1", "x2"]
    assert result.outputs == {"t": ["x1", "x2"], "s": ["x"], "m": ["x1", "x2"]}
    assert result.outputs["t"] is result.results
