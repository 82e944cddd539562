"""Sessions that stay warm, handed out to tasks: `remotemedia._core.pool` for `async with`, the same rules."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from remotemedia.errors import PoolTimeoutError, SessionBusyError, SessionClosedError, settle

if TYPE_CHECKING:
    from remotemedia.aio import AsyncSession


class AsyncSessionPool:
    """Warm sessions of one manifest, on one event loop. Made by `Executor.pool_async`; use it in an ``async with``.

    ``__aenter__`` initializes all of its sessions, leaving the ``async with`` cleans them up.

    Attributes
    ----------
    size : int
        How many sessions there are.
    """

    def __init__(self, open_session: Callable[[], AsyncSession], size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self.size = size
        self._open_session = open_session
        self._idle: list[AsyncSession] = []  # the one used last at the end
        self._lent: set[AsyncSession] = set()
        self._waiters: deque[asyncio.Future[AsyncSession | None]] = deque()
        self._missing = 0  # sessions that broke and were not replaced yet
        self._opened = self._closed = False

    async def __aenter__(self) -> Self:
        if self._closed:
            raise SessionClosedError("the pool is closed; make a new one")
        if self._opened:
            raise SessionBusyError("the pool is entered already")
        self._opened = True
        try:
            for _ in range(self.size):
                await self._give(await self._make())  # somebody may wait for it already
                if self._closed:
                    raise SessionClosedError("the pool was closed while it was entered")
        except BaseException as error:
            await self._end(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(error)

    def __del__(self) -> None:
        if getattr(self, "_opened", False) and not self._closed:
            warnings.warn(f"{self!r} was dropped while open; use it in an async with", ResourceWarning, 1, self)

    async def acquire(self, timeout: float | None = None) -> AsyncSession:
        """Return a session of the caller's own until it is given back by `release`.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for one; without it as long as it takes.

        Raises
        ------
        PoolTimeoutError
            All sessions were in use for so long.
        SessionClosedError
            The pool is closed, or not entered yet.
        NodeError
            A session that broke was to be replaced, and an ``initialize`` failed. The next caller tries again.
        """
        if self._closed or not self._opened:
            raise SessionClosedError("the pool is closed" if self._closed else "the pool is not open: enter it first")
        session: AsyncSession | None = None
        if self._idle:
            session = self._idle.pop()
        elif self._missing:
            self._missing -= 1
        else:
            session = await self._wait(timeout)
        if session is None or session.closed:
            try:
                session = await self._make()
            except BaseException:
                await self._give(None)
                raise
        self._lent.add(session)
        return session

    async def release(self, session: AsyncSession) -> None:
        """Give a session back; one that is closed, by an error or by hand, is replaced when next one is asked for.

        One that is in a call still, or has an unfinished stream, is closed: nobody else may come into the middle of it.

        Raises
        ------
        ValueError
            It is none of this pool, or was given back already.
        """
        if session not in self._lent:
            raise ValueError("the session is not one that this pool has lent out")
        self._lent.remove(session)
        if session.busy:
            try:
                await session.close()
            finally:
                await self._give(None)
        else:
            await self._give(session)

    def session(self, timeout: float | None = None) -> AbstractAsyncContextManager[AsyncSession]:
        """Return an async context manager that acquires a session, and gives it back."""
        return self._leased(timeout)

    @asynccontextmanager
    async def _leased(self, timeout: float | None) -> AsyncGenerator[AsyncSession]:
        session = await self.acquire(timeout)
        try:
            yield session
        except BaseException as error:
            try:
                await self.release(session)
            except BaseException as failure:
                if settle(error, [failure]) is not error:
                    raise
            raise
        await self.release(session)

    async def close(self) -> None:
        """Clean up the sessions that nobody has, the others when they are given back; legal at any time.

        Who waits for a session gets a `SessionClosedError`.
        """
        await self._end(None)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._opened else "new"
        return f"<AsyncSessionPool of {self.size}: {state}>"

    async def _make(self) -> AsyncSession:
        return await self._open_session().__aenter__()

    async def _wait(self, timeout: float | None) -> AsyncSession | None:
        """Return a session when there is one; None if the caller is to make it."""
        waiter: asyncio.Future[AsyncSession | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout) as limit:
                session = await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                await self._give(waiter.result())  # handed over at the last moment: it is the next one's
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError) and limit.expired():
                raise PoolTimeoutError(f"all {self.size} sessions of the pool were in use for {timeout:g} s") from None
            raise
        if self._closed and session is None:
            raise SessionClosedError("the pool was closed")
        return session

    async def _give(self, session: AsyncSession | None) -> None:
        """Hand over a session, or (None, or a closed one) the task to make one."""
        if session is not None and session.closed:
            session = None
        if self._closed:
            if session is not None:
                await session.close()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # it may be cancelled
                waiter.set_result(session)
                return
        if session is None:
            self._missing += 1
        else:
            self._idle.append(session)

    async def _end(self, error: BaseException | None) -> None:
        """Close what nobody has, and let nobody wait; `error` is what is leaving the ``async with``."""
        self._closed = True
        idle, self._idle = self._idle, []
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        failures: list[BaseException] = []
        for session in reversed(idle):
            try:
                await session.close()
            except BaseException as failure:
                failures.append(failure)
        final = settle(error, failures)
        if final is not None and final is not error:
            raise final
