"""What is wrong with a text that should be JSON, as the end of a sentence that begins with what it is."""

from __future__ import annotations

import re

import msgspec

ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def fault_of(text: bytes, error: Exception) -> str:
    """Return what is wrong with a text that msgspec refused with an error."""
    if isinstance(error, RecursionError):
        return "is nested too deep"
    lone = _lone_surrogate(text)
    return f"is not JSON: {error}" if lone is None else f"holds a lone surrogate ({lone}), which no UTF-8 text can hold"


def _lone_surrogate(text: bytes) -> str | None:
    """Return the first escape that is half of a surrogate pair, if such are all that is wrong with a text.

    JSON's grammar lets it pass, and msgspec says that the text was cut short.
    """
    found: list[bytes] = []

    def mend(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            return match[0]
        found.append(match[1])
        return rb"\ufffd"

    mended = ESCAPES.sub(mend, text)
    if not found:
        return None
    try:
        msgspec.json.decode(mended)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found[0].decode()
