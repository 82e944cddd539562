"""Reading WAV files: `read_wav`, which gives an `AudioFrame` at a time.

Called by the nodes `WavReader` and `WavSource` and by the command line. Plain samples, integers and floats, lie in
the file as they are, so NumPy alone reads them; whatever else is in WAV files, ADPCM for one, is decoded by libsndfile
(soundfile is imported when it is needed). A file that is cut short is refused, which is commonly taken in silence.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia.errors import InputError

BLOCK_FRAMES = 8192
MAX_RATE_HZ = 10_000_000  # of an AudioFrame
# A program that writes to a pipe cannot go back to fill in the length: it leaves a number from here on.
UNKNOWN_BYTES = 0x7FFF_F000
SIZE_IN_DS64 = 0xFFFF_FFFF
INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE
PLAIN = {(INTEGERS, 8), (INTEGERS, 16), (INTEGERS, 24), (INTEGERS, 32), (FLOATS, 32), (FLOATS, 64)}

AudioFrames = Generator[AudioFrame, None, None]
Pieces = Iterator[tuple[int, NDArray[Any]]]


def read_wav(path: str | os.PathLike[str], block_frames: int = BLOCK_FRAMES) -> AudioFrames:
    """Read a WAV file block by block, in memory that does not depend on its length.

    Reads integers of 8, 16, 24 and 32 bits and floats of 32 and 64 bits at any rate and with any number of channels;
    if soundfile is there (extra `audio`) also whatever else libsndfile decodes.

    Parameters
    ----------
    path : path-like
        The file; it is opened when the first block is asked for.
    block_frames : int
        Samples per channel in a block; the last block may be shorter.

    Yields
    ------
    AudioFrame
        `samples` is float32, read-only.

    Raises
    ------
    InputError
        There is no such file, it is no WAV file, is empty, broken or cut short, or has a sample that is no
        finite number. A length that was left open by a program that wrote to a pipe is no fault.
    """
    if block_frames < 1:
        raise ValueError(f"block_frames must be 1 or more, got {block_frames}")
    return _read_blocks(Path(path), block_frames, 0.0)


def read_wav_ms(path: str | os.PathLike[str], block_ms: float) -> AudioFrames:
    """Do as `read_wav` with blocks of `block_ms` milliseconds, rounded to whole samples."""
    return _read_blocks(Path(path), 0, block_ms)


class Layout(NamedTuple):
    """Where the samples of a WAV file are, and what.

    Attributes
    ----------
    kind : (int, int)
        Format tag (that of the subformat, where it is extensible) and bits of a sample.
    order : str
        Of the bytes, ``<`` or ``>``.
    begin, size : int
        First byte of the samples, and how many bytes of them there are.
    """

    kind: tuple[int, int]
    channels: int
    rate_hz: int
    order: str
    begin: int
    size: int

    @property
    def frame_bytes(self) -> int:
        """Of one sample of all channels."""
        return self.channels * self.kind[1] // 8


def wav_layout(path: Path) -> Layout | None:
    """Return where the samples of a file are, None if they are not plain ones or the header is broken.

    Raises
    ------
    InputError
        It is empty, no WAV file, or cut short.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if not head:
            raise InputError(f"{path}: the file is empty")
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
            raise InputError(f"{path}: not a WAV file (it begins with {head!r})")
        layout, promised = _chunks(file, ">" if head[:4] == b"RIFX" else "<")
    if layout.size < promised and not UNKNOWN_BYTES <= promised <= SIZE_IN_DS64:
        sizes = f"its header promises {promised} bytes of samples, {layout.size} are there"
        raise InputError(f"{path}: the WAV file is cut short: {sizes}")
    plain = layout.kind in PLAIN and layout.channels and 0 < layout.rate_hz <= MAX_RATE_HZ
    return layout if plain and layout.begin else None


def _chunks(file: BinaryIO, order: str) -> tuple[Layout, int]:
    """Return what the chunks tell, with zeros for what they do not, and how many bytes of samples are promised."""
    layout = Layout((0, 0), 0, 0, order, 0, 0)
    ds64_bytes = SIZE_IN_DS64
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", chunk)
        body = file.tell()
        if name == b"data":
            promised = ds64_bytes if size == SIZE_IN_DS64 else size
            held = file.seek(0, os.SEEK_END) - body
            return layout._replace(begin=body, size=min(held, promised)), promised
        if name == b"fmt " and size >= 16 and len(told := file.read(min(size, 40))) >= 16:
            tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack(f"{order}HHIIHH", told[:16])
            if tag == EXTENSIBLE and len(told) >= 26:
                tag = struct.unpack(f"{order}H", told[24:26])[0]  # the subformat begins with what it was before
            if frame_bytes == channels * bits // 8:  # else samples fill their bytes in another way
                layout = layout._replace(kind=(tag, bits), channels=channels, rate_hz=rate_hz)
        if name == b"ds64" and len(sizes := file.read(16)) == 16:  # RF64: 64 bits each for file, data
            ds64_bytes = struct.unpack("<8xQ", sizes)[0]
        file.seek(body + size + size % 2)
    return layout, 0


def _read_blocks(path: Path, block_frames: int, block_ms: float) -> AudioFrames:
    position = 0
    try:
        layout = wav_layout(path)
        pieces = (
            _plain(path, layout, block_frames, block_ms) if layout else _by_libsndfile(path, block_frames, block_ms)
        )
        for rate_hz, samples in pieces:
            if not np.isfinite(samples).all():
                raise InputError(f"{path}: NaN or infinity in the block at {position / rate_hz:.3f} s")
            samples.flags.writeable = False
            yield AudioFrame(samples.T, rate_hz, samples_to_ns(position, rate_hz))
            position += len(samples)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not position:
        raise InputError(f"{path}: the WAV file holds no samples")


def _block_length(rate_hz: int, block_frames: int, block_ms: float, whole: int) -> int:
    """Return samples of a block, never more than the file has: readers make room for all that is asked for."""
    return min(block_frames or max(1, round(rate_hz * block_ms / 1000)), max(1, whole))


def _plain(path: Path, layout: Layout, block_frames: int, block_ms: float) -> Pieces:
    """Give rate and float32 samples (n, channels) of a file of plain samples."""
    whole = layout.size // layout.frame_bytes
    size = _block_length(layout.rate_hz, block_frames, block_ms, whole)
    with path.open("rb") as file:
        file.seek(layout.begin)
        while whole > 0 and (data := file.read(min(size, whole) * layout.frame_bytes)):
            data = data[: len(data) - len(data) % layout.frame_bytes]
            whole -= len(data) // layout.frame_bytes
            yield layout.rate_hz, _floats(data, layout).reshape(-1, layout.channels)


def _floats(data: bytes, layout: Layout) -> NDArray[Any]:
    """Return the samples as float32, full scale 1."""
    tag, bits = layout.kind
    order = layout.order
    if tag == FLOATS:
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and told as that
            return np.frombuffer(data, f"{order}f{bits // 8}").astype(np.float32)
    if bits == 8:  # the only ones without a sign
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, slice(1, 4) if order == "<" else slice(0, 3)] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        integers: NDArray[Any] = wide.view(f"{order}i4")[:, 0]
        bits = 32
    else:
        integers = np.frombuffer(data, f"{order}i{bits // 8}")
    scaled: NDArray[Any] = np.multiply(integers, 2.0 ** (1 - bits), dtype=np.float32 if bits == 16 else np.float64)
    return scaled.astype(np.float32, copy=False)


def _by_libsndfile(path: Path, block_frames: int, block_ms: float) -> Pieces:
    """Give rate and float32 samples (n, channels) of a file of any other kind."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its shared library is not
        hint = f"one of another kind is read by soundfile ({error}): pip install 'remotemedia[audio]'"
        raise InputError(f"{path}: not a WAV file of plain samples; {hint}") from error
    try:
        # of a str soundfile makes strict UTF-8, which not every file name is
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            if not 0 < file.samplerate <= MAX_RATE_HZ:
                raise InputError(f"{path}: not a WAV file that can be read: its header says {file.samplerate} Hz")
            size = _block_length(file.samplerate, block_frames, block_ms, file.frames)
            while len(samples := file.read(size, dtype="float32", always_2d=True)):
                yield file.samplerate, samples
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", error)  # without the name as bytes
        raise InputError(f"{path}: not a WAV file that can be read: {reason}") from error
