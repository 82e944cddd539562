"""The input of a run, item by item: JSON Lines or the blocks of a WAV file.

A feed is an iterable of items that also knows where it is: of a pipeline's output the item that was pulled last is
the one it came from, since a stream gives all outputs of an item before it pulls the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from remotemedia.cli.decode import fault_of
from remotemedia.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        How far it was read: in bytes, or for media in ns of its time.
    is_media : bool
        Its items are frames, with times.
    media_ns : int or None
        How long the media lasts, if that is known.
    """

    index: int
    ended: bool
    is_media: bool
    media_ns: int | None

    @property
    def position(self) -> int:
        """How far it was read."""
        ...

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
    """

    def __init__(self, file: Iterable[bytes], name: str) -> None:
        self.index = -1
        self.ended = False
        self.position = 0
        self.is_media = False
        self.media_ns: int | None = None
        self._file = file
        self._name = name
        self._line = 0

    def __iter__(self) -> Iterator[Any]:
        """Give the items.

        Raises
        ------
        InputError
            A line is not JSON; it is named by its number. Or the file cannot be read.
        """
        try:
            yield from self._items()
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read: {error.strerror or error}") from error
        self.ended = True

    def _items(self) -> Iterator[Any]:
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
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise InputError(f"line {self._line} of {self._name} {fault_of(text, error)}") from error
            if type(item) is dict and "$media" in item:
                item = self._media(item)
            self.index += 1
            yield item

    def _media(self, form: dict[str, Any]) -> Any:
        from remotemedia.media import from_json

        try:
            return from_json(form)
        except (ValueError, ImportError) as error:
            raise InputError(f"line {self._line} of {self._name} is no media item: {error}") from error

    def place(self, index: int) -> str | None:
        """Return the line of an item if it was pulled last: no other is kept."""
        return f"line {self._line} of {self._name}" if index == self.index else None


class Blocks:
    """The audio of a WAV file. See `Feed`."""

    def __init__(self, path: str) -> None:
        from remotemedia.nodes.wav import read_wav

        self.index = -1
        self.ended = False
        self.position = 0
        self.is_media = True
        self.media_ns = _length_ns(path)
        self._blocks = read_wav(path)

    def __iter__(self) -> Iterator[Any]:
        for block in self._blocks:
            self.index += 1
            self.position = block.end_ns
            yield block
        self.ended = True

    def place(self, index: int) -> str | None:
        """Return None: the block's index tells enough."""


def _length_ns(path: str) -> int | None:
    """Return how long a WAV file is, if it tells; what is wrong with one is told when it is read."""
    from remotemedia._core.media import samples_to_ns
    from remotemedia.nodes.wav import wav_layout

    try:
        layout = wav_layout(Path(path))
    except (InputError, OSError, ValueError):
        return None
    return samples_to_ns(layout.size // layout.frame_bytes, layout.rate_hz) if layout else None
