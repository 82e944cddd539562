"""From frames to segments of voice: `VoiceActivity` tells voice from noise, `Segments` joins what is voiced.

Both take `AudioFrame` items, and hold some of them back: a flush ends the recording, and what follows it is a new
one, with a new noise floor. How voice is told from noise is `Activity`, which `EnergyVAD` has, too.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import Samples, dbfs, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SMOOTHING_MS = 150.0

ACTIVITY_PARAMS: Mapping[str, str] = {
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


class VoiceActivity(NodeExecutor):
    """Tell voice from noise by energy: add `voiced`, true or false, to the metadata of each frame.

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

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = ACTIVITY_PARAMS

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._activity = Activity(Params(context, self.PARAMS))

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit the frames that are decided with this one."""
        frame = _frame_of(item, "VoiceActivity")
        if frame.samples.dtype.kind != "f":
            raise TypeError(f"samples must be floats of -1…1, not {frame.samples.dtype}: put FormatConvert before")
        yield from self._activity.hear(frame, frame.samples[0])

    def flush(self) -> list[AudioFrame]:
        """Return the frames that still wait: of a pause at the end nobody knows more, so it is unvoiced."""
        return self._activity.end()


class Activity:
    """What `VoiceActivity` does, apart from the node: frames of one length in, the same with `voiced` out, late.

    Parameters
    ----------
    params : Params
        Those of `ACTIVITY_PARAMS`.
    """

    _band: _Band | None  # of the recording at hand; None before its first frame

    def __init__(self, params: Params) -> None:
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

    def hear(self, frame: AudioFrame, mono: Samples) -> Iterator[AudioFrame]:
        """Give the frames that are decided with this one, whose floats of one channel are `mono`."""
        if self._band is None:
            self._band = self._begin(frame)
        level_dbfs = self._band.level_dbfs(mono, frame.sample_rate)
        self._floor.update(level_dbfs)
        self._unheard.append((frame, level_dbfs))
        if self._floor.heard_frames >= self._warmup_frames:
            yield from self._decide_unheard()

    def end(self) -> list[AudioFrame]:
        """Return the frames that still wait, and begin anew."""
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
        frame_ms = 1000 * frame.sample_count / frame.sample_rate

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
        return [self._held.popleft().tagged(voiced=voiced) for _ in range(len(self._held) - keep)]


class Segments(NodeExecutor):
    """Join voiced frames to segments: ``{"start": s, "end": s, "level_dbfs": dB}``.

    Takes frames with `level_dbfs` and `voiced` in their metadata. A segment ends at the first unvoiced frame, at a gap
    in time, or by a flush. Times are rounded to 1 ms; the level is the mean power of the frames, rounded to
    0.1 dB.
    """

    keeps_state = True

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
        voiced, level_dbfs = frame.metadata.get("voiced"), frame.metadata.get("level_dbfs")
        if voiced is None or level_dbfs is None:
            field, node = ("voiced", "VoiceActivity") if voiced is None else ("level_dbfs", "Level")
            raise ValueError(f"the frame has no {field!r} in its metadata: put {node} before Segments")
        ended = None
        if not voiced or abs(frame.start_s - self._end_s) > 0.001:
            ended = self._end()
        if voiced:
            self._extend(frame, level_dbfs)
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
        self._energy_s += 10 ** (level_dbfs / 10) * frame.duration_s

    def _end(self) -> dict[str, float] | None:
        start_s, end_s, energy_s = self._start_s, self._end_s, self._energy_s
        self._reset()
        if start_s is None or end_s - start_s < self._min_s - 1e-9:
            return None
        level_dbfs = 10 * math.log10(energy_s / (end_s - start_s))
        return {"start": round(start_s, 3), "end": round(end_s, 3), "level_dbfs": round(level_dbfs, 1)}


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
        self._size = frame.sample_count
        self._rate_hz = frame.sample_rate
        self._hann = self._window(self._size)
        if low_hz >= frame.sample_rate / 2:
            raise ValueError(f"'low_hz' is {low_hz:g}, but {frame.sample_rate} Hz audio ends at half its rate")
        bins_hz = np.fft.rfftfreq(self._size, 1 / frame.sample_rate)
        low, high = np.searchsorted(bins_hz, (low_hz, high_hz)).tolist()
        self._bins = slice(max(low, 1), max(high, low + 1))  # never the mean

    def level_dbfs(self, samples: Samples, rate_hz: int) -> float:
        count = len(samples)
        if rate_hz != self._rate_hz or count > self._size:
            raise ValueError("the frames must have one rate and length; only the last may be shorter")
        hann = self._hann if count == self._size else self._window(count)
        spectrum = np.fft.rfft((samples - samples.mean()) * hann, self._size)[self._bins]
        energy = float(np.vdot(spectrum, spectrum).real)
        return dbfs(2 * energy / (self._size * float(np.dot(hann, hann))))

    @staticmethod
    def _window(count: int) -> Samples:
        return np.hanning(count + 2)[1:-1]


def _frame_of(item: object, node: str) -> AudioFrame:
    frame = frame_of(item, node)
    if frame.channels != 1:
        raise ValueError(f"{node} takes one channel, the frame has {frame.channels}: put Frames or ToMono before it")
    if not frame.sample_count:
        raise ValueError("the frame holds no samples")
    return frame
