"""How a call into a run is ended from outside: at its next item (`stop` of the run), or where it waits (`abort`).

What waits is waited for in the caller's own task, so it is that task which is cancelled, and when the cancellation has
come through nodes and engine it is taken back (`asyncio.Task.uncancel`) and becomes the error that it stands for. So
nodes see what they see whenever their task is cancelled, and a cancellation by somebody else stays one.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from remotemedia.errors import SessionClosedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from remotemedia.run_protocol import Run

AGAIN = 0.05
"""Seconds that a cleanup has when the end is to be over: as often the one that is waited for is cancelled."""


class Stopper:
    """Ends the calls into one run.

    Parameters
    ----------
    stop : callable
        Lets the call under way end at its next item; legal from any thread.

    Attributes
    ----------
    reason : BaseException or None
        What the call is to raise; None for `SessionClosedError`.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._task: asyncio.Task[Any] | None = None  # that is inside the run
        self._stream: Any = None  # an async stream, which knows the task that is inside
        self._cancelled: asyncio.Task[Any] | None = None  # by us
        self._cancelling = 0  # how often the task had been cancelled before it came in
        self.reason: BaseException | None = None

    def abort(self, reason: BaseException | None = None) -> None:
        """End the call under way: at once if it waits for something; legal from any thread, and more than once."""
        if self.reason is None:
            self.reason = reason
        self._stop()
        task = self._inside()
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(self._cancel, task)
            except RuntimeError:  # the loop is closed: nothing waits
                return

    def watch(self, stream: Any) -> None:
        """Let the task that waits in `stream`, the caller's, be the one to be cancelled."""
        import asyncio

        self._stream = stream
        task = None if stream is None else asyncio.current_task()
        if task is not None:
            self._cancelling = task.cancelling()

    def is_inside(self) -> bool:
        """Whether the caller is inside the call under way."""
        import asyncio

        return self._inside() is asyncio.current_task()

    def _inside(self) -> asyncio.Task[Any] | None:
        if self._task is not None or self._stream is None:
            return self._task
        try:
            waiting: asyncio.Task[Any] | None = self._stream.waiting
        except ReferenceError:  # dropped
            return None
        return waiting

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if task is self._inside() and self._cancelled is None:
            self._cancelled = task
            task.cancel()

    async def call(self, awaitable: Awaitable[Any]) -> Any:
        """Await a call into the run."""
        import asyncio

        outer, self._task = self._task, asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        try:
            outcome = await awaitable
            return self.told(outcome) if isinstance(outcome, BaseException) else outcome  # of the end
        except BaseException as error:
            told = self.told(error)
            if told is error:
                raise
            raise told from None
        finally:
            self._task = outer
            self.take_back()

    def told(self, error: BaseException) -> BaseException:
        """Return what a call is to raise that raised `error`."""
        import asyncio

        if isinstance(error, asyncio.CancelledError):
            if not self.take_back():
                return error
        elif self.reason is None or not isinstance(error, SessionClosedError):
            return error
        earlier = error.__context__
        if isinstance(error, asyncio.CancelledError) and isinstance(earlier, Exception):
            return earlier  # what had ended the run, when a cleanup of it was cancelled
        return self.reason if self.reason is not None else SessionClosedError("aborted while it was running")

    def take_back(self) -> bool:
        """Take the cancellation back, if there was one; whether nobody else has cancelled the task."""
        task, self._cancelled = self._cancelled, None
        return task is not None and task.uncancel() <= self._cancelling


class Timer:
    """Calls a function when some time has passed, and then again and again, until the ``with`` is left.

    Parameters
    ----------
    seconds : float or None
        Until the first call; None for none at all.
    function : callable
        Called in a thread of its own.
    """

    def __init__(self, seconds: float | None, function: Callable[[], object]) -> None:
        self._seconds = seconds
        self._function = function
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._thread = threading.Thread(target=self._run, name="remotemedia timer", daemon=True)
            self._thread.start()
        return self

    def _run(self) -> None:
        wait = self._seconds
        while not self._over.wait(wait):
            self._function()
            wait = AGAIN

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()


class LoopTimer:
    """`Timer` for an event loop, which calls the function."""

    def __init__(self, seconds: float | None, function: Callable[[], object]) -> None:
        self._seconds = seconds
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._later(self._seconds)
        return self

    def _later(self, seconds: float) -> None:
        import asyncio

        self._handle = asyncio.get_running_loop().call_later(max(seconds, 0), self._fire)

    def _fire(self) -> None:
        self._function()
        self._later(AGAIN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()


def abort_of(run: Run) -> Callable[[], None]:
    """Return what ends the call into a run, from any thread, as soon as can be."""
    return getattr(run, "abort", run.stop)
