"""How the reference engine awaits: what may wait is a generator, a *part*, that yields `Await` objects.

Who drives the parts, awaits what they yield, leaves the outcome in the `Await` and goes on. A run without async nodes
never yields one, so the same code serves both: `run_through` for a plain call, `awaited` for one that is awaited.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

from remotemedia.returns import awaited_by

if TYPE_CHECKING:
    from remotemedia.reference.steps import Line

T = TypeVar("T")


class Await:
    """Asks who drives the run to await the outcome of a node's async method."""

    def __init__(self, node: Any, method: str, given: Any) -> None:
        self._node = node
        self._method = method
        self._given = given
        self._value: Any = None
        self._error: BaseException | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        """Await it, and keep what comes of it for `outcome`."""
        try:
            driven = awaited_by(self._node, self._method, self._given)
            self._value = yield from (driven.__await__() if hasattr(driven, "__await__") else driven)
        except BaseException as error:
            self._error = error

    def interrupt(self) -> None:
        """Do the same without waiting: where it suspends, it is interrupted."""
        driven = self.__await__()
        try:
            driven.send(None)
            driven.throw(GeneratorExit())
        except StopIteration:
            return
        except RuntimeError as error:
            self._error = error
        else:
            self._error = RuntimeError("a node ignored GeneratorExit")

    def outcome(self, end: Any = None) -> Any:
        """Return, or raise, what came of it; `end` where an async iterator is at its end."""
        error, self._error = self._error, None
        try:
            if end is not None and isinstance(error, StopAsyncIteration):
                return end
            if error is not None:
                raise error
            return self._value
        finally:
            del error


Part = Generator[Await, None, T]


def wait_for(node: Any, method: str, given: Any) -> Part[Any]:
    """Return what comes of awaiting what an async `method` gave."""
    waiting = Await(node, method, given)
    yield waiting
    return waiting.outcome()


def run_through(part: Part[T]) -> T:
    """Return the value of a part that awaits nothing."""
    try:
        while True:
            next(part)
            raise AssertionError("a run with async nodes is to be awaited")
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def awaited(part: Part[T]) -> T:
    """Return the value of a part, awaiting what it yields; GeneratorExit is the last thing that is waited for."""
    closing = False
    try:
        while True:
            waiting = next(part)
            if closing:
                waiting.interrupt()
                continue
            await waiting
            closing = isinstance(waiting._error, GeneratorExit)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def as_lines(part: Part[Any]) -> Generator[Line, None, Any]:
    """Return the value of `part`; what it awaits is given as lines, which `Travel.drive` knows from others."""
    while True:
        try:
            waiting = next(part)
        except StopIteration as end:
            return end.value
        yield None, waiting


def as_scopes(part: Part[Any]) -> Generator[list[Line], None, Any]:
    """Return the value of `part`; what it awaits is given as scopes of one line."""
    while True:
        try:
            waiting = next(part)
        except StopIteration as end:
            return end.value
        yield [(None, waiting)]
