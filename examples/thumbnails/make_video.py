"""Make a small video of known scenes: of one colour each, with a bar that moves, cut at known times.

python examples/thumbnails/make_video.py film.mp4
"""

import sys
from fractions import Fraction

import numpy as np

import remotemedia as rm

FPS = 25
WIDTH, HEIGHT = 320, 180
SCENES = ((1.0, (200, 40, 40)), (1.6, (40, 160, 60)), (0.8, (40, 70, 200)), (1.6, (220, 190, 60)))
"""How long each scene lasts, in s, and its colour."""


def pictures():
    """Give the pictures, with their times."""
    number = 0
    for length_s, colour in SCENES:
        for _ in range(round(length_s * FPS)):
            array = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
            array[:, number * 3 % WIDTH :][:, :8] = 255
            yield rm.VideoFrame(array, round(Fraction(number * 10**9, FPS)))
            number += 1


def main(path: str) -> None:
    """Write the video."""
    pipeline = rm.Pipeline("film").add("MediaWriter", params={"path": path, "fps": FPS})
    pipeline.run(pictures())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "film.mp4")
