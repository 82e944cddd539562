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
    """A bar over the input, by its bytes or, of media, by its time where that is known; gone at the end.

    Made by `of` or `of_media`; a context manager.
    """

    def __init__(self, bar: Any, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total, items=0, reached=clock(0), speed="")
        self._next = 0.0
        self._begun_s: float | None = None  # of media

    @classmethod
    def of(cls, total: int | None) -> Self | None:
        """Return a bar for an input of `total` bytes (None: unknown), or None if rich is not installed."""
        return cls._with_columns(total, "{task.fields[items]} items")

    @classmethod
    def of_media(cls, media_ns: int | None) -> Self | None:
        """Return a bar for media that lasts `media_ns` (None: unknown): time done, and times as fast as real time."""
        whole = f" / {clock(media_ns)}" if media_ns else ""
        made = cls._with_columns(media_ns, "{task.fields[reached]}" + whole, "{task.fields[speed]}")
        if made is not None:
            made._begun_s = time.monotonic()
        return made

    @classmethod
    def _with_columns(cls, total: int | None, *texts: str) -> Self | None:
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            return None
        parts = [
            progress.BarColumn(),
            *map(progress.TextColumn, texts),
            progress.TimeElapsedColumn(),
            *([progress.TextColumn("ETA"), progress.TimeRemainingColumn()] if total else []),
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
        """Show that item `index` is reached, at `position` of the input (bytes, ns); ten times a second at most."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        if self._begun_s is None:
            self._draw(lambda: self._bar.update(self._task, completed=position, items=index + 1))
        else:
            speed = position / 1e9 / max(now - self._begun_s, 1e-9)
            shown = f"{speed:.1f}x real time" if speed < 100 else f"{speed:.0f}x real time"
            self._draw(lambda: self._bar.update(self._task, completed=position, reached=clock(position), speed=shown))

    def _draw(self, how: Callable[[], None]) -> None:
        """Draw, unless the terminal is gone: nobody looks then, and the run goes on."""
        with suppress(OSError):
            how()


def clock(time_ns: int) -> str:
    """Return a time as hours, minutes and seconds: ``1:02:03``."""
    seconds = max(time_ns, 0) // 10**9
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
