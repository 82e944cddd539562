"""Audio in pieces of a fixed number of samples: `Chunker`, with overlap or gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import follows, frame_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ENDS = ("keep", "zeros", "drop")
SHORT_CHUNKS = 4
"""Frames of up to so many chunks are copied as a whole where chunks lie across their border: that takes less time."""


class Chunker(NodeExecutor):
    """Cut audio into chunks of a fixed number of samples.

    Takes and gives `AudioFrame`, of the same rate, type and channels, whatever lengths come in. Chunks are views of
    a long frame; those across a border, and of short frames, of what was put together. Chunk k begins at sample k x
    hop; a chunk has the metadata of the frame that it ends in.

    A recording ends with a flush, and where the rate, the type or the number of channels changes, or a frame does not
    follow the one before it within 1 ms; what comes then is cut anew from its own start. What is left at the end, if
    it holds samples that were in no chunk yet, is given short, filled up with zeros, or dropped: see `end`.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "samples": "length of a chunk, in samples of each channel; this or 'chunk_ms'",
        "chunk_ms": "length of a chunk, in ms; rounded to whole samples of each recording",
        "hop": "samples from the start of a chunk to that of the next: less than the length overlaps, more leaves gaps "
        "(default: the length)",
        "hop_ms": "the same in ms, beside 'chunk_ms'",
        "end": "what is left at the end: 'keep' gives it short, 'zeros' fills it up, 'drop' (default 'keep')",
    }

    emits = "many"  # a list, as the chunks of a frame are views of it; a generator costs more than to cut

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        given = [name for name in ("samples", "chunk_ms") if context.params.get(name) is not None]
        if len(given) != 1:
            raise params.error("samples", "is missing: give it or 'chunk_ms'" if not given else "is given twice")
        in_ms = given == ["chunk_ms"]
        if context.params.get("hop" if in_ms else "hop_ms") is not None:
            raise params.error("hop" if in_ms else "hop_ms", f"does not go with '{given[0]}': give the other")
        self._samples, self._hop = params.whole("samples"), params.whole("hop")
        self._chunk_ms = params.number("chunk_ms", 1.0, above=0, most=1e9)
        self._hop_ms = params.number("hop_ms", self._chunk_ms, above=0, most=1e9)
        self._end = params.choice("end", ENDS, "keep")
        self._cutter: Cutter | None = None

    def process(self, item: AudioFrame) -> list[AudioFrame]:
        """Return the chunks that are complete with this frame."""
        frame = frame_of(item, "Chunker")
        if not frame.sample_count:  # nothing, whatever its time
            return []
        cutter, left = self._cutter, []
        if cutter is None or not cutter.takes(frame):
            left = self.flush()
            size, hop = self._lengths(frame.sample_rate)
            cutter = self._cutter = Cutter(frame, size, hop)
        return left + cutter.add(frame)

    def flush(self) -> list[AudioFrame]:
        """Return what is left."""
        cutter, self._cutter = self._cutter, None
        return [] if cutter is None else cutter.end(self._end)

    def cleanup(self) -> None:
        """Let go of what is held."""
        self._cutter = None

    def _lengths(self, rate: int) -> tuple[int, int]:
        if self._samples is not None:
            return self._samples, self._hop or self._samples
        return max(1, round(rate * self._chunk_ms / 1000)), max(1, round(rate * self._hop_ms / 1000))


class Cutter:
    """Cuts one recording, frame by frame; for `Chunker` and `Frames`.

    Positions count samples of the recording.

    Parameters
    ----------
    first : AudioFrame
        Its first frame, not cut yet: it gives rate, channels, sample type and the time of the first sample.
    size, hop : int
        Length of a chunk, and from the start of one to that of the next, in samples.
    """

    def __init__(self, first: AudioFrame, size: int, hop: int) -> None:
        self.sample_rate = first.sample_rate
        self._kind = first.sample_rate, first.samples.dtype, first.channels
        self._start_ns = self._expected_ns = first.pts_ns
        self._size, self._hop = size, hop
        self._next = 0  # where the next chunk begins
        self._end = 0  # how many samples came in
        self._covered = 0  # up to where they were in a chunk
        # what is still needed, up to `_end`: in pieces, so that nothing is copied again with each small frame
        self._rest: list[NDArray[Any]] = []
        self._metadata: dict[str, Any] = first.metadata

    def takes(self, frame: AudioFrame) -> bool:
        """Whether a frame goes on where the one before it ended."""
        samples = frame.samples
        kind = frame.sample_rate, samples.dtype, samples.shape[0]
        return kind == self._kind and follows(frame.pts_ns, self._expected_ns)

    def add(self, frame: AudioFrame) -> list[AudioFrame]:
        """Return the chunks that are complete with a frame."""
        samples = frame.samples
        begin = self._end  # of the frame, in the recording
        self._end += samples.shape[1]
        self._expected_ns = self._start_ns + samples_to_ns(self._end, self.sample_rate)
        self._metadata = frame.metadata
        chunks: list[AudioFrame] = []
        if self._next < begin:
            if self._next + self._size > self._end:
                self._rest.append(samples.copy())
                return chunks
            # a short frame is put behind what was held as a whole; of a long one no more than the chunks across the
            # border need
            count = samples.shape[1]
            if count > SHORT_CHUNKS * self._size:
                last = (begin - 1 - self._next) // self._hop
                count = min(count, self._next + last * self._hop + self._size - begin)
            joined = np.concatenate((*self._rest, samples[:, :count]), axis=1)
            at = begin + count - joined.shape[1]
            if count == samples.shape[1]:
                self._cut(joined, at, self._end, chunks)
                self._rest = [joined[:, self._next - at :]]
                return chunks
            self._cut(joined, at, begin, chunks)
        self._cut(samples, begin, self._end, chunks)
        self._rest = [samples[:, self._next - begin :].copy()]  # a view would keep the whole frame alive
        return chunks

    def end(self, how: str) -> list[AudioFrame]:
        """Return what is left, if it holds samples that were in no chunk."""
        if how == "drop" or self._end <= max(self._next, self._covered):
            return []
        left = np.concatenate(self._rest, axis=1)
        if how == "zeros":
            left = np.concatenate((left, np.zeros((left.shape[0], self._size - left.shape[1]), left.dtype)), axis=1)
        left.flags.writeable = False
        pts_ns = self._start_ns + samples_to_ns(self._next, self.sample_rate)
        return [AudioFrame(left, self.sample_rate, pts_ns, self._metadata)]

    def _cut(self, samples: NDArray[Any], begin: int, border: int, chunks: list[AudioFrame]) -> None:
        """Add the chunks that begin before `border`; `begin` is where the samples do."""
        size, hop, rate, start_ns, metadata = self._size, self._hop, self.sample_rate, self._start_ns, self._metadata
        view = samples.view()
        view.flags.writeable = False  # of the view, and of the chunks, which are views of it
        position, last = self._next, self._end - size
        while position <= last and position < border:
            chunk = view[:, position - begin : position - begin + size]
            chunks.append(AudioFrame(chunk, rate, start_ns + samples_to_ns(position, rate), metadata))
            position += hop
        if position != self._next:
            self._covered = position - hop + size
            self._next = position
