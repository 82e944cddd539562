"""What errors say, how they are attached to each other, and that they survive pickling."""

import copy
import pickle

import pytest

import remotemedia as rm
from remotemedia.bounded import BoundedRepr
from remotemedia.errors import bounded_repr, bounded_text, detach, note, settle


def node_error(cause=None, **keys):
    keys = {"node_id": "n", "node_type": "T", "phase": "process", "item_index": 3, "item": [1, 2]} | keys
    return rm.NodeError.of(cause or ValueError("wrong"), **keys)


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


CLONES = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]


@pytest.mark.parametrize("clone", CLONES, ids=["copy", "deepcopy", "pickle"])
def test_a_node_error_keeps_what_it_says(clone):
    error = node_error()
    error.others = [node_error(item_index=4)]
    error.cleanup_errors = [RuntimeError("cleanup")]
    error.traceback_text = "text"
    again = clone(error)
    assert str(again) == str(error) == "node 'n' (T) failed in process at item 3: ValueError: wrong"
    fields = ("node_id", "node_type", "phase", "item_index", "input_type", "input_repr", "traceback_text")
    assert [getattr(again, f) for f in fields] == ["n", "T", "process", 3, "list", "[1, 2]", "text"]
    assert [str(e) for e in again.others] == [str(e) for e in error.others]
    assert [str(e) for e in again.cleanup_errors] == ["cleanup"]


@pytest.mark.parametrize("clone", CLONES, ids=["copy", "deepcopy", "pickle"])
def test_other_errors_keep_what_they_say(clone):
    error = rm.InputError("item 2 is None", item_index=2)
    error.traceback_text = "text"
    again = clone(error)
    assert (str(again), again.item_index, again.traceback_text) == ("item 2 is None", 2, "text")
    faults = [rm.ManifestIssue("$.a", "wrong"), rm.ManifestIssue("$.b", "too")]
    assert clone(rm.ManifestError(faults)).errors == tuple(faults)
    assert str(clone(rm.SessionBusyError("busy"))) == "busy"


def test_a_manifest_error_shows_twenty_faults_and_counts_the_rest():
    text = str(rm.ManifestError(rm.ManifestIssue(f"$[{i}]", "wrong") for i in range(25)))
    assert len(text.splitlines()) == 21
    assert text.endswith("and 5 more")


# --- which one is raised (R05) ---


def test_settle_gives_the_primary_and_attaches_the_others():
    primary, first, second = node_error(), RuntimeError("one"), RuntimeError("two")
    assert settle(primary, [first, second]) is primary
    assert primary.cleanup_errors == [first, second]
    assert primary.__notes__ == ["while cleaning up: RuntimeError: one", "while cleaning up: RuntimeError: two"]


def test_settle_without_a_primary_gives_the_first():
    first, second = RuntimeError("one"), RuntimeError("two")
    assert settle(None, []) is None
    assert settle(None, [first, second]) is first
    assert first.__notes__ == ["while cleaning up: RuntimeError: two"]


def test_an_interrupt_outranks_an_error_which_becomes_its_context():
    primary, interrupt = node_error(), KeyboardInterrupt()
    assert settle(primary, [RuntimeError("one"), interrupt]) is interrupt
    assert interrupt.__context__ is primary
    assert settle(SystemExit(1), [interrupt]).__class__ is SystemExit


def test_a_cleanup_error_does_not_lead_back_to_what_it_is_attached_to():
    primary = node_error()
    try:
        raise primary
    except rm.NodeError:
        failure = node_error(raised(RuntimeError("cleanup")), phase="cleanup")
    assert failure.__cause__.__context__ is primary
    settle(primary, [failure])
    assert failure.__cause__.__context__ is None


def test_a_note_that_the_class_refuses_changes_nothing():
    class Closed(Exception):
        def __setattr__(self, name, value):
            raise AttributeError("closed")

    note(Closed(), "text")


# --- frames let go (R36) ---


def test_detach_clears_the_frames_of_causes_contexts_and_groups():
    def fail():
        held = object()
        try:
            try:
                raise KeyError("deep")
            except KeyError:
                raise ValueError("context")  # noqa: B904
        except ValueError as error:
            raise ExceptionGroup("group", [error]) from LookupError("cause")
        finally:
            assert held

    try:
        fail()
    except ExceptionGroup as group:
        error = node_error(group)
    frame = group_frame = error.__cause__.__traceback__.tb_next.tb_frame
    assert "held" in frame.f_locals
    detach(error)
    assert "ExceptionGroup" in error.traceback_text
    assert "deep" in error.traceback_text
    assert "held" not in group_frame.f_locals
    inner = error.__cause__.exceptions[0]
    assert [e.__traceback__ for e in (error.__cause__, inner, inner.__context__)] == [None] * 3


def test_detach_leaves_what_the_caller_was_handling():
    try:
        raise KeyError("outer")
    except KeyError as outer:
        error = node_error(raised(ValueError("inner")))
        assert error.__cause__.__context__ is outer  # noqa: PT017
        detach(error, outer)
        assert outer.__traceback__ is not None  # noqa: PT017
    assert error.__cause__.__traceback__ is None


def test_a_circle_of_causes_does_not_hang():
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    detach(node_error(first))


def test_what_cannot_be_formatted_is_named():
    class Odd(SyntaxError):
        text = 5

    error = node_error(Odd("odd"))
    detach(error)
    assert error.traceback_text


# --- bounded texts ---


def test_texts_are_bounded():
    assert len(bounded_text(ValueError("x" * 5000))) == 1000

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert bounded_text(Mute()) == "<its __str__ raised RuntimeError>"
    assert len(bounded_repr("x" * 10_000)) <= 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1] * 9, "[1, 1, 1, 1, 1, 1, …]"),
        ((1,), "(1,)"),
        (set(), "set()"),
        (frozenset({1}), "frozenset({1})"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{'a': {'b': {'c': {'d': 1}}}}"),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, "{'a': {'b': {'c': {'d': {…}}}}}"),
        (type("Mine", (list,), {"__repr__": lambda self: 1 / 0})([1]), "Mine([1])"),
        (type("Pair", (tuple,), {})((1, 2)), "Pair(1, 2)"),
        (10**5000, "<int of 16610 bits>"),
        (b"x" * 500, repr(b"x" * 120) + "…"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reprs_are_bounded(value, text):
    assert BoundedRepr().repr(value) == text


def test_a_repr_that_raises_is_described():
    odd = type("Odd", (), {"__repr__": lambda self: 1 / 0})()
    assert BoundedRepr().repr(odd).startswith("<Odd instance at ")
    assert BoundedRepr().repr([odd]).startswith("[<Odd instance at ")
