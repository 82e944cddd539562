"""The output of a run: lines in a file, whole ones only, and promptly."""

from __future__ import annotations

import os
import time
from typing import IO, TYPE_CHECKING, Any

from remotemedia.cli.encode import fault
from remotemedia.cli.failures import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from remotemedia.cli.lines import Feed

FLUSH_BYTES = 64 * 1024
BUFFER_BYTES = 4 * FLUSH_BYTES
FLUSH_AFTER_S = 0.2


class LineWriter:
    """Writes lines, whole ones only, and promptly.

    Lines are gathered up to 64 KiB or 0.2 s and handed on in one piece. What cannot be written whole to a file (the
    disk is full) is taken back to the end of the last whole line.

    Parameters
    ----------
    file : binary file
        With a buffer of `BUFFER_BYTES`; only a longer line can be cut by Ctrl-C.
    name : str
        What messages call the file.
    encode : callable
        From an item to its line, without the line end.
    live : bool
        Hand on each line at once: someone may be waiting for it.
    with_node : bool
        Write an object that names the sink too: ``{"node": …, "item": …}``.
    end : bytes
        What follows each item; empty where pieces of them are as good.
    regular : bool
        It is a regular file; what it holds is of an earlier run, and given up by `begin`.
    """

    def __init__(
        self,
        file: IO[bytes],
        name: str,
        encode: Callable[[Any], bytes],
        *,
        live: bool,
        with_node: bool = False,
        end: bytes = b"\n",
        regular: bool = False,
    ) -> None:
        self._file = file
        self._name = name
        self._encode = encode
        self._live = live
        self._with_node = with_node
        self._end = end
        self._regular = regular
        self._stale = regular
        self._waiting = bytearray()
        self._next_flush = time.monotonic() + FLUSH_AFTER_S
        self._whole = 0  # bytes that were written, whole lines all
        self.counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many items were written."""
        return sum(self.counts.values())

    def is_file(self, status: os.stat_result) -> bool:
        """Whether a status is that of the file that is written, whatever its name."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), status)
        except (OSError, ValueError, AttributeError):
            return False

    def begin(self) -> None:
        """Empty a regular file, if that was not done yet; `write` does it too.

        Raises
        ------
        OutputError
            It cannot be emptied.
        """
        if not self._stale:
            return
        try:
            self._file.truncate(0)
        except OSError as error:
            raise self._failure(error) from error
        self._stale = False  # after it: an interrupt between the two must not leave the rest of a longer file

    def write(self, sink: str, item: Any, feed: Feed | None) -> None:
        """Write an item that a sink emitted.

        Raises
        ------
        OutputError
            The format cannot hold it, or the file takes no more.
        BrokenPipeError
            Whoever read the output is gone.
        """
        if self._stale:
            self.begin()
        number = self.counts.get(sink, 0)
        try:
            line = self._encode({"node": sink, "item": item} if self._with_node else item)
        except Exception as error:
            raise OutputError(f"sink {sink!r}, {_origin(number, feed)}: {fault(error)}") from error
        self._waiting += line
        self._waiting += self._end
        self.counts[sink] = number + 1
        if self._live or len(self._waiting) >= FLUSH_BYTES or time.monotonic() >= self._next_flush:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits; errors as for `write`, after which it does nothing."""
        if self._file.closed:
            return
        fresh, piece = bytearray(), self._waiting
        # Ctrl-C is seen after calls: none may stand between this line and the write, or lines are lost or doubled
        self._waiting = fresh
        try:
            if piece:
                self._file.write(piece)  # fits into the buffer, which keeps what an interrupted flush has not written
            self._file.flush()
        except BrokenPipeError:
            self._close_under()
            raise
        except OSError as error:
            if self._regular:
                self._take_back(piece)
            self._close_under()
            raise self._failure(error) from error
        self._whole += len(piece)
        self._next_flush = time.monotonic() + FLUSH_AFTER_S

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(f"{self._name}: the output cannot be written: {error.strerror or error}")

    def _take_back(self, piece: bytearray) -> None:
        """Cut off the beginning of a line that went into the file without its end."""
        descriptor = self._file.fileno()
        written = os.lseek(descriptor, 0, os.SEEK_CUR) - self._whole
        whole = piece.rfind(self._end, 0, written) + len(self._end)  # of no end: what is there
        os.truncate(descriptor, self._whole + max(whole, 0))

    def give_up(self) -> None:
        """Let go of what is not handed on yet, if it would have to wait for a reader; a regular file takes it."""
        if not self._regular:
            self._close_under()

    def _close_under(self) -> None:
        """Close the file under its buffer, which would try to write its rest once more."""
        raw = getattr(self._file, "raw", None)
        if raw is not None:
            raw.close()


def _origin(number: int, feed: Feed | None) -> str:
    """Return which output it is, by its number at the sink and by the input item where that is known."""
    if feed is None or feed.index < 0:
        return f"output {number}"
    if feed.ended:
        return f"output {number} (from a flush)"
    place = feed.place(feed.index)
    return f"output {number} (from item {feed.index}{', ' + place if place else ''})"
