"""What a run is made of: a `Step` for each node, which the items travel between through `Inlet` objects.

Made anew by `lay_out` for each run, which owns them. Nothing here refers to a run, and no step to another step (scopes
go by name), so all of it is freed with the run, without a garbage collector.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from remotemedia.batching import batch_call, batching_of
from remotemedia.beside import overlap_of
from remotemedia.guards import Guard
from remotemedia.limits import bounded, limit_of
from remotemedia.reference.clock import Clock
from remotemedia.reference.histogram import Histogram
from remotemedia.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remotemedia.reference.awaiting import Part
    from remotemedia.reference.graph import Graph, Scopes
    from remotemedia.reference.plan import Plan
    from remotemedia.trials import Attempts


class Inlet:
    """The end of a connection. It holds the one item at most that a pass brings; None is no item."""

    __slots__ = ("delivered", "item", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.item: Any = None
        self.delivered = 0

    def put(self, item: Any) -> None:
        """Leave `item` for the step behind."""
        self.item = item

    def take(self) -> Any:
        """Return what waits, or None."""
        item, self.item = self.item, None
        return item


class Queue(Inlet):
    """The end of a connection into a merge, which may bring many items in one pass."""

    __slots__ = ("waiting",)

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.waiting: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Let `item` stand in line."""
        self.waiting.append(item)

    def take(self) -> Any:
        """Return the first in line, or None."""
        return self.waiting.popleft() if self.waiting else None


class Tap(Inlet):
    """Where a node with ``is_output_node`` leaves its outputs; a stream keeps none of them."""

    __slots__ = ("kept",)

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.kept: list[Any] | None = None

    def put(self, item: Any) -> None:
        """Keep `item`."""
        if self.kept is not None:
            self.kept.append(item)


class Step:
    """A node in its place: what it is, where its items come from and go to, and its counts.

    Attributes
    ----------
    rank, position : int
        Its place in the topological order, and in the manifest; the latter names the scope that it opens.
    inlets : list of Inlet
        One for each connection, in manifest order; for a source the one that the input is put into.
    targets : list of Inlet
        Where its outputs are put.
    inlet : Inlet or None
        The only inlet of a *plain* step: each pass gives it one item at most and gets one at most out of it, and so it
        is with all that it feeds. None if it is not plain (many, flush, producer, merge, join, copy, and what feeds
        a merge).
    """

    __slots__ = (
        "attempts",
        "batching",
        "clock",
        "copies",
        "failed",
        "filtered",
        "flushed",
        "id",
        "inlet",
        "inlets",
        "joins",
        "node",
        "out",
        "overlaps",
        "partial",
        "passed",
        "position",
        "process",
        "rank",
        "sink",
        "spec",
        "targets",
        "traits",
        "type",
    )

    def __init__(self, rank: int, position: int, node: Any, spec: Any, traits: Traits, timed: bool = False) -> None:
        self.rank = rank
        self.position = position
        self.node = node
        self.spec = spec
        self.traits = traits
        self.id: str = spec.id
        self.type: str = spec.node_type
        self.inlets = [Inlet("")]
        self.inlet: Inlet | None = None
        self.targets: list[Inlet] = []
        self.joins = False
        self.partial = spec.join_missing == "partial"
        self.copies = spec.copy is True
        self.sink = False
        self.batching = batching_of(spec, node, traits)
        pairs = self.batching is not None and not self.batching.many
        self.overlaps = pairs or overlap_of(spec, node, traits, ()) is not None  # so it would be elsewhere
        self.clock = Clock() if timed else None
        self.attempts: Attempts | None = node.attempts if isinstance(node, Guard) else None
        self.passed = self.filtered = self.failed = self.out = self.flushed = 0
        self.process: Callable[[Any], Any] = unbound

    def bind(self) -> None:
        """Look up ``process`` (once, when all nodes are initialized); other methods are when they are called."""
        if self.traits.produces:
            return
        if self.batching is not None:
            method = self.bounded("process", self.node.process_batch)
            awaits = "process" in self.traits.awaits
            self.process, attempts = batch_call(self.node, method, self.batching, awaits)
            self.attempts = attempts or self.attempts
            return
        self.process = self.bounded("process", self.node.process)
        if self.clock is not None and self.inlet is not None:  # other calls are timed where they go on
            self.process = self.clock.timed(self.process)

    def release(self) -> None:
        """Let go of the node, and of items on their way to it."""
        self.node = None
        self.process = unbound
        self.drop_items()

    def bounded(self, phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method of the node with its time limit, if it has one."""
        limit = limit_of(self.spec, phase)
        if limit is None:
            return method
        traits = self.traits
        many = traits.many and phase == "process"
        return bounded(method, limit, phase, phase in traits.awaits, phase in traits.streams, many)

    def arrivals(self) -> Iterator[Any]:
        """Give what the node is to be called with in this pass."""
        if self.joins:
            branches = {inlet.source: item for inlet in self.inlets if (item := self._take(inlet)) is not None}
            if len(branches) == len(self.inlets) or (branches and self.partial):
                yield branches
            elif branches:
                self.filtered += 1
        else:
            for inlet in self.inlets:
                while (item := self._take(inlet)) is not None:
                    yield item

    def drop_items(self) -> None:
        """Forget what is on its way to the node."""
        for inlet in self.inlets:
            while inlet.take() is not None:
                pass

    @property
    def repeats(self) -> bool:
        """Whether one pass may call the node, or draw from it, more than once."""
        return self.traits.many or (len(self.inlets) > 1 and not self.joins)

    @property
    def calls(self) -> int:
        """How many calls there were: ``in`` of R14. A call that has emitted something counts as passed at once."""
        return self.passed + self.filtered + self.failed

    def counts(self) -> dict[str, int]:
        """Return the counts of R14, without the times of single calls."""
        counts = {
            "in": self.calls,
            "passed": self.passed,
            "filtered": self.filtered,
            "failed": self.failed,
            "out": self.out if self.traits.many else self.passed,  # any other gives one item when it passes
            "flushed": self.flushed,
        }
        if self.attempts is not None and self.attempts.count is not None:
            counts["attempts"] = self.attempts.count
        if self.clock is not None:
            counts["time_ns"] = self.clock.time_ns
        return counts

    def times(self, processing: Histogram) -> dict[str, Any]:
        """Return what is told of the times of single calls; here no call waits for another."""
        times: dict[str, Any] = {"processing": processing.to_dict()}
        if self.overlaps:
            waiting = Histogram()
            if processing.counts:
                waiting.counts[0] = processing.count
            times["queue"] = {"depth": 0, "in_flight": 0, "waiting": waiting.to_dict()}
        return times

    def delivered(self, inlet: Inlet) -> int:
        """Return how many items came to the node by `inlet`: where it is the only one, one for each call."""
        return inlet.delivered if len(self.inlets) > 1 else self.calls

    def _take(self, inlet: Inlet) -> Any:
        item = inlet.take()
        if item is not None:
            inlet.delivered += 1
        return item


Line = tuple[Inlet | None, Any]
"""Plain steps that follow each other, each fed by the one before it and feeding nothing else: an item waits nowhere
between them; a list, with the inlet of the first. Or a list of a single step that is not plain, with None. Or an
`Await`, with None: it comes before the scope goes on."""


def in_lines(steps: list[Step]) -> list[Line]:
    """Return `steps`, in their order, as lines."""
    lines: list[Line] = []
    line: list[Step] = []
    before: Step | None = None
    for step in steps:
        if before is not None and None is not before.inlet and before.targets == [step.inlet]:
            line.append(step)
        else:
            line = [step]
            lines.append((step.inlet, line))
        before = step
    return lines


class Program:
    """The steps of a run, and the order they run in.

    Attributes
    ----------
    graph : Graph
        The graph.
    steps : list of Step
        All, in topological order.
    scopes : dict of int to list of Line
        The steps of each scope, in topological order. A node that opens none has an empty one. Behind a sink that is
        not plain stands its outlet.
    outer : dict of int to int or None
        See `Scopes.outer`.
    taps : list of Tap
        Of the nodes with ``is_output_node`` that are no sinks.
    """

    def __init__(self, graph: Graph, at: dict[int, Step], scopes: Scopes, taps: list[Tap]) -> None:
        self.graph = graph
        self.steps = [at[u] for u in graph.order]
        self.in_manifest_order = [at[u] for u in range(len(graph.ids))]
        self.scopes: dict[int, list[Line]] = {u: [] for u in graph.order}
        for scope, members in scopes.members.items():
            self.scopes[scope] = in_lines([at[u] for u in members])
        self.outer = scopes.outer
        self.outlets = [outlet_of(step) for step in self.steps if step.sink and step.inlet is None]
        for outlet in self.outlets:
            self.scopes[outlet.position].append((outlet.inlet, [outlet]))
        self.taps = taps
        self.sinks = [step.id for step in self.steps if step.sink]
        self.output_ids = self.sinks + [tap.source for tap in taps]
        self.inputs = [at[u].inlets[0] for u in graph.order if not graph.incoming[u] and not at[u].traits.produces]
        self.flushers = [step for step in self.steps if step.traits.flushes]
        self.producers = [step for step in self.steps if step.traits.produces]

    def drop_items(self) -> Part[None]:
        """Forget every item that is on its way."""
        for step in self.steps + self.outlets:
            step.drop_items()
        yield from ()

    def connections(self) -> dict[str, dict[str, int]]:
        """Return the counts of the connections (R14), in manifest order."""
        inlets = [iter(step.inlets) for step in self.in_manifest_order]
        counts = {}
        for _, target in self.graph.connections:
            step, inlet = self.in_manifest_order[target], next(inlets[target])
            delivered = step.delivered(inlet)
            counts[f"{inlet.source}->{step.id}"] = {"sent": delivered, "delivered": delivered, "dropped": 0}
        return counts


def outlet_of(step: Step) -> Step:
    """Return a plain step, no node of the graph, that emits what the sink `step` puts into it."""
    outlet = Step(step.rank, step.position, None, step.spec, Traits(many=False, flushes=False, produces=False))
    outlet.process = identity
    outlet.sink = True
    outlet.inlet = outlet.inlets[0]
    step.targets.append(outlet.inlet)
    return outlet


def identity(item: Any) -> Any:
    """Return `item`."""
    return item


def unbound(*args: Any) -> Any:
    """Stand for a method that is not looked up yet, or not any more."""
    raise AssertionError("a node was called outside its life")


def lay_out(plan: Plan, nodes: list[Any], timed: bool) -> Program:
    """Return the program of a run of `plan` with these instances."""
    graph, specs, scopes, joins, merges = plan.graph, plan.specs, plan.scopes, plan.joins, plan.merges
    at = {u: Step(rank, u, nodes[u], specs[u], plan.traits[u], timed) for rank, u in enumerate(graph.order)}
    for u, step in at.items():
        step.joins = joins[u]
        step.sink = not graph.outgoing[u]
        if graph.incoming[u]:
            step.inlets = [(Queue if merges[u] else Inlet)(graph.ids[p]) for p in graph.predecessors(u)]
            for p, inlet in zip(graph.predecessors(u), step.inlets, strict=True):
                at[p].targets.append(inlet)
    taps = []
    for u, step in at.items():
        if specs[u].is_output_node is True and not step.sink:
            taps.append(Tap(step.id))
            step.targets.append(taps[-1])
        special = u in scopes.members or joins[u] or step.copies or "process" in step.traits.awaits
        special = special or step.batching is not None
        if not special and all(type(target) is Inlet for target in step.targets):
            step.inlet = step.inlets[0]
    return Program(graph, at, scopes, taps)
