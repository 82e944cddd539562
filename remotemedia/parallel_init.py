"""Nodes that do not depend on each other are initialized at the same time (``run.parallel_init``), for both engines.

Level by level: a node is one level below the last of those that feed it. All of a level come to their end before the
next begins. Plain nodes are initialized in threads, async ones in tasks of the run's loop, each in a copy of the
context of who began the run; so what one sets in its context variables no other sees. After a failure the tasks of its
level are cancelled, its threads waited for (no thread can be killed), and nothing further begins.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from remotemedia.errors import NodeError
from remotemedia.pauses import SLICE_S

MOST_THREADS = 32

Failures = list[tuple[int, BaseException]]


class Call(NamedTuple):
    """The ``initialize`` of one node.

    Attributes
    ----------
    rank : int
        Its place in the topological order.
    begin : callable
        Calls it; returns what is to be awaited, if `awaits`. Raises what the run is to raise.
    finish : callable
        Takes what an awaited call came to: ``(outcome, error)``; raises likewise.
    awaits : bool
        It is async.
    inline : bool
        It takes no time: a built-in node.
    """

    rank: int
    begin: Callable[[], Any]
    finish: Callable[[Any, Exception | None], None]
    awaits: bool
    inline: bool


def levels(order: Iterable[int], feeders: Callable[[int], Iterable[int]]) -> list[list[int]]:
    """Return the nodes by level, each level in topological order."""
    level_of: dict[int, int] = {}
    found: list[list[int]] = []
    for u in order:
        level = level_of[u] = 1 + max((level_of[p] for p in feeders(u)), default=-1)
        if level == len(found):
            found.append([])
        found[level].append(u)
    return found


def initialize(by_level: Iterable[Sequence[Call]], check: Callable[[], object]) -> None:
    """Make the calls, none of them async; raise the failure of the first node in topological order."""
    for level in by_level:
        check()
        failures: Failures = []
        slow = [call for call in level if not call.inline]
        workers = begin_threads(slow, failures, None) if len(slow) > 1 else []
        for call in level if len(slow) < 2 else [call for call in level if call.inline]:
            make(call, failures)
        join(workers)
        raise_first(failures)
    check()


async def initialize_async(by_level: Iterable[Sequence[Call]], check: Callable[[], object]) -> None:
    """Make the calls on the running event loop; raise the failure of the first node in topological order."""
    import asyncio

    loop = asyncio.get_running_loop()
    for level in by_level:
        check()
        failures: Failures = []
        plain = [call for call in level if not call.awaits and not call.inline]
        waits: list[asyncio.Future[None]] = []
        if plain:
            done = loop.create_future()
            begin_threads(plain, failures, partial(call_soon, loop, done))
            waits.append(done)
        for call in level:
            if call.inline:
                make(call, failures)
        tasks = [loop.create_task(make_awaited(call, failures)) for call in level if call.awaits]
        waits += tasks
        interrupt: BaseException | None = None
        while waits and not all(wait.done() for wait in waits):
            try:
                await asyncio.wait([wait for wait in waits if not wait.done()], return_when="FIRST_COMPLETED")
            except asyncio.CancelledError as error:
                if interrupt is not None:  # no thread can be killed
                    waits = [*tasks]
                interrupt = interrupt or error
            except GeneratorExit:
                for task in tasks:
                    task.cancel()
                raise
            if failures or interrupt is not None:
                for task in tasks:
                    task.cancel()
        if interrupt is not None:
            try:
                raise interrupt
            finally:
                del interrupt
        raise_first(failures)
    check()


def make(call: Call, failures: Failures) -> None:
    """Make a plain call."""
    try:
        call.begin()
    except BaseException as error:
        failures.append((call.rank, error))


async def make_awaited(call: Call, failures: Failures) -> None:
    """Make an async call, in a task of its own."""
    import asyncio

    try:
        given = call.begin()
        try:
            outcome = await given
        except Exception as error:
            call.finish(None, error)
        else:
            call.finish(outcome, None)
    except asyncio.CancelledError as error:
        if not failures:  # else it was us
            failures.append((call.rank, error))
    except BaseException as error:
        failures.append((call.rank, error))


def begin_threads(
    calls: Sequence[Call], failures: Failures, at_end: Callable[[], None] | None
) -> list[threading.Thread]:
    """Make calls in threads; after a failure none begins. The last thread calls `at_end`."""
    left = deque((call, contextvars.copy_context()) for call in calls)
    running = min(len(calls), MOST_THREADS)
    lock = threading.Lock()

    def work() -> None:
        nonlocal running
        while not failures:
            try:
                call, context = left.popleft()
            except IndexError:
                break
            context.run(make, call, failures)
            del call, context
        with lock:
            running -= 1
            last = running == 0
        if last and at_end is not None:
            at_end()

    threads = [threading.Thread(target=work, name="remotemedia", daemon=True) for _ in range(running)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for threads; who interrupts it once waits all the same, who does twice leaves them behind."""
    interrupt: BaseException | None = None
    try:
        for thread in threads:
            while thread.is_alive():
                try:
                    thread.join(SLICE_S)
                except BaseException as error:
                    if interrupt is not None:
                        raise
                    interrupt = error
        if interrupt is not None:
            raise interrupt
    finally:
        del interrupt


def call_soon(loop: Any, done: Any) -> None:
    """Let who waits for `done` go on, from another thread."""
    try:
        loop.call_soon_threadsafe(lambda: done.done() or done.set_result(None))
    except RuntimeError:  # the loop is closed, and nobody waits
        return


def raise_first(failures: Failures) -> None:
    """Raise the failure of the first node, the others with it; what is no `Exception` before all."""
    if not failures:
        return
    failures.sort(key=lambda failure: (isinstance(failure[1], Exception), failure[0]))
    first = failures[0][1]
    try:
        if isinstance(first, NodeError):
            first.others += [error for _, error in failures[1:] if isinstance(error, NodeError)]
        raise first
    finally:
        del first
        failures.clear()
