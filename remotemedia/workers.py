"""What makes the calls that go on beside each other (`_core.window`), as far as it is no matter of speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from remotemedia.returns import async_series, awaited_by, emitted_many

if TYPE_CHECKING:
    from remotemedia._core.window import Window


async def work(window: Window) -> None:
    """Await the calls of one async node, one after the other, for as long as the task lives."""
    task = asyncio.current_task()
    assert task is not None
    while True:
        taken = window.take(task)
        if taken is None:
            try:
                await window.wait()
            except asyncio.CancelledError:
                if window.is_closed():
                    return  # raised, it would hold the task, by way of this frame: a cycle with all that is here
                raise
            continue
        frame, attempt = taken
        try:
            outcome = await window.call(frame)
        except asyncio.CancelledError as error:
            if window.is_closed():
                return
            window.fail(frame, attempt, error)
        except BaseException as error:
            window.fail(frame, attempt, error)
            del error
        else:
            window.finish(frame, attempt, outcome)
            del outcome
        if window.is_interrupted(frame, attempt):
            task.uncancel()
        del frame, taken


def start(window: Window) -> asyncio.Task[None]:
    """Start a task that awaits calls."""
    task = asyncio.get_running_loop().create_task(work(window), name="remotemedia")
    task.add_done_callback(window.quit)  # it is anybody's to cancel: asyncio.all_tasks() has it
    return task


class Awaited:
    """What is awaited by driving an iterator."""

    def __init__(self, iterator: Generator[Any, Any, Any]) -> None:
        self._iterator = iterator

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._iterator


def to_await(node: Any, given: Any, method: str = "process") -> Any:
    """Return what an async method gave as something that ``await`` takes; TypeError if it cannot be awaited."""
    driven = awaited_by(node, method, given)
    return driven if hasattr(type(driven), "__await__") else Awaited(driven)


async def outputs(node: Any, given: Any) -> Iterator[Any]:
    """Return the items of an async iterator; what it raised at last, the iterator raises behind its items."""
    items: list[Any] = []
    stream = async_series(node, "process", given)
    try:
        while True:
            items.append(await stream.__anext__())
    except StopAsyncIteration:
        return iter(items)
    except Exception as error:
        return replay(items, error)


def gathered(node: Any, given: Any) -> Iterator[Any] | None:
    """Return the items of what a plain many-node gave, drawn now; None if that is None."""
    if given is None:
        return None
    items: list[Any] = []
    try:
        items.extend(emitted_many(node, given))
    except Exception as error:
        return replay(items, error)
    return iter(items)


def replay(items: list[Any], error: BaseException | None) -> Iterator[Any]:
    """Give `items`, then raise `error`."""
    try:
        yield from items
        if error is not None:
            raise error
    finally:
        del error


async def quit_tasks(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they are at their end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def until_idle(listen: Callable[[], asyncio.Future[None] | None]) -> None:
    """Wait until no call in a thread is under way."""
    while (future := listen()) is not None:
        await future
