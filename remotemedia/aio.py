"""Sessions and streams for `async with` and `async for`: `remotemedia._core.session`, awaited.

The same rules of who may call when, for both engines; every way out leads through `end`. One event loop per session;
`close` is the one method that another task may call at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from remotemedia._core.aio import AsyncStreamBase, awaitable
from remotemedia._core.engine import Run as NativeRun
from remotemedia.errors import RemoteMediaError, SessionBusyError, SessionClosedError
from remotemedia.items import check_async_feed, check_async_input
from remotemedia.result import ExecutionResult, ExecutionStatus
from remotemedia.stopping import AGAIN, LoopTimer, Stopper

if TYPE_CHECKING:
    from remotemedia.errors import InputError, NodeError
    from remotemedia.run_protocol import Run

PATIENCE = 10.0
"""Seconds that `AsyncSession.close` waits for a call that was aborted: a node may ignore its cancellation."""

NOTHING = Stopper(lambda: None)
"""Of a session that is not open yet."""

AnyIterable = Iterable[Any] | AsyncIterable[Any]


async def end(run: Run, error: BaseException | None) -> BaseException | None:
    """End a run because of `error` (or None); return what is to be raised, None for nothing."""
    while True:
        try:
            return await awaitable(run, "end", error)  # type: ignore[no-any-return]
        except Exception:
            raise
        except BaseException as interrupt:  # between two lines of the reference engine, which then goes on
            if error is None or isinstance(error, Exception):
                error = interrupt


async def whole(run: Run, items: AnyIterable | None) -> ExecutionResult:
    """Initialize a new run, execute it over `items` (None: the producers), and end it; return its result."""
    try:
        await awaitable(run, "initialize")
        result: ExecutionResult = await awaitable(run, "execute", items)
    except BaseException as error:
        raise await end(run, error)  # type: ignore[misc]  # noqa: B904  # it is `error`, or what came after it
    failure = await end(run, None)
    if failure is not None:
        if isinstance(failure, RemoteMediaError):
            result.status = ExecutionStatus.FAILED
            failure.partial = result
        raise failure
    return result


class AsyncSession:
    """Nodes that stay alive over many runs. Made by `Executor.open_async`; use it in an ``async with``.

    ``__aenter__`` initializes the nodes, leaving the ``async with`` cleans them up, and nothing is flushed then. One
    call at a time.

    Attributes
    ----------
    errors : list of NodeError or InputError
        What failed in `process` and `flush` under ``error_policy="collect"``.
    """

    def __init__(self, open_run: Callable[[], Run]) -> None:
        self._open_run = open_run
        self._run: Run | None = None  # None before `__aenter__` and after the end
        self._final_metrics: dict[str, Any] = {}
        self._inside = False  # a call into the run is under way
        self._stream: weakref.ref[AsyncStream] | None = None  # what has the session, between its items too
        self._closing = False  # the call under way is to be the last one
        self._closed = False
        self._stopper = NOTHING  # the run's, which holds nothing of the session
        self._over: asyncio.Event | None = None  # somebody waits for the end
        self.errors: list[NodeError | InputError] = []

    @property
    def closed(self) -> bool:
        """Whether the session is at its end."""
        return self._closed

    @property
    def busy(self) -> bool:
        """Whether a call is under way, or an unfinished stream has the session."""
        return self._inside or self._stream is not None

    async def __aenter__(self) -> Self:
        if self._closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self._run is not None:
            raise SessionBusyError("the session is entered already")
        self._begin()
        try:
            run = self._open_run()
        except BaseException:
            self._inside = False
            self._closed = self._closing
            raise
        self.errors = run.errors
        self._run = run
        self._stopper = Stopper(run.stop)
        try:
            if self._closing:
                raise SessionClosedError("the session was closed while it was opened")
            await self._stopper.call(awaitable(run, "initialize"))
        except BaseException as error:
            await self._fail(error)
        await self._leave()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closed or self._ask_to_stop():
            return
        final = await self._finish(error)
        if final is not None and final is not error:
            raise final

    def __del__(self) -> None:
        if self._run is not None and not self._inside:
            warnings.warn(f"{self!r} was dropped while open; use it in an async with", ResourceWarning, 1, self)
            without_waiting(self._finish(GeneratorExit()))

    async def run(self, items: AnyIterable | None = None) -> ExecutionResult:
        """Drive items through and flush every node; the session stays open.

        Parameters
        ----------
        items : iterable or async iterable, optional
            The input; without it, the pipeline's producers are pulled (a run on empty input if there are none).

        Returns
        -------
        ExecutionResult
            Of these items; ``metrics`` too are those of this run.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then. An `items` that is no input at all is refused
            before anything is called, and the session stays open.
        SessionClosedError, SessionBusyError
            The session is closed, or in a call.
        """
        run = self._opened()
        check_async_feed(run.producers, items)
        self._begin()
        return await self._leave(await self._call(run, "execute", items))  # type: ignore[no-any-return]

    async def process(self, item: Any) -> list[Any]:
        """Drive one item through, without a flush; return what the sinks emitted, ``[]`` if it was filtered.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then. Under ``"collect"`` see `errors`.
        """
        run = self._opened()
        if run.producers:
            check_async_feed(run.producers, ())
        self._begin()
        return await self._leave(await self._call(run, "process", item))  # type: ignore[no-any-return]

    async def flush(self) -> list[Any]:
        """Flush every node in topological order; return what came out."""
        run = self._opened()
        self._begin()
        return await self._leave(await self._call(run, "flush"))  # type: ignore[no-any-return]

    def stream(self, items: AnyIterable | None = None, *, with_node: bool = False) -> AsyncStream:
        """Return an `AsyncStream` of these items; from its first until it ends or is closed, the session is busy."""
        return AsyncStream(self, items, with_node=with_node, owns_session=False)

    def metrics(self) -> dict[str, Any]:
        """Return the counts of R14 over the whole session; legal at any time."""
        return self._final_metrics if self._run is None else self._run.metrics()

    async def close(self, timeout: float | None = None) -> None:  # it does not end this call alone
        """Clean up; legal at any time, and more than once.

        If a call is running in another task, or the caller is inside one, that call ends with `SessionClosedError`
        at its next item and cleans up.

        Parameters
        ----------
        timeout : float, optional
            Seconds until what the call, or a cleanup, still waits for is cancelled; this method then waits for the end.
            Without it, what waits is waited for, and this method does not wait for a call of another task.
        """
        if self._ask_to_stop():
            if timeout is not None and not self._stopper.is_inside():
                await self._end_within(timeout)
            return
        if self._closed:
            return
        grace = None if timeout is None else max(timeout, AGAIN)
        with LoopTimer(grace, self._stopper.abort):
            final = await self._finish(None)
        if final is not None:
            raise final

    def interrupt(self, node_id: str | None = None) -> None:
        """Drop what is on its way, and go on with the next input item. See `Session.interrupt`."""
        self._opened().interrupt(node_id)

    async def abort(self) -> None:
        """Do what `close` does, and cancel what is waited for: a call at once, a cleanup after 50 ms."""
        await self.close(0)

    async def _end_within(self, timeout: float) -> None:
        """Wait for the end of the call under way, and abort it after `timeout`."""
        if self._over is None:
            self._over = asyncio.Event()
        with contextlib.suppress(TimeoutError), LoopTimer(timeout, self._stopper.abort):
            async with asyncio.timeout(timeout + PATIENCE):
                await self._over.wait()

    def __repr__(self) -> str:
        return f"<AsyncSession: {'closed' if self._closed else 'new' if self._run is None else 'open'}>"

    async def _call(self, run: Run, procedure: str, argument: Any = None) -> Any:
        try:
            return await self._stopper.call(awaitable(run, procedure, argument))
        except BaseException as error:
            await self._fail(error)

    def _opened(self) -> Run:
        if self._closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self._run is None:
            raise SessionClosedError("the session is not open yet; enter it: async with executor.open_async(manifest)")
        return self._run

    def _begin(self) -> None:
        """Mark that a call is under way."""
        if self.busy:
            raise SessionBusyError("the session is in a call (or has an unfinished stream); one at a time")
        self._inside = True

    async def _leave(self, result: Any = None) -> Any:
        """Come to the end of a call."""
        self._inside = False
        if self._closing:
            final = await self._finish(None)
            if final is not None:
                raise final
        return result

    async def _fail(self, error: BaseException) -> None:
        """End the session because its call raised `error`; raise what is to be raised."""
        self._inside = False
        final = await self._finish(error)
        try:
            if final is not None:
                raise final
        finally:
            del error, final

    async def _finish(self, error: BaseException | None) -> BaseException | None:
        """End the run, if there is one; return what is to be raised, None for nothing."""
        run = self._run
        self._closed = True
        self._stream = None
        if run is None:
            return error
        self._inside = True  # of its cleanups: one may come back here
        try:
            final: BaseException | None = await self._stopper.call(end(run, error))
            return final
        finally:
            if self._over is not None:
                self._over.set()
            self._inside = False
            self._final_metrics = run.metrics()
            self._run = None
            del error

    def _ask_to_stop(self) -> bool:
        """Ask the call that is under way to end, if there is one."""
        stream = None if self._stream is None else self._stream()
        if not self._inside and (stream is None or not stream.busy):
            return False
        self._closing = True
        if self._run is not None:
            self._run.stop()
        return True


class AsyncStream(AsyncStreamBase, AsyncIterator[Any]):
    """An async iterator over what a pipeline emits, in the order of ``results``.

    Made by `Executor.stream_async` and `AsyncSession.stream`. Nothing is initialized before the first item is asked
    for. Use it in an ``async with``: leaving closes it, and cleanup is done then.
    """

    def __init__(
        self, session: AsyncSession, items: AnyIterable | None, *, with_node: bool = False, owns_session: bool = True
    ) -> None:
        if items is not None:
            check_async_input(items)
        super().__init__(with_node)
        self._session = session
        self._items = items
        self._owns = owns_session  # the session is the stream's own
        self._begun = False
        self._ended_already = False
        self._result: ExecutionResult | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close_with(error)

    def __del__(self) -> None:
        if getattr(self, "_begun", False) and not self._ended_already and not self.busy:
            warnings.warn(f"{self!r} was dropped before its end; use it in an async with", ResourceWarning, 1, self)
            without_waiting(self._close_with(GeneratorExit()))

    async def aclose(self) -> None:
        """End the stream; nothing is flushed. Legal at any time, and more than once.

        A stream of an executor cleans its nodes up, before this returns unless someone is inside the stream (then
        that call ends with `SessionClosedError` and cleans up). A stream of a session leaves that open.
        """
        await self._close_with(None)

    @property
    def result(self) -> ExecutionResult:
        """The `ExecutionResult` of a finished stream; its ``results`` and ``outputs`` are empty.

        Raises
        ------
        SessionBusyError
            The stream is not at its end.
        """
        if self._result is None:
            raise SessionBusyError("the stream has no result: it is not at its end, or did not come to it")
        return self._result

    def __repr__(self) -> str:
        return f"<AsyncStream: {'ended' if self._ended_already else 'running' if self._begun else 'new'}>"

    async def _next(self) -> Any:
        """Return the first item, or any of the reference engine."""
        session = self._session
        if self._ended_already:
            raise StopAsyncIteration
        if not self._begun:
            await self._begin()
        elif session._closed:  # by its own `close`
            self._finish()
            raise SessionClosedError("the session of the stream is closed")
        if self.busy:
            raise SessionBusyError("the stream is being iterated; one caller at a time")
        run = session._opened()
        if isinstance(run, NativeRun):
            self.native = run
            return await self.__anext__()
        self.busy = True
        try:
            output = await session._stopper.call(awaitable(run, "next_output"))
            if output is not None and self.closing:
                raise SessionClosedError("the stream was closed while an item was on its way")
        except BaseException as error:
            return await self._failed(error)
        if output is None:
            return await self._ended()
        self.busy = False
        return output if self.with_node else output[1]

    async def _begin(self) -> None:
        """Open the session if it is the stream's own, and start the input."""
        session = self._session
        if self._owns:
            self._begun = self.busy = True
            try:
                await session.__aenter__()
            except BaseException:
                self._ended_already = True
                raise
            finally:
                self.busy = False
        try:
            run = session._opened()
            check_async_feed(run.producers, self._items)
        except BaseException as error:
            self._ended_already = True
            if self._owns:
                await session._fail(error)
            raise
        session._begin()
        self._begun = True
        session._stream = weakref.ref(self)
        session._stopper.watch(weakref.proxy(self))
        try:
            run.begin_stream(self._items)
        except BaseException as error:
            self._ended_already = True
            await session._fail(error)
        self._items = None
        session._inside = False

    async def _ended(self) -> None:
        """Come to the end: the last item is out."""
        session = self._session
        try:
            self._result = session._opened().result()
        except BaseException as error:
            await self._failed(error)
        self.busy = False
        self.native = None
        self._finish()
        if self._owns:
            await session.close()
        else:
            await session._leave()
        raise StopAsyncIteration

    async def _failed(self, error: BaseException) -> None:
        """End what the stream is to end, since the call raised `error`, and raise what is to be raised."""
        session = self._session
        self.native = None
        error = session._stopper.told(error)
        ours = self.closing and not self._owns and not session._closing and isinstance(error, SessionClosedError)
        try:
            if ours:  # asked for by `aclose`: the session goes on
                await self._abandon()
                raise error
            self._finish()
            await session._fail(error)
        finally:
            self.busy = False
            del error

    def _finish(self) -> None:
        """Give the session back."""
        self._ended_already = True
        self._session._stream = None
        self._session._stopper.watch(None)
        self._items = None

    async def _abandon(self) -> None:
        """Drop what is in flight; the session stays open."""
        session = self._session
        self.native = None
        session._inside = True
        try:
            await session._stopper.call(awaitable(session._opened(), "abandon"))
        except BaseException as error:
            session._inside = False
            self._ended_already = True
            await session._fail(error)
        finally:
            self._finish()
        await session._leave()

    async def _close_with(self, error: BaseException | None) -> None:
        session = self._session
        if self._ended_already:
            return
        if not self._begun:
            self._ended_already = True
            self._items = None
            return
        if self.busy:
            self.closing = True
            if session._run is not None:
                session._run.stop()
            return
        self.native = None
        if session._closed:
            self._finish()
        elif self._owns:
            self._finish()
            await session.__aexit__(None if error is None else type(error), error, None)
        else:
            await self._abandon()


def without_waiting(coroutine: Any) -> None:
    """Drive a coroutine that never waits, since it ends a run by GeneratorExit; drop what it raises."""
    try:
        coroutine.send(None)
    except (StopIteration, GeneratorExit):
        return
    finally:
        coroutine.close()
