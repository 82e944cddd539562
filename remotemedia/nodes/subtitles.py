"""Subtitles of segments: `format_srt` and `format_vtt` for one cue, `SrtWriter` for a file of them.

SubRip has no standard; this is what players read: UTF-8, a number from 1, times as ``HH:MM:SS,mmm``, an empty line
behind each cue. WebVTT is the W3C's, and begins a file with ``WEBVTT`` and an empty line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from remotemedia._core.media import AudioFrame, Text
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.unfinished import UnfinishedFile

if TYPE_CHECKING:
    from collections.abc import Iterable

VTT_HEAD = "WEBVTT\n\n"


def format_srt(index: int, start_s: float, end_s: float, text: str) -> str:
    """Return a cue of a SubRip file (``.srt``), with the empty line that ends it.

    Parameters
    ----------
    index : int
        Its number, from 1.
    start_s, end_s : float
        When it is shown, in s, rounded to 1 ms; not negative.
    text : str
        What is shown. Lines that are empty, which would end the cue, are left out.

    Raises
    ------
    ValueError
        A time is negative or no number, or the end lies before the start.

    Examples
    --------
    >>> print(format_srt(1, 0.7, 1.93, "Good morning everyone."), end="")
    1
    00:00:00,700 --> 00:00:01,930
    Good morning everyone.
    <BLANKLINE>
    """
    return f"{index}\n{_times(start_s, end_s, ',')}\n{_lines(text)}\n"


def format_vtt(start_s: float, end_s: float, text: str) -> str:
    """Return a cue of a WebVTT file (``.vtt``), as `format_srt` does; ``&``, ``<`` and ``>`` are escaped.

    Examples
    --------
    >>> print(format_vtt(0.7, 3661.5, "R&D"), end="")
    00:00:00.700 --> 01:01:01.500
    R&amp;D
    <BLANKLINE>
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_times(start_s, end_s, '.')}\n{_lines(escaped)}\n"


class SrtWriter(NodeExecutor):
    """Write segments to a SubRip file: a sink, which tells at the flush ``{"path": …, "cues": n}``.

    Takes what has a start and an end: dicts as those of `SpeechSegmenter` (``start``, ``end``, and ``text`` if there
    is one), and `AudioFrame` and `Text` items with `start` and `end` in their metadata (an `AudioFrame` without them
    lasts as long as its samples). The file is written under a temporary name beside it and takes its own at the flush,
    so that nothing half-written ever bears it; without segments it is empty. A run that fails leaves no file, and one
    of that name as it was. A recording after a flush takes the place of the one before.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file to write (required)",
        "text": "what segments without a text show; {index} is their number, from 1 (default 'speech {index}')",
    }

    _file: UnfinishedFile | None

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._file = None
        params = Params(context, self.PARAMS)
        self._path = params.text("path")
        self._text = params.text("text") if context.params.get("text") is not None else "speech {index}"
        self._count = 0

    def process(self, item: object) -> None:
        """Write a segment."""
        start_s, end_s, text = cue_of(item)
        number = self._count + 1
        if text is None:
            text = self._text.replace("{index}", str(number))
        cue = format_srt(number, start_s, end_s, text)
        self._open().write(cue.encode("utf-8", "replace"))
        self._count = number

    def flush(self) -> list[dict[str, str | int]]:
        """Finish the file."""
        self._open().finish()
        told: dict[str, str | int] = {"path": self._path, "cues": self._count}
        self._file = None
        self._count = 0
        return [told]

    def cleanup(self) -> None:
        """Remove what was not finished."""
        file, self._file = self._file, None
        if file is not None:
            file.discard()

    def _open(self) -> UnfinishedFile:
        if self._file is None:
            self._file = UnfinishedFile(self._path)
        return self._file


def _times(start_s: float, end_s: float, separator: str) -> str:
    if not 0 <= start_s <= end_s < math.inf:
        raise ValueError(f"a cue needs a start of 0 or more and an end that is not before it, got {start_s}…{end_s} s")
    return f"{_clock(start_s, separator)} --> {_clock(end_s, separator)}"


def _clock(time_s: float, separator: str) -> str:
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{milliseconds:03}"


def _lines(text: str) -> str:
    lines: Iterable[str] = (line.strip().replace("-->", "->") for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def cue_of(item: object) -> tuple[float, float, str | None]:
    """Return start and end in s, and the text if it has any, of a segment.

    Raises
    ------
    TypeError, ValueError
        It is none.
    """
    text: object = None
    if isinstance(item, AudioFrame):
        known: Mapping[str, object] = {"start": item.start_s, "end": item.end_s, **item.metadata}
    elif isinstance(item, Text):
        known = {"start": item.start_s, **item.metadata}
        text = item.text
    elif isinstance(item, Mapping):
        known = item
    else:
        raise TypeError(f"SrtWriter takes segments: dicts, AudioFrame or Text items, not {type(item).__name__}")
    text = known.get("text") if text is None else text
    start_s, end_s = (known.get(key) for key in ("start", "end"))
    for key, value in (("start", start_s), ("end", end_s)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"the segment has no {key!r} in s: put SpeechSegmenter before SrtWriter")
    assert isinstance(start_s, int | float)
    assert isinstance(end_s, int | float)
    return start_s, end_s, None if text is None or not str(text).strip() else str(text)
