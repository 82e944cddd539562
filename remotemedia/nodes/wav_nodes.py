"""WAV files in and out, with NumPy alone: `WavReader`, `WavWriter`."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.paths import PathTemplate
from remotemedia.nodes.samples import frame_of, refuse_nan
from remotemedia.nodes.unfinished import UnfinishedFile
from remotemedia.nodes.wav import read_wav_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SAMPLE_BYTES = {"int16": 2, "int24": 3, "int32": 4}
MOST_BYTES = 0xFFFF_FFFF - 64  # what the header of a WAV file can tell


class WavReader(NodeExecutor):
    """Read a WAV file: a source of its own that emits `AudioFrame` items of float32.

    Integers of 8 to 32 bits and floats; for what else is in WAV files, ADPCM for one, soundfile must be there (extra
    `audio`). See `read_wav` for what is refused.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the WAV file; a relative path is relative to the working directory (required)",
        "block_ms": "length of a frame, in ms (default 500)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params; the file is opened by `produce`."""
        params = Params(context, self.PARAMS)
        self._path = params.text("path")
        self._block_ms = params.number("block_ms", 500.0, above=0)

    def produce(self) -> Iterator[AudioFrame]:
        """Emit the file's frames."""
        yield from read_wav_ms(self._path, self._block_ms)


class WavWriter(NodeExecutor):
    """Write `AudioFrame` items to a WAV file, or each to one of its own: a sink.

    All frames into one file, if `path` is a plain one; the flush finishes it and emits
    ``{"path": …, "start": s, "end": s, "bytes": …}``. With ``{index}`` in the path each item becomes a file, and such
    a dict is emitted for each. A file has its name when it is whole, in place of one that had it before; what ends
    early leaves nothing. Samples beyond full scale saturate; NaN is an error.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the file; with {index} or {index:03d} in it one for each item, from 0 on (required)",
        "sample_format": "what is written: 'int16', 'int24' or 'int32' (default 'int16')",
    }

    _file: _WavFile | None = None

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._template = PathTemplate(params, "path")
        self._sample_bytes = SAMPLE_BYTES[params.choice("sample_format", tuple(SAMPLE_BYTES), "int16")]
        self._index = 0

    def process(self, item: AudioFrame) -> dict[str, Any] | None:
        """Write a frame."""
        frame = frame_of(item, "WavWriter")
        refuse_nan(frame.samples)
        if self._file is None:
            self._file = _WavFile(self._template.path(self._index), frame, self._sample_bytes)
        self._file.write(frame)
        return self._finish() if self._template.many else None

    def flush(self) -> list[dict[str, Any]] | None:
        """Finish the file."""
        self._index = 0
        return None if self._file is None else [self._finish()]

    def cleanup(self) -> None:
        """Remove what was not finished."""
        if self._file is not None:
            self._file.discard()

    def _finish(self) -> dict[str, Any]:
        assert self._file is not None
        told = self._file.finish()
        self._file = None
        self._index += 1
        return told


class _WavFile:
    def __init__(self, path: str, first: AudioFrame, sample_bytes: int) -> None:
        self._kind = first.sample_rate, first.channels
        self._sample_bytes = sample_bytes
        self._start_s, self._samples = first.start_s, 0
        self._unfinished = UnfinishedFile(path)
        try:
            self._wave = wave.open(self._unfinished.file, "wb")  # noqa: SIM115
            self._wave.setframerate(first.sample_rate)
            self._wave.setnchannels(first.channels)
            self._wave.setsampwidth(sample_bytes)
        except BaseException:
            self._unfinished.discard()
            raise

    def write(self, frame: AudioFrame) -> None:
        kind = frame.sample_rate, frame.channels
        if kind != self._kind:
            raise ValueError(
                f"a WAV file has one rate and number of channels: {self._kind[0]} Hz and {self._kind[1]}, not "
                f"{kind[0]} Hz and {kind[1]}; put Resample, ToMono or ChannelMap before"
            )
        data = _integers(frame.samples.T, self._sample_bytes)
        if (self._samples + frame.sample_count) * frame.channels * self._sample_bytes > MOST_BYTES:
            raise ValueError("a WAV file holds 4 GiB at most: write FLAC by MediaWriter, or several files")
        self._unfinished.check()
        try:
            self._wave.writeframesraw(data)
        except OSError as error:
            raise self._failed(error) from error
        self._samples += frame.sample_count

    def finish(self) -> dict[str, Any]:
        self._unfinished.check()
        path, end_s = str(self._unfinished.path), self._start_s + self._samples / self._kind[0]
        try:
            if not self._samples:
                self._wave.writeframesraw(b"")  # the header of an empty file
            self._wave.close()  # writes the length into the header; the file stays open
            size = self._unfinished.file.tell()
        except OSError as error:
            raise self._failed(error) from error
        self._unfinished.finish()
        return {"path": path, "start": round(self._start_s, 3), "end": round(end_s, 3), "bytes": size}

    def _failed(self, error: OSError) -> OSError:
        failure = self._unfinished.fail(error)
        self.discard()
        return failure

    def discard(self) -> None:
        self._unfinished.discard()
        self._wave._file = None  # type: ignore[attr-defined]  # or it writes a header into the closed file when it is freed


def _integers(samples: NDArray[Any], sample_bytes: int) -> bytes:
    """Return samples as little-endian integers of so many bytes, those of all channels in turn."""
    if samples.dtype == np.int16:
        if sample_bytes == 2:
            return samples.astype("<i2").tobytes()
        wide = samples.astype("<i4") << 16
    else:
        full = 1 << (8 * sample_bytes - 1)
        scaled = np.clip(samples.astype(np.float64) * full, -full, full - 1)
        if sample_bytes == 2:
            return np.rint(scaled).astype("<i2").tobytes()
        wide = np.rint(scaled).astype("<i4") << (32 - 8 * sample_bytes)
    data = np.ascontiguousarray(wide).view(np.uint8).reshape(-1, 4)
    return data[:, 4 - sample_bytes :].tobytes()
