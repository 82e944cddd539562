"""The reference engine by itself: what it imports, and orders worked out by hand from the contract.

Nodes write what they are called with into one log; the expected logs were derived with pencil and paper, and each has
its reasoning beside it.
"""

from __future__ import annotations

import ast
import gc
import signal
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from remotemedia import reference
from remotemedia._core.node import NodeExecutor
from remotemedia.errors import InputError, ManifestError, NodeError, SessionBusyError, SessionClosedError
from remotemedia.reference import TWINS, open_run
from remotemedia.reference.graph import Graph
from remotemedia.result import ExecutionStatus

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
DEFAULTS = dict.fromkeys(("params", "fan_in", "join_missing", "copy", "is_output_node"))


def blueprint(nodes, connections=""):
    """Return a blueprint. `nodes`: id -> factory or (factory, keys); `connections`: ``"a->b a->c"``."""
    nodes = {name: node if isinstance(node, tuple) else (node, {}) for name, node in nodes.items()}
    factories = [factory for factory, _ in nodes.values()]
    specs = [
        SimpleNamespace(**DEFAULTS | {"id": name, "node_type": "T"} | keys) for name, (_, keys) in nodes.items()
    ]
    pairs = [pair.split("->") for pair in connections.split()]
    return SimpleNamespace(
        specs=specs,
        connections=[SimpleNamespace(from_=a, to=b) for a, b in pairs],
        metadata={"name": "test"},
        factories=factories,
        make=lambda position: factories[position](),
        plan=None,
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
    return open_run(blueprint(nodes, connections), policy).whole(items)


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
    ours = {"remotemedia." + name for name in ("errors", "items", "claims", "plan_faults", "result", "traits")}
    for module, names in imports_of(path):
        if module == "remotemedia._core.node":
            assert set(names) <= {"NodeContext", "NodeExecutor"}
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
    ).info()["execution_order"]


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


# --- joins ---


def test_a_join_pairs_what_its_branches_emitted_in_the_same_pass(log):
    nodes = tellers(log, s=Tell, a=(Tell, {}, "{}a".format), b=(Tell, {}, "{}b".format), j=(Tell, JOIN))
    # the dict is in connection order: b->j stands first
    result = run(nodes, "s->a s->b b->j a->j", ["x", "y"])
    assert [list(item.items()) for item in result.results] == [
        [("b", "xb"), ("a", "xa")],
        [("b", "yb"), ("a", "ya")],
    ]


def test_a_join_inside_a_scope_pairs_once_per_output(log):
    nodes = tellers(log, m=Many, a=Tell, b=Tell, j=(Tell, JOIN))
    assert run(nodes, "m->a m->b a->j b->j", ["x"]).results == [{"a": "x1", "b": "x1"}, {"a": "x2", "b": "x2"}]


def test_a_join_takes_an_opener_itself_with_a_node_of_its_scope(log):
    # m emits in the scope that it opens, which is the one that a emits in
    nodes = tellers(log, m=Many, a=(Tell, {}, "{}a".format), j=(Tell, JOIN))
    assert run(nodes, "m->j m->a a->j", ["x"]).results == [{"m": "x1", "a": "x1a"}, {"m": "x2", "a": "x2a"}]


def keep_x(item):
    return item if "x" in item else None


@pytest.mark.parametrize(
    ("keys", "results", "filtered"),
    [
        # y is missing on branch a: the join is skipped for it; z on both: no call, no count
        (JOIN, [{"a": "x", "b": "x"}], 1),
        (PARTIAL, [{"a": "x", "b": "x"}, {"b": "y"}], 0),
    ],
)
def test_a_join_with_a_missing_branch(log, keys, results, filtered):
    nodes = tellers(
        log, s=Tell, a=(Tell, {}, keep_x), b=(Tell, {}, lambda i: None if i == "z" else i), j=(Tell, keys)
    )
    result = run(nodes, "s->a s->b a->j b->j", ["x", "y", "z"])
    assert result.results == results
    counts = result.metrics["nodes"]["j"]
    assert (counts["in"], counts["passed"], counts["filtered"]) == (2, len(results), filtered)
    delivered = {name: c["delivered"] for name, c in result.metrics["connections"].items()}
    assert delivered == {"s->a": 3, "s->b": 3, "a->j": 1, "b->j": 2}


def test_a_join_of_one_connection_still_gives_a_dict(log):
    assert run(tellers(log, a=Tell, j=(Tell, JOIN)), "a->j", ["x"]).results == [{"a": "x"}]


def fault(nodes, connections):
    with pytest.raises(ManifestError) as caught:
        open_run(blueprint(nodes, connections), "stop")
    return caught.value.errors


def test_joins_across_scopes_are_refused_by_name_all_at_once(log):
    # j joins p (the run's passes) with a (m's); k joins a (m's) with b (n's). l, inside m's scope, is sound
    nodes = tellers(
        log, s=Tell, m=Many, n=Many, p=Tell, a=Tell, b=Tell, c=Tell,
        j=(Tell, JOIN), k=(Tell, JOIN), l=(Tell, JOIN),
    )  # fmt: skip
    errors = fault(nodes, "s->m s->n s->p m->a n->b m->c p->j a->j a->k b->k a->l c->l")
    assert [error.path for error in errors] == ["$.nodes[7]", "$.nodes[8]"]
    assert all(name in errors[0].message for name in ("'j'", "'p'", "'a'", "'m'"))
    assert all(name in errors[1].message for name in ("'k'", "'a'", "'b'", "'m'", "'n'"))
    assert not any("partial" in error.message for error in errors)
    assert log == []  # no node method was called


def test_a_join_broken_by_a_merge_names_the_partial_join_as_remedy(log):
    # g merges a and b, which makes it an opener: it emits in a scope of its own, s in the run's
    errors = fault(tellers(log, s=Tell, a=Tell, b=Tell, g=Tell, j=(Tell, JOIN)), "s->a s->b a->g b->g g->j s->j")
    assert len(errors) == 1
    assert all(part in errors[0].message for part in ("'j'", "'g'", "'s'", "partial"))


def test_a_producer_takes_no_connection(log):
    assert "'p'" in fault(tellers(log, a=Tell, p=(Source, {}, "xy")), "a->p")[0].message


def test_async_nodes_are_refused_by_name():
    class Later(NodeExecutor):
        async def process(self, item):
            return item

    errors = fault({"a": Later, "b": Later}, "a->b")
    assert [error.path for error in errors] == ["$.nodes[0]", "$.nodes[1]"]
    assert "async" in errors[0].message


# --- flush ---


def test_nodes_flush_in_topological_order_each_item_through_everything_below(log):
    # h flushes x, then y, each through k (which holds them again) before the next; then k flushes, in order
    result = run(tellers(log, h=Hold, k=Hold, t=Tell), "h->k k->t", ["x", "y"])
    assert calls(log) == [
        "h:x", "h:y",
        "h.flush", "k:xf", "h+", "k:yf", "h+",
        "k.flush", "t:xff", "k+", "t:yff", "k+",
    ]  # fmt: skip
    assert result.results == ["xff", "yff"]


def test_a_flushed_item_is_a_pass_below_its_node_and_then_over_what_it_left_for(log):
    # run's scope: s h p j; h's scope: a. A flushed item goes to a, leaves h's scope for j in the run's, then h goes on.
    # s and p get nothing in a flush
    nodes = tellers(log, s=Tell, h=Hold, a=Tell, p=Tell, j=Tell)
    run(nodes, "s->h h->a a->j s->p p->j", ["x", "y"])
    assert calls(log) == [
        "s:x", "h:x", "p:x", "j:x", "s:y", "h:y", "p:y", "j:y",
        "h.flush", "a:xf", "j:xf", "h+", "a:yf", "j:yf", "h+",
    ]  # fmt: skip


def test_a_flushed_item_leaves_through_every_scope_around(log):
    # m opens {h, b, g}, h opens {a}; g merges a and b and opens {c}; j merges c and s in the run's scope.
    # flushed: a (h's scope), then g, c (m's scope), then j (the run's)
    nodes = tellers(log, s=Tell, m=Many, h=Hold, a=Tell, b=Tell, g=Tell, c=Tell, j=Tell)
    run(nodes, "s->m m->h h->a m->b a->g b->g g->c c->j s->j", ["x"])
    assert calls(log) == [
        "s:x", "m:x", "h:x1", "b:x1", "g:x1", "c:x1", "m+", "h:x2", "b:x2", "g:x2", "c:x2", "m+",
        "j:x1", "j:x2", "j:x",
        "h.flush", "a:x1f", "g:x1f", "c:x1f", "j:x1f", "h+", "a:x2f", "g:x2f", "c:x2f", "j:x2f", "h+",
    ]  # fmt: skip


def test_a_join_pairs_flushed_items_in_their_own_pass(log):
    nodes = tellers(log, h=Hold, a=Tell, b=Tell, j=(Tell, JOIN))
    assert run(nodes, "h->a h->b a->j b->j", ["x", "y"]).results == [{"a": "xf", "b": "xf"}, {"a": "yf", "b": "yf"}]


@pytest.mark.parametrize("given", ["text", b"bytes", {"a": 1}, bytearray(1), memoryview(b""), 7], ids=repr)
def test_a_flush_that_gives_no_list_is_an_error_that_names_the_node(given):
    class Bad(NodeExecutor):
        def process(self, item):
            return item

        def flush(self):
            return given

    with pytest.raises(NodeError, match=r"'n'.*Bad\.flush.*list of items") as caught:
        run({"n": Bad}, "", [1], "collect")
    assert (caught.value.phase, caught.value.item_index) == ("flush", None)
    assert caught.value.partial.results == [1]


# --- producers ---


def test_producers_are_pulled_one_after_the_other_each_item_a_pass(log):
    # order p q a b j; p's items go through a and then, in the run's scope, j, before the next; q comes after p's end.
    # the ordinary source o gets nothing
    nodes = tellers(log, p=(Source, {}, "xy"), q=(Source, {}, "z"), o=Tell, a=Tell, b=Tell, j=Tell)
    result = run(nodes, "p->a q->b a->j b->j", None)
    assert calls(log) == ["a:x", "j:x", "p+", "a:y", "j:y", "p+", "b:z", "j:z", "q+"]
    assert result.metrics["items_in"] == 3
    assert result.metrics["nodes"]["p"] == {"in": 2, "passed": 2, "filtered": 0, "failed": 0, "out": 2, "flushed": 0}


def test_a_failing_producer_takes_the_index_of_the_item_it_owed(log):
    def broken():
        yield "x"
        raise ValueError("no more")

    nodes = tellers(log, p=(Source, {}, broken()), q=(Source, {}, "z"), t=(Tell, {}, len), j=Tell)
    result = run(nodes, "q->t", None, "collect")
    assert result.results == ["x", 1]
    error = result.errors[0]
    assert (error.phase, error.item_index, error.node_id) == ("produce", 1, "p")
    assert result.status is ExecutionStatus.COMPLETED_WITH_ERRORS


# --- errors ---


def picky(item):
    if item == "bad":
        raise ValueError(item)
    return item


def test_a_failing_branch_leaves_the_others_going(log):
    # a fails on "bad": b still gets it; the join has only b
    nodes = tellers(log, s=Tell, a=(Tell, {}, picky), b=Tell, j=(Tell, PARTIAL))
    result = run(nodes, "s->a s->b a->j b->j", ["ok", "bad"], "collect")
    assert result.results == [{"a": "ok", "b": "ok"}, {"b": "bad"}]
    (error,) = result.errors
    assert (error.node_id, error.item_index, error.input_repr) == ("a", 1, "'bad'")
    assert error.__cause__.__traceback__ is None
    assert "picky" in error.traceback_text


def test_collected_errors_stand_by_item_and_place_refused_inputs_first(log):
    # within item 1 the merge's scope makes t fail before u does, though u stands earlier in topological order:
    # order s g u t. g opens {t}, which runs right after g
    nodes = tellers(log, s=Tell, a=Tell, g=Tell, u=(Tell, {}, picky), t=(Tell, {}, picky))
    result = run(nodes, "s->a s->g a->g s->u g->t", [None, "bad"], "collect")
    assert calls(log) == ["s:bad", "a:bad", "g:bad", "t:bad", "g:bad", "t:bad", "u:bad"]
    places = [(type(e), e.item_index, getattr(e, "node_id", None)) for e in result.errors]
    assert places == [(InputError, 0, None), (NodeError, 1, "u"), (NodeError, 1, "t"), (NodeError, 1, "t")]
    assert (result.metrics["refused"], result.metrics["items_in"]) == (1, 2)


def test_what_a_many_node_emitted_before_its_error_stays(log):
    class Breaks(Tell):
        def process(self, item):
            yield f"{item}1"
            raise ValueError(item)

    result = run(tellers(log, m=Breaks, t=Tell), "m->t", ["x", "y"], "skip")
    assert result.results == ["x1", "y1"]
    assert result.metrics["nodes"]["m"] == {"in": 2, "passed": 0, "filtered": 0, "failed": 2, "out": 2, "flushed": 0}


def test_the_counts_of_a_stopped_run_add_up(log):
    # t fails in the pass of m's second output: m's call, cut short, had emitted
    fails_at_2 = {"n": 0}

    def second(item):
        fails_at_2["n"] += 1
        if fails_at_2["n"] == 2:
            raise ValueError(item)
        return item

    with pytest.raises(NodeError) as caught:
        run(tellers(log, m=Many, t=(Tell, {}, second)), "m->t", ["x"])
    partial = caught.value.partial
    assert (partial.status, partial.results) == (ExecutionStatus.FAILED, ["x1"])
    assert partial.metrics["nodes"]["m"] == {"in": 1, "passed": 1, "filtered": 0, "failed": 0, "out": 2, "flushed": 0}
    assert partial.metrics["nodes"]["t"]["in"] == 2


def test_generators_in_flight_are_closed_innermost_first_before_the_first_cleanup(log):
    def explode(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tellers(log, m=Many, n=Many, t=(Tell, {}, explode)), "m->n n->t", ["x"])
    assert log[-5:] == ["n closed", "m closed", "t.cleanup", "n.cleanup", "m.cleanup"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, ValueError])
@pytest.mark.parametrize("where", ["plain", "many", "flush", "produce"])
def test_the_same_object_comes_out_bare_or_as_the_cause(kind, where):
    raised = kind("this one")

    def boom(self, *args):
        raise raised
        yield

    def bang(self, *args):
        raise raised

    made = {
        "plain": {"process": bang},
        "many": {"process": bang, "emits": "many"},
        "flush": {"process": lambda self, item: item, "flush": bang},
        "produce": {"produce": bang},
    }[where]
    node = type("Boom", (), made)
    with pytest.raises(BaseException) as caught:
        run({"a": node}, "", None if where == "produce" else [1])
    assert caught.value is raised if not issubclass(kind, Exception) else caught.value.__cause__ is raised


def test_what_the_input_raises_comes_out_as_it_is(log):
    raised = ValueError("from the input")

    def items():
        yield "x"
        raise raised

    with pytest.raises(ValueError) as caught:
        run(tellers(log, a=Tell), "", items(), "collect")
    assert caught.value is raised
    assert log.done() == ["a.initialize", "a:x", "a.cleanup"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: (x for x in ()), 'emits = "many"'),
        (lambda: asleep(), "async"),
        (lambda: asleep_many(), "async"),
    ],
)
def test_what_is_no_item_is_refused_wherever_a_node_gives_it(value, words):
    methods = {
        "process": {"process": lambda self, item: value()},
        "many": {"process": lambda self, item: [value()], "emits": "many"},
        "flush": {"process": lambda self, item: item, "flush": lambda self: [value()]},
        "produce": {"produce": lambda self: [value()]},
        "initialize": {"process": lambda self, item: item, "initialize": lambda self, context: value()},
        "cleanup": {"process": lambda self, item: item, "cleanup": lambda self: value()},
    }
    for name, made in methods.items():
        with pytest.raises(NodeError, match="Wrong") as caught:
            run({"a": type("Wrong", (), made)}, "", None if name == "produce" else [1])
        assert words in str(caught.value), name
        assert isinstance(caught.value.__cause__, TypeError)


async def asleep():
    pass


async def asleep_many():
    yield


def test_a_failed_initialize_cleans_up_itself_and_those_before(log):
    class Half(Tell):
        def initialize(self, context):
            super().initialize(context)
            raise ValueError("half")

    with pytest.raises(NodeError, match="'b'") as caught:
        run(tellers(log, a=Tell, b=Half, c=Tell), "a->b b->c", [1])
    assert log.done() == ["a.initialize", "b.initialize", "b.cleanup", "a.cleanup"]
    assert caught.value.phase == "initialize"
    assert caught.value.partial.results == []


def test_cleanup_errors_are_attached_to_the_first(log):
    class Untidy(Tell):
        def cleanup(self):
            super().cleanup()
            raise RuntimeError(self.name)

    with pytest.raises(NodeError, match="picky|bad") as caught:
        run(tellers(log, a=Untidy, b=(Untidy, {}, picky)), "a->b", ["bad"])
    assert caught.value.phase == "process"
    assert [error.node_id for error in caught.value.cleanup_errors] == ["b", "a"]
    with pytest.raises(NodeError) as caught:
        run(tellers(log, a=Untidy, b=Untidy), "a->b", ["x"])
    assert (caught.value.node_id, caught.value.phase, caught.value.partial.results) == ("b", "cleanup", ["x"])


def test_a_second_ctrl_c_in_a_cleanup_leaves_the_others_their_turn(log):
    class Interrupted(Tell):
        def cleanup(self):
            super().cleanup()
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tellers(log, a=Interrupted, b=Interrupted, c=Interrupted), "a->b b->c", ["x"])
    assert log[-3:] == ["c.cleanup", "b.cleanup", "a.cleanup"]


def test_an_interrupt_anywhere_in_the_end_still_cleans_every_node(log):
    # a tracer raises at the nth line that is executed in the package after `end` was called, for every n
    for nth in range(1, 400):
        log.clear()
        session = open_run(blueprint(tellers(log, a=Tell, b=Tell, c=Tell), "a->b b->c"), "stop")
        session.initialize()
        lines = 0

        def tracer(frame, event, arg, nth=nth):
            nonlocal lines
            if frame.f_code.co_filename != str(PACKAGE / "lifecycle.py") or frame.f_code.co_name != "clean_up":
                return tracer if "reference" in frame.f_code.co_filename else None
            if event == "line":
                lines += 1
                if lines == nth:
                    raise KeyboardInterrupt
            return tracer

        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            final = session.end(None)
        finally:
            sys.settrace(before)
        if lines < nth:
            break
        assert isinstance(final, KeyboardInterrupt)
        cleaned = [entry for entry in log if entry.endswith(".cleanup")]
        assert len(cleaned) == len(set(cleaned))
        assert cleaned == sorted(cleaned, reverse=True)
    assert nth > 10
    assert cleaned == ["c.cleanup", "b.cleanup", "a.cleanup"]


# --- what the session layer uses ---


def session_of(nodes, connections="", policy="stop", timed=False):
    session = open_run(blueprint(nodes, connections), policy, timed=timed)
    session.initialize()
    return session


def test_a_session_keeps_state_and_starts_each_run_at_index_0(log):
    session = session_of(tellers(log, e=(Tell, {}, picky), h=Hold), "e->h", "collect")
    assert session.execute(["x", "bad"]).errors[0].item_index == 1
    second = session.execute(["bad"])
    assert second.errors[0].item_index == 0
    assert second.results == ["xf"]  # held since the first run, flushed once more
    assert second.metrics["nodes"]["e"]["in"] == 1
    assert session.metrics()["nodes"]["e"]["in"] == 3
    assert session.end(None) is None


def test_process_never_flushes_and_counts_its_calls(log):
    session = session_of(tellers(log, m=Many, t=(Tell, {}, lambda i: 1 / 0 if i == "y1" else i)), "m->t", "collect")
    assert session.process("x") == ["x1", "x2"]
    assert session.process(None) == []
    assert session.process("y") == ["y2"]
    assert [(type(e), e.item_index) for e in session.errors] == [(InputError, 1), (NodeError, 2)]
    assert session.flush() == []
    session.end(None)


def test_a_stream_hands_out_in_the_middle_of_a_pass(log):
    session = session_of(tellers(log, m=Many, t=Tell, h=Hold), "m->t m->h")
    session.begin_stream(iter(["x"]))
    assert session.next_output() == ("t", "x1")
    assert calls(log) == ["m:x", "t:x1"]  # h has not seen x1 yet
    assert session.next_output() == ("t", "x2")
    assert calls(log) == ["h:x1", "m+", "t:x2"]
    assert session.next_output() == ("h", "x1f")
    assert session.next_output() == ("h", "x2f")
    assert session.next_output() is None
    assert session.result().outputs == {"t": [], "h": []}
    session.end(None)


def test_an_abandoned_stream_closes_generators_and_leaves_nothing_behind(log):
    session = session_of(tellers(log, m=Many, n=Many, t=Tell, g=Tell), "m->n n->t t->g m->g")
    session.begin_stream(["x"])
    with pytest.raises(AssertionError):
        session.abandon() or session.next_output()
    session.begin_stream(["x"])
    session.next_output()
    log.clear()
    session.abandon()
    assert log.done() == ["m closed"]  # n was through: g, where the first output comes from, runs after it
    assert session.process("y")[:1] == ["y11"]  # nothing of x is waiting any more
    session.end(None)


def test_stop_ends_the_call_at_the_next_item(log):
    session = session_of(tellers(log, a=(Tell, {}, lambda item: session.stop() or item)))
    with pytest.raises(SessionClosedError):
        session.execute(iter("xyz"))
    assert calls(log) == ["a:x"]
    session.end(None)


def test_nothing_is_pulled_ahead_of_need(log):
    def items():
        for item in "xy":
            log.append(f"pull {item}")
            yield item

    session = session_of(tellers(log, a=Tell, b=Tell), "a->b")
    session.begin_stream(items())
    log.clear()
    assert session.next_output() == ("b", "x")
    assert log.done() == ["pull x", "a:x", "b:x"]
    session.abandon()
    session.end(None)


def test_times_are_counted_when_asked_for(log):
    session = session_of(tellers(log, m=Many, h=Hold), "m->h", timed=True)
    metrics = session.execute(["x"]).metrics
    assert all(counts["time_ns"] > 0 for counts in metrics["nodes"].values())
    session.end(None)


def test_an_instance_is_never_in_two_runs(log):
    one = Tell(log, "a")
    first = open_run(blueprint({"a": lambda: one}), "stop")
    with pytest.raises(SessionBusyError):
        open_run(blueprint({"a": lambda: one}), "stop")
    first.end(None)
    open_run(blueprint({"a": lambda: one}), "stop").end(None)
    assert log == []


def test_a_copying_node_gets_a_copy_of_its_own(log):
    seen = {}
    nodes = tellers(
        log, s=Tell, a=(Tell, {"copy": True}, lambda i: seen.setdefault("a", i)),
        b=(Tell, {}, lambda i: seen.setdefault("b", i)),
    )  # fmt: skip
    item = {"deep": [1]}
    run(nodes, "s->a s->b", [item])
    assert seen["b"] is item
    assert seen["a"] == item
    assert seen["a"]["deep"] is not item["deep"]


def test_a_failing_copy_is_an_error_of_its_own_phase(log):
    class Uncopied:
        def __deepcopy__(self, memo):
            raise ValueError("no")

    result = run(tellers(log, a=(Tell, {"copy": True})), "", [Uncopied()], "collect")
    assert (result.errors[0].phase, result.metrics["nodes"]["a"]["failed"]) == ("copy", 1)


# --- memory and depth ---


class Item:
    """An item that can be referred to weakly."""


@pytest.mark.parametrize("end", ["good", "fails", "interrupted", "collected", "abandoned", "left open"])
def test_nodes_and_items_are_freed_without_the_collector(end):
    def behave(item):
        if end == "fails" or end == "collected":
            raise ValueError(end)
        if end == "interrupted":
            raise KeyboardInterrupt
        return item

    class Twice(NodeExecutor):
        def process(self, item):
            yield item
            yield item

    class Last(NodeExecutor):
        def process(self, item):
            return behave(item)

        def flush(self):
            return None

    def scenario():
        alive = []

        def make(cls):
            node = cls()
            alive.append(weakref.ref(node))
            return node

        def items():
            item = Item()
            alive.append(weakref.ref(item))
            yield item

        policy = "collect" if end == "collected" else "stop"
        nodes = {"m": lambda: make(Twice), "t": lambda: make(Last), "j": (lambda: make(Last), JOIN)}
        session = open_run(blueprint(nodes, "m->t t->j"), policy)
        if end in ("abandoned", "left open"):
            session.initialize()
            session.begin_stream(items())
            assert session.next_output() is not None
            if end == "abandoned":
                session.abandon()
            session.end(None)
        else:
            try:
                result = session.whole(items())
                assert len(result.errors) == (2 if end == "collected" else 0)
            except (NodeError, KeyboardInterrupt):
                pass
        return session, alive

    gc.collect()
    gc.disable()
    try:
        session, alive = scenario()
        assert len(alive) == 4
        assert [ref() for ref in alive] == [None] * 4  # though the run itself is still there
        died = weakref.ref(session._program.steps[0].traits.__class__)
        run_ref = weakref.ref(session)
        del session
        assert run_ref() is None
        assert died() is not None
    finally:
        gc.enable()


def test_the_last_item_is_not_held_while_the_input_makes_the_next(log):
    states = []

    def items():
        for _ in range(3):
            item = Item()
            ref = weakref.ref(item)
            yield item
            del item
            states.append(ref() is None)

    run(tellers(log, a=(Tell, {}, lambda item: item), b=(Tell, {}, lambda item: None)), "a->b", items())
    assert states == [True] * 3


DEPTH = 100_000


def chain_of(factory):
    names = [str(n) for n in range(DEPTH)]
    made = blueprint({})
    made.factories = [factory] * DEPTH
    made.make = lambda position: factory()
    made.specs = [SimpleNamespace(**DEFAULTS | {"id": name, "node_type": "T"}) for name in names]
    made.connections = [SimpleNamespace(from_=a, to=b) for a, b in zip(names, names[1:], strict=False)]
    return made


class Flusher(NodeExecutor):
    def process(self, item):
        return item

    def flush(self):
        return ["last"]


class Spread(NodeExecutor):
    emits = "many"

    def process(self, item):
        return [item]


@pytest.mark.parametrize("factory", [TWINS["PassThrough"], Spread], ids=["plain", "openers"])
def test_r29_chains_of_any_length_need_no_stack(factory):
    assert open_run(chain_of(factory), "stop").whole([1, 2]).results == [1, 2]


def test_r29_a_failure_at_the_bottom_of_nested_openers_closes_them_all():
    class Bottom(NodeExecutor):
        emits = "many"

        def process(self, item):
            return [item, asleep]

    made = chain_of(Spread)
    made.factories = [*made.factories[:-1], Bottom]
    made.make = lambda position: made.factories[position]()
    session = open_run(made, "stop")
    session.initialize()
    session.begin_stream([1])
    assert session.next_output() == (str(DEPTH - 1), 1)
    session.abandon()
    assert session.end(None) is None


def test_chained_flushers_take_one_pass_an_item():
    made = chain_of(Flusher)
    for key in ("factories", "specs"):
        setattr(made, key, getattr(made, key)[:300])
    made.connections = made.connections[:299]
    # every one of 300 nodes flushes once, and all of it comes out
    assert open_run(made, "stop").whole(["x"]).results == ["x"] + ["last"] * 300
