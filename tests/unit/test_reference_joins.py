"""The reference engine: joins, flushes and producers, worked out by hand from the contract."""

from __future__ import annotations

import pytest
from unit.test_reference import JOIN, PARTIAL, Hold, Log, Many, Source, Tell, blueprint, calls, run, tellers

from remotemedia._core.node import NodeExecutor
from remotemedia.errors import ManifestError, NodeError
from remotemedia.reference import open_run
from remotemedia.result import ExecutionStatus


@pytest.fixture
def log():
    return Log()


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
    nodes = tellers(log, s=Tell, a=(Tell, {}, keep_x), b=(Tell, {}, lambda i: None if i == "z" else i), j=(Tell, keys))
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


def type_name(given):
    return type(given).__name__


@pytest.mark.parametrize("given", ["text", b"bytes", {"a": 1}, bytearray(1), memoryview(b""), 7], ids=type_name)
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
