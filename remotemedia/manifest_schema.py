"""The JSON Schema of the format, made from the annotations of the structs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec

from remotemedia.manifest_parts import EXTRA_KEY, Extra, Part
from remotemedia.manifest_support import FOREIGN_KEYS

NOTE = (
    "A pipeline of remotemedia. Not in the schema: ids are unique, connections name nodes and make no cycle, and "
    "which keys the version at hand acts on. The camelCase spellings of keys (nodeType for node_type, in metadata "
    "createdAt for created_at), which are read too, are left out. Where the schema has an integer, a number with a "
    "fraction of zero (1.0) is refused."
)
ONLY_A_JOIN_MISSES = {
    "if": {"required": ["join_missing"], "properties": {"join_missing": {"not": {"type": "null"}}}},
    "then": {"required": ["fan_in"], "properties": {"fan_in": {"const": "join"}}},
}


def schema_of(manifest: type[Part]) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a manifest, given its struct."""
    (root,), definitions = msgspec.json.schema_components(
        [manifest], schema_hook=_schema_of_extra, ref_template="#/$defs/{name}"
    )
    definitions.pop(Extra.__name__, None)
    for name, definition in definitions.items():
        _open_for_free_keys(name, definition)
    definitions["NodeSpec"].update(deepcopy(ONLY_A_JOIN_MISSES))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "remotemedia manifest, version v1",
        "description": NOTE,
        **root,
        "$defs": definitions,
    }


def _open_for_free_keys(name: str, definition: dict[str, Any]) -> None:
    """Allow null for optional keys, the SDK's keys, and keys that begin with ``x-``."""
    properties: dict[str, Any] = definition["properties"]
    properties.pop(EXTRA_KEY)
    required = definition.get("required", [])
    for key in properties.keys() - required:
        properties[key] = _or_null(properties[key])
    for key in FOREIGN_KEYS.get(name, ()):
        properties[key] = {"description": "read and kept, not acted on"}
    definition["patternProperties"] = {"^x-": {}}
    definition["description"] = definition.get("description", "").partition("\n")[0]


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    value = {key: item for key, item in schema.items() if key != "default"}
    if not value or {"type": "null"} in value.get("anyOf", ()):
        return value
    default = {"default": schema["default"]} if schema.get("default") is not None else {}
    return {"anyOf": [value, {"type": "null"}], **default}


def _schema_of_extra(kind: type) -> dict[str, Any]:
    assert kind is Extra
    return {"type": "object"}
