"""The reference engine: what failures do, to the other nodes, the counts and the caller."""

from __future__ import annotations

import signal
import sys

import pytest
from unit.test_reference import PACKAGE, PARTIAL, Log, Many, Tell, blueprint, calls, run, tellers

from remotemedia.errors import InputError, NodeError
from remotemedia.reference import open_run
from remotemedia.result import ExecutionStatus


@pytest.fixture
def log():
    return Log()


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

    with pytest.raises(NodeError, match="bad") as caught:
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
