"""`EnergyVAD`: voice told from noise by energy, on audio as it comes; the rule is that of `VoiceActivity`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, INT16_SCALE, Samples, mono_of
from remotemedia.nodes.vad import Detector
from remotemedia.nodes.voice import ACTIVITY_PARAMS, Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from remotemedia._core.media import AudioFrame
    from remotemedia._core.node import NodeContext
    from remotemedia.nodes.windows import Window

UNIT = np.float32(1 / INT16_SCALE)


class EnergyVAD(Detector):
    """Tell voice from noise by energy: windows with `voiced` in their metadata, at any rate.

    As `VoiceActivity`, whose rule and params it has, but on frames of any length, of floats or int16; the mean of
    their channels is judged. It needs no model and no other package, is right in steady noise, and takes all that is
    louder than the noise floor for voice. Windows come out late, as those of `VoiceActivity` do. A flush, a gap in
    time, or another rate, number of channels or sample type ends a stretch: its last window may be short, and the noise
    floor is sought anew.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "frame_ms": "length of a window, in ms; rounded to whole samples (default 30)",
        **ACTIVITY_PARAMS,
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._frame_ms = params.number("frame_ms", 30.0, above=0)
        self._activity = Activity(params)
        self._reset()

    def _begin(self, sample_rate: int) -> int:
        return max(1, round(sample_rate * self._frame_ms / 1000))

    def _end(self) -> Iterator[AudioFrame]:
        yield from super()._end()
        yield from self._activity.end()

    def _judged(self, windows: Iterable[Window], metadata: dict[str, Any], sample_rate: int) -> Iterator[AudioFrame]:
        for window in super()._judged(windows, metadata, sample_rate):
            mono = mono_of(window.samples.T)
            yield from self._activity.hear(window, mono * UNIT if mono.dtype == INT16 else mono)

    def _judge(self, samples: Samples, sample_rate: int) -> dict[str, Any]:
        return {}  # that comes late, with the windows after it
