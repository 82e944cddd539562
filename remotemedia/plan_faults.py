"""What both engines say of faults that only the node instances show."""

from __future__ import annotations

from collections.abc import Iterable

from remotemedia.errors import ManifestIssue


def fed_producer(position: int, name: str, feeders: Iterable[str]) -> ManifestIssue:
    """Return the fault of a producer with predecessors."""
    fed_by = ", ".join(map(repr, feeders))
    what = f"{name} is a producer, a source of its own (it has produce()), and cannot be fed by {fed_by}"
    return ManifestIssue(f"$.nodes[{position}]", f"{what}; remove the connection, or write process() instead")


def unpaired_join(
    position: int, join: str, branches: Iterable[tuple[str, str | None]], merging: Iterable[str]
) -> ManifestIssue:
    """Return the fault of a join whose branches emit in different scopes.

    Parameters
    ----------
    position : int
        Of the join in the manifest.
    join : str
        Its id.
    branches : iterable of (str, str or None)
        Id of each branch, and of the opener in whose scope it emits; None for the run.
    merging : iterable of str
        Ids of those openers that are merges.
    """
    places = ", ".join(
        f"{branch!r} once per " + ("input item" if opener is None else f"output of {opener!r}")
        for branch, opener in branches
    )
    remedy = "let all branches begin behind the same opener, or merge them"
    merges = ", ".join(map(repr, merging))
    if merges:
        remedy = f'give {merges} "fan_in": "join" and "join_missing": "partial" in place of a merge'
    what = f"join {join!r} cannot pair its branches, which emit in different scopes: {places}"
    return ManifestIssue(f"$.nodes[{position}]", f"{what}; {remedy}")
