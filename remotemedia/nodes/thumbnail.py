"""Small pictures in files: `Thumbnail`, as JPEG or PNG by PyAV's encoders (extra `media`)."""

from __future__ import annotations

from base64 import b64encode
from fractions import Fraction
from itertools import count
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

import av

from remotemedia._core.media import VideoFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.paths import PathTemplate
from remotemedia.nodes.unfinished import UnfinishedFile
from remotemedia.nodes.video import Scaler, as_av, fitted, picture_of, side

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIXES = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}


class Thumbnail(NodeExecutor):
    """Write each picture as a small JPEG or PNG file.

    Takes `VideoFrame`; emits ``{"path": …, "pts_ns": …, "width": …, "height": …, "bytes": …}``, with the picture's
    metadata if it has any; without `path` there is an ``image`` in its place, a ``data:`` URI. The picture is scaled
    down to fit into width and height, and never up. A file has its name when it is whole.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "path": "the files, with {index} or {index:03d} in it, from 0 on; .jpg or .png (default: none are written)",
        "width": "the most, in pixels (default 320)",
        "height": "the most, in pixels (default: as follows from the width)",
        "quality": "of JPEG, 1…100 (default 85)",
        "format": "without 'path': 'jpeg' or 'png' (default 'jpeg')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._template = None if context.params.get("path") is None else PathTemplate(params, "path")
        self._width, self._height = side(params, "width") or 320, side(params, "height")
        self._quality = params.number("quality", 85.0, least=1, most=100)
        self._format = params.choice("format", ("jpeg", "png"), "jpeg")
        if self._template is not None:
            if not self._template.many:
                raise params.error("path", "must have {index} in it: each picture is a file of its own")
            suffix = PurePath(self._template.text).suffix.lower()
            if suffix not in SUFFIXES:
                raise params.error("path", f"must end in one of {', '.join(SUFFIXES)}, not {suffix!r:.20}")
            self._format = SUFFIXES[suffix]
        self._scaler = Scaler("area")
        self.flush()

    def process(self, item: VideoFrame) -> dict[str, Any]:
        """Write a picture."""
        frame = picture_of(item, "Thumbnail")
        width, height = fitted(
            frame.width,
            frame.height,
            min(self._width, frame.width),
            None if self._height is None else min(self._height, frame.height),
            "contain",
        )
        array = self._scaler.scaled(frame.array, frame.format, width, height)
        data = encoded(frame.replace(array=array), self._format, self._quality)
        told: dict[str, Any] = {}
        if self._template is None:
            told["image"] = f"data:image/{self._format};base64,{b64encode(data).decode('ascii')}"
        else:
            told["path"] = self._template.path(next(self._indexes))
            file = UnfinishedFile(told["path"])
            file.write(data)
            file.finish()
        told |= {"pts_ns": frame.pts_ns, "width": width, "height": height, "bytes": len(data)}
        return told | {"metadata": frame.metadata} if frame.metadata else told

    def flush(self) -> None:
        """End the recording: the next begins with index 0."""
        self._indexes = count()  # no two calls get the same, if they overlap too


def encoded(frame: VideoFrame, name: str, quality: float) -> bytes:
    """Return a picture as a JPEG or PNG file; `quality` 1…100 is of JPEG."""
    picture = as_av(frame.array, frame.format)
    if name == "jpeg":
        picture = picture.reformat(format="yuvj444p" if quality > 90 else "yuvj420p", dst_color_range="JPEG")
    elif frame.format == "bgr24":
        picture = picture.reformat(format="rgb24")
    codec: Any = av.CodecContext.create("mjpeg" if name == "jpeg" else "png", "w")
    codec.width, codec.height, codec.pix_fmt = picture.width, picture.height, picture.format.name
    codec.time_base = Fraction(1, 25)
    picture.pts = 0
    if name == "jpeg":
        codec.color_range = 2  # full
        codec.qmin = codec.qmax = round(31 - 30 * (quality - 1) / 99)  # FFmpeg's scale: 1 is best, 31 worst
        codec.options = {"strict": "unofficial"}
    packets = [*codec.encode(picture), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
