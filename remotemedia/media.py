"""What travels through media pipelines, `AudioFrame`, `VideoFrame`, `Text`, and their form in JSON.

In JSON an item of media is an object with the key ``$media``:

    {"$media": "audio", "format": "f32le", "channels": 2, "sample_rate": 48000, "pts_ns": 0, "samples": BASE64}
    {"$media": "video", "format": "rgb24", "width": 160, "height": 90, "pts_ns": 0, "pixels": BASE64}
    {"$media": "text", "text": "good morning", "pts_ns": 0}

each with ``"metadata": {…}`` if it has any. `samples` are those of all channels in turn, little-endian, as FFmpeg's
raw formats of these names (``f32le``, ``f64le``, ``s16le``); `pixels` are rows from the top.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from remotemedia._core.media import AudioFrame, Text, VideoFrame
from remotemedia.errors import bounded_repr

__all__ = ["AudioFrame", "Text", "VideoFrame", "from_json", "is_media", "to_json"]

KEY = "$media"
MEDIA = (AudioFrame, VideoFrame, Text)
FORMATS = {"f32le": "<f4", "f64le": "<f8", "s16le": "<i2"}
FORMAT_OF = {"float32": "f32le", "float64": "f64le", "int16": "s16le"}
PIXEL_BYTES = {"rgb24": 3, "bgr24": 3, "rgba": 4, "gray": 1}


def is_media(item: object) -> bool:
    """Whether an item is an `AudioFrame`, a `VideoFrame` or a `Text`."""
    return isinstance(item, MEDIA)


def to_json(item: AudioFrame | VideoFrame | Text) -> dict[str, Any]:
    """Return the form in JSON of a media item, described at the top of `remotemedia.media`.

    Raises
    ------
    TypeError
        It is no media item.

    Examples
    --------
    >>> to_json(Text("hello", pts_ns=20))
    {'$media': 'text', 'text': 'hello', 'pts_ns': 20}
    """
    if isinstance(item, Text):
        form: dict[str, Any] = {KEY: "text", "text": item.text, "pts_ns": item.pts_ns}
    elif isinstance(item, AudioFrame):
        name = FORMAT_OF[item.samples.dtype.name]
        form = {
            KEY: "audio",
            "format": name,
            "channels": item.channels,
            "sample_rate": item.sample_rate,
            "pts_ns": item.pts_ns,
            "samples": b64encode(item.samples.T.astype(FORMATS[name]).tobytes()).decode("ascii"),
        }
    elif isinstance(item, VideoFrame):
        form = {
            KEY: "video",
            "format": item.format,
            "width": item.width,
            "height": item.height,
            "pts_ns": item.pts_ns,
            "pixels": b64encode(item.array.tobytes()).decode("ascii"),
        }
    else:
        raise TypeError(f"a {type(item).__name__} is no media item")
    if item.metadata:
        form["metadata"] = item.metadata
    return form


def from_json(form: dict[str, Any]) -> AudioFrame | VideoFrame | Text:
    """Return the media item of a form that `to_json` gives.

    Raises
    ------
    ValueError
        It is none: the message names the key and what is wrong with it.

    Examples
    --------
    >>> from_json({"$media": "text", "text": "hello"})
    <Text 'hello', at 0.000 s>
    """
    kind = form.get(KEY)
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise ValueError(f"{KEY!r} must be one of {', '.join(map(repr, _MAKERS))}, not {bounded_repr(kind)}")
    known = {KEY, "pts_ns", "metadata", *_KEYS[str(kind)]}
    for key in form:
        if key not in known:
            raise ValueError(f"{bounded_repr(key)} is no key of {kind} items: they have {', '.join(sorted(known))}")
    metadata = form.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError(f"'metadata' must be an object, not {bounded_repr(metadata)}")
    try:
        item: AudioFrame | VideoFrame | Text = make(form, _whole(form, "pts_ns", 0), metadata)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return item


def _audio(form: dict[str, Any], pts_ns: int, metadata: dict[str, Any]) -> AudioFrame:
    import numpy as np

    channels = _whole(form, "channels", 1)
    if not 1 <= channels <= 256:
        raise ValueError(f"'channels' must be 1…256, not {channels}")
    sample_type = FORMATS[_choice(form, FORMATS)]
    data = _bytes(form, "samples")
    frame_bytes = channels * np.dtype(sample_type).itemsize
    if len(data) % frame_bytes:
        raise ValueError(f"'samples' holds {len(data)} bytes, no multiple of the {frame_bytes} of {channels} channels")
    samples = np.frombuffer(data, sample_type).reshape(-1, channels).T.astype(sample_type[1:], copy=False)
    return AudioFrame(samples, _whole(form, "sample_rate"), pts_ns, metadata)


def _video(form: dict[str, Any], pts_ns: int, metadata: dict[str, Any]) -> VideoFrame:
    import numpy as np

    pixel_format: Any = _choice(form, PIXEL_BYTES)
    height, width, data = _whole(form, "height"), _whole(form, "width"), _bytes(form, "pixels")
    if height < 1 or width < 1:
        raise ValueError(f"'width' and 'height' must be at least 1, not {width} and {height}")
    wanted = height * width * PIXEL_BYTES[pixel_format]
    if len(data) != wanted:
        raise ValueError(f"'pixels' holds {len(data)} bytes, {width} x {height} of {pixel_format} are {wanted}")
    array = np.frombuffer(data, np.uint8).reshape(height, width, PIXEL_BYTES[pixel_format])
    return VideoFrame(array, pts_ns, pixel_format, metadata)


def _text(form: dict[str, Any], pts_ns: int, metadata: dict[str, Any]) -> Text:
    text = form.get("text")
    if not isinstance(text, str):
        raise ValueError(f"'text' must be a string, not {bounded_repr(text)}")
    return Text(text, pts_ns, metadata)


_MAKERS: dict[str, Any] = {"audio": _audio, "video": _video, "text": _text}
_KEYS = {
    "audio": ("format", "channels", "sample_rate", "samples"),
    "video": ("format", "width", "height", "pixels"),
    "text": ("text",),
}


def _whole(form: dict[str, Any], key: str, default: int | None = None) -> int:
    value = form.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key!r} must be a whole number, not {bounded_repr(value)}")
    return value


def _choice(form: dict[str, Any], known: dict[str, Any]) -> str:
    value = form.get("format")
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"'format' must be one of {', '.join(known)}, not {bounded_repr(value)}")
    return value


def _bytes(form: dict[str, Any], key: str) -> bytes:
    value = form.get(key)
    try:
        return b64decode(value, validate=True)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{key!r} must be a string of base64: {error}") from None
