"""From an item to its line: strict JSON, or the repr of any object."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from remotemedia.errors import bounded_repr, bounded_text


class FormError(Exception):
    """An item has no form in what is written; the message says why, and is all that is told."""


class ReprError(FormError):
    """The repr of an item raised."""


def encode_repr(item: Any) -> bytes:
    """Return the repr of an item, on one line.

    Where Python gives none, for an integer of too many digits (4300) or containers nested too deep, the item is
    described in at most 200 characters.

    Raises
    ------
    ReprError
        The item's own ``__repr__`` raised.
    """
    try:
        text = repr(item)
    except Exception as error:
        if not (isinstance(error, RecursionError) or "set_int_max_str_digits" in bounded_text(error)):
            kind, reason = type(error).__name__, bounded_text(error)
            raise ReprError(f"the repr of a {type(item).__name__} raised {kind}: {reason}") from error
        text = bounded_repr(item)
    return re.sub(r"\s*[\r\n]\s*", " ", text).encode("utf-8", "backslashreplace")


def _media_form(item: Any) -> Any:
    """Return the JSON form of a media item, for the encoder; the module is there if the item is."""
    media = sys.modules.get("remotemedia._core.media")
    if media is None or not isinstance(item, (media.AudioFrame, media.VideoFrame, media.Text)):
        raise TypeError(f"Object of type {type(item).__name__} is not JSON serializable")
    from remotemedia.media import to_json

    form = to_json(item)
    _check_keys(form)
    return form


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_media_form)
_ascii_encoder = json.JSONEncoder(allow_nan=False, default=_media_form)


def encode_json(item: Any) -> bytes:
    """Return an item as JSON in UTF-8.

    Strict, so that whoever reads the line gets what the sink emitted: msgspec would write NaN as null, and both it
    and `json` the key 1 as "1".

    Raises
    ------
    TypeError, ValueError, RecursionError
        JSON cannot hold it.
    """
    text = _encoder.encode(item)  # first: it finds circles
    if isinstance(item, (dict, list, tuple)):
        _check_keys(item)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        return _ascii_encoder.encode(item).encode()


def _check_keys(item: Any) -> None:
    """Raise TypeError for a key that is no string."""
    containers = [item]
    while containers:
        container = containers.pop()
        if isinstance(container, dict):
            for key in container:
                if not isinstance(key, str):
                    raise TypeError(f"the key {key!r} is a {type(key).__name__}, not a string")
            container = container.values()
        containers += [value for value in container if isinstance(value, (dict, list, tuple))]


def fault(error: Exception) -> str:
    """Return why an item has no line, from what its encoder raised."""
    if isinstance(error, FormError):
        return str(error)
    reason = (
        "it is nested too deep" if isinstance(error, RecursionError) else bounded_text(error) or type(error).__name__
    )
    return f"JSON cannot hold the item: {reason}; --format repr writes any object"
