"""Text for a person: aligned columns, and what goes to standard output."""

from __future__ import annotations

import codecs
import json
import sys
from typing import TYPE_CHECKING, Any

from remotemedia.cli.failures import OutputError, UsageError
from remotemedia.cli.standard import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def columns(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Return rows as lines with aligned columns; with `numbers`, all but the first column end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if numbers and i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def say(lines: Iterable[str]) -> None:
    """Write lines to standard output; what its encoding lacks is escaped.

    Raises
    ------
    UsageError
        It is closed.
    OutputError
        It takes no more.
    BrokenPipeError
        Whoever read it is gone.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed")
    try:
        for line in lines:
            write(sys.stdout, line + "\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _full(error) from error


def say_json(value: Any) -> None:
    """Write a value as JSON to standard output, as `say` does; what cannot be UTF-8 there is escaped as JSON has it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        readable = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8"
        text.encode()  # a file name of other bytes cannot be
    except (LookupError, UnicodeEncodeError):
        readable = False
    say([text if readable else json.dumps(value, indent=2)])


def flush_output() -> None:
    """Hand on what is in the buffer of standard output, if it is open; errors as for `say`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _full(error) from error


def _full(error: OSError) -> OutputError:
    return OutputError(f"standard output cannot be written: {error.strerror or error}")
