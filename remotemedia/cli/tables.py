"""Text for a person: aligned columns, and writing it whatever the terminal's encoding is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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
    """Write lines to standard output; what its encoding lacks is escaped."""
    for line in lines:
        try:
            sys.stdout.write(line + "\n")
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding
            sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
