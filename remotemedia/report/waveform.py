"""The audio of a run: its envelope, gathered frame by frame in bounded memory, and the picture of it with segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.report.markup import Html, clock, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from remotemedia._core.media import AudioFrame

MOST_BINS = 2048
FIRST_BIN_NS = 5_000_000
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
        self.end_ns = 0

    def add(self, frame: AudioFrame) -> None:
        """Add a frame; all channels count, int16 as parts of full scale, and what is no number as silence."""
        np = self._np
        samples = frame.samples
        count, rate, begin_ns = samples.shape[1], frame.sample_rate, max(0, frame.pts_ns)
        if not count:
            return
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
            choose(part, np.nan_to_num(new, nan=0, posinf=1e3, neginf=-1e3), out=part)
        self.end_ns = max(self.end_ns, end_ns)

    def peaks(self) -> tuple[Any, Any]:
        """Return the least and the greatest samples of the stretches up to the end, two float32 arrays."""
        used = max(1, -(-self.end_ns // self._bin_ns))
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
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e9
    return float(value) if is_time else None  # type: ignore[arg-type]


def waveform_svg(waveform: Waveform | None, segments: Sequence[Segment]) -> Html:
    """Return the picture: the waveform, if there is one, and the segments on it."""
    end_s = max([(waveform.end_ns / 1e9 if waveform else 0.0), *(end for _, end, _ in segments)], default=0.0)
    end_s = end_s or 1.0

    def x_of(time_s: float) -> str:
        return f"{WIDTH * time_s / end_s:.1f}"

    marks = [
        tag("rect", tag("title", f"{start:.2f} s to {end:.2f} s{': ' + told if told else ''}"), x=x_of(start), y=0,
            width=f"{max(1.0, WIDTH * (end - start) / end_s):.1f}", height=HEIGHT, class_="segment")
        for start, end, told in _merged(segments, end_s)
    ]  # fmt: skip
    ticks = []
    step_s = next((t for t in TICKS_S if end_s / t <= 10), TICKS_S[-1])
    for number in range(int(end_s / step_s + 1e-9) + 1):
        time_s = number * step_s
        told = clock(time_s * 1e9) if step_s >= 1 else f"{time_s:.1f} s"
        side = "tick" if number == 0 else "tick end" if time_s > 0.97 * end_s else "tick mid"
        ticks += [
            tag("line", x1=x_of(time_s), x2=x_of(time_s), y1=HEIGHT, y2=HEIGHT + 4, class_="axis"),
            tag("text", told, x=x_of(time_s), y=HEIGHT + FOOT - 3, class_=side),
        ]
    return tag(
        "svg",
        tag(
            "title",
            f"{end_s:.2f} s of audio with {len(segments)} segments" if waveform else f"{len(segments)} segments",
        ),
        *marks,
        tag("path", d=Html(_outline(waveform, end_s)), class_="wave")
        if waveform is not None and waveform.end_ns
        else None,
        tag("line", x1=0, x2=WIDTH, y1=HEIGHT, y2=HEIGHT, class_="axis"),
        *ticks,
        viewBox=f"0 0 {WIDTH} {HEIGHT + FOOT}",
        role="img",
        aria_label=f"The audio over {end_s:.1f} seconds, with {len(segments)} segments",
        class_="waveform few" if len(segments) <= 100 else "waveform",
    )


def _outline(waveform: Waveform, end_s: float) -> str:
    """Return the outline: along the greatest samples, and back along the least."""
    least, most = waveform._points()
    peak = max(1e-4, max(most), -min(least))
    step = WIDTH * (waveform.end_ns / 1e9 / end_s) / len(most)
    middle, scale = HEIGHT / 2, (HEIGHT / 2 - 4) / max(peak, 0.05)
    upper = [f"{(i + 0.5) * step:.1f} {middle - max(y * scale, 0.4):.1f}" for i, y in enumerate(most)]
    lower = [f"{(i + 0.5) * step:.1f} {middle - min(y * scale, -0.4):.1f}" for i, y in enumerate(least)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def _merged(segments: Sequence[Segment], end_s: float) -> list[Segment]:
    """Return the segments, neighbours as one where they are too many, or too near each other, to be told apart."""
    if len(segments) <= MOST_SEGMENTS:
        return list(segments)
    merged: list[Segment] = []
    for start, end, _ in sorted(segments):
        if merged and start - merged[-1][1] <= end_s / MOST_SEGMENTS:
            merged[-1] = merged[-1][0], max(end, merged[-1][1]), ""
        else:
            merged.append((start, end, ""))
    return merged
