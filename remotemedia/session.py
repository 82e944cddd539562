"""Sessions and streams: when nodes are initialized and cleaned up, and who may call when; the same for both engines.

An engine's run (`remotemedia._core.engine.Run`, `remotemedia.reference.engine.Run`) executes and raises; here is
decided what an exception ends, and that one call at a time goes into a run. Every way out leads through `run.end`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from threading import Lock, get_ident
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from remotemedia.errors import InputError, NodeError, SessionBusyError, SessionClosedError
from remotemedia.items import check_input
from remotemedia.result import ExecutionResult

T = TypeVar("T")


class Run(Protocol):
    """What both engines give."""

    errors: list[NodeError | InputError]

    @property
    def producers(self) -> Sequence[str]: ...
    def initialize(self) -> None: ...
    def execute(self, items: Iterable[Any] | None) -> ExecutionResult: ...
    def whole(self, items: Iterable[Any] | None) -> ExecutionResult: ...
    def process(self, item: Any) -> list[Any]: ...
    def flush(self) -> list[Any]: ...
    def begin_stream(self, items: Iterable[Any] | None) -> None: ...
    def next_output(self) -> tuple[str, Any] | None: ...
    def abandon(self) -> None: ...
    def result(self) -> ExecutionResult: ...
    def metrics(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...
    def end(self, error: BaseException | None) -> BaseException | None: ...


OpenRun = Callable[[], Run]


def unlock(lock: Lock) -> None:
    """Release a lock that an interrupt may have released already."""
    if lock.locked():
        lock.release()


def check_feed(run: Run, items: Iterable[Any] | None) -> None:
    """Raise `InputError` if items are given to a graph of producers, or `items` cannot be an input at all."""
    if items is None:
        return
    check_input(items)
    if run.producers:
        raise InputError(
            f"node {run.producers[0]!r} is a producer, a source of its own, so the pipeline takes no items; "
            "use execute(manifest)"
        )


class Session:
    """Nodes that stay alive over many runs. Made by `Executor.open`; use it as a context manager.

    ``__enter__`` initializes the nodes, leaving the ``with`` cleans them up, and nothing is flushed then. One call
    at a time; `close` may come from any thread.
    """

    def __init__(self, open_run: OpenRun) -> None:
        self._open_run = open_run
        self._run: Run | None = None
        self._busy = Lock()
        self._owner = 0  # the thread inside a call, while there is one
        self._closed = False
        self._final_metrics: dict[str, Any] = {}
        self._errors: list[NodeError | InputError] = []

    def __enter__(self) -> Self:
        if self._closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self._run is not None:
            raise SessionBusyError("the session is entered already")
        self._acquire()
        try:
            run = self._open_run()
            self._run = run
            self._errors = run.errors
            self._guard(run, run.initialize)
        finally:
            self._release()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish(error, leaving=True)

    def __del__(self) -> None:
        if self._run is not None and not self._closed:
            warnings.warn(f"{self!r} was dropped while open; use it in a with statement", ResourceWarning, 2, self)
            self._finish(None, leaving=True)

    def run(self, items: Iterable[Any] | None = None) -> ExecutionResult:
        """Drive items through and flush every node; the session stays open.

        Parameters
        ----------
        items : iterable, optional
            The input; without it, the pipeline's producers are pulled (a run on empty input if there are none).

        Returns
        -------
        ExecutionResult
            Of these items; ``metrics`` too are those of this run.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then.
        SessionClosedError, SessionBusyError
            The session is closed, or in a call.
        """

        def execute(run: Run) -> ExecutionResult:
            check_feed(run, items)
            return run.execute(items)

        return self._call(execute)

    def process(self, item: Any) -> list[Any]:
        """Drive one item through, without a flush; return what the sinks emitted, ``[]`` if it was filtered.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then. Under ``"collect"`` see `errors`.
        """

        def process(run: Run) -> list[Any]:
            check_feed(run, ())
            return run.process(item)

        return self._call(process)

    def flush(self) -> list[Any]:
        """Flush every node in topological order; return what came out."""
        return self._call(lambda run: run.flush())

    def stream(self, items: Iterable[Any] | None = None, *, with_node: bool = False) -> Stream:
        """Return a `Stream` of these items; until it ends or is closed, the session is busy."""
        return Stream(self, items, with_node=with_node, owns_session=False)

    @property
    def errors(self) -> list[NodeError | InputError]:
        """What failed in `process` and `flush` under ``error_policy="collect"``."""
        return self._errors

    def metrics(self) -> dict[str, Any]:
        """Return the counts of R14 over the whole session."""
        if self._closed or self._run is None:
            return self._final_metrics
        return self._run.metrics()

    def close(self) -> None:
        """Clean up; legal from any thread at any time, and more than once.

        If a call is running in another thread, or the caller is inside one, that call ends with
        `SessionClosedError` at its next item and cleans up; this one does not wait for it.
        """
        self._finish(None)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "new" if self._run is None else "open"
        return f"<Session: {state}>"

    # --- for Stream and Executor ---

    def _acquire(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise SessionBusyError("the session is in a call (or has an unfinished stream); one at a time")
        self._owner = get_ident()

    def _release(self) -> None:
        self._owner = 0
        unlock(self._busy)

    def _opened(self) -> Run:
        if self._closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self._run is None:
            raise SessionClosedError("the session is not open yet; enter it: with executor.open(manifest) as session")
        return self._run

    def _call(self, call: Callable[[Run], T]) -> T:
        run = self._opened()
        self._acquire()
        try:
            self._opened()
            return self._guard(run, lambda: call(run))
        finally:
            self._release()

    def _guard(self, run: Run, call: Callable[[], T]) -> T:
        """Call into the run; an exception that comes out of it ends the session."""
        try:
            return call()
        except BaseException as error:
            final = self._end(run, error)
            if final is None or final is error:
                raise
            try:
                raise final
            finally:
                del final

    def _end(self, run: Run, error: BaseException | None) -> BaseException | None:
        self._closed = True
        try:
            final = run.end(error)
        finally:
            self._final_metrics = run.metrics()
            self._run = None
        return final

    def _finish(self, error: BaseException | None, *, leaving: bool = False) -> None:
        """End the session from outside a call.

        `error` is what is leaving the ``with``, if anything. Who is `leaving` it is in no call any more; if the session
        is marked as busy by this thread all the same, an interrupt came between the marking and the call.
        """
        if self._closed:
            return
        if not self._busy.acquire(blocking=False) and not (leaving and self._owner in (0, get_ident())):
            run = self._run
            if run is not None:
                run.stop()
            return
        try:
            run, closed = self._run, self._closed
            self._closed = True
            if run is None or closed:
                return
            final = self._end(run, error)
            if final is not None and final is not error:
                try:
                    raise final
                finally:
                    del final
        finally:
            unlock(self._busy)
            del error


class Stream:
    """An iterator over what a pipeline emits, in the order of ``results``. Made by `Executor.stream`, `Session.stream`.

    Nothing is initialized before the first item is asked for. Use it as a context manager where it may be left
    early: leaving closes it, and cleanup is done then.
    """

    def __init__(
        self, session: Session, items: Iterable[Any] | None, *, with_node: bool = False, owns_session: bool = True
    ) -> None:
        if items is not None:
            check_input(items)
        self._session = session
        self._items = items
        self._with_node = with_node
        self._owns = owns_session
        self._run: Run | None = None  # while it is under way
        self._lock = Lock()
        self._owner = 0  # the thread inside `__next__`, while there is one
        self._ended = False
        self._stopping = False
        self._result: ExecutionResult | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._ended:
            raise StopIteration
        if not self._lock.acquire(blocking=False):
            raise SessionBusyError("the stream is being iterated; one caller at a time")
        try:
            self._owner = get_ident()
            run = self._run
            if run is None:
                run = self._begin()
            output = self._pull(run)
        finally:
            self._owner = 0
            unlock(self._lock)
        if output is None:
            raise StopIteration
        return output if self._with_node else output[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close(error, leaving=True)

    def __del__(self) -> None:
        if self._run is not None:
            warnings.warn(f"{self!r} was dropped before its end; use it in a with statement", ResourceWarning, 2, self)
            self._close(None)

    def close(self) -> None:
        """End the stream; nothing is flushed. Legal from any thread at any time, and more than once.

        A stream of an executor cleans its nodes up, before this returns unless another thread is inside the stream
        (then that call ends with `SessionClosedError` and cleans up). A stream of a session leaves that open.
        """
        self._close(None)

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
        state = "ended" if self._ended else "new" if self._run is None else "running"
        return f"<Stream: {state}>"

    def _begin(self) -> Run:
        session = self._session
        if self._owns:
            session.__enter__()
        run = session._opened()
        session._acquire()
        try:
            session._opened()
            check_feed(run, self._items)
            session._guard(run, lambda: run.begin_stream(self._items))
        except BaseException as error:
            self._ended = True
            session._release()
            if self._owns:
                session.__exit__(type(error), error, error.__traceback__)
            raise
        self._run = run
        self._items = None
        return run

    def _pull(self, run: Run) -> tuple[str, Any] | None:
        try:
            output = self._session._guard(run, run.next_output)
        except BaseException:
            self._leave()
            raise
        if output is None:
            self._result = run.result()
            self._leave()
            if self._owns:
                self._session.close()
        return output

    def _leave(self) -> None:
        """Give the session back."""
        self._ended = True
        if self._run is not None:
            self._run = None
            self._session._release()

    def _close(self, error: BaseException | None, *, leaving: bool = False) -> None:
        if not self._lock.acquire(blocking=False) and not (leaving and self._owner in (0, get_ident())):
            run = self._run
            if run is not None:
                run.stop()
            return
        try:
            run = self._run
            self._ended = True
            if run is not None:
                self._leave()
                if not self._owns:
                    run.abandon()
            if self._owns:
                self._session.__exit__(None, error, None)
        finally:
            unlock(self._lock)
            del error
