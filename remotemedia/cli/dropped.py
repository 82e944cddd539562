"""What failed and was dropped under ``--on-error skip`` or ``collect``, told when the run is over, however it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.cli.standard import tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remotemedia.cli.lines import Feed
    from remotemedia.errors import InputError, NodeError

SHOWN = 20


class Dropped:
    """Takes errors as they come and keeps the text of the first, so a run of any length takes no more memory.

    Parameters
    ----------
    policy : {"stop", "skip", "collect"}
        What the run does with errors.
    feed : Feed or None
        Asked for the line of an item while it is the last one that was pulled.
    with_traceback : bool
        Tell where errors were raised, too.
    """

    def __init__(self, policy: str, feed: Feed | None, *, with_traceback: bool) -> None:
        self._policy = policy
        self._feed = feed
        self._with_traceback = with_traceback
        self._count = 0
        self._texts: list[str] = []

    def add(self, error: NodeError | InputError) -> None:
        """Take an error of the item that is on its way."""
        self._count += 1
        if len(self._texts) == SHOWN:
            return
        feed, index = self._feed, error.item_index
        place = feed.place(index) if feed is not None and index is not None else None
        text = f"  {place + ': ' if place else ''}{error}\n"
        if self._with_traceback:
            text += "".join(f"    {line}\n" for line in error.traceback_text.splitlines())
        self._texts.append(text)

    def tell(self, metrics: Mapping[str, Any]) -> None:
        """Tell how many there were, and the first 20 of those that were taken; `metrics` are the session's."""
        count = self._count
        if self._policy == "skip" and metrics:  # these are counted, and never seen
            count = metrics["refused"] + sum(counts["failed"] for counts in metrics["nodes"].values())
        if not count:
            return
        more = f"  and {count - SHOWN} more\n" if self._policy == "collect" and count > SHOWN else ""
        tell(f"remotemedia: {count} failed and dropped (--on-error {self._policy})\n{''.join(self._texts)}{more}")
