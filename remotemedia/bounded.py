"""What error messages say of values and names, small and cheap whatever they are given."""

from __future__ import annotations

import reprlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

LONGEST_COMPARED = 64
SHOWN = 6
CONTAINERS: dict[Any, str] = {set: "{}", frozenset: "{}", deque: "[]", list: "[]", tuple: "()"}


class BoundedRepr(reprlib.Repr):
    """`reprlib.Repr` with the holes closed that items of a pipeline would fall through.

    The standard one builds the whole repr of bytes, arrays, huge integers and of subclasses of containers before it
    cuts, and sorts all of a dict or a set to show six of its members.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = SHOWN
        self.maxstring = self.maxother = 120

    def repr1(self, x: Any, level: int) -> str:
        """Return the repr of `x`; what raises, or could be large, is described instead."""
        try:
            if isinstance(x, (bytes, bytearray)):
                return repr(bytes(x[: self.maxstring])) + ("…" if len(x) > self.maxstring else "")
            if isinstance(x, int) and x.bit_length() > 4096:
                return f"<int of {x.bit_length()} bits>"
            if type(x).__name__ == "ndarray":
                return f"<ndarray shape={x.shape} dtype={x.dtype}>"
            if isinstance(x, dict):
                pairs = (f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in dict.items(x))
                return self._members(x, dict, "{}", pairs, level)
            for kind, signs in CONTAINERS.items():
                if isinstance(x, kind):
                    return self._members(x, kind, signs, (self.repr1(i, level - 1) for i in kind.__iter__(x)), level)
            if isinstance(x, str):
                return repr(str.__getitem__(x, slice(self.maxstring))) + ("…" if len(x) > self.maxstring else "")
            return super().repr1(x, level)
        except Exception as failure:
            return f"<{type(x).__name__} whose repr raised {type(failure).__name__}>"

    def _members(self, x: Any, kind: Any, signs: str, members: Iterable[str], level: int) -> str:
        """Return the repr of a container: its first members, whatever its class makes of them."""
        count = kind.__len__(x)
        text = ", ".join(_shown(members, count)) if level > 0 else "…" if count else ""
        if kind is tuple and type(x) is not tuple:
            return f"{type(x).__name__}({text})"
        comma = "," if kind is tuple and count == 1 else ""
        text = f"{signs[0]}{text}{comma}{signs[1]}"
        if type(x) in (dict, list, tuple) or (type(x) is set and count):
            return text
        return f"{type(x).__name__}({text if count else ''})"


def _shown(members: Iterable[str], count: int) -> Iterator[str]:
    yield from islice(members, SHOWN)
    if count > SHOWN:
        yield "…"


def close_matches(word: str, names: Iterable[str], most: int = 1) -> list[str]:
    """Return those of `names` that `word` may have been meant to be, the closest first.

    None for a long word: a comparison takes time by the square of its length, and nobody mistypes 10 MB.
    """
    if len(word) > LONGEST_COMPARED:
        return []
    from difflib import get_close_matches

    return get_close_matches(word, names, n=most)
