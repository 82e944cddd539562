"""From text to HTML, the one way: `tag` and `text` escape whatever is no `Html` already.

Text of a run is not to be trusted: ids, messages and items may hold markup, characters that turn the direction of
what follows, or megabytes. So it is bounded, and what a reader cannot see becomes an escape that he can.
"""

from __future__ import annotations

import html
import re
from typing import Final

MOST: Final = 2000
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc"
    "\ud800-\udfff]|[\U000e0000-\U000e007f]"
)


class Html(str):
    """Markup that is safe as it is; made by `tag` and `text` alone, or of constants."""

    __slots__ = ()


def text(value: object, most: int = MOST) -> Html:
    """Return anything as escaped text of at most `most` characters."""
    if isinstance(value, Html):
        return value
    plain = value if isinstance(value, str) else str(value)
    if len(plain) > most:
        plain = plain[: most - 1] + "…"
    return Html(html.escape(UNSEEN.sub(_escape, plain), quote=True))


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
        A constant.
    *children : object
        `Html` as it is, all else as text; None is left out.
    **attributes : object
        By name, with ``_`` for ``-`` and without the one at the end (``class_``); None is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Return children behind each other."""
    return Html("".join(text(child) for child in children if child is not None))


def count(number: int) -> str:
    """Return a number with spaces between its thousands, narrow ones that do not break."""
    return f"{number:,}".replace(",", "\u202f")


def some(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def duration(time_ns: float) -> str:
    """Return a time in the unit that suits it."""
    for limit_ns, unit_ns, unit in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms"), (120e9, 1e9, "s")):
        if time_ns < limit_ns:
            return f"{time_ns / unit_ns:.3g} {unit}" if time_ns < 100 * unit_ns else f"{time_ns / unit_ns:.0f} {unit}"
    return clock(time_ns)


def clock(time_ns: float) -> str:
    """Return a time as minutes and seconds, with hours if there are any: ``1:02:03``."""
    seconds = int(time_ns // 10**9)
    minutes = f"{seconds // 60 % 60:02}:{seconds % 60:02}" if seconds >= 3600 else f"{seconds // 60}:{seconds % 60:02}"
    return f"{seconds // 3600}:{minutes}" if seconds >= 3600 else minutes
