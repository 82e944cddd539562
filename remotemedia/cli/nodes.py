"""``remotemedia nodes``: the node types that a manifest can name, with their params."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from remotemedia.cli.failures import DONE, warn
from remotemedia.cli.tables import columns, say, say_json
from remotemedia.errors import RegistryError
from remotemedia.registry import NodeRegistry

if TYPE_CHECKING:
    import argparse

UNDECLARED = "not declared"


class Described(NamedTuple):
    """A node type.

    Attributes
    ----------
    description : str or None
        Its first docstring line, or what its ``info`` says.
    params : dict of str to str, or None
        Its class's ``PARAMS``, None without.
    """

    node_type: str
    description: str | None
    params: dict[str, str] | None


def nodes(options: argparse.Namespace) -> int:
    """List node types; see the options in `remotemedia.cli.parser`."""
    registry = NodeRegistry()
    if options.name is not None:
        described = [describe(registry, options.name)]
    else:
        faults = registry.plugin_faults()
        described = []
        for name in registry.node_types():
            try:
                described.append(describe(registry, name))
            except RegistryError as error:
                faults.setdefault(name, str(error))
        for name in sorted(faults):
            warn(faults[name])
    if options.format == "json":
        objects = [entry._asdict() for entry in described]
        say_json(objects if options.name is None else objects[0])
    else:
        say((as_table if options.format == "table" else as_text)(described))
    return DONE


def describe(registry: NodeRegistry, name: str) -> Described:
    """Return what a node type says of itself; a `RegistryError` if it is unknown or cannot be made."""
    try:
        description = registry.info(name).description
    except RegistryError:
        raise
    except (Exception, SystemExit) as error:  # its code raised, or would end the program
        raise RegistryError(f"node type {name!r} cannot be described: {type(error).__name__}: {error}") from error
    factory: Any = registry.entry(name).factory
    params = getattr(factory if isinstance(factory, type) else registry.create(name), "PARAMS", None)
    if not isinstance(params, Mapping):
        return Described(name, description, None)
    return Described(name, description, {str(key): str(text) for key, text in params.items()})


def as_table(described: list[Described]) -> list[str]:
    """Return a row for each type, params by name."""
    rows = [["node type", "params", "description"]]
    for entry in described:
        params = UNDECLARED if entry.params is None else ", ".join(entry.params) or "-"
        rows.append([entry.node_type, params, entry.description or "-"])
    return columns(rows).splitlines()


def as_text(described: list[Described]) -> list[str]:
    """Return a paragraph for each type: its description, then its params."""
    lines = []
    for entry in described:
        lines.append(entry.node_type + (f": {entry.description}" if entry.description else ""))
        if entry.params is None:
            lines.append(f"    params: {UNDECLARED}")
        else:
            lines += [f"    {key}: {text}" for key, text in entry.params.items()]
    return lines
