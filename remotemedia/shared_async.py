"""What async methods of shared nodes need: a lock that tasks wait for, whichever loop and thread they are in (R13).

An `asyncio.Lock` is of one event loop; the runs of an executor may have several. Whoever waits here is woken on his own
loop, and no loop is blocked meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any


class Gate:
    """Lets one task at a time through, in the order of coming; the one inside may come in again.

    Everything between two awaits here is done under the GIL, in a few instructions that take no other lock.
    """

    def __init__(self) -> None:
        self._holder: asyncio.Task[Any] | None = None
        self._depth = 0
        self._waiting: deque[tuple[asyncio.Task[Any], asyncio.Future[None]]] = deque()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._holder is None:
            self._holder = task
        elif self._holder is not task:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((task, turn))
            try:
                while self._holder is not task:
                    await turn
            except BaseException:
                if (task, turn) in self._waiting:
                    self._waiting.remove((task, turn))
                if self._holder is task:  # it was let through at the last moment
                    self._next()
                raise
        self._depth += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            task, turn = self._waiting.popleft()
            self._holder = task
            try:
                task.get_loop().call_soon_threadsafe(open_turn, turn)
            except RuntimeError:  # its loop is closed
                continue
            return
        self._holder = None


def open_turn(turn: asyncio.Future[None]) -> None:
    """Let the task that waits go on."""
    if not turn.done():
        turn.set_result(None)


class GatedIterator:
    """An async iterator of a shared node, whose every step goes through the node's gate."""

    def __init__(self, iterator: Any, gate: Gate) -> None:
        self._iterator = iterator
        self._gate = gate

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        async with self._gate:
            return await self._iterator.__anext__()

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed."""
        async with self._gate:
            if hasattr(self._iterator, "aclose"):
                await self._iterator.aclose()
