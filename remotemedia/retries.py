"""When a failed call is tried again (``retry``): by which nodes, after which errors and waits.

Only a node that declares ``idempotent = True`` is: to call it twice for one item is then as good as once.

``retry_on`` names exception types, never where to import them from: those of Python (``"TimeoutError"``), of this
package (``"NodeTimeoutError"``), and those that the node class lists in ``retryable``, a tuple of types or a dict of
names to types. A type stands for those derived from it, too. Without ``retry_on`` those of ``retryable`` count, without
both every `Exception`. What is no `Exception` (Ctrl-C, a cancellation) never does, nor do refusals of this package.

There are libraries for the loop around a call (tenacity, stamina). It is some lines here, and a loop of ours has to do
what theirs do not: stop at a generator's first item, look at the circuit breaker before each wait, break a wait off
when the run ends, and count every call. So none is used, and none has to be installed.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from remotemedia import errors
from remotemedia.bounded import close_matches
from remotemedia.errors import ManifestIssue, NodeError, NodeTimeoutError, RemoteMediaError, bounded_repr
from remotemedia.limits import NO_MATTER_MS
from remotemedia.pauses import World

Types = tuple[type[Exception], ...]


def wait_ms(retry: Any, attempt: int, chance: float) -> float:
    """Return how long to wait after a failed call, in milliseconds.

    Parameters
    ----------
    retry : Retry
        Of the manifest.
    attempt : int
        How many calls there were, from 1.
    chance : float
        A random number from 0 to 1.

    Returns
    -------
    float
        ``backoff_ms * multiplier ** (attempt - 1)``, at most ``max_backoff_ms``, of which ``jitter`` is left to chance.

    Examples
    --------
    >>> from remotemedia.manifest_parts import Retry
    >>> retry = Retry(max_attempts=4, backoff_ms=100, multiplier=2, max_backoff_ms=300, jitter=0.5)
    >>> [wait_ms(retry, attempt, 0) for attempt in (1, 2, 3)]
    [100.0, 200.0, 300.0]
    >>> wait_ms(retry, 1, 1)
    50.0
    """
    most = NO_MATTER_MS if retry.max_backoff_ms is None else min(retry.max_backoff_ms, NO_MATTER_MS)
    try:
        wait = min(retry.backoff_ms * retry.multiplier ** (attempt - 1), most)
    except OverflowError:
        wait = most if retry.backoff_ms else 0.0
    return float(wait * (1 - retry.jitter * chance))


def longest_ms(retry: Any, limit_ms: float) -> float:
    """Return how long a call with all its attempts may take where each may take `limit_ms`, and one more for slack."""
    total = limit_ms
    for attempt in range(1, retry.max_attempts):
        total += limit_ms + wait_ms(retry, attempt, 0.0)
        if total >= NO_MATTER_MS:
            break
    return min(total + (limit_ms if retry.max_attempts > 1 else 0), NO_MATTER_MS)


class Again:
    """What of a node's failures is tried again.

    Parameters
    ----------
    retry : Retry
        Of the manifest.
    types : tuple of type
        Errors after which it is.
    world : World
        Gives chance.
    """

    def __init__(self, retry: Any, types: Types, world: World) -> None:
        self._retry = retry
        self._types = types
        self._world = world

    def is_due(self, failure: BaseException, attempts: int) -> bool:
        """Whether there is to be one more call."""
        return attempts < self._retry.max_attempts and isinstance(failure, self._types) and not is_refusal(failure)

    def wait_s(self, attempts: int) -> float:
        """Return how long to wait before it, in seconds."""
        return wait_ms(self._retry, attempts, self._world.chance()) / 1000


def is_refusal(failure: BaseException) -> bool:
    """Whether `failure` is this package's own, which a further call does not mend."""
    return isinstance(failure, RemoteMediaError) and not isinstance(failure, (NodeError, NodeTimeoutError))


def retried_types(retry: Any, node: Any, path: str, name: str) -> Types | ManifestIssue:
    """Return the errors after which a node is tried again, or why it cannot be.

    Parameters
    ----------
    retry : Retry
        Of the manifest.
    node : object
        The instance, inside any wrappers.
    path : str
        Of ``retry`` in the manifest.
    name : str
        What messages call the node.
    """
    cls = type(node).__name__
    if getattr(node, "idempotent", False) is not True:
        remedy = f"declare idempotent = True on {cls} if a second call for the same item does no harm, or leave it out"
        return ManifestIssue(path, f"{name} is not known to be idempotent, and may be called once an item; {remedy}")
    given = getattr(node, "retryable", None)
    own = named_types(given)
    if own is None:
        due = "a tuple of exception types, or a dict of names to exception types"
        return ManifestIssue(path, f"{name}: its class says retryable = {bounded_repr(given)}; due is {due}")
    if retry.retry_on is None:
        return tuple(own.values()) if given is not None else (Exception,)
    types: list[type[Exception]] = []
    for k, wanted in enumerate(retry.retry_on):
        kind: Any = own.get(wanted) or getattr(builtins, wanted, None) or getattr(errors, wanted, None)
        if not is_exception(kind):
            return ManifestIssue(f"{path}.retry_on[{k}]", f"{name}: {not_named(wanted, kind, cls, own)}")
        types.append(kind)
    return tuple(types)


def named_types(given: Any) -> dict[str, type[Exception]] | None:
    """Return what a class says in ``retryable`` by name; None if it is something else."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        named = dict(given)
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        named = {getattr(kind, "__name__", None): kind for kind in given}
    else:
        return None
    return named if all(isinstance(k, str) and is_exception(kind) for k, kind in named.items()) else None


def not_named(wanted: str, kind: Any, cls: str, own: Iterable[str]) -> str:
    """Return what is wrong with a name in ``retry_on``."""
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return f"{wanted} is no Exception; after it nothing is tried again"
    known = [key for key, value in vars(builtins).items() if is_exception(value)]
    near = close_matches(wanted, (*own, *known, "NodeError", "NodeTimeoutError"))
    hint = f"did you mean {near[0]!r}?" if near else f"name one of Python's, or list it in {cls}.retryable"
    return f"{bounded_repr(wanted)} is no exception type that it may name; {hint}"


def is_exception(kind: Any) -> bool:
    """Whether `kind` is a type of exceptions that can be tried again."""
    return isinstance(kind, type) and issubclass(kind, Exception)
