"""The times of a node's calls, where a run is timed."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from remotemedia.reference.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The times of a node's calls.

    Attributes
    ----------
    latest, earlier : Histogram
        Of the calls of the node that came to their end: in the call into the run that is under way, and before it.
    """

    def __init__(self) -> None:
        self.latest, self.earlier = Histogram(), Histogram()
        self._call_ns = 0  # spent in the call of the node that is under way
        self._other_ns = 0  # spent in what is no call: flush, the end of a producer
        self._began_ns: int | None = None

    def start(self) -> None:
        """Let the time run."""
        self._began_ns = perf_counter_ns()

    def stop(self) -> None:
        """Let it stand, if it runs."""
        if self._began_ns is not None:
            self._call_ns += perf_counter_ns() - self._began_ns
            self._began_ns = None

    def end(self, *, is_call: bool = True) -> None:
        """Count what has run; the call came to its end."""
        self.stop()
        if is_call:
            self.latest.add(self._call_ns)
        else:
            self._other_ns += self._call_ns
        self._call_ns = 0

    def fold(self) -> None:
        """Let what was counted so far be of earlier calls into the run."""
        self.earlier.merge(self.latest)
        self.latest = Histogram()

    def timed(self, process: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return `process`, its calls counted."""

        def measured(item: Any) -> Any:
            self.start()
            try:
                return process(item)
            finally:
                self.end()

        return measured

    @property
    def time_ns(self) -> int:
        """All time that was spent in the node."""
        return self.earlier.total_ns + self.latest.total_ns + self._other_ns + self._call_ns

    def whole(self) -> Histogram:
        """Return the times of all calls."""
        all_calls = Histogram()
        all_calls.merge(self.earlier)
        all_calls.merge(self.latest)
        return all_calls
