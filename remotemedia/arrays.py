"""Arrays that came out of a run: as they are, with the index of the item that each element came from, and as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class LaneArray:
    """What a lane made of an array.

    Parameters
    ----------
    values : ndarray of float64, shape (k,)
        What came out, in order.
    offsets : ndarray of uint16, shape (k,), or None
        Where in its block each of them was; None if nothing was filtered.
    kept : ndarray of int32, or None
        How many came out of each block.
    block : int
        Elements of a block.
    """

    def __init__(self, values: Any, offsets: Any, kept: Any, block: int) -> None:
        self.values: np.ndarray[Any, Any] = values
        self._offsets = offsets
        self._kept = kept
        self._block = block

    def __len__(self) -> int:
        return len(self.values)

    def to_list(self) -> list[float]:
        """Return the values as Python floats."""
        return self.values.tolist()  # type: ignore[no-any-return]

    def indices(self) -> np.ndarray[Any, Any]:
        """Return for each value the index of the item that it came from, int64."""
        import numpy as np

        if self._offsets is None:
            return np.arange(len(self.values), dtype=np.int64)
        starts = np.repeat(np.arange(len(self._kept), dtype=np.int64) * self._block, self._kept)
        return starts + self._offsets  # type: ignore[no-any-return]
