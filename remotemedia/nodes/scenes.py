"""Where a video is cut: `SceneChange`, by how much a picture differs from the one before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import VideoFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.video import picture_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

GRID = 64
"""Rows and columns of a picture that are looked at, at most: more see no other cuts."""


class SceneChange(NodeExecutor):
    """Find the cuts of a video: keep the first picture of each scene, with `scene` and `difference` in its metadata.

    The difference is the mean of the absolute differences of the pixels, all channels, 0…1, between a picture and the
    one before it, over up to 64 x 64 points. A scene begins where it is at least the threshold, and never sooner than
    `min_gap_ms` after the one before, unless time has gone back, as where another video follows. The first picture is
    that of scene 0, with a difference of 0. Another size or format is a difference of 1. A flush ends the video: what
    follows begins with scene 0.

    It sees hard cuts. What fades over many pictures it does not see, and a flash is a cut to it.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "threshold": "the least difference of a cut, 0…1 (default 0.15)",
        "min_gap_ms": "the least length of a scene, in ms (default 300)",
        "emit": "'cuts', the first picture of each scene, or 'all' of them, with the same metadata (default 'cuts')",
    }

    _last: NDArray[np.int16] | None
    _kind: tuple[Any, str] | None
    _last_ns: int
    _scene: int
    _scene_ns: int

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._threshold = params.number("threshold", 0.15, above=0, most=1)
        self._min_gap_ns = round(params.number("min_gap_ms", 300.0, least=0, most=1e9) * 1e6)
        self._all = params.choice("emit", ("cuts", "all"), "cuts") == "all"
        self.flush()

    def process(self, item: VideoFrame) -> VideoFrame | None:
        """Return the picture if a scene begins with it."""
        frame = picture_of(item, "SceneChange")
        points = _points(frame)
        last, self._last, kind, self._kind = self._last, points, self._kind, (frame.array.shape, frame.format)
        difference = 0.0
        if last is not None:
            difference = 1.0 if kind != self._kind else float(np.abs(points - last).mean()) / 255
        went_back, self._last_ns = frame.pts_ns < self._last_ns, frame.pts_ns
        too_soon = 0 <= frame.pts_ns - self._scene_ns < self._min_gap_ns and not went_back
        begins = last is None or (difference >= self._threshold and not too_soon)
        if begins:
            self._scene += 1
            self._scene_ns = frame.pts_ns
        return frame.tagged(scene=self._scene, difference=round(difference, 4)) if begins or self._all else None

    def flush(self) -> None:
        """End the video."""
        self._last, self._kind = None, None
        self._scene, self._scene_ns, self._last_ns = -1, 0, 0


def _points(frame: VideoFrame) -> NDArray[np.int16]:
    rows, columns = -(-frame.height // GRID), -(-frame.width // GRID)
    return frame.array[rows // 2 :: rows, columns // 2 :: columns].astype(np.int16)
