"""Audio nodes in plain Python and NumPy: WAV → blocks → frames → level → voice activity → segments.

The registry imports this module when the first audio node is made, so NumPy is loaded only where audio is
used. What travels between the nodes:

    `AudioBlock`   as much as a source gives at a time, any number of channels
    `AudioFrame`   one mono frame; `Level` and `VoiceActivity` hand on a copy with their field filled
    dict           a segment: ``{"start": 0.52, "end": 1.9, "level_dbfs": -17.3}``

What stays true here: samples are floats, full scale is -1…1, and no array that came in is ever written to.
Times count samples from the start of the recording, so they do not depend on how it was cut into blocks. A
flush ends the recording: what follows it is a new one, with a new clock and a new noise floor.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.wav import AudioBlock, Samples, read_wav, read_wav_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "AudioBlock",
    "AudioFrame",
    "Frames",
    "Level",
    "Segments",
    "VoiceActivity",
    "WavSource",
    "read_wav",
]

SILENCE_DBFS = -120.0
SMOOTHING_MS = 150.0


class AudioFrame(NamedTuple):
    """A mono frame; the fields after `start_s` are filled on its way.

    Attributes
    ----------
    samples : ndarray of float, shape (n,)
        Full scale is -1…1. Read-only.
    rate_hz : int
        Samples per second.
    start_s : float
        Time of the first sample since the start of the recording.
    level_dbfs : float or None
        Filled by `Level`.
    voiced : bool or None
        Filled by `VoiceActivity`.
    """

    samples: Samples
    rate_hz: int
    start_s: float
    level_dbfs: float | None = None
    voiced: bool | None = None

    @property
    def end_s(self) -> float:
        """Time just after the last sample."""
        return self.start_s + len(self.samples) / self.rate_hz


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
        mono = block.samples if block.samples.ndim == 1 else block.samples.mean(axis=1)
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
            raise TypeError(f"samples must be floats of -1…1, not {block.samples.dtype}: divide them")
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


class Level(NodeExecutor):
    """Fill in the level of each frame, in dBFS.

    The RMS over the frame, relative to a full-scale sine: such a sine is 0 dBFS and a full-scale square wave
    +3.01 dBFS (AES17, IEC 61606-3). Below the floor, and for digital silence, the floor is given.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "floor_dbfs": "the least level that is given, in dBFS (default -120)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._floor_dbfs = Params(context, self.PARAMS).number("floor_dbfs", SILENCE_DBFS)

    def process(self, item: AudioFrame) -> AudioFrame:
        """Return the frame with `level_dbfs`."""
        samples = np.asarray(_frame_of(item, "Level").samples, np.float64)
        mean_square = float(np.dot(samples, samples)) / len(samples)
        return item._replace(level_dbfs=_dbfs(mean_square, self._floor_dbfs))


class VoiceActivity(NodeExecutor):
    """Tell voice from noise by energy: fill in `voiced` of each frame.

    A frame is loud if its level in the speech band exceeds the noise floor by a margin. The floor is the
    least level, smoothed over 150 ms, of the last few seconds: minimum statistics after R. Martin (IEEE
    Trans. Speech and Audio Processing 9(5), 2001), in one band. Voice begins with a few loud frames in a row
    and reaches from there, forwards and backwards, down to a lower threshold, as in the two thresholds of L.
    Rabiner and M. Sambur (Bell System Technical Journal 54(2), 1975). A pause shorter than the hangover
    belongs to the voice around it; a longer one ends the voice at its last loud frame, not at the end of the
    hangover.

    Frames therefore come out late: by the hangover at most, and at the start of a recording by the time in
    which the floor is found. Known limits: noise that starts suddenly counts as voice until the window of the
    floor has passed; voice without 150 ms of pause for longer than that window raises the floor.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "margin_db": "how far above the noise floor voice begins, in dB (default 8)",
        "hysteresis_db": "how far below that voice ends, in dB (default 3)",
        "min_dbfs": "nothing below this level is voice, in dBFS (default -60)",
        "attack_ms": "how long it must be loud for voice to begin, in ms (default 60)",
        "hangover_ms": "the longest pause within voice, in ms (default 240)",
        "window_ms": "over how long the noise floor is sought, in ms (default 5000)",
        "warmup_ms": "how much of a recording is heard before the first decision, in ms (default 1500)",
        "low_hz": "lower edge of the speech band, in Hz (default 200)",
        "high_hz": "upper edge of the speech band, in Hz (default 7000)",
    }

    _band: _Band | None  # of the recording at hand; None before its first frame

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._margin_db = params.number("margin_db", 8.0, above=0)
        self._hysteresis_db = params.number("hysteresis_db", 3.0, least=0)
        self._min_dbfs = params.number("min_dbfs", -60.0)
        self._attack_ms = params.number("attack_ms", 60.0, above=0)
        self._hangover_ms = params.number("hangover_ms", 240.0, least=0)
        self._window_ms = params.number("window_ms", 5000.0, above=0)
        self._warmup_ms = params.number("warmup_ms", 1500.0, least=0)
        self._low_hz = params.number("low_hz", 200.0, least=0)
        self._high_hz = params.number("high_hz", 7000.0, above=self._low_hz)
        self._reset()

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit the frames that are decided with this one."""
        frame = _frame_of(item, "VoiceActivity")
        if self._band is None:
            self._band = self._begin(frame)
        level_dbfs = self._band.level_dbfs(frame)
        self._floor.update(level_dbfs)
        self._unheard.append((frame, level_dbfs))
        if self._floor.heard_frames >= self._warmup_frames:
            yield from self._decide_unheard()

    def flush(self) -> list[AudioFrame]:
        """Return the frames that still wait: of a pause at the end nobody knows more, so it is unvoiced."""
        left = [*self._decide_unheard(), *self._release(voiced=False)]
        self._reset()
        return left

    def _reset(self) -> None:
        self._band = None
        self._unheard: deque[tuple[AudioFrame, float]] = deque()
        self._held: deque[AudioFrame] = deque()
        self._in_voice = False
        self._loud_frames = 0

    def _begin(self, frame: AudioFrame) -> _Band:
        frame_ms = 1000 * len(frame.samples) / frame.rate_hz

        def frames(duration_ms: float) -> int:
            return round(duration_ms / frame_ms)

        self._attack_frames = max(1, frames(self._attack_ms))
        self._hangover_frames = frames(self._hangover_ms)
        self._warmup_frames = frames(self._warmup_ms)
        self._floor = _NoiseFloor(max(1, frames(SMOOTHING_MS)), max(1, frames(self._window_ms)))
        return _Band(frame, self._low_hz, self._high_hz)

    def _decide_unheard(self) -> Iterator[AudioFrame]:
        while self._unheard:
            yield from self._decide(*self._unheard.popleft())

    def _decide(self, frame: AudioFrame, level_dbfs: float) -> list[AudioFrame]:
        begin_dbfs = self._floor.dbfs + self._margin_db
        loud = level_dbfs >= max(begin_dbfs - self._hysteresis_db, self._min_dbfs)
        self._held.append(frame)
        if self._in_voice:
            return self._in_voice_decision(loud)
        self._loud_frames = self._loud_frames + 1 if level_dbfs >= max(begin_dbfs, self._min_dbfs) else 0
        return self._in_noise_decision(loud)

    def _in_voice_decision(self, loud: bool) -> list[AudioFrame]:
        if loud:
            return self._release(voiced=True)
        if len(self._held) <= self._hangover_frames:
            return []
        self._in_voice = False
        self._loud_frames = 0
        return self._release(voiced=False)

    def _in_noise_decision(self, loud: bool) -> list[AudioFrame]:
        if self._loud_frames >= self._attack_frames:
            self._in_voice = True
            return self._release(voiced=True)
        if not loud:
            return self._release(voiced=False)
        # Noise between the thresholds must not be held for ever: look back over two attacks at most.
        return self._release(voiced=False, keep=2 * self._attack_frames)

    def _release(self, *, voiced: bool, keep: int = 0) -> list[AudioFrame]:
        return [self._held.popleft()._replace(voiced=voiced) for _ in range(len(self._held) - keep)]


class Segments(NodeExecutor):
    """Join voiced frames to segments: ``{"start": s, "end": s, "level_dbfs": dB}``.

    Takes frames with `level_dbfs` and `voiced` filled. A segment ends at the first unvoiced frame, at a gap
    in time, or by a flush. Times are rounded to 1 ms; the level is the mean power of the frames, rounded to
    0.1 dB.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "min_ms": "segments shorter than this are dropped, in ms (default 100)",
    }

    _start_s: float | None  # of the open segment, if there is one

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._min_s = Params(context, self.PARAMS).number("min_ms", 100.0, least=0) / 1000
        self._reset()

    def process(self, item: AudioFrame) -> dict[str, float] | None:
        """Return the segment that ended with this frame, if one did."""
        frame = _frame_of(item, "Segments")
        if frame.voiced is None or frame.level_dbfs is None:
            field, node = ("voiced", "VoiceActivity") if frame.voiced is None else ("level_dbfs", "Level")
            raise ValueError(f"the frame has no {field!r}: put {node} before Segments")
        ended = None
        if not frame.voiced or abs(frame.start_s - self._end_s) > 0.001:
            ended = self._end()
        if frame.voiced:
            self._extend(frame, frame.level_dbfs)
        return ended

    def flush(self) -> list[dict[str, float]]:
        """Return the segment that the end of the input cut off, if any."""
        ended = self._end()
        return [] if ended is None else [ended]

    def _reset(self) -> None:
        self._start_s = None
        self._end_s = 0.0
        self._energy_s = 0.0

    def _extend(self, frame: AudioFrame, level_dbfs: float) -> None:
        if self._start_s is None:
            self._start_s = frame.start_s
        self._end_s = frame.end_s
        self._energy_s += 10 ** (level_dbfs / 10) * (frame.end_s - frame.start_s)

    def _end(self) -> dict[str, float] | None:
        start_s, end_s, energy_s = self._start_s, self._end_s, self._energy_s
        self._reset()
        if start_s is None or end_s - start_s < self._min_s - 1e-9:
            return None
        level_dbfs = 10 * math.log10(energy_s / (end_s - start_s))
        return {"start": round(start_s, 3), "end": round(end_s, 3), "level_dbfs": round(level_dbfs, 1)}


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


class _NoiseFloor:
    """The least smoothed level within a window, in constant time per frame."""

    def __init__(self, smoothing_frames: int, window_frames: int) -> None:
        self._smoothing_frames = smoothing_frames
        self._window_frames = window_frames
        self._recent: deque[float] = deque(maxlen=smoothing_frames)
        # (frame, power), powers rising: the first is the floor
        self._minima: deque[tuple[int, float]] = deque()
        self.heard_frames = 0

    @property
    def dbfs(self) -> float:
        return 10 * math.log10(self._minima[0][1])

    def update(self, level_dbfs: float) -> None:
        if len(self._recent) < self._smoothing_frames:
            self._minima.clear()  # an average over fewer frames was only for want of a better one
        self._recent.append(10 ** (level_dbfs / 10))
        self.heard_frames += 1
        power = sum(self._recent) / len(self._recent)
        while self._minima and self._minima[-1][1] >= power:
            self._minima.pop()
        self._minima.append((self.heard_frames, power))
        if self._minima[0][0] <= self.heard_frames - self._window_frames:
            self._minima.popleft()


class _Band:
    """The level of frames within a band of frequencies, from one FFT with a Hann window."""

    def __init__(self, frame: AudioFrame, low_hz: float, high_hz: float) -> None:
        self._size = len(frame.samples)
        self._rate_hz = frame.rate_hz
        self._hann = self._window(self._size)
        if low_hz >= frame.rate_hz / 2:
            raise ValueError(f"'low_hz' is {low_hz:g}, but {frame.rate_hz} Hz audio ends at half its rate")
        bins_hz = np.fft.rfftfreq(self._size, 1 / frame.rate_hz)
        low, high = np.searchsorted(bins_hz, (low_hz, high_hz)).tolist()
        self._bins = slice(max(low, 1), max(high, low + 1))  # never the mean

    def level_dbfs(self, frame: AudioFrame) -> float:
        count = len(frame.samples)
        if frame.rate_hz != self._rate_hz or count > self._size:
            raise ValueError("the frames must have one rate and length; only the last may be shorter")
        hann = self._hann if count == self._size else self._window(count)
        spectrum = np.fft.rfft((frame.samples - frame.samples.mean()) * hann, self._size)[self._bins]
        energy = float(np.vdot(spectrum, spectrum).real)
        return _dbfs(2 * energy / (self._size * float(np.dot(hann, hann))))

    @staticmethod
    def _window(count: int) -> Samples:
        return np.hanning(count + 2)[1:-1]


def _frame_of(item: object, node: str) -> AudioFrame:
    if not isinstance(item, AudioFrame):
        raise TypeError(f"{node} takes AudioFrame items, got {type(item).__name__}: put Frames before it")
    if not len(item.samples):
        raise ValueError("the frame holds no samples")
    return item


def _dbfs(mean_square: float, floor_dbfs: float = SILENCE_DBFS) -> float:
    """Return the level of a mean square; that of a full-scale sine, 1/2, is 0 dBFS."""
    return max(10 * math.log10(2 * mean_square), floor_dbfs) if mean_square > 0 else floor_dbfs
