"""Audio nodes in plain Python and NumPy: sources and blocks here, voice in `voice`.

    WavSource → FormatConvert, Gain, ToMono → Frames → Level, Peak, ZeroCrossingRate → VoiceActivity → Segments

The registry imports this module when the first audio node is made, so NumPy is loaded only where audio is
used. What travels between the nodes (`blocks`):

    `AudioBlock`   as much as a source gives at a time, any number of channels
    `AudioFrame`   one mono frame; what measures or judges it hands on a copy with its field filled
    ndarray        bare samples of shape (n,) or (n, channels): what a program has at hand
    dict           a segment: ``{"start": 0.52, "end": 1.9, "level_dbfs": -17.3}``

`FormatConvert`, `Gain` and `ToMono` take the first three and give the kind they took; `Level`, `Peak` and
`ZeroCrossingRate` fill in a field of a frame, and give a float for an array or a block.

What stays true here: full scale is -1…1 for floats and -32768…32767 for int16, which `FormatConvert`, `Gain`,
`ToMono` and the three that measure take too; no array that came in is ever written to. Times count samples from
the start of the recording, so they do not depend on how it was cut into blocks. A flush ends the recording: what
follows it is a new one, with a new clock.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.blocks import (
    INT16,
    INT16_SCALE,
    SILENCE_DBFS,
    TYPES,
    AudioBlock,
    AudioFrame,
    Item,
    Samples,
    dbfs,
    mean_square_of,
    mono_of,
    refuse_nan,
    samples_of,
    with_samples,
)
from remotemedia.nodes.params import Params
from remotemedia.nodes.voice import Segments, VoiceActivity
from remotemedia.nodes.wav import read_wav, read_wav_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "AudioBlock",
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

LEAST, MOST = -INT16_SCALE, INT16_SCALE - 1
MOST_FACTOR = float(np.finfo(np.float32).max)
LEVEL_TYPES = TYPES | {np.dtype(np.float16)}


class Frames(NodeExecutor):
    """Cut audio blocks into mono frames of a fixed length.

    Takes an `AudioBlock` or, if `rate_hz` is given, a float array of shape (n,) or (n, channels); emits
    `AudioFrame`. Channels are averaged. The rest of a block waits for the next one; a flush emits it as a
    short last frame. Blocks are taken as following each other without a gap, from the first one's `start_s`.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "frame_ms": "length of a frame, in ms; rounded to whole samples (default 30)",
        "rate_hz": "sample rate of the input, in Hz; needed for bare arrays (default: what the blocks say)",
    }

    _rate_hz: int | None  # of the recording at hand; None before its first block
    _rest: Samples

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._frame_ms = params.number("frame_ms", 30.0, above=0)
        self._given_rate_hz = params.whole("rate_hz")
        self._reset()

    def process(self, item: AudioBlock | Samples) -> Iterator[AudioFrame]:
        """Emit the frames that are complete with this block."""
        block = self._block(item)
        if self._rate_hz is None:
            self._begin(block)
        if block.rate_hz != self._rate_hz:
            raise ValueError(f"the sample rate changed from {self._rate_hz} to {block.rate_hz} Hz")
        mono = mono_of(block.samples)
        samples = np.concatenate((self._rest, mono)) if len(self._rest) else mono
        whole = len(samples) - len(samples) % self._size
        self._rest = samples[whole:].copy()  # a view would keep the block alive, and change if it is reused
        for at in range(0, whole, self._size):
            yield self._frame(samples[at : at + self._size], block.rate_hz)

    def flush(self) -> list[AudioFrame]:
        """Return the short last frame, if samples are left."""
        left = [self._frame(self._rest, self._rate_hz)] if self._rate_hz and len(self._rest) else []
        self._reset()
        return left

    def _reset(self) -> None:
        self._rate_hz = None
        self._rest = np.empty(0, np.float32)
        self._emitted_samples = 0

    def _begin(self, block: AudioBlock) -> None:
        self._rate_hz = block.rate_hz
        self._start_s = block.start_s
        self._size = max(1, round(block.rate_hz * self._frame_ms / 1000))

    def _block(self, item: object) -> AudioBlock:
        block = item
        if isinstance(item, np.ndarray):
            if self._given_rate_hz is None:
                raise ValueError("a bare array does not tell its sample rate: set the param 'rate_hz'")
            block = AudioBlock(item, self._given_rate_hz)
        if not isinstance(block, AudioBlock):
            raise TypeError(f"Frames takes AudioBlock items or float arrays, got {type(item).__name__}")
        if self._given_rate_hz not in (None, block.rate_hz):
            raise ValueError(f"'rate_hz' is {self._given_rate_hz}, but the block has {block.rate_hz} Hz")
        if not block.rate_hz > 0:
            raise ValueError(f"the sample rate must be above 0 Hz, got {block.rate_hz!r}")
        if block.samples.dtype.kind != "f":
            raise TypeError(
                f"samples must be floats of -1…1, not {block.samples.dtype}: divide them, or put FormatConvert before"
            )
        if block.samples.ndim not in (1, 2) or 0 in block.samples.shape[1:]:
            raise ValueError(f"samples must have shape (n,) or (n, channels), got {block.samples.shape}")
        if not np.isfinite(block.samples).all():
            raise ValueError("samples must be finite numbers, got NaN or infinity")
        return block

    def _frame(self, samples: Samples, rate_hz: int) -> AudioFrame:
        view = samples.view()
        view.flags.writeable = False
        start_s = self._start_s + self._emitted_samples / rate_hz
        self._emitted_samples += len(samples)
        return AudioFrame(view, rate_hz, start_s)


class FormatConvert(NodeExecutor):
    """Convert samples to another type: float32, float64 or int16.

    Takes arrays, `AudioBlock` and `AudioFrame`, and gives what it took. Of int16 to floats: divided by 32768, without
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
            return with_samples(item, samples)
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

    Takes arrays, `AudioBlock` and `AudioFrame`, and gives what it took. Floats keep their type and may exceed full
    scale; NaN stays NaN. int16 is multiplied in float64, rounded (half to even), and saturates at -32768 and 32767.
    What a frame was measured to be before (`level_dbfs`, …) stays: measure behind the gain.
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
            np.rint(louder, out=louder)
            np.minimum(np.maximum(louder, LEAST, out=louder), MOST, out=louder)
            louder = louder.astype(INT16)
        return with_samples(item, louder)


class ToMono(NodeExecutor):
    """Average the channels.

    Takes arrays, `AudioBlock` and `AudioFrame`, and gives what it took, with samples of shape (n,) and the same type.
    The mean of int16 is rounded (half to even). Samples of shape (n,) stay as they are.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}

    def initialize(self, context: NodeContext) -> None:
        """Refuse params."""
        Params(context, self.PARAMS)

    def process(self, item: Item) -> Item:
        """Return the item with one channel."""
        return with_samples(item, mono_of(samples_of(item, "ToMono")))


class Level(NodeExecutor):
    """Measure the level: fill in that of each frame, in dBFS; of arrays and blocks give it.

    The RMS over all samples and channels of an item, relative to a full-scale sine: such a sine is 0 dBFS and a
    full-scale square wave +3.01 dBFS (AES17, IEC 61606-3). Below the floor, and for digital silence, the floor is
    given. An item without samples, or with NaN, is a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "floor_dbfs": "the least level that is given, in dBFS (default -120)",
        "unit": "what arrays and blocks give: 'dbfs', or 'rms', full scale 1; frames have dBFS (default 'dbfs')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._floor_dbfs = params.number("floor_dbfs", SILENCE_DBFS)
        self._linear = params.choice("unit", ("dbfs", "rms"), "dbfs") == "rms"

    def process(self, item: Samples | AudioBlock | AudioFrame) -> float | AudioFrame:
        """Return the frame with `level_dbfs`, or the level."""
        mean_square = mean_square_of(samples_of(item, "Level", LEVEL_TYPES))
        if isinstance(item, AudioFrame):
            return item._replace(level_dbfs=dbfs(mean_square, self._floor_dbfs))
        return math.sqrt(mean_square) if self._linear else dbfs(mean_square, self._floor_dbfs)


class Peak(NodeExecutor):
    """Measure the largest magnitude of a sample: fill in `peak` of each frame; of arrays and blocks give it.

    Over all channels; full scale is 1, and 0 dBFS: for int16 that is 32768. An item without samples, or with NaN, is
    a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "unit": "'linear', full scale 1, or 'dbfs' (default 'linear')",
        "floor_dbfs": "the least peak that is given in dBFS (default -120)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._in_db = params.choice("unit", ("linear", "dbfs"), "linear") == "dbfs"
        self._floor_dbfs = params.number("floor_dbfs", SILENCE_DBFS)

    def process(self, item: Samples | AudioBlock | AudioFrame) -> float | AudioFrame:
        """Return the frame with `peak`, or the peak."""
        peak = self._peak(samples_of(item, "Peak"))
        return item._replace(peak=peak) if isinstance(item, AudioFrame) else peak

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
    """Measure how often the sign changes: fill in `zero_crossing_rate` of each frame; of arrays and blocks give it.

    The share of neighbouring samples whose signs differ, 0…1, averaged over the channels. Zero counts as positive.
    Neighbours are those within an item; a single sample has none, and a rate of 0. An item without samples, or with
    NaN, is a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}

    def initialize(self, context: NodeContext) -> None:
        """Refuse params."""
        Params(context, self.PARAMS)

    def process(self, item: Samples | AudioBlock | AudioFrame) -> float | AudioFrame:
        """Return the frame with `zero_crossing_rate`, or the rate."""
        rate = self._rate(samples_of(item, "ZeroCrossingRate"))
        return item._replace(zero_crossing_rate=rate) if isinstance(item, AudioFrame) else rate

    @staticmethod
    def _rate(samples: Samples) -> float:
        if not samples.size:
            raise ValueError("the item holds no samples, so it has no zero crossings")
        refuse_nan(samples)
        positive = samples >= 0
        differ = positive[1:] != positive[:-1]
        return float(np.count_nonzero(differ) / differ.size) if differ.size else 0.0


class WavSource(NodeExecutor):
    """Read a WAV file: a source of its own that emits `AudioBlock` items.

    See `read_wav` for what can be read, and for what is refused.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the WAV file; a relative path is relative to the working directory (required)",
        "block_ms": "length of a block, in ms (default 500)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params; the file is opened by `produce`."""
        params = Params(context, self.PARAMS)
        self._path = params.text("path")
        self._block_ms = params.number("block_ms", 500.0, above=0)

    def produce(self) -> Iterator[AudioBlock]:
        """Emit the file's blocks."""
        yield from read_wav_ms(self._path, self._block_ms)
