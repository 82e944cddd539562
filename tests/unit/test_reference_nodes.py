"""The twins of the built-in nodes, called by hand; every expected value follows from the node's definition."""

from __future__ import annotations

import math
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy
import pytest

from remotemedia._core.node import NodeContext
from remotemedia.reference import TWINS
from remotemedia.reference.engine import make_node


def ready(name, **params):
    """Return an initialized twin."""
    node = TWINS[name]()
    node.initialize(NodeContext("n", name, params))
    return node


def test_there_is_a_twin_of_every_builtin():
    from remotemedia._core.nodes import BUILTINS

    assert {cls.__name__ for cls in BUILTINS.values()} == set(TWINS)


def test_the_reference_engine_makes_the_twin_of_every_builtin():
    from remotemedia._core.nodes import BUILTINS

    for cls in BUILTINS.values():
        assert type(make_node(SimpleNamespace(factories=[cls]), 0)) is TWINS[cls.__name__]


def test_pass_through_hands_on_the_same_object():
    item = object()
    assert ready("PassThrough").process(item) is item


def test_echo_counts_from_one_and_anew_after_initialize():
    node = ready("Echo")
    assert list(node.process("x").items()) == [("input", "x"), ("counter", 1), ("node", "Echo")]
    assert node.process("y")["counter"] == node.counter == 2
    node.initialize(NodeContext("n", "Echo"))
    assert node.process("z")["counter"] == 1


def test_counter_passes_items_on():
    node = ready("Counter")
    assert [node.process(i) for i in "ab"] == ["a", "b"]
    assert node.count == 2


@pytest.mark.parametrize(
    ("name", "params", "item", "expected"),
    [
        ("Multiply", {"multiplier": 2}, 3, 6),
        ("Multiply", {"multiplier": 0.5}, Fraction(1, 2), 0.25),
        ("Add", {"operand": -1}, 1.5, 0.5),
        ("Add", {"operand": Decimal(1)}, Decimal("0.1"), Decimal("1.1")),
        ("Calculator", {"operand": 2}, 5, 7),  # add is the default
        ("Calculator", {"operation": "subtract", "operand": 2}, 5, 3),
        ("Calculator", {"operation": "multiply", "operand": 2}, 5, 10),
        ("Calculator", {"operation": "divide", "operand": 2}, 5, 2.5),
        ("Calculator", {"operation": "modulo", "operand": 3}, -5, 1),  # Python's: with the operand's sign
        ("Calculator", {"operation": "power", "operand": 3}, 2, 8),
        ("Multiply", {"multiplier": 2}, numpy.int16(4), 8),
    ],
)
def test_arithmetic(name, params, item, expected):
    assert ready(name, **params).process(item) == expected


def test_arithmetic_takes_arrays_of_numbers():
    array = numpy.array([1.0, 2.0])
    assert ready("Multiply", multiplier=2).process(array).tolist() == [2.0, 4.0]
    assert array.tolist() == [1.0, 2.0]  # items are read-only


def test_a_negative_zero_stays_negative():
    assert math.copysign(1, ready("Multiply", multiplier=-1).process(0.0)) == -1


ODD_ITEMS = [True, "1", [1], None, {"a": 1}, numpy.bool_(True), numpy.array([True]), numpy.array(["a"])]


@pytest.mark.parametrize("item", ODD_ITEMS, ids=lambda item: f"{type(item).__name__} {item}")
@pytest.mark.parametrize("name", ["Multiply", "Add", "Calculator", "Threshold"])
def test_what_is_no_number_is_refused(name, item):
    params = {"Multiply": {"multiplier": 1}, "Threshold": {"threshold": 1}}.get(name, {"operand": 1})
    with pytest.raises(TypeError, match=type(item).__name__):
        ready(name, **params).process(item)


@pytest.mark.parametrize("operation", ["divide", "modulo"])
@pytest.mark.parametrize("item", [1, 1.0, numpy.float64(1), numpy.array([1.0])], ids=lambda item: type(item).__name__)
def test_zero_division_is_an_error_for_numpy_too(operation, item):
    with pytest.raises(ZeroDivisionError):
        ready("Calculator", operation=operation, operand=0).process(item)


@pytest.mark.parametrize(
    ("params", "item", "kept"),
    [
        ({"threshold": 1}, 1, True),
        ({"threshold": 1}, 0.5, False),
        ({"threshold": 1}, math.nan, False),
        ({"threshold": 1, "key": None}, 2, True),
        ({"threshold": 1, "key": "a"}, {"a": 2}, True),
        ({"threshold": 1, "key": "a"}, {"b": 2}, False),  # a missing key counts as 0.0
        ({"threshold": -1, "key": "a"}, {}, True),
        ({"threshold": 1, "key": "a"}, OrderedDict(a=1), True),
    ],
)
def test_threshold(params, item, kept):
    assert ready("Threshold", **params).process(item) is (item if kept else None)


@pytest.mark.parametrize("item", [1, {"a": "x"}, {"a": True}])
def test_threshold_with_a_key_wants_numbers_in_mappings(item):
    with pytest.raises(TypeError):
        ready("Threshold", threshold=1, key="a").process(item)


@pytest.mark.parametrize(
    ("op", "value", "found", "kept"),
    [
        ("==", 1, 1.0, True),
        ("==", True, 1, False),  # JSON's true is not 1
        ("==", 1, True, False),
        ("==", True, True, True),
        ("==", None, None, True),
        ("!=", 1, True, True),
        ("!=", "a", "a", False),
        ("<", 2, 1, True),
        ("<=", 2, 2, True),
        (">", "a", "b", True),
        (">=", True, False, False),
        ("in", ["a", 1], 1, True),
        ("in", [1], True, False),
        ("in", "abc", "bc", True),
        ("in", {"a": 0}, "a", True),
        ("in", {"a": 0}, 0, False),
    ],
)
def test_filter(op, value, found, kept):
    item = {"k": found}
    assert ready("Filter", key="k", op=op, value=value).process(item) is (item if kept else None)


def test_filter_drops_what_has_no_such_key():
    assert ready("Filter", key="k", op="!=", value=1).process({"other": 2}) is None


@pytest.mark.parametrize(
    ("op", "value", "item"),
    [
        ("<", 1, {"k": True}),
        (">=", True, {"k": 2}),
        ("<", 1, {"k": "a"}),
        ("<", 1, {"k": None}),
        ("in", "abc", {"k": 1}),
        ("==", 1, [("k", 1)]),
    ],
)
def test_filter_refuses_what_has_no_order(op, value, item):
    with pytest.raises(TypeError):
        ready("Filter", key="k", op=op, value=value).process(item)


def test_batcher_gives_lists_and_the_short_one_at_the_flush():
    node = ready("Batcher", size=2)
    assert [node.process(i) for i in (1, 2, 3)] == [None, [1, 2], None]
    assert list(node.flush()) == [[3]]
    assert list(node.flush()) == []
    assert node.process(4) is None  # nodes take items after a flush


def test_expander_gives_the_elements():
    assert list(ready("Expander").process((1, None, [2]))) == [1, None, [2]]
    for item in ("ab", {1}, {"a": 1}):
        with pytest.raises(TypeError):
            ready("Expander").process(item)


def test_buffer_delays_by_size_and_gives_the_rest_at_the_flush():
    node = ready("Buffer", size=2)
    assert [node.process(i) for i in (1, 2, 3, 4)] == [None, None, 1, 2]
    assert list(node.flush()) == [3, 4]
    assert list(node.flush()) == []


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("Multiply", {}, "'multiplier' is missing"),
        ("Multiply", {"multiplier": True}, "'multiplier' must be a number, not True"),
        ("Multiply", {"multiplier": 1, "multiplyer": 1}, "'multiplyer' is unknown; did you mean 'multiplier'"),
        ("Add", {"operand": "1"}, "'operand' must be a number"),
        ("Calculator", {"operation": "root", "operand": 1}, "'operation' must be one of add, subtract"),
        ("Calculator", {"operation": [], "operand": 1}, "'operation' must be one of"),
        ("Calculator", {"operation": None, "operand": 1}, "'operation' must be one of"),
        ("Threshold", {"threshold": 1, "key": 1}, "'key' must be a string"),
        ("Filter", {"op": "==", "value": 1}, "'key' is missing"),
        ("Filter", {"key": "k", "op": "=", "value": 1}, "'op' must be one of"),
        ("Filter", {"key": "k", "op": "=="}, "'value' is missing"),
        ("Filter", {"key": "k", "op": "in", "value": 1}, "'value' must be a list"),
        ("Batcher", {"size": 0}, "'size' must be an integer of at least 1, not 0"),
        ("Batcher", {"size": 1.0}, "'size' must be an integer"),
        ("Buffer", {"size": True}, "'size' must be an integer"),
        ("MovingAverage", {}, "'window' is missing"),
        ("MovingAverage", {"window": 0}, "'window' must be an integer of at least 1, not 0"),
        ("MovingAverage", {"window": 2.0}, "'window' must be an integer"),
        ("RunningStats", {"ddof": 2}, "'ddof' must be 0 or 1, not 2"),
        ("RunningStats", {"ddof": True}, "'ddof' must be 0 or 1, not True"),
    ],
)
def test_a_wrong_param_is_named_with_its_node(name, params, words):
    with pytest.raises(ValueError) as caught:
        ready(name, **params)
    assert str(caught.value).startswith(f"node 'n' ({name}): param ")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["PassThrough", "Echo"])
def test_what_stands_in_for_any_node_takes_any_params(name):
    ready(name, whatever=1)


@pytest.mark.parametrize("name", ["Expander", "Counter"])
def test_a_node_without_params_refuses_any(name):
    with pytest.raises(ValueError, match="param 'whatever' is unknown; it takes none"):
        ready(name, whatever=1)
