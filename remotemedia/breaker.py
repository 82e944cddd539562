"""`Breaker`: stops calls to a node that keeps failing, and lets one through after a while (``circuit_breaker``).

It is *closed* (calls go through) until `failure_threshold` of them failed in a row; then *open* (none does) for
`reset_ms`; then one call is the trial: *half-open*. If that is well the breaker closes, else it opens anew. Calls that
began before the last change say nothing any more.
"""

from __future__ import annotations

from threading import Lock

from remotemedia.errors import CircuitOpenError, bounded_repr
from remotemedia.pauses import WORLD, World


class Breaker:
    """The state of one breaker; safe for threads and tasks.

    Parameters
    ----------
    failure_threshold : int
        Failures in a row that open it.
    reset_ms : float
        Milliseconds from then on until the trial.
    world : World
        Tells the time.
    """

    def __init__(self, failure_threshold: int, reset_ms: float, world: World = WORLD) -> None:
        self._threshold = failure_threshold
        self._reset_ms = reset_ms
        self._world = world
        self._lock = Lock()
        self._failures = 0  # in a row
        self._opened_at: float | None = None  # None while it is closed
        self._on_trial = False
        self._era = 0  # one more at each change of state

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for a trial."""
        return self._opened_at is not None

    def enter(self, node_id: str, node_type: str) -> int:
        """Let a call of a node through, or raise `CircuitOpenError`; return what is to be told at its end."""
        with self._lock:
            if self._opened_at is None:
                return self._era
            passed_ms = (self._world.now() - self._opened_at) * 1000
            if self._on_trial or passed_ms < self._reset_ms:
                raise self._refusal(node_id, node_type, 0.0 if self._on_trial else self._reset_ms - passed_ms)
            self._on_trial = True
            self._era += 1
            return self._era

    def succeeded(self, era: int) -> None:
        """Note that a call was well."""
        with self._lock:
            if era != self._era:
                return
            self._failures = 0
            if self._on_trial:
                self._on_trial = False
                self._opened_at = None
                self._era += 1

    def failed(self, era: int) -> None:
        """Note that a call failed."""
        with self._lock:
            if era != self._era:
                return
            self._failures += 1
            if self._on_trial or self._failures >= self._threshold:
                self._on_trial = False
                self._opened_at = self._world.now()
                self._era += 1

    def left(self, era: int) -> None:
        """Note that a call came to no end: it was cancelled, say. Another one may be the trial."""
        with self._lock:
            if era == self._era and self._on_trial:
                self._on_trial = False
                self._era += 1

    def _refusal(self, node_id: str, node_type: str, retry_in_ms: float) -> CircuitOpenError:
        when = f"in {retry_in_ms:.6g} ms" if retry_in_ms else "when the one call that is let through now was well"
        what = f"node {bounded_repr(node_id)} ({node_type}) is not called: {self._failures} calls in a row failed"
        return CircuitOpenError(
            f"{what} (circuit_breaker); it is called again {when}", node_id=node_id, retry_in_ms=retry_in_ms
        )
