"""The collector of a manifest's faults, and the deep copy of its free values (params, metadata, ``x-`` keys).

Used by the slow walk (`remotemedia.manifest_faults`), which knows the keys of the format; here is what needs none.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from remotemedia.bounded import LONGEST_COMPARED, close_matches
from remotemedia.errors import ManifestIssue, bounded_repr
from remotemedia.manifest_text import DIGITS_LIMIT, Repeated, Unfit, too_deep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from remotemedia.manifest_parts import ManifestLimits

ISSUES_LIMIT = 100_000
"""A hostile manifest has a fault every few bytes; beyond this many the walk ends."""

ENOUGH = ManifestIssue("$", f"more than {ISSUES_LIMIT} faults; the check ended here")

HINT_BUDGET = 200_000
"""How many names a walk may compare in search of close matches."""

INVALID: Any = object()
"""What a check returns in place of a value that has a fault."""

_INT_BOUND = 10**DIGITS_LIMIT
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class EnoughError(Exception):
    """The walk cannot go on; what it found is in its issues."""


class Walk:
    """One walk over one tree.

    Attributes
    ----------
    issues : list of ManifestIssue
        The faults found.
    inert : dict of str to str
        Keys that this version does not act on, with the path of their first use.
    """

    def __init__(self, limits: ManifestLimits, issues: Iterable[ManifestIssue] = ()) -> None:
        self.limits = limits
        self.issues = list(issues)
        self.inert: dict[str, str] = {}
        self._open: set[int] = set()  # ids of the containers that are being copied
        self._hints = HINT_BUDGET

    def fault(self, path: str, message: str) -> None:
        """Note a fault."""
        if len(self.issues) >= ISSUES_LIMIT:
            self.issues.append(ENOUGH)
            raise EnoughError
        self.issues.append(ManifestIssue(path, message))

    def wrong(self, path: str, expected: str, value: Any, depth: int) -> None:
        """Note a value that is not what is expected there, and the faults inside it."""
        self.fault(path, value.reason if type(value) is Unfit else f"expected {expected}, got {describe(value)}")
        if isinstance(value, (dict, list, tuple)):
            self._container(value, path, depth)

    def duplicate(self, path: str, key: str, other: str) -> None:
        """Note a key that is there already, maybe in another spelling."""
        spelling = "" if other == key else f", another spelling of {other!r}"
        self.fault(path, f"duplicate key{spelling}; keep one")

    def closest(self, word: str, names: Iterable[str]) -> str:
        """Return ``; did you mean 'x'?`` for the closest of `names`, or nothing."""
        choice = {name.lower(): name for name in names} if len(word) <= LONGEST_COMPARED and self._hints > 0 else {}
        self._hints -= len(choice)
        close = close_matches(word.lower(), choice)
        return f"; did you mean {bounded_repr(choice[close[0]], 60)}?" if close else ""

    def text(self, value: str, path: str) -> Any:
        """Return a string as an exact `str`, or note that it has no UTF-8."""
        if type(value) is str and value.isascii():
            return value
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                self.fault(path, f"a lone surrogate (\\u{ord(value[error.start]):04x}), which no UTF-8 text can hold")
                return INVALID
        return value if type(value) is str else str.__str__(value)

    def key(self, key: Any, path: str) -> bool:
        """Note a key that is no string of UTF-8, and return whether it is one."""
        if isinstance(key, str):
            return self.text(key, at(path, key)) is not INVALID
        self.fault(path, f"the key {describe(key)} is no string; JSON keys are")
        return False

    def free(self, value: Any, path: str, depth: int) -> Any:
        """Return a deep copy of any JSON value."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, (dict, list, tuple)):
            return self._container(value, path, depth)
        number = number_of(value)
        if number is INVALID:
            expected = "a JSON value (null, true, false, a finite number, a string, an array, an object)"
            self.wrong(path, expected, value, depth)
        return number

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if id(value) in self._open:
            self.fault(path, "contains itself, which JSON cannot")
            return INVALID
        if depth > self.limits.max_depth:
            self.fault(path, too_deep(self.limits.max_depth))
            return INVALID
        self._open.add(id(value))
        if isinstance(value, dict):
            copy: Any = self._object(value, path, depth)
        else:
            copy = [self.free(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        self._open.discard(id(value))
        return copy

    def _object(self, value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for key, item in pairs_of(value):
            if not self.key(key, path):
                continue
            where = at(path, key)
            if key in copy:
                self.fault(where, "duplicate key; keep one")
            copy[str.__str__(key)] = self.free(item, where, depth + 1)
        return copy


def number_of(value: Any) -> Any:
    """Return a JSON number as an exact int or float; INVALID for a bool, NaN, an infinity, and what is no number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if -_INT_BOUND < value < _INT_BOUND else INVALID
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return INVALID


def pairs_of(value: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of an object, a repeated key as often as it is there."""
    return value.pairs if isinstance(value, Repeated) else value.items()


def at(path: str, key: str) -> str:
    """Return the path of a key: ``$.a``, ``$["odd one"]``."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{bounded_repr(str(key), 60)}]"


def describe(value: Any) -> str:
    """Return a value as an error message names it."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "an array"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, int, float)):
        return bounded_repr(value, 60)
    return f"{bounded_repr(value, 60)} (a Python {type(value).__name__})"
