"""Histograms of how long calls take: 16 buckets to each power of two, so that a time is known to 1/32 of itself.

A time of 0 to 31 ns has a bucket of its own; above, a bucket holds the times that agree in their first five bits. The
last one holds all from 2**40 ns (18 minutes) on as well. The same in C: `remotemedia._core.histogram`.
"""

from __future__ import annotations

from typing import Any

SUB_BITS = 4
SUBS = 1 << SUB_BITS
LONGEST_NS = (1 << 40) - 1
PERCENTILES = (50, 95, 99)


def bucket_of(ns: int) -> int:
    """Return the number of the bucket that counts a time."""
    value = min(ns, LONGEST_NS)
    shift = (value | SUBS).bit_length() - 1 - SUB_BITS
    return (shift << SUB_BITS) + (value >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the lowest and the highest time that a bucket counts."""
    if bucket < 2 * SUBS:
        return bucket, bucket
    shift = (bucket >> SUB_BITS) - 1
    lowest = (bucket % SUBS + SUBS) << shift
    return lowest, lowest + (1 << shift) - 1


class Histogram:
    """Counts times.

    Attributes
    ----------
    counts : dict of int to int
        How many times fell into each bucket; only those that are not empty.
    total_ns, max_ns : int
        Their sum, and the longest; exact.

    Examples
    --------
    >>> histogram = Histogram()
    >>> for ns in (10, 20, 30, 1000):
    ...     histogram.add(ns)
    >>> histogram.percentile(50), histogram.percentile(99), histogram.max_ns
    (20, 1000, 1000)
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total_ns = self.max_ns = 0

    @classmethod
    def from_dict(cls, processing: dict[str, Any]) -> Histogram:
        """Return what `to_dict` gave as a histogram again."""
        made = cls()
        made.counts = {bucket_of(highest): count for highest, count in processing["buckets"]}
        made.total_ns, made.max_ns = processing["total_ns"], processing["max_ns"]
        return made

    def add(self, ns: int) -> None:
        """Count a time."""
        bucket = bucket_of(ns)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total_ns += ns
        self.max_ns = max(self.max_ns, ns)

    def merge(self, other: Histogram) -> None:
        """Count what another one counted, too."""
        for bucket, count in other.counts.copy().items():  # at once: a run may count in it, in another thread
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    @property
    def count(self) -> int:
        """How many times were counted."""
        return sum(self.counts.values())

    def percentile(self, percent: int) -> int:
        """Return the middle of the bucket in which the time stands that so many percent are not longer than.

        Never more than the longest; 0 if there is none.
        """
        rank = -(-self.count * percent // 100)
        reached = 0
        for bucket in sorted(self.counts):
            reached += self.counts[bucket]
            if reached >= rank:
                lowest, highest = bounds_of(bucket)
                return self.max_ns if highest == LONGEST_NS else min(self.max_ns, (lowest + highest) // 2)
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Return ``processing`` of a node's metrics."""
        return {
            "count": self.count,
            "total_ns": self.total_ns,
            **{f"p{percent}_ns": self.percentile(percent) for percent in PERCENTILES},
            "max_ns": self.max_ns,
            "buckets": [[bounds_of(bucket)[1], self.counts[bucket]] for bucket in sorted(self.counts)],
        }
