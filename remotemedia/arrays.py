"""Arrays that came out of a run: as they are, with the index of the item that each element came from, and as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


PLAIN = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
"""What Python's scalars make of elements of each kind."""


class LaneArray:
    """What a lane made of an array.

    Parameters
    ----------
    values : ndarray, shape (k,)
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

    def to_list(self) -> list[Any]:
        """Return the values as Python scalars."""
        return self.values.tolist()  # type: ignore[no-any-return]

    def indices(self) -> np.ndarray[Any, Any]:
        """Return for each value the index of the item that it came from, int64."""
        import numpy as np

        if self._offsets is None:
            return np.arange(len(self.values), dtype=np.int64)
        starts = np.repeat(np.arange(len(self._kept), dtype=np.int64) * self._block, self._kept)
        return starts + self._offsets  # type: ignore[no-any-return]


def joined(blocks: list[np.ndarray[Any, Any]]) -> LaneArray:
    """Return what came out in blocks, an element for each item."""
    import numpy as np

    return LaneArray(np.concatenate(blocks), None, None, 1)


def canonical(array: Any) -> np.ndarray[Any, Any] | None:
    """Return an array of the type that its elements would make, one by one; None if that is not known beforehand.

    Elements are Python scalars: a float32 is a float, and a list of those makes an array of float64. Rows keep theirs.
    """
    kind = array.dtype.kind
    if type(array).__name__ != "ndarray" or kind not in "fiub" or array.dtype.itemsize > 8 or array.dtype == "uint64":
        return None
    if array.ndim > 1:
        return array if array.dtype.isnative else None
    plain: np.ndarray[Any, Any] = array.astype(PLAIN[kind], copy=False)
    return plain


def as_plain(given: Any, count: int) -> np.ndarray[Any, Any] | None:
    """Return the outputs of a batch as an array of float64, int64 or bool; None if they are no array of numbers."""
    if type(given).__name__ != "ndarray" or given.shape != (count,) or given.dtype.kind not in "fiub":
        return None
    if given.dtype.itemsize > 8 or given.dtype == "uint64":
        return None
    plain: np.ndarray[Any, Any] = given.astype(PLAIN[given.dtype.kind])
    return plain
