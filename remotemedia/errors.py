"""Every exception and warning of the package, and the two rules about them that both engines share.

The rules: which exception a run ends with when cleanups fail too (`settle`, R05), and how an error that is kept
in ``result.errors`` lets go of the frames it came through (`detach`, R36). This module imports nothing of the
package, so everything else may import it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType

    from remotemedia.result import ExecutionResult

REPR_LIMIT = 200
SHOWN_ISSUES = 20


class RemoteMediaError(Exception):
    """Base of every error of this package.

    Attributes
    ----------
    partial : ExecutionResult or None
        What was finished when the error ended a run, else `None`.
    cleanup_errors : list of BaseException
        What cleanups raised after this error (R05); each is also a note on the error.
    """

    partial: ExecutionResult | None = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.cleanup_errors: list[BaseException] = []


class ManifestIssue(NamedTuple):
    """One fault of a manifest: where it is and what is wrong there.

    Attributes
    ----------
    path : str
        The place, as ``$.nodes[3].id``; ``line 7`` where only the line is known (broken JSON or YAML).
    message : str
        What is wrong, and what would be right.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ManifestError(RemoteMediaError, ValueError):
    """A manifest that cannot be run, with every fault that it has.

    Parameters
    ----------
    errors : iterable of ManifestIssue
        All faults of the manifest. First those that stand in the text itself (YAML's have a line), then those of its
        values in the order of the text, what an object lacks behind those of its keys, at last those of the graph.

    Attributes
    ----------
    errors : tuple of ManifestIssue
        The same; ``str(error)`` shows the first 20.
    """

    def __init__(self, errors: Iterable[ManifestIssue]) -> None:
        self.errors = tuple(errors)
        shown = [str(issue) for issue in self.errors[:SHOWN_ISSUES]]
        if len(self.errors) > SHOWN_ISSUES:
            shown.append(f"and {len(self.errors) - SHOWN_ISSUES} more")
        super().__init__("\n".join(shown))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)


class ManifestWarning(UserWarning):
    """A manifest holds keys that this version loads but does not act on."""


class RegistryError(RemoteMediaError, LookupError):
    """A node type is unknown, taken, or could not be made."""


class InputError(RemoteMediaError, ValueError):
    """An input item, or the input as a whole, that no pipeline takes.

    Parameters
    ----------
    message : str
        What was wrong and what to do.
    item_index : int or None
        Position of the item in the input, counted from 0; `None` if it is about the input as a whole.
    """

    def __init__(self, message: str, *, item_index: int | None = None) -> None:
        super().__init__(message)
        self.item_index = item_index
        self.traceback_text = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {"item_index": self.item_index, "traceback_text": self.traceback_text}


class SessionClosedError(RemoteMediaError, RuntimeError):
    """A session, stream or executor was used after its end (or before its ``with``)."""


class SessionBusyError(RemoteMediaError, RuntimeError):
    """Two calls at once into one session, or one node instance in two runs at once."""


class PoolTimeoutError(RemoteMediaError, TimeoutError):
    """No session of a pool became free in time."""


class EventLoopError(RemoteMediaError, RuntimeError):
    """A call that needs an event loop of its own was made inside a running one."""


class NodeTimeoutError(RemoteMediaError, TimeoutError):
    """A call of a node took longer than its ``timeout_ms``; the ``__cause__`` of a `NodeError`."""


class ResultArrayError(RemoteMediaError, ValueError):
    """The results of a run are no array, or nobody kept which items they came from."""


class DeadlineError(RemoteMediaError, TimeoutError):
    """A run was not over by its ``run.deadline_ms``."""


class CircuitOpenError(RemoteMediaError, RuntimeError):
    """A node was not called, since its calls kept failing (``circuit_breaker``); the ``__cause__`` of a `NodeError`.

    Parameters
    ----------
    message : str
        Which node, and when it is called again.
    node_id : str
        Id of the node.
    retry_in_ms : float
        Milliseconds until a call is let through; 0 while such a call is under way.
    """

    def __init__(self, message: str, *, node_id: str, retry_in_ms: float) -> None:
        super().__init__(message)
        self.node_id = node_id
        self.retry_in_ms = retry_in_ms

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_circuit_error, (self.args[0], self.node_id, self.retry_in_ms)


def _rebuild_circuit_error(message: str, node_id: str, retry_in_ms: float) -> CircuitOpenError:
    return CircuitOpenError(message, node_id=node_id, retry_in_ms=retry_in_ms)


class AfterAttemptsError(Exception):
    """How the last failure of a node that was tried several times reaches the engine; users see the `NodeError` of it.

    Parameters
    ----------
    failure : Exception
        The node's own exception.
    attempts : int
        How many calls there were.
    """

    def __init__(self, failure: BaseException, attempts: int) -> None:
        super().__init__(failure, attempts)
        self.failure = failure
        self.attempts = attempts


class QueueFullError(RemoteMediaError, RuntimeError):
    """An item met as many waiting as its connection takes (``capacity``), and ``overflow`` is ``"error"``."""


def in_use(node: str) -> SessionBusyError:
    """Return the error for a node instance that is in another run."""
    return SessionBusyError(
        f"{node}: its factory gave an instance that is in use already; give a new one at each call, "
        "or register the type with shared=True"
    )


class NodeError(RemoteMediaError):
    """A node failed. The node's own exception is ``__cause__``, with the user's line in its traceback (R33).

    Attributes
    ----------
    node_id, node_type : str
        Which node.
    phase : {"initialize", "process", "flush", "produce", "cleanup", "copy"}
        What it was doing.
    item_index : int or None
        Index of the input item, counted from 0; `None` outside ``process``, and for items that a flush emitted.
    input_type : str or None
        Type name of the item that the node was given.
    input_repr : str or None
        Its repr, at most 200 characters.
    attempts : int
        How often the node was called for it: 1, unless it has a ``retry``; 0 if its ``circuit_breaker`` was open.
    others : list of NodeError
        Failures of calls that were in flight at the same time (R34).
    traceback_text : str
        The traceback as text, for errors in ``result.errors`` (their frames are gone).
    """

    def __init__(
        self,
        message: str,
        *,
        node_id: str,
        node_type: str,
        phase: str,
        item_index: int | None = None,
        input_type: str | None = None,
        input_repr: str | None = None,
    ) -> None:
        super().__init__(message)
        self.node_id = node_id
        self.node_type = node_type
        self.phase = phase
        self.item_index = item_index
        self.input_type = input_type
        self.input_repr = input_repr
        self.attempts = 1
        self.others: list[NodeError] = []
        self.traceback_text = ""

    @classmethod
    def of(
        cls,
        cause: BaseException,
        *,
        node_id: str,
        node_type: str,
        phase: str,
        item_index: int | None = None,
        item: object = None,
    ) -> NodeError:
        """Return the error for `cause` raised by a node in `phase`; ``__cause__`` is set, nothing is raised.

        `item` is what the node was given; only its type's name and a bounded repr are kept.
        """
        attempts = 0 if isinstance(cause, CircuitOpenError) else 1
        if isinstance(cause, AfterAttemptsError):
            attempts, cause = cause.attempts, cause.failure
        where = f"node {bounded_repr(node_id)} ({node_type}) failed in {phase}"
        if item_index is not None:
            where += f" at item {item_index}"
        if attempts > 1:
            where += f" after {attempts} attempts"
        error = cls(
            f"{where}: {type(cause).__name__}: {bounded_text(cause)}",
            node_id=node_id,
            node_type=node_type,
            phase=phase,
            item_index=item_index,
            input_type=None if item is None else type(item).__name__,
            input_repr=None if item is None else bounded_repr(item),
        )
        error.__cause__ = cause
        error.attempts = attempts
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        state = {k: v for k, v in self.__dict__.items() if k != "partial"}
        return _rebuild_node_error, (self.args[0], state)


def _rebuild_node_error(message: str, state: dict[str, Any]) -> NodeError:
    names = ("node_id", "node_type", "phase", "item_index", "input_type", "input_repr")
    error = NodeError(message, **{name: state[name] for name in names})
    error.__dict__.update(state)
    return error


def bounded_repr(value: object, limit: int = REPR_LIMIT) -> str:
    """Return a repr of at most `limit` characters that neither recurses deeply nor copies large values.

    Items may nest 10⁶ levels deep or hold gigabytes, and a user's ``__repr__`` may raise: none of it may turn an
    error into another one.
    """
    if type(value) is str and len(value) <= limit // 2:  # most are names
        text = repr(value)
    else:
        from remotemedia.bounded import BoundedRepr  # only errors need it; keeps the import of the package small

        text = BoundedRepr().repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as a message lists them: ``'a', 'b' and 5 more``."""
    every = list(names)
    text = ", ".join(bounded_repr(name) for name in every[:most])
    return text if len(every) <= most else f"{text} and {len(every) - most} more"


def bounded_text(error: BaseException, limit: int = 1000) -> str:
    """Return ``str(error)``, cut at `limit` characters; an error whose ``__str__`` raises is named by its type."""
    try:
        text = str(error)
    except Exception as failure:
        return f"<its __str__ raised {type(failure).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def settle(primary: BaseException | None, failures: list[BaseException]) -> BaseException | None:
    """Return the exception that a run ends with, the rest attached to it (R05).

    Parameters
    ----------
    primary : BaseException or None
        What ended the run before its cleanups, if anything did.
    failures : list of BaseException
        What the cleanups raised, in order.

    Returns
    -------
    BaseException or None
        `primary` where there is one; the first failure otherwise. A failure that is no `Exception`
        (KeyboardInterrupt, SystemExit, CancelledError) outranks an `Exception`, which becomes its ``__context__``.
    """
    if not failures:
        return primary
    raised = primary if primary is not None else failures[0]
    if isinstance(raised, Exception):
        raised = next((f for f in failures if not isinstance(f, Exception)), raised)
        if raised is not primary and primary is not None:
            raised.__context__ = primary
    for failure in failures:
        if failure is raised:
            continue
        note(raised, f"while cleaning up: {type(failure).__name__}: {bounded_text(failure)}")
        if isinstance(raised, RemoteMediaError):
            _let_go_of(failure, raised)
            raised.cleanup_errors.append(failure)
    return raised


def note(error: BaseException, text: str) -> None:
    """Add a note to an error, if its class lets one (a frozen dataclass does not)."""
    try:
        BaseException.add_note(error, text)
    except Exception:  # nothing may hide the error itself
        return


def _let_go_of(failure: BaseException, raised: BaseException) -> None:
    """Cut the way from a cleanup error back to the error that it is attached to: it came while that was handled."""
    for link in _chain(failure, until=raised):
        if link.__context__ is raised:
            link.__context__ = None


def _chain(error: BaseException, until: BaseException | None = None) -> list[BaseException]:
    """Return `error` with its causes and contexts, and the members of groups; nothing from `until` on."""
    found: list[BaseException] = []
    seen = {id(until)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        found.append(link)
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
    return found


def set_traceback(error: BaseException, trace: TracebackType | None) -> None:
    """Set the traceback of an error of any class: a frozen dataclass refuses setattr."""
    _set_traceback(error, trace)


def detach(error: NodeError | InputError, outer: BaseException | None = None) -> None:
    """Turn the traceback of an error that is kept into text, and let its frames go (R36).

    `outer` is what the caller of the run was handling: it is among the contexts of `error`, and not touched.
    """
    try:
        error.traceback_text = "".join(traceback.format_exception(error))
    except Exception:  # an exception class may break what formats it
        error.traceback_text = f"{type(error).__name__}: {error}\n"
    for link in _chain(error, until=outer):
        trace = link.__traceback__
        set_traceback(link, None)
        while trace is not None:
            frame = trace.tb_frame
            if not frame.f_code.co_flags & _GENERATORS:  # to clear a suspended one would end it; it may be the node's
                with suppress(RuntimeError):  # it is running
                    frame.clear()
            trace = trace.tb_next


_set_traceback = BaseException.__dict__["__traceback__"].__set__
_GENERATORS = 0x20 | 0x80 | 0x200  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
