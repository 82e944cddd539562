"""How the samples of audio items are read: of an `AudioFrame`, whose array is (channels, n), or of a bare array.

Called by all audio nodes. What they compute on has the shape (n,) or (n, channels): for a frame that is its array
transposed, a view. What stays true: full scale is -1…1 for floats and -32768…32767 for int16, 0 dBFS is the RMS of
a full-scale sine, no array that came in is ever written to, and what travels on in a frame is read-only.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from remotemedia._core.media import AudioFrame

Samples = NDArray[Any]
"""float32, float64 or int16, of shape (n,) or (n, channels)."""

SILENCE_DBFS = -120.0
INT16 = np.dtype(np.int16)
INT16_SCALE = 32768
TYPES: frozenset[np.dtype[Any]] = frozenset({np.dtype(np.float32), np.dtype(np.float64), INT16})
CHUNK = 16_384
"""Samples that are made float64 at a time, so that a long block takes no room."""

GAP_NS = 1_000_000
"""What a time stamp may be off, by rounding in files and devices, before it is a gap."""

Item = TypeVar("Item", Samples, AudioFrame)


def samples_of(item: object, node: str, types: frozenset[np.dtype[Any]] = TYPES) -> Samples:
    """Return the samples of an item, an array of one of `types` and of shape (n,) or (n, channels).

    Raises
    ------
    TypeError
        It is no audio item, or its samples are of another type.
    ValueError
        They have another shape.
    """
    if isinstance(item, AudioFrame):
        return item.samples.T
    samples = item if type(item) is np.ndarray else _array(item, node)
    if samples.dtype not in types:
        names = "float32, float64 or int16"
        raise TypeError(f"{node} takes samples of {names}, not {samples.dtype}: convert them before")
    if samples.ndim != 1 and (samples.ndim != 2 or not samples.shape[1]):
        raise ValueError(f"samples must have shape (n,) or (n, channels), got {samples.shape}")
    return samples


def with_samples(item: Item, samples: Samples) -> Item:
    """Return the item with other samples, as `samples_of` gave them: an array for an array, else another frame."""
    if not isinstance(item, AudioFrame):
        return samples
    samples = samples[None] if samples.ndim == 1 else samples.T  # a view: the flag of another's array is its owner's
    samples.flags.writeable = False
    return item.replace(samples=samples)


def frame_of(item: object, node: str) -> AudioFrame:
    """Return the item if it is an `AudioFrame`; else raise TypeError with what to do."""
    if isinstance(item, AudioFrame):
        return item
    what = f"{node} takes AudioFrame items, got {type(item).__name__}"
    raise TypeError(f"{what}: readers make them, and Frames makes them of arrays")


def follows(pts_ns: int, end_ns: int) -> bool:
    """Whether what begins at `pts_ns` goes on without a gap, or a step back, where something ended at `end_ns`."""
    return -GAP_NS <= pts_ns - end_ns <= GAP_NS


def mono_of(samples: Samples) -> Samples:
    """Return the mean of the channels, of shape (n,); samples of that shape as they are, and one channel as a view."""
    if samples.ndim == 1:
        return samples
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
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


def int16_of(scaled: Samples) -> Samples:
    """Return floats at the scale of int16 as such, rounded half to even and saturated; what they were in is used up."""
    np.rint(scaled, out=scaled)
    np.minimum(np.maximum(scaled, -INT16_SCALE, out=scaled), INT16_SCALE - 1, out=scaled)
    return scaled.astype(INT16)


def refuse_nan(samples: Samples) -> None:
    """Raise ValueError if a sample is NaN; infinity is none."""
    if samples.size and samples.dtype != INT16 and math.isnan(samples.min()):  # one pass, and no array of bools
        raise ValueError("samples must be numbers, got NaN")


def refuse_infinite(frame: AudioFrame, why: str) -> None:
    """Raise ValueError if a sample of a frame is NaN or infinity, with the reason."""
    if frame.samples.dtype != INT16 and not np.isfinite(frame.samples).all():
        raise ValueError(f"samples must be finite numbers, got NaN or infinity: {why}")


def _array(samples: object, node: str) -> Samples:
    if not isinstance(samples, np.ndarray):
        what = f"{node} takes AudioFrame items, or arrays of samples, got {type(samples).__name__}"
        raise TypeError(f"{what}: make it an array; one that is the whole input goes into a list, or is 2-D")
    if isinstance(samples, np.ma.MaskedArray):
        raise TypeError(f"{node} takes no masked arrays: fill what is masked before (samples.filled(0))")
    return np.asarray(samples)
