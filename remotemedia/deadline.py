"""``run.deadline_ms``: a run whose calls are to be over in time (R31), of either engine, awaited or not."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from remotemedia._core.aio import awaitable
from remotemedia.errors import DeadlineError
from remotemedia.limits import NO_MATTER_MS
from remotemedia.stopping import Stopper, Timer, abort_of

if TYPE_CHECKING:
    from remotemedia.errors import InputError, NodeError
    from remotemedia.result import ExecutionResult
    from remotemedia.run_protocol import Run


class DeadlineRun:
    """A run with a deadline.

    Parameters
    ----------
    run : Run
        The run.
    deadline_ms : float
        Most milliseconds inside the run: of a run that is executed once from the first ``initialize`` on; else of each
        call, and of each stream, whose consumer's time does not count.
    once : bool
        It is executed once.

    Notes
    -----
    What is over is stopped at its next item, and at once where it waits. The end has what is left of the time, or as
    long again if nothing is; what its cleanups still wait for then is cancelled.
    """

    def __init__(self, run: Run, deadline_ms: float, once: bool) -> None:
        self.is_async = run.is_async
        self._run = run
        self._seconds = min(deadline_ms, NO_MATTER_MS) / 1000
        self._left = self._seconds
        self._once = once
        self._error = DeadlineError(f"the run took longer than run.deadline_ms, {deadline_ms:.6g} ms")
        self._stopper = Stopper(abort_of(run))

    @property
    def errors(self) -> list[NodeError | InputError]:
        """What failed in `process` and `flush`."""
        return self._run.errors

    @property
    def producers(self) -> Sequence[str]:
        """Ids of the nodes that are sources of their own."""
        return self._run.producers

    def initialize(self) -> None:
        """Initialize every node."""
        self._call("initialize")

    def execute(self, items: Iterable[Any] | None) -> ExecutionResult:
        """Drive items through and flush."""
        return self._call("execute", items)  # type: ignore[no-any-return]

    def process(self, item: Any) -> list[Any]:
        """Drive one item through."""
        return self._call("process", item)  # type: ignore[no-any-return]

    def flush(self) -> list[Any]:
        """Flush every node."""
        return self._call("flush")  # type: ignore[no-any-return]

    def begin_stream(self, items: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        """Begin what `execute` does, one output at a time."""
        if not self._once:
            self._left = self._seconds
        self._run.begin_stream(items)

    def next_output(self) -> tuple[str, Any] | None:
        """Return the next output, None at the end."""
        return self._call("next_output")  # type: ignore[no-any-return]

    def abandon(self) -> None:
        """Drop what a stream has in flight."""
        self._call("abandon")

    def result(self) -> ExecutionResult:
        """Return the result of the call that came to its end."""
        return self._run.result()

    def metrics(self) -> dict[str, Any]:
        """Return the counts since `initialize`."""
        return self._run.metrics()

    def stop(self) -> None:
        """Let the call under way end; legal from any thread."""
        self._run.stop()

    def interrupt(self, node_id: str | None = None) -> None:
        """Drop what is on its way; legal from any thread."""
        self._run.interrupt(node_id)

    def abort(self) -> None:
        """End the call under way at once, if it waits; legal from any thread."""
        self._stopper.abort()

    def end(self, error: BaseException | None) -> BaseException | None:
        """Clean up."""
        return self._call("end", error)  # type: ignore[no-any-return]

    def awaitable(self, procedure: str, argument: Any = None) -> Awaitable[Any]:
        """Return what the method named `procedure` does, as an awaitable."""
        return self._awaited(procedure, argument)

    def _begin(self, procedure: str) -> float:
        """Return how many seconds a call has."""
        ends = procedure in ("end", "abandon")
        if not self._once and procedure in ("initialize", "execute", "process", "flush"):
            self._left = self._seconds
        if ends and self._left <= 0:
            return self._seconds
        return max(self._left, 0.0)

    def _expire(self) -> None:
        self._left = 0.0
        self._stopper.abort(self._error)

    def _call(self, procedure: str, argument: Any = None) -> Any:
        arguments = (argument,) if procedure in ("execute", "process", "end") else ()
        with Timer(self._begin(procedure), self._expire):
            began = perf_counter()
            try:
                outcome = getattr(self._run, procedure)(*arguments)
                return self._stopper.told(outcome) if isinstance(outcome, BaseException) else outcome
            except BaseException as error:
                told = self._stopper.told(error)
                if told is error:
                    raise
                raise told from None
            finally:
                self._left -= perf_counter() - began
                del argument, arguments

    async def _awaited(self, procedure: str, argument: Any) -> Any:
        with Timer(self._begin(procedure), self._expire):  # a thread: plain nodes may keep the loop from its timers
            began = perf_counter()
            try:
                return await self._stopper.call(awaitable(self._run, procedure, argument))
            finally:
                self._left -= perf_counter() - began
                del argument
