"""SIGTERM and SIGHUP end a command as Ctrl-C does: nodes cleaned up, finished output handed on."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopped(KeyboardInterrupt):
    """A signal came. Whatever knows what to do at Ctrl-C (engines, nodes, libraries) does it now too.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def orderly_end() -> Iterator[None]:
    """Raise `Stopped` in the main thread where SIGTERM or SIGHUP would kill the process.

    A signal that is ignored (`nohup`), or that the program handles itself, is left alone.
    """
    changed = []
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _stop)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def number_of(interrupt: KeyboardInterrupt) -> int:
    """Return the number of the signal that an interrupt came from."""
    return interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT


def told(interrupt: KeyboardInterrupt) -> str:
    """Return what to tell of an interrupt."""
    number = number_of(interrupt)
    return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"


def _stop(number: int, frame: Any) -> None:
    raise Stopped(number)
