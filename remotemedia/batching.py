"""Nodes that take batches (``process_batch``): what a manifest and a node class ask for, and how a batch is called.

Read once a plan by both engines, which call what `batch_call` gives. A 1-to-1 batch gives as many outputs as it got
items, and each item keeps its pass; one that is declared n-to-m (``emits = "many"``, or a generator) gives any number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from remotemedia.errors import ManifestIssue, bounded_repr
from remotemedia.guards import Guard
from remotemedia.items import is_array, iterate
from remotemedia.returns import NO_ITEM, class_name, lazy_error
from remotemedia.traits import innermost
from remotemedia.trials import Attempts

if TYPE_CHECKING:
    from remotemedia.traits import Traits

DEFAULT_SIZE = 32
"""Items of a batch where neither the manifest nor the class says how many."""


class Batching(NamedTuple):
    """How a node takes its items.

    Attributes
    ----------
    size : int
        Items of a full batch.
    wait_ms : float or None
        How long its first item waits for the others, at most; None for as long as it takes.
    many : bool
        It is declared n-to-m.
    arrays : bool
        It gets a NumPy array in place of a list.
    isolates : bool
        Where a batch fails, its items are tried one by one.
    """

    size: int
    wait_ms: float | None
    many: bool
    arrays: bool
    isolates: bool


class Failed:
    """Stands for the output of an item that failed, in the outputs of a batch whose node isolates."""

    __slots__ = ("error", "trace")

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.trace = error.__traceback__  # which is taken where the same error is kept for another item


def batching_of(spec: Any, node: Any, traits: Traits) -> Batching | None:
    """Return how a node takes batches, None if it takes single items; it is without a `batching_fault`."""
    if not traits.batches:
        return None
    inner = innermost(node)
    size, wait_ms = spec.batch_size, spec.max_batch_wait_ms
    return Batching(
        getattr(inner, "batch_size", DEFAULT_SIZE) if size is None else size,
        getattr(inner, "max_batch_wait_ms", None) if wait_ms is None else wait_ms,
        traits.many,
        getattr(inner, "batch_type", "list") == "array",
        getattr(inner, "batch_errors", "fail") == "isolate",
    )


def batching_fault(
    position: int, name: str, spec: Any, node: Any, traits: Traits, connections: Iterable[Any]
) -> ManifestIssue | None:
    """Return why a node cannot take batches as asked, or None; `connections` are those into it."""
    path = f"$.nodes[{position}]"
    inner = innermost(node)
    if not traits.batches:
        for key, harmless in (("batch_size", 1), ("max_batch_wait_ms", None)):
            if getattr(spec, key) not in (None, harmless):
                remedy = "leave it out, define process_batch(self, items), or put a Batcher node before it"
                return ManifestIssue(f"{path}.{key}", f"{name} takes single items, and no batches; {remedy}")
        return None
    size = getattr(inner, "batch_size", DEFAULT_SIZE)
    if type(size) is not int or not 1 <= size < 2**31:
        return ManifestIssue(path, f"{name}: its class says batch_size = {size!r}; an integer from 1 is due")
    wait_ms = getattr(inner, "max_batch_wait_ms", None)
    if wait_ms is not None and (type(wait_ms) not in (int, float) or not 0 <= wait_ms < float("inf")):
        return ManifestIssue(path, f"{name}: its class says max_batch_wait_ms = {wait_ms!r}; milliseconds are due")
    for attribute, known in (("batch_type", ("list", "array")), ("batch_errors", ("fail", "isolate"))):
        given = getattr(inner, attribute, known[0])
        if given not in known:
            what = f"{name}: its class says {attribute} = {bounded_repr(given)}"
            return ManifestIssue(path, f"{what}; {known[0]!r} or {known[1]!r} is due")
    if getattr(inner, "batch_errors", "fail") == "isolate":
        if getattr(inner, "idempotent", False) is not True:
            remedy = "declare idempotent = True on the class if an item may be processed twice"
            return ManifestIssue(path, f"{name}: batch_errors = 'isolate' calls it again for the same items; {remedy}")
        if traits.many:
            what = f"{name} gives any number of outputs for a batch, so none is that of one item"
            return ManifestIssue(path, f"{what}; leave out batch_errors = 'isolate'")
    if traits.many and (spec.max_batch_wait_ms if spec.max_batch_wait_ms is not None else wait_ms) is not None:
        what = f"{name} gives any number of outputs for a batch; such a batch waits until it is full, or for the end"
        return ManifestIssue(f"{path}.max_batch_wait_ms", f"{what}: leave it out")
    if spec.isolation == "thread" or spec.max_concurrency not in (None, 1):
        key = "isolation" if spec.isolation == "thread" else "max_concurrency"
        what = f"{name} takes batches, and gets one at a time, in the run's own thread"
        return ManifestIssue(f"{path}.{key}", f"{what}; leave it out, or define process(self, item) alone")
    size = size if spec.batch_size is None else spec.batch_size
    capacity = min((given.capacity for given in connections if given.capacity is not None), default=size)
    if capacity < size:
        what = f"{name} takes batches of {size}, and a connection into it lets {capacity} items wait (capacity)"
        return ManifestIssue(path, f"{what}; no batch would be full: let at least as many wait")
    return None


def batch_call(node: Any, method: Callable[..., Any], batching: Batching, awaits: bool) -> tuple[Any, Attempts | None]:
    """Return what an engine is to call with a list of items, and what counts its calls if the node isolates.

    Of a 1-to-1 batch it gives (or is to be awaited for) what `outputs_of` takes.

    Parameters
    ----------
    node : object
        The node, behind its guards.
    method : callable
        Its bound ``process_batch``, with its time limit.
    batching : Batching
        How it takes batches.
    awaits : bool
        What `method` gives is to be awaited.
    """
    if batching.arrays:
        method = with_arrays(node, method)
    if not batching.isolates:
        return method, None
    kind = isolated_async if awaits else isolated
    if isinstance(node, Guard):  # which counts by itself
        node.attempts.begin_count()
        return kind(node, method), node.attempts
    attempts = Attempts(True, False)

    def call(items: list[Any]) -> Any:
        attempts.add()
        return method(items)

    return kind(node, call), attempts


def with_arrays(node: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return `method` for lists of items, which it gets as an array."""

    def call(items: list[Any]) -> Any:
        return method(array_of(node, items))

    return call


def isolated(node: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` for a batch that falls back to its items when it fails."""

    def single(item: Any) -> Any:
        try:
            return outputs_of(node, 1, call([item]))[0]
        except Exception as error:
            return Failed(error)

    def call_isolated(items: list[Any]) -> Any:
        try:
            return outputs_of(node, len(items), call(list(items)))
        except Exception:
            if len(items) == 1:
                raise
        return [single(item) for item in items]

    return call_isolated


def isolated_async(node: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same where what `call` gives is to be awaited."""
    from remotemedia.workers import to_await

    async def awaited(items: list[Any]) -> list[Any]:
        return outputs_of(node, len(items), await to_await(node, call(items), "process_batch"))

    async def single(item: Any) -> Any:
        try:
            return (await awaited([item]))[0]
        except Exception as error:
            return Failed(error)

    async def call_isolated(items: list[Any]) -> Any:
        try:
            return await awaited(list(items))
        except Exception:
            if len(items) == 1:
                raise
        return [await single(item) for item in items]

    return call_isolated


def outputs_of(node: Any, count: int, given: Any) -> list[Any]:
    """Return the outputs of a 1-to-1 batch of `count` items, None for each that is filtered.

    Raises
    ------
    TypeError
        What the node gave is no list, tuple or array.
    ValueError
        It has another length.
    """
    if type(given) in NO_ITEM and given is not None:
        raise lazy_error(node, "process_batch", given)
    if isinstance(given, (list, tuple)):
        outputs = list(given)
    elif is_array(given) and given.ndim:
        outputs = list(iterate(given if given.ndim == 1 else given.copy()))  # the node may use its array again
    else:
        raise TypeError(
            f"{class_name(node)}.process_batch gave a {type(given).__name__}; return a list with an output for each "
            "item, None where it is filtered"
        )
    if len(outputs) != count:
        raise ValueError(
            f"{class_name(node)}.process_batch gave {len(outputs)} outputs for {count} items; return one for each, "
            'None where it is filtered, or set emits = "many" on the class to give any number'
        )
    return outputs


def array_of(node: Any, items: list[Any]) -> Any:
    """Return the items of a batch as an array: numbers as one of shape (n,), equal arrays as one of shape (n, …).

    Raises
    ------
    TypeError
        They are no numbers, or arrays of unlike shapes.
    """
    import numpy as np

    try:
        array = np.array(items, order="C")
    except ValueError:
        array = None
    if array is None or array.dtype.kind not in "biufc":
        kinds = sorted({type(item).__name__ for item in items})
        what = f"{class_name(node)} takes arrays (batch_type), and the items of a batch make none"
        remedy = "give it numbers, or arrays of one shape, or set batch_type = 'list'"
        raise TypeError(f"{what} ({', '.join(kinds[:4])}); {remedy}")
    return array
