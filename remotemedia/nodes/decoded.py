"""From decoded frames of PyAV to media items: samples joined to blocks, pictures, and the times of both.

Called by `reader`. A block owns its memory: what is decoded is copied into it once, and turned to float32 or int16 on
the way. Times are those of the file less its start, and count samples from there: what containers round (Matroska to
1 ms) is not taken over, and only a jump of more than `JUMP_NS` moves the clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from remotemedia._core.media import AudioFrame, VideoFrame, samples_to_ns

if TYPE_CHECKING:
    from fractions import Fraction

    import av
    from numpy.typing import NDArray

JUMP_NS = 20_000_000
NS = 1_000_000_000
INT16_SCALE = 32768

# of FFmpeg's names, with p of planar samples: their type, what is taken off, and full scale
SAMPLE_FORMATS: dict[str, tuple[np.dtype[Any], int, int]] = {
    f"{name}{planar}": (np.dtype(dtype), offset, full)
    for name, dtype, offset, full in (
        ("u8", "u1", 128, 1 << 7),
        ("s16", "i2", 0, 1 << 15),
        ("s32", "i4", 0, 1 << 31),
        ("s64", "i8", 0, 1 << 63),
        ("flt", "f4", 0, 1),
        ("dbl", "f8", 0, 1),
    )
    for planar in ("", "p")
}


class CorruptError(Exception):
    """A piece of the file that cannot be decoded; the message says where."""


class Blocks:
    """Joins decoded audio to blocks.

    Parameters
    ----------
    origin_ns : int
        The file's time that counts as 0.
    time_base : Fraction
        Unit of the stream's times, in s.
    block_ms : float
        The least length of a block but the last; 0 gives frames as the codec cuts them.
    dtype : {"float32", "int16"}
        What samples become.
    start_ns, end_ns : int
        Only what lies between is given, to the sample.
    """

    def __init__(
        self, origin_ns: int, time_base: Fraction, block_ms: float, dtype: str, start_ns: int, end_ns: int | None
    ) -> None:
        self._origin_ns = origin_ns
        self._unit = time_base.numerator * NS, time_base.denominator
        self._block_ms = block_ms
        self._dtype = np.dtype(dtype)
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._pieces: list[tuple[NDArray[Any], str]] = []
        self._rate = self._channels = 0  # of the pieces
        self._wanted = 0
        self._held = 0  # samples in the pieces
        self._anchor_ns: int | None = None  # time of sample 0 of `_counted`
        self._counted = 0  # samples since then, without those in the pieces
        self.over = False  # the end was reached

    def add(self, frame: av.AudioFrame) -> list[AudioFrame]:
        """Return the blocks that are complete with a frame; CorruptError if one holds what is no number."""
        count, rate, pts = frame.samples, frame.sample_rate, frame.pts
        name, planes = frame.format.name, frame.planes
        planar = name[-1] == "p"
        channels = len(planes) if planar else len(frame.layout.channels)
        if not count or not channels or not rate:
            return []
        made: list[AudioFrame] = []
        told_ns = None if pts is None else pts * self._unit[0] // self._unit[1] - self._origin_ns
        if rate != self._rate or channels != self._channels or self._jumps(told_ns):
            made = self.end()
            self._begin(rate, channels, told_ns)
        dtype = SAMPLE_FORMATS[name][0]
        if planar:
            for plane in planes:
                self._pieces.append((np.frombuffer(plane, dtype, count), name))  # type: ignore[call-overload]
        else:
            self._pieces.append((np.frombuffer(planes[0], dtype, count * channels), name))  # type: ignore[call-overload]
        self._held += count
        return made + self.end() if self._held >= self._wanted else made

    def end(self) -> list[AudioFrame]:
        """Return what is held, if anything; CorruptError as for `add`."""
        if not self._held:
            return []
        channels = self._channels
        samples = np.empty((channels, self._held), self._dtype)
        at = 0
        pieces = iter(self._pieces)
        for piece, name in pieces:
            if name[-1] == "p":
                to = at + len(piece)
                self._put(samples[0, at:to], piece, name)
                for channel in range(1, channels):
                    self._put(samples[channel, at:to], next(pieces)[0], name)
            else:
                to = at + len(piece) // channels
                for channel in range(channels):
                    self._put(samples[channel, at:to], piece[channel::channels], name)
            at = to
        self._pieces, self._held = [], 0
        pts_ns = self._now_ns()
        self._counted += at
        if self._dtype.kind == "f" and not np.isfinite(samples).all():
            raise CorruptError(f"NaN or infinity in the samples at {pts_ns / NS:.3f} s")
        if self._end_ns is None and pts_ns >= self._start_ns:
            samples.flags.writeable = False
            return [AudioFrame(samples, self._rate, pts_ns)]
        return self._trimmed(samples, self._rate, pts_ns)

    def _begin(self, rate: int, channels: int, told_ns: int | None) -> None:
        """Set the clock: by the file's, if that jumps, else as it goes on."""
        if told_ns is None or not self._jumps(told_ns):
            told_ns = self._now_ns()
        self._anchor_ns, self._counted, self._rate, self._channels = told_ns, 0, rate, channels
        self._wanted = max(1, round(rate * self._block_ms / 1000))

    def _now_ns(self) -> int:
        """Return the time after all samples so far."""
        count = self._counted + self._held
        return (self._anchor_ns or 0) + (samples_to_ns(count, self._rate) if count else 0)

    def _jumps(self, told_ns: int | None) -> bool:
        """Whether the file's own time is another than that of the samples so far."""
        if told_ns is None or self._anchor_ns is None:
            return told_ns is not None
        return not -JUMP_NS <= told_ns - self._now_ns() <= JUMP_NS

    def _put(self, to: NDArray[Any], piece: NDArray[Any], name: str) -> None:
        dtype, offset, full = SAMPLE_FORMATS[name]
        if to.dtype == dtype:
            to[...] = piece
        elif to.dtype.kind == "f":
            if offset:
                piece = piece.astype(np.int16) - offset
            np.multiply(piece, 1 / full, out=to, casting="unsafe", dtype=np.float32 if full <= 1 << 15 else np.float64)
        elif piece.dtype.kind == "f":
            scaled = np.clip(piece * INT16_SCALE, -INT16_SCALE, INT16_SCALE - 1)
            to[...] = np.rint(np.nan_to_num(scaled, copy=False), out=scaled)
        elif offset:
            to[...] = (piece.astype(np.int16) - offset) << 8
        else:
            to[...] = piece >> (8 * piece.itemsize - 16)

    def _trimmed(self, samples: NDArray[Any], rate: int, pts_ns: int) -> list[AudioFrame]:
        count = samples.shape[1]
        first = min(max(0, _samples(self._start_ns - pts_ns, rate)), count)
        last = count if self._end_ns is None else min(max(0, _samples(self._end_ns - pts_ns, rate)), count)
        self.over = last < count or self._end_ns == pts_ns + samples_to_ns(count, rate)
        samples.flags.writeable = False
        if first == last:
            return []
        return [AudioFrame(samples[:, first:last], rate, pts_ns + samples_to_ns(first, rate))]


def picture_of(frame: av.VideoFrame, origin_ns: int, pts_ns: int) -> VideoFrame:
    """Return a decoded picture in rgb24, upright; `pts_ns` is its time if it does not tell one itself."""
    if frame.pts is not None and frame.time_base is not None:
        pts_ns = time_ns(frame.pts, frame.time_base) - origin_ns
    array = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    if turns:
        array = np.rot90(array, turns)  # a view
    array.flags.writeable = False
    return VideoFrame(array, pts_ns, "rgb24")


def time_ns(pts: int, time_base: Fraction) -> int:
    """Return a time of a stream in ns, rounded to the nearest."""
    numerator, denominator = time_base.numerator, time_base.denominator
    return (2 * pts * numerator * NS + denominator) // (2 * denominator)


def _samples(duration_ns: int, rate: int) -> int:
    return (2 * duration_ns * rate + NS) // (2 * NS)
