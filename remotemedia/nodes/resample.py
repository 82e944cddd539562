"""Another sample rate: `Resample`, by libsoxr (extra `media`).

The resampler's state goes on from frame to frame, so the output does not depend on how the input was cut. While it
works the interpreter's lock is not held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import soxr

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUALITIES = ("QQ", "LQ", "MQ", "HQ", "VHQ")
GAP_NS = 1_000_000


class Resample(NodeExecutor):
    """Resample audio to another rate.

    Takes and gives `AudioFrame`, of the same sample type and channels. Frames that have the rate already go through
    as they are. The output is aligned with the input: its first sample stands for the input's first, and times are
    counted from there. As the filter looks ahead, what goes out lags what came in by some ms, and a call may give
    nothing; a flush gives the rest. Each frame that goes out has the metadata of the one that came in last.

    A recording ends, and the tail of it is given, also where the rate, the type or the number of channels changes, and
    where a frame does not follow the one before it within 1 ms.

    Notes
    -----
    libsoxr, by R. Sykes; ``HQ`` is its 20-bit setting, ``VHQ`` 28-bit, ``QQ`` cubic interpolation.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "sample_rate": "the rate that goes out, in Hz (required)",
        "quality": "'QQ', 'LQ', 'MQ', 'HQ' or 'VHQ', from quick to very high (default 'HQ')",
    }

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

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit what is ready with this frame."""
        frame = frame_of(item, "Resample")
        stream = self._stream
        if stream is not None and not stream.takes(frame):
            self._stream = None
            yield from stream.end()
            stream = None
        if frame.sample_rate == self._rate:
            yield frame
            return
        if not frame.sample_count:
            return
        if stream is None:
            stream = self._stream = _Stream(frame, self._rate, self._quality)
        made = stream.add(frame)
        if made is not None:
            yield made

    def flush(self) -> list[AudioFrame]:
        """Return the tail."""
        stream, self._stream = self._stream, None
        return [] if stream is None else list(stream.end())

    def cleanup(self) -> None:
        """Let go of the resampler."""
        self._stream = None


class _Stream:
    """One recording on its way through the resampler."""

    def __init__(self, first: AudioFrame, rate: int, quality: str) -> None:
        self._kind = first.sample_rate, first.samples.dtype, first.channels
        self._rate = rate
        self._resampler = soxr.ResampleStream(
            first.sample_rate, rate, first.channels, dtype=first.samples.dtype.name, quality=quality
        )
        self._start_ns = first.pts_ns
        self._taken = self._given = 0
        self._last = first

    def takes(self, frame: AudioFrame) -> bool:
        """Whether a frame goes on where the one before it ended."""
        if (frame.sample_rate, frame.samples.dtype, frame.channels) != self._kind:
            return False
        expected_ns = self._start_ns + samples_to_ns(self._taken, self._kind[0])
        return abs(frame.pts_ns - expected_ns) <= GAP_NS

    def add(self, frame: AudioFrame) -> AudioFrame | None:
        samples = frame.samples
        # not by the sum: that of finite numbers may overflow, with a warning
        if self._kind[1].kind == "f" and not (np.isfinite(samples.min()) and np.isfinite(samples.max())):
            raise ValueError("samples must be finite numbers, got NaN or infinity: the filter would spread it")
        self._taken += samples.shape[1]
        self._last = frame
        return self._frame(self._resampler.resample_chunk(samples.T))

    def end(self) -> Iterator[AudioFrame]:
        samples = np.empty((0, self._kind[2]), self._kind[1])
        made = self._frame(self._resampler.resample_chunk(samples, last=True))
        if made is not None:
            yield made

    def _frame(self, samples: np.ndarray) -> AudioFrame | None:
        count = len(samples)
        if not count:
            return None
        pts_ns = self._start_ns + samples_to_ns(self._given, self._rate)
        self._given += count
        samples.flags.writeable = False
        return AudioFrame(samples.T, self._rate, pts_ns, self._last.metadata)
