"""From packets to media items: a decoder for each stream of a file that is read.

Called by `reader`, whose `Reading` they ask for what part is wanted, and tell of what cannot be decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import av.error

from remotemedia.nodes.decoded import NS, Blocks, CorruptError, picture_of, time_ns

if TYPE_CHECKING:
    from remotemedia._core.media import AudioFrame, VideoFrame

EXACT = frozenset({"wav", "flac", "mov,mp4,m4a,3gp,3g2,mj2", "w64", "aiff"})
"""Containers whose streams tell how long they are to the sample, so that it shows if one is cut short."""
SHORT_NS = 250_000_000
FRAME_NS = 40_000_000  # of pictures without a time: 25 a second


class Reading(Protocol):
    """What a decoder knows of the file.

    Attributes
    ----------
    container : InputContainer
        Of PyAV.
    origin_ns : int
        The file's time that counts as 0.
    start_ns, end_ns : int, int or None
        The part that is wanted.
    """

    container: Any
    origin_ns: int
    start_ns: int
    end_ns: int | None
    block_ms: float
    sample_format: str

    def corrupt(self, error: Exception, made: list[AudioFrame] | None = None) -> None:
        """Take what cannot be decoded."""
        ...


class Decoder:
    """Decodes the packets of one stream."""

    over = False  # the end that was asked for is reached

    def __init__(self, reading: Reading, stream: Any) -> None:
        self._reading, self._stream = reading, stream

    def frames_of(self, packet: Any) -> list[Any]:
        """Return what is complete with a packet."""
        made: list[Any] = []
        if self.over:
            return made
        try:
            if packet.is_corrupt:
                raise CorruptError("a packet is corrupt, or cut short")
            for frame in packet.decode():
                made += self._items_of(frame)
        except (av.error.FFmpegError, CorruptError) as error:
            if isinstance(error, OSError):
                raise
            self._reading.corrupt(error)
        return made

    def end(self) -> list[Any]:
        """Return what is held back."""
        return []

    def _items_of(self, frame: Any) -> list[Any]:
        """Return what is complete with a decoded frame."""
        raise AssertionError("of a kind of stream")


class AudioDecoder(Decoder):
    """Gives blocks of audio."""

    def __init__(self, reading: Reading, stream: Any) -> None:
        super().__init__(reading, stream)
        self._blocks = Blocks(
            reading.origin_ns,
            stream.time_base,
            reading.block_ms,
            reading.sample_format,
            reading.start_ns,
            reading.end_ns,
        )
        exact = reading.container.format.name in EXACT and stream.duration and reading.end_ns is None
        self._promised_ns = time_ns(stream.duration, stream.time_base) if exact else 0
        self._reached_ns = reading.start_ns

    def _items_of(self, frame: Any) -> list[AudioFrame]:
        made = self._blocks.add(frame)
        if made:
            self._reached_ns = made[-1].end_ns
        self.over = self._blocks.over
        return made

    def end(self) -> list[AudioFrame]:
        """Return the last block; told of is a file that is cut short."""
        made: list[AudioFrame] = []
        try:
            made = self._blocks.end()
            if made:
                self._reached_ns = made[-1].end_ns
            if not self.over and self._reached_ns < self._promised_ns - SHORT_NS:
                reached_s, promised_s = self._reached_ns / NS, self._promised_ns / NS
                raise CorruptError(f"it is cut short: {reached_s:.3f} s of {promised_s:.3f} s are there")
        except CorruptError as error:
            self._reading.corrupt(error, made)
        return made


class VideoDecoder(Decoder):
    """Gives pictures."""

    def __init__(self, reading: Reading, stream: Any) -> None:
        super().__init__(reading, stream)
        rate = stream.average_rate
        self._next_ns = reading.start_ns
        self._frame_ns = round(NS / rate) if rate else FRAME_NS

    def _items_of(self, frame: Any) -> list[VideoFrame]:
        if frame.is_corrupt:
            raise CorruptError("a picture is corrupt")
        item = picture_of(frame, self._reading.origin_ns, self._next_ns)
        self._next_ns = item.pts_ns + self._frame_ns
        end_ns = self._reading.end_ns
        self.over = end_ns is not None and item.pts_ns >= end_ns
        return [] if self.over or item.pts_ns < self._reading.start_ns else [item]
