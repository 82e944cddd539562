"""`Manifest`: what a pipeline is made of, read from JSON or YAML, checked whole before anything is made of it (R43).

A valid text takes the fast way: a lexical scan for what the decoder lets pass, the typed decoder, the graph. If it has
aliases, free keys or such as this version does not act on, its keys are put into their one spelling on the way
(`remotemedia.manifest_spelling`). Whatever that refuses, and everything that is no JSON text, takes the slow walk
(`remotemedia.manifest_faults`), which finds all faults at once. A `Manifest` owns its values: nothing of the caller's
dicts stays in it.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from remotemedia._core.graph import PipelineGraph, link
from remotemedia._core.jsonscan import WATCHED, KeyScanner
from remotemedia.errors import ManifestError, ManifestIssue, bounded_repr
from remotemedia.manifest_parts import (
    Capabilities,
    CircuitBreaker,
    Connection,
    Cpu,
    Execution,
    Extra,
    Gpu,
    ManifestLimits,
    NodeSpec,
    Part,
    Retry,
    RunOptions,
    Timeouts,
    plain,
    spell_metadata,
)
from remotemedia.manifest_support import WATCHED_DEPTH, WATCHED_KEYS, warn_of

if TYPE_CHECKING:
    import os

__all__ = [
    "Capabilities",
    "CircuitBreaker",
    "Connection",
    "Cpu",
    "Execution",
    "Extra",
    "Gpu",
    "Manifest",
    "ManifestLimits",
    "NodeSpec",
    "Retry",
    "RunOptions",
    "Timeouts",
]

DEFAULT_LIMITS = ManifestLimits()
YAML_SUFFIXES = (".yaml", ".yml")


class Manifest(Part, frozen=True, kw_only=True, weakref=True, dict=True):
    """A pipeline: nodes, and connections between them.

    Read one with `from_json`, `from_file`, `from_yaml` or `from_dict`; these check everything and raise
    `ManifestError` with all faults. One built by hand is checked at the first use of `graph` (every run uses it) or
    of `to_dict` and `to_json`. Manifests are equal by value and must not be changed, their dicts neither.

    Parameters
    ----------
    version : {"v1"}
        Version of the format.
    metadata : dict
        ``name``, and anything else; nodes see it as ``context.metadata``.
    nodes : sequence of NodeSpec
        At least one; kept as a tuple.
    connections : sequence of Connection
        May be empty; kept as a tuple.
    run : RunOptions, optional
        Options of the whole run.

    Examples
    --------
    >>> from remotemedia import Manifest
    >>> manifest = Manifest.from_json('''{"version": "v1", "metadata": {"name": "demo"},
    ...     "nodes": [{"id": "in", "node_type": "PassThrough"}, {"id": "count", "node_type": "Echo"}],
    ...     "connections": [{"from": "in", "to": "count"}]}''')
    >>> manifest.graph.execution_order
    ['in', 'count']
    """

    version: Literal["v1"]
    metadata: Annotated[
        dict[str, Any],
        Meta(extra_json_schema={"required": ["name"], "properties": {"name": {"type": "string", "minLength": 1}}}),
    ]
    nodes: Annotated[Sequence[NodeSpec], Meta(min_length=1)]
    connections: Sequence[Connection]
    run: RunOptions | None = None

    def __post_init__(self) -> None:
        for name in ("nodes", "connections"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, (tuple, str, bytes)):
                msgspec.structs.force_setattr(self, name, tuple(value))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return _restored, (type(self), values, "_graph" in self.__dict__)

    def __copy__(self) -> Manifest:
        restore, arguments = self.__reduce__()
        copy: Manifest = restore(*arguments)
        return copy

    def __repr__(self) -> str:
        name = self.metadata.get("name") if isinstance(self.metadata, dict) else None
        nodes, connections = (len(part) if isinstance(part, tuple) else "?" for part in (self.nodes, self.connections))
        return f"<Manifest {bounded_repr(name)}: {nodes} nodes, {connections} connections>"

    @property
    def graph(self) -> PipelineGraph:
        """The checked graph.

        Raises
        ------
        ManifestError
            With all faults, if the manifest was built by hand and has any.
        """
        graph: PipelineGraph | None = self.__dict__.get("_graph")
        if graph is None:
            checked = Manifest._walk(plain(self), DEFAULT_LIMITS)
            for name in self.__struct_fields__:  # in their one spelling, and no longer the caller's own dicts
                msgspec.structs.force_setattr(self, name, getattr(checked, name))
            graph = self.__dict__["_graph"] = checked.graph
        return graph

    @classmethod
    def from_json(cls, text: str | bytes, *, limits: ManifestLimits | None = None) -> Manifest:
        """Return the manifest of a JSON text.

        Parameters
        ----------
        text : str or bytes
            JSON; bytes in UTF-8.
        limits : ManifestLimits, optional
            Other limits than the default ones.

        Returns
        -------
        Manifest

        Raises
        ------
        ManifestError
            With every fault of the text.

        Warns
        -----
        ManifestWarning
            Once, naming all keys that this version loads but does not act on.
        """
        limits = limits or DEFAULT_LIMITS
        if not isinstance(text, (str, bytes, bytearray)):
            raise TypeError(f"the text of a manifest is a str or bytes, not {type(text).__name__}")
        _check_size(len(text), limits)
        try:
            data = text.encode() if isinstance(text, str) else bytes(text)
        except UnicodeEncodeError:  # a lone surrogate; the walk tells where
            return cls._from_refused(text, limits)
        _check_size(len(data), limits)
        manifest = cls._decode(data.removeprefix(BOM_UTF8), limits)
        return manifest if manifest is not None else cls._from_refused(data, limits)

    @classmethod
    def from_yaml(cls, text: str | bytes, *, limits: ManifestLimits | None = None) -> Manifest:
        """Return the manifest of a YAML text of the same shape; needs the extra ``remotemedia[yaml]``.

        YAML is read as another spelling of JSON: no anchors, aliases, tags or merge keys, one document, string
        keys; plain scalars are null, true, false and numbers as in JSON, or else strings (dates too). What YAML 1.1
        and 1.2 read differently is refused: ``y``, ``no``, ``0x1F``, ``1_000``, and of numbers with an exponent all
        but those with a point and a sign (``1.0e+5``). Parameters and errors as for `from_json`.

        Raises
        ------
        ManifestError
            With every fault of the text.
        ImportError
            If PyYAML is not installed.
        """
        from remotemedia.manifest_text import decode_utf8
        from remotemedia.manifest_yaml import parse_yaml

        limits = limits or DEFAULT_LIMITS
        if not isinstance(text, (str, bytes, bytearray)):
            raise TypeError(f"the text of a manifest is a str or bytes, not {type(text).__name__}")
        _check_size(len(text), limits)
        if isinstance(text, str):
            _check_size(len(text.encode("utf-8", "surrogatepass")), limits)
        tree, issues = parse_yaml(text if isinstance(text, str) else decode_utf8(bytes(text)), limits.max_depth)
        return cls._walk(tree, limits, issues)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, limits: ManifestLimits | None = None) -> Manifest:
        """Return the manifest in a file: YAML if its name ends in ``.yaml`` or ``.yml``, else JSON.

        Parameters and errors as for `from_json`; `OSError` if the file cannot be read. A ``ManifestError`` has the
        path as a note.
        """
        limits = limits or DEFAULT_LIMITS
        path = Path(path)
        try:
            with path.open("rb") as file:
                data = file.read(limits.max_bytes + 1)
            if path.suffix.lower() in YAML_SUFFIXES:
                return cls.from_yaml(data, limits=limits)
            return cls.from_json(data, limits=limits)
        except ManifestError as error:
            error.add_note(f"in {path}")
            raise

    @classmethod
    def from_dict(cls, tree: dict[str, Any], *, limits: ManifestLimits | None = None) -> Manifest:
        """Return the manifest that a dict describes, as `from_json` does for its text; the dict is copied.

        Parameters
        ----------
        tree : dict
            JSON values only: dict with string keys, list (or tuple), str, int, finite float, bool, None.
        limits : ManifestLimits, optional
            Other limits than the default ones.

        Returns
        -------
        Manifest

        Raises
        ------
        ManifestError
            With every fault of the dict.
        """
        if not isinstance(tree, dict):
            raise TypeError(f"Manifest.from_dict takes a dict, not {type(tree).__name__}")
        return cls._walk(tree, limits or DEFAULT_LIMITS)

    @classmethod
    def coerce(cls, value: object) -> Manifest:
        """Return the manifest that a caller means: a `Manifest`, a dict, JSON text as str, a `pathlib.Path`.

        A str is never a path. Errors as for the method that reads it; `TypeError` for anything else.
        """
        match value:
            case Manifest():
                return value
            case dict():
                return cls.from_dict(value)
            case str():
                return cls.from_json(value)
            case Path():
                return cls.from_file(value)
        raise TypeError(
            f"a manifest is a Manifest, a dict, a str of JSON or a pathlib.Path, not {type(value).__name__}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as a dict of JSON values, unset keys left out; changing it changes no manifest."""
        self.graph  # noqa: B018  checks one that was built by hand
        tree: dict[str, Any] = _copy(plain(self))
        return tree

    def to_json(self, indent: int | None = None) -> str:
        """Return the manifest as JSON text; ``Manifest.from_json`` of it is equal to this manifest.

        Parameters
        ----------
        indent : int, optional
            Spaces a level; by default all is on one line.
        """
        import json

        self.graph  # noqa: B018  checks one that was built by hand
        return json.dumps(plain(self), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of the format; what needs the whole graph is not in it."""
        from remotemedia.manifest_schema import schema_of

        return schema_of(Manifest)

    @classmethod
    def _decode(cls, data: bytes, limits: ManifestLimits) -> Manifest | None:
        """Return the manifest by the fast way, or None if anything about it needs the slow walk."""
        found = _scanner.scan(data, limits.max_depth)
        if found & ~WATCHED:
            return None
        inert: dict[str, str] = {}
        manifest = None if found else _decoded(data)
        if manifest is None:
            manifest = _spelled(data, inert)
        if manifest is None or not spell_metadata(manifest.metadata) or not _is_name(manifest.metadata.get("name")):
            return None
        if len(manifest.nodes) > limits.max_nodes or len(manifest.connections) > limits.max_connections:
            return None
        graph = link(manifest.nodes, manifest.connections)
        if graph is None:
            return None
        manifest.__dict__["_graph"] = graph
        if inert:
            warn_of(inert)
        return manifest

    @classmethod
    def _from_refused(cls, text: str | bytes | bytearray, limits: ManifestLimits) -> Manifest:
        from remotemedia.manifest_text import decode_utf8, parse

        decoded = text.removeprefix("\ufeff") if isinstance(text, str) else decode_utf8(bytes(text))
        return cls._walk(parse(decoded, limits.max_depth), limits)

    @classmethod
    def _walk(cls, tree: Any, limits: ManifestLimits, issues: Iterable[ManifestIssue] = ()) -> Manifest:
        """Return the manifest of a tree by the slow walk, with its graph; warn of what nothing acts on."""
        from remotemedia.manifest_faults import add_graph_faults, walk_over
        from remotemedia.manifest_walk import Walk

        walk = Walk(limits, issues)
        normal = walk_over(tree, Manifest, walk)
        if walk.issues:
            raise ManifestError(walk.issues)
        try:
            manifest = msgspec.convert(normal, Manifest)
        except msgspec.ValidationError as error:
            raise ManifestError([ManifestIssue("$", f"{error} (the walk found no fault: please report it)")]) from error
        graph = link(manifest.nodes, manifest.connections)
        if graph is None:
            add_graph_faults(tree, walk)
            raise ManifestError(walk.issues)
        manifest.__dict__["_graph"] = graph
        if walk.inert:
            warn_of(walk.inert)
        return manifest


def _restored(cls: type[Manifest], values: dict[str, Any], checked: bool) -> Manifest:
    """Return a copy. One of a checked manifest is: by whichever limits, and what it is warned of was said."""
    manifest = cls(**values)
    graph = link(manifest.nodes, manifest.connections) if checked else None
    if graph is not None:
        manifest.__dict__["_graph"] = graph
    return manifest


_decoder = msgspec.json.Decoder(Manifest)
_scanner = KeyScanner(WATCHED_KEYS, WATCHED_DEPTH)


def _decoded(data: bytes) -> Manifest | None:
    """Return what a text says, not yet checked for names and graph, if its keys are those of the structs."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _spelled(data: bytes, inert: dict[str, str]) -> Manifest | None:
    """Return the same of a text with other keys too; those that nothing acts on are added to `inert`."""
    from remotemedia.manifest_spelling import spelling_of  # few texts need it

    try:
        tree = msgspec.json.decode(data)
        return msgspec.convert(tree, Manifest) if spelling_of(Manifest).speller.spell(tree, "$", inert) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name != ""


def _check_size(size: int, limits: ManifestLimits) -> None:
    if size > limits.max_bytes:
        message = (
            f"the text has {size} bytes or more; at most {limits.max_bytes} are allowed (ManifestLimits.max_bytes)"
        )
        raise ManifestError([ManifestIssue("$", message)])


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
