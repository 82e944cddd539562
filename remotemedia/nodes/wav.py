"""Reading WAV files: `read_wav`, which gives an `AudioFrame` at a time.

Called by the node `WavSource` and by the command line. libsndfile decodes (soundfile is imported when the
first file is read); what it would take in silence, a file that is cut short or of another format, is refused
here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia.errors import InputError

BLOCK_FRAMES = 8192
# A program that writes to a pipe cannot go back to fill in the length: it leaves a number from here on.
UNKNOWN_BYTES = 0x7FFF_F000
SIZE_IN_DS64 = 0xFFFF_FFFF


AudioFrames = Generator[AudioFrame, None, None]


def read_wav(path: str | os.PathLike[str], block_frames: int = BLOCK_FRAMES) -> AudioFrames:
    """Read a WAV file block by block, in memory that does not depend on its length.

    Reads integers of 8, 16, 24 and 32 bits, floats of 32 and 64 bits, and whatever else libsndfile decodes,
    at any rate and with any number of channels.

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


def _read_blocks(path: Path, block_frames: int, block_ms: float) -> AudioFrames:
    soundfile = _soundfile()
    try:
        _check_container(path)
        # of a str soundfile makes strict UTF-8, which not every file name is
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            rate_hz, position = file.samplerate, 0
            # never larger than the file: soundfile makes room for all that is asked for
            size = min(block_frames or max(1, round(rate_hz * block_ms / 1000)), max(1, file.frames))
            while len(samples := file.read(size, dtype="float32", always_2d=True)):
                if not np.isfinite(samples).all():
                    raise InputError(f"{path}: NaN or infinity in the block at {position / rate_hz:.3f} s")
                samples.flags.writeable = False
                yield AudioFrame(samples.T, rate_hz, samples_to_ns(position, rate_hz))
                position += len(samples)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", error)  # without the name as bytes
        raise InputError(f"{path}: not a WAV file that can be read: {reason}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not position:
        raise InputError(f"{path}: the WAV file holds no samples")


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, its shared library is not
        hint = "pip install 'remotemedia[audio]'"
        raise ImportError(f"reading WAV files needs soundfile ({error}): {hint}") from error
    return soundfile


def _check_container(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
        if not head:
            raise InputError(f"{path}: the file is empty")
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:] != b"WAVE":
            raise InputError(f"{path}: not a WAV file (it begins with {head!r})")
        promised, held = _data_bytes(file, ">" if head[:4] == b"RIFX" else "<")
    if held < promised and not UNKNOWN_BYTES <= promised <= SIZE_IN_DS64:
        sizes = f"its header promises {promised} bytes of samples, {held} are there"
        raise InputError(f"{path}: the WAV file is cut short: {sizes}")


def _data_bytes(file: BinaryIO, order: str) -> tuple[int, int]:
    """Return the length of the data chunk by its header, and how many bytes follow; (0, 0) without one."""
    ds64_bytes = SIZE_IN_DS64
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", chunk)
        body = file.tell()
        if name == b"data":
            return (ds64_bytes if size == SIZE_IN_DS64 else size), file.seek(0, os.SEEK_END) - body
        if name == b"ds64" and len(sizes := file.read(16)) == 16:  # RF64: 64 bits each for file, data
            ds64_bytes = struct.unpack("<8xQ", sizes)[0]
        file.seek(body + size + size % 2)
    return 0, 0
