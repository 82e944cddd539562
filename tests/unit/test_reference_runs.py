"""The reference engine: what the session layer uses of it, and what it leaves behind."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import pytest
from unit.test_reference import JOIN, Hold, Log, Many, Tell, blueprint, calls, run, tellers
from unit.test_reference_errors import picky

from remotemedia._core.node import NodeExecutor
from remotemedia._core.session import whole
from remotemedia.errors import InputError, NodeError, SessionBusyError, SessionClosedError
from remotemedia.reference import TWINS, open_run


@pytest.fixture
def log():
    return Log()


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
    assert session.next_output() == ("g", "x11")
    log.clear()
    session.abandon()
    assert log.done() == ["m closed"]  # n was through: g, which emitted, runs after it
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


def test_lifecycle_phases_are_logged_and_nothing_per_item(log, caplog):
    caplog.set_level("DEBUG", "remotemedia")
    run(tellers(log, a=Tell, h=Hold), "a->h", ["x", "y"])
    assert [record.getMessage() for record in caplog.records] == [
        "initialize node 'a' (T)",
        "initialize node 'h' (T)",
        "flush node 'h' (T)",
        "cleanup node 'h' (T)",
        "cleanup node 'a' (T)",
    ]


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
                result = whole(session, items())
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
        parts = [weakref.ref(part) for part in (session, session._travel, session._program)]
        del session
        assert [ref() for ref in parts] == [None] * 3
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


def chain_of(factory, depth=DEPTH):
    names = [str(n) for n in range(depth)]
    return blueprint(dict.fromkeys(names, factory), " ".join(f"{a}->{b}" for a, b in pairwise(names)))


class Flusher(NodeExecutor):
    def process(self, item):
        return item

    def flush(self):
        return ["last"]


class Spread(NodeExecutor):
    emits = "many"

    def process(self, item):
        return [item]


@pytest.mark.slow
@pytest.mark.parametrize("factory", [TWINS["PassThrough"], Spread], ids=["plain", "openers"])
def test_r29_chains_of_any_length_need_no_stack(factory):
    assert whole(open_run(chain_of(factory), "stop"), [1, 2]).results == [1, 2]


@pytest.mark.slow
def test_r29_leaving_at_the_bottom_of_nested_openers_closes_them_all():
    session = open_run(chain_of(Spread), "stop")
    session.initialize()
    session.begin_stream([1])
    assert session.next_output() == (str(DEPTH - 1), 1)
    session.abandon()
    assert session.end(None) is None


def test_chained_flushers_take_one_pass_an_item():
    made = chain_of(Flusher, 300)
    # every one of 300 nodes flushes once, and all of it comes out
    assert whole(open_run(made, "stop"), ["x"]).results == ["x"] + ["last"] * 300
