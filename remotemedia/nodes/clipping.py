"""Where a recording was driven beyond full scale: `ClippingDetector`."""

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

Clip = dict[str, float | int]
Run = tuple[int, int, int]
"""End, channel, start, the positions in samples of the recording: so they sort by the time at which they ended."""


class ClippingDetector(NodeExecutor):
    """Find runs of samples at full scale: ``{"start": s, "end": s, "channel": 0, "count": samples}``.

    Takes `AudioFrame`. A run is of samples of one channel whose magnitude is at least `threshold` of full scale (of
    int16 that is 32767, which both 32767 and -32768 reach), `min_run` of them or more. A run that goes on across frames
    is one. It is given when it has ended: by another sample, a flush, a gap in time of more than 1 ms, or a change of
    rate, channels or sample type. Those of all channels come in the order in which they ended. Times are in seconds,
    rounded to 1 us. A frame with NaN is a ValueError, and counts as not having come.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "threshold": "the least magnitude that is clipped, full scale 1 (default 0.9999, as 32767 / 32768 is clipped)",
        "min_run": "the least number of such samples in a row (default 3)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._threshold = params.number("threshold", 0.9999, above=0, most=1e9)
        self._min_run = params.whole("min_run") or 3
        self._stretch: Stretch | None = None

    def process(self, item: AudioFrame) -> Iterator[Clip]:
        """Emit the runs that ended with this frame."""
        frame = frame_of(item, "ClippingDetector")
        if not frame.sample_count:  # nothing, whatever its time
            return
        refuse_nan(frame.samples)
        if self._stretch is None or not self._stretch.goes_on(frame):
            yield from self.flush()
            self._stretch = Stretch(frame)
            self._open: dict[int, int] = {}  # by channel: where the run began that lasted to the end of the last frame
        ended = self._ended(frame, self._stretch.count)
        self._stretch.count += frame.sample_count
        for run in ended:
            yield self._clip(self._stretch, run)

    def flush(self) -> list[Clip]:
        """Return the runs that the end cut off."""
        stretch, self._stretch = self._stretch, None
        if stretch is None:
            return []
        runs = ((stretch.count, channel, start) for channel, start in sorted(self._open.items()))
        return [self._clip(stretch, run) for run in runs if self._is_long(run)]

    def _ended(self, frame: AudioFrame, begin: int) -> list[Run]:
        samples = frame.samples
        # of int16 the magnitude is a whole number, and no array of floats is made
        least = math.ceil(self._threshold * (INT16_SCALE - 1)) if samples.dtype == INT16 else self._threshold
        if not self._open and samples.max() < least and samples.min() > -least:
            return []
        ended: list[Run] = []
        for channel, row in enumerate(samples):
            clipped = row >= least
            clipped |= row <= -least
            ended += self._ended_of(channel, clipped, begin)
        return sorted(ended)

    def _ended_of(self, channel: int, clipped: np.ndarray[tuple[int], np.dtype[np.bool_]], begin: int) -> list[Run]:
        edges = np.diff(clipped, prepend=channel in self._open)  # True where a run begins or ends
        borders = (np.flatnonzero(edges) + begin).tolist()
        if channel in self._open:
            borders.insert(0, self._open.pop(channel))
        if len(borders) % 2:
            self._open[channel] = borders.pop()
        runs = ((end, channel, start) for start, end in zip(borders[::2], borders[1::2], strict=True))
        return [run for run in runs if self._is_long(run)]

    def _is_long(self, run: Run) -> bool:
        end, _, start = run
        return end - start >= self._min_run

    @staticmethod
    def _clip(stretch: Stretch, run: Run) -> Clip:
        end, channel, start = run
        return {"start": stretch.time_s(start), "end": stretch.time_s(end), "channel": channel, "count": end - start}
