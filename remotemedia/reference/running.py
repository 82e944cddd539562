"""The twins of the nodes that keep running values of numbers. Every operation on floats is that of the compiled ones.

A NaN is given as `math.nan`, since its sign and payload would depend on the order of operands in machine code.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.reference.params import Params, take


def as_real(item: Any) -> float:
    """Return a real number as a float; all else, and a bool, is a TypeError."""
    take("a real number", isinstance(item, Real) and not isinstance(item, bool), item)
    return float(item)


def plain(x: float) -> float:
    """Return `x`, or Python's NaN."""
    return math.nan if math.isnan(x) else x


class MovingAverage(NodeExecutor):
    """The mean of the last ``window`` numbers, by the algorithm of van Herk and of Gil and Werman.

    A window is the end of one block of ``window`` numbers and the beginning of the next. ``ends[i]`` is the sum of the
    last complete block from its number i on.
    """

    window = 1

    def initialize(self, context: NodeContext) -> None:
        """Read ``window``."""
        self.window = Params(context, "window").size("window")
        self.begun: list[float] = []
        self.total = 0.0
        self.ends: list[float] = []

    def process(self, item: Any) -> float:
        """Return the mean of the window that ends here."""
        x = as_real(item)
        total = self.total = self.total + x if self.begun else x
        self.begun.append(x)
        at = len(self.begun)
        if at == self.window:
            self.turn()
        elif self.ends:
            total = self.ends[at] + total
        else:
            return plain(total / at)
        return plain(total / self.window)

    def turn(self) -> None:
        """Make the sums of the ends of the block that is complete."""
        self.ends = self.begun
        for i in range(self.window - 2, -1, -1):
            self.ends[i] = self.ends[i] + self.ends[i + 1]
        self.begun = []


def is_ddof(value: Any) -> bool:
    """Whether a param is 0, 1, or absent."""
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1)


class RunningStats(NodeExecutor):
    """Count, mean, variance, least and greatest of all numbers so far, by Welford's algorithm."""

    ddof = 0
    count = 0

    def initialize(self, context: NodeContext) -> None:
        """Read ``ddof``."""
        self.ddof = Params(context, "ddof").get("ddof", "0 or 1", is_ddof, 0) or 0
        self.count = 0

    def process(self, item: Any) -> dict[str, Any]:
        """Return a new dict of what the numbers so far come to."""
        self.add(as_real(item))
        return {
            "count": self.count,
            "mean": plain(self.mean + self.low),
            "variance": plain(self.squares / (self.count - self.ddof)) if self.count > self.ddof else None,
            "min": plain(self.least),
            "max": plain(self.most),
        }

    def add(self, x: float) -> None:
        """Take a number into account."""
        self.count += 1
        if self.count == 1:
            self.mean = self.least = self.most = x
            self.low = 0.0
            self.squares = 0.0 if math.isfinite(x) else math.nan
            return
        if x < self.least or math.isnan(x):
            self.least = x
        if x > self.most or math.isnan(x):
            self.most = x
        delta = x - self.mean - self.low
        if math.isfinite(delta):
            self.shift(delta / self.count)
            self.squares += delta * (x - self.mean - self.low)
        elif math.isfinite(x) and math.isfinite(self.mean):  # so far from each other that their distance is no float
            self.mean += x / self.count - self.mean / self.count
            self.squares = math.inf
        else:
            self.mean += x
            self.squares = math.nan

    def shift(self, step: float) -> None:
        """Add to the mean, and what the sum is rounded by to `low` (Knuth's TwoSum): the mean is the sum of both."""
        mean = self.mean + step
        added = mean - self.mean
        self.low += (self.mean - (mean - added)) + (step - added)
        self.mean = mean
