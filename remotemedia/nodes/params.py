"""Reading a node's params at `initialize`; every fault is a ValueError that names node and param."""

from __future__ import annotations

import math
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from remotemedia.errors import bounded_repr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from remotemedia._core.node import NodeContext

MAX = sys.float_info.max


class Params:
    """The params of one node; `None` counts as absent.

    Parameters
    ----------
    context : NodeContext
        What ``initialize`` was given.
    known : mapping of str to str
        Every param that the node takes, with its description. Others are refused.
    """

    def __init__(self, context: NodeContext, known: Mapping[str, str]) -> None:
        self._context = context
        for name in context.params:
            if name not in known:
                close = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'none'}"
                raise self.error(name, f"is unknown; {hint}")

    def number(
        self, name: str, default: float, *, least: float = -MAX, above: float = -math.inf, most: float = MAX
    ) -> float:
        """Return a finite number of at least `least`, above `above` and at most `most`; a bool is none."""
        value = self._context.params.get(name)
        if value is None:
            return default
        if not _is_number(value) or not least <= value <= most or not value > above:
            bound = f" above {above:g}" if above > -MAX else f" of at least {least:g}" if least > -MAX else ""
            if most < MAX:
                bound += f" and at most {most:g}" if bound else f" of at most {most:g}"
            raise self.error(name, f"must be a number{bound}, not {bounded_repr(value)}")
        return float(value)

    def whole(self, name: str) -> int | None:
        """Return a whole number above 0 (``16000.0`` is one), or `None` if it is absent."""
        value = self._context.params.get(name)
        if value is None:
            return None
        if not _is_number(value) or not 1 <= value <= MAX or value != int(value):
            raise self.error(name, f"must be a whole number above 0, not {bounded_repr(value)}")
        return int(value)

    def text(self, name: str) -> str:
        """Return a string that must be there and not be empty."""
        value = self._context.params.get(name)
        if value is None:
            raise self.error(name, "is missing")
        if not isinstance(value, str) or not value:
            raise self.error(name, f"must be a string that is not empty, not {bounded_repr(value)}")
        return value

    def choice(self, name: str, known: Sequence[str], default: str | None = None) -> str:
        """Return one of the strings `known`; it must be there if there is no default."""
        value = self._context.params.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, f"is missing; give one of {', '.join(map(repr, known))}")
        if not isinstance(value, str) or value not in known:
            raise self.error(name, f"must be one of {', '.join(map(repr, known))}, not {bounded_repr(value)}")
        return value

    def value(self, name: str, kind: type | None, *, required: bool) -> Any:
        """Return what is of type `kind` (None: any), or `None` if it is absent; a bool is no number."""
        value = self._context.params.get(name)
        if value is None:
            if required:
                raise self.error(name, "is missing")
            return None
        if kind in (float, int):
            if not _is_number(value) or not -MAX <= value <= MAX or (kind is int and value != int(value)):
                wanted = "a number" if kind is float else "a whole number"
                raise self.error(name, f"must be {wanted}, not {bounded_repr(value)}")
            return float(value) if kind is float else int(value)
        if kind is not None and not isinstance(value, kind):
            wanted = "a string" if kind is str else "true or false" if kind is bool else f"of type {kind.__name__}"
            raise self.error(name, f"must be {wanted}, not {bounded_repr(value)}")
        return value

    def error(self, name: object, fault: str) -> ValueError:
        """Return the error for a fault of a param."""
        where = f"node {self._context.node_id!r} ({self._context.node_type})"
        return ValueError(f"{where}: param {name!r} {fault}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
