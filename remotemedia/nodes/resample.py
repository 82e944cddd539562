"""Another sample rate: `Resample`, by libsoxr (extra `media`).

The resampler's state goes on from frame to frame, so the output does not depend on how the input was cut. While it
works the interpreter's lock is not held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import soxr

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import follows, frame_of, refuse_infinite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

QUALITIES = ("QQ", "LQ", "MQ", "HQ", "VHQ")
MAX_FACTOR = 1024
"""Between the rates: from about 100 000 on libsoxr hangs or crashes, and audio has no such rates."""


class Resample(NodeExecutor):
    """Resample audio to another rate.

    Takes and gives `AudioFrame`, of the same sample type and channels. Frames that have the rate already go through
    as they are. The output is aligned with the input: its first sample stands for the input's first, and times are
    counted from there. As the filter looks ahead, what goes out lags what came in by some ms, and a call may give
    nothing; a flush gives the rest. Each frame that goes out has the metadata of the one that came in last.

    A recording ends, and the tail of it is given, also where the rate, the type or the number of channels changes, and
    where a frame does not follow the one before it within 1 ms. An empty frame is nothing, whatever its time. A frame
    with NaN or infinity, or of a rate more than 1024 times higher or lower, is a ValueError, and counts as not having
    come.

    Notes
    -----
    libsoxr, by R. Sykes; ``HQ`` is its 20-bit setting, ``VHQ`` 28-bit, ``QQ`` cubic interpolation.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "sample_rate": "the rate that goes out, in Hz (required)",
        "quality": "'QQ', 'LQ', 'MQ', 'HQ' or 'VHQ', from quick to very high (default 'HQ')",
    }

    emits = "many"  # a list, as a generator costs more than all else here
    _rate: int

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        rate = params.whole("sample_rate")
        if rate is None:
            raise params.error("sample_rate", "is missing")
        try:
            AudioFrame(np.empty((1, 0), np.float32), rate)
        except ValueError as error:
            raise params.error("sample_rate", f"is out of range: {error}") from None
        self._rate = rate
        self._quality = params.choice("quality", QUALITIES, "HQ")
        self._stream: _Stream | None = None

    def process(self, item: AudioFrame) -> list[AudioFrame]:
        """Return what is ready with this frame, behind the tail of another recording if that ended with it."""
        frame = frame_of(item, "Resample")
        if not frame.sample_count:
            return [frame] if frame.sample_rate == self._rate else []
        if frame.sample_rate == self._rate:
            return [*self.flush(), frame]
        refuse_infinite(frame, "the filter would spread it")
        stream = self._stream
        if stream is not None and stream.takes(frame):
            return stream.add(frame)
        following = _Stream(frame, self._rate, self._quality)  # before the flush: if it is refused, no tail is lost
        tail, self._stream = self.flush(), following
        return tail + following.add(frame)

    def flush(self) -> list[AudioFrame]:
        """Return the tail."""
        stream, self._stream = self._stream, None
        return [] if stream is None else stream.end()

    def cleanup(self) -> None:
        """Let go of the resampler."""
        self._stream = None


class _Stream:
    """One recording on its way through the resampler."""

    def __init__(self, first: AudioFrame, rate: int, quality: str) -> None:
        if max(first.sample_rate, rate) > MAX_FACTOR * min(first.sample_rate, rate):
            rates = f"{first.sample_rate} and {rate} Hz"
            raise ValueError(f"the rates are too far apart, {rates}: at most 1 : {MAX_FACTOR}")
        self._kind = first.sample_rate, first.samples.dtype, first.channels
        self._rate = rate
        self._resampler = soxr.ResampleStream(
            first.sample_rate, rate, first.channels, dtype=first.samples.dtype.name, quality=quality
        )
        self._start_ns = first.pts_ns
        self._given = 0
        self._taken = 0
        self._expected_ns = first.pts_ns
        self._metadata = first.metadata

    def takes(self, frame: AudioFrame) -> bool:
        """Whether a frame goes on where the one before it ended."""
        samples = frame.samples
        kind = frame.sample_rate, samples.dtype, samples.shape[0]
        return kind == self._kind and follows(frame.pts_ns, self._expected_ns)

    def add(self, frame: AudioFrame) -> list[AudioFrame]:
        samples = frame.samples
        self._taken += samples.shape[1]
        self._expected_ns = self._start_ns + samples_to_ns(self._taken, self._kind[0])
        self._metadata = frame.metadata
        return self._frames(self._resampler.resample_chunk(in_turn(samples)))

    def end(self) -> list[AudioFrame]:
        samples = np.empty((0, self._kind[2]), self._kind[1])
        return self._frames(self._resampler.resample_chunk(samples, last=True))

    def _frames(self, samples: NDArray[Any]) -> list[AudioFrame]:
        count = len(samples)
        if not count:
            return []
        pts_ns = self._start_ns + samples_to_ns(self._given, self._rate)
        self._given += count
        samples.flags.writeable = False
        return [AudioFrame(samples.T, self._rate, pts_ns, self._metadata)]


def in_turn(samples: NDArray[Any]) -> NDArray[Any]:
    """Return samples (channels, n) as (n, channels), in that order in memory; of one channel a view.

    soxr copies what is in another order element by element, which takes a third of the time of resampling.
    """
    channels, count = samples.shape
    if channels == 1:
        return samples.T
    turned = np.empty((count, channels), samples.dtype)
    for channel in range(channels):  # channel by channel: a copy of the transposed array takes four times as long
        turned[:, channel] = samples[channel]
    return turned
