"""From what a caller hands in to an iterator of items; the same for both engines (contract §2, "array input")."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from remotemedia.errors import InputError, bounded_repr

NUMBER_FORMATS = frozenset("hHiIlLqQnNefd?")
"""Of the buffer protocol: numbers, but for single bytes."""

DLPACK_CPU = 1  # kDLCPU

CHUNK = 4096  # elements of an array that become Python scalars at a time


def check_input(items: Any) -> None:
    """Raise `InputError` unless `items` can be taken as the items of a run; nothing is pulled."""
    if isinstance(items, (str, bytes, bytearray, memoryview, Mapping)) and numbers_lent(items) is None:
        raise InputError(
            f"the input is one {type(items).__name__}, not an iterable of items; to send it as one item, "
            "put it into a list"
        )
    if is_array(items):
        if items.ndim == 0:
            raise InputError("the input is an array without dimensions; to send its value, put it into a list")
    elif hasattr(type(items), "__dlpack__"):
        lent = as_array_input(items)
        if lent is not items:
            check_input(lent)
    elif not hasattr(items, "__iter__") and not hasattr(items, "__getitem__") and numbers_lent(items) is None:
        hint = "; it is an async iterable, which the async calls take" if hasattr(items, "__aiter__") else ""
        raise InputError(f"the input is a {type(items).__name__}, which is not iterable{hint}; give a list of items")


def check_feed(producers: Sequence[str], items: Any) -> None:
    """Raise `InputError` if items are given to a graph of producers, or `items` cannot be an input at all."""
    if items is None:
        return
    check_input(items)
    if producers:
        raise InputError(
            f"node {bounded_repr(producers[0])} is a producer, a source of its own, so the pipeline takes no items; "
            "use execute(manifest)"
        )


def is_async_iterable(items: object) -> bool:
    """Whether `items` can only be iterated by ``async for``."""
    return hasattr(type(items), "__aiter__") and not hasattr(type(items), "__iter__")


def check_async_input(items: Any) -> None:
    """Do the same for a run that is awaited: async iterables are taken too."""
    if not is_async_iterable(items):
        check_input(items)


def check_async_feed(producers: Sequence[str], items: Any) -> None:
    """Do what `check_feed` does for a run that is awaited."""
    check_feed(producers, () if is_async_iterable(items) else items)


def as_array_input(items: Any) -> Any:
    """Return what lends its numbers (the buffer protocol, DLPack) as a NumPy array on the same memory; else `items`.

    Raises
    ------
    InputError
        It offers DLPack, but not to a program on this processor.
    """
    kind = type(items)
    if kind is list or kind is tuple or is_array(items):
        return items
    if hasattr(kind, "__dlpack__"):
        import numpy as np

        try:
            return np.from_dlpack(items)
        except (BufferError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            if is_here(items) and hasattr(items, "__iter__"):
                return items
            raise InputError(
                f"the input, a {kind.__name__}, offers DLPack, but not here ({error}); copy it to the CPU"
            ) from error
    view = numbers_lent(items)
    if view is None:
        return items
    try:
        import numpy as np
    except ImportError:
        return items
    return np.asarray(view)


def is_here(items: Any) -> bool:
    """Whether what offers DLPack says that it is in the memory of this processor."""
    try:
        return bool(items.__dlpack_device__()[0] == DLPACK_CPU)
    except Exception:
        return False


def numbers_lent(items: Any) -> memoryview | None:
    """Return a view of the memory of `items`, if that is of numbers: of bytes nobody knows what they stand for."""
    if type(items) in (bytes, bytearray, str) or hasattr(items, "__next__"):
        return None
    try:
        view = memoryview(items)
    except (TypeError, ValueError, BufferError):
        return None
    return view if view.ndim and view.format.lstrip("@=<>!") in NUMBER_FORMATS else None


def iterate(items: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator over the items of a checked input.

    A 1-D array gives its elements as Python scalars, one with more dimensions its rows as read-only views.
    """
    items = as_array_input(items)
    if not is_array(items):
        return iter(items)
    items = items[:]  # type: ignore[index]  # a view: its shape and type are nobody else's to change
    return _elements(items) if items.ndim == 1 else _rows(items)  # type: ignore[attr-defined]


def is_array(value: object) -> bool:
    """Whether `value` is a NumPy array; NumPy is not imported for it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def refusal(item: object, index: int) -> InputError | None:
    """Return why `item` cannot enter a pipeline, or None."""
    if item is None:
        return InputError(f"item {index} is None, which no pipeline takes: None means filtered", item_index=index)
    if isinstance(item, (GeneratorType, CoroutineType, AsyncGeneratorType)):
        kind = "a coroutine: await it" if isinstance(item, CoroutineType) else "a generator: hand in what it yields"
        return InputError(f"item {index} is {kind}", item_index=index)
    return None


def _elements(array: Any) -> Iterator[Any]:
    for start in range(0, len(array), CHUNK):
        yield from array[start : start + CHUNK].tolist()


def _rows(array: Any) -> Iterator[Any]:
    for row in array:
        view = row.view()
        view.flags.writeable = False
        yield view
