"""`SpeechSegmenter`: from windows that a voice-activity detector judged to segments of speech.

    windows with `voiced` → runs of voice → pauses bridged → segment, as times or with its samples

What stays true: segments come in order, do not overlap, and lie within what was heard; memory is bounded by the longest
segment with samples and its padding, and without samples it is constant. Times are ns, counted by the windows.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import follows, frame_of
from remotemedia.nodes.vad import VERDICT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NS = 1_000_000_000
AUDIO_MAX_S = 30.0
UNSURE_NS = 200_000_000
"""What is cut off the end of a segment at most because the detector was not sure of it."""


class SpeechSegmenter(NodeExecutor):
    """Join windows that `WebRtcVAD`, `SileroVAD`, `EnergyVAD` or `VoiceActivity` judged to segments of speech.

    A run of voice begins with a window whose probability reaches the threshold, and goes on while it stays above
    threshold - hysteresis; a run shorter than `attack_ms` is a click. A segment is a run, and those after pauses
    shorter than `min_silence_ms`. As detectors let go of voice late in noise, it does not end with its last run, but
    with the last window of at least threshold + hysteresis (200 ms before that at most), less the detector's hangover
    (`hangover_ms` in the metadata). A detector without probabilities says 1 where it says `voiced`, else 0.

    By default emits dicts, ``{"start": 0.7, "end": 1.93, "speech_probability": 0.97}``, in s rounded to 1 ms, with
    the means of `speech_probability` and `level_dbfs` over the segment where the windows have them. With ``emit:
    audio`` it emits an `AudioFrame` for each: its samples, and in the metadata, beside that of its first window, the
    same entries and `index`, from 0 in each recording. A flush ends the recording, and a gap in time, or another
    rate or number of channels, a segment: one that is open then ends with its last window of voice.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "threshold": "the probability with which speech begins, 0 to 1 (default: the detector's own, or 0.5)",
        "hysteresis": "how far it may fall below that within speech, and has to exceed it at the end (default 0.15)",
        "attack_ms": "shorter runs of voice neither begin a segment nor prolong one, in ms (default 100)",
        "min_speech_ms": "segments shorter than this are dropped, in ms (default 250)",
        "min_silence_ms": "pauses shorter than this are bridged, in ms (default 200)",
        "pad_ms": "what is added to a segment before and behind, in ms; never beyond its neighbours (default 0)",
        "max_speech_s": "longer segments are cut, in s without padding (default: none; 30 with emit 'audio')",
        "emit": "'segments': dicts of times; 'audio': frames with the samples of each (default 'segments')",
    }

    _span: _Span | None  # the segment that is open
    _closed: list[_Span]  # those before, until all of their padding was heard
    _last: AudioFrame | None  # window of the stretch at hand

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        given = context.params.get("threshold") is not None
        self._threshold = params.number("threshold", 0.5, least=0, most=1) if given else None
        self._hysteresis = params.number("hysteresis", 0.15, least=0, most=1)
        self._attack_ns = _ns(params.number("attack_ms", 100.0, least=0) / 1000)
        self._min_speech_ns = _ns(params.number("min_speech_ms", 250.0, least=0) / 1000)
        self._min_silence_ns = _ns(params.number("min_silence_ms", 200.0, least=0) / 1000)
        self._pad_ns = _ns(params.number("pad_ms", 0.0, least=0) / 1000)
        self._keeps_samples = params.choice("emit", ("segments", "audio"), "segments") == "audio"
        max_s = params.number("max_speech_s", AUDIO_MAX_S if self._keeps_samples else math.inf, above=0)
        self._max_speech_ns = _ns(max_s) if max_s < math.inf else None
        if _ns(min(max_s, 1e9)) < self._attack_ns:
            raise params.error("max_speech_s", "is shorter than 'attack_ms'")
        self._reset()

    def cleanup(self) -> None:
        """Free the samples that are held."""
        self._reset()

    def process(self, item: AudioFrame) -> Iterator[dict[str, float] | AudioFrame]:
        """Emit the segments that are over, and padded, with this window."""
        window = _judged_of(item)
        if not window.sample_count:
            return
        if self._last is not None and not _goes_on(self._last, window):
            yield from self._end()
        if self._last is None:
            self._floor_ns = window.pts_ns
        self._last = window
        if self._keeps_samples:
            self._windows.append(window)
        self._advance(window)
        while self._closed:
            following = self._closed[1] if len(self._closed) > 1 else self._span
            if following is not None and following.is_begun:
                yield self._emit(following.start_ns)
            elif self._closed[0].end_ns + self._pad_ns <= window.end_ns:
                yield self._emit(window.end_ns)
            else:
                break
        if self._keeps_samples:
            self._forget()

    def flush(self) -> list[dict[str, float] | AudioFrame]:
        """Return the segment that is open, and begin a new recording."""
        left = list(self._end())
        self._reset()
        return left

    def _reset(self) -> None:
        self._emitted = 0
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        self._span = self._last = None
        self._closed = []
        self._floor_ns = 0  # nothing may begin before: the first window, then the end of the last segment
        self._windows: deque[AudioFrame] = deque()

    def _advance(self, window: AudioFrame) -> None:
        threshold, probability = self._threshold_and_probability(window)
        span = self._span
        if span is None:
            if probability < threshold:
                return
            self._span = span = _Span(window.pts_ns, self._attack_ns)
        # halfway to 0 and 1 at most, so that there is something below the lower and above the upper one
        lower = max(threshold - self._hysteresis, threshold / 2)
        upper = min(threshold + self._hysteresis, (threshold + 1) / 2)
        is_voice = probability >= (lower if span.in_voice else threshold)
        span.hear(window, is_voice, is_sure=probability >= upper)
        if not span.in_voice and not span.is_begun:
            self._span = None
        elif not span.in_voice and span.heard_ns - span.voice_ns >= self._min_silence_ns:
            self._close(span, span.released_ns)
        elif self._max_speech_ns is not None and span.heard_ns + span.step_ns - span.start_ns > self._max_speech_ns:
            self._cut(span)

    def _cut(self, span: _Span) -> None:
        if not span.is_in_run:
            self._close(span, span.released_ns)
            if span.in_voice:  # of a run that may still become long enough
                self._span = span.run()
            return
        span.is_part = True  # and what follows is, too: neither is too short
        self._close(span, span.heard_ns)
        self._span = span.rest()

    def _close(self, span: _Span, end_ns: int) -> None:
        self._span = None
        span.end_ns = end_ns
        if span.is_begun and end_ns - span.start_ns >= (1 if span.is_part else max(1, self._min_speech_ns)):
            self._closed.append(span)

    def _threshold_and_probability(self, window: AudioFrame) -> tuple[float, float]:
        known = window.metadata
        probability = known.get("speech_probability")
        threshold = self._threshold
        if probability is None:
            return (0.5 if threshold is None else threshold), float(known["voiced"])
        if threshold is None:
            threshold = known.get("speech_threshold", 0.5)
        return threshold, probability

    def _emit(self, limit_ns: int) -> dict[str, float] | AudioFrame:
        closed = self._closed.pop(0)
        start_ns = max(closed.start_ns - self._pad_ns, self._floor_ns)
        end_ns = min(closed.end_ns + self._pad_ns, limit_ns)
        self._floor_ns = end_ns
        entries = {"start": round(start_ns / NS, 3), "end": round(end_ns / NS, 3), **closed.total.means()}
        index, self._emitted = self._emitted, self._emitted + 1
        return self._audio(start_ns, end_ns, entries | {"index": index}) if self._keeps_samples else entries

    def _end(self) -> Iterator[dict[str, float] | AudioFrame]:
        """End a stretch: what is open ends where voice was last heard."""
        last, span = self._last, self._span
        if last is not None:
            if span is not None:
                self._close(span, span.heard_ns if span.is_in_run else span.released_ns)
            while self._closed:
                yield self._emit(self._closed[1].start_ns if len(self._closed) > 1 else last.end_ns)
        self._begin_stretch()

    def _audio(self, start_ns: int, end_ns: int, entries: dict[str, Any]) -> AudioFrame:
        windows = [window for window in self._windows if window.pts_ns < end_ns and window.end_ns > start_ns]
        first = windows[0]
        rate = first.sample_rate
        samples = np.concatenate([window.samples for window in windows], axis=1)
        at = round((start_ns - first.pts_ns) * rate / NS)
        samples = samples[:, at : at + round((end_ns - start_ns) * rate / NS)]
        samples.flags.writeable = False
        pts_ns = first.pts_ns + samples_to_ns(at, rate)
        kept = {key: value for key, value in first.metadata.items() if key not in VERDICT}
        return AudioFrame(samples, rate, pts_ns, kept | entries)

    def _forget(self) -> None:
        """Drop the windows that no segment can reach back to."""
        waiting = self._closed[0] if self._closed else self._span
        assert self._last is not None
        needed_ns = (waiting.start_ns if waiting is not None else self._last.end_ns) - self._pad_ns
        windows = self._windows
        while windows and windows[0].end_ns <= max(needed_ns, self._floor_ns):
            windows.popleft()


@dataclass(slots=True)
class _Total:
    """What was measured in windows, weighted by how long they are."""

    duration_ns: int = 0
    probability_ns: float = 0.0
    energy_ns: float = 0.0
    has_probability: bool = False
    has_level: bool = False

    def add(self, window: AudioFrame) -> None:
        duration_ns = window.duration_ns
        self.duration_ns += duration_ns
        probability, level_dbfs = (window.metadata.get(key) for key in ("speech_probability", "level_dbfs"))
        if probability is not None:
            self.has_probability = True
            self.probability_ns += probability * duration_ns
        if level_dbfs is not None:
            self.has_level = True
            self.energy_ns += 10 ** (level_dbfs / 10) * duration_ns

    def take(self, other: _Total) -> None:
        self.duration_ns += other.duration_ns
        self.probability_ns += other.probability_ns
        self.energy_ns += other.energy_ns
        self.has_probability |= other.has_probability
        self.has_level |= other.has_level

    def means(self) -> dict[str, float]:
        found = {}
        if self.has_probability:
            found["speech_probability"] = round(self.probability_ns / self.duration_ns, 3)
        if self.has_level:
            found["level_dbfs"] = round(10 * math.log10(self.energy_ns / self.duration_ns), 1)
        return found


class _Span:
    """A segment that is open or closed; it is begun once a run of voice in it was long enough."""

    def __init__(self, start_ns: int, attack_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns = start_ns
        self.is_begun = False
        self.is_part = False  # of one that became too long
        self.in_voice = False
        self.is_in_run = False  # of voice that is long enough
        self.voice_ns = start_ns  # end of the last window of such a run
        self.heard_ns = start_ns  # end of the last window
        self.step_ns = 0  # length of it
        self.total = _Total()  # up to voice_ns
        self._sure_ns = start_ns  # end of the last window of such a run that was surely voice
        self._hangover_ns = 0
        self._attack_ns = attack_ns
        self._run_ns = start_ns  # start of the run at hand
        self._run_sure_ns = start_ns
        self._since = _Total()  # after voice_ns

    @property
    def released_ns(self) -> int:
        """When the voice ended: the detector told it late."""
        return max(self._sure_ns, self.voice_ns - UNSURE_NS) - self._hangover_ns

    def hear(self, window: AudioFrame, is_voice: bool, *, is_sure: bool) -> None:
        """Take in a window: whether it belongs to a run of voice, and surely does."""
        self.heard_ns = window.end_ns
        self.step_ns = window.duration_ns
        self._since.add(window)
        if is_voice and not self.in_voice:
            self._run_ns = window.pts_ns
            is_sure = True
        self.in_voice = is_voice
        if is_voice and is_sure:
            self._run_sure_ns = self.heard_ns
        self.is_in_run = is_voice and self.heard_ns - self._run_ns >= self._attack_ns
        if self.is_in_run:
            self.is_begun = True
            self.voice_ns = self.heard_ns
            self._sure_ns = self._run_sure_ns
            self._hangover_ns = _ns(window.metadata.get("hangover_ms", 0) / 1000)
            self.total.take(self._since)
            self._since = _Total()

    def run(self) -> _Span:
        """Return the run at hand, which is not long enough yet, as a segment of its own."""
        run = _Span(self._run_ns, self._attack_ns)
        run.in_voice = True
        run.heard_ns, run.step_ns = self.heard_ns, self.step_ns
        run._run_sure_ns = self._run_sure_ns
        return run

    def rest(self) -> _Span:
        """Return what goes on where this one was cut."""
        rest = _Span(self.heard_ns, self._attack_ns)
        rest.is_part = rest.is_begun = rest.in_voice = rest.is_in_run = True
        rest._run_ns = self._run_ns
        return rest


def _ns(seconds: float) -> int:
    return round(seconds * NS)


def _goes_on(last: AudioFrame, window: AudioFrame) -> bool:
    same = last.sample_rate == window.sample_rate and last.channels == window.channels
    return same and follows(window.pts_ns, last.end_ns)


def _judged_of(item: object) -> AudioFrame:
    window = frame_of(item, "SpeechSegmenter")
    if "voiced" not in window.metadata and "speech_probability" not in window.metadata:
        raise ValueError("the frame has no 'voiced' in its metadata: put WebRtcVAD, SileroVAD or EnergyVAD before")
    return window
