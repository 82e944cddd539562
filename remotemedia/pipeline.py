"""`Pipeline`: a manifest written in Python, node by node."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from remotemedia._core.node import NodeExecutor
from remotemedia.errors import bounded_repr

if TYPE_CHECKING:
    from remotemedia.executor import ErrorPolicy, MetricsLevel
    from remotemedia.manifest import Manifest
    from remotemedia.registry import NodeRegistry
    from remotemedia.result import ExecutionResult


class Pipeline:
    """Builds a manifest: each node added is connected behind the one before, unless connections say otherwise.

    Parameters
    ----------
    name : str
        Name of the pipeline, ``metadata.name`` of its manifest.
    registry : NodeRegistry, optional
        Where node types are looked up when it runs; by default a new one.

    Examples
    --------
    >>> from remotemedia import Pipeline
    >>> Pipeline("demo").add("PassThrough").add("Multiply", params={"multiplier": 2}).run([1, 2]).results
    [2, 4]
    """

    def __init__(self, name: str, *, registry: NodeRegistry | None = None) -> None:
        self._name = name
        self._registry = registry
        self._nodes: list[dict[str, Any]] = []
        self._connections: list[dict[str, Any]] = []
        self._instances: dict[str, Any] = {}
        self._ids: set[str] = set()
        self._last: str | None = None

    def add(
        self,
        node: str | Any,
        *,
        id: str | None = None,
        params: dict[str, Any] | None = None,
        after: str | Iterable[str] | None = None,
        **keys: Any,
    ) -> Self:
        """Add a node and connect it.

        Parameters
        ----------
        node : str or node
            A node type, or a node instance (then its class may be unknown to the registry; it runs in one run at
            a time, and the manifest names its class).
        id : str, optional
            Its id; by default the type in lower case with a number (``echo_1``).
        params : dict, optional
            Its parameters; copied.
        after : str or iterable of str, optional
            Ids of the nodes that feed it; by default the node added before, ``()`` for a source.
        **keys
            Other keys of a manifest node: ``fan_in="join"``, ``copy=True``, ``is_output_node=True`` …

        Returns
        -------
        Pipeline
            Itself.
        """
        node_type = node if isinstance(node, str) else type(node).__name__
        if isinstance(node, type):
            raise TypeError(f"{node.__name__} is a class: register it and add its type, or add {node.__name__}()")
        if not isinstance(node, (str, NodeExecutor)) and not hasattr(node, "process") and not hasattr(node, "produce"):
            raise TypeError(f"a node is a node type or an instance with a process method, not {bounded_repr(node)}")
        node_id = id if id is not None else self._free_id(node_type)
        if node_id in self._ids:
            raise ValueError(f"the pipeline has a node {node_id!r} already; give another id")
        feeders = [self._last] if after is None else [after] if isinstance(after, str) else list(after)
        for feeder in feeders:
            if feeder is not None and feeder not in self._ids:
                raise ValueError(f"node {node_id!r} is to come after {feeder!r}, which was not added")
        self._ids.add(node_id)
        spec: dict[str, Any] = {"id": node_id, "node_type": node_type, **keys}
        if params is not None:
            spec["params"] = params
        self._nodes.append(_own(spec))
        if not isinstance(node, str):
            self._instances[node_id] = node
        for feeder in feeders:
            if feeder is not None:
                self._connections.append({"from": feeder, "to": node_id})
        self._last = node_id
        return self

    def connect(self, source: str, target: str) -> Self:
        """Add a connection between two nodes by id; returns itself."""
        for node_id in (source, target):
            if node_id not in self._ids:
                raise ValueError(f"there is no node {node_id!r} to connect; add it first")
        connection = {"from": source, "to": target}
        if connection not in self._connections:
            self._connections.append(connection)
        return self

    def to_manifest(self) -> Manifest:
        """Return the manifest; ManifestError names everything that is wrong with it."""
        from remotemedia.manifest import Manifest

        return Manifest.from_dict(
            {
                "version": "v1",
                "metadata": {"name": self._name},
                "nodes": self._nodes,
                "connections": self._connections,
            }
        )

    def run(
        self,
        items: Iterable[Any] | None = None,
        *,
        engine: str | None = None,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
    ) -> ExecutionResult:
        """Run it over `items` (without: over what its producers give); see `Executor.execute_with_input`."""
        from remotemedia.executor import Executor

        manifest = self.to_manifest()
        with Executor.with_instances(self._instances, self._registry, engine=engine) as executor:
            if items is None:
                return executor.execute(manifest, error_policy=error_policy, session_id=session_id, metrics=metrics)
            return executor.execute_with_input(
                manifest, items, error_policy=error_policy, session_id=session_id, metrics=metrics
            )

    def __repr__(self) -> str:
        return f"<Pipeline {self._name!r}: {len(self._nodes)} nodes, {len(self._connections)} connections>"

    def _free_id(self, node_type: str) -> str:
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in node_type).lower()
        number = 1
        while f"{stem}_{number}" in self._ids:
            number += 1
        return f"{stem}_{number}"


def _own(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy; what cannot be copied is no JSON, and the manifest's check tells so better."""
    try:
        return copy.deepcopy(spec)
    except Exception:
        return spec
