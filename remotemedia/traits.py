"""What a node is, read from its instance at plan time: emits many, flushes, produces, is async (contract §1, §2)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from remotemedia._core.node import NativeNode, NodeExecutor
from remotemedia.errors import ManifestIssue, RegistryError, bounded_repr

LIFECYCLE = ("initialize", "process", "flush", "cleanup", "produce")
CALLED = ("process", "process_batch", "produce")  # of which a node has one
WRAPPERS_LIMIT = 64
SHOWN_FAULTS = 20


class Traits(NamedTuple):
    """What the plan needs to know of a node.

    Attributes
    ----------
    many : bool
        ``process`` gives an iterable of 0..n items.
    flushes : bool
        It has a ``flush`` of its own.
    produces : bool
        It is a source of its own (``produce``); its ``process`` is never called.
    awaits : frozenset of str
        Methods whose calls give something to be awaited.
    streams : frozenset of str
        Methods whose calls give an async iterator.
    batches : bool
        It has ``process_batch``, which is called in place of ``process``; all that is said of ``process`` is of it.
    """

    many: bool
    flushes: bool
    produces: bool
    awaits: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    batches: bool = False

    @property
    def opens(self) -> bool:
        """Whether the node opens a scope, leaving merges aside."""
        return self.many or self.flushes or self.produces

    @property
    def entry(self) -> str:
        """The name of the method that takes items."""
        return "process_batch" if self.batches else "process"

    @property
    def is_async(self) -> bool:
        """Whether a run with the node needs an event loop."""
        return bool(self.awaits or self.streams)


def check_nodes(specs: Sequence[Any], nodes: Iterable[Any]) -> None:
    """Raise a RegistryError that names every one of `nodes` that is none, with the `NodeSpec` that it was made for."""
    faults = [
        f"the factory of node type {bounded_repr(spec.node_type)} (node {bounded_repr(spec.id)}) gave {other}"
        for spec, node in zip(specs, nodes, strict=True)
        if (other := what_else(node)) is not None
    ]
    if len(faults) > SHOWN_FAULTS:
        faults[SHOWN_FAULTS:] = [f"and {len(faults) - SHOWN_FAULTS} more"]
    if faults:
        raise RegistryError("\n".join(faults))


def what_else(node: Any) -> str | None:
    """Return what `node` is, if it is no node, and what to do about it."""
    inner = innermost(node)
    if isinstance(inner, type):
        return f"the class {inner.__name__}, not a node; return {inner.__name__}(), or register the class itself"
    if isinstance(inner, NodeExecutor) or any(callable(getattr(inner, name, None)) for name in CALLED):
        return None
    return f"{bounded_repr(inner, 60)}, not a node; a node has process(item), process_batch(items) or produce()"


def read_traits(node: Any) -> Traits:
    """Return the traits of `node`; a wrapper (``node.__wrapped__``) has those of what it wraps."""
    node = innermost(node)
    produces = callable(getattr(node, "produce", None))
    batches = not produces and callable(getattr(node, "process_batch", None))
    layers = {name: function_layers(getattr(node, name, None)) for name in LIFECYCLE}
    if produces:
        del layers["process"]  # it is never called
    elif batches:
        layers["process"] = function_layers(node.process_batch)
    awaits = frozenset(name for name in layers if any(map(is_coroutine_function, layers[name])))
    streams = frozenset(name for name in layers if any(map(inspect.isasyncgenfunction, layers[name])))
    many = not produces and (
        getattr(node, "emits", None) == "many"
        or "process" in streams
        or any(map(inspect.isgeneratorfunction, layers["process"]))
    )
    return Traits(many, has_own(node, "flush"), produces, awaits, streams, batches)


def is_coroutine_function(function: Any) -> bool:
    """Whether calls of `function` are to be awaited; compiled ones and marked ones say so by an attribute."""
    return inspect.iscoroutinefunction(function) or hasattr(function, "_is_coroutine")


def fault_of(node: Any, path: str, name: str) -> ManifestIssue | None:
    """Return why `node` cannot be run, or None."""
    inner = innermost(node)
    for method in ("initialize", "cleanup"):
        if any(map(inspect.isasyncgenfunction, function_layers(getattr(inner, method, None)))):
            what = f"{name}: {type(inner).__name__}.{method} is an async generator, which gives items"
            return ManifestIssue(path, f"{what}; write it as async def without a yield")
    others = (getattr(inner, method, None) for method in CALLED if method != "process")
    if not any(map(callable, others)) and not has_process(inner):
        return ManifestIssue(path, f"{name}: {type(inner).__name__} has no process method; define process(self, item)")
    return None


def innermost(node: Any) -> Any:
    """Return what `node` wraps in the end, or `node` itself."""
    for _ in range(WRAPPERS_LIMIT):
        if not hasattr(node, "__wrapped__"):
            break
        node = node.__wrapped__
    return node


def has_own(node: Any, method: str) -> bool:
    """Whether `node` has `method`, other than the one inherited from `NodeExecutor`."""
    found = getattr(node, method, None)
    if found is None or not callable(found):
        return False
    if not isinstance(node, NodeExecutor):
        return True
    set_on_instance = getattr(found, "__self__", None) is not node  # a bound method of the base would have it
    return set_on_instance or getattr(type(node), method, None) is not getattr(NodeExecutor, method)


def has_process(node: Any) -> bool:
    """Whether `node` has a ``process``, in Python or (an extension type's ``process_item``) in C."""
    if has_own(node, "process") and getattr(type(node), "process", None) is not NativeNode.process:
        return True
    if not isinstance(node, NodeExecutor):
        return False
    lowest = next(base for base in type(node).__mro__ if not base.__flags__ & _HEAP_TYPE)
    return lowest not in (NativeNode, NodeExecutor, object)


_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a Python class statement


def function_layers(function: Any) -> list[Any]:
    """Return `function` and what it wraps: bound methods, partials, ``__wrapped__``, callable objects."""
    layers = []
    for _ in range(WRAPPERS_LIMIT):
        if function is None:
            break
        layers.append(function)
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif not inspect.isroutine(function) and not isinstance(function, type):
            function = type(function).__dict__.get("__call__")
        else:
            break
    return layers
