"""Metrics of several runs of one pipeline as one: what a pool, or a report over many results, tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.reference.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable


def total(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of metrics: counts and times are added, percentiles are those of all calls together.

    Parameters
    ----------
    parts : iterable of dict
        What ``session.metrics()`` or ``result.metrics`` gave, or JSON gave back; ``{}`` is nothing. Runs with and
        without times may be mixed: the times are then of those that have them.

    Returns
    -------
    dict
        Of the same form; ``{}`` if there is nothing to add. `parts` are not changed.

    Examples
    --------
    >>> import remotemedia as rm
    >>> manifest = rm.Pipeline("demo").add("Echo").to_manifest()
    >>> results = [rm.Executor().execute_with_input(manifest, items, metrics="time") for items in ([1], [2, 3])]
    >>> summed = total(result.metrics for result in results)
    >>> summed["items_in"], summed["nodes"]["echo_1"]["processing"]["count"]
    (3, 3)
    """
    whole: dict[str, Any] = {}
    for part in parts:
        whole = added(whole, part)
    return whole


def added(some: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of two dicts of counts, at any depth."""
    if is_histogram(some) and is_histogram(others):
        merged = Histogram.from_dict(some)
        merged.merge(Histogram.from_dict(others))
        return merged.to_dict()
    sums = dict(some)
    for name, count in others.items():
        if name not in sums:
            sums[name] = count
        elif isinstance(count, dict):
            sums[name] = added(sums[name], count)
        else:
            sums[name] += count
    return sums


def is_histogram(counts: dict[str, Any]) -> bool:
    """Whether these are ``processing`` or ``waiting`` of a node; a node may be named ``buckets``, too."""
    return isinstance(counts.get("buckets"), list)
