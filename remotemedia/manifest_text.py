"""JSON text to a tree that hides nothing: repeated keys are kept, and numbers that JSON does not have.

Used when a manifest was refused, to find every reason. The tree is made of dict, list, str, int, float, bool and
None, and of the two types below.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from remotemedia.errors import ManifestError, ManifestIssue

DIGITS_LIMIT = 4300
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class Repeated(dict[str, Any]):
    """An object in which a key occurs twice; `pairs` has them all."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class Unfit:
    """A value that JSON, or Python, has no place for; `reason` says why."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object that has these keys."""
    tree = dict(pairs)
    return tree if len(tree) == len(pairs) else Repeated(pairs)


def float_of(literal: str) -> float | Unfit:
    """Return the number that a literal with a fraction or an exponent stands for."""
    value = float(literal)
    return value if math.isfinite(value) else Unfit(f"{_short(literal)} is beyond the range of a 64-bit float")


def int_of(literal: str) -> int | Unfit:
    """Return the integer that a literal stands for."""
    digits = len(literal.lstrip("-"))
    return int(literal) if digits <= DIGITS_LIMIT else Unfit(f"an integer of {digits} digits; at most {DIGITS_LIMIT}")


def constant_of(literal: str) -> Unfit:
    """Refuse ``NaN``, ``Infinity``, ``-Infinity``."""
    return Unfit(f"{literal} is no JSON number; leave the key out or write null")


def decode_utf8(data: bytes) -> str:
    """Return the text, without a byte order mark; a `ManifestError` names the first byte that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8: save the text as UTF-8"
        raise ManifestError([ManifestIssue(f"line {line}", message)]) from None


def parse(text: str, max_depth: int) -> Any:
    """Return the tree of a JSON text.

    Raises
    ------
    ManifestError
        If it is not JSON, with line and column; or if it nests too deep to be parsed at all.
    """
    decoder = json.JSONDecoder(
        object_pairs_hook=object_of, parse_float=float_of, parse_int=int_of, parse_constant=constant_of
    )
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        message = "the text is empty" if not text.strip() else f"not JSON: {error.msg[0].lower()}{error.msg[1:]}"
        raise ManifestError([ManifestIssue(f"line {error.lineno}, column {error.colno}", message)]) from None
    except RecursionError:
        raise ManifestError([ManifestIssue(_first_beyond(text, max_depth), too_deep(max_depth))]) from None


def too_deep(max_depth: int) -> str:
    """Return the message for a value beyond the nesting limit."""
    return f"nested deeper than {max_depth} levels (ManifestLimits.max_depth)"


def _first_beyond(text: str, max_depth: int) -> str:
    """Return where the first object or array beyond `max_depth` begins."""
    depth = 0
    for match in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > max_depth:
            before = text[: match.start()]
            return f"line {before.count(chr(10)) + 1}, column {match.start() - before.rfind(chr(10))}"
    return "$"


def _short(literal: str) -> str:
    return literal if len(literal) <= 40 else literal[:39] + "…"
