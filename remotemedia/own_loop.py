"""A run with async nodes behind the methods of a plain one: for the calls that nobody awaits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from remotemedia._core.aio import awaitable
from remotemedia.errors import EventLoopError
from remotemedia.stopping import Stopper

if TYPE_CHECKING:
    from remotemedia.errors import InputError, NodeError
    from remotemedia.result import ExecutionResult
    from remotemedia.run_protocol import Run


class OwnLoop:
    """A run whose every call is awaited on an event loop of its own, which lives until the run's end.

    Parameters
    ----------
    run : Run
        The run, of either engine.

    Raises
    ------
    EventLoopError
        In a thread where an event loop is running.
    """

    is_async = False  # not for who calls here

    def __init__(self, run: Run) -> None:
        check_no_loop()
        self._run = run
        self._runner: asyncio.Runner | None = None
        self._stopper = Stopper(run.stop)

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
        self._wait("initialize")

    def execute(self, items: Iterable[Any] | None) -> ExecutionResult:
        """Drive items through and flush."""
        return self._wait("execute", items)  # type: ignore[no-any-return]

    def process(self, item: Any) -> list[Any]:
        """Drive one item through."""
        return self._wait("process", item)  # type: ignore[no-any-return]

    def flush(self) -> list[Any]:
        """Flush every node."""
        return self._wait("flush")  # type: ignore[no-any-return]

    def begin_stream(self, items: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        """Begin what `execute` does, one output at a time."""
        self._run.begin_stream(items)

    def next_output(self) -> tuple[str, Any] | None:
        """Return the next output, None at the end."""
        return self._wait("next_output")  # type: ignore[no-any-return]

    def abandon(self) -> None:
        """Drop what a stream has in flight."""
        self._wait("abandon")

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
        """Clean up, and close the loop."""
        try:
            return self._wait("end", error)  # type: ignore[no-any-return]
        finally:
            runner, self._runner = self._runner, None
            if runner is not None:
                runner.close()
            del error

    def _wait(self, procedure: str, argument: Any = None) -> Any:
        check_no_loop()
        if self._runner is None:
            self._runner = asyncio.Runner()
            if threading.current_thread() is threading.main_thread():
                beat(self._runner.get_loop())
        try:
            return self._runner.run(self._stopper.call(awaitable(self._run, procedure, argument)))
        finally:
            del argument


def beat(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop of the main thread wake up ten times a second.

    A Ctrl-C that comes just before it falls asleep would be seen when it wakes up, and not before (R42).
    """
    loop.call_later(0.1, beat, loop)


def check_no_loop(
    why: str = "the pipeline has async nodes",
    instead: str = "the call that is awaited: execute_with_input_async, execute_async, open_async or stream_async",
) -> None:
    """Raise EventLoopError if an event loop is running in this thread."""
    if asyncio._get_running_loop() is not None:
        raise EventLoopError(f"{why} and an event loop is running in this thread; use {instead}")
