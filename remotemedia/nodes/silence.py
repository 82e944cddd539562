"""Where nothing is to be heard: `SilenceDetector`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, INT16_SCALE, frame_of, refuse_nan
from remotemedia.nodes.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from remotemedia._core.media import AudioFrame

Silence = dict[str, float]


class SilenceDetector(NodeExecutor):
    """Find silences: ``{"start": s, "end": s}``, in seconds, rounded to 1 us.

    Takes `AudioFrame`. A silence is a stretch of at least `min_silence_ms` in which no sample of any channel is louder
    than the threshold: that of the amplitude of a sine of that level. It is given when it has ended: by a sample that
    is louder, a flush, a gap in time of more than 1 ms, or a change of rate, channels or sample type. A frame with NaN
    is a ValueError, and counts as not having come.

    Notes
    -----
    The rule is that of FFmpeg's ``silencedetect``; a single click ends a silence.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "threshold_dbfs": "samples up to this level are silent, in dBFS (default -60)",
        "min_silence_ms": "silences shorter than this are not given, in ms (default 500)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._threshold = 10 ** (params.number("threshold_dbfs", -60.0, least=-1000, most=0) / 20)
        self._min_ms = params.number("min_silence_ms", 500.0, least=0, most=1e9)
        self._stretch: Stretch | None = None

    def process(self, item: AudioFrame) -> Iterator[Silence]:
        """Emit the silences that ended with this frame."""
        frame = frame_of(item, "SilenceDetector")
        if not frame.sample_count:  # nothing, whatever its time
            return
        refuse_nan(frame.samples)
        if self._stretch is None or not self._stretch.goes_on(frame):
            yield from self.flush()
            self._stretch = Stretch(frame)
            self._last_loud = -1
            self._least = max(1, round(frame.sample_rate * self._min_ms / 1000))
        stretch = self._stretch
        loud = self._loud(frame) + stretch.count
        stretch.count += frame.sample_count
        if not len(loud):
            return
        before = np.concatenate(([self._last_loud], loud[:-1]))
        self._last_loud = int(loud[-1])
        found = loud - before > self._least
        for start, end in zip(before[found].tolist(), loud[found].tolist(), strict=True):
            yield {"start": stretch.time_s(start + 1), "end": stretch.time_s(end)}

    def flush(self) -> list[Silence]:
        """Return the silence at the end, if there is one."""
        stretch, self._stretch = self._stretch, None
        if stretch is None or stretch.count - self._last_loud <= self._least:
            return []
        return [{"start": stretch.time_s(self._last_loud + 1), "end": stretch.time_s(stretch.count)}]

    def _loud(self, frame: AudioFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return where in a frame a channel is louder than the threshold."""
        samples = frame.samples
        # of int16 the whole part decides just as well, and no array of floats is made
        most: float = math.floor(self._threshold * INT16_SCALE) if samples.dtype == INT16 else self._threshold
        loud = samples > most
        loud |= samples < -most
        return np.flatnonzero(loud[0] if len(loud) == 1 else loud.any(axis=0)).astype(np.int64, copy=False)
