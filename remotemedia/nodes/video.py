"""Video nodes: `Resize`, `Crop`, `Flip`, `Grayscale`, `FrameSampler` (extra `media`).

They take and give `VideoFrame` items of any format; time and metadata go through. Pictures are scaled by swscale, the
scaler of PyAV's FFmpeg: whoever decodes video has it already, it takes every format, and while it works the
interpreter's lock is not held. Pillow or OpenCV would be one more package, of 20 to 150 MB, for the same pixels.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from remotemedia._core.media import VideoFrame
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NS = 1_000_000_000
MOST_SIDE = 16_384
JITTER_NS = 1_000_000  # what containers round the times of pictures by, Matroska for one
EXACTLY = Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
INTERPOLATIONS = {
    "nearest": Interpolation.POINT,
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
    "area": Interpolation.AREA,
    "lanczos": Interpolation.LANCZOS,
}
FITS = ("stretch", "contain", "cover")
FLIPS: dict[str, tuple[slice, ...]] = {
    "horizontal": (slice(None), slice(None, None, -1)),
    "vertical": (slice(None, None, -1),),
    "both": (slice(None, None, -1), slice(None, None, -1)),
}


def picture_of(item: object, node: str) -> VideoFrame:
    """Return the item if it is a `VideoFrame`; else raise TypeError with what to do."""
    if isinstance(item, VideoFrame):
        return item
    raise TypeError(f"{node} takes VideoFrame items, got {type(item).__name__}: MediaReader with 'video' makes them")


def side(params: Params, name: str) -> int | None:
    """Read a width or height in pixels."""
    pixels = params.whole(name)
    if pixels is not None and pixels > MOST_SIDE:
        raise params.error(name, f"must be at most {MOST_SIDE} pixels, not {pixels}")
    return pixels


def edge(params: Params, name: str) -> int:
    """Read a distance from the left or the top in pixels; it may be 0."""
    pixels = params.number(name, 0.0, least=0, most=MOST_SIDE)
    if pixels != int(pixels):
        raise params.error(name, f"must be a whole number of pixels, not {pixels:g}")
    return int(pixels)


class Scaler:
    """Scales pictures; keeps what swscale prepared for the last size.

    Calls may overlap, in threads: what swscale prepared is then of one call at a time, as it must not be shared.
    """

    def __init__(self, interpolation: str) -> None:
        self._how = int(INTERPOLATIONS[interpolation] | EXACTLY)
        self._free: list[VideoReformatter] = []  # those that no call is using

    def scaled(self, array: NDArray[np.uint8], pixel_format: str, width: int, height: int) -> NDArray[np.uint8]:
        """Return pixels (height, width, channels) in another size, read-only; the same array if it has that."""
        if array.shape[:2] == (height, width):
            return array
        try:
            reformatter = self._free.pop()
        except IndexError:
            reformatter = VideoReformatter()
        try:
            made = reformatter.reformat(as_av(array, pixel_format), width, height, interpolation=self._how)
        except av.FFmpegError as error:
            size = f"{array.shape[1]} x {array.shape[0]}"
            raise ValueError(
                f"a picture of {size} cannot be scaled to {width} x {height} at once ({error.strerror}): "
                "put a Resize to a size between before it"
            ) from error
        self._free.append(reformatter)
        pixels: NDArray[Any] = made.to_ndarray()
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        pixels.flags.writeable = False
        return pixels


def as_av(array: NDArray[np.uint8], pixel_format: str) -> av.VideoFrame:
    """Return pixels as a frame of PyAV, which has a copy of them."""
    plane = array[:, :, 0] if pixel_format == "gray" else array
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format=pixel_format)


class Resize(NodeExecutor):
    """Scale pictures to a width and height, or to one of them with the aspect kept.

    Takes and gives `VideoFrame`, in the same format. A picture that has the size goes through as it is.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "width": "in pixels; without it, it follows from the height",
        "height": "in pixels; without it, it follows from the width",
        "fit": "with both: 'stretch' to them; 'contain', as much as fits into them; 'cover' them and cut what is "
        "over, the same on both sides (default 'stretch')",
        "interpolation": "'nearest', 'bilinear', 'bicubic', 'area' (the mean, for much smaller pictures) or 'lanczos' "
        "(default 'bicubic')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._width, self._height = side(params, "width"), side(params, "height")
        if self._width is None and self._height is None:
            raise params.error("width", "is missing: give it, 'height', or both")
        self._fit = params.choice("fit", FITS, "stretch")
        self._scaler = Scaler(params.choice("interpolation", tuple(INTERPOLATIONS), "bicubic"))

    def process(self, item: VideoFrame) -> VideoFrame:
        """Return the picture in its new size."""
        frame = picture_of(item, "Resize")
        width, height = fitted(frame.width, frame.height, self._width, self._height, self._fit)
        array = self._scaler.scaled(frame.array, frame.format, width, height)
        if self._fit == "cover" and self._width and self._height and (width, height) != (self._width, self._height):
            x, y = (width - self._width) // 2, (height - self._height) // 2
            array = view_of(array[y : y + self._height, x : x + self._width])
        return frame if array is frame.array else frame.replace(array=array)


def fitted(width: int, height: int, new_width: int | None, new_height: int | None, fit: str) -> tuple[int, int]:
    """Return the size to scale a picture to, at least one pixel each way.

    Raises
    ------
    ValueError
        A side would have more than 16 384 pixels.
    """
    if new_width is not None and new_height is not None and fit == "stretch":
        return new_width, new_height
    ways = [Fraction(new, old) for new, old in ((new_width, width), (new_height, height)) if new is not None]
    scale = max(ways) if fit == "cover" else min(ways)
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    if max(sides) > MOST_SIDE:
        raise ValueError(f"a picture of {width} x {height} would become {sides[0]} x {sides[1]}: more than {MOST_SIDE}")
    return sides


class Crop(NodeExecutor):
    """Cut a rectangle out of pictures: a view, nothing is copied.

    Takes and gives `VideoFrame`. A rectangle that is not within the picture is an error that names its size.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "x": "left edge, in pixels from the left (default 0)",
        "y": "upper edge, in pixels from the top (default 0)",
        "width": "in pixels (default: up to the right edge)",
        "height": "in pixels (default: up to the lower edge)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._x, self._y = edge(params, "x"), edge(params, "y")
        self._width, self._height = side(params, "width"), side(params, "height")

    def process(self, item: VideoFrame) -> VideoFrame:
        """Return the part of the picture."""
        frame = picture_of(item, "Crop")
        right = frame.width if self._width is None else self._x + self._width
        lower = frame.height if self._height is None else self._y + self._height
        if not (self._x < right <= frame.width and self._y < lower <= frame.height):
            raise ValueError(
                f"the rectangle from ({self._x}, {self._y}) to ({right}, {lower}) is not within a picture of "
                f"{frame.width} x {frame.height} pixels"
            )
        return frame.replace(array=view_of(frame.array[self._y : lower, self._x : right]))


class Flip(NodeExecutor):
    """Mirror pictures: a view, nothing is copied. Takes and gives `VideoFrame`."""

    PARAMS: ClassVar[Mapping[str, str]] = {
        "axis": "'horizontal' swaps left and right, 'vertical' top and bottom, 'both' is half a turn "
        "(default 'horizontal')",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        self._cut = FLIPS[Params(context, self.PARAMS).choice("axis", tuple(FLIPS), "horizontal")]

    def process(self, item: VideoFrame) -> VideoFrame:
        """Return the mirrored picture."""
        frame = picture_of(item, "Flip")
        return frame.replace(array=view_of(frame.array[self._cut]))


class Grayscale(NodeExecutor):
    """Make pictures gray: ``0.299 R + 0.587 G + 0.114 B``, the luma of ITU-R BT.601, rounded.

    Takes `VideoFrame` and gives it in the format gray, one channel; alpha is dropped. Gray pictures go through.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {}

    def initialize(self, context: NodeContext) -> None:
        """Refuse params."""
        Params(context, self.PARAMS)

    def process(self, item: VideoFrame) -> VideoFrame:
        """Return the gray picture."""
        frame = picture_of(item, "Grayscale")
        if frame.format == "gray":
            return frame
        return frame.replace(array=view_of(luma(frame.array, frame.format)[:, :, None]), format="gray")


def luma(array: NDArray[np.uint8], pixel_format: str) -> NDArray[np.uint8]:
    """Return the luma (height, width) of coloured pixels."""
    red, green, blue = (2, 1, 0) if pixel_format == "bgr24" else (0, 1, 2)
    total = array[:, :, red] * np.uint32(19_595)  # in 1/65536
    total += array[:, :, green] * np.uint32(38_470)
    total += array[:, :, blue] * np.uint32(7_471)
    total += 32_768
    total >>= 16
    return total.astype(np.uint8)


def view_of(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


class FrameSampler(NodeExecutor):
    """Keep so many pictures a second, and filter the others.

    Time is divided into parts of ``1 / fps`` s from the first picture of the recording on; of each part the first
    picture is kept. So of a steady video about every n-th stays, of one with pauses no more than there are, and a rate
    above the video's keeps all. Times may be up to 1 ms too early. A flush, or a time that goes back behind the last
    picture kept, as where another video follows, begins anew.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "fps": "pictures to keep per second (required)",
    }

    _start_ns: int | None
    _kept_ns: int
    _last: int

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        if context.params.get("fps") is None:
            raise params.error("fps", "is missing")
        self._fps = Fraction(params.number("fps", 1.0, above=0, most=1e6)).limit_denominator(1_000_000)
        if not self._fps:
            raise params.error("fps", "must be at least one in a million seconds")
        self.flush()

    def process(self, item: VideoFrame) -> VideoFrame | None:
        """Return the picture if it is the first of its part."""
        frame = picture_of(item, "FrameSampler")
        if self._start_ns is None or frame.pts_ns < self._kept_ns - JITTER_NS:
            self._start_ns, self._last = frame.pts_ns, -1
        part = (frame.pts_ns - self._start_ns + JITTER_NS) * self._fps // NS
        if part <= self._last:
            return None
        self._last, self._kept_ns = int(part), frame.pts_ns
        return frame

    def flush(self) -> None:
        """End the recording."""
        self._start_ns = None
        self._last = -1
