"""Media as input and output of a run: files that PyAV decodes, raw PCM, subtitles; feeds are described in `lines`."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from remotemedia.cli.encode import FormError
from remotemedia.cli.failures import UsageError
from remotemedia.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA_SUFFIXES = frozenset(
    f".{suffix}"
    for suffixes in (
        (
            "aac",
            "ac3",
            "aif",
            "aiff",
            "amr",
            "au",
            "caf",
            "flac",
            "m4a",
            "mka",
            "mp2",
            "mp3",
            "oga",
            "ogg",
            "opus",
            "wma",
        ),
        ("3gp", "avi", "flv", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "ts", "webm", "wmv"),
    )
    for suffix in suffixes
)
"""Names that end so are of files that FFmpeg reads; `--input-format media` takes any other."""

STREAMS = ("auto", "audio", "video", "both")
PCM_FORMATS = ("s16le", "f32le")  # as in remotemedia.nodes.pcm, which is not imported for --help
PCM_BLOCK_MS = 20.0
MOST_HZ, MOST_CHANNELS = 10_000_000, 256  # of an AudioFrame


class PcmFormat(NamedTuple):
    """What raw samples are: see `read_pcm_format`."""

    sample_rate: int
    channels: int
    format: str


def is_media_name(name: str) -> bool:
    """Whether a file's name says that it is decoded by PyAV."""
    return PurePath(name).suffix.lower() in MEDIA_SUFFIXES


def read_pcm_format(text: str) -> PcmFormat:
    """Return what ``RATE[:CHANNELS[:FORMAT]]`` says, ``16000`` or ``48000:2:s16le``.

    Raises
    ------
    UsageError
        It says no such thing.
    """
    rate, _, rest = text.partition(":")
    channels, _, sample_format = rest.partition(":")
    sample_format = sample_format or PCM_FORMATS[0]
    channels = channels or "1"
    if not (_is_count(rate) and _is_count(channels)) or sample_format not in PCM_FORMATS:
        wanted = f"RATE[:CHANNELS[:FORMAT]], such as 16000 or 48000:2:s16le; formats are {', '.join(PCM_FORMATS)}"
        raise UsageError(f"--pcm {text if len(text) <= 40 else text[:39] + '…'}: must be {wanted}")
    if int(rate) > MOST_HZ or int(channels) > MOST_CHANNELS:
        raise UsageError(f"--pcm {text}: at most {MOST_HZ} Hz and {MOST_CHANNELS} channels")
    return PcmFormat(int(rate), int(channels), sample_format)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


class MediaFeed:
    """The decoded frames of a media file, audio and video.

    Parameters
    ----------
    path : str
        The file.
    stream : {"auto", "audio", "video", "both"}
        What is decoded; auto is the audio or, without any, the video.
    skip_corrupt : bool
        Pass over what cannot be decoded, and count it; else it ends the run.

    Raises
    ------
    ImportError
        PyAV is not there: it is an extra.
    InputError
        It cannot be opened, or has no such stream.
    """

    def __init__(self, path: str, stream: str, *, skip_corrupt: bool) -> None:
        try:
            import_module("av")
            from remotemedia.nodes.reader import read_media
        except (ImportError, OSError) as error:
            raise ImportError(
                f"-i {path}: media files need PyAV ({error}); run: pip install 'remotemedia[media]'"
            ) from error
        wanted = {"auto": (None, None), "audio": (True, False), "video": (False, True), "both": (True, True)}
        audio, video = wanted[stream]
        self._media = read_media(path, audio=audio, video=video, on_corrupt="skip" if skip_corrupt else "stop")
        self.index = -1
        self.ended = False
        self.media_ns: int | None = self._media.duration_ns
        self.is_media = True

    @property
    def position(self) -> int:
        """Media time that was reached, in ns."""
        return self._media.position_ns

    @property
    def corrupt_packets(self) -> int:
        """How many packets could not be decoded."""
        return self._media.corrupt_packets

    def __iter__(self) -> Iterator[Any]:
        with self._media as media:
            for frame in media:
                self.index += 1
                yield frame
        self.ended = True

    def place(self, index: int) -> str | None:
        """Return the time of a frame if it was pulled last."""
        return f"{self.position / 1e9:.3f} s" if index == self.index else None


class PcmFeed:
    """Raw samples of a file or a pipe as `AudioFrame` items of 20 ms."""

    def __init__(self, file: IO[bytes], name: str, pcm: PcmFormat, size: int | None) -> None:
        from remotemedia.nodes.pcm import SAMPLE_TYPES, read_pcm

        self.index = -1
        self.ended = False
        self.position = 0
        self.is_media = True
        sample_bytes = SAMPLE_TYPES[pcm.format].itemsize
        self.media_ns = None if size is None else size * 10**9 // (pcm.sample_rate * pcm.channels * sample_bytes)
        self._frames = read_pcm(file, pcm.sample_rate, pcm.channels, pcm.format, PCM_BLOCK_MS)
        self._name = name

    def __iter__(self) -> Iterator[Any]:
        try:
            for frame in self._frames:
                self.index += 1
                self.position = frame.end_ns
                yield frame
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read: {error.strerror or error}") from error
        self.ended = True

    def place(self, index: int) -> str | None:
        """Return None: the frame's index tells enough."""


def encode_pcm(item: Any) -> bytes:
    """Return the samples of an `AudioFrame` as they are, those of all channels in turn, little-endian.

    Raises
    ------
    FormError
        It is something else.
    """
    from remotemedia.media import AudioFrame

    if not isinstance(item, AudioFrame):
        raise FormError(f"raw PCM is written of AudioFrame items, not of a {type(item).__name__}")
    from remotemedia.nodes.pcm import pcm_of

    return pcm_of(item)


class SrtEncoder:
    """From segments, ``{"start": s, "end": s, "text": …}``, to numbered subtitles."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, item: Any) -> bytes:
        """Return an item as a subtitle; its text is the item's, or "speech".

        Raises
        ------
        FormError
            It is no segment.
        """
        from remotemedia.nodes.subtitles import cue_of, format_srt

        try:
            start, end, text = cue_of(item)
            cue = format_srt(self._count + 1, start, end, text or "speech")
        except (TypeError, ValueError) as error:
            raise FormError(f"no subtitle can be made of it: {error}") from error
        self._count += 1
        return cue.rstrip("\n").encode("utf-8", "replace") + b"\n"
