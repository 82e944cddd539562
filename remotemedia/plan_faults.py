"""What both engines say of faults that only the node instances show."""

from __future__ import annotations

from collections.abc import Iterable

from remotemedia.errors import ManifestIssue, bounded_repr, listed

SHOWN_BRANCHES = 12


def fed_producer(position: int, name: str, feeders: Iterable[str]) -> ManifestIssue:
    """Return the fault of a producer with predecessors."""
    what = f"{name} is a producer, a source of its own (it has produce()), and cannot be fed by {listed(feeders)}"
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
    every = list(branches)
    places = ", ".join(
        f"{bounded_repr(branch)} once per " + ("input item" if opener is None else f"output of {bounded_repr(opener)}")
        for branch, opener in every[:SHOWN_BRANCHES]
    )
    if len(every) > SHOWN_BRANCHES:
        places += f" and {len(every) - SHOWN_BRANCHES} more"
    remedy = "let all branches begin behind the same opener, or merge them"
    merges = listed(merging)
    if merges:
        remedy = f'give {merges} "fan_in": "join" and "join_missing": "partial" in place of a merge'
    what = f"join {bounded_repr(join)} cannot pair its branches, which emit in different scopes: {places}"
    return ManifestIssue(f"$.nodes[{position}]", f"{what}; {remedy}")
