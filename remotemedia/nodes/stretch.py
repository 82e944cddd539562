"""A stretch of audio without a gap: where nodes that look across the borders of frames count their samples.

Called by the detectors and by `LogMelSpectrogram`. What must stay true: times are counted in samples from the
stretch's first, so they do not depend on how it was cut into frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remotemedia._core.media import samples_to_ns
from remotemedia.nodes.samples import follows

if TYPE_CHECKING:
    from remotemedia._core.media import AudioFrame


class Stretch:
    """One recording, or what lies between two gaps of it.

    Parameters
    ----------
    first : AudioFrame
        Its first frame, not counted yet: it gives rate, channels, sample type and the time of the first sample.
    """

    def __init__(self, first: AudioFrame) -> None:
        self.sample_rate = first.sample_rate
        self.channels = first.channels
        self._type = first.samples.dtype
        self._start_ns = first.pts_ns
        self.count = 0
        """How many samples of each channel came in."""

    def goes_on(self, frame: AudioFrame) -> bool:
        """Whether a frame is of the same kind, and follows within 1 ms."""
        kind = frame.sample_rate, frame.channels, frame.samples.dtype
        return kind == (self.sample_rate, self.channels, self._type) and follows(frame.pts_ns, self.pts_ns(self.count))

    def pts_ns(self, position: int) -> int:
        """Return the time of a sample, in ns."""
        return self._start_ns + int(samples_to_ns(position, self.sample_rate))

    def time_s(self, position: int) -> float:
        """Return the time of a sample, in seconds, rounded to 1 us."""
        return round(self.pts_ns(position) / 1e9, 6)
