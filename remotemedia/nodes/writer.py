"""Writing media files: `MediaWriter`, by PyAV (extra `media`)."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import av
import av.error
import numpy as np

from remotemedia._core.media import AudioFrame, VideoFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import bounded_text
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import refuse_infinite
from remotemedia.nodes.unfinished import UnfinishedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NS = 1_000_000_000
CLOCK = Fraction(1, 90_000)  # of pictures
OPUS_HZ = 48_000
LEAST_PAUSE = 50  # parts of a second
STREAMS = ("auto", "audio", "video", "both")
MOST_WAITING = 1000
"""Packets that wait for the other stream to begin: a file's header tells of both."""


class Container(NamedTuple):
    """What a file of some extension is: FFmpeg's names of its format and of the codecs that it has by default."""

    format: str
    audio: str | None
    video: str | None


CONTAINERS = {
    ".wav": Container("wav", "pcm_s16le", None),
    ".flac": Container("flac", "flac", None),
    ".mp3": Container("mp3", "libmp3lame", None),
    ".ogg": Container("ogg", "libopus", None),
    ".opus": Container("ogg", "libopus", None),
    ".m4a": Container("ipod", "aac", None),
    ".mp4": Container("mp4", "aac", "libx264"),
    ".mov": Container("mov", "aac", "libx264"),
    ".mkv": Container("matroska", "libopus", "libx264"),
    ".webm": Container("webm", "libopus", "libvpx-vp9"),
}
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class MediaWriter(NodeExecutor):
    """Encode `AudioFrame` and `VideoFrame` items into a file: a sink.

    The extension of the path says what kind of file: wav, flac, mp3, ogg and opus, m4a, mp4, mov, mkv, webm. The flush
    finishes the file and emits ``{"path": …, "start": s, "end": s, "bytes": …}``. Until then it has another name, so
    what ends early leaves nothing, and a file that was there stays as it was; in a session that goes on, the next
    flush puts the next file in its place.

    Audio has one rate and number of channels. Pauses between frames are closed; beside video those of 20 ms and more
    are filled with silence. Samples are converted to what the codec takes (Opus: 48 kHz). Pictures keep their times,
    which must rise, and have one size, which H.264 and VP9 want even.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file; its extension says what kind (required)",
        "streams": "'audio', 'video' or 'both'; 'auto': of the kind of the first item (default 'auto')",
        "audio_codec": "FFmpeg's name of an encoder (default: by the extension)",
        "video_codec": "FFmpeg's name of an encoder (default: by the extension)",
        "audio_bit_rate": "bits per second, for codecs that lose something (default: the codec's)",
        "video_bit_rate": "bits per second (default: the codec's)",
        "fps": "pictures per second that the file says it has; each keeps its own time (default 25)",
    }

    _file: _MediaFile | None = None

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._path = params.text("path")
        suffix = PurePath(self._path).suffix.lower()
        if suffix not in CONTAINERS:
            raise params.error("path", f"must end in one of {', '.join(CONTAINERS)}, not {suffix!r:.20}")
        kind = CONTAINERS[suffix]
        self._kind = Container(
            kind.format,
            _encoder(params, "audio_codec", "audio") or kind.audio,
            _encoder(params, "video_codec", "video") or kind.video,
        )
        self._streams = params.choice("streams", STREAMS, "auto")
        if kind.video is None and self._streams in ("video", "both"):
            raise params.error("streams", f"must be 'audio': a {suffix} file holds no video")
        self._rates = {"audio": params.whole("audio_bit_rate"), "video": params.whole("video_bit_rate")}
        self._fps = Fraction(params.number("fps", 25.0, above=0, most=1000)).limit_denominator(1001)

    def process(self, item: AudioFrame | VideoFrame) -> None:
        """Write a frame."""
        if not isinstance(item, AudioFrame | VideoFrame):
            raise TypeError(f"MediaWriter takes AudioFrame and VideoFrame items, got {type(item).__name__}")
        kind = "audio" if isinstance(item, AudioFrame) else "video"
        if self._file is None:
            wanted = (
                (kind,) if self._streams == "auto" else STREAMS[1:3] if self._streams == "both" else (self._streams,)
            )
            self._file = _MediaFile(self._path, self._kind, wanted, self._rates, self._fps)
        if kind not in self._file.wanted:
            raise ValueError(
                f"the file is of {self._file.wanted[0]} alone, and this frame of {kind}: set 'streams' to 'both'"
            )
        self._file.guarded(self._file.write, item)

    def flush(self) -> list[dict[str, Any]] | None:
        """Finish the file."""
        if self._file is None:
            return None
        told: dict[str, Any] | None = self._file.guarded(self._file.finish)
        self._file = None
        return None if told is None else [told]

    def cleanup(self) -> None:
        """Remove what was not finished."""
        if self._file is not None:
            self._file.discard()


class _MediaFile:
    """The file that is being written."""

    def __init__(
        self,
        path: str,
        kind: Container,
        wanted: tuple[str, ...],
        bit_rates: dict[str, int | None],
        fps: Fraction,
    ) -> None:
        self.wanted = wanted
        self._kind, self._bit_rates, self._fps = kind, bit_rates, fps
        self._unfinished = UnfinishedFile(path)
        self._unfinished.file.close()  # FFmpeg opens it itself
        try:
            self._container = av.open(f"file:{self._unfinished.temporary}", "w", format=kind.format)
        except BaseException:
            self._unfinished.discard()
            raise
        self._failure: Exception | None = None
        self._streams: dict[str, Any] = {}
        self._waiting: list[Any] | None = []  # packets, until all streams are there
        self._muxed = 0
        self._origin_ns: int | None = None
        self._start_ns = self._end_ns = 0
        self._audio: tuple[int, int] | None = None  # rate, channels
        self._samples = 0
        self._picture: tuple[int, int] | None = None  # width, height
        self._last_pts: int | None = None
        self._offset = 0  # where audio begins, in samples

    def guarded(self, call: Any, *arguments: Any) -> Any:
        """Call, and tell by the path what FFmpeg, or the disk, had against it; the file is given up then.

        What lacks a piece is not put in place: every later call ends in the same error.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return call(*arguments)
        except OSError as error:
            self._failure = self._unfinished.failure(error)
            self.discard()
            raise self._failure from error
        except av.error.FFmpegError as error:
            self._failure = ValueError(f"{self._unfinished.path}: cannot be encoded: {bounded_text(error)}")
            self.discard()
            raise self._failure from error

    def write(self, item: AudioFrame | VideoFrame) -> None:
        if self._origin_ns is None:
            self._origin_ns = self._start_ns = self._end_ns = item.pts_ns
        if item.pts_ns < self._start_ns and self._waiting is not None:
            self._start_ns = item.pts_ns  # of the other stream, which began before what came first
        if isinstance(item, AudioFrame):
            self._write_audio(item)
        else:
            self._write_video(item)

    def finish(self) -> dict[str, Any] | None:
        if not self._streams:  # nothing came that could be written
            self.discard()
            return None
        if "audio" in self._streams:
            for frame in self._resampler.resample(None):
                self._mux(self._streams["audio"].encode(frame))
        for stream in self._streams.values():
            self._mux(stream.encode(None))
        if self._waiting:  # the other stream never came
            missing = ", ".join(kind for kind in self.wanted if kind not in self._streams)
            there = self._only()
            self.discard()
            raise ValueError(f"{self._unfinished.path}: no {missing} frames came: set 'streams' to {there!r}")
        self._container.close()
        path = self._unfinished.path
        if not self._muxed or not self._unfinished.temporary.stat().st_size:
            self.discard()
            codecs = ", ".join(stream.codec_context.name for stream in self._streams.values())
            raise ValueError(f"{path}: nothing was encoded: such a file may not hold {codecs or 'what came'}")
        self._unfinished.finish()
        start_s, end_s = round(self._start_ns / NS, 3), round(self._end_ns / NS, 3)
        return {"path": str(path), "start": start_s, "end": end_s, "bytes": os.stat(path).st_size}

    def discard(self) -> None:
        # the container is not closed: that would write what is left, to a disk that may be full
        self._container = None  # type: ignore[assignment]
        self._streams.clear()
        self._unfinished.discard()

    def _only(self) -> str:
        return next(iter(self._streams))

    def _write_audio(self, item: AudioFrame) -> None:
        kind = item.sample_rate, item.channels
        if self._audio is None:
            self._begin_audio(*kind)
        if kind != self._audio:
            raise ValueError(f"a file has one rate and number of channels: {self._audio} (Hz, channels), not {kind}")
        if not item.sample_count:
            return
        refuse_infinite(item, "no codec takes it")
        if not self._samples:
            self._offset = self._position(item)
        elif len(self.wanted) == 2:
            self._pad(self._position(item) - self._offset - self._samples, item)
        samples = np.ascontiguousarray(item.samples)
        self._end_ns = max(self._end_ns, item.end_ns)
        self._encode(samples, item.sample_rate)

    def _position(self, item: AudioFrame) -> int:
        """Return the time of a frame in the file, in samples."""
        return (2 * (item.pts_ns - (self._origin_ns or 0)) * item.sample_rate + NS) // (2 * NS)

    def _pad(self, missing: int, item: AudioFrame) -> None:
        """Write silence where audio pauses beside a film."""
        while missing > item.sample_rate // LEAST_PAUSE:
            count = min(missing, item.sample_rate)
            self._encode(np.zeros((item.channels, count), item.samples.dtype), item.sample_rate)
            missing -= count

    def _encode(self, samples: NDArray[Any], rate: int) -> None:
        name = {"f": "fltp" if samples.itemsize == 4 else "dblp", "i": "s16p"}[samples.dtype.kind]
        frame = av.AudioFrame.from_ndarray(samples, format=name, layout=LAYOUTS[samples.shape[0]])
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = self._offset + self._samples
        self._samples += samples.shape[1]
        for piece in self._resampler.resample(frame):
            self._mux(self._streams["audio"].encode(piece))

    def _begin_audio(self, rate: int, channels: int) -> None:
        if channels not in LAYOUTS:
            raise ValueError(f"files hold 1 to 8 channels, not {channels}: put ToMono or ChannelMap before")
        codec = av.Codec(str(self._kind.audio), "w")
        rates = codec.audio_rates
        encoded_rate = rate if not rates or rate in rates else min(rates, key=lambda r: (r < rate, abs(r - rate)))
        if codec.name == "libopus":  # at other rates Matroska tells its delay wrongly
            encoded_rate = OPUS_HZ
        stream: Any = self._container.add_stream(codec.name, rate=encoded_rate, layout=LAYOUTS[channels])
        if self._bit_rates["audio"]:
            stream.bit_rate = self._bit_rates["audio"]
        context = stream.codec_context
        context.open()
        self._streams["audio"], self._audio = stream, (rate, channels)
        self._resampler = av.AudioResampler(
            context.format, context.layout, encoded_rate, frame_size=context.frame_size or None
        )

    def _write_video(self, item: VideoFrame) -> None:
        size = item.width, item.height
        if self._picture is None:
            self._begin_video(*size)
        if size != self._picture:
            raise ValueError(
                f"all pictures of a file have one size: {self._picture} pixels, not {size}: put Resize before"
            )
        pts = round((item.pts_ns - (self._origin_ns or 0)) / NS / CLOCK)
        if self._last_pts is not None and pts <= self._last_pts:
            raise ValueError(f"the times of pictures must rise, got {item.start_s:.6f} s behind another")
        array = np.ascontiguousarray(item.array if item.format != "gray" else item.array[:, :, 0])
        frame = av.VideoFrame.from_ndarray(array, format=item.format)
        frame.pts, frame.time_base, self._last_pts = pts, CLOCK, pts
        self._end_ns = max(self._end_ns, item.pts_ns + round(NS / self._fps))
        self._mux(self._streams["video"].encode(frame))

    def _begin_video(self, width: int, height: int) -> None:
        codec = av.Codec(str(self._kind.video), "w")
        formats = [form.name for form in codec.video_formats or ()]
        pixels = "yuv420p" if "yuv420p" in formats or not formats else formats[0]
        if pixels == "yuv420p" and (width % 2 or height % 2):
            raise ValueError(f"{codec.name} wants an even width and height, not {width} x {height}: put Resize before")
        stream: Any = self._container.add_stream(codec.name, rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.time_base = CLOCK
        if self._bit_rates["video"]:
            stream.bit_rate = self._bit_rates["video"]
        self._streams["video"], self._picture = stream, (width, height)

    def _mux(self, packets: list[Any]) -> None:
        if self._waiting is None:
            self._put(packets)
            return
        self._waiting += packets
        if len(self._streams) == len(self.wanted):
            waiting, self._waiting = self._waiting, None
            self._put(waiting)
        elif len(self._waiting) > MOST_WAITING:
            raise ValueError(f"only {self._only()} frames came so far: set 'streams' to {self._only()!r}")

    def _put(self, packets: list[Any]) -> None:
        """Write packets, later by what the other stream began before the first frame."""
        late_ns = (self._origin_ns or 0) - self._start_ns
        for packet in packets:
            if late_ns and packet.pts is not None:
                late = round(late_ns / NS / packet.time_base)
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
            self._container.mux(packet)
        self._muxed += len(packets)


def _encoder(params: Params, name: str, kind: str) -> str | None:
    """Return an encoder's name, if it is given."""
    value: str | None = params.value(name, str, required=False)
    if value is None:
        return None
    try:
        codec = av.Codec(value, "w")
    except (ValueError, av.error.FFmpegError):
        codec = None
    if codec is None or codec.type != kind:
        raise params.error(name, f"must be the name of an FFmpeg encoder of {kind}, not {value!r:.40}")
    return value
