"""A manifest and a registry, brought together: what every run of the two starts from.

Made once per manifest, executor and state of the registry, then kept (`Executor` holds the cache). It holds no node
instance, and serves many threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from remotemedia._core.node import Claims, NodeContext
from remotemedia.errors import ManifestError, RegistryError, bounded_repr
from remotemedia.registry import Entry, NodeRegistry, factory_error, unknown_types
from remotemedia.shared import SharedNodes

if TYPE_CHECKING:
    from remotemedia._core.graph import PipelineGraph
    from remotemedia.manifest import Connection, Manifest, NodeSpec
    from remotemedia.manifest_parts import RunOptions
    from remotemedia.registry import Factory


class Outline(NamedTuple):
    """What a manifest says, without its graph: what a result keeps, and can be pickled with."""

    metadata: dict[str, Any]
    nodes: tuple[NodeSpec, ...]
    connections: tuple[Connection, ...]
    run: RunOptions | None


class Blueprint:
    """The checked graph, what each node is made by, and a place for the engine's plan.

    Parameters
    ----------
    manifest : Manifest
        Its graph is checked here if it was not.
    registry : NodeRegistry
        Where the node types are looked up.
    shared : SharedNodes
        The executor's shared instances.
    instances : mapping of str to node
        Nodes given by the program, by node id; their types need not be registered.

    Raises
    ------
    ManifestError
        If the manifest was built by hand and has faults.
    RegistryError
        Naming every node whose type is unknown.
    """

    def __init__(
        self,
        manifest: Manifest,
        registry: NodeRegistry,
        shared: SharedNodes,
        instances: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.graph: PipelineGraph = manifest.graph
        self.outline = Outline(manifest.metadata, tuple(manifest.nodes), tuple(manifest.connections), manifest.run)
        self.specs = tuple(manifest.nodes)
        self.connections = tuple(manifest.connections)
        self.parallel_init = manifest.run is not None and manifest.run.parallel_init
        self.deadline_ms = None if manifest.run is None else manifest.run.deadline_ms
        self._metadata = MappingProxyType(dict(manifest.metadata))
        self._nested_metadata = any(isinstance(value, (dict, list)) for value in manifest.metadata.values())
        self.factories: list[Factory] = []
        self.plan: Any = None  # the engine's, for the kinds of nodes that were met last
        try:
            entries = [
                registry.entry(spec.node_type)
                if spec.id not in instances
                else Entry(spec.node_type, partial(_same, instances[spec.id]))
                for spec in self.specs
            ]
        except RegistryError:
            every = unknown_types(
                registry, ((i, s.id, s.node_type) for i, s in enumerate(self.specs) if s.id not in instances)
            )
            if every is None:
                raise
            raise every from None
        for entry in entries:
            shares = partial(shared.get, entry.node_type, entry.factory)
            self.factories.append(shares if entry.shared else entry.factory)
        self.guarded = [
            u for u, spec in enumerate(self.specs) if spec.retry is not None or spec.circuit_breaker is not None
        ]
        if self.guarded:
            from remotemedia.guards import GuardedFactory
        for u in self.guarded:
            self.factories[u] = GuardedFactory(self.factories[u], u, self.specs[u])

    def context(self, position: int, session_id: str | None) -> NodeContext:
        """Return what the node at `position` learns at its `initialize`; none of it is the manifest's own."""
        spec = self.specs[position]
        metadata = own_copy(dict(self._metadata)) if self._nested_metadata else self._metadata
        return NodeContext(spec.id, spec.node_type, own_copy(spec.params), session_id, metadata)

    def check_guards(self, nodes: list[Any]) -> None:
        """Raise a ManifestError with every one of `nodes` that cannot be guarded as asked."""
        faults = [fault for u in self.guarded if (fault := nodes[u].fault) is not None]
        if faults:
            raise ManifestError(faults)

    def attempts(self, nodes: list[Any]) -> dict[int, Any]:
        """Return what a run looks at of its guards (`remotemedia.guards.Attempts`), by position."""
        return {u: nodes[u].attempts for u in self.guarded}

    def held(self, nodes: list[Any]) -> list[Any]:
        """Return what a run is to have alone: each node, without its guard."""
        held = list(nodes)
        for u in self.guarded:
            held[u] = nodes[u].__wrapped__
        return held

    def claim(self, nodes: list[Any]) -> Claims:
        """Claim the nodes of a run, in manifest order; SessionBusyError if another run has one of them."""
        claims = Claims()
        claims.take(self.held(nodes), [f"node {bounded_repr(spec.id)} ({spec.node_type})" for spec in self.specs])
        return claims

    def make(self, position: int) -> Any:
        """Return a new node for the node at `position` of the manifest; RegistryError if its factory fails."""
        try:
            return self.factories[position]()
        except Exception as error:
            raise self.failed(position, error) from error

    def failed(self, position: int, error: Exception) -> Exception:
        """Return the error for a factory that raised `error`."""
        if isinstance(error, RegistryError):
            return error
        spec = self.specs[position]
        wrapped = factory_error(spec.node_type, error, spec.id)
        wrapped.__cause__ = error
        return wrapped


def own_copy(value: Any) -> Any:
    """Return a JSON value whose objects and arrays are new."""
    if isinstance(value, dict):
        return {key: own_copy(member) for key, member in value.items()}
    return [own_copy(member) for member in value] if isinstance(value, list) else value


def _same(instance: Any) -> Any:
    return instance
