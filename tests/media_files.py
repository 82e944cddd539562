"""Media files for tests, made by PyAV: a tone and pictures whose brightness tells their number."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ = 16_000
FPS = 10
TONE_HZ = 440.0


def tone(seconds: float, rate_hz: int = RATE_HZ, amplitude: float = 0.5) -> NDArray[np.float32]:
    """A sine of 440 Hz."""
    times_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * TONE_HZ * times_s)).astype(np.float32)


def level_of(number: int) -> int:
    """The brightness of a picture, as written by `write_media`."""
    return 16 + 20 * (number % 11)


def write_media(
    path: Path,
    *,
    audio: bool = True,
    video: bool = True,
    seconds: float = 1.0,
    rate_hz: int = RATE_HZ,
    codec: str = "aac",
    channels: int = 1,
    samples: NDArray[Any] | None = None,
) -> str:
    """Write a tone, or float samples of shape (channels, n), and gray pictures of 64 x 48 at 10 frames a second."""
    with av.open(str(path), "w") as container:
        pictures: Any = container.add_stream("mpeg4", rate=FPS) if video else None
        layout = "mono" if channels == 1 else "stereo"
        sound: Any = container.add_stream(codec, rate=rate_hz, layout=layout) if audio else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
            for number in range(round(FPS * seconds)):
                array = np.full((48, 64, 3), level_of(number), np.uint8)
                picture = av.VideoFrame.from_ndarray(array, format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound is not None:
            if samples is None:
                samples = np.stack([tone(seconds, rate_hz)] * channels)
            frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            resampler = av.AudioResampler(sound.format, layout, rate_hz, frame_size=sound.codec_context.frame_size or 0)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
    return str(path)
