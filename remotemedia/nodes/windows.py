"""Cutting a recording into windows of a fixed length, for the nodes that judge one window at a time.

Called by the voice-activity detectors. A window has the channels and the sample type that came in: it is a view of the
item that it lies in, or, where it lies across the border of two, a copy. What stays true: times are counted in samples
from the start of the recording or the last gap, windows follow each other without a hole, and are read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from remotemedia._core.media import samples_to_ns
from remotemedia.nodes.samples import follows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from remotemedia._core.media import AudioFrame

Window: TypeAlias = "tuple[NDArray[Any], int]"
"""Its samples, of shape (channels, n), and the time of the first in ns."""


class WindowCutter:
    """Cuts items of any length into windows; what is left of one waits for the next.

    Used for one stretch of audio, without a gap and of one kind; the owner asks `goes_on` first, and where it does not,
    takes `rest` and begins another cutter.

    Parameters
    ----------
    frame : AudioFrame
        The first item: it gives rate, channels, sample type and the time of the first sample. It is not cut yet.
    size : int
        Samples of each channel in a window.
    """

    def __init__(self, frame: AudioFrame, size: int) -> None:
        self.sample_rate = frame.sample_rate
        self._channels = frame.channels
        self._type = frame.samples.dtype
        self._size = size
        self._start_ns = frame.pts_ns
        self._expected_ns = frame.pts_ns
        self._emitted_samples = 0
        self._rest: NDArray[Any]  # a window that is filled up to `_held`
        self._held = 0
        self.metadata = frame.metadata  # of the last item

    def goes_on(self, frame: AudioFrame) -> bool:
        """Whether an item follows the last one without a gap, and is of the same kind."""
        return (
            frame.sample_rate == self.sample_rate
            and frame.channels == self._channels
            and frame.samples.dtype == self._type
            and follows(frame.pts_ns, self._expected_ns)
        )

    def cut(self, frame: AudioFrame) -> list[Window]:
        """Return the windows that are complete with this item."""
        size = self._size
        self._expected_ns = frame.end_ns
        self.metadata = frame.metadata
        samples = frame.samples.view()
        samples.flags.writeable = False  # of the view, and of the windows, which are views of it
        count, at = samples.shape[1], 0
        windows: list[Window] = []
        if self._held:
            at = min(size - self._held, count)
            self._rest[:, self._held : self._held + at] = samples[:, :at]
            self._held += at
            if self._held == size:
                windows += self.rest()
        while count - at >= size:
            windows.append((samples[:, at : at + size], self._advance(size)))
            at += size
        if at < count:
            self._rest = np.empty((self._channels, size), self._type)  # not used again: a window may be kept
            self._held = count - at
            self._rest[:, : self._held] = samples[:, at:]
        return windows

    def rest(self) -> list[Window]:
        """Return what is left as a short window, if anything is."""
        held, self._held = self._held, 0
        if not held:
            return []
        self._rest.flags.writeable = False
        return [(self._rest[:, :held], self._advance(held))]

    def _advance(self, count: int) -> int:
        """Return the time of the next so many samples."""
        pts_ns = self._start_ns + samples_to_ns(self._emitted_samples, self.sample_rate)
        self._emitted_samples += count
        return pts_ns
