"""The waveform of what a caller has: a file, frames, or a waveform that is there already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from remotemedia._core.media import AudioFrame
from remotemedia.report.waveform import Waveform

if TYPE_CHECKING:
    from collections.abc import Iterable

EXPECTED = "audio is a path, a Waveform, an AudioFrame or an iterable of them"


def waveform_of(audio: Any, *, start_s: float = 0.0, duration_s: float | None = None) -> Waveform:
    """Return the waveform of a path, an iterable of `AudioFrame`, or one that is made.

    Parameters
    ----------
    audio : path-like, AudioFrame, iterable of AudioFrame, or Waveform
        What is drawn.
    start_s, duration_s : float, optional
        The part of a file, in s.

    Raises
    ------
    InputError
        The file cannot be read.
    TypeError
        It is something else.
    """
    if isinstance(audio, Waveform):
        return audio
    waveform = Waveform()
    for frame in _frames(audio, start_s, duration_s):
        if not isinstance(frame, AudioFrame):
            raise TypeError(f"{EXPECTED}; an item of it is of type {type(frame).__name__}")
        waveform.add(frame)
    return waveform


def _frames(audio: Any, start_s: float, duration_s: float | None) -> Iterable[Any]:
    if isinstance(audio, AudioFrame):
        return (audio,)
    if not isinstance(audio, str | os.PathLike):
        if not hasattr(audio, "__iter__"):
            raise TypeError(f"{EXPECTED}, not {type(audio).__name__}")
        return audio  # type: ignore[no-any-return]
    path = os.fspath(audio)
    if str(path).lower().endswith(".wav") and not start_s and duration_s is None:
        from remotemedia.nodes.wav import read_wav

        return read_wav(path)
    from remotemedia.nodes.reader import read_media

    return read_media(path, start_s=start_s, duration_s=duration_s, on_corrupt="skip", block_ms=500)
