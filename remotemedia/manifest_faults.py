"""The slow walk over a manifest: every fault with its path, and the manifest in its one spelling.

Called where the fast way refused a text, and for everything that is no text (dicts, YAML, manifests built by hand).
The walk goes along checkers that are compiled, once, from the annotations of the structs
(`remotemedia.manifest_parts`). What it returns is a deep copy: camelCase written as snake_case, nulls of optional keys
left out, keys that nothing acts on gathered under `EXTRA_KEY`.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import inspect as mi

from remotemedia.errors import ManifestIssue
from remotemedia.manifest_graph import find_graph_faults
from remotemedia.manifest_parts import EXTRA_KEY, METADATA_ALIASES, Extra, Part, joins_where_it_says, spell_metadata
from remotemedia.manifest_size import json_size
from remotemedia.manifest_spelling import spelling_of
from remotemedia.manifest_text import too_deep
from remotemedia.manifest_walk import INVALID, EnoughError, Walk, at, number_of, pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable


def walk_over(tree: Any, part: type[Part], walk: Walk) -> Any:
    """Return `tree` in its one spelling; of use only if ``walk.issues`` is empty afterwards.

    The graph is looked at only where something else is wrong: without that, `link` tells sooner if it has a fault.

    Parameters
    ----------
    tree : object
        The manifest as dicts and lists, maybe with `Repeated` and `Unfit` in it.
    part : type
        The struct of the whole manifest.
    walk : Walk
        Takes the faults.
    """
    most = walk.limits.max_bytes
    try:
        if json_size(tree, most) > most:
            walk.fault("$", f"larger than {most} bytes of JSON (ManifestLimits.max_bytes)")
            return INVALID
        normal = shape_of(part).check(walk, tree, "$", 1)
        if walk.issues:
            add_graph_faults(tree, walk)
    except EnoughError:
        return INVALID
    except RecursionError:
        walk.issues.append(ManifestIssue("$", "the caller's stack leaves no room for a manifest nested so deep"))
        return INVALID
    return normal


def add_graph_faults(tree: Any, walk: Walk) -> None:
    """Add the faults of the graph of a tree, unless it is too large to be looked at."""
    limits = {"nodes": walk.limits.max_nodes, "connections": walk.limits.max_connections}
    if isinstance(tree, dict) and not any(
        isinstance(tree.get(key), (list, tuple)) and len(tree[key]) > most for key, most in limits.items()
    ):
        with suppress(EnoughError):
            find_graph_faults(tree, walk)


class Free:
    """Any JSON value."""

    expected = "any JSON value"

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return the value's copy."""
        return walk.free(value, path, depth)


class FreeObject(Free):
    """An object of any keys."""

    expected = "an object"

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return the object's copy."""
        if isinstance(value, dict):
            return walk.free(value, path, depth)
        walk.wrong(path, self.expected, value, depth)
        return INVALID


class Scalar:
    """A string, a number, true or false; `take` returns it as such, or INVALID."""

    expected: str

    def __init__(self, expected: str, take: Callable[[Any], Any]) -> None:
        self.expected = expected
        self.take = take

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return the value."""
        found = self.take(value)
        if found is INVALID:
            walk.wrong(path, self.expected, value, depth)
            return INVALID
        return walk.text(found, path) if isinstance(found, str) else found


class Either:
    """A scalar or an object."""

    def __init__(self, scalar: Scalar, shape: Shape) -> None:
        self.expected = f"{scalar.expected}, or {shape.expected}"
        self._scalar = Scalar(self.expected, scalar.take)
        self._shape = shape

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return what the fitting one of the two returns."""
        kind: Scalar | Shape = self._shape if isinstance(value, dict) else self._scalar
        return kind.check(walk, value, path, depth)


class Array:
    """An array; `limit` is the field of `ManifestLimits` that bounds it, if one does."""

    expected = "an array"

    def __init__(self, item: Checker, least: int, limit: str) -> None:
        self._item = item
        self._least = least
        self._limit = limit

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return the list of what its items are."""
        if not isinstance(value, (list, tuple)):
            walk.wrong(path, self.expected, value, depth)
            return INVALID
        most = getattr(walk.limits, self._limit, len(value))
        if len(value) > most:
            what = self._limit.removeprefix("max_")
            walk.fault(path, f"{len(value)} {what}; at most {most} are allowed (ManifestLimits.{self._limit})")
            return INVALID
        if len(value) < self._least:
            walk.fault(path, f"expected an array of at least {self._least}, got {len(value)}")
        if depth > walk.limits.max_depth:
            walk.fault(path, too_deep(walk.limits.max_depth))
            return INVALID
        return [self._item.check(walk, item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]


class Shape:
    """An object of known keys: a struct's fields, the SDK's keys of it, and ``x-`` keys."""

    expected = "an object"

    def __init__(self, part: type[Part]) -> None:
        self.spelling = spelling_of(part)
        self.checkers = {key: compile_type(f.type, key, f.default) for key, f in self.spelling.fields.items()}
        self.rule = RULES.get(part.__name__)

    def check(self, walk: Walk, value: Any, path: str, depth: int) -> Any:
        """Return the object with known keys in snake_case, the others under `EXTRA_KEY`."""
        if not isinstance(value, dict):
            walk.wrong(path, self.expected, value, depth)
            return INVALID
        if depth > walk.limits.max_depth:
            walk.fault(path, too_deep(walk.limits.max_depth))
            return INVALID
        spelling = self.spelling
        found: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        for key, item in pairs_of(value):
            checker = self.checkers.get(key) if type(key) is str else None
            if checker is None:
                if not walk.key(key, path):
                    continue
                key = str.__str__(key)
            name = spelling.aliases.get(key, key)
            if name in spelled:
                walk.duplicate(at(path, key), key, spelled[name])
            spelled[name] = key
            checker = checker or self.checkers.get(name)
            if checker is None:
                self._take_other(walk, found, name, item, at(path, key), depth)
            elif item is not None or name in spelling.required:  # null stands for an optional key's absence
                taken = checker.check(walk, item, f"{path}.{key}", depth + 1)
                if taken is not INVALID:
                    found[name] = taken
                    self._look_at_feature(walk, name, taken, f"{path}.{key}")
        for name in spelling.required:
            if name not in spelled:
                walk.fault(f"{path}.{name}", f"missing; expected {self.checkers[name].expected}")
        if self.rule is not None:
            self.rule(walk, found, path)
        return found

    def _take_other(self, walk: Walk, found: dict[str, Any], key: str, item: Any, where: str, depth: int) -> None:
        """Put a key that has no field into the extra ones of `found`, or note that it is unknown."""
        if key in self.spelling.foreign:
            if item is not None:
                walk.inert.setdefault(key, where)
                found.setdefault(EXTRA_KEY, Extra())[key] = walk.free(item, where, depth + 1)
        elif key.startswith("x-"):
            found.setdefault(EXTRA_KEY, Extra())[key] = walk.free(item, where, depth + 1)
        else:
            hint = walk.closest(key, (*self.checkers, *self.spelling.foreign))
            walk.fault(where, f"unknown key{hint or '; free keys begin with x-'}")
            walk.free(item, where, depth + 1)  # for the faults in it

    def _look_at_feature(self, walk: Walk, key: str, value: Any, where: str) -> None:
        feature = self.spelling.features.get(key)
        if feature is None or value in feature.harmless:
            return
        if feature.treatment == "inert":
            walk.inert.setdefault(key, where)
        else:
            walk.fault(where, f"not supported by this version; {feature.remedy}")


Checker = Free | FreeObject | Scalar | Either | Array | Shape


def metadata_rule(walk: Walk, found: dict[str, Any], path: str) -> None:
    """Note metadata without a name, or with a key in two spellings; put its keys into their one spelling."""
    metadata = found.get("metadata", {"name": INVALID})
    for alias, name in METADATA_ALIASES.items():
        given = [key for key in metadata if key in (alias, name)]
        if len(given) > 1:
            walk.duplicate(f"{path}.metadata.{given[1]}", given[1], given[0])
    spell_metadata(metadata)
    if "name" not in metadata:
        walk.fault(f"{path}.metadata.name", "missing; expected a non-empty string")
        return
    name = metadata["name"]
    if name is not INVALID and not (isinstance(name, str) and name):
        walk.wrong(f"{path}.metadata.name", "a non-empty string", name, 3)


def node_rule(walk: Walk, found: dict[str, Any], path: str) -> None:
    """Note what makes no sense together on a node."""
    if not joins_where_it_says(found):
        walk.fault(f"{path}.join_missing", 'only a join has it; add "fan_in": "join" or leave it out')


RULES: dict[str, Callable[[Walk, dict[str, Any], str], None]] = {"Manifest": metadata_rule, "NodeSpec": node_rule}


@cache
def shape_of(part: type[Part]) -> Shape:
    """Return the compiled checker of a part."""
    return Shape(part)


def compile_type(kind: mi.Type, key: str, default: Any, extra: dict[str, Any] | None = None) -> Checker:
    """Return the checker of a field with this type and default."""
    extra = extra or {}
    match kind:
        case mi.Metadata():
            return compile_type(kind.type, key, default, kind.extra)
        case mi.UnionType():
            options = [compile_type(t, key, default, extra) for t in kind.types if not isinstance(t, mi.NoneType)]
            scalars = [option for option in options if isinstance(option, Scalar)]
            shapes = [option for option in options if isinstance(option, Shape)]
            return Either(scalars[0], shapes[0]) if scalars and shapes else options[0]
        case mi.StructType():
            assert issubclass(kind.cls, Part)
            return shape_of(kind.cls)
        case mi.ListType():
            return Array(compile_type(kind.item_type, key, None), kind.min_length or 0, f"max_{key}")
        case mi.DictType():
            return FreeObject()
        case mi.LiteralType():
            return one_of(kind.values, extra.get("default", default))
        case mi.BoolType():
            return Scalar("true or false", lambda value: value if isinstance(value, bool) else INVALID)
        case mi.StrType():
            return text_like(kind, extra)
        case mi.IntType() | mi.FloatType():
            return number_like(kind)
        case _:
            return Free()


def one_of(values: tuple[Any, ...], default: Any) -> Scalar:
    """Return the checker of an enumeration."""
    listed = ", ".join(repr(value) for value in values)
    expected = f"one of {listed}" if len(values) > 1 else listed
    if default in values:
        expected += f" (default {default!r})"
    return Scalar(expected, lambda value: value if isinstance(value, str) and value in values else INVALID)


def text_like(kind: mi.StrType, extra: dict[str, Any]) -> Scalar:
    """Return the checker of a string."""
    pattern = re.compile(extra.get("pattern") or kind.pattern or "(?s:.*)")
    least = kind.min_length or 0

    def take(value: Any) -> Any:
        return value if isinstance(value, str) and len(value) >= least and pattern.fullmatch(value) else INVALID

    if not extra and not least:
        return Scalar("a string", lambda value: value if isinstance(value, str) else INVALID)
    return Scalar(extra.get("expected", "a non-empty string"), take)


def number_like(kind: mi.IntType | mi.FloatType) -> Scalar:
    """Return the checker of an integer or a number with bounds."""
    whole = isinstance(kind, mi.IntType)
    least = -math.inf if kind.ge is None else kind.ge
    above = -math.inf if kind.gt is None else kind.gt
    most = math.inf if kind.le is None else kind.le
    expected = "an integer" if whole else "a number"
    if kind.gt is not None:
        expected += f" above {kind.gt:g}"
    elif kind.le is not None:
        expected += f" from {kind.ge} to {kind.le}"
    elif kind.ge is not None:
        expected += f" of at least {kind.ge:g}"

    def take(value: Any) -> Any:
        number = number_of(value)
        if number is INVALID or (whole and not isinstance(number, int)):
            return INVALID
        if not whole:
            try:
                number = float(number)
            except OverflowError:
                return INVALID
        return number if least <= number <= most and number > above else INVALID

    return Scalar(expected, take)
