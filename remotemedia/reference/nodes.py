"""The built-in nodes in plain Python, one for each compiled class, written from their definitions.

A number is what `numbers.Number` says (NumPy's scalars are), but a bool is none. Params are checked at `initialize`,
which also puts a node back to its first state.
"""

from __future__ import annotations

import logging
import operator
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import bounded_repr
from remotemedia.reference.params import Params, is_number, is_operand, take
from remotemedia.reference.running import MovingAverage, RunningStats

logger = logging.getLogger("remotemedia")


class PassThrough(NodeExecutor):
    """Hand every item on as it is.

    Params are ignored: it can stand in for any node.
    """

    def process(self, item: Any) -> Any:
        """Return `item`."""
        return item


class Echo(NodeExecutor):
    """Wrap every item into ``{"input": item, "counter": n, "node": "Echo"}``; n counts from 1."""

    def __init__(self) -> None:
        self.counter = 0

    def initialize(self, context: NodeContext) -> None:
        """Begin to count."""
        self.counter = 0

    def process(self, item: Any) -> dict[str, Any]:
        """Return `item` and its number."""
        self.counter += 1
        return {"input": item, "counter": self.counter, "node": "Echo"}

    def cleanup(self) -> None:
        """Tell the count."""
        logger.debug("Echo saw %d items", self.counter)


class Counter(NodeExecutor):
    """Hand every item on and count it; ``count`` is readable."""

    def __init__(self) -> None:
        self.count = 0

    def initialize(self, context: NodeContext) -> None:
        """Begin to count."""
        Params(context)
        self.count = 0

    def process(self, item: Any) -> Any:
        """Return `item`."""
        self.count += 1
        return item


def divide(item: Any, operand: Any) -> Any:
    """Return the quotient. NumPy would give infinity for a zero, Python an error: an error it is."""
    if operand == 0:
        raise ZeroDivisionError("division by zero")
    return item / operand


def modulo(item: Any, operand: Any) -> Any:
    """Return the remainder, with the operand's sign."""
    if operand == 0:
        raise ZeroDivisionError("modulo by zero")
    return item % operand


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": divide,
    "modulo": modulo,
    "power": operator.pow,
}


class Calculator(NodeExecutor):
    """Compute ``item <operation> operand``; division by zero is an error."""

    operation = "add"
    operand: Any = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``operation`` and ``operand``."""
        params = Params(context, "operation", "operand")
        self.operation = params.choice("operation", OPERATIONS, "add")
        self.operand = params.number("operand")

    def process(self, item: Any) -> Any:
        """Return the result."""
        take("a number", is_operand(item), item)
        return OPERATIONS[self.operation](item, self.operand)


class Multiply(NodeExecutor):
    """Multiply every item by ``multiplier``."""

    multiplier: Any = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``multiplier``."""
        self.multiplier = Params(context, "multiplier").number("multiplier")

    def process(self, item: Any) -> Any:
        """Return the product."""
        take("a number", is_operand(item), item)
        return item * self.multiplier


class Add(NodeExecutor):
    """Add ``operand`` to every item."""

    operand: Any = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``operand``."""
        self.operand = Params(context, "operand").number("operand")

    def process(self, item: Any) -> Any:
        """Return the sum."""
        take("a number", is_operand(item), item)
        return item + self.operand


class Abs(NodeExecutor):
    """The absolute value of every item, a number or an array of numbers."""

    def initialize(self, context: NodeContext) -> None:
        """Take no params."""
        Params(context)

    def process(self, item: Any) -> Any:
        """Return the absolute value."""
        take("a number", is_operand(item), item)
        return abs(item)


class Clamp(NodeExecutor):
    """Limit every item to ``min`` and ``max``; a float stays a float, and NaN what it is."""

    least: Any = None
    most: Any = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``min`` and ``max``."""
        params = Params(context, "min", "max")
        limit = lambda value: value is None or is_number(value)  # noqa: E731
        self.least = params.get("min", "a number", limit, None)
        self.most = params.get("max", "a number", limit, None)
        if self.least is not None and self.most is not None and not self.least <= self.most:
            raise params.error(
                "max", f"must be at least min, {bounded_repr(self.least)}, not {bounded_repr(self.most)}"
            )

    def process(self, item: Any) -> Any:
        """Return `item`, or the limit that it is beyond."""
        take("a number", is_number(item), item)
        limit = item
        if self.least is not None and item < self.least:
            limit = self.least
        elif self.most is not None and item > self.most:
            limit = self.most
        return float(limit) if limit is not item and isinstance(item, float) else limit


def is_digits(value: Any) -> bool:
    """Whether a param is a number of decimals, or absent."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and -300 <= value <= 300)


class Round(NodeExecutor):
    """Round every item to ``digits`` decimals, a half to the even side, as Python does; a float stays a float."""

    digits = 0

    def initialize(self, context: NodeContext) -> None:
        """Read ``digits``."""
        self.digits = Params(context, "digits").get("digits", "an integer from -300 to 300", is_digits, 0) or 0

    def process(self, item: Any) -> Any:
        """Return the rounded number."""
        take("a number", is_number(item), item)
        return round(item, self.digits)


class Threshold(NodeExecutor):
    """Keep what is at least ``threshold``: the item, or its value at ``key`` (0.0 where the key is missing)."""

    threshold: Any = None
    key: str | None = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``threshold`` and ``key``."""
        params = Params(context, "threshold", "key")
        self.threshold = params.number("threshold")
        self.key = params.get("key", "a string", lambda value: value is None or isinstance(value, str), None)

    def process(self, item: Any) -> Any:
        """Return `item`, or None to drop it."""
        value = item
        if self.key is not None:
            take("a mapping (it has a key)", isinstance(item, Mapping), item)
            value = item.get(self.key, 0.0)
        take("a number", is_number(value), value)
        return item if value >= self.threshold else None


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal as JSON has it: ``true`` is not 1."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    """Return `compare` for values that have an order; Python would order True and 2."""

    def comparison(left: Any, right: Any) -> bool:
        if isinstance(left, bool) != isinstance(right, bool):
            raise TypeError(f"no order between {type(left).__name__} and {type(right).__name__}")
        return bool(compare(left, right))

    return comparison


def contained(found: Any, value: Any) -> bool:
    """Whether `found` is a part of the string `value`, or equals a member of it (a key, for an object)."""
    if isinstance(value, str):
        return found in value
    return any(equal(found, member) for member in value)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": ordered(operator.lt),
    "<=": ordered(operator.le),
    ">": ordered(operator.gt),
    ">=": ordered(operator.ge),
    "in": contained,
}


class Filter(NodeExecutor):
    """Keep items whose value at ``key`` compares with ``value``; a missing key drops."""

    key = ""
    op = "=="
    value: Any = None

    def initialize(self, context: NodeContext) -> None:
        """Read ``key``, ``op`` and ``value``."""
        params = Params(context, "key", "op", "value")
        self.key = params.get("key", "a string", lambda value: isinstance(value, str))
        self.op = params.choice("op", COMPARISONS)
        container = lambda value: self.op != "in" or isinstance(value, (list, tuple, str, Mapping))  # noqa: E731
        self.value = params.get("value", "a list, a string or an object for 'in'", container)

    def process(self, item: Any) -> Any:
        """Return `item`, or None to drop it."""
        take("a mapping", isinstance(item, Mapping), item)
        return item if self.key in item and COMPARISONS[self.op](item[self.key], self.value) else None


class Batcher(NodeExecutor):
    """Gather items into lists of ``size``; the last, shorter one comes at the flush."""

    size = 1

    def initialize(self, context: NodeContext) -> None:
        """Read ``size``."""
        self.size = Params(context, "size").size("size")
        self.held: list[Any] = []

    def process(self, item: Any) -> list[Any] | None:
        """Return a full batch, or None."""
        self.held.append(item)
        return self._batch() if len(self.held) == self.size else None

    def flush(self) -> list[list[Any]]:
        """Return the short batch, if there is one."""
        return [self._batch()] if self.held else []

    def _batch(self) -> list[Any]:
        batch, self.held = self.held, []
        return batch


class Expander(NodeExecutor):
    """Hand on each element of a list or tuple."""

    emits = "many"

    def initialize(self, context: NodeContext) -> None:
        """Take no params."""
        Params(context)

    def process(self, item: Any) -> Any:
        """Return the elements."""
        take("a list or a tuple", isinstance(item, (list, tuple)), item)
        return item


class Buffer(NodeExecutor):
    """A delay line: hold the last ``size`` items, hand on the oldest, and the rest at the flush."""

    size = 1

    def initialize(self, context: NodeContext) -> None:
        """Read ``size``."""
        self.size = Params(context, "size").size("size")
        self.held: deque[Any] = deque()

    def process(self, item: Any) -> Any:
        """Return the oldest item, once more than ``size`` are held."""
        self.held.append(item)
        return self.held.popleft() if len(self.held) > self.size else None

    def flush(self) -> Iterator[Any]:
        """Give what is held, the oldest first."""
        while self.held:
            yield self.held.popleft()


TWINS: dict[str, type[NodeExecutor]] = {
    twin.__name__: twin
    for twin in (
        PassThrough,
        Echo,
        Multiply,
        Add,
        Calculator,
        Abs,
        Clamp,
        Round,
        MovingAverage,
        RunningStats,
        Threshold,
        Filter,
        Batcher,
        Expander,
        Counter,
        Buffer,
    )
}
