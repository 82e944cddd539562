"""What the voice-activity detectors have in common: windows in, verdicts in the metadata out.

    AudioFrame of any length → windows → judged → AudioFrame, one for each window, with the verdict in its metadata

The detectors are `WebRtcVAD`, `SileroVAD` and `EnergyVAD`, a module each, as each needs other packages. Their verdict:

    voiced               bool    whether there is voice in the window
    speech_probability   float   0…1, where the detector tells one
    speech_threshold     float   from which probability on it says `voiced`
    hangover_ms          float   how long the detector goes on to say `voiced` once the voice has ended

What stays true: a window has the channels and samples that came in (the detector hears their mean); every sample that
came in goes out in exactly one window, in order, with its time. Samples that are no finite numbers are refused before
they reach a detector: a recurrent one would never forget them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeExecutor
from remotemedia.nodes.samples import frame_of
from remotemedia.nodes.windows import WindowCutter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from remotemedia.nodes.windows import Window

VERDICT = ("voiced", "speech_probability", "speech_threshold", "hangover_ms")


class Detector(NodeExecutor):
    """Base of the detectors; they say how long a window is, and judge one after the other."""

    _cutter: WindowCutter | None  # of the stretch at hand; None before its first item

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit the windows that are judged with this item."""
        frame = frame_of(item, type(self).__name__)
        if not frame.sample_count:
            return
        _refuse_what_is_not_finite(frame.samples)
        if self._cutter is not None and not self._cutter.goes_on(frame):
            yield from self._end()
        if self._cutter is None:
            self._cutter = WindowCutter(frame, self._begin(frame.sample_rate))
        yield from self._judged(self._cutter.cut(frame), frame.metadata, frame.sample_rate)

    def flush(self) -> list[AudioFrame]:
        """Return what is left: the last window, as long as it is, and windows that still wait."""
        return list(self._end())

    def _reset(self) -> None:
        self._cutter = None

    def _end(self) -> Iterator[AudioFrame]:
        """End a stretch: give what is left of it."""
        cutter, self._cutter = self._cutter, None
        if cutter is not None:
            yield from self._judged(cutter.rest(), cutter.metadata, cutter.sample_rate)

    def _judged(self, windows: Iterable[Window], metadata: dict[str, Any], sample_rate: int) -> Iterator[AudioFrame]:
        """Give windows with their verdict, in place of that of a detector before."""
        kept = {key: value for key, value in metadata.items() if key not in VERDICT}
        judge = self._judge
        for samples, pts_ns in windows:
            verdict = judge(samples, sample_rate)
            yield AudioFrame(samples, sample_rate, pts_ns, kept | verdict if kept else verdict)

    @abstractmethod
    def _begin(self, sample_rate: int) -> int:
        """Begin a stretch of audio with new state; return the samples in a window."""

    @abstractmethod
    def _judge(self, samples: NDArray[Any], sample_rate: int) -> dict[str, Any]:
        """Return the verdict on the samples of a window; only the last of a stretch may be shorter."""


def _refuse_what_is_not_finite(samples: NDArray[Any]) -> None:
    if samples.dtype.kind != "f":
        return
    # the sum of squares tells at a tenth of the cost; it may be infinite of large numbers, too
    if not math.isfinite(np.vdot(samples, samples)) and not np.isfinite(samples).all():
        raise ValueError("samples must be finite numbers, got NaN or infinity")
