"""A span of OpenTelemetry for each run, with its counts and errors (extra ``otel``).

A span costs as much as a hundred items, so there is one for a run, and none for an item. Where nobody asks for one,
nothing of this is loaded. Only the API is needed here; where spans go is up to the SDK of the program.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from remotemedia.errors import NodeError
from remotemedia.result import ExecutionResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from opentelemetry.trace import Span, TracerProvider

P = ParamSpec("P")
R = TypeVar("R")

NODES_TOLD = 16
"""Nodes whose counts are attributes of a span: SDKs keep 128 attributes a span."""
ERRORS_TOLD = 16
"""Errors of a run that are events of its span."""


def traced(
    call: Callable[P, R],
    *,
    name: str = "remotemedia.run",
    attributes: Mapping[str, str | bool | int | float] | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Callable[P, R]:
    """Return `call` such that each call of it is a span.

    Parameters
    ----------
    call : callable
        Whatever gives an `ExecutionResult`, at once or awaited: ``executor.execute_with_input``, ``session.run``,
        ``pipeline.run``, ``executor.execute_async``, a function of your own.
    name : str
        Of the spans.
    attributes : mapping, optional
        What they have beside the counts.
    tracer_provider : opentelemetry.trace.TracerProvider, optional
        Whose tracer makes them; by default the program's.

    Returns
    -------
    callable
        With the same parameters and result; what is raised is the same object.

    Examples
    --------
    ::

        run = traced(session.run, name="speech")
        result = run(items)
    """
    span = functools.partial(RunSpan, name, attributes=attributes, tracer_provider=tracer_provider)

    @functools.wraps(call)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with span() as current:
            found = call(*args, **kwargs)
            if isinstance(found, ExecutionResult):
                current.tell(found)
            return found

    @functools.wraps(call)
    async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        with span() as current:
            found = await cast("Any", call)(*args, **kwargs)
            if isinstance(found, ExecutionResult):
                current.tell(found)
            return found

    return cast("Callable[P, R]", run_async) if inspect.iscoroutinefunction(call) else run


class RunSpan:
    """A span around a run, as a context manager: for streams, and whatever else `traced` cannot wrap.

    What is raised inside is recorded, with the counts of what was finished before, and goes on. Spans that nodes make
    meanwhile are its children.

    Parameters
    ----------
    name : str
        Of the span.
    attributes, tracer_provider
        As for `traced`.

    Examples
    --------
    ::

        with RunSpan("speech") as span, executor.stream(manifest, microphone) as stream:
            for item in stream:
                ...
            span.tell(stream.result)
    """

    def __init__(
        self,
        name: str,
        *,
        attributes: Mapping[str, str | bool | int | float] | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        from opentelemetry.trace import get_tracer

        tracer = get_tracer("remotemedia", tracer_provider=tracer_provider)
        self._entered: AbstractContextManager[Span] = tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        )

    def __enter__(self) -> RunSpan:
        self._span = self._entered.__enter__()
        return self

    def tell(self, result: ExecutionResult) -> None:
        """Give the span the counts of a result, and its errors as events."""
        if self._span.is_recording():
            self._span.set_attributes(attributes_of(result))
            for error in result.errors[:ERRORS_TOLD]:
                self._record(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._span.is_recording():
            from opentelemetry.trace import StatusCode

            partial = getattr(error, "partial", None)
            if isinstance(partial, ExecutionResult):
                self.tell(partial)
            self._record(error)
            self._span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self._entered.__exit__(kind, error, traceback)

    def _record(self, error: BaseException) -> None:
        where = {}
        if isinstance(error, NodeError):
            where = {"remotemedia.node_id": error.node_id, "remotemedia.phase": error.phase}
        index = getattr(error, "item_index", None)
        if index is not None:
            where["remotemedia.item_index"] = index
        self._span.record_exception(error, attributes=where)


def attributes_of(result: ExecutionResult) -> dict[str, str | int]:
    """Return what a span tells of a result; of many nodes the first 16, in the order of the manifest."""
    metrics = result.metrics
    told: dict[str, str | int] = {
        "remotemedia.engine": result.engine,
        "remotemedia.status": result.status.value,
        "remotemedia.items_in": metrics["items_in"],
        "remotemedia.refused": metrics["refused"],
        "remotemedia.results": result.count,
        "remotemedia.errors": len(result.errors),
        "remotemedia.duration_ns": metrics["duration_ns"],
        "remotemedia.node_count": len(metrics["nodes"]),
    }
    for node_id, counts in list(metrics["nodes"].items())[:NODES_TOLD]:
        for count in ("in", "passed", "filtered", "failed", "out"):
            told[f"remotemedia.node.{node_id}.{count}"] = counts[count]
        if "processing" in counts:
            told[f"remotemedia.node.{node_id}.p95_ns"] = counts["processing"]["p95_ns"]
    return told
