"""Time limits of a node's calls (``timeout_ms``): what an engine calls in place of a node's method (R30).

A call that is awaited is cancelled where it waits. One that is not cannot be: it comes to its end, and what it gave is
thrown away. The compiled engine measures the calls of plain nodes that give one item by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from time import perf_counter_ns
from typing import Any

from remotemedia.errors import NodeTimeoutError
from remotemedia.returns import is_iterable

Method = Callable[..., Any]

NO_MATTER_MS = 1e11
"""Three years: what is longer is as good, and clocks and event loops can count so far."""


def limit_of(spec: Any, phase: str) -> float | None:
    """Return how many milliseconds the engine is to let a phase of a node take; None for no limit.

    Where the node is guarded, its guard bounds each attempt, and the engine only how long it waits for a thread.

    Parameters
    ----------
    spec : NodeSpec
        The node in the manifest.
    phase : {"initialize", "process", "cleanup"}
        A bare number in the manifest is for ``process``.
    """
    if phase == "process" and (spec.retry is not None or spec.circuit_breaker is not None):
        limit = attempt_limit_of(spec)
        if limit is None or spec.isolation != "thread":
            return None
        from remotemedia.retries import longest_ms

        return limit if spec.retry is None else longest_ms(spec.retry, limit)
    return given_limit(spec, phase)


def attempt_limit_of(spec: Any) -> float | None:
    """Return how many milliseconds one call of ``process`` may take; None for no limit."""
    return given_limit(spec, "process")


def given_limit(spec: Any, phase: str) -> float | None:
    """Return the limit of a phase as the manifest has it."""
    given = spec.timeout_ms
    if given is None or isinstance(given, (int, float)):
        limit = given if phase == "process" else None
    else:
        limit = getattr(given, phase)
    return None if limit is None else min(limit, NO_MATTER_MS)


def bounded(method: Method, limit_ms: float, phase: str, awaits: bool, streams: bool, many: bool = False) -> Method:
    """Return `method` with a limit on the time that a call takes; of a many-node, that each of its items takes.

    Parameters
    ----------
    method : callable
        A bound method of a node.
    limit_ms : float
        Milliseconds.
    phase : str
        Name of the method.
    awaits, streams, many : bool
        What a call gives is to be awaited; is an async iterator; is an iterable of items.
    """
    limit_ns = int(limit_ms * 1e6)

    def within(began_ns: int) -> None:
        took_ns = perf_counter_ns() - began_ns
        if took_ns > limit_ns:
            raise overrun(phase, took_ns, limit_ns)

    async def awaited(given: Any) -> Any:
        import asyncio

        began_ns = perf_counter_ns()
        try:
            async with asyncio.timeout(limit_ms / 1000) as limit:
                outcome = await given
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise cancelled(phase, limit_ns) from error
        if limit.expired():  # the node did not let itself be cancelled
            raise cancelled(phase, limit_ns)
        within(began_ns)
        return outcome

    def call(*args: Any) -> Any:
        began_ns = perf_counter_ns()
        given = method(*args)
        within(began_ns)
        return given

    async def call_awaited(*args: Any) -> Any:
        given = await awaited(method(*args))
        return drawn(given) if many and given is not None and is_iterable(given) else given

    async def call_stream(*args: Any) -> AsyncIterator[Any]:
        stream = method(*args).__aiter__()
        try:
            while True:
                try:
                    item = await awaited(stream.__anext__())
                except StopAsyncIteration:
                    return
                yield item
                del item
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    def drawn(given: Any) -> Iterator[Any]:
        iterator = iter(given)
        try:
            while True:
                began_ns = perf_counter_ns()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                within(began_ns)
                yield item
                del item
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def call_many(*args: Any) -> Any:
        given = call(*args)
        return drawn(given) if given is not None and is_iterable(given) else given

    if streams:
        return call_stream
    if awaits:
        return call_awaited
    return call_many if many else call


def overrun(phase: str, took_ns: int, limit_ns: int) -> NodeTimeoutError:
    """Return the error for a call that could not be cancelled."""
    return NodeTimeoutError(
        f"{phase} took {took_ns / 1e6:.6g} ms, more than timeout_ms, {limit_ns / 1e6:.6g}; a call that is not awaited "
        "cannot be cancelled: it ran to its end, and what it gave was thrown away"
    )


def cancelled(phase: str, limit_ns: int) -> NodeTimeoutError:
    """Return the error for a call that was cancelled."""
    return NodeTimeoutError(f"{phase} was cancelled after timeout_ms, {limit_ns / 1e6:.6g} ms")


def left_behind(limit_ns: int) -> NodeTimeoutError:
    """Return the error for a call in a thread that is not waited for any longer."""
    return NodeTimeoutError(
        f"process still runs after timeout_ms, {limit_ns / 1e6:.6g} ms; a call in a thread cannot be cancelled: "
        "the thread is left behind, and what it gives will be thrown away"
    )
