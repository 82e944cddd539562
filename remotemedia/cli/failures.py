"""What can go wrong on the command line, and how it is told: exit statuses, and one block on standard error each."""

from __future__ import annotations

import traceback

from remotemedia.cli.standard import tell
from remotemedia.errors import RemoteMediaError, bounded_text

DONE = 0
FAILED = 1
USAGE = 2
SIGNALLED = 128  # plus the number of the signal, as a shell says it
BROKEN_PIPE = 141  # 128 + SIGPIPE


class UsageError(Exception):
    """The command cannot be run as it was given."""


class OutputError(RemoteMediaError):
    """What a sink emitted cannot be written in the format that was asked for, or nowhere."""


def report(error: BaseException, message: str | None = None, *, with_traceback: bool = False) -> None:
    """Tell of an error on standard error: what was wrong, then its notes, indented."""
    if with_traceback:
        tell("".join(traceback.format_exception(error)))
    text = message or _text(error)
    lines = [*text.splitlines(), *(line for note in getattr(error, "__notes__", ()) for line in note.splitlines())]
    tell("\n  ".join([f"remotemedia: {'' if message else 'error: '}{lines[0]}", *lines[1:]]) + "\n")


def warn(text: str) -> None:
    """Tell of something that stops nothing."""
    tell("remotemedia: warning: " + "\n  ".join(text.splitlines()) + "\n")


def _text(error: BaseException) -> str:
    """Return the message of an error; one that is not ours or the system's is named by its type too."""
    text = str(error) if isinstance(error, RemoteMediaError) else bounded_text(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (RemoteMediaError, UsageError, ImportError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
