"""Where the nodes of a graph stand in its picture, and which way its connections go: in layers from left to right.

The layered drawing of K. Sugiyama, S. Tagawa and M. Toda (IEEE Trans. Systems, Man, and Cybernetics 11(2), 1981), with
longest paths for the layers and a few sweeps of barycentres for the order within them. A connection over several
layers has a place of its own in each that it crosses, so that it goes beside the nodes there and not behind them.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SWEEPS = 4

Crossing = tuple[str, str, int]
"""Source and target of a connection, and the layer that it crosses."""
Place = str | Crossing


def depths_of(ids: Sequence[str], connections: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of each node: how many connections the longest path to it has.

    Parameters
    ----------
    ids : sequence of str
        In topological order.
    connections : iterable of (str, str)
        Pairs of ids.
    """
    before: dict[str, list[str]] = defaultdict(list)
    for source, target in connections:
        before[target].append(source)
    depths: dict[str, int] = {}
    for node in ids:
        depths[node] = max((depths[source] + 1 for source in before[node]), default=0)
    return depths


def way_of(source: str, target: str, depths: dict[str, int]) -> list[Place]:
    """Return the places of a connection: its two nodes, and between them the layers that it crosses."""
    return [source, *((source, target, layer) for layer in range(depths[source] + 1, depths[target])), target]


def layers_of(ways: Iterable[Sequence[Place]], depths: dict[str, int]) -> list[list[Place]]:
    """Return the places of each layer, from top to bottom.

    Parameters
    ----------
    ways : iterable of sequences of places
        The connections, by `way_of`.
    depths : dict of str to int
        By `depths_of`.
    """
    layers: list[list[Place]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for node, layer in depths.items():
        layers[layer].append(node)
    before: dict[Place, list[Place]] = defaultdict(list)
    after: dict[Place, list[Place]] = defaultdict(list)
    for way in ways:
        for place in way:
            if isinstance(place, tuple):
                layers[place[2]].append(place)
        for one, other in pairwise(way):
            before[other].append(one)
            after[one].append(other)
    position = {place: number for layer in layers for number, place in enumerate(layer)}
    for sweep in range(SWEEPS):
        neighbours, others = (before, layers[1:]) if sweep % 2 == 0 else (after, layers[-2::-1])
        for one_layer in others:
            weights = {
                place: _mean([position[near] for near in neighbours[place]], position[place]) for place in one_layer
            }
            one_layer.sort(key=weights.__getitem__)
            position.update((place, number) for number, place in enumerate(one_layer))
    return layers


def _mean(positions: list[int], default: float) -> float:
    return sum(positions) / len(positions) if positions else default
