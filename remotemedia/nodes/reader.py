"""Reading media: `read_media`, which decodes a file lazily, and `MediaReader`, the node that does so (extra `media`).

PyAV decodes, so whatever its FFmpeg knows is read, and the interpreter's lock is not held meanwhile. Memory does not
depend on the length of the file. What is wrong with one is an `InputError` that names it and, within it, the time.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

import av
import av.error

from remotemedia._core.media import AudioFrame, VideoFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import InputError, bounded_repr, bounded_text
from remotemedia.nodes.decoded import NS, time_ns
from remotemedia.nodes.decoders import AudioDecoder, Decoder, VideoDecoder
from remotemedia.nodes.params import Params

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

__all__ = ["MediaInput", "MediaReader", "read_media"]

Source = str | os.PathLike[str] | IO[bytes]

BLOCK_MS = 100.0
POLICIES = ("stop", "skip")
FORMATS = ("float32", "int16")
MOST_WAITING = 32
"""Items of one stream that wait for those of another to be put in order of time."""
# tags that are no UTF-8 are no reason not to play a file; PyAV 19 takes them so of itself
TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
RUN_UP_NS = 500_000_000
"""What is decoded before the start: the first samples after a seek are dropped, or wrong, as codecs look back."""


def read_media(
    source: Source,
    *,
    audio: bool | None = True,
    video: bool | None = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
    block_ms: float = BLOCK_MS,
    sample_format: str = "float32",
    on_corrupt: str = "stop",
) -> MediaInput:
    """Open a media file and return its decoded frames, an iterator that decodes as it is asked.

    Parameters
    ----------
    source : path-like or binary file
        What to read. A file object must be seekable for most containers, and stays open.
    audio, video : bool or None
        Whether to decode the first audio, the first video stream; None: if there is one. With both None, audio or,
        without any, video.
    start_s, duration_s : float
        What part to give, in seconds since the start of the recording; audio is cut to the sample.
    block_ms : float
        The least length of an audio frame but the last, in ms; 0 gives them as the codec cuts them.
    sample_format : {"float32", "int16"}
        What samples are converted to; other integers are scaled, so that full scale stays full scale.
    on_corrupt : {"stop", "skip"}
        What cannot be decoded, or is no number, ends the reading by an error, or is passed over and counted.

    Returns
    -------
    MediaInput
        Audio as `AudioFrame`, pictures as `VideoFrame` in rgb24, in order of their times; where the file has them far
        apart, no more than 32 of one kind wait for the other.

    Raises
    ------
    InputError
        There is no such file, or it is none that can be decoded, or has no stream that was asked for.

    Examples
    --------
    >>> with read_media("examples/speech/speech.wav", start_s=1.0, duration_s=0.25) as media:
    ...     frames = list(media)
    >>> media.duration_ns / 1e9, frames[0].start_s, frames[-1].end_s
    (8.88, 1.0, 1.25)
    """
    reading = _Reading(source, audio, video, start_s, duration_s, block_ms, sample_format, on_corrupt)
    return MediaInput(reading)


class MediaInput:
    """Decoded frames of an open file: an iterator, to be used once, and a context manager. Made by `read_media`.

    Attributes
    ----------
    name : str
        What messages call the file.
    duration_ns : int or None
        How long it says that it is.
    has_audio, has_video : bool
        What the file has, asked for or not.
    """

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading
        self._frames = reading.decode()
        self.name = reading.name
        self.duration_ns = reading.duration_ns
        self.has_audio, self.has_video = reading.has_audio, reading.has_video

    @property
    def position_ns(self) -> int:
        """The time just after what was given last."""
        return self._reading.position_ns

    @property
    def corrupt_packets(self) -> int:
        """How many pieces could not be decoded, under ``on_corrupt="skip"``."""
        return self._reading.corrupt_packets

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AudioFrame | VideoFrame:
        return next(self._frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; what is not read yet is not given any more."""
        self._frames.close()
        self._reading.close()


class _Reading:
    """A file that is being read. It knows nothing of the `MediaInput`, so that one that is dropped is freed at once."""

    def __init__(
        self,
        source: Source,
        audio: bool | None,
        video: bool | None,
        start_s: float,
        duration_s: float | None,
        block_ms: float,
        sample_format: str,
        on_corrupt: str,
    ) -> None:
        if sample_format not in FORMATS or on_corrupt not in POLICIES:
            fault = f"sample_format is one of {FORMATS}, on_corrupt one of {POLICIES}"
            raise ValueError(f"{fault}; got {sample_format!r:.40}, {on_corrupt!r:.40}")
        if not 0 <= start_s < 1e9 or not (duration_s is None or duration_s > 0) or not 0 <= block_ms < 1e9:
            raise ValueError("start_s and block_ms must be 0 or more, duration_s above 0")
        self.position_ns = 0
        self.corrupt_packets = 0
        self._skip = on_corrupt == "skip"
        self._last_error: Exception | None = None
        self.name, self.container = _opened(source)
        try:
            self._choose(audio, video)
        except BaseException:
            self.container.close()
            raise
        self.start_ns = round(start_s * NS)
        self.end_ns = None if duration_s is None or duration_s > 1e9 else self.start_ns + round(duration_s * NS)
        self.block_ms, self.sample_format = block_ms, sample_format

    def close(self) -> None:
        self.container.close()

    def _choose(self, audio: bool | None, video: bool | None) -> None:
        streams = self.container.streams
        sounds = [s for s in streams.audio if s.codec_context is not None and s.rate]
        films = [s for s in streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        self.has_audio, self.has_video = bool(sounds), bool(films)
        if audio is None and video is None:
            video = not sounds
        chosen: list[Any] = []
        for wanted, found, kind in ((audio, sounds, "audio"), (video, films, "video")):
            if wanted and not found:
                held = ", ".join(sorted({s.type for s in streams})) or "nothing"
                raise InputError(f"{self.name}: has no {kind} to decode; it holds {held}")
            if found and wanted is not False:
                chosen.append(found[0])
        if not chosen:
            raise InputError(f"{self.name}: there is nothing to decode: neither audio nor video is asked for and there")
        self._streams = chosen
        for stream in chosen:
            if stream.type == "video":
                stream.thread_type = "AUTO"
        lengths = [time_ns(s.duration, s.time_base) for s in chosen if s.duration]
        whole = self.container.duration
        begins = [time_ns(s.start_time, s.time_base) for s in (*sounds, *films) if s.start_time is not None]
        self.origin_ns = min(begins, default=0)
        self.duration_ns: int | None = max(lengths) if lengths else None if whole is None else whole * 1000

    def decode(self) -> Generator[AudioFrame | VideoFrame, None, None]:
        try:
            if self.start_ns > RUN_UP_NS:
                # of the container's own clock, in microseconds; at or before it, from where decoding can begin
                begin_ns = self.start_ns - RUN_UP_NS + self.origin_ns
                self.container.seek(begin_ns // 1000, backward=True, any_frame=False)
            merged = self._stream(self._streams[0]) if len(self._streams) == 1 else self._merged()
            for item in merged:
                end_ns = item.end_ns if isinstance(item, AudioFrame) else item.pts_ns
                self.position_ns = max(self.position_ns, end_ns)
                yield item
        except InputError:
            raise
        except av.error.FFmpegError as error:
            raise InputError(f"{self.name}: {self._when()}: {_reason(error)}") from error
        except (OSError, ValueError) as error:  # of a file object that was closed or cannot seek
            raise InputError(f"{self.name}: {self._when()}: cannot be read: {bounded_text(error)}") from error
        finally:
            self.container.close()

    def _stream(self, stream: Any) -> Iterator[AudioFrame | VideoFrame]:
        """Give the frames of the one stream that was asked for."""
        decoder = self._decoder(stream)
        for packet in self.container.demux(stream):
            made = decoder.frames_of(packet)
            if made:
                yield from made
            if decoder.over:
                return
        yield from decoder.end()
        self._stop()

    def _merged(self) -> Iterator[AudioFrame | VideoFrame]:
        """Give the frames of two streams in order of time."""
        decoders = {stream.index: self._decoder(stream) for stream in self._streams}
        waiting: dict[int, deque[AudioFrame | VideoFrame]] = {index: deque() for index in decoders}
        for packet in self.container.demux(self._streams):
            index = packet.stream.index  # the last, empty packets have no other
            waiting[index].extend(decoders[index].frames_of(packet))
            while all(q or decoders[i].over for i, q in waiting.items()) or len(waiting[index]) > MOST_WAITING:
                if not any(waiting.values()):
                    break
                yield _earliest(waiting)
            if all(decoder.over for decoder in decoders.values()):
                break
        for index, decoder in decoders.items():
            waiting[index].extend(decoder.end())
        while any(waiting.values()):
            yield _earliest(waiting)
        self._stop()

    def _decoder(self, stream: Any) -> Decoder:
        return AudioDecoder(self, stream) if stream.type == "audio" else VideoDecoder(self, stream)

    def corrupt(self, error: Exception, made: list[AudioFrame] | None = None) -> None:
        """Count a piece that cannot be decoded, or end the reading: at once, or after what was `made` before it."""
        if made and not self._skip:
            self._last_error = error
        elif not self._skip:
            reason = _reason(error) if isinstance(error, av.error.FFmpegError) else str(error)
            raise InputError(
                f"{self.name}: {self._when()}: {reason}; on_corrupt='skip' passes over what cannot be decoded"
            ) from error
        else:
            self.corrupt_packets += 1

    def _stop(self) -> None:
        """Raise what was put off until all was given."""
        if self._last_error is not None:
            self.corrupt(self._last_error)

    def _when(self) -> str:
        return f"after {self.position_ns / NS:.3f} s"


class MediaReader(NodeExecutor):
    """Decode an audio or video file: a source of its own that emits `AudioFrame` and `VideoFrame` items.

    Whatever FFmpeg reads, in memory that does not depend on its length; see `remotemedia.nodes.reader.read_media`.
    The file is opened by `initialize`, so one that is not there is told before anything runs.

    Parameters
    ----------
    source : path-like or binary file, optional
        What to read, in place of the param `path`, where the node is made by hand.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file; a relative path is relative to the working directory (required)",
        "audio": "decode the audio; true, false, or null for 'if there is any' (default true)",
        "video": "decode the video; true, false, or null for 'if there is any' (default false)",
        "start_s": "where to begin, in seconds since the start (default 0)",
        "duration_s": "how much to give, in seconds (default: all)",
        "block_ms": "least length of an audio frame but the last, in ms; 0: as the codec cuts them (default 100)",
        "sample_format": "what samples become: 'float32' or 'int16' (default 'float32')",
        "on_corrupt": "what cannot be decoded: 'stop' by an error, or 'skip' and count it (default 'stop')",
    }

    _media: MediaInput | None = None  # also where `initialize` failed

    def __init__(self, source: Source | None = None) -> None:
        self._source = source
        self._reading: _Reading | None = None

    def initialize(self, context: NodeContext) -> None:
        """Read the params and open the file."""
        params = Params(context, self.PARAMS)
        self._read_from: Source = params.text("path") if self._source is None else self._source
        self._options: dict[str, Any] = {
            "audio": _choice_of(params, context, "audio", default=True),
            "video": _choice_of(params, context, "video", default=False),
            "start_s": params.number("start_s", 0.0, least=0, most=1e8),
            "duration_s": params.number("duration_s", 0.0, above=0) or None,
            "block_ms": params.number("block_ms", BLOCK_MS, least=0, most=1e8),
            "sample_format": params.choice("sample_format", FORMATS, "float32"),
            "on_corrupt": params.choice("on_corrupt", POLICIES, "stop"),
        }
        self._media = read_media(self._read_from, **self._options)

    @property
    def corrupt_packets(self) -> int:
        """How many pieces of the file were passed over."""
        return 0 if self._media is None else self._media.corrupt_packets

    def produce(self) -> Iterator[AudioFrame | VideoFrame]:
        """Emit the file's frames; a second run of a session reads it anew."""
        if self._media is None:
            self._media = read_media(self._read_from, **self._options)
        with self._media as media:
            try:
                yield from media
            finally:
                self._media = None

    def cleanup(self) -> None:
        """Give the file back."""
        if self._media is not None:
            self._media.close()


def _choice_of(params: Params, context: NodeContext, name: str, *, default: bool) -> bool | None:
    """Return a param that may be true, false or, if it is there, null."""
    if name in context.params and context.params[name] is None:
        return None
    value = params.value(name, bool, required=False)
    return default if value is None else bool(value)


def _opened(source: Source) -> tuple[str, Any]:
    """Return the name and the open container of a source."""
    if isinstance(source, str | os.PathLike):
        name = os.fsdecode(os.fspath(source))
        path = Path(name)
        if path.is_dir():
            raise InputError(f"{name}: cannot be read: it is a folder")
        with suppress(OSError):
            if path.is_file() and not path.stat().st_size:
                raise InputError(f"{name}: the file is empty")
        file: Any = f"file:{name}"  # whatever it looks like, it is no address and no device
    elif hasattr(source, "read"):
        name, file = str(getattr(source, "name", "<file>")), source
    else:
        raise TypeError(f"media are read from a path or a binary file, not from {bounded_repr(source)}")
    try:
        return name, av.open(file, mode="r", **TAGS)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {os.strerror(error.errno or 0)}") from error
    except av.error.FFmpegError as error:
        raise InputError(f"{name}: not a media file that can be read: {_reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: cannot be read: {bounded_text(error)}") from error


def _reason(error: av.error.FFmpegError) -> str:
    """Return what FFmpeg said, with what it wrote in its log of that."""
    said = (error.strerror or type(error).__name__).rstrip()
    log = getattr(error, "log", None)
    return f"{said} ({log[2].strip()})" if log else said


def _earliest(waiting: dict[int, deque[AudioFrame | VideoFrame]]) -> AudioFrame | VideoFrame:
    index = min((i for i, q in waiting.items() if q), key=lambda i: waiting[i][0].pts_ns)
    return waiting[index].popleft()
