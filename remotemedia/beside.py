"""Which nodes have calls beside each other: what a manifest and a node class ask for, read once a plan by both engines.

The reference engine checks it and makes one call after the other, which is what any number of calls is to look like
from outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from remotemedia._core.cfunction import CFunction
from remotemedia.errors import ManifestIssue, listed
from remotemedia.traits import innermost

if TYPE_CHECKING:
    from remotemedia.traits import Traits

QUEUE_OF_THREADS = 64
"""Items that wait for a node with threads where its connection names no capacity: enough that a change of threads,
which takes microseconds, is paid once for many items."""


LANE_TYPES = frozenset(
    ("PassThrough", "Counter", "Multiply", "Add", "Calculator", "Threshold", "Abs", "Clamp", "Round")
)
"""Classes of this package, in both engines, that may be in a lane."""


class Overlap(NamedTuple):
    """How the calls of a node go on beside the rest of the pipeline.

    Attributes
    ----------
    calls : int
        Most calls at the same time.
    threaded : bool
        They are made in threads; else they are awaited in tasks.
    capacity : int
        Most items that wait for a call.
    overflow : {"block", "drop_oldest", "drop_newest", "error"}
        What an item meets when as many wait.
    """

    calls: int
    threaded: bool
    capacity: int
    overflow: str


def overlap_of(spec: Any, node: Any, traits: Traits, connections: Iterable[Any]) -> Overlap | None:
    """Return how the calls of a node overlap, None if they do not.

    Parameters
    ----------
    spec : NodeSpec
        The node in the manifest, without an `overlap_fault`.
    node : object
        Its instance.
    traits : Traits
        What the instance is.
    connections : iterable of Connection
        Those that lead into it.
    """
    if traits.batches:
        return None
    threaded = spec.isolation == "thread"
    calls = most_calls(spec, node)
    if not threaded and (calls == 1 or not is_awaited(traits)):
        return None
    capacities = [given.capacity for given in connections if given.capacity is not None]
    overflows = [given.overflow for given in connections if given.overflow is not None]
    capacity = min(capacities) if capacities else QUEUE_OF_THREADS if threaded else calls
    return Overlap(calls, threaded, capacity, overflows[0] if overflows else "block")


def overlap_fault(
    position: int, name: str, spec: Any, node: Any, traits: Traits, connections: Iterable[Any]
) -> ManifestIssue | None:
    """Return why the calls of a node cannot overlap as asked, or None."""
    path = f"$.nodes[{position}]"
    asked = getattr(innermost(node), "max_concurrency", None)
    if asked is not None and (type(asked) is not int or asked < 1):
        return ManifestIssue(path, f"{name}: its class says max_concurrency = {asked!r}; an integer from 1 is due")
    if getattr(innermost(node), "keeps_state", False) and most_calls(spec, node) > 1:
        what = f"{name} keeps state from item to item (keeps_state), so its calls cannot overlap"
        return ManifestIssue(f"{path}.max_concurrency", f"{what}; leave it out")
    if spec.isolation == "thread":
        if traits.produces:
            return ManifestIssue(f"{path}.isolation", f"{name} is a producer, which no thread runs; leave it out")
        if is_awaited(traits):
            remedy = "leave it out; max_concurrency lets its calls overlap"
            return ManifestIssue(f"{path}.isolation", f"{name}: its process is async, and no thread runs it; {remedy}")
    elif spec.max_concurrency not in (None, 1) and not is_awaited(traits):
        remedy = 'add "isolation": "thread", or write async def process'
        return ManifestIssue(
            f"{path}.max_concurrency", f"{name} is a plain node, which is called in the caller's thread; {remedy}"
        )
    into = list(connections)
    dropping = [given.from_ for given in into if given.overflow not in (None, "block")]
    if len(into) > 1 and dropping:
        what = f"{name} has several connections, and an overflow other than 'block' from {listed(dropping)}"
        return ManifestIssue(path, f"{what}; which item it would drop is not defined: put a node before {spec.id!r}")
    return None


def parallelism_fault(position: int, name: str, node: Any) -> ManifestIssue | None:
    """Return why arrays cannot be split over threads for a node, or None."""
    cls = type(innermost(node))
    ours = cls.__module__.startswith(("remotemedia._core.", "remotemedia.reference.")) and cls.__name__ in LANE_TYPES
    if ours or (issubclass(cls, CFunction) and cls.has_lane):
        return None
    what = f"{name} has no lane, in which several threads could send an array through"
    return ManifestIssue(
        f"$.nodes[{position}].parallelism", f'{what}; leave it out ("isolation": "thread" lets calls overlap)'
    )


def most_calls(spec: Any, node: Any) -> int:
    """Return how many calls of a node may be under way: the manifest says, else its class."""
    if spec.max_concurrency is not None:
        return int(spec.max_concurrency)
    return int(getattr(innermost(node), "max_concurrency", 1))


def is_awaited(traits: Traits) -> bool:
    """Whether ``process`` is async."""
    return not traits.produces and ("process" in traits.awaits or "process" in traits.streams)
