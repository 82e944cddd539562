"""`WebRtcVAD`: the voice-activity detector of the WebRTC project, through the package webrtcvad-wheels.

The wrapper is under the MIT licence, the detector in it under the BSD 3-clause licence of the WebRTC project authors,
as the licence file of webrtcvad-wheels says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import webrtcvad

from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, INT16_SCALE, Samples, mono_of
from remotemedia.nodes.vad import Detector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remotemedia._core.node import NodeContext

RATES_HZ = (8000, 16_000, 32_000, 48_000)
FRAMES_MS = (10, 20, 30)
AGGRESSIVENESS = (0, 1, 2, 3)
# What the detector adds to voice of more than six windows, in windows of 10, 20 and 30 ms: the tables kOverHangMax2
# of WebRTC's common_audio/vad/vad_core.c, by aggressiveness.
HANGOVER_WINDOWS = ((14, 7, 5), (14, 7, 5), (9, 5, 3), (9, 5, 3))


class WebRtcVAD(Detector):
    """Tell voice from noise by WebRTC's detector: windows of 10, 20 or 30 ms with `voiced` in their metadata.

    Two Gaussian mixtures, of voice and of noise, over the levels of six bands up to 4 kHz, that adapt as they hear. It
    is fast, knows nothing of language, and takes music and loud noise for voice. Takes frames of any length at 8, 16,
    32 or 48 kHz; the mean of their channels is judged, in 16 bits and without what lies below the voice, of which
    rumble and hum are made (the windows themselves are not filtered). It goes on for 60 to 150 ms after the voice:
    `hangover_ms`, of which `SpeechSegmenter` makes use. A flush, a gap in time, or another rate, number of channels or
    sample type ends a stretch: its last window may be short (it is judged with silence behind it), and the detector
    begins anew.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "aggressiveness": "how much is taken for noise: 0 (least) to 3 (most) (default 2)",
        "frame_ms": "length of a window, in ms: 10, 20 or 30 (default 20)",
        "highpass_hz": "below this the detector hears less and less, in Hz; 0: it hears all (default 220)",
    }

    _vad: Any  # webrtcvad.Vad of the stretch at hand; it cannot be reset

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._aggressiveness = _one_of(params, "aggressiveness", AGGRESSIVENESS, 2)
        self._frame_ms = _one_of(params, "frame_ms", FRAMES_MS, 20)
        self._highpass_hz = params.number("highpass_hz", 220.0, least=0, most=2000)
        windows = HANGOVER_WINDOWS[self._aggressiveness][FRAMES_MS.index(self._frame_ms)]
        self._hangover_ms = float(windows * self._frame_ms)
        self._vad = None
        self._reset()

    def cleanup(self) -> None:
        """Free the detector."""
        self._vad = None
        self._reset()

    def _begin(self, sample_rate: int) -> int:
        if sample_rate not in RATES_HZ:
            raise ValueError(
                f"WebRtcVAD takes 8000, 16000, 32000 or 48000 Hz, not {sample_rate}: "
                "put Resample (sample_rate 16000) before it"
            )
        self._vad = webrtcvad.Vad(self._aggressiveness)
        self._hear = _HighPass(sample_rate, self._highpass_hz) if self._highpass_hz else None
        self._size = sample_rate * self._frame_ms // 1000
        return self._size

    def _judge(self, samples: Samples, sample_rate: int) -> dict[str, Any]:
        mono = mono_of(samples.T)
        if len(mono) < self._size:
            mono = np.concatenate((mono, np.zeros(self._size - len(mono), mono.dtype)))
        if mono.dtype != INT16 or self._hear is not None:
            scaled = mono * (1.0 if mono.dtype == INT16 else float(INT16_SCALE))
            mono = _pcm16_of(scaled if self._hear is None else self._hear(scaled))
        voiced = self._vad.is_speech(mono.tobytes(), sample_rate)
        return {"voiced": voiced, "hangover_ms": self._hangover_ms}


class _HighPass:
    """What is above a frequency: the samples less their moving mean, centred; late by half of it, 2 ms at 220 Hz.

    A mean over n samples passes sin(x)/x, x = pi f n / rate, so that what is left is 3 dB less at f = 0.755 rate / n.
    """

    def __init__(self, sample_rate: int, cutoff_hz: float) -> None:
        self._count = 2 * round((0.755 * sample_rate / cutoff_hz - 1) / 2) + 1  # odd: it has a middle
        self._past: Samples = np.zeros(self._count)

    def __call__(self, samples: Samples) -> Samples:
        count = self._count
        heard = np.concatenate((self._past, samples))
        self._past = heard[-count:]
        total = heard.cumsum(dtype=np.float64)
        means = (total[count:] - total[:-count]) / count
        middle = (count + 1) // 2
        high: Samples = heard[middle : middle + len(samples)] - means
        return high


def _pcm16_of(samples: Samples) -> Samples:
    """Return samples of full scale 32768 as int16: rounded (half to even), saturated."""
    pcm: Samples = np.clip(np.rint(samples), -INT16_SCALE, INT16_SCALE - 1).astype(INT16)
    return pcm


def _one_of(params: Params, name: str, known: tuple[int, ...], default: int) -> int:
    value = params.number(name, default)
    if value not in known:
        raise params.error(name, f"must be one of {', '.join(map(str, known))}, not {value:g}")
    return int(value)
