"""Audio nodes in plain Python and NumPy: sources and blocks here, voice in `voice`.

    WavSource → FormatConvert, Gain, ToMono → Frames → Level, Peak, ZeroCrossingRate → VoiceActivity → Segments

The registry imports this module when the first audio node is made, so NumPy is loaded only where audio is
used. What travels between the nodes:

    `AudioFrame`   a stretch of audio of any length, (channels, n), with rate, time and metadata
    ndarray        bare samples of shape (n,) or (n, channels): what a program has at hand
    dict           a segment: ``{"start": 0.52, "end": 1.9, "level_dbfs": -17.3}``

`FormatConvert`, `Gain` and `ToMono` take the first two and give the kind they took; `Level`, `Peak` and
`ZeroCrossingRate` add what they measure to the metadata of a frame, and give a float for an array.

What stays true here: full scale is -1…1 for floats and -32768…32767 for int16, which all but `Frames` take
too; no array that came in is ever written to; metadata and time stamps go through. Times count samples from
the start of the recording, so they do not depend on how it was cut into frames. A flush ends the recording: what
follows it is a new one, with a new clock.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.chunker import Cutter
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import (
    INT16,
    INT16_SCALE,
    SILENCE_DBFS,
    TYPES,
    Item,
    Samples,
    dbfs,
    int16_of,
    mean_square_of,
    mono_of,
    refuse_nan,
    samples_of,
    with_samples,
)
from remotemedia.nodes.voice import Segments, VoiceActivity
from remotemedia.nodes.wav import read_wav
from remotemedia.nodes.wav_nodes import WavReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "AudioFrame",
    "FormatConvert",
    "Frames",
    "Gain",
    "Level",
    "Peak",
    "Segments",
    "ToMono",
    "VoiceActivity",
    "WavSource",
    "ZeroCrossingRate",
    "read_wav",
]

MOST = INT16_SCALE - 1
MOST_FACTOR = float(np.finfo(np.float32).max)
LEVEL_TYPES = TYPES | {np.dtype(np.float16)}


def emits_frames(params: Params) -> bool:
    """Read the param 'emit' of a node that measures: whether it hands on frames, with what it measured."""
    return params.choice("emit", ("frame", "value"), "frame") == "frame"


class Frames(NodeExecutor):
    """Cut audio into mono frames of a fixed length.

    Takes an `AudioFrame` of floats or, if `rate_hz` is given, a float array of shape (n,) or (n, channels); emits
    `AudioFrame`. Channels are averaged. What is left of an item waits for the next one; a flush emits it as a
    short last frame. Items are taken as following each other without a gap, from the first one's `pts_ns`; a frame
    has the metadata of the item that it ends in.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "frame_ms": "length of a frame, in ms; rounded to whole samples (default 30)",
        "rate_hz": "sample rate of the input, in Hz; needed for bare arrays (default: what the frames say)",
    }

    _cutter: Cutter | None  # of the recording at hand; None before its first item

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._frame_ms = params.number("frame_ms", 30.0, above=0)
        self._given_rate_hz = params.whole("rate_hz")
        self._cutter = None

    def process(self, item: AudioFrame | Samples) -> Iterator[AudioFrame]:
        """Emit the frames that are complete with this item."""
        frame = self._frame_of(item)
        if not frame.sample_count:  # nothing, whatever its time
            return
        if frame.channels > 1:
            frame = frame.replace(samples=mono_of(frame.samples.T))
        if self._cutter is None:
            size = max(1, round(frame.sample_rate * self._frame_ms / 1000))
            self._cutter = Cutter(frame, size, size)
        elif frame.sample_rate != self._cutter.sample_rate:
            raise ValueError(f"the sample rate changed from {self._cutter.sample_rate} to {frame.sample_rate} Hz")
        yield from self._cutter.add(frame)

    def flush(self) -> list[AudioFrame]:
        """Return the short last frame, if samples are left."""
        cutter, self._cutter = self._cutter, None
        return [] if cutter is None else cutter.end("keep")

    def _frame_of(self, item: object) -> AudioFrame:
        frame = item
        if isinstance(item, np.ndarray):
            if self._given_rate_hz is None:
                raise ValueError("a bare array does not tell its sample rate: set the param 'rate_hz'")
            if item.ndim not in (1, 2):
                raise ValueError(f"samples must have shape (n,) or (n, channels), got {item.shape}")
            frame = AudioFrame(item.T, self._given_rate_hz)
        if not isinstance(frame, AudioFrame):
            raise TypeError(f"Frames takes AudioFrame items or float arrays, got {type(item).__name__}")
        if self._given_rate_hz not in (None, frame.sample_rate):
            raise ValueError(f"'rate_hz' is {self._given_rate_hz}, but the frame has {frame.sample_rate} Hz")
        if frame.samples.dtype.kind != "f":
            raise TypeError(
                f"samples must be floats of -1…1, not {frame.samples.dtype}: divide them, or put FormatConvert before"
            )
        if not np.isfinite(frame.samples).all():
            raise ValueError("samples must be finite numbers, got NaN or infinity")
        return frame


class FormatConvert(NodeExecutor):
    """Convert samples to another type: float32, float64 or int16.

    Takes arrays and `AudioFrame`, and gives what it took. Of int16 to floats: divided by 32768, without
    loss. Of floats to int16: times 32768, rounded (half to even), and what is beyond -32768…32767 saturates; NaN is a
    ValueError. Between floats: as NumPy casts. What has the type already goes through as it is.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "format": "what to convert to: 'float32', 'float64' or 'int16' (required)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._to = np.dtype(Params(context, self.PARAMS).choice("format", ("float32", "float64", "int16")))
        self._unit = np.array(1 / INT16_SCALE, np.float32)  # exact; ufuncs take an array faster than a scalar

    def process(self, item: Item) -> Item:
        """Return the item with converted samples."""
        samples = samples_of(item, "FormatConvert")
        if samples.dtype == self._to:
            return item
        if samples.dtype == INT16:
            return with_samples(item, np.multiply(samples, self._unit, dtype=self._to))
        if self._to == INT16:
            refuse_nan(samples)
            scaled = np.minimum(np.maximum(samples, -1), MOST / INT16_SCALE)  # first, so that nothing overflows
            scaled *= INT16_SCALE
            return with_samples(item, np.rint(scaled, out=scaled).astype(INT16))
        return with_samples(item, samples.astype(self._to))


class Gain(NodeExecutor):
    """Multiply samples by a factor, or by a gain in dB.

    Takes arrays and `AudioFrame`, and gives what it took. Floats keep their type and may exceed full
    scale; NaN stays NaN. int16 is multiplied in float64, rounded (half to even), and saturates at -32768 and 32767.
    What the metadata says was measured before (`level_dbfs`, …) stays: measure behind the gain.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "gain_db": "the gain, in dB; negative is quieter (default 0)",
        "factor": "the gain as a factor, in place of 'gain_db'; negative turns the phase",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        gain_db = params.number("gain_db", 0.0, most=770)  # 770 dB are about all that a float32 holds
        factor = params.number("factor", 10 ** (gain_db / 20), least=-MOST_FACTOR, most=MOST_FACTOR)
        if None not in (context.params.get("gain_db"), context.params.get("factor")):
            raise params.error("factor", "is given beside 'gain_db': give one of them")
        # by type of the samples; ufuncs take an array faster than a scalar
        self._factors = {kind: np.array(factor, np.float64 if kind == INT16 else kind) for kind in TYPES}

    def process(self, item: Item) -> Item:
        """Return the item with louder samples."""
        samples = samples_of(item, "Gain")
        factor = self._factors[samples.dtype]
        louder = np.multiply(samples, factor, dtype=factor.dtype)
        if samples.dtype == INT16:
            louder = int16_of(louder)
        return with_samples(item, louder)


class ToMono(NodeExecutor):
    """Average the channels.

    Takes arrays and `AudioFrame`, and gives what it took, with samples of one channel and the same type.
    The mean of int16 is rounded (half to even). Samples of shape (n,) stay as they are.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}

    def initialize(self, context: NodeContext) -> None:
        """Refuse params."""
        Params(context, self.PARAMS)

    def process(self, item: Item) -> Item:
        """Return the item with one channel."""
        samples = samples_of(item, "ToMono")
        if isinstance(item, AudioFrame) and item.channels == 1:
            return item
        mono = mono_of(samples)
        return with_samples(item, mono.copy() if samples.ndim == 2 and samples.shape[1] == 1 else mono)


class Level(NodeExecutor):
    """Measure the level: add that of each frame to its metadata, as `level_dbfs`; of arrays give it.

    The RMS over all samples and channels of an item, relative to a full-scale sine: such a sine is 0 dBFS and a
    full-scale square wave +3.01 dBFS (AES17, IEC 61606-3). Below the floor, and for digital silence, the floor is
    given. An item without samples, or with NaN, is a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "floor_dbfs": "the least level that is given, in dBFS (default -120)",
        "unit": "of a value: 'dbfs', or 'rms', full scale 1; frames have dBFS (default 'dbfs')",
        "emit": "what to give for a frame: 'frame', or the 'value' alone, as for an array (default 'frame')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._floor_dbfs = params.number("floor_dbfs", SILENCE_DBFS)
        self._linear = params.choice("unit", ("dbfs", "rms"), "dbfs") == "rms"
        self._whole_frames = emits_frames(params)

    def process(self, item: Samples | AudioFrame) -> float | AudioFrame:
        """Return the frame with its level, or the level."""
        mean_square = mean_square_of(samples_of(item, "Level", LEVEL_TYPES))
        if self._whole_frames and isinstance(item, AudioFrame):
            return item.tagged(level_dbfs=dbfs(mean_square, self._floor_dbfs))
        return math.sqrt(mean_square) if self._linear else dbfs(mean_square, self._floor_dbfs)


class Peak(NodeExecutor):
    """Measure the largest magnitude of a sample: add it to the metadata of each frame, as `peak`; of arrays give it.

    Over all channels; full scale is 1, and 0 dBFS: for int16 that is 32768. An item without samples, or with NaN, is
    a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "unit": "'linear', full scale 1, or 'dbfs' (default 'linear')",
        "floor_dbfs": "the least peak that is given in dBFS (default -120)",
        "emit": "what to give for a frame: 'frame', or the 'value' alone, as for an array (default 'frame')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._in_db = params.choice("unit", ("linear", "dbfs"), "linear") == "dbfs"
        self._whole_frames = emits_frames(params)
        self._floor_dbfs = params.number("floor_dbfs", SILENCE_DBFS)

    def process(self, item: Samples | AudioFrame) -> float | AudioFrame:
        """Return the frame with its peak, or the peak."""
        peak = self._peak(samples_of(item, "Peak"))
        return item.tagged(peak=peak) if self._whole_frames and isinstance(item, AudioFrame) else peak

    def _peak(self, samples: Samples) -> float:
        if not samples.size:
            raise ValueError("the item holds no samples, so it has no peak")
        least, most = float(samples.min()), float(samples.max())  # not abs: that of -32768 is no int16
        if math.isnan(most):
            raise ValueError("samples must be numbers, got NaN")
        peak = max(most, -least)
        if samples.dtype == INT16:
            peak /= INT16_SCALE
        if not self._in_db:
            return peak
        return max(20 * math.log10(peak), self._floor_dbfs) if peak > 0 else self._floor_dbfs


class ZeroCrossingRate(NodeExecutor):
    """Measure how often the sign changes: add `zero_crossing_rate` to the metadata of each frame; of arrays give it.

    The share of neighbouring samples whose signs differ, 0…1, averaged over the channels. Zero counts as positive.
    Neighbours are those within an item; a single sample has none, and a rate of 0. An item without samples, or with
    NaN, is a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "emit": "what to give for a frame: 'frame', or the 'value' alone, as for an array (default 'frame')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._whole_frames = emits_frames(Params(context, self.PARAMS))

    def process(self, item: Samples | AudioFrame) -> float | AudioFrame:
        """Return the frame with its rate, or the rate."""
        rate = self._rate(samples_of(item, "ZeroCrossingRate"))
        return item.tagged(zero_crossing_rate=rate) if self._whole_frames and isinstance(item, AudioFrame) else rate

    @staticmethod
    def _rate(samples: Samples) -> float:
        if not samples.size:
            raise ValueError("the item holds no samples, so it has no zero crossings")
        refuse_nan(samples)
        positive = samples >= 0
        differ = positive[1:] != positive[:-1]
        return float(np.count_nonzero(differ) / differ.size) if differ.size else 0.0


class WavSource(WavReader):
    """Read a WAV file: a source of its own that emits `AudioFrame` items. The same as `WavReader`."""
