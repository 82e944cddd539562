"""A repr that stays small and cheap whatever it is given; used by error messages alone."""

from __future__ import annotations

import reprlib
from typing import Any


class BoundedRepr(reprlib.Repr):
    """`reprlib.Repr` with the holes closed that items of a pipeline would fall through.

    The standard one builds the whole repr of bytes, arrays and huge integers before it cuts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 6
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
            return super().repr1(x, level)
        except Exception as failure:
            return f"<{type(x).__name__} whose repr raised {type(failure).__name__}>"
