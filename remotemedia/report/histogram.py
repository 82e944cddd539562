"""How long the calls of a node took: a histogram over the buckets that a timed run counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from remotemedia.report.markup import Html, count, duration, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, FOOT = 240, 56, 14
BINS = 40
MARKS = (("p50", "p50_ns"), ("p95", "p95_ns"), ("p99", "p99_ns"))


def bins_of(buckets: Sequence[Sequence[int]]) -> tuple[float, float, list[int]]:
    """Return the range in ns, lower and upper, and the calls in each of `BINS` parts of equal ratio.

    Parameters
    ----------
    buckets : sequence of (longest, calls)
        As in ``metrics["nodes"][id]["processing"]["buckets"]``.
    """
    low = max(1.0, buckets[0][0] * 0.97)
    high = max(buckets[-1][0] * 1.001, low * 1.5)
    bins = [0] * BINS
    for longest_ns, calls in buckets:
        part = math.log(max(longest_ns, 1) / low) / math.log(high / low)
        bins[min(max(int(part * BINS), 0), BINS - 1)] += calls
    return low, high, bins


def histogram_svg(node: str, processing: Mapping[str, Any]) -> Html:
    """Return the picture; both axes are told in its label, that of time is logarithmic."""
    low, high, bins = bins_of(processing["buckets"])
    tallest = max(bins)
    bar = WIDTH / BINS

    def x_of(time_ns: float) -> float:
        return WIDTH * min(max(math.log(max(time_ns, 1) / low) / math.log(high / low), 0.0), 1.0)

    # drawn as one path: a bar for each bin that is not empty, never lower than what can be seen
    bars = "".join(
        f"M{number * bar:.1f} {HEIGHT}v-{max(1.5, HEIGHT * calls / tallest):.1f}h{bar - 1:.1f}V{HEIGHT}z"
        for number, calls in enumerate(bins)
        if calls
    )
    marks = [
        tag("line", tag("title", f"{name}: {duration(processing[key])}"), x1=f"{x_of(processing[key]):.1f}",
            x2=f"{x_of(processing[key]):.1f}", y1=0, y2=HEIGHT, class_=f"mark {name}")
        for name, key in MARKS
    ]  # fmt: skip
    told = ", ".join(f"{name} {duration(processing[key])}" for name, key in MARKS)
    return tag(
        "svg",
        tag("title", f"{node}: {count(processing['count'])} calls, {told}"),
        tag("path", d=Html(bars), class_="bars"),
        *marks,
        tag("line", x1=0, x2=WIDTH, y1=HEIGHT, y2=HEIGHT, class_="axis"),
        tag("text", duration(low), x=0, y=HEIGHT + FOOT - 2, class_="tick"),
        tag("text", duration(high), x=WIDTH, y=HEIGHT + FOOT - 2, class_="tick end"),
        viewBox=f"0 0 {WIDTH} {HEIGHT + FOOT}",
        role="img",
        aria_label=f"Histogram of the times of {node}: {told}",
    )
