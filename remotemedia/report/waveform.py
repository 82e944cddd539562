"""The audio of a run: its envelope, gathered frame by frame in bounded memory, and the picture of it with segments."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from remotemedia.report.markup import Html, clock, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from remotemedia._core.media import AudioFrame

MOST_BINS = 2048
FIRST_BIN_NS = 5_000_000
LOUDEST = 1e6  # what is louder is cut: a float64 may be more than a picture, or a float32, can hold
WIDTH, HEIGHT, FOOT = 1000, 120, 18
MOST_SEGMENTS = 500
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400, 604_800)


Segment = tuple[float, float, str]
"""Start and end in s, and the text."""


class Waveform:
    """The least and greatest sample of each stretch of a recording, in at most 2048 stretches however long it is.

    When they are full, neighbours are merged and each covers twice the time.

    Examples
    --------
    >>> import numpy as np
    >>> from remotemedia import AudioFrame
    >>> waveform = Waveform()
    >>> waveform.add(AudioFrame(np.full(16_000, 0.5, np.float32), 16_000))
    >>> waveform.end_ns, float(waveform.peaks()[1].max())
    (1000000000, 0.5)
    """

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._bin_ns = FIRST_BIN_NS
        self._least = np.zeros(MOST_BINS, np.float32)
        self._most = np.zeros(MOST_BINS, np.float32)
        self.begin_ns = 0
        self.length_ns = 0

    @property
    def end_ns(self) -> int:
        """Where the last frame ends."""
        return self.begin_ns + self.length_ns

    def add(self, frame: AudioFrame) -> None:
        """Add a frame.

        All channels count, int16 as parts of full scale, NaN as silence, what is infinite as full scale. The first
        frame says where the recording begins: in one that is live that may be a time of day.
        """
        np = self._np
        samples = frame.samples
        count, rate = samples.shape[1], frame.sample_rate
        if not count:
            return
        if not self.length_ns:
            self.begin_ns = max(0, frame.pts_ns)
        begin_ns = max(0, frame.pts_ns - self.begin_ns)
        end_ns = begin_ns + frame.duration_ns
        while end_ns > self._bin_ns * MOST_BINS:
            self._merge()
        first, last = begin_ns // self._bin_ns, max(begin_ns, end_ns - 1) // self._bin_ns
        borders_ns = np.arange(first + 1, last + 1, dtype=np.int64) * self._bin_ns - begin_ns
        starts = np.minimum(np.ceil(borders_ns * (rate / 1e9)).astype(np.int64), count - 1)
        starts = np.concatenate(([0], starts))
        scale = np.float32(1 / 32768 if samples.dtype == np.int16 else 1)
        one = samples.shape[0] == 1
        least = np.fmin.reduceat(samples[0] if one else np.fmin.reduce(samples, axis=0), starts) * scale
        most = np.fmax.reduceat(samples[0] if one else np.fmax.reduce(samples, axis=0), starts) * scale
        for kept, new, choose in ((self._least, least, np.fmin), (self._most, most, np.fmax)):
            part = kept[first : last + 1]
            finite = np.nan_to_num(new, nan=0, posinf=1, neginf=-1).clip(-LOUDEST, LOUDEST)
            choose(part, finite.astype(np.float32), out=part)
        self.length_ns = max(self.length_ns, end_ns)

    def peaks(self) -> tuple[Any, Any]:
        """Return the least and the greatest samples of the stretches up to the end, two float32 arrays."""
        used = max(1, -(-self.length_ns // self._bin_ns))
        return self._least[:used], self._most[:used]

    def _merge(self) -> None:
        np, half = self._np, MOST_BINS // 2
        for kept, choose in ((self._least, np.fmin), (self._most, np.fmax)):
            kept[:half] = choose(kept[::2], kept[1::2])
            kept[half:] = 0
        self._bin_ns *= 2

    def _points(self) -> tuple[list[float], list[float]]:
        """Return about as many least and greatest samples as the picture can show."""
        np = self._np
        least, most = self.peaks()
        step = -(-len(least) // WIDTH)
        starts = np.arange(0, len(least), step)
        return np.fmin.reduceat(least, starts).tolist(), np.fmax.reduceat(most, starts).tolist()


def segments_of(results: Iterable[Any]) -> list[Segment]:
    """Return start and end in s, and the text, of the results that are segments: dicts with these numbers."""
    found = []
    for item in results:
        if type(item) is dict:  # no subclass: what its methods do is its own affair
            start, end, told = _time_of(item, "start"), _time_of(item, "end"), item.get("text")
            if start is not None and end is not None and start <= end:
                found.append((start, end, told[:200] if isinstance(told, str) else ""))
    return found


def _time_of(item: dict[Any, Any], key: str) -> float | None:
    value = item.get(key)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number:  # a number of NumPy, then; no other class's methods are called
        is_number = type(value).__module__ == "numpy" and isinstance(value, Real)
    # as great as a time of day is in seconds since 1970
    return float(value) if is_number and 0 <= value <= 1e10 else None  # type: ignore[operator, arg-type]


def waveform_svg(waveform: Waveform | None, segments: Sequence[Segment]) -> Html:
    """Return the picture: the waveform, if there is one, and the segments on it."""
    begin_s, end_s = _span_s(waveform, segments)
    span_s = end_s - begin_s

    def x_of(time_s: float) -> str:
        return f"{WIDTH * (time_s - begin_s) / span_s:.1f}"

    marks = [
        tag("rect", tag("title", f"{start:.2f} s to {end:.2f} s{': ' + told if told else ''}"), x=x_of(start), y=0,
            width=f"{max(1.0, WIDTH * (end - start) / span_s):.1f}", height=HEIGHT, class_="segment")
        for start, end, told in _merged(segments, span_s)
    ]  # fmt: skip
    ticks = []
    step_s = next((t for t in TICKS_S if span_s / t <= 10), span_s / 10)
    for number in range(math.ceil(begin_s / step_s - 1e-9), int(end_s / step_s + 1e-9) + 1):
        time_s = number * step_s
        told = clock(time_s * 1e9) if step_s >= 1 else f"{time_s:.1f} s"
        part = (time_s - begin_s) / span_s
        side = "tick" if part < 0.03 else "tick end" if part > 0.97 else "tick mid"
        ticks += [
            tag("line", x1=x_of(time_s), x2=x_of(time_s), y1=HEIGHT, y2=HEIGHT + 4, class_="axis"),
            tag("text", told, x=x_of(time_s), y=HEIGHT + FOOT - 3, class_=side),
        ]
    length_s = waveform.length_ns / 1e9 if waveform is not None else 0.0
    return tag(
        "svg",
        tag(
            "title",
            f"{length_s:.2f} s of audio with {len(segments)} segments" if waveform else f"{len(segments)} segments",
        ),
        *marks,
        tag("path", d=Html(_outline(waveform, begin_s, span_s)), class_="wave")
        if waveform is not None and waveform.length_ns
        else None,
        tag("line", x1=0, x2=WIDTH, y1=HEIGHT, y2=HEIGHT, class_="axis"),
        *ticks,
        viewBox=f"0 0 {WIDTH} {HEIGHT + FOOT}",
        role="img",
        aria_label=f"The audio over {span_s:.1f} seconds, with {len(segments)} segments",
        class_="waveform few" if len(segments) <= 100 else "waveform",
    )


def _span_s(waveform: Waveform | None, segments: Sequence[Segment]) -> tuple[float, float]:
    """Return what the picture shows: from 0 on, but of what is far from there only itself."""
    begins, ends = [start for start, _, _ in segments], [end for _, end, _ in segments]
    if waveform is not None and waveform.length_ns:
        begins.append(waveform.begin_ns / 1e9)
        ends.append(waveform.end_ns / 1e9)
    begin_s, end_s = min(begins, default=0.0), max(ends, default=0.0)
    if begin_s <= end_s - begin_s:
        begin_s = 0.0
    return begin_s, end_s if end_s > begin_s else begin_s + 1.0


def _outline(waveform: Waveform, begin_s: float, span_s: float) -> str:
    """Return the outline: along the greatest samples, and back along the least."""
    least, most = waveform._points()
    peak = max(1e-4, max(most), -min(least))
    first = WIDTH * (waveform.begin_ns / 1e9 - begin_s) / span_s
    step = WIDTH * (waveform.length_ns / 1e9 / span_s) / len(most)
    middle, scale = HEIGHT / 2, (HEIGHT / 2 - 4) / max(peak, 0.05)
    upper = [f"{first + (i + 0.5) * step:.1f} {middle - max(y * scale, 0.4):.1f}" for i, y in enumerate(most)]
    lower = [f"{first + (i + 0.5) * step:.1f} {middle - min(y * scale, -0.4):.1f}" for i, y in enumerate(least)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def _merged(segments: Sequence[Segment], span_s: float) -> list[Segment]:
    """Return the segments, neighbours as one where they are too many, or too near each other, to be told apart."""
    if len(segments) <= MOST_SEGMENTS:
        return list(segments)
    merged: list[Segment] = []
    for start, end, _ in sorted(segments):
        if merged and start - merged[-1][1] <= span_s / MOST_SEGMENTS:
            merged[-1] = merged[-1][0], max(end, merged[-1][1]), ""
        else:
            merged.append((start, end, ""))
    return merged
