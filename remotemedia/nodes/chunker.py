"""Audio in pieces of a fixed number of samples: `Chunker`, with overlap or gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.media import AudioFrame, samples_to_ns
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

ENDS = ("keep", "zeros", "drop")
GAP_NS = 1_000_000


class Chunker(NodeExecutor):
    """Cut audio into chunks of a fixed number of samples.

    Takes and gives `AudioFrame`, of the same rate, type and channels, whatever lengths come in. A chunk that lies
    within one frame is a view of it; one that spans several is put together. Chunk k begins at sample k x hop; a chunk
    has the metadata of the frame that it ends in.

    A recording ends with a flush, and where the rate, the type or the number of channels changes, or a frame does not
    follow the one before it within 1 ms; what comes then is cut anew from its own start. What is left at the end, if
    it holds samples that were in no chunk yet, is given short, filled up with zeros, or dropped: see `end`.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "samples": "length of a chunk, in samples of each channel; this or 'chunk_ms'",
        "chunk_ms": "length of a chunk, in ms; rounded to whole samples of each recording",
        "hop": "samples from the start of a chunk to that of the next: less than the length overlaps, more leaves gaps "
        "(default: the length)",
        "hop_ms": "the same in ms, beside 'chunk_ms'",
        "end": "what is left at the end: 'keep' gives it short, 'zeros' fills it up, 'drop' (default 'keep')",
    }

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
        self._cutter: _Cutter | None = None

    def process(self, item: AudioFrame) -> Iterator[AudioFrame]:
        """Emit the chunks that are complete with this frame."""
        frame = frame_of(item, "Chunker")
        cutter = self._cutter
        if cutter is None or not cutter.takes(frame):
            if cutter is not None:
                self._cutter = None
                yield from cutter.end(self._end)
            if not frame.sample_count:
                return
            size, hop = self._lengths(frame.sample_rate)
            cutter = self._cutter = _Cutter(frame, size, hop)
        yield from cutter.add(frame)

    def flush(self) -> list[AudioFrame]:
        """Return what is left."""
        cutter, self._cutter = self._cutter, None
        return [] if cutter is None else list(cutter.end(self._end))

    def cleanup(self) -> None:
        """Let go of what is held."""
        self._cutter = None

    def _lengths(self, rate: int) -> tuple[int, int]:
        if self._samples is not None:
            return self._samples, self._hop or self._samples
        return max(1, round(rate * self._chunk_ms / 1000)), max(1, round(rate * self._hop_ms / 1000))


class _Cutter:
    """One recording on its way through; positions count its samples."""

    def __init__(self, first: AudioFrame, size: int, hop: int) -> None:
        self._kind = first.sample_rate, first.samples.dtype, first.channels
        self._start_ns = first.pts_ns
        self._size, self._hop = size, hop
        self._next = 0  # where the next chunk begins
        self._end = 0  # how many samples came in
        self._covered = 0  # up to where they were in a chunk
        # what is still needed, up to `_end`: in pieces, so that nothing is copied again with each small frame
        self._rest: list[NDArray[Any]] = []
        self._metadata: dict[str, Any] = first.metadata

    def takes(self, frame: AudioFrame) -> bool:
        if (frame.sample_rate, frame.samples.dtype, frame.channels) != self._kind:
            return False
        return abs(frame.pts_ns - self._start_ns - samples_to_ns(self._end, self._kind[0])) <= GAP_NS

    def add(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        samples = frame.samples
        begin = self._end  # of the frame, in the recording
        self._end += samples.shape[1]
        self._metadata = frame.metadata
        if self._next < begin:
            if self._next + self._size > self._end:
                self._rest.append(samples.copy())
                return
            # chunks that begin in what was held: from as much of the frame as the last of them needs
            joined = np.concatenate((*self._rest, samples[:, : self._size]), axis=1)
            at = begin - sum(piece.shape[1] for piece in self._rest)
            while self._next < begin and self._next + self._size <= self._end:
                yield self._chunk(joined[:, self._next - at : self._next - at + self._size])
            if self._next < begin:  # then the frame is shorter than a chunk, and all of it was joined
                self._rest = [joined[:, self._next - at :]]
                return
        view = samples.view()
        view.flags.writeable = False
        while self._next + self._size <= self._end:
            yield self._chunk(view[:, self._next - begin : self._next - begin + self._size])
        self._rest = [samples[:, self._next - begin :].copy()]  # a view would keep the whole frame alive

    def end(self, how: str) -> Iterator[AudioFrame]:
        if how == "drop" or self._end <= max(self._next, self._covered):
            return
        left = np.concatenate(self._rest, axis=1)
        if how == "zeros":
            left = np.concatenate((left, np.zeros((left.shape[0], self._size - left.shape[1]), left.dtype)), axis=1)
        yield self._chunk(left)

    def _chunk(self, samples: NDArray[Any]) -> AudioFrame:
        rate = self._kind[0]
        pts_ns = self._start_ns + samples_to_ns(self._next, rate)
        self._covered = self._next + self._size
        self._next += self._hop
        samples.flags.writeable = False
        return AudioFrame(samples, rate, pts_ns, self._metadata)
