"""The faults of a manifest's graph, by name: repeated and unknown ids, repeated pairs, self-loops, cycles.

The slow counterpart of `remotemedia._core.graph.link`, which only says whether there is one. Linear, no recursion.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from remotemedia.errors import bounded_repr
from remotemedia.manifest_text import Repeated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remotemedia.manifest_walk import Walk

SHOWN_OF_CYCLE = 12


def find_graph_faults(tree: dict[str, Any], walk: Walk) -> None:
    """Add the graph faults of a manifest to `walk`; what has no usable id or end is left to the other checks."""
    homes = _node_homes(tree.get("nodes"), walk)
    seen: dict[tuple[str, str], str] = {}
    for path, connection in _objects(tree.get("connections"), "$.connections"):
        if isinstance(connection, Repeated):  # a fault already, and which end is meant nobody knows
            continue
        ends = connection.get("from"), connection.get("to")
        for key, end in zip(("from", "to"), ends, strict=True):
            if type(end) is str and end not in homes:
                walk.fault(f"{path}.{key}", f"no node has the id {bounded_repr(end, 60)}{walk.closest(end, homes)}")
        source, target = ends
        if type(source) is not str or type(target) is not str:
            continue
        if (source, target) in seen:
            walk.fault(path, f"{_named([source, target])} duplicates {seen[source, target]}; leave one out")
            continue
        seen[source, target] = path
        if source == target:
            walk.fault(path, f"a node cannot feed itself: {_named([source, target])}")
    successors: dict[str, list[str]] = {node_id: [] for node_id in homes}
    for source, target in seen:
        if source in homes and target in homes and source != target:
            successors[source].append(target)
    for cycle in _cycles(successors):
        walk.fault(seen[cycle[-2], cycle[-1]], f"cycle {_named(cycle)}: take one of its connections out")


def _node_homes(nodes: Any, walk: Walk) -> dict[str, str]:
    """Return the path of the first node with each id."""
    homes: dict[str, str] = {}
    for path, node in _objects(nodes, "$.nodes"):
        node_id = node.get("id")
        if isinstance(node, Repeated):  # a fault already; any of its ids may be the one that is meant
            homes |= {value: path for key, value in node.pairs if key == "id" and type(value) is str}
        elif type(node_id) is str and node_id in homes:
            walk.fault(
                f"{path}.id", f"duplicate id {bounded_repr(node_id, 60)}: {homes[node_id]} has it; ids are unique"
            )
        elif type(node_id) is str:
            homes[node_id] = path
    return homes


def _objects(items: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(items, (list, tuple)):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield f"{path}[{index}]", item


def _named(ids: list[str]) -> str:
    """Return ``a -> b -> a``; of a long way the two ends."""
    half = SHOWN_OF_CYCLE // 2
    if len(ids) <= SHOWN_OF_CYCLE:
        return " -> ".join(_short(node_id) for node_id in ids)
    ends = [*(_short(i) for i in ids[:half]), f"… {len(ids) - 2 * half} more …", *(_short(i) for i in ids[-half:])]
    return " -> ".join(ends)


def _short(node_id: str) -> str:
    return node_id if len(node_id) <= 40 and node_id.isprintable() else bounded_repr(node_id, 40)


def _cycles(successors: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield one shortest cycle through the first node of each strongly connected component of two nodes or more."""
    component: dict[str, int] = {}
    members: list[int] = []
    for node, root in _components(successors):
        component[node] = root
        members.extend([0] * (root + 1 - len(members)))
        members[root] += 1
    shown: set[int] = set()
    for node in successors:
        root = component[node]
        if members[root] > 1 and root not in shown:
            shown.add(root)
            yield _cycle_through(node, successors, component)


def _cycle_through(start: str, successors: dict[str, list[str]], component: dict[str, int]) -> list[str]:
    """Return the shortest cycle through `start`, which is in a component with others, by breadth-first search."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while start not in came_from:
        node = queue.popleft()
        for below in successors[node]:
            if component[below] == component[start] and below not in came_from:
                came_from[below] = node
                queue.append(below)
    cycle = [start, came_from[start]]
    while cycle[-1] != start:
        cycle.append(came_from[cycle[-1]])
    return cycle[::-1]


def _components(successors: dict[str, list[str]]) -> Iterator[tuple[str, int]]:
    """Yield every node with the number of its strongly connected component (Tarjan 1972, with a stack of its own)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    waiting: list[str] = []
    done: set[str] = set()
    count = 0
    for root in successors:
        if root in order:
            continue
        order[root] = low[root] = len(order)
        waiting.append(root)
        way = [(root, iter(successors[root]))]
        while way:
            node, below = way[-1]
            child = next(below, None)
            if child is None:
                way.pop()
                if way:
                    low[way[-1][0]] = min(low[way[-1][0]], low[node])
                if low[node] == order[node]:
                    while True:
                        member = waiting.pop()
                        done.add(member)
                        yield member, count
                        if member == node:
                            break
                    count += 1
            elif child not in order:
                order[child] = low[child] = len(order)
                waiting.append(child)
                way.append((child, iter(successors[child])))
            elif child not in done:
                low[node] = min(low[node], order[child])
