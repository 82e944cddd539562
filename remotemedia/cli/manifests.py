"""From the path and the ``--param`` options of a command to a manifest."""

from __future__ import annotations

import warnings
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from remotemedia.cli.decode import fault_of
from remotemedia.cli.failures import UsageError, warn
from remotemedia.errors import ManifestError, ManifestWarning, bounded_repr
from remotemedia.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Param(NamedTuple):
    """One ``--param``."""

    node_id: str
    key: str
    value: Any


def read_param(text: str) -> Param:
    """Return what ``NODE.KEY=JSON`` says; a node id has no dot, a key no ``=``.

    Raises
    ------
    UsageError
        If it says nothing, or the value is not JSON.
    """
    place, equals, value = text.partition("=")
    node_id, dot, key = place.partition(".")
    shown = bounded_repr(text)
    if not (equals and dot and node_id and key):
        raise UsageError(f"--param {shown}: write NODE.KEY=JSON, as in --param scale.factor=2.5")
    encoded = value.encode("utf-8", "surrogateescape")
    try:
        return Param(node_id, key, msgspec.json.decode(encoded))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = f"; a string has double quotes: --param '{place}=\"{value}\"'" if value.isidentifier() else ""
        raise UsageError(f"--param {shown}: the value {fault_of(encoded, error)}{hint}") from error


def load_manifest(path: str, params: Iterable[Param] = ()) -> Manifest:
    """Return the manifest in a file, with params set over its own; its warnings go to standard error.

    Raises
    ------
    UsageError
        If the file cannot be read, or there is no such node.
    ManifestError
        With every fault of the text.
    """
    manifest, told = read_manifest(path, params)
    for text in told:
        warn(f"{path}: {text}")
    return manifest


def read_manifest(path: str, params: Iterable[Param] = ()) -> tuple[Manifest, list[str]]:
    """Return the manifest as `load_manifest` does, and its warnings."""
    given = list(params)
    manifest, told = quietly(lambda: _read(path))
    if given:
        tree = _set_params(manifest.to_dict(), given)
        manifest, more = quietly(lambda: Manifest.from_dict(tree))
        told += [text for text in more if text not in told]
    return manifest, told


def quietly(make: Callable[[], Manifest]) -> tuple[Manifest, list[str]]:
    """Return what `make` gives, and the text of the manifest warnings that came; other warnings pass through."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ManifestWarning)
        manifest = make()
    told = [str(w.message) for w in caught if issubclass(w.category, ManifestWarning)]
    for warning in caught:
        if not issubclass(warning.category, ManifestWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return manifest, told


def _read(path: str) -> Manifest:
    try:
        return Manifest.from_file(path)
    except OSError as error:
        raise UsageError(f"{path}: the manifest cannot be read: {error.strerror or error}") from error
    except ManifestError:
        raise  # a ValueError too
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"{path!r}: the manifest cannot be read: {error}") from error


def _set_params(tree: dict[str, Any], params: list[Param]) -> dict[str, Any]:
    nodes = {node["id"]: node for node in tree["nodes"]}
    for param in params:
        node = nodes.get(param.node_id)
        if node is None:
            close = get_close_matches(param.node_id, nodes, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(list(nodes)[:20])}"
            raise UsageError(f"--param: the manifest has no node {param.node_id!r}; {hint}")
        if node.get("params") is None:
            node["params"] = {}
        node["params"][param.key] = param.value
    return tree
