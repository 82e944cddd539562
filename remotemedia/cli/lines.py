"""JSON Lines, in and out, a line at a time.

A feed is an iterable of items that also knows where it is: of a pipeline's output the item that was pulled last is
the one it came from, since a stream gives all outputs of an item before it pulls the next.
"""

from __future__ import annotations

import json
import os
import re
import time
from array import array
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec

from remotemedia.cli.failures import OutputError
from remotemedia.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FLUSH_BYTES = 64 * 1024
BUFFER_BYTES = 4 * FLUSH_BYTES
FLUSH_AFTER_S = 0.2
BOM = b"\xef\xbb\xbf"


class Feed(Protocol):
    """The input of a run.

    Attributes
    ----------
    index : int
        Of the item that was pulled last; -1 before the first.
    ended : bool
        All items were pulled: what comes out now comes from a flush.
    position : int
        Bytes read so far.
    """

    index: int
    ended: bool
    position: int

    def __iter__(self) -> Iterator[Any]: ...

    def place(self, index: int) -> str | None:
        """Return where in the file an item is, if that is known."""
        ...


class JsonLines:
    """The items of JSON Lines; blank lines are passed over. See `Feed`.

    Parameters
    ----------
    file : iterable of bytes
        Lines; the next is asked for when the pipeline asks for its item.
    name : str
        What messages call the file.
    remember : bool
        Know the line of every item (8 bytes each), not only of the last one.
    """

    def __init__(self, file: Iterable[bytes], name: str, *, remember: bool = False) -> None:
        self.index = -1
        self.ended = False
        self.position = 0
        self._file = file
        self._name = name
        self._line = 0
        self._lines = array("Q") if remember else None

    def __iter__(self) -> Iterator[Any]:
        """Give the items.

        Raises
        ------
        InputError
            A line is not JSON; it is named by its number.
        """
        decode = msgspec.json.Decoder().decode
        for text in self._file:
            self._line += 1
            self.position += len(text)
            if self._line == 1:
                text = text.removeprefix(BOM)
            if not text.strip():
                continue
            try:
                item = decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise InputError(f"line {self._line} of {self._name} is not JSON: {error}") from error
            except RecursionError as error:
                raise InputError(f"line {self._line} of {self._name} is nested too deep") from error
            self.index += 1
            if self._lines is not None:
                self._lines.append(self._line)
            yield item
        self.ended = True

    def place(self, index: int) -> str | None:
        """Return the line of an item, if it is known."""
        if self._lines is not None:
            return f"line {self._lines[index]} of {self._name}" if index < len(self._lines) else None
        return f"line {self._line} of {self._name}" if index == self.index else None


class Blocks:
    """The audio blocks of a WAV file. See `Feed`."""

    def __init__(self, path: str) -> None:
        from remotemedia.nodes.wav import read_wav  # NumPy and soundfile are extras

        self.index = -1
        self.ended = False
        self.position = 0
        self._blocks = read_wav(path)

    def __iter__(self) -> Iterator[Any]:
        for block in self._blocks:
            self.index += 1
            yield block
        self.ended = True

    def place(self, index: int) -> str | None:
        """Return None: the block's index tells enough."""


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
    regular : bool
        It is a regular file, empty so far.
    """

    def __init__(
        self, file: IO[bytes], name: str, encode: Callable[[Any], bytes], *, live: bool, regular: bool = False
    ) -> None:
        self._file = file
        self._name = name
        self._encode = encode
        self._live = live
        self._regular = regular
        self._waiting = bytearray()
        self._next_flush = time.monotonic() + FLUSH_AFTER_S
        self._whole = 0  # bytes that were written, whole lines all
        self.counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many items were written."""
        return sum(self.counts.values())

    def write(self, sink: str, item: Any, feed: Feed | None) -> None:
        """Write an item that a sink emitted.

        Raises
        ------
        OutputError
            The format cannot hold it, or the file takes no more.
        BrokenPipeError
            Whoever read the output is gone.
        """
        number = self.counts.get(sink, 0)
        try:
            line = self._encode(item)
        except Exception as error:
            raise OutputError(f"sink {sink!r}, {_origin(number, feed)}: {_fault(error)}") from error
        self._waiting += line
        self._waiting += b"\n"
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
            self._give_up()
            raise
        except OSError as error:
            if self._regular:
                self._take_back(piece)
            self._give_up()
            raise OutputError(f"{self._name}: the output cannot be written: {error.strerror or error}") from error
        self._whole += len(piece)
        self._next_flush = time.monotonic() + FLUSH_AFTER_S

    def _take_back(self, piece: bytearray) -> None:
        """Cut off the beginning of a line that went into the file without its end."""
        descriptor = self._file.fileno()
        written = os.lseek(descriptor, 0, os.SEEK_CUR) - self._whole
        os.truncate(descriptor, self._whole + piece.rfind(b"\n", 0, written) + 1)

    def _give_up(self) -> None:
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


def _fault(error: Exception) -> str:
    if isinstance(error, ReprError):
        return str(error)
    reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error) or type(error).__name__
    return f"JSON cannot hold the item: {reason}; --format repr writes any object"


class ReprError(Exception):
    """The repr of an item raised."""


def encode_repr(item: Any) -> bytes:
    """Return the repr of an item, on one line."""
    try:
        text = repr(item)
    except Exception as error:
        raise ReprError(f"the repr of a {type(item).__name__} raised {type(error).__name__}: {error}") from error
    return re.sub(r"\s*[\r\n]\s*", " ", text).encode("utf-8", "backslashreplace")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_ascii_encoder = json.JSONEncoder(allow_nan=False)


def encode_json(item: Any) -> bytes:
    """Return an item as JSON in UTF-8.

    Strict, so that whoever reads the line gets what the sink emitted: msgspec would write NaN as null, and both it
    and `json` the key 1 as "1".

    Raises
    ------
    TypeError, ValueError, RecursionError
        JSON cannot hold it.
    """
    text = _encoder.encode(item)  # first: it finds circles
    if isinstance(item, (dict, list, tuple)):
        _check_keys(item)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        return _ascii_encoder.encode(item).encode()


def _check_keys(item: Any) -> None:
    """Raise TypeError for a key that is no string."""
    containers = [item]
    while containers:
        container = containers.pop()
        if isinstance(container, dict):
            for key in container:
                if not isinstance(key, str):
                    raise TypeError(f"the key {key!r} is a {type(key).__name__}, not a string")
            container = container.values()
        containers += [value for value in container if isinstance(value, (dict, list, tuple))]
