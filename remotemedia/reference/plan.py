"""What the node instances add to a graph: what each node is, and hence the scopes, and what cannot be run."""

from __future__ import annotations

from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from remotemedia.batching import batching_fault
from remotemedia.beside import overlap_fault, parallelism_fault
from remotemedia.errors import ManifestError, ManifestIssue, bounded_repr
from remotemedia.guards import is_guarded
from remotemedia.plan_faults import fed_producer, unpaired_join
from remotemedia.reference.graph import RUN, Graph, Scopes
from remotemedia.traits import LIFECYCLE, WRAPPERS_LIMIT, check_nodes, fault_of, read_traits

if TYPE_CHECKING:
    from collections.abc import Sequence


BATCHING = ("batch_size", "max_batch_wait_ms", "batch_type", "batch_errors", "idempotent")


class Plan:
    """What the instances show of a graph: what each node is, and hence the scopes. It keeps no instance.

    Parameters
    ----------
    graph : Graph
        The graph.
    specs : sequence of NodeSpec
        The nodes as the manifest has them.
    connections : sequence of Connection
        Likewise.
    nodes : list
        Their instances.

    Raises
    ------
    RegistryError
        With every factory that gave something else than a node.
    ManifestError
        With every fault that only the instances show: what this version cannot run, producers that are fed, joins
        across scopes.
    """

    def __init__(self, graph: Graph, specs: Sequence[Any], connections: Sequence[Any], nodes: list[Any]) -> None:
        check_nodes(specs, nodes)
        self.graph = graph
        self.specs = specs
        self.connections = connections
        self.kinds = [kind_of(node) for node in nodes]
        self.traits = [read_traits(node) for node in nodes]
        self.joins = [spec.fan_in == "join" and bool(graph.incoming[u]) for u, spec in enumerate(specs)]
        self.merges = [len(numbers) > 1 and not self.joins[u] for u, numbers in enumerate(graph.incoming)]
        opens = [traits.opens or merges for traits, merges in zip(self.traits, self.merges, strict=True)]
        self.scopes = Scopes(graph, opens, self.merges)
        faults = [self._fault(u, node) for u, node in enumerate(nodes)]
        if any(faults):
            raise ManifestError(fault for fault in faults if fault is not None)

    def fits(self, nodes: list[Any]) -> bool:
        """Whether these instances are what the plan was made for: a factory may give another kind at each call."""
        return self.kinds == [kind_of(node) for node in nodes]

    def _fault(self, u: int, node: Any) -> ManifestIssue | None:
        graph, spec = self.graph, self.specs[u]
        path, name = f"$.nodes[{u}]", f"node {bounded_repr(spec.id)} ({spec.node_type})"
        fault = fault_of(node, path, name)
        if fault is None and is_guarded(spec):
            fault = node.fault
        into = [self.connections[e] for e in graph.incoming[u]]
        if fault is None:
            fault = overlap_fault(u, name, spec, node, self.traits[u], into)
        if fault is None:
            fault = batching_fault(u, name, spec, node, self.traits[u], into)
        if fault is None and spec.parallelism > 1:
            fault = parallelism_fault(u, name, node)
        if fault is None and self.traits[u].produces and graph.incoming[u]:
            fault = fed_producer(u, name, (graph.ids[p] for p in graph.predecessors(u)))
        if fault is None and self.joins[u]:
            fault = self._fault_of_join(u)
        return fault

    def _fault_of_join(self, u: int) -> ManifestIssue | None:
        """Return why the branches of join `u` cannot be paired, or None: they must emit in one scope."""
        ids = self.graph.ids
        emitted_in = {p: self.scopes.emitted_in(p) for p in self.graph.predecessors(u)}
        openers = sorted(set(emitted_in.values()))
        if len(openers) == 1:
            return None
        branches = [(ids[p], None if scope == RUN else ids[scope]) for p, scope in emitted_in.items()]
        merging = [ids[scope] for scope in openers if scope != RUN and self.merges[scope]]
        return unpaired_join(u, ids[u], branches, merging)


def kind_of(node: Any) -> list[Any]:
    """Return what the traits of `node` come from: equal kinds, equal traits.

    It holds nothing of the instance, so one with methods of its own is like no other.
    """
    kind: list[Any] = []
    for _ in range(WRAPPERS_LIMIT):
        cls = type(node)
        kind.append(cls)
        for name in ("emits", "max_concurrency", *BATCHING, "process_batch", *LIFECYCLE):
            found = getattr(node, name, None)
            own = getattr(cls, name, None)
            inherited = isinstance(found, BuiltinMethodType) and found.__self__ is node and found.__name__ == name
            kind.append(own if inherited or found is own or getattr(found, "__func__", None) is own else object())
        if not hasattr(node, "__wrapped__"):
            break
        node = node.__wrapped__
    return kind
