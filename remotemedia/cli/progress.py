"""A progress bar on standard error, by rich where that is installed."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

EVERY_S = 0.1


class Progress:
    """A bar over the bytes of the input where their number is known, and the count of items; gone at the end.

    Made by `of`; a context manager.
    """

    def __init__(self, bar: Any, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total, items=0)
        self._next = 0.0

    @classmethod
    def of(cls, total: int | None) -> Self | None:
        """Return a bar for an input of `total` bytes (None: unknown), or None if rich is not installed."""
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            return None
        parts = [
            progress.BarColumn(),
            progress.TextColumn("{task.fields[items]} items"),
            progress.TimeElapsedColumn(),
            *([progress.TimeRemainingColumn()] if total else []),
        ]
        return cls(progress.Progress(*parts, console=Console(stderr=True), transient=True), total)

    def __enter__(self) -> Self:
        self._draw(self._bar.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._draw(self._bar.stop)

    def show(self, index: int, position: int) -> None:
        """Show that item `index` is reached, at byte `position` of the input; ten times a second at most."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self._draw(lambda: self._bar.update(self._task, completed=position, items=index + 1))

    def _draw(self, how: Callable[[], None]) -> None:
        """Draw, unless the terminal is gone: nobody looks then, and the run goes on."""
        with suppress(OSError):
            how()
