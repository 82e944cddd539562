"""The one spelling of a sound manifest: camelCase keys in snake_case, nulls of optional keys left out, free keys apart.

For texts that the typed decoder alone does not take (`remotemedia.manifest`), between a decoding to plain dicts and the
typed conversion. Here are the tables, by `_core/spelling` the keys are changed. What the conversion will refuse is left
to it, a wrong type say; what it would let pass is refused. Who wants to know what is wrong walks, by the same tables
(`remotemedia.manifest_faults`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import inspect as mi

from remotemedia._core.spelling import KeySpeller
from remotemedia.manifest_parts import EXTRA_KEY, Part
from remotemedia.manifest_support import FEATURES, FOREIGN_KEYS

Speller = Callable[[Any, str, dict[str, str]], bool]
"""Takes a value, its path, and the keys found so far that nothing acts on; changes the value."""


class Spelling:
    """How the keys of an object of the format are spelled; made once for each struct.

    Attributes
    ----------
    fields : dict of str to msgspec.inspect.Field
        By key.
    required : tuple of str
        Keys whose null is no absence.
    foreign : tuple of str
        The SDK's keys.
    aliases : dict of str to str
        Keys by their camelCase spelling.
    features : dict of str to Feature
        Keys that this version does not act on.
    speller : KeySpeller
        Puts a sound object into its one spelling.
    """

    def __init__(self, part: type[Part]) -> None:
        info = mi.type_info(part)
        assert isinstance(info, mi.StructType)
        self.fields = {field.encode_name: field for field in info.fields if field.encode_name != EXTRA_KEY}
        self.required = tuple(key for key, field in self.fields.items() if field.required)
        self.foreign = FOREIGN_KEYS.get(part.__name__, ())
        self.aliases = {camel_case(key): key for key in (*self.fields, *self.foreign) if "_" in key}
        self.features = {feature.key: feature for feature in FEATURES if feature.owner == part.__name__}
        odd = {key: entry for key, field in self.fields.items() if (entry := self._odd(key, field.type)) is not None}
        odd |= {key: (key, True, (), False, None) for key in self.foreign}
        odd |= {alias: odd.get(key, (key, False, None, False, None)) for alias, key in self.aliases.items()}
        self.speller = KeySpeller(frozenset(self.fields.keys() - odd.keys()), frozenset(self.required), odd)

    def _odd(self, key: str, kind: mi.Type) -> tuple[Any, ...] | None:
        """Return what `KeySpeller` is to do with a field's key, None if nothing."""
        inside, feature = speller_of(kind), self.features.get(key)
        if feature is not None:
            return key, False, feature.harmless, feature.treatment == "refused", inside
        return (key, False, None, False, inside) if inside is not None or key == "join_missing" else None


@cache
def spelling_of(part: type[Part]) -> Spelling:
    """Return how the keys of a part are spelled."""
    return Spelling(part)


def speller_of(kind: mi.Type) -> Speller | None:
    """Return what puts a value of this type into its one spelling, or None if there is nothing to it."""
    match kind:
        case mi.Metadata():
            return speller_of(kind.type)
        case mi.UnionType():
            return next((found for option in kind.types if (found := speller_of(option)) is not None), None)
        case mi.StructType():
            assert issubclass(kind.cls, Part)
            return spelling_of(kind.cls).speller.spell
        case mi.ListType() if isinstance(kind.item_type, mi.StructType):
            assert issubclass(kind.item_type.cls, Part)
            return spelling_of(kind.item_type.cls).speller.spell_each
    return None


def camel_case(name: str) -> str:
    """Return ``snake_case`` as ``snakeCase``."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
