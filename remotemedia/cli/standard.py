"""Standard streams that are closed, full, or read by nobody: none of it may change an exit status or make a traceback.

A closed descriptor is dangerous by its number: the next file that is opened gets it, and what a library then writes
to descriptor 2 goes into that file. A closed ``sys.stderr`` is None, which `print` takes for standard output.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make closed streams harmless: their descriptors lead nowhere, and so does ``sys.stderr``.

    ``sys.stdin`` and ``sys.stdout`` stay None, so whoever needs one can tell that it is closed.
    """
    for descriptor in range(3):
        _plug(descriptor)
    if sys.stderr is not None:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8", errors="backslashreplace") as nowhere:
        sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stderr = None  # as the interpreter had it


def tell(text: str) -> None:
    """Write to standard error, if there is someone to be told."""
    try:
        write(sys.stderr, text)
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def write(stream: TextIO, text: str) -> None:
    """Write text; what the encoding of the stream lacks is escaped."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def settle(stream: TextIO | None) -> None:
    """Hand on what is in the buffer of a stream; where that cannot be, drop it."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        silence(stream)


def silence(stream: TextIO | None) -> None:
    """Send what is left in the buffer of a stream nowhere, or the interpreter fails at its exit."""
    if stream is None:
        return
    try:
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _plug(descriptor: int) -> None:
    """Let a closed descriptor lead nowhere."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor, inheritable=False)
            os.close(nowhere)
