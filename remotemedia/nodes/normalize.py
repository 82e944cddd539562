"""Items brought to one level: `Normalize`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import (
    INT16,
    INT16_SCALE,
    Item,
    Samples,
    int16_of,
    mean_square_of,
    samples_of,
    with_samples,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MODES = ("peak", "rms")
DEFAULT_DBFS = {"peak": -1.0, "rms": -20.0}


class Normalize(NodeExecutor):
    """Bring each item to a level, by one gain for all its samples and channels.

    Takes arrays and `AudioFrame`, and gives what it took, of the same sample type; the gain is added to the metadata of
    a frame, as `gain_db`. Each item is taken by itself, so it should be a whole: a recording, or a segment that
    `SpeechSegmenter` cut out. Of the frames of one recording each would get a gain of its own, which is heard as
    pumping; for a fixed one there is `Gain`.

    `peak` brings the largest magnitude to the target; `rms` the level as `Level` measures it (a full-scale sine is
    0 dBFS), but never so far that the peak exceeds full scale. Digital silence stays as it is, as does an item without
    samples. NaN or infinity is a ValueError.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "mode": "what is brought to the target: 'peak' or 'rms' (default 'peak')",
        "target_dbfs": "the target, in dBFS, at most 0 (default -1 for 'peak', -20 for 'rms')",
        "max_gain_db": "the largest gain, so that what is all but silent is not made noise, in dB (default 40)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        mode = params.choice("mode", MODES, "peak")
        self._is_rms = mode == "rms"
        self._target_dbfs = params.number("target_dbfs", DEFAULT_DBFS[mode], least=-300, most=0)
        self._max_gain_db = params.number("max_gain_db", 40.0, least=0, most=300)

    def process(self, item: Item) -> Item:
        """Return the item at its new level."""
        samples = samples_of(item, "Normalize")
        gain_db = self._gain_db(samples)
        if gain_db:
            factor = 10 ** (gain_db / 20)
            is_int = samples.dtype == INT16
            scaled = np.multiply(samples, factor, dtype=np.float64 if is_int else samples.dtype)
            item = with_samples(item, int16_of(scaled) if is_int else scaled)
        return item.tagged(gain_db=gain_db) if isinstance(item, AudioFrame) else item

    def _gain_db(self, samples: Samples) -> float:
        if not samples.size:
            return 0.0
        peak = max(float(samples.max()), -float(samples.min()))  # NaN goes through either
        if not math.isfinite(peak):
            raise ValueError("samples must be finite numbers, got NaN or infinity")
        if not peak:
            return 0.0
        # the largest int16 is just below full scale: a target of 0 dBFS is what it can hold
        peak_dbfs = 20 * math.log10(peak / (INT16_SCALE - 1 if samples.dtype == INT16 else 1))
        if not self._is_rms:
            return min(self._target_dbfs - peak_dbfs, self._max_gain_db)
        # the square of a float64 may be none: then of what fits
        unit = 1.0 if 1e-100 < peak < 1e100 else peak
        mean_square = mean_square_of(samples if unit == 1.0 else samples / unit)
        level_dbfs = 10 * math.log10(2 * mean_square) + 20 * math.log10(unit)
        return min(self._target_dbfs - level_dbfs, self._max_gain_db, -peak_dbfs)
