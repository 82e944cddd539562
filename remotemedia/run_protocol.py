"""What the session layer calls of a run, and so what an engine gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Sequence

    from remotemedia.errors import InputError, NodeError
    from remotemedia.result import ExecutionResult


class Run(Protocol):
    """One run or session. It executes and raises; ending it is up to who calls.

    Attributes
    ----------
    errors : list of NodeError or InputError
        What failed in `process` and `flush` under ``"collect"``.
    is_async : bool
        A node is, so that every call is to be awaited: see `remotemedia._core.aio.awaitable`, which gives any of
        ``initialize``, ``execute``, ``process``, ``flush``, ``next_output``, ``abandon`` and ``end`` as an awaitable.
    """

    is_async: bool

    @property
    def errors(self) -> list[NodeError | InputError]:
        """See above."""
        ...

    @property
    def producers(self) -> Sequence[str]:
        """Ids of the nodes that are sources of their own."""
        ...

    def initialize(self) -> None:
        """Initialize every node, in topological order."""
        ...

    def execute(self, items: Iterable[Any] | None) -> ExecutionResult:
        """Drive `items` through (None: what the producers give), flush, and return the result."""
        ...

    def process(self, item: Any) -> list[Any]:
        """Drive one item through; return what the sinks emitted."""
        ...

    def flush(self) -> list[Any]:
        """Flush every node; return what the sinks emitted."""
        ...

    def begin_stream(self, items: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        """Begin what `execute` does, one output at a time."""
        ...

    def next_output(self) -> tuple[str, Any] | None:
        """Return the next ``(sink id, item)``; None at the end."""
        ...

    def abandon(self) -> None:
        """Drop what a stream has in flight; nothing is flushed."""
        ...

    def result(self) -> ExecutionResult:
        """Return the result of the call that came to its end."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Return the counts since `initialize`; legal from any thread."""
        ...

    def stop(self) -> None:
        """Let the call under way, in whichever thread, end with `SessionClosedError`."""
        ...

    def interrupt(self, node_id: str | None = None) -> None:
        """Drop what is on its way, or what one node is called with; legal from any thread."""
        ...

    def end(self, error: BaseException | None) -> BaseException | None:
        """Close what is in flight and clean up; return what is to be raised because of `error`."""
        ...
