"""Raw PCM: samples without a header, as other programs send and take them through pipes.

The samples of all channels in turn, little-endian: ``s16le`` and ``f32le``, as FFmpeg calls them.

    ffmpeg -i talk.mp4 -f s16le -ar 16000 -ac 1 - | remotemedia run pipeline.json --pcm 16000
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import InputError
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import frame_of
from remotemedia.nodes.unfinished import UnfinishedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE_TYPES: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
BLOCK_MS = 20.0


def read_pcm(
    file: IO[bytes], sample_rate: int, channels: int = 1, format: str = "s16le", block_ms: float = BLOCK_MS
) -> Iterator[AudioFrame]:
    """Read raw samples as they come, in frames of a fixed length.

    Parameters
    ----------
    file : binary file
        What to read, a pipe for one; it stays open.
    sample_rate, channels : int
        What the samples are: they do not tell it themselves.
    format : {"s16le", "f32le"}
        int16 or float32, little-endian; the frames have that type.
    block_ms : float
        Length of a frame, in ms, rounded to whole samples; the last may be shorter.

    Yields
    ------
    AudioFrame
        With samples that are read-only.

    Raises
    ------
    InputError
        The last sample is not whole, or one is no finite number.
    """
    dtype = SAMPLE_TYPES[format]
    sample_bytes = dtype.itemsize * channels
    block_bytes = sample_bytes * max(1, round(sample_rate * block_ms / 1000))
    AudioFrame(
        np.zeros((channels, 0), np.int16), sample_rate
    )  # what it would refuse is refused before anything is read
    return _frames(file, dtype, sample_rate, channels, block_bytes)


def _frames(
    file: IO[bytes], dtype: np.dtype[Any], sample_rate: int, channels: int, block_bytes: int
) -> Iterator[AudioFrame]:
    done = 0
    while data := _read_whole(file, block_bytes):
        if len(data) % (dtype.itemsize * channels):
            raise InputError(
                f"raw samples: {len(data) % (dtype.itemsize * channels)} bytes are left at the end, no whole sample of "
                f"{channels} x {dtype.itemsize} bytes: wrong format, or cut short"
            )
        samples = np.frombuffer(data, dtype).reshape(-1, channels).T
        if dtype.kind == "f" and not np.isfinite(samples).all():
            raise InputError(f"raw samples: NaN or infinity after {done / sample_rate:.3f} s")
        samples = samples.astype(dtype.newbyteorder("="), copy=False)
        yield AudioFrame(samples, sample_rate, samples_to_ns(done, sample_rate))
        done += samples.shape[1]
        if len(data) < block_bytes:
            return


def _read_whole(file: IO[bytes], count: int) -> bytes:
    """Read so many bytes, fewer only at the end: a pipe gives what is there."""
    data = file.read(count) or b""
    if not data or len(data) == count:
        return data
    parts, size = [data], len(data)
    while size < count and (data := file.read(count - size)):
        parts.append(data)
        size += len(data)
    return b"".join(parts)


def pcm_of(frame: AudioFrame) -> bytes:
    """Return the samples of a frame, those of all channels in turn, little-endian: s16le, or f32le of any float."""
    samples = frame.samples
    if samples.dtype == np.float64:
        samples = samples.astype(np.float32)
    return samples.T.astype(samples.dtype.newbyteorder("<"), copy=False).tobytes()


class PcmReader(NodeExecutor):
    """Read raw samples from a file or standard input: a source of its own that emits `AudioFrame` items."""

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file; '-' is standard input (default '-')",
        "sample_rate": "samples per second, in Hz (required)",
        "channels": "how many channels take turns (default 1)",
        "format": "'s16le' or 'f32le' (default 's16le')",
        "block_ms": "length of a frame, in ms (default 20)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params; the file is opened by `produce`."""
        params = Params(context, self.PARAMS)
        self._path = "-" if context.params.get("path") is None else params.text("path")
        rate = params.whole("sample_rate")
        if rate is None:
            raise params.error("sample_rate", "is missing: raw samples do not tell it")
        self._kind = rate, params.whole("channels") or 1, params.choice("format", tuple(SAMPLE_TYPES), "s16le")
        self._block_ms = params.number("block_ms", BLOCK_MS, above=0, most=1e6)

    def produce(self) -> Iterator[AudioFrame]:
        """Emit the frames."""
        with ExitStack() as stack:
            try:
                if self._path == "-":
                    file: IO[bytes] = sys.stdin.buffer
                else:
                    file = stack.enter_context(open(self._path, "rb"))
                yield from read_pcm(file, *self._kind, self._block_ms)
            except OSError as error:
                raise InputError(f"{self._path}: cannot be read: {error.strerror or error}") from error


class PcmWriter(NodeExecutor):
    """Write the samples of `AudioFrame` items without a header, s16le of int16 and f32le of floats: a sink.

    To standard output each frame at once, so that a player that reads it goes on. Into a file under another name,
    which the file's own takes the place of at the flush; then it emits ``{"path": …, "duration_s": …, "bytes": …}``.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file; '-' is standard output (default '-')",
    }

    _unfinished: UnfinishedFile | None = None
    _kind: tuple[int, int, np.dtype[Any]] | None
    _bytes: int
    _samples: int

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._path = "-" if context.params.get("path") is None else params.text("path")
        self._reset()

    def process(self, item: AudioFrame) -> None:
        """Write a frame."""
        frame = frame_of(item, "PcmWriter")
        kind = frame.sample_rate, frame.channels, frame.samples.dtype
        if self._kind not in (None, kind):
            raise ValueError(
                f"raw samples cannot tell that they change: from {self._kind} to {kind} (Hz, channels, type)"
            )
        data = pcm_of(frame)
        if self._path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            if self._unfinished is None:
                self._unfinished = UnfinishedFile(self._path)
            self._unfinished.write(data)
        self._kind = kind
        self._bytes += len(data)
        self._samples += frame.sample_count

    def flush(self) -> list[dict[str, Any]] | None:
        """Finish the file."""
        if self._unfinished is not None:
            self._unfinished.check()
        if self._kind is None:
            return None
        told = {"path": self._path, "duration_s": self._samples / self._kind[0], "bytes": self._bytes}
        if self._unfinished is not None:
            self._unfinished.finish()
            self._unfinished = None
        self._reset()
        return None if self._path == "-" else [told]

    def cleanup(self) -> None:
        """Remove what was not finished."""
        if self._unfinished is not None:
            self._unfinished.discard()

    def _reset(self) -> None:
        self._kind = None
        self._bytes = self._samples = 0
