"""Which channel goes where: `ChannelMap`, `ChannelSplitter`; `ToMono`, the mean of all, is in `audio`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import bounded_repr
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, frame_of, int16_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

MAX_CHANNELS = 256
Mix: TypeAlias = list[list[tuple[int, float]]]
"""For each channel that goes out: the channels that it is mixed of, each with its factor, which is not 0."""


class ChannelMap(NodeExecutor):
    """Pick, reorder, repeat or mix channels.

    Takes and gives `AudioFrame`, of the same sample type. Where channels are picked, samples are moved, not computed
    with: ``[1, 0]`` swaps stereo, ``[0, 0]`` makes two channels of the first, and neighbours in order, like ``[2, 3]``,
    are a view. A matrix has a row for each channel that goes out, and in it a factor for each that comes in:
    ``[[0.5, 0.5]]`` makes stereo mono. What is mixed of floats may exceed full scale; int16 is mixed in float64,
    rounded (half to even), and saturates. A factor of 0 takes nothing of its channel, be it NaN.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "channels": "the source, counted from 0, of each channel that goes out, [1, 0]; or a matrix of factors with a "
        "row for each that goes out, [[0.5, 0.5]] (required)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        given = context.params.get("channels")
        if not isinstance(given, list | tuple) or not 0 < len(given) <= MAX_CHANNELS:
            raise params.error("channels", f"must be a list of 1…{MAX_CHANNELS} channels, not {bounded_repr(given)}")
        self._sources: list[int] | None = None
        if all(_is_index(source) for source in given):
            self._sources = [int(source) for source in given]
            self._least = max(self._sources) + 1
            self._view = _slice_of(self._sources)
        elif all(_is_row(row) for row in given) and len({len(row) for row in given}) == 1:
            self._mix: Mix = [[(at, float(factor)) for at, factor in enumerate(row) if factor] for row in given]
            self._inputs = len(given[0])
        else:
            what = "indices from 0 to 255, or rows of one length of finite numbers"
            raise params.error("channels", f"must hold {what}, not {bounded_repr(given)}")

    def process(self, item: AudioFrame) -> AudioFrame:
        """Return the frame with other channels."""
        frame = frame_of(item, "ChannelMap")
        samples = self._picked(frame) if self._sources is not None else self._mixed(frame)
        if samples is frame.samples:
            return frame
        samples.flags.writeable = False
        return frame.replace(samples=samples)

    def _picked(self, frame: AudioFrame) -> NDArray[Any]:
        if frame.channels < self._least:
            raise ValueError(f"'channels' asks for channel {self._least - 1}, the frame has 0…{frame.channels - 1}")
        if self._view is None:
            return frame.samples[self._sources]
        return frame.samples if self._view == slice(0, frame.channels) else frame.samples[self._view]

    def _mixed(self, frame: AudioFrame) -> NDArray[Any]:
        samples = frame.samples
        if frame.channels != self._inputs:
            raise ValueError(f"the rows of 'channels' have {self._inputs} factors, the frame {frame.channels} channels")
        is_int = samples.dtype == INT16
        mixed = np.zeros((len(self._mix), frame.sample_count), np.float64 if is_int else samples.dtype)
        for out, parts in zip(mixed, self._mix, strict=True):
            for source, factor in parts:
                out += np.multiply(samples[source], factor, dtype=mixed.dtype)
        return int16_of(mixed) if is_int else mixed


class ChannelSplitter(NodeExecutor):
    """Make each channel a frame of its own, one after the other, with its number as `channel` in the metadata.

    Takes `AudioFrame`; what it gives are views of its channels, counted from 0, with its time.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}

    def initialize(self, context: NodeContext) -> None:
        """Refuse params."""
        Params(context, self.PARAMS)

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit a frame for each channel."""
        frame = frame_of(item, "ChannelSplitter")
        for channel in range(frame.channels):
            samples = frame.samples[channel : channel + 1]
            samples.flags.writeable = False
            yield frame.replace(samples=samples, metadata={**frame.metadata, "channel": channel})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_index(value: Any) -> bool:
    return _is_number(value) and 0 <= value < MAX_CHANNELS and value == int(value)


def _is_row(row: object) -> bool:
    if not isinstance(row, list | tuple) or not 0 < len(row) <= MAX_CHANNELS:
        return False
    return all(_is_number(factor) and abs(factor) <= 1e30 for factor in row)  # a float32 holds it


def _slice_of(sources: list[int]) -> slice | None:
    first = sources[0]
    return slice(first, first + len(sources)) if sources == list(range(first, first + len(sources))) else None
