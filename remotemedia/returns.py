"""What a node may give, and the TypeErrors for what it may not (R37); both engines ask here when something is odd."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Iterable, Mapping
from inspect import CO_ITERABLE_COROUTINE
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any

from remotemedia.traits import innermost

NO_ITEM = frozenset({NoneType, GeneratorType, CoroutineType, AsyncGeneratorType})
"""Types of what is no item: None filters (or, as an input, is refused); the others are mistakes."""


def refuse_lazy(node: Any, method: str, value: Any) -> None:
    """Raise TypeError for a generator, coroutine or async generator where an item, or nothing, is due."""
    if type(value) in NO_ITEM and value is not None:
        raise lazy_error(node, method, value)


def lazy_error(node: Any, method: str, value: Any) -> TypeError:
    """Return the error for a lazy value, which is closed."""
    kind = type(value)
    if kind is GeneratorType or isinstance(value, Generator):
        remedy = 'to emit many items, set emits = "many" on the class or yield them from process'
    else:
        remedy = f"nobody awaits it: write async def {method}, or await it in there"
    error = TypeError(f"{class_name(node)}.{method} gave a {kind.__name__.replace('_', ' ')}; {remedy}")
    try:
        getattr(value, "close", lambda: None)()
    except Exception as failure:
        error.__cause__ = failure
    return error


def awaited_by(node: Any, method: str, value: Any) -> Any:
    """Return the iterator that drives what an async `method` gave; TypeError if it cannot be awaited."""
    if isinstance(value, Coroutine):
        return value
    if isinstance(value, GeneratorType) and value.gi_code.co_flags & CO_ITERABLE_COROUTINE:
        return value
    if not hasattr(type(value), "__await__"):
        raise TypeError(
            f"{class_name(node)}.{method} is async, but gave a {type(value).__name__}; it cannot be awaited"
        )
    return value.__await__()


def async_series(node: Any, method: str, value: Any) -> Any:
    """Return the async iterator of what an async generator method gave; TypeError if it is none."""
    if not hasattr(type(value), "__aiter__"):
        raise TypeError(
            f"{class_name(node)}.{method} is an async generator, but gave a {type(value).__name__}, "
            "which is not an async iterable"
        )
    return value.__aiter__()


def emitted_many(node: Any, value: Any) -> Iterable[Any]:
    """Return the items of what ``process`` of a many-node gave, which is not None."""
    if type(value) is not GeneratorType:
        refuse_lazy(node, "process", value)
    if not is_iterable(value):
        raise TypeError(
            f"{class_name(node)}.process gave a {type(value).__name__}, which is not iterable; "
            'emits = "many" promises an iterable of items'
        )
    return value  # type: ignore[no-any-return]


def series(node: Any, method: str, value: Any) -> Iterable[Any]:
    """Return what ``flush`` or ``produce`` gave, if it is an iterable of items and not, in all likelihood, one item."""
    if type(value) is not GeneratorType:
        refuse_lazy(node, method, value)
    if not is_iterable(value) or is_one_item(value):
        raise TypeError(f"{class_name(node)}.{method} gave a {type(value).__name__}; return a list of items")
    return value  # type: ignore[no-any-return]


def is_iterable(value: object) -> bool:
    """Whether `iter` takes `value`; nothing of it is called."""
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def is_one_item(value: Any) -> bool:
    """Whether `value` is text, bytes, a mapping or an array: iterable, but hardly a list of items."""
    if isinstance(value, (str, Mapping)) or hasattr(value, "__array__"):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def class_name(node: Any) -> str:
    """Return the name of the class of `node`, inside any wrappers."""
    return type(innermost(node)).__name__
