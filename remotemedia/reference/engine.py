"""The face of the reference engine: a `Run` is one run or session, made by `open_run` and called by the session layer.

A run executes and raises; ending it (`Run.end`) is up to its caller. One thread at a time; only `stop` may come from
another. A run owns its nodes and what is on its way between them; after `end` it holds neither.
"""

from __future__ import annotations

import sys
from itertools import chain
from operator import itemgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from remotemedia.errors import InputError, NodeError, RemoteMediaError, bounded_repr
from remotemedia.guards import GuardedFactory
from remotemedia.items import is_async_iterable, iterate
from remotemedia.parallel_init import levels
from remotemedia.reference.awaiting import awaited, run_through
from remotemedia.reference.batches import travel_of
from remotemedia.reference.graph import Graph
from remotemedia.reference.lifecycle import Lifecycle, raise_any
from remotemedia.reference.nodes import TWINS
from remotemedia.reference.plan import Plan
from remotemedia.reference.steps import Line, Program, lay_out
from remotemedia.reference.travel import Emission, OnError, closed
from remotemedia.result import ExecutionResult, ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Iterable, Iterator

    from remotemedia._core.node import Claims
    from remotemedia.reference.awaiting import Part

POLICIES = ("stop", "skip", "collect")


class Run:
    """A run or a session, from the first ``initialize`` to the last ``cleanup``. Made by `open_run`.

    Attributes
    ----------
    producers : list of str
        Ids of the nodes that are sources of their own.
    errors : list of NodeError or InputError
        What failed in `process` and `flush` under ``"collect"``.
    """

    def __init__(
        self,
        program: Program,
        blueprint: Any,
        claims: Claims,
        policy: str,
        session_id: str | None,
        on_error: OnError | None,
    ) -> None:
        self.producers = [step.id for step in program.producers]
        self.is_async = any(step.traits.is_async for step in program.steps)
        self.errors: list[NodeError | InputError] = []
        self._program = program
        self._clocks = [step.clock for step in program.steps if step.clock is not None]
        self._guards = [step.attempts for step in program.steps if step.attempts is not None]
        self._lifecycle = Lifecycle(program.steps, claims)
        self._travel = travel_of(program, policy, self._lifecycle, on_error)
        self._blueprint = blueprint
        self._policy = policy
        self._session_id = session_id
        self._stream: Iterator[Emission] | None = None
        self._used = self._ended = False
        self._processed = 0  # calls of `process`
        self._busy_ns = 0
        self._began_ns: int | None = None  # of the call that is running
        self._clear()

    def awaitable(self, procedure: str, argument: Any = None) -> Awaitable[Any]:
        """Return what the method named `procedure` does, as an awaitable."""
        part = getattr(self, f"_{procedure}")
        return awaited(part(argument) if procedure in ("execute", "process", "end") else part())

    def initialize(self) -> None:
        """Initialize every node in topological order."""
        run_through(self._initialize())

    def _initialize(self) -> Part[None]:
        self._began_ns = perf_counter_ns()
        if self._blueprint.parallel_init:
            graph, steps = self._program.graph, self._program.in_manifest_order
            calls = self._lifecycle.calls(steps, lambda u: self._blueprint.context(u, self._session_id))
            by_level = [[calls[u] for u in level] for level in levels(graph.order, graph.predecessors)]
            yield from self._lifecycle.initialize_levels(by_level, self._check, self.is_async)
        for step in self._program.steps if not self._blueprint.parallel_init else ():
            yield from self._lifecycle.initialize(step, self._blueprint.context(step.position, self._session_id))
            if self._travel.stopping:
                raise closed()
        self._lifecycle.bind()
        self._stop_clock()

    def _check(self) -> None:
        if self._travel.stopping:
            raise closed()

    def execute(self, items: Iterable[Any] | None) -> ExecutionResult:
        """Drive `items` through (None: what the producers give), then flush."""
        return run_through(self._execute(items))

    def _execute(self, items: Any) -> Part[ExecutionResult]:
        self._begin()
        yield from self._collect(self._feed(items))
        yield from self._collect(self._travel.flushes())
        self._stop_clock()
        result = self.result()
        self._clear()  # a session does not hold on to what it handed out
        return result

    def process(self, item: Any) -> list[Any]:
        """Drive one item through; return what the sinks emitted."""
        return run_through(self._process(item))

    def _process(self, item: Any) -> Part[list[Any]]:
        self._processed += 1
        return self._gather(self._travel.inputs(iter((item,)), self._processed - 1))

    def flush(self) -> list[Any]:
        """Flush every node; return what the sinks emitted."""
        return run_through(self._flush())

    def _flush(self) -> Part[list[Any]]:
        return self._gather(self._travel.flushes())

    def begin_stream(self, items: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        """Do the same as `execute`, but let `next_output` hand out what the sinks emit."""
        self._begin(keep=False)
        self._stream = self._travel.drive(chain(self._feed(items), self._travel.flushes()))

    def next_output(self) -> Emission | None:
        """Return the ``(sink id, item)`` that comes next; None at the end."""
        return run_through(self._next_output())

    def _next_output(self) -> Part[Emission | None]:
        assert self._stream is not None
        while (emission := next(self._stream, None)) is not None and emission[0] is None:
            yield emission[1]
        if emission is None:
            self._stream = None
            self._stop_clock()
        return emission

    def abandon(self) -> None:
        """Leave the stream early: drop what is in flight, flush nothing."""
        run_through(self._abandon())

    def _abandon(self) -> Part[None]:
        self._stream = None
        self._travel.stopping = False
        yield from self._lifecycle.persist(self._travel.close_calls, self._program.drop_items)
        self._stop_clock()
        self._clear()
        raise_any(self._lifecycle.settle(None))

    def result(self) -> ExecutionResult:
        """Return the result of the `execute` or the stream that has come to its end."""
        metrics = self._metrics_of_call()
        failed = metrics["refused"] or any(counts["failed"] for counts in metrics["nodes"].values())
        return self._result(ExecutionStatus.COMPLETED_WITH_ERRORS if failed else ExecutionStatus.COMPLETED, metrics)

    def metrics(self) -> dict[str, Any]:
        """Return all counts since `initialize` (R14)."""
        metrics = self._counts()
        for step in self._program.steps:
            if step.clock is not None:
                metrics["nodes"][step.id] |= step.times(step.clock.whole())
        return metrics

    def _counts(self) -> dict[str, Any]:
        running_ns = 0 if self._began_ns is None else perf_counter_ns() - self._began_ns
        return {
            "nodes": {step.id: step.counts() for step in self._program.in_manifest_order},
            "connections": self._program.connections(),
            "items_in": self._travel.items_in,
            "refused": self._travel.refused,
            "duration_ns": self._busy_ns + running_ns,
        }

    def stop(self) -> None:
        """Let the call that is running, in whichever thread, raise `SessionClosedError` at its next item."""
        self._travel.stopping = True
        for attempts in self._guards:
            attempts.halt(closed=True)

    def interrupt(self, node_id: str | None = None) -> None:
        """Do nothing but check the id: one item is on its way at most, and it comes to its end."""
        if node_id is not None and node_id not in self._program.graph.ids:
            raise ValueError(f"the pipeline has no node {bounded_repr(node_id)}")

    def end(self, error: BaseException | None) -> BaseException | None:
        """Close what is in flight, clean up in reverse, let go of everything; return what is to be raised (R05).

        `error` is what ended the run, if anything did. Never raises; a second call does nothing.
        """
        try:
            return run_through(self._end(error))
        finally:
            del error  # CPython 3.12 keeps this frame with those of a cleanup that failed

    def _end(self, error: BaseException | None) -> Part[BaseException | None]:
        if self._ended:
            return error
        lifecycle = self._lifecycle
        self._stream = None
        yield from lifecycle.persist(
            self._travel.close_calls, lifecycle.clean_up, lifecycle.release, self._program.drop_items
        )
        self._ended = True
        self._stop_clock()
        final = lifecycle.settle(error)
        try:
            if isinstance(final, RemoteMediaError) and final.partial is None:
                final.partial = self._result(ExecutionStatus.FAILED, self._metrics_of_call())
            self._clear()
            return final
        finally:
            del error, final  # this frame may be below one in their tracebacks

    # --- the record of one call into the run: what the sinks emitted, what failed, what was counted ---

    def _begin(self, *, keep: bool = True) -> None:
        """Start a record. What `initialize` counted belongs to the first call. A stream does not keep outputs."""
        for clock in self._clocks if self._used else ():
            clock.fold()
        self._clear(self._counts() if self._used else None)
        self._used = True
        for attempts in self._guards if not self._travel.stopping else ():
            attempts.resume()
        self._travel.outer = sys.exception()
        for tap in self._program.taps if keep else ():
            tap.kept = self._outputs[tap.source]
        self._began_ns = perf_counter_ns()

    def _clear(self, before: dict[str, Any] | None = None) -> None:
        self._before = before
        self._results: list[Any] = []
        self._outputs: dict[str, list[Any]] = {node_id: [] for node_id in self._program.output_ids}
        if len(self._program.sinks) == 1:
            self._outputs[self._program.sinks[0]] = self._results
        for tap in self._program.taps:
            tap.kept = None
        self._travel.failures = []
        self._travel.outer = None

    def _feed(self, items: Any) -> Iterator[Iterable[Line]]:
        if items is None:
            return self._travel.produced()
        return self._travel.inputs(items.__aiter__() if is_async_iterable(items) else iterate(items))

    def _gather(self, passes: Iterator[Iterable[Line]]) -> Part[list[Any]]:
        self._begin()
        try:
            yield from self._collect(passes)
        finally:
            self.errors += self._failed()
        self._stop_clock()
        results = self._results
        self._clear()
        return results

    def _collect(self, passes: Iterator[Iterable[Line]]) -> Part[None]:
        results, outputs = self._results, self._outputs
        several = len(self._program.sinks) > 1
        for sink, item in self._travel.drive(passes):
            if sink is None:
                yield item
                continue
            results.append(item)
            if several:
                outputs[sink].append(item)

    def _stop_clock(self) -> None:
        if self._began_ns is not None:
            self._busy_ns += perf_counter_ns() - self._began_ns
            self._began_ns = None

    def _failed(self) -> list[NodeError | InputError]:
        return [error for _, error in sorted(self._travel.failures, key=itemgetter(0))]

    def _metrics_of_call(self) -> dict[str, Any]:
        if self._before is None:
            return self.metrics()
        metrics = difference(self._counts(), self._before)
        for step in self._program.steps:
            if step.clock is not None:  # percentiles have no difference: these were counted apart
                metrics["nodes"][step.id] |= step.times(step.clock.latest)
        return metrics

    def _result(self, status: ExecutionStatus, metrics: dict[str, Any]) -> ExecutionResult:
        graph = self._program.graph
        kept = self._results, self._outputs, self._failed()
        outline = self._blueprint.outline
        return ExecutionResult(status, *kept, "reference", metrics, graph, None, outline, self._policy)


def difference(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return the counts that came since `before`."""
    return {
        name: difference(count, before[name]) if isinstance(count, dict) else count - before[name]
        for name, count in now.items()
    }


def make_node(blueprint: Any, position: int) -> Any:
    """Return a new node; where the compiled built-in would be made, its twin."""
    factory = blueprint.factories[position]
    guard = factory.guard if isinstance(factory, GuardedFactory) else None
    if guard is not None:
        factory = factory.factory
    if isinstance(factory, type) and factory.__module__.startswith("remotemedia._core.") and factory.__name__ in TWINS:
        twin = TWINS[factory.__name__]()
        return twin if guard is None else guard(twin)
    return blueprint.make(position)


def open_run(
    blueprint: Any,
    error_policy: str,
    session_id: str | None = None,
    timed: bool = False,
    on_error: OnError | None = None,
) -> Run:
    """Make the nodes of a blueprint and lay out the run; no method of a node is called.

    Parameters
    ----------
    blueprint : Blueprint
        What is to run.
    error_policy : {"stop", "skip", "collect"}
        What the failure of a node does.
    session_id : str, optional
        For the nodes' `NodeContext`.
    timed : bool
        Whether to count ``time_ns``.
    on_error : callable, optional
        Takes each error under ``"collect"``, which is not kept then.

    Returns
    -------
    Run
        Not yet initialized.

    Raises
    ------
    ManifestError
        The instances do not fit the graph, or this version cannot run them.
    RegistryError
        A factory failed, or gave something else than a node.
    SessionBusyError
        A factory gave an instance that another run holds.
    """
    if error_policy not in POLICIES:
        raise ValueError(f"error_policy must be one of {', '.join(POLICIES)}, not {error_policy!r}")
    plan: Plan | None = blueprint.plan
    graph = plan.graph if plan is not None else Graph(blueprint.specs, blueprint.connections)
    made = {u: make_node(blueprint, u) for u in graph.order}
    nodes = [made[u] for u in range(len(made))]
    if plan is None or not plan.fits(nodes):
        plan = blueprint.plan = Plan(graph, blueprint.specs, blueprint.connections, nodes)
    blueprint.check_guards(nodes)
    claims = blueprint.claim(nodes)
    return Run(lay_out(plan, nodes, timed), blueprint, claims, error_policy, session_id, on_error)
