"""Make the recordings of the example, whose levels are known: ``python examples/loudness/make_media.py FOLDER``."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000

Samples = NDArray[np.float64]


def make_media(folder: Path) -> None:
    """Write the recordings into a folder, as WAV of 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in recordings().items():
        write(folder / f"{name}.wav", samples)


def recordings() -> dict[str, Samples]:
    """Return the recordings by name, of shape (channels, n)."""
    noise = 0.25 * np.random.default_rng(1).uniform(-1, 1, (2, 3 * RATE_HZ))
    pause = np.concatenate((tone(-12, 1.0), np.zeros(RATE_HZ), tone(-12, 1.0)))
    return {
        "tone": np.stack([tone(-20, 2.0)] * 2),  # both level and peak are -20 dBFS
        "noise": noise,  # peak -12.0 dBFS; its mean square is a third of the peak's: -13.8 dBFS
        "pause": pause[None],  # one second of three is silent
        "clipped": np.clip(1.25 * tone(0, 0.5), -1, 1)[None],  # 440 periods a second, each clipped twice
    }


def tone(level_dbfs: float, duration_s: float, hz: float = 440.0) -> Samples:
    """Return a sine whose level is known: at 0 dBFS it reaches full scale."""
    # not at a crossing of zero, so that no sample is silent by chance
    times_s = (np.arange(round(RATE_HZ * duration_s)) + 0.5) / RATE_HZ
    sine: Samples = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * times_s)
    return sine


def write(path: Path, samples: NDArray[Any]) -> None:
    """Write floats as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.round(samples.T * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    make_media(Path(sys.argv[1]))
