"""What travels between audio nodes, `AudioBlock`, `AudioFrame` and bare arrays, and how their samples are read.

Called by the nodes of `audio` and `voice`, and by `wav`. What stays true: full scale is -1…1 for floats and
-32768…32767 for int16, 0 dBFS is the RMS of a full-scale sine, no array that came in is ever written to, and what
travels on in a block or a frame is read-only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""float32, float64 or int16, of shape (n,) or (n, channels)."""

SILENCE_DBFS = -120.0
INT16 = np.dtype(np.int16)
INT16_SCALE = 32768
TYPES: frozenset[np.dtype[Any]] = frozenset({np.dtype(np.float32), np.dtype(np.float64), INT16})
CHUNK = 16_384
"""Samples that are made float64 at a time, so that a long block takes no room."""


class AudioBlock(NamedTuple):
    """A stretch of audio as a source gives it.

    Attributes
    ----------
    samples : ndarray of float, shape (n,) or (n, channels)
        Full scale is -1…1; of int16 behind a `FormatConvert` to that. Read-only.
    rate_hz : int
        Samples per second.
    start_s : float
        Time of the first sample since the start of the recording.
    """

    samples: Samples
    rate_hz: int
    start_s: float = 0.0


class AudioFrame(NamedTuple):
    """A mono frame; the fields after `start_s` are filled on its way.

    Attributes
    ----------
    samples : ndarray of float, shape (n,)
        Full scale is -1…1; of int16 behind a `FormatConvert` to that. Read-only.
    rate_hz : int
        Samples per second.
    start_s : float
        Time of the first sample since the start of the recording.
    level_dbfs : float or None
        Filled by `Level`.
    voiced : bool or None
        Filled by `VoiceActivity`.
    peak : float or None
        Filled by `Peak`, in the unit that it was given.
    zero_crossing_rate : float or None
        Filled by `ZeroCrossingRate`.
    """

    samples: Samples
    rate_hz: int
    start_s: float
    level_dbfs: float | None = None
    voiced: bool | None = None
    peak: float | None = None
    zero_crossing_rate: float | None = None

    @property
    def end_s(self) -> float:
        """Time just after the last sample."""
        return self.start_s + len(self.samples) / self.rate_hz


Item = TypeVar("Item", Samples, AudioBlock, AudioFrame)
CARRIERS = (AudioBlock, AudioFrame)


def samples_of(item: object, node: str, types: frozenset[np.dtype[Any]] = TYPES) -> Samples:
    """Return the samples of an item, an array of one of `types` and of shape (n,) or (n, channels).

    Raises
    ------
    TypeError
        It is no audio item, or its samples are of another type.
    ValueError
        They have another shape.
    """
    samples = item.samples if isinstance(item, CARRIERS) else item
    if type(samples) is not np.ndarray:
        samples = _array(samples, node)
    if samples.dtype not in types:
        names = "float32, float64 or int16"
        raise TypeError(f"{node} takes samples of {names}, not {samples.dtype}: convert them before")
    if samples.ndim != 1 and (samples.ndim != 2 or not samples.shape[1]):
        raise ValueError(f"samples must have shape (n,) or (n, channels), got {samples.shape}")
    return samples


def with_samples(item: Item, samples: Samples) -> Item:
    """Return the item with other samples: an array for an array, else a copy of the block or frame."""
    if isinstance(item, np.ndarray):
        return samples
    if samples is item.samples:
        if not samples.flags.writeable:
            return item
        samples = samples.view()  # the flag of the caller's own array is the caller's
    samples.flags.writeable = False
    return item._replace(samples=samples)


def mono_of(samples: Samples) -> Samples:
    """Return the mean of the channels, of shape (n,); samples of that shape as they are."""
    if samples.ndim == 1:
        return samples
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0].copy()
    # column by column: np.mean along so short an axis takes 15 times as long
    is_int = samples.dtype == INT16
    total = np.add(samples[:, 0], samples[:, 1], dtype=np.float64 if is_int else samples.dtype)
    for channel in range(2, channels):
        total += samples[:, channel]
    total /= channels
    return np.rint(total, out=total).astype(INT16) if is_int else total


def mean_square_of(samples: Samples) -> float:
    """Return the mean of the squares over all channels, full scale 1, added up in float64; NaN is refused."""
    count = samples.size
    if not count:
        raise ValueError("the item holds no samples, so it has no level")
    total = 0.0
    step = max(1, CHUNK * len(samples) // count)
    for at in range(0, len(samples), step):
        part = samples[at : at + step].astype(np.float64, copy=False)
        if part.ndim == 2:
            part = part.ravel(order="K")
        total += float(part.dot(part))
    if math.isnan(total):
        raise ValueError("samples must be numbers, got NaN")
    return total / count / (INT16_SCALE**2 if samples.dtype == INT16 else 1)


def dbfs(mean_square: float, floor_dbfs: float = SILENCE_DBFS) -> float:
    """Return the level of a mean square; that of a full-scale sine, 1/2, is 0 dBFS."""
    return max(10 * math.log10(2 * mean_square), floor_dbfs) if mean_square > 0 else floor_dbfs


def refuse_nan(samples: Samples) -> None:
    """Raise ValueError if a sample is NaN; infinity is none."""
    if samples.size and samples.dtype != INT16 and math.isnan(samples.min()):  # one pass, and no array of bools
        raise ValueError("samples must be numbers, got NaN")


def _array(samples: object, node: str) -> Samples:
    if not isinstance(samples, np.ndarray):
        what = f"{node} takes AudioBlock or AudioFrame items, or arrays of samples, got {type(samples).__name__}"
        raise TypeError(f"{what}: make it an array; one that is the whole input goes into a list, or is 2-D")
    if isinstance(samples, np.ma.MaskedArray):
        raise TypeError(f"{node} takes no masked arrays: fill what is masked before (samples.filled(0))")
    return np.asarray(samples)
