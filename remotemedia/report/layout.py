"""Where the nodes of a graph stand in its picture: in layers from left to right.

The layered drawing of K. Sugiyama, S. Tagawa and M. Toda (IEEE Trans. Systems, Man, and Cybernetics 11(2), 1981), with
longest paths for the layers and a few sweeps of barycentres for the order within them; an edge over several layers
goes straight through.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SWEEPS = 4


def layers_of(ids: Sequence[str], connections: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the nodes of each layer, from top to bottom.

    Parameters
    ----------
    ids : sequence of str
        In topological order.
    connections : iterable of (str, str)
        Pairs of ids.
    """
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in connections:
        before[target].append(source)
        after[source].append(target)
    depth: dict[str, int] = {}
    for node in ids:
        depth[node] = max((depth[source] + 1 for source in before[node]), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in ids:
        layers[depth[node]].append(node)
    place = {node: position for layer in layers for position, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        neighbours, way = (before, layers[1:]) if sweep % 2 == 0 else (after, layers[-2::-1])
        for layer in way:
            weights = {node: _mean([place[other] for other in neighbours[node]], place[node]) for node in layer}
            layer.sort(key=weights.__getitem__)
            place.update((node, position) for position, node in enumerate(layer))
    return layers


def _mean(places: list[int], default: float) -> float:
    return sum(places) / len(places) if places else default
