"""What feeds a run whose calls overlap, awaited beside its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


class FeedTask:
    """A task that awaits what feeds a run, one thing after the other: its input, and producers and flushes.

    That is awaited while the run itself awaits a node. In the task of the run a time limit of the one
    (`asyncio.timeout` cancels the task that it is used in) would hit the other.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._given: Awaitable[Any] | None = None  # what is to be awaited
        self._asked: asyncio.Future[None] | None = None  # of a task that has nothing to await
        self._answered: asyncio.Future[None] | None = None
        self._closed = False
        self._value: Any = None
        self._error: BaseException | None = None

    async def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await `awaitable` in the task; return what it gives. A cancellation is handed on to it."""
        loop = asyncio.get_running_loop()
        self._given = awaitable
        self._answered = loop.create_future()
        task = self._task
        if task is not None and self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
            self._asked = None
        else:
            task = self._task = loop.create_task(self._work(), name="remotemedia")
            task.add_done_callback(self._ended)
        while True:
            try:
                await self._answered
                break
            except asyncio.CancelledError:
                if not self.is_busy:
                    raise
                self._answered = loop.create_future()
                task.cancel()
        value, error = self._value, self._error
        self._value = self._error = None
        if error is None:
            return value
        try:
            raise error
        finally:
            del error

    async def _work(self) -> None:
        while (given := self._given) is not None:
            self._given = None
            try:
                self._value = await given
            except BaseException as error:
                self._error = error
            del given
            self._asked = asyncio.get_running_loop().create_future()
            self._answer()
            if self._closed:
                return
            try:
                await self._asked
            except asyncio.CancelledError:
                return  # raised, it would hold the task, by way of this frame

    def _answer(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _ended(self, _: asyncio.Task[None]) -> None:
        """Answer in place of a task that was cancelled before it could begin."""
        given, self._given = self._given, None
        if given is not None:
            close = getattr(given, "close", None)
            if close is not None:
                close()
            self._error = asyncio.CancelledError()
            self._answer()

    @property
    def is_busy(self) -> bool:
        """Whether something is awaited."""
        return self._task is not None and self._asked is None and not self._task.done()

    def dismiss(self) -> None:
        """Let the task end at the next turn of the event loop, unless it awaits something."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    def close(self) -> list[asyncio.Task[None]]:
        """Await nothing more; return the task in a list, to be cancelled, if it is not at its end."""
        self._closed = True
        return [] if self._task is None or self._task.done() else [self._task]
