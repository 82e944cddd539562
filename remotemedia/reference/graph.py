"""The graph of a manifest, by manifest position: who feeds whom, in which order nodes run, in which scope each is.

Called by `open_run` for every run; it keeps nothing. The graph is taken to be sound (ids known, no cycle): that is
checked when the manifest is.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = -1
"""The outermost scope, which no opener opens."""


class Graph:
    """Nodes and connections by number.

    Attributes
    ----------
    ids : list of str
        Node ids; the position in here is the node's number everywhere.
    connections : list of (int, int)
        From which node to which; the position in here is the connection's number.
    incoming, outgoing : list of list of int
        Connection numbers of each node, in manifest order.
    order : list of int
        The nodes in topological order.
    """

    def __init__(self, nodes: Sequence[Any], connections: Sequence[Any]) -> None:
        self.ids: list[str] = [node.id for node in nodes]
        position = {node_id: u for u, node_id in enumerate(self.ids)}
        self.connections = [(position[c.from_], position[c.to]) for c in connections]
        self.incoming: list[list[int]] = [[] for _ in nodes]
        self.outgoing: list[list[int]] = [[] for _ in nodes]
        for number, (source, target) in enumerate(self.connections):
            self.outgoing[source].append(number)
            self.incoming[target].append(number)
        self.order = self._execution_order()

    def predecessors(self, u: int) -> list[int]:
        """Return the nodes that feed `u`, in the order of the connections."""
        return [self.connections[number][0] for number in self.incoming[u]]

    def to_dict(self) -> dict[str, Any]:
        """Return the ``graph_info`` of a result, which asks for it when someone looks."""
        return {
            "node_count": len(self.ids),
            "connection_count": len(self.connections),
            "sources": [self.ids[u] for u in self.order if not self.incoming[u]],
            "sinks": [self.ids[u] for u in self.order if not self.outgoing[u]],
            "execution_order": [self.ids[u] for u in self.order],
        }

    def _execution_order(self) -> list[int]:
        """Of the nodes whose predecessors are all placed, place the one that stands first in the manifest."""
        missing = [len(numbers) for numbers in self.incoming]
        ready = [u for u, count in enumerate(missing) if count == 0]
        order = []
        while ready:
            u = heapq.heappop(ready)
            order.append(u)
            for number in self.outgoing[u]:
                target = self.connections[number][1]
                missing[target] -= 1
                if missing[target] == 0:
                    heapq.heappush(ready, target)
        return order


class Scopes:
    """The tree of scopes. A scope is named by the node that opens it, or `RUN`.

    Parameters
    ----------
    graph : Graph
        The nodes.
    opens, merges : sequence of bool
        For each node whether it is an opener, and whether it is one that merges connections.

    Attributes
    ----------
    of : list of int
        The scope that each node is in: the nearest opener through which all ways to it lead.
    members : dict of int to list of int
        The nodes of each scope, in topological order.
    outer : dict of int to int or None
        The nearest scope around a scope that something can leave it for. Only merges are fed from other scopes, so
        it is the nearest one that has a merge.
    """

    def __init__(self, graph: Graph, opens: Sequence[bool], merges: Sequence[bool]) -> None:
        self._opens = opens
        self._depth = {RUN: 0}
        self.of = [RUN] * len(graph.ids)
        self.members: dict[int, list[int]] = {RUN: []}
        for u in graph.order:
            self.of[u] = scope = self._innermost_around([self.emitted_in(p) for p in graph.predecessors(u)])
            self.members[scope].append(u)
            if opens[u]:
                self._depth[u] = self._depth[scope] + 1
                self.members[u] = []

        with_merge = {self.of[u] for u in graph.order if merges[u]}
        self.outer: dict[int, int | None] = {RUN: None}
        for u in self.members:  # the surrounding scope comes first
            if u != RUN:
                around = self.of[u]
                self.outer[u] = around if around in with_merge else self.outer[around]

    def emitted_in(self, u: int) -> int:
        """Return the scope that an output of `u` is a pass over."""
        return u if self._opens[u] else self.of[u]

    def _innermost_around(self, scopes: list[int]) -> int:
        """Return the innermost scope that encloses all of `scopes`; the run if there are none."""
        if not scopes:
            return RUN
        common = scopes[0]
        for scope in scopes[1:]:
            while common != scope:
                if self._depth[common] >= self._depth[scope]:
                    common = self.of[common]
                else:
                    scope = self.of[scope]
        return common
