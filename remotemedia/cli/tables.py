"""Text for a person: aligned columns, and what goes to standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
