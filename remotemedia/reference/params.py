"""Reading the params of built-in nodes at `initialize`, and what counts as a number, in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Number
from typing import Any

from remotemedia._core.node import NodeContext
from remotemedia.bounded import close_matches
from remotemedia.errors import bounded_repr
from remotemedia.items import is_array

MISSING = object()


def is_number(value: object) -> bool:
    """Whether `value` counts as a number."""
    return isinstance(value, Number) and not isinstance(value, bool)


def is_operand(value: Any) -> bool:
    """Whether arithmetic nodes take `value`: a number, or an array of numbers."""
    return is_number(value) or (is_array(value) and value.dtype.kind in "iufc")


def take(wanted: str, accepted: bool, value: object) -> None:
    """Raise TypeError unless `accepted`."""
    if not accepted:
        raise TypeError(f"takes {wanted}, not {type(value).__name__}")


class Params:
    """The params of one node, read at its `initialize`; every fault is a ValueError that names node and param."""

    def __init__(self, context: NodeContext, *known: str) -> None:
        self._context = context
        for name in context.params:
            if name not in known:
                close = close_matches(str(name), known)
                hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'none'}"
                raise self.error(name, f"is unknown; {hint}")

    def error(self, name: str, problem: str) -> ValueError:
        """Return the error for a fault of param `name`."""
        where = f"node {bounded_repr(self._context.node_id)} ({self._context.node_type})"
        return ValueError(f"{where}: param {bounded_repr(name)} {problem}")

    def get(self, name: str, wanted: str, accepts: Callable[[Any], bool], default: Any = MISSING) -> Any:
        """Return param `name`, which `accepts` must take; `wanted` says in words what that is."""
        value = self._context.params.get(name, default)
        if value is MISSING:
            raise self.error(name, "is missing")
        if not accepts(value):
            raise self.error(name, f"must be {wanted}, not {bounded_repr(value)}")
        return value

    def number(self, name: str) -> Any:
        """Return a number."""
        return self.get(name, "a number", is_number)

    def size(self, name: str) -> int:
        """Return an integer of at least 1."""
        accepts = lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1  # noqa: E731
        size: int = self.get(name, "an integer of at least 1", accepts)
        return size

    def choice(self, name: str, choices: Iterable[str], default: Any = MISSING) -> str:
        """Return one of `choices`."""
        accepts = lambda value: isinstance(value, str) and value in choices  # noqa: E731
        choice: str = self.get(name, f"one of {', '.join(choices)}", accepts, default)
        return choice
