"""What each scenario is measured against: the fastest plain Python anyone would write, and plain loops over nodes.

Every function here returns a ready call without arguments that returns a list of results. `agree` is asserted before
anything is timed: engine and comparator give equal results, or there is no ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from scenarios import BOUND

Call = Callable[[], list[Any]]


class PlainPassThrough:
    def process(self, item):
        return item


class PlainEcho:
    def __init__(self):
        self.counter = 0

    def process(self, item):
        self.counter += 1
        return {"input": item, "counter": self.counter, "node": "Echo"}


class PlainTick:
    """Hands items on and counts them."""

    def __init__(self):
        self.count = 0

    def process(self, item):
        self.count += 1
        return item


class PlainDouble:
    def process(self, item):
        return item * 2.0


class PlainDrop:
    def process(self, item):
        return item if item >= BOUND else None


class PlainIncrement:
    def process(self, item):
        return item + 1.0


def agree(engine: Callable[[], Any], *comparators: Call) -> None:
    """Raise AssertionError unless a run of the engine and every comparator give the same."""
    found = engine().results
    for comparator in comparators:
        expected = comparator()
        if found != expected or len(found) == 0:
            raise AssertionError(f"{comparator.__qualname__} and the engine differ, so there is no ratio of them")


def s1_comprehension(items: list[Any]) -> Call:
    """The list comprehension that builds the same dicts."""

    def s1_comprehension():
        return [{"input": x, "counter": i, "node": "Echo"} for i, x in enumerate(items, 1)]

    return s1_comprehension


def s2_comprehension(items: list[Any]) -> Call:
    """The same for five Echo nodes, written out."""

    def s2_comprehension():
        return [
            {
                "input": {
                    "input": {
                        "input": {
                            "input": {"input": x, "counter": i, "node": "Echo"},
                            "counter": i,
                            "node": "Echo",
                        },
                        "counter": i,
                        "node": "Echo",
                    },
                    "counter": i,
                    "node": "Echo",
                },
                "counter": i,
                "node": "Echo",
            }
            for i, x in enumerate(items, 1)
        ]

    return s2_comprehension


def fresh(function: Call) -> Call:
    """Return the function with code of its own: CPython specializes code for the types it has met.

    Two loops over different nodes that shared their code would each run at the speed of the worse one.
    """
    return FunctionType(
        function.__code__.replace(), function.__globals__, function.__name__, closure=function.__closure__
    )


def loop(nodes: list[Any], items: list[Any]) -> Call:
    """A plain loop over ``node.process`` of nodes that never drop."""

    def loop():
        results = []
        for item in items:
            for node in nodes:
                item = node.process(item)
            results.append(item)
        return results

    return fresh(loop)


def dropping_loop(nodes: list[Any], items: list[Any]) -> Call:
    """A plain loop over ``node.process`` of nodes that may drop an item by giving None."""

    def dropping_loop():
        results = []
        for item in items:
            for node in nodes:
                item = node.process(item)
                if item is None:
                    break
            else:
                results.append(item)
        return results

    return fresh(dropping_loop)


def s1_loop(items: list[Any]) -> Call:
    """S1 as a plain loop over ready nodes. The count begins anew with each call, as it does in a run."""
    echo = PlainEcho()
    run = loop([PlainPassThrough(), echo, PlainPassThrough()], items)

    def s1_loop():
        echo.counter = 0
        return run()

    return s1_loop


def s3_loop(items: list[float]) -> Call:
    """S3 as a plain loop over nodes."""
    return dropping_loop([PlainDouble(), PlainDrop(), PlainIncrement()], items)


def s3_comprehension(items: list[float]) -> Call:
    """S3 with the nodes' work written out: what it costs without nodes."""

    def s3_comprehension():
        return [y + 1.0 for x in items if (y := x * 2.0) >= BOUND]

    return s3_comprehension


def join_loop(items: list[float]) -> Call:
    """The diamond as a loop over ``nodes[i].process``, with a dict per item."""
    nodes = [PlainPassThrough(), PlainDouble(), PlainIncrement(), PlainPassThrough()]

    def join_loop():
        results = []
        for item in items:
            item = nodes[0].process(item)
            results.append(nodes[3].process({"A": nodes[1].process(item), "B": nodes[2].process(item)}))
        return results

    return join_loop


def join_comprehension(items: list[float]) -> Call:
    """The diamond as a comprehension over the nodes' bound methods, looked up once."""
    source, a, b, join = (node().process for node in (PlainPassThrough, PlainDouble, PlainIncrement, PlainPassThrough))

    def join_comprehension():
        return [join({"A": a(y), "B": b(y)}) for x in items for y in (source(x),)]

    return join_comprehension
