"""The scenarios: pipelines and their data, and the one way to run them that refuses the wrong engine.

Used by `benchmarks/` (asv), `ratios.py` and `tests/bench/`. S1 is PassThrough → Echo → PassThrough, S2 ten nodes,
PassThrough and Echo in turn, S3 three user classes of which one drops half of the items. What plain Python does in
their place is in `comparators.py`.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ENGINES = ("cython", "reference")
SEED = 20_240_229
BOUND = 100_000.0
"""`Drop` drops what is below; `floats` give values that are doubled before, half of which are."""


class Double(rm.NodeExecutor):
    def process(self, item):
        return item * 2.0


class Drop(rm.NodeExecutor):
    def process(self, item):
        return item if item >= BOUND else None


class Increment(rm.NodeExecutor):
    def process(self, item):
        return item + 1.0


class Same(rm.NodeExecutor):
    def process(self, item):
        return item


def manifest(nodes: Iterable[dict[str, Any]], connections: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return a manifest as a dict."""
    return {
        "version": "v1",
        "metadata": {"name": "bench"},
        "nodes": list(nodes),
        "connections": [{"from": source, "to": target} for source, target in connections],
    }


def chain(*types: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest of nodes ``n0``, ``n1``, … one behind the other, each a node type or one with its params."""
    keys = [
        {"node_type": entry} if isinstance(entry, str) else {"node_type": entry[0], "params": entry[1]}
        for entry in types
    ]
    nodes = [{"id": f"n{i}"} | entry for i, entry in enumerate(keys)]
    return manifest(nodes, pairwise(entry["id"] for entry in nodes))


S1 = chain("PassThrough", "Echo", "PassThrough")
S2 = chain(*["PassThrough", "Echo"] * 5)
S3 = chain("Double", "Drop", "Increment")
JOIN = manifest(
    [
        {"id": "source", "node_type": "Same"},
        {"id": "A", "node_type": "Double"},
        {"id": "B", "node_type": "Increment"},
        {"id": "join", "node_type": "Same", "fan_in": "join"},
    ],
    [("source", "A"), ("source", "B"), ("A", "join"), ("B", "join")],
)


def integers(count: int) -> list[int]:
    """Return 0, 1, …: what S1 and S2 wrap, so that a result shows its item."""
    return list(range(count))


def floats(count: int) -> list[float]:
    """Return random numbers, half of which are below `BOUND` once doubled."""
    draw = random.Random(SEED).random
    return [draw() * BOUND for _ in range(count)]


def long_chain_text(count: int) -> str:
    """Return the JSON text of a chain of `count` nodes, PassThrough and Echo in turn."""
    return json.dumps(chain(*(("PassThrough", "Echo")[i % 2] for i in range(count))))


def sdk_chain_text(count: int) -> str:
    """Return the text of the same chain as files of the SDK have it: other spellings, free keys, nulls."""
    tree = json.loads(long_chain_text(count))
    tree["metadata"]["createdAt"] = "2025-01-01T00:00:00Z"
    for node in tree["nodes"]:
        node["nodeType"] = node.pop("node_type")
        node |= {"params": None, "isStreaming": False, "capabilities": None, "docker": {"image": "any"}, "x-y": 1}
    for connection in tree["connections"]:
        connection |= {"type": "stream", "fromPort": "out"}
    return json.dumps(tree)


def executor(engine: str, **node_types: Callable[[], Any]) -> rm.Executor:
    """Return an executor of this engine, and of no other, that knows the user classes."""
    registry = rm.NodeRegistry()
    for name, node_type in {"Double": Double, "Drop": Drop, "Increment": Increment, "Same": Same, **node_types}.items():
        registry.register(name, node_type)
    made = rm.Executor(registry, engine=engine)
    probe = made.execute_with_input(chain("PassThrough"), [1])
    if made.engine != engine or probe.engine != engine:
        raise RuntimeError(f"asked for the engine {engine!r}, got {probe.engine!r}")
    return made


def prepare(
    tree: dict[str, Any],
    items: list[Any],
    engine: str = "cython",
    *,
    metrics: Literal["counts", "time"] = "counts",
    **node_types: Callable[[], Any],
) -> Callable[[], rm.ExecutionResult]:
    """Return a call that is one whole `execute_with_input` of a ready `Manifest`; its plan is cached."""
    execute = executor(engine, **node_types).execute_with_input
    ready = rm.Manifest.from_dict(tree)

    def run() -> rm.ExecutionResult:
        return execute(ready, items, metrics=metrics)

    if run().engine != engine:
        raise RuntimeError(f"the run was not by the engine {engine!r}")
    return run
